//! What stands for the pages of the local authority in a build without the feature `lan`: a type without a value, so that the
//! compiler checks all that would use it and nothing of it ever runs.

use hyper::Response;

use crate::http::response::Body;

/// The path of the page, where there is one.
pub(crate) const PAGE: &str = "/trust";

/// What people need in order to trust the local authority, which no build without the feature has.
#[derive(Debug)]
pub(crate) enum TrustPages {}

impl TrustPages {
    /// The SHA-256 of the authority's certificate.
    pub(crate) fn fingerprint(&self) -> &str {
        match *self {}
    }

    /// The answer to a request for a path.
    pub(crate) fn answer(&self, _: &str) -> Option<Response<Body>> {
        match *self {}
    }
}
