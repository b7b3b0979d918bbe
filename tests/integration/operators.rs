//! The operators' page as it is served, and the stream of changes that it reads.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::harness::{Client, Process, connect, secret_file, soon, text};

const TOKEN: &str = "a-token-that-nobody-guesses";
const FILES: [(&str, &str); 7] = [
    ("/", "text/html"),
    ("/page.css", "text/css"),
    ("/page.js", "text/javascript"),
    ("/dom.js", "text/javascript"),
    ("/relay.js", "text/javascript"),
    ("/room.js", "text/javascript"),
    ("/icon.svg", "image/svg+xml"),
];

/// A relay, with the address for operators on loopback.
async fn relay(more: &[&str]) -> (Process, SocketAddr) {
    let arguments = [&["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"], more].concat();
    let relay = Process::start(&arguments).await;
    let operators = relay.operators("http://");
    (relay, operators)
}

async fn ask(operators: SocketAddr, request: &str, headers: &[&str]) -> String {
    let mut stream = connect(operators).await;
    let lines: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    let text = format!("{request} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{lines}\r\n");
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    soon("the answer", stream.read_to_string(&mut answer)).await.unwrap();
    answer
}

/// A stream of changes.
struct Stream {
    lines: BufReader<TcpStream>,
    /// Its status line.
    status: String,
}

impl Stream {
    async fn open(operators: SocketAddr, headers: &[&str]) -> Self {
        let mut stream = connect(operators).await;
        let lines: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
        let request = format!("GET /api/live HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut stream = Self { lines: BufReader::new(stream), status: String::new() };
        stream.status = stream.line().await;
        stream
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        soon("a line of the stream", self.lines.read_line(&mut line)).await.unwrap();
        line
    }

    /// The next event.
    async fn event(&mut self) -> Value {
        loop {
            let line = self.line().await;
            assert!(!line.is_empty(), "the stream ended");
            if let Some(data) = line.strip_prefix("data: ") {
                return serde_json::from_str(data).unwrap();
            }
        }
    }

    /// The next event of which `is_it` is true.
    async fn event_when(&mut self, is_it: impl Fn(&Value) -> bool) -> Value {
        let it = async {
            loop {
                let event = self.event().await;
                if is_it(&event) {
                    return event;
                }
            }
        };
        soon("such an event", it).await
    }
}

#[tokio::test]
async fn the_page_needs_no_token_and_runs_nothing_but_its_own_files() {
    let folder = tempfile::tempdir().unwrap();
    let token = secret_file(folder.path(), "token", TOKEN);
    let (_relay, operators) = relay(&["--admin-token-file", text(&token)]).await;
    for (path, kind) in FILES {
        let answer = ask(operators, &format!("GET {path}"), &[]).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 ") && !body.is_empty(), "{path}: {head}");
        for line in [
            format!("content-type: {kind}"),
            "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
             connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
                .to_owned(),
            "x-content-type-options: nosniff".to_owned(),
            "referrer-policy: no-referrer".to_owned(),
            "cache-control: no-store".to_owned(),
        ] {
            assert!(head.to_lowercase().contains(&line), "{path}: {line}: {head}");
        }
        for hidden in ["Origin: https://evil.example", "Sec-Fetch-Site: cross-site"] {
            let answer = ask(operators, &format!("GET {path}"), &[hidden]).await;
            assert!(answer.starts_with("HTTP/1.1 403 "), "{path}: {answer}");
        }
        let answer = ask(operators, &format!("POST {path}"), &["Content-Length: 0"]).await;
        assert!(answer.starts_with("HTTP/1.1 405 "), "{path}: {answer}");
        let answer = ask(operators, &format!("HEAD {path}"), &[]).await;
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\n"), "{path}: {answer}");
    }
    let other = ask(operators, "GET /page.js/", &[]).await;
    assert!(other.starts_with("HTTP/1.1 401 "), "{other}");
}

#[tokio::test]
async fn the_stream_of_changes_is_for_those_who_show_the_token_and_for_no_page_of_another_site() {
    let folder = tempfile::tempdir().unwrap();
    let token = secret_file(folder.path(), "token", TOKEN);
    let (_relay, operators) = relay(&["--admin-token-file", text(&token)]).await;
    let shown = format!("Authorization: Bearer {TOKEN}");
    assert!(Stream::open(operators, &[]).await.status.starts_with("HTTP/1.1 401 "));
    assert!(Stream::open(operators, &["Authorization: Bearer other"]).await.status.starts_with("HTTP/1.1 401 "));
    let foreign = Stream::open(operators, &[&shown, "Origin: https://evil.example"]).await;
    assert!(foreign.status.starts_with("HTTP/1.1 403 "));
    let by_url = ask(operators, &format!("GET /api/live?token={TOKEN}"), &[]).await;
    assert!(by_url.starts_with("HTTP/1.1 401 "), "{by_url}");
    let head = ask(operators, "HEAD /api/live", &[&shown]).await;
    assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("text/event-stream"), "{head}");
    assert_eq!(Stream::open(operators, &[&shown]).await.event().await["rooms"], 0);
}

#[tokio::test]
async fn the_stream_tells_all_at_first_and_then_what_changes() {
    let (relay, operators) = relay(&["--memory", "64"]).await;
    let mut stream = Stream::open(operators, &[]).await;
    let first = stream.event().await;
    assert_eq!(
        json!([first["rooms"], first["peers"], first["draining"], first["shuttingDown"], first["firstRooms"]]),
        json!([0, 0, false, false, []])
    );
    assert_eq!(first["memory"]["budget"], 64 * 1024 * 1024);
    // It has the fields that the description of the API promises.
    let description = ask(operators, "GET /api/openapi.json", &[]).await;
    let description: Value = serde_json::from_str(description.split_once("\r\n\r\n").unwrap().1).unwrap();
    let promised = description["components"]["schemas"]["Live"]["required"].as_array().unwrap().iter();
    let promised: BTreeSet<&str> = promised.map(|field| field.as_str().unwrap()).collect();
    assert_eq!(first.as_object().unwrap().keys().map(String::as_str).collect::<BTreeSet<_>>(), promised);

    let main = SocketAddr::from(([127, 0, 0, 1], relay.port()));
    let mut ana = Client::dial(connect(main).await, "ws://localhost/ws", &[]).await.unwrap();
    ana.join_with_id("r", "ana").await;
    let then = stream.event_when(|event| event["peers"] == 1).await;
    assert_eq!((&then["rooms"], &then["connections"]), (&json!(1), &json!(1)));
    let room = json!({"room": "r", "members": 1, "knocks": 0, "host": "ana", "locked": false, "password": false, "capacity": 8});
    assert_eq!(then["firstRooms"], json!([room]));
    // Nothing changes any more: comments tell that it goes on.
    let is_quiet = async { while stream.line().await != ":\n" {} };
    soon("a comment", is_quiet).await;
    ana.close().await;
    stream.event_when(|event| event["peers"] == 0).await;
}

#[tokio::test]
async fn a_fifth_stream_is_refused_and_streams_keep_no_other_request_out() {
    let (_relay, operators) = relay(&[]).await;
    let mut open = Vec::new();
    for _ in 0..4 {
        let mut stream = Stream::open(operators, &[]).await;
        assert!(stream.status.starts_with("HTTP/1.1 200 "), "{}", stream.status);
        stream.event().await;
        open.push(stream);
    }
    let refused = ask(operators, "GET /api/live", &[]).await;
    assert!(refused.starts_with("HTTP/1.1 503 ") && refused.contains(r#""code":"too_many_streams""#), "{refused}");
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(connect(operators).await);
    }
    assert!(ask(operators, "GET /api/rooms", &[]).await.starts_with("HTTP/1.1 200 "));
    // Those who connect and say nothing have displaced none of them.
    for stream in &mut open {
        assert!(stream.line().await.ends_with('\n'), "it goes on");
    }
    open.pop();
    let is_free = async { while !Stream::open(operators, &[]).await.status.starts_with("HTTP/1.1 200 ") {} };
    soon("a place", is_free).await;
}

#[tokio::test]
async fn a_stream_does_not_hold_up_the_end_of_the_relay() {
    let (relay, operators) = relay(&[]).await;
    let mut stream = Stream::open(operators, &[]).await;
    stream.event().await;
    relay.signal("TERM");
    assert_eq!(relay.end().await, Some(0));
    let mut rest = Vec::new();
    // It may be reset rather than closed.
    let _ = soon("the end of the stream", stream.lines.read_to_end(&mut rest)).await;
}
