//! What this relay says to the relay on which a client's room lives, in the client's name.
//!
//! By URL, that is the client's own request. By message, it is a request for `/ws`, and the message itself follows as the
//! first frame. Before either is written, nothing has been handed over, and everything may be tried again; after it,
//! nothing is.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::rustls;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;

use super::alive::{Link, Links};
use super::dial::{Dialer, RelayStream, Unreachable, is_refused_handshake};
use super::identity::Identity;
use super::line::Line;
use super::paths;
use super::relays::Neighbour;
use super::survey::Survey;
use super::tunnel::{ClientEnds, TunnelEnd, copy};
use crate::budget::{Charge, Purse};
use crate::drain::Drain;
use crate::limits::{AUTHORIZE_DEADLINE, DOOR_ANSWER_DEADLINE, LOCATE_DEADLINE, RETRY_AFTER_MAX, TLS_BYTES};
use crate::metrics::Counter;
use crate::net::headers::{RELAY_HOPS, RELAY_WAITED, X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PROTO};
use crate::secret::Secret;

/// Headers that belong to one connection and not to what is said over it (RFC 9110 section 7.6.1), and those that a door
/// writes itself.
const OWN_HEADERS: [&str; 13] = [
    "connection",
    "content-length",
    "keep-alive",
    "origin",
    "proxy-connection",
    "relay-hops",
    "relay-waited",
    "sec-websocket-key",
    "sec-websocket-version",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// All doors of this relay.
#[derive(Debug)]
pub(crate) struct Doors {
    dialer: Arc<Dialer>,
    links: Arc<Links>,
    survey: Survey,
    counts: Arc<TunnelCounts>,
}

/// How many tunnels there were.
#[derive(Debug, Default)]
pub(super) struct TunnelCounts {
    /// Those that were opened.
    pub(super) opened: Counter,
    /// Those that have ended.
    pub(super) ended: Counter,
}

/// A client whose room lives at another relay, as its door tells of it.
#[derive(Debug, Clone)]
pub(crate) struct Guest {
    /// Its address, if it is known.
    pub ip: Option<IpAddr>,
    /// The origin of its page.
    pub origin: Option<String>,
    /// The headers of its upgrade that who decides on joins hears of, with their names in lower case.
    pub named: Vec<(String, Secret)>,
    /// By how many doors it comes, with this one.
    pub hops: u8,
    /// When it asked for its place, if it does.
    pub asked: Option<Instant>,
}

/// What a client's request says besides, if it names the room.
#[derive(Debug, Clone)]
pub(crate) struct UrlRequest {
    /// Its headers for the WebSocket.
    pub headers: HeaderMap,
    /// Its query.
    pub query: String,
    /// The scheme of the URL, as the client sees it.
    pub scheme: &'static str,
    /// The host of the URL, as the client sees it.
    pub host: Option<String>,
}

impl UrlRequest {
    /// The same with these of the `headers` of the request that are for the WebSocket.
    pub(crate) fn new(headers: &HeaderMap, query: &str, scheme: &'static str, host: Option<String>) -> Self {
        let of_websocket = |(name, _): &(&HeaderName, &HeaderValue)| name.as_str().starts_with("sec-websocket-");
        let of_websocket = headers.iter().filter(of_websocket).map(|(name, value)| (name.clone(), value.clone()));
        // Not collected: that would keep one of several with the same name.
        let mut headers = HeaderMap::new();
        of_websocket.for_each(|(name, value)| {
            headers.append(name, value);
        });
        Self { headers, query: query.to_owned(), scheme, host }
    }
}

/// What the relay of the room has answered.
pub(crate) enum Opened {
    /// The client is in: what it is to be answered, and the way.
    Tunnel(Response<()>, Box<Tunnel>),
    /// It is refused, with this answer.
    Refused(Response<Bytes>),
}

/// Why a client has no way to its room.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The relay of the room cannot be reached. Nothing was handed over.
    Unreachable(Unreachable),
    /// It shuts down, and the room is about to live elsewhere. Nothing was handed over.
    Draining,
    /// It did not answer what was handed over: nobody knows what became of that.
    Lost,
    /// There is no memory for one more tunnel.
    NoMemory,
}

/// A client's way to its room.
pub(crate) struct Tunnel {
    stream: RelayStream,
    /// What the relay of the room has said already.
    read: Vec<u8>,
    at: SocketAddr,
    /// As long as there is one, the relay is asked whether it is alive.
    link: Arc<Link>,
    counts: Arc<TunnelCounts>,
    _memory: Charge,
}

impl Guest {
    /// The request for `/ws`, by which nobody joins yet.
    fn request(&self) -> Request<Empty<Bytes>> {
        let mut request = self.request_for("/ws");
        let key = HeaderValue::try_from(generate_key());
        // It is base64.
        request.headers_mut().extend(key.ok().map(|key| (header::SEC_WEBSOCKET_KEY, key)));
        request.headers_mut().insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        let waited = self.asked.and_then(|asked| u64::try_from(asked.elapsed().as_millis()).ok());
        request.headers_mut().extend(waited.map(|waited| (RELAY_WAITED, HeaderValue::from(waited))));
        request
    }

    /// The client's own request.
    fn request_by_url(&self, own: &UrlRequest) -> Request<Empty<Bytes>> {
        let mut request = self.request_for(&format!("/?{}", own.query));
        let headers = request.headers_mut();
        for (name, value) in &own.headers {
            headers.append(name, value.clone());
        }
        headers.insert(X_FORWARDED_PROTO, value(own.scheme));
        if let Some(host) = own.host.as_deref().and_then(|host| HeaderValue::from_str(host).ok()) {
            headers.insert(X_FORWARDED_HOST, host);
        }
        request
    }

    fn request_for(&self, path: &str) -> Request<Empty<Bytes>> {
        let mut request = paths::request(Method::GET, path);
        let headers = request.headers_mut();
        for (name, secret) in &self.named {
            // The last address is believed: without one of the door's, that would be what the client says.
            let is_believed = name == X_FORWARDED_FOR.as_str() && self.ip.is_none();
            let passes = !is_believed
                && !OWN_HEADERS.contains(&name.as_str())
                && (path == "/ws" || !name.starts_with("sec-websocket-"));
            if let (true, Ok(name), Some(value)) = (passes, HeaderName::try_from(name), secret_value(secret)) {
                if name == header::HOST {
                    headers.insert(name, value).is_some()
                } else {
                    headers.append(name, value)
                };
            }
        }
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        if let Some(origin) = self.origin.as_deref().and_then(|origin| HeaderValue::from_str(origin).ok()) {
            headers.insert(header::ORIGIN, origin);
        }
        if let Some(ip) = self.ip {
            headers.append(X_FORWARDED_FOR, value(&ip.to_string()));
        }
        headers.insert(RELAY_HOPS, HeaderValue::from(u16::from(self.hops)));
        request
    }
}

/// Waits until the relay shuts down, and then for a moment of [`RETRY_AFTER_MAX`] at most.
async fn leave(drain: &Drain) {
    drain.wait().await;
    let most = RETRY_AFTER_MAX.as_millis() as u64;
    // Without randomness, the longest delay.
    let delay = getrandom::u64().map_or(most, |random| random % (most + 1));
    sleep(Duration::from_millis(delay)).await;
}

/// A header of what is visible ASCII.
fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

fn secret_value(secret: &Secret) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_bytes(secret.reveal().as_bytes()).ok()?;
    value.set_sensitive(true);
    Some(value)
}

impl Doors {
    /// Doors of a relay that is `identity`.
    ///
    /// # Errors
    /// When the key cannot be used.
    pub(crate) fn new(identity: &Identity) -> Result<Self, rustls::Error> {
        let dialer = Arc::new(Dialer::new(identity)?);
        let links = Arc::new(Links::new(Arc::clone(&dialer)));
        Ok(Self { survey: Survey::new(Arc::clone(&dialer)), dialer, links, counts: Arc::default() })
    }

    /// A connection to `neighbour`, over which nothing was said yet.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub(crate) async fn dial(&self, neighbour: &Neighbour) -> Result<RelayStream, Unreachable> {
        self.dialer.dial(neighbour).await
    }

    /// What is shared with other relays.
    pub(crate) fn links(&self) -> &Arc<Links> {
        &self.links
    }

    /// How many tunnels there were.
    #[cfg(feature = "admin")]
    pub(super) fn counts(&self) -> &TunnelCounts {
        &self.counts
    }

    /// Asks other relays while Redis is away.
    pub(super) fn survey(&self) -> &Survey {
        &self.survey
    }

    /// Opens `/ws` at `neighbour` over `stream`: no room is joined by that. What the tunnel needs is charged to `purse`.
    ///
    /// # Errors
    /// [`Failure`]: nothing was handed over.
    pub(crate) async fn open(
        &self,
        stream: RelayStream,
        neighbour: &Arc<Neighbour>,
        guest: &Guest,
        purse: &Arc<Purse>,
    ) -> Result<Opened, Failure> {
        let opened = self.open_with(stream, neighbour, guest.request(), DOOR_ANSWER_DEADLINE, purse).await;
        opened.map_err(|failure| match failure {
            Failure::Lost => Failure::Unreachable(Unreachable::from(io::ErrorKind::TimedOut)),
            failure => failure,
        })
    }

    /// Sends the client's own request to `neighbour` over `stream`, by which it joins there. The answer may take as long as whoever decides
    /// on joins. What the tunnel needs is charged to `purse`.
    ///
    /// # Errors
    /// [`Failure`].
    pub(crate) async fn open_by_url(
        &self,
        stream: RelayStream,
        neighbour: &Arc<Neighbour>,
        guest: &Guest,
        request: &UrlRequest,
        purse: &Arc<Purse>,
    ) -> Result<Opened, Failure> {
        // It may have to ask the directory itself, and then whoever decides on joins.
        let patience = LOCATE_DEADLINE + AUTHORIZE_DEADLINE + DOOR_ANSWER_DEADLINE;
        self.open_with(stream, neighbour, guest.request_by_url(request), patience, purse).await
    }

    async fn open_with(
        &self,
        stream: RelayStream,
        neighbour: &Arc<Neighbour>,
        request: Request<Empty<Bytes>>,
        patience: Duration,
        purse: &Arc<Purse>,
    ) -> Result<Opened, Failure> {
        let memory = purse.charge(TLS_BYTES).ok_or(Failure::NoMemory)?;
        let asks = async {
            let mut line = Line::new(stream).await?;
            let answer = line.ask(request).await?;
            if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
                return Ok((line.whole(answer).await?, None));
            }
            let (head, _) = answer.into_parts();
            Ok((Response::from_parts(head, Bytes::new()), Some(line.switch().await?)))
        };
        match timeout(patience, asks).await {
            Err(_) => Err(Failure::Lost),
            Ok(Err(error)) if is_refused_handshake(&error) => {
                Err(Failure::Unreachable(io::Error::other("it does not know this relay yet").into()))
            }
            Ok::<Result<_, hyper::Error>, _>(Err(_)) => Err(Failure::Lost),
            Ok(Ok((answer, None))) if answer.status() == StatusCode::MISDIRECTED_REQUEST => Err(Failure::Draining),
            Ok(Ok((answer, None))) => Ok(Opened::Refused(answer)),
            Ok(Ok((answer, Some((stream, read))))) => {
                let (at, link) = (neighbour.address, self.links.with(neighbour));
                let counts = Arc::clone(&self.counts);
                counts.opened.add(1);
                let tunnel = Tunnel { stream, read, at, link, counts, _memory: memory };
                Ok(Opened::Tunnel(answer.map(drop), Box::new(tunnel)))
            }
        }
    }
}

impl Tunnel {
    /// Where the room lives.
    pub(crate) fn at(&self) -> SocketAddr {
        self.at
    }

    /// Copies until both sides have ended. `first` goes to the room's relay before what the client sends. When this relay shuts
    /// down, the tunnel is cut, each at another moment, so that not all clients come back at once.
    pub(crate) async fn run(&mut self, client: ClientEnds<'_>, first: Vec<u8>, drain: &Drain) -> TunnelEnd {
        let read = std::mem::take(&mut self.read);
        tokio::select! {
            end = copy(client, &mut self.stream, first, read) => end,
            () = self.link.silent() => TunnelEnd::Silent,
            () = leave(drain) => TunnelEnd::Shutdown,
        }
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.counts.ended.add(1);
    }
}

impl fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tunnel").field("at", &self.at).finish_non_exhaustive()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(why) => write!(f, "the relay of this room cannot be reached: {why}"),
            Self::Draining => f.write_str("the relay of this room is shutting down"),
            Self::Lost => f.write_str("the relay of this room was lost"),
            Self::NoMemory => f.write_str("there is no memory for the way to this room"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_has_the_last_address_that_its_door_knows_and_none_of_its_own_making() {
        let named = [("x-forwarded-for", "192.0.2.66"), ("relay-hops", "0"), ("cookie", "a=b"), ("origin", "null")];
        let named = named.map(|(name, value)| (name.to_owned(), Secret::new(value))).to_vec();
        let forwarded = |ip: Option<&str>| {
            let guest = Guest {
                ip: ip.map(|ip| ip.parse().unwrap()),
                origin: None,
                named: named.clone(),
                hops: 2,
                asked: None,
            };
            let request = guest.request();
            let headers = request.headers();
            assert_eq!((&headers[RELAY_HOPS], &headers["cookie"]), (&value("2"), &value("a=b")));
            assert!(!headers.contains_key(header::ORIGIN));
            headers.get_all(X_FORWARDED_FOR).iter().next_back().cloned()
        };
        assert_eq!(forwarded(Some("198.51.100.1")), Some(value("198.51.100.1")));
        assert_eq!(forwarded(None), None, "it came over a Unix socket");
    }
}
