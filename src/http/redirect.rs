//! The answer to plain HTTP where the relay uses TLS: a redirect to `https://`. No client can join a room this way.

use std::convert::Infallible;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{self, HeaderMap};
use hyper::http::uri::Authority;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};
use tracing::debug;

use crate::drain::Drain;
use crate::http::body::Body;
use crate::http::response::{set, text};
use crate::http::trust::TrustPages;
use crate::http::{path, service};

/// A redirect from plain HTTP to TLS.
#[derive(Debug, Clone)]
pub(crate) struct Redirect {
    /// The port with TLS; none if that is the port of the request itself.
    pub port: Option<u16>,
    /// The pages that explain how to trust the certificate. They are served without TLS, because devices that need them
    /// do not trust it yet.
    pub trust: Option<Arc<TrustPages>>,
}

impl Redirect {
    /// Answers every request on `stream` with the redirect.
    pub(crate) async fn serve<S>(self: Arc<Self>, stream: S, drain: &Drain)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let service = service_fn(|request: Request<Incoming>| {
            let response = self.answer(&request);
            debug!(path = request.uri().path(), status = response.status().as_u16(), "request without TLS");
            std::future::ready(Ok::<_, Infallible>(response))
        });
        if let Some(mut served) = service::serve_requests(stream, None, service, drain).await {
            service::lingering_close(&mut served.stream).await;
        }
    }

    fn answer<B>(&self, request: &Request<B>) -> Response<Body> {
        let reads = [Method::GET, Method::HEAD].contains(request.method());
        let trust = self
            .trust
            .as_ref()
            .filter(|_| reads)
            .and_then(|trust| trust.answer(&path::comparable(request.uri().path()), request.headers()));
        if let Some(response) = trust {
            return response;
        }
        let Some(authority) = requested_authority(request.headers()) else {
            return text(
                StatusCode::BAD_REQUEST,
                "this port speaks TLS, and the request has no valid Host header to redirect it by: use https://",
            );
        };
        let target = match self.port {
            None => authority.as_str().to_owned(),
            Some(443) => authority.host().to_owned(),
            Some(port) => format!("{}:{port}", authority.host()),
        };
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        let path = if path.starts_with('/') { path } else { "/" };
        // 308 keeps the method. `text` forbids browsers to cache this one: the next relay on this port may have no TLS.
        let line = format!("this port speaks TLS: open https://{target}/, or connect to wss://{target}/");
        let mut response = text(StatusCode::PERMANENT_REDIRECT, &line);
        set(&mut response, header::LOCATION, &format!("https://{target}{path}"));
        response
    }
}

/// The `Host` of the request, if there is one that is valid.
fn requested_authority(headers: &HeaderMap) -> Option<Authority> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return None };
    let authority: Authority = host.to_str().ok()?.parse().ok()?;
    (!authority.as_str().contains('@') && !authority.host().is_empty()).then_some(authority)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(redirect: &Redirect, host: &str, target: &str) -> Option<String> {
        let request = Request::builder().uri(target).header(header::HOST, host).body(()).unwrap();
        let response = redirect.answer(&request);
        response.headers().get(header::LOCATION).map(|location| location.to_str().unwrap().to_owned())
    }

    #[test]
    fn the_redirect_leads_to_the_same_host_and_path_over_tls() {
        let same = Redirect { port: None, trust: None };
        for (host, target, there) in [
            ("relay.local:8080", "/?room=a%20b", "https://relay.local:8080/?room=a%20b"),
            ("relay.local", "/", "https://relay.local/"),
            ("[fd00::1]:8080", "/room.js", "https://[fd00::1]:8080/room.js"),
            ("relay.local:8080", "//evil.example/", "https://relay.local:8080//evil.example/"),
            ("relay.local:8080", "http://evil.example/x", "https://relay.local:8080/x"),
        ] {
            assert_eq!(location(&same, host, target).as_deref(), Some(there));
        }
    }

    #[test]
    fn from_another_port_it_leads_to_the_port_with_tls() {
        for (port, there) in [(8443, "https://relay.local:8443/"), (443, "https://relay.local/")] {
            for host in ["relay.local", "relay.local:80"] {
                assert_eq!(location(&Redirect { port: Some(port), trust: None }, host, "/").as_deref(), Some(there));
            }
        }
        assert_eq!(
            location(&Redirect { port: Some(1), trust: None }, "[::1]:80", "/").as_deref(),
            Some("https://[::1]:1/")
        );
    }

    #[test]
    fn without_a_valid_host_there_is_no_redirect() {
        for host in ["", "a b", "user@relay.local", "relay.local/x", ":80"] {
            assert_eq!(location(&Redirect { port: None, trust: None }, host, "/"), None, "{host:?}");
        }
    }
}
