//! The messages of the protocol, parsed and encoded. This page is the reference of the protocol.
//!
//! [`ADDRESS_BYTES`]: crate::limits::ADDRESS_BYTES
//! [`ADDRESS_CONNECTIONS`]: crate::limits::ADDRESS_CONNECTIONS
//! [`ADDRESS_JOINS`]: crate::limits::ADDRESS_JOINS
//! [`ADDRESS_MEMORY_MIB`]: crate::limits::ADDRESS_MEMORY_MIB
//! [`ADDRESS_SHARES`]: crate::limits::ADDRESS_SHARES
//! [`ADDRESS_UPGRADES`]: crate::limits::ADDRESS_UPGRADES
//! [`ANNOUNCEMENTS`]: crate::limits::ANNOUNCEMENTS
//! [`AWAY_AFTER`]: crate::limits::AWAY_AFTER
//! [authorizer]: crate::Authorizer
//! [`EMPTY_FRAMES`]: crate::limits::EMPTY_FRAMES
//! [`FAILED_JOIN`]: crate::limits::FAILED_JOIN
//! [`KNOCK_DEADLINE`]: crate::limits::KNOCK_DEADLINE
//! [`KNOCKS`]: crate::limits::KNOCKS
//! [`LOBBY_IDLE`]: crate::limits::LOBBY_IDLE
//! [`MESSAGE_BYTES`]: crate::limits::MESSAGE_BYTES
//! [`names`]: names
//! [`PAUSE`]: crate::limits::PAUSE
//! [`RESUME_AFTER_EXP_SECONDS`]: crate::limits::RESUME_AFTER_EXP_SECONDS
//! [`RESUME_WAIT`]: crate::limits::RESUME_WAIT
//! [`SHARE_BYTES`]: crate::limits::SHARE_BYTES
//! [`SHARE_MESSAGES`]: crate::limits::SHARE_MESSAGES
//! [`STALL`]: crate::limits::STALL
//! [`TOKEN_BYTES`]: crate::limits::TOKEN_BYTES
//! [`UNCONFIRMED`]: crate::limits::UNCONFIRMED
//! [`WRONG_PASSWORDS`]: crate::limits::WRONG_PASSWORDS
//!
// The page defines the same links again at its end, as paths of files. Markdown takes the first definition: here these.
#![doc = include_str!("reference.md")]

mod encode;
mod parse;
pub(crate) mod scan;

use std::borrow::Cow;
use std::sync::Arc;

pub use encode::encode;
#[cfg(feature = "admin")]
pub(crate) use parse::parse_server_message;
pub use parse::{Parsed, parse};

pub use crate::ice::{CandidatePolicy, ClientsServers, IceServers, StunUrl, TurnUrl};
use crate::metrics;
pub use crate::metrics::CallReport;
pub use crate::room::names;
use crate::room::names::{PeerId, PeerName, RoomName};
pub use crate::room::{
    ErrorCode, Event, HostCommand, LeaveReason, NoticeCode, Peer, Refusal, ResumeOffer, Signal, SignalKind, View,
};
use crate::secret::Secret;

/// A valid message from a client.
#[derive(Debug)]
pub enum Command<'a> {
    /// Enter a room, or why this message is invalid.
    Join(Result<Join, Refusal>),
    /// Get a place back whose connection is lost, or why this message is invalid.
    Resume(Result<Resume, Refusal>),
    /// Leave the room.
    Leave,
    /// Be told of the STUN and TURN servers again, with credentials of now.
    IceServers,
    /// Relay a signal to one peer or to all others.
    Signal(Signal<'a>),
    /// Count what has become of a call.
    Report {
        /// What became of it.
        report: CallReport,
        /// The peer that the call is with, as it was sent.
        to: Option<Cow<'a, str>>,
    },
    /// What only the host of the room may do.
    Host(HostCommand<'a>),
}

/// The types of the messages that clients send, and last what is no message.
pub(crate) const MESSAGE_TYPES: [&str; metrics::MESSAGE_TYPES] = [
    "join",
    "resume",
    "leave",
    "ice_servers",
    "offer",
    "answer",
    "offer_ice",
    "answer_ice",
    "message",
    "kick",
    "lock",
    "admit",
    "deny",
    "make_host",
    "report",
    "invalid",
];

impl Parsed<'_> {
    /// Where its type stands in [`MESSAGE_TYPES`].
    pub(crate) fn type_number(&self) -> usize {
        match &self.message {
            Ok(Command::Join(_)) => 0,
            Ok(Command::Resume(_)) => 1,
            Ok(Command::Leave) => 2,
            Ok(Command::IceServers) => 3,
            Ok(Command::Signal(signal)) => 4 + signal.kind as usize,
            Ok(Command::Host(command)) => match command {
                HostCommand::Kick { .. } => 9,
                HostCommand::Lock { .. } => 10,
                HostCommand::Admit { .. } => 11,
                HostCommand::Deny { .. } => 12,
                HostCommand::MakeHost { .. } => 13,
            },
            Ok(Command::Report { .. }) => 14,
            Err(_) => 15,
        }
    }
}

/// A request to enter a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Join {
    /// The room to enter.
    pub room: RoomName,
    /// Its name as the client wrote it, if that is another spelling; the answer repeats it, because clients compare it.
    pub spelling: Option<Arc<str>>,
    /// The client's display name.
    pub name: Option<PeerName>,
    /// The id that the client chose; without it the relay makes one.
    pub id: Option<PeerId>,
    /// The token that the client shows.
    pub token: Option<Secret>,
    /// The password of the room.
    pub password: Option<Secret>,
    /// Whether the client wants to come back to its place if its connection is lost.
    pub resume: bool,
}

/// A request to get a place back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resume {
    /// The token of the place.
    pub token: Secret,
    /// The number of the last message that the client has received.
    pub received: u64,
}
