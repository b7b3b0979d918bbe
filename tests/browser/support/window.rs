//! One window of the browser: whatever page is in it.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fantoccini::error::CmdError;
use fantoccini::wd::WindowHandle;
use fantoccini::{Client, Locator};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::driver::DriverCommand;
use super::session::Session;
use super::{PATIENCE, artifact};

/// What every script finds defined.
const EYE: &str = include_str!("eye.js");
/// Between two looks at a condition that a test waits for; at first it looks sooner.
pub const INTERVAL: Duration = Duration::from_millis(100);
const FIRST_INTERVAL: Duration = Duration::from_millis(20);
/// The loudest sample of what is no silence, of 1 at most.
const AUDIBLE: f64 = 0.01;
/// Chromium's fake microphone beeps twice a second, and each look hears the last 0.7 s.
const SILENCE: Duration = Duration::from_secs(1);

pub struct Window {
    session: Arc<Session>,
    handle: WindowHandle,
    /// Whether what happens in it happens in its first frame.
    framed: AtomicBool,
}

impl Window {
    pub(super) fn new(session: Arc<Session>, handle: WindowHandle) -> Self {
        let window = Self { session, handle, framed: AtomicBool::new(false) };
        let number = window.session.labels.lock().unwrap().len() + 1;
        window.call_it(&format!("window {number}"));
        window
    }

    /// What reports call it from now on; a file name, too.
    pub fn call_it(&self, label: &str) {
        let key = String::from(self.handle.clone());
        let label = label.replace(|char: char| !char.is_alphanumeric(), "-");
        self.session.labels.lock().unwrap().insert(key, label);
    }

    pub async fn go_to(&self, url: &str) {
        self.now(async |client| client.goto(url).await).await;
    }

    pub async fn reload(&self) {
        self.now(async |client| client.refresh().await).await;
    }

    /// What `body` returns, run as the body of a function; promises are awaited. `eye.js` is defined.
    pub async fn run(&self, body: &str) -> Value {
        self.try_run(body).await.unwrap_or_else(|error| panic!("{body}: {error}"))
    }

    /// From now on everything happens in the first frame of the page.
    pub fn enter_frame(&self) {
        self.framed.store(true, Ordering::Relaxed);
    }

    /// One command of the Chrome DevTools Protocol.
    pub async fn devtools(&self, command: &str, parameters: Value) -> Value {
        let body = json!({ "cmd": command, "params": parameters });
        self.now(async |client| client.issue_cmd(DriverCommand::new("goog/cdp/execute", body.clone())).await).await
    }

    /// Clicks as a person does: on what is there, visible and not covered.
    pub async fn click(&self, css: &str) {
        self.until(&format!("to click {css}"), async || {
            self.with(async |client| client.find(Locator::Css(css)).await?.click().await)
                .await
                .map_err(|e| e.to_string())
        })
        .await;
    }

    /// Types `text` into a field in place of what it holds.
    pub async fn fill(&self, css: &str, text: &str) {
        self.until(&format!("to type into {css}"), async || {
            let typing = async |client: &Client| {
                let field = client.find(Locator::Css(css)).await?;
                field.clear().await?;
                field.send_keys(text).await
            };
            self.with(typing).await.map_err(|e| e.to_string())
        })
        .await;
    }

    /// Presses keys where the focus is, one after the other.
    pub async fn press(&self, keys: &str) {
        self.now(async |client| client.active_element().await?.send_keys(keys).await).await;
    }

    /// Makes the window as large as that, as a phone or a wide screen is.
    pub async fn resize(&self, width: u32, height: u32) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", size).await;
    }

    /// Closes the window, as by the cross in its corner.
    pub async fn close(self) {
        self.now(async |client| client.close_window().await).await;
        self.session.labels.lock().unwrap().remove(&String::from(self.handle.clone()));
    }

    /// Waits until the page's visible text contains `text`.
    pub async fn reads(&self, text: &str) {
        self.until(&format!("to read {text:?}"), async || {
            let shown = self.text().await;
            if shown.contains(text) { Ok(()) } else { Err(String::new()) }
        })
        .await;
    }

    /// The page's visible text.
    pub async fn text(&self) -> String {
        self.run("return document.body.innerText").await.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until the JavaScript expression `condition` holds.
    pub async fn shows(&self, condition: &str) {
        let body = format!("return Boolean({condition})");
        self.until(condition, async || match self.try_run(&body).await {
            Ok(Value::Bool(true)) => Ok(()),
            Ok(_) => Err(String::new()),
            Err(error) => Err(error.to_string()),
        })
        .await;
    }

    /// Waits until the video that the expression `video` finds plays: a visible picture, with new frames between two looks.
    pub async fn plays(&self, video: &str) {
        let body = format!("return look({video})");
        let mut before = Value::Null;
        self.until(&format!("{video} to play"), async || {
            let now = self.try_run(&body).await.map_err(|e| e.to_string())?;
            let grows = |key: &str| now[key].as_f64() > before[key].as_f64().or(Some(f64::MAX));
            let picture = now["seen"] == true && now["paused"] == false && now["colours"].as_u64() > Some(2);
            let plays = picture && grows("frames") && grows("seconds");
            let looks = format!("first {before}, then {now}");
            before = now;
            if plays { Ok(()) } else { Err(looks) }
        })
        .await;
    }

    /// Waits until something is heard of the media element that the expression finds.
    pub async fn plays_sound(&self, element: &str) {
        self.until(&format!("{element} to be heard"), async || {
            let now = self.listen(element).await?;
            let on = now["live"] == true && now["muted"] == false && now["paused"] == false;
            let audible = now["loudest"].as_f64() > Some(AUDIBLE) && now["volume"].as_f64() > Some(0.0);
            if on && audible { Ok(()) } else { Err(now.to_string()) }
        })
        .await;
    }

    /// Waits until nothing is heard of it, longer than the fake microphone pauses between two beeps.
    pub async fn falls_silent(&self, element: &str) {
        let mut since = Instant::now();
        self.until(&format!("{element} to fall silent"), async || {
            let now = self.listen(element).await?;
            if now["loudest"].as_f64().is_some_and(|loudest| loudest > AUDIBLE) {
                since = Instant::now();
            }
            if since.elapsed() > SILENCE { Ok(()) } else { Err(now.to_string()) }
        })
        .await;
    }

    async fn listen(&self, element: &str) -> Result<Value, String> {
        self.try_run(&format!("return listen({element})")).await.map_err(|error| error.to_string())
    }

    /// Waits until `attempt` succeeds; when it does not in time, fails and shows the reason and every window.
    pub async fn until<T>(&self, what: &str, mut attempt: impl AsyncFnMut() -> Result<T, String>) -> T {
        let deadline = Instant::now() + PATIENCE;
        let mut interval = FIRST_INTERVAL;
        loop {
            match attempt().await {
                Ok(value) => return value,
                Err(_) if Instant::now() < deadline => {
                    sleep(interval).await;
                    interval = INTERVAL.min(interval * 3 / 2);
                }
                Err(why) => {
                    let who = self.session.label(&self.handle);
                    panic!("{who} waits in vain: {what}\n{why}\n{}", self.session.report().await)
                }
            }
        }
    }

    /// Saves what the window shows as `target/browser/NAME.png`.
    pub async fn photograph(&self, name: &str) {
        let png = self.now(async |client| client.screenshot().await).await;
        fs::write(artifact(&format!("{name}.png")), png).unwrap();
    }

    async fn try_run(&self, body: &str) -> Result<Value, CmdError> {
        let script = format!("{EYE}\nreturn (async () => {{ {body} }})();");
        self.with(async |client| client.execute(&script, Vec::new()).await).await
    }

    async fn now<T>(&self, act: impl AsyncFnOnce(&Client) -> Result<T, CmdError>) -> T {
        self.with(act).await.unwrap_or_else(|error| panic!("{}: {error}", self.session.label(&self.handle)))
    }

    async fn with<T>(&self, act: impl AsyncFnOnce(&Client) -> Result<T, CmdError>) -> Result<T, CmdError> {
        let framed = self.framed.load(Ordering::Relaxed);
        let act = async |client: &Client| {
            if framed {
                client.clone().enter_frame(0).await?;
            }
            act(client).await
        };
        self.session.in_window(self.handle.clone(), act).await
    }
}
