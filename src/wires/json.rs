//! What the wires read of JSON.

use std::borrow::Cow;

use smallvec::SmallVec;

use crate::limits::{NESTING_DEPTH, TOPICS};
use crate::protocol::scan::{self, Field, Fields};

/// Several texts.
pub(super) type Names<'a> = SmallVec<[Cow<'a, str>; 4]>;

/// The fields of a text; none if it is no JSON object, or too deep.
pub(super) fn fields(text: &str) -> Option<Fields<'_>> {
    let mut fields = Fields::new();
    scan::scan(text, NESTING_DEPTH, &mut fields).ok().map(|()| fields)
}

/// The same, with the fields of the object that is the value of the field `name`, if it is one.
pub(super) fn fields_with_inner<'a>(text: &'a str, name: &str) -> Option<(Fields<'a>, Option<Fields<'a>>)> {
    let (mut fields, mut inner) = (Fields::new(), None);
    scan::scan_with_inner(text, NESTING_DEPTH, name, &mut fields, &mut inner).ok().map(|()| (fields, inner))
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
