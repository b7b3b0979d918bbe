//! What the sockets allow: connecting, reading, and cutting what came into messages.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use mio::{Events, Interest, Token};

use super::{Net, Scenario};
use crate::connection::{Connection, Phase};
use crate::dialect::Heard;
use crate::frame::{self, Frame, Framing, Opcode};

/// Bytes that one read takes at most, in a buffer that all connections share.
const READ_BYTES: usize = 64 * 1024;
/// Reads of one connection in a row, so that a busy one does not keep the others waiting.
const READS_A_TURN: usize = 4;
/// How long a member waits before it asks again to join.
const ASK_AGAIN: Duration = Duration::from_millis(250);
/// Events that one look at the poller brings.
const EVENTS: usize = 1024;

impl Net {
    /// Serves all connections until the scenario ends.
    pub(crate) fn run(&mut self, scenario: &mut impl Scenario) -> Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        let mut buffer = vec![0; READ_BYTES];
        while let Some(pause) = scenario.tick(self)? {
            self.connect_wanted()?;
            self.ask_again();
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
        if self.asked_again > 0 {
            eprintln!("{} joins were unavailable at first, and said again", self.asked_again);
        }
        Ok(())
    }

    fn connect_wanted(&mut self) -> Result<()> {
        while self.handshakes < self.way.handshakes {
            let Some((index, budget)) = self.wanted.pop_front() else { break };
            let member = self.member(index);
            let path = self.dialect.path(member);
            let opened = self.way.open.as_ref().filter(|_| self.is_opener(index));
            let target = opened.or_else(|| self.way.target(member.slot)).context("there is no URL")?;
            let mut connection = Connection::dial(target, index, self.dialect.framing(), &path, budget)
                .with_context(|| format!("cannot connect to {}", target.address))?;
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
                Err(error) if matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::ConnectionRefused) => {
                    return Err(error).with_context(|| format!("cannot speak to the server of member {index}"));
                }
                Ok(Some(0)) | Err(_) => {
                    let code = self.drop_connection(index);
                    if self.is_opener(index) {
                        self.let_members_in(index);
                        return Ok(());
                    }
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
            Heard::Joined if self.is_opener(index) => drop(self.leave(index)),
            Heard::Joined => scenario.joined(self, index),
            Heard::Refused { reason, to } => scenario.refused(self, index, reason, to),
            Heard::Left(who) => scenario.left(index, who),
            Heard::Answer(answer) => self.write(index, Opcode::Text, answer.as_bytes()),
            Heard::Unavailable => self.again.push_back((Instant::now() + ASK_AGAIN, index)),
            Heard::Nothing => {}
            Heard::Broken(text) => bail!("the server says {text}"),
        }
        Ok(())
    }
}
