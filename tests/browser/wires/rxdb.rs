//! Pages with the real client of RxDB, which nobody has changed.

use std::sync::OnceLock;

use super::bundled;
use crate::support::{Browser, PageServer, Relay, Window};

async fn relay() -> Relay {
    Relay::start_with(&["--wire", "rxdb"]).await
}

/// Pages of an origin of their own.
async fn pages() -> PageServer {
    static PAGE: OnceLock<String> = OnceLock::new();
    PageServer::start(PAGE.get_or_init(|| bundled("rxdb-page")).clone()).await
}

impl Window {
    async fn opens_database(&self, relay: &Relay, topic: &str) {
        let url = relay.url("rxdb").replace("http", "ws");
        self.run(&format!("return openDatabase({url:?}, {topic:?})")).await;
    }

    async fn notes(&self, id: &str, words: &str) {
        self.run(&format!("return database.write({id:?}, {words:?}).then(() => null)")).await;
    }

    /// Waits until its notes are these, and no others.
    async fn has_notes(&self, notes: &str) {
        self.shows(&format!("database.read() === {notes:?}")).await;
    }

    async fn replicates_with(&self, others: usize) {
        self.shows(&format!("database.peers() === {others}")).await;
    }
}

#[tokio::test]
async fn two_databases_of_rxdb_replicate_and_go_on_without_the_relay() {
    let (mut relay, pages) = (relay().await, pages().await);
    let browser = Browser::with().for_two().start().await;
    let other = Browser::with().second_of_two().start().await;
    for each in [&browser, &other] {
        each.expect_console("WebSocket connection to");
    }
    let (ana, bob) = (browser.open(&pages.url("")).await, other.open(&pages.url("")).await);
    ana.opens_database(&relay, "heroes").await;
    ana.notes("1", "before").await;
    bob.opens_database(&relay, "heroes").await;
    bob.has_notes("1=before").await;
    bob.notes("2", "Bob").await;
    ana.notes("3", "Ana").await;
    for window in [&ana, &bob] {
        window.has_notes("1=before 2=Bob 3=Ana").await;
    }
    bob.notes("1", "after").await;
    ana.has_notes("1=after 2=Bob 3=Ana").await;
    relay.crash().await;
    ana.notes("3", "alone").await;
    bob.has_notes("1=after 2=Bob 3=alone").await;
    relay.come_back().await;
    let elsewhere = self::pages().await;
    let eve = browser.open(&elsewhere.url("")).await;
    eve.opens_database(&relay, "heroes").await;
    eve.has_notes("1=after 2=Bob 3=alone").await;
    eve.notes("4", "Eve").await;
    for window in [&ana, &bob, &eve] {
        window.has_notes("1=after 2=Bob 3=alone 4=Eve").await;
    }
    browser.end().await;
    other.end().await;
}

#[tokio::test]
async fn four_databases_of_rxdb_replicate_and_one_leaves_and_comes_back() {
    let relay = relay().await;
    let browser = Browser::with().for_two().start().await;
    let other = Browser::with().second_of_two().start().await;
    let (mut origins, mut windows) = (Vec::new(), Vec::new());
    for number in 0..4 {
        let pages = pages().await;
        let window = if number % 2 == 0 { &browser } else { &other }.open(&pages.url("")).await;
        window.opens_database(&relay, "heroes").await;
        window.notes(&number.to_string(), "there").await;
        origins.push(pages);
        windows.push(window);
    }
    for window in &windows {
        window.replicates_with(3).await;
        window.has_notes("0=there 1=there 2=there 3=there").await;
    }
    // Another room hears nothing of it.
    let elsewhere = self::pages().await;
    let stranger = browser.open(&elsewhere.url("")).await;
    stranger.opens_database(&relay, "villains").await;
    stranger.notes("0", "not there").await;
    windows[3].reload().await;
    for window in &windows[..3] {
        window.replicates_with(2).await;
    }
    windows[0].notes("0", "alone").await;
    windows[1].has_notes("0=alone 1=there 2=there 3=there").await;
    // It has lost its notes, and gets them back.
    windows[3].opens_database(&relay, "heroes").await;
    for window in &windows {
        window.replicates_with(3).await;
        window.has_notes("0=alone 1=there 2=there 3=there").await;
    }
    windows[3].notes("3", "back").await;
    for window in &windows {
        window.has_notes("0=alone 1=there 2=there 3=back").await;
    }
    stranger.has_notes("0=not there").await;
    stranger.replicates_with(0).await;
    browser.end().await;
    other.end().await;
}
