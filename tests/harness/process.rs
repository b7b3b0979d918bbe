//! The binary, as a process of its own.

use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdout};

use super::soon;

/// The binary, with no environment of its own that could tell it more than the test does.
pub fn binary() -> Command {
    without_settings(Command::new(BINARY))
}

/// Where it is.
pub const BINARY: &str = env!("CARGO_BIN_EXE_signaling-relay");

/// Limits that are felt by clients who all have one address, or say much at once.
pub const UNLIMITED: [&str; 7] = [
    "--message-rate=0",
    "--byte-rate=0",
    "--address-connections=0",
    "--address-upgrades=0",
    "--address-joins=0",
    "--address-bytes=0",
    "--address-memory=0",
];

/// Takes what could tell the relay more than the test does out of the environment of `command`.
pub fn without_settings(mut command: Command) -> Command {
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SIGNALING_RELAY_") || name == "RUST_LOG") {
        command.env_remove(name);
    }
    command
}

/// Runs the binary to its end, which it must reach by itself.
pub async fn run(arguments: &[&str]) -> Output {
    let mut command = tokio::process::Command::from(binary());
    command.args(arguments).kill_on_drop(true).stdin(Stdio::null());
    soon("the relay to end", command.output()).await.unwrap()
}

/// A relay that runs as a process.
pub struct Process {
    child: Child,
    stdout: Lines<BufReader<ChildStdout>>,
    /// Its log, unless that goes to a file.
    stderr: Option<Lines<BufReader<ChildStderr>>>,
    /// What it wrote so far on stdout.
    pub screen: Vec<String>,
}

impl Process {
    /// Starts the binary, and waits until it is ready.
    pub async fn start(arguments: &[&str]) -> Self {
        let mut command = binary();
        command.args(arguments);
        Self::of(command).await
    }

    /// Starts `command`, and waits until the relay in it is ready.
    pub async fn of(command: Command) -> Self {
        Self::from_command(command, None).await
    }

    /// The same; its log is appended to the file `log`, if there is one.
    pub async fn from_command(command: Command, log: Option<&Path>) -> Self {
        let mut command = tokio::process::Command::from(command);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        match log {
            Some(log) => command.stderr(File::options().create(true).append(true).open(log).unwrap()),
            None => command.stderr(Stdio::piped()),
        };
        let mut child = command.spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        let stderr = child.stderr.take().map(|stderr| BufReader::new(stderr).lines());
        let mut process = Self { child, stdout, stderr, screen: Vec::new() };
        while !process.screen.last().is_some_and(|line| line.contains("Ctrl-C ends it")) {
            match soon("the first screen", process.stdout.next_line()).await.unwrap() {
                Some(line) => process.screen.push(line),
                None => {
                    let mut said = String::new();
                    if let Some(stderr) = &mut process.stderr {
                        stderr.get_mut().read_to_string(&mut said).await.unwrap();
                    }
                    panic!("the relay ended: {said}");
                }
            }
        }
        process
    }

    /// The URLs of its first screen.
    pub fn urls(&self) -> Vec<&str> {
        self.screen.iter().filter_map(|line| line.strip_prefix("    ")).filter(|line| line.contains("://")).collect()
    }

    /// The port of its first URL.
    pub fn port(&self) -> u16 {
        let url = self.urls()[0].trim_end_matches('/');
        url.rsplit_once(':').unwrap().1.parse().unwrap()
    }

    /// Where its first screen says that it tells operators how it is.
    pub fn operators_url(&self) -> &str {
        let said = "It tells operators how it is at ";
        self.screen.iter().find_map(|line| line.strip_prefix(said)).expect("a line for operators: --admin-listen")
    }

    /// The address in that URL, which has this scheme.
    pub fn operators(&self, scheme: &str) -> SocketAddr {
        self.operators_url().strip_prefix(scheme).unwrap().trim_end_matches('/').parse().unwrap()
    }

    /// Its number; none when it has ended.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    pub fn signal(&self, name: &str) {
        let pid = self.child.id().unwrap().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }

    /// Stops it, and waits until it stands still: until its threads have run once more, they go on.
    pub async fn stop(&self) {
        self.signal("STOP");
        let pid = self.child.id().unwrap().to_string();
        let stands_still = async {
            let state = || Command::new("ps").args(["-o", "stat=", "-p", &pid]).output().unwrap().stdout;
            while state().first() != Some(&b'T') {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        soon("a process that stands still", stands_still).await;
    }

    /// The next line of the log that contains `text`.
    pub async fn expect_log(&mut self, text: &str) -> String {
        self.log_until(text).await.pop().unwrap()
    }

    /// The log from its next line to the first that contains `text`.
    pub async fn log_until(&mut self, text: &str) -> Vec<String> {
        let lines = async {
            let stderr = self.stderr.as_mut().expect("a log that is not in a file");
            let mut lines = Vec::new();
            loop {
                let line = stderr.next_line().await.unwrap().expect("the log ended");
                let is_last = line.contains(text);
                lines.push(line);
                if is_last {
                    return lines;
                }
            }
        };
        soon(text, lines).await
    }

    /// The next line of the log; none when it has ended.
    pub async fn next_log(&mut self) -> Option<String> {
        let stderr = self.stderr.as_mut().expect("a log that is not in a file");
        soon("a line of the log", stderr.next_line()).await.unwrap()
    }

    /// Waits for the end; its exit code.
    pub async fn end(mut self) -> Option<i32> {
        soon("the end", self.child.wait()).await.unwrap().code()
    }

    /// Ends it without a word to anybody, like a crash or a power cut.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}
