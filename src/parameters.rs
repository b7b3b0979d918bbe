//! The parameters in the query of a URL.

use std::borrow::Cow;

/// All of them, in their order, decoded.
pub(crate) fn parameters(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    form_urlencoded::parse(query.as_bytes())
}

/// Says in a sentence that the query is not UTF-8, if that is so.
pub(crate) fn check_utf8(query: &str) -> Result<(), String> {
    let decoded = percent_encoding::percent_decode_str(query).decode_utf8();
    decoded.map(drop).map_err(|_| "the query of the URL is not UTF-8".to_owned())
}

/// The only value of this parameter, if there is one; a sentence if there are several.
pub(crate) fn only<'q>(query: &'q str, key: &str) -> Result<Option<Cow<'q, str>>, String> {
    let mut values = parameters(query).filter(|(name, _)| name == key).map(|(_, value)| value);
    match (values.next(), values.next()) {
        (_, Some(_)) => Err(format!("the URL has {key:?} twice")),
        (value, None) => Ok(value),
    }
}
