//! The way of a client to its room: where that lives, and how it is reached.
//!
//! To ask the directory and to dial are repeated, as long as a join may wait. The hand-over never is: a message that joins
//! twice would be twice in the room.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::Response;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::dial::RelayStream;
use super::directory::{Directory, Locating};
use super::door::{Failure, Guest, Opened, Tunnel, UrlRequest};
use super::relays::{Neighbour, Place, ProcessId, Unknown};
use crate::budget::Purse;
use crate::limits::{HOPS, LEASE_LOOK, LOCATE_DEADLINE};
use crate::room::names::RoomName;

/// A client that looks for its room.
pub(crate) struct Seeker {
    /// Says where it lives.
    pub directory: Arc<Directory>,
    /// What it looks for.
    pub goal: Goal,
    /// The client.
    pub guest: Guest,
    /// Its own request, if that names the room.
    pub request: Option<Arc<UrlRequest>>,
    /// What pays for the tunnel.
    pub purse: Arc<Purse>,
}

/// What a client looks for.
#[derive(Debug, Clone)]
pub(crate) enum Goal {
    /// A room, which is to be opened here if it lives nowhere.
    Claim(RoomName),
    /// The relay of a room, if it has one.
    Look(RoomName),
    /// The relay that holds its place.
    Process(ProcessId),
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
    /// The relay that held its place does not live any more.
    Gone,
}

/// How far the search has come.
enum Reached {
    Place(Place),
    Relay(Arc<Neighbour>, Box<RelayStream>),
    TooFar,
    Gone,
}

/// Claims the room for this relay, unless it lives at another one that answers.
pub(crate) async fn claim(directory: &Arc<Directory>, room: &RoomName) -> Place {
    let claims = async {
        let mut place = directory.claim(room).await;
        loop {
            let Place::At(owner) = &place else { return place };
            let Some(doors) = directory.doors() else { return place };
            if doors.dial(owner).await.is_ok() {
                return place;
            }
            let dead = Arc::clone(owner);
            place = directory.replace(room, &dead).await;
            if matches!(&place, Place::At(again) if again.process == dead.process) {
                sleep(LEASE_LOOK).await;
            }
        }
    };
    timeout(LOCATE_DEADLINE, claims).await.unwrap_or(Place::Unknown(Unknown::OwnerAway))
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
                Ok(Reached::Gone) => return Found::Gone,
                Err(_) if is_elsewhere => return Found::Place(Place::Unknown(Unknown::OwnerAway)),
                Err(_) => return Found::Place(Place::Unknown(Unknown::Away)),
            };
            let Some(doors) = self.directory.doors() else { return Found::Place(Place::Unknown(Unknown::OwnerAway)) };
            let opened = match &self.request {
                Some(request) => doors.open_by_url(*stream, &owner, &self.guest, request, &self.purse).await,
                None => doors.open(*stream, &owner, &self.guest, &self.purse).await,
            };
            match opened {
                Ok(Opened::Tunnel(response, tunnel)) => return Found::Tunnel(response, tunnel),
                Ok(Opened::Refused(answer)) => return Found::Refused(answer),
                // Nothing was handed over: its relay frees the room, or does not know this relay yet.
                Err(Failure::Draining | Failure::Unreachable(_)) if Instant::now() + LEASE_LOOK < until => {
                    // Perhaps this relay is not registered any more.
                    self.directory.relays().miss();
                    sleep(LEASE_LOOK).await;
                }
                Err(failure) => return Found::Failed(failure),
            }
        }
    }

    /// Asks and dials until it is known where the client has to go, and if that is another relay, until that is reached.
    async fn reach(&self, is_elsewhere: &mut bool) -> Reached {
        match &self.goal {
            Goal::Claim(room) => self.reach_room(room, self.directory.claim(room), is_elsewhere).await,
            Goal::Look(room) => self.reach_room(room, self.directory.look(room), is_elsewhere).await,
            Goal::Process(process) => self.reach_process(*process, is_elsewhere).await,
        }
    }

    async fn reach_room(&self, room: &RoomName, asked: Locating, is_elsewhere: &mut bool) -> Reached {
        let mut place = asked.await;
        loop {
            let Place::At(owner) = place else { return Reached::Place(place) };
            *is_elsewhere = true;
            if let Some(reached) = self.dial(&owner).await {
                return reached;
            }
            // Only now: a lease that is late by a moment must not take a room from a relay that is well.
            place = self.directory.replace(room, &owner).await;
            if matches!(&place, Place::At(again) if again.process == owner.process) {
                if self.directory.doors().is_none() {
                    return Reached::Place(place);
                }
                sleep(LEASE_LOOK).await;
            }
        }
    }

    async fn reach_process(&self, process: ProcessId, is_elsewhere: &mut bool) -> Reached {
        let Some(relay) = self.directory.relays().find(process).await else { return Reached::Gone };
        if !relay.is_understood() {
            return Reached::Place(Place::Unknown(Unknown::Apart));
        }
        *is_elsewhere = true;
        loop {
            if let Some(reached) = self.dial(&relay).await {
                return reached;
            }
            if self.directory.is_dead(process).await {
                return Reached::Gone;
            }
        }
    }

    /// Goes to another relay; none if it is not reached.
    async fn dial(&self, relay: &Arc<Neighbour>) -> Option<Reached> {
        if self.guest.hops > HOPS {
            return Some(Reached::TooFar);
        }
        let stream = self.directory.doors()?.dial(relay).await.ok()?;
        Some(Reached::Relay(Arc::clone(relay), Box::new(stream)))
    }
}

impl fmt::Debug for Seeker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seeker").field("goal", &self.goal).finish_non_exhaustive()
    }
}
