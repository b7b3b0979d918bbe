//! An application that gets events as `src/events/README.md` shows it, with the library of Standard Webhooks for Node.

use std::process::Stdio;

use serde_json::json;
use signaling_relay::Config;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdout};

use crate::harness::pages::{block, page};
use crate::harness::{TestRelay, file, free_port, secret_file, soon};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER_SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";

/// The application, until this is dropped.
struct Application {
    port: u16,
    lines: Lines<BufReader<ChildStdout>>,
    errors: Lines<BufReader<ChildStderr>>,
    folder: TempDir,
    _child: Child,
}

impl Application {
    async fn start() -> Self {
        // Beside the packages of npm, which scripts/test installs there.
        let tools = concat!(env!("CARGO_MANIFEST_DIR"), "/target/tools");
        let folder = tempfile::Builder::new().prefix("application-").tempdir_in(tools).expect("scripts/test makes it");
        secret_file(folder.path(), "events.secret", format!("{SECRET}\n"));
        let (port, code) = (free_port(), block(&page("src/events/README.md"), "js", "standardwebhooks"));
        let ready = format!(r#".listen({port}, "localhost", () => console.log("ready"))"#);
        let program = code.replace(r#".listen(3000, "localhost")"#, &ready);
        assert_ne!(program, code);
        let program = file(folder.path(), "application.mjs", program);
        let mut command = tokio::process::Command::new("node");
        command.arg(&program).current_dir(folder.path()).kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("node: scripts/test installs it");
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let errors = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut application = Self { port, lines, errors, folder, _child: child };
        assert_eq!(application.says().await, "ready");
        application
    }

    /// A relay that signs with this secret what it tells the application.
    async fn relay(&self, secret: &str) -> TestRelay {
        let secret = secret_file(self.folder.path(), "relay.secret", secret);
        let url = format!("http://localhost:{}/events", self.port);
        let (events_url, events_secret_file) = (Some(url.parse().unwrap()), vec![secret]);
        TestRelay::start_with(Config { events_url, events_secret_file, ..Config::default() }).await
    }

    async fn says(&mut self) -> String {
        next(&mut self.lines).await
    }
}

async fn next(lines: &mut Lines<BufReader<impl AsyncRead + Unpin>>) -> String {
    soon("the application", lines.next_line()).await.unwrap().expect("it goes on")
}

#[tokio::test]
async fn the_application_of_the_page_about_events_takes_those_of_its_relay_and_no_others() {
    let mut application = Application::start().await;
    let forger = application.relay(OTHER_SECRET).await;
    let _mallory = forger.join("forged").await;
    while !next(&mut application.errors).await.contains("No matching signature found") {}
    let relay = application.relay(SECRET).await;
    let mut ana = relay.dial("/ws").await;
    ana.join_with_id("team", "ana").await;
    ana.say(json!({"type": "leave"})).await;
    for line in ["team joined ana", "team host ana", "team left ana", "team room_empty "] {
        assert_eq!(application.says().await, line);
    }
}
