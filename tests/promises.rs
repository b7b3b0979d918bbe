//! What is promised: order, nothing lost or doubled or misdelivered, `peer_left` exactly once, `from` true, empty rooms gone.
//! First against a model, without sockets; then with 100,000 messages through real ones.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

mod harness;

use std::collections::HashMap;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};
use signaling_relay::Config;
use signaling_relay::limits::{Allowance, HELD_BYTES};
use signaling_relay::peer::outbox::Outbox;
use signaling_relay::peer::session::Session;
use signaling_relay::protocol::{IceServers, LeaveReason};
use signaling_relay::room::table::Rooms;
use harness::client::{Peer, TestRelay};
use tokio::time::Instant;

const CAPACITY: usize = 3;
const ROOMS: [&str; 3] = ["lobby", "红", "blue"];
const PEERS: usize = 6;

#[derive(Debug, Clone)]
enum Operation {
    Join { peer: usize, room: usize },
    Leave { peer: usize },
    Vanish { peer: usize },
    Signal { peer: usize, kind: &'static str, to: Option<usize>, bytes: usize },
}

fn operation() -> impl Strategy<Value = Operation> {
    let peer = 0..PEERS;
    let kind = prop::sample::select(vec!["offer", "answer", "offer_ice", "answer_ice", "message"]);
    let to = prop::option::weighted(0.4, 0..PEERS);
    let bytes = prop_oneof![9 => 0..100_usize, 1 => HELD_BYTES / 3..HELD_BYTES];
    prop_oneof![
        3 => (peer.clone(), 0..ROOMS.len()).prop_map(|(peer, room)| Operation::Join { peer, room }),
        1 => peer.clone().prop_map(|peer| Operation::Leave { peer }),
        1 => peer.clone().prop_map(|peer| Operation::Vanish { peer }),
        8 => (peer, kind, to, bytes).prop_map(|(peer, kind, to, bytes)| Operation::Signal { peer, kind, to, bytes }),
    ]
}

/// The protocol once more, as simply as it can be said: who is where, and what each has been told.
#[derive(Default)]
struct Model {
    rooms: HashMap<&'static str, Vec<usize>>,
    held: HashMap<&'static str, (usize, Vec<Value>, usize)>,
    told: HashMap<usize, Vec<Value>>,
}

impl Model {
    fn tell(&mut self, peers: &[usize], message: Value) {
        for peer in peers {
            self.told.entry(*peer).or_default().push(message.clone());
        }
    }

    fn refuse(&mut self, peer: usize, code: &str) {
        self.tell(&[peer], json!({"error": code}));
    }

    fn room_of(&self, peer: usize) -> Option<(&'static str, Vec<usize>)> {
        self.rooms.iter().find(|(_, members)| members.contains(&peer)).map(|(room, members)| (*room, members.clone()))
    }

    fn join(&mut self, peer: usize, room: &'static str) {
        if self.room_of(peer).is_some() {
            return self.refuse(peer, "already_joined");
        }
        let members = self.rooms.get(room).cloned().unwrap_or_default();
        if members.len() >= if room == "lobby" { 2 } else { CAPACITY } {
            return self.refuse(peer, "room_full");
        }
        let host = members.first().unwrap_or(&peer);
        self.tell(&[peer], json!({"joined": peer, "room": room, "host": host, "peers": members}));
        if members.len() == 1 {
            for message in self.held.get(room).map(|held| held.1.clone()).unwrap_or_default() {
                self.tell(&[peer], message);
            }
        }
        self.tell(&members, json!({"peer_joined": peer}));
        self.rooms.entry(room).or_default().push(peer);
    }

    fn leave(&mut self, peer: usize, reason: &str) {
        let Some((room, members)) = self.room_of(peer) else {
            if reason == "left" {
                self.refuse(peer, "not_joined");
            }
            return;
        };
        let rest: Vec<usize> = members.iter().copied().filter(|member| *member != peer).collect();
        if self.held.get(room).is_some_and(|held| held.0 == peer) {
            self.held.remove(room);
        }
        self.tell(&rest, json!({"peer_left": peer, "reason": reason}));
        if members[0] == peer && !rest.is_empty() {
            self.tell(&rest, json!({"host": rest[0]}));
        }
        if rest.is_empty() {
            self.rooms.remove(room)
        } else {
            self.rooms.insert(room, rest)
        };
    }

    fn signal(&mut self, peer: usize, kind: &str, to: Option<usize>, number: usize, bytes: usize) {
        let Some((room, members)) = self.room_of(peer) else { return self.refuse(peer, "not_joined") };
        let others: Vec<usize> = members.iter().copied().filter(|member| *member != peer).collect();
        let forget = self.held.get(room).is_some_and(|held| {
            (kind == "offer" && held.0 == peer)
                || (kind == "answer" && held.0 != peer && to.is_none_or(|to| to == held.0))
        });
        if forget {
            self.held.remove(room);
        }
        let message = json!({"signal": kind, "from": peer, "number": number});
        if let Some(to) = to {
            return if others.contains(&to) { self.tell(&[to], message) } else { self.refuse(peer, "peer_not_found") };
        }
        let mut held = false;
        if kind == "offer" && others.is_empty() && bytes <= HELD_BYTES {
            self.held.insert(room, (peer, vec![message.clone()], bytes));
            held = true;
        } else if let Some(holding) = self.held.get_mut(room)
            && kind == "offer_ice"
            && holding.0 == peer
            && holding.2 + bytes <= HELD_BYTES
        {
            holding.1.push(message.clone());
            holding.2 += bytes;
            held = true;
        }
        if others.is_empty() && !held { self.refuse(peer, "peer_not_found") } else { self.tell(&others, message) }
    }
}

fn id(peer: usize) -> String {
    format!("peer_{peer}")
}

fn number_of(id: &Value) -> usize {
    id.as_str().unwrap().strip_prefix("peer_").unwrap().parse().unwrap()
}

/// What the relay said, in the model's words.
fn in_the_models_words(message: &Value) -> Value {
    match message["type"].as_str().unwrap() {
        "joined" => {
            let peers: Vec<usize> =
                message["peers"].as_array().unwrap().iter().map(|peer| number_of(&peer["id"])).collect();
            let (id, host) = (number_of(&message["id"]), number_of(&message["host"]));
            json!({"joined": id, "room": message["room"], "host": host, "peers": peers})
        }
        "peer_joined" => json!({"peer_joined": number_of(&message["id"])}),
        "peer_left" => json!({"peer_left": number_of(&message["id"]), "reason": message["reason"]}),
        "host" => json!({"host": number_of(&message["id"])}),
        "error" => json!({"error": message["code"]}),
        kind => json!({"signal": kind, "from": number_of(&message["from"]), "number": message["number"]}),
    }
}

fn run(operations: &[Operation]) -> Result<(), TestCaseError> {
    let rooms = Arc::new(Rooms::new(CAPACITY, IceServers::default()));
    let newcomer =
        || Session::new(Arc::clone(&rooms), Arc::new(Outbox::new(HELD_BYTES)), Allowance::new(0, 0, Instant::now()));
    let mut sessions: Vec<Session> = (0..PEERS).map(|_| newcomer()).collect();
    let mut model = Model::default();
    for (number, operation) in operations.iter().enumerate() {
        match *operation {
            Operation::Join { peer, room } => {
                let join = json!({"type": "join", "room": ROOMS[room], "id": id(peer)});
                sessions[peer].receive(&join.to_string(), Instant::now()).unwrap();
                model.join(peer, ROOMS[room]);
            }
            Operation::Leave { peer } => {
                sessions[peer].receive(r#"{"type":"leave"}"#, Instant::now()).unwrap();
                model.leave(peer, "left");
            }
            Operation::Vanish { peer } => {
                sessions[peer].leave(LeaveReason::Timeout);
                model.leave(peer, "timeout");
            }
            Operation::Signal { peer, kind, to, bytes } => {
                let mut signal = json!({"type": kind, "number": number, "from": "peer_0", "sdp": "x".repeat(bytes)});
                signal["iceCandidate"] = json!({});
                signal["data"] = json!(null);
                if let Some(to) = to {
                    signal["to"] = json!(id(to));
                }
                let text = signal.to_string();
                sessions[peer].receive(&text, Instant::now()).unwrap();
                model.signal(peer, kind, to, number, text.len());
            }
        }
        for (peer, session) in sessions.iter().enumerate() {
            let heard: Vec<Value> = std::iter::from_fn(|| session.outbox().pop())
                .map(|message| in_the_models_words(&serde_json::from_str(message.to_text().unwrap()).unwrap()))
                .collect();
            prop_assert_eq!(heard, model.told.remove(&peer).unwrap_or_default(), "peer {} after {:?}", peer, operation);
        }
        prop_assert_eq!(rooms.len(), model.rooms.len(), "empty rooms are gone");
    }
    drop(sessions);
    prop_assert!(rooms.is_empty());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_many_peers_do_in_many_rooms_each_is_told_what_the_protocol_says(
        operations in prop::collection::vec(operation(), 1..120)
    ) {
        run(&operations)?;
    }
}

const CROWD_ROOMS: usize = 100;
const CROWD_MEMBERS: usize = 3;
const CROWD_MESSAGES: usize = 100_000;
/// What is expected of somebody who said that a message was the last.
const NO_MORE: u64 = u64::MAX;

/// Numbers that look random and are the same in each run (Marsaglia's xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// Somebody who broadcasts numbered messages, comes and goes, and checks all that is heard.
struct Member {
    peer: Peer,
    room: String,
    /// What each of the others must send next; unknown for those who were there first, until they send.
    expected: HashMap<String, Option<u64>>,
    sent: u64,
    heard: u64,
}

impl Member {
    async fn enter(relay: &TestRelay, room: String) -> Self {
        let mut member = Self { peer: relay.dial("/ws").await, room, expected: HashMap::new(), sent: 0, heard: 0 };
        member.join().await;
        member
    }

    async fn join(&mut self) {
        let joined = self.peer.join(&self.room).await;
        self.sent = 0;
        self.expected = joined["peers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|peer| (peer["id"].as_str().unwrap().to_owned(), None))
            .collect();
    }

    async fn broadcast(&mut self, count: u64) {
        for _ in 0..count {
            let data = json!({"room": self.room, "sender": self.peer.id, "number": self.sent});
            self.peer.say(json!({"type": "message", "data": data, "from": "nobody"})).await;
            self.sent += 1;
        }
        self.catch_up().await;
    }

    /// Reads until the answer to a question asked now.
    async fn catch_up(&mut self) {
        self.peer.say(json!({"type": "?", "ref": "caught up"})).await;
        loop {
            let message = self.peer.hear().await;
            match message["type"].as_str().unwrap() {
                "error" if message["ref"] == "caught up" => return,
                "error" => assert_eq!(message["code"], "peer_not_found", "alone in the room: {message}"),
                "host" => {}
                _ => self.check(&message),
            }
        }
    }

    fn check(&mut self, message: &Value) {
        let id = message["id"].as_str().or(message["from"].as_str()).unwrap();
        match message["type"].as_str().unwrap() {
            "peer_joined" => assert!(self.expected.insert(id.to_owned(), Some(0)).is_none(), "twice: {message}"),
            "peer_left" => {
                let expected = self.expected.remove(id).unwrap_or_else(|| panic!("left twice: {message}"));
                assert!(message["reason"] == "left" || message["reason"] == "closed", "{message}");
                // Unknown: we came after the last message, and before the leave.
                let said_all = message["reason"] == "closed" || matches!(expected, Some(NO_MORE) | None);
                assert!(said_all, "the last message before leaving was lost: {message}");
            }
            "message" => {
                let (data, number) = (&message["data"], message["data"]["number"].as_u64().unwrap());
                assert_eq!(data["room"], json!(self.room), "misdelivered");
                assert_eq!(data["sender"], message["from"], "from is the relay's word");
                let expected = self.expected.get_mut(id).unwrap_or_else(|| panic!("not in the room: {message}"));
                assert_eq!(number, expected.unwrap_or(number), "lost, doubled or reordered: {message}");
                *expected = Some(if data["last"] == true { NO_MORE } else { number + 1 });
                self.heard += 1;
            }
            other => panic!("{other}"),
        }
    }

    async fn leave(&mut self) {
        let data = json!({"room": self.room, "sender": self.peer.id, "number": self.sent, "last": true});
        self.peer.say(json!({"type": "message", "data": data})).await;
        self.peer.say(json!({"type": "leave"})).await;
        self.catch_up().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_100_000_messages_through_100_rooms_with_joins_and_leaves_none_is_lost_doubled_reordered_or_misdelivered() {
    let relay = Arc::new(TestRelay::start_with(Config { message_rate: 0, byte_rate: 0, ..Config::default() }).await);
    let messages_each = CROWD_MESSAGES / (CROWD_ROOMS * CROWD_MEMBERS) + 1;
    let crowd: Vec<_> = (0..CROWD_ROOMS * CROWD_MEMBERS)
        .map(|number| {
            let relay = Arc::clone(&relay);
            tokio::spawn(async move {
                let mut dice = Dice(number as u64 + 1);
                let mut member = Member::enter(&relay, format!("room {}", number % CROWD_ROOMS)).await;
                let (mut said, mut heard) = (0, 0);
                while said < messages_each {
                    match dice.below(40) {
                        0 => {
                            member.leave().await;
                            member.join().await;
                        }
                        1 => {
                            heard += member.heard;
                            let room = member.room.clone();
                            drop(member);
                            member = Member::enter(&relay, room).await;
                        }
                        _ => {
                            let count = (1 + dice.below(12)).min((messages_each - said) as u64);
                            member.broadcast(count).await;
                            said += count as usize;
                        }
                    }
                }
                member.leave().await;
                (said, heard + member.heard)
            })
        })
        .collect();
    let (mut said, mut heard) = (0, 0);
    for member in crowd {
        let (member_said, member_heard) = member.await.unwrap();
        said += member_said;
        heard += member_heard;
    }
    assert!(said >= CROWD_MESSAGES, "{said}");
    assert!(heard >= CROWD_MESSAGES as u64, "{heard} of {said} messages were heard, by others who were there");
    println!("{said} messages said, {heard} deliveries checked");
}
