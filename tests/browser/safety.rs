//! What strangers write runs nothing, and what the page does stays between the browser and its relay.

use crate::support::{Browser, Relay, Window, file_url};

/// Runs when it gets into a page as HTML.
const HOSTILE_NAME: &str = "<img src=x onerror='window.ran=1'>";
const HOSTILE_ROOM: &str = "<img src=y onerror=window.ran=2>";

#[tokio::test]
async fn a_call_asks_no_host_but_the_relay_for_anything() {
    let relay = Relay::start().await;
    let browser = Browser::start().await;
    let (alice, bob) = browser.call_of_alice_and_bob(&relay).await;
    alice.plays_video_of("Bob").await;
    bob.hang_up().await;
    alice.is("waiting").await;

    let requests = browser.requests().await;
    let loaded = |end: &str| requests.iter().any(|url| url.ends_with(end));
    assert!(
        loaded("/?room=r") && loaded("/signaling.js") && loaded("/ws?route=r"),
        "the record is incomplete: {requests:?}"
    );
    for url in requests {
        assert_eq!(url.split('/').nth(2), Some(relay.host()), "{url}");
    }
    browser.end().await;
}

#[tokio::test]
async fn hostile_names_are_shown_as_they_are_and_run_nothing() {
    let relay = Relay::start().await;
    let browser = Browser::start().await;
    let room: String = form_urlencoded::byte_serialize(HOSTILE_ROOM.as_bytes()).collect();
    let alice = browser.open(&relay.url(&format!("?room={room}"))).await;
    let mallory = browser.open(&relay.url(&format!("?room={room}"))).await;
    runs_nothing(&alice, &mallory).await;
    browser.end().await;
}

/// Without the Content-Security-Policy that the relay sends along.
#[tokio::test]
async fn hostile_names_run_nothing_on_a_page_from_disk_either() {
    let relay = Relay::start_with(&["--allow-origin", "null"]).await;
    let browser = Browser::with().dialling_8080_reaches(&relay).start().await;
    let room: String = form_urlencoded::byte_serialize(HOSTILE_ROOM.as_bytes()).collect();
    let alice = browser.open(&file_url(&format!("web/index.html?room={room}"))).await;
    let mallory = browser.open(&file_url(&format!("web/index.html?room={room}"))).await;
    runs_nothing(&alice, &mallory).await;
    browser.end().await;
}

async fn runs_nothing(alice: &Window, mallory: &Window) {
    mallory.join_as(HOSTILE_NAME).await;
    alice.join_as("Alice").await;
    alice.sees(HOSTILE_NAME).await;
    alice.plays_video_of(HOSTILE_NAME).await;
    alice.reads(HOSTILE_ROOM).await;
    alice.photograph("hostile").await;
    mallory.hang_up().await;
    alice.is_told(HOSTILE_NAME).await;
    for page in [alice, mallory] {
        let ran = page.run("return [window.ran ?? null, document.querySelectorAll('img').length]").await;
        assert_eq!(ran, serde_json::json!([null, 0]));
    }
}
