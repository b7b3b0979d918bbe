//! Clients of PeerJS that say whatever the bytes of a fuzzer, or of a property test, say, against a model of their ids.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a trial may panic"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use serde_json::Value;
use tokio::runtime;
use tokio::time::Instant;

use super::identity::Space;
use super::{Keys, PeerJs, text};
use crate::auth::Open;
use crate::limits::{PEERJS_ID_BYTES, PEERJS_MAIL_BYTES, PEERJS_MAIL_FOR, WIRE_OUTBOX_BYTES};
use crate::peer::{Client, Hub, HubSettings};
use crate::quota::RateLimiter;
use crate::room::Deferred;
use crate::testing::MemorySocket;
use crate::wire::Wire;

/// The ids that clients claim, and by which the model knows them.
const IDS: [&str; 4] = ["a", "b c", "\"d", "é"];
/// Bytes that a trial may have said, so that nothing is refused for how much is held.
const BYTES: usize = PEERJS_MAIL_BYTES / 4;
/// Lines of a trial, for the same reason.
const LINES: usize = 200;

struct Talker {
    client: Box<dyn Client>,
    socket: MemorySocket,
    token: u8,
    /// What it is about to hear, by the model.
    hears: Vec<Value>,
}

/// The ids by the model.
#[derive(Default)]
struct Model {
    /// Who has which.
    talkers: BTreeMap<&'static str, Talker>,
    /// What is held for those that nobody has.
    held: BTreeMap<String, Held>,
}

/// What is held for one id by the model.
struct Held {
    since: Instant,
    /// What is heard of it, and the id and the token of who has said it.
    said: Vec<(Value, (&'static str, u8))>,
}

struct Trial {
    hub: Arc<Hub>,
    peerjs: PeerJs,
    model: Model,
    now: Instant,
}

/// Carries out the lines of `bytes`. The first byte of each says what happens, and to whom: the low two bits are an id, and the
/// others a client that comes, by one of two tokens, one that goes, time that passes, or what the client with that id says.
///
/// # Panics
/// When somebody hears anything else than the model says.
pub(in crate::wires) fn run(bytes: &[u8]) {
    // Timers are begun, and never end: the trial says what time it is.
    let runtime = runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let _entered = runtime.enter();
    let hub = Hub::new(HubSettings::default(), Arc::new(Open), None);
    let mut trial = Trial { hub, peerjs: PeerJs::new(Keys::Any), model: Model::default(), now: Instant::now() };
    if bytes.len() > BYTES {
        return;
    }
    for line in bytes.split(|byte| *byte == b'\n').take(LINES) {
        let Some((what, text)) = line.split_first() else { continue };
        let id = IDS[usize::from(what & 3)];
        match what >> 2 & 7 {
            0 => trial.comes(id, 1),
            1 => trial.comes(id, 2),
            2 => trial.goes(id),
            3 => trial.time_passes(Duration::from_millis(u64::from(text.first().copied().unwrap_or(20)) * 50)),
            _ => {
                if let Ok(text) = std::str::from_utf8(text) {
                    trial.says(id, text);
                }
            }
        }
        trial.check();
    }
    let ids: Vec<_> = trial.model.talkers.keys().copied().collect();
    ids.into_iter().for_each(|id| trial.goes(id));
    trial.time_passes(PEERJS_MAIL_FOR);
    assert_eq!(trial.peerjs.ids.len(), (0, (0, 0)), "nothing is left of those who are gone");
}

impl Trial {
    fn comes(&mut self, id: &'static str, token: u8) {
        let admission = self.hub.quotas.admit(None).unwrap();
        let outbox = self.hub.new_outbox_on(Wire::PeerJs, admission.purse(), None, WIRE_OUTBOX_BYTES);
        let socket = MemorySocket::connected_to(&outbox, usize::MAX);
        let rate = RateLimiter::new(0, 0, self.now);
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("key", "k")
            .append_pair("id", id)
            .append_pair("token", &token.to_string())
            .finish();
        let mut client = self.peerjs.open(&self.hub, outbox, rate, None, Default::default(), &query);
        let mut cx = Context::from_waker(Waker::noop());
        let is_open = client.poll_waiting(&mut cx, self.now, &mut Deferred::default()).is_ready();
        let earlier = self.model.talkers.get(id).map(|talker| talker.token);
        if earlier.is_some_and(|earlier| earlier != token) {
            client.outbox().flush();
            assert!(!is_open && socket.texts() == [r#"{"type":"ID-TAKEN","payload":{"msg":"ID is taken"}}"#]);
            return;
        }
        assert!(is_open);
        let held = self.model.held.remove(id).map(|held| held.said).unwrap_or_default();
        let hears = std::iter::once(serde_json::json!({"type": "OPEN"})).chain(held.into_iter().map(|(said, _)| said));
        let talker = Talker { client, socket, token, hears: hears.collect() };
        if let Some(earlier) = self.model.talkers.insert(id, talker) {
            assert!(earlier.client.outbox().close_request().is_some(), "the earlier one is closed");
        }
    }

    fn goes(&mut self, id: &str) {
        self.model.talkers.remove(id);
    }

    fn time_passes(&mut self, time: Duration) {
        self.now += time;
        let is_due = |held: &Held| held.since + PEERJS_MAIL_FOR <= self.now;
        let due: Vec<_> = self.model.held.iter().filter(|(_, held)| is_due(held)).map(|(id, _)| id.clone()).collect();
        for id in due {
            self.peerjs.ids.expire(&Space::new("k").key(&id), self.now);
            let Held { said, .. } = self.model.held.remove(&id).unwrap();
            for (src, token) in said.into_iter().map(|(_, from)| from).collect::<BTreeSet<_>>() {
                if let Some(talker) = self.model.talkers.get_mut(src)
                    && talker.token == token
                {
                    talker.hears.push(serde_json::json!({"type": "EXPIRE", "src": id, "dst": src}));
                }
            }
        }
    }

    fn says(&mut self, src: &'static str, said: &str) {
        let Some(talker) = self.model.talkers.get_mut(src) else { return };
        let token = talker.token;
        let waker = Waker::noop();
        talker.client.receive(said, self.now, waker, &mut Deferred::default()).unwrap();
        assert!(!talker.client.is_waiting(), "all have room");
        let Some(saying) = text::parse(said) else { return };
        let dst = saying.dst.clone().into_owned();
        // What serde_json cannot keep apart from something else is compared by the unit tests.
        let mut heard: Value = match serde_json::from_str::<Value>(said) {
            Ok(value) => value,
            Err(_) => serde_json::from_slice(json_in(&text::relayed(&saying, "\"\""))).unwrap_or(Value::Null),
        };
        if let Value::Object(fields) = &mut heard {
            fields.retain(|name, _| matches!(name.as_str(), "type" | "dst" | "payload"));
            fields.insert("src".into(), src.into());
        }
        if let Some(receiver) = self.model.talkers.get_mut(&*dst) {
            receiver.hears.push(heard);
        } else if dst.len() > PEERJS_ID_BYTES {
            if saying.may_be_held() {
                let expire = serde_json::json!({"type": "EXPIRE", "src": dst, "dst": src});
                self.model.talkers.get_mut(src).unwrap().hears.push(expire);
            }
        } else if saying.may_be_held() {
            let held = self.model.held.entry(dst).or_insert(Held { since: self.now, said: Vec::new() });
            held.said.push((heard, (src, token)));
        }
    }

    /// Each has heard what the model says, and nothing else.
    fn check(&mut self) {
        for talker in self.model.talkers.values_mut() {
            // What is an answer is written by the connection's own task.
            talker.client.outbox().flush();
            let heard: Vec<Value> =
                talker.socket.texts().iter().map(|text| serde_json::from_str(text).unwrap()).collect();
            let mut expected = std::mem::take(&mut talker.hears);
            expected.retain(|said| !said.is_null());
            assert_eq!(heard, expected);
        }
        assert_eq!(self.peerjs.ids.len().0, self.model.talkers.len() + self.model.held.len());
    }
}

/// The JSON of a frame.
fn json_in(frame: &[u8]) -> &[u8] {
    let start = frame.iter().position(|byte| *byte == b'{').unwrap_or_default();
    &frame[start..]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What happens, and texts, or what comes close to them.
    fn line() -> impl Strategy<Value = String> {
        let texts = [
            r#"{"type":"OFFER","dst":"a","payload":{"x":1}}"#,
            r#"{"type":"ANSWER","dst":"b c","payload":null}"#,
            r#"{"type":"CANDIDATE","dst":"\u0062 c","src":"a"}"#,
            r#"{"type":"OFFER","dst":"\"d","payload":[1.5]}"#,
            r#"{"type":"CANDIDATE","dst":"é","dst":"nobody"}"#,
            r#"{"type":"LEAVE","dst":"a"}"#,
            r#"{"type":"LEAVE"}"#,
            r#"{"type":"HEARTBEAT"}"#,
            r#"{"type":"EXPIRE","src":"a","dst":"b c"}"#,
            "{",
            "",
        ];
        let what = prop::sample::select((0..32_u8).filter(|what| *what != b'\n').map(char::from).collect::<Vec<_>>());
        let text = prop_oneof![9 => prop::sample::select(texts.to_vec()).prop_map(str::to_owned), 1 => "[ -~]{0,30}"];
        (what, text).prop_map(|(what, text)| format!("{what}{text}"))
    }

    proptest! {
        #![proptest_config(crate::testing::cases(1_000))]

        #[test]
        fn whatever_is_said_the_one_with_the_id_hears_it_and_nobody_else(lines in prop::collection::vec(line(), 0..60)) {
            run(lines.join("\n").as_bytes());
        }
    }
}
