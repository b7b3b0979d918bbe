//! The relay as a service inside another HTTP server: axum's, or any of hyper's and tower's.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tower_service::Service;
use tracing::debug;

use crate::http::response::Body;
use crate::http::{service, upgrade};
use crate::net::info::ConnectionInfo;
use crate::relay::Relay;
use crate::ws::Opaque;

/// A [`Relay`] as a tower service, by [`Relay::service`].
///
/// It answers what a relay of its own answers on the same paths: mount it so that it sees `/` and `/ws`, as axum's
/// `nest_service` does. Where it sees another path (axum's `route_service`), that path joins a room by its URL, and one that
/// ends in `/ws` joins none.
///
/// A request may carry the [`ConnectionInfo`] of its connection in its extensions. Where it does not, the client's
/// address is unknown, and only what proxies on a Unix socket say would be believed.
#[derive(Debug, Clone)]
pub struct RelayService(pub(crate) Arc<Relay>);

impl Relay {
    /// This relay as a service of another HTTP server.
    pub fn service(self: &Arc<Self>) -> RelayService {
        RelayService(Arc::clone(self))
    }
}

impl<B: Send + 'static> Service<Request<B>> for RelayService {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let relay = Arc::clone(&self.0);
        let connection = request.extensions().get().copied().unwrap_or_else(ConnectionInfo::unix);
        Box::pin(async move {
            // The body is not read: none of the requests that the relay answers has one.
            let upgrading = hyper::upgrade::on(&mut request);
            let request = request.map(drop);
            if !upgrade::is_upgrade(request.headers()) {
                return Ok(service::answer(&relay, connection, &request).await);
            }
            let (response, upgrade) = upgrade::answer(&relay, connection, &request).await;
            if let Some(upgrade) = upgrade {
                let drain = Arc::clone(relay.drain());
                drain.spawn(async move {
                    match upgrading.await {
                        Ok(stream) => {
                            relay.open_websocket(Opaque(TokioIo::new(stream)), &[], upgrade).serve(&relay).await
                        }
                        Err(error) => debug!(%error, "the upgrade was lost"),
                    }
                });
            }
            Ok(response)
        })
    }
}
