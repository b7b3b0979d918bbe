//! Clients of matchbox that come, go, and say whatever the bytes of a fuzzer, or of a property test, say, against a model of their
//! groups.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a trial may panic"
)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::task::{Context, Waker};

use tokio::time::Instant;

use super::groups::Groups;
use super::{Joining, MatchboxClient, Signal, signal};
use crate::auth::Open;
use crate::limits::WIRE_OUTBOX_BYTES;
use crate::peer::{Client, Hub, HubSettings};
use crate::quota::RateLimiter;
use crate::room::{Deferred, LeaveReason};
use crate::testing::MemorySocket;
use crate::wire::Wire;

/// Clients that are there at a time.
const CLIENTS: usize = 8;

struct Player {
    client: MatchboxClient,
    socket: MemorySocket,
    id: String,
    /// The number of its group, by the model, and the size at which that is complete; 0 if it never is.
    group: usize,
    size: usize,
}

/// The model of the groups: how many there were, and of each size the one that is open, with how many have come and not left.
#[derive(Default)]
struct Model {
    groups: usize,
    open: [Option<(usize, usize)>; 4],
}

/// Carries out the lines of `bytes`. The first byte of each says what happens: a client comes into a group without a size, or of
/// one to three; one leaves; or one says the rest of the line, in which `$0` to `$7` stand for the ids of those who are there.
///
/// # Panics
/// When somebody hears anything else than the model says.
pub(in crate::wires) fn run(bytes: &[u8]) {
    let hub = Hub::new(HubSettings::default(), Arc::new(Open), None);
    let groups = Arc::new(Groups::default());
    let (mut players, mut model) = (Vec::<Player>::new(), Model::default());
    for line in bytes.split(|byte| *byte == b'\n') {
        let Some((what, text)) = line.split_first() else { continue };
        let what = usize::from(*what);
        match what % 4 {
            0 if players.len() < CLIENTS => come(&hub, &groups, &mut players, &mut model, what / 4 % 4),
            1 if !players.is_empty() => {
                let index = what / 4 % players.len();
                leave(&mut players, &mut model, index);
            }
            2 | 3 if !players.is_empty() => {
                let Ok(text) = std::str::from_utf8(text) else { continue };
                let ids = players.iter().enumerate();
                let text = ids.fold(text.to_owned(), |text, (at, one)| text.replace(&format!("${at}"), &one.id));
                let index = what / 4 % players.len();
                say(&mut players, index, &text);
            }
            _ => {}
        }
        let there: BTreeSet<_> = players.iter().map(|player| player.group).collect();
        assert_eq!(groups.len(), there.len());
    }
    while !players.is_empty() {
        leave(&mut players, &mut model, 0);
    }
    assert_eq!((groups.open(), groups.len()), (0, 0), "an empty group is forgotten");
}

fn come(hub: &Arc<Hub>, groups: &Arc<Groups>, players: &mut Vec<Player>, model: &mut Model, size: usize) {
    let admission = hub.quotas.admit(None).unwrap();
    let outbox = hub.new_outbox_on(Wire::Matchbox, admission.purse(), None, WIRE_OUTBOX_BYTES);
    let socket = MemorySocket::connected_to(&outbox, usize::MAX);
    let rate = RateLimiter::new(0, 0, Instant::now());
    let mut client = MatchboxClient::new(Arc::clone(hub), outbox, rate, "r");
    let query = if size > 0 { format!("next={size}") } else { String::new() };
    let joining = Joining::of("r", &query).unwrap();
    let joined =
        std::pin::pin!(client.join(groups, joining, Default::default())).poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(joined, std::task::Poll::Ready(Ok(()))));
    client.outbox().flush();
    let heard = socket.texts();
    let [text] = heard.as_slice() else { panic!("{heard:?}") };
    let id = text.strip_prefix(r#"{"IdAssigned":""#).unwrap().strip_suffix(r#""}"#).unwrap().to_owned();
    let (group, there) = model.open[size].unwrap_or_else(|| {
        model.groups += 1;
        (model.groups, 0)
    });
    model.open[size] = (there + 1 != size).then_some((group, there + 1));
    expect(players, &format!(r#"{{"NewPeer":"{id}"}}"#), |player| player.group == group);
    players.push(Player { client, socket, id, group, size });
}

fn leave(players: &mut Vec<Player>, model: &mut Model, index: usize) {
    let Player { mut client, id, group, size, .. } = players.remove(index);
    client.end(LeaveReason::Closed, None, "it left");
    if let Some((open, there)) = model.open[size]
        && open == group
    {
        model.open[size] = (there > 1).then(|| (open, there - 1));
    }
    expect(players, &format!(r#"{{"PeerLeft":"{id}"}}"#), |player| player.group == group);
}

fn say(players: &mut [Player], index: usize, text: &str) {
    let (sender, group) = (players[index].id.clone(), players[index].group);
    players[index].client.receive(text, Instant::now(), Waker::noop(), &mut Deferred::default()).unwrap();
    assert!(!players[index].client.is_waiting(), "everybody reads");
    let Some(Signal { receiver, data }) = signal(text) else { return expect(players, "", |_| false) };
    let expected = format!(r#"{{"Signal":{{"sender":"{sender}","data":{data}}}}}"#);
    assert!(serde_json::from_str::<serde_json::Value>(&expected).is_ok(), "{expected}");
    let receiver = receiver.to_string();
    expect(players, &expected, |player| player.group == group && player.id == receiver);
}

/// Asserts that those for whom `hears` holds hear this, and the others nothing.
fn expect(players: &[Player], text: &str, hears: impl Fn(&Player) -> bool) {
    for player in players {
        player.client.outbox().flush();
        let heard = player.socket.texts();
        let expected: &[&str] = if hears(player) { &[text] } else { &[] };
        assert_eq!(heard, expected);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line() -> impl Strategy<Value = String> {
        let texts = [
            r#"{"Signal":{"receiver":"$0","data":{"Offer":1.10}}}"#,
            r#"{"Signal":{"receiver":"$1","data":null}}"#,
            r#"{"Signal":{"data":[1e5],"receiver":"$2","more":1}}"#,
            r#"{"Signal":{"receiver":"00000000-0000-4000-8000-000000000000","data":1}}"#,
            r#"{"Signal":{"receiver":"$0"}}"#,
            r#""KeepAlive""#,
            "{",
            "",
        ];
        let what = prop::sample::select((b' '..b'~').map(char::from).collect::<Vec<_>>());
        let text = prop_oneof![9 => prop::sample::select(texts.to_vec()).prop_map(str::to_owned), 1 => "[ -~]{0,30}"];
        (what, text).prop_map(|(what, text)| format!("{what}{text}"))
    }

    proptest! {
        #![proptest_config(crate::testing::cases(1_000))]

        #[test]
        fn whoever_comes_and_goes_groups_fill_in_turn_and_only_members_hear(lines in prop::collection::vec(line(), 0..60)) {
            run(lines.join("\n").as_bytes());
        }
    }
}
