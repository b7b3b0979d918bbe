//! `signaling.js` against a relay that answers by script: peers that read slowly, and a client's own ghost.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::net::TcpSocket;

use crate::harness::Client;
use crate::support::{Browser, Line, PageServer, Relay, ScriptedRelay, Window};

/// The client in one script, whose names are the page's.
fn client() -> String {
    const PARTS: [&str; 3] = [
        include_str!("../../web/sdk/listeners.js"),
        include_str!("../../web/sdk/outbox.js"),
        include_str!("../../web/sdk/signaling.js"),
    ];
    let own = PARTS.into_iter().flat_map(str::lines).filter(|line| !line.starts_with("import "));
    own.map(|line| line.strip_prefix("export ").unwrap_or(line)).collect::<Vec<_>>().join("\n")
}

/// A page with nothing but a channel, and notes of what it hears.
fn page() -> String {
    format!("<!doctype html><title>Channel</title><script type=module>{}{NOTES}</script>", client())
}

const NOTES: &str = "
        const heard = [];
        const channel = new SignalingChannel(new URLSearchParams(location.search).get('relay'));
        for (const type of ['joined', 'error', 'refused', 'peer_left', 'peer_away', 'peer_back', 'message', 'ice_servers']) channel.on(type, (event) => heard.push({ ...event, type }));
        const errors = () => heard.filter(({ type }) => type === 'error');
        const say = (first, last, to) => {
            for (let data = first; data <= last; data += 1) if (!channel.send('message', { data }, to)) return false;
            return true;
        };
        Object.assign(globalThis, { SignalingChannel, channel, errors, heard, say });
";

struct Scene {
    relay: ScriptedRelay,
    browser: Browser,
    page: Window,
    _pages: PageServer,
}

impl Scene {
    /// A page that has not dialled yet.
    async fn set() -> Self {
        let relay = ScriptedRelay::start().await;
        let pages = PageServer::start(page()).await;
        let browser = Browser::start().await;
        let page = browser.open(&pages.url(&format!("?relay={}", relay.url()))).await;
        Self { relay, browser, page, _pages: pages }
    }

    /// A page that is in a room with `peers`.
    async fn with(peers: &[&str]) -> (Self, Line) {
        let scene = Self::set().await;
        scene.page.run("channel.join('r')").await;
        let line = scene.relay.let_in(peers).await;
        scene.page.shows("channel.state === 'joined'").await;
        (scene, line)
    }

    /// The end, at which the page has heard of no error.
    async fn end_without_error(self) {
        self.page.shows("errors().length === 0").await;
        self.browser.end().await;
    }
}

#[tokio::test]
async fn what_came_back_busy_is_sent_again_in_order_before_anything_later() {
    let (scene, mut line) = Scene::with(&["bob"]).await;
    scene.page.run("say(1, 5, 'bob')").await;
    line.hear_data(1, Some("bob")).await;
    for data in 2..=5 {
        let message = line.hear_data(data, Some("bob")).await;
        line.refuse(&message, "peer_busy", Some("bob")).await;
    }
    scene.page.run("say(6, 7, 'bob')").await;
    line.hear_data(2, Some("bob")).await;
    for _ in 0..2 {
        let message = line.hear_data(3, Some("bob")).await;
        line.refuse(&message, "peer_busy", Some("bob")).await;
    }
    for data in 3..=7 {
        line.hear_data(data, Some("bob")).await;
    }
    scene.end_without_error().await;
}

#[tokio::test]
async fn what_comes_back_goes_before_what_waits_already() {
    let (scene, mut line) = Scene::with(&["bob"]).await;
    scene.page.run("say(1, 34, 'bob')").await;
    for data in 1..=30 {
        line.hear_data(data, Some("bob")).await;
    }
    for data in [31, 32] {
        let message = line.hear_data(data, Some("bob")).await;
        line.refuse(&message, "peer_busy", Some("bob")).await;
    }
    for data in 31..=34 {
        line.hear_data(data, Some("bob")).await;
    }
    scene.end_without_error().await;
}

#[tokio::test]
async fn a_message_that_the_rate_refused_among_those_that_waited_goes_again() {
    let (scene, mut line) = Scene::with(&["bob"]).await;
    scene.page.run("say(1, 34, 'bob')").await;
    for data in 1..=32 {
        line.hear_data(data, Some("bob")).await;
    }
    let message = line.hear_data(33, Some("bob")).await;
    line.refuse(&message, "rate_limited", None).await;
    line.hear_data(33, Some("bob")).await;
    line.hear_data(34, Some("bob")).await;
    scene.end_without_error().await;
}

#[tokio::test]
async fn a_broadcast_goes_again_only_to_the_peer_that_was_busy_and_the_others_do_not_wait() {
    let (scene, mut line) = Scene::with(&["bob", "carol"]).await;
    scene.page.run("say(1, 1)").await;
    let message = line.hear_data(1, None).await;
    line.refuse(&message, "peer_busy", Some("bob")).await;
    // Heard in this order, because the page reads the refusal first.
    line.say(json!({ "type": "message", "from": "carol", "data": "go on" })).await;
    line.say(json!({ "type": "error", "code": "internal", "message": "a landmark", "retryable": true })).await;
    scene.page.shows("errors().length === 1").await;
    scene.page.run("heard.length = 0; say(2, 2); say(3, 3, 'bob'); say(4, 4, 'carol')").await;

    let (mut bob, mut carol) = (Vec::new(), Vec::new());
    while bob.len() + carol.len() < 5 {
        let message = line.hear().await;
        let data = message["data"].as_i64().unwrap();
        match message["to"].as_str() {
            Some("bob") => bob.push(data),
            Some("carol") => carol.push(data),
            _ => panic!("a broadcast would come to bob too early: {message}"),
        }
    }
    assert_eq!((bob, carol), (vec![1, 2, 3], vec![2, 4]));
    scene.page.run("say(5, 5)").await;
    line.hear().await;
    scene.end_without_error().await;
}

#[tokio::test]
async fn everything_reaches_a_slow_peer_once_and_in_order() {
    /// What the relay lets wait for one peer.
    const SHARE: usize = 64;
    const ALL: i64 = 300;
    let (scene, mut line) = Scene::with(&["bob"]).await;
    scene.page.run(&format!("say(1, {ALL}, 'bob')")).await;
    let (mut waiting, mut got, mut refused, mut full) = (VecDeque::new(), Vec::new(), 0, false);
    while got.len() + waiting.len() < ALL as usize {
        let message = line.hear().await;
        full = waiting.len() >= SHARE || (full && waiting.len() > SHARE / 2);
        if full {
            refused += 1;
            line.refuse(&message, "peer_busy", Some("bob")).await;
            // Bob reads a little in the meantime.
            got.extend(waiting.drain(..11));
        } else {
            waiting.push_back(message["data"].as_i64().unwrap());
        }
    }
    got.extend(waiting);
    assert_eq!(got, (1..=ALL).collect::<Vec<_>>());
    assert!(refused > 10, "{refused}");
    scene.end_without_error().await;
}

#[tokio::test]
async fn beyond_a_few_messages_the_next_waits_until_the_relay_has_taken_the_last() {
    let (scene, mut line) = Scene::with(&["bob", "carol"]).await;
    scene.page.run("say(1, 40, 'bob')").await;
    for data in 1..=32 {
        line.hear_data(data, Some("bob")).await;
    }
    for data in 33..=40 {
        let message = line.hear_data(data, Some("bob")).await;
        // Were another on its way already, it would be heard before this one again.
        line.refuse(&message, "peer_busy", Some("bob")).await;
        line.hear_data(data, Some("bob")).await;
    }
    scene.end_without_error().await;
}

#[tokio::test]
async fn what_waits_for_a_peer_is_dropped_when_it_leaves_and_when_the_socket_is_lost() {
    let (scene, mut line) = Scene::with(&["bob", "carol"]).await;
    for id in ["bob", "carol"] {
        scene.page.run(&format!("say(1, 2, '{id}')")).await;
        for data in [1, 2] {
            let message = line.hear_data(data, Some(id)).await;
            line.refuse(&message, "peer_busy", Some(id)).await;
        }
        if id == "bob" {
            line.say(json!({ "type": "peer_left", "id": "bob", "reason": "closed" })).await;
            line.say(json!({ "type": "peer_joined", "id": "bob" })).await;
            scene.page.shows("heard.some(({ type }) => type === 'peer_left')").await;
            scene.page.run("say(3, 3, 'bob')").await;
            line.hear_data(3, Some("bob")).await;
        }
    }
    drop(line);
    let mut line = scene.relay.let_in(&["bob", "carol"]).await;
    scene.page.shows("channel.state === 'joined' && heard.filter(({ type }) => type === 'joined').length === 2").await;
    scene.page.run("say(4, 4)").await;
    line.hear_data(4, None).await;
    scene.end_without_error().await;
}

#[tokio::test]
async fn an_error_repeats_the_pages_own_ref_and_none_where_it_gave_none() {
    let (scene, mut line) = Scene::with(&["bob"]).await;
    scene.page.run("channel.send('message', { data: 1, ref: 'mine' }); say(2, 2)").await;
    for data in [1, 2] {
        let message = line.hear_data(data, None).await;
        assert!(message["ref"].is_string() && message["ref"] != "mine", "{message}");
        line.refuse(&message, "bad_message", None).await;
    }
    scene.page.shows("errors().length === 2").await;
    scene.page.shows("errors()[0].ref === 'mine' && errors()[1].ref === undefined").await;
    scene.browser.end().await;
}

#[tokio::test]
async fn more_than_may_wait_is_not_taken() {
    let (scene, line) = Scene::with(&["bob", "carol"]).await;
    let small = "say(1, 1, 'bob')";
    let large = "channel.send('message', { data: 'x'.repeat(60_000) }, 'carol')";
    let count = |send| format!("let sent = 0; while (sent < 5000 && {send}) sent += 1; return sent");
    // What goes freely, and 1,024 that wait.
    assert_eq!(scene.page.run(&count(small)).await, 32 + 1_024);
    scene.page.shows("say(1, 1) === false").await;
    drop(line);
    let _line = scene.relay.let_in(&["bob", "carol"]).await;
    scene.page.shows("channel.state === 'joined'").await;
    assert_eq!(scene.page.run(&count(large)).await, 1024 * 1024 / 60_000);
    scene.end_without_error().await;
}

#[tokio::test]
async fn a_message_that_is_too_large_is_not_sent_also_not_to_one_of_all() {
    const MOST: usize = 1_000;
    let scene = Scene::set().await;
    let bob = "b".repeat(64);
    scene.page.run("channel.join('r')").await;
    let mut line = scene.relay.let_in_and_tell(&[&bob], json!({ "maxMessageBytes": MOST })).await;
    scene.page.shows("channel.maxMessageBytes === 1_000").await;
    scene
        .page
        .run("globalThis.say = (length) => channel.send('message', { data: 'x'.repeat(length), ref: 'mine' })")
        .await;
    // As much as it takes, in messages whose numbers have one digit and two.
    let most =
        "globalThis.most = 2_000; while (!say(most)) most -= 1; for (let more = 0; more < 9; more += 1) say(most)";
    scene.page.run(most).await;
    scene
        .page
        .shows("say(most + 1) === false && errors().at(-1).code === 'too_large' && errors().at(-1).ref === 'mine'")
        .await;
    for _ in 0..10 {
        let message = line.hear().await;
        assert!(message["to"].is_null() && message["data"].as_str().unwrap().len() > MOST / 2);
        line.refuse(&message, "peer_busy", Some(&bob)).await;
    }
    for _ in 0..10 {
        let copy = line.hear().await;
        assert_eq!(copy["to"], *bob);
        assert!(copy.to_string().len() <= MOST, "{copy}");
    }
    scene.browser.end().await;
}

#[tokio::test]
async fn an_id_that_our_own_ghost_has_is_asked_for_again_but_not_for_ever() {
    let scene = Scene::set().await;
    scene.page.run("channel.join('r', { id: 'me' })").await;
    drop(scene.relay.let_in(&[]).await);
    for _ in 0..2 {
        let (mut line, join) = scene.relay.accept().await;
        assert_eq!(join["id"], "me");
        line.refuse(&join, "id_taken", None).await;
    }
    drop(scene.relay.let_in(&[]).await);
    scene.page.shows("heard.filter(({ type }) => type === 'joined').length === 2").await;

    let (mut line, join) = scene.relay.accept().await;
    line.refuse(&join, "id_taken", None).await;
    scene.page.shows("channel.state === 'waiting'").await;
    scene.page.run("const now = Date.now; Date.now = () => now() + 41_000").await;
    let (mut line, join) = scene.relay.accept().await;
    line.refuse(&join, "id_taken", None).await;
    scene.page.shows("heard.at(-1).type === 'refused' && heard.at(-1).code === 'id_taken'").await;
    scene.page.shows("channel.state === 'closed'").await;
    scene.browser.end().await;
}

#[tokio::test]
async fn an_id_that_somebody_has_is_refused_at_the_first_join() {
    let scene = Scene::set().await;
    scene.page.run("channel.join('r', { id: 'me' })").await;
    let (mut line, join) = scene.relay.accept().await;
    line.refuse(&join, "id_taken", None).await;
    scene.page.shows("heard.length === 1 && heard[0].code === 'id_taken' && channel.state === 'closed'").await;
    scene.browser.end().await;
}

#[tokio::test]
async fn everything_reaches_a_peer_that_really_does_not_read_for_a_while() {
    /// More than the kernels and the peer's share hold, in messages of 4 KB.
    const MESSAGES: u64 = 150;
    let relay = Relay::start().await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let stream = socket.connect(([127, 0, 0, 1], relay.port()).into()).await.unwrap();
    let mut bob = Client::dial(stream, &format!("ws://localhost:{}/ws", relay.port()), &[]).await.unwrap();
    bob.join_with_id("r", "bob").await;
    let pages = PageServer::start(page()).await;
    let browser = Browser::start().await;
    let page = browser.open(&pages.url(&format!("?relay=ws://localhost:{}/ws", relay.port()))).await;
    // What the channel hears before it tells its listeners.
    page.run(
        "globalThis.refused = 0;
        const Real = WebSocket;
        globalThis.WebSocket = class extends Real {
            constructor(url) {
                super(url);
                this.addEventListener('message', ({ data }) => (refused += data.includes('peer_busy') ? 1 : 0));
            }
        };
        channel.join('r');",
    )
    .await;
    page.shows("channel.state === 'joined'").await;
    bob.expect("peer_joined").await;
    let say =
        "for (let n = 0; n < COUNT; n += 1) channel.send('message', { data: { n, padding: 'x'.repeat(4000) } }, 'bob')";
    page.run(&say.replace("COUNT", &MESSAGES.to_string())).await;
    page.shows("refused > 0").await;
    for n in 0..MESSAGES {
        assert_eq!(bob.expect("message").await["data"]["n"], n);
    }
    page.shows("errors().length === 0").await;
    page.run("channel.send('message', { data: 'the last' })").await;
    assert_eq!(bob.expect("message").await["data"], "the last");
    browser.end().await;
}

#[tokio::test]
async fn who_comes_back_in_time_loses_nothing_in_either_direction_and_hears_of_one_join() {
    let scene = Scene::set().await;
    scene.page.run("channel.join('r')").await;
    let mut line = scene.relay.let_in_for_long(&["bob"]).await;
    scene.page.shows("channel.state === 'joined'").await;
    line.say(json!({ "type": "message", "from": "bob", "data": 1 })).await;
    line.say(json!({ "type": "peer_away", "id": "bob" })).await;
    line.say(json!({ "type": "peer_back", "id": "bob" })).await;
    scene.page.shows("heard.length === 4").await;
    scene.page.run("say(1, 3, 'bob')").await;
    for data in 1..=3 {
        line.hear_data(data, Some("bob")).await;
    }
    drop(line);
    scene.page.shows("channel.state === 'waiting'").await;
    assert_eq!(scene.page.run("return say(4, 5, 'bob')").await, true);
    // Only the first two had arrived.
    let mut line = scene.relay.let_back(&["bob"], 4, 2).await;
    for data in 3..=5 {
        line.hear_data(data, Some("bob")).await;
    }
    // A `taken` that was on its way says less than `resumed`.
    line.say(json!({ "type": "taken", "received": 1 })).await;
    line.say(json!({ "type": "message", "from": "bob", "data": 2 })).await;
    scene.page.shows("channel.state === 'joined' && channel.id === 'me' && heard.length === 5").await;
    drop(line);
    let mut line = scene.relay.let_back(&["bob"], 6, 5).await;
    scene.page.run("say(6, 6)").await;
    line.hear_data(6, None).await;
    scene.page.shows("heard.filter(({ type }) => type === 'joined').length === 1").await;
    scene.end_without_error().await;
}

#[tokio::test]
async fn a_client_with_a_place_says_join_once_however_much_it_sends_and_repeats_what_was_refused() {
    let scene = Scene::set().await;
    scene.page.run("channel.join('r')").await;
    let peers = ["bob", "carol", "dave"];
    let mut line = scene.relay.let_in_for_long(&peers).await;
    scene.page.shows("channel.state === 'joined'").await;
    // What a newcomer says to three at once: offers and candidates.
    let mut last = json!(null);
    for (at, id) in peers.into_iter().enumerate() {
        scene.page.run(&format!("say(1, 30, '{id}')")).await;
        for data in 1..=30 {
            last = line.hear_anything().await;
            assert_eq!((&last["type"], &last["data"]), (&json!("message"), &json!(data)), "{last}");
            if at * 30 + data == 64 {
                line.say(json!({ "type": "taken", "received": 64 })).await;
            }
        }
    }
    // What is refused after that is known as well.
    line.refuse(&last, "peer_busy", Some("dave")).await;
    line.hear_data(30, Some("dave")).await;
    scene.end_without_error().await;
}

#[tokio::test]
async fn who_comes_back_too_late_joins_anew_on_the_same_connection() {
    let scene = Scene::set().await;
    scene.page.run("channel.join('r')").await;
    drop(scene.relay.let_in_for_long(&[]).await);
    let (mut line, resume) = scene.relay.accept_who_says("resume").await;
    line.refuse(&resume, "resume_failed", None).await;
    let (again, others) = ("heard.at(-1).again === true", json!([{ "id": "bob" }]));
    line.say(json!({ "type": "joined", "id": "me2", "room": "r", "host": "bob", "peers": others, "iceServers": [] }))
        .await;
    scene.page.shows(&format!("channel.state === 'joined' && channel.id === 'me2' && {again}")).await;
    scene.page.run("say(1, 1)").await;
    assert_eq!(line.read_join().await["room"], "r");
    line.hear_data(1, None).await;
    scene.end_without_error().await;
}

#[tokio::test]
async fn who_is_replaced_by_another_connection_does_not_come_back() {
    let scene = Scene::set().await;
    scene.page.run("channel.join('r')").await;
    let line = scene.relay.let_in_for_long(&[]).await;
    scene.page.shows("channel.state === 'joined'").await;
    line.close(4001).await;
    scene.page.shows("channel.state === 'closed' && heard.at(-1).code === 'taken_over'").await;
    scene.browser.end().await;
}

#[tokio::test]
async fn who_gives_a_dead_connection_up_keeps_the_place() {
    let scene = Scene::set().await;
    scene.page.run("channel.join('r')").await;
    let line = scene.relay.let_in_for_long(&[]).await;
    scene.page.shows("channel.state === 'joined'").await;
    scene.page.run("channel.probe()").await;
    assert_eq!(line.closed_with().await, 4000);
    // The question of the probe was the first message.
    let _line = scene.relay.let_back(&[], 1, 1).await;
    scene.page.shows("channel.state === 'joined'").await;
    scene.end_without_error().await;
}

/// The page's time goes on by `pass(ms)`, in which the channel looks at the clock often, and by `sleep(ms)`, after which it
/// looks once.
const CLOCK: &str = "
const now = Date.now;
let passed = 0;
Date.now = () => now() + passed;
globalThis.setInterval = (look) => {
    globalThis.sleep = (ms) => {
        passed += ms;
        look();
    };
    globalThis.pass = (ms) => {
        for (let left = ms; left > 0; left -= 2_000) sleep(2_000);
    };
};";

#[tokio::test]
async fn new_ice_servers_are_asked_for_when_a_quarter_of_their_time_is_left() {
    let scene = Scene::set().await;
    scene.page.run(CLOCK).await;
    scene.page.run("channel.join('r')").await;
    let mut line = scene.relay.let_in_and_tell(&[], json!({ "ttlMs": 1_000_000 })).await;
    scene.page.shows("heard[0]?.ttlMs === 1_000_000").await;
    // The second time after a sleep that was longer than all of it.
    for quarter in ["pass(10_000)", "sleep(2_000_000)"] {
        scene.page.run("pass(740_000); say(1, 1)").await;
        line.hear_data(1, None).await;
        scene.page.run(&format!("{quarter}; pass(200_000)")).await;
        let asked = line.hear().await;
        assert_eq!(asked["type"], "ice_servers");
        // Once, until the answer.
        scene.page.run("say(2, 2)").await;
        line.hear_data(2, None).await;
        let servers = json!([{ "urls": "stun:stun.example" }]);
        line.say(json!({ "type": "ice_servers", "iceServers": servers, "ttlMs": 1_000_000 })).await;
        scene.page.shows("heard.at(-1).type === 'ice_servers' && heard.at(-1).ttlMs === 1_000_000").await;
        scene.page.shows("heard.pop().iceServers[0].urls === 'stun:stun.example'").await;
    }
    scene.end_without_error().await;
}

#[tokio::test]
async fn the_time_of_ice_servers_begins_anew_with_those_of_a_place_that_is_taken_again() {
    let scene = Scene::set().await;
    scene.page.run(CLOCK).await;
    scene.page.run("channel.join('r')").await;
    let line = scene.relay.let_in_and_tell(&[], json!({ "ttlMs": 1_000_000 })).await;
    scene.page.shows("channel.state === 'joined'").await;
    drop(line);
    scene.page.shows("channel.state === 'waiting'").await;
    // Nobody is there to ask.
    scene.page.run("pass(900_000)").await;
    let mut line = scene.relay.let_back_and_tell(&[], 1, 0, json!({ "ttlMs": 1_000_000 })).await;
    scene.page.shows("channel.state === 'joined'").await;
    scene.page.run("pass(740_000); say(1, 1)").await;
    line.hear_data(1, None).await;
    scene.page.run("pass(10_000)").await;
    assert_eq!(line.hear().await["type"], "ice_servers");
    // Where the new ones do not run out, nobody asks.
    drop(line);
    let mut line = scene.relay.let_back(&[], 1, 2).await;
    scene.page.shows("channel.state === 'joined'").await;
    scene.page.run("pass(2_000_000); say(2, 2)").await;
    line.hear_data(2, None).await;
    scene.end_without_error().await;
}

#[tokio::test]
async fn a_relay_that_knows_no_such_question_is_asked_once_and_one_that_is_busy_again() {
    let scene = Scene::set().await;
    scene.page.run(CLOCK).await;
    scene.page.run("channel.join('r')").await;
    let mut line = scene.relay.let_in_and_tell(&[], json!({ "ttlMs": 1_000_000 })).await;
    scene.page.shows("channel.state === 'joined'").await;
    scene.page.run("pass(800_000)").await;
    for code in ["rate_limited", "unknown_type"] {
        let asked = line.hear().await;
        assert_eq!(asked["type"], "ice_servers", "{asked}");
        line.refuse(&asked, code, None).await;
        // The page reads this after the refusal.
        line.say(json!({ "type": "message", "from": "bob", "data": code })).await;
        scene.page.shows(&format!("heard.at(-1).data === '{code}'")).await;
        scene.page.run("pass(60_000)").await;
    }
    scene.page.run("say(1, 1)").await;
    line.hear_data(1, None).await;
    scene.end_without_error().await;
}

#[tokio::test]
async fn ice_servers_that_run_out_in_seconds_are_asked_for_in_time() {
    let scene = Scene::set().await;
    scene.page.run("channel.join('r')").await;
    let mut line = scene.relay.let_in_and_tell(&[], json!({ "ttlMs": 10_000 })).await;
    let told = Instant::now();
    assert_eq!(line.hear().await["type"], "ice_servers");
    assert!(told.elapsed() < Duration::from_millis(7_500), "{:?}", told.elapsed());
    scene.end_without_error().await;
}

#[tokio::test]
async fn addresses_that_cannot_be_right_are_refused_with_a_sentence() {
    let relay = Relay::start().await;
    let pages = PageServer::start(page()).await;
    let browser = Browser::start().await;
    browser.expect_console("WebSocket connection to");
    let page = browser.open(&pages.url(&format!("?relay=ws://localhost:{}/", relay.port()))).await;
    page.run("channel.join('blue')").await;
    page.shows("heard.at(-1)?.code === 'bad_url' && heard.at(-1).message.includes('/ws')").await;
    for address in ["localhost:8080/ws", "/ws", ""] {
        let thrown = format!("try {{ new SignalingChannel('{address}') }} catch (error) {{ return error.message }}");
        assert!(page.run(&thrown).await.as_str().unwrap().contains("wss://"), "{address}");
    }
    // From a page that the relay does not allow.
    let reasons = "const reasons = []; globalThis.reasons = reasons;
        const other = new SignalingChannel('ws://localhost:PORT/ws');
        other.on('state', ({ reason }) => reason && reasons.push(reason));
        other.join('r');";
    let stranger = browser.open("data:text/html,<title>x</title>").await;
    stranger.run(&format!("{};{}", client(), reasons.replace("PORT", &relay.port().to_string()))).await;
    stranger.shows("reasons[0]?.includes('--allow-origin null')").await;
    browser.end().await;
}
