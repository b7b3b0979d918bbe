//! The call page opened from disk, by double click: it dials `ws://localhost:8080`.

use crate::support::{Browser, Relay, file_url};

#[tokio::test]
async fn two_pages_from_disk_call_each_other() {
    let relay = Relay::start_with(&["--allow-origin", "null"]).await;
    let browser = Browser::with().dialling_8080_reaches(&relay).start().await;
    let alice = browser.open(&file_url("web/index.html?room=r")).await;
    let bob = browser.open(&file_url("web/index.html?room=r")).await;
    alice.join_as("Alice").await;
    bob.join_as("Bob").await;
    for (person, other) in [(&alice, "Bob"), (&bob, "Alice")] {
        person.plays_video_of(other).await;
        person.hears(other).await;
    }
    alice.photograph("from-disk").await;
    browser.end().await;
}

#[tokio::test]
async fn a_page_from_disk_calls_the_page_that_the_relay_serves() {
    let relay = Relay::start_with(&["--allow-origin", "null"]).await;
    let browser = Browser::with().dialling_8080_reaches(&relay).start().await;
    let alice = browser.open(&relay.url("?room=r")).await;
    let bob = browser.open(&file_url("web/index.html?room=r")).await;
    alice.join_as("Alice").await;
    bob.join_as("Bob").await;
    alice.plays_video_of("Bob").await;
    bob.plays_video_of("Alice").await;
    browser.end().await;
}
