//! Pages of other people's that lock their room: with a WebSocket and nothing else, and with our `signaling.js`.

use serde_json::{Value, json};

use crate::support::{Browser, PageServer, Relay, Window};

/// A page with a WebSocket to the relay that its query names. It keeps what it hears.
const RAW: &str = "<!doctype html><meta charset=utf-8><title>Raw</title><pre id=heard></pre>
<script>
const heard = [];
const note = (text) => document.querySelector('#heard').append(text + '\\n');
const socket = new WebSocket(new URLSearchParams(location.search).get('relay'));
socket.onopen = () => note('open');
socket.onmessage = ({ data }) => note(data) ?? heard.push(JSON.parse(data));
socket.onclose = ({ code }) => note('closed with ' + code);
const say = (message) => socket.send(JSON.stringify(message));
</script>";

async fn open(browser: &Browser, pages: &PageServer, relay: &Relay, path: &str, label: &str) -> Window {
    let url = format!("?relay={}", format!("ws://{}/{path}", relay.host()).replace('?', "%3F").replace('&', "%26"));
    let window = browser.open(&pages.url(&url)).await;
    window.call_it(label);
    window.reads("open").await;
    window
}

async fn says(window: &Window, message: Value) {
    window.run(&format!("say({message})")).await;
}

/// Waits until the page has heard such a message.
async fn hears(window: &Window, message: Value) {
    let fields = format!("Object.entries({message})");
    window.shows(&format!("heard.some((one) => {fields}.every(([key, value]) => one[key] === value))")).await;
}

#[tokio::test]
async fn a_page_locks_its_room_and_decides_who_of_two_others_comes_in() {
    let relay = Relay::start().await;
    let pages = PageServer::start(RAW.to_owned()).await;
    let browser = Browser::start().await;
    let alice = open(&browser, &pages, &relay, "ws", "alice").await;
    says(&alice, json!({"type": "join", "room": "r", "id": "alice"})).await;
    hears(&alice, json!({"type": "joined", "host": "alice"})).await;
    says(&alice, json!({"type": "lock", "locked": true})).await;
    hears(&alice, json!({"type": "room", "locked": true})).await;

    let bob = open(&browser, &pages, &relay, "ws", "bob").await;
    says(&bob, json!({"type": "join", "room": "r", "id": "bob", "name": "Bob"})).await;
    hears(&bob, json!({"type": "waiting"})).await;
    hears(&alice, json!({"type": "knock", "id": "bob", "name": "Bob"})).await;
    let carol = open(&browser, &pages, &relay, "?room=r&id=carol", "carol").await;
    hears(&carol, json!({"type": "waiting"})).await;
    hears(&alice, json!({"type": "knock", "id": "carol"})).await;

    says(&alice, json!({"type": "admit", "to": "bob"})).await;
    hears(&bob, json!({"type": "joined", "id": "bob", "locked": true})).await;
    hears(&alice, json!({"type": "peer_joined", "id": "bob"})).await;
    says(&bob, json!({"type": "message", "data": "thank you"})).await;
    hears(&alice, json!({"type": "message", "from": "bob", "data": "thank you"})).await;

    says(&alice, json!({"type": "deny", "to": "carol"})).await;
    hears(&carol, json!({"type": "error", "code": "denied"})).await;
    carol.reads("closed with 1008").await;

    says(&alice, json!({"type": "kick", "to": "bob", "message": "good night"})).await;
    hears(&bob, json!({"type": "error", "code": "kicked", "message": "good night"})).await;
    bob.reads("closed with 1008").await;
    hears(&alice, json!({"type": "peer_left", "id": "bob", "reason": "kicked"})).await;
    browser.end().await;
}

/// A page with our `signaling.js`, in whose room a password is asked.
const CHANNEL: &str = "<!doctype html><meta charset=utf-8><title>Channel</title>
<script src='http://RELAY/signaling.js'></script>
<script>
const id = new URLSearchParams(location.search).get('id');
const channel = new SignalingChannel('ws://RELAY/ws');
const heard = [];
for (const type of ['joined', 'knock', 'knock_gone', 'waiting', 'room', 'host', 'peer_left', 'error', 'refused']) {
	channel.on(type, (event) => heard.push({ ...event, type }));
}
channel.join('r', { id, password: 'sesame' });
</script>";

#[tokio::test]
async fn signaling_js_has_words_for_a_host_and_for_those_who_wait() {
    let relay = Relay::start().await;
    let pages = PageServer::start(CHANNEL.replace("RELAY", relay.host())).await;
    let browser = Browser::start().await;
    let alice = browser.open(&pages.url("?id=alice")).await;
    hears(&alice, json!({"type": "joined", "password": true})).await;
    alice.run("channel.lock()").await;
    hears(&alice, json!({"type": "room", "locked": true})).await;
    let bob = browser.open(&pages.url("?id=bob")).await;
    hears(&bob, json!({"type": "waiting"})).await;
    hears(&alice, json!({"type": "knock", "id": "bob"})).await;
    alice.run("channel.admit('bob')").await;
    hears(&bob, json!({"type": "joined", "id": "bob"})).await;
    let carol = browser.open(&pages.url("?id=carol")).await;
    hears(&alice, json!({"type": "knock", "id": "carol"})).await;
    alice.run("channel.deny('carol')").await;
    hears(&carol, json!({"type": "refused", "code": "denied"})).await;

    alice.run("channel.makeHost('bob')").await;
    hears(&bob, json!({"type": "host", "id": "bob"})).await;
    bob.run("channel.kick('alice', 'good night')").await;
    hears(&alice, json!({"type": "refused", "code": "kicked", "message": "good night"})).await;
    alice.shows("channel.state === 'closed'").await;
    browser.end().await;
}
