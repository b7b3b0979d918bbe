//! Clients who begin something and do not finish it, beside visitors who are measured: whether the server ends the former
//! in time, what they cost it in memory, and whether the latter notice.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use hdrhistogram::Histogram;
use mio::{Events, Interest, Poll, Token};
use serde::Serialize;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::process::Usage;
use crate::report::Latency;
use crate::stream::{Stream, Target};

/// How often a client that sends a head sends a byte of it.
const DRIP: Duration = Duration::from_secs(1);
/// How long a visitor waits before the next one comes.
const BETWEEN_VISITS: Duration = Duration::from_millis(100);
/// How long a visitor waits for anything.
const PATIENCE: Duration = Duration::from_secs(10);
/// When memory is looked at: all are connected, and none has been ended yet.
const SETTLED: Duration = Duration::from_secs(4);
/// How long the wait for events lasts at most.
const PAUSE: Duration = Duration::from_millis(100);
/// The head of a masked text frame that declares 60,000 bytes (RFC 6455 section 5.2), of which only one comes.
const BEGUN_FRAME: [u8; 9] = [0x81, 0xfe, 0xea, 0x60, 0, 0, 0, 0, b'{'];

/// What is begun and not finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum What {
    /// A request: its head comes a byte a second, and has no end
    Head,
    /// Nothing is sent at all: with TLS the handshake never begins
    Silence,
    /// A message: its length is declared, and the first byte comes
    Message,
}

impl What {
    /// What the client `index` sends when it is connected.
    fn beginning(self, index: usize) -> Vec<u8> {
        match self {
            Self::Head => b"GET /ws HTTP/1.1\r\nHost: localhost\r\nX-Long: ".to_vec(),
            Self::Silence => Vec::new(),
            Self::Message => [upgrade(&format!("stalled-{index}"), "localhost").as_bytes(), &BEGUN_FRAME].concat(),
        }
    }
}

/// A request that joins `room`.
fn upgrade(room: &str, host: &str) -> String {
    format!(
        "GET /?room={room} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

/// What was found.
#[derive(Debug, Serialize)]
pub(crate) struct Found {
    mode: &'static str,
    what: What,
    connections: usize,
    /// Those that the server ended.
    ended: usize,
    /// When it ended the last one, counted from when that one was connected.
    last_after_seconds: f64,
    /// Resident memory of the server that each one cost, in bytes, where its process was told.
    bytes_each: Option<f64>,
    /// Visitors who came meanwhile.
    visitors: u64,
    /// Those of them who did not get in.
    turned_away: u64,
    /// How long each took from the first byte to `joined`, TLS's handshake included.
    latency: Option<Latency>,
}

impl Found {
    /// Whether all were ended and every visitor got in.
    pub(crate) fn is_good(&self) -> bool {
        self.ended == self.connections && self.turned_away == 0
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { connections, ended, last_after_seconds, visitors, turned_away, .. } = self;
        writeln!(f, "stall: {ended} of {connections} were ended, the last after {last_after_seconds:.1} s")?;
        if let Some(bytes) = self.bytes_each {
            writeln!(f, "  server, resident bytes each: {bytes:.0}")?;
        }
        writeln!(f, "  {visitors} visitors came meanwhile, {turned_away} did not get in")?;
        let Some(latency) = &self.latency else { return Ok(()) };
        writeln!(f, "  from connecting to `joined`, in us: {latency}")
    }
}

/// Connects `connections` clients who begin `what`, and watches them for `duration` at most.
pub(crate) fn run(
    target: Target,
    what: What,
    connections: usize,
    duration: Duration,
    pid: Option<u32>,
) -> Result<Found> {
    let target = Arc::new(target);
    let before = pid.map(Usage::of).transpose()?;
    let mut stalled = Stalled::connect(&target, what, connections)?;
    let visitors = Visitors::start(target);
    let mut bytes_each = None;
    while stalled.remain() && stalled.started.elapsed() < duration {
        stalled.turn()?;
        if let (None, Some(pid), Some(before)) = (bytes_each, pid, before)
            && stalled.started.elapsed() >= SETTLED
        {
            bytes_each = Some(Usage::of(pid)?.since(before).resident_bytes as f64 / connections as f64);
        }
    }
    let (histogram, turned_away) = visitors.end()?;
    Ok(Found {
        mode: "stall",
        what,
        connections,
        ended: stalled.ended,
        last_after_seconds: stalled.last_after.as_secs_f64(),
        bytes_each,
        visitors: histogram.len() + turned_away,
        turned_away,
        latency: Latency::of(&histogram),
    })
}

/// The clients who do not finish.
struct Stalled {
    poll: Poll,
    what: What,
    clients: Vec<Option<Client>>,
    started: Instant,
    dripped: Instant,
    ended: usize,
    last_after: Duration,
}

struct Client {
    stream: Stream,
    began: Instant,
}

impl Stalled {
    fn connect(target: &Target, what: What, connections: usize) -> Result<Self> {
        let poll = Poll::new()?;
        // A stalled handshake is plain TCP up to where it stalls.
        let plain = Target { address: target.address, host: target.host.clone(), path: target.path.clone(), tls: None };
        let mut clients = Vec::with_capacity(connections);
        for index in 0..connections {
            let mut stream = Stream::connect(&plain, index, None)?;
            poll.registry().register(stream.tcp(), Token(index), Interest::READABLE | Interest::WRITABLE)?;
            clients.push(Some(Client { stream, began: Instant::now() }));
        }
        let now = Instant::now();
        Ok(Self { poll, what, clients, started: now, dripped: now, ended: 0, last_after: Duration::ZERO })
    }

    fn remain(&self) -> bool {
        self.ended < self.clients.len()
    }

    /// Waits for what the server does, and does what is due.
    fn turn(&mut self) -> Result<()> {
        let mut events = Events::with_capacity(1024);
        match self.poll.poll(&mut events, Some(PAUSE)) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.into()),
            _ => {}
        }
        for event in &events {
            let index = event.token().0;
            let Some(slot) = self.clients.get_mut(index) else { continue };
            let Some(client) = slot else { continue };
            if event.is_writable() && client.began.elapsed() < PATIENCE {
                // Once: what is written is small, and the event comes when the socket is connected.
                self.poll.registry().reregister(client.stream.tcp(), event.token(), Interest::READABLE)?;
                client.began = Instant::now();
                // An error is seen by the next read.
                let _ = client.stream.write(&self.what.beginning(index));
            }
            if event.is_readable() && client.is_ended() {
                self.last_after = self.last_after.max(client.began.elapsed());
                *slot = None;
                self.ended += 1;
            }
        }
        if self.what == What::Head && self.dripped.elapsed() >= DRIP {
            self.dripped = Instant::now();
            for client in self.clients.iter_mut().flatten() {
                let _ = client.stream.write(b"a");
            }
        }
        Ok(())
    }
}

impl Client {
    /// Reads what is there. A server that says why it ends is still to end.
    fn is_ended(&mut self) -> bool {
        let mut buffer = [0; 4096];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(Some(0)) | Err(_) => return true,
                Ok(Some(_)) => {}
                Ok(None) => return false,
            }
        }
    }
}

/// One visitor after the other, each with a connection of its own.
struct Visitors {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<(Histogram<u64>, u64)>>,
}

impl Visitors {
    fn start(target: Arc<Target>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            let (mut histogram, mut turned_away) = (Histogram::new(3)?, 0);
            while !stopped.load(Ordering::Relaxed) {
                let began = Instant::now();
                match visit(&target) {
                    Ok(()) => histogram.record(began.elapsed().as_nanos() as u64)?,
                    Err(_) => turned_away += 1,
                }
                thread::sleep(BETWEEN_VISITS);
            }
            Ok((histogram, turned_away))
        });
        Self { stop, thread }
    }

    fn end(self) -> Result<(Histogram<u64>, u64)> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().ok().context("the thread of the visitors ended early")?
    }
}

/// Connects, joins a room by the URL, and leaves.
fn visit(target: &Target) -> Result<()> {
    let tcp = TcpStream::connect_timeout(&target.address, PATIENCE)?;
    tcp.set_read_timeout(Some(PATIENCE))?;
    tcp.set_write_timeout(Some(PATIENCE))?;
    match &target.tls {
        None => enter(&tcp, &target.host)?,
        Some(config) => enter(tls(config, target, &tcp)?, &target.host)?,
    }
    tcp.shutdown(Shutdown::Both)?;
    Ok(())
}

fn tls<'a>(
    config: &Arc<ClientConfig>,
    target: &Target,
    tcp: &'a TcpStream,
) -> Result<StreamOwned<ClientConnection, &'a TcpStream>> {
    let name = target.host.rsplit_once(':').map_or(&*target.host, |(name, _)| name);
    let name = ServerName::try_from(name.trim_matches(['[', ']']).to_owned())?;
    Ok(StreamOwned::new(ClientConnection::new(config.clone(), name)?, tcp))
}

/// Asks for the upgrade, and reads until the server says `joined`.
fn enter(mut stream: impl Read + Write, host: &str) -> Result<()> {
    stream.write_all(upgrade("visited", host).as_bytes())?;
    let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
    while !answer.windows(JOINED.len()).any(|window| window == JOINED) {
        let read = match stream.read(&mut buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            read => read?,
        };
        ensure!(read > 0, io::Error::from(ErrorKind::UnexpectedEof));
        answer.extend_from_slice(buffer.get(..read).unwrap_or_default());
    }
    Ok(())
}

const JOINED: &[u8] = br#""type":"joined""#;
