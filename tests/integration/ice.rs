//! The STUN and TURN servers that clients are told of, and the credentials that are made for each of them.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use data_encoding::BASE64;
use ring::hmac;
use serde_json::{Value, json};
use signaling_relay::{Config, Grant, JoinRequest};

use crate::harness::pages::{block, page};
use crate::harness::places::resume;
use crate::harness::{Client, Process, TestRelay, binary, file, run, secret_file, text};

const TTL: u64 = 3600;

/// A relay that signs for a TURN server with this secret.
async fn relay_with(folder: &Path, secret: &str) -> TestRelay {
    TestRelay::start_with(Config {
        stun: vec!["stun:stun.example:3478".parse().unwrap()],
        turn: vec!["turn:turn.example:3478?transport=udp".parse().unwrap(), "turns:turn.example:5349".parse().unwrap()],
        turn_secret_file: vec![secret_file(folder, "secret", secret)],
        turn_ttl: Duration::from_secs(TTL),
        ..Config::default()
    })
    .await
}

/// Checks that the last server of `message` has credentials of this secret for this id, which are good from now on for as long
/// as the message says; returns its user name.
fn check_credentials(message: &Value, secret: &str, id: &str) -> String {
    assert_eq!(message["ttlMs"], TTL * 1000, "{message}");
    let server = message["iceServers"].as_array().unwrap().last().unwrap();
    assert_eq!(server["urls"], json!(["turn:turn.example:3478?transport=udp", "turns:turn.example:5349"]));
    let username = server["username"].as_str().unwrap();
    let (until, of) = username.split_once(':').unwrap();
    assert_eq!(of, id);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let until: u64 = until.parse().unwrap();
    assert!((now + TTL - 30..=now + TTL + 1).contains(&until), "{until} at {now}");
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.as_bytes());
    assert_eq!(server["credential"], BASE64.encode(hmac::sign(&key, username.as_bytes()).as_ref()));
    username.to_owned()
}

async fn ask<S: crate::harness::client::Stream>(client: &mut Client<S>) -> Value {
    client.say(json!({"type": "ice_servers"})).await;
    client.expect("ice_servers").await
}

#[tokio::test]
async fn who_joins_asks_or_comes_back_gets_credentials_of_its_own_by_the_secret_of_now() {
    let folder = tempfile::tempdir().unwrap();
    let relay = relay_with(folder.path(), "  the first secret of the server\n").await;
    let mut ana = relay.dial("/ws").await;
    ana.say(json!({"type": "join", "room": "r", "id": "ana", "resume": true})).await;
    let joined = ana.expect_joined().await;
    assert_eq!(joined["iceServers"][0], json!({"urls": ["stun:stun.example:3478"]}));
    check_credentials(&joined, "the first secret of the server", "ana");
    check_credentials(&ask(&mut ana).await, "the first secret of the server", "ana");

    secret_file(folder.path(), "secret", "the second secret of the server");
    relay.reload();
    let asked = ask(&mut ana).await;
    check_credentials(&asked, "the second secret of the server", "ana");
    assert_eq!(asked["type"], "ice_servers");
    let token = joined["resume"]["token"].as_str().unwrap();
    drop(ana);
    let mut again = relay.dial("/ws").await;
    again.say(resume(token, 3)).await;
    check_credentials(&again.expect("resumed").await, "the second secret of the server", "ana");

    // A file that cannot be used changes nothing.
    secret_file(folder.path(), "secret", " \n");
    relay.reload();
    check_credentials(&ask(&mut again).await, "the second secret of the server", "ana");
    let mut bob = relay.join("r").await;
    let id = bob.id.clone();
    check_credentials(&ask(&mut bob).await, "the second secret of the server", &id);
}

#[tokio::test]
async fn who_is_in_no_room_is_told_of_no_server() {
    let folder = tempfile::tempdir().unwrap();
    let relay = relay_with(folder.path(), "the secret of the server").await;
    let mut stranger = relay.dial("/ws").await;
    stranger.say(json!({"type": "ice_servers", "ref": "1"})).await;
    assert_eq!(stranger.expect_error("not_joined").await["ref"], "1");
    let mut host = relay.join("r").await;
    host.say(json!({"type": "lock", "locked": true})).await;
    host.expect("room").await;
    stranger.say(json!({"type": "join", "room": "r", "id": "ana"})).await;
    let waiting = stranger.expect("waiting").await;
    assert!(waiting.get("iceServers").is_none(), "{waiting}");
    stranger.say(json!({"type": "ice_servers"})).await;
    stranger.expect_error("not_joined").await;
    host.say(json!({"type": "admit", "to": "ana"})).await;
    check_credentials(&stranger.expect("joined").await, "the secret of the server", "ana");
    stranger.say(json!({"type": "leave"})).await;
    stranger.say(json!({"type": "ice_servers"})).await;
    stranger.expect_error("not_joined").await;
}

#[tokio::test]
async fn a_grant_may_give_a_member_a_list_of_its_own_for_as_long_as_it_stays() {
    let folder = tempfile::tempdir().unwrap();
    let own = json!([{"urls": "turn:own.example", "username": "u", "credential": "c"}]);
    let list: signaling_relay::protocol::IceServers = own.to_string().parse().unwrap();
    let config = Config {
        turn: vec!["turn:turn.example".parse().unwrap()],
        turn_secret_file: vec![secret_file(folder.path(), "secret", "the secret of the server")],
        ..Config::default()
    };
    let relay = TestRelay::start_as(config, |builder| {
        builder.authorizer(move |request: JoinRequest| {
            let mut grant = Grant::from(&request);
            grant.ice_servers = request.name.is_some().then(|| list.clone());
            async move { Ok(grant) }
        })
    })
    .await;
    let mut ana = relay.dial("/ws").await;
    ana.say(json!({"type": "join", "room": "r", "name": "Ana", "resume": true})).await;
    let joined = ana.expect_joined().await;
    let asked = ask(&mut ana).await;
    drop(ana);
    let mut again = relay.dial("/ws").await;
    again.say(resume(joined["resume"]["token"].as_str().unwrap(), 2)).await;
    let resumed = again.expect("resumed").await;
    for message in [&joined, &asked, &resumed] {
        assert_eq!(message["iceServers"], own, "{message}");
        assert!(message.get("ttlMs").is_none(), "{message}");
    }
    let mut bob = relay.dial("/ws").await;
    bob.say(json!({"type": "join", "room": "r"})).await;
    assert_eq!(bob.expect_joined().await["ttlMs"], 12 * 60 * 60 * 1000);
}

#[tokio::test]
async fn what_the_flags_name_is_one_list_and_the_policy_is_told_unless_it_is_all() {
    let folder = tempfile::tempdir().unwrap();
    let list = file(
        folder.path(),
        "servers.json",
        r#"[{"urls": "turn:fixed.example", "username": "u", "credential": "c", "more": {"kept": 1}}]"#,
    );
    let arguments = ["--stun", "stun:a.example,stun:b.example", "--ice-servers", text(&list)];
    for (policy, told) in [("all", None), ("lan", Some("lan")), ("relay", Some("relay"))] {
        let relay =
            Process::start(&[&["--listen", "127.0.0.1:0", "--candidate-policy", policy], &arguments[..]].concat())
                .await;
        let address = ([127, 0, 0, 1], relay.port()).into();
        let stream = crate::harness::connect(address).await;
        let mut client = Client::dial(stream, "ws://localhost/ws", &[]).await.unwrap();
        let joined = client.join("r").await;
        assert_eq!(
            joined["iceServers"],
            json!([
                {"urls": ["stun:a.example", "stun:b.example"]},
                {"urls": "turn:fixed.example", "username": "u", "credential": "c", "more": {"kept": 1}},
            ])
        );
        assert_eq!(joined.get("candidatePolicy").and_then(Value::as_str), told);
        assert!(joined.get("ttlMs").is_none(), "{joined}");
    }
}

#[tokio::test]
async fn a_wrong_setting_ends_the_start_with_a_sentence_that_has_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let secret = secret_file(folder.path(), "secret", "the secret of the server");
    let list = |name: &str, json: &str| text(&file(folder.path(), name, json)).to_owned();
    let stn = list("stn.json", r#"[{"urls":"stn:h"}]"#);
    let stun = list("stun.json", r#"[{"urls":"stun:h","username":"u","credential":"hidden"}]"#);
    let none = text(&folder.path().join("none.json")).to_owned();
    let readable = file(folder.path(), "readable", "a secret that everybody can read");
    std::fs::set_permissions(&readable, PermissionsExt::from_mode(0o644)).unwrap();
    let empty = text(&secret_file(folder.path(), "empty", "\n")).to_owned();
    let (secret, readable) = (text(&secret), text(&readable));
    for (arguments, code, sentence) in [
        (&["--stun", "turn:h"][..], 2, "needs --turn"),
        (&["--stun", "stun:u:p@h"], 2, "such as stun:stun.example:3478"),
        (&["--stun", "http://h"], 2, "such as stun:stun.example:3478"),
        (&["--turn", "stun:h", "--turn-secret-file", secret], 2, "needs --stun"),
        (&["--turn", "turn:h"], 2, "--turn needs --turn-secret-file"),
        (&["--turn-secret-file", secret], 2, "--turn-secret-file needs --turn"),
        (&["--turn-ttl", "1h"], 2, "--turn-ttl needs --turn"),
        (&["--turn", "turn:h", "--turn-secret-file", secret, "--turn-ttl", "9s"], 2, "from 10s to 7d"),
        (&["--turn", "turn:h", "--turn-secret-file", secret, "--turn-ttl", "8d"], 2, "from 10s to 7d"),
        (&["--turn", "turn:h", "--turn-secret-file", &none], 1, "none.json"),
        (&["--turn", "turn:h", "--turn-secret-file", readable], 1, "chmod 600"),
        (&["--turn", "turn:h", "--turn-secret-file", &empty], 1, "has no secret"),
        (&["--turn", "turn:h", "--turn-secret-file", secret, "--turn-secret-file", &none], 1, "none.json"),
        (&["--candidate-policy", "wifi"], 2, "all, lan or relay"),
        (&["--candidate-policy", "relay"], 2, "needs a TURN server"),
        (&["--candidate-policy", "relay", "--stun", "stun:h"], 2, "needs a TURN server"),
        (&["--ice-servers", &none], 1, "none.json"),
        (&["--ice-servers", &stn], 2, "stun, stuns, turn or turns"),
        (&["--ice-servers", &stun], 2, "its URLs begin with turn:"),
        (&["--ice-servers", r#"[{"urls":"stun:h","credential":"hidden"}]"#], 2, "its URLs begin with turn:"),
        (&["--ice-servers", "stun:h"], 2, "--stun"),
    ] {
        let refused = run(&[&["--listen", "127.0.0.1:0"], arguments].concat()).await;
        let said = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(sentence) && said.contains(arguments[0]), "{arguments:?}: {said}");
        assert!(!said.contains("hidden") && !said.contains("the secret of"), "{said}");
    }
}

#[tokio::test]
async fn no_credential_is_in_a_log_however_much_is_logged() {
    let folder = tempfile::tempdir().unwrap();
    let secret = secret_file(folder.path(), "secret", "the secret of the server");
    let log = folder.path().join("log");
    let mut command = binary();
    command.env("RUST_LOG", "trace");
    command.args(["--listen", "127.0.0.1:0", "--turn", "turn:turn.example", "--turn-secret-file", text(&secret)]);
    let relay = Process::from_command(command, Some(&log)).await;
    let stream = crate::harness::connect(([127, 0, 0, 1], relay.port()).into()).await;
    let mut client = Client::dial(stream, "ws://localhost/ws", &[]).await.unwrap();
    let joined = client.join("r").await;
    let asked = ask(&mut client).await;
    client.close().await;
    relay.signal("HUP");
    relay.signal("TERM");
    assert_eq!(relay.end().await, Some(0));
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("joined") && log.contains("read again"), "{log}");
    for told in [&joined, &asked] {
        assert!(!log.contains(told["iceServers"][0]["credential"].as_str().unwrap()), "{log}");
    }
    assert!(!log.contains("the secret of the server"), "{log}");
}

#[tokio::test]
async fn the_lines_of_the_readme_work_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let lines = block(&page("README.md"), "sh", "turn-secret-file");
    let [secret, start] = lines.lines().collect::<Vec<_>>().try_into().unwrap();
    let made = std::process::Command::new("sh").args(["-c", secret]).current_dir(folder.path()).status().unwrap();
    assert!(made.success());
    let (program, flags) = start.split_once(' ').unwrap();
    assert_eq!(program, "signaling-relay");
    let mut command = binary();
    command.current_dir(folder.path()).args(flags.split(' ')).args(["--listen", "127.0.0.1:0"]);
    let log = folder.path().join("log");
    let relay = Process::from_command(command, Some(&log)).await;
    let stream = crate::harness::connect(([127, 0, 0, 1], relay.port()).into()).await;
    let mut client = Client::dial(stream, "ws://localhost/ws", &[]).await.unwrap();
    assert_eq!(client.join("r").await["iceServers"].as_array().unwrap().len(), 2);
    let said = std::fs::read_to_string(log).unwrap();
    assert!(!said.contains("WARN"), "{said}");
}
