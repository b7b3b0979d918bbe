//! Answers the HTTP requests on a stream (the page, the health check, the upgrade) until one of them upgrades it.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use hyper::body::Incoming;
use hyper::header;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::{Sleep, sleep, timeout};
use tracing::debug;

#[cfg(feature = "page")]
use super::about;
use super::assets::Page;
use super::body::Body;
use super::metered::{Metered, Payer};
use super::over_limit;
use super::pace::{Pace, Paced};
use super::path;
use super::response::{self, method_not_allowed, text};
use super::site::Site;
use super::upgrade::{self, Upgrade};
use super::way::Way;
#[cfg(feature = "wires")]
use super::wires;
use crate::drain::Drain;
use crate::limits;
use crate::net::info::ConnectionInfo;
use crate::quota::{Admission, OverLimit};
use crate::ws::linger;

/// A stream that has been upgraded to a WebSocket.
pub(crate) struct Upgraded<S> {
    /// The stream.
    pub(crate) stream: S,
    /// The bytes after the request that have been read already.
    pub(crate) read: bytes::Bytes,
    /// The upgrade: the client and its session.
    pub(crate) upgrade: Upgrade,
}

/// Answers requests on `stream` until one of them upgrades it; none if the stream ends without an upgrade.
pub(crate) async fn serve<S>(
    stream: S,
    connection: ConnectionInfo,
    admission: Arc<Admission>,
    site: Arc<Site>,
) -> Option<Upgraded<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let _memory = admission.purse().charge_anyway(limits::HTTP_BYTES);
    let payer = Payer::new(admission.address().cloned());
    let router =
        Router { site: Arc::clone(&site), connection, admission, payer: Arc::clone(&payer), upgrade: Arc::default() };
    let Served { mut stream, read, service } = serve_requests(stream, payer, router, &site.hub.drain).await?;
    let upgrade = service.upgrade.lock().unwrap_or_else(PoisonError::into_inner).take();
    match upgrade {
        Some(upgrade) => {
            // That of the connection ends with its requests, and the connection may be that of a proxy, which counts apart.
            upgrade.admission.succeed(&service.admission);
            Some(Upgraded { stream, read, upgrade })
        }
        None => {
            lingering_close(&mut stream).await;
            None
        }
    }
}

/// The parts of a connection whose requests have been answered.
pub(crate) struct Served<S, D> {
    /// The stream.
    pub(crate) stream: S,
    /// The bytes after the last request that have been read already.
    pub(crate) read: bytes::Bytes,
    /// What has answered them.
    pub(crate) service: D,
}

/// Answers the requests on `stream` with `service`, within the limits for every client, until the stream ends or is
/// upgraded. What is sent counts for the address of `payer`. Returns the parts of the connection; none if a response had to be cut short.
pub(crate) async fn serve_requests<S, D>(
    stream: S,
    payer: Arc<Payer>,
    service: D,
    drain: &Drain,
) -> Option<Served<S, D>>
where
    S: AsyncRead + AsyncWrite + Unpin,
    D: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible, Future: Unpin> + Unpin,
{
    let pace = Pace::new();
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // The pace has deadlines of its own.
        .header_read_timeout(None)
        .max_buf_size(limits::HEAD_BYTES)
        .max_headers(limits::HEADERS)
        .serve_connection(
            TokioIo::new(Metered::new(stream, payer, Arc::clone(&pace))),
            Paced { inner: service, pace: Arc::clone(&pace) },
        );
    let mut clock = pin!(sleep(limits::HEAD_DEADLINE));
    let done = loop {
        let before = pace.written();
        let served = std::future::poll_fn(|cx| {
            if let Poll::Ready(done) = connection.poll_without_shutdown(cx) {
                return Poll::Ready(Some(done));
            }
            poll_clock(&pace, clock.as_mut(), cx).map(|()| None)
        });
        let draining = tokio::select! {
            // Without a result, the next request did not come in time.
            done = served => break done.unwrap_or(Ok(())),
            () = sleep(limits::PAGE_DEADLINE) => false,
            _ = drain.wait() => true,
        };
        if !draining && !pace.waits_for_client() {
            continue;
        }
        // The current response may end, but no further request begins.
        Pin::new(&mut connection).graceful_shutdown();
        let read = pace.written() - before;
        if draining || read < limits::PAGE_RATE * limits::PAGE_DEADLINE.as_secs() {
            let rest = std::future::poll_fn(|context| connection.poll_without_shutdown(context));
            // A client that still reads too slowly is disconnected.
            break timeout(limits::WRITE_DEADLINE, rest).await.ok()?;
        }
    };
    if let Err(error) = done {
        debug!(%error, "request failed");
    }
    let parts = connection.into_parts();
    Some(Served { stream: parts.io.into_inner().inner, read: parts.read_buf, service: parts.service.inner })
}

/// Ready when the next request is late.
fn poll_clock(pace: &Pace, mut clock: Pin<&mut Sleep>, cx: &mut Context<'_>) -> Poll<()> {
    let deadline = pace.deadline();
    if clock.deadline() != deadline {
        clock.as_mut().reset(deadline);
    }
    clock.poll(cx)
}

/// Closes a stream so that the client can still read the last response (a lingering close).
pub(crate) async fn lingering_close<S>(stream: &mut S)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let closed = async {
        if stream.shutdown().await.is_ok() {
            linger(stream).await;
        }
    };
    // The stream is closed now, whether or not the client closed in time.
    let _ = timeout(limits::CLOSE_DEADLINE, closed).await;
}

/// Answers the requests of one stream.
struct Router {
    site: Arc<Site>,
    connection: ConnectionInfo,
    admission: Arc<Admission>,
    /// Who pays for what is sent.
    payer: Arc<Payer>,
    /// Set by the request that upgrades the stream.
    upgrade: Arc<Mutex<Option<Upgrade>>>,
}

impl Service<Request<Incoming>> for Router {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let (site, connection, place) = (Arc::clone(&self.site), self.connection, Arc::clone(&self.upgrade));
        let admission = Arc::clone(&self.admission);
        if admission.address().is_none() {
            // A proxy's: what it is sent is for its client.
            self.payer.set(site.payer(request.headers(), connection));
        }
        Box::pin(async move {
            if !upgrade::is_upgrade(request.headers()) {
                let mut response = answer(&site, connection, &request).await;
                if !response.body_mut().charge(admission.purse()) {
                    let client = site.client(request.headers(), connection);
                    response = over_limit::response(OverLimit::Memory, client.is_behind_unknown_proxy());
                }
                return Ok(response);
            }
            let Some(way) = Way::of(request.uri().path()) else {
                return Ok(text(StatusCode::NOT_FOUND, "there is no WebSocket here: connect to / or /ws"));
            };
            let (response, upgrade) = upgrade::answer(&site, connection, Some(&admission), &request, way).await;
            *place.lock().unwrap_or_else(PoisonError::into_inner) = upgrade;
            Ok(response)
        })
    }
}

/// Answers a request that is not an upgrade.
pub(crate) async fn answer<B>(site: &Site, connection: ConnectionInfo, request: &Request<B>) -> Response<Body> {
    let response = route(site, connection, request).await;
    let path = &*path::for_log(request.uri().path());
    debug!(method = ?request.method(), path, status = response.status().as_u16(), "request");
    response
}

async fn route<B>(site: &Site, connection: ConnectionInfo, request: &Request<B>) -> Response<Body> {
    if request.method() == Method::OPTIONS {
        return response::options();
    }
    let path = &*path::comparable(request.uri().path());
    let name = match path {
        // The URLs of WebSockets also serve the page, so that an invite link and its WebSocket are one URL.
        "/" | "/ws" => Some("index.html"),
        path => path.strip_prefix('/'),
    };
    let known = match name {
        Some("healthz") => Some(text(StatusCode::OK, "ok")),
        #[cfg(feature = "page")]
        Some(about::NAME) => {
            Some(site.about.answer(request.headers(), site.client(request.headers(), connection).connection.ip()))
        }
        Some(name) => site.page.file(name, response::accepts_gzip(request.headers())).await.map(|file| {
            let mut response = response::file(request.headers(), file, &site.may_frame);
            let client = site.client(request.headers(), connection);
            if let Some(origin) = request.headers().get(header::ORIGIN)
                && site.origins.check(request.headers(), &client).is_ok()
            {
                response::allow_cross_origin(&mut response, origin);
            }
            if client.secure {
                response::isolate(&mut response);
            }
            response
        }),
        None => None,
    };
    #[cfg(feature = "wires")]
    let known = known.or_else(|| wires::answer(site, connection, request.headers(), name?));
    let known = known.or_else(|| site.trust.as_ref()?.answer(path, request.headers()));
    let known = known.or_else(|| Some(response::moved(&Page::moved(name?)?)));
    match known {
        None => text(StatusCode::NOT_FOUND, "not found"),
        Some(_) if request.method() != Method::GET && request.method() != Method::HEAD => method_not_allowed(),
        Some(response) => response,
    }
}
