//! What a request says: the parameters of its query, and its body, as long as both are bounded.

use std::borrow::Cow;
use std::sync::Arc;

use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::{HeaderMap, Request, StatusCode, header};
use percent_encoding::percent_decode_str;
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use tokio::time::timeout;

use super::ApiError;
use crate::budget::{Charge, Purse};
use crate::limits::{API_BODY_DEADLINE, API_PAGE_MAX, API_PAGE_USUAL};

/// Which page of a list is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page<'a> {
    /// What comes before it.
    pub(super) after: Option<Cow<'a, str>>,
    /// How many entries it has at most.
    pub(super) limit: usize,
}

impl<'a> Page<'a> {
    /// The page that `?after=A&limit=N` asks for.
    pub(super) fn of(query: &'a str) -> Result<Self, ApiError> {
        let wrong = |message: String| ApiError::new(StatusCode::BAD_REQUEST, "bad_query", message);
        if percent_decode_str(query).decode_utf8().is_err() {
            return Err(wrong("the query of the URL is not UTF-8".into()));
        }
        let (mut after, mut limit) = (None, None);
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let twice = match &*name {
                "after" => after.replace(value).is_some(),
                "limit" => limit.replace(value).is_some(),
                _ => return Err(wrong("the parameters here are \"after\" and \"limit\"".into())),
            };
            if twice {
                return Err(wrong(format!("the URL has {name:?} twice")));
            }
        }
        let number = |text: Cow<'_, str>| whole(&text).and_then(|number| usize::try_from(number).ok());
        let limit = match limit {
            None => API_PAGE_USUAL,
            Some(text) => number(text)
                .filter(|limit| (1..=API_PAGE_MAX).contains(limit))
                .ok_or_else(|| wrong(format!("\"limit\" is a number from 1 to {API_PAGE_MAX}")))?,
        };
        Ok(Self { after, limit })
    }

    /// The number after which the page begins.
    pub(super) fn after_number(&self) -> Result<u64, ApiError> {
        let Some(after) = &self.after else { return Ok(0) };
        let wrong = || ApiError::new(StatusCode::BAD_REQUEST, "bad_query", "\"after\" is a whole number here");
        whole(after).ok_or_else(wrong)
    }
}

/// A whole number; the largest one if it is larger.
fn whole(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

/// The body of a request, of `most` bytes at most, whose memory is charged to `purse`.
pub(super) async fn read_body(
    request: Request<Incoming>,
    most: usize,
    purse: &Arc<Purse>,
) -> Result<(Bytes, Charge), ApiError> {
    if !is_json(request.headers()) {
        let message = "what changes something is JSON: send the header Content-Type: application/json";
        return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "not_json", message));
    }
    let too_large =
        || ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", format!("the body has at most {most} bytes here"));
    let announced = request.body().size_hint().exact().map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
    if announced.is_some_and(|bytes| bytes > most) {
        return Err(too_large());
    }
    let memory = purse.charge(announced.unwrap_or(most)).ok_or_else(ApiError::no_memory)?;
    let body = timeout(API_BODY_DEADLINE, Limited::new(request.into_body(), most).collect()).await;
    let late = || ApiError::new(StatusCode::REQUEST_TIMEOUT, "timeout", "the body did not arrive in time");
    match body.map_err(|_| late())? {
        Ok(body) => Ok((body.to_bytes(), memory)),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
        Err(_) => Err(ApiError::new(StatusCode::BAD_REQUEST, "bad_json", "the body did not arrive as a whole")),
    }
}

/// Whether the body says that it is JSON (RFC 8259 section 11), with any parameters.
fn is_json(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(only), None) = (types.next(), types.next()) else { return false };
    let essence = only.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json")
}

/// The fields of the JSON object that `body` is.
pub(super) fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, ApiError> {
    let refuse = |code, message: String| ApiError::new(StatusCode::BAD_REQUEST, code, message);
    // An array of the fields' values would do otherwise.
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(refuse("bad_json", "the body is one JSON object".into()));
    }
    serde_json::from_slice(body).map_err(|error| {
        let code = if error.is_data() { "bad_message" } else { "bad_json" };
        refuse(code, format!("the body is not as it should be: {error}"))
    })
}

/// A number of JSON without a fraction, however it is written: `600` and `600.0` are the same (JSON Schema 2020-12, validation,
/// section 6.1.1).
pub(super) fn whole_number<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    let number = serde_json::Number::deserialize(from)?;
    let of_float = || {
        let float = number.as_f64().filter(|float| float.fract() == 0.0 && (0.0..=u64::MAX as f64).contains(float))?;
        Some(float as u64)
    };
    number
        .as_u64()
        .or_else(of_float)
        .ok_or_else(|| D::Error::custom(format!("{number} is no whole number, or negative")))
}

/// The same, or `null`.
pub(super) fn whole_number_or_none<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    struct Whole(#[serde(deserialize_with = "whole_number")] u64);
    Ok(Option::<Whole>::deserialize(from)?.map(|Whole(number)| number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_a_hundred_entries_unless_it_is_said_otherwise() {
        assert_eq!(Page::of("").unwrap(), Page { after: None, limit: 100 });
        assert_eq!(Page::of("limit=7&after=a+b%2B").unwrap(), Page { after: Some("a b+".into()), limit: 7 });
        for query in
            ["limit=0", "limit=1001", "limit=", "limit=-1", "limit=%2B1", "limit=1&limit=1", "x=1", "after=%FF"]
        {
            assert!(Page::of(query).is_err(), "{query}");
        }
        assert_eq!(Page::of("after=99999999999999999999").unwrap().after_number().unwrap(), u64::MAX);
        assert!(Page::of("after=x").unwrap().after_number().is_err());
    }

    #[test]
    fn a_whole_number_may_have_a_point() {
        #[derive(Deserialize)]
        struct Body {
            #[serde(deserialize_with = "whole_number")]
            one: u64,
            #[serde(default, deserialize_with = "whole_number_or_none")]
            other: Option<u64>,
        }
        let read = |text: &str| parse::<Body>(text.as_bytes()).map(|body| (body.one, body.other)).ok();
        assert_eq!(read(r#"{"one":600}"#), Some((600, None)));
        assert_eq!(read(r#" {"one":600.0,"other":6e2}"#), Some((600, Some(600))));
        assert_eq!(read(r#"{"one":0,"other":null}"#), Some((0, None)));
        for wrong in ["1.5", "-1", "\"1\"", "null", "true"] {
            assert_eq!(read(&format!(r#"{{"one":{wrong}}}"#)), None, "{wrong}");
        }
        assert_eq!(read("[1]"), None);
    }

    #[test]
    fn only_json_counts_as_json() {
        let says = |value: &'static str| {
            is_json(&HeaderMap::from_iter([(header::CONTENT_TYPE, header::HeaderValue::from_static(value))]))
        };
        assert!(says("application/json") && says("Application/JSON; charset=utf-8"));
        assert!(!says("text/plain") && !says("application/jsonp") && !says("") && !is_json(&HeaderMap::new()));
    }
}
