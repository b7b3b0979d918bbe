//! The API for operators and for the application's own server: who is there, and what may be done about it. `openapi.json`
//! beside this file describes it, and a test holds it against that description.
//!
//! `rooms.rs` tells, and `commands.rs` changes something. What changes something is a POST of `application/json`: a browser
//! sends none for a page of another site without asking first (Fetch standard, CORS-preflight request), and gets no permission.

mod answer;
mod cluster;
mod commands;
mod live;
mod request;
mod rooms;

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode, header};
use percent_encoding::percent_decode_str;

use answer::Answer;
pub(super) use answer::ApiError;
pub(super) use live::Streams;

use super::slots::Busy;
use crate::http::body::Body;
use crate::http::response::set;
use crate::peer::Hub;
use crate::room::names::RoomName;

/// How the paths of the API begin.
pub(super) const ROOT: &str = "/api/";

/// What is at a path.
#[derive(Debug, PartialEq, Eq)]
enum Resource {
    /// The description of the API.
    Description,
    /// All rooms; a POST makes one ahead of time.
    Rooms,
    /// One room.
    Room(RoomName),
    /// What may be done in it.
    Action(RoomName, Action),
    /// All WebSockets.
    Connections,
    /// The relays of the cluster.
    Relays,
    /// Whether the relay is drained.
    Drain,
    /// What changes, as it does.
    Live,
}

/// What the server may do in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Close,
    Kick,
    Lock,
    Admit,
    Deny,
    Message,
}

/// Answers a request that may be made. The connection is `busy` once the request is there as a whole.
pub(super) async fn answer(
    hub: &Arc<Hub>,
    request: Request<Incoming>,
    busy: &Busy,
    streams: &Streams,
) -> Response<Body> {
    let answer = match Resource::at(request.uri().path()) {
        Ok(resource) => match (respond(hub, &resource, request, busy, streams).await, resource) {
            (Err(error), Resource::Room(room) | Resource::Action(room, _)) if error.is_no_room() => {
                let _busy = busy.begin();
                Err(cluster::not_here(hub, &room).await)
            }
            (answer, _) => answer,
        },
        Err(error) => Err(error),
    };
    answer.map_or_else(ApiError::response, |answer| answer.response(&hub.server))
}

async fn respond(
    hub: &Arc<Hub>,
    resource: &Resource,
    request: Request<Incoming>,
    busy: &Busy,
    streams: &Streams,
) -> Result<Answer, ApiError> {
    let method = request.method().clone();
    if !resource.methods().contains(&method) {
        return Err(ApiError::wrong_method(resource.methods()));
    }
    if method == Method::POST {
        return commands::carry_out(hub, resource, request, busy).await;
    }
    let busy = busy.begin();
    let query = request.uri().query().unwrap_or_default();
    match resource {
        Resource::Description => Ok(Answer::Description),
        Resource::Rooms => rooms::rooms(hub, query),
        Resource::Room(name) => rooms::room(hub, name),
        Resource::Connections => rooms::connections(hub, query),
        Resource::Relays => Ok(cluster::relays(hub)),
        Resource::Drain => Ok(rooms::drain(hub)),
        Resource::Live => streams.open(hub, busy),
        Resource::Action(..) => Err(ApiError::wrong_method(resource.methods())),
    }
}

impl Resource {
    /// What is at this path.
    fn at(path: &str) -> Result<Self, ApiError> {
        let parts: Vec<&str> = path.strip_prefix(ROOT).unwrap_or_default().split('/').collect();
        match *parts.as_slice() {
            ["openapi.json"] => Ok(Self::Description),
            ["rooms"] => Ok(Self::Rooms),
            ["rooms", name] => Ok(Self::Room(room_name(name)?)),
            ["rooms", name, action] => {
                let action = Action::named(action).ok_or_else(ApiError::nothing_here)?;
                Ok(Self::Action(room_name(name)?, action))
            }
            ["connections"] => Ok(Self::Connections),
            ["relays"] => Ok(Self::Relays),
            ["drain"] => Ok(Self::Drain),
            ["live"] => Ok(Self::Live),
            _ => Err(ApiError::nothing_here()),
        }
    }

    fn methods(&self) -> &'static [Method] {
        match self {
            Self::Description | Self::Room(_) | Self::Connections | Self::Relays | Self::Live => {
                &[Method::GET, Method::HEAD]
            }
            Self::Rooms | Self::Drain => &[Method::GET, Method::HEAD, Method::POST],
            Self::Action(..) => &[Method::POST],
        }
    }
}

impl Action {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "close" => Self::Close,
            "kick" => Self::Kick,
            "lock" => Self::Lock,
            "admit" => Self::Admit,
            "deny" => Self::Deny,
            "message" => Self::Message,
            _ => return None,
        })
    }
}

/// The name of a room as a part of a path. There is no room whose name is not valid.
fn room_name(part: &str) -> Result<RoomName, ApiError> {
    let no_room = |why: String| ApiError::new(StatusCode::NOT_FOUND, "room_not_found", why);
    let text =
        percent_decode_str(part).decode_utf8().map_err(|_| no_room("the name of the room is not UTF-8".into()))?;
    RoomName::parse(&text).map_err(|error| no_room(error.to_string()))
}

/// Sets the headers of all answers.
fn secure(response: &mut Response<Body>) {
    set(response, header::CONTENT_TYPE, "application/json");
    set(response, header::CACHE_CONTROL, "no-store");
    set(response, header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'");
    set(response, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_in_a_path_is_the_one_of_that_name_on_the_wire() {
        let room = |name: &str| Resource::Room(RoomName::parse(name).unwrap());
        for (path, name) in [
            ("/api/rooms/team", "team"),
            ("/api/rooms/%20team%20", "team"),
            ("/api/rooms/caf%C3%A9", "caf\u{e9}"),
            ("/api/rooms/cafe%CC%81", "caf\u{e9}"),
            ("/api/rooms/a%2Fb", "a/b"),
            ("/api/rooms/a+b", "a+b"),
            ("/api/rooms/%2E%2e", ".."),
        ] {
            assert_eq!(Resource::at(path).unwrap(), room(name), "{path}");
        }
        let name = RoomName::parse("a b").unwrap();
        assert_eq!(Resource::at("/api/rooms/a%20b/kick").unwrap(), Resource::Action(name, Action::Kick));
        for path in ["/api/", "/api/rooms/", "/api/rooms/%FF", "/api/rooms/%00", "/api/rooms/a/b", "/api/rooms/a/kick/"]
        {
            assert!(Resource::at(path).is_err(), "{path}");
        }
    }
}
