//! How the servers that are compared are spoken to; independent of sockets and of what is measured.

mod blind;
mod matchbox;
mod peerjs;
mod raw;
mod relay;
mod socketio;
mod y_webrtc;

use std::io::Write;

use clap::ValueEnum;

use crate::frame::Framing;
use crate::message::Kind;

/// A member of a room, by its number among all and its place in its room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Member {
    /// Counts all members from 0.
    pub(crate) index: usize,
    /// Counts all rooms from 0.
    pub(crate) room: usize,
    /// Counts the members of a room from 0.
    pub(crate) slot: usize,
}

/// What a server's message means.
#[derive(Debug)]
pub(crate) enum Heard {
    /// The member is in its room now.
    Joined,
    /// A member of the room says something.
    Signal,
    /// A message was not carried out.
    Refused {
        /// Why.
        reason: Refusal,
        /// The number of the member that did not get it, where only one did not.
        to: Option<usize>,
    },
    /// This member is no longer in the room.
    Left(usize),
    /// The server waits for this.
    Answer(String),
    /// The member cannot join now, and shall ask again in a moment.
    Unavailable,
    /// Nothing that matters here.
    Nothing,
    /// The server does not understand the tool, or the tool the server.
    Broken(String),
}

/// Why a message was not carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Its addressee does not read as fast as is sent to it; to be sent again.
    Busy,
    /// Its sender sends too much at once; to be sent again.
    RateLimited,
    /// There is nobody to get it.
    NotFound,
}

/// The way that one kind of server is spoken to.
pub(crate) trait Dialect {
    /// How messages are told apart.
    fn framing(&self) -> Framing {
        Framing::WebSocket
    }

    /// The path and the query that are dialled.
    fn path(&self, member: Member) -> String;

    /// What a member says first, once its connection is open.
    fn greet(&self, member: Member) -> Option<String>;

    /// Whether nothing is heard when a member is in its room.
    fn joins_silently(&self) -> bool {
        false
    }

    /// Tells what the text that `member` got means.
    fn hear(&mut self, member: Member, text: &[u8]) -> Heard;

    /// Begins a signal to one member, or to everyone else in the room: all before its body. `false` where it cannot be said.
    fn begin(&self, from: Member, to: Option<Member>, kind: Kind, text: &mut Vec<u8>) -> bool;

    /// Ends what [`begin`](Self::begin) began, after its stamp.
    fn end(&self) -> &'static [u8] {
        b"}"
    }

    /// What a member says before it hangs up.
    fn leave(&self) -> Option<&'static str> {
        None
    }
}

/// The servers that the tool can speak to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DialectName {
    /// This project's relay.
    Relay,
    /// The tool's own forwarder of plain TCP.
    Raw,
    /// A WebSocket server that forwards each frame to the rest of the room in its URL.
    Blind,
    /// Socket.IO with the events `join`, `offer`, `answer` and `candidate`, over WebSocket from the start.
    Socketio,
    /// peerjs-server, and the relay's wire of that name.
    Peerjs,
    /// matchbox_server, and the relay's wire of that name below `/matchbox`.
    Matchbox,
    /// y-webrtc's server, and the relay's wire of that name.
    YWebrtc,
}

impl DialectName {
    /// The dialect for `members` members.
    pub(crate) fn dialect(self, members: usize) -> Box<dyn Dialect> {
        match self {
            Self::Relay => Box::new(relay::Relay),
            Self::Raw => Box::new(raw::Raw),
            Self::Blind => Box::new(blind::Blind),
            Self::Socketio => Box::new(socketio::SocketIo),
            Self::Peerjs => Box::new(peerjs::PeerJs),
            Self::Matchbox => Box::new(matchbox::Matchbox::new(members)),
            Self::YWebrtc => Box::new(y_webrtc::YWebrtc),
        }
    }
}

/// Appends formatted text.
fn push(text: &mut Vec<u8>, arguments: std::fmt::Arguments<'_>) {
    // Writing to memory cannot fail.
    let _ = text.write_fmt(arguments);
}
