//! The port for other relays: by it come the clients whose rooms live here, from relays that are doors for them.
//!
//! Who is let in has shown the certificate of a relay that is known. It is served by the code that serves clients behind a
//! proxy, and what it says of its client is believed. Everybody else is refused in the handshake.

use std::convert::Infallible;
use std::fmt;
use std::future::{Ready, ready};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::FutureExt;
use hyper::body::Incoming;
use hyper::service::Service;
use hyper::{Method, Request, Response, StatusCode};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::{debug, info};

use crate::cluster::alive::Links;
use crate::cluster::dial::set_buffers;
use crate::cluster::directory::Directory;
use crate::cluster::identity::{Identity, fingerprint_of};
use crate::cluster::paths::{ALIVE, PREFIX, ROOMS};
use crate::cluster::relays::{Fingerprint, Neighbour, Relays};
use crate::drain::Drain;
use crate::http::body::Body;
use crate::http::metered::Payer;
use crate::http::response::text;
use crate::http::service::{Served, lingering_close, serve_requests};
use crate::http::site::Site;
use crate::http::upgrade::{self, Upgrade};
use crate::http::way::Way;
use crate::http::{over_limit, path};
use crate::limits::{self, BACKLOG, HTTP_BYTES, STRANGER_LINGER, TLS_BUFFER_BYTES, TLS_BYTES, TLS_DEADLINE};
use crate::net::accept::Accept;
use crate::net::counted::Counted;
use crate::net::info::ConnectionInfo;
use crate::net::system;
use crate::quota::{Admission, OverLimit, QuotaSettings, Quotas, RefusalPermit};
use crate::relay::Relay;
use crate::serve::Opened;
use crate::ws::linger;

/// A connection from another relay.
type DoorStream = TlsStream<Counted<TcpStream>>;

/// What the port asks about this relay.
pub(crate) trait Residence: fmt::Debug + Send + Sync {
    /// Whether the room lives here whose name has this hash.
    fn has_room(&self, hash: &str) -> bool;

    /// Whether this relay gives its rooms away.
    fn is_draining(&self) -> bool;
}

impl Residence for Directory {
    fn has_room(&self, hash: &str) -> bool {
        hash.parse().is_ok_and(|key| self.has(key))
    }

    fn is_draining(&self) -> bool {
        Self::is_draining(self)
    }
}

/// The port for other relays.
pub(crate) struct Port {
    tls: TlsAcceptor,
    /// The fingerprint of this relay's certificate.
    own: Fingerprint,
    relays: Arc<Relays>,
    links: Arc<Links>,
    residence: Arc<dyn Residence>,
    /// What those use who have shown no certificate yet, and do not come from the address of a known relay.
    strangers: Arc<Quotas>,
    /// What those use who come from there: strangers do not keep relays out.
    nearby: Arc<Quotas>,
    /// The end of this port: later than that of the relay, which other relays must not take for dead while its own clients are
    /// with them.
    end: Drain,
}

/// Listens on `address`. The buffers are set before: the windows that the sockets offer follow from them.
///
/// # Errors
/// When this machine has no such address, or another program listens there.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    system::claim_address(&socket)?;
    set_buffers(&socket)?;
    socket.bind(&address.into())?;
    socket.set_nonblocking(true)?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

impl Port {
    /// A port where this relay is `identity`, and lets in `relays`.
    ///
    /// # Errors
    /// When the key cannot be used.
    pub(crate) fn new(
        identity: &Identity,
        relays: Arc<Relays>,
        links: Arc<Links>,
        residence: Arc<dyn Residence>,
    ) -> anyhow::Result<Self> {
        let quotas = |max_connections| {
            let address_connections = limits::STRANGERS_OF_ADDRESS;
            Quotas::new(&QuotaSettings { address_connections, max_connections, ..QuotaSettings::default() })
        };
        let (strangers, nearby) = (quotas(Some(limits::STRANGERS)), quotas(None));
        let tls = TlsAcceptor::from(Arc::new(identity.server(Arc::clone(&relays))?));
        Ok(Self { tls, own: identity.fingerprint(), relays, links, residence, strangers, nearby, end: Drain::new() })
    }

    /// Serves what comes to `listener` for `relay`, until that has shut down and its clients are with no other relay any more.
    pub(crate) async fn serve(self: Arc<Self>, listener: TcpListener, relay: Arc<Relay>) {
        tokio::select! {
            () = Arc::clone(&self).accept(listener, &relay) => {}
            () = self.links.outlive(&relay.hub().drain) => {}
        }
        self.end.begin();
    }

    async fn accept(self: Arc<Self>, mut listener: TcpListener, relay: &Arc<Relay>) {
        let drain = Arc::clone(&relay.hub().drain);
        loop {
            let (stream, connection) = Accept::accept(&mut listener).await;
            let is_nearby = connection.ip().is_some_and(|ip| self.relays.has_address(ip));
            let Some(stranger) = self.admit(connection, is_nearby) else { continue };
            let quotas = &relay.hub().quotas;
            // The address of a relay does not count, but its connections do.
            let admitted = quotas.admit(None).map_err(|over| (over, quotas.refuse(over, connection)));
            // However full it is here, another relay hears an answer: without one, it takes this one for dead.
            if !is_nearby && matches!(admitted, Err((_, None))) {
                continue;
            }
            let (port, relay) = (Arc::clone(&self), Arc::clone(relay));
            drain.spawn(port.serve_one(relay, stream, connection, stranger, admitted));
        }
    }

    /// Admits a connection, of which nothing but its address is known, and whether that is one of a relay.
    fn admit(&self, connection: ConnectionInfo, is_nearby: bool) -> Option<Arc<Admission>> {
        let ip = connection.ip();
        let quotas = if is_nearby { &self.nearby } else { &self.strangers };
        let refused = match quotas.admit(ip) {
            // One that has just started is not known at first, and each of its clients tries until it is.
            Ok(admission) if is_nearby || !admission.has_failed_too_often() => return Some(admission),
            Ok(_) => "too many of its handshakes have failed",
            Err(_) => "too many handshakes are under way",
        };
        if quotas.may_log_refusal(ip, OverLimit::Memory) {
            info!(address = %connection, why = refused, "refused a connection at the port for relays");
        }
        None
    }

    /// Serves one connection.
    fn serve_one(
        self: Arc<Self>,
        relay: Arc<Relay>,
        stream: TcpStream,
        connection: ConnectionInfo,
        stranger: Arc<Admission>,
        admitted: Result<Arc<Admission>, (OverLimit, Option<RefusalPermit>)>,
    ) -> impl Future<Output = ()> + Send {
        // Boxed, so that a WebSocket does not keep the memory that came before it.
        let opened = async move {
            let memory = admitted.as_ref().ok().map(|admission| admission.purse().charge_anyway(TLS_BYTES));
            let (stream, neighbour) = tokio::select! {
                shaken = self.shake_hands(stream, connection, stranger) => shaken?,
                _ = self.end.wait() => return None,
            };
            let info = ConnectionInfo::door(neighbour.address);
            let admission = match admitted {
                Ok(admission) => admission,
                Err((over, _permit)) => {
                    over_limit::serve(stream, true, over).await;
                    return None;
                }
            };
            let (stream, read, upgrade) = self.serve_relay(&relay, stream, info, admission).await?;
            let guest = self.links.with(&neighbour).guest(&upgrade.speaker.outbox());
            Some((relay.open_websocket(stream, &read, upgrade), relay, guest, memory))
        };
        let opened = opened.boxed();
        async move {
            if let Some((mut opened, relay, _guest, _memory)) = opened.await {
                match &mut opened {
                    Opened::Own(websocket) => websocket.serve(&relay).await,
                    // No relay asks another one for that.
                    #[cfg(feature = "wires")]
                    Opened::Other(_) => {}
                }
            }
        }
    }

    /// The stream after the handshake, and whose it is; none if it is no relay's, which the log says.
    async fn shake_hands(
        &self,
        stream: TcpStream,
        connection: ConnectionInfo,
        stranger: Arc<Admission>,
    ) -> Option<(DoorStream, Arc<Neighbour>)> {
        let handshake = self.tls.accept(Counted::new(stream)).into_fallible();
        let why = match timeout(TLS_DEADLINE, handshake).await {
            Ok(Ok(mut stream)) => {
                stream.get_mut().1.set_buffer_limit(Some(TLS_BUFFER_BYTES));
                match self.relay_of(&stream) {
                    Some(neighbour) if neighbour.is_understood() => return Some((stream, neighbour)),
                    Some(_) => "this relay does not understand its version".to_owned(),
                    // This relay tries whether it is reached here.
                    None if self.is_own(&stream) => return None,
                    None => "its relay has ended".to_owned(),
                }
            }
            Ok(Err((error, mut stream))) => {
                self.note_failure(&stranger, connection, &error.to_string());
                let farewell = async {
                    if stream.shutdown().await.is_ok() {
                        linger(&mut stream).await;
                    }
                };
                let _ = timeout(STRANGER_LINGER, farewell).await;
                return None;
            }
            Err(_) => "it took too long".to_owned(),
        };
        self.note_failure(&stranger, connection, &why);
        None
    }

    fn note_failure(&self, stranger: &Admission, connection: ConnectionInfo, why: &str) {
        stranger.charge_failed_handshake();
        if stranger.may_log() {
            info!(address = %connection, ?why, "no known relay at the port for relays");
        }
    }

    /// The relay whose certificate was shown.
    fn relay_of(&self, stream: &DoorStream) -> Option<Arc<Neighbour>> {
        self.relays.with_fingerprint(shown(stream)?)
    }

    /// Whether the certificate that was shown is that of this relay.
    fn is_own(&self, stream: &DoorStream) -> bool {
        shown(stream) == Some(self.own)
    }

    /// Answers the requests of a relay until one of them upgrades the stream.
    async fn serve_relay(
        &self,
        relay: &Arc<Relay>,
        stream: DoorStream,
        connection: ConnectionInfo,
        admission: Arc<Admission>,
    ) -> Option<(DoorStream, bytes::Bytes, Upgrade)> {
        let _memory = admission.purse().charge_anyway(HTTP_BYTES);
        let router = DoorRouter {
            site: Arc::clone(&relay.site),
            residence: Arc::clone(&self.residence),
            connection,
            admission: Arc::clone(&admission),
            upgrade: Arc::default(),
        };
        // What is sent to a relay counts for no address.
        let served = serve_requests(stream, Payer::new(None), router, &self.end).await?;
        let Served { mut stream, read, service } = served;
        let upgrade = service.upgrade.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(upgrade) = upgrade else {
            lingering_close(&mut stream).await;
            return None;
        };
        upgrade.admission.succeed(&admission);
        Some((stream, read, upgrade))
    }
}

/// The fingerprint of the certificate that was shown.
fn shown(stream: &DoorStream) -> Option<Fingerprint> {
    stream.get_ref().1.peer_certificates()?.first().map(fingerprint_of)
}

impl fmt::Debug for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Port").finish_non_exhaustive()
    }
}

/// Answers the requests of one relay.
struct DoorRouter {
    site: Arc<Site>,
    residence: Arc<dyn Residence>,
    connection: ConnectionInfo,
    admission: Arc<Admission>,
    /// Set by the request that upgrades the stream.
    upgrade: Arc<Mutex<Option<Upgrade>>>,
}

impl DoorRouter {
    /// The answer to what is no upgrade; none if it is one.
    fn answer(&self, request: &Request<Incoming>) -> Option<Response<Body>> {
        let Some(path) = request.uri().path().strip_prefix(PREFIX) else {
            return Some(text(StatusCode::NOT_FOUND, "this port is for other relays of the cluster"));
        };
        let asks_for_life = path == ALIVE && request.method() == Method::HEAD;
        if !asks_for_life && (self.residence.is_draining() || self.site.hub.drain.has_begun()) {
            return Some(text(StatusCode::MISDIRECTED_REQUEST, "the relay is shutting down"));
        }
        let is_here = match path {
            ALIVE => true,
            _ => match path.strip_prefix(ROOMS) {
                Some(hash) => self.residence.has_room(hash),
                None if upgrade::is_upgrade(request.headers()) && matches!(&*path::comparable(path), "/" | "/ws") => {
                    return None;
                }
                None => false,
            },
        };
        let is_right = request.method() == Method::HEAD || request.method() == Method::GET;
        Some(match (is_here, is_right) {
            (_, false) => crate::http::response::method_not_allowed(),
            (true, _) => text(StatusCode::OK, "ok"),
            (false, _) => text(StatusCode::NOT_FOUND, "not found"),
        })
    }
}

impl Service<Request<Incoming>> for DoorRouter {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        if let Some(answer) = self.answer(&request) {
            debug!(path = request.uri().path(), status = answer.status().as_u16(), "another relay asks");
            let answer: Ready<Result<_, Infallible>> = ready(Ok(answer));
            return Box::pin(answer);
        }
        let (site, connection, place) = (Arc::clone(&self.site), self.connection, Arc::clone(&self.upgrade));
        let admission = Arc::clone(&self.admission);
        Box::pin(async move {
            let way = Way::of_mounted(request.uri().path());
            let (response, upgrade) = upgrade::answer(&site, connection, Some(&admission), &request, way).await;
            *place.lock().unwrap_or_else(PoisonError::into_inner) = upgrade;
            Ok(response)
        })
    }
}

#[cfg(test)]
mod tests;
