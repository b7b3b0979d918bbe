//! What goes wrong, and the call that goes on in spite of it.

use crate::support::{Browser, Network, Relay};

#[tokio::test]
async fn who_allows_neither_camera_nor_microphone_is_told_so_and_can_join() {
    let relay = Relay::start().await;
    let browser = Browser::with().who_denies_devices().start().await;
    let alice = browser.open(&relay.url("?room=r")).await;
    alice.shows("document.querySelector('.notice[data-problem=denied]')").await;
    alice.photograph("denied").await;
    let bob = browser.open(&relay.url("?room=r")).await;
    alice.join_as("Alice").await;
    bob.join_as("Bob").await;
    alice.is("connected").await;
    alice.sees("Bob").await;
    bob.sees("Alice").await;
    browser.end().await;
}

#[tokio::test]
async fn who_has_neither_camera_nor_microphone_is_told_so_and_can_join() {
    let relay = Relay::start().await;
    let browser = Browser::with().without_devices().start().await;
    let alice = browser.open(&relay.url("?room=r")).await;
    alice.shows("document.querySelector('.notice[data-problem=none]')").await;
    alice.join_as("Alice").await;
    alice.is("waiting").await;
    browser.end().await;
}

#[tokio::test]
async fn a_page_that_is_not_secure_says_so_and_who_is_there_can_still_watch() {
    let relay = Relay::start_with(&["--allow-origin", "http://meet.example"]).await;
    let browser = Browser::with().host_rule("MAP meet.example 127.0.0.1").may_ask("meet.example").start().await;
    let alice = browser.open(&format!("http://meet.example:{}/?room=r", relay.port())).await;
    // A header that only secure pages take.
    browser.expect_console("Cross-Origin-Opener-Policy");
    alice.shows("document.querySelector('.notice[data-problem=insecure]')").await;
    let bob = browser.open(&relay.url("?room=r")).await;
    alice.join_as("Alice").await;
    bob.join_as("Bob").await;
    alice.plays_video_of("Bob").await;
    alice.hears("Bob").await;
    bob.sees("Alice").await;
    browser.end().await;
}

#[tokio::test]
async fn a_call_outlives_the_relay_and_nobody_is_doubled_when_it_is_back() {
    let mut relay = Relay::start().await;
    let browser = Browser::start().await;
    browser.expect_console("WebSocket connection to");
    let (alice, bob) = browser.call_of_alice_and_bob(&relay).await;
    alice.plays_video_of("Bob").await;

    relay.crash().await;
    for (person, other) in [(&alice, "Bob"), (&bob, "Alice")] {
        person.is("reconnecting").await;
        person.plays_video_of(other).await;
        person.hears(other).await;
    }
    relay.come_back().await;
    for (person, other) in [(&alice, "Bob"), (&bob, "Alice")] {
        person.is("connected").await;
        person.sees_only(&[other]).await;
        person.plays_video_of(other).await;
    }
    bob.hang_up().await;
    alice.sees_only(&[]).await;
    browser.end().await;
}

#[tokio::test]
async fn who_finds_the_room_full_is_told_so_and_can_try_again() {
    let relay = Relay::start_with(&["--room-capacity", "1"]).await;
    let browser = Browser::start().await;
    let alice = browser.open(&relay.url("?room=r")).await;
    let bob = browser.open(&relay.url("?room=r")).await;
    alice.join_as("Alice").await;
    bob.fill("#name", "Bob").await;
    bob.click("#join").await;
    bob.is("refused").await;
    bob.shows("document.body.dataset.problem === 'room_full'").await;
    bob.reads("The room is full").await;

    // Once there is room again, trying again is enough.
    alice.hang_up().await;
    bob.click(".notice button").await;
    bob.is("waiting").await;
    browser.end().await;
}

#[tokio::test]
async fn a_camera_that_another_program_holds_is_told_of_and_can_be_tried_again() {
    let relay = Relay::start().await;
    let browser = Browser::start().await;
    let alice = browser.open("about:blank").await;
    // What a browser says while another program has the camera.
    let busy = "const { mediaDevices } = navigator, give = mediaDevices.getUserMedia.bind(mediaDevices);
        globalThis.busy = true;
        mediaDevices.getUserMedia = async (wanted) => {
            if (busy && wanted.video) throw new DOMException('in use', 'NotReadableError');
            return give(wanted);
        };";
    alice.devtools("Page.addScriptToEvaluateOnNewDocument", serde_json::json!({ "source": busy })).await;
    alice.go_to(&relay.url("?room=r")).await;
    alice.shows("document.querySelector('.notice[data-device~=camera][data-problem=busy]')").await;
    alice.run("globalThis.busy = false").await;
    alice.click(".notice[data-device~=camera] button").await;
    alice.shows("document.querySelector('#preview-video').videoWidth > 0").await;
    alice.shows("!document.querySelector('.notice')").await;
    browser.end().await;
}

#[tokio::test]
async fn who_finds_no_relay_is_told_so_and_gets_in_when_it_is_there() {
    let mut relay = Relay::start().await;
    let browser = Browser::start().await;
    browser.expect_console("WebSocket connection to");
    let alice = browser.open(&relay.url("?room=r")).await;
    alice.fill("#name", "Alice").await;
    relay.crash().await;
    alice.click("#join").await;
    alice.shows("document.body.dataset.problem === 'unreachable'").await;
    relay.come_back().await;
    alice.is("waiting").await;
    browser.end().await;
}

#[tokio::test]
async fn four_people_get_together_although_the_network_breaks_while_they_negotiate() {
    const NAMES: [&str; 4] = ["Ana", "Bo", "Chidi", "Dmitri"];
    let relay = Relay::start().await;
    let network = Network::start(relay.port(), 8).await;
    let browser = Browser::with().flag("--use-fake-device-for-media-stream=fps=5").start().await;
    let mut people = Vec::new();
    for name in NAMES {
        let person = browser.open(&network.url("?room=r")).await;
        person.join_as(name).await;
        let id = person.run("return document.body.dataset.id").await;
        people.push((person, name, id));
    }
    for (person, name, id) in &people {
        let others: Vec<&str> = NAMES.into_iter().filter(|other| other != name).collect();
        person.is("connected").await;
        person.sees_only(&others).await;
        let up = "[...document.querySelectorAll('.tile')].every(({ dataset }) => dataset.connection === 'connected')";
        person.shows(up).await;
        assert_eq!(person.run("return document.body.dataset.id").await, *id, "the id of {name}");
    }
    assert!(network.cuts() >= 4, "the network broke {} times", network.cuts());
    for (person, name, _) in &people {
        let joins = "return Log.text().split('\\n').filter((line) => / joined r-[\\w-]{22}/.test(line)).length";
        assert_eq!(person.run(joins).await, 1, "{name}");
    }
    browser.end().await;
}
