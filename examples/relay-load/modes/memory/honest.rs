//! Two clients that talk to each other like any others while memory is attacked: whether they lose anything, and how long
//! each message takes.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use hdrhistogram::Histogram;
use serde::Serialize;
use socket2::{Domain, Protocol, Socket, Type};

use crate::connection::Connection;
use crate::frame::{self, Frame, Framing, Opcode};
use crate::report::Latency;
use crate::stream::Target;

/// Where the two are: nobody else has these addresses.
const SOURCES: [Ipv4Addr; 2] = [Ipv4Addr::new(127, 0, 2, 1), Ipv4Addr::new(127, 0, 2, 2)];
/// How long they rest between two messages.
const REST: Duration = Duration::from_millis(10);
/// After so long a message is lost.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of a message: a typical session description.
const BYTES: usize = 2_000;

/// What became of their messages.
#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    /// Those that arrived.
    pub(crate) delivered: u64,
    /// Those that did not.
    pub(crate) lost: u64,
    /// How long each took.
    pub(crate) latency: Option<Latency>,
    /// What went wrong first.
    pub(crate) trouble: Option<String>,
}

/// The two, on a thread of their own.
pub(crate) struct Pair {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Outcome>>,
}

impl Pair {
    /// Joins a room, and talks until [`end`](Self::end).
    pub(crate) fn start(target: &Target) -> Result<Self> {
        let room = format!("honest-{}", std::process::id());
        let mut two = [Client::join(target, 0, &room)?, Client::join(target, 1, &room)?];
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || talk(&mut two, &stopped));
        Ok(Self { stop, thread })
    }

    /// Ends the talk.
    pub(crate) fn end(self) -> Result<Outcome> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().ok().context("the thread of the honest pair ended early")?
    }
}

/// Each sends to the other in turn.
fn talk([one, other]: &mut [Client; 2], stop: &AtomicBool) -> Result<Outcome> {
    let mut latency = Histogram::new(3)?;
    let (mut lost, mut trouble) = (0, None);
    let body = "x".repeat(BYTES);
    for number in 0_u64.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let (from, to, name) =
            if number.is_multiple_of(2) { (&mut *one, &mut *other, 1) } else { (&mut *other, &mut *one, 0) };
        let began = Instant::now();
        let text = format!(r#"{{"type":"offer","to":"h{name}","sdp":"{number} {body}"}}"#);
        let sent = from.say(Opcode::Text, text.as_bytes());
        match sent.and_then(|()| to.hear(&format!(r#""sdp":"{number} "#))) {
            Ok(()) => latency.record(began.elapsed().as_nanos() as u64)?,
            Err(error) => {
                lost += 1;
                trouble.get_or_insert(format!("message {number}: {error:#}"));
            }
        }
        thread::sleep(REST);
    }
    Ok(Outcome { delivered: latency.len(), lost, latency: Latency::of(&latency), trouble })
}

struct Client {
    tcp: TcpStream,
    came: Vec<u8>,
}

impl Client {
    fn join(target: &Target, index: usize, room: &str) -> Result<Self> {
        let socket = Socket::new(Domain::for_address(target.address), Type::STREAM, Some(Protocol::TCP))?;
        if let (true, Some(source)) = (target.address.is_ipv4(), SOURCES.get(index)) {
            socket.bind(&SocketAddr::from((*source, 0)).into())?;
        }
        socket.connect(&target.address.into()).context("the honest pair cannot connect")?;
        let tcp = TcpStream::from(socket);
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(PATIENCE))?;
        tcp.set_write_timeout(Some(PATIENCE))?;
        let mut client = Self { tcp, came: Vec::new() };
        client.tcp.write_all(&super::upgrade(&target.host))?;
        while Connection::upgraded(&client.came)?.is_none() {
            client.read()?;
        }
        let head = client.came.len() - Connection::upgraded(&client.came)?.unwrap_or_default().len();
        client.came.drain(..head);
        let join = format!(r#"{{"type":"join","room":"{room}","id":"h{index}","resume":true}}"#);
        client.say(Opcode::Text, join.as_bytes())?;
        client.hear(r#""type":"joined""#)?;
        Ok(client)
    }

    fn say(&mut self, opcode: Opcode, payload: &[u8]) -> Result<()> {
        let mut frame = Vec::new();
        frame::write(Framing::WebSocket, opcode, payload, &mut frame);
        Ok(self.tcp.write_all(&frame)?)
    }

    /// Reads until a text contains `what`.
    fn hear(&mut self, what: &str) -> Result<()> {
        let began = Instant::now();
        loop {
            while let Some((frame, taken)) = frame::cut(Framing::WebSocket, &self.came)? {
                let mut is_it = false;
                let mut ping = None;
                match frame {
                    Frame::Text(text) => {
                        is_it = text.windows(what.len()).any(|window| window == what.as_bytes());
                        if text.starts_with(br#"{"type":"error""#) {
                            let text = String::from_utf8_lossy(text).into_owned();
                            self.came.drain(..taken);
                            bail!("{text}");
                        }
                    }
                    Frame::Ping(payload) => ping = Some(payload.to_vec()),
                    Frame::Pong => {}
                    Frame::Close(code) => bail!("the relay closed with {code:?}"),
                }
                self.came.drain(..taken);
                if let Some(payload) = ping {
                    self.say(Opcode::Pong, &payload)?;
                }
                if is_it {
                    return Ok(());
                }
            }
            if began.elapsed() > PATIENCE {
                bail!("it did not arrive");
            }
            self.read()?;
        }
    }

    fn read(&mut self) -> Result<()> {
        let mut buffer = [0; 16 * 1024];
        match self.tcp.read(&mut buffer) {
            Ok(0) => bail!("the relay hung up"),
            Ok(bytes) => self.came.extend_from_slice(buffer.get(..bytes).unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}
