//! What people do during a call, and what the others see of it.

use crate::support::{Browser, Relay};

#[tokio::test]
async fn the_others_see_who_is_muted() {
    let relay = Relay::start().await;
    let browser = Browser::start().await;
    let alice = browser.open(&relay.url("?room=r")).await;
    let bob = browser.open(&relay.url("?room=r")).await;
    alice.join_as("Alice").await;
    bob.join_as("Bob").await;
    alice.hears("Bob").await;

    bob.press("m").await;
    alice.shows("tile('Bob').dataset.audio === 'off'").await;
    alice.no_longer_hears("Bob").await;
    bob.press("m").await;
    alice.shows("tile('Bob').dataset.audio === 'on'").await;
    alice.hears("Bob").await;
    browser.end().await;
}

#[tokio::test]
async fn a_phone_shows_the_call_without_scrolling_sideways() {
    let relay = Relay::start().await;
    let browser = Browser::start().await;
    let alice = browser.open(&relay.url("?room=r")).await;
    let bob = browser.open(&relay.url("?room=r")).await;
    alice.resize(360, 740).await;
    alice.shows("document.documentElement.scrollWidth <= 360 && innerWidth === 360").await;
    alice.photograph("phone-entry").await;
    alice.join_as("Alice").await;
    bob.join_as("Bob").await;
    alice.plays_video_of("Bob").await;
    alice.shows("document.documentElement.scrollWidth <= 360").await;
    alice.photograph("phone-call").await;
    browser.end().await;
}

#[tokio::test]
async fn the_others_see_a_shared_screen_and_then_the_camera_again() {
    let relay = Relay::start().await;
    let browser = Browser::start().await;
    let alice = browser.open(&relay.url("?room=r")).await;
    let bob = browser.open(&relay.url("?room=r")).await;
    alice.join_as("Alice").await;
    bob.join_as("Bob").await;
    alice.plays_video_of("Bob").await;

    bob.click("#share").await;
    alice.shows("tile('Bob').dataset.video === 'screen'").await;
    alice.plays_video_of("Bob").await;
    alice.photograph("shared-screen").await;
    bob.click("#share").await;
    alice.shows("tile('Bob').dataset.video === 'on'").await;
    alice.plays_video_of("Bob").await;
    browser.end().await;
}
