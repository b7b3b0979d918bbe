//! What npm makes of the client's folder: a package for TypeScript, for bundlers and for Node.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::net::UdpSocket;
use tokio::process::{Child, ChildStdout};

use crate::harness::{soon, text, tool};
use crate::support::{Browser, Relay};

/// What scripts/test installs there.
const TOOLS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/tools");

/// Somebody's project beside those tools, in which the package is installed.
struct Project {
    folder: TempDir,
    package: PathBuf,
}

impl Project {
    /// With these files of the repository.
    fn with(files: &[&str]) -> Self {
        let folder = tempfile::Builder::new().prefix("project-").tempdir_in(TOOLS).expect("scripts/test makes it");
        let installed = folder.path().join("node_modules/signaling-relay-client");
        fs::create_dir_all(&installed).unwrap();
        runs("npm", &["pack", "--silent", "--pack-destination", text(folder.path()), "./web"]);
        let packed = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
        let package = packed.into_iter().find(|path| path.extension().is_some_and(|end| end == "tgz")).unwrap();
        runs("tar", &["-xzf", text(&package), "-C", text(&installed), "--strip-components=1"]);
        for path in files {
            let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
            fs::copy(&source, folder.path().join(source.file_name().unwrap())).unwrap();
        }
        Self { folder, package }
    }

    fn path(&self, name: &str) -> String {
        text(&self.folder.path().join(name)).to_owned()
    }

    /// Runs a program for Node, which writes this line when it is ready.
    async fn start(&self, name: &str, arguments: &[&str], ready: &str) -> Program {
        // Before version 22 Node had no WebSocket.
        let socket = self.path("socket.mjs");
        fs::write(&socket, "import { WebSocket } from 'ws';\nglobalThis.WebSocket ??= WebSocket;\n").unwrap();
        let mut command = tokio::process::Command::new("node");
        command.args(["--import", &socket, &self.path(name)]).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("node: scripts/test installs it");
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut program = Program { lines, _child: child };
        program.says(ready).await;
        program
    }
}

/// A program that runs until this is dropped.
struct Program {
    lines: Lines<BufReader<ChildStdout>>,
    _child: Child,
}

impl Program {
    /// Waits for a line that contains `words`.
    async fn says(&mut self, words: &str) {
        let hearing = async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                if line.contains(words) {
                    return;
                }
            }
            panic!("it ended before it said {words:?}");
        };
        soon(words, hearing).await;
    }
}

/// A relay whose STUN server is on this machine: without one, werift asks one on the internet.
async fn relay_with_stun() -> Relay {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let server = format!(r#"[{{"urls":"stun:127.0.0.1:{}"}}]"#, socket.local_addr().unwrap().port());
    tokio::spawn(async move {
        let mut request = [0; 1500];
        while let Ok((length, from)) = socket.recv_from(&mut request).await {
            // RFC 8489: a binding request, and the success response with XOR-MAPPED-ADDRESS.
            let std::net::SocketAddr::V4(from) = from else { continue };
            if length < 20 || request[..2] != [0, 1] {
                continue;
            }
            let (cookie, transaction) = (&request[4..8], &request[8..20]);
            let hidden = |bytes: &[u8]| bytes.iter().zip(cookie).map(|(byte, key)| byte ^ key).collect::<Vec<_>>();
            let mapped =
                [&[0, 0x20, 0, 8, 0, 1][..], &hidden(&from.port().to_be_bytes()), &hidden(&from.ip().octets())];
            let response = [&[1, 1, 0, 12][..], cookie, transaction, &mapped.concat()].concat();
            let _ = socket.send_to(&response, from).await;
        }
    });
    Relay::start_with(&["--ice-servers", &server]).await
}

/// Runs a tool to its end, which must be good; returns what it said.
fn runs(program: &str, arguments: &[&str]) -> String {
    let (good, said) = tool(program, arguments, "");
    assert!(good, "{program} {arguments:?}: {said}");
    said
}

#[test]
fn the_package_is_what_publint_and_strict_typescript_ask_for() {
    let project = Project::with(&["tests/browser/pages/program.ts", "examples/client/useCall.js"]);
    runs("node", &[&format!("{TOOLS}/node_modules/publint/src/cli.js"), "run", text(&project.package), "--strict"]);
    let options = serde_json::json!({
        "compilerOptions": {
            "strict": true, "noEmit": true, "allowJs": true, "checkJs": true, "target": "es2022", "module": "nodenext",
            "lib": ["es2022", "dom"], "types": [],
        },
        "files": ["program.ts", "useCall.js"],
    });
    fs::write(project.path("tsconfig.json"), options.to_string()).unwrap();
    fs::write(project.path("package.json"), r#"{ "type": "module" }"#).unwrap();
    let typescript = format!("{TOOLS}/node_modules/typescript/bin/tsc");
    runs("node", &[&typescript, "--project", &project.path("tsconfig.json")]);
}

#[tokio::test]
async fn a_bot_in_node_answers_a_person_on_the_call_page() {
    let relay = relay_with_stun().await;
    let project = Project::with(&["examples/client/bot.mjs"]);
    let _bot = project.start("bot.mjs", &[&format!("ws://{}/ws", relay.host()), "r"], "in r as").await;
    let browser = Browser::start().await;
    let alice = browser.open(&relay.url("?room=r")).await;
    alice.join_as("Alice").await;
    alice.sees_only(&["Echo"]).await;
    alice.shows("tile('Echo').dataset.connection === 'connected'").await;
    alice.click("#chat-open").await;
    alice.fill("#chat-text", "Is anybody there?").await;
    alice.click("#chat-send").await;
    alice.reads("You said: Is anybody there?").await;
    browser.end().await;
}

#[tokio::test]
async fn two_programs_in_node_exchange_data_and_share_a_value() {
    let relay = relay_with_stun().await;
    let project = Project::with(&["examples/client/data.mjs"]);
    let url = format!("ws://{}/ws", relay.host());
    let mut ana = project.start("data.mjs", &[&url, "r", "Ana"], "round is 1").await;
    let mut bo = project.start("data.mjs", &[&url, "r", "Bo"], "connected to Ana").await;
    ana.says("Bo: 0.").await;
    bo.says("Ana: 0.").await;
    bo.says("round is ").await;
}
