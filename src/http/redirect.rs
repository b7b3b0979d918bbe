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
use crate::http::metered::Payer;
use crate::http::response::{set, text};
use crate::http::trust::TrustPages;
use crate::http::{over_limit, path, service};
use crate::limits;
use crate::quota::{Admission, OverLimit};

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
    /// Answers every request on `stream` with the redirect. What is sent counts as pages do, for the address of `admission`.
    pub(crate) async fn serve<S>(self: Arc<Self>, stream: S, admission: Arc<Admission>, drain: &Drain)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let _memory = admission.purse().charge_anyway(limits::HTTP_BYTES);
        let service = service_fn(|request: Request<Incoming>| {
            let mut response = self.answer(&request);
            if !response.body_mut().charge(admission.purse()) {
                response = over_limit::response(OverLimit::Memory, false);
            }
            debug!(
                path = &*path::for_log(request.uri().path()),
                status = response.status().as_u16(),
                "request without TLS"
            );
            std::future::ready(Ok::<_, Infallible>(response))
        });
        if let Some(mut served) =
            service::serve_requests(stream, Payer::new(admission.address().cloned()), service, drain).await
        {
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
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::Instant;

    use super::*;
    use crate::quota::{QuotaSettings, Quotas};

    #[tokio::test(start_paused = true)]
    async fn what_is_sent_without_tls_counts_as_pages_do_and_its_memory_is_free_when_it_has_ended() {
        let rate = 5_000;
        let settings = QuotaSettings { address_bytes: rate * limits::PAGE_SHARE, ..QuotaSettings::default() };
        let quotas = Quotas::new(&settings);
        let admission = quotas.admit(Some([192, 0, 2, 1].into())).unwrap();
        let trust = Some(Arc::new(TrustPages::new(b"", "", "AB:CD".to_owned())));
        let redirect = Arc::new(Redirect { port: None, trust });
        let (mut client, stream) = duplex(64 * 1024);
        let drain = Drain::new();
        let begun = Instant::now();
        let asks = async {
            let mut sent = 0;
            for number in 0..60 {
                let page = if number % 2 == 0 { "/trust" } else { "/" };
                let request = format!("GET {page} HTTP/1.1\r\nHost: relay\r\n\r\n");
                client.write_all(request.as_bytes()).await.unwrap();
                sent += read_response(&mut client).await;
            }
            drop(client);
            sent
        };
        let ((), sent) = tokio::join!(redirect.serve(stream, admission, &drain), asks);
        let beyond = sent - (rate * limits::ADDRESS_BYTES_BURST_SECONDS) as usize;
        let least = beyond as u64 * 900 / u64::from(rate);
        assert!(begun.elapsed().as_millis() as u64 > least, "{sent} bytes in {:?}", begun.elapsed());
        assert_eq!(quotas.pinned(), limits::ADDRESS_ENTRY_BYTES.next_multiple_of(crate::budget::LUMP));
    }

    /// Reads a response, and returns how many bytes it has.
    async fn read_response(stream: &mut (impl AsyncRead + Unpin)) -> usize {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let text = String::from_utf8(head).unwrap().to_lowercase();
        let length = text.split("content-length: ").nth(1).unwrap().split("\r\n").next().unwrap().parse().unwrap();
        stream.read_exact(&mut vec![0; length]).await.unwrap();
        text.len() + length
    }

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
