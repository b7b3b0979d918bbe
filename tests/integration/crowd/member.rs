//! A member of a crowd: joins, takes its place up again when a connection is lost, and joins anew when the place is gone, as
//! `signaling.js` does. It says a number in each message, and checks those that it hears.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU16, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, sleep_until, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::harness::Dice;

/// How long a relay may take to accept somebody before another one is tried, and an answer to a `join` or a `resume`: as long as
/// `signaling.js` waits.
const DIAL: Duration = Duration::from_millis(2_500);
/// See [`DIAL`].
const ANSWER: Duration = Duration::from_secs(9);
/// The shortest and the longest pause before the next try, in milliseconds.
const PAUSE: (u64, u64) = (50, 250);
/// From one message of a member to its next.
const PACE: Duration = Duration::from_secs(1);

/// What all members are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// To be there.
    Stay,
    /// To say something every second.
    Talk,
    /// To say one last thing.
    Finish,
}

/// What a member has heard of another one.
#[derive(Debug, Default)]
struct Heard {
    /// The number that comes next; none where it was there earlier and has said nothing since.
    next: Option<u64>,
    /// Whether it has said its last.
    is_last: bool,
}

/// How a member is.
#[derive(Debug)]
pub(super) struct Status {
    /// Whether it is in its room, and connected.
    pub(super) is_in: bool,
    /// Its id; empty before its first `joined`.
    pub(super) id: String,
    /// The relay where its place is: the first part of its token.
    pub(super) home: String,
    /// The port by which it came.
    pub(super) port: u16,
    /// Since when it is as it is.
    pub(super) since: Instant,
    /// How often it has taken up its place, how often it has joined, and how many messages it has heard.
    pub(super) resumed: usize,
    /// See [`resumed`](Self::resumed).
    pub(super) joined: usize,
    /// See [`resumed`](Self::resumed).
    pub(super) messages: usize,
    /// What should not have been.
    pub(super) faults: Vec<String>,
    /// The others in the room, and whether they are away.
    peers: BTreeMap<String, bool>,
    heard: HashMap<String, Heard>,
}

impl Default for Status {
    fn default() -> Self {
        let (id, home, faults, peers, heard) = Default::default();
        let (is_in, port, since, resumed, joined, messages) = (false, 0, Instant::now(), 0, 0, 0);
        Self { is_in, id, home, port, since, resumed, joined, messages, faults, peers, heard }
    }
}

impl Status {
    /// Whether it is in its room with exactly these others, all of them there.
    pub(super) fn is_with<'a>(&self, others: impl Iterator<Item = &'a str>) -> bool {
        let mut count = 0;
        self.is_in
            && others.inspect(|_| count += 1).all(|other| self.peers.get(other) == Some(&false))
            && self.peers.len() == count
    }

    /// Whether it has heard the last of each of the others.
    pub(super) fn has_heard_all(&self) -> bool {
        self.peers.keys().all(|peer| self.heard.get(peer).is_some_and(|heard| heard.is_last))
    }

    /// The room as `joined` or `resumed` shows it.
    fn look_around(&mut self, room: &Value) {
        let peers = room["peers"].as_array().unwrap().iter();
        self.peers = peers.map(|peer| (peer["id"].as_str().unwrap().to_owned(), peer["away"] == true)).collect();
    }

    fn hear(&mut self, from: &str, number: u64, is_last: bool) {
        let heard = self.heard.entry(from.to_owned()).or_insert(Heard { next: Some(0), is_last: false });
        if heard.next.is_some_and(|next| next != number) || heard.is_last {
            self.faults.push(format!("{} hears {number} of {from}, not {:?}", self.id, heard.next));
        }
        (heard.next, heard.is_last) = (Some(number + 1), is_last);
        self.messages += 1;
    }
}

/// Where each relay is reached now; 0 while it is not.
pub(super) type Doors = Arc<Vec<AtomicU16>>;

/// A member, who comes by one relay after the other.
pub(super) struct Member {
    room: String,
    status: Arc<Mutex<Status>>,
    doors: Doors,
    door: usize,
    told: watch::Receiver<Told>,
    dice: Dice,
    /// For a place.
    token: Option<String>,
    /// What it has received and said in this place, as the protocol counts, and what the relay may not have of that.
    received: u64,
    /// See [`received`](Self::received).
    said: u64,
    /// See [`received`](Self::received).
    unconfirmed: VecDeque<String>,
    /// The number of its next message, and whether it has said its last one.
    number: u64,
    /// See [`number`](Self::number).
    has_finished: bool,
}

/// What an answer or a message comes to.
enum Next {
    GoOn,
    /// Ask once more, after a moment.
    Ask,
    /// The connection is of no use any more.
    Leave,
}

type Socket = WebSocketStream<TcpStream>;

impl Member {
    /// Somebody who comes into `room` first by this relay.
    pub(super) fn new(
        room: String,
        status: Arc<Mutex<Status>>,
        doors: Doors,
        door: usize,
        told: watch::Receiver<Told>,
        seed: u64,
    ) -> Self {
        let (token, received, said, unconfirmed, number, has_finished) = Default::default();
        let dice = Dice(seed | 1);
        Self { room, status, doors, door, told, dice, token, received, said, unconfirmed, number, has_finished }
    }

    /// Is there until the task is aborted.
    pub(super) async fn live(mut self) {
        loop {
            let port = self.doors[self.door].load(SeqCst);
            if port != 0 {
                self.visit(port).await;
                self.change(|status| status.is_in = false);
            }
            self.door = (self.door + 1) % self.doors.len();
            sleep(self.pause()).await;
        }
    }

    fn pause(&mut self) -> Duration {
        Duration::from_millis(PAUSE.0 + self.dice.below(PAUSE.1 - PAUSE.0))
    }

    fn change<T>(&self, change: impl FnOnce(&mut Status) -> T) -> T {
        let mut status = self.status.lock().unwrap();
        status.since = Instant::now();
        change(&mut status)
    }

    /// Comes by the relay at this port, and stays until the connection ends.
    async fn visit(&mut self, port: u16) {
        let Ok(Ok(stream)) = timeout(DIAL, TcpStream::connect((Ipv4Addr::LOCALHOST, port))).await else { return };
        let _ = stream.set_nodelay(true);
        let upgrade = client_async(format!("ws://localhost:{port}/ws"), stream);
        let Ok(Ok((mut socket, _))) = timeout(ANSWER, upgrade).await else { return };
        self.change(|status| status.port = port);
        let first = Instant::now() + Duration::from_millis(self.dice.below(PACE.as_millis() as u64));
        let mut pace = interval_at(first, PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut is_in, mut ask_at, mut patience) = (false, Some(Instant::now()), Instant::now() + ANSWER);
        loop {
            let ask = ask_at.unwrap_or(patience);
            tokio::select! {
                heard = socket.next() => {
                    let Some(Ok(heard)) = heard else { return };
                    let Message::Text(text) = heard else {
                        // A close, or a ping that the library answers.
                        if heard.is_close() { return } else { continue }
                    };
                    let Ok(next) = self.hear(&text, &mut is_in, &mut socket).await else { return };
                    match next {
                        Next::GoOn => {}
                        Next::Ask => ask_at = Some(Instant::now() + self.pause()),
                        Next::Leave => return,
                    }
                }
                () = sleep_until(ask), if !is_in => {
                    if ask_at.take().is_none() {
                        return;
                    }
                    patience = Instant::now() + ANSWER;
                    if socket.send(Message::text(self.question().to_string())).await.is_err() { return }
                }
                _ = pace.tick(), if is_in => {
                    let told = *self.told.borrow();
                    if told != Told::Stay && !self.has_finished && self.say(told, &mut socket).await.is_err() { return }
                }
            }
        }
    }

    fn question(&self) -> Value {
        match &self.token {
            Some(token) => json!({"type": "resume", "token": token, "received": self.received}),
            None => json!({"type": "join", "room": self.room, "resume": true}),
        }
    }

    async fn say(&mut self, told: Told, socket: &mut Socket) -> Result<(), ()> {
        self.has_finished = told == Told::Finish;
        let data = json!({"number": self.number, "isLast": self.has_finished});
        let text = json!({"type": "message", "data": data}).to_string();
        self.number += 1;
        self.said += 1;
        self.unconfirmed.push_back(text.clone());
        socket.send(Message::text(text)).await.map_err(drop)
    }

    /// The relay has so many of those that were said.
    fn confirm(&mut self, received: &Value) {
        let waiting = self.said.saturating_sub(received.as_u64().unwrap()) as usize;
        while self.unconfirmed.len() > waiting {
            self.unconfirmed.pop_front();
        }
    }

    async fn hear(&mut self, text: &str, is_in: &mut bool, socket: &mut Socket) -> Result<Next, ()> {
        let heard: Value = serde_json::from_str(text).unwrap();
        let kind = heard["type"].as_str().unwrap();
        self.received += u64::from(*is_in);
        let id = || heard["id"].as_str().unwrap().to_owned();
        match kind {
            "joined" => {
                *is_in = true;
                let token = heard["resume"]["token"].as_str().unwrap().to_owned();
                self.change(|status| {
                    status.look_around(&heard);
                    status.heard = status.peers.keys().map(|peer| (peer.clone(), Heard::default())).collect();
                    status.home = token.split_once('-').unwrap().0.to_owned();
                    status.joined += 1;
                    (status.id, status.is_in) = (id(), true);
                });
                self.token = Some(token);
                (self.received, self.said, self.number, self.has_finished) = (1, 0, 0, false);
                self.unconfirmed.clear();
            }
            "resumed" => {
                *is_in = true;
                self.change(|status| {
                    status.look_around(&heard);
                    status.resumed += 1;
                    status.is_in = true;
                });
                self.confirm(&heard["received"]);
                for text in &self.unconfirmed {
                    socket.send(Message::text(text.clone())).await.map_err(drop)?;
                }
            }
            "taken" => self.confirm(&heard["received"]),
            "peer_joined" => self.change(|status| _ = status.peers.insert(id(), false)),
            "peer_left" => self.change(|status| _ = status.peers.remove(&id())),
            "peer_away" | "peer_back" => self.change(|status| _ = status.peers.insert(id(), kind == "peer_away")),
            "message" => {
                let (from, data) = (heard["from"].as_str().unwrap(), &heard["data"]);
                let (number, is_last) = (data["number"].as_u64().unwrap(), data["isLast"] == true);
                self.status.lock().unwrap().hear(from, number, is_last);
            }
            "goaway" => {
                self.token = None;
                return Ok(Next::Leave);
            }
            "error" if heard["code"] == "resume_failed" => {
                self.token = None;
                return Ok(Next::Ask);
            }
            "error" if heard["code"] == "unavailable" => return Ok(Next::Ask),
            "host" => {}
            // Who comes first where the room has moved to may speak to nobody.
            "error" if heard["code"] == "peer_not_found" => {}
            _ => self.change(|status| status.faults.push(format!("{} hears {heard}", status.id))),
        }
        Ok(Next::GoOn)
    }
}
