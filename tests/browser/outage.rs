//! Everything that a person does in a call goes on while the relay is away.

use crate::support::{Browser, Relay};

#[tokio::test]
async fn while_the_relay_is_away_the_others_see_all_that_a_person_does() {
    let mut relay = Relay::start().await;
    let browser = Browser::start().await;
    browser.expect_console("WebSocket connection to");
    let (alice, bob) = browser.call_of_alice_and_bob(&relay).await;
    let carol = browser.open(&relay.url("?room=r")).await;
    carol.join_as("Carol").await;
    let people = [(&alice, ["Bob", "Carol"]), (&bob, ["Alice", "Carol"]), (&carol, ["Alice", "Bob"])];
    for (person, others) in people {
        person.sees_only(&others).await;
        for other in others {
            person.plays_video_of(other).await;
        }
    }
    relay.crash().await;
    for (person, _) in people {
        person.is("reconnecting").await;
    }

    bob.press("m").await;
    for person in [&alice, &carol] {
        person.shows("tile('Bob').dataset.audio === 'off'").await;
        person.no_longer_hears("Bob").await;
    }
    bob.press("v").await;
    for person in [&alice, &carol] {
        person.shows("tile('Bob').dataset.video === 'off'").await;
    }
    bob.click("#share").await;
    for person in [&alice, &carol] {
        person.shows("tile('Bob').dataset.video === 'screen'").await;
        person.reads("Bob is presenting").await;
        person.plays_video_of("Bob").await;
    }
    bob.reads("You are sharing your screen").await;
    alice.click("#chat-open").await;
    alice.fill("#chat-text", "Can you read this?").await;
    alice.click("#chat-send").await;
    for person in [&bob, &carol] {
        person.click("#chat-open").await;
        person.reads("Can you read this?").await;
    }
    assert!(!alice.text().await.contains("Not sent"));

    carol.hang_up().await;
    for (person, other) in [(&alice, "Bob"), (&bob, "Alice")] {
        person.is_told("Carol left").await;
        person.sees_only(&[other]).await;
        person.is("reconnecting").await;
    }

    relay.come_back().await;
    for (person, other) in [(&alice, "Bob"), (&bob, "Alice")] {
        person.is("connected").await;
        person.sees_only(&[other]).await;
        person.plays_video_of(other).await;
        person.shows("document.querySelectorAll('#chat-list li').length === 1").await;
    }
    // What came by the channel before the outage ended goes by it still.
    bob.fill("#chat-text", "Yes.").await;
    bob.click("#chat-send").await;
    alice.reads("Yes.").await;
    alice.shows("document.querySelectorAll('#chat-list li').length === 2").await;
    browser.end().await;
}

#[tokio::test]
async fn the_room_is_locked_again_by_its_host_after_a_restart_of_the_relay() {
    let mut relay = Relay::start().await;
    let browser = Browser::start().await;
    browser.expect_console("WebSocket connection to");
    let (alice, bob) = browser.call_of_alice_and_bob(&relay).await;
    alice.plays_video_of("Bob").await;
    alice.press("p").await;
    alice.click("#lock").await;
    for person in [&alice, &bob] {
        person.shows("document.querySelector('#locked').checkVisibility()").await;
    }
    relay.crash().await;
    alice.is("reconnecting").await;
    relay.come_back().await;
    for person in [&alice, &bob] {
        person.is("connected").await;
        person.shows("document.querySelector('#locked').checkVisibility()").await;
    }
    let carol = browser.open(&relay.url("?room=r")).await;
    carol.fill("#name", "Carol").await;
    carol.click("#join").await;
    carol.reads("Asking to be let in").await;
    // Outside of the room the lock is nothing to tell.
    alice.hang_up().await;
    alice.shows("!document.querySelector('#locked').checkVisibility()").await;
    browser.end().await;
}
