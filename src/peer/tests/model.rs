//! Compares sessions with a simple model of the protocol, without sockets. Whatever peers do, and however slowly they
//! read: presence is exact, and no message is duplicated, reordered, or lost without an error to its sender.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::task::{self, Waker};
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::time::{Instant, advance};

use super::super::hub::{Hub, HubSettings};
use super::super::session::Session;
use crate::auth::Open;
use crate::limits::{HELD_BYTES, PAUSE, SHARE_MESSAGES};
#[cfg(feature = "admin")]
use crate::outbox::Sender;
use crate::quota::RateLimiter;
#[cfg(feature = "admin")]
use crate::room::HostCommand;
#[cfg(feature = "admin")]
use crate::room::names::RoomName;
use crate::room::{Deferred, LeaveReason, Rooms};
use crate::testing::MemorySocket;

const CAPACITY: usize = 3;
const ROOMS: [&str; 3] = ["lobby", "红", "blue"];
const PEERS: usize = 6;
/// The messages of the relay itself, without errors.
const ANNOUNCEMENTS: &[&str] =
    &["joined", "peer_joined", "peer_left", "host", "room", "waiting", "knock", "knock_gone"];

#[derive(Debug, Clone)]
enum Operation {
    Join {
        peer: usize,
        room: usize,
    },
    Leave {
        peer: usize,
    },
    Vanish {
        peer: usize,
    },
    /// Sends the same signal `count` times at once.
    Say {
        peer: usize,
        kind: &'static str,
        to: Option<usize>,
        bytes: usize,
        count: usize,
    },
    /// Says what only a host may do.
    Command {
        peer: usize,
        kind: &'static str,
        to: usize,
    },
    /// The application's own server does what a host may, or closes the room.
    #[cfg(feature = "admin")]
    Serve {
        room: usize,
        kind: &'static str,
        to: usize,
    },
    StopReading {
        peer: usize,
    },
    /// Reads this many bytes, and no more.
    Read {
        peer: usize,
        bytes: usize,
    },
    ReadOn {
        peer: usize,
    },
    Wait {
        ms: u64,
    },
}

#[cfg(test)]
fn operation() -> impl Strategy<Value = Operation> {
    let peer = 0..PEERS;
    let kind = prop::sample::select(vec!["offer", "answer", "offer_ice", "answer_ice", "message"]);
    let to = prop::option::weighted(0.4, 0..PEERS);
    let bytes = prop_oneof![9 => 0..100_usize, 1 => HELD_BYTES / 3..HELD_BYTES];
    let count = prop_oneof![6 => Just(1), 1 => 1..2 * SHARE_MESSAGES];
    let ms = prop_oneof![1..20_u64, 90..300_u64];
    let commands = vec!["lock", "lock", "unlock", "admit", "admit", "deny", "make_host", "kick"];
    let of_peers = prop_oneof![
        6 => (peer.clone(), 0..ROOMS.len()).prop_map(|(peer, room)| Operation::Join { peer, room }),
        1 => peer.clone().prop_map(|peer| Operation::Leave { peer }),
        1 => peer.clone().prop_map(|peer| Operation::Vanish { peer }),
        14 => (peer.clone(), kind, to, bytes, count)
            .prop_map(|(peer, kind, to, bytes, count)| (peer, kind, to, if count > 1 { bytes % 100 } else { bytes }, count))
            .prop_map(|(peer, kind, to, bytes, count)| Operation::Say { peer, kind, to, bytes, count }),
        4 => (peer.clone(), prop::sample::select(commands), 0..PEERS)
            .prop_map(|(peer, kind, to)| Operation::Command { peer, kind, to }),
        2 => peer.clone().prop_map(|peer| Operation::StopReading { peer }),
        2 => (peer.clone(), 1..20_000_usize).prop_map(|(peer, bytes)| Operation::Read { peer, bytes }),
        1 => peer.prop_map(|peer| Operation::ReadOn { peer }),
        2 => ms.prop_map(|ms| Operation::Wait { ms }),
    ];
    #[cfg(feature = "admin")]
    let of_peers = {
        let kind = prop::sample::select(vec!["lock", "unlock", "admit", "admit", "deny", "kick", "close"]);
        let serve = (0..ROOMS.len(), kind, 0..PEERS).prop_map(|(room, kind, to)| Operation::Serve { room, kind, to });
        prop_oneof![33 => of_peers, 3 => serve]
    };
    of_peers
}

/// A simple model of the protocol: the members of each room, and what each peer must have been told.
#[derive(Default)]
struct Model {
    rooms: HashMap<&'static str, Vec<usize>>,
    locked: HashSet<&'static str>,
    /// Those who wait at each room, in the order in which they came.
    knocks: HashMap<&'static str, Vec<usize>>,
    /// The members that a host chose, and when.
    chosen: HashMap<usize, usize>,
    held: HashMap<&'static str, (usize, Vec<usize>, usize)>,
    /// The relay's own messages to each peer.
    told: HashMap<usize, Vec<Value>>,
    /// The errors to each peer, without `peer_busy`: the number of its message, and the code.
    refused: HashMap<usize, Vec<(Option<usize>, &'static str)>>,
    /// The numbers of the messages by sender and receiver, in the order sent.
    sent: HashMap<(usize, usize), Vec<usize>>,
    /// Held messages, by number and receiver: these are never refused.
    delivered_held: HashSet<(usize, usize)>,
}

impl Model {
    fn tell(&mut self, peers: &[usize], message: &Value) {
        for peer in peers {
            self.told.entry(*peer).or_default().push(message.clone());
        }
    }

    fn refuse(&mut self, peer: usize, number: Option<usize>, code: &'static str) {
        self.refused.entry(peer).or_default().push((number, code));
    }

    fn send(&mut self, from: usize, to: &[usize], number: usize) {
        for receiver in to {
            self.sent.entry((from, *receiver)).or_default().push(number);
        }
    }

    fn room_of(&self, peer: usize) -> Option<(&'static str, Vec<usize>)> {
        self.rooms.iter().find(|(_, members)| members.contains(&peer)).map(|(room, members)| (*room, members.clone()))
    }

    fn host(&self, members: &[usize]) -> Option<usize> {
        // Of equal ones, the last: the oldest.
        members.iter().rev().copied().max_by_key(|member| self.chosen.get(member).copied().unwrap_or(0))
    }

    fn waits_at(&self, peer: usize) -> Option<&'static str> {
        self.knocks.iter().find(|(_, waiting)| waiting.contains(&peer)).map(|(room, _)| *room)
    }

    fn is_full(&self, room: &str) -> bool {
        self.rooms.get(room).map_or(0, Vec::len) >= if room == "lobby" { 2 } else { CAPACITY }
    }

    fn join(&mut self, peer: usize, room: &'static str) {
        if self.room_of(peer).is_some() || self.waits_at(peer).is_some() {
            return self.refuse(peer, None, "already_joined");
        }
        if self.locked.contains(room) {
            let host = self.host(&self.rooms[room]).unwrap();
            self.tell(&[peer], &json!("waiting"));
            self.tell(&[host], &json!({"knock": peer}));
            return self.knocks.entry(room).or_default().push(peer);
        }
        if self.is_full(room) {
            return self.refuse(peer, None, "room_full");
        }
        self.enter(peer, room);
    }

    fn enter(&mut self, peer: usize, room: &'static str) {
        let members = self.rooms.get(room).cloned().unwrap_or_default();
        let (host, locked) = (self.host(&members).unwrap_or(peer), self.locked.contains(room));
        self.tell(&[peer], &json!({"joined": peer, "room": room, "host": host, "peers": members, "locked": locked}));
        if members.len() == 1 {
            let held = self.held.get(room).cloned();
            for number in held.iter().flat_map(|held| &held.1) {
                self.send(members[0], &[peer], *number);
                self.delivered_held.insert((*number, peer));
            }
        }
        self.tell(&members, &json!({"peer_joined": peer}));
        self.rooms.entry(room).or_default().push(peer);
    }

    /// Ends the wait of `peer` at `room`.
    fn take_knock(&mut self, room: &str, peer: usize) {
        self.knocks.get_mut(room).unwrap().retain(|waiting| *waiting != peer);
    }

    fn knock_gone(&mut self, room: &str, peer: usize) {
        let host = self.host(&self.rooms[room]).unwrap();
        self.tell(&[host], &json!({"knock_gone": peer}));
    }

    fn tell_host(&mut self, room: &str) {
        let members = self.rooms[room].clone();
        let host = self.host(&members).unwrap();
        self.tell(&members, &json!({"host": host}));
        for knock in self.knocks.get(room).cloned().unwrap_or_default() {
            self.tell(&[host], &json!({"knock": knock}));
        }
    }

    fn leave(&mut self, peer: usize, reason: &str) {
        if let Some(room) = self.waits_at(peer) {
            self.take_knock(room, peer);
            return self.knock_gone(room, peer);
        }
        let Some((room, members)) = self.room_of(peer) else {
            if reason == "left" {
                self.refuse(peer, None, "not_joined");
            }
            return;
        };
        let was_host = self.host(&members) == Some(peer);
        let rest: Vec<usize> = members.iter().copied().filter(|member| *member != peer).collect();
        if self.held.get(room).is_some_and(|held| held.0 == peer) {
            self.held.remove(room);
        }
        self.chosen.remove(&peer);
        self.tell(&rest, &json!({"peer_left": peer, "reason": reason}));
        if rest.is_empty() {
            self.rooms.remove(room);
            self.locked.remove(room);
            for knock in self.knocks.remove(room).unwrap_or_default() {
                self.refuse(knock, None, "denied");
            }
            return;
        }
        self.rooms.insert(room, rest);
        if was_host {
            self.tell_host(room);
        }
    }

    /// Carries out a command; returns whether it was a kick.
    fn command(&mut self, peer: usize, kind: &str, to: usize) -> bool {
        let refusal = match self.room_of(peer) {
            None => Some("not_joined"),
            Some((_, members)) if self.host(&members) != Some(peer) => Some("not_host"),
            Some((room, members)) => self.command_of_host(peer, room, &members, kind, to),
        };
        if let Some(code) = refusal {
            self.refuse(peer, None, code);
        }
        refusal.is_none() && kind == "kick"
    }

    fn command_of_host(
        &mut self,
        peer: usize,
        room: &'static str,
        members: &[usize],
        kind: &str,
        to: usize,
    ) -> Option<&'static str> {
        let knocks = self.knocks.get(room).cloned().unwrap_or_default();
        let is_there = match kind {
            "admit" | "deny" => knocks.contains(&to),
            "kick" => members.contains(&to) && to != peer,
            "make_host" => members.contains(&to),
            _ => true,
        };
        if !is_there {
            return Some("peer_not_found");
        }
        match kind {
            "lock" => {
                self.locked.insert(room);
                self.tell(members, &json!({"room": true}));
            }
            "unlock" => {
                self.locked.remove(room);
                self.knocks.remove(room);
                self.tell(members, &json!({"room": false}));
                for knock in knocks {
                    if self.is_full(room) {
                        self.knock_gone(room, knock);
                        self.refuse(knock, None, "room_full");
                    } else {
                        self.enter(knock, room);
                    }
                }
            }
            "admit" if self.is_full(room) => return Some("room_full"),
            "admit" => {
                self.take_knock(room, to);
                self.enter(to, room);
            }
            "deny" => {
                self.take_knock(room, to);
                if peer == PEERS {
                    self.knock_gone(room, to);
                }
                self.refuse(to, None, "denied");
            }
            "make_host" => {
                let latest = self.chosen.values().max().copied().unwrap_or(0);
                self.chosen.insert(to, latest + 1);
                self.tell_host(room);
            }
            _ => {
                self.leave(to, "kicked");
                self.refuse(to, None, "kicked");
            }
        }
        None
    }

    /// Carries out what the server asks for; returns who is removed, if it can be done.
    #[cfg(feature = "admin")]
    fn serve(&mut self, room: &'static str, kind: &str, to: usize) -> Option<Vec<usize>> {
        let members = self.rooms.get(room)?.clone();
        if kind != "close" {
            let refusal = self.command_of_host(PEERS, room, &members, kind, to);
            let removed = if kind == "kick" { vec![to] } else { Vec::new() };
            return refusal.is_none().then_some(removed);
        }
        for member in &members {
            self.chosen.remove(member);
            self.refuse(*member, None, "kicked");
        }
        self.rooms.remove(room);
        self.locked.remove(room);
        self.held.remove(room);
        for knock in self.knocks.remove(room).unwrap_or_default() {
            self.refuse(knock, None, "denied");
        }
        Some(members)
    }

    fn say(&mut self, peer: usize, kind: &str, to: Option<usize>, number: usize, bytes: usize) {
        let Some((room, members)) = self.room_of(peer) else { return self.refuse(peer, Some(number), "not_joined") };
        let others: Vec<usize> = members.iter().copied().filter(|member| *member != peer).collect();
        let forget = self.held.get(room).is_some_and(|held| {
            (kind == "offer" && held.0 == peer)
                || (kind == "answer" && held.0 != peer && to.is_none_or(|to| to == held.0))
        });
        if forget {
            self.held.remove(room);
        }
        if let Some(to) = to {
            return if others.contains(&to) {
                self.send(peer, &[to], number);
            } else {
                self.refuse(peer, Some(number), "peer_not_found");
            };
        }
        let mut held = false;
        if kind == "offer" && others.is_empty() && bytes <= HELD_BYTES {
            self.held.insert(room, (peer, vec![number], bytes));
            held = true;
        } else if let Some(holding) = self.held.get_mut(room)
            && kind == "offer_ice"
            && holding.0 == peer
            && holding.2 + bytes <= HELD_BYTES
        {
            holding.1.push(number);
            holding.2 += bytes;
            held = true;
        }
        if others.is_empty() && !held {
            self.refuse(peer, Some(number), "peer_not_found");
        } else {
            self.send(peer, &others, number);
        }
    }
}

/// A peer with a socket in memory.
struct Peer {
    session: Session,
    socket: MemorySocket,
    heard: Vec<Value>,
    /// The message for which it is paused: its number, and its receiver unless it is a broadcast.
    waits_with: Option<(usize, Option<usize>)>,
    ever_stopped: bool,
}

struct World {
    rooms: Arc<Rooms>,
    #[cfg(feature = "admin")]
    server: Sender,
    peers: Vec<Peer>,
    model: Model,
    /// Messages that need not arrive, because the sender or the receiver left while the sender was paused.
    excused: HashSet<(usize, usize)>,
    next: usize,
}

fn id(peer: usize) -> String {
    format!("peer_{peer}")
}

fn peer_of(id: &Value) -> usize {
    id.as_str().unwrap().strip_prefix("peer_").unwrap().parse().unwrap()
}

/// A message of the relay itself, in the form that the model uses.
fn in_the_models_words(message: &Value) -> Value {
    match message["type"].as_str().unwrap() {
        "joined" => {
            let peers: Vec<usize> =
                message["peers"].as_array().unwrap().iter().map(|peer| peer_of(&peer["id"])).collect();
            let (id, host) = (peer_of(&message["id"]), peer_of(&message["host"]));
            let locked = message.get("locked").is_some();
            json!({"joined": id, "room": message["room"], "host": host, "peers": peers, "locked": locked})
        }
        "peer_joined" => json!({"peer_joined": peer_of(&message["id"])}),
        "peer_left" => json!({"peer_left": peer_of(&message["id"]), "reason": message["reason"]}),
        "host" => json!({"host": peer_of(&message["id"])}),
        "room" => json!({"room": message["locked"]}),
        "waiting" => json!("waiting"),
        "knock" => json!({"knock": peer_of(&message["id"])}),
        "knock_gone" => json!({"knock_gone": peer_of(&message["id"])}),
        other => panic!("{other} is no announcement"),
    }
}

impl World {
    fn new() -> Self {
        let settings = HubSettings { room_capacity: CAPACITY, ..HubSettings::default() };
        let hub = Hub::new(settings, Arc::new(Open), None);
        let rooms = Arc::clone(&hub.rooms);
        let newcomer = |_| {
            let (socket, outbox) = MemorySocket::with_outbox(usize::MAX);
            let rate = RateLimiter::new(0, 0, Instant::now());
            let session = Session::new(Arc::clone(&hub), outbox, rate, Default::default());
            Peer { session, socket, heard: Vec::new(), waits_with: None, ever_stopped: false }
        };
        let peers = (0..PEERS).map(newcomer).collect();
        Self {
            rooms,
            #[cfg(feature = "admin")]
            server: hub.server.clone(),
            peers,
            model: Model::default(),
            excused: HashSet::new(),
            next: 0,
        }
    }

    /// Ends the connection of `peer`; it may come again.
    fn end(&mut self, peer: usize, reason: LeaveReason) {
        if let Some((number, _)) = self.peers[peer].waits_with.take() {
            self.excused.extend((0..PEERS).map(|receiver| (number, receiver)));
        }
        self.peers[peer].session.leave(reason, &mut Deferred::default());
        self.excuse_whom_others_wait_for(peer);
    }

    fn receive(&mut self, peer: usize, message: &Value) -> usize {
        let text = message.to_string();
        let session = &mut self.peers[peer].session;
        session.receive(&text, Instant::now(), Waker::noop(), &mut Deferred::default()).unwrap();
        text.len()
    }

    async fn carry_out(&mut self, operation: &Operation) {
        match *operation {
            // A session that waits receives nothing.
            Operation::Join { peer, .. } | Operation::Leave { peer } | Operation::Command { peer, .. }
                if self.peers[peer].session.is_waiting() => {}
            Operation::Join { peer, room } => {
                self.receive(peer, &json!({"type": "join", "room": ROOMS[room], "id": id(peer)}));
                self.model.join(peer, ROOMS[room]);
            }
            Operation::Leave { peer } => {
                self.receive(peer, &json!({"type": "leave"}));
                self.excuse_whom_others_wait_for(peer);
                self.model.leave(peer, "left");
            }
            Operation::Vanish { peer } => {
                self.end(peer, LeaveReason::Timeout);
                self.model.leave(peer, "timeout");
            }
            Operation::Command { peer, kind, to } => {
                let locked = kind == "lock";
                let (kind, message) = match kind {
                    "lock" | "unlock" => (kind, json!({"type": "lock", "locked": locked})),
                    kind => (kind, json!({"type": kind, "to": id(to)})),
                };
                self.receive(peer, &message);
                if self.model.command(peer, kind, to) {
                    self.end(to, LeaveReason::Kicked);
                }
            }
            #[cfg(feature = "admin")]
            Operation::Serve { room, kind, to } => {
                let done = self.serve(ROOMS[room], kind, to);
                let removed = self.model.serve(ROOMS[room], kind, to);
                assert_eq!(done, removed.is_some(), "{operation:?}");
                removed.unwrap_or_default().into_iter().for_each(|peer| self.end(peer, LeaveReason::Kicked));
            }
            Operation::Say { peer, kind, to, bytes, count } => {
                for _ in 0..count {
                    if !self.peers[peer].session.is_waiting() {
                        self.say(peer, kind, to, bytes);
                    }
                    self.everybody_writes();
                }
            }
            Operation::StopReading { peer } => {
                self.peers[peer].socket.stop();
                self.peers[peer].ever_stopped = true;
            }
            Operation::Read { peer, bytes } => self.peers[peer].socket.make_room(bytes),
            Operation::ReadOn { peer } => self.peers[peer].socket.make_room(usize::MAX),
            Operation::Wait { ms } => {
                advance(Duration::from_millis(ms)).await;
                // No sender gives up at the first poll after that.
                self.everybody_writes();
            }
        }
        self.everybody_writes();
    }

    /// Whether the server can do that.
    #[cfg(feature = "admin")]
    fn serve(&self, room: &str, kind: &str, to: usize) -> bool {
        let (room, to) = (RoomName::parse(room).unwrap(), id(to));
        let command = match kind {
            "close" => return self.rooms.close(&room, None).is_ok(),
            "lock" | "unlock" => HostCommand::Lock { is_locked: kind == "lock" },
            "admit" => HostCommand::Admit { to: to.into() },
            "deny" => HostCommand::Deny { to: to.into() },
            _ => HostCommand::Kick { to: to.into(), message: None },
        };
        self.rooms.command(&self.server, &room, &command).is_ok()
    }

    fn say(&mut self, peer: usize, kind: &'static str, to: Option<usize>, bytes: usize) {
        let number = self.next;
        self.next += 1;
        let mut signal = json!({"type": kind, "number": number, "from": "peer_0", "sdp": "x".repeat(bytes)});
        (signal["iceCandidate"], signal["data"], signal["ref"]) = (json!({}), json!(null), json!(number.to_string()));
        if let Some(to) = to {
            signal["to"] = json!(id(to));
        }
        let bytes = self.receive(peer, &signal);
        self.model.say(peer, kind, to, number, bytes);
        if self.peers[peer].session.is_waiting() {
            self.peers[peer].waits_with = Some((number, to));
        }
    }

    /// A peer that leaves does not get the messages for which others are paused. Their senders get an error unless the
    /// message was a broadcast.
    fn excuse_whom_others_wait_for(&mut self, leaver: usize) {
        for waits in self.peers.iter().filter_map(|peer| peer.waits_with) {
            self.excused.insert((waits.0, leaver));
        }
    }

    /// Gives each connection's task a turn.
    fn everybody_writes(&mut self) {
        let mut cx = task::Context::from_waker(Waker::noop());
        for peer in &mut self.peers {
            if peer.session.poll_waiting(&mut cx, Instant::now(), &mut Deferred::default()).is_ready() {
                peer.waits_with = None;
            }
        }
        for peer in &mut self.peers {
            let _ = peer.session.outbox().poll_flush(&mut cx);
            peer.heard.extend(peer.socket.texts().iter().map(|text| serde_json::from_str::<Value>(text).unwrap()));
        }
    }

    /// Lets every peer read until no session waits.
    async fn settle(&mut self) {
        for peer in &self.peers {
            peer.socket.make_room(usize::MAX);
        }
        while self.peers.iter().any(|peer| peer.session.is_waiting()) {
            self.everybody_writes();
            advance(PAUSE / 4).await;
        }
        self.everybody_writes();
    }

    fn check(&self) -> Result<(), TestCaseError> {
        prop_assert_eq!(self.rooms.len(), self.model.rooms.len(), "empty rooms are gone");
        // The `peer_busy` errors, by the number of the message and its receiver.
        let mut busy: HashMap<(usize, usize), usize> = HashMap::new();
        for (peer, Peer { heard, ever_stopped, .. }) in self.peers.iter().enumerate() {
            let kind = |message: &&Value, kinds: &[&str]| kinds.contains(&message["type"].as_str().unwrap());
            let announced: Vec<Value> =
                heard.iter().filter(|one| kind(one, ANNOUNCEMENTS)).map(in_the_models_words).collect();
            let told = self.model.told.get(&peer).cloned().unwrap_or_default();
            if *ever_stopped {
                prop_assert_eq!(in_effect(&announced), in_effect(&told), "presence, for {}", peer);
                let mut rest = told.iter();
                prop_assert!(
                    announced.iter().all(|one| rest.any(|other| other == one)),
                    "{:?} of {:?}",
                    announced,
                    told
                );
            } else {
                prop_assert_eq!(announced, told, "presence, for {}", peer);
            }
            let mut errors = Vec::new();
            for error in heard.iter().filter(|one| kind(one, &["error"])) {
                let number = error["ref"].as_str().map(|number| number.parse::<usize>().unwrap());
                if error["code"] == "peer_busy" {
                    let to = peer_of(&error["to"]);
                    prop_assert!(self.peers[to].ever_stopped, "{} reads, and a sender was told that it is busy", to);
                    *busy.entry((number.unwrap(), to)).or_default() += 1;
                } else if error["code"] == "peer_not_found"
                    && number.is_some_and(|number| self.is_excused(number, error))
                {
                    // The receiver left while the sender was paused.
                } else {
                    errors.push((number, error["code"].as_str().unwrap()));
                }
            }
            let expected = self.model.refused.get(&peer).cloned().unwrap_or_default();
            prop_assert_eq!(errors, expected, "errors, for {}", peer);
        }
        for ((from, to), numbers) in &self.model.sent {
            let heard: Vec<usize> = self.peers[*to]
                .heard
                .iter()
                .filter(|message| message.get("from").is_some_and(|sender| *sender == json!(id(*from))))
                .map(|message| message["number"].as_u64().unwrap() as usize)
                .collect();
            let mut rest = heard.iter().peekable();
            for number in numbers {
                let arrived = rest.next_if_eq(&number).is_some();
                let told = busy.remove(&(*number, *to)).unwrap_or(0);
                if self.model.delivered_held.contains(&(*number, *to)) {
                    prop_assert!(arrived, "{} was held for {} and did not arrive", number, to);
                } else if !self.excused.contains(&(*number, *to)) {
                    prop_assert_eq!(
                        usize::from(arrived) + told,
                        1,
                        "{} to {}: arrived {}, refused {} times",
                        number,
                        to,
                        arrived,
                        told
                    );
                }
            }
            prop_assert!(rest.next().is_none(), "from {} to {}: {:?} is not {:?} in order", from, to, heard, numbers);
        }
        prop_assert!(busy.is_empty(), "refused and never sent: {:?}", busy);
        Ok(())
    }

    fn is_excused(&self, number: usize, error: &Value) -> bool {
        error["to"].is_string() && self.excused.contains(&(number, peer_of(&error["to"])))
    }
}

/// What the relay's messages amount to: without those that cancel out, as they may if neither was written, and with the last
/// word about the host and the lock. That is the same for one who reads late as for one who reads all.
fn in_effect(messages: &[Value]) -> Vec<&Value> {
    let mut left: Vec<&Value> = Vec::new();
    // Where the present place of the client begins, and the knocks there that are over.
    let (mut start, mut over) = (0, HashSet::new());
    for message in messages {
        let Some((kind, of)) = ANNOUNCEMENTS.iter().find_map(|kind| Some((*kind, message.get(kind)?))) else {
            left.push(message);
            continue;
        };
        let is = |other: &Value, kind: &str| other.get(kind) == Some(of);
        match kind {
            "joined" => (start, over) = (left.len(), HashSet::new()),
            "peer_left" => {
                if let Some(at) = left.iter().skip(start).rposition(|other| is(other, "peer_joined")) {
                    left.remove(start + at);
                    continue;
                }
            }
            "peer_joined" => {
                over.extend(left.iter().filter(|other| is(other, "knock")).map(|knock| *knock as *const Value))
            }
            "knock_gone" => {
                let before = left.len();
                left.retain(|other| !is(other, "knock") || over.contains(&(*other as *const Value)));
                if left.len() < before {
                    continue;
                }
            }
            "host" | "room" => {
                let place = left.split_off(start);
                left.extend(
                    place.into_iter().filter(|other| other.get(kind).is_none() || other.get("joined").is_some()),
                );
            }
            _ => {}
        }
        left.push(message);
    }
    left
}

/// Carries the operations out, and checks what each peer was told.
fn run(operations: &[Operation]) -> Result<(), TestCaseError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut world = World::new();
        for operation in operations {
            world.carry_out(operation).await;
        }
        world.settle().await;
        world.check()?;
        let World { rooms, peers, .. } = world;
        drop(peers);
        prop_assert!(rooms.is_empty());
        Ok(())
    })
}

/// The operation that four bytes select, about as often as [`operation`] does.
#[cfg(fuzzing)]
fn selected([what, who, one, other]: [u8; 4]) -> Operation {
    let (peer, one, other) = (usize::from(who) % PEERS, usize::from(one), usize::from(other));
    let kind = ["offer", "answer", "offer_ice", "answer_ice", "message"][one % 5];
    let to = (other < 100).then_some(other % PEERS);
    match what {
        0..55 => Operation::Join { peer, room: one % ROOMS.len() },
        55..65 => Operation::Leave { peer },
        65..75 => Operation::Vanish { peer },
        75..170 => Operation::Say { peer, kind, to, bytes: one, count: 1 },
        170..185 => Operation::Say { peer, kind, to, bytes: one * HELD_BYTES / 256, count: 1 },
        185..205 => Operation::Say { peer, kind, to, bytes: one % 100, count: 1 + other % (2 * SHARE_MESSAGES) },
        205..220 => Operation::StopReading { peer },
        220..235 => Operation::Read { peer, bytes: 1 + one * 80 + other },
        235..245 => Operation::ReadOn { peer },
        245.. => Operation::Wait { ms: 1 + one as u64 },
    }
}

/// Runs the operations that `bytes` select, in place of random ones.
#[cfg(fuzzing)]
pub(crate) fn run_selected(bytes: &[u8]) {
    let operations: Vec<Operation> = bytes.as_chunks().0.iter().copied().map(selected).collect();
    run(&operations).unwrap_or_else(|error| panic!("{error}\n{operations:#?}"));
}

#[cfg(test)]
proptest! {
    #![proptest_config(crate::testing::cases(100))]

    #[test]
    fn whatever_peers_do_and_however_slowly_they_read_each_is_told_what_the_protocol_says(
        operations in prop::collection::vec(operation(), 1..120)
    ) {
        run(&operations)?;
    }
}
