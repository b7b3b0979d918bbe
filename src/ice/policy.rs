//! Which ICE candidates clients should use.

use std::str::FromStr;

use serde::Serialize;

/// Which ICE candidates clients should use (RFC 8445); the call page and its SDK obey it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CandidatePolicy {
    /// All that they find.
    #[default]
    All,
    /// Only those of their own networks: they use no STUN or TURN server.
    Lan,
    /// Only those of TURN servers (`iceTransportPolicy` of W3C webrtc-pc is `relay`), so that nobody learns the addresses of
    /// the others.
    Relay,
}

impl CandidatePolicy {
    /// As clients are told: nothing if there is no restriction.
    pub(crate) fn told(self) -> Option<Self> {
        (self != Self::All).then_some(self)
    }
}

impl FromStr for CandidatePolicy {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "all" => Ok(Self::All),
            "lan" => Ok(Self::Lan),
            "relay" => Ok(Self::Relay),
            _ => Err("it must be all, lan or relay"),
        }
    }
}
