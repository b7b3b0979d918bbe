//! The module `trust` in a build without the feature `lan`: a type without values, so that the compiler checks the code
//! that uses it, and none of it ever runs.

use hyper::Response;

use crate::http::body::Body;

/// The path of the page, in a build that has it.
pub(crate) const PAGE: &str = "/trust";

/// The pages of the local authority, which a build without the feature does not have.
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
