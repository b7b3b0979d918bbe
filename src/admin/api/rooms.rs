//! What the API tells: rooms, who is in them, and connections.

use std::net::IpAddr;

use serde::Serialize;

use super::request::Page;
use super::{Answer, ApiError};
use crate::peer::Hub;
use crate::room::names::RoomName;
use crate::room::{Overview, Place};
#[cfg(feature = "wires")]
use crate::wire::Wire;

#[derive(Debug, Serialize)]
struct RoomPage {
    rooms: Vec<Overview>,
    /// Where the next page begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<RoomName>,
}

#[derive(Debug, Serialize)]
struct ConnectionPage {
    connections: Vec<Connection>,
    /// Where the next page begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<u64>,
}

/// A WebSocket.
#[derive(Debug, Serialize)]
struct Connection {
    /// Its number, as the log has it.
    connection: u64,
    /// The address of its client, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<IpAddr>,
    /// The wire that its client speaks; none if that is the relay's own.
    #[cfg(feature = "wires")]
    #[serde(skip_serializing_if = "Option::is_none")]
    wire: Option<&'static str>,
    /// Where its client is, if it is in a room.
    #[serde(flatten)]
    place: Option<Place>,
    /// How long it has been open.
    seconds: u64,
}

#[derive(Debug, Serialize)]
struct Drain {
    draining: bool,
}

/// A page of rooms, by their names.
pub(super) fn rooms(hub: &Hub, query: &str) -> Result<Answer, ApiError> {
    let page = Page::of(query)?;
    let (rooms, next) = hub.rooms.overview(page.after.as_deref().unwrap_or_default(), page.limit);
    Ok(Answer::of(&RoomPage { rooms, next }))
}

/// One room, and who is there.
pub(super) fn room(hub: &Hub, name: &RoomName) -> Result<Answer, ApiError> {
    hub.rooms.view(name).map(|view| Answer::of(&view)).ok_or_else(ApiError::no_room)
}

/// A page of connections, by their numbers.
pub(super) fn connections(hub: &Hub, query: &str) -> Result<Answer, ApiError> {
    let page = Page::of(query)?;
    let (outboxes, has_more) = hub.drain.websockets_after(page.after_number()?, page.limit);
    let mut places = hub.rooms.places(outboxes.iter().map(|outbox| outbox.id().number()).collect());
    let connections = outboxes.iter().map(|outbox| Connection {
        connection: outbox.id().number(),
        address: outbox.address(),
        #[cfg(feature = "wires")]
        wire: outbox.wire().map(Wire::name),
        place: places.remove(&outbox.id().number()),
        seconds: outbox.opened().elapsed().as_secs(),
    });
    let connections: Vec<_> = connections.collect();
    let next = connections.last().filter(|_| has_more).map(|last| last.connection);
    Ok(Answer::of(&ConnectionPage { connections, next }))
}

/// Whether the relay is drained.
pub(super) fn drain(hub: &Hub) -> Answer {
    Answer::of(&Drain { draining: hub.rooms.is_draining() })
}
