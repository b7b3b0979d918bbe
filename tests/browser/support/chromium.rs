//! One Chromium, spoken to by WebDriver, that leaves nothing behind.

use std::collections::HashMap;
use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex as StdMutex};

use fantoccini::Client;
use fantoccini::wd::{Capabilities, WebDriverCompatibleCommand, WindowHandle};
use hyper::Method;
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::timeout;
use url::{ParseError, Url};

use super::{PATIENCE, Relay, Window, bound_to_us};

/// One browser at a time: calls are measured in frames, and two machines' worth of them would fight for two cores.
static TURN: Mutex<()> = Mutex::const_new(());

/// What Chromium is told at every start: no screen, no guesses about the network, no rest for windows in the back.
const FLAGS: &[&str] = &[
    "--headless=new",
    "--no-sandbox",
    "--window-size=1280,800",
    "--disable-gpu",
    "--disable-quic",
    "--disable-breakpad",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--disable-backgrounding-occluded-windows",
    // Chromium ends with the driver at the other end of the pipe, whatever ended that.
    "--remote-debugging-pipe",
];

/// How a browser is to start.
pub struct Options {
    flags: Vec<String>,
    home: TempDir,
    fake_devices: bool,
    allow_devices: bool,
    rules: Vec<String>,
    hosts: Vec<String>,
}

impl Options {
    /// One more command-line flag.
    pub fn flag(mut self, flag: &str) -> Self {
        self.flags.push(flag.to_owned());
        self
    }

    /// A machine without camera and microphone.
    pub fn without_devices(mut self) -> Self {
        self.fake_devices = false;
        self
    }

    /// A person who allows neither camera nor microphone.
    pub fn who_denies_devices(mut self) -> Self {
        self.allow_devices = false;
        self
    }

    /// Pages that dial `localhost:8080` reach this relay: that port need not be free here.
    pub fn dialling_8080_reaches(self, relay: &Relay) -> Self {
        let port = relay.port();
        self.host_rule(&format!("MAP localhost:8080 127.0.0.1:{port}"))
    }

    /// A rule of Chromium's `--host-resolver-rules`, such as `MAP relay.example 127.0.0.1`.
    pub fn host_rule(mut self, rule: &str) -> Self {
        self.rules.push(rule.to_owned());
        self
    }

    /// A host that pages may ask for something, besides this machine's own.
    pub fn may_ask(mut self, host: &str) -> Self {
        self.hosts.push(host.to_owned());
        self
    }

    /// The browser's `$HOME`, empty before the start.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Waits for its turn, then starts Chromium.
    pub async fn start(self) -> Browser {
        let turn = TURN.lock().await;
        let mut flags: Vec<String> = FLAGS.iter().map(|&flag| flag.to_owned()).collect();
        flags.push(format!("--user-data-dir={}", self.home.path().join("profile").display()));
        if self.fake_devices {
            flags.push("--use-fake-device-for-media-stream".to_owned());
        }
        flags.push(
            if self.allow_devices { "--use-fake-ui-for-media-stream" } else { "--deny-permission-prompts" }.to_owned(),
        );
        if !self.rules.is_empty() {
            flags.push(format!("--host-resolver-rules={}", self.rules.join(",")));
        }
        flags.extend(self.flags);
        let driver = Driver::start(&self.home).await;
        let client = driver.session(&flags).await;
        let first = client.window().await.unwrap();
        let session = Session {
            client: Mutex::new(client),
            labels: StdMutex::default(),
            expected_console: StdMutex::default(),
            console: StdMutex::default(),
            requests: StdMutex::default(),
        };
        Browser {
            session: Arc::new(session),
            unused: StdMutex::new(Some(first)),
            hosts: self.hosts,
            driver,
            ended: false,
            _home: self.home,
            _turn: turn,
        }
    }
}

/// A running Chromium. [`Browser::end`] belongs at the end of every test: it looks at the console.
pub struct Browser {
    session: Arc<Session>,
    /// The window that Chromium starts with, until somebody uses it.
    unused: StdMutex<Option<WindowHandle>>,
    hosts: Vec<String>,
    driver: Driver,
    ended: bool,
    // Fields are dropped in this order: the folder goes when Chromium has gone, and the next one's turn comes last.
    _home: TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Browser {
    /// With fake devices that everyone may use.
    pub async fn start() -> Self {
        Self::with().start().await
    }

    /// For those who need something else.
    pub fn with() -> Options {
        let home = tempfile::Builder::new().prefix("chromium-").tempdir().unwrap();
        let (flags, rules, hosts) = Default::default();
        Options { flags, home, fake_devices: true, allow_devices: true, rules, hosts }
    }

    /// Opens `url` in a window of its own: windows in the back go on, tabs in the back would be throttled.
    pub async fn open(&self, url: &str) -> Window {
        let unused = self.unused.lock().unwrap().take();
        let handle = match unused {
            Some(handle) => handle,
            None => self.session.client.lock().await.new_window(false).await.unwrap().handle,
        };
        let window = Window::new(Arc::clone(&self.session), handle);
        window.go_to(url).await;
        window
    }

    /// Lines on a page's console that contain `text` are no failure in this test.
    pub fn expect_console(&self, text: &str) {
        self.session.expected_console.lock().unwrap().push(text.to_owned());
    }

    /// Every URL that a page has asked for so far, sockets included.
    pub async fn requests(&self) -> Vec<String> {
        self.session.read_logs().await;
        self.session.requests.lock().unwrap().clone()
    }

    /// Ends Chromium; fails if a page complained on its console or asked a stranger for anything.
    pub async fn end(mut self) {
        self.ended = true;
        let requests = self.requests().await;
        let console = self.session.complaints();
        let closing = self.session.client.lock().await.clone();
        closing.close().await.unwrap();
        assert!(console.is_empty(), "on the console:\n{}", console.join("\n"));
        let here = ["localhost", "127.0.0.1", "[::1]"];
        for url in requests {
            let url = Url::parse(&url).unwrap();
            let host = url.host_str().unwrap_or_default();
            let known = here.contains(&host) || self.hosts.iter().any(|known| known == host);
            assert!(known || url.scheme() == "file", "a page asked {url}");
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.driver.kill();
        assert!(self.ended || std::thread::panicking(), "end the test with browser.end().await");
    }
}

/// What the windows of a browser share. WebDriver looks at one window at a time.
pub struct Session {
    pub client: Mutex<Client>,
    /// What tests call the windows.
    pub labels: StdMutex<HashMap<String, String>>,
    expected_console: StdMutex<Vec<String>>,
    console: StdMutex<Vec<String>>,
    requests: StdMutex<Vec<String>>,
}

impl Session {
    /// Takes over what the browser noted since the last time.
    pub async fn read_logs(&self) {
        let client = self.client.lock().await;
        let read = async |kind| client.issue_cmd(DriverCommand::new("se/log", json!({ "type": kind }))).await.unwrap();
        for entry in read("browser").await.as_array().unwrap() {
            let line = format!("{} {}", entry["level"].as_str().unwrap(), entry["message"].as_str().unwrap());
            self.console.lock().unwrap().push(line);
        }
        for entry in read("performance").await.as_array().unwrap() {
            let event: Value = serde_json::from_str(entry["message"].as_str().unwrap()).unwrap();
            let (method, params) = (&event["message"]["method"], &event["message"]["params"]);
            let url = match method.as_str().unwrap() {
                "Network.requestWillBeSent" => &params["request"]["url"],
                "Network.webSocketCreated" => &params["url"],
                _ => continue,
            };
            let url = url.as_str().unwrap();
            // What the browser and the page make for themselves goes nowhere.
            if !["chrome:", "chrome-untrusted:", "about:", "blob:", "data:"].iter().any(|local| url.starts_with(local))
            {
                self.requests.lock().unwrap().push(url.to_owned());
            }
        }
    }

    /// What the pages wrote on their consoles.
    pub fn console(&self) -> Vec<String> {
        self.console.lock().unwrap().clone()
    }

    fn complaints(&self) -> Vec<String> {
        let expected = self.expected_console.lock().unwrap();
        let unexpected = |line: &String| !expected.iter().any(|text| line.contains(text));
        let serious = |line: &String| line.starts_with("SEVERE") || line.starts_with("WARNING");
        self.console().into_iter().filter(|line| serious(line) && unexpected(line)).collect()
    }
}

/// The chromedriver process, with Chromium in its process group.
struct Driver {
    child: Child,
    port: u16,
    /// Kept open: the driver may go on to print.
    _stdout: Lines<BufReader<ChildStdout>>,
}

impl Driver {
    async fn start(home: &TempDir) -> Self {
        let mut child = bound_to_us("chromedriver")
            .arg("--port=0")
            .env("HOME", home.path())
            .env("TMPDIR", home.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
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
        let port = timeout(PATIENCE, find_port).await.ok().flatten();
        let port =
            port.expect("chromedriver does not start: scripts/test installs it, or apt-get install chromium-driver");
        Self { child, port, _stdout: stdout }
    }

    async fn session(&self, flags: &[String]) -> Client {
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
        let starting = Client::with_capabilities_and_connector(&address, &wanted, HttpConnector::new());
        timeout(PATIENCE, starting).await.expect("Chromium starts in time").expect("Chromium starts")
    }

    /// Ends the driver, Chromium and its helpers, however they are, and waits for the driver to be gone.
    fn kill(&mut self) {
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
