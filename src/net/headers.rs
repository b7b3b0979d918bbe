//! The headers by which proxies and other relays tell of their clients.

use hyper::header::HeaderName;

/// The addresses of a proxy's client, and of the proxies before it.
pub(crate) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// The host of the client's request.
pub(crate) const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// The scheme of the client's request.
pub(crate) const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// By how many relays a client has come to the one on which its room lives. Only relays of the cluster are believed.
pub(crate) const RELAY_HOPS: HeaderName = HeaderName::from_static("relay-hops");
/// How many milliseconds ago a client asked its door for its place. Only relays of the cluster are believed.
pub(crate) const RELAY_WAITED: HeaderName = HeaderName::from_static("relay-waited");
