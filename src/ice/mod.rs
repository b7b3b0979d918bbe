//! The STUN and TURN servers that clients are told of.

mod check;

use std::sync::Arc;

use serde::Serialize;

/// The STUN and TURN servers that a client may use, as `RTCConfiguration.iceServers` takes them. They are parsed from JSON,
/// [64 KiB](crate::limits::ICE_SERVERS_BYTES) at most, and what `RTCPeerConnection` refuses (W3C webrtc-pc, RFC 7064, RFC
/// 7065) is an error.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct IceServers(pub(crate) Arc<Vec<serde_json::Map<String, serde_json::Value>>>);
