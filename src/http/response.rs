//! HTTP responses, and the headers that protect the call page.

use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};

use crate::http::assets::File;
use crate::http::body::{Body, Encoding};
use crate::http::origin::TupleOrigin;

/// A response of one line of text.
pub(crate) fn text(status: StatusCode, line: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(format!("{line}\n")));
    *response.status_mut() = status;
    set(&mut response, header::CONTENT_TYPE, "text/plain; charset=utf-8");
    set(&mut response, header::CACHE_CONTROL, "no-store");
    set(&mut response, header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'");
    set(&mut response, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    response
}

/// The methods of each path.
pub(crate) const ALLOWED: &str = "GET, HEAD, OPTIONS";

/// The response to any other method.
pub(crate) fn method_not_allowed() -> Response<Body> {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are supported here");
    set(&mut response, header::ALLOW, ALLOWED);
    response
}

/// The response to OPTIONS, by which some balancers ask whether a server works. It has no CORS header: no page may ask the
/// relay for more than a script.
pub(crate) fn options() -> Response<Body> {
    let mut response = Response::new(Body::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    set(&mut response, header::ALLOW, ALLOWED);
    set(&mut response, header::CACHE_CONTROL, "no-store");
    response
}

/// The response with one file of the page, or 304 if the headers of the `request` say that the browser has it. Pages of
/// the origins `may_frame` may show it in a frame.
pub(crate) fn file(request: &HeaderMap, file: File, may_frame: &[TupleOrigin]) -> Response<Body> {
    let mut response = match &file.etag {
        Some(etag) if has(request, etag) => {
            let mut response = Response::new(Body::default());
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
        }
        _ => Response::new(file.body),
    };
    set(&mut response, header::CONTENT_TYPE, &file.content_type);
    if let Some(etag) = &file.etag {
        set(&mut response, header::ETAG, etag);
    }
    if file.encoding != Encoding::Always {
        set(&mut response, header::VARY, "Accept-Encoding");
    }
    if file.encoding == Encoding::Gzip {
        set(&mut response, header::CONTENT_ENCODING, "gzip");
    }
    // Browsers may cache it, but must revalidate it each time: a new relay may have a new page.
    set(&mut response, header::CACHE_CONTROL, "no-cache");
    secure(&mut response, request, may_frame);
    response
}

/// Lets pages of `origin` import the file as a module (Fetch standard, CORS protocol).
pub(crate) fn allow_cross_origin(response: &mut Response<Body>, origin: &HeaderValue) {
    response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    response.headers_mut().append(header::VARY, HeaderValue::from_static("Origin"));
}

/// The response for a file that is at `location` now.
pub(crate) fn moved(location: &str) -> Response<Body> {
    let mut response = text(StatusCode::PERMANENT_REDIRECT, "moved");
    set(&mut response, header::LOCATION, location);
    response
}

/// Whether the client takes gzip (RFC 9110 section 12.5.3).
pub(crate) fn accepts_gzip(request: &HeaderMap) -> bool {
    let lists = request.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let refused = |weight: &str| {
        let weight = weight.trim().strip_prefix("q=");
        weight.is_some_and(|weight| weight.trim_matches(['0', '.']).is_empty())
    };
    lists.flat_map(|list| list.split(',')).any(|one| {
        let mut parts = one.split(';');
        let coding = parts.next().unwrap_or_default().trim();
        (coding.eq_ignore_ascii_case("gzip") || coding == "*") && !parts.any(refused)
    })
}

/// Separates the page from windows of other sites that opened it or that it opens (HTML standard, cross-origin opener
/// policies). Browsers apply it only over TLS, and warn about it elsewhere.
pub(crate) fn isolate(response: &mut Response<Body>) {
    set(response, HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
}

/// Whether the browser has the version `etag` (RFC 9110 section 13.1.2).
fn has(request: &HeaderMap, etag: &str) -> bool {
    let lists = request.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    lists.flat_map(|list| list.split(',')).any(|one| one.trim().trim_start_matches("W/") == etag)
}

/// Adds the headers that protect the page: it runs only its own files, loads nothing from other hosts, and connects its
/// WebSocket only to its own host.
fn secure(response: &mut Response<Body>, request: &HeaderMap, may_frame: &[TupleOrigin]) {
    // Browsers before 2022 do not count a WebSocket to the same host as 'self'.
    let sockets = host_header(request).map_or(String::new(), |host| format!(" ws://{host} wss://{host}"));
    let frames: String = may_frame.iter().map(|origin| format!(" {}", origin.as_str())).collect();
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; \
         connect-src 'self'{sockets}; base-uri 'none'; form-action 'none'; frame-ancestors 'self'{frames}"
    );
    set(response, header::CONTENT_SECURITY_POLICY, &policy);
    if may_frame.is_empty() {
        // For browsers and scanners that do not know frame-ancestors.
        set(response, header::X_FRAME_OPTIONS, "SAMEORIGIN");
    }
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // The URL of an invitation contains the room's name.
        (header::REFERRER_POLICY, "no-referrer"),
        (
            HeaderName::from_static("permissions-policy"),
            "camera=(self), microphone=(self), display-capture=(self), fullscreen=(self), geolocation=(), payment=(), usb=()",
        ),
        // Other pages may load the client scripts; the Origin check decides which of them may connect.
        (HeaderName::from_static("cross-origin-resource-policy"), "cross-origin"),
    ] {
        set(response, name, value);
    }
}

/// The `Host` of the request, if it has only characters that a host and a port can have.
fn host_header(request: &HeaderMap) -> Option<&str> {
    let host = request.get(header::HOST)?.to_str().ok()?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    (!host.is_empty() && host.bytes().all(plain)).then_some(host)
}

/// Sets a header.
pub(crate) fn set(response: &mut Response<Body>, name: HeaderName, value: &str) {
    // All our values are valid. If one were not, its header would be left out, which is better than a panic.
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}
