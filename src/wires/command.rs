//! What clients say on wires of topics, and how such a wire writes it down.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;

use super::json::Names;
use crate::protocol::scan::Fields;
use crate::wire::Wire;

/// What a client says.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "nearly all are of the large one, and live for a moment on the stack")]
pub(super) enum Command<'a> {
    /// It wants to hear what is said in these topics.
    Subscribe(Names<'a>),
    /// It does not any more.
    Unsubscribe(Names<'a>),
    /// It says something in a topic.
    Publish(Publish<'a>),
    /// It asks whether the relay is there.
    Ping,
    /// Nothing that the wire knows.
    Nothing,
}

/// What a client says in a topic.
#[derive(Debug)]
pub(super) struct Publish<'a> {
    /// The topic.
    pub topic: Cow<'a, str>,
    /// By which id its sender wants to be known there.
    pub from: Option<Cow<'a, str>>,
    /// For whom it is, if not for all.
    pub to: Option<Cow<'a, str>>,
    /// The fields of the text, as they were written.
    pub fields: Fields<'a>,
}

/// How a wire of topics writes things down.
pub(super) struct Dialect {
    /// Its name.
    pub wire: Wire,
    /// The most subscribers of a topic.
    pub subscribers: usize,
    /// Whether a binary message is read as a text.
    pub reads_binary: bool,
    /// What the relay says to a ping, and to one that has not heard anything for long; none where there is no such word.
    pub pong: Option<&'static str>,
    /// What a text says.
    pub parse: for<'a> fn(&'a str) -> Command<'a>,
    /// The frame in which so many subscribers hear it.
    pub encode: fn(&Publish<'_>, usize) -> Bytes,
}

impl fmt::Debug for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Dialect").field(&self.wire).finish()
    }
}
