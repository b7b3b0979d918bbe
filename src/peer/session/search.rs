//! What a join needs until it is known at which relay its room lives.

use std::sync::Arc;

use bytes::Bytes;
use hyper::{Response, StatusCode};
use tokio::time::Duration;

use crate::budget::Charge;
use crate::cluster::directory::Directory;
use crate::peer::handover::UrlRequest;
use crate::room::{ErrorCode, Refusal};

/// What a join needs until it is known where its room lives.
#[derive(Debug)]
pub(super) struct Search {
    pub(super) directory: Arc<Directory>,
    /// The message, for the relay that has the room; none if the URL named the room.
    pub(super) text: Option<Box<str>>,
    /// The client's own request, if the URL named the room.
    pub(super) request: Option<Arc<UrlRequest>>,
    /// For how long the directory may still be asked.
    pub(super) left: Duration,
    /// The memory of the message.
    pub(super) _memory: Charge,
}

/// What another relay has answered, as this one would say it.
pub(super) fn refusal_of(answer: &Response<Bytes>) -> Refusal {
    let code = match answer.status() {
        StatusCode::TOO_MANY_REQUESTS => ErrorCode::RateLimited,
        StatusCode::CONFLICT => ErrorCode::IdTaken,
        StatusCode::UNAUTHORIZED => ErrorCode::Unauthorized,
        StatusCode::FORBIDDEN => ErrorCode::Denied,
        StatusCode::BAD_REQUEST => ErrorCode::BadMessage,
        _ => ErrorCode::Unavailable,
    };
    Refusal::new(code, String::from_utf8_lossy(answer.body()).trim_end().to_owned())
}
