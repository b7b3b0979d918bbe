//! What operators see of rooms.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use tokio::time::Instant;

use super::member::Member;
use super::names::{PeerId, PeerName, RoomName};
use super::room::Room;
use super::state::State;
use super::table::Rooms;

/// A room in a list.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Overview {
    /// Its name.
    room: RoomName,
    /// How many members it has.
    members: usize,
    /// How many wait at it.
    knocks: usize,
    /// The host; none in a room that is empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<PeerId>,
    /// Whether it is locked.
    #[serde(rename = "locked")]
    is_locked: bool,
    /// Whether it has a password.
    #[serde(rename = "password")]
    has_password: bool,
    /// How many members it takes.
    capacity: usize,
    /// For how many seconds it is there without members, if it was made ahead of time.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in: Option<u64>,
}

/// A room, with those who are in it and those who wait at it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RoomView {
    #[serde(flatten)]
    overview: Overview,
    /// The members, oldest first.
    peers: Vec<PeerView>,
    /// Those who wait, in the order in which they came.
    waiting: Vec<PeerView>,
}

/// One who is in a room, or waits at it.
#[derive(Debug, Serialize)]
struct PeerView {
    id: PeerId,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<PeerName>,
    #[serde(rename = "verified", skip_serializing_if = "std::ops::Not::not")]
    is_verified: bool,
    #[serde(rename = "away", skip_serializing_if = "std::ops::Not::not")]
    is_away: bool,
    /// The number of its connection; the last one, if it is away.
    connection: u64,
}

/// Where a client is.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Place {
    room: RoomName,
    id: PeerId,
}

impl Rooms {
    /// The first `limit` rooms whose names come after `after`, in their order; and the name after which the next page begins,
    /// if there are more. A room that begins or ends meanwhile may be there or not.
    pub(crate) fn overview(&self, after: &str, limit: usize) -> (Vec<Overview>, Option<RoomName>) {
        self.end_bookings();
        // One more, to know whether there are more. The table has no order, so the last of too many are dropped again.
        let mut names = BTreeSet::new();
        for entry in self.table.iter().filter(|entry| entry.key().as_str() > after) {
            names.insert(entry.key().clone());
            if names.len() > limit + 1 {
                names.pop_last();
            }
        }
        let has_more = names.len() > limit;
        if has_more {
            names.pop_last();
        }
        let next = names.last().filter(|_| has_more).cloned();
        let rooms = names.iter().filter_map(|name| self.find(name));
        (rooms.map(|room| Overview::new(&room, &room.state())).collect(), next)
    }

    /// The room with this name, with who is there.
    pub(crate) fn view(&self, name: &RoomName) -> Option<RoomView> {
        let room = self.find(name)?;
        let state = room.state();
        let peers = state.members.iter().map(PeerView::new).collect();
        let waiting = state.knockers().iter().map(|knocker| PeerView {
            id: knocker.pending.id.clone(),
            name: knocker.pending.name.clone(),
            is_verified: knocker.pending.is_identified,
            is_away: false,
            connection: knocker.pending.outbox.id().number(),
        });
        Some(RoomView { overview: Overview::new(&room, &state), peers, waiting: waiting.collect() })
    }

    /// Where the clients of these connections are, of those that are in rooms: looks at each room once.
    pub(crate) fn places(&self, mut connections: BTreeSet<u64>) -> BTreeMap<u64, Place> {
        let mut places = BTreeMap::new();
        for room in &self.table {
            if connections.is_empty() {
                break;
            }
            for member in &room.state().members {
                let connection = member.outbox.id().number();
                if !member.is_suspended() && connections.remove(&connection) {
                    places.insert(connection, Place { room: room.name.clone(), id: member.id.clone() });
                }
            }
        }
        places
    }
}

impl Overview {
    fn new(room: &Room, state: &State) -> Self {
        let left = state.booking().map(|booking| booking.until.saturating_duration_since(Instant::now()));
        Self {
            room: room.name.clone(),
            members: state.members.len(),
            knocks: state.knockers().len(),
            host: state.host().map(|host| host.id.clone()),
            is_locked: state.door.as_ref().is_some_and(|door| door.is_locked),
            has_password: state.door.as_ref().is_some_and(|door| door.password.is_some()),
            capacity: room.capacity,
            expires_in: left.map(|left| left.as_secs()),
        }
    }
}

impl PeerView {
    fn new(member: &Member) -> Self {
        let peer = member.as_peer();
        Self {
            id: member.id.clone(),
            name: peer.name.cloned(),
            is_verified: member.is_identified,
            is_away: member.is_suspended(),
            connection: member.outbox.id().number(),
        }
    }
}
