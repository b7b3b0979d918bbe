//! The first requests on a stream: the page, the relay's health, and the upgrade that makes it a WebSocket; independent of
//! what is said over that.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};

use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::server::conn::http1::{self, Parts};
use hyper::service::{HttpService, Service};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{Error as WsError, ProtocolError};
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;
use tokio_tungstenite::tungstenite::protocol::Role;
use tracing::{debug, info};

use crate::drain::ShutdownSignal;
use crate::http::proxy::Client;
use crate::http::response::{self, Body, method_not_allowed, text};
use crate::limits;
use crate::net::info::ConnectionInfo;
use crate::peer::session::Session;
use crate::protocol::{ErrorCode, Join, Refusal};
use crate::relay::Relay;
use crate::room::names::{PeerId, PeerName, RoomName};
use crate::ws::connection::{lingering_close, websocket_config};

/// A stream that has become a WebSocket.
pub struct Upgraded<S> {
    /// The WebSocket.
    pub socket: WebSocketStream<S>,
    /// Who speaks over it.
    pub admission: Admission,
}

/// What the upgrade's URL led to.
#[derive(Debug)]
pub struct Admission {
    /// The peer's session, in its room if the URL named one.
    pub session: Session,
    /// Where the peer is.
    pub client: Client,
    /// Why the room of the URL does not take the peer; the `error` waits in the session's outbox.
    pub refused: Option<ErrorCode>,
}

/// Answers requests on `stream` until one of them upgrades it; none when the stream ends without.
pub async fn serve<S>(stream: S, connection: ConnectionInfo, relay: Arc<Relay>) -> Option<Upgraded<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let shutdown = relay.shutdown.clone();
    let config = websocket_config(relay.config.max_message_bytes);
    let parts = converse(stream, Door { relay, connection, admission: Mutex::default() }, shutdown).await?;
    let mut stream = parts.io.into_inner();
    let Some(admission) = parts.service.admission.into_inner().unwrap_or_else(PoisonError::into_inner) else {
        lingering_close(&mut stream).await;
        return None;
    };
    let socket = WebSocketStream::from_partially_read(stream, parts.read_buf.into(), Role::Server, Some(config)).await;
    Some(Upgraded { socket, admission })
}

/// Lets `service` answer the requests on `stream`, within the limits that every client is held to, until there are no more
/// or one of them was an upgrade; what is left then.
pub(crate) async fn converse<S, D>(stream: S, service: D, mut shutdown: ShutdownSignal) -> Option<Parts<TokioIo<S>, D>>
where
    S: AsyncRead + AsyncWrite + Unpin,
    D: HttpService<Incoming, ResBody = Body, Error = Infallible, Future: Unpin> + Unpin,
{
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits::HEAD_DEADLINE)
        .max_buf_size(limits::HEAD_BYTES)
        .max_headers(limits::HEADERS)
        .serve_connection(TokioIo::new(stream), service);
    let done = {
        let mut served = pin!(std::future::poll_fn(|context| connection.poll_without_shutdown(context)));
        tokio::select! {
            done = &mut served => Some(done),
            () = sleep(limits::PAGE_DEADLINE) => None,
            _ = shutdown.wait() => None,
        }
    };
    let done = match done {
        Some(done) => done,
        None => {
            // Lets a response that is under way end, but no further request begin.
            Pin::new(&mut connection).graceful_shutdown();
            let rest = std::future::poll_fn(|context| connection.poll_without_shutdown(context));
            // Who still reads that slowly is cut off.
            timeout(limits::WRITE_DEADLINE, rest).await.ok()?
        }
    };
    if let Err(error) = done {
        debug!(%error, "request failed");
    }
    Some(connection.into_parts())
}

/// Answers the requests of one stream.
struct Door {
    relay: Arc<Relay>,
    connection: ConnectionInfo,
    /// Filled by the request that upgrades the stream.
    admission: Mutex<Option<Admission>>,
}

impl Service<Request<Incoming>> for Door {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        if asks_for_upgrade(request.headers()) {
            let response = self.upgrade(&request).unwrap_or_else(|refusal| *refusal);
            debug!(path = request.uri().path(), status = response.status().as_u16(), "upgrade");
            return Box::pin(std::future::ready(Ok(response)));
        }
        let (relay, connection) = (Arc::clone(&self.relay), self.connection);
        Box::pin(async move {
            let response = answer(&relay, connection, &request).await;
            debug!(method = %request.method(), path = request.uri().path(), status = response.status().as_u16(), "request");
            Ok(response)
        })
    }
}

impl Door {
    /// Checks an upgrade, and lets the peer into the room that its URL names. Refusals are boxed: they are large and rare.
    fn upgrade(&self, request: &Request<Incoming>) -> Result<Response<Body>, Box<Response<Body>>> {
        if !matches!(request.uri().path(), "/" | "/ws") {
            return Err(text(StatusCode::NOT_FOUND, "no socket is here: dial / or /ws").into());
        }
        let response = handshake(request)?;
        let client = self.relay.client(request.headers(), self.connection);
        self.relay.origins.check(request.headers(), &client).map_err(|error| {
            info!(%client, %error, "refused a page");
            text(StatusCode::FORBIDDEN, &error.to_string())
        })?;
        if self.relay.shutdown.is_shutting_down() {
            return Err(text(StatusCode::SERVICE_UNAVAILABLE, "the relay is shutting down").into());
        }
        let admission = self.admit(request, client)?;
        *self.admission.lock().unwrap_or_else(PoisonError::into_inner) = Some(admission);
        Ok(response)
    }

    fn admit(&self, request: &Request<Incoming>, client: Client) -> Result<Admission, Box<Response<Body>>> {
        let mut session = self.relay.new_session();
        if request.uri().path() == "/ws" {
            return Ok(Admission { session, client, refused: None });
        }
        let query = request.uri().query().unwrap_or_default();
        let names_a_room = form_urlencoded::parse(query.as_bytes()).any(|(key, _)| key == "room");
        let joined = join_of_query(query).and_then(|join| session.join(join));
        match joined {
            Ok(()) => Ok(Admission { session, client, refused: None }),
            Err(refusal) if names_a_room => {
                session.outbox().push(refusal.encode(None));
                Ok(Admission { session, client, refused: Some(refusal.code) })
            }
            // A page that only ever dials the bare URL knows nothing of `error`: this is all that it can show.
            Err(refusal) => {
                let status = match refusal.code {
                    ErrorCode::RoomFull | ErrorCode::Internal => StatusCode::SERVICE_UNAVAILABLE,
                    ErrorCode::IdTaken => StatusCode::CONFLICT,
                    _ => StatusCode::BAD_REQUEST,
                };
                Err(text(status, &refusal.message).into())
            }
        }
    }
}

/// What `?room=R&name=N&id=I` asks for; the lobby without `room`.
fn join_of_query(query: &str) -> Result<Join, Refusal> {
    if percent_encoding::percent_decode_str(query).decode_utf8().is_err() {
        return Err(Refusal::new(ErrorCode::BadRoom, "the query of the URL is not UTF-8"));
    }
    let value = |key: &'static str| {
        let mut values =
            form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == key).map(|(_, value)| value);
        match (values.next(), values.next()) {
            (_, Some(_)) => Err(Refusal::new(ErrorCode::BadMessage, format!("the URL has {key:?} twice"))),
            (value, None) => Ok(value),
        }
    };
    let room = value("room")?.map_or(Ok(RoomName::lobby()), |room| RoomName::parse(&room))?;
    let name = value("name")?.map_or(Ok(None), |name| PeerName::parse(&name))?;
    let id = value("id")?.map(|id| PeerId::parse(&id)).transpose()?;
    Ok(Join { room, name, id })
}

fn asks_for_upgrade(headers: &HeaderMap) -> bool {
    let websocket =
        |value: &HeaderValue| value.to_str().is_ok_and(|value| value.to_ascii_lowercase().contains("websocket"));
    headers.get_all(header::UPGRADE).iter().any(websocket) || headers.contains_key(header::SEC_WEBSOCKET_KEY)
}

/// The answer that makes a stream a WebSocket, if the request keeps to RFC 6455 section 4.2.1.
fn handshake(request: &Request<Incoming>) -> Result<Response<Body>, Box<Response<Body>>> {
    for name in [header::HOST, header::SEC_WEBSOCKET_KEY, header::SEC_WEBSOCKET_VERSION] {
        if request.headers().get_all(&name).iter().count() > 1 {
            return Err(text(StatusCode::BAD_REQUEST, &format!("the header {name} is there twice")).into());
        }
    }
    if request.method() == Method::GET && !request.headers().contains_key(header::HOST) {
        return Err(text(StatusCode::BAD_REQUEST, "the header host is missing").into());
    }
    create_response_with_body(request, Body::default).map_err(|error| match error {
        WsError::Protocol(ProtocolError::WrongHttpMethod) => method_not_allowed().into(),
        WsError::Protocol(ProtocolError::MissingSecWebSocketVersionHeader) => {
            let mut response = text(StatusCode::UPGRADE_REQUIRED, "Sec-WebSocket-Version must be 13");
            response.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            response.into()
        }
        error => text(StatusCode::BAD_REQUEST, &format!("no WebSocket upgrade: {error}")).into(),
    })
}

/// Answers a request that asks for no upgrade.
async fn answer(relay: &Relay, connection: ConnectionInfo, request: &Request<Incoming>) -> Response<Body> {
    let path = request.uri().path();
    let name = match path {
        // Where a socket may be dialled, its page is: an invite link and its socket are one URL.
        "/" | "/ws" => Some("index.html"),
        path => path.strip_prefix('/'),
    };
    let known = match name {
        Some("healthz") => Some(text(StatusCode::OK, "ok")),
        Some(name) => relay.page.file(name).await.map(|file| {
            let mut response = response::file(request.headers(), file, &relay.config.allow_frame);
            let client = relay.client(request.headers(), connection);
            if let Some(origin) = request.headers().get(header::ORIGIN)
                && relay.origins.check(request.headers(), &client).is_ok()
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
    let known = known.or_else(|| relay.trust.as_ref()?.answer(path));
    match known {
        None => text(StatusCode::NOT_FOUND, "nothing is here"),
        Some(_) if request.method() != Method::GET && request.method() != Method::HEAD => method_not_allowed(),
        Some(response) => response,
    }
}
