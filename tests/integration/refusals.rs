//! The traces that joins leave, those that were refused above all: in the log, and for the program that embeds the relay.

use serde_json::json;
use signaling_relay::protocol::ErrorCode;
use signaling_relay::{Config, RelayEvent};

use crate::harness::client::AnyStream;
use crate::harness::{Client, Process, TestRelay, connect, soon, tool};

const FILTER: &str = "scripts/deploy/fail2ban-filter.conf";

/// A relay that believes its clients about where they are.
async fn relay() -> Process {
    Process::start(&["--listen", "127.0.0.1:0", "--trusted-proxy", "127.0.0.1", "--room-capacity", "2"]).await
}

async fn dial(relay: &Process, path: &str, address: &str) -> Client {
    let there = format!("127.0.0.1:{}", relay.port());
    let stream: AnyStream = Box::new(connect(there.parse().unwrap()).await);
    Client::dial(stream, &format!("ws://{there}{path}"), &[("x-forwarded-for", address)]).await.unwrap()
}

/// What the log says from here on about joins, until the end of the relay.
async fn log_of_joins(mut relay: Process) -> Vec<String> {
    relay.signal("TERM");
    let mut lines = Vec::new();
    while let Some(line) = relay.next_log().await {
        if line.contains("joined") || line.contains("refused a join") {
            lines.push(line.split_once(" INFO ").expect("an info").1.to_owned());
        }
    }
    lines
}

#[tokio::test]
async fn each_join_is_one_line_of_the_log_with_its_address_and_why_it_was_refused() {
    let relay = relay().await;
    let mut host = dial(&relay, "/ws", "192.0.2.1").await;
    host.say(json!({"type": "join", "room": "r", "id": "host", "password": "sesame"})).await;
    host.expect_joined().await;
    // Who is there already was not refused: `signaling.js` asks so whether the relay still answers.
    host.say(json!({"type": "join", "room": "r"})).await;
    host.expect_error("already_joined").await;
    let mut guesses = dial(&relay, "/ws", "2001:db8::7").await;
    guesses.say(json!({"type": "join", "room": "r", "password": "secret"})).await;
    guesses.expect_error("wrong_password").await;
    guesses.say(json!({"type": "join", "room": "a\nb", "ref": "x"})).await;
    guesses.expect_error("bad_room").await;
    dial(&relay, "/?room=r&id=two", "192.0.2.2").await.expect_error("wrong_password").await;
    dial(&relay, "/?room=q&id=two", "192.0.2.2").await.expect_joined().await;
    dial(&relay, "/?room=q&id=a%20b", "192.0.2.2").await.expect_error("bad_id").await;
    host.say(json!({"type": "lock", "locked": true})).await;
    host.expect("room").await;
    let mut waits = dial(&relay, "/ws", "192.0.2.3").await;
    waits.say(json!({"type": "join", "room": "r", "id": "waits", "password": "sesame"})).await;
    waits.expect("waiting").await;
    host.say(json!({"type": "deny", "to": "waits"})).await;
    waits.expect_error("denied").await;

    let lines: Vec<String> = log_of_joins(relay).await;
    let without_number = |line: &String| {
        let (what, rest) = line.split_once(" connection=").unwrap();
        format!("{what} {}", rest.split_once(' ').unwrap().1)
    };
    let password = "the room has a password, and this is not it";
    let lines: Vec<String> = lines.iter().map(without_number).collect();
    assert_eq!(
        lines,
        [
            r#"joined address=192.0.2.1 place="r"/host (1/2)"#,
            &format!(r#"refused a join address=2001:db8::7 code=wrong_password why="{password}" room="r""#),
            r#"refused a join address=2001:db8::7 code=bad_room why="a room name must not contain control characters" room="""#,
            &format!(r#"refused a join address=192.0.2.2 code=wrong_password why="{password}" room="r""#),
            r#"joined address=192.0.2.2 place="q"/two (1/2)"#,
            &lines[5],
            r#"refused a join address=192.0.2.3 code=denied why="the host did not let you in" room="r""#,
        ]
    );
    assert!(lines[5].starts_with("refused a join address=192.0.2.2 code=bad_id why=\"an id is"), "{}", lines[5]);
}

/// The addresses that the filter finds in `lines`. Its regular expressions are Python's.
fn found(lines: &[String]) -> Vec<String> {
    let find = r#"
import configparser, re, sys
filter = configparser.ConfigParser()
filter.read(sys.argv[1])
regex = filter["Definition"]["failregex"].replace("<ADDR>", "(?P<address>[0-9a-fA-F:.]+)")
for line in sys.stdin:
    match = re.search(regex, line)
    if match: print(match["address"])
"#;
    let (good, found) = tool("python3", &["-c", find, FILTER], &lines.join("\n"));
    assert!(good, "{found}");
    found.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn the_filter_for_fail2ban_finds_who_guesses_and_nobody_makes_it_find_another() {
    let relay = relay().await;
    let mut host = dial(&relay, "/ws", "192.0.2.1").await;
    host.say(json!({"type": "join", "room": "r", "password": "sesame"})).await;
    host.expect_joined().await;
    for address in ["192.0.2.2", "2001:db8::7"] {
        dial(&relay, "/?room=r", address).await.expect_error("wrong_password").await;
    }
    let mut many = dial(&relay, "/ws", "192.0.2.3").await;
    for _ in 0..10 {
        many.say(json!({"type": "join", "room": "r", "password": "a guess"})).await;
        many.expect_error("wrong_password").await;
    }
    many.say(json!({"type": "join", "room": "r", "password": "sesame"})).await;
    many.expect_error("rate_limited").await;
    // These have done nothing wrong, or nothing that guesses; and one would have somebody else banned.
    let forged = " INFO refused a join connection=1 address=198.51.100.1 code=unauthorized why=\"";
    let mut forger = dial(&relay, "/ws", "192.0.2.4").await;
    forger.say(json!({"type": "join", "room": forged.trim()})).await;
    forger.expect_error("bad_room").await;
    let short = "INFO refused a join connection=1 address=::1 code=unauthorized";
    forger.say(json!({"type": "join", "room": short})).await;
    forger.expect_joined().await;
    let mut second = dial(&relay, &format!("/?room={}", short.replace(' ', "+")), "192.0.2.5").await;
    second.expect_joined().await;
    let mut third = dial(&relay, &format!("/?room={}", short.replace(' ', "+")), "192.0.2.5").await;
    third.expect_error("room_full").await;
    let reason = format!("\n2026-01-01T00:00:00Z {}", forged.trim());
    let close = tokio_tungstenite::tungstenite::protocol::CloseFrame { code: 4000.into(), reason: reason.into() };
    forger.socket.close(Some(close)).await.unwrap();

    relay.signal("TERM");
    let (mut relay, mut lines) = (relay, Vec::new());
    while let Some(line) = relay.next_log().await {
        lines.push(line);
    }
    let mut expected = vec!["192.0.2.2", "2001:db8::7"];
    expected.extend(["192.0.2.3"; 11]);
    assert_eq!(found(&lines), expected, "{lines:#?}");
    // As fail2ban looks at the journal, and at a file of syslog: without its time.
    for before in ["", " "] {
        let journal: Vec<String> = lines.iter().map(|line| format!("{before}box signaling-relay[7]: {line}")).collect();
        assert_eq!(found(&journal), expected);
    }
    // As it looks at a file of the relay's own: without that time.
    let cut: Vec<String> = lines.iter().map(|line| line.split_once('Z').unwrap().1.to_owned()).collect();
    assert_eq!(found(&cut), expected);
}

#[tokio::test]
async fn an_observer_hears_of_each_join_that_was_refused() {
    let (events, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let observer = move |event: &RelayEvent| {
        if let RelayEvent::JoinRefused { address, room, code, message, .. } = event {
            let room = room.as_ref().map(|room| room.as_str().to_owned());
            events.send((*address, room, *code, message.clone())).unwrap();
        }
    };
    let config = Config { room_capacity: 1, ..Config::default() };
    let relay = TestRelay::start_as(config, |builder| builder.observer(observer)).await;
    let here = Some("127.0.0.1".parse().unwrap());
    let _full = relay.join("r").await;
    let mut second = relay.dial("/ws").await;
    for (join, room, code) in [
        (json!({"type": "join", "room": "r"}), Some("r"), ErrorCode::RoomFull),
        (json!({"type": "join", "room": "", "id": "a"}), None, ErrorCode::BadRoom),
        (json!({"type": "join", "room": "q", "name": 5}), None, ErrorCode::BadMessage),
    ] {
        second.say(join).await;
        let error = second.expect_error(code.as_str()).await;
        let message = error["message"].as_str().unwrap().to_owned();
        let told = soon("an event", heard.recv()).await.unwrap();
        assert_eq!(told, (here, room.map(str::to_owned), code, message));
    }
    relay.dial("/?room=r").await.expect_error("room_full").await;
    assert_eq!(soon("an event", heard.recv()).await.unwrap().2, ErrorCode::RoomFull);
    assert_eq!(relay.refusal("/?name=a%0ab").await.0, 400);
    assert_eq!(soon("an event", heard.recv()).await.unwrap().2, ErrorCode::BadMessage);
    // What goes wrong elsewhere is no join.
    second.say(json!({"type": "offer", "sdp": "v=0"})).await;
    second.expect_error("not_joined").await;
    second.join("q").await;
    assert!(heard.try_recv().is_err());
}
