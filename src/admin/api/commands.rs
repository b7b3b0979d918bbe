//! What the API changes. Each change is a line of the log, without what a message says and without passwords.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::{Request, StatusCode};
use serde::Deserialize;
use serde_json::json;
use tracing::info;

use super::super::slots::Busy;
#[cfg(feature = "cluster")]
use super::cluster;
use super::request::{parse, read_body, whole_number, whole_number_or_none};
use super::rooms;
use super::{Action, Answer, ApiError, Resource};
#[cfg(feature = "cluster")]
use crate::cluster::relays::{Place, Unknown};
#[cfg(feature = "cluster")]
use crate::cluster::way;
use crate::limits::{
    API_BODY_BYTES, BOOKING_MAX, KICK_MESSAGE_BYTES, PASSWORD_BYTES, ROOM_CAPACITY_MAX, ROOM_CAPACITY_MIN,
};
use crate::peer::Hub;
use crate::protocol::parse_server_message;
#[cfg(feature = "cluster")]
use crate::room::Ownership;
use crate::room::names::{LOBBY, RoomName};
use crate::room::{HostCommand, NewRoom};
use crate::secret::Secret;

/// A room that is to be made ahead of time.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Create {
    room: String,
    password: Option<String>,
    #[serde(default, deserialize_with = "whole_number_or_none")]
    capacity: Option<u64>,
    #[serde(default)]
    locked: bool,
    /// In seconds.
    #[serde(deserialize_with = "whole_number")]
    expires_in: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Close {
    message: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Kick {
    to: String,
    message: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Lock {
    locked: bool,
}

/// One who knocks.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Knocker {
    to: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Drain {
    draining: bool,
}

/// Does what a POST asks for.
pub(super) async fn carry_out(
    hub: &Arc<Hub>,
    resource: &Resource,
    request: Request<Incoming>,
    busy: &Busy,
) -> Result<Answer, ApiError> {
    let is_message = matches!(resource, Resource::Action(_, Action::Message));
    let most = if is_message { hub.max_message_bytes } else { API_BODY_BYTES };
    let (body, _memory) = read_body(request, most, hub.server.purse()).await?;
    let _busy = busy.begin();
    match resource {
        Resource::Rooms => create(hub, parse(&body)?).await,
        Resource::Drain => Ok(drain(hub, &parse(&body)?)),
        Resource::Action(room, Action::Close) => close(hub, room, &parse(&body)?),
        Resource::Action(room, Action::Message) => message(hub, room, &body),
        Resource::Action(room, action) => command(hub, room, *action, &body),
        Resource::Description | Resource::Room(_) | Resource::Connections | Resource::Relays | Resource::Live => {
            Err(ApiError::wrong_method(resource.methods()))
        }
    }
}

async fn create(hub: &Hub, create: Create) -> Result<Answer, ApiError> {
    let Create { room, password, capacity, locked, expires_in } = create;
    let out_of_range = |message: String| Err(ApiError::new(StatusCode::BAD_REQUEST, "bad_message", message));
    if !(1..=BOOKING_MAX.as_secs()).contains(&expires_in) {
        return out_of_range(format!("\"expiresIn\" is 1 to {} seconds", BOOKING_MAX.as_secs()));
    }
    let capacities = ROOM_CAPACITY_MIN..=ROOM_CAPACITY_MAX;
    let capacity = capacity.map(|capacity| usize::try_from(capacity).unwrap_or(usize::MAX));
    if capacity.is_some_and(|capacity| !capacities.contains(&capacity)) {
        return out_of_range(format!("\"capacity\" is {ROOM_CAPACITY_MIN} to {ROOM_CAPACITY_MAX}"));
    }
    let name = RoomName::parse(&room).map_err(|error| ApiError::not_valid("bad_room", error.to_string()))?;
    if name.as_str() == LOBBY {
        let message = "everybody who names no room meets in the lobby: choose another name";
        return Err(ApiError::not_valid("bad_room", message));
    }
    check_length("password", password.as_deref(), PASSWORD_BYTES)?;
    let password = password.filter(|password| !password.is_empty()).map(Secret::new);
    let has_password = password.is_some();
    let lasts = Duration::from_secs(expires_in);
    #[cfg(feature = "cluster")]
    let _ownership = claim(hub, &name).await?;
    hub.rooms.book(&hub.server, NewRoom { name: name.clone(), password, capacity, is_locked: locked, lasts })?;
    info!(action = "create", locked, password = has_password, ?capacity, expires_in, room = ?name.as_str(), "by the API");
    Ok(Answer::Created(name))
}

/// Claims the room, so that it is made on this relay and on no other one.
#[cfg(feature = "cluster")]
async fn claim(hub: &Hub, name: &RoomName) -> Result<Option<Arc<Ownership>>, ApiError> {
    let Some(directory) = &hub.directory else { return Ok(None) };
    match way::claim(directory, name).await {
        Place::Here(ownership) => Ok(Some(ownership)),
        Place::At(owner) => Err(cluster::elsewhere(&owner)),
        Place::Nowhere => Err(cluster::unknown(Unknown::Away)),
        Place::Unknown(why) => Err(cluster::unknown(why)),
    }
}

fn drain(hub: &Hub, drain: &Drain) -> Answer {
    hub.rooms.drain(drain.draining);
    info!(action = "drain", draining = drain.draining, "by the API");
    rooms::drain(hub)
}

fn close(hub: &Hub, room: &RoomName, close: &Close) -> Result<Answer, ApiError> {
    check_length("message", close.message.as_deref(), KICK_MESSAGE_BYTES)?;
    let members = hub.rooms.close(room, close.message.as_deref())?;
    info!(action = "close", members, room = ?room.as_str(), "by the API");
    Ok(Answer::Done)
}

fn message(hub: &Hub, room: &RoomName, body: &[u8]) -> Result<Answer, ApiError> {
    let not_text = |_| ApiError::new(StatusCode::BAD_REQUEST, "bad_json", "the body is not UTF-8");
    let text = std::str::from_utf8(body).map_err(not_text)?;
    let (to, data) = parse_server_message(text)?;
    let (missed, receivers) = hub.rooms.tell(&hub.server, room, to.as_deref(), data)?;
    hub.metrics.hot().count_relayed(receivers, body.len());
    let to = to.as_deref().unwrap_or("all");
    info!(action = "message", to, receivers, missed = missed.len(), room = ?room.as_str(), "by the API");
    Ok(Answer::of(&json!({ "missed": missed })))
}

/// What a host may do as well.
fn command(hub: &Hub, room: &RoomName, action: Action, body: &[u8]) -> Result<Answer, ApiError> {
    match action {
        Action::Kick => {
            let Kick { to, message } = parse(body)?;
            check_length("message", message.as_deref(), KICK_MESSAGE_BYTES)?;
            let kick = HostCommand::Kick { to: to.as_str().into(), message: message.map(Into::into) };
            hub.rooms.command(&hub.server, room, &kick)?;
            info!(action = "kick", to, room = ?room.as_str(), "by the API");
        }
        Action::Admit => {
            let Knocker { to } = parse(body)?;
            hub.rooms.command(&hub.server, room, &HostCommand::Admit { to: to.as_str().into() })?;
            info!(action = "admit", to, room = ?room.as_str(), "by the API");
        }
        Action::Deny => {
            let Knocker { to } = parse(body)?;
            hub.rooms.command(&hub.server, room, &HostCommand::Deny { to: to.as_str().into() })?;
            info!(action = "deny", to, room = ?room.as_str(), "by the API");
        }
        Action::Lock => {
            let Lock { locked: is_locked } = parse(body)?;
            hub.rooms.command(&hub.server, room, &HostCommand::Lock { is_locked })?;
            info!(action = "lock", locked = is_locked, room = ?room.as_str(), "by the API");
        }
        Action::Close | Action::Message => return Err(ApiError::nothing_here()),
    }
    Ok(Answer::Done)
}

/// Checks that a text has at most `most` bytes of UTF-8.
fn check_length(field: &str, text: Option<&str>, most: usize) -> Result<(), ApiError> {
    match text {
        Some(text) if text.len() > most => {
            Err(ApiError::not_valid("bad_message", format!("the field {field:?} has at most {most} bytes of UTF-8")))
        }
        _ => Ok(()),
    }
}
