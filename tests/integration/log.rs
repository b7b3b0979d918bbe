//! The log: for people, for programs, and for the journal; and that nobody outside can forge a line of it.

use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{Client, Process, binary, connect, run, text};

/// Names with which somebody tries to make lines of their own.
const HOSTILE: [&str; 4] =
    [r#"r" address=192.0.2.9 joined"#, r#"{"level":"ERROR"}"#, "<0>r", "r 2026-01-01T00:00:00Z ERROR forged"];

/// What the log has after a visit of somebody hostile, with a lot of it switched on.
async fn log_of_a_visit(arguments: &[&str], folder: &Path, variables: &[(&str, &str)]) -> String {
    let log = folder.join("log");
    let mut command = binary();
    command.env("RUST_LOG", "info,signaling_relay=trace").envs(variables.iter().copied());
    command.args(["--listen", "127.0.0.1:0"]).args(arguments);
    let relay = Process::from_command(command, Some(&log)).await;
    let address = ([127, 0, 0, 1], relay.port()).into();
    for room in HOSTILE {
        let mut client = Client::dial(connect(address).await, "ws://localhost/ws", &[]).await.unwrap();
        client
            .say(json!({"type": "join", "room": room, "name": "Ana Hidden", "password": "s3cret-word", "resume": true}))
            .await;
        client.hear().await;
        client.say(json!({"type": "message", "data": "private words"})).await;
        client.say(json!({"type": "offer", "sdp": "v=0 private", "to": "nobody"})).await;
        client.say_text("not JSON\n2026-01-01T00:00:00Z ERROR forged").await;
        client.catch_up().await;
        client.close().await;
    }
    relay.signal("TERM");
    assert_eq!(relay.end().await, Some(0));
    std::fs::read_to_string(log).unwrap()
}

fn check_is_discreet(log: &str) {
    for secret in ["Ana Hidden", "s3cret-word", "private words", "v=0 private"] {
        assert!(!log.contains(secret), "{secret}: {log}");
    }
}

#[tokio::test]
async fn for_programs_each_line_is_one_object() {
    let folder = tempfile::tempdir().unwrap();
    let log = log_of_a_visit(&["--log-format", "json"], folder.path(), &[]).await;
    check_is_discreet(&log);
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    for line in &lines {
        let level = line["level"].as_str().unwrap();
        assert!(line["timestamp"].is_string() && line["message"].is_string(), "{line}");
        assert!(["INFO", "DEBUG", "TRACE", "WARN"].contains(&level), "{line}");
    }
    let of = |message: &str| lines.iter().filter(|line| line["message"] == message).collect::<Vec<_>>();
    let joined = of("joined");
    assert_eq!(joined.len(), HOSTILE.len(), "{log}");
    for line in joined {
        assert_eq!(line["address"], "127.0.0.1");
        assert!(line["connection"].is_u64() && line["place"].as_str().unwrap().ends_with(" (1/8)"), "{line}");
    }
    let left = of("disconnected");
    assert_eq!(left.len(), HOSTILE.len(), "{log}");
    for line in left {
        assert!(line["messages"] == 5 && line["after_s"].is_u64() && line["why"].is_string(), "{line}");
    }
}

#[tokio::test]
async fn an_error_at_the_start_is_one_object_too() {
    let folder = tempfile::tempdir().unwrap();
    let none = folder.path().join("none");
    let refused = run(&["--log-format", "json", "--listen", "127.0.0.1:0", "--web", text(&none)]).await;
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    let line: Value = serde_json::from_str(said.trim_end()).expect(&said);
    assert!(line["level"] == "ERROR" && line["message"].as_str().unwrap().contains("cannot serve the page"), "{said}");
    let wrong = run(&["--log-format", "xml"]).await;
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8(wrong.stderr).unwrap().contains("text, json"));
}

#[tokio::test]
async fn for_people_each_line_begins_with_its_time_whatever_names_say() {
    let folder = tempfile::tempdir().unwrap();
    let log = log_of_a_visit(&[], folder.path(), &[]).await;
    check_is_discreet(&log);
    for line in log.lines() {
        let (time, rest) = line.split_once(' ').unwrap();
        assert!(time.starts_with("20") && time.ends_with('Z') && time.contains('T'), "{line}");
        let level = rest.trim_start().split(' ').next().unwrap();
        assert!(["INFO", "DEBUG", "TRACE", "WARN"].contains(&level), "{line}");
    }
    assert_eq!(log.lines().filter(|line| line.contains(" INFO joined connection=")).count(), HOSTILE.len());
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_journal_of_systemd_is_told_the_priority_of_each_line() {
    use std::os::unix::fs::MetadataExt;

    for format in ["text", "json"] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("log");
        std::fs::write(&file, "").unwrap();
        let metadata = std::fs::metadata(&file).unwrap();
        let stream = format!("{}:{}", metadata.dev(), metadata.ino());
        let log = log_of_a_visit(&["--log-format", format], folder.path(), &[("JOURNAL_STREAM", &stream)]).await;
        for line in log.lines() {
            let (priority, rest) = line.split_at(3);
            let expected = match rest {
                rest if rest.contains("WARN") => "<4>",
                rest if rest.contains("INFO") => "<6>",
                _ => "<7>",
            };
            assert_eq!(priority, expected, "{line}");
        }
        assert!(log.lines().any(|line| line.starts_with("<6>")));
        // Another stream is none of the journal's.
        let other = log_of_a_visit(&[], tempfile::tempdir().unwrap().path(), &[("JOURNAL_STREAM", "1:2")]).await;
        assert!(!other.contains("<6>"), "{other}");
    }
}
