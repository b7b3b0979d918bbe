//! The wire of matchbox, through real sockets.

use std::sync::{Arc, Mutex};

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use signaling_relay::{Config, Denial, Grant, JoinRequest, Shutdown, Wire, limits};
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::tungstenite::Message;

use super::observed;
use crate::harness::{Client, TestRelay, client, soon};

fn config() -> Config {
    Config { wires: vec![Wire::Matchbox], ..Config::default() }
}

async fn relay() -> TestRelay {
    TestRelay::start_with(config()).await
}

/// A client, and the id that it was given.
struct Player {
    client: Client,
    id: String,
}

impl TestRelay {
    /// A client at this path below `/matchbox`.
    async fn player(&self, path: &str) -> Player {
        let mut client = self.dial(&format!("/matchbox{path}")).await;
        let heard = client.hear().await;
        let id = heard["IdAssigned"].as_str().unwrap_or_else(|| panic!("{heard}")).to_owned();
        assert_eq!((id.len(), heard.as_object().unwrap().len()), (36, 1), "{heard}");
        Player { client, id }
    }
}

impl Player {
    async fn hears(&mut self, expected: Value) {
        assert_eq!(self.client.hear().await, expected);
    }

    async fn signals(&mut self, to: &str, data: Value) {
        self.client.say(json!({"Signal": {"receiver": to, "data": data}})).await;
    }

    /// Asserts that nothing of the others waits to be read: the next that comes is what it says to itself.
    async fn hears_nothing(&mut self) {
        let id = self.id.clone();
        self.signals(&id, json!("to myself")).await;
        self.hears(json!({"Signal": {"sender": id, "data": "to myself"}})).await;
    }
}

#[tokio::test]
async fn who_is_there_hears_of_a_newcomer_who_hears_of_nobody() {
    let relay = relay().await;
    let mut one = relay.player("/r").await;
    let mut two = relay.player("/r").await;
    one.hears(json!({"NewPeer": two.id})).await;
    two.hears_nothing().await;
    one.signals(&two.id, json!({"Offer": "sdp"})).await;
    two.hears(json!({"Signal": {"sender": one.id, "data": {"Offer": "sdp"}}})).await;
    two.signals(&one.id, json!({"Answer": "sdp"})).await;
    one.hears(json!({"Signal": {"sender": two.id, "data": {"Answer": "sdp"}}})).await;
    two.client.close().await;
    one.hears(json!({"PeerLeft": two.id})).await;
    let cut = relay.player("/r").await;
    one.hears(json!({"NewPeer": cut.id})).await;
    drop(cut.client);
    one.hears(json!({"PeerLeft": cut.id})).await;
    one.hears_nothing().await;
}

#[tokio::test]
async fn a_mesh_of_eight_hears_of_each_other_once_and_everybody_reaches_everybody() {
    let relay = relay().await;
    let mut players = Vec::new();
    // At once: of two who come at the same time, exactly one hears of the other.
    let mut coming: Vec<_> = (0..8).map(|_| relay.dial("/matchbox/r")).collect();
    let mut dialled = futures_util::future::join_all(coming.drain(..)).await;
    for mut client in dialled.drain(..) {
        let id = client.hear().await["IdAssigned"].as_str().unwrap().to_owned();
        players.push(Player { client, id });
    }
    let ids: Vec<_> = players.iter().map(|player| player.id.clone()).collect();
    for player in &mut players {
        for id in &ids {
            player.signals(id, json!("hello")).await;
        }
    }
    let mut news = 0;
    for player in &mut players {
        let mut from = Vec::new();
        while from.len() < 8 {
            let heard = player.client.hear().await;
            match heard["Signal"]["sender"].as_str() {
                Some(sender) => from.push(sender.to_owned()),
                None => {
                    assert!(ids.contains(&heard["NewPeer"].as_str().unwrap().to_owned()), "{heard}");
                    news += 1;
                }
            }
        }
        from.sort();
        from.dedup();
        assert_eq!(from.len(), 8);
    }
    assert_eq!(news, 8 * 7 / 2);
}

#[tokio::test]
async fn groups_of_two_and_three_fill_one_after_the_other_and_strangers_hear_nothing() {
    let relay = relay().await;
    for size in [2, 3] {
        let path = format!("/r?next={size}");
        let mut groups: Vec<Vec<Player>> = Vec::new();
        for _ in 0..3 {
            let mut group = Vec::new();
            for _ in 0..size {
                let newcomer = relay.player(&path).await;
                for player in &mut group {
                    Player::hears(player, json!({"NewPeer": newcomer.id})).await;
                }
                group.push(newcomer);
            }
            groups.push(group);
        }
        // Nor do they reach each other by their ids.
        let stranger = groups[1][0].id.clone();
        groups[0][0].signals(&stranger, json!("psst")).await;
        groups[0][0].hears_nothing().await;
        let first = groups[0].remove(0);
        first.client.close().await;
        for player in &mut groups[0] {
            player.hears(json!({"PeerLeft": first.id})).await;
        }
        // A complete group stays closed, although one has left: the next one begins another.
        let mut late = relay.player(&path).await;
        for player in groups.iter_mut().flatten() {
            player.hears_nothing().await;
        }
        late.hears_nothing().await;
    }
}

#[tokio::test]
async fn each_room_and_each_size_of_it_is_apart() {
    let relay = relay().await;
    let paths = ["", "/r", "/R", "/r?next=2", "/r?next=3", "/r%2Fs", "/r?next=200"];
    let mut players = Vec::new();
    for path in paths {
        players.push(relay.player(path).await);
    }
    for player in &mut players {
        player.hears_nothing().await;
    }
    // No number counts as none, other parameters do not count, and the room without a name has two paths.
    for (same, index) in [("/", 0), ("/?x=1", 0), ("/r?next=two&x=1", 1), ("/r?next=", 1), ("/%72?next=03", 4)] {
        let newcomer = relay.player(same).await;
        players[index].hears(json!({"NewPeer": newcomer.id})).await;
        newcomer.client.close().await;
        players[index].hears(json!({"PeerLeft": newcomer.id})).await;
    }
    for player in &mut players {
        player.hears_nothing().await;
    }
    // Who is alone in a group is complete at once.
    relay.player("/r?next=1").await.hears_nothing().await;
    relay.player("/r?next=1").await.hears_nothing().await;
}

#[tokio::test]
async fn who_leaves_while_waiting_makes_place_for_another_one() {
    let relay = relay().await;
    let mut one = relay.player("/r?next=3").await;
    let two = relay.player("/r?next=3").await;
    one.hears(json!({"NewPeer": two.id})).await;
    two.client.close().await;
    one.hears(json!({"PeerLeft": two.id})).await;
    let mut others = Vec::new();
    for _ in 0..2 {
        let newcomer = relay.player("/r?next=3").await;
        one.hears(json!({"NewPeer": newcomer.id})).await;
        others.push(newcomer);
    }
    // Now it is complete.
    let mut next = relay.player("/r?next=3").await;
    next.hears_nothing().await;
    one.hears_nothing().await;
    // All of another one leave while it waits.
    next.client.close().await;
    let mut last = relay.player("/r?next=3").await;
    last.hears_nothing().await;
}

#[tokio::test]
async fn what_is_said_arrives_as_it_was_written_and_nothing_else_is_said() {
    let relay = relay().await;
    let (mut one, mut two) = (relay.player("/r").await, relay.player("/r").await);
    one.hears(json!({"NewPeer": two.id})).await;
    let id = two.id.to_uppercase();
    one.client.say_text(&format!(r#" {{"Signal":{{"data":{{"b":1.10, "a":1e0}},"receiver":"{id}"}}}}"#)).await;
    let expected = format!(r#"{{"Signal":{{"sender":"{}","data":{{"b":1.10, "a":1e0}}}}}}"#, one.id);
    assert_eq!(two.client.hear_text().await, expected);
    let nobody = "00000000-0000-4000-8000-000000000000";
    for text in [
        r#""KeepAlive""#,
        "",
        "{",
        "null",
        "[]",
        r#"{"Signal":5}"#,
        r#"{"NewPeer":"x"}"#,
        &format!(r#"{{"Signal":{{"receiver":"{nobody}","data":1}}}}"#),
        &format!(r#"{{"Signal":{{"receiver":"{}"}}}}"#, two.id),
    ] {
        one.client.say_text(text).await;
    }
    one.client.socket.send(Message::binary(vec![0xff, 0])).await.unwrap();
    let parts = [client::frame(0x02, b"{\"Si"), client::frame(0x00, b""), client::frame(0x80, &[0xff; 200])];
    AsyncWriteExt::write_all(one.client.socket.get_mut(), &parts.concat()).await.unwrap();
    one.hears_nothing().await;
    two.hears_nothing().await;
    // Too large, which ends that connection alone.
    let large = json!({"Signal": {"receiver": two.id, "data": "x".repeat(limits::MESSAGE_BYTES)}});
    one.client.say(large).await;
    one.client.expect_close_code(1009).await;
    two.hears(json!({"PeerLeft": one.id})).await;
}

#[tokio::test]
async fn what_is_beyond_a_bound_is_refused_before_the_upgrade() {
    let all = Config { address_connections: 0, address_joins: 0, address_upgrades: 0, ..config() };
    let relay = TestRelay::start_with(all).await;
    for next in ["0", "257", "99999999999999999999"] {
        let (status, said) = relay.refusal(&format!("/matchbox/r?next={next}")).await;
        assert!(status == 503 && said.contains("1 to 256"), "{next}: {status} {said}");
    }
    let name = "x".repeat(1024);
    relay.player(&format!("/{name}?next=256")).await;
    for (path, status) in [
        (format!("/{name}x"), 400),
        ("/%ff".to_owned(), 400),
        ("/r?next=2&next=2".to_owned(), 400),
        ("/r?token=a&token=b".to_owned(), 400),
        ("/r/s".to_owned(), 404),
        ("/r/".to_owned(), 404),
    ] {
        assert_eq!(relay.refusal(&format!("/matchbox{path}")).await.0, status, "{path}");
    }
    let mut players = Vec::new();
    for _ in 0..limits::MATCHBOX_MEMBERS {
        players.push(relay.player("/full").await);
    }
    let (status, said) = relay.refusal("/matchbox/full").await;
    assert!(status == 503 && said.contains("256 members"), "{status} {said}");
    let last = players.pop().unwrap();
    let mut others: Vec<_> = players.iter().skip(1).map(|player| player.id.clone()).collect();
    others.push(last.id.clone());
    last.client.close().await;
    for other in others {
        players[0].hears(json!({"NewPeer": other})).await;
    }
    players[0].hears(json!({"PeerLeft": last.id})).await;
    relay.player("/full").await;
}

#[tokio::test]
async fn the_wire_is_off_until_it_is_turned_on_and_a_plain_get_says_whether_it_is() {
    let off = TestRelay::start().await;
    let (status, said) = off.refusal("/matchbox/r").await;
    assert!(status == 404 && said.contains("--wire matchbox"), "{status} {said}");
    let relay = relay().await;
    let said = relay.raw("GET /matchbox HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
}

#[tokio::test]
async fn joins_of_an_address_are_counted() {
    let relay = TestRelay::start_with(Config { address_joins: 1, ..config() }).await;
    let mut joined = Vec::new();
    // A burst is allowed, of which this is far beyond.
    let refused = loop {
        assert!(joined.len() < 1000);
        match relay.try_dial("/matchbox/r").await {
            Ok(client) => joined.push(client),
            Err(error) => break client::refusal::<()>(Err(error)),
        }
    };
    assert_eq!(refused.0, 429, "{}", refused.1);
    assert!(!joined.is_empty());
}

#[tokio::test]
async fn who_decides_hears_of_the_room_and_whom_it_refuses_nobody_hears_of() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let hears = Arc::clone(&asked);
    let decide = move |request: JoinRequest| {
        let token = request.token.as_ref().map(|token| token.reveal().to_owned());
        hears.lock().unwrap().push((request.room.as_str().to_owned(), request.wire));
        async move {
            tokio::task::yield_now().await;
            match token.as_deref() {
                Some("good") => Ok(Grant::default()),
                Some("later") => Err(Denial::Unavailable("not now".into())),
                _ => Err(Denial::Unauthorized("not you".into())),
            }
        }
    };
    let relay = TestRelay::start_as(config(), |builder| builder.authorizer(decide)).await;
    let mut one = relay.player("/a%2Fb?token=good").await;
    for (path, status) in [("/a%2Fb?token=bad", 401), ("/a%2Fb", 401), ("/a%2Fb?token=later", 503), ("?token=bad", 401)]
    {
        let (is, said) = relay.refusal(&format!("/matchbox{path}")).await;
        assert!(is == status && said.contains("not "), "{path}: {is} {said}");
    }
    one.hears_nothing().await;
    let asked = asked.lock().unwrap();
    assert_eq!(asked[0], ("matchbox/a/b".to_owned(), Some(Wire::Matchbox)));
    assert_eq!(asked[4], ("matchbox/".to_owned(), Some(Wire::Matchbox)));
}

#[tokio::test]
async fn an_observer_hears_who_comes_and_who_leaves() {
    let (relay, mut told) = observed(config()).await;
    let Player { client, id } = relay.player("/r?next=2").await;
    client.close().await;
    let expected = [
        "1 Some(Matchbox)".to_owned(),
        format!("joined matchbox/r {id}"),
        format!("left matchbox/r {id}"),
        "1 closed by the peer".to_owned(),
    ];
    assert_eq!(told.until_disconnected().await, expected);
}

#[tokio::test]
async fn a_relay_that_ends_hangs_up_and_says_of_nobody_that_he_left() {
    for shutdown in [Shutdown::Restart, Shutdown::ForGood] {
        let mut relay = relay().await;
        let (mut one, mut two) = (relay.player("/r").await, relay.player("/r").await);
        one.hears(json!({"NewPeer": two.id})).await;
        relay.tell_to_stop(shutdown);
        for player in [&mut one, &mut two] {
            match soon("the end", player.client.socket.next()).await {
                None | Some(Err(_)) => {}
                other => panic!("no close frame, and no PeerLeft: {other:?}"),
            }
        }
        relay.stopped().await;
    }
}

#[tokio::test]
async fn who_reads_nothing_is_closed_as_slow_and_all_others_hear_that_he_left() {
    let mut relay = relay().await;
    relay.buffers = Some(4096);
    let slow = relay.player("/r").await;
    relay.buffers = None;
    let (mut one, mut flood) = (relay.player("/r").await, relay.player("/r").await);
    one.hears(json!({"NewPeer": flood.id})).await;
    let text = json!({"Signal": {"receiver": slow.id, "data": "x".repeat(4000)}}).to_string();
    flood.client.say_at_once(&vec![text; 300]).await;
    for player in [&mut one, &mut flood] {
        player.hears(json!({"PeerLeft": slow.id})).await;
        // When the sender is read from again, the slow one is gone.
        player.hears_nothing().await;
    }
}

#[cfg(all(unix, feature = "cli"))]
mod program {
    //! The same of the program.

    use super::*;
    use crate::harness::{AnyStream, Process, binary, connect};

    #[tokio::test]
    async fn the_log_says_the_wire_and_the_room_and_no_token() {
        let mut command = binary();
        command.args(["--listen", "127.0.0.1:0", "--wire", "matchbox"]).env("RUST_LOG", "debug");
        let mut relay = Process::of(command).await;
        let (screen, address) = (relay.screen.join("\n"), format!("127.0.0.1:{}", relay.port()));
        assert!(screen.contains(&format!("WebRtcSocket::new_reliable(\"ws://{address}/matchbox/")), "{screen}");
        let url = format!("ws://{address}/matchbox/team%20a?token=hunter2");
        let stream: AnyStream = Box::new(connect(address.parse().unwrap()).await);
        let client = Client::dial(stream, &url, &[]).await.unwrap();
        client.close().await;
        let log = relay.log_until("disconnected").await;
        assert!(!log.iter().any(|line| line.contains("hunter2")), "{log:#?}");
        assert!(log.iter().any(|line| line.contains("connected") && line.contains("wire=\"matchbox\"")), "{log:#?}");
        assert!(log.last().unwrap().contains(r#"place="matchbox/team a"/"#), "{log:#?}");
        relay.kill().await;
    }
}
