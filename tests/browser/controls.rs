//! What people do during a call, and what the others see of it.

use crate::support::{Browser, Relay};

#[tokio::test]
async fn the_others_see_who_is_muted() {
    let relay = Relay::start().await;
    let browser = Browser::start().await;
    let (alice, bob) = browser.call_of_alice_and_bob(&relay).await;
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
    // A bar to scroll with would take a part of the 360.
    let fits = "document.documentElement.clientWidth === 360 && document.documentElement.scrollWidth <= 360";
    alice.shows(fits).await;
    alice.photograph("phone-entry").await;
    alice.join_as("Alice").await;
    bob.join_as("Bob").await;
    alice.plays_video_of("Bob").await;
    alice.shows(fits).await;
    alice.photograph("phone-call").await;
    browser.end().await;
}

#[tokio::test]
async fn the_others_see_a_shared_screen_and_then_the_camera_again() {
    let relay = Relay::start().await;
    let browser = Browser::start().await;
    let (alice, bob) = browser.call_of_alice_and_bob(&relay).await;
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

#[tokio::test]
async fn a_camera_that_is_changed_during_the_call_is_what_the_others_see() {
    let relay = Relay::start().await;
    // The second of Chromium's fake cameras films depth, which nobody can send; the third films colours.
    let browser = Browser::with().with_cameras(3).start().await;
    let (alice, bob) = browser.call_of_alice_and_bob(&relay).await;
    alice.plays_video_of("Bob").await;

    bob.click("#settings-open").await;
    let choose = "const cameras = document.querySelector('#call-devices-camera');
        cameras.value = [...cameras.options].find(({ text }) => text === 'fake_device_2').value;
        cameras.dispatchEvent(new Event('change', { bubbles: true }));";
    bob.run(choose).await;
    let camera = "document.querySelector('.tile[data-peer=self] video').srcObject.getVideoTracks()[0].label";
    bob.shows(&format!("{camera} === 'fake_device_2'")).await;
    alice.plays_video_of("Bob").await;
    browser.end().await;
}
