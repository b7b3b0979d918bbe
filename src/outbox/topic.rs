//! What an announcement of the relay is about.

use super::ConnectionId;

/// What an announcement is about. Members are known by the connection as which they send, so that it is also known which
/// messages are theirs; those who knock, by the number that the room gave them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Topic {
    /// Anything that none of the others is about.
    Other,
    /// The client itself has its place: what is queued before that is about an earlier one.
    Start,
    /// This member has joined.
    Joined(ConnectionId),
    /// This member has left.
    Left(ConnectionId),
    /// This member has lost its connection.
    Away(ConnectionId),
    /// This member has a connection again.
    Back(ConnectionId),
    /// Somebody knocks, of whom no host was told before.
    Knock(u64),
    /// The same one, for a new host, who may have been told when it was the host before.
    KnockAgain(u64),
    /// The same one knocks no more.
    KnockGone(u64),
    /// Who is the host.
    Host,
    /// Whether the room is locked.
    Lock,
    /// Who is in the room of this number, of those that a client is in on the wire of another library.
    #[cfg(feature = "wires")]
    Roster(u64),
}
