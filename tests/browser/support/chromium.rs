//! One Chromium, spoken to by WebDriver, that leaves nothing behind.

use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex as StdMutex};
use std::thread;

use fantoccini::wd::WindowHandle;
use tempfile::TempDir;
use tokio::sync::{Semaphore, SemaphorePermit};
use url::Url;

use super::camera::{RATE, film};
use super::driver::Driver;
use super::session::Session;
use super::{Relay, Window};

/// Most browsers at a time, however many cores there are: each takes half a gigabyte.
const MOST: usize = 8;
/// Three browsers for two cores: in a call of two each keeps half of one busy, and waits for the rest of the time.
static TOGETHER: LazyLock<usize> =
    LazyLock::new(|| thread::available_parallelism().map_or(1, |cores| (cores.get() * 3 / 2).min(MOST)));
static TURNS: LazyLock<Semaphore> = LazyLock::new(|| Semaphore::new(*TOGETHER));

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

/// The cameras and microphones of the machine.
enum Devices {
    None,
    /// A camera that shows a film of small pictures, and a microphone that beeps.
    Film,
    /// So many of Chromium's own cameras, as large as a page asks for.
    Many(u32),
}

/// How a browser is to start.
pub struct Options {
    flags: Vec<String>,
    home: TempDir,
    devices: Devices,
    allow_devices: bool,
    turns: usize,
    rules: Vec<String>,
    hosts: Vec<String>,
    network: Option<String>,
}

impl Options {
    /// One more command-line flag.
    pub fn flag(mut self, flag: &str) -> Self {
        self.flags.push(flag.to_owned());
        self
    }

    /// A machine without camera and microphone.
    pub fn without_devices(mut self) -> Self {
        self.devices = Devices::None;
        self
    }

    /// A machine with so many cameras, whose pictures are large.
    pub fn with_cameras(mut self, count: u32) -> Self {
        self.devices = Devices::Many(count);
        self
    }

    /// Many people at once, who need every core: no other test has a browser meanwhile.
    pub fn for_a_crowd(mut self) -> Self {
        self.turns = *TOGETHER;
        self
    }

    /// Takes the turn of a second browser as well: two tests that each wait for their second one would wait for ever.
    pub fn for_two(mut self) -> Self {
        self.turns = 2.min(*TOGETHER);
        self
    }

    /// The second browser.
    pub fn second_of_two(mut self) -> Self {
        self.turns = 0;
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

    /// In this network namespace.
    pub fn in_network(mut self, name: &str) -> Self {
        self.network = Some(name.to_owned());
        self
    }

    /// The browser's `$HOME`, empty before the start.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Waits for its turn, then starts Chromium.
    pub async fn start(self) -> Browser {
        let turn = TURNS.acquire_many(u32::try_from(self.turns).unwrap()).await.unwrap();
        let mut flags: Vec<String> = FLAGS.iter().map(|&flag| flag.to_owned()).collect();
        flags.push(format!("--user-data-dir={}", self.home.path().join("profile").display()));
        match self.devices {
            Devices::None => {}
            Devices::Film => {
                flags.push(format!("--use-fake-device-for-media-stream=fps={RATE}"));
                flags.push(format!("--use-file-for-fake-video-capture={}", film().display()));
            }
            Devices::Many(count) => {
                flags.push(format!("--use-fake-device-for-media-stream=fps={RATE},device-count={count}"));
            }
        }
        flags.push(
            if self.allow_devices { "--use-fake-ui-for-media-stream" } else { "--deny-permission-prompts" }.to_owned(),
        );
        if !self.rules.is_empty() {
            flags.push(format!("--host-resolver-rules={}", self.rules.join(",")));
        }
        flags.extend(self.flags);
        let driver = Driver::start(self.home.path(), self.network).await;
        let client = driver.session(&flags).await;
        let first = client.window().await.unwrap();
        Browser {
            session: Arc::new(Session::new(client)),
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
    _turn: SemaphorePermit<'static>,
}

impl Browser {
    /// With fake devices that everyone may use.
    pub async fn start() -> Self {
        Self::with().start().await
    }

    /// For those who need something else.
    pub fn with() -> Options {
        let home = tempfile::Builder::new().prefix("chromium-").tempdir().unwrap();
        let (flags, rules, hosts, network) = Default::default();
        Options { flags, home, devices: Devices::Film, allow_devices: true, turns: 1, rules, hosts, network }
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
        self.session.expect_console(text);
    }

    /// Every URL that a page has asked for so far, sockets included.
    pub async fn requests(&self) -> Vec<String> {
        self.session.requests().await
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
