//! Property tests of places that survive a lost connection: whatever is cut, and however often, each message arrives
//! once and in order or its sender hears why not, and everybody hears who is away, who is back and who has left.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::task::{self, Waker};
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use serde_json::{Value, json};
use tokio::task::yield_now;
use tokio::time::{Instant, advance};

use super::super::{Hub, HubSettings, RelayEvent, Session};
use crate::auth::Open;
use crate::limits::SLOW_PONG_DEADLINE;
use crate::outbox::{CloseRequest, Outbox};
use crate::quota::RateLimiter;
use crate::room::{Deferred, LeaveReason};
use crate::testing::MemorySocket;

const PEOPLE: usize = 4;
const HOLD: Duration = Duration::from_secs(30);
/// Bytes of peers' messages that may wait for one client or be kept: little, so that histories reach it. But twice as much
/// holds the errors about all messages of a history, which would otherwise be forgotten before they have arrived.
const OUTBOX_BYTES: usize = 256 * 1024;

#[derive(Debug, Clone)]
enum Operation {
    /// Says so many messages of a size to somebody.
    Say {
        who: usize,
        to: usize,
        bytes: usize,
        count: usize,
    },
    /// Carries to the relay what was said, and reads.
    Carry {
        who: usize,
    },
    /// Only so many of the client's messages arrive, and it reads only so many more; then the line is cut. The relay
    /// notices now, or only when the client comes back.
    Cut {
        who: usize,
        up: usize,
        down: usize,
        noticed: bool,
    },
    /// Comes back, as a page that has read less than its browser has taken.
    Return {
        who: usize,
        unread: usize,
    },
    /// The client's socket accepts so many more bytes, and no more.
    Slow {
        who: usize,
        bytes: usize,
    },
    /// Throws somebody out, if it is the host.
    Kick {
        who: usize,
        to: usize,
    },
    /// So many strangers come, one after the other, say something to all, and go.
    Visits {
        count: usize,
        say: bool,
    },
    Wait {
        ms: u64,
    },
}

fn operation() -> impl Strategy<Value = Operation> {
    let who = 0..PEOPLE;
    let count = prop_oneof![4 => 1..5_usize, 1 => 50..200_usize];
    let bytes = prop_oneof![6 => 0..100_usize, 1 => 1_000..5_000_usize];
    let few = prop_oneof![0..4_usize, Just(usize::MAX)];
    let visits = prop_oneof![6 => 1..4_usize, 1 => 300..600_usize];
    let unread = prop_oneof![8 => Just(0_usize), 1 => 1..6_usize];
    let ms = prop_oneof![8 => 1..2_000_u64, 1 => 20_000..40_000_u64];
    prop_oneof![
        8 => (who.clone(), 0..PEOPLE, bytes, count)
            .prop_map(|(who, to, bytes, count)| Operation::Say { who, to, bytes, count }),
        6 => who.clone().prop_map(|who| Operation::Carry { who }),
        5 => (who.clone(), few.clone(), few, any::<bool>())
            .prop_map(|(who, up, down, noticed)| Operation::Cut { who, up, down, noticed }),
        4 => (who.clone(), unread).prop_map(|(who, unread)| Operation::Return { who, unread }),
        1 => (who.clone(), who.clone()).prop_map(|(who, to)| Operation::Kick { who, to }),
        1 => (who, 0..3_000_usize).prop_map(|(who, bytes)| Operation::Slow { who, bytes }),
        2 => (visits, any::<bool>()).prop_map(|(count, say)| Operation::Visits { count, say }),
        2 => ms.prop_map(|ms| Operation::Wait { ms }),
    ]
}

/// A connection, with what the client has written and the relay has not read yet.
struct Line {
    session: Session,
    socket: MemorySocket,
    up: VecDeque<String>,
}

/// A client from one `joined` to the next one. Its vectors are what it has in common with the relay: it counts.
#[derive(Default)]
struct Life {
    id: String,
    token: String,
    heard: Vec<Value>,
    said: Vec<Said>,
}

struct Said {
    text: String,
    to: String,
    number: usize,
}

#[derive(Default)]
struct Person {
    line: Option<Line>,
    /// Lines that the client has given up, and of which the relay does not know that yet.
    ghosts: Vec<Line>,
    lives: Vec<Life>,
    lost: Option<Instant>,
    /// When it last read all that it was sent, and so proved that it had arrived.
    read: Option<Instant>,
}

impl Person {
    fn life(&mut self) -> &mut Life {
        self.lives.last_mut().unwrap()
    }
}

struct World {
    hub: Arc<Hub>,
    people: Vec<Person>,
    next: usize,
    /// The ids of those who were kicked, as the observer heard it.
    kicked: Arc<Mutex<HashSet<String>>>,
}

impl World {
    async fn new() -> Self {
        let kicked = Arc::new(Mutex::new(HashSet::new()));
        let heard = Arc::clone(&kicked);
        let observer = move |event: &RelayEvent| {
            if let RelayEvent::Left { id, reason: LeaveReason::Kicked, .. } = event {
                assert!(heard.lock().unwrap().insert(id.to_string()), "{id} was kicked twice");
            }
        };
        let settings = HubSettings { room_capacity: 4 * PEOPLE, hold: HOLD, ..HubSettings::default() };
        let hub = Hub::new(settings, Arc::new(Open), Some(Arc::new(observer)));
        let people = (0..PEOPLE).map(|_| Person::default()).collect();
        let mut world = Self { hub, people, next: 0, kicked };
        for who in 0..PEOPLE {
            world.join(who);
        }
        world
    }

    fn line(&self) -> Line {
        let (socket, _) = MemorySocket::with_outbox(usize::MAX);
        let outbox = Arc::new(Outbox::new(OUTBOX_BYTES));
        outbox.connect(Box::new(socket.clone()));
        let rate = RateLimiter::new(0, 0, Instant::now());
        let session = Session::new(Arc::clone(&self.hub), outbox, rate, Default::default());
        Line { session, socket, up: VecDeque::new() }
    }

    fn join(&mut self, who: usize) {
        let mut line = self.line();
        let id = format!("{who}_{}", self.people[who].lives.len());
        line.says(&json!({"type": "join", "room": "r", "id": id, "resume": true}).to_string());
        let heard = line.hears(usize::MAX);
        assert_eq!(heard[0]["type"], "joined", "{heard:?}");
        let token = heard[0]["resume"]["token"].as_str().unwrap().to_owned();
        assert_eq!(token.len(), 32);
        self.people[who].lives.push(Life { id, token, heard, said: Vec::new() });
        let person = &mut self.people[who];
        (person.line, person.lost, person.read) = (Some(line), None, Some(Instant::now()));
    }

    /// Where somebody has not read enough, the stranger does not come in.
    fn visit(&mut self, says: bool) {
        let (mut line, id) = (self.line(), format!("visitor_{}", self.next));
        self.next += 1;
        line.says(&json!({"type": "join", "room": "r", "id": id}).to_string());
        if says && line.hears(usize::MAX)[0]["type"] == "joined" {
            line.says(r#"{"type":"message","data":1}"#);
        }
        line.session.end(LeaveReason::Closed, None, "left");
    }

    async fn carry_out(&mut self, operation: &Operation) {
        match *operation {
            Operation::Say { who, to, bytes, count } => {
                let to = self.people[to].life().id.clone();
                for _ in 0..count {
                    let number = self.next;
                    self.next += 1;
                    let data = "x".repeat(bytes);
                    let text =
                        json!({"type": "message", "to": to, "ref": number.to_string(), "data": data}).to_string();
                    if let Some(line) = &mut self.people[who].line {
                        line.up.push_back(text.clone());
                    }
                    self.people[who].life().said.push(Said { text, to: to.clone(), number });
                }
            }
            Operation::Carry { who } => self.carry(who, usize::MAX, usize::MAX),
            Operation::Cut { who, up, down, noticed } => {
                self.carry(who, up, down);
                let Some(mut line) = self.people[who].line.take() else { return };
                self.people[who].lost = Some(Instant::now());
                if noticed {
                    line.session.end(LeaveReason::Closed, Some(Instant::now()), "cut");
                } else {
                    self.people[who].ghosts.push(line);
                }
            }
            Operation::Return { who, unread } => self.come_back(who, unread),
            Operation::Slow { who, bytes } => {
                if let Some(line) = &self.people[who].line {
                    line.socket.stop();
                    line.socket.make_room(bytes);
                }
            }
            Operation::Kick { who, to } => {
                let number = self.next;
                self.next += 1;
                let to = &self.people[to].life().id;
                let text = json!({"type": "kick", "to": to, "ref": number.to_string()}).to_string();
                if let Some(line) = &mut self.people[who].line {
                    line.up.push_back(text.clone());
                }
                self.people[who].life().said.push(Said { text, to: String::new(), number });
            }
            Operation::Visits { count, say } => {
                for _ in 0..count {
                    self.visit(say);
                }
            }
            Operation::Wait { ms } => {
                advance(Duration::from_millis(ms)).await;
                for _ in 0..3 {
                    yield_now().await;
                }
            }
        }
        self.everybody_has_a_turn();
    }

    /// Carries at most `up` messages to the relay, and reads at most `down`.
    fn carry(&mut self, who: usize, up: usize, down: usize) {
        for _ in 0..up {
            self.everybody_has_a_turn();
            let Some(line) = &mut self.people[who].line else { return };
            if line.session.is_waiting() {
                break;
            }
            let Some(text) = line.up.pop_front() else { break };
            line.says(&text);
        }
        self.everybody_has_a_turn();
        let person = &mut self.people[who];
        let Some(line) = &mut person.line else { return };
        let heard = line.hears(down);
        if down == usize::MAX {
            person.read = Some(Instant::now());
        }
        person.life().heard.extend(heard);
    }

    fn come_back(&mut self, who: usize, unread: usize) {
        if let Some(line) = self.people[who].line.take() {
            self.people[who].ghosts.push(line);
            self.people[who].lost = Some(Instant::now());
        }
        let mut line = self.line();
        let life = self.people[who].life();
        let unread = unread.min(life.heard.len() - 1);
        life.heard.truncate(life.heard.len() - unread);
        let resume = json!({"type": "resume", "token": life.token, "received": life.heard.len()});
        line.says(&resume.to_string());
        self.people[who].line = Some(line);
        self.everybody_has_a_turn();
        let person = &mut self.people[who];
        let mut heard = person.line.as_mut().unwrap().hears(usize::MAX);
        let first = heard.remove(0);
        if first["type"] == "error" {
            assert_eq!(first["code"], "resume_failed");
            let is_late = person.lost.is_some_and(|lost| lost.elapsed() >= HOLD);
            let is_kicked = self.kicked.lock().unwrap().contains(&person.life().id);
            // Whoever proves nothing for so long keeps no memory: its connection is about to end for that, too.
            let is_mute =
                matches!((person.read, person.lost), (Some(read), Some(lost)) if lost - read >= SLOW_PONG_DEADLINE);
            assert!(unread > 0 || is_late || is_kicked || is_mute, "a place that should be there is gone");
            for mut ghost in person.ghosts.drain(..) {
                ghost.session.end(LeaveReason::Closed, None, "left alone");
            }
            person.line = None;
            return self.join(who);
        }
        (person.lost, person.read) = (None, Some(Instant::now()));
        let life = person.lives.last_mut().unwrap();
        assert_eq!((&first["type"], &first["id"]), (&json!("resumed"), &json!(life.id)));
        assert_eq!(first["resume"]["token"], life.token);
        life.heard.extend(heard);
        let taken = first["received"].as_u64().unwrap() as usize;
        let again = life.said[taken..].iter().map(|said| said.text.clone());
        person.line.as_mut().unwrap().up = again.collect();
    }

    /// Gives each connection's task turns.
    fn everybody_has_a_turn(&mut self) {
        for _ in 0..2 {
            for person in &mut self.people {
                person.ghosts.retain_mut(|ghost| ghost.takes_turn().is_none());
                let end = person.line.as_mut().and_then(Line::takes_turn);
                if end == Some(CloseRequest::Kicked) {
                    (person.line, person.lost) = (None, Some(Instant::now()));
                } else {
                    assert_eq!(end, None, "the last connection keeps the place");
                }
            }
        }
    }

    /// Everybody comes back and reads, until nothing moves any more.
    async fn settle(&mut self) {
        loop {
            for who in 0..PEOPLE {
                if self.people[who].line.is_none() {
                    self.come_back(who, 0);
                }
            }
            let before: Vec<usize> =
                self.people.iter().map(|person| person.lives.last().unwrap().heard.len()).collect();
            // Twice, because those who come first in a round read before the others have said anything.
            for who in (0..PEOPLE).chain(0..PEOPLE) {
                if let Some(line) = &self.people[who].line {
                    line.socket.make_room(usize::MAX);
                }
                self.carry(who, usize::MAX, usize::MAX);
            }
            advance(Duration::from_millis(300)).await;
            self.everybody_has_a_turn();
            let is_quiet = |(person, before): (&Person, &usize)| {
                let Some(line) = &person.line else { return false };
                !line.session.is_waiting() && line.up.is_empty() && person.lives.last().unwrap().heard.len() == *before
            };
            if self.people.iter().zip(&before).all(is_quiet) {
                return;
            }
        }
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let current: Vec<&str> = self.people.iter().map(|person| person.lives.last().unwrap().id.as_str()).collect();
        for person in &self.people {
            for life in &person.lives {
                self.check_presence(life, &current)?;
                for sender in self.people.iter().flat_map(|person| &person.lives) {
                    let are_there = [life, sender].iter().all(|life| current.contains(&life.id.as_str()));
                    check_messages(sender, life, are_there)?;
                }
            }
        }
        Ok(())
    }

    /// Away and back come in turn, each peer leaves once, and who says something is there.
    fn check_presence(&self, life: &Life, current: &[&str]) -> Result<(), TestCaseError> {
        let mut present: HashMap<&str, bool> = HashMap::new();
        for peer in life.heard[0]["peers"].as_array().unwrap() {
            present.insert(peer["id"].as_str().unwrap(), peer["away"] == json!(true));
        }
        for event in &life.heard[1..] {
            let id = event["id"].as_str().unwrap_or_default();
            let (before, expected) = match event["type"].as_str().unwrap() {
                "peer_joined" => (present.insert(id, false), None),
                "peer_left" => {
                    let before = present.remove(id);
                    (before, before.map(Some).unwrap_or(Some(false)))
                }
                "peer_away" => (present.insert(id, true), Some(false)),
                "peer_back" => (present.insert(id, false), Some(true)),
                "message" => {
                    let from = event["from"].as_str().unwrap();
                    prop_assert!(present.contains_key(from), "{} does not know {}", life.id, from);
                    continue;
                }
                _ => continue,
            };
            prop_assert_eq!(before, expected, "{} heard {}", life.id, event);
        }
        if current.contains(&life.id.as_str()) {
            let others = current.iter().filter(|id| **id != life.id);
            prop_assert!(others.clone().all(|id| present.get(id) == Some(&false)), "{:?} for {}", present, life.id);
        }
        Ok(())
    }
}

/// Each message arrived once and in order, or its sender heard that the receiver was busy.
fn check_messages(sender: &Life, receiver: &Life, are_there: bool) -> Result<(), TestCaseError> {
    let of_sender = |one: &&Value| one["from"] == json!(sender.id);
    let heard: Vec<usize> = receiver.heard.iter().filter(of_sender).map(reference).collect();
    prop_assert!(heard.is_sorted_by(|one, next| one < next), "{} to {}: {:?}", sender.id, receiver.id, heard);
    if !are_there || sender.id == receiver.id {
        return Ok(());
    }
    // Only `kicked` answers nothing.
    let errors = sender.heard.iter().filter(|one| one["type"] == "error" && one["code"] != "kicked");
    let errors = |number| errors.clone().filter(|one| reference(one) == number).count();
    for said in sender.said.iter().filter(|said| said.to == receiver.id) {
        let arrived = usize::from(heard.binary_search(&said.number).is_ok());
        let refused = errors(said.number);
        prop_assert_eq!(arrived + refused, 1, "{} to {}: {}, {} times", sender.id, receiver.id, said.number, arrived);
    }
    Ok(())
}

fn reference(message: &Value) -> usize {
    message["ref"].as_str().unwrap().parse().unwrap()
}

impl Line {
    fn says(&mut self, text: &str) {
        self.session.receive(text, Instant::now(), Waker::noop(), &mut Deferred::default()).unwrap();
    }

    /// The messages that have arrived, `most` at most: the rest is lost. The browser answers the pings between them.
    fn hears(&mut self, most: usize) -> Vec<Value> {
        self.session.outbox().flush();
        let mut texts = Vec::new();
        for (opcode, payload) in self.socket.frames() {
            match opcode {
                1 if texts.len() == most => break,
                1 => texts.push(serde_json::from_slice(&payload).unwrap()),
                9 => {
                    self.session.outbox().ack(&payload);
                }
                _ => {}
            }
        }
        texts
    }

    /// Does what the connection's task does; returns why the connection ends, if it does.
    fn takes_turn(&mut self) -> Option<CloseRequest> {
        let mut cx = task::Context::from_waker(Waker::noop());
        let _ = self.session.poll_waiting(&mut cx, Instant::now(), &mut Deferred::default());
        let end = self.session.outbox().poll_write(&mut cx).unwrap().close_request;
        if end.is_some() {
            let is_lost = end == Some(CloseRequest::TakenOver);
            self.session.end(LeaveReason::Closed, is_lost.then(Instant::now), "told to end");
        }
        end
    }
}

fn run(operations: &[Operation]) -> Result<(), TestCaseError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut world = World::new().await;
        for operation in operations {
            world.carry_out(operation).await;
        }
        world.settle().await;
        world.check()?;
        let World { hub, people, .. } = world;
        drop(people);
        prop_assert!(hub.rooms.is_empty());
        prop_assert_eq!((hub.resumptions.len(), hub.resumptions.held()), (0, 0));
        Ok(())
    })
}

proptest! {
    #![proptest_config(crate::testing::cases(100))]

    #[test]
    fn whatever_is_cut_nothing_is_lost_doubled_or_out_of_order(
        operations in prop::collection::vec(operation(), 1..100)
    ) {
        run(&operations)?;
    }
}

#[test]
fn who_reads_nothing_for_a_minute_of_much_coming_and_going_may_lose_its_place_and_nothing_else() {
    let minute = SLOW_PONG_DEADLINE.as_millis() as u64;
    for say in [false, true] {
        run(&[
            Operation::Visits { count: 405, say },
            Operation::Wait { ms: minute / 2 },
            Operation::Wait { ms: minute - minute / 2 },
            Operation::Cut { who: 0, up: 0, down: 0, noticed: false },
        ])
        .unwrap();
    }
}
