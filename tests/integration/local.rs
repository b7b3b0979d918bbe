//! Unix sockets, also those that systemd passes on: for proxies on the same machine.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use tokio::net::UnixStream;

use crate::harness::{self, Client, Process, binary, file, free_port, get, refusal, run, soon, text};

/// Two peers who talk over the sockets at these paths.
async fn talk(paths: [&Path; 2]) {
    let mut peers = Vec::new();
    for path in paths {
        let stream = UnixStream::connect(path).await.unwrap();
        let mut peer = Client::dial(stream, "ws://relay.example/?room=r", &[]).await.unwrap();
        // It enters after the upgrade was answered: the next one might be first.
        peer.expect("joined").await;
        peers.push(peer);
    }
    let [a, b] = &mut peers[..] else { unreachable!() };
    a.expect("peer_joined").await;
    b.say(json!({"type": "offer", "sdp": "v=0"})).await;
    assert_eq!(a.expect("offer").await["sdp"], "v=0");
}

#[tokio::test]
async fn a_unix_socket_serves_those_whom_its_mode_lets_in_and_goes_with_the_relay() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("relay.sock");
    let listen = format!("unix:{}", path.display());
    for (arguments, mode) in
        [(&["--listen", &listen][..], 0o660), (&["--listen", &listen, "--unix-mode", "600"], 0o600)]
    {
        let relay = Process::start(arguments).await;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, mode);
        assert!(
            relay.screen.iter().any(|line| line.ends_with(&listen)) && relay.urls().is_empty(),
            "{:?}",
            relay.screen
        );
        talk([&path, &path]).await;
        let page = get(UnixStream::connect(&path).await.unwrap(), "relay.example", "/").await;
        assert!(page.starts_with("HTTP/1.1 200"), "{page}");
        relay.signal("TERM");
        assert_eq!(relay.end().await, Some(0));
        assert!(!path.exists());
    }
}

#[tokio::test]
async fn what_a_crash_left_is_replaced_and_what_is_in_use_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("relay.sock");
    let listen = format!("unix:{}", path.display());
    let crashed = Process::start(&["--listen", &listen]).await;
    crashed.signal("KILL");
    crashed.end().await;
    assert!(path.exists());
    let relay = Process::start(&["--listen", &listen]).await;
    talk([&path, &path]).await;
    let refused = async |listen: &str, fault: &str| {
        let output = run(&["--listen", listen]).await;
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(&format!("cannot listen on {listen}: {fault}")), "{said}");
        assert_eq!((output.status.code(), said.lines().count()), (Some(1), 1), "{said}");
    };
    refused(&listen, "another program listens there").await;
    talk([&path, &path]).await;
    let precious = file(folder.path(), "precious", "x");
    refused(&format!("unix:{}", precious.display()), "there is a file that is not a socket").await;
    assert_eq!(std::fs::read_to_string(precious).unwrap(), "x");
    refused(&format!("unix:{}/no/relay.sock", text(folder.path())), "No such file").await;
    // Another relay's socket at the same place is not this one's to remove.
    std::fs::remove_file(&path).unwrap();
    let _other = Process::start(&["--listen", &listen]).await;
    relay.signal("TERM");
    assert_eq!(relay.end().await, Some(0));
    talk([&path, &path]).await;
}

#[tokio::test]
async fn a_proxy_on_a_unix_socket_is_believed_when_it_is_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("relay.sock");
    let listen = format!("unix:{}", path.display());
    let claims = [
        ("origin", "https://relay.example"),
        ("x-forwarded-for", "1.2.3.4, 198.51.100.7"),
        ("x-forwarded-proto", "https"),
    ];
    for trusted in [true, false] {
        let proxies: &[&str] = if trusted { &["--trusted-proxy", "unix"] } else { &[] };
        let mut relay = Process::start(&[&["--listen", &listen], proxies].concat()).await;
        let dial = async |headers: &[(&'static str, &str)]| {
            Client::dial(UnixStream::connect(&path).await.unwrap(), "ws://relay.example/ws", headers).await.map(|_| ())
        };
        if trusted {
            dial(&claims).await.unwrap();
            assert!(relay.expect_log("connected").await.ends_with("address=198.51.100.7"));
        } else {
            let (status, said) = refusal(dial(&claims).await);
            assert!(status == 403 && said.contains("--trusted-proxy unix"), "{said}");
            dial(&claims[1..]).await.unwrap();
            assert!(relay.expect_log(" connected").await.ends_with("address=unix"));
        }
        let same_host = dial(&[("origin", "http://relay.example")]).await;
        if trusted {
            same_host.unwrap();
        } else {
            let (status, said) = refusal(same_host);
            assert!(status == 403 && said.contains("DNS rebinding") && said.contains("--trusted-proxy unix"), "{said}");
        }
        relay.signal("TERM");
        assert_eq!(relay.end().await, Some(0));
    }
}

#[tokio::test]
async fn sockets_of_systemd_are_served_and_left_in_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("relay.sock");
    let port = free_port();
    let program = binary();
    let mut command = Command::new("systemd-socket-activate");
    command.args(["-l", text(&path), "-l", &format!("127.0.0.1:{port}")]);
    command.arg(program.get_program()).args(["--listen", "systemd"]);
    let first = async {
        // It starts the relay when somebody comes, and that one waits.
        loop {
            match UnixStream::connect(&path).await {
                Ok(stream) => return stream,
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    };
    let (relay, first) = tokio::join!(Process::of(command), soon("the socket", first));
    assert!(get(first, "relay.example", "/healthz").await.ends_with("ok\n"));
    assert_eq!(relay.urls(), [format!("http://127.0.0.1:{port}/")]);
    talk([&path, &path]).await;
    let stream = harness::connect(([127, 0, 0, 1], port).into()).await;
    assert!(get(stream, "localhost", "/healthz").await.ends_with("ok\n"));
    relay.signal("TERM");
    assert_eq!(relay.end().await, Some(0));
    assert!(path.exists(), "it is systemd's");
    let output = run(&["--listen", "systemd"]).await;
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("cannot listen on systemd's sockets: there is none"), "{said}");
    assert_eq!(output.status.code(), Some(1));
}
