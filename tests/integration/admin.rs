//! The address for operators: what it tells, whom, and from where.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use crate::harness::{Client, Process, connect, file, run, secret_file, soon, text, tool};

/// A relay with an address for operators on loopback.
async fn relay(more: &[&str]) -> (Process, SocketAddr) {
    let arguments = [&["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"], more].concat();
    let relay = Process::start(&arguments).await;
    let address = relay.operators("http://");
    (relay, address)
}

/// The answer to a request with these lines.
async fn ask(address: SocketAddr, request: &str, headers: &[&str]) -> String {
    let lines: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    asked(connect(address).await, &format!("{request} HTTP/1.1\r\n{lines}Connection: close\r\n\r\n")).await
}

async fn asked(mut stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    soon("the answer", stream.read_to_string(&mut answer)).await.unwrap();
    answer
}

const HOST: &str = "Host: localhost:9090";

#[tokio::test]
async fn it_lives_and_is_ready_and_the_main_address_says_nothing_of_it() {
    let (relay, operators) = relay(&[]).await;
    for path in ["/livez", "/readyz"] {
        let answer = ask(operators, &format!("GET {path}"), &[HOST]).await;
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\nok\n"), "{answer}");
        let answer = ask(operators, &format!("HEAD {path}"), &[HOST]).await;
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\n"), "{answer}");
        let answer = ask(operators, &format!("POST {path}"), &[HOST, "Content-Length: 0"]).await;
        assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
        let main = ask(([127, 0, 0, 1], relay.port()).into(), &format!("GET {path}"), &[HOST]).await;
        assert!(main.starts_with("HTTP/1.1 404 "), "{main}");
    }
    assert!(ask(operators, "GET /nothing", &[HOST]).await.starts_with("HTTP/1.1 404 "));
    let healthz = ask(([127, 0, 0, 1], relay.port()).into(), "GET /healthz", &[HOST]).await;
    assert!(healthz.starts_with("HTTP/1.1 200 "), "{healthz}");
}

#[tokio::test]
async fn it_is_not_ready_from_sigterm_on_and_answers_until_the_end() {
    let (mut relay, operators) = relay(&[]).await;
    let stream = connect(([127, 0, 0, 1], relay.port()).into()).await;
    let mut client = Client::dial(stream, "ws://localhost/ws", &[]).await.unwrap();
    client.join("r").await;
    relay.signal("TERM");
    relay.expect_log("shutting down").await;
    // The client does not answer the close frame, so the relay waits for it.
    let answer = ask(operators, "GET /readyz", &[HOST]).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(ask(operators, "GET /livez", &[HOST]).await.starts_with("HTTP/1.1 200 "));
    drop(client);
    assert_eq!(relay.end().await, Some(0));
    assert!(TcpStream::connect(operators).await.is_err());
}

#[tokio::test]
async fn pages_of_other_sites_get_nothing_however_they_ask() {
    let folder = tempfile::tempdir().unwrap();
    let token = secret_file(folder.path(), "token", "a-token-that-nobody-guesses\n");
    let shown = "Authorization: Bearer a-token-that-nobody-guesses";
    let (_open, open) = relay(&[]).await;
    let (_closed, closed) = relay(&["--admin-token-file", text(&token)]).await;
    for path in ["GET /metrics", "GET /nothing", "POST /api/drain", "OPTIONS /metrics"] {
        for origin in
            ["https://evil.example", "null", "http://localhost:8080", "http://127.0.0.1:9090", "https://localhost:9090"]
        {
            let origin = format!("Origin: {origin}");
            for (address, more) in [(open, "Accept: */*"), (closed, shown)] {
                let answer = ask(address, path, &[HOST, &origin, more]).await;
                assert!(answer.starts_with("HTTP/1.1 403 ") && !answer.contains("Access-Control"), "{answer}");
            }
        }
        for host in ["evil.example", "localhost.evil.example:9090", "relay.example"] {
            let answer = ask(open, path, &[&format!("Host: {host}")]).await;
            assert!(answer.starts_with("HTTP/1.1 403 "), "{host}: {answer}");
            let answer = ask(closed, path, &[&format!("Host: {host}")]).await;
            assert!(answer.starts_with("HTTP/1.1 401 "), "{host}: {answer}");
        }
        for wrong in
            ["Bearer a-token", "Bearer a-token-that-nobody-guesses2", "Basic YTpi", "a-token-that-nobody-guesses"]
        {
            let answer = ask(closed, path, &[HOST, &format!("Authorization: {wrong}")]).await;
            assert!(
                answer.starts_with("HTTP/1.1 401 ") && answer.to_lowercase().contains("www-authenticate: bearer"),
                "{answer}"
            );
        }
        let query = format!("{path}?token=a-token-that-nobody-guesses&access_token=a-token-that-nobody-guesses");
        assert!(ask(closed, &query, &[HOST]).await.starts_with("HTTP/1.1 401 "));
    }
    // By any name with the token; and a probe needs none.
    let by_name = ask(closed, "GET /nothing", &["Host: relay.example", shown]).await;
    assert!(by_name.starts_with("HTTP/1.1 404 "), "{by_name}");
    assert!(ask(closed, "GET /readyz", &["Host: relay.example"]).await.starts_with("HTTP/1.1 200 "));
    let foreign = ask(closed, "GET /readyz", &[HOST, "Origin: https://evil.example"]).await;
    assert!(foreign.starts_with("HTTP/1.1 403 "), "{foreign}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_silent_connections_and_a_full_relay_keep_no_operator_out() {
    let (relay, operators) = relay(&["--max-connections", "1"]).await;
    let _full = connect(([127, 0, 0, 1], relay.port()).into()).await;
    let mut silent = Vec::new();
    for _ in 0..1000 {
        silent.push(connect(operators).await);
    }
    assert!(ask(operators, "GET /livez", &[HOST]).await.starts_with("HTTP/1.1 200 "));
    for stream in &mut silent {
        // Some are closed already.
        let _ = stream.write_all(b"GET /livez HT").await;
    }
    let answer = ask(operators, "GET /readyz", &[HOST]).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn over_a_unix_socket_it_is_for_the_relays_user_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("operators.sock");
    let address = format!("unix:{}", path.display());
    let relay = Process::start(&["--listen", "127.0.0.1:0", "--admin-listen", &address, "--unix-mode", "666"]).await;
    assert!(relay.screen.contains(&format!("It tells operators how it is at {address}")), "{:?}", relay.screen);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let stream = UnixStream::connect(&path).await.unwrap();
    let answer = asked(stream, "GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    relay.signal("TERM");
    assert_eq!(relay.end().await, Some(0));
    assert!(!path.exists());
}

#[tokio::test]
async fn another_address_needs_a_token_and_has_the_tls_of_the_relay_or_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let token = secret_file(folder.path(), "token", "a-token-that-nobody-guesses");
    let empty = secret_file(folder.path(), "empty", " \n");
    let open = file(folder.path(), "open", "a-token-that-everybody-reads");
    std::fs::set_permissions(&open, PermissionsExt::from_mode(0o644)).unwrap();
    let none = folder.path().join("none");
    for (arguments, code, sentence) in [
        (&["--admin-listen", "*:0"][..], 2, "needs --admin-token-file"),
        (&["--admin-listen", "relay.example:9090"], 2, "needs --admin-token-file"),
        (&["--admin-listen", "9090"], 2, "write localhost:PORT"),
        (&["--admin-listen", "systemd"], 2, "cannot be systemd"),
        (&["--admin-token-file", text(&token)], 2, "needs --admin-listen"),
        (&["--admin-listen", "localhost:0", "--admin-token-file", text(&none)], 1, "none"),
        (&["--admin-listen", "localhost:0", "--admin-token-file", text(&open)], 1, "chmod 600"),
        (&["--admin-listen", "localhost:0", "--admin-token-file", text(&empty)], 1, "has no token"),
    ] {
        let refused = run(&[&["--listen", "127.0.0.1:0"], arguments].concat()).await;
        let said = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(sentence), "{arguments:?}: {said}");
    }
    let mut relay =
        Process::start(&["--listen", "127.0.0.1:0", "--admin-listen", "0.0.0.0:0", "--admin-token-file", text(&token)])
            .await;
    relay.expect_log("the address for operators has no TLS").await;
    let port = relay.operators("http://").port();
    let answer = ask(([127, 0, 0, 1], port).into(), "GET /metrics", &[HOST]).await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");

    let lan = Process::start(&[
        "--lan",
        "--lan-dir",
        text(&folder.path().join("lan")),
        "--listen",
        "127.0.0.1:0",
        "--admin-listen",
        "0.0.0.0:0",
        "--admin-token-file",
        text(&token),
    ])
    .await;
    let port = lan.operators("https://").port();
    let mut plain = connect(([127, 0, 0, 1], port).into()).await;
    plain.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    // It is closed, or reset because the request was not read.
    let _ = soon("the end", plain.read_to_end(&mut answer)).await;
    assert!(answer.is_empty(), "nothing without TLS: {answer:?}");
    let url = format!("https://127.0.0.1:{port}/livez");
    let (_, said) = tool("curl", &["-sk", "-m", "10", &url], "");
    assert_eq!(said, "ok\n");
}
