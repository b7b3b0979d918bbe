//! All connections of the tool on one thread: connects, reads, cuts, writes, and tells a [`Scenario`] what happened.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use mio::{Events, Interest, Poll, Token};

use crate::connection::{Connection, Phase};
use crate::dialect::{Dialect, Heard, Member, Refusal};
use crate::frame::{self, Frame, Framing, Opcode};
use crate::stream::Target;

/// Bytes that one read takes at most, in a buffer that all connections share.
const READ_BYTES: usize = 64 * 1024;
/// Reads of one connection in a row, so that a busy one does not keep the others waiting.
const READS_A_TURN: usize = 4;
/// Events that one look at the poller brings.
const EVENTS: usize = 1024;
/// Handshakes under way at once: below the backlog of every server that is measured.
const HANDSHAKES: usize = 64;
/// The code of a close frame that says that all is well.
const NORMAL_CLOSE: u16 = 1000;

/// What a mode does when something happens.
pub(crate) trait Scenario {
    /// The member `index` is in its room.
    fn joined(&mut self, net: &mut Net, index: usize);
    /// The member `index` got a signal.
    fn signal(&mut self, net: &mut Net, index: usize, text: &[u8]);
    /// The server refused a message of the member `index`.
    fn refused(&mut self, net: &mut Net, index: usize, reason: Refusal, to: Option<usize>);
    /// The member `index` hears that somebody left its room.
    fn left(&mut self, _index: usize) {}
    /// The connection of the member `index` ended, with the code of the server's close frame.
    fn closed(&mut self, net: &mut Net, index: usize, code: Option<u16>);
    /// Time goes on; for how long nothing needs to be done, or `None` at the end.
    fn tick(&mut self, net: &mut Net) -> Result<Option<Duration>>;
}

/// All connections, one a member.
pub(crate) struct Net {
    poll: Poll,
    target: Target,
    dialect: Box<dyn Dialect>,
    room_size: usize,
    connections: Vec<Option<Connection>>,
    /// Members that shall be connected, in this order.
    wanted: VecDeque<(usize, Option<usize>)>,
    handshakes: usize,
    /// Connections that have more to read, though no event will say so.
    unread: Vec<usize>,
    text: Vec<u8>,
    started: Instant,
}

impl Net {
    /// `members` members, `room_size` in each room, none connected yet.
    pub(crate) fn new(target: Target, dialect: Box<dyn Dialect>, members: usize, room_size: usize) -> Result<Self> {
        Ok(Self {
            poll: Poll::new()?,
            target,
            dialect,
            room_size,
            connections: (0..members).map(|_| None).collect(),
            wanted: VecDeque::new(),
            handshakes: 0,
            unread: Vec::new(),
            text: Vec::new(),
            started: Instant::now(),
        })
    }

    /// Nanoseconds since the tool started.
    pub(crate) fn now(&self) -> u64 {
        self.started.elapsed().as_nanos() as u64
    }

    /// The member `index`, which need not be connected.
    pub(crate) fn member(&self, index: usize) -> Member {
        Member { index, room: index / self.room_size, slot: index % self.room_size }
    }

    /// Connects the member `index` when its turn comes. One with a `budget` reads only what it is [granted](Self::grant).
    pub(crate) fn connect(&mut self, index: usize, budget: Option<usize>) {
        self.wanted.push_back((index, budget));
    }

    /// Writes a signal: `body` appends what stands between the dialect's beginning and end.
    pub(crate) fn signal(
        &mut self,
        from: usize,
        to: Option<usize>,
        kind: crate::message::Kind,
        body: impl FnOnce(&mut Vec<u8>),
    ) -> Result<()> {
        let mut text = std::mem::take(&mut self.text);
        text.clear();
        let to = to.map(|to| self.member(to));
        if !self.dialect.begin(self.member(from), to, kind, &mut text) {
            bail!("this dialect knows no broadcast");
        }
        body(&mut text);
        text.extend_from_slice(self.dialect.end());
        self.write(from, Opcode::Text, &text);
        self.text = text;
        Ok(())
    }

    /// Bytes of the member `index` that the socket has not taken yet; `None` where it is not connected.
    pub(crate) fn backlog(&self, index: usize) -> Option<usize> {
        self.connections.get(index)?.as_ref().map(Connection::backlog)
    }

    /// Says goodbye for the member `index`, as its dialect does, and hangs up; whether it is gone at once.
    pub(crate) fn leave(&mut self, index: usize) -> bool {
        if let Some(goodbye) = self.dialect.leave() {
            self.write(index, Opcode::Text, goodbye.as_bytes());
        }
        match self.dialect.framing() {
            Framing::LengthPrefixed => {
                self.drop_connection(index);
                true
            }
            Framing::WebSocket => {
                self.write(index, Opcode::Close, &NORMAL_CLOSE.to_be_bytes());
                false
            }
        }
    }

    /// Lets the member `index`, who reads slowly, read `bytes` more.
    pub(crate) fn grant(&mut self, index: usize, bytes: usize) {
        if let Some(Some(connection)) = self.connections.get_mut(index)
            && let Some(budget) = &mut connection.budget
        {
            *budget += bytes;
            self.unread.push(index);
        }
    }

    /// Serves all connections until the scenario ends.
    pub(crate) fn run(&mut self, scenario: &mut impl Scenario) -> Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        let mut buffer = vec![0; READ_BYTES];
        while let Some(pause) = scenario.tick(self)? {
            self.connect_wanted()?;
            let pause = if self.unread.is_empty() { pause } else { Duration::ZERO };
            match self.poll.poll(&mut events, Some(pause)) {
                Err(error) if error.kind() != std::io::ErrorKind::Interrupted => return Err(error.into()),
                _ => {}
            }
            for index in std::mem::take(&mut self.unread) {
                self.serve(scenario, index, true, &mut buffer)?;
            }
            for event in &events {
                self.serve(scenario, event.token().0, event.is_read_closed(), &mut buffer)?;
            }
        }
        Ok(())
    }

    fn connect_wanted(&mut self) -> Result<()> {
        while self.handshakes < HANDSHAKES {
            let Some((index, budget)) = self.wanted.pop_front() else { break };
            let path = self.dialect.path(self.member(index));
            let mut connection = Connection::dial(&self.target, index, self.dialect.framing(), &path, budget)
                .with_context(|| format!("cannot connect to {}", self.target.address))?;
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(connection.stream.tcp(), Token(index), interest)?;
            if let Some(place) = self.connections.get_mut(index) {
                *place = Some(connection);
            }
            self.handshakes += 1;
        }
        Ok(())
    }

    /// Reads and writes what one connection's socket allows. A read that does not fill its buffer has emptied the socket,
    /// but for the end of the stream, which the same event may tell: then `to_the_end`.
    fn serve(&mut self, scenario: &mut impl Scenario, index: usize, to_the_end: bool, buffer: &mut [u8]) -> Result<()> {
        let framing = self.dialect.framing();
        for turn in 0.. {
            let Some(Some(connection)) = self.connections.get_mut(index) else { return Ok(()) };
            if connection.phase == Phase::Dialling && framing == Framing::LengthPrefixed {
                self.opened(scenario, index);
            }
            let Some(Some(connection)) = self.connections.get_mut(index) else { return Ok(()) };
            let room = connection.budget.unwrap_or(READ_BYTES).min(READ_BYTES);
            let Some(buffer) = buffer.get_mut(..room).filter(|buffer| !buffer.is_empty()) else { break };
            match connection.stream.read(buffer) {
                Ok(None) => break,
                Ok(Some(bytes @ 1..)) => {
                    if let Some(budget) = &mut connection.budget {
                        *budget -= bytes;
                    }
                    let emptied = bytes < room && !to_the_end && connection.stream.is_plain();
                    self.take_in(scenario, index, buffer.get(..bytes).unwrap_or_default())?;
                    if emptied {
                        break;
                    }
                }
                Ok(Some(0)) | Err(_) => {
                    let code = self.drop_connection(index);
                    scenario.closed(self, index, code);
                    return Ok(());
                }
            }
            if turn == READS_A_TURN {
                self.unread.push(index);
                break;
            }
        }
        if let Some(Some(connection)) = self.connections.get_mut(index) {
            connection.flush();
        }
        Ok(())
    }

    /// Cuts what was read into messages, and says what each means.
    fn take_in(&mut self, scenario: &mut impl Scenario, index: usize, bytes: &[u8]) -> Result<()> {
        let Some(Some(connection)) = self.connections.get_mut(index) else { return Ok(()) };
        let mut pending = std::mem::take(&mut connection.pending);
        let mut rest = bytes;
        if !pending.is_empty() {
            pending.extend_from_slice(bytes);
            rest = &pending;
        }
        if connection.phase == Phase::Dialling {
            let Some(after) = Connection::upgraded(rest)? else {
                connection.pending = rest.to_vec();
                return Ok(());
            };
            rest = after;
            self.opened(scenario, index);
        }
        while let Some((frame, taken)) = frame::cut(self.dialect.framing(), rest)? {
            match frame {
                Frame::Text(text) => self.hear(scenario, index, text)?,
                Frame::Ping(payload) => self.write(index, Opcode::Pong, payload),
                Frame::Pong => {}
                Frame::Close(code) => {
                    if let Some(Some(connection)) = self.connections.get_mut(index) {
                        connection.close_code = code;
                    }
                    self.write(index, Opcode::Close, &code.map(u16::to_be_bytes).unwrap_or_default());
                }
            }
            rest = rest.get(taken..).unwrap_or_default();
        }
        if let Some(Some(connection)) = self.connections.get_mut(index) {
            connection.pending = rest.to_vec();
        }
        Ok(())
    }

    fn opened(&mut self, scenario: &mut impl Scenario, index: usize) {
        self.handshakes = self.handshakes.saturating_sub(1);
        if let Some(Some(connection)) = self.connections.get_mut(index) {
            connection.phase = Phase::Open;
        }
        if let Some(greeting) = self.dialect.greet(self.member(index)) {
            self.write(index, Opcode::Text, greeting.as_bytes());
        }
        if self.dialect.joins_silently() {
            scenario.joined(self, index);
        }
    }

    fn hear(&mut self, scenario: &mut impl Scenario, index: usize, text: &[u8]) -> Result<()> {
        match self.dialect.hear(self.member(index), text) {
            Heard::Signal => scenario.signal(self, index, text),
            Heard::Joined => scenario.joined(self, index),
            Heard::Refused { reason, to } => scenario.refused(self, index, reason, to),
            Heard::Left => scenario.left(index),
            Heard::Answer(answer) => self.write(index, Opcode::Text, answer.as_bytes()),
            Heard::Nothing => {}
            Heard::Broken(text) => bail!("the server says {text}"),
        }
        Ok(())
    }

    fn write(&mut self, index: usize, opcode: Opcode, payload: &[u8]) {
        let Some(Some(connection)) = self.connections.get_mut(index) else { return };
        // A write for each message, as browsers do: the server shall not find more in one read than it would in life.
        if connection.append(opcode, payload) {
            connection.flush();
        }
    }

    /// Ends a connection; says with which code the server did so, if it was the server.
    fn drop_connection(&mut self, index: usize) -> Option<u16> {
        let mut connection = self.connections.get_mut(index)?.take()?;
        if connection.phase == Phase::Dialling {
            self.handshakes = self.handshakes.saturating_sub(1);
        }
        // A socket that is closed leaves the poller by itself.
        let _ = self.poll.registry().deregister(connection.stream.tcp());
        connection.close_code
    }
}
