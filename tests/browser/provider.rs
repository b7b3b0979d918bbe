//! Tokens of an identity provider that others wrote (`oidc-provider` of npm), whose keys the relay fetches.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use serde_json::json;
use signaling_relay::{Config, limits};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout};

use crate::harness::{TestRelay, soon};

/// For whom the provider issues the tokens of programs.
const AUDIENCE: &str = "https://relay.example";
/// The client of the provider, for whom it issues those of people.
const CLIENT: &str = "call-app";

/// The provider, until this is dropped.
struct Provider {
    issuer: String,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    _child: Child,
    _folder: TempDir,
}

impl Provider {
    async fn start() -> Self {
        // Beside the packages of npm, which scripts/test installs there.
        let tools = concat!(env!("CARGO_MANIFEST_DIR"), "/target/tools");
        let folder = tempfile::Builder::new().prefix("provider-").tempdir_in(tools).expect("scripts/test makes it");
        let program = folder.path().join("provider.mjs");
        fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/browser/pages/provider.mjs"), &program).unwrap();
        let mut command = tokio::process::Command::new("node");
        command.arg(&program).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).kill_on_drop(true);
        let mut child = command.spawn().expect("node: scripts/test installs it");
        let stdin = child.stdin.take().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut provider = Self { issuer: String::new(), stdin, lines, _child: child, _folder: folder };
        provider.issuer = provider.says().await;
        provider
    }

    async fn says(&mut self) -> String {
        soon("the provider", self.lines.next_line()).await.unwrap().expect("it goes on")
    }

    async fn asked(&mut self, line: &str) -> String {
        self.stdin.write_all(format!("{line}\n").as_bytes()).await.unwrap();
        self.says().await
    }

    /// A relay that believes it.
    fn relay(&self) -> TestRelay {
        TestRelay::in_memory(Config {
            token_jwks: vec![format!("{}/jwks", self.issuer).parse().unwrap()],
            token_audience: vec![AUDIENCE.into(), CLIENT.into()],
            token_issuer: vec![self.issuer.clone()],
            token_any_room: true,
            ..Config::default()
        })
    }
}

#[tokio::test]
async fn a_provider_that_others_wrote_lets_people_and_programs_in_and_its_keys_follow_it() {
    let mut provider = Provider::start().await;
    let relay = provider.relay();
    let program = provider.asked(&format!("service {AUDIENCE}")).await;
    let joined = relay.answer(json!({"token": program})).await;
    assert_eq!(joined["type"], "joined", "{joined}");
    let person = provider.asked("person ana").await;
    let joined = relay.answer(json!({"token": person})).await;
    assert_eq!((&joined["type"], &joined["id"]), (&json!("joined"), &json!("ana")), "{joined}");

    let of_others = provider.asked("service https://others.example").await;
    let refused = relay.answer(json!({"token": of_others})).await;
    assert_eq!(refused["code"], "unauthorized", "{refused}");

    assert_eq!(provider.asked("rotate second").await, "done");
    let next = provider.asked("person bob").await;
    // The set was fetched just now, and is not again for a minute.
    assert_eq!(relay.answer(json!({"token": next})).await["code"], "unauthorized");
    assert_eq!(relay.answer(json!({"token": person})).await["type"], "joined");
    tokio::time::pause();
    tokio::time::advance(limits::JWKS_REFETCH + Duration::from_secs(1)).await;
    tokio::time::resume();
    let joined = relay.answer(json!({"token": next})).await;
    assert_eq!((&joined["type"], &joined["id"]), (&json!("joined"), &json!("bob")), "{joined}");
    let refused = relay.answer(json!({"token": person})).await;
    assert_eq!(refused["code"], "unauthorized", "the key of the first is gone: {refused}");
}
