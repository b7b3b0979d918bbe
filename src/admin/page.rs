//! The operators' page: files that are part of the program. It shows and does what the API ([`super::api`]) has.

use hyper::header::{self, HeaderName};
use hyper::{Response, StatusCode};

use crate::http::body::Body;
use crate::http::response::{set, text};

/// What the page may do: run its own files, and ask its own address.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// The paths of the files, with their types.
const FILES: &[(&str, File)] = &[
    ("/", File { content_type: HTML, content: include_str!("page/index.html") }),
    ("/page.css", File { content_type: CSS, content: include_str!("page/page.css") }),
    ("/page.js", File { content_type: SCRIPT, content: include_str!("page/page.js") }),
    ("/dom.js", File { content_type: SCRIPT, content: include_str!("page/dom.js") }),
    ("/relay.js", File { content_type: SCRIPT, content: include_str!("page/relay.js") }),
    ("/room.js", File { content_type: SCRIPT, content: include_str!("page/room.js") }),
    ("/icon.svg", File { content_type: "image/svg+xml", content: include_str!("../../web/icon.svg") }),
];

/// A file of the page.
#[derive(Debug, Clone, Copy)]
pub(super) struct File {
    content_type: &'static str,
    content: &'static str,
}

/// The file at this path, if there is one.
pub(super) fn file(path: &str) -> Option<File> {
    FILES.iter().find(|(its_path, _)| *its_path == path).map(|(_, file)| *file)
}

impl File {
    /// The response with it.
    pub(super) fn response(self) -> Response<Body> {
        let mut response = text(StatusCode::OK, "");
        *response.body_mut() = Body::from(self.content);
        set(&mut response, header::CONTENT_TYPE, self.content_type);
        set(&mut response, header::CONTENT_SECURITY_POLICY, POLICY);
        set(&mut response, header::REFERRER_POLICY, "no-referrer");
        // For browsers that do not know frame-ancestors.
        set(&mut response, header::X_FRAME_OPTIONS, "DENY");
        set(&mut response, HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
        response
    }
}
