//! What the wires of other libraries answer to a plain GET.

use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};

use super::body::Body;
use super::path;
use super::response::{self, text};
use super::site::Site;
use super::upgrade::wire_is_off;
use crate::net::info::ConnectionInfo;
use crate::room::names::random_uuid;
use crate::wire::Wire;

/// The answer to a GET of `/name`; none if that is the path of no wire.
pub(super) fn answer(
    site: &Site,
    connection: ConnectionInfo,
    headers: &HeaderMap,
    name: &str,
) -> Option<Response<Body>> {
    if let Ok(wire) = name.parse() {
        // y-webrtc's own server says the same.
        return Some(if site.wires.has(wire) { text(StatusCode::OK, "okay") } else { wire_is_off(wire) });
    }
    let (key, what) = name.split_once('/')?;
    if !matches!(what, "id" | "peers") {
        return None;
    }
    if !site.wires.has(Wire::PeerJs) {
        return (key == path::PEERJS).then(|| wire_is_off(Wire::PeerJs));
    }
    let checked = site.origins.check(headers, &site.client(headers, connection));
    let is_allowed = checked.is_ok();
    let mut response = match checked {
        // A list of all ids is a list of all doors: nobody gets it, whoever asks.
        _ if what == "peers" => text(StatusCode::UNAUTHORIZED, "this relay tells nobody who is there"),
        Ok(()) => id(),
        Err(error) => text(StatusCode::FORBIDDEN, &error.to_string()),
    };
    match headers.get(header::ORIGIN) {
        Some(origin) if is_allowed => response::allow_cross_origin(&mut response, origin),
        _ => {
            response.headers_mut().append(header::VARY, HeaderValue::from_static("Origin"));
        }
    }
    Some(response)
}

/// An id for a client of PeerJS that has none, and nothing else. Whatever the key is, it is given: who connects with it is then
/// told what is wrong with that.
fn id() -> Response<Body> {
    let Ok(id) = random_uuid() else {
        return text(StatusCode::SERVICE_UNAVAILABLE, "the system has no randomness for an id");
    };
    let mut response = text(StatusCode::OK, "");
    *response.body_mut() = Body::from(id);
    response
}
