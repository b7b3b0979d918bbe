//! The wires of other libraries, which their unmodified clients speak with the relay, each at a path of its own.
//!
//! [`Wires`] has those that are on, and opens a client of one: what is behind that is the wire's own, as a
//! [`Client`] which a connection serves. `README.md` is for those who use them, `json.rs` reads what all of them write, and
//! `blocked.rs` is a message that waits for its receivers.
//!
//! y-webrtc and Trystero are tables of topics: a client subscribes to topics, and publishes texts to all that are subscribed.
//! `topics.rs` is that table, `client.rs` one client, `decide.rs` who may do so, `known.rs` which topics it knows, and `waits.rs`
//! for what it waits. `y_webrtc.rs` and `trystero.rs` say how each writes it down, in the terms of `command.rs`.
//!
//! PeerJS, in `peerjs/`, is a table of ids: a client has one, and says texts to another one.
//!
//! None is built on [`Rooms`](crate::room::Rooms). A topic has no ids, no host, no lock and no places to come back to: what is
//! left is a list of outboxes, and a connection is in a hundred of them. An id of PeerJS is in no room at all. What the promises
//! rest on is below both: the shares and the memory of the [outbox](crate::outbox).

mod blocked;
mod client;
mod command;
mod json;
mod known;
mod peerjs;
mod topics;
#[cfg(any(test, fuzzing))]
pub(crate) mod trial;
mod trystero;
mod waits;
mod y_webrtc;

use std::net::IpAddr;
use std::sync::Arc;

use crate::drain::Registration;
use crate::limits::WIRE_OUTBOX_BYTES;
use crate::parameters::{check_utf8, only};
use crate::peer::{Client, Hub, RelayEvent, UpgradeHeaders};
use crate::quota::Admission;
use crate::secret::Secret;
use crate::wire::Wire;
use client::TopicClient;
use command::Dialect;
pub(crate) use peerjs::Keys;
use peerjs::PeerJs;
use topics::Topics;

/// The wires that are on, each with what its clients share.
#[derive(Debug, Default)]
pub(crate) struct Wires {
    topics: Vec<Arc<Topics>>,
    peerjs: Option<PeerJs>,
}

/// Who asks for a wire.
pub(crate) struct Newcomer<'a> {
    /// The query of its URL.
    pub query: &'a str,
    /// What its upgrade says to who decides.
    pub said: UpgradeHeaders,
    /// Its address, if it is known.
    pub address: Option<IpAddr>,
    /// What it counts as.
    pub admission: &'a Admission,
}

/// What a client is opened of.
enum Kind<'a> {
    /// A wire of topics, with the token of the URL.
    Topics(&'a Arc<Topics>, Option<Secret>),
    /// That of PeerJS.
    PeerJs(&'a PeerJs),
}

/// Why a wire is not opened for somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NotOpened {
    /// The operator has not turned it on.
    Off,
    /// The URL is not right; the sentence says why.
    BadUrl(String),
}

impl Wires {
    /// These, without clients. For PeerJS, `peerjs_keys` says what the keys of clients mean.
    pub(crate) fn new(wires: &[Wire], peerjs_keys: Keys) -> Self {
        let is_on = |wire: &Wire| wires.contains(wire);
        let topics = |wire| Some(Arc::new(Topics::new(dialect(wire)?)));
        Self {
            topics: Wire::ALL.into_iter().filter(is_on).filter_map(topics).collect(),
            peerjs: is_on(&Wire::PeerJs).then(|| PeerJs::new(peerjs_keys)),
        }
    }

    /// Whether `wire` is on.
    pub(crate) fn has(&self, wire: Wire) -> bool {
        match wire {
            Wire::PeerJs => self.peerjs.is_some(),
            Wire::YWebrtc | Wire::Trystero => self.topics(wire).is_some(),
        }
    }

    /// A client of `wire`, with full rate limits, and its registration with the drain.
    ///
    /// # Errors
    /// [`NotOpened`].
    pub(crate) fn open(
        &self,
        wire: Wire,
        hub: &Arc<Hub>,
        newcomer: Newcomer<'_>,
    ) -> Result<(Box<dyn Client>, Registration), NotOpened> {
        let Newcomer { query, said, address, admission } = newcomer;
        check_utf8(query).map_err(NotOpened::BadUrl)?;
        let kind = match (&self.peerjs, self.topics(wire)) {
            (Some(peerjs), _) if wire == Wire::PeerJs => Kind::PeerJs(peerjs),
            (_, Some(topics)) => {
                let token = only(query, "token").map_err(NotOpened::BadUrl)?.map(Secret::new);
                Kind::Topics(topics, token)
            }
            _ => return Err(NotOpened::Off),
        };
        let outbox = hub.new_outbox_on(wire, admission.purse(), address, WIRE_OUTBOX_BYTES);
        let registration = hub.drain.register(&outbox);
        let connection = outbox.id().number();
        hub.observe(|| RelayEvent::Connected { connection, address, wire: Some(wire) });
        let rate = hub.quotas.rate_limiter(admission.address());
        let client: Box<dyn Client> = match kind {
            Kind::Topics(topics, token) => {
                Box::new(TopicClient::new(Arc::clone(hub), Arc::clone(topics), outbox, rate, said, token))
            }
            Kind::PeerJs(peerjs) => peerjs.open(hub, outbox, rate, admission.network(), said, query),
        };
        Ok((client, registration))
    }

    /// How many topics or ids of `wire` somebody has.
    #[cfg(feature = "admin")]
    pub(crate) fn count(&self, wire: Wire) -> usize {
        match (&self.peerjs, self.topics(wire)) {
            (Some(peerjs), _) if wire == Wire::PeerJs => peerjs.taken(),
            (_, topics) => topics.map_or(0, |topics| topics.len()),
        }
    }

    fn topics(&self, wire: Wire) -> Option<&Arc<Topics>> {
        self.topics.iter().find(|topics| topics.dialect().wire == wire)
    }
}

/// How a wire of topics writes things down; none if `wire` is not one.
fn dialect(wire: Wire) -> Option<&'static Dialect> {
    match wire {
        Wire::YWebrtc => Some(&y_webrtc::DIALECT),
        Wire::Trystero => Some(&trystero::DIALECT),
        Wire::PeerJs => None,
    }
}
