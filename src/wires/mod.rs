//! The wires of other libraries, which their unmodified clients speak with the relay, each at a path of its own.
//!
//! [`Wires`] has those that are on, and opens a client of one: what is behind that is the wire's own, as a
//! [`Client`] which a connection serves. `README.md` is for those who use them, `json.rs` reads what all of them write, and
//! `blocked.rs` is a message that waits for its receivers. `table.rs` has the places where clients hear each other, `said.rs` what an
//! upgrade said, `refused.rs` what is said of who is refused, and `signalled.rs` what becomes of a message for one member.
//!
//! y-webrtc and Trystero are tables of topics: a client subscribes to topics, and publishes texts to all that are subscribed.
//! `topics.rs` is that table, `client.rs` one client, `decide.rs` who may do so, `known.rs` which topics it knows, and `waits.rs`
//! for what it waits. `y_webrtc.rs` and `trystero.rs` say how each writes it down, in the terms of `command.rs`.
//!
//! PeerJS, in `peerjs/`, is a table of ids: a client has one, and says texts to another one. matchbox, in `matchbox/`, has groups,
//! whose members signal to each other. RxDB, in `rxdb/`, has rooms, whose members also signal to each other, and hear who is there.
//!
//! None is built on [`Rooms`](crate::room::Rooms). A topic has no ids, no host, no lock and no places to come back to: what is
//! left is a list of outboxes, and a connection is in a hundred of them. An id of PeerJS is in no room at all. What the promises
//! rest on is below both: the shares and the memory of the [outbox](crate::outbox).

mod blocked;
mod client;
mod command;
mod json;
mod known;
mod matchbox;
mod peerjs;
mod refused;
mod rxdb;
mod said;
mod signalled;
mod table;
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
use crate::peer::{Client, Hub, JoinRefusal, RelayEvent, UpgradeHeaders};
use crate::quota::Admission;
use crate::room::{JoinError, Refusal};
use crate::secret::Secret;
use crate::wire::Wire;
use client::TopicClient;
use command::Dialect;
use matchbox::{Groups, Joining, MatchboxClient};
pub(crate) use peerjs::Keys;
use peerjs::PeerJs;
use rxdb::{Id, Rooms, RxDbClient};
use said::Said;
use topics::Topics;

/// The wires that are on, each with what its clients share.
#[derive(Debug, Default)]
pub(crate) struct Wires {
    topics: Vec<Arc<Topics>>,
    peerjs: Option<PeerJs>,
    matchbox: Option<Arc<Groups>>,
    rxdb: Option<Arc<Rooms>>,
}

/// Who asks for a wire.
pub(crate) struct Newcomer<'a> {
    /// What follows the name of the wire and a slash in the path of its URL.
    pub rest: &'a str,
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
    /// That of matchbox, with what the URL asks for.
    Matchbox(&'a Arc<Groups>, Joining),
    /// That of RxDB, with an id, and the token of the URL.
    RxDb(&'a Arc<Rooms>, Id, Option<Secret>),
}

/// Why a wire is not opened for somebody.
#[derive(Debug, Clone)]
pub(crate) enum NotOpened {
    /// The operator has not turned it on.
    Off,
    /// The wire has nothing at this path; the sentence says what it has.
    NoSuchPath(&'static str),
    /// The URL is not right; the sentence says why.
    BadUrl(String),
    /// It cannot join.
    Refused(JoinRefusal),
}

impl Wires {
    /// These, without clients. For PeerJS, `peerjs_keys` says what the keys of clients mean.
    pub(crate) fn new(wires: &[Wire], peerjs_keys: Keys) -> Self {
        let is_on = |wire: &Wire| wires.contains(wire);
        let topics = |wire| Some(Arc::new(Topics::new(dialect(wire)?)));
        Self {
            topics: Wire::ALL.into_iter().filter(is_on).filter_map(topics).collect(),
            peerjs: is_on(&Wire::PeerJs).then(|| PeerJs::new(peerjs_keys)),
            matchbox: is_on(&Wire::Matchbox).then(Arc::default),
            rxdb: is_on(&Wire::RxDb).then(Arc::default),
        }
    }

    /// Whether `wire` is on.
    pub(crate) fn has(&self, wire: Wire) -> bool {
        match wire {
            Wire::PeerJs => self.peerjs.is_some(),
            Wire::Matchbox => self.matchbox.is_some(),
            Wire::RxDb => self.rxdb.is_some(),
            Wire::YWebrtc | Wire::Trystero => self.topics(wire).is_some(),
        }
    }

    /// A client of `wire`, with full rate limits, and its registration with the drain.
    ///
    /// # Errors
    /// [`NotOpened`].
    pub(crate) async fn open(
        &self,
        wire: Wire,
        hub: &Arc<Hub>,
        newcomer: Newcomer<'_>,
    ) -> Result<(Box<dyn Client>, Registration), NotOpened> {
        let Newcomer { rest, query, said, address, admission } = newcomer;
        check_utf8(query).map_err(NotOpened::BadUrl)?;
        let kind = match wire {
            Wire::PeerJs => Kind::PeerJs(self.peerjs.as_ref().ok_or(NotOpened::Off)?),
            Wire::Matchbox => {
                let groups = self.matchbox.as_ref().ok_or(NotOpened::Off)?;
                Kind::Matchbox(groups, Joining::of(rest, query)?)
            }
            Wire::RxDb => {
                let rooms = self.rxdb.as_ref().ok_or(NotOpened::Off)?;
                let token = token(query)?;
                let id =
                    Id::random().map_err(|error| NotOpened::Refused(Refusal::from(JoinError::from(error)).into()))?;
                Kind::RxDb(rooms, id, token)
            }
            Wire::YWebrtc | Wire::Trystero => Kind::Topics(self.topics(wire).ok_or(NotOpened::Off)?, token(query)?),
        };
        let outbox = hub.new_outbox_on(wire, admission.purse(), address, WIRE_OUTBOX_BYTES);
        let registration = hub.drain.register(&outbox);
        let connection = outbox.id().number();
        hub.observe(|| RelayEvent::Connected { connection, address, wire: Some(wire) });
        let rate = hub.quotas.rate_limiter(admission.address());
        let client: Box<dyn Client> = match kind {
            Kind::Topics(topics, token) => {
                let said = Said { headers: said, token };
                Box::new(TopicClient::new(Arc::clone(hub), Arc::clone(topics), outbox, rate, said))
            }
            Kind::RxDb(rooms, id, token) => {
                let said = Said { headers: said, token };
                Box::new(RxDbClient::new(Arc::clone(hub), Arc::clone(rooms), outbox, rate, id, said))
            }
            Kind::PeerJs(peerjs) => peerjs.open(hub, outbox, rate, admission.network(), said, query),
            Kind::Matchbox(groups, joining) => {
                let mut client = MatchboxClient::new(Arc::clone(hub), outbox, rate, &joining.room);
                client.join(groups, joining, said).await.map_err(NotOpened::Refused)?;
                Box::new(client)
            }
        };
        Ok((client, registration))
    }

    /// How many topics, ids, groups or rooms of `wire` somebody has.
    #[cfg(feature = "admin")]
    pub(crate) fn count(&self, wire: Wire) -> usize {
        match wire {
            Wire::PeerJs => self.peerjs.as_ref().map_or(0, |peerjs| peerjs.taken()),
            Wire::Matchbox => self.matchbox.as_ref().map_or(0, |groups| groups.len()),
            Wire::RxDb => self.rxdb.as_ref().map_or(0, |rooms| rooms.len()),
            Wire::YWebrtc | Wire::Trystero => self.topics(wire).map_or(0, |topics| topics.len()),
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
        Wire::PeerJs | Wire::Matchbox | Wire::RxDb => None,
    }
}

/// The token in the query of a URL.
fn token(query: &str) -> Result<Option<Secret>, NotOpened> {
    Ok(only(query, "token").map_err(NotOpened::BadUrl)?.map(Secret::new))
}
