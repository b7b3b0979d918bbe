//! The binary on Windows: what it refuses there, and that its port is its own.

use crate::harness::{Process, connect, file, get, run, text};

#[tokio::test]
async fn an_address_that_windows_lacks_is_refused_with_a_sentence() {
    for (address, sentence) in [("unix:/relay.sock", "has no Unix sockets"), ("systemd", "has no systemd")] {
        let refused = run(&["--listen", address]).await;
        let said = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(2), "{said}");
        assert!(said.contains(sentence) && said.contains("such as localhost:8080"), "{said}");
    }
}

#[tokio::test]
async fn a_port_that_a_relay_has_is_no_other_relays() {
    let relay = Process::start(&["--listen", "localhost:0"]).await;
    let port = relay.port();
    assert_eq!(relay.urls(), [format!("http://localhost:{port}/")], "both families");
    for host in ["localhost", "127.0.0.1", "*"] {
        let refused = run(&["--listen", &format!("{host}:{port}")]).await;
        let said = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(1), "{host}: {said}");
        assert!(said.contains("another program"), "{host}: {said}");
    }
    let answer = get(connect(format!("127.0.0.1:{port}").parse().unwrap()).await, "localhost", "/healthz").await;
    assert!(answer.ends_with("ok\n"), "{answer}");
}

#[tokio::test]
async fn a_secret_that_is_too_short_is_named_with_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let secret = file(folder.path(), "secret", "short");
    let refused = run(&["--listen", "127.0.0.1:0", "--token-secret-file", text(&secret)]).await;
    let said = String::from_utf8(refused.stderr).unwrap();
    // Who else may read it is looked at first; a temporary folder is this user's own on Windows, and not under every wine.
    assert!(said.contains(text(&secret)), "{said}");
    assert_eq!(refused.status.code(), Some(1), "{said}");
}
