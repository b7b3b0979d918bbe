//! The binary as its users meet it: what it prints, how it fails, how it ends.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Output, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use serde_json::Value;
use signaling_relay::limits;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// Longer than anything here takes, shorter than anybody wants to wait for a test that failed.
const PATIENCE: Duration = Duration::from_secs(20);

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_signaling-relay"));
    command.args(arguments).env_remove("RUST_LOG").stdin(Stdio::null());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("SIGNALING_RELAY_")) {
        command.env_remove(name);
    }
    command
}

/// A relay that runs as a program of its own.
struct Program {
    child: Child,
    /// The first URL that it printed.
    url: String,
    log: Option<JoinHandle<String>>,
}

impl Program {
    fn start(arguments: &[&str]) -> Self {
        let mut child = program(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let log = std::thread::spawn(move || {
            let mut text = String::new();
            stderr.read_to_string(&mut text).unwrap();
            text
        });
        let url = first_url(&mut child);
        Self { child, url, log: Some(log) }
    }

    fn socket_url(&self, path: &str) -> String {
        format!("{}{path}", self.url.replace("http://", "ws://").trim_end_matches('/'))
    }

    /// All that comes back for `GET path`.
    fn get(&self, path: &str) -> String {
        let address = self.url.strip_prefix("http://").unwrap().trim_end_matches('/');
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// The memory that it has resident, in bytes.
    fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    /// Sends the signal, and returns the exit code, unless that takes too long.
    fn end_in_time(mut self, signal: &str) -> Option<i32> {
        self.signal(signal);
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(start.elapsed() < PATIENCE, "the program ends in time");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Sends the signal, and returns the exit code and the log.
    fn end_by(mut self, signal: &str) -> (Option<i32>, String) {
        self.signal(signal);
        let code = self.child.wait().unwrap().code();
        (code, self.log.take().unwrap().join().unwrap())
    }
}

/// The first URL that it prints.
fn first_url(child: &mut Child) -> String {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.map(|line| line.unwrap().trim().to_owned()).find(|line| line.starts_with("http")).unwrap()
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What it prints to stderr and its exit code, when it ends by itself.
fn failure(arguments: &[&str], environment: &[(&str, &str)]) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = program(arguments).envs(environment.iter().copied()).output().unwrap();
    (status.code(), String::from_utf8(stderr).unwrap())
}

#[test]
fn help_names_every_flag_with_its_environment_variable_and_its_default() {
    let Output { status, stdout, .. } = program(&["--help"]).output().unwrap();
    let help = String::from_utf8(stdout).unwrap();
    assert!(status.success());
    for word in [
        "--listen",
        "SIGNALING_RELAY_LISTEN",
        "localhost:8080",
        "--room-capacity",
        "SIGNALING_RELAY_ROOM_CAPACITY",
        "[default: 8]",
        "--max-message-bytes",
        "SIGNALING_RELAY_MAX_MESSAGE_BYTES",
        "[default: 65536]",
        "--web",
        "--allow-origin",
        "--address-connections",
        "[default: 256]",
        "--address-upgrades",
        "--address-joins",
        "--address-bytes",
        "[default: 16777216]",
        "--max-connections",
        "SIGNALING_RELAY_MAX_CONNECTIONS",
        "RUST_LOG",
    ] {
        assert!(help.contains(word), "{word} is missing from:\n{help}");
    }
}

#[test]
fn a_mistake_on_the_command_line_is_one_clear_line_and_exit_code_2() {
    for (arguments, hint) in [
        (["--listen", "8080"], "it is only a port"),
        (["--listen", "localhost:99999"], "number from 0 to 65535"),
        (["--room-capacity", "many"], "number from 1 to 256"),
        (["--port", "1"], "--port"),
    ] {
        let (code, text) = failure(&arguments, &[]);
        assert_eq!(code, Some(2), "{text}");
        assert!(text.lines().next().unwrap().contains(hint), "{text}");
    }
    let (code, text) = failure(&[], &[("SIGNALING_RELAY_ROOM_CAPACITY", "0")]);
    assert!(code == Some(2) && text.contains("SIGNALING_RELAY_ROOM_CAPACITY"), "{text}");
}

#[test]
fn a_port_in_use_a_host_unknown_and_a_folder_without_a_page_are_one_clear_line_and_exit_code_1() {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap().to_string();
    for (arguments, hint) in [
        (["--listen", taken.as_str()], "another program listens there"),
        (["--listen", "no-such-host.invalid:1"], "no-such-host.invalid:1: no such host"),
        (["--listen", "192.0.2.1:1"], "this machine has no such address"),
        (["--web", "src"], "holds no index.html"),
        (["--web", "no-such-folder"], "no-such-folder"),
    ] {
        let (code, text) = failure(&arguments, &[]);
        assert_eq!(code, Some(1), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.starts_with("error: ") && text.contains(hint), "{text}");
    }
}

#[test]
fn twenty_who_read_a_large_file_slowly_cost_little_memory() {
    const LENGTH: usize = 50 * 1024 * 1024;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("index.html"), "mine").unwrap();
    std::fs::File::create(folder.path().join("large.bin")).unwrap().set_len(LENGTH as u64).unwrap();
    let web = folder.path().to_str().unwrap();
    // All of them have one address.
    let program = Program::start(&["--listen", "127.0.0.1:0", "--web", web, "--address-bytes", "0"]);
    assert!(program.get("/").ends_with("mine"));
    let before = program.resident_bytes();
    let address = program.url.strip_prefix("http://").unwrap().trim_end_matches('/');
    let mut readers: Vec<_> = (0..20)
        .map(|_| {
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            write!(stream, "GET /large.bin HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
            stream
        })
        .collect();
    // More than the kernel keeps for a connection, so that the relay has begun to send, and waits for each of them.
    for stream in &mut readers {
        stream.read_exact(&mut vec![0; LENGTH / 2]).unwrap();
    }
    let growth = program.resident_bytes().saturating_sub(before);
    assert!(growth < 20 * 1024 * 1024, "{growth} bytes more for 20 readers");
    let mut rest = Vec::new();
    readers[0].read_to_end(&mut rest).unwrap();
    assert!(rest.len() > LENGTH / 2 && rest.len() < LENGTH / 2 + 1024, "{} bytes", rest.len());
}

#[test]
fn flags_win_over_the_environment_and_port_0_is_printed_as_bound() {
    let environment = [("SIGNALING_RELAY_LISTEN", "192.0.2.1:1")];
    assert_eq!(failure(&[], &environment).0, Some(1), "the environment is heard");
    let program = Program::start(&["--listen", "127.0.0.1:0", "--listen", "[::1]:0"]);
    assert!(program.url.starts_with("http://127.0.0.1:") && !program.url.contains(":0/"), "{}", program.url);
    assert_eq!(program.end_by("-TERM").0, Some(0));
}

/// A frame of a client with the opcode and the FIN bit of `first`, masked with zeros.
fn client_frame(first: u8, payload: &str) -> Vec<u8> {
    let mut frame = vec![first, 0x80 | u8::try_from(payload.len()).unwrap(), 0, 0, 0, 0];
    frame.extend_from_slice(payload.as_bytes());
    frame
}

/// How much the memory grows for each of 200 clients, each in a room of its own, who send `frames` and a ping, when all
/// pings are answered.
fn growth_for_each_who_sends(frames: &[u8]) -> u64 {
    const CLIENTS: u64 = 200;
    let program = Program::start(&["--listen", "127.0.0.1:0"]);
    let address = program.url.strip_prefix("http://").unwrap().trim_end_matches('/').to_owned();
    let mut clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let mut stream = std::net::TcpStream::connect(&address).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                           Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==";
            write!(stream, "GET /?room=r{number} HTTP/1.1\r\nHost: localhost\r\n{upgrade}\r\n\r\n").unwrap();
            read_until(&mut stream, "maxMessageBytes\":65536}");
            stream
        })
        .collect();
    let before = program.resident_bytes();
    for client in &mut clients {
        client.write_all(&[frames, &client_frame(0x89, "all is said")].concat()).unwrap();
    }
    for client in &mut clients {
        read_until(client, "all is said");
    }
    program.resident_bytes().saturating_sub(before) / CLIENTS
}

fn read_until(stream: &mut std::net::TcpStream, end: &str) {
    let mut heard = Vec::new();
    while !heard.ends_with(end.as_bytes()) {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        heard.push(byte[0]);
    }
}

#[test]
fn a_client_pins_little_more_memory_than_it_sends() {
    let begun = client_frame(0x01, &"x".repeat(65));
    let offer = client_frame(0x81, r#"{"type":"offer","sdp":"v=0"}"#);
    let candidate = client_frame(0x81, r#"{"type":"offer_ice","iceCandidate":{"candidate":"candidate:1"}}"#);
    for (what, frames) in [("a message that is not finished", begun), ("a held offer", [offer, candidate].concat())] {
        let growth = growth_for_each_who_sends(&frames);
        assert!(growth <= 16 * 1024, "{growth} bytes for {what} of {} bytes", frames.len());
    }
}

#[tokio::test]
async fn localhost_is_both_loopback_addresses_and_one_url() {
    let program = Program::start(&["--listen", "localhost:0"]);
    let port = program.url.strip_prefix("http://localhost:").unwrap().trim_end_matches('/').to_owned();
    for host in ["127.0.0.1", "[::1]"] {
        connect_async(format!("ws://{host}:{port}/ws")).await.unwrap();
    }
    assert_eq!(program.end_by("-INT").0, Some(0));
}

#[tokio::test]
async fn sigterm_tells_clients_of_a_restart_and_ctrl_c_that_the_relay_goes_away() {
    for (signal, code, goaway) in [("-TERM", 1012, true), ("-INT", 1001, false)] {
        let program = Program::start(&["--listen", "127.0.0.1:0"]);
        let (mut socket, _) = connect_async(program.socket_url("/?room=r")).await.unwrap();
        socket.next().await.unwrap().unwrap();
        let ended = std::thread::spawn(move || program.end_by(signal));
        let (types, closed) = hear_the_end(&mut socket).await;
        assert_eq!((closed, types == ["goaway"]), (code, goaway), "{signal}");
        assert!(socket.next().await.is_none());
        assert_eq!(ended.join().unwrap().0, Some(0), "{signal}");
    }
}

#[tokio::test]
async fn the_log_has_one_line_for_each_start_and_end_and_nobody_can_forge_one() {
    let program = Program::start(&["--listen", "127.0.0.1:0"]);
    let (mut socket, _) = connect_async(program.socket_url("/?room=%1b%5b31mred&name=x")).await.unwrap();
    while socket.next().await.is_some_and(|message| message.is_ok()) {}
    let (mut socket, _) = connect_async(program.socket_url("/?room=%E2%80%AEtxt.%22&id=me")).await.unwrap();
    socket.next().await.unwrap().unwrap();
    let reason = "bye\n2026-01-01 ERROR forged \u{1b}[31m".into();
    let frame = tokio_tungstenite::tungstenite::protocol::CloseFrame { code: 1000.into(), reason };
    socket.close(Some(frame)).await.unwrap();
    while socket.next().await.is_some() {}
    let (_, log) = program.end_by("-TERM");
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines.iter().filter(|line| line.contains(" connected ")).count(), 2, "{log}");
    assert_eq!(lines.iter().filter(|line| line.contains("disconnected")).count(), 2, "{log}");
    assert!(log.contains("its join was refused") && log.contains("closed by the peer (1000"), "{log}");
    assert!(lines.iter().all(|line| line.contains(" INFO ")), "{log}");
    assert!(!log.contains('\u{1b}') && !log.contains('\u{202e}'), "{log:?}");
}

/// The types of the messages until the relay closes, and the code that it closes with.
async fn hear_the_end(socket: &mut WebSocketStream<MaybeTlsStream<TcpStream>>) -> (Vec<String>, u16) {
    let mut types = Vec::new();
    loop {
        match socket.next().await.unwrap().unwrap() {
            Message::Text(text) => {
                let message: Value = serde_json::from_str(&text).unwrap();
                types.push(message["type"].as_str().unwrap().to_owned());
            }
            Message::Close(frame) => return (types, u16::from(frame.unwrap().code)),
            _ => {}
        }
    }
}

#[tokio::test]
async fn signals_that_come_at_once_are_one() {
    let mut program = Program::start(&["--listen", "127.0.0.1:0"]);
    let (mut socket, _) = connect_async(program.socket_url("/?room=r")).await.unwrap();
    socket.next().await.unwrap().unwrap();
    program.signal("-TERM");
    // The first one was obeyed, and the connection does not end before the client agrees.
    let goaway = socket.next().await.unwrap().unwrap();
    assert!(goaway.to_text().unwrap().contains("goaway"), "{goaway}");
    program.signal("-TERM");
    assert_eq!(hear_the_end(&mut socket).await, (Vec::new(), 1012));
    assert!(socket.next().await.is_none());
    assert_eq!(program.child.wait().unwrap().code(), Some(0));
}

#[tokio::test]
async fn a_signal_that_comes_again_later_does_not_wait() {
    let mut program = Program::start(&["--listen", "127.0.0.1:0"]);
    let (mut socket, _) = connect_async(program.socket_url("/?room=r")).await.unwrap();
    socket.next().await.unwrap().unwrap();
    let start = Instant::now();
    // The client reads nothing more, so its connection takes longer to end than the moment in which signals are the same.
    let code = loop {
        program.signal("-TERM");
        if let Some(status) = program.child.try_wait().unwrap() {
            break status.code();
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(code, Some(1), "after {:?}", start.elapsed());
    assert!(start.elapsed() > limits::SAME_SIGNAL);
    let log = program.log.take().unwrap().join().unwrap();
    assert!(log.ends_with("error: a second signal ended the relay before its connections had ended\n"), "{log}");
}

#[tokio::test]
async fn a_log_that_nobody_reads_holds_up_nothing_and_says_later_what_was_lost() {
    let mut command = program(&["--listen", "127.0.0.1:0"]);
    let mut child = command.env("RUST_LOG", "debug").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let url = first_url(&mut child);
    let mut stderr = child.stderr.take().unwrap();
    let mut relay = Program { child, url, log: None };
    let long = "x".repeat(8_000);
    for _ in 0..600 {
        let (mut socket, _) = connect_async(relay.socket_url("/ws")).await.unwrap();
        socket.close(None).await.unwrap();
        relay.get(&format!("/{long}"));
    }
    assert!(relay.get("/healthz").ends_with("ok\n"));

    let reading = std::thread::spawn(move || {
        let mut log = String::new();
        stderr.read_to_string(&mut log).unwrap();
        log
    });
    relay.signal("-TERM");
    assert_eq!(relay.child.wait().unwrap().code(), Some(0));
    let log = reading.join().unwrap();
    assert!(log.contains(" lines of the log were lost"), "{} bytes of log tell of no loss", log.len());
}

#[test]
fn a_log_that_nobody_reads_does_not_hold_up_the_end() {
    let mut command = program(&["--listen", "127.0.0.1:0"]);
    let mut child = command.env("RUST_LOG", "debug").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let url = first_url(&mut child);
    let relay = Program { child, url, log: None };
    let long = "x".repeat(8_000);
    for _ in 0..20 {
        relay.get(&format!("/{long}"));
    }
    assert_eq!(relay.end_in_time("-TERM"), Some(0));
}

#[test]
fn a_banner_that_nobody_reads_holds_up_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("relay.sock");
    let (_reader, stdout) = std::io::pipe().unwrap();
    // Fills the pipe, and then waits for ever.
    let mut filling = stdout.try_clone().unwrap();
    std::thread::spawn(move || while filling.write_all(&[b'x'; 4096]).is_ok() {});
    let mut command = program(&["--listen", &format!("unix:{}", path.display())]);
    let child = command.stdout(stdout).stderr(Stdio::null()).spawn().unwrap();
    let relay = Program { child, url: String::new(), log: None };
    let start = Instant::now();
    let mut stream = loop {
        match UnixStream::connect(&path) {
            Ok(stream) => break stream,
            Err(error) => assert!(start.elapsed() < PATIENCE, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("ok\n"), "{answer}");
    assert_eq!(relay.end_in_time("-TERM"), Some(0));
}

#[test]
fn a_log_that_nobody_reads_any_more_ends_nothing() {
    let mut command = program(&["--listen", "127.0.0.1:0"]);
    let mut child = command.env("RUST_LOG", "debug").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let url = first_url(&mut child);
    drop(child.stderr.take());
    let relay = Program { child, url, log: None };
    for _ in 0..3 {
        assert!(relay.get("/healthz").ends_with("ok\n"));
    }
}

#[test]
fn the_short_help_is_short() {
    let help = |flag: &str| String::from_utf8(program(&[flag]).output().unwrap().stdout).unwrap();
    let (short, long) = (help("-h"), help("--help"));
    assert!(!short.contains("SIGNALING_RELAY_") && short.contains("--listen <HOST:PORT>"), "{short}");
    assert!(short.lines().count() * 3 < long.lines().count(), "{} lines", short.lines().count());
    assert!(short.contains("Examples:"), "{short}");
}

#[test]
fn health_says_by_its_exit_code_whether_a_relay_answers() {
    let folder = tempfile::tempdir().unwrap();
    let lan_dir = folder.path().to_str().unwrap();
    for arguments in [&[][..], &["--lan", "--lan-dir", lan_dir]] {
        let relay = Program::start(&[&["--listen", "localhost:0"], arguments].concat());
        let (_, address) = relay.url.trim_end_matches('/').split_once("://").unwrap();
        assert_eq!(failure(&["health", address], &[]), (Some(0), String::new()));
    }
    let (code, said) = failure(&["health", "127.0.0.1:1"], &[]);
    assert!(code == Some(1) && said.contains("127.0.0.1:1: "), "{said}");
    // Somebody else, who listens and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let (code, said) = failure(&["health", &silent.local_addr().unwrap().to_string()], &[]);
    assert!(code == Some(1) && said.contains("no answer"), "{said}");
}

#[cfg(target_os = "linux")]
#[test]
fn systemd_is_told_that_the_relay_is_ready_lives_reloads_and_ends() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    // What it is told, without the signs of life.
    let told = |but: &str| loop {
        let mut bytes = [0; 512];
        let count = socket.recv(&mut bytes).unwrap();
        let text = String::from_utf8_lossy(&bytes[..count]).trim_end().to_owned();
        if text != but {
            return text;
        }
    };
    let mut command = program(&["--listen", "127.0.0.1:0"]);
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "200000").stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let url = first_url(&mut child);
    let program = Program { child, url, log: None };
    assert_eq!(told("WATCHDOG=1"), "READY=1");
    assert_eq!(told(""), "WATCHDOG=1");
    assert_eq!(told(""), "WATCHDOG=1");
    program.signal("-HUP");
    let reloading = told("WATCHDOG=1");
    assert!(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{reloading}");
    assert_eq!(told("WATCHDOG=1"), "READY=1");
    program.signal("-TERM");
    assert_eq!(told("WATCHDOG=1"), "STOPPING=1");
}
