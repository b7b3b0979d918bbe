//! The relay under test: the real binary, as a process of its own.

use std::cell::Cell;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout};
use tokio::time::timeout;

use super::{PATIENCE, artifact, bound_to_us, test_name};

/// A relay on a free port. It ends with its owner; what it logged is shown when the test fails.
pub struct Relay {
    flags: Vec<String>,
    origin: String,
    log: PathBuf,
    running: Option<Running>,
}

struct Running {
    child: Child,
    /// Kept open: the relay may go on to print.
    _stdout: Lines<BufReader<ChildStdout>>,
}

impl Relay {
    /// On a free port of localhost.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// With `flags`; on a free port of localhost, unless they say where to listen.
    pub async fn start_with(flags: &[&str]) -> Self {
        // Each test has a thread of its own, and rarely more than one relay.
        thread_local! { static COUNT: Cell<u32> = const { Cell::new(0) } }
        COUNT.set(COUNT.get() + 1);
        let log = artifact(&format!("{}-relay{}.log", test_name(), COUNT.get()));
        // What an earlier run left there.
        fs::remove_file(&log).ok();
        let flags = flags.iter().map(|&flag| flag.to_owned()).collect();
        let mut relay = Self { flags, origin: String::new(), log, running: None };
        relay.launch("localhost:0").await;
        relay
    }

    /// `http://localhost:PORT/` with `rest` behind it.
    pub fn url(&self, rest: &str) -> String {
        format!("{}/{rest}", self.origin)
    }

    /// Host and port, as a page's address shows them.
    pub fn host(&self) -> &str {
        self.origin.split_once("://").unwrap().1
    }

    /// The port, the same after a restart.
    pub fn port(&self) -> u16 {
        self.origin.rsplit_once(':').unwrap().1.parse().unwrap()
    }

    /// Ends it without a word to anybody, like a crash or a power cut.
    pub async fn crash(&mut self) {
        let mut running = self.running.take().expect("a relay that runs");
        running.child.kill().await.unwrap();
    }

    /// Starts it again where it was.
    pub async fn come_back(&mut self) {
        assert!(self.running.is_none(), "the relay is still there");
        let address = self.host().to_owned();
        self.launch(&address).await;
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    async fn launch(&mut self, address: &str) {
        let log = File::options().create(true).append(true).open(&self.log).unwrap();
        let mut child = bound_to_us(env!("CARGO_BIN_EXE_signaling-relay"))
            .args(&self.flags)
            .env("SIGNALING_RELAY_LISTEN", address)
            .env("RUST_LOG", "debug,hyper=info")
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the relay starts");
        let mut stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        let find_url = async {
            while let Some(line) = stdout.next_line().await.unwrap() {
                if let Some(url) = line.split_whitespace().find(|word| word.starts_with("http")) {
                    return Some(url.trim_end_matches('/').to_owned());
                }
            }
            None
        };
        let url = timeout(PATIENCE, find_url).await.ok().flatten();
        self.origin = url.unwrap_or_else(|| panic!("the relay names no address; its log:\n{}", self.log()));
        self.running = Some(Running { child, _stdout: stdout });
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the relay's log\n{}---", self.log());
        }
    }
}
