//! A member of a room, and a client that is to become one.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::time::Instant;

use super::deferred::OnRemoved;
use super::event::Peer;
use super::names::{PeerId, PeerName};
use super::observer::RoomChange;
use super::rank::Rank;
use super::role::Role;
use crate::ice::IceServers;
use crate::outbox::{ConnectionId, Outbox};
use crate::secret::Secret;

/// A client that may become a member: at once, or when a host lets it in.
#[derive(Debug)]
pub(crate) struct PendingMember {
    /// Its id.
    pub id: PeerId,
    /// Whether the authorizer vouches for that id: it stands for one person.
    pub is_identified: bool,
    /// Its display name.
    pub name: Option<PeerName>,
    /// Its role.
    pub role: Role,
    /// The password that it gives.
    pub password: Option<Secret>,
    /// Its address, if it is known.
    pub address: Option<IpAddr>,
    /// The capacity of the room for this client; without it, the usual one.
    pub capacity: Option<usize>,
    /// The STUN and TURN servers for this client.
    pub ice_servers: IceServers,
    /// How it can come back, if it asked for that: its token, and for how many milliseconds its place is held.
    pub resume: Option<(Secret, u64)>,
    /// The room's name as this client wrote it, if that is another spelling.
    pub spelling: Option<Arc<str>>,
    /// Its outbox.
    pub outbox: Arc<Outbox>,
}

/// One member.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) id: PeerId,
    /// Its number in this room: another member may have had the same id before.
    pub(super) serial: u64,
    name: Option<PeerName>,
    /// The room's name as its client wrote it, if that is another spelling.
    pub(super) spelling: Option<Arc<str>>,
    pub(super) outbox: Arc<Outbox>,
    /// The connection as which it sends: its first one, also after it came back on another.
    pub(super) sender: ConnectionId,
    /// Whether the others know that it [is suspended](Self::is_suspended): a while after that, they are told.
    pub(super) is_away: bool,
    /// Set while it has no connection.
    pub(super) on_removed: Option<OnRemoved>,
    /// Whether the authorizer vouches for its id: it stands for one person.
    pub(super) is_identified: bool,
    pub(super) rank: Rank,
    /// When it last sent or was sent a signal, or entered. Only kept where idle members give way.
    pub(super) active: Instant,
}

impl PendingMember {
    /// As a host sees it while it knocks.
    pub(super) fn as_peer(&self) -> Peer<'_> {
        Peer { id: &self.id, name: self.name.as_ref(), away: false, verified: self.is_identified }
    }

    /// The member with the number `serial`; its STUN and TURN servers; and how it can come back.
    pub(super) fn into_member(self, serial: u64) -> (Member, IceServers, Option<(Secret, u64)>) {
        let member = Member {
            id: self.id,
            serial,
            name: self.name,
            spelling: self.spelling,
            sender: self.outbox.id(),
            outbox: self.outbox,
            is_away: false,
            on_removed: None,
            is_identified: self.is_identified,
            rank: Rank::new(self.role),
            active: Instant::now(),
        };
        (member, self.ice_servers, self.resume)
    }
}

impl Member {
    /// Whether its connection is lost: it keeps its place for a while.
    pub(super) fn is_suspended(&self) -> bool {
        self.on_removed.is_some()
    }

    /// As the others see it.
    pub(super) fn as_peer(&self) -> Peer<'_> {
        Peer { id: &self.id, name: self.name.as_ref(), away: self.is_away, verified: self.is_identified }
    }

    /// What is told of its coming.
    pub(super) fn as_joined(&self) -> RoomChange<'_> {
        RoomChange::Joined { id: &self.id, name: self.name.as_ref(), verified: self.is_identified }
    }

    /// Whether `pending`, who would have its id, takes its place: it only named itself so, or it is the same person and away.
    pub(super) fn gives_way_to(&self, pending: &PendingMember) -> bool {
        pending.is_identified && (!self.is_identified || self.is_suspended())
    }
}
