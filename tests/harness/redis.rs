//! A real Redis for a test: on a port and in a folder of its own, and ended by the test.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use signaling_relay::Config;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::{Process, bound_to_us, free_port, soon, text};

/// A Redis that runs as a process. It ends with its owner.
pub struct Redis {
    pub port: u16,
    folder: TempDir,
    more: Vec<String>,
    process: Option<Child>,
}

impl Redis {
    /// One that is up for long enough, so that it can have had no life before: a relay that starts is not cautious.
    pub async fn start() -> Self {
        let redis = Self::start_with(&[]).await;
        redis.settle().await;
        redis
    }

    /// One with more arguments that has just been started.
    pub async fn start_with(more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let more = more.iter().map(|more| (*more).to_owned()).collect();
        let mut redis = Self { port: free_port(), folder, more, process: None };
        redis.restart().await;
        redis
    }

    /// A port on which none listens yet: [`restart`](Self::restart) starts it.
    pub fn later() -> Self {
        Self { port: free_port(), folder: tempfile::tempdir().unwrap(), more: Vec::new(), process: None }
    }

    /// Starts it again, empty, at the same port.
    pub async fn restart(&mut self) {
        self.kill().await;
        let log = self.folder.path().join("log");
        // Another program that is as one, such as Valkey.
        let program = std::env::var_os("CLUSTER_TEST_REDIS").unwrap_or_else(|| "redis-server".into());
        let process = Command::from(bound_to_us(program))
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .args(["--dir", text(self.folder.path()), "--logfile", text(&log)])
            .args(&self.more)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("redis-server: scripts/test installs it, or apt-get install redis-server");
        self.process = Some(process);
        let up = async {
            while !self.answers().await {
                if let Ok(Some(ended)) = self.process.as_mut().unwrap().try_wait() {
                    panic!("redis-server ended: {ended}, {:?}", std::fs::read_to_string(&log));
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        soon("Redis", up).await;
    }

    /// Whether somebody answers at its port, be it by an error.
    async fn answers(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)).await else { return false };
        let mut answer = [0; 1];
        stream.write_all(b"PING\r\n").await.is_ok() && stream.read(&mut answer).await.is_ok_and(|read| read > 0)
    }

    /// Waits until it is up for four seconds.
    pub async fn settle(&self) {
        let settles = async {
            while self.info("uptime_in_seconds").await.parse::<u64>().unwrap() < 4 {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        soon("Redis to be up for a while", settles).await;
    }

    /// Ends it without a word to anybody. What it had is lost.
    pub async fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().await.unwrap();
        }
    }

    /// Stops it for `ms`: it accepts connections, and answers nothing.
    pub async fn pause(&self, ms: u64) {
        assert_eq!(self.cli(&["client", "pause", &ms.to_string(), "all"]).await, "OK");
    }

    /// Adds a user, or changes it.
    pub async fn add_user(&self, name: &str, rules: &str) {
        let command: Vec<&str> = ["acl", "setuser", name, "on"].into_iter().chain(rules.split(' ')).collect();
        assert_eq!(self.cli(&command).await, "OK");
    }

    /// What it answers to a command.
    pub async fn cli(&self, command: &[&str]) -> String {
        cli(self.port, command).await
    }

    /// A field of `INFO`.
    pub async fn info(&self, field: &str) -> String {
        let info = self.cli(&["info", "everything"]).await;
        let value = info.lines().find_map(|line| line.trim_end().strip_prefix(field)?.strip_prefix(':'));
        value.unwrap_or_default().to_owned()
    }

    /// What the directory has for a room, whose relays have the usual prefix.
    pub async fn room(&self, name: &str) -> String {
        self.cli(&["get", &self.key(name)]).await
    }

    /// The key of a room.
    pub fn key(&self, name: &str) -> String {
        use std::fmt::Write as _;
        let hash = ring::digest::digest(&ring::digest::SHA256, name.as_bytes());
        let mut key = "signaling-relay:room:".to_owned();
        hash.as_ref()[..16].iter().for_each(|byte| write!(key, "{byte:02x}").unwrap());
        key
    }

    /// Waits until the directory says of a room what `is_it` wants to hear.
    pub async fn expect_room(&self, name: &str, is_it: impl Fn(&str) -> bool) {
        let waits = async {
            while !is_it(&self.room(name).await) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        soon("the directory", waits).await;
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The settings of a relay that is one with all others of this Redis.
    pub fn config(&self) -> Config {
        Config { redis: Some(self.url().parse().unwrap()), ..Config::default() }
    }

    /// Such a relay as a process.
    pub async fn relay(&self, more: &[&str]) -> Process {
        let url = self.url();
        Process::start(&[&["--listen", "127.0.0.1:0", "--redis", &url], more].concat()).await
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// What the server at this port answers to a command; nothing if none is there.
pub async fn cli(port: u16, command: &[&str]) -> String {
    let mut cli = Command::new("redis-cli");
    cli.args(["-p", &port.to_string()]).args(command).stdin(Stdio::null()).kill_on_drop(true);
    let said = soon("redis-cli", cli.output()).await.expect("redis-cli: apt-get install redis-tools");
    String::from_utf8_lossy(&said.stdout).trim_end().to_owned()
}
