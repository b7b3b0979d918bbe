//! What people tell each other besides sound and picture.

use crate::support::{Browser, Relay};

#[tokio::test]
async fn what_is_written_reaches_the_others_as_it_is_with_links_that_are_safe() {
    let relay = Relay::start().await;
    let browser = Browser::start().await;
    let (alice, bob) = browser.call_of_alice_and_bob(&relay).await;
    alice.plays_video_of("Bob").await;

    bob.click("#chat-open").await;
    let hostile = "<img src=x onerror=document.title='run'> javascript:alert(1) https://example.org/a?b=c";
    bob.fill("#chat-text", hostile).await;
    bob.click("#chat-send").await;
    alice.shows("document.querySelector('#unread').checkVisibility()").await;
    alice.click("#chat-open").await;
    alice.reads(hostile).await;
    alice.shows("document.querySelector('#chat-list img') === null && document.title !== 'run'").await;
    alice.shows("[...document.querySelectorAll('#chat-list a')].map(({ href }) => href).join() === 'https://example.org/a?b=c'").await;
    alice.shows("document.querySelector('#chat-list a').rel.includes('noopener')").await;
    alice.shows("!document.querySelector('#unread').checkVisibility()").await;
    browser.end().await;
}

#[tokio::test]
async fn the_others_see_that_a_camera_is_off_and_then_the_picture_again() {
    let relay = Relay::start().await;
    let browser = Browser::start().await;
    let (alice, bob) = browser.call_of_alice_and_bob(&relay).await;
    alice.plays_video_of("Bob").await;

    bob.click("#cam").await;
    alice.shows("tile('Bob').dataset.video === 'off'").await;
    alice.hears("Bob").await;
    bob.click("#cam").await;
    alice.shows("tile('Bob').dataset.video === 'on'").await;
    alice.plays_video_of("Bob").await;
    browser.end().await;
}

#[tokio::test]
async fn the_details_tell_the_path_and_the_quality_of_each_connection() {
    let relay = Relay::start().await;
    let browser = Browser::start().await;
    let (alice, bob) = browser.call_of_alice_and_bob(&relay).await;
    alice.plays_video_of("Bob").await;
    alice.shows("tile('Bob').dataset.path === 'lan'").await;
    alice.click("#details-open").await;
    alice.shows("/\\d+ ?ms/.test(document.querySelector('#people').innerText)").await;
    // Both ends make the same number of the fingerprints; people compare it by voice.
    bob.click("#details-open").await;
    let number = "document.querySelector('#people').innerText.match(/\\d{3}(?: \\d{3})+/)?.[0]";
    for person in [&alice, &bob] {
        person.shows(number).await;
    }
    let number = format!("return {number}");
    assert_eq!(alice.run(&number).await, bob.run(&number).await);
    browser.end().await;
}
