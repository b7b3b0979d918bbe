//! What `/metrics` counts, and that Prometheus takes it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::harness::operated::Operated as Relay;
use crate::harness::pages::page;
use crate::harness::{connect, file, free_port, get, secret_file, soon, text, tool};

impl Relay {
    /// The metrics as text.
    async fn scrape(&self) -> String {
        let answer = get(connect(self.operators).await, "localhost", "/metrics").await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert!(head.to_lowercase().contains("content-type: text/plain; version=0.0.4"), "{head}");
        body.to_owned()
    }

    /// The samples by their names with labels.
    async fn samples(&self) -> BTreeMap<String, f64> {
        let text = self.scrape().await;
        let sample = |line: &str| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.trim_start_matches("signaling_relay_").to_owned(), value.parse().unwrap())
        };
        text.lines().filter(|line| !line.starts_with('#')).map(sample).collect()
    }

    /// Waits until a sample has this value.
    async fn expect(&self, name: &str, value: f64) {
        let there = async {
            while self.samples().await.get(name) != Some(&value) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        soon(name, there).await;
    }
}

#[tokio::test]
async fn a_call_is_counted_exactly() {
    let relay = Relay::start(&["--room-capacity", "3"]).await;
    let (mut ana, mut bob, mut eve) = (relay.client().await, relay.client().await, relay.client().await);
    ana.say(json!({"type": "join", "room": "r", "id": "ana", "resume": true})).await;
    let joined = ana.expect_joined().await;
    bob.join("r").await;
    let offer = json!({"type": "offer", "sdp": "v=0", "to": "ana"}).to_string();
    bob.say_text(&offer).await;
    ana.expect("peer_joined").await;
    ana.expect("offer").await;
    let answer = json!({"type": "answer", "sdp": "v=0", "to": bob.id}).to_string();
    ana.say_text(&answer).await;
    bob.expect("answer").await;
    eve.join("r").await;
    ana.expect("peer_joined").await;
    bob.expect("peer_joined").await;
    let broadcast = json!({"type": "message", "data": 1}).to_string();
    eve.say_text(&broadcast).await;
    ana.expect("message").await;
    bob.expect("message").await;
    eve.say_text("not JSON").await;
    eve.expect_error("bad_json").await;
    eve.say(json!({"type": "lock", "locked": true})).await;
    eve.expect_error("not_host").await;
    ana.say(json!({"type": "lock", "locked": true})).await;
    for member in [&mut ana, &mut bob, &mut eve] {
        member.expect("room").await;
    }
    let mut knocks = relay.client().await;
    knocks.say(json!({"type": "join", "room": "r"})).await;
    knocks.expect("waiting").await;

    let now = relay.samples().await;
    for (name, value) in [
        ("websockets", 4.0),
        ("connections", 4.0),
        ("rooms", 1.0),
        ("peers", 3.0),
        ("knocks", 1.0),
        ("held_places", 0.0),
        ("websockets_opened_total", 4.0),
        ("joins_total", 3.0),
        ("resumes_total", 0.0),
        (r#"messages_total{type="join"}"#, 4.0),
        (r#"messages_total{type="offer"}"#, 1.0),
        (r#"messages_total{type="answer"}"#, 1.0),
        (r#"messages_total{type="message"}"#, 1.0),
        (r#"messages_total{type="lock"}"#, 2.0),
        (r#"messages_total{type="invalid"}"#, 1.0),
        ("relayed_messages_total", 4.0),
        ("relayed_bytes_total", (offer.len() + answer.len() + 2 * broadcast.len()) as f64),
        (r#"errors_total{code="bad_json"}"#, 1.0),
        (r#"errors_total{code="not_host"}"#, 1.0),
        (r#"errors_total{code="room_full"}"#, 0.0),
        (r#"refusals_total{limit="max_connections"}"#, 0.0),
        ("stalled_clients", 0.0),
        ("log_lines_lost_total", 0.0),
        (concat!(r#"build_info{version=""#, env!("CARGO_PKG_VERSION"), r#""}"#), 1.0),
    ] {
        assert_eq!(now.get(name), Some(&value), "{name}: {now:#?}");
    }
    assert!(now["received_bytes_total"] > now["relayed_bytes_total"] / 2.0);
    assert!(now["memory_pinned_bytes"] > 0.0 && now["memory_budget_bytes"] > now["memory_pinned_bytes"], "{now:#?}");
    let times = now["relay_latency_seconds_count"];
    assert!(times >= 1.0 && now[r#"relay_latency_seconds_bucket{le="+Inf"}"#] == times, "{now:#?}");

    eve.close().await;
    drop(bob);
    drop(ana);
    relay.expect("held_places", 1.0).await;
    relay.expect(r#"websockets_closed_total{reason="closed"}"#, 1.0).await;
    relay.expect("websockets", 1.0).await;
    let now = relay.samples().await;
    // A connection that is dropped before all is read is reset.
    let gone = ["hung_up", "lost"].map(|reason| now[&format!(r#"websockets_closed_total{{reason="{reason}"}}"#)]);
    assert_eq!(gone.iter().sum::<f64>(), 2.0, "{now:#?}");
    let mut ana = relay.client().await;
    ana.say(json!({"type": "resume", "token": joined["resume"]["token"], "received": 6})).await;
    ana.expect("resumed").await;
    relay.expect("resumes_total", 1.0).await;
    relay.expect("held_places", 0.0).await;
}

#[cfg(feature = "wires")]
#[tokio::test]
async fn clients_of_other_libraries_are_counted_by_their_wires_and_the_api_names_these() {
    let relay = Relay::start(&["--wire", "y-webrtc", "--wire", "rxdb"]).await;
    let mut page = relay.client().await;
    page.join("a").await;
    let mut clients = [relay.client_at("/y-webrtc").await, relay.client_at("/y-webrtc").await];
    for client in &mut clients {
        client.say(json!({"type": "subscribe", "topics": ["a", "b"]})).await;
        client.say(json!({"type": "ping"})).await;
        assert_eq!(client.hear().await, json!({"type": "pong"}));
    }
    let text = json!({"type": "publish", "topic": "a"}).to_string();
    clients[0].say_text(&text).await;
    clients[1].hear().await;
    let mut database = relay.client_at("/rxdb").await;
    database.hear().await;
    for room in ["room a", "room b"] {
        database.say(json!({"type": "join", "room": room})).await;
        database.expect("joined").await;
    }
    let now = relay.samples().await;
    for (name, value) in [
        ("websockets", 4.0),
        (r#"wire_websockets{wire="y-webrtc"}"#, 2.0),
        (r#"wire_websockets{wire="rxdb"}"#, 1.0),
        (r#"wire_websockets{wire="trystero"}"#, 0.0),
        (r#"wire_topics{wire="y-webrtc"}"#, 2.0),
        (r#"wire_topics{wire="trystero"}"#, 0.0),
        (r#"wire_topics{wire="rxdb"}"#, 2.0),
        (r#"wire_messages_total{wire="y-webrtc"}"#, 5.0),
        (r#"wire_messages_total{wire="trystero"}"#, 0.0),
        (r#"wire_messages_total{wire="rxdb"}"#, 2.0),
        (r#"messages_total{type="join"}"#, 1.0),
        (r#"messages_total{type="invalid"}"#, 0.0),
        ("joins_total", 3.0),
        ("rooms", 1.0),
        ("relayed_messages_total", 2.0),
    ] {
        assert_eq!(now.get(name), Some(&value), "{name}: {now:#?}");
    }
    let answer = get(connect(relay.operators).await, "localhost", "/api/connections").await;
    let page: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    let said: Vec<_> = page["connections"].as_array().unwrap().iter().map(|one| (&one["wire"], &one["room"])).collect();
    let (none, wire) = (&Value::Null, &json!("y-webrtc"));
    assert_eq!(said, [(none, &json!("a")), (wire, none), (wire, none), (&json!("rxdb"), none)]);
    let [gone, _stays] = clients;
    gone.close().await;
    relay.expect(r#"wire_websockets{wire="y-webrtc"}"#, 1.0).await;
}

#[tokio::test]
async fn the_set_up_of_a_call_is_timed_and_what_its_clients_report_is_counted() {
    let relay = Relay::start(&[]).await;
    let (mut ana, mut bob) = (relay.client().await, relay.client().await);
    ana.say(json!({"type": "report", "state": "connected"})).await;
    ana.expect_error("not_joined").await;
    ana.join("r").await;
    bob.join("r").await;
    ana.expect("peer_joined").await;
    bob.say(json!({"type": "offer", "sdp": "v=0", "to": ana.id})).await;
    ana.expect("offer").await;
    bob.say(json!({"type": "offer_ice", "iceCandidate": null, "to": ana.id})).await;
    ana.expect("offer_ice").await;
    ana.say(json!({"type": "answer", "sdp": "v=0", "to": bob.id})).await;
    bob.expect("answer").await;
    for _ in 0..2 {
        ana.say(json!({"type": "answer_ice", "iceCandidate": null, "to": bob.id})).await;
        bob.expect("answer_ice").await;
    }
    for report in [
        json!({"type": "report", "state": "connected", "to": bob.id, "local": "host", "remote": "relay", "protocol": "udp"}),
        json!({"type": "report", "state": "failed", "local": null, "to": "nobody", "secret": "x"}),
        json!({"type": "report", "state": "\"} 1\n# ", "local": "192.0.2.7", "remote": "", "protocol": "quic"}),
    ] {
        ana.say(report).await;
    }
    for wrong in [
        json!({"type": "report"}),
        json!({"type": "report", "state": 1}),
        json!({"type": "report", "state": "failed", "to": null}),
        json!({"type": "report", "state": "failed", "local": 7}),
        json!({"type": "report", "state": "failed", "local": "x".repeat(1024)}),
    ] {
        ana.say(wrong).await;
        ana.expect_error("bad_message").await;
    }
    let now = relay.samples().await;
    for (name, value) in [
        ("join_to_offer_seconds_count", 1.0),
        ("offer_to_answer_seconds_count", 1.0),
        ("answer_to_candidate_seconds_count", 1.0),
        ("offers_unanswered_total", 0.0),
        (r#"messages_total{type="report"}"#, 4.0),
        (r#"call_reports_total{state="connected",local="host",remote="relay",protocol="udp"}"#, 1.0),
        (r#"call_reports_total{state="failed",local="none",remote="none",protocol="none"}"#, 1.0),
        (r#"call_reports_total{state="other",local="other",remote="other",protocol="other"}"#, 1.0),
    ] {
        assert_eq!(now.get(name), Some(&value), "{name}: {now:#?}");
    }
    // Nobody else heard of it.
    ana.say(json!({"type": "message", "data": 1})).await;
    bob.expect("message").await;
}

#[cfg(feature = "wires")]
#[tokio::test]
async fn groups_of_matchbox_are_counted_as_long_as_they_have_a_member_and_its_messages_too() {
    let relay = Relay::start(&["--wire", "matchbox"]).await;
    let player = async || relay.client_at("/matchbox/r?next=2").await;
    let (mut one, two, three) = (player().await, player().await, player().await);
    one.say_text(r#""KeepAlive""#).await;
    relay.expect(r#"wire_messages_total{wire="matchbox"}"#, 1.0).await;
    relay.expect(r#"wire_websockets{wire="matchbox"}"#, 3.0).await;
    relay.expect(r#"wire_topics{wire="matchbox"}"#, 2.0).await;
    relay.expect("joins_total", 3.0).await;
    // One is left of those of the complete group, who keeps it.
    for (client, left) in [(two, 2.0), (three, 1.0), (one, 0.0)] {
        client.close().await;
        relay.expect(r#"wire_topics{wire="matchbox"}"#, left).await;
    }
}

#[tokio::test]
async fn refusals_are_counted_by_their_limits() {
    let relay = Relay::start(&["--address-joins", "1", "--max-connections", "3"]).await;
    let mut client = relay.client().await;
    for _ in 0..10 {
        client.join("r").await;
        client.say(json!({"type": "leave"})).await;
    }
    client.say(json!({"type": "join", "room": "r"})).await;
    client.expect_error("rate_limited").await;
    let _others = (connect(relay.main).await, connect(relay.main).await);
    relay.expect("connections", 3.0).await;
    let refused = get(connect(relay.main).await, "localhost", "/").await;
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    relay.expect(r#"refusals_total{limit="max_connections"}"#, 1.0).await;
    relay.expect(r#"refusals_total{limit="address_joins"}"#, 1.0).await;
}

#[tokio::test]
async fn the_page_for_operators_names_each_metric_and_promtool_takes_them_all() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Relay::start(&["--lan", "--lan-dir", text(folder.path())]).await;
    let url = format!("https://127.0.0.1:{}/healthz", relay.main.port());
    assert_eq!(tool("curl", &["-sk", "-m", "10", &url], "").1, "ok\n");
    relay.expect(r#"tls_handshakes_total{result="ok"}"#, 1.0).await;
    let scraped = relay.scrape().await;
    let (is_good, said) = tool("promtool", &["check", "metrics"], &scraped);
    assert!(is_good && said.is_empty(), "{said}");

    let kinds = |line: &str| {
        let (name, kind) = line.strip_prefix("# TYPE ")?.split_once(' ')?;
        Some(format!("{name} {kind}"))
    };
    let told: BTreeSet<String> = scraped.lines().filter_map(kinds).collect();
    let row = |line: &str| {
        let mut cells = line.strip_prefix("| `")?.split(" | ");
        let (name, kind) = (cells.next()?.trim_end_matches('`').to_owned(), cells.next()?.to_owned());
        ["gauge", "counter", "histogram"].contains(&kind.as_str()).then(|| format!("{name} {kind}"))
    };
    let documented: BTreeSet<String> = page("src/admin/README.md").lines().filter_map(row).collect();
    assert_eq!(told, documented);
}

#[tokio::test]
async fn prometheus_scrapes_it_with_its_token() {
    let folder = tempfile::tempdir().unwrap();
    let token = secret_file(folder.path(), "token", "a-token-that-nobody-guesses\n");
    let relay = Relay::start(&["--admin-token-file", text(&token)]).await;
    let refused = get(connect(relay.operators).await, "localhost", "/metrics").await;
    assert!(refused.starts_with("HTTP/1.1 401 "), "{refused}");
    let configuration = format!(
        "global: {{ scrape_interval: 200ms, scrape_timeout: 200ms }}\nscrape_configs:\n  - job_name: relay\n    \
         static_configs: [{{ targets: [\"{}\"] }}]\n    authorization: {{ credentials_file: {} }}\n",
        relay.operators,
        text(&token)
    );
    let configuration = file(folder.path(), "prometheus.yml", configuration);
    let port = free_port();
    let _prometheus = tokio::process::Command::new("prometheus")
        .arg(format!("--config.file={}", text(&configuration)))
        .arg(format!("--storage.tsdb.path={}", text(&folder.path().join("data"))))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("prometheus");
    let query = "/api/v1/query?query=signaling_relay_build_info";
    let scraped = async {
        loop {
            if let Ok(stream) = TcpStream::connect(("127.0.0.1", port)).await {
                let answer = get(stream, "localhost", query).await;
                let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
                let found = serde_json::from_str::<Value>(body).unwrap_or_default();
                if found["data"]["result"][0]["value"][1] == "1" {
                    return found["data"]["result"][0]["metric"]["version"].clone();
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let version = tokio::time::timeout(Duration::from_secs(60), scraped).await.expect("a scrape");
    assert_eq!(version, env!("CARGO_PKG_VERSION"));
}

#[test]
fn the_alerts_come_when_they_should_and_nothing_is_asked_that_the_relay_does_not_count() {
    for arguments in
        [["check", "rules", "scripts/deploy/alerts.yml"], ["test", "rules", "scripts/deploy/alerts.test.yml"]]
    {
        let (is_good, said) = tool("promtool", &arguments, "");
        assert!(is_good, "{said}");
    }
    let counted: BTreeSet<String> = page("src/admin/README.md")
        .lines()
        .filter_map(|line| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned()))
        .collect();
    for name in ["scripts/deploy/alerts.yml", "scripts/deploy/grafana.json"] {
        let text = page(name);
        let is_of_name = |char: char| char.is_ascii_alphanumeric() || char == '_';
        let words = text.split(|char| !is_of_name(char));
        let asked: BTreeSet<&str> = words
            .filter(|word| word.starts_with("signaling_relay_") || word.starts_with("process_"))
            .map(|word| word.trim_end_matches("_bucket"))
            .collect();
        assert!(asked.len() > 5, "{asked:?}");
        for metric in asked {
            assert!(counted.contains(metric), "{name} asks for {metric}");
        }
    }
}
