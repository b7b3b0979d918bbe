//! Why a connection ended, what its client and its room are told, and the lingering close.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::decoder::Violation;
use crate::limits::CLOSE_DEADLINE;
use crate::metrics;
use crate::outbox::{CloseRequest, Outbox, frame};
use crate::room::LeaveReason;

/// The close code of a connection whose place another one took: the client must not take it back.
const TAKEN_OVER: u16 = 4001;

/// Why a connection ended.
#[derive(Debug)]
#[non_exhaustive]
pub(crate) enum Disconnect {
    /// The client sent a close frame, with this code and reason if any.
    Closed(Option<(CloseCode, String)>),
    /// The client ended the stream without a closing handshake.
    HungUp,
    /// The stream failed.
    Lost(io::Error),
    /// The client's frames break RFC 6455; how.
    BadFrame(&'static str),
    /// The client did not respond to a ping.
    Timeout {
        /// When it was last heard.
        heard: Instant,
    },
    /// The client's socket accepted nothing for too long.
    Slow,
    /// The client joined no room in time.
    NoJoin,
    /// The client could not join the room of `?room=`.
    Refused {
        /// Whether it may try again.
        retryable: bool,
    },
    /// The client sent a binary message.
    Binary,
    /// The client sent a text that is not UTF-8.
    BadUtf8,
    /// The client sent a message that is too large.
    TooLarge,
    /// The client went on sending although its messages were refused with `rate_limited`.
    Flood,
    /// The client sent too many frames that carry nothing.
    EmptyFrames,
    /// The client did not finish a message in time.
    Unfinished,
    /// There was no memory for what the client sends, for too long.
    NoMemory,
    /// The relay shuts down, or the client gave way to another one.
    Told(CloseRequest),
    /// The client's room lives at another relay, which serves it from now on. The connection goes on.
    HandedOver,
}

impl Disconnect {
    /// The kinds of ends, for metrics.
    pub(crate) const KINDS: [&str; metrics::CLOSE_REASONS] = [
        "closed",
        "hung_up",
        "lost",
        "protocol",
        "timeout",
        "slow",
        "no_join",
        "refused",
        "too_large",
        "flood",
        "unfinished",
        "no_memory",
        "shutdown",
        "gave_way",
        "taken_over",
        "removed",
        "moved",
    ];

    /// Where the kind of this one stands in [`KINDS`](Self::KINDS).
    pub(crate) fn kind(&self) -> usize {
        match self {
            Self::Closed(_) | Self::HandedOver => 0,
            Self::HungUp => 1,
            Self::Lost(_) | Self::Told(CloseRequest::DoorLost) => 2,
            Self::BadFrame(_) | Self::Binary | Self::BadUtf8 => 3,
            #[cfg(feature = "wires")]
            Self::Told(CloseRequest::BadMessage) => 3,
            Self::Timeout { .. } => 4,
            Self::Slow | Self::Told(CloseRequest::TooSlow) => 5,
            Self::NoJoin => 6,
            Self::Refused { .. } | Self::Told(CloseRequest::Denied { .. }) => 7,
            #[cfg(feature = "wires")]
            Self::Told(CloseRequest::Refused) => 7,
            Self::TooLarge => 8,
            Self::Flood | Self::EmptyFrames => 9,
            Self::Unfinished => 10,
            Self::NoMemory | Self::Told(CloseRequest::NoMemory) => 11,
            Self::Told(CloseRequest::Restart | CloseRequest::Shutdown) => 12,
            Self::Told(CloseRequest::GaveWay) => 13,
            Self::Told(CloseRequest::TakenOver) => 14,
            Self::Told(CloseRequest::Kicked | CloseRequest::Displaced) => 15,
            Self::Told(CloseRequest::RoomMoved) => 16,
        }
    }

    /// The reason that the others in the room are told.
    pub(crate) fn leave_reason(&self) -> LeaveReason {
        match self {
            Self::Closed(_)
            | Self::HungUp
            | Self::Lost(_)
            | Self::HandedOver
            | Self::Told(CloseRequest::TakenOver | CloseRequest::DoorLost) => LeaveReason::Closed,
            Self::Timeout { .. } => LeaveReason::Timeout,
            Self::Slow | Self::Told(CloseRequest::TooSlow) => LeaveReason::Slow,
            Self::NoMemory | Self::Told(CloseRequest::NoMemory) => LeaveReason::Closed,
            Self::Told(CloseRequest::Restart | CloseRequest::Shutdown | CloseRequest::RoomMoved) => {
                LeaveReason::Shutdown
            }
            Self::Told(CloseRequest::GaveWay) => LeaveReason::Idle,
            Self::Told(CloseRequest::Kicked) => LeaveReason::Kicked,
            Self::Told(CloseRequest::Displaced) => LeaveReason::Displaced,
            #[cfg(feature = "wires")]
            Self::Told(CloseRequest::Refused | CloseRequest::BadMessage) => LeaveReason::Policy,
            Self::BadFrame(_)
            | Self::NoJoin
            | Self::Refused { .. }
            | Self::Told(CloseRequest::Denied { .. })
            | Self::Binary
            | Self::BadUtf8
            | Self::TooLarge
            | Self::Flood
            | Self::EmptyFrames
            | Self::Unfinished => LeaveReason::Policy,
        }
    }

    /// Since when the client's connection is lost, which has ended now: then it may come back to its place. A client that
    /// closes with 1000, 1001 or no code leaves, and so does one whose messages broke a rule: they must not be sent again
    /// and again.
    pub(crate) fn lost_since(&self) -> Option<Instant> {
        match self {
            Self::Timeout { heard } => Some(*heard),
            Self::Closed(Some((CloseCode::Normal | CloseCode::Away, _))) => None,
            Self::Closed(Some(_))
            | Self::HungUp
            | Self::Lost(_)
            | Self::Slow
            | Self::NoMemory
            | Self::Told(CloseRequest::TakenOver | CloseRequest::DoorLost) => Some(Instant::now()),
            _ => None,
        }
    }

    /// The close frame for the client; none if it is gone.
    pub(super) fn close_frame(&self) -> Option<Bytes> {
        let (code, reason) = match self {
            Self::HungUp | Self::Lost(_) | Self::HandedOver | Self::Told(CloseRequest::DoorLost) => return None,
            // The answer repeats the code (RFC 6455 section 5.5.1).
            Self::Closed(close) => return Some(frame::close(close.as_ref().map(|(code, _)| *code), "")),
            Self::BadFrame(_) => (CloseCode::Protocol, "the frames break RFC 6455"),
            // A laptop that wakes up must come back: 1008 would tell its client not to.
            Self::Timeout { .. } => (CloseCode::Again, "no sign of life"),
            Self::Slow | Self::Told(CloseRequest::TooSlow) => (CloseCode::Again, "too slow to read"),
            Self::NoMemory | Self::Told(CloseRequest::NoMemory) => {
                (CloseCode::Again, "the relay has no memory for your messages now")
            }
            Self::NoJoin => (CloseCode::Policy, "no join in time"),
            Self::Refused { retryable: true } | Self::Told(CloseRequest::Denied { retryable: true }) => {
                (CloseCode::Again, "the room takes nobody just now")
            }
            Self::Refused { retryable: false } | Self::Told(CloseRequest::Denied { retryable: false }) => {
                (CloseCode::Policy, "the join was refused")
            }
            #[cfg(feature = "wires")]
            Self::Told(CloseRequest::Refused) => (CloseCode::Policy, "refused: the message before says why"),
            #[cfg(feature = "wires")]
            Self::Told(CloseRequest::BadMessage) => (CloseCode::Policy, "the wire knows no such message"),
            Self::Binary => (CloseCode::Unsupported, "binary messages are not understood"),
            Self::BadUtf8 => (CloseCode::Invalid, "a text was not UTF-8"),
            Self::TooLarge => (CloseCode::Size, "a message was too large"),
            Self::Flood => (CloseCode::Policy, "too many messages"),
            Self::EmptyFrames => (CloseCode::Policy, "too many frames that carry nothing"),
            Self::Unfinished => (CloseCode::Policy, "a message was not finished in time"),
            Self::Told(CloseRequest::Restart) => (CloseCode::Restart, "the relay restarts"),
            Self::Told(CloseRequest::RoomMoved) => (CloseCode::Restart, "another relay has the room"),
            Self::Told(CloseRequest::Shutdown) => (CloseCode::Away, "the relay goes away"),
            // Not one of the codes on which a client comes back: it would take the place of another.
            Self::Told(CloseRequest::GaveWay) => (CloseCode::Policy, "idle, and somebody else needed the place"),
            Self::Told(CloseRequest::TakenOver) => (CloseCode::from(TAKEN_OVER), "another connection took this place"),
            Self::Told(CloseRequest::Kicked) => (CloseCode::Policy, "the host removed you from the room"),
            Self::Told(CloseRequest::Displaced) => (CloseCode::Policy, "somebody came whose id this is"),
        };
        Some(frame::close(Some(code), reason))
    }
}

impl From<Violation> for Disconnect {
    fn from(violation: Violation) -> Self {
        match violation {
            Violation::Frame(what) => Self::BadFrame(what),
            Violation::Binary => Self::Binary,
            Violation::Utf8 => Self::BadUtf8,
            Violation::TooLarge => Self::TooLarge,
        }
    }
}

impl fmt::Display for Disconnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(None) => f.write_str("closed by the peer"),
            // The client's text is escaped, so that it cannot forge a line of the log.
            Self::Closed(Some((code, reason))) if reason.is_empty() => {
                write!(f, "closed by the peer ({})", u16::from(*code))
            }
            Self::Closed(Some((code, reason))) => write!(f, "closed by the peer ({}: {reason:?})", u16::from(*code)),
            Self::HungUp => f.write_str("lost: hung up without a closing handshake"),
            Self::Lost(error) => write!(f, "lost: {error}"),
            Self::BadFrame(what) => write!(f, "bad frame: {what}"),
            Self::Timeout { .. } => f.write_str("no sign of life"),
            Self::Slow | Self::Told(CloseRequest::TooSlow) => f.write_str("too slow to read"),
            Self::NoJoin => f.write_str("no join in time"),
            Self::Refused { retryable: true } => f.write_str("its join was refused for now"),
            Self::Refused { retryable: false } => f.write_str("its join was refused"),
            Self::Binary => f.write_str("a binary message"),
            Self::BadUtf8 => f.write_str("a text that is not UTF-8"),
            Self::TooLarge => f.write_str("a message too large"),
            Self::Flood => f.write_str("too many messages"),
            Self::EmptyFrames => f.write_str("too many frames that carry nothing"),
            Self::Unfinished => f.write_str("a message that was not finished"),
            Self::NoMemory | Self::Told(CloseRequest::NoMemory) => f.write_str("there was no memory for what it sends"),
            Self::Told(CloseRequest::GaveWay) => f.write_str("idle, and gave way to another client"),
            Self::Told(CloseRequest::TakenOver) => f.write_str("another connection took its place"),
            Self::Told(CloseRequest::Kicked) => f.write_str("kicked by the host of its room"),
            Self::Told(CloseRequest::Displaced) => f.write_str("displaced by one for whose id the authorizer vouches"),
            #[cfg(feature = "wires")]
            Self::Told(CloseRequest::Refused) => f.write_str("refused"),
            #[cfg(feature = "wires")]
            Self::Told(CloseRequest::BadMessage) => f.write_str("a message that its wire does not know"),
            Self::Told(CloseRequest::Denied { .. }) => f.write_str("not let into its room"),
            Self::Told(CloseRequest::RoomMoved) => f.write_str("another relay has its room"),
            Self::Told(CloseRequest::DoorLost) => f.write_str("lost: the relay by which it came does not answer"),
            Self::Told(CloseRequest::Restart | CloseRequest::Shutdown) => f.write_str("the relay shuts down"),
            Self::HandedOver => f.write_str("its room lives at another relay"),
        }
    }
}

/// Reads and drops bytes until the client ends the stream (a lingering close). If bytes arrived at a closed socket, the
/// kernel would send a reset, which may overtake the last frames.
pub(crate) async fn linger(reader: &mut (impl AsyncRead + Unpin)) {
    /// The delay between two reads, so that a client that goes on sending costs little.
    const PACE: Duration = Duration::from_millis(5);
    let mut rest = vec![0; 4096];
    while let Ok(1..) = reader.read(&mut rest).await {
        sleep(PACE).await;
    }
}

/// Writes the queue until `deadline`; returns whether all of it is written. Gives up earlier if the socket accepts
/// nothing for [`CLOSE_DEADLINE`].
pub(super) async fn flush_until(outbox: &Outbox, deadline: Instant) -> bool {
    const LOOK: Duration = Duration::from_millis(250);
    loop {
        match timeout(LOOK, poll_fn(|cx| outbox.poll_flush(cx))).await {
            Ok(flushed) => return flushed.is_ok(),
            Err(_) => {
                let takes_nothing = outbox.stalled_since().is_some_and(|since| since.elapsed() >= CLOSE_DEADLINE);
                if takes_nothing || Instant::now() >= deadline {
                    return false;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_held_for_who_was_lost_and_not_for_who_left_or_broke_a_rule() {
        let closed = |code: u16| Disconnect::Closed(Some((CloseCode::from(code), String::new())));
        let lost = || io::Error::from(io::ErrorKind::ConnectionReset);
        for end in [
            Disconnect::HungUp,
            Disconnect::Lost(lost()),
            Disconnect::Timeout { heard: Instant::now() },
            Disconnect::Slow,
            Disconnect::Told(CloseRequest::TakenOver),
            Disconnect::Told(CloseRequest::DoorLost),
            closed(1002),
            closed(1005),
            closed(1011),
            closed(4000),
        ] {
            assert!(end.lost_since().is_some(), "{end}");
        }
        for end in [
            Disconnect::Closed(None),
            closed(1000),
            closed(1001),
            Disconnect::BadFrame("reserved"),
            Disconnect::NoJoin,
            Disconnect::Refused { retryable: true },
            Disconnect::Binary,
            Disconnect::BadUtf8,
            Disconnect::TooLarge,
            Disconnect::Flood,
            Disconnect::EmptyFrames,
            Disconnect::Unfinished,
            Disconnect::Told(CloseRequest::Restart),
            Disconnect::Told(CloseRequest::Shutdown),
            Disconnect::Told(CloseRequest::RoomMoved),
            Disconnect::Told(CloseRequest::GaveWay),
            Disconnect::Told(CloseRequest::Kicked),
            Disconnect::Told(CloseRequest::Displaced),
            Disconnect::Told(CloseRequest::Denied { retryable: false }),
        ] {
            assert!(end.lost_since().is_none(), "{end}");
        }
    }
}
