//! A person with a client: does what it is told, comes again as `signaling.js` does, and writes down what it hears.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::record::{End, Ghost, Heard, Life, Loss, Ms, Parting, Refusal, Said, View, Way, What, Why, text};
use crate::harness::Dice;

/// How long a relay may take to accept somebody before another one is tried.
const DIAL: Duration = Duration::from_millis(2_500);
/// How long an answer to a `join` or a `resume` may take: as long as `signaling.js` waits.
const ANSWER: Duration = Duration::from_secs(9);
/// How long a relay may take nothing of what somebody says.
const WRITE: Duration = Duration::from_secs(3);
/// How long a goodbye and a connection whose place somebody else has are waited for.
const PARTING: Duration = Duration::from_secs(5);

/// What a person is told to do.
#[derive(Debug, Clone)]
pub(super) enum Command {
    /// Be in this room, wherever it is now; by the URL if it has no connection.
    Join {
        room: String,
        by_url: bool,
    },
    /// Be in this room, and go there at this very moment.
    Rush {
        room: String,
    },
    /// Be in no room.
    Leave,
    /// Say so many things to all, and go: all of it is sent at once.
    Goodbye {
        count: usize,
    },
    /// Lose the connection, with a reset or without, and come back after so long.
    Drop {
        is_reset: bool,
        after: Ms,
    },
    /// Take the place up by another connection, while the one that there is goes on.
    Elsewhere,
    /// Say so many things, to all or to one, and hear what the relay has to say about that.
    Say {
        count: usize,
        bytes: usize,
        to_one: bool,
    },
    /// As the host: throw somebody out, lock or unlock, let those who wait in or not, make somebody else the host.
    Kick,
    Lock {
        is_locked: bool,
    },
    Answer {
        admits: bool,
    },
    MakeHost,
    /// From now on: be in this room, and as the host, let everybody in.
    Settle {
        room: String,
    },
    /// Ask something.
    Probe,
    End,
}

/// What all people of a history share.
pub(super) struct World {
    pub(super) begun: Instant,
    /// Where each relay is reached by clients.
    pub(super) doors: Mutex<Vec<Option<u16>>>,
    /// How each person is.
    pub(super) board: Mutex<Vec<Status>>,
    pub(super) tries: Mutex<HashMap<String, String>>,
    pub(super) losses: Mutex<Vec<Loss>>,
    pub(super) refusals: Mutex<Vec<Refusal>>,
    pub(super) ghosts: Mutex<Vec<Ghost>>,
    pub(super) complaints: Mutex<Vec<String>>,
    /// What happened, for people who look for the reason of a fault.
    pub(super) diary: Mutex<Vec<(Ms, String)>>,
}

/// How a person is.
#[derive(Debug, Clone, Default)]
pub(super) struct Status {
    pub(super) goal: Option<String>,
    /// In which room it is, and connected.
    pub(super) room: Option<String>,
    /// Whether it waits at a locked one.
    pub(super) is_waiting: bool,
    pub(super) id: String,
    pub(super) view: View,
    /// Questions without an answer.
    pub(super) unanswered: usize,
    /// How many commands it has obeyed.
    pub(super) obeyed: usize,
    /// How many connections it has left open elsewhere: their relays take it for a member until it hangs up.
    pub(super) partings: usize,
}

impl World {
    pub(super) fn new(relays: usize, people: usize) -> Self {
        Self {
            begun: Instant::now(),
            doors: Mutex::new(vec![None; relays]),
            board: Mutex::new(vec![Status::default(); people]),
            tries: Mutex::default(),
            losses: Mutex::default(),
            refusals: Mutex::default(),
            ghosts: Mutex::default(),
            complaints: Mutex::default(),
            diary: Mutex::default(),
        }
    }

    pub(super) fn now(&self) -> Ms {
        self.begun.elapsed().as_millis() as Ms
    }

    pub(super) fn note(&self, what: String) {
        self.diary.lock().unwrap().push((self.now(), what));
    }

    pub(super) fn complain(&self, what: String) {
        self.complaints.lock().unwrap().push(format!("{}: {what}", self.now()));
    }
}

/// A connection to a relay.
pub(super) struct Connection {
    socket: WebSocketStream<TcpStream>,
    door: usize,
    /// How often something was asked for that may have led it to another relay.
    asked: usize,
}

impl Connection {
    fn way(&self, from: Ms) -> Way {
        Way { door: self.door, is_straight: self.asked == 1, from, until: None }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Stage {
    /// Nothing is asked for.
    Idle,
    /// `join` was said with this id, or stands in the URL.
    Joining {
        id: String,
        room: String,
    },
    /// It waits at a locked room.
    Knocking {
        id: String,
        room: String,
    },
    /// `resume` was said.
    Resuming,
    In,
    /// `leave` was said, and a question with this number; perhaps while it waited at a room.
    Leaving {
        question: u64,
        knocked: Option<(String, String)>,
    },
}

pub(super) struct Person {
    number: usize,
    /// Whether it asks for a place that it can take up again.
    resumes: bool,
    dice: Dice,
    world: Arc<World>,
    commands: mpsc::UnboundedReceiver<Command>,
    connection: Option<Connection>,
    stage: Stage,
    goal: Option<String>,
    by_url: bool,
    is_settled: bool,
    /// The life that goes on.
    life: Option<Life>,
    view: View,
    lives: Vec<Life>,
    /// What was said last, of all messages and questions.
    counter: u64,
    /// How often it has tried to come in.
    tries: u64,
    questions: HashMap<u64, usize>,
    obeyed: usize,
    /// The question behind `leave`, if that was said in this life.
    last_question: Option<u64>,
    alarm: Option<Instant>,
    /// Since when an answer is waited for.
    since: Ms,
    /// How long it was told to wait before it comes again.
    not_before: Ms,
    /// Connections whose places others have.
    parting: tokio::task::JoinSet<()>,
}

impl Person {
    /// Lives until it is told to end; returns its lives, and the connection that it has then.
    pub(super) async fn live(
        number: usize,
        resumes: bool,
        seed: u64,
        world: Arc<World>,
        commands: mpsc::UnboundedReceiver<Command>,
    ) -> (Vec<Life>, Option<Connection>) {
        let mut person = Self {
            number,
            resumes,
            dice: Dice(seed | 1),
            world,
            commands,
            connection: None,
            stage: Stage::Idle,
            goal: None,
            by_url: false,
            is_settled: false,
            life: None,
            view: View::default(),
            lives: Vec::new(),
            counter: (number as u64) << 32,
            tries: 0,
            questions: HashMap::new(),
            obeyed: 0,
            last_question: None,
            alarm: None,
            since: 0,
            not_before: 0,
            parting: tokio::task::JoinSet::new(),
        };
        person.run().await;
        person.parting.shutdown().await;
        let mut lives = person.lives;
        lives.extend(person.life);
        (lives, person.connection)
    }

    async fn run(&mut self) {
        loop {
            let alarm = self.alarm;
            tokio::select! {
                command = self.commands.recv() => match command {
                    None | Some(Command::End) => return,
                    Some(command) => {
                        self.obey(command).await;
                        self.obeyed += 1;
                    }
                },
                frame = next_frame(&mut self.connection) => self.see(frame).await,
                () = sleep_until(alarm.unwrap_or_else(Instant::now)), if alarm.is_some() => self.wake().await,
                Some(_) = self.parting.join_next() => {}
            }
            self.reconcile().await;
            self.report();
        }
    }

    fn now(&self) -> Ms {
        self.world.now()
    }

    fn report(&self) {
        let is_in = self.stage == Stage::In;
        self.world.board.lock().unwrap()[self.number] = Status {
            goal: self.goal.clone(),
            room: self.life.as_ref().filter(|_| is_in).map(|life| life.room.clone()),
            is_waiting: matches!(self.stage, Stage::Knocking { .. }),
            id: self.life.as_ref().map(|life| life.id.clone()).unwrap_or_default(),
            view: self.view.clone(),
            unanswered: self.questions.len(),
            obeyed: self.obeyed,
            partings: self.parting.len(),
        };
    }

    fn note(&self, what: &str) {
        let life = self.life.as_ref().map(|life| life.id.as_str()).unwrap_or("-");
        let door = self.connection.as_ref().map(|connection| connection.door);
        self.world.note(format!("person {} {life} by {door:?}: {what}", self.number));
    }

    fn alarm_in(&mut self, from: Ms, more: Ms) {
        let ms = from + self.dice.below(more);
        self.alarm = Some(Instant::now() + Duration::from_millis(ms));
    }

    fn answer_within(&mut self, patience: Duration) {
        self.since = self.now();
        self.alarm = Some(Instant::now() + patience);
    }

    // ---- What it is told to do

    async fn obey(&mut self, command: Command) {
        let is_in = self.stage == Stage::In;
        let is_host = is_in && self.life.as_ref().is_some_and(|life| life.id == self.view.host);
        match command {
            Command::Join { room, by_url } => (self.goal, self.by_url) = (Some(room), by_url),
            Command::Rush { room } => {
                (self.goal, self.by_url) = (Some(room), false);
                if self.stage == Stage::Idle && self.life.is_none() && self.connection.is_some() {
                    self.wake().await;
                }
            }
            Command::Leave => self.goal = None,
            Command::Goodbye { count } if is_in => self.say_goodbye(count).await,
            Command::Drop { is_reset, after } if self.connection.is_some() => {
                self.note("drops its connection");
                if let (true, Some(connection)) = (is_reset, &self.connection) {
                    let _ = connection.socket.get_ref().set_zero_linger();
                }
                self.lose(Parting::Own);
                self.alarm = Some(Instant::now() + Duration::from_millis(after));
            }
            Command::Elsewhere if is_in && self.resumes => self.take_up_elsewhere().await,
            Command::Say { count, bytes, to_one } if self.may_speak() => {
                let to = if to_one { self.somebody() } else { None };
                for _ in 0..count {
                    self.say_something(bytes, to.clone()).await;
                }
                self.ask().await;
            }
            Command::Kick if is_host => {
                if let Some(to) = self.somebody() {
                    self.note(&format!("kicks {to}"));
                    self.say(json!({"type": "kick", "to": to}), What::Kick { to: to.clone() }).await;
                }
            }
            // Who is no host is told so.
            Command::Lock { is_locked } if is_in => {
                self.say(json!({"type": "lock", "locked": is_locked}), What::Other).await
            }
            Command::Answer { admits } if is_host => {
                for to in self.view.knocks.clone() {
                    let kind = if admits { "admit" } else { "deny" };
                    self.say(json!({"type": kind, "to": to}), What::Other).await;
                }
            }
            Command::MakeHost if is_host => {
                if let Some(to) = self.somebody() {
                    self.say(json!({"type": "make_host", "to": to}), What::Other).await;
                }
            }
            Command::Settle { room } => (self.goal, self.is_settled, self.by_url) = (Some(room), true, false),
            Command::Probe if self.may_speak() => self.ask().await,
            _ => {}
        }
    }

    /// Does what follows from where it is and where it wants to be.
    async fn reconcile(&mut self) {
        if self.is_settled && self.stage == Stage::In {
            self.host_all().await;
        }
        match &self.stage {
            Stage::In if self.life.as_ref().map(|life| &life.room) != self.goal.as_ref() => self.leave(None).await,
            Stage::Knocking { id, room } if Some(room) != self.goal.as_ref() => {
                let knocked = (id.clone(), room.clone());
                self.leave(Some(knocked)).await;
            }
            Stage::Idle if self.alarm.is_none() && (self.goal.is_some() || self.life.is_some()) => self.alarm_in(0, 50),
            _ => {}
        }
    }

    /// As the host, lets everybody in.
    async fn host_all(&mut self) {
        let is_host = self.life.as_ref().is_some_and(|life| life.id == self.view.host);
        if is_host && self.view.is_locked {
            // What it hears of that comes later.
            self.view.is_locked = false;
            self.say(json!({"type": "lock", "locked": false}), What::Other).await;
        }
    }

    /// Whether it is in a room, be it that its connection is lost.
    fn may_speak(&self) -> bool {
        self.life.is_some() && self.last_question.is_none()
    }

    fn somebody(&mut self) -> Option<String> {
        let others: Vec<_> = self.view.others.keys().cloned().collect();
        let which = self.dice.below(others.len().max(1) as u64) as usize;
        others.into_iter().nth(which)
    }

    async fn say_something(&mut self, bytes: usize, to: Option<String>) {
        let (message, what) = self.something(bytes, to);
        self.say(message, what).await;
    }

    fn something(&mut self, bytes: usize, to: Option<String>) -> (Value, What) {
        self.counter += 1;
        let number = self.counter;
        let data = json!({"n": number, "pad": "x".repeat(bytes)});
        let mut message = json!({"type": "message", "ref": number.to_string(), "data": data});
        if let Some(to) = &to {
            message["to"] = json!(to);
        }
        (message, What::Message { number, to })
    }

    /// Asks what only an error answers, after all that was said before.
    async fn ask(&mut self) {
        self.counter += 1;
        let number = self.counter;
        let Some(life) = &self.life else { return };
        self.questions.insert(number, life.said.len() + 1);
        self.say(json!({"type": "?", "ref": number.to_string()}), What::Other).await;
    }

    /// Says something in its room, or notes it to be said there when its place is taken up again.
    async fn say(&mut self, message: Value, what: What) {
        let (at, text) = (self.now(), message.to_string());
        let Some(life) = &mut self.life else { return };
        let present = self.view.others.keys().cloned().collect();
        life.said.push(Said { at, text: text.clone(), what, present });
        if matches!(self.stage, Stage::In | Stage::Leaving { .. }) {
            self.send(&text).await;
        }
    }

    async fn send(&mut self, text: &str) {
        let Some(connection) = &mut self.connection else { return };
        match timeout(WRITE, connection.socket.send(Message::text(text))).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => self.lose(Parting::Cut),
            // It takes nothing any more.
            Err(_) => self.lose(Parting::Own),
        }
    }

    /// Leaves its room, or stops waiting at one. The answer to a question says when that is done.
    async fn leave(&mut self, knocked: Option<(String, String)>) {
        self.counter += 1;
        let question = self.counter;
        self.note("leaves");
        self.stage = Stage::Leaving { question, knocked };
        self.answer_within(ANSWER);
        let (leave, ask) = (json!({"type": "leave"}), json!({"type": "?", "ref": question.to_string()}));
        if self.life.is_some() {
            self.last_question = Some(question);
            self.say(leave, What::Leave).await;
            self.say(ask, What::Other).await;
        } else {
            self.send(&leave.to_string()).await;
            self.send(&ask.to_string()).await;
        }
    }

    /// Says something to all and closes, in one write, ends its half of the stream, and hears the rest.
    async fn say_goodbye(&mut self, count: usize) {
        let Some(mut connection) = self.connection.take() else { return };
        self.note(&format!("says {count} things and goodbye by {}", connection.door));
        for _ in 0..count {
            let (message, what) = self.something(100, None);
            let (at, text) = (self.now(), message.to_string());
            let present = self.view.others.keys().cloned().collect();
            let Some(life) = &mut self.life else { return };
            life.said.push(Said { at, text: text.clone(), what, present });
            let _ = connection.socket.feed(Message::text(text)).await;
        }
        let parts = async {
            connection.socket.close(None).await?;
            connection.socket.get_mut().shutdown().await?;
            let mut answer = None;
            while let Some(Ok(frame)) = connection.socket.next().await {
                match frame {
                    Message::Text(text) => self.hear_more(text.as_str()),
                    Message::Close(close) => answer = close.map(|close| u16::from(close.code)).or(Some(1000)),
                    _ => {}
                }
            }
            Ok::<_, WsError>(answer)
        };
        let answer = timeout(PARTING, parts).await.ok().and_then(Result::ok).flatten();
        if answer == Some(1000) {
            // All that there is to be heard about what was said comes before that.
            self.life.iter_mut().for_each(|life| life.answered = life.said.len());
        }
        self.goal = None;
        self.end_life(Why::Goodbye(answer), Parting::Own);
        self.stage = Stage::Idle;
        self.alarm = None;
    }

    /// Takes its place up by another connection. The one that there is goes on until that has it.
    async fn take_up_elsewhere(&mut self) {
        let (Some(old), Some(id)) = (self.connection.take(), self.life.as_ref().map(|life| life.id.clone())) else {
            return;
        };
        self.note(&format!("leaves its connection by {} open, and takes its place up by another", old.door));
        let (now, world) = (self.now(), Arc::clone(&self.world));
        self.life
            .iter_mut()
            .flat_map(|life| life.ways.last_mut())
            .for_each(|way| way.until = Some((now, Parting::Own)));
        self.stage = Stage::Idle;
        self.wake().await;
        let from = self.now();
        if self.stage != Stage::Resuming {
            return;
        }
        // What comes there from now on, comes again on the new one.
        self.parting.spawn(async move {
            let Connection { mut socket, door, asked } = old;
            let reads = async {
                loop {
                    match socket.next().await {
                        Some(Ok(Message::Close(close))) => {
                            return Parting::Closed(close.map_or(1005, |close| close.code.into()));
                        }
                        Some(Ok(_)) => {}
                        Some(Err(_)) | None => return Parting::Cut,
                    }
                }
            };
            let parting = timeout(ANSWER + PARTING, reads).await.ok();
            let door = (asked == 1).then_some(door);
            let ghost = Ghost { id, door, from, until: world.now(), parting };
            world.ghosts.lock().unwrap().push(ghost);
        });
    }

    // ---- Connections

    /// The alarm rings: something took too long, or it is time to come again.
    async fn wake(&mut self) {
        self.alarm = None;
        if self.stage != Stage::Idle {
            self.note(&format!("{:?}: no answer in time", self.stage));
            if let Stage::Joining { .. } = &self.stage {
                let (person, at, since) = (self.number, self.now(), self.since);
                self.world.losses.lock().unwrap().push(Loss { person, at, since, parting: Parting::Own });
            }
            return self.lose(Parting::Own);
        }
        if let Some(life) = &self.life {
            let text = json!({"type": "resume", "token": life.token, "received": life.heard.len()}).to_string();
            self.connection = None;
            if self.dial("/ws").await {
                self.stage = Stage::Resuming;
                self.count_ask();
                self.answer_within(ANSWER);
                self.note("resumes");
                self.send(&text).await;
            }
            return;
        }
        let Some(room) = self.goal.clone() else { return };
        self.tries += 1;
        let id = format!("p{}-{}", self.number, self.tries);
        self.world.tries.lock().unwrap().insert(id.clone(), room.clone());
        let stage = Stage::Joining { id: id.clone(), room: room.clone() };
        let resume = self.resumes;
        if self.connection.is_none() && self.by_url {
            let more = if resume { "&resume=1" } else { "" };
            self.since = self.now();
            if self.dial(&format!("/?room={room}&id={id}{more}")).await {
                self.stage = stage;
                self.count_ask();
                self.answer_within(ANSWER);
                self.note(&format!("joins {room} by URL as {id}"));
            }
            return;
        }
        if self.connection.is_some() || self.dial("/ws").await {
            self.stage = stage;
            self.count_ask();
            self.answer_within(ANSWER);
            self.note(&format!("joins {room} as {id}"));
            self.send(&json!({"type": "join", "room": room, "id": id, "resume": resume}).to_string()).await;
        }
    }

    fn count_ask(&mut self) {
        self.connection.iter_mut().for_each(|connection| connection.asked += 1);
    }

    /// Dials any relay; whether it answered. If not, it is tried again later.
    async fn dial(&mut self, path: &str) -> bool {
        let doors: Vec<_> = self.world.doors.lock().unwrap().clone();
        let door = self.dice.below(doors.len() as u64) as usize;
        let dials = async {
            let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, doors[door]?)).await.ok()?;
            let _ = stream.set_nodelay(true);
            client_async(format!("ws://localhost{path}"), stream).await.ok()
        };
        // By the URL, the answer may take as long as a join.
        let patience = if path == "/ws" { DIAL } else { ANSWER };
        match timeout(patience, dials).await.ok().flatten() {
            Some((socket, _)) => {
                self.connection = Some(Connection { socket, door, asked: 0 });
                true
            }
            None => {
                self.alarm_in(100, 500);
                false
            }
        }
    }

    /// The connection is gone: comes again, if it wants to.
    fn lose(&mut self, parting: Parting) {
        let now = self.now();
        let Some(connection) = self.connection.take() else { return };
        let (door, stage) = (connection.door, std::mem::replace(&mut self.stage, Stage::Idle));
        self.world.note(format!("person {} by {door}: {stage:?} ends: {parting:?}", self.number));
        self.alarm = None;
        let has_moved = matches!(parting, Parting::Closed(1001 | 1012));
        if stage == Stage::Resuming {
            self.life.iter_mut().for_each(|life| life.given_up.push((now, door)));
        }
        if let (Stage::Joining { .. }, true) = (&stage, parting != Parting::Own) {
            self.world.losses.lock().unwrap().push(Loss { person: self.number, at: now, since: self.since, parting });
        }
        if let Some(life) = &mut self.life {
            let is_kicked = life.heard.iter().any(|heard| heard.message["code"] == "kicked");
            let was_there = matches!(stage, Stage::In | Stage::Leaving { .. });
            if was_there && let Some(way) = life.ways.last_mut() {
                way.until.get_or_insert((now, parting));
            }
            if is_kicked && parting == Parting::Closed(1008) {
                // In the end all are in rooms, also who was just told to go.
                if !self.is_settled {
                    self.goal = None;
                }
                self.end_life(Why::Kicked, parting);
            } else if has_moved && was_there {
                self.end_life(Why::Moved, parting);
            } else if !self.resumes {
                let why = if parting == Parting::Own { Why::GaveUp } else { Why::Lost };
                self.end_life(why, parting);
            }
        }
        if self.goal.is_some() || self.life.is_some() {
            // As it was told; else soon.
            let not_before = std::mem::take(&mut self.not_before);
            self.alarm_in(not_before + 100, 500);
        }
    }

    fn end_life(&mut self, why: Why, parting: Parting) {
        let at = self.now();
        self.note(&format!("its life ends: {why:?}"));
        let Some(mut life) = self.life.take() else { return };
        if let Some(way) = life.ways.last_mut() {
            way.until.get_or_insert((at, parting));
        }
        life.end = Some(End { at, why });
        self.lives.push(life);
        self.questions.clear();
        self.last_question = None;
        self.view = View::default();
    }

    // ---- What it hears

    async fn see(&mut self, frame: Option<Result<Message, WsError>>) {
        match frame {
            Some(Ok(Message::Text(text))) => self.hear(text.as_str()).await,
            Some(Ok(Message::Close(close))) => {
                let code = close.map_or(1005, |close| close.code.into());
                // So that the answer to it is sent.
                if let Some(connection) = &mut self.connection {
                    let _ = timeout(Duration::from_millis(200), connection.socket.flush()).await;
                }
                self.lose(Parting::Closed(code));
            }
            Some(Ok(_)) => {}
            Some(Err(_)) | None => self.lose(Parting::Cut),
        }
    }

    async fn hear(&mut self, heard: &str) {
        let Ok(message) = serde_json::from_str::<Value>(heard) else {
            return self.world.complain(format!("person {} heard {heard}", self.number));
        };
        let kind = text(&message["type"]).to_owned();
        if kind == "goaway" {
            self.not_before = message["retryAfterMs"].as_u64().unwrap_or_default();
        }
        match self.stage.clone() {
            Stage::Joining { id, room } => self.hear_of_join(&kind, message, id, room).await,
            Stage::Knocking { id, room } => self.hear_of_join(&kind, message, id, room).await,
            Stage::Resuming => self.hear_of_resume(&kind, message).await,
            Stage::In => {
                self.write_down(message);
            }
            Stage::Leaving { question, knocked } => {
                let is_done = text(&message["ref"]) == question.to_string();
                // It came in before it was heard that it does not want to any more.
                if let ("joined", None, Some((id, room))) = (kind.as_str(), &self.life, knocked) {
                    self.begin_life(message, id, room);
                    let (at, present) = (self.now(), Vec::new());
                    let leave = json!({"type": "leave"}).to_string();
                    let ask = json!({"type": "?", "ref": question.to_string()}).to_string();
                    let said = [(leave, What::Leave), (ask, What::Other)];
                    let said = said.map(|(text, what)| Said { at, text, what, present: present.clone() });
                    self.life.iter_mut().for_each(|life| life.said.extend(said.clone()));
                    self.last_question = Some(question);
                    self.stage = Stage::Leaving { question, knocked: None };
                } else {
                    if self.life.is_some() {
                        self.write_down(message);
                    }
                    if is_done {
                        self.life.iter_mut().for_each(|life| life.answered = life.said.len());
                        self.end_life(Why::Left, Parting::Own);
                        (self.stage, self.alarm) = (Stage::Idle, None);
                    }
                }
            }
            Stage::Idle if kind == "goaway" => {}
            Stage::Idle => self.world.complain(format!("person {} in no room heard {message}", self.number)),
        }
    }

    /// The rest, after goodbye.
    fn hear_more(&mut self, heard: &str) {
        if let Ok(message) = serde_json::from_str(heard) {
            self.write_down(message);
        }
    }

    fn write_down(&mut self, message: Value) {
        let at = self.now();
        let _ = self.view.apply(&message);
        let Some(life) = &mut self.life else { return };
        if message["type"] == "error" {
            let answered = text(&message["ref"]).parse().ok().and_then(|number: u64| self.questions.remove(&number));
            life.answered = life.answered.max(answered.unwrap_or_default());
        }
        life.heard.push(Heard { at, message });
    }

    fn begin_life(&mut self, joined: Value, id: String, room: String) {
        let at = self.now();
        if joined["id"] != id || joined["room"] != room {
            self.world.complain(format!("person {} joined as {id} to {room}, and heard {joined}", self.number));
        }
        let ways = self.connection.iter().map(|connection| connection.way(at)).collect();
        let token = joined["resume"]["token"].as_str().map(str::to_owned);
        self.view = View::new(&joined);
        let heard = vec![Heard { at, message: joined }];
        self.life = Some(Life { person: self.number, id, room, token, heard, ways, ..Life::default() });
        self.note("is in");
    }

    async fn hear_of_join(&mut self, kind: &str, message: Value, id: String, room: String) {
        match kind {
            "joined" => {
                self.begin_life(message, id, room);
                (self.stage, self.alarm) = (Stage::In, None);
            }
            "waiting" => {
                self.note("waits at the locked room");
                (self.stage, self.alarm) = (Stage::Knocking { id, room }, None);
            }
            "error" => {
                let code = text(&message["code"]);
                self.note(&format!("is refused: {code}"));
                self.stage = Stage::Idle;
                match code {
                    "unavailable" => {
                        self.note_refusal(room, None);
                        self.alarm_in(200, 400);
                    }
                    "room_full" | "denied" if self.is_settled => self.alarm_in(300, 400),
                    "room_full" | "denied" => (self.goal, self.alarm) = (None, None),
                    _ => {
                        self.world.complain(format!("person {} joins {room} and hears {message}", self.number));
                        self.alarm_in(500, 500);
                    }
                }
            }
            "goaway" => {}
            _ => self.world.complain(format!("person {} joins {room} and hears {message}", self.number)),
        }
    }

    fn note_refusal(&self, room: String, place: Option<String>) {
        let (person, since, at) = (self.number, self.since, self.now());
        let asked = self.connection.as_ref().map_or(0, |connection| connection.asked);
        self.world.refusals.lock().unwrap().push(Refusal { person, room, place, since, at, asked });
    }

    async fn hear_of_resume(&mut self, kind: &str, message: Value) {
        match kind {
            "resumed" => {
                let now = self.now();
                let taken = message["received"].as_u64().unwrap_or_default() as usize;
                (self.stage, self.alarm) = (Stage::In, None);
                if let Some(question) = self.last_question {
                    self.stage = Stage::Leaving { question, knocked: None };
                    self.answer_within(ANSWER);
                }
                self.note(&format!("is back, {taken} taken"));
                let Some(life) = &mut self.life else { return };
                if message["id"] != life.id || message["room"] != life.room || taken > life.said.len() {
                    self.world.complain(format!(
                        "{} resumes with {} said and hears {message}",
                        life.id,
                        life.said.len()
                    ));
                }
                life.ways.extend(self.connection.iter().map(|connection| connection.way(now)));
                let again: Vec<_> = life.said.iter().skip(taken).map(|said| said.text.clone()).collect();
                for text in again {
                    self.send(&text).await;
                }
            }
            "error" if message["code"] == "resume_failed" => {
                self.end_life(Why::Refused, Parting::Own);
                (self.stage, self.alarm) = (Stage::Idle, None);
            }
            "error" if message["code"] == "unavailable" => {
                self.note("cannot resume now");
                if let Some((room, id)) = self.life.as_ref().map(|life| (life.room.clone(), life.id.clone())) {
                    self.note_refusal(room, Some(id));
                }
                (self.stage, self.connection) = (Stage::Idle, None);
                self.alarm_in(200, 400);
            }
            "goaway" => {}
            _ => self.world.complain(format!("person {} resumes and hears {message}", self.number)),
        }
    }
}

/// The next frame of the connection; never, if there is none.
async fn next_frame(connection: &mut Option<Connection>) -> Option<Result<Message, WsError>> {
    match connection {
        Some(connection) => connection.socket.next().await,
        None => std::future::pending().await,
    }
}
