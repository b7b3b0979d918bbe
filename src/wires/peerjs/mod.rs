//! The wire of PeerJS 1.5.5.
//!
//! A client has an id, and says what it has to say to another id; there are no rooms. `text.rs` says how that is written down,
//! `identity.rs` who a client says to be, `ids.rs` who has which id, and `mail.rs` what is held for ids that nobody has.
//! `client.rs` is one client, and `enter.rs` how it gets its id.
//!
//! # What it says
//! A client without an id of its own first asks for one, by a GET of `/KEY/id`, whose answer is the id alone; `KEY` is `peerjs`
//! unless the page names one. Then it connects to `/peerjs?key=KEY&id=ID&token=TOKEN`, where `TOKEN` is a text of its own, by which
//! it is known when it comes back.
//!
//! | the relay says | when |
//! | --- | --- |
//! | `{"type":"OPEN"}` | first, when the client has its id |
//! | `{"type":"ID-TAKEN","payload":{"msg":"ID is taken"}}`, and closes | somebody with another `TOKEN` has the id |
//! | `{"type":"ERROR","payload":{"msg":M}}`, and closes | it is refused for another reason, which `M` says |
//! | `{"type":"OFFER","src":"A","dst":"B","payload":...}`, and `ANSWER`, `CANDIDATE`, `LEAVE` | the client `A` says so to `B` |
//! | `{"type":"EXPIRE","src":"B","dst":"A"}` | nobody came with the id `B` to hear what `A` has said |
//!
//! | the client says | the relay does |
//! | --- | --- |
//! | `{"type":"OFFER","dst":"B","payload":...}`, and `ANSWER`, `CANDIDATE` | says it to the client `B`, with the sender's id as `src`; if nobody has that id, it is held for 5 s from the first on |
//! | `{"type":"LEAVE","dst":"B"}` | the same, but it is not held |
//! | `{"type":"HEARTBEAT"}` | nothing: whoever answers pings is there |
//! | anything else | nothing |
//!
//! # Where it differs from its own server
//! | its own server | here |
//! | --- | --- |
//! | says no `OPEN` to a client that comes back before its last connection has ended, whose `reconnect()` hangs; the last one stays open | says `OPEN`, and closes the last one (4001) |
//! | falls silent for good, or ends as a whole, at a text that is no JSON | ignores it, and binary messages too |
//! | takes an `EXPIRE` from a client, and a `LEAVE` without `dst`, which frees its id while it is connected | ignores both |
//! | closes who has sent no `HEARTBEAT` for a minute, as pages in the background do not | closes who does not answer pings, as browsers do for such pages too |
//! | holds any number of messages of any size | 256 messages and 256 KiB for an id, 1 MiB of the clients of an address, 64 MiB in all; `EXPIRE` at once beyond that |
//! | `JSON.parse` and `JSON.stringify` what it passes on | passes values on as they were written |
//! | takes messages of 100 MiB, and ids of any length | a message of `--max-message-bytes` (1009 beyond) and 32 levels, an id of 256 bytes, a key and a token of 1,024 |
//! | queues without end for who does not read | reads on from the sender when the receiver has read; who reads nothing for 5 s is closed (1013) |
//! | may list all ids at `/KEY/peers` | never does: 401 |
//! | closes without a code | closes who is refused with 1008 |
//! | gives an id, and takes any key, from any page | only for pages that may connect; any key, unless `--peerjs-key` names those that are served, or the key is a token |

mod client;
mod identity;
mod ids;
mod mail;
mod text;
#[cfg(any(test, fuzzing))]
pub(super) mod trial;

use std::sync::Arc;

use crate::auth::JoinRequest;
use crate::limits::{PEERJS_ID_BYTES, PEERJS_KEY_BYTES, TOKEN_BYTES};
use crate::outbox::Outbox;
use crate::parameters::parameters;
use crate::peer::{Client, Hub, UpgradeHeaders};
use crate::quota::{Network, RateLimiter};
use crate::room::names::{PeerId, RoomName};
use crate::room::{ErrorCode, Refusal};
use crate::secret::Secret;
use crate::wire::Wire;
use crate::wires::said::Said;
use client::{Newcomer, PeerClient};
use identity::{Identity, Space};
use ids::Ids;

/// What the key of a client means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Keys {
    /// Nothing but itself: clients see those of their own key, whichever it is.
    Any,
    /// The same, but only these are served.
    Only(Vec<String>),
    /// It is the client's token, for who decides, and all clients see each other.
    Tokens,
}

/// The wire of PeerJS: who is there.
#[derive(Debug)]
pub(super) struct PeerJs {
    keys: Keys,
    ids: Arc<Ids>,
}

/// What stands for the whole wire where somebody decides on it, in events, and in the log.
const ROOM: &str = "";

/// The same, with the name of the wire.
fn room() -> RoomName {
    RoomName::of_topic(Wire::PeerJs, ROOM)
}

impl PeerJs {
    /// Nobody is there yet.
    pub(super) fn new(keys: Keys) -> Self {
        Self { keys, ids: Arc::default() }
    }

    /// How many ids somebody has.
    #[cfg(feature = "admin")]
    pub(super) fn taken(&self) -> usize {
        self.ids.taken()
    }

    /// A client whose URL had this query, and whose upgrade said `said`.
    pub(super) fn open(
        &self,
        hub: &Arc<Hub>,
        outbox: Arc<Outbox>,
        rate: RateLimiter,
        network: Option<Network>,
        said: UpgradeHeaders,
        query: &str,
    ) -> Box<dyn Client> {
        let (mut key, mut id, mut token) = (String::new(), String::new(), String::new());
        for (name, value) in parameters(query) {
            // Of several the last one counts, as in its own server.
            match &*name {
                "key" => key = value.into_owned(),
                "id" => id = value.into_owned(),
                "token" => token = value.into_owned(),
                _ => {}
            }
        }
        let checked = self.check(&key, &id, &token);
        if checked.is_err() {
            // It is said no more than that: what is too long is kept nowhere.
            while id.len() > PEERJS_ID_BYTES {
                id.pop();
            }
            (key, token) = Default::default();
        }
        let space = Space::new(if self.keys == Keys::Tokens { "" } else { &key });
        let said = Said { headers: said, token: Some(Secret::new(key)) };
        let request = checked
            .map(|()| JoinRequest { id: Some(PeerId::of_wire(&id)), ..said.request(&outbox, Wire::PeerJs, ROOM) });
        let who = Identity::new(&space, &id, Secret::new(token));
        let newcomer = Newcomer { who, network, request };
        Box::new(PeerClient::new(Arc::clone(hub), Arc::clone(&self.ids), outbox, rate, newcomer))
    }

    /// Whether a client with this key, id and token may ask to be let in.
    fn check(&self, key: &str, id: &str, token: &str) -> Result<(), Refusal> {
        let refused = |code, why: &'static str| Err(Refusal::new(code, why));
        if key.is_empty() || id.is_empty() || token.is_empty() {
            return refused(ErrorCode::BadMessage, "No id, token, or key supplied to websocket server");
        }
        if id.len() > PEERJS_ID_BYTES {
            return refused(ErrorCode::BadMessage, "the id is too long: it may have 256 bytes");
        }
        let most = if self.keys == Keys::Tokens { TOKEN_BYTES } else { PEERJS_KEY_BYTES };
        if key.len() > most || token.len() > PEERJS_KEY_BYTES {
            return refused(ErrorCode::BadMessage, "the key or the token is too long");
        }
        match &self.keys {
            Keys::Only(keys) if !keys.iter().any(|one| one == key) => {
                refused(ErrorCode::Unauthorized, "Invalid key provided")
            }
            _ => Ok(()),
        }
    }
}
