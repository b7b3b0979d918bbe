//! The relay as a tower service inside another HTTP server, such as axum's.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tower_service::Service;
use tracing::debug;

use crate::http::body::Body;
use crate::http::way::Way;
use crate::http::{service, upgrade};
use crate::net::info::ConnectionInfo;
use crate::relay::Relay;
use crate::serve::Opened;
use crate::ws::Opaque;

/// A [`Relay`] as a tower service; made by [`Relay::service`].
///
/// It serves the same paths as a [`Server`](crate::Server): mount it so that it sees `/` and `/ws`, as axum's
/// `nest_service` does. Give that a path which ends with a slash, and redirect from the one without: the addresses in the call
/// page are relative, and without the slash it would be blank (`examples/axum.rs`). An upgrade on any other path (axum's `route_service`) joins a room by its URL, unless the path
/// ends in `/ws`.
///
/// Its WebSockets count towards all limits. Its pages do not, because their connections are the other server's.
///
/// A request may have the [`ConnectionInfo`] of its connection in its extensions. Without it, the client's address is
/// unknown, and the request counts as one over a Unix socket: the relay believes its `X-Forwarded-` headers only if
/// [`TrustedProxy::Unix`](crate::TrustedProxy::Unix) is trusted.
#[derive(Debug, Clone)]
pub struct RelayService(pub(crate) Arc<Relay>);

impl Relay {
    /// This relay as a service for another HTTP server.
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
            // The relay does not read the body: none of its requests has one.
            let upgrading = hyper::upgrade::on(&mut request);
            let request = request.map(drop);
            if !upgrade::is_upgrade(request.headers()) {
                return Ok(service::answer(&relay.site, connection, &request).await);
            }
            let way = Way::of_mounted(request.uri().path());
            let (response, upgrade) = upgrade::answer(&relay.site, connection, None, &request, way).await;
            if let Some(upgrade) = upgrade {
                let drain = Arc::clone(&relay.hub().drain);
                drain.spawn(async move {
                    match upgrading.await {
                        Ok(stream) => match &mut relay.open_websocket(Opaque(TokioIo::new(stream)), &[], upgrade) {
                            Opened::Own(websocket) => websocket.serve(&relay).await,
                            #[cfg(feature = "wires")]
                            Opened::Other(websocket) => websocket.serve(&relay).await,
                        },
                        Err(error) => debug!(%error, "the upgrade was lost"),
                    }
                });
            }
            Ok(response)
        })
    }
}
