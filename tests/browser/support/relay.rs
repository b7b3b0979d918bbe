//! The relay under test: the real binary, as a process of its own.

use std::cell::Cell;
use std::fs;
use std::path::PathBuf;

use super::nat::in_network;
use super::{artifact, bound_to_us, test_name};
use crate::harness::process::{BINARY, without_settings};
use crate::harness::{Process, connect, get};

/// A relay on a free port. It ends with its owner; what it logged is shown when the test fails.
pub struct Relay {
    flags: Vec<String>,
    /// The network namespace that it is in, if that is another one than the test's.
    network: Option<String>,
    origin: String,
    log: PathBuf,
    process: Option<Process>,
}

impl Relay {
    /// On a free port of localhost.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// With `flags`; on a free port of localhost, unless they say where to listen.
    pub async fn start_with(flags: &[&str]) -> Self {
        Self::start_at("localhost:0", None, flags).await
    }

    /// At this address of a network namespace.
    pub async fn start_at(address: &str, network: Option<&str>, flags: &[&str]) -> Self {
        // Each test has a thread of its own, and rarely more than one relay.
        thread_local! { static COUNT: Cell<u32> = const { Cell::new(0) } }
        COUNT.set(COUNT.get() + 1);
        let log = artifact(&format!("{}-relay{}.log", test_name(), COUNT.get()));
        // What an earlier run left there.
        fs::remove_file(&log).ok();
        let flags = flags.iter().map(|&flag| flag.to_owned()).collect();
        let network = network.map(str::to_owned);
        let mut relay = Self { flags, network, origin: String::new(), log, process: None };
        relay.launch(address).await;
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
        self.process.take().expect("a relay that runs").kill().await;
    }

    /// Starts it again where it was.
    pub async fn come_back(&mut self) {
        assert!(self.process.is_none(), "the relay is still there");
        let address = self.host().to_owned();
        self.launch(&address).await;
    }

    /// Starts it again where it was, with other flags.
    pub async fn come_back_with(&mut self, flags: &[&str]) {
        self.flags = flags.iter().map(|&flag| flag.to_owned()).collect();
        self.come_back().await;
    }

    /// What its `/metrics` say; it was started with `--admin-listen`.
    pub async fn metrics(&self) -> String {
        get(connect(self.process().operators("http://")).await, "localhost", "/metrics").await
    }

    /// The address for operators; it was started with `--admin-listen`.
    pub fn operators_url(&self) -> String {
        self.process().operators_url().to_owned()
    }

    fn process(&self) -> &Process {
        self.process.as_ref().expect("a relay that runs")
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    async fn launch(&mut self, address: &str) {
        let mut command = without_settings(match &self.network {
            Some(network) => in_network(network, BINARY),
            None => bound_to_us(BINARY),
        });
        command.args(&self.flags).env("SIGNALING_RELAY_LISTEN", address).env("RUST_LOG", "debug,hyper=info");
        // While a page is being written: its folder, in place of the one in the binary.
        if let Some(folder) = std::env::var_os("RELAY_TEST_WEB") {
            command.env("SIGNALING_RELAY_WEB", folder);
        }
        let process = Process::from_command(command, Some(&self.log)).await;
        self.origin = process.urls()[0].trim_end_matches('/').to_owned();
        self.process = Some(process);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the relay's log\n{}---", self.log());
        }
    }
}
