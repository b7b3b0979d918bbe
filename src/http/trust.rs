//! The page that explains how to trust the local authority, and the downloads that it offers.
//!
//! They are served with and without TLS, because a device needs them before it trusts the authority.

use hyper::header;
use hyper::{Response, StatusCode};

use super::body::Body;
use super::response::{set, text};

/// The path of the page.
pub(crate) const PAGE: &str = "/trust";

/// The pages and downloads for one authority. Nothing in them is secret.
#[derive(Debug)]
pub(crate) struct TrustPages {
    page: String,
    der: Vec<u8>,
    pem: String,
    fingerprint: String,
}

impl TrustPages {
    /// The pages of the authority with this root certificate, as DER and as PEM, and its SHA-256.
    pub(crate) fn new(der: &[u8], pem: &str, fingerprint: String) -> Self {
        let page = include_str!("trust.html").replace("{fingerprint}", &fingerprint);
        Self { page, der: der.to_owned(), pem: pem.to_owned(), fingerprint }
    }

    /// The SHA-256 of the authority's certificate. People compare the download's with the terminal's.
    pub(crate) fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The answer to a request for `path`, if it is one of these pages.
    pub(crate) fn answer(&self, path: &str) -> Option<Response<Body>> {
        let (content_type, body) = match path {
            PAGE => ("text/html; charset=utf-8", self.page.clone().into()),
            "/trust.css" => ("text/css; charset=utf-8", Body::from(include_str!("trust.css"))),
            // Phones and desktops offer to install a file of this type.
            "/authority.crt" => ("application/x-x509-ca-cert", self.der.clone().into()),
            "/authority.pem" => ("application/x-pem-file", self.pem.clone().into()),
            _ => return None,
        };
        let mut response = text(StatusCode::OK, "");
        *response.body_mut() = body;
        set(&mut response, header::CONTENT_TYPE, content_type);
        let policy =
            "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
        set(&mut response, header::CONTENT_SECURITY_POLICY, policy);
        set(&mut response, header::REFERRER_POLICY, "no-referrer");
        Some(response)
    }
}
