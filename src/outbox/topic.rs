//! What an announcement of the relay is about.

/// What an announcement is about. Members, and those who knock, have the number that the room gave them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Topic {
    /// Anything that none of the others is about.
    Other,
    /// The client itself has its place: what is queued before that is about an earlier one.
    Start,
    /// This member has joined.
    Joined(u64),
    /// This member has left.
    Left(u64),
    /// This member has lost its connection.
    Away(u64),
    /// This member has a connection again.
    Back(u64),
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
}
