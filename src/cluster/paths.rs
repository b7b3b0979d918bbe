//! What relays ask each other, as paths of HTTP.

use bytes::Bytes;
use http_body_util::Empty;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request};

/// What all paths begin with. It has the version of what relays say to each other.
pub(crate) const PREFIX: &str = "/cluster/1";
/// Whether the relay is alive.
pub(crate) const ALIVE: &str = "/alive";
/// Whether the room lives there whose hash follows.
pub(crate) const ROOMS: &str = "/rooms/";

/// A question whose answer is its status.
pub(crate) fn question(path: &str) -> Request<Empty<Bytes>> {
    request(Method::HEAD, path)
}

/// A request without any headers that say more.
pub(super) fn request(method: Method, path: &str) -> Request<Empty<Bytes>> {
    let mut request = Request::new(Empty::new());
    *request.method_mut() = method;
    // It was part of a URL before, or is made of letters and digits.
    *request.uri_mut() = format!("{PREFIX}{path}").parse().unwrap_or_default();
    request.headers_mut().insert(header::HOST, HeaderValue::from_static("relay"));
    request
}
