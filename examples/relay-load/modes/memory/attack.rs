//! The connections of those who attack, on one thread.

use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::Result;
use mio::{Events, Interest, Poll, Token};

use super::way::Seat;
use super::{Plan, upgrade};
use crate::connection::Connection;
use crate::frame::{self, Frame, Framing, Opcode};
use crate::stream::{Ends, Stream, Target};

/// How often the clients look what to do.
const TICK: Duration = Duration::from_millis(50);
/// New connections of one address in a tick: 60 a second, which is below what the relay allows.
const DIALS_A_TICK: usize = 3;
/// Bytes that a client has ready to be sent.
const READY_BYTES: usize = 64 * 1024;
/// Messages that it makes ready at once.
const READY_MESSAGES: usize = 64;
/// Bytes that a client that hardly reads takes in a [`SIP`]: so many that its window opens, so that it is not cut off.
const SIP_BYTES: usize = 8 * 1024;
/// How often it does.
const SIP: Duration = Duration::from_secs(2);
/// The buffers of each socket that are asked for, in bytes: what the kernel holds is not what is measured.
const SOCKET_BUFFER: usize = 16 * 1024;
/// Bytes that one read takes at most.
const READ_BYTES: usize = 64 * 1024;
/// Reads of one connection in a row.
const READS_A_TURN: usize = 4;

/// All of them.
pub(super) struct Attack<'a> {
    target: &'a Target,
    poll: Poll,
    attackers: Vec<Attacker>,
    addresses: usize,
    began: Instant,
    ticked: Instant,
    buffer: Vec<u8>,
    /// Connections so far.
    pub(super) dialled: usize,
    /// Those that the relay ended.
    pub(super) ended: usize,
    /// Bytes that the sockets took.
    pub(super) sent: usize,
}

struct Attacker {
    source: Ipv4Addr,
    seat: Seat,
    client: Option<Client>,
}

/// One connection.
struct Client {
    stream: Stream,
    is_open: bool,
    opened: Instant,
    /// Texts of the seat that were said.
    said: usize,
    /// What came and is no whole frame yet.
    came: Vec<u8>,
    out: Vec<u8>,
    written: usize,
    /// When it may read again, if it hardly reads.
    sipped: Instant,
}

impl<'a> Attack<'a> {
    pub(super) fn new(target: &'a Target, plan: &Plan) -> Result<Self> {
        let mut attackers = Vec::with_capacity(plan.addresses * plan.connections);
        // One of each address in turn, so that all addresses get in equally fast.
        for index in 0..plan.connections {
            for address in 0..plan.addresses {
                let Some(way) = plan.ways.get(index % plan.ways.len().max(1)) else { continue };
                let prefix = format!("x{}-{address}", std::process::id());
                attackers.push(Attacker {
                    source: Ipv4Addr::new(127, 0, 1, address as u8 + 1),
                    seat: Seat::new(*way, prefix, index / plan.ways.len(), plan.capacity),
                    client: None,
                });
            }
        }
        let now = Instant::now();
        Ok(Self {
            target,
            poll: Poll::new()?,
            attackers,
            addresses: plan.addresses,
            began: now,
            ticked: now,
            buffer: vec![0; READ_BYTES],
            dialled: 0,
            ended: 0,
            sent: 0,
        })
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Waits for what the relay does, and does what is due.
    pub(super) fn turn(&mut self) -> Result<()> {
        let mut events = Events::with_capacity(1024);
        match self.poll.poll(&mut events, Some(TICK)) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.into()),
            _ => {}
        }
        for event in &events {
            self.serve(event.token().0);
        }
        if self.ticked.elapsed() >= TICK {
            self.ticked = Instant::now();
            self.dial()?;
            (0..self.attackers.len()).for_each(|index| self.act(index));
        }
        Ok(())
    }

    /// Connects some of those who have no connection.
    fn dial(&mut self) -> Result<()> {
        let elapsed = self.elapsed();
        let mut left = self.addresses * DIALS_A_TICK;
        for (index, attacker) in self.attackers.iter_mut().enumerate().filter(|(_, one)| one.client.is_none()) {
            if left == 0 {
                break;
            }
            left -= 1;
            attacker.seat.renew(elapsed);
            let ends = Ends {
                source: Some(attacker.source),
                receive_buffer: Some(SOCKET_BUFFER),
                send_buffer: Some(SOCKET_BUFFER),
            };
            let mut stream = Stream::connect_from(self.target, &ends)?;
            self.poll.registry().register(stream.tcp(), Token(index), Interest::READABLE | Interest::WRITABLE)?;
            self.dialled += 1;
            attacker.client = Some(Client::new(stream, &attacker.seat, &self.target.host));
        }
        Ok(())
    }

    /// Reads and writes what the socket of one client allows, as far as it wants to.
    fn serve(&mut self, index: usize) {
        let Some(Attacker { seat, client: Some(client), .. }) = self.attackers.get_mut(index) else { return };
        self.sent += client.flush();
        if !client.read(seat, &mut self.buffer) {
            self.ended += 1;
            self.hang_up(index);
        }
    }

    fn hang_up(&mut self, index: usize) {
        if let Some(mut client) = self.attackers.get_mut(index).and_then(|attacker| attacker.client.take()) {
            // A socket that is closed leaves the poller by itself.
            let _ = self.poll.registry().deregister(client.stream.tcp());
        }
    }

    /// Does what is due for one client.
    fn act(&mut self, index: usize) {
        let elapsed = self.elapsed();
        let Some(Attacker { seat, client: Some(client), .. }) = self.attackers.get_mut(index) else { return };
        if seat.ends_at().is_some_and(|end| elapsed >= end) {
            return self.hang_up(index);
        }
        client.prepare(seat);
        self.serve(index);
    }
}

impl Client {
    fn new(stream: Stream, seat: &Seat, host: &str) -> Self {
        let now = Instant::now();
        let out = if seat.way.is_http() { seat.bytes(host) } else { upgrade(host) };
        Self { stream, is_open: false, opened: now, said: 0, came: Vec::new(), out, written: 0, sipped: now }
    }

    /// Makes the next messages ready.
    fn prepare(&mut self, seat: &Seat) {
        if !self.is_open {
            return;
        }
        for _ in 0..READY_MESSAGES {
            if self.out.len() - self.written >= READY_BYTES {
                break;
            }
            let Some(text) = seat.next(self.said, self.opened.elapsed()) else { break };
            self.said += 1;
            frame::write(Framing::WebSocket, Opcode::Text, text.as_bytes(), &mut self.out);
        }
    }

    /// Writes what the socket takes; says how much.
    fn flush(&mut self) -> usize {
        let before = self.written;
        while let Some(rest @ [_, ..]) = self.out.get(self.written..) {
            match self.stream.write(rest) {
                // What is wrong with the socket, the next read will tell.
                Ok(0) | Err(_) => break,
                Ok(bytes) => self.written += bytes,
            }
        }
        let sent = self.written - before;
        if self.written == self.out.len() {
            (self.out, self.written) = (Vec::new(), 0);
        }
        sent
    }

    /// Reads as this client does; whether the connection is still there.
    fn read(&mut self, seat: &mut Seat, buffer: &mut [u8]) -> bool {
        let mut room = READ_BYTES;
        if (self.is_open || seat.way.is_http()) && !seat.way.reads_all() {
            if seat.way.is_http() || self.sipped.elapsed() < SIP {
                return true;
            }
            self.sipped = Instant::now();
            room = SIP_BYTES;
        }
        for _ in 0..READS_A_TURN {
            match self.stream.read(buffer.get_mut(..room).unwrap_or_default()) {
                Ok(Some(0)) | Err(_) => return false,
                Ok(None) => break,
                Ok(Some(bytes)) => {
                    self.came.extend_from_slice(buffer.get(..bytes).unwrap_or_default());
                    if !self.hear(seat) {
                        return false;
                    }
                }
            }
            if room == SIP_BYTES {
                break;
            }
        }
        true
    }

    /// Handles what came; whether the connection goes on.
    fn hear(&mut self, seat: &mut Seat) -> bool {
        let came = std::mem::take(&mut self.came);
        let mut rest = came.as_slice();
        if !self.is_open {
            match Connection::upgraded(rest) {
                Err(_) => return false,
                Ok(None) => {
                    self.came = came;
                    return true;
                }
                Ok(Some(after)) => rest = after,
            }
            (self.is_open, self.opened) = (true, Instant::now());
            for text in seat.greet() {
                frame::write(Framing::WebSocket, Opcode::Text, text.as_bytes(), &mut self.out);
            }
            self.out.extend_from_slice(&seat.bytes(""));
        }
        loop {
            match frame::cut(Framing::WebSocket, rest) {
                Ok(Some((Frame::Close(_), _))) | Err(_) => return false,
                Ok(Some((frame, taken))) => {
                    match frame {
                        Frame::Ping(payload) if seat.way.answers_pings() => {
                            frame::write(Framing::WebSocket, Opcode::Pong, payload, &mut self.out);
                        }
                        Frame::Text(text) => seat.hear(&String::from_utf8_lossy(text)),
                        _ => {}
                    }
                    rest = rest.get(taken..).unwrap_or_default();
                }
                Ok(None) => break,
            }
        }
        self.came = rest.to_vec();
        true
    }
}
