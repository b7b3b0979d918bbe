//! What the windows of one browser share: WebDriver looks at one window at a time, and notes are kept for all.

use std::collections::HashMap;
use std::fmt::Write;
use std::fs;
use std::sync::Mutex as StdMutex;

use fantoccini::Client;
use fantoccini::error::CmdError;
use fantoccini::wd::WindowHandle;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::driver::DriverCommand;
use super::{artifact, test_name};

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
    pub fn new(client: Client) -> Self {
        let (labels, expected_console, console, requests) = Default::default();
        Self { client: Mutex::new(client), labels, expected_console, console, requests }
    }

    pub fn expect_console(&self, text: &str) {
        self.expected_console.lock().unwrap().push(text.to_owned());
    }

    /// Every URL that a page has asked for so far.
    pub async fn requests(&self) -> Vec<String> {
        self.read_logs().await;
        self.requests.lock().unwrap().clone()
    }

    /// Takes over what the browser noted since the last time.
    async fn read_logs(&self) {
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

    fn console(&self) -> Vec<String> {
        self.console.lock().unwrap().clone()
    }

    /// What they wrote there that nobody expects.
    pub fn complaints(&self) -> Vec<String> {
        let expected = self.expected_console.lock().unwrap();
        let unexpected = |line: &String| !expected.iter().any(|text| line.contains(text));
        // A browser asks for the icon when it has time, perhaps after the relay has gone.
        let late = "/icon.svg - Failed to load resource: net::ERR_CONNECTION_REFUSED";
        let serious = |line: &String| line.starts_with("SEVERE") || line.starts_with("WARNING");
        let unexpected = |line: &String| !line.ends_with(late) && unexpected(line);
        self.console().into_iter().filter(|line| serious(line) && unexpected(line)).collect()
    }

    pub fn label(&self, handle: &WindowHandle) -> String {
        let key = String::from(handle.clone());
        self.labels.lock().unwrap().get(&key).cloned().unwrap_or(key)
    }

    /// Acts in one window, while no other does.
    pub async fn in_window<T>(
        &self,
        handle: WindowHandle,
        act: impl AsyncFnOnce(&Client) -> Result<T, CmdError>,
    ) -> Result<T, CmdError> {
        let client = self.client.lock().await;
        client.switch_to_window(handle).await?;
        act(&client).await
    }

    /// What every window shows, for the reader of a failed test.
    pub async fn report(&self) -> String {
        const SHOWN: &str = "return [location.href, JSON.stringify(document.body?.dataset), document.body?.innerText, \
            globalThis.Log?.lines.join('\\n').slice(-8000)].map((text) => String(text ?? '').slice(0, 8000))";
        let mut report = String::new();
        let handles = self.client.lock().await.windows().await.unwrap_or_default();
        for handle in handles {
            let label = self.label(&handle);
            let file = artifact(&format!("{}-{}.png", test_name(), label));
            let look = async |client: &Client| {
                let shown = client.execute(SHOWN, Vec::new()).await?;
                Ok((shown, client.screenshot().await?))
            };
            let _ = write!(report, "--- {label}: ");
            let _ = match self.in_window(handle, look).await {
                Ok((shown, png)) => {
                    let part = |at: usize| shown[at].as_str().unwrap_or_default();
                    let saved = fs::write(&file, png).map_or_else(|e| e.to_string(), |()| file.display().to_string());
                    writeln!(report, "{}\n{}\n{}\nits log:\n{}\npicture: {saved}", part(0), part(1), part(2), part(3))
                }
                Err(error) => writeln!(report, "{error}"),
            };
        }
        self.read_logs().await;
        let _ = writeln!(report, "--- the console\n{}", self.console().join("\n"));
        report
    }
}
