//! The real client of matchbox, which nobody has changed, as native programs.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout};

use crate::harness::{Process, soon};

/// What `scripts/wires` builds of `examples/wires/matchbox`.
const CLIENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/wires/matchbox/debug/matchbox-client");

/// One client, until this is dropped.
struct Game {
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    child: Child,
}

impl Game {
    fn start(url: &str) -> Self {
        let mut command = tokio::process::Command::new(CLIENT);
        command.arg(url).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut child = command.spawn().expect("scripts/wires builds it");
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { stdin, lines: BufReader::new(stdout).lines(), child }
    }

    async fn tells(&mut self) -> String {
        soon("a client of matchbox", self.lines.next_line()).await.unwrap().expect("it goes on")
    }

    /// Waits until it is connected with so many peers.
    async fn meets(&mut self, peers: usize) {
        for _ in 0..peers {
            let told = self.tells().await;
            assert!(told.starts_with("connected "), "{told}");
        }
    }

    async fn says(&mut self, words: &str) {
        self.stdin.write_all(format!("{words}\n").as_bytes()).await.unwrap();
    }

    /// Waits until a peer has said so.
    async fn hears(&mut self, words: &str) {
        let told = self.tells().await;
        assert!(told.starts_with("heard ") && told.ends_with(&format!(" {words}")), "{told}");
    }

    /// Leaves, and waits until that is done.
    async fn leaves(self) {
        let Self { stdin, mut child, .. } = self;
        drop(stdin);
        soon("its end", child.wait()).await.unwrap();
    }
}

async fn relay() -> Process {
    Process::start(&["--listen", "127.0.0.1:0", "--wire", "matchbox"]).await
}

fn url(relay: &Process, path: &str) -> String {
    format!("ws://127.0.0.1:{}/matchbox/{path}", relay.port())
}

#[tokio::test]
#[ignore = "scripts/wires runs it"]
async fn groups_of_two_and_three_fill_one_after_the_other_and_talk_among_themselves() {
    let relay = relay().await;
    for size in [2, 3] {
        let mut groups = Vec::new();
        for _ in 0..2 {
            let url = url(&relay, &format!("game?next={size}"));
            let mut group: Vec<_> = (0..size).map(|_| Game::start(&url)).collect();
            for game in &mut group {
                game.meets(size - 1).await;
            }
            groups.push(group);
        }
        for (number, group) in groups.iter_mut().enumerate() {
            group[0].says(&format!("in group {number}")).await;
        }
        for (number, group) in groups.iter_mut().enumerate() {
            for game in &mut group[1..] {
                game.hears(&format!("in group {number}")).await;
            }
        }
    }
    relay.kill().await;
}

#[tokio::test]
#[ignore = "scripts/wires runs it"]
async fn a_mesh_of_eight_talks() {
    let relay = relay().await;
    let url = url(&relay, "mesh");
    let mut games: Vec<_> = (0..8).map(|_| Game::start(&url)).collect();
    for game in &mut games {
        game.meets(7).await;
    }
    games[0].says("to all").await;
    for game in &mut games[1..] {
        game.hears("to all").await;
    }
    relay.kill().await;
}

#[tokio::test]
#[ignore = "scripts/wires runs it"]
async fn one_who_leaves_while_waiting_is_not_waited_for() {
    let mut relay = relay().await;
    let url = url(&relay, "game?next=2");
    let early = Game::start(&url);
    relay.expect_log(" connected ").await;
    early.leaves().await;
    relay.expect_log("disconnected").await;
    let (mut one, mut two) = (Game::start(&url), Game::start(&url));
    one.meets(1).await;
    two.meets(1).await;
    relay.kill().await;
}

/// How a relay goes away.
#[derive(Clone, Copy, Debug)]
enum Away {
    Killed,
    Stopped,
}

#[tokio::test]
#[ignore = "scripts/wires runs it"]
async fn when_the_relay_goes_those_who_have_met_talk_on_and_run_of_one_who_waits_returns_an_error() {
    for away in [Away::Killed, Away::Stopped] {
        let mut relay = relay().await;
        let (pair, alone) = (url(&relay, "pair"), url(&relay, "alone"));
        let (mut one, mut two) = (Game::start(&pair), Game::start(&pair));
        one.meets(1).await;
        two.meets(1).await;
        let mut waiting = Game::start(&alone);
        relay.expect_log("matchbox").await;
        // The third has its place.
        for _ in 0..2 {
            relay.expect_log(" connected ").await;
        }
        let port = relay.port();
        match away {
            Away::Killed => relay.kill().await,
            Away::Stopped => {
                relay.signal("TERM");
                assert_eq!(relay.end().await, Some(0));
            }
        }
        let told = waiting.tells().await;
        assert!(told.starts_with("ended Disconnected("), "{away:?}: {told}");
        one.says("still there?").await;
        two.hears("still there?").await;
        two.says("yes").await;
        one.hears("yes").await;
        // Nobody is at that address now.
        let told = Game::start(&pair).tells().await;
        assert!(told.starts_with("ended ConnectionFailed("), "{away:?}: {told}");
        // It is back, and who comes now finds those who come now: the old ones never dial again.
        let listen = format!("127.0.0.1:{port}");
        let relay = Process::start(&["--listen", &listen, "--wire", "matchbox"]).await;
        let (mut three, mut four) = (Game::start(&pair), Game::start(&pair));
        three.meets(1).await;
        four.meets(1).await;
        two.says("and we").await;
        one.hears("and we").await;
        // The last of a pair that has lost the relay ends when the other one leaves.
        two.leaves().await;
        let told = one.tells().await;
        assert!(told.starts_with("disconnected "), "{away:?}: {told}");
        relay.kill().await;
    }
}
