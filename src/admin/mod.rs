//! The address for operators: whether the relay lives and is ready, its metrics, and an API by which
//! the application's own server speaks and acts ([`api`]), and a page for people that uses it ([`page`]).
//!
//! It is apart from the address for clients: with connections of its own, so that a full relay can be looked at, and with
//! rules of its own about who may ask ([`guard`]). `--allow-origin` and `--trusted-proxy` do not count here.

mod api;
mod guard;
mod metrics;
mod page;
mod process;
mod slots;
#[cfg(test)]
mod tests;
mod writer;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;

use anyhow::{Context, ensure};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tracing::{debug, warn};

use crate::http::body::Body;
use crate::http::response::{set, text};
use crate::limits;
use crate::net::accept::Accept;
use crate::net::listen::Listener;
use crate::net::read;
use crate::net::tls::{MaybeTlsStream, Tls};
use crate::relay::Relay;
use crate::secret::Secret;
use guard::Guard;
use metrics::Scrape;
use slots::{Busy, Slots};

/// What the address for operators needs.
#[derive(Debug)]
pub(crate) struct Admin {
    listeners: Vec<Listener>,
    guard: Arc<Guard>,
    /// The TLS of the relay, if it has any.
    tls: Option<Arc<Tls>>,
    slots: Slots,
    streams: api::Streams,
}

/// Answers the requests of one listener.
#[derive(Clone)]
struct Endpoint {
    relay: Arc<Relay>,
    guard: Arc<Guard>,
    slots: Slots,
    streams: api::Streams,
    /// The TLS of the relay, if it has any.
    tls: Option<Arc<Tls>>,
    is_secure: bool,
}

impl Admin {
    /// Answers on these listeners, to those who show the token in the file, if there is one; over TCP with TLS, if the
    /// relay has it, unless the address is loopback.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub(crate) fn new(
        listeners: Vec<Listener>,
        token_file: Option<&Path>,
        tls: Option<Arc<Tls>>,
    ) -> anyhow::Result<Self> {
        let guard = Arc::new(Guard::new(token_file.map(read_token).transpose()?));
        Ok(Self { listeners, guard, tls, slots: Slots::default(), streams: api::Streams::default() })
    }

    /// The URLs and the paths of sockets at which it answers.
    pub(crate) fn addresses(&self) -> Vec<String> {
        let name = |listener: &Listener| match listener {
            Listener::Tcp(_) => {
                let address = listener.local_addr()?;
                let scheme = if self.tls_for(address).is_some() { "https" } else { "http" };
                Some(format!("{scheme}://{address}/"))
            }
            Listener::Unix(socket) => Some(format!("unix:{}", socket.path()?.display())),
        };
        self.listeners.iter().filter_map(name).collect()
    }

    fn tls_for(&self, address: SocketAddr) -> Option<Arc<Tls>> {
        self.tls.clone().filter(|_| !address.ip().is_loopback())
    }

    /// Answers until this is dropped.
    pub(crate) async fn serve(mut self, relay: Arc<Relay>) {
        let mut endpoints = tokio::task::JoinSet::new();
        for listener in std::mem::take(&mut self.listeners) {
            let tls = listener.local_addr().and_then(|address| self.tls_for(address));
            if let Some(address) = listener.local_addr()
                && tls.is_none()
                && !address.ip().is_loopback()
            {
                warn!(%address, "the address for operators has no TLS: its token can be read on the network");
            }
            let endpoint = Endpoint {
                relay: Arc::clone(&relay),
                guard: Arc::clone(&self.guard),
                slots: self.slots.clone(),
                streams: self.streams.clone(),
                tls: self.tls.clone(),
                is_secure: tls.is_some(),
            };
            endpoints.spawn(endpoint.accept_from(listener, tls));
        }
        while endpoints.join_next().await.is_some() {}
    }
}

/// With it ends all that it serves.
impl Drop for Admin {
    fn drop(&mut self) {
        self.slots.close();
    }
}

impl Endpoint {
    async fn accept_from(self, listener: Listener, tls: Option<Arc<Tls>>) {
        match listener {
            Listener::Tcp(mut listener) => loop {
                let (stream, _) = Accept::accept(&mut listener).await;
                let (endpoint, tls) = (self.clone(), tls.clone());
                self.slots.spawn(move |busy| async move {
                    match tls {
                        None => endpoint.serve(stream, busy).await,
                        Some(tls) => match tls.accept(stream).await {
                            Ok(MaybeTlsStream::Tls(stream)) => endpoint.serve(*stream, busy).await,
                            Ok(MaybeTlsStream::Plain(_)) => debug!("a request for operators came without TLS"),
                            Err(error) => debug!(%error, "no TLS handshake at the address for operators"),
                        },
                    }
                });
            },
            Listener::Unix(mut listener) => loop {
                let (stream, _) = Accept::accept(&mut listener).await;
                let endpoint = self.clone();
                self.slots.spawn(move |busy| async move { endpoint.serve(stream, busy).await });
            },
        }
    }

    async fn serve<S>(self, stream: S, busy: Busy)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let answer = |request: Request<Incoming>| {
            let answered = self.answer(request, &busy);
            async move { Ok::<_, Infallible>(answered.await) }
        };
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits::HEAD_DEADLINE)
            .max_buf_size(limits::HEAD_BYTES)
            .max_headers(limits::HEADERS)
            .serve_connection(TokioIo::new(stream), service_fn(answer));
        let mut connection = pin!(connection);
        let served = match timeout(limits::ADMIN_DEADLINE, connection.as_mut()).await {
            Ok(served) => served,
            // What is being done is done, so that nobody has to guess whether it was.
            Err(_) => {
                connection.as_mut().graceful_shutdown();
                let last = if busy.is_streaming() { limits::LIVE_DEADLINE } else { limits::ADMIN_LAST_ANSWER };
                timeout(last, connection).await.unwrap_or(Ok(()))
            }
        };
        if let Err(error) = served {
            debug!(%error, "a request for operators failed");
        }
    }

    async fn answer(&self, request: Request<Incoming>, busy: &Busy) -> Response<Body> {
        let is_head = request.method() == Method::HEAD;
        let mut response = self.respond(request, busy).await;
        if is_head {
            *response.body_mut() = Body::default();
        }
        response
    }

    async fn respond(&self, request: Request<Incoming>, busy: &Busy) -> Response<Body> {
        let path = request.uri().path();
        let is_probe = matches!(path, "/livez" | "/readyz");
        let page = page::file(path);
        let is_api = path.starts_with(api::ROOT);
        if let Err(refusal) = self.guard.check(request.headers(), self.is_secure, is_probe || page.is_some()) {
            return refusal.response(is_api);
        }
        if is_api {
            return api::answer(self.relay.hub(), request, busy, &self.streams).await;
        }
        let _busy = busy.begin();
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are supported here");
            set(&mut response, header::ALLOW, "GET, HEAD");
            return response;
        }
        if let Some(file) = page {
            return file.response();
        }
        match path {
            "/livez" => text(StatusCode::OK, "ok"),
            "/readyz" if self.relay.hub().drain.has_begun() => {
                text(StatusCode::SERVICE_UNAVAILABLE, "the relay shuts down")
            }
            "/readyz" if self.relay.hub().rooms.is_draining() => {
                text(StatusCode::SERVICE_UNAVAILABLE, "an operator drains the relay")
            }
            #[cfg(feature = "cluster")]
            "/readyz" if self.relay.cluster.as_ref().is_some_and(|cluster| !cluster.was_reached()) => {
                text(StatusCode::SERVICE_UNAVAILABLE, "Redis has not been reached yet")
            }
            "/readyz" => text(StatusCode::OK, "ok"),
            "/metrics" => {
                let scrape = Scrape { relay: Arc::clone(&self.relay), tls: self.tls.clone() };
                let mut response = text(StatusCode::OK, "");
                *response.body_mut() = Body::from(scrape.text());
                set(&mut response, header::CONTENT_TYPE, metrics::CONTENT_TYPE);
                response
            }
            _ => text(StatusCode::NOT_FOUND, "there are /, /livez, /readyz, /metrics and /api/openapi.json"),
        }
    }
}

/// The token in the file of `--admin-token-file`.
///
/// # Errors
/// When the file cannot be used, or others can read it.
pub(crate) fn read_token(file: &Path) -> anyhow::Result<Secret> {
    let read = || {
        let token = read::secret(file)?;
        ensure!(!token.is_empty(), "{} has no token", file.display());
        ensure!(
            token.iter().all(u8::is_ascii_graphic),
            "the token in {} has spaces or other characters that no header can carry; make one with `openssl rand -hex 32`",
            file.display()
        );
        if token.len() < limits::ADMIN_TOKEN_BYTES {
            warn!(
                file = %file.display(),
                "the token has {} bytes, so that somebody may guess it; make one with `openssl rand -hex 32`",
                token.len()
            );
        }
        Ok(Secret::new(String::from_utf8(token)?))
    };
    read().context("--admin-token-file")
}
