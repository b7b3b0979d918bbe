//! What the binary takes from its environment, and what its log keeps to itself.

use crate::harness::{Client, Process, binary, connect, refusal, soon};

#[tokio::test]
async fn an_empty_variable_is_none_and_a_misspelled_one_is_named() {
    let mut command = binary();
    command.args(["--listen", "127.0.0.1:0"]);
    for flag in ["LAN", "WEB", "ICE_SERVERS", "ROOM_CAPACITY", "ALLOW_ORIGIN", "MAX_CONNECTIONS", "CERT"] {
        command.env(format!("SIGNALING_RELAY_{flag}"), "");
    }
    command.env("SIGNALING_RELAY_PORT", "tcp://10.0.0.1:80").env("SIGNALING_RELAY_ROOM_CAPACTIY", "4");
    let mut relay = Process::of(command).await;
    assert!(relay.urls()[0].starts_with("http://"));
    let line = relay.expect_log("no environment variable").await;
    assert!(line.contains("CAPACTIY") && line.ends_with("SIGNALING_RELAY_ROOM_CAPACITY"), "{line}");
}

#[tokio::test]
async fn a_switch_in_the_environment_may_be_1_or_yes() {
    for yes in ["1", "yes", "TRUE"] {
        let folder = tempfile::tempdir().unwrap();
        let mut command = binary();
        command.args(["--listen", "127.0.0.1:0"]).env("SIGNALING_RELAY_LAN", yes);
        command.env("SIGNALING_RELAY_LAN_DIR", folder.path());
        let relay = Process::of(command).await;
        assert!(relay.urls()[0].starts_with("https://"), "{yes}");
    }
}

#[tokio::test]
async fn an_error_about_a_variable_names_it_and_not_the_flag() {
    for (flag, value, named) in [
        ("ROOM_CAPACITY", "0", "SIGNALING_RELAY_ROOM_CAPACITY"),
        ("LAN", "maybe", "SIGNALING_RELAY_LAN"),
        ("HOLD_MS", "99999999999", "SIGNALING_RELAY_HOLD_MS': it is not a number from 0 to 3600000"),
        ("CERT", "c.pem", "SIGNALING_RELAY_CERT needs its private key"),
        ("WEB", "/nowhere", "/nowhere"),
        ("LISTEN", "256.0.0.1:x", "SIGNALING_RELAY_LISTEN"),
    ] {
        let mut command = tokio::process::Command::from(binary());
        // Another relay may be at the usual port.
        command.env("SIGNALING_RELAY_LISTEN", "127.0.0.1:0").env(format!("SIGNALING_RELAY_{flag}"), value);
        command.kill_on_drop(true).stdin(std::process::Stdio::null());
        let output = soon("the end", command.output()).await.unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        let flag = format!("--{}", flag.to_lowercase().replace('_', "-"));
        assert!(!output.status.success() && said.contains(named) && !said.contains(&flag), "{said}");
    }
    // The flag wins, and is what the error is about.
    let mut command = tokio::process::Command::from(binary());
    command.args(["--room-capacity", "0"]).env("SIGNALING_RELAY_ROOM_CAPACITY", "4").kill_on_drop(true);
    let output = soon("the end", command.output()).await.unwrap();
    assert!(String::from_utf8(output.stderr).unwrap().contains("--room-capacity"));
}

#[tokio::test]
async fn offered_subprotocols_are_in_no_log_and_misspelled_parameters_are() {
    let mut command = binary();
    command.args(["--listen", "127.0.0.1:0"]).env("RUST_LOG", "trace");
    let log = tempfile::tempdir().unwrap();
    let log = log.path().join("log");
    let relay = Process::from_command(command, Some(&log)).await;
    let address = format!("127.0.0.1:{}", relay.port()).parse().unwrap();
    let dial = async |path: &str, offers| {
        let url = format!("ws://{address}{path}");
        Client::dial(connect(address).await, &url, &[("sec-websocket-protocol", offers)]).await
    };
    let client = dial("/?roomm=a", "bearer, s3cr3t-t0k3n").await.unwrap();
    assert_eq!(client.response.headers()["sec-websocket-protocol"], "bearer");
    client.close().await;
    let (status, said) = refusal(dial("/ws", "bearer, s3cr3t/t0k3n").await.map(|_| ()));
    assert!(status == 400 && !said.contains("t0k3n"), "{said}");
    relay.signal("TERM");
    relay.end().await;
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("disconnected") && !log.contains("t0k3n"), "{log}");
    assert!(log.contains(r#"parameter="roomm""#) && log.contains(r#"did it mean "room"?"#), "{log}");
}

#[tokio::test]
async fn the_log_says_what_a_network_of_proxies_means_and_counts_connections_alone() {
    let mut relay = Process::start(&["--listen", "localhost:0", "--trusted-proxy", "10.0.0.0/8,192.0.2.1"]).await;
    let line = relay.expect_log("--trusted-proxy is a network").await;
    assert!(line.contains("WARN") && line.contains("10.0.0.0/8"), "{line}");
    let address = format!("127.0.0.1:{}", relay.port()).parse().unwrap();
    let client = Client::dial(connect(address).await, &format!("ws://{address}/?room=r"), &[]).await.unwrap();
    relay.expect_log(" connected").await;
    relay.signal("TERM");
    let line = relay.expect_log("shutting down").await;
    assert!(line.contains("websockets=1 connections=1"), "{line}");
    drop(client);
    assert_eq!(relay.end().await, Some(0));
}
