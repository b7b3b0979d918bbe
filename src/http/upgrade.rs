//! The upgrade request (RFC 6455 section 4.2): whether the client may connect, and which room its URL names.
//!
//! The client joins the room of its URL before the relay answers the request. So the relay can refuse the bare URL with
//! an HTTP status, and a client is in its room as soon as it is connected. If the response is lost, the session is
//! dropped, and leaves the room.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::error::{Error as WsError, ProtocolError};
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;
use tracing::{debug, info};

use super::body::Body;
use super::proxy::Client;
use super::response::{method_not_allowed, text};
use super::site::Site;
#[cfg(feature = "wires")]
use super::way;
use super::way::Way;
use super::{over_limit, query};
use crate::drain::Registration;
use crate::net::headers::RELAY_WAITED;
use crate::net::info::ConnectionInfo;
use crate::outbox::Outbox;
use crate::peer::{Hub, JoinRefusal, RelayEvent, Session, UpgradeHeaders, UrlRequest};
use crate::protocol::{ErrorCode, Refusal};
use crate::quota::Admission;
use crate::secret::Secret;
#[cfg(feature = "wires")]
use crate::wire::Wire;
#[cfg(feature = "wires")]
use crate::wires::{Newcomer, NotOpened};

/// The subprotocol of the relay (RFC 6455 section 1.9). No client needs it.
pub(crate) const SUBPROTOCOL: &str = "signaling-relay";

/// An accepted upgrade: its client, and the session for it.
#[derive(Debug)]
pub(crate) struct Upgrade {
    /// The client.
    pub client: Client,
    /// What it counts as, until its WebSocket has ended.
    pub admission: Arc<Admission>,
    /// Its registration with the drain.
    pub registration: Registration,
    /// What it is on its wire.
    pub speaker: Speaker,
}

/// The client of an upgrade on the wire that its path names.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "nearly all are of the large one")]
pub(crate) enum Speaker {
    /// On the relay's own wire.
    Own(Own),
    /// On the wire of another library.
    #[cfg(feature = "wires")]
    Other(Box<dyn crate::peer::Client>),
}

/// A client on the relay's own wire.
#[derive(Debug)]
pub(crate) struct Own {
    /// Its session, in a room if the URL names one.
    pub session: Session,
    /// Why the client cannot join the room of the URL, if that is so; the `error` is in the session's outbox.
    pub refused: Option<ErrorCode>,
    /// Whether the URL asks to join a room and cannot: it is that of `/ws`.
    pub is_misled: bool,
}

impl Speaker {
    /// Its outbox.
    pub(crate) fn outbox(&self) -> Arc<Outbox> {
        match self {
            Self::Own(own) => Arc::clone(own.session.outbox()),
            #[cfg(feature = "wires")]
            Self::Other(client) => Arc::clone(client.outbox()),
        }
    }
}

/// Whether a request asks for a WebSocket.
pub(crate) fn is_upgrade(headers: &HeaderMap) -> bool {
    let websocket =
        |value: &HeaderValue| value.to_str().is_ok_and(|value| value.to_ascii_lowercase().contains("websocket"));
    headers.get_all(header::UPGRADE).iter().any(websocket) || headers.contains_key(header::SEC_WEBSOCKET_KEY)
}

/// Answers a request that asks for a WebSocket. Returns the upgrade too, unless the relay refuses it. `admission` is
/// that of the connection; none if another HTTP server accepted it. `way` is what its path says.
pub(crate) async fn answer<B>(
    site: &Site,
    connection: ConnectionInfo,
    admission: Option<&Arc<Admission>>,
    request: &Request<B>,
    way: Way,
) -> (Response<Body>, Option<Upgrade>) {
    let accepted = accept(site, connection, admission, request, way).await;
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
    way: Way,
) -> Result<(Response<Body>, Upgrade), Box<Response<Body>>> {
    let headers = request.headers();
    let client = site.client(headers, connection);
    let admission = admit(site, &client, admission)?;
    #[cfg(feature = "wires")]
    if let Way::Of(wire) = way
        && !site.wires.has(wire)
    {
        return Err(wire_is_off(wire).into());
    }
    let response = handshake(request)?;
    // A door has judged already, by the names of its own machine.
    if !connection.is_door() {
        site.origins.check(headers, &client).map_err(|error| {
            let error = error.to_string();
            if admission.may_log() {
                // `?` quotes and escapes what the client sent, so that it cannot forge a field of the line.
                info!(%client, ?error, "refused a page");
            }
            text(StatusCode::FORBIDDEN, &error)
        })?;
    }
    if site.hub.drain.has_begun() {
        return Err(text(StatusCode::SERVICE_UNAVAILABLE, "the relay is shutting down").into());
    }
    let asked = if connection.is_door() { asked_at(headers) } else { None };
    let said = UpgradeHeaders { asked, ..said(headers, &site.auth_headers) };
    let query = request.uri().query().unwrap_or_default();
    #[cfg(feature = "wires")]
    if let Way::Of(wire) = way {
        let rest = &*way::rest(request.uri().path(), wire);
        let newcomer = Newcomer { rest, query, said, address: client.ip, admission: &admission };
        let opened = site.wires.open(wire, &site.hub, newcomer).await;
        let (other, registration) = opened.map_err(|refusal| match refusal {
            NotOpened::Off => wire_is_off(wire),
            NotOpened::NoSuchPath(why) => text(StatusCode::NOT_FOUND, why),
            NotOpened::BadUrl(why) => text(StatusCode::BAD_REQUEST, &why),
            NotOpened::Refused(refusal) => refused_join(refusal, &client),
        })?;
        return Ok((response, Upgrade { client, admission, registration, speaker: Speaker::Other(other) }));
    }
    let (session, registration) = open_session(&site.hub, client.ip, said, &admission);
    let mut session = session.after(client.hops);
    let mut refused = None;
    if let Some((parameter, meant)) = query::misspelled(query)
        && admission.may_log()
    {
        info!(%client, ?parameter, "the URL has a parameter that the relay does not know: did it mean {meant:?}?");
    }
    let joins_by_message = way == Way::ByMessage;
    let elsewhere = if joins_by_message { None } else { request_elsewhere(&session, headers, query, &client) };
    if !joins_by_message && let Err(refusal) = join(&mut session, query, elsewhere).await {
        #[cfg(feature = "cluster")]
        if let JoinRefusal::Answered(answer) = refusal {
            return Err(answered(*answer).into());
        }
        if !query::has_room(query) {
            // A client that uses the bare URL may not know `error` messages: the HTTP status is all that it can show.
            return Err(refused_join(refusal, &client).into());
        }
        let refusal = Refusal::from(refusal);
        session.refuse(&refusal, None);
        refused = Some(refusal.code);
    }
    let is_misled = joins_by_message && query::asks_to_join(query);
    // The relay of the room has answered the key of the client, and selected a subprotocol.
    let response = session.take_response().map_or(response, |response| response.map(|()| Body::default()));
    let speaker = Speaker::Own(Own { session, refused, is_misled });
    Ok((response, Upgrade { client, admission, registration, speaker }))
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
        site.hub.metrics.refusals.add(over.number());
        if site.hub.quotas.may_log_refusal(ip, over) {
            info!(%client, why = %over, "refused an upgrade");
        }
        over_limit::response(over, client.is_behind_unknown_proxy()).into()
    })
}

/// What the headers of the upgrade say to who decides on joins, who hears of those that are `named`.
fn said(headers: &HeaderMap, named: &[HeaderName]) -> UpgradeHeaders {
    let origin = headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok()).map(str::to_owned);
    let values = |name| headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
    let pairs = named.iter().flat_map(|name| values(name).map(|value| (name.as_str().to_owned(), Secret::new(value))));
    UpgradeHeaders { origin, named: pairs.collect(), asked: None }
}

/// When the client of a door has asked for its place, by the clock of this relay; none if it did not, or earlier than the clock
/// knows.
fn asked_at(headers: &HeaderMap) -> Option<Instant> {
    let waited = headers.get(RELAY_WAITED)?.to_str().ok()?.parse().ok()?;
    Instant::now().checked_sub(Duration::from_millis(waited))
}

/// A new session in no room, with full rate limits, for the client of `admission`; and its registration.
fn open_session(
    hub: &Arc<Hub>,
    address: Option<IpAddr>,
    said: UpgradeHeaders,
    admission: &Admission,
) -> (Session, Registration) {
    let outbox = hub.new_outbox(admission.purse(), address);
    let registration = hub.drain.register(&outbox);
    hub.observe(|| RelayEvent::Connected {
        connection: outbox.id().number(),
        address,
        #[cfg(feature = "wires")]
        wire: None,
    });
    let rate = hub.quotas.rate_limiter(admission.address());
    (Session::new(Arc::clone(hub), outbox, rate, said), registration)
}

/// The response to who asks for a wire that the operator has not turned on.
#[cfg(feature = "wires")]
pub(super) fn wire_is_off(wire: Wire) -> Response<Body> {
    text(StatusCode::NOT_FOUND, &format!("this relay does not speak {wire}: start it with --wire {wire}"))
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
    // Without the header in the sentence: some put secrets there.
    let subprotocol = subprotocol(headers)
        .map_err(|_| text(StatusCode::BAD_REQUEST, "a subprotocol that the request offers is no token (RFC 9110)"))?;
    if let Some(subprotocol) = subprotocol {
        response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, subprotocol);
    }
    Ok(response)
}

/// An offered subprotocol that is no token (RFC 9110 section 5.6.2).
#[derive(Debug)]
struct NoToken;

/// The subprotocol to select: the relay's own if the client offers it, or else the first one that it offers, because a
/// browser hangs up if the server selects none of them.
fn subprotocol(headers: &HeaderMap) -> Result<Option<HeaderValue>, NoToken> {
    let mut first = None;
    let mut has_own = false;
    for value in headers.get_all(header::SEC_WEBSOCKET_PROTOCOL) {
        let list = value.to_str().map_err(|_| NoToken)?;
        // Elements of a list may be empty (RFC 9110 section 5.6.1.2).
        for offer in list.split(',').map(|offer| offer.trim_matches([' ', '\t'])).filter(|offer| !offer.is_empty()) {
            if !offer.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)) {
                return Err(NoToken);
            }
            has_own |= offer == SUBPROTOCOL;
            first = first.or(Some(offer));
        }
    }
    let selected = if has_own { Some(SUBPROTOCOL) } else { first };
    selected.map(|selected| HeaderValue::from_str(selected).map_err(|_| NoToken)).transpose()
}

/// Joins the room that the URL names.
async fn join(session: &mut Session, query: &str, request: Option<Box<UrlRequest>>) -> Result<(), JoinRefusal> {
    session.join_by_url(query::join_of(query), request).await
}

/// What another relay is asked, if the room of the URL may live there.
#[cfg(feature = "cluster")]
fn request_elsewhere(session: &Session, headers: &HeaderMap, query: &str, client: &Client) -> Option<Box<UrlRequest>> {
    let request = || UrlRequest::new(headers, query, client.scheme(), client.host.clone());
    session.may_be_handed_over().then(|| Box::new(request()))
}

#[cfg(not(feature = "cluster"))]
fn request_elsewhere(_: &Session, _: &HeaderMap, _: &str, _: &Client) -> Option<Box<UrlRequest>> {
    None
}

/// What another relay has answered, for the client. What belongs to the connection between the two is left out.
#[cfg(feature = "cluster")]
fn answered(answer: Response<bytes::Bytes>) -> Response<Body> {
    let mut answer = answer.map(Body::from);
    for name in [header::CONNECTION, header::CONTENT_LENGTH, header::DATE, header::TRANSFER_ENCODING] {
        answer.headers_mut().remove(name);
    }
    answer
}

/// The response to a client that cannot join, and has no other word for that.
fn refused_join(refusal: JoinRefusal, client: &Client) -> Response<Body> {
    if let JoinRefusal::OverLimit(over) = refusal {
        return over_limit::response(over, client.is_behind_unknown_proxy());
    }
    let refusal = Refusal::from(refusal);
    text(status_of(refusal.code), &refusal.message)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_subprotocol_is_ours_if_it_is_offered_and_else_the_first_offer() {
        let selected = |offers: &[&str]| {
            let mut headers = HeaderMap::new();
            for offer in offers {
                headers.append(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_bytes(offer.as_bytes()).unwrap());
            }
            subprotocol(&headers).map(|selected| selected.map(|value| value.to_str().unwrap().to_owned()))
        };
        for (offers, expected) in [
            (&[][..], None),
            (&[""], None),
            (&[", ,"], None),
            (&["signaling-relay"], Some("signaling-relay")),
            (&["chat, signaling-relay"], Some("signaling-relay")),
            (&["chat", "x,signaling-relay\t"], Some("signaling-relay")),
            (&["chat, superchat"], Some("chat")),
            (&["", "v1.json", "v2"], Some("v1.json")),
            (&["Signaling-Relay"], Some("Signaling-Relay")),
            (&["!#$%&'*+-.^_`|~"], Some("!#$%&'*+-.^_`|~")),
        ] {
            assert_eq!(selected(offers).unwrap().as_deref(), expected, "{offers:?}");
        }
        for offers in
            [&["a b"][..], &["signaling-relay, a/b"], &["\"a\""], &["signaling-relay", "a=b"], &["\u{e9}"], &["(x)"]]
        {
            assert!(selected(offers).is_err(), "{offers:?}");
        }
    }
}
