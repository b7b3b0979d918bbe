//! Clients of RxDB that come, go, and say whatever the bytes of a fuzzer, or of a property test, say, against a model of their
//! rooms.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a trial may panic"
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use serde_json::json;
use tokio::time::Instant;

use super::{Command, Id, Rooms, RxDbClient, Signal, parse};
use crate::auth::Open;
use crate::limits::{RXDB_NAME_CHARS, TOPIC_NAMES_BYTES, TOPICS, WIRE_OUTBOX_BYTES};
use crate::outbox::CloseRequest;
use crate::peer::{Client, Hub, HubSettings};
use crate::quota::RateLimiter;
use crate::room::{Deferred, LeaveReason};
use crate::testing::MemorySocket;
use crate::wire::Wire;
use crate::wires::said::Said;

/// Clients that are there at a time.
const CLIENTS: usize = 8;
/// Rooms that a trial may have, so that nobody is in too many.
const ROOMS: usize = {
    let by_names = TOPIC_NAMES_BYTES / (3 * *RXDB_NAME_CHARS.end());
    if by_names < TOPICS { by_names } else { TOPICS }
};

struct Database {
    client: RxDbClient,
    socket: MemorySocket,
    id: String,
}

struct Trial {
    hub: Arc<Hub>,
    rooms: Arc<Rooms>,
    databases: Vec<Database>,
    /// Who is in which room, by the model, in the order in which they came.
    members: BTreeMap<String, Vec<String>>,
    /// How many rooms there were.
    begun: usize,
}

/// Carries out the lines of `bytes`. The first byte of each says what happens: a client comes; one leaves; or one says the rest of
/// the line, in which `$0` to `$7` stand for the ids of those who are there, and `$$` for its own.
///
/// # Panics
/// When somebody hears anything else than the model says.
pub(in crate::wires) fn run(bytes: &[u8]) {
    let hub = Hub::new(HubSettings::default(), Arc::new(Open), None);
    let (databases, members) = (Vec::new(), BTreeMap::new());
    let mut trial = Trial { hub, rooms: Arc::default(), databases, members, begun: 0 };
    for line in bytes.split(|byte| *byte == b'\n') {
        let Some((what, text)) = line.split_first() else { continue };
        let (what, there) = (usize::from(*what), trial.databases.len());
        match what % 4 {
            0 if there < CLIENTS => trial.comes(),
            1 if there > 0 => trial.goes(what / 4 % there),
            2 | 3 if there > 0 => {
                let Ok(text) = std::str::from_utf8(text) else { continue };
                let index = what / 4 % there;
                let ids = trial.databases.iter().enumerate();
                let text = ids.fold(text.to_owned(), |text, (at, one)| text.replace(&format!("${at}"), &one.id));
                let text = text.replace("$$", &trial.databases[index].id);
                trial.says(index, &text);
            }
            _ => {}
        }
        assert_eq!(trial.rooms.len(), trial.members.len());
        if trial.begun > ROOMS {
            break;
        }
    }
    while !trial.databases.is_empty() {
        trial.goes(0);
    }
    assert_eq!(trial.rooms.len(), 0, "an empty room is forgotten");
}

impl Trial {
    fn comes(&mut self) {
        let admission = self.hub.quotas.admit(None).unwrap();
        let outbox = self.hub.new_outbox_on(Wire::RxDb, admission.purse(), None, WIRE_OUTBOX_BYTES);
        let socket = MemorySocket::connected_to(&outbox, usize::MAX);
        let (id, rate) = (Id::random().unwrap(), RateLimiter::new(0, 0, Instant::now()));
        let (hub, rooms) = (Arc::clone(&self.hub), Arc::clone(&self.rooms));
        let client = RxDbClient::new(hub, rooms, outbox, rate, id, Said::default());
        let id = id.as_str().to_owned();
        self.databases.push(Database { client, socket, id: id.clone() });
        let init = format!(r#"{{"type":"init","yourPeerId":"{id}"}}"#);
        self.check(|one| if one == id { vec![init.clone()] } else { Vec::new() });
    }

    fn goes(&mut self, index: usize) {
        let Database { mut client, id, .. } = self.databases.remove(index);
        client.end(LeaveReason::Closed, None, "it left");
        drop(client);
        let mut lists = Vec::new();
        self.members.retain(|_, members| {
            if let Some(at) = members.iter().position(|member| *member == id) {
                members.remove(at);
                lists.push(members.clone());
            }
            !members.is_empty()
        });
        self.check(|one| {
            lists.iter().filter(|list| list.iter().any(|id| id == one)).map(|list| joined(list)).collect()
        });
    }

    fn says(&mut self, index: usize, text: &str) {
        let Database { client, id, .. } = &mut self.databases[index];
        let (waker, id) = (Waker::noop(), id.clone());
        client.receive(text, Instant::now(), waker, &mut Deferred::default()).unwrap();
        let mut poll =
            || client.poll_waiting(&mut Context::from_waker(waker), Instant::now(), &mut Deferred::default());
        // The first time others may get their turns.
        let polled = if poll().is_pending() { poll() } else { Poll::Ready(()) };
        let is_closed = client.outbox().close_request();
        assert_eq!(polled.is_pending(), is_closed.is_some(), "everybody reads");
        match parse(text) {
            Command::Signal(Signal { sender: Some(sender), receiver, room }) if sender == id => {
                assert_eq!(is_closed, None);
                let members = room.and_then(|room| self.members.get(&*room)).filter(|members| members.contains(&id));
                let receiver =
                    receiver.filter(|receiver| members.is_some_and(|all| all.iter().any(|one| one == receiver)));
                self.check(|one| if receiver.as_deref() == Some(one) { vec![text.to_owned()] } else { Vec::new() });
            }
            Command::Signal(_) | Command::Bad => {
                assert_eq!(is_closed, Some(CloseRequest::BadMessage), "{text}");
                self.check(|_| Vec::new());
                self.goes(index);
            }
            Command::Join(room) => {
                assert_eq!(is_closed, None);
                self.begun += usize::from(!self.members.contains_key(&*room));
                let members = self.members.entry(room.into_owned()).or_default();
                let is_new = !members.contains(&id);
                if is_new {
                    members.push(id);
                }
                let members = members.clone();
                let hears = |one: &str| is_new && members.iter().any(|member| member == one);
                self.check(|one| if hears(one) { vec![joined(&members)] } else { Vec::new() });
            }
            Command::Ping => {
                assert_eq!(is_closed, None);
                self.check(|_| Vec::new());
            }
        }
    }

    /// Each hears that, in whatever order, and nothing else.
    fn check(&self, hears: impl Fn(&str) -> Vec<String>) {
        for Database { client, socket, id } in &self.databases {
            // What the relay says itself is written by the connection's own task.
            client.outbox().flush();
            let (mut heard, mut expected) = (socket.texts(), hears(id));
            heard.sort();
            expected.sort();
            assert_eq!(heard, expected);
        }
    }
}

/// The list of these members.
fn joined(members: &[String]) -> String {
    format!(r#"{{"type":"joined","otherPeerIds":{}}}"#, json!(members))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::limits::{DELIVERIES_A_TURN, RXDB_MEMBERS};

    fn newcomer(hub: &Arc<Hub>, rooms: &Arc<Rooms>) -> (RxDbClient, String) {
        let admission = hub.quotas.admit(None).unwrap();
        let outbox = hub.new_outbox_on(Wire::RxDb, admission.purse(), None, WIRE_OUTBOX_BYTES);
        let (id, rate) = (Id::random().unwrap(), RateLimiter::new(0, 0, Instant::now()));
        let client = RxDbClient::new(Arc::clone(hub), Arc::clone(rooms), outbox, rate, id, Said::default());
        (client, id.as_str().to_owned())
    }

    fn say(client: &mut RxDbClient, text: &str) {
        client.receive(text, Instant::now(), Waker::noop(), &mut Deferred::default()).unwrap();
    }

    #[test]
    fn of_the_lists_of_a_room_that_a_client_has_not_read_the_last_one_stays() {
        let hub = Hub::new(HubSettings::default(), Arc::new(Open), None);
        let rooms = Arc::<Rooms>::default();
        let join = |room: &str| format!(r#"{{"type":"join","room":"{room}"}}"#);
        let ((mut slow, slow_id), (mut other, other_id)) = (newcomer(&hub, &rooms), newcomer(&hub, &rooms));
        say(&mut slow, &join("room a"));
        say(&mut slow, &join("room b"));
        say(&mut other, &join("room a"));
        let signal =
            format!(r#"{{"type":"signal","senderPeerId":"{other_id}","receiverPeerId":"{slow_id}","room":"room a"}}"#);
        say(&mut other, &signal);
        for _ in 0..10_000 {
            say(&mut newcomer(&hub, &rooms).0, &join("room a"));
        }
        let (mut last, last_id) = newcomer(&hub, &rooms);
        say(&mut last, &join("room a"));
        assert_eq!(slow.outbox().announcements(), 3, "its id, and a list of each room");
        let socket = MemorySocket::connected_to(slow.outbox(), usize::MAX);
        slow.outbox().flush();
        let init = format!(r#"{{"type":"init","yourPeerId":"{slow_id}"}}"#);
        let all = joined(&[slow_id.clone(), other_id, last_id]);
        assert_eq!(socket.texts(), [init, joined(&[slow_id]), signal, all]);
    }

    #[test]
    fn others_get_their_turns_after_many_deliveries_and_nobody_enters_a_full_room() {
        let hub = Hub::new(HubSettings::default(), Arc::new(Open), None);
        let rooms = Arc::<Rooms>::default();
        let join = |room: usize| format!(r#"{{"type":"join","room":"room {room}"}}"#);
        let full = DELIVERIES_A_TURN / RXDB_MEMBERS;
        let mut there: Vec<_> = (1..RXDB_MEMBERS).map(|_| newcomer(&hub, &rooms).0).collect();
        there.iter_mut().for_each(|one| (0..full).for_each(|room| say(one, &join(room))));
        let (mut last, _) = newcomer(&hub, &rooms);
        let poll = |one: &mut RxDbClient| {
            one.poll_waiting(&mut Context::from_waker(Waker::noop()), Instant::now(), &mut Deferred::default())
        };
        for room in 0..full {
            assert!(!last.is_waiting() && poll(&mut last).is_ready());
            say(&mut last, &join(room));
        }
        assert!(last.is_waiting() && poll(&mut last).is_pending() && poll(&mut last).is_ready() && !last.is_waiting());
        let (mut beyond, _) = newcomer(&hub, &rooms);
        say(&mut beyond, &join(0));
        assert!(beyond.is_waiting() && poll(&mut beyond).is_pending());
        assert_eq!(beyond.outbox().close_request(), Some(CloseRequest::Denied { retryable: true }));
    }

    fn line() -> impl Strategy<Value = String> {
        let texts = [
            r#"{"type":"join","room":"room a"}"#,
            r#"{"type":"join","room":"room \u0061"}"#,
            r#"{"type":"join","room":"room b"}"#,
            r#"{"type":"join","room":"a"}"#,
            r#"{"type":"signal","senderPeerId":"$$","receiverPeerId":"$0","room":"room a","data":{"x":1.5}}"#,
            r#"{"type":"signal","senderPeerId":"$$","receiverPeerId":"$1","room":"room a","connectionId":"c"}"#,
            r#"{"type":"signal","senderPeerId":"$$","receiverPeerId":"$1","room":"room b"}"#,
            r#"{"type":"signal","senderPeerId":"$$","receiverPeerId":"nobody","room":"room a"}"#,
            r#"{"type":"signal","senderPeerId":"$$","receiverPeerId":"$0"}"#,
            r#"{"type":"signal","senderPeerId":"$0","receiverPeerId":"$1","room":"room a"}"#,
            r#"{"type":"ping"}"#,
            "null",
            "",
        ];
        let what = prop::sample::select((b' '..b'~').map(char::from).collect::<Vec<_>>());
        // What closes is rare, so that rooms fill.
        let good = prop::sample::select(texts[..3].to_vec());
        let any = prop::sample::select(texts.to_vec());
        let text = prop_oneof![
            4 => good.prop_map(str::to_owned),
            5 => any.prop_map(str::to_owned),
            1 => "[ -~]{0,30}",
        ];
        (what, text).prop_map(|(what, text)| format!("{what}{text}"))
    }

    proptest! {
        #![proptest_config(crate::testing::cases(1_000))]

        #[test]
        fn whoever_comes_and_goes_all_members_hear_who_is_there_and_only_they(
            lines in prop::collection::vec(line(), 0..60)
        ) {
            run(lines.join("\n").as_bytes());
        }
    }
}
