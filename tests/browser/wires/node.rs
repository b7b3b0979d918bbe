//! The same clients in Node, with npm's `@roamhq/wrtc`, and many of them at once.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::time::{Instant, sleep};

use super::{pages, relay};
use crate::harness::soon;
use crate::support::{Browser, PATIENCE, Relay};

/// A program in Node with the clients, until this is dropped.
struct Program {
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    _child: Child,
    _folder: TempDir,
}

impl Program {
    fn start() -> Self {
        // Beside the packages of npm, which scripts/test installs there.
        let tools = concat!(env!("CARGO_MANIFEST_DIR"), "/target/tools");
        let folder = tempfile::Builder::new().prefix("wires-").tempdir_in(tools).expect("scripts/test makes it");
        for name in ["wires.mjs", "wires-node.mjs", "wires-crowd.mjs"] {
            let from = format!("{}/tests/browser/pages/{name}", env!("CARGO_MANIFEST_DIR"));
            fs::copy(from, folder.path().join(name)).unwrap();
        }
        let mut command = tokio::process::Command::new("node");
        command.arg(folder.path().join("wires-node.mjs")).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child =
            command.stderr(Stdio::inherit()).kill_on_drop(true).spawn().expect("node: scripts/test installs it");
        let stdin = child.stdin.take().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { stdin, lines, _child: child, _folder: folder }
    }

    /// What `body` returns, run as the body of a function; promises are awaited.
    async fn run(&mut self, body: &str) -> Value {
        self.stdin.write_all(format!("{}\n", json!(body)).as_bytes()).await.unwrap();
        let line = soon(body, self.lines.next_line()).await.unwrap().expect("Node goes on");
        let mut answer: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(answer["error"], Value::Null, "{body}");
        answer["value"].take()
    }

    /// Waits until the expression `condition` holds.
    async fn shows(&mut self, condition: &str) {
        let end = Instant::now() + PATIENCE;
        while self.run(&format!("return Boolean({condition})")).await != true {
            assert!(Instant::now() < end, "waited too long for {condition}");
            sleep(Duration::from_millis(100)).await;
        }
    }
}

fn websocket_url(relay: &Relay, wire: &str) -> String {
    relay.url(wire).replace("http", "ws")
}

#[tokio::test]
async fn a_document_in_node_and_one_in_a_page_edit_each_other_with_and_without_a_password() {
    let (relay, pages) = (relay().await, pages().await);
    let browser = Browser::start().await;
    let (ana, mut bob) = (browser.open(&pages.url("")).await, Program::start());
    let url = websocket_url(&relay, "y-webrtc");
    for (room, password) in [("open", None), ("closed", Some("secret"))] {
        bob.run(&format!("openDocument({}, {room:?}, 'Bob', {})", json!(url), json!(password))).await;
        // If both said at once that they are there, both would offer, and `wrtc` cannot take its own offer back.
        bob.shows(&format!("documents.{room}.isThere()")).await;
        ana.opens_document(&relay, room, "Ana", password).await;
        ana.shows_names(room, "Ana Bob").await;
        bob.shows(&format!("documents.{room}.others() === 'Ana Bob'")).await;
        ana.writes(room, "from Ana.").await;
        bob.shows(&format!("documents.{room}.read().includes('from Ana.')")).await;
        bob.run(&format!("documents.{room}.write('from Bob.')")).await;
        ana.has(room, "from Bob.").await;
    }
    bob.run("documents.open.destroy()").await;
    ana.shows_names("open", "Ana").await;
    ana.writes("closed", "the last.").await;
    bob.shows("documents.closed.read().includes('the last.')").await;
    browser.end().await;
}

#[tokio::test]
async fn three_of_trystero_meet_and_talk_one_of_them_in_node() {
    let (relay, pages) = (relay().await, pages().await);
    let elsewhere = self::pages().await;
    let browser = Browser::with().for_two().start().await;
    let other = Browser::with().second_of_two().start().await;
    let (one, two) = (browser.open(&pages.url("")).await, other.open(&elsewhere.url("")).await);
    let mut three = Program::start();
    three.run(&format!("meet({}, 'r')", json!(websocket_url(&relay, "trystero")))).await;
    for page in [&one, &two] {
        page.meets(&relay, "r").await;
    }
    for page in [&one, &two] {
        page.shows("room.peers() === 2").await;
    }
    three.shows("room.peers() === 2").await;
    three.run("room.say('from Node')").await;
    one.shows("room.heard.includes('from Node')").await;
    two.shows("room.heard.includes('from Node')").await;
    one.run("room.say('from a page')").await;
    two.shows("room.heard.includes('from a page')").await;
    three.shows("room.heard.includes('from a page')").await;
    two.go_to("about:blank").await;
    three.shows("room.peers() === 1").await;
    browser.end().await;
    other.end().await;
}

#[tokio::test]
#[ignore = "waits for more than a minute: scripts/wires"]
async fn a_page_that_says_nothing_keeps_its_one_socket() {
    // Twice as long as the client waits for a pong, and as the relay waits for one.
    const IDLE: Duration = Duration::from_secs(70);
    let (relay, pages) = (relay().await, pages().await);
    let browser = Browser::start().await;
    let ana = browser.open(&pages.url("")).await;
    ana.opens_document(&relay, "r", "Ana", None).await;
    ana.shows("documents.r.isConnected()").await;
    ana.run("documents.r.provider.signalingConns[0].on('disconnect', () => { globalThis.wasLost = true; })").await;
    // Not to await anything: that nothing happens meanwhile is what is shown.
    sleep(IDLE).await;
    ana.shows("documents.r.isConnected() && !globalThis.wasLost").await;
    let sockets = browser.requests().await.iter().filter(|url| url.ends_with("/y-webrtc")).count();
    assert_eq!(sockets, 1);
    assert!(!relay.log().contains("disconnected"), "{}", relay.log());
    browser.end().await;
}

#[tokio::test]
#[ignore = "needs the whole machine: scripts/wires"]
async fn thirty_four_enter_a_document_with_a_password_at_once_and_all_meet() {
    // As many as two cores carry; the others are sockets that say what a page says.
    const PAGES: usize = 6;
    const CROWD: usize = 34 - PAGES;
    let relay = relay().await;
    let browser = Browser::with().for_a_crowd().start().await;
    let mut crowd = Program::start();
    crowd.run("await import(process.argv[1].replace('wires-node', 'wires-crowd'))").await;
    let (mut origins, mut windows) = (Vec::new(), Vec::new());
    for _ in 0..PAGES {
        let pages = pages().await;
        windows.push(browser.open(&pages.url("")).await);
        origins.push(pages);
    }
    let began = Instant::now();
    let url = json!(websocket_url(&relay, "y-webrtc"));
    for (number, window) in windows.iter().enumerate() {
        window.opens_document(&relay, "r", &number.to_string(), Some("secret")).await;
    }
    crowd.run(&format!("await crowdEnters({url}, 'r', 'secret', {CROWD})")).await;
    let names = (0..PAGES).map(|number| number.to_string()).collect::<Vec<_>>().join(" ");
    for window in &windows {
        window.shows_names("r", &names).await;
    }
    let pages_met = began.elapsed();
    crowd.shows(&format!("crowd.pairs() === {}", CROWD * (CROWD - 1) / 2)).await;
    crowd.shows(&format!("crowd.metBy({PAGES}) === {CROWD}")).await;
    println!(
        "{PAGES} pages had met after {:.1} s, and all 34 after {:.1} s",
        pages_met.as_secs_f64(),
        began.elapsed().as_secs_f64()
    );
    windows[0].writes("r", "for all").await;
    for window in &windows {
        window.has("r", "for all").await;
    }
    assert!(!relay.log().contains("disconnected"), "nobody was cut: {}", relay.log());
    browser.end().await;
}
