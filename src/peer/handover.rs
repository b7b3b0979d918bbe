//! What is left of a client whose room lives at another relay, which serves it from then on.

use hyper::Response;

#[cfg(feature = "cluster")]
pub(crate) use crate::cluster::door::{Tunnel, UrlRequest};

/// There is no way to another relay.
#[cfg(not(feature = "cluster"))]
#[derive(Debug)]
pub(crate) enum Tunnel {}

/// No request goes to another relay.
#[cfg(not(feature = "cluster"))]
#[derive(Debug)]
pub(crate) enum UrlRequest {}

/// What is left of a session that was handed over.
#[derive(Debug)]
pub(crate) struct Handover {
    /// The way to the relay of the room.
    pub tunnel: Box<Tunnel>,
    /// What goes there before what the client sends.
    pub first: Vec<u8>,
    /// The response to the upgrade, if the client's URL names the room.
    pub response: Option<Response<()>>,
    /// Whether the client asks for a place that another connection of it may have by now.
    pub is_resume: bool,
}
