//! The upgrade request (RFC 6455 section 4.2): whether the client may connect, and which room its URL names.
//!
//! The client joins the room of its URL before the relay answers the request. So the relay can refuse the bare URL with
//! an HTTP status, and a client is in its room as soon as it is connected. If the response is lost, the session is
//! dropped, and leaves the room.

use std::net::IpAddr;
use std::sync::Arc;

use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use tokio_tungstenite::tungstenite::error::{Error as WsError, ProtocolError};
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;
use tracing::{debug, info};

use super::body::Body;
use super::over_limit;
use super::proxy::Client;
use super::response::{method_not_allowed, text};
use super::site::Site;
use crate::drain::Registration;
use crate::net::info::ConnectionInfo;
use crate::peer::{Hub, JoinRefusal, RelayEvent, Session};
use crate::protocol::{ErrorCode, Join, Refusal};
use crate::quota::Admission;
use crate::room::names::{PeerId, PeerName, RoomName};
use crate::secret::Secret;

/// The subprotocol of the relay (RFC 6455 section 1.9). No client needs it; but a browser that offers subprotocols
/// fails the connection if the server selects none.
pub(crate) const SUBPROTOCOL: &str = "signaling-relay";

/// An accepted upgrade: its client, and the session for it.
#[derive(Debug)]
pub(crate) struct Upgrade {
    /// The client.
    pub client: Client,
    /// What it counts as.
    pub admission: Arc<Admission>,
    /// Its session, in a room if the URL names one.
    pub session: Session,
    /// Its registration with the drain.
    pub registration: Registration,
    /// Why the client cannot join the room of the URL, if that is so; the `error` is in the session's outbox.
    pub refused: Option<ErrorCode>,
}

/// Whether a request asks for a WebSocket.
pub(crate) fn is_upgrade(headers: &HeaderMap) -> bool {
    let websocket =
        |value: &HeaderValue| value.to_str().is_ok_and(|value| value.to_ascii_lowercase().contains("websocket"));
    headers.get_all(header::UPGRADE).iter().any(websocket) || headers.contains_key(header::SEC_WEBSOCKET_KEY)
}

/// Answers a request that asks for a WebSocket. Returns the upgrade too, unless the relay refuses it. `admission` is
/// that of the connection; none if another HTTP server accepted it.
pub(crate) async fn answer<B>(
    site: &Site,
    connection: ConnectionInfo,
    admission: Option<&Arc<Admission>>,
    request: &Request<B>,
) -> (Response<Body>, Option<Upgrade>) {
    let accepted = accept(site, connection, admission, request).await;
    let (response, upgrade) = match accepted {
        Ok((response, upgrade)) => (response, Some(upgrade)),
        Err(refusal) => (*refusal, None),
    };
    debug!(path = request.uri().path(), status = response.status().as_u16(), "upgrade");
    (response, upgrade)
}

/// Checks the request, and joins the room of its URL. Refusals are boxed, because they are large and rare.
async fn accept<B>(
    site: &Site,
    connection: ConnectionInfo,
    admission: Option<&Arc<Admission>>,
    request: &Request<B>,
) -> Result<(Response<Body>, Upgrade), Box<Response<Body>>> {
    let headers = request.headers();
    let client = site.client(headers, connection);
    let admission = admit(site, &client, admission)?;
    let response = handshake(request)?;
    site.origins.check(headers, &client).map_err(|error| {
        let error = error.to_string();
        if admission.may_log() {
            // `?` quotes and escapes what the client sent, so that it cannot forge a field of the line.
            info!(%client, ?error, "refused a page");
        }
        text(StatusCode::FORBIDDEN, &error)
    })?;
    if site.hub.drain.has_begun() {
        return Err(text(StatusCode::SERVICE_UNAVAILABLE, "the relay is shutting down").into());
    }
    let origin = headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok());
    let (mut session, registration) = open_session(&site.hub, client.ip, origin, &admission);
    let mut refused = None;
    if !request.uri().path().ends_with("/ws") {
        let query = request.uri().query().unwrap_or_default();
        if let Err(refusal) = join(&mut session, query).await {
            if !has_room(query) {
                // A client that uses the bare URL may not know `error` messages: the HTTP status is all that it can
                // show.
                return Err(match refusal {
                    JoinRefusal::OverLimit(over) => over_limit::response(over, client.is_behind_unknown_proxy()),
                    JoinRefusal::Other(refusal) => text(status_of(refusal.code), &refusal.message),
                }
                .into());
            }
            let refusal = Refusal::from(refusal);
            session.refuse(&refusal, None);
            refused = Some(refusal.code);
        }
    }
    Ok((response, Upgrade { client, admission, session, registration, refused }))
}

/// Admits the client that asks for a WebSocket, and counts the upgrade, whatever becomes of it.
fn admit(
    site: &Site,
    client: &Client,
    admission: Option<&Arc<Admission>>,
) -> Result<Arc<Admission>, Box<Response<Body>>> {
    let ip = client.counted_ip(&site.trusted_proxies);
    let admitted = site.hub.quotas.admit_client(admission, ip);
    let admitted = admitted.and_then(|admission| admission.take_upgrade().map(|()| admission));
    admitted.map_err(|over| {
        if site.hub.quotas.may_log_refusal(ip, over) {
            info!(%client, why = %over, "refused an upgrade");
        }
        over_limit::response(over, client.is_behind_unknown_proxy()).into()
    })
}

/// A new session in no room, with full rate limits, for the client of `admission`; and its registration.
fn open_session(
    hub: &Arc<Hub>,
    address: Option<IpAddr>,
    origin: Option<&str>,
    admission: &Admission,
) -> (Session, Registration) {
    let outbox = hub.new_outbox(admission.purse());
    let registration = hub.drain.register(&outbox);
    let connection = outbox.id().number();
    hub.observe(|| RelayEvent::Connected { connection, address });
    let rate = hub.quotas.rate_limiter(admission.address());
    (Session::new(Arc::clone(hub), connection, outbox, rate, address, origin), registration)
}

/// The response that switches to WebSocket, if the request is valid (RFC 6455 section 4.2.1).
fn handshake<B>(request: &Request<B>) -> Result<Response<Body>, Box<Response<Body>>> {
    let headers = request.headers();
    for name in [header::HOST, header::SEC_WEBSOCKET_KEY, header::SEC_WEBSOCKET_VERSION] {
        if headers.get_all(&name).iter().count() > 1 {
            return Err(text(StatusCode::BAD_REQUEST, &format!("the header {name} is present twice")).into());
        }
    }
    if request.method() == Method::GET && !headers.contains_key(header::HOST) {
        return Err(text(StatusCode::BAD_REQUEST, "the header host is missing").into());
    }
    let mut response = create_response_with_body(request, Body::default).map_err(|error| match error {
        WsError::Protocol(ProtocolError::WrongHttpMethod) => method_not_allowed(),
        WsError::Protocol(ProtocolError::MissingSecWebSocketVersionHeader) => {
            let mut response = text(StatusCode::UPGRADE_REQUIRED, "Sec-WebSocket-Version must be 13");
            response.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            response
        }
        error => text(StatusCode::BAD_REQUEST, &format!("no WebSocket upgrade: {error}")),
    })?;
    if offers_subprotocol(headers) {
        response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    }
    Ok(response)
}

fn offers_subprotocol(headers: &HeaderMap) -> bool {
    let offered = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    offered.flat_map(|value| value.split(',')).any(|one| one.trim() == SUBPROTOCOL)
}

/// Joins the room that the URL names.
async fn join(session: &mut Session, query: &str) -> Result<(), JoinRefusal> {
    session.join_by_url(join_from_query(query)?).await
}

fn has_room(query: &str) -> bool {
    form_urlencoded::parse(query.as_bytes()).any(|(key, _)| key == "room")
}

/// The join that `?room=R&name=N&id=I&resume=1` asks for; the room is `lobby` without `room`.
fn join_from_query(query: &str) -> Result<Join, Refusal> {
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
    let token = value("token")?.map(Secret::new);
    let resume = match value("resume")?.as_deref() {
        None | Some("0") => false,
        Some("1") => true,
        Some(_) => return Err(Refusal::new(ErrorCode::BadMessage, "\"resume\" in the URL must be 1 or 0")),
    };
    // No password: proxies log queries.
    Ok(Join { room, name, id, token, password: None, resume })
}

fn status_of(code: ErrorCode) -> StatusCode {
    match code {
        code if code.is_retryable() => StatusCode::SERVICE_UNAVAILABLE,
        ErrorCode::IdTaken => StatusCode::CONFLICT,
        ErrorCode::Unauthorized | ErrorCode::WrongPassword => StatusCode::UNAUTHORIZED,
        ErrorCode::Denied => StatusCode::FORBIDDEN,
        _ => StatusCode::BAD_REQUEST,
    }
}
