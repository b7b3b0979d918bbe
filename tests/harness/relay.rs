//! The relay as its users meet it, as a process or inside the test, and clients that dial it.

use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use signaling_relay::{Config, ListenAddress, Reloader, Server};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStderr, ChildStdout};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

/// Longer than anything here takes, even on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for `future`, and fails the test when it takes too long.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("waited too long for {what}"))
}

/// A relay inside the test.
pub struct Inside {
    pub addresses: Vec<SocketAddr>,
    pub redirect_addresses: Vec<SocketAddr>,
    pub reloader: Reloader,
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
}

impl Inside {
    /// Serves on 127.0.0.1 what `config` says, on a free port.
    pub async fn start(config: Config) -> Self {
        let server = Server::bind(Config { listen: vec!["127.0.0.1:0".parse::<ListenAddress>().unwrap()], ..config })
            .await
            .unwrap();
        let (addresses, reloader) = (server.local_addrs().to_vec(), server.reloader());
        let redirect_addresses = server.redirect_addrs().to_vec();
        let (stop, stopped) = oneshot::channel::<()>();
        let served = tokio::spawn(server.serve(async move { stopped.await.unwrap_or(()) }));
        Self { addresses, redirect_addresses, reloader, stop, served }
    }

    pub fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    pub async fn stop(self) {
        self.stop.send(()).unwrap();
        soon("the end", self.served).await.unwrap();
    }
}

/// The binary, with no environment of its own that could tell it more than the test does.
pub fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_signaling-relay"));
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
    stderr: Lines<BufReader<ChildStderr>>,
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
        let mut command = tokio::process::Command::from(command);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap()).lines();
        let stderr = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut process = Self { child, stdout, stderr, screen: Vec::new() };
        while !process.screen.last().is_some_and(|line| line.contains("Ctrl-C ends it")) {
            match soon("the first screen", process.stdout.next_line()).await.unwrap() {
                Some(line) => process.screen.push(line),
                None => {
                    let mut log = String::new();
                    process.stderr.get_mut().read_to_string(&mut log).await.unwrap();
                    panic!("the relay ended: {log}");
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

    pub fn signal(&self, name: &str) {
        let pid = self.child.id().unwrap().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }

    /// The next line of the log that contains `text`.
    pub async fn expect_log(&mut self, text: &str) -> String {
        let line = async {
            loop {
                let line = self.stderr.next_line().await.unwrap().expect("the log ended");
                if line.contains(text) {
                    return line;
                }
            }
        };
        soon(text, line).await
    }

    /// Waits for the end; its exit code.
    pub async fn end(mut self) -> Option<i32> {
        soon("the end", self.child.wait()).await.unwrap().code()
    }
}

/// A client that reads like a conversation.
pub struct Client<S>(WebSocketStream<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// Dials `url` over `stream`, with more headers.
    pub async fn dial(stream: S, url: &str, headers: &[(&'static str, &str)]) -> Result<Self, WsError> {
        let mut request = url.into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        soon("the upgrade", client_async(request, stream)).await.map(|(socket, _)| Self(socket))
    }

    pub async fn say(&mut self, message: Value) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    pub async fn hear(&mut self) -> Value {
        loop {
            match soon("a message", self.0.next()).await.expect("the connection ended").unwrap() {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// The next message, which must be of this type.
    pub async fn expect(&mut self, kind: &str) -> Value {
        let message = self.hear().await;
        assert_eq!(message["type"], kind, "{message}");
        message
    }
}

/// What a WebSocket is refused with: the status and the text.
pub fn refusal<T>(result: Result<T, WsError>) -> (u16, String) {
    match result.map(|_| ()).unwrap_err() {
        WsError::Http(response) => {
            let body = response.body().clone().unwrap_or_default();
            (response.status().as_u16(), String::from_utf8(body).unwrap())
        }
        other => panic!("{other}"),
    }
}

/// Asks for `path`, and reads the whole answer: head and body.
pub async fn get<S: AsyncRead + AsyncWrite + Unpin>(stream: S, host: &str, path: &str) -> String {
    String::from_utf8_lossy(&get_bytes(stream, host, path).await).into_owned()
}

/// The same, as it came.
pub async fn get_bytes<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, host: &str, path: &str) -> Vec<u8> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let mut answer = Vec::new();
    let exchange = async {
        stream.write_all(request.as_bytes()).await?;
        stream.read_to_end(&mut answer).await
    };
    soon("an answer", exchange).await.unwrap();
    answer
}

pub async fn connect(address: SocketAddr) -> TcpStream {
    soon("a connection", TcpStream::connect(address)).await.unwrap()
}

/// Runs a tool of this machine; what it wrote, stdout and then stderr.
pub fn tool(program: &str, arguments: &[&str], input: &str) -> (bool, String) {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    // A tool that ends without reading all is no fault of the test.
    let _ = std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes());
    let mut written = Vec::new();
    let mut stderr = child.stderr.take().unwrap();
    let complaints = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        stderr.read_to_end(&mut bytes).map(|_| bytes).unwrap()
    });
    child.stdout.take().unwrap().read_to_end(&mut written).unwrap();
    let good = child.wait().unwrap().success();
    written.extend(complaints.join().unwrap());
    (good, String::from_utf8_lossy(&written).into_owned())
}

/// A path as the command line takes it.
pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A file in `folder` with this content.
pub fn file(folder: &Path, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, content).unwrap();
    path
}
