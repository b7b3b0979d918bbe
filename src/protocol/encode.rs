//! Encodes the events of a room as the messages of this protocol.

use bytes::Bytes;
use serde::{Serialize, Serializer};

use crate::outbox::frame;
use crate::room::names::{PeerId, PeerName, RoomName};
use crate::room::{ErrorCode, Event, IceServers, LeaveReason, Peer, Refusal, ResumeOffer, Signal, SignalKind, View};

/// Encodes `event` as one text frame.
pub fn encode(event: &Event<'_>) -> Option<Bytes> {
    if let Event::Signal { from, signal } = event {
        return Some(encode_signal(signal, from));
    }
    let message = RelayMessage::from_event(event)?;
    // This cannot fail: every key is a string, every value is one that serde_json can write, and the target is memory.
    Some(frame::text(256, |text| serde_json::to_writer(text, &message).unwrap_or_default()))
}

/// Writes the sender's message with the relay's own `from`.
fn encode_signal(signal: &Signal<'_>, from: &PeerId) -> Bytes {
    frame::text(signal.bytes + from.as_str().len() + 16, |text| {
        for part in [r#"{"type":""#, signal.kind.as_str(), r#"","from":""#, from.as_str(), "\""] {
            text.extend_from_slice(part.as_bytes());
        }
        for (key, value) in &signal.fields {
            for part in [",", key, ":", value] {
                text.extend_from_slice(part.as_bytes());
            }
        }
        text.push(b'}');
    })
}

/// The relay's own messages, as serialized on the wire.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum RelayMessage<'a> {
    #[serde(rename_all = "camelCase")]
    Joined {
        id: &'a PeerId,
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<&'a PeerName>,
        room: &'a RoomName,
        host: &'a PeerId,
        peers: &'a [Peer<'a>],
        ice_servers: &'a IceServers,
        #[serde(skip_serializing_if = "is_false")]
        locked: bool,
        #[serde(skip_serializing_if = "is_false")]
        password: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        resume: Option<Resume<'a>>,
    },
    #[serde(rename_all = "camelCase")]
    Resumed {
        id: &'a PeerId,
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<&'a PeerName>,
        room: &'a RoomName,
        host: &'a PeerId,
        peers: &'a [Peer<'a>],
        ice_servers: &'a IceServers,
        #[serde(skip_serializing_if = "is_false")]
        locked: bool,
        #[serde(skip_serializing_if = "is_false")]
        password: bool,
        received: u64,
        resume: Resume<'a>,
    },
    Taken {
        received: u64,
    },
    PeerAway {
        id: &'a PeerId,
    },
    PeerBack {
        id: &'a PeerId,
    },
    PeerJoined(Peer<'a>),
    PeerLeft {
        id: &'a PeerId,
        reason: LeaveReason,
    },
    Host {
        id: &'a PeerId,
    },
    Room {
        locked: bool,
    },
    Waiting,
    Knock(Peer<'a>),
    KnockGone {
        id: &'a PeerId,
    },
    Error {
        code: ErrorCode,
        message: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        to: Option<&'a str>,
        #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
        reference: Option<&'a str>,
        retryable: bool,
    },
    #[serde(rename_all = "camelCase")]
    Goaway {
        retry_after_ms: u64,
    },
}

/// The `resume` of `joined` and `resumed`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Resume<'a> {
    token: &'a str,
    hold_ms: u64,
}

impl<'a> From<ResumeOffer<'a>> for Resume<'a> {
    fn from(offer: ResumeOffer<'a>) -> Self {
        Self { token: offer.token.reveal(), hold_ms: offer.hold_ms }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_false(value: &bool) -> bool {
    !value
}

impl<'a> RelayMessage<'a> {
    fn from_event(event: &'a Event<'a>) -> Option<Self> {
        Some(match *event {
            Event::Joined { view, resume } => {
                let View { id, name, room, host, peers, ice_servers, is_locked: locked, has_password: password } = view;
                let resume = resume.map(Resume::from);
                Self::Joined { id, name, room, host, peers, ice_servers, locked, password, resume }
            }
            Event::Resumed { view, received, resume } => {
                let View { id, name, room, host, peers, ice_servers, is_locked: locked, has_password: password } = view;
                let resume = resume.into();
                Self::Resumed { id, name, room, host, peers, ice_servers, locked, password, received, resume }
            }
            Event::Taken { received } => Self::Taken { received },
            Event::PeerAway { id } => Self::PeerAway { id },
            Event::PeerBack { id } => Self::PeerBack { id },
            Event::PeerJoined(peer) => Self::PeerJoined(peer),
            Event::PeerLeft { id, reason } => Self::PeerLeft { id, reason },
            Event::Host { id } => Self::Host { id },
            Event::Room { is_locked: locked } => Self::Room { locked },
            Event::Waiting => Self::Waiting,
            Event::Knock(peer) => Self::Knock(peer),
            Event::KnockGone { id } => Self::KnockGone { id },
            Event::Error { refusal: Refusal { code, message, to }, reference } => {
                Self::Error { code: *code, message, to: to.as_deref(), reference, retryable: code.is_retryable() }
            }
            Event::Goaway { retry_after_ms } => Self::Goaway { retry_after_ms },
            Event::Signal { .. } => return None,
        })
    }
}

impl SignalKind {
    /// The `type` on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Offer => "offer",
            Self::Answer => "answer",
            Self::OfferIce => "offer_ice",
            Self::AnswerIce => "answer_ice",
            Self::Message => "message",
        }
    }
}

impl ErrorCode {
    /// The code on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadJson => "bad_json",
            Self::BadMessage => "bad_message",
            Self::UnknownType => "unknown_type",
            Self::NotJoined => "not_joined",
            Self::AlreadyJoined => "already_joined",
            Self::BadRoom => "bad_room",
            Self::BadId => "bad_id",
            Self::RoomFull => "room_full",
            Self::IdTaken => "id_taken",
            Self::PeerNotFound => "peer_not_found",
            Self::PeerBusy => "peer_busy",
            Self::RateLimited => "rate_limited",
            Self::ResumeFailed => "resume_failed",
            Self::Unauthorized => "unauthorized",
            Self::Unavailable => "unavailable",
            Self::WrongPassword => "wrong_password",
            Self::Denied => "denied",
            Self::Kicked => "kicked",
            Self::NotHost => "not_host",
            Self::Internal => "internal",
        }
    }

    /// Whether the same message may succeed later.
    pub fn is_retryable(self) -> bool {
        matches!(self, Self::RoomFull | Self::PeerBusy | Self::RateLimited | Self::Unavailable | Self::Internal)
    }
}

impl Serialize for ErrorCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joined_says_that_a_room_is_locked_or_has_a_password_only_if_that_is_so() {
        let (id, room, ice_servers) = (PeerId::parse("a").unwrap(), RoomName::lobby(), IceServers::default());
        for (is_locked, has_password) in [(false, false), (true, false), (false, true)] {
            let (id, room, peers, ice_servers) = (&id, &room, &[], &ice_servers);
            let joined = Event::Joined {
                view: View { id, name: None, room, host: id, peers, ice_servers, is_locked, has_password },
                resume: None,
            };
            let frame = encode(&joined).unwrap();
            let text = String::from_utf8_lossy(&frame);
            assert_eq!(text.contains(r#""locked":true"#), is_locked, "{text}");
            assert_eq!(text.contains(r#""password":true"#), has_password, "{text}");
            assert!(!text.contains("false") && !text.contains("null"), "{text}");
        }
    }
}
