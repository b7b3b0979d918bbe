//! What the API answers: JSON, also where it refuses.

use std::borrow::Cow;
use std::net::SocketAddr;

use hyper::header::{self, HeaderName};
use hyper::{Method, Response, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;

use super::{ROOT, secure};
use crate::http::body::Body;
use crate::http::response::set;
use crate::outbox::Sender;
use crate::room::names::RoomName;
use crate::room::{ErrorCode, Refusal, ServerError};

/// The code for a room that is not there.
const NO_ROOM: &str = "room_not_found";

/// An answer of the API.
#[derive(Debug)]
pub(super) enum Answer {
    /// This JSON.
    Json(String),
    /// The room is there.
    Created(RoomName),
    /// It is done, and there is nothing to say.
    Done,
    /// The description of the API.
    Description,
    /// Events, as they come.
    Events(Body),
}

impl Answer {
    /// What `value` says.
    pub(super) fn of<T: Serialize>(value: &T) -> Self {
        // This cannot fail: every key is a string, and the target is memory.
        Self::Json(serde_json::to_string(value).unwrap_or_default())
    }

    /// The response, whose memory is charged to `server` until it is sent.
    pub(super) fn response(self, server: &Sender) -> Response<Body> {
        let mut response = match self {
            Self::Json(text) => json(StatusCode::OK, Body::of_text(text)),
            Self::Created(name) => {
                let place = format!("{ROOT}rooms/{}", utf8_percent_encode(name.as_str(), NON_ALPHANUMERIC));
                let body = serde_json::json!({ "room": name }).to_string();
                let mut response = json(StatusCode::CREATED, Body::of_text(body));
                set(&mut response, header::LOCATION, &place);
                response
            }
            Self::Done => {
                let mut response = json(StatusCode::NO_CONTENT, Body::default());
                response.headers_mut().remove(header::CONTENT_TYPE);
                response
            }
            Self::Events(events) => {
                let mut response = json(StatusCode::OK, events);
                set(&mut response, header::CONTENT_TYPE, "text/event-stream");
                // nginx would keep them until it has many.
                set(&mut response, HeaderName::from_static("x-accel-buffering"), "no");
                response
            }
            Self::Description => json(StatusCode::OK, Body::from(include_str!("openapi.json"))),
        };
        if response.body_mut().charge(server.purse()) { response } else { ApiError::no_memory().response() }
    }
}

/// Why a request is refused.
#[derive(Debug)]
pub(in crate::admin) struct ApiError {
    status: StatusCode,
    /// The reason for programs.
    code: &'static str,
    /// The reason as a sentence.
    message: Cow<'static, str>,
    /// The methods that there are, if it has another one.
    allow: Option<String>,
    /// Where the relay is that has the room.
    relay: Option<SocketAddr>,
}

impl ApiError {
    /// An error with this status, a code for programs, and a sentence for people.
    pub(in crate::admin) fn new(status: StatusCode, code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self { status, code, message: message.into(), allow: None, relay: None }
    }

    /// There is nothing at this path.
    pub(super) fn nothing_here() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "there is nothing here: /api/openapi.json says what there is")
    }

    /// There are only these methods.
    pub(super) fn wrong_method(allowed: &[Method]) -> Self {
        let allow = allowed.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
        let message = format!("here are the methods {allow}");
        let error = Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message);
        Self { allow: Some(allow), ..error }
    }

    /// There is no such room.
    pub(super) fn no_room() -> Self {
        Self::new(StatusCode::NOT_FOUND, NO_ROOM, "there is no room with this name")
    }

    /// Another relay of the cluster has the room.
    #[cfg(feature = "cluster")]
    pub(super) fn elsewhere(relay: SocketAddr) -> Self {
        let message = format!("another relay has the room: ask the one that others reach at {relay}");
        let error = Self::new(StatusCode::MISDIRECTED_REQUEST, "room_elsewhere", message);
        Self { relay: Some(relay), ..error }
    }

    /// Whether there is no such room, as far as this relay knows.
    pub(super) fn is_no_room(&self) -> bool {
        self.code == NO_ROOM
    }

    /// There is no memory for it.
    pub(super) fn no_memory() -> Self {
        let message = "as much memory is in use as --memory allows: try again in a moment";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message)
    }

    /// It is what the description says, but not valid all the same.
    pub(super) fn not_valid(code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, message)
    }

    /// What the client is told.
    pub(in crate::admin) fn response(self) -> Response<Body> {
        let mut body = serde_json::json!({ "code": self.code, "message": self.message });
        if let (Some(relay), Some(fields)) = (self.relay, body.as_object_mut()) {
            fields.insert("relay".into(), relay.to_string().into());
        }
        let mut response = json(self.status, Body::from(body.to_string()));
        if let Some(allow) = self.allow {
            set(&mut response, header::ALLOW, &allow);
        }
        response
    }
}

impl From<ServerError> for ApiError {
    fn from(error: ServerError) -> Self {
        match error {
            ServerError::NoRoom => Self::no_room(),
            ServerError::RoomExists => {
                Self::new(StatusCode::CONFLICT, "room_exists", "there is a room with this name already")
            }
            ServerError::TooManyRooms => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "too_many_rooms",
                "as many rooms as may be are made ahead of time: close one, or wait until the time of one is over",
            ),
            ServerError::Refused(refusal) => refusal.into(),
        }
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let status = match refusal.code {
            // The room of the path is there.
            ErrorCode::PeerNotFound | ErrorCode::RoomFull | ErrorCode::IdTaken => StatusCode::CONFLICT,
            ErrorCode::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            ErrorCode::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        };
        Self::new(status, refusal.code.as_str(), refusal.message)
    }
}

fn json(status: StatusCode, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    secure(&mut response);
    response
}
