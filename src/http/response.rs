//! What is answered over HTTP, and the headers that keep the page to itself; independent of routing and of sockets.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};

use crate::http::assets::File;
use crate::http::origin::TupleOrigin;

/// The body of every response: it is there as a whole.
pub type Body = Full<Bytes>;

/// A response of one line of text.
pub fn text(status: StatusCode, line: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(format!("{line}\n")));
    *response.status_mut() = status;
    set(&mut response, header::CONTENT_TYPE, "text/plain; charset=utf-8");
    set(&mut response, header::CACHE_CONTROL, "no-store");
    set(&mut response, header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'");
    set(&mut response, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    response
}

/// The answer to a method that is not understood.
pub fn method_not_allowed() -> Response<Body> {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are understood here");
    set(&mut response, header::ALLOW, "GET, HEAD");
    response
}

/// One file of the page, as `request`'s headers ask for it: not again where the browser has it already. Pages of the origins
/// `may_frame` may show it in a frame.
pub fn file(request: &HeaderMap, file: File, may_frame: &[TupleOrigin]) -> Response<Body> {
    let mut response = match &file.etag {
        Some(etag) if has(request, etag) => {
            let mut response = Response::new(Body::default());
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
        }
        _ => Response::new(Body::new(file.bytes)),
    };
    set(&mut response, header::CONTENT_TYPE, &file.content_type);
    if let Some(etag) = &file.etag {
        set(&mut response, header::ETAG, etag);
    }
    // Kept, but asked about each time: a new relay brings a new page.
    set(&mut response, header::CACHE_CONTROL, "no-cache");
    secure(&mut response, request, may_frame);
    response
}

/// Lets a page of `origin` import the file as a module (the Fetch standard's CORS protocol).
pub fn allow_cross_origin(response: &mut Response<Body>, origin: &HeaderValue) {
    response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    set(response, header::VARY, "Origin");
}

/// Keeps windows that other sites open, or are opened by, out of the page's (HTML standard, cross-origin opener policies).
/// Browsers heed it over TLS alone, and complain of it elsewhere.
pub fn isolate(response: &mut Response<Body>) {
    set(response, HeaderName::from_static("cross-origin-opener-policy"), "same-origin");
}

/// Whether the browser says that it has the version `etag` (RFC 9110 section 13.1.2).
fn has(request: &HeaderMap, etag: &str) -> bool {
    let lists = request.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    lists.flat_map(|list| list.split(',')).any(|one| one.trim().trim_start_matches("W/") == etag)
}

/// Adds what a browser needs to keep the page to itself: only its own files run, nothing is loaded from elsewhere, and the
/// socket goes back to where the page came from.
fn secure(response: &mut Response<Body>, request: &HeaderMap, may_frame: &[TupleOrigin]) {
    // Browsers before 2022 do not take 'self' to mean the socket as well.
    let sockets = host_header(request).map_or(String::new(), |host| format!(" ws://{host} wss://{host}"));
    let frames: String = may_frame.iter().map(|origin| format!(" {}", origin.as_str())).collect();
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; \
         connect-src 'self'{sockets}; base-uri 'none'; form-action 'none'; frame-ancestors 'self'{frames}"
    );
    set(response, header::CONTENT_SECURITY_POLICY, &policy);
    if may_frame.is_empty() {
        // Says less than frame-ancestors, to browsers and scanners that know only this.
        set(response, header::X_FRAME_OPTIONS, "SAMEORIGIN");
    }
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // The room's name in an invite link is nobody else's business.
        (header::REFERRER_POLICY, "no-referrer"),
        (
            HeaderName::from_static("permissions-policy"),
            "camera=(self), microphone=(self), display-capture=(self), fullscreen=(self), geolocation=(), payment=(), usb=()",
        ),
        // The client scripts are there for other pages to use; what they may dial is the Origin check's business.
        (HeaderName::from_static("cross-origin-resource-policy"), "cross-origin"),
    ] {
        set(response, name, value);
    }
}

/// The `Host` of the request, if it is of the characters that a host and a port are made of.
fn host_header(request: &HeaderMap) -> Option<&str> {
    let host = request.get(header::HOST)?.to_str().ok()?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    (!host.is_empty() && host.bytes().all(plain)).then_some(host)
}

/// Sets a header.
pub fn set(response: &mut Response<Body>, name: HeaderName, value: &str) {
    // The values are ours and printable; one that were not is better left out than a reason to panic.
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}
