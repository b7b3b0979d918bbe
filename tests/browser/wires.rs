//! Pages with the real clients of other libraries, y-webrtc, Trystero, PeerJS and RxDB, which nobody has changed.
//!
//! Each browser has a profile of its own: pages of one profile and origin meet without any relay. Where one browser has several
//! pages, each is of another origin.

mod examples;
mod node;
mod rxdb;

use std::process::Command;
use std::sync::OnceLock;

use crate::support::{Browser, PageServer, Relay, Window, artifact};

/// The page with the clients, as `esbuild` bundles them.
pub(crate) fn page() -> String {
    static PAGE: OnceLock<String> = OnceLock::new();
    PAGE.get_or_init(|| bundled("wires-page")).clone()
}

/// A page with what is in `tests/browser/pages/NAME.mjs`, and what that needs.
fn bundled(name: &str) -> String {
    const PACKAGES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/tools/node_modules");
    let bundle = artifact(&format!("{name}.js"));
    let bundled = Command::new("node")
        .arg(format!("{PACKAGES}/esbuild/bin/esbuild"))
        .arg(format!("{}/tests/browser/pages/{name}.mjs", env!("CARGO_MANIFEST_DIR")))
        .args(["--bundle", "--format=iife"])
        .arg(format!("--outfile={}", bundle.display()))
        .env("NODE_PATH", PACKAGES)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&bundled.stderr);
    assert!(bundled.status.success(), "scripts/test puts the packages into target/tools: {said}");
    let script = std::fs::read_to_string(bundle).unwrap();
    assert!(!script.contains("</script"), "it would end the element");
    format!("<!doctype html><meta charset=utf-8><title>Wires</title><script>{script}</script>")
}

/// The relay with the wires of both, at which pages of other origins on this machine may connect.
async fn relay() -> Relay {
    Relay::start_with(&["--wire", "y-webrtc", "--wire", "trystero"]).await
}

/// Pages of an origin of their own.
async fn pages() -> PageServer {
    PageServer::start(page()).await
}

impl Window {
    async fn opens_document(&self, relay: &Relay, room: &str, me: &str, password: Option<&str>) {
        let url = relay.url("y-webrtc").replace("http", "ws");
        let password = password.map_or("null".to_owned(), |password| format!("{password:?}"));
        self.run(&format!("openDocument({url:?}, {room:?}, {me:?}, {password})")).await;
    }

    async fn writes(&self, room: &str, words: &str) {
        self.run(&format!("documents[{room:?}].write({words:?})")).await;
    }

    /// Waits until the document has these words somewhere: of two who write at once, either is first.
    async fn has(&self, room: &str, words: &str) {
        self.shows(&format!("documents[{room:?}].read().includes({words:?})")).await;
    }

    async fn shows_names(&self, room: &str, names: &str) {
        self.shows(&format!("documents[{room:?}].others() === {names:?}")).await;
    }

    async fn meets(&self, relay: &Relay, room: &str) {
        let url = relay.url("trystero").replace("http", "ws");
        self.run(&format!("meet({url:?}, {room:?})")).await;
    }
}

#[tokio::test]
async fn two_documents_of_y_webrtc_edit_each_other_with_and_without_a_password() {
    let (relay, pages) = (relay().await, pages().await);
    let browser = Browser::with().for_two().start().await;
    let other = Browser::with().second_of_two().start().await;
    let (ana, bob) = (browser.open(&pages.url("")).await, other.open(&pages.url("")).await);
    for (room, password) in [("open", None), ("closed", Some("secret"))] {
        ana.opens_document(&relay, room, "Ana", password).await;
        bob.opens_document(&relay, room, "Bob", password).await;
        ana.shows_names(room, "Ana Bob").await;
        bob.shows_names(room, "Ana Bob").await;
        ana.writes(room, "from Ana.").await;
        bob.has(room, "from Ana.").await;
        bob.writes(room, "from Bob.").await;
        ana.has(room, "from Bob.").await;
    }
    // Both rooms are on one socket. Who leaves one stays in the other.
    bob.run("documents.open.destroy()").await;
    ana.shows_names("open", "Ana").await;
    bob.writes("closed", "still there.").await;
    ana.has("closed", "still there.").await;
    // Who does not know the password reads nothing; the client itself complains of what it cannot decipher.
    browser.expect_console("Uncaught DOMException");
    other.expect_console("Uncaught DOMException");
    bob.opens_document(&relay, "third", "Bob", Some("right")).await;
    ana.opens_document(&relay, "third", "Ana", Some("wrong")).await;
    ana.shows("documents.third.isConnected()").await;
    ana.writes("third", "not for Bob").await;
    ana.writes("closed", "the last.").await;
    bob.has("closed", "the last.").await;
    assert_eq!(bob.run("return documents.third.read()").await, "");
    let sockets = browser.requests().await.iter().filter(|url| url.ends_with("/y-webrtc")).count();
    assert_eq!(sockets, 1);
    browser.end().await;
    other.end().await;
}

#[tokio::test]
async fn documents_go_on_without_the_relay_and_who_comes_when_it_is_back_finds_everybody() {
    let (mut relay, pages) = (relay().await, pages().await);
    let browser = Browser::with().for_two().start().await;
    let other = Browser::with().second_of_two().start().await;
    for each in [&browser, &other] {
        each.expect_console("WebSocket connection to");
    }
    let (ana, bob) = (browser.open(&pages.url("")).await, other.open(&pages.url("")).await);
    ana.opens_document(&relay, "r", "Ana", None).await;
    bob.opens_document(&relay, "r", "Bob", None).await;
    ana.shows_names("r", "Ana Bob").await;
    relay.crash().await;
    ana.shows("!documents.r.isConnected()").await;
    ana.writes("r", "without it.").await;
    bob.has("r", "without it.").await;
    relay.come_back().await;
    let elsewhere = self::pages().await;
    let eve = browser.open(&elsewhere.url("")).await;
    eve.opens_document(&relay, "r", "Eve", None).await;
    for window in [&ana, &bob, &eve] {
        window.shows_names("r", "Ana Bob Eve").await;
    }
    eve.has("r", "without it.").await;
    browser.end().await;
    other.end().await;
}

#[tokio::test]
async fn eight_documents_of_y_webrtc_find_each_other() {
    let relay = relay().await;
    let browser = Browser::with().for_a_crowd().start().await;
    let mut origins = Vec::new();
    let mut windows = Vec::new();
    for number in 0..8 {
        let pages = pages().await;
        let window = browser.open(&pages.url("")).await;
        window.opens_document(&relay, "r", &number.to_string(), Some("secret")).await;
        origins.push(pages);
        windows.push(window);
    }
    for window in &windows {
        window.shows_names("r", "0 1 2 3 4 5 6 7").await;
    }
    for (number, window) in windows.iter().enumerate() {
        window.writes("r", &format!("<{number}>")).await;
    }
    for window in &windows {
        for number in 0..8 {
            window.has("r", &format!("<{number}>")).await;
        }
    }
    browser.end().await;
}

#[tokio::test]
async fn three_pages_of_trystero_meet_and_talk() {
    let (relay, pages) = (relay().await, pages().await);
    let elsewhere = self::pages().await;
    let browser = Browser::with().for_two().start().await;
    let other = Browser::with().second_of_two().start().await;
    let windows =
        [browser.open(&pages.url("")).await, other.open(&pages.url("")).await, other.open(&elsewhere.url("")).await];
    for window in &windows {
        window.meets(&relay, "r").await;
    }
    for window in &windows {
        window.shows("room.peers() === 2").await;
    }
    for (number, window) in windows.iter().enumerate() {
        window.run(&format!("room.say('from {number}')")).await;
    }
    for (number, window) in windows.iter().enumerate() {
        for from in (0..3).filter(|from| *from != number) {
            window.shows(&format!("room.heard.includes('from {from}')")).await;
        }
    }
    // What they say now needs no relay.
    let [one, two, three] = windows;
    three.close().await;
    one.shows("room.peers() === 1").await;
    two.shows("room.peers() === 1").await;
    browser.end().await;
    other.end().await;
}
