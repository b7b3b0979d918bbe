//! What clients say on wires of topics, and how such a wire writes it down.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use smallvec::SmallVec;

use crate::limits::{NESTING_DEPTH, TOPICS};
use crate::protocol::scan::{self, Field, Fields};
use crate::wire::Wire;

/// The topics that one text names.
pub(super) type Names<'a> = SmallVec<[Cow<'a, str>; 4]>;

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

/// The fields of a text; none if it is no JSON object, or too deep.
pub(super) fn fields(text: &str) -> Option<Fields<'_>> {
    let mut fields = Fields::new();
    scan::scan(text, NESTING_DEPTH, &mut fields).ok().map(|()| fields)
}

/// The value of a field as JSON. Of several with one name the last one counts, as in JavaScript.
pub(super) fn value<'a>(fields: &Fields<'a>, name: &str) -> Option<&'a str> {
    fields.iter().rev().find(|field| field.is_named(name)).map(|field: &Field<'a>| field.value)
}

/// The text of a JSON string; none if it is something else, or has half a surrogate pair, which is no text.
pub(super) fn string(json: &str) -> Option<Cow<'_, str>> {
    scan::decode_string(json, json.contains('\\'))
}

/// The strings in a JSON array: [`TOPICS`] at most, since no client has more.
pub(super) fn strings(json: &str) -> Names<'_> {
    let mut names = Names::new();
    let _ = scan::elements(json, NESTING_DEPTH, &mut |element| {
        if names.len() < TOPICS
            && let Some(name) = string(element)
        {
            names.push(name);
        }
    });
    names
}
