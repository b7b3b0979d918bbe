//! On each wire: one who reads nothing, those who flood, and a thousand who send anything, beside a pair that talks. The pair loses
//! nothing.

use serde_json::{Value, json};
use signaling_relay::{Config, Wire, limits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::{Client, Dice, TestRelay, client, soon};

/// Where the pair is: each wire takes it for a name.
const PLACE: &str = "the-place";

/// A relay at which this wire is on. Here all are at one address, which is not to share what addresses have.
async fn relay(wire: Wire) -> TestRelay {
    let config =
        Config { wires: vec![wire], address_joins: 0, address_upgrades: 0, address_bytes: 0, ..Config::default() };
    TestRelay::start_with(config).await
}

/// The path of a client of this wire, who is in `place` where the path says that, or has the id `id` where the client makes it.
fn path(wire: Wire, place: &str, id: &str) -> String {
    match wire {
        Wire::PeerJs => format!("/peerjs?key=peerjs&id={id}&token={id}"),
        Wire::Matchbox => format!("/matchbox/{place}"),
        _ => format!("/{}", wire.name()),
    }
}

/// What a client of this wire says first.
fn greeting(wire: Wire, place: &str) -> Option<String> {
    match wire {
        Wire::YWebrtc => Some(json!({"type": "subscribe", "topics": [place]}).to_string()),
        Wire::Trystero => Some(json!({"type": "subscribe", "topic": place}).to_string()),
        Wire::RxDb => Some(json!({"type": "join", "room": place}).to_string()),
        _ => None,
    }
}

/// A client of any wire.
struct Neighbour {
    client: Client,
    wire: Wire,
    place: String,
    /// Where it hears what is said to it: a topic, or its id.
    at: String,
}

impl Neighbour {
    /// One who is in `place`, as far as its wire has places, under the id `id`, as far as clients make theirs.
    async fn enters(relay: &TestRelay, wire: Wire, place: &str, id: &str) -> Self {
        let mut client = relay.dial(&path(wire, place, id)).await;
        let at = match wire {
            Wire::PeerJs => {
                client.expect("OPEN").await;
                id.to_owned()
            }
            Wire::Matchbox => client.hear().await["IdAssigned"].as_str().unwrap().to_owned(),
            Wire::RxDb => {
                let at = client.expect("init").await["yourPeerId"].as_str().unwrap().to_owned();
                client.say_text(&greeting(wire, place).unwrap()).await;
                at
            }
            _ => {
                client.say_text(&greeting(wire, place).unwrap()).await;
                place.to_owned()
            }
        };
        let mut entered = Self { client, wire, place: place.to_owned(), at };
        // What it hears of itself says that it is there.
        entered.says(&entered.at.clone(), &json!(id)).await;
        entered.hears(&json!(id)).await;
        entered
    }

    /// `data` in the words of its wire, to `to`: a topic, or an id.
    fn text(&self, to: &str, data: &Value) -> String {
        match self.wire {
            Wire::YWebrtc => json!({"type": "publish", "topic": to, "data": data}),
            Wire::Trystero => json!({"type": "publish", "topic": to, "payload": data}),
            Wire::PeerJs => json!({"type": "CANDIDATE", "payload": data, "dst": to}),
            Wire::Matchbox => json!({"Signal": {"receiver": to, "data": data}}),
            Wire::RxDb => json!({
                "type": "signal", "senderPeerId": self.at, "receiverPeerId": to, "room": self.place, "data": data
            }),
            other => panic!("a wire without words here: {other:?}"),
        }
        .to_string()
    }

    async fn says(&mut self, to: &str, data: &Value) {
        let text = self.text(to, data);
        self.client.say_text(&text).await;
    }

    /// Waits until it hears `data`, whatever else it hears: what others say in its topic, who comes and who leaves.
    async fn hears(&mut self, data: &Value) {
        loop {
            let heard = self.client.hear().await;
            let is_said = match self.wire {
                Wire::YWebrtc | Wire::RxDb => &heard["data"],
                Wire::Matchbox => &heard["Signal"]["data"],
                _ => &heard["payload"],
            };
            if is_said == data {
                return;
            }
        }
    }
}

/// Two who talk.
struct Pair {
    one: Neighbour,
    two: Neighbour,
    said: usize,
}

impl Pair {
    async fn enters(relay: &TestRelay, wire: Wire, place: &str) -> Self {
        let one = Neighbour::enters(relay, wire, place, "one").await;
        Self { one, two: Neighbour::enters(relay, wire, place, "two").await, said: 0 }
    }

    /// Each says something that the other one hears.
    async fn talks(&mut self) {
        for _ in 0..2 {
            self.said += 1;
            let data = json!({"said": self.said});
            self.one.says(&self.two.at, &data).await;
            self.two.hears(&data).await;
            std::mem::swap(&mut self.one, &mut self.two);
        }
    }
}

#[tokio::test]
async fn who_reads_nothing_is_closed_as_slow_and_the_pair_beside_it_loses_nothing() {
    // At the same time, since each waits until the relay has waited long enough.
    futures_util::future::join_all(Wire::ALL.map(one_reads_nothing_beside_a_pair)).await;
}

async fn one_reads_nothing_beside_a_pair(wire: Wire) {
    let mut relay = relay(wire).await;
    relay.buffers = Some(4096);
    let mut slow = Neighbour::enters(&relay, wire, PLACE, "slow").await;
    relay.buffers = None;
    let mut sender = Neighbour::enters(&relay, wire, PLACE, "sender").await;
    let mut pair = Pair::enters(&relay, wire, PLACE).await;
    // More than may wait for it, and than its socket takes.
    let texts = vec![sender.text(&slow.at, &json!("x".repeat(4000))); 300];
    let sending = tokio::spawn(async move {
        sender.client.say_at_once(&texts).await;
        let last = json!("last");
        sender.says(&sender.at.clone(), &last).await;
        sender.hears(&last).await;
    });
    while !sending.is_finished() {
        pair.talks().await;
    }
    soon("all of it", sending).await.unwrap();
    pair.talks().await;
    let mut rest = Vec::new();
    soon("the end of the slow one", slow.client.socket.get_mut().read_to_end(&mut rest)).await.ok();
    assert!(rest.len() < 300 * 4000, "{wire:?}: it was closed before it had all");
}

#[tokio::test]
async fn a_flood_hurts_no_pair_that_talks() {
    for wire in Wire::ALL {
        let relay = relay(wire).await;
        let mut pair = Pair::enters(&relay, wire, PLACE).await;
        let mut flooders = Vec::new();
        // All are there before any of them is heard.
        for number in 0..8 {
            flooders.push(Neighbour::enters(&relay, wire, "a-flooded-place", &format!("flood{number}")).await);
        }
        let mut flooding = Vec::new();
        for (number, mut flooder) in flooders.into_iter().enumerate() {
            let to = if number % 2 == 0 { &*flooder.at } else { "nobody" };
            let bytes = client::frame(client::TEXT, flooder.text(to, &json!("x".repeat(100))).as_bytes()).repeat(100);
            // Until the test ends; what comes back is not read.
            flooding.push(tokio::spawn(async move {
                while flooder.client.socket.get_mut().write_all(&bytes).await.is_ok() {}
            }));
        }
        for _ in 0..100 {
            pair.talks().await;
        }
        flooding.iter().for_each(|task| task.abort());
    }
}

/// A frame that is whole or not, with what may be a text, and one of this wire even.
fn random_frame(dice: &mut Dice, valid: &str) -> Vec<u8> {
    // Whole texts and binary messages, parts of them, and controls.
    const FIRST: [u8; 7] = [0x81, 0x82, 0x01, 0x80, 0x88, 0x89, 0x8a];
    let mut bytes: Vec<u8> = (0..dice.below(200)).map(|_| dice.below(256) as u8).collect();
    match dice.below(4) {
        0 => return bytes,
        1 => {}
        _ => {
            bytes = valid.into();
            for _ in 0..dice.below(4) {
                let at = dice.below(bytes.len() as u64) as usize;
                bytes[at] = [b'"', b'{', b'}', b'\\', b'0', 0xff][dice.below(6) as usize];
            }
            bytes.truncate(bytes.len() - dice.below(2) as usize * dice.below(40) as usize);
        }
    }
    client::frame(FIRST[dice.below(7) as usize], &bytes)
}

#[tokio::test]
async fn a_thousand_random_frames_hurt_no_pair_that_talks() {
    for wire in Wire::ALL {
        let relay = relay(wire).await;
        let mut pair = Pair::enters(&relay, wire, PLACE).await;
        let (mut dice, mut random) = (Dice(22), Vec::new());
        for number in 0..1000 {
            let mut client = relay.dial(&path(wire, PLACE, &format!("random{number}"))).await;
            let mut bytes =
                greeting(wire, PLACE).map_or(Vec::new(), |text| client::frame(client::TEXT, text.as_bytes()));
            bytes.extend(random_frame(&mut dice, &pair.two.text(&pair.one.at, &json!("random"))));
            client.socket.get_mut().write_all(&bytes).await.ok();
            random.push(client);
            if random.len() == limits::TRYSTERO_SUBSCRIBERS / 4 {
                pair.talks().await;
                random.clear();
            }
        }
        pair.talks().await;
    }
}
