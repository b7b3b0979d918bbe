//! What is promised, through real sockets: of a hundred thousand messages none is lost, doubled, reordered or misdelivered,
//! while peers come and go, send in bursts and stop reading for a while. (Without sockets it is held against a model.)

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use signaling_relay::Config;
use tokio::time::sleep;
use tokio_tungstenite::tungstenite::Message;

use crate::harness::pki::Pki;
use crate::harness::{Client, Dice, TestRelay, soon};

const MEMBERS: usize = 3;

/// What is known of what another member says.
#[derive(Default)]
struct Heard {
    /// The turn that comes next at the earliest.
    next_turn: u64,
    /// Which of its messages came. None may come twice.
    numbers: HashSet<u64>,
    /// How many it said in all, once it has said so.
    said: Option<u64>,
    /// Whether we were there from its first message on.
    from_the_first: bool,
}

/// Somebody who sends numbered messages to all others, comes and goes, and checks all that is heard.
///
/// Each message has a number, which says what it is, and a turn, which says when it was sent: what is refused with
/// `peer_busy` is sent again to the one who was busy, with its number and a new turn.
struct Member {
    client: Client,
    room: String,
    others: HashMap<String, Heard>,
    said: u64,
    turn: u64,
    /// By how much its messages are longer than they need be.
    pad: usize,
    /// What somebody was too busy for, and for whom: to be sent again.
    refused: Vec<(u64, String)>,
    counts: Counts,
}

#[derive(Default, Clone, Copy)]
struct Counts {
    said: u64,
    heard: u64,
    refused: u64,
}

impl Member {
    async fn enter(relay: &TestRelay, room: String, counts: Counts) -> Self {
        let client = relay.dial("/ws").await;
        let (others, refused) = (HashMap::new(), Vec::new());
        let mut member = Self { client, room, others, said: 0, turn: 0, pad: 0, refused, counts };
        member.join().await;
        member
    }

    async fn join(&mut self) {
        let joined = self.client.join(&self.room).await;
        (self.said, self.turn) = (0, 0);
        self.refused.clear();
        let peers = joined["peers"].as_array().unwrap().iter();
        self.others = peers.map(|peer| (peer["id"].as_str().unwrap().to_owned(), Heard::default())).collect();
    }

    fn message(&mut self, number: u64, to: Option<&str>, is_last: bool) -> Message {
        let (room, sender, turn) = (&self.room, &self.client.id, self.turn);
        let pad = "x".repeat(self.pad);
        let mut data = json!({"room": room, "sender": sender, "number": number, "turn": turn, "pad": pad});
        if is_last {
            data["said"] = json!(self.said);
        }
        let mut message = json!({"type": "message", "data": data, "from": "nobody", "ref": number.to_string()});
        if let Some(to) = to {
            message["to"] = json!(to);
        }
        self.turn += 1;
        Message::text(message.to_string())
    }

    /// Says `count` things at once, and goes on until everybody has them.
    async fn burst(&mut self, count: u64) {
        let numbers = self.said..self.said + count;
        self.said += count;
        self.counts.said += count;
        let burst = numbers.map(|number| self.message(number, None, false)).collect();
        self.send(burst).await;
        while !self.refused.is_empty() {
            sleep(Duration::from_millis(5)).await;
            let refused = std::mem::take(&mut self.refused);
            let there = refused.iter().filter(|(_, to)| self.others.contains_key(to)).cloned().collect::<Vec<_>>();
            let again = there.iter().map(|(number, to)| self.message(*number, Some(to), false)).collect();
            self.send(again).await;
        }
    }

    /// Writes all of it as fast as the socket takes it, and reads what comes until all is answered.
    async fn send(&mut self, messages: Vec<Message>) {
        let mut came = Vec::new();
        {
            let (mut sink, mut stream) = (&mut self.client.socket).split();
            let write = async {
                for message in messages {
                    sink.feed(message).await.unwrap();
                }
                sink.send(Message::text(r#"{"type":"?","ref":"all"}"#)).await.unwrap();
            };
            let read = async {
                loop {
                    let Message::Text(text) = stream.next().await.expect("it is not closed").unwrap() else { continue };
                    let message: Value = serde_json::from_str(&text).unwrap();
                    if message["ref"] == "all" && message["type"] == "error" {
                        return;
                    }
                    came.push(message);
                }
            };
            soon("an answer", async { tokio::join!(write, read) }).await;
        }
        for message in came {
            self.check(&message);
        }
    }

    fn check(&mut self, message: &Value) {
        let id = message["id"].as_str().or(message["from"].as_str()).unwrap_or_default();
        match message["type"].as_str().unwrap() {
            "host" => {}
            "error" if message["code"] == "peer_busy" => {
                let number = message["ref"].as_str().unwrap().parse().unwrap();
                let refused = (number, message["to"].as_str().unwrap().to_owned());
                assert!(!self.refused.contains(&refused), "refused twice: {message}");
                self.refused.push(refused);
                self.counts.refused += 1;
            }
            // Alone in the room, or it has just left.
            "error" => assert_eq!(message["code"], "peer_not_found", "{message}"),
            "peer_joined" => {
                let heard = Heard { from_the_first: true, ..Heard::default() };
                assert!(self.others.insert(id.to_owned(), heard).is_none(), "twice: {message}");
            }
            "peer_left" => {
                let heard = self.others.remove(id).unwrap_or_else(|| panic!("left twice: {message}"));
                match message["reason"].as_str().unwrap() {
                    // It said how much it said; we heard all of it, if we were there.
                    "left" if heard.from_the_first => {
                        assert_eq!(heard.said, Some(heard.numbers.len() as u64), "lost: {message}");
                    }
                    "left" | "closed" => {}
                    _ => panic!("{message}"),
                }
            }
            "message" => {
                let data = &message["data"];
                assert_eq!(data["room"], json!(self.room), "misdelivered");
                assert_eq!(data["sender"], message["from"], "from is the relay's word");
                let heard = self.others.get_mut(id).unwrap_or_else(|| panic!("not in the room: {message}"));
                let turn = data["turn"].as_u64().unwrap();
                assert!(turn >= heard.next_turn, "reordered: {message}");
                heard.next_turn = turn + 1;
                match data["said"].as_u64() {
                    Some(said) => heard.said = Some(said),
                    None => {
                        assert!(heard.numbers.insert(data["number"].as_u64().unwrap()), "doubled: {message}");
                        self.counts.heard += 1;
                    }
                }
            }
            other => panic!("{other}"),
        }
    }

    /// Says how much it said until everybody knows, and leaves.
    async fn leave(&mut self) {
        loop {
            let last = self.message(u64::MAX, None, true);
            self.send(vec![last]).await;
            if std::mem::take(&mut self.refused).is_empty() {
                break;
            }
            sleep(Duration::from_millis(20)).await;
        }
        self.client.say(json!({"type": "leave"})).await;
        self.send(Vec::new()).await;
    }
}

/// Lets `rooms` times three members say `messages` in all; how much was said, heard and refused.
async fn crowd(relay: TestRelay, rooms: usize, messages: usize) -> Counts {
    let relay = Arc::new(relay);
    let each = (messages / (rooms * MEMBERS) + 1) as u64;
    let crowd: Vec<_> = (0..rooms * MEMBERS)
        .map(|number| {
            let relay = Arc::clone(&relay);
            tokio::spawn(async move {
                let mut dice = Dice(number as u64 + 1);
                let mut member = Member::enter(&relay, format!("room {}", number % rooms), Counts::default()).await;
                while member.counts.said < each {
                    match dice.below(40) {
                        0 => {
                            member.leave().await;
                            member.join().await;
                        }
                        1 => {
                            let (room, counts) = (member.room.clone(), member.counts);
                            drop(member);
                            member = Member::enter(&relay, room, counts).await;
                        }
                        // It reads nothing meanwhile.
                        2 | 3 => sleep(Duration::from_millis(dice.below(400))).await,
                        4..7 => {
                            member.pad = dice.below(2) as usize * 2000;
                            member.burst(1 + dice.below(150)).await;
                            member.pad = 0;
                        }
                        _ => member.burst(1 + dice.below(12)).await,
                    }
                }
                member.leave().await;
                member.counts
            })
        })
        .collect();
    let mut all = Counts::default();
    for member in crowd {
        let Counts { said, heard, refused } = member.await.unwrap();
        (all.said, all.heard, all.refused) = (all.said + said, all.heard + heard, all.refused + refused);
    }
    println!("{} said, {} heard, {} refused and sent again", all.said, all.heard, all.refused);
    assert!(all.said >= messages as u64 && all.heard >= messages as u64, "{} said, {} heard", all.said, all.heard);
    all
}

/// No rates, and no limits for the one address of all clients: what is at stake is what receivers take.
fn config() -> Config {
    let address_limits = Config { address_connections: 0, address_upgrades: 0, address_joins: 0, ..Config::default() };
    Config { message_rate: 0, byte_rate: 0, address_bytes: 0, ..address_limits }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_100_000_messages_in_100_rooms_none_is_lost_doubled_reordered_or_misdelivered() {
    let mut relay = TestRelay::start_with(config()).await;
    relay.buffers = Some(16 * 1024);
    crowd(relay, 100, 100_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_over_tls() {
    let pki = Pki::new();
    let mut relay = TestRelay::start_tls(&pki, config()).await;
    relay.buffers = Some(16 * 1024);
    crowd(relay, 20, 20_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nor_over_a_stream_of_an_embedders() {
    let counts = crowd(TestRelay::in_memory(config()), 20, 20_000).await;
    assert!(counts.refused > 0, "a pipe of 4 KiB is full at once: somebody must have been busy");
}
