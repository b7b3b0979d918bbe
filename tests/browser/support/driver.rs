//! The chromedriver process and what it is asked.

use std::env;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::{Command, Stdio};
use std::task::{Context, Poll};

use fantoccini::Client;
use fantoccini::wd::{Capabilities, WebDriverCompatibleCommand};
use hyper::{Method, Uri};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout};
use tokio::time::timeout;
use tower_service::Service;
use url::{ParseError, Url};

use super::nat::{connect_in, in_network};
use super::{PATIENCE, bound_to_us};

/// The chromedriver process, with Chromium in its process group.
pub struct Driver {
    child: Child,
    port: u16,
    network: Option<String>,
    /// Kept open: the driver may go on to print.
    _stdout: Lines<BufReader<ChildStdout>>,
}

impl Driver {
    /// In the network namespace `network`, if there is one. The driver takes a port that is free for IPv4, and ends if it is not
    /// for IPv6: then another one is started.
    pub async fn start(home: &Path, network: Option<String>) -> Self {
        const TRIES: usize = 3;
        for _ in 0..TRIES {
            if let Some(driver) = Self::try_to_start(home, network.clone()).await {
                return driver;
            }
        }
        panic!("chromedriver does not start: scripts/test installs it, or apt-get install chromium-driver");
    }

    async fn try_to_start(home: &Path, network: Option<String>) -> Option<Self> {
        let command = match &network {
            Some(network) => in_network(network, "chromedriver"),
            None => bound_to_us("chromedriver"),
        };
        let mut child = tokio::process::Command::from(command)
            .arg("--port=0")
            .env("HOME", home)
            .env("TMPDIR", home)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .expect("setpriv (of util-linux) starts");
        let mut stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        let find_port = async {
            while let Some(line) = stdout.next_line().await.unwrap() {
                if let Some((_, port)) = line.split_once("started successfully on port ") {
                    return port.trim_end_matches('.').parse().ok();
                }
            }
            None
        };
        let port = timeout(PATIENCE, find_port).await.ok().flatten()?;
        Some(Self { child, port, network, _stdout: stdout })
    }

    /// Starts Chromium with `flags`.
    pub async fn session(&self, flags: &[String]) -> Client {
        let mut wanted = Capabilities::new();
        wanted.insert("browserName".to_owned(), json!("chrome"));
        let longest = PATIENCE.as_millis();
        wanted.insert("timeouts".to_owned(), json!({ "pageLoad": longest, "script": longest }));
        wanted.insert("goog:loggingPrefs".to_owned(), json!({ "browser": "ALL", "performance": "ALL" }));
        wanted.insert(
            "goog:chromeOptions".to_owned(),
            json!({
                "binary": chromium(),
                "args": flags,
                "perfLoggingPrefs": { "enableNetwork": true, "enablePage": false },
            }),
        );
        let address = format!("http://127.0.0.1:{}", self.port);
        let connector = Connector { network: self.network.clone() };
        let starting = Client::with_capabilities_and_connector(&address, &wanted, connector);
        timeout(PATIENCE, starting).await.expect("Chromium starts in time").expect("Chromium starts")
    }

    /// Ends the driver, Chromium and its helpers, however they are, and waits for the driver to be gone.
    pub fn kill(&mut self) {
        let Some(group) = self.child.id() else { return };
        let killed = Command::new("kill").args(["-KILL", "--", &format!("-{group}")]).stderr(Stdio::null()).status();
        if killed.is_ok_and(|status| status.success()) {
            while matches!(self.child.try_wait(), Ok(None)) {
                std::thread::yield_now();
            }
        }
    }
}

fn chromium() -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let mut candidates = env::split_paths(&path).flat_map(|folder| names.map(|name| folder.join(name)));
    let found = candidates.find(|candidate| candidate.is_file());
    found.expect("Chromium is missing: scripts/test installs it, or apt-get install chromium chromium-driver")
}

/// Connects to the driver, on loopback of its network.
#[derive(Clone)]
struct Connector {
    network: Option<String>,
}

impl Service<Uri> for Connector {
    type Response = TokioIo<TcpStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let network = self.network.clone();
        Box::pin(async move {
            let address = ([127, 0, 0, 1], to.port_u16().unwrap_or_default()).into();
            let stream = match network {
                Some(network) => connect_in(&network, address).await?,
                None => TcpStream::connect(address).await?,
            };
            Ok(TokioIo::new(stream))
        })
    }
}

/// A command of chromedriver's own, besides the standard's.
#[derive(Debug)]
pub struct DriverCommand {
    path: &'static str,
    body: Value,
}

impl DriverCommand {
    pub fn new(path: &'static str, body: Value) -> Self {
        Self { path, body }
    }
}

impl WebDriverCompatibleCommand for DriverCommand {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!("session/{}/{}", session.unwrap_or_default(), self.path))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.body.to_string()))
    }
}
