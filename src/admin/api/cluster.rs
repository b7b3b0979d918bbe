//! What the API tells of the other relays, if this one is one of several: which there are, and at which one a room lives.

use serde::Serialize;

use super::{Answer, ApiError};
#[cfg(feature = "cluster")]
use crate::cluster::relays::{Neighbour, Place, Unknown};
use crate::peer::Hub;
use crate::room::names::RoomName;
#[cfg(feature = "cluster")]
use crate::room::{ErrorCode, Refusal};

#[derive(Debug, Default, Serialize)]
struct RelayList {
    relays: Vec<RelayEntry>,
}

/// A relay of the cluster.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RelayEntry {
    /// Its process.
    process: String,
    /// Where other relays reach it.
    address: String,
    version: String,
    /// Whether it is the one that answers.
    own: bool,
    /// Whether it lives.
    alive: bool,
    /// Whether its settings for rooms are those of the one that answers.
    same_settings: bool,
}

/// All relays, this one first; none if it is not one of several.
pub(super) fn relays(hub: &Hub) -> Answer {
    Answer::of(&list(hub))
}

#[cfg(feature = "cluster")]
fn list(hub: &Hub) -> RelayList {
    let Some(directory) = &hub.directory else { return RelayList::default() };
    let (own, alive, mut others) = (directory.own(), directory.relays().alive(), directory.relays().all());
    others.sort_by_key(|relay| relay.process);
    let entry = |relay: &Neighbour| RelayEntry {
        process: relay.process.to_string(),
        address: relay.address.to_string(),
        version: relay.version.clone(),
        own: relay.process == own.process,
        alive: relay.process == own.process || alive.contains(&relay.process),
        same_settings: relay.settings == own.settings,
    };
    RelayList { relays: std::iter::once(own).chain(others.iter().map(|relay| &**relay)).map(entry).collect() }
}

#[cfg(not(feature = "cluster"))]
fn list(_: &Hub) -> RelayList {
    RelayList::default()
}

/// What to say of a room that is not here: at which relay it lives, if it does at another one.
#[cfg(feature = "cluster")]
pub(super) async fn not_here(hub: &Hub, room: &RoomName) -> ApiError {
    let Some(directory) = &hub.directory else { return ApiError::no_room() };
    match directory.look(room).await {
        Place::At(owner) => elsewhere(&owner),
        Place::Here(_) | Place::Nowhere => ApiError::no_room(),
        Place::Unknown(why) => unknown(why),
    }
}

/// What to say of a room that is not here.
#[cfg(not(feature = "cluster"))]
pub(super) async fn not_here(_: &Hub, _: &RoomName) -> ApiError {
    ApiError::no_room()
}

/// The room lives at this other relay.
#[cfg(feature = "cluster")]
pub(super) fn elsewhere(owner: &Neighbour) -> ApiError {
    ApiError::elsewhere(owner.address)
}

/// Nobody can say where the room lives.
#[cfg(feature = "cluster")]
pub(super) fn unknown(why: Unknown) -> ApiError {
    Refusal::new(ErrorCode::Unavailable, why.to_string()).into()
}
