//! The way of a client to its room: where that lives, and how it is reached.
//!
//! To ask the directory and to dial are repeated, as long as a join may wait. The hand-over never is: a message that joins
//! twice would be twice in the room.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::Response;
use tokio::time::{Instant, sleep, timeout_at};

use super::dial::RelayStream;
use super::directory::Directory;
use super::door::{Failure, Guest, Opened, Tunnel, UrlRequest};
use super::relays::{Neighbour, Place, Unknown};
use crate::budget::Purse;
use crate::limits::{HOPS, LEASE_LOOK};
use crate::room::names::RoomName;

/// A client that looks for its room.
pub(crate) struct Seeker {
    /// Says where it lives.
    pub directory: Arc<Directory>,
    /// The room.
    pub room: RoomName,
    /// Whether the room is to be opened here if it lives nowhere.
    pub claims: bool,
    /// The client.
    pub guest: Guest,
    /// Its own request, if that names the room.
    pub request: Option<Arc<UrlRequest>>,
    /// What pays for the tunnel.
    pub purse: Arc<Purse>,
}

/// What a client has found.
pub(crate) enum Found {
    /// The room lives at no other relay, or nobody can say where.
    Place(Place),
    /// The room lives at another relay, which has answered this.
    Tunnel(Response<()>, Box<Tunnel>),
    /// The other relay refuses the client, with this answer.
    Refused(Response<Bytes>),
    /// The room lives at another relay, and the client does not get there.
    Failed(Failure),
    /// The room lives at another relay, and the client has come by too many already.
    TooFar,
}

/// How far the search has come.
enum Reached {
    Place(Place),
    Relay(Arc<Neighbour>, RelayStream),
    TooFar,
}

impl Seeker {
    /// Searches. Where the room lives and whether its relay is reached is known within `patience`; what that decides then may
    /// take longer.
    pub(crate) async fn search(self, patience: Duration) -> Found {
        let until = Instant::now() + patience;
        loop {
            let mut is_elsewhere = false;
            let (owner, stream) = match timeout_at(until, self.reach(&mut is_elsewhere)).await {
                Ok(Reached::Relay(owner, stream)) => (owner, stream),
                Ok(Reached::Place(place)) => return Found::Place(place),
                Ok(Reached::TooFar) => return Found::TooFar,
                Err(_) if is_elsewhere => return Found::Place(Place::Unknown(Unknown::OwnerAway)),
                Err(_) => return Found::Place(Place::Unknown(Unknown::Away)),
            };
            let Some(doors) = self.directory.doors() else { return Found::Place(Place::Unknown(Unknown::OwnerAway)) };
            let opened = match &self.request {
                Some(request) => doors.open_by_url(stream, &owner, &self.guest, request, &self.purse).await,
                None => doors.open(stream, &owner, &self.guest, &self.purse).await,
            };
            match opened {
                Ok(Opened::Tunnel(response, tunnel)) => return Found::Tunnel(response, tunnel),
                Ok(Opened::Refused(answer)) => return Found::Refused(answer),
                // Nothing was handed over: its relay frees the room, or does not know this relay yet.
                Err(Failure::Draining | Failure::Unreachable(_)) if Instant::now() + LEASE_LOOK < until => {
                    sleep(LEASE_LOOK).await;
                }
                Err(failure) => return Found::Failed(failure),
            }
        }
    }

    /// Asks and dials until it is known where the room lives, and if it lives elsewhere, that relay is reached.
    async fn reach(&self, is_elsewhere: &mut bool) -> Reached {
        let asked = if self.claims { self.directory.claim(&self.room) } else { self.directory.look(&self.room) };
        let mut place = asked.await;
        loop {
            let Place::At(owner) = place else { return Reached::Place(place) };
            *is_elsewhere = true;
            if self.guest.hops > HOPS {
                return Reached::TooFar;
            }
            if let Some(doors) = self.directory.doors()
                && let Ok(stream) = doors.dial(&owner).await
            {
                return Reached::Relay(owner, stream);
            }
            // Only now: a lease that is late by a moment must not take a room from a relay that is well.
            place = self.directory.replace(&self.room, &owner).await;
            if matches!(&place, Place::At(again) if again.process == owner.process) {
                sleep(LEASE_LOOK).await;
            }
        }
    }
}

impl fmt::Debug for Seeker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seeker").field("room", &self.room).finish_non_exhaustive()
    }
}
