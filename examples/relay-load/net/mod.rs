//! All connections of the tool on one thread: connects, reads, cuts, writes, and tells a [`Scenario`] what happened.

mod serve;

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use mio::Poll;

use crate::connection::{Connection, Phase};
use crate::dialect::{Dialect, Member, Refusal};
use crate::frame::{Framing, Opcode};
use crate::message::Kind;
use crate::stream::Target;

/// Rooms that one tool may have: more than it may have connections.
const ROOMS: usize = 100_000;
/// The code of a close frame that says that all is well.
const NORMAL_CLOSE: u16 = 1000;

/// Connections that are made at the same time: below the backlog of every server that is measured.
pub(crate) const HANDSHAKES: usize = 64;

/// Where members dial, and how.
pub(crate) struct Way {
    /// The servers, which the members of a room dial in turn.
    pub(crate) targets: Vec<Target>,
    /// Where each room is opened before its members dial.
    pub(crate) open: Option<Target>,
    /// Connections that are made at the same time.
    pub(crate) handshakes: usize,
}

impl Way {
    /// Where the member in `slot` of its room dials.
    fn target(&self, slot: usize) -> Option<&Target> {
        self.targets.get(slot % self.targets.len().max(1))
    }
}

/// What a mode does when something happens.
pub(crate) trait Scenario {
    /// The member `index` is in its room.
    fn joined(&mut self, net: &mut Net, index: usize);
    /// The member `index` got a signal.
    fn signal(&mut self, net: &mut Net, index: usize, text: &[u8]);
    /// The server refused a message of the member `index`.
    fn refused(&mut self, net: &mut Net, index: usize, reason: Refusal, to: Option<usize>);
    /// The member `index` hears that the member `who` left its room.
    fn left(&mut self, _index: usize, _who: usize) {}
    /// The connection of the member `index` ended, with the code of the server's close frame.
    fn closed(&mut self, net: &mut Net, index: usize, code: Option<u16>);
    /// Time goes on; for how long nothing needs to be done, or `None` at the end.
    fn tick(&mut self, net: &mut Net) -> Result<Option<Duration>>;
}

/// All connections, one a member.
pub(crate) struct Net {
    poll: Poll,
    way: Way,
    dialect: Box<dyn Dialect>,
    room_size: usize,
    /// The number of the first room: two tools at once must not meet.
    first_room: usize,
    /// Members, and behind them those who open the rooms.
    connections: Vec<Option<Connection>>,
    members: usize,
    /// The members of rooms that are not open yet.
    unopened: HashMap<usize, Vec<(usize, Option<usize>)>>,
    /// Members that shall be connected, in this order.
    wanted: VecDeque<(usize, Option<usize>)>,
    handshakes: usize,
    /// Who asks again to join, and when; and how often that was.
    again: VecDeque<(Instant, usize)>,
    asked_again: u64,
    /// Connections that have more to read, though no event will say so.
    unread: Vec<usize>,
    text: Vec<u8>,
    started: Instant,
}

impl Net {
    /// `members` members, `room_size` in each room, none connected yet.
    pub(crate) fn new(way: Way, dialect: Box<dyn Dialect>, members: usize, room_size: usize) -> Result<Self> {
        Ok(Self {
            poll: Poll::new()?,
            way,
            dialect,
            room_size,
            first_room: std::process::id() as usize * ROOMS,
            connections: (0..members + members.div_ceil(room_size)).map(|_| None).collect(),
            members,
            unopened: HashMap::new(),
            wanted: VecDeque::new(),
            handshakes: 0,
            again: VecDeque::new(),
            asked_again: 0,
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
        match index.checked_sub(self.members) {
            None => Member { index, room: self.first_room + index / self.room_size, slot: index % self.room_size },
            Some(room) => Member { index, room: self.first_room + room, slot: 0 },
        }
    }

    /// Connects the member `index` when its turn comes. One with a `budget` reads only what it is [granted](Self::grant).
    pub(crate) fn connect(&mut self, index: usize, budget: Option<usize>) {
        if self.way.open.is_none() {
            self.wanted.push_back((index, budget));
            return;
        }
        let room = index / self.room_size;
        let waiting = self.unopened.entry(room).or_default();
        waiting.push((index, budget));
        if waiting.len() == 1 {
            self.wanted.push_back((self.members + room, None));
        }
    }

    /// Lets those ask again to join for whom it is time.
    fn ask_again(&mut self) {
        while let Some(&(when, index)) = self.again.front() {
            if when > Instant::now() {
                break;
            }
            self.again.pop_front();
            self.asked_again += 1;
            if let Some(greeting) = self.dialect.greet(self.member(index)) {
                self.say(index, &greeting);
            }
        }
    }

    /// Whether this is somebody who opens a room.
    fn is_opener(&self, index: usize) -> bool {
        index >= self.members
    }

    /// The room of this opener is open: its members may dial.
    fn let_members_in(&mut self, opener: usize) {
        let room = opener - self.members;
        self.wanted.extend(self.unopened.remove(&room).unwrap_or_default());
    }

    /// Says something for the member `index` that is no signal.
    pub(crate) fn say(&mut self, index: usize, text: &str) {
        self.write(index, Opcode::Text, text.as_bytes());
    }

    /// What this member says to join a room, and to leave it.
    pub(crate) fn join_and_leave(&self, member: Member) -> Option<(String, &'static str)> {
        Some((self.dialect.greet(member)?, self.dialect.leave()?))
    }

    /// Writes a signal: `body` appends what stands between the dialect's beginning and end.
    pub(crate) fn signal(
        &mut self,
        from: usize,
        to: Option<usize>,
        kind: Kind,
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
