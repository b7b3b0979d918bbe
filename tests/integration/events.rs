//! Events for an application: what it hears, whatever it or the relay does.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hyper::HeaderMap;
use serde_json::{Value, json};
use signaling_relay::{Config, Relay, Shutdown, limits};
use standardwebhooks::Webhook;
use tokio::time::Instant;

use crate::harness::application::{Application, Does, Request};
use crate::harness::pki::Pki;
use crate::harness::{
    Client, Dice, Process, TestRelay, binary, connect, file, get, run, secret_file, soon, text, tool,
};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER_SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";

/// The settings of a relay that tells `application`, and limits no client.
fn config(application: &Application) -> Config {
    Config {
        events_url: Some(application.url().parse().unwrap()),
        message_rate: 0,
        byte_rate: 0,
        address_joins: 0,
        address_upgrades: 0,
        ..Config::default()
    }
}

/// The events without what is different in each run.
fn plain(events: &[Value]) -> Vec<Value> {
    let mut events = events.to_vec();
    for event in &mut events {
        let fields = event.as_object_mut().unwrap();
        let at = fields.remove("at").unwrap().as_u64().unwrap();
        assert!(at > limits::EARLIEST_CLOCK.as_millis() as u64, "{at}");
    }
    events
}

/// Whether the library of Standard Webhooks takes the request for one of somebody who has this secret.
fn is_signed_with(request: &Request, secret: &str) -> bool {
    let mut headers = HeaderMap::new();
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        headers.insert(name, request.headers[name].parse().unwrap());
    }
    Webhook::new(secret).unwrap().verify(&request.body, &headers).is_ok()
}

/// Asserts that these events can have happened in this order, and that none is missing.
fn assert_in_order(events: &[Value]) {
    #[derive(Default)]
    struct Room {
        members: Vec<String>,
        had_members: bool,
    }
    let mut rooms: BTreeMap<String, Room> = BTreeMap::new();
    for (before, event) in events.iter().enumerate() {
        assert_eq!(event["sequence"], json!(before + 1), "{event}");
        let room = rooms.entry(event["room"].as_str().unwrap().to_owned()).or_default();
        let id = event["id"].as_str().unwrap_or_default().to_owned();
        let is_member = room.members.contains(&id);
        match event["type"].as_str().unwrap() {
            "joined" => {
                assert!(!is_member, "{event}");
                room.members.push(id);
                room.had_members = true;
            }
            "left" => {
                assert!(is_member, "{event}");
                room.members.retain(|member| *member != id);
            }
            // The oldest is the host.
            "host" => assert_eq!(room.members.first(), Some(&id), "{event}"),
            "room_empty" => {
                assert!(room.members.is_empty() && room.had_members, "{event}");
                room.had_members = false;
            }
            _ => assert!(is_member, "{event}"),
        }
    }
    assert!(rooms.values().all(|room| room.members.is_empty() && !room.had_members), "an end is missing");
}

#[tokio::test]
async fn an_application_hears_who_came_and_left_who_the_host_is_and_what_becomes_of_calls() {
    let application = Application::start().await;
    let relay = TestRelay::start_with(config(&application)).await;
    let mut ana = relay.dial("/ws").await;
    ana.say(json!({"type": "join", "room": "Team", "id": "ana", "name": "Ana"})).await;
    ana.expect_joined().await;
    let mut bob = relay.dial("/ws").await;
    bob.join_with_id("Team", "bob").await;
    ana.say(json!({"type": "report", "state": "connected", "to": "bob", "local": "host", "protocol": "udp"})).await;
    ana.say(json!({"type": "message", "data": "of this nothing is told"})).await;
    ana.say(json!({"type": "lock", "locked": true})).await;
    bob.expect("message").await;
    let mut eve = relay.dial("/ws").await;
    eve.say(json!({"type": "join", "room": "Team", "id": "eve"})).await;
    eve.expect("waiting").await;
    ana.say(json!({"type": "admit", "to": "eve"})).await;
    eve.expect_joined().await;
    ana.say(json!({"type": "make_host", "to": "bob"})).await;
    ana.say(json!({"type": "leave"})).await;
    eve.expect("host").await;
    eve.expect("peer_left").await;
    bob.say(json!({"type": "kick", "to": "eve"})).await;
    eve.expect_error("kicked").await;
    bob.say(json!({"type": "leave"})).await;

    let events = application.expect_empty("Team", 1).await;
    let expected = [
        json!({"type": "joined", "id": "ana", "name": "Ana"}),
        json!({"type": "host", "id": "ana"}),
        json!({"type": "joined", "id": "bob"}),
        json!({"type": "call", "id": "ana", "to": "bob", "state": "connected", "local": "host", "remote": "none", "protocol": "udp"}),
        json!({"type": "joined", "id": "eve"}),
        json!({"type": "host", "id": "bob"}),
        json!({"type": "left", "id": "ana", "reason": "left"}),
        json!({"type": "left", "id": "eve", "reason": "kicked"}),
        json!({"type": "left", "id": "bob", "reason": "left"}),
        json!({"type": "room_empty"}),
    ];
    let expected: Vec<Value> = (1..)
        .zip(expected)
        .map(|(sequence, mut event)| {
            event["sequence"] = json!(sequence);
            event["room"] = json!("Team");
            event
        })
        .collect();
    assert_eq!(plain(&events), expected);
    let request = application.requests().remove(0);
    assert_eq!(request.headers["content-type"], "application/json");
    assert!(!request.headers.contains_key("webhook-signature"), "this machine needs no signature");
}

#[tokio::test]
async fn a_client_whose_place_is_held_leaves_once_that_is_over() {
    let application = Application::start().await;
    let config = Config { hold_ms: 1, ..config(&application) };
    let relay = TestRelay::start_with(config).await;
    let mut ana = relay.dial("/ws").await;
    ana.say(json!({"type": "join", "room": "r", "id": "ana", "resume": true})).await;
    ana.expect_joined().await;
    drop(ana);
    let events = application.expect_empty("r", 1).await;
    let left = &events[2];
    assert_eq!((&left["type"], &left["reason"]), (&json!("left"), &json!("timeout")), "after the hold");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_come_in_the_order_of_each_room_whatever_the_application_does() {
    const ROOMS: usize = 12;
    const VISITS: usize = 15;
    let application = Application::that([Does::Answer(500), Does::HangUp]).await;
    let relay = Arc::new(TestRelay::start_with(config(&application)).await);
    let visitors = (0..4 * ROOMS).map(|number| {
        let relay = Arc::clone(&relay);
        tokio::spawn(async move {
            let mut dice = Dice(number as u64 + 1);
            let mut client = relay.dial("/ws").await;
            for _ in 0..VISITS {
                let room = format!("room {}", number % ROOMS);
                client.join_with_id(&room, &format!("id-{number}")).await;
                if dice.below(2) == 0 {
                    client.say(json!({"type": "report", "state": "failed"})).await;
                }
                client.say(json!({"type": "leave"})).await;
            }
            client.close().await;
        })
    });
    for visitor in visitors.collect::<Vec<_>>() {
        soon("a visitor", visitor).await.unwrap();
    }
    let mut last = relay.join("the last").await;
    last.say(json!({"type": "leave"})).await;
    let events = application.expect_empty("the last", 1).await;
    assert_in_order(&events);
    let joined = events.iter().filter(|event| event["type"] == "joined").count();
    assert_eq!(joined, 4 * ROOMS * VISITS + 1);
    assert!(application.taken().iter().all(|body| body["lost"] == 0));
    // The first batch came three times, and is known by its id.
    let ids: Vec<String> = application.requests().iter().map(|request| request.id().to_owned()).collect();
    assert!(ids[0] == ids[1] && ids[1] == ids[2] && ids[3] != ids[2], "{ids:?}");
    assert!(!ids[0].contains('.'));
}

#[tokio::test]
async fn an_application_that_is_killed_in_the_middle_gets_all_once_it_is_back() {
    let mut application = Application::that([Does::Answer(200), Does::Wait]).await;
    let relay = TestRelay::start_with(config(&application)).await;
    let mut ana = relay.dial("/ws").await;
    ana.join_with_id("r", "ana").await;
    application.expect("ana", |event| event["id"] == "ana").await;
    ana.say(json!({"type": "leave"})).await;
    application.expect_requests(2).await;
    application.is_killed().await;
    for _ in 0..3 {
        ana.join_with_id("r", "ana").await;
        ana.say(json!({"type": "leave"})).await;
    }
    ana.close().await;
    application.begins_again().await;
    assert_in_order(&application.expect_empty("r", 4).await);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Application::start().await;
    let application = Application::that([Does::Redirect(elsewhere.url())]).await;
    let relay = TestRelay::start_with(config(&application)).await;
    relay.join("r").await.close().await;
    assert_in_order(&application.expect_empty("r", 1).await);
    assert!(elsewhere.requests().is_empty());
}

#[tokio::test]
async fn nobody_waits_for_an_application_that_does_not_answer() {
    let application = Application::that([Does::Wait]).await;
    let relay = TestRelay::start_with(config(&application)).await;
    let (mut ana, mut bob) = relay.pair("r").await;
    application.expect_requests(1).await;
    for number in 0..1000 {
        ana.say(json!({"type": "message", "data": number})).await;
        assert_eq!(bob.expect("message").await["data"], number);
    }
    for _ in 0..100 {
        bob.say(json!({"type": "leave"})).await;
        ana.expect("peer_left").await;
        bob.join("r").await;
        ana.expect("peer_joined").await;
    }
    assert_eq!(application.requests().len(), 1, "one request is under way at a time");
    application.goes_on();
    ana.close().await;
    bob.close().await;
    assert_in_order(&application.expect_empty("r", 1).await);
}

#[tokio::test]
async fn what_does_not_fit_into_the_queue_is_counted_and_the_next_batch_says_so() {
    const VISITS: usize = 2_501;
    // As often as it is asked meanwhile.
    let application = Application::that(vec![Does::Wait; 9]).await;
    let relay = TestRelay::start_with(config(&application)).await;
    let mut ana = relay.dial("/ws").await;
    let visit =
        [json!({"type": "join", "room": "r", "id": "ana"}), json!({"type": "leave"})].map(|said| said.to_string());
    ana.say_at_once(&visit).await;
    application.expect_requests(1).await;
    let visits = vec![visit; 100].concat();
    for _ in 0..VISITS / 100 {
        ana.say_at_once(&visits).await;
        ana.catch_up().await;
    }
    ana.close().await;
    application.goes_on();
    // Each visit makes four: it comes, is the host, leaves, and the room is empty.
    application.expect("the last", |event| event["sequence"] == json!(4 * VISITS)).await;
    let taken = application.taken();
    let lost: Vec<usize> = taken.iter().map(|body| body["lost"].as_u64().unwrap() as usize).collect();
    assert!(lost[0] == 0 && lost[1] > 0 && lost[2..].iter().all(|lost| *lost == 0), "{lost:?}");
    let first = taken[0]["events"].as_array().unwrap().len();
    let events = application.events();
    assert_eq!(events.len() + lost[1], 4 * VISITS, "each was taken, or is counted");
    assert_eq!(events.len(), first + limits::EVENTS);
    // What came after the gap has none.
    let after = first + lost[1];
    let sequences = events.iter().skip(first).map(|event| event["sequence"].as_u64().unwrap() as usize);
    assert!(sequences.eq(after + 1..=4 * VISITS));
}

#[tokio::test]
async fn each_secret_signs_and_a_library_of_standard_webhooks_verifies_that() {
    let folder = tempfile::tempdir().unwrap();
    let old = secret_file(folder.path(), "old", format!("{SECRET}\n"));
    let application = Application::that([Does::Answer(500)]).await;
    let config = Config { events_secret_file: vec![old.clone()], ..config(&application) };
    let relay = TestRelay::start_with(config).await;
    let visit = async || relay.join("r").await.close().await;
    visit().await;
    application.expect_empty("r", 1).await;
    let requests = application.requests();
    assert!(requests.len() >= 2 && requests[0].id() == requests[1].id());
    for request in &requests {
        assert!(is_signed_with(request, SECRET) && !is_signed_with(request, OTHER_SECRET));
    }
    let forged = Request { body: b"{}".to_vec(), ..requests[0].clone() };
    assert!(!is_signed_with(&forged, SECRET));
    let timestamps = [0, 1].map(|number| requests[number].headers["webhook-timestamp"].parse::<u64>().unwrap());
    assert!(timestamps[0] < timestamps[1], "that of the attempt");

    // A bad file changes nothing.
    secret_file(folder.path(), "old", "swordfish");
    relay.reload();
    visit().await;
    application.expect_empty("r", 2).await;
    assert!(is_signed_with(application.requests().last().unwrap(), SECRET));
    secret_file(folder.path(), "old", OTHER_SECRET.trim_start_matches("whsec_"));
    relay.reload();
    visit().await;
    application.expect_empty("r", 3).await;
    let last = application.requests().pop().unwrap();
    assert!(is_signed_with(&last, OTHER_SECRET) && !is_signed_with(&last, SECRET));
}

#[tokio::test]
async fn while_a_secret_is_changed_both_sign() {
    let folder = tempfile::tempdir().unwrap();
    let secrets =
        [("old", SECRET), ("new", OTHER_SECRET)].map(|(name, secret)| secret_file(folder.path(), name, secret));
    let application = Application::start().await;
    let relay = TestRelay::start_with(Config { events_secret_file: secrets.into(), ..config(&application) }).await;
    relay.join("r").await.close().await;
    application.expect_empty("r", 1).await;
    let request = application.requests().remove(0);
    assert!(is_signed_with(&request, SECRET) && is_signed_with(&request, OTHER_SECRET));
}

#[tokio::test]
async fn an_application_by_https_must_be_of_the_authority_that_was_given() {
    let (pki, stranger) = (Pki::new(), Pki::new());
    let application = Application::secure(pki.acceptor()).await;
    let url = format!("https://localhost:{}/events", application.address.port());
    let relay = async |authority: PathBuf| {
        let (events_url, events_ca) = (Some(url.parse().unwrap()), Some(authority));
        TestRelay::start_with(Config { events_url, events_ca, ..Config::default() }).await
    };
    let distrusts = relay(stranger.authority_file()).await;
    distrusts.join("distrusted").await.close().await;
    let trusts = relay(pki.authority_file()).await;
    trusts.join("trusted").await.close().await;
    let events = application.expect_empty("trusted", 1).await;
    assert!(events.iter().all(|event| event["room"] == "trusted"), "{events:?}");
    let events_ca = Some(file(pki.folder(), "empty.pem", ""));
    let config = Config { events_url: Some(url.parse().unwrap()), events_ca, ..Config::default() };
    let error = Relay::builder(config).build().unwrap_err().to_string();
    assert!(error.contains("--events-ca") && error.contains("no certificate in PEM"), "{error}");
}

/// A relay as a process that tells `application`, and where it tells operators how it is.
async fn process(application: &Application, more: &[&str]) -> (Process, std::net::SocketAddr) {
    let url = application.url();
    let usual = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--events-url", &url];
    let process = Process::start(&[&usual, more].concat()).await;
    let operators = process.operators("http://");
    (process, operators)
}

async fn client(process: &Process) -> Client<tokio::net::TcpStream> {
    let stream = connect(([127, 0, 0, 1], process.port()).into()).await;
    Client::dial(stream, "ws://localhost/ws", &[]).await.unwrap()
}

#[tokio::test]
async fn at_sigterm_all_is_sent_and_the_leaving_of_everybody_too() {
    // It fails still when all connections have ended.
    let application = Application::that([200, 500, 500, 500].map(Does::Answer)).await;
    let (relay, operators) = process(&application, &[]).await;
    let mut clients = Vec::new();
    for number in 0..20 {
        let mut client = client(&relay).await;
        client.join_with_id(&format!("room {}", number % 3), &format!("id-{number}")).await;
        clients.push(client);
        if number == 0 {
            // So that the next batch, which fails, is a second one.
            application.expect("the first", |event| event["id"] == "id-0").await;
        }
    }
    let metrics = get(connect(operators).await, "localhost", "/metrics").await;
    let sample = |name: &str| {
        let line = metrics.lines().find_map(|line| line.strip_prefix(&format!("signaling_relay_{name} "))).unwrap();
        line.parse::<f64>().unwrap()
    };
    assert!(sample("events_sent_total") >= 1.0, "{metrics}");
    assert_eq!(sample("events_sent_total") + sample("events_queued"), 23.0, "{metrics}");
    assert_eq!(sample("events_lost_total"), 0.0, "{metrics}");
    relay.signal("TERM");
    for client in clients {
        client.expect_goodbye(1012).await;
    }
    assert_eq!(relay.end().await, Some(0));
    let events = application.events();
    assert_in_order(&events);
    let left: Vec<&Value> = events.iter().filter(|event| event["type"] == "left").collect();
    assert_eq!(left.len(), 20);
    assert!(left.iter().all(|event| event["reason"] == "shutdown"), "{left:?}");
}

#[tokio::test(start_paused = true)]
async fn an_application_that_does_not_answer_keeps_no_relay_from_its_end() {
    let application = Application::that([Does::Wait, Does::Wait, Does::Wait]).await;
    let relay = TestRelay::in_memory(config(&application));
    relay.join("r").await.close().await;
    application.expect_requests(1).await;
    let began = Instant::now();
    relay.relay.shutdown(Shutdown::Restart).await;
    let took = began.elapsed();
    assert!((limits::DRAIN_DEADLINE..limits::DRAIN_DEADLINE + Duration::from_secs(1)).contains(&took), "{took:?}");
}

#[tokio::test]
async fn the_log_says_what_fails_once_and_has_no_secret_even_at_trace() {
    let folder = tempfile::tempdir().unwrap();
    let secret = secret_file(folder.path(), "secret", SECRET);
    let log = folder.path().join("log");
    let application = Application::that([Does::Answer(500), Does::Answer(500)]).await;
    let url = format!("{}/a-path-that-is-a-key?key=hunter2", application.url());
    let mut command = binary();
    command.args(["--listen", "127.0.0.1:0", "--events-url", &url, "--events-secret-file", text(&secret)]);
    command.env("RUST_LOG", "trace");
    let relay = Process::from_command(command, Some(&log)).await;
    let mut ana = client(&relay).await;
    ana.join("r").await;
    application.expect("her", |event| event["type"] == "host").await;
    relay.signal("HUP");
    ana.close().await;
    application.expect_empty("r", 1).await;
    relay.signal("INT");
    assert_eq!(relay.end().await, Some(0));
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("TRACE"), "the log is not at trace: {log}");
    assert_eq!(log.matches("did not take events").count(), 1, "{log}");
    assert!(log.contains("500 Internal Server Error") && log.contains("takes events again"), "{log}");
    assert!(log.contains("signing events with the secrets that were read again"), "{log}");
    for hidden in ["hunter2", "a-path-that-is-a-key", SECRET.trim_start_matches("whsec_")] {
        assert!(!log.contains(hidden), "{hidden}: {log}");
    }
}

#[tokio::test]
async fn each_wrong_setting_is_refused_with_a_sentence_that_has_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let secret = |name: &str, content: &str| secret_file(folder.path(), name, content);
    let good = secret("good", SECRET);
    let open = secret("open", SECRET);
    std::fs::set_permissions(&open, PermissionsExt::from_mode(0o644)).unwrap();
    let (words, short) = (secret("words", "swordfish and more words"), secret("short", "whsec_c3dvcmRmaXNo"));
    let (empty, none) = (secret("empty", "\n"), folder.path().join("none"));
    let here = ["--events-url", "http://localhost:1/"];
    let elsewhere = ["--events-url", "https://app.example/events"];
    for (arguments, code, sentence) in [
        (&["--events-url", "localhost:3000"][..], 2, "http:// or https://"),
        (&["--events-url", "http://me:swordfish@localhost/"], 2, "user or a password"),
        (&elsewhere, 2, "needs --events-secret-file"),
        (&["--events-url", "http://192.0.2.7/"], 2, "needs --events-secret-file"),
        (&["--events-secret-file", text(&good)], 2, "--events-secret-file needs --events-url"),
        (&["--events-ca", text(&good)], 2, "--events-ca needs --events-url"),
        (&[&here[..], &["--events-ca", text(&good)]].concat(), 2, "with an https:// URL"),
        (&[&here[..], &["--events-secret-file", ""]].concat(), 2, "value"),
        (&[&here[..], &["--events-secret-file", text(&none)]].concat(), 1, "cannot read"),
        (&[&here[..], &["--events-secret-file", text(&open)]].concat(), 1, "chmod 600"),
        (&[&here[..], &["--events-secret-file", text(&words)]].concat(), 1, "not base64"),
        (&[&here[..], &["--events-secret-file", text(&short)]].concat(), 1, "of 9 bytes, and must be of 24 to 64"),
        (&[&here[..], &["--events-secret-file", text(&empty)]].concat(), 1, "of 0 bytes"),
    ] {
        let refused = run(&[&["--listen", "127.0.0.1:0"], arguments].concat()).await;
        let said = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(sentence), "{arguments:?}: {said}");
        if code == 1 {
            assert!(
                !said.contains("swordfish") && !said.contains("c3dv") && said.contains("--events-secret-file"),
                "{said}"
            );
        }
        let checked = run(&[&["check"], arguments].concat()).await;
        assert_eq!(checked.status.code(), Some(1), "{arguments:?}");
    }
    let arguments = [&["check"], &elsewhere[..], &["--events-secret-file", text(&good)]].concat();
    let checked = String::from_utf8(run(&arguments).await.stdout).unwrap();
    assert!(checked.contains("nothing is sent to the URL") && checked.contains("the settings are right"), "{checked}");
    // As the help says to make one.
    let (_, made) = tool("sh", &["-c", "echo whsec_$(openssl rand -base64 32)"], "");
    let made = secret("made", &made);
    assert!(run(&[&["check"], &here[..], &["--events-secret-file", text(&made)]].concat()).await.status.success());
}
