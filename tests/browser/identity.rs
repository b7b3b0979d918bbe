//! Who somebody is: not their id, which may be another's by now, but what only they can know.

use std::time::Duration;

use futures_util::StreamExt;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::harness::Client;
use crate::support::{Browser, Relay, Window};

/// A page of the relay's origin in which the test makes a call of its own, under an id that it chose, and by sockets that
/// the test can cut. Its picture is a canvas.
async fn open_with_id(browser: &Browser, relay: &Relay, name: &str, id: &str) -> Window {
    let page = browser.open(&relay.url("?room=elsewhere")).await;
    page.call_it(name);
    page.run(&format!(
        "const {{ Call }} = await import('/sdk/call.js');
        globalThis.sockets = [];
        globalThis.isCut = false;
        class Cuttable extends WebSocket {{
            constructor(url) {{
                super(isCut ? url.replace('/ws', '/nowhere') : url);
                sockets.push(this);
            }}
        }}
        globalThis.call = new Call({{ WebSocket: Cuttable }});
        const canvas = document.createElement('canvas');
        setInterval(() => {{
            const context = canvas.getContext('2d');
            context.fillStyle = `hsl(${{performance.now() % 360}} 80% 50%)`;
            context.fillRect(Math.random() * 200, Math.random() * 100, 60, 60);
        }}, 50);
        call.setTrack('video', canvas.captureStream(10).getVideoTracks()[0]);
        call.setState({{ audio: false, video: 'camera' }});
        await call.join('r', {{ name: '{name}', id: '{id}' }});"
    ))
    .await;
    page
}

#[tokio::test]
async fn who_takes_the_id_of_somebody_who_lost_the_place_is_somebody_else() {
    let relay = Relay::start_with(&["--hold-ms", "0"]).await;
    let browser = Browser::start().await;
    browser.expect_console("WebSocket connection to");
    let alice = browser.open(&relay.url("?room=r")).await;
    alice.join_as("Alice").await;
    let bob = open_with_id(&browser, &relay, "Bob", "bob").await;
    alice.plays_video_of("Bob").await;
    bob.run("isCut = true; sockets.at(-1).close(4000)").await;
    alice.shows("tile('Bob').dataset.present === 'false'").await;
    alice.plays_video_of("Bob").await;

    let mut eve = dial(&relay).await;
    eve.say(json!({"type": "join", "room": "r", "id": "bob", "name": "Eve"})).await;
    eve.expect("joined").await;
    eve.say(json!({"type": "message", "data": {"kind": "chat", "text": "I am Bob"}})).await;
    // She has a tile of her own, and her words stand under her name.
    alice.sees_only(&["Bob", "Eve"]).await;
    alice.click("#chat-open").await;
    alice.reads("I am Bob").await;
    alice.shows("document.querySelector('#chat-list .who').textContent.startsWith('Eve')").await;
    // What Bob says comes by the connection that is his.
    bob.run("call.send({ kind: 'chat', text: 'She is not' })").await;
    alice.reads("She is not").await;
    alice.shows("document.querySelector('#chat-list li:last-child .who').textContent.startsWith('Bob')").await;
    browser.end().await;
}

#[tokio::test]
async fn who_comes_back_under_another_id_is_known_by_the_connection_and_not_doubled() {
    let relay = Relay::start_with(&["--hold-ms", "0"]).await;
    let browser = Browser::start().await;
    let alice = browser.open(&relay.url("?room=r")).await;
    let bob = browser.open("about:blank").await;
    let keep = "globalThis.sockets = [];
        globalThis.WebSocket = class extends WebSocket {
            constructor(url) {
                super(url);
                sockets.push(this);
            }
        };";
    bob.devtools("Page.addScriptToEvaluateOnNewDocument", json!({ "source": keep })).await;
    bob.go_to(&relay.url("?room=r")).await;
    alice.join_as("Alice").await;
    bob.join_as("Bob").await;
    alice.plays_video_of("Bob").await;
    let before = alice.run("return tile('Bob').dataset.peer").await;
    // The relay forgets him, and his page joins anew.
    bob.run("globalThis.was = document.body.dataset.id; sockets.at(-1).close(4000)").await;
    bob.shows("document.body.dataset.id !== was && document.body.dataset.relay === 'joined'").await;
    alice.shows(&format!("tile('Bob').dataset.peer !== {before} && tile('Bob').dataset.present === 'true'")).await;
    alice.sees_only(&["Bob"]).await;
    alice.plays_video_of("Bob").await;
    browser.end().await;
}

/// Two who meet in a room of their own, whether they have lines for sound and picture or not. Bob's offer comes after Alice
/// has given him up and made her own: each end has made a data channel.
async fn two_whose_offers_cross(browser: &Browser, relay: &Relay, media: [bool; 2]) -> [Window; 2] {
    let open = async |name: &str, media: bool, delay: u32| {
        let page = browser.open(&relay.url("?room=elsewhere")).await;
        page.call_it(name);
        page.run(&format!(
            "const {{ Call }} = await import('/sdk/call.js');
            class Slow extends WebSocket {{
                send(text) {{
                    setTimeout(() => this.readyState === WebSocket.OPEN && super.send(text), {delay});
                }}
            }}
            globalThis.call = new Call({{ WebSocket: Slow, media: {media} }});
            globalThis.heard = [];
            call.on('message', ({{ data }}) => heard.push(data));
            await call.join('r', {{ name: '{name}' }});"
        ))
        .await;
        page
    };
    let both = [open("Alice", media[0], 0).await, open("Bob", media[1], 5_000).await];
    for person in &both {
        person.shows("call.members[0]?.isDirect").await;
    }
    both
}

async fn speak_and_are_heard([alice, bob]: &[Window; 2]) {
    for (speaker, listener) in [(alice, bob), (bob, alice)] {
        speaker.run("call.send('without the relay')").await;
        listener.shows("heard.includes('without the relay')").await;
    }
}

#[tokio::test]
async fn two_who_offered_at_once_talk_without_the_relay() {
    let mut relay = Relay::start().await;
    let browser = Browser::start().await;
    browser.expect_console("WebSocket connection to");
    let both = two_whose_offers_cross(&browser, &relay, [false, false]).await;
    relay.crash().await;
    speak_and_are_heard(&both).await;
    browser.end().await;
}

#[tokio::test]
async fn two_who_offered_at_once_connect_although_only_one_has_lines_for_media() {
    let relay = Relay::start().await;
    let browser = Browser::start().await;
    for media in [[true, false], [false, true]] {
        let both = two_whose_offers_cross(&browser, &relay, media).await;
        speak_and_are_heard(&both).await;
        let lines =
            "call.members[0].link.pc.getTransceivers().filter(({ currentDirection }) => currentDirection).length";
        for person in &both {
            person.shows(&format!("{lines} === 2")).await;
        }
        for person in &both {
            person.run("call.close()").await;
        }
    }
    browser.end().await;
}

#[tokio::test]
async fn an_offer_that_comes_right_behind_an_answer_crosses_nothing() {
    let relay = Relay::start().await;
    let browser = Browser::start().await;
    let open = async |name: &str, prepare: &str| {
        let page = browser.open(&relay.url("?room=elsewhere")).await;
        page.call_it(name);
        page.run(&format!(
            "const {{ Call }} = await import('/sdk/call.js');
            {prepare}
            globalThis.made = 0;
            class Counted extends RTCPeerConnection {{
                constructor(...all) {{
                    super(...all);
                    made += 1;
                }}
            }}
            globalThis.call = new Call({{ WebSocket: Socket, RTCPeerConnection: Counted }});
            await call.join('r', {{ name: '{name}' }});"
        ))
        .await;
        page
    };
    let alice = open("Alice", "const Socket = WebSocket;").await;
    // What comes from the answer on is read in one go with the offer behind it.
    let bob = open(
        "Bob",
        "const held = [];
        let reads = true;
        class Socket extends WebSocket {
            set onmessage(read) {
                super.onmessage = (event) => {
                    const { type } = JSON.parse(event.data);
                    if (type === 'answer') reads = false;
                    held.push(event);
                    reads ||= type === 'offer';
                    if (reads) held.splice(0).forEach(read);
                };
            }
        }",
    )
    .await;
    let answered = "(({ signalingState, remoteDescription }) => remoteDescription && signalingState === 'stable')";
    alice.shows(&format!("call.members[0]?.link && {answered}(call.members[0].link.pc)")).await;
    alice.run("call.setTrack('board', document.createElement('canvas').captureStream().getVideoTracks()[0])").await;
    bob.shows("call.members[0]?.isDirect && call.members[0].tracks.has('board')").await;
    assert_eq!(bob.run("return made").await, 1);
    assert_eq!(alice.run("return made").await, 1);
    browser.end().await;
}

/// Counts what is alive of the page's peer connections, and the most at any time.
const COUNT_CONNECTIONS: &str = "globalThis.alive = globalThis.most = globalThis.mostTiles = 0;
const Real = RTCPeerConnection;
globalThis.RTCPeerConnection = class extends Real {
    constructor(...all) {
        super(...all);
        alive += 1;
        most = Math.max(most, alive);
    }
    close() {
        if (this.signalingState !== 'closed') alive -= 1;
        super.close();
    }
};
addEventListener('DOMContentLoaded', () => new MutationObserver(() => {
    mostTiles = Math.max(mostTiles, document.querySelectorAll('.tile').length);
}).observe(document.querySelector('#grid'), { childList: true }));";

async fn open_counting(browser: &Browser, relay: &Relay) -> Window {
    let page = browser.open("about:blank").await;
    page.devtools("Page.addScriptToEvaluateOnNewDocument", json!({ "source": COUNT_CONNECTIONS })).await;
    page.go_to(&relay.url("?room=r")).await;
    page.watch_as("Alice").await;
    page
}

async fn dial(relay: &Relay) -> Client<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", relay.port())).await.unwrap();
    Client::dial(stream, &format!("ws://localhost:{}/ws", relay.port()), &[]).await.unwrap()
}

/// Somebody whose end of the WebSocket answers the relay's pings until it is dropped.
struct Guest(JoinHandle<()>);

impl Drop for Guest {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn come(relay: &Relay, name: &str) -> Guest {
    let mut comer = dial(relay).await;
    comer.say(json!({"type": "join", "room": "r", "name": name})).await;
    comer.expect("joined").await;
    comer.say(json!({"type": "message", "data": {"kind": "hello", "token": "t", "proofs": [], "media": {"audio": true, "video": "off"}}})).await;
    Guest(tokio::spawn(async move { while comer.socket.next().await.is_some() {} }))
}

#[tokio::test]
async fn hundreds_who_come_and_go_leave_nothing_behind() {
    let relay = Relay::start().await;
    let browser = Browser::start().await;
    let alice = open_counting(&browser, &relay).await;
    for round in 0..40 {
        let mut crowd = Vec::new();
        for seat in 0..6 {
            crowd.push(come(&relay, &format!("ghost {round}-{seat}")).await);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    alice.sees_only(&[]).await;
    alice.is("waiting").await;
    let counted = alice.run("return { alive, most, mostTiles }").await;
    assert_eq!(counted["alive"], 0, "{counted}");
    assert!(counted["most"].as_u64() <= Some(8) && counted["mostTiles"].as_u64() <= Some(9), "{counted}");
    browser.end().await;
}

#[tokio::test]
async fn a_large_room_has_32_tiles_and_the_rest_stand_in_the_list_and_move_up() {
    let relay = Relay::start_with(&["--room-capacity", "60"]).await;
    let browser = Browser::start().await;
    let alice = open_counting(&browser, &relay).await;
    let mut crowd = Vec::new();
    for seat in 0..40 {
        crowd.push(come(&relay, &format!("guest {seat}")).await);
    }
    alice.click("#people-open").await;
    alice.shows("document.querySelectorAll('#roster li').length === 41").await;
    alice.shows("document.querySelectorAll('.tile:not([data-peer=self])').length === 32").await;
    alice.shows("document.querySelector('#roster').innerText.split('Connected later').length === 9").await;
    assert_eq!(alice.run("return Math.max(most, mostTiles - 1)").await, 32);
    // When the first ones go, the others move up.
    crowd.drain(..10);
    alice.shows("document.querySelectorAll('.tile:not([data-peer=self])').length === 30").await;
    alice.shows("!document.querySelector('#roster').innerText.includes('Connected later')").await;
    browser.end().await;
}
