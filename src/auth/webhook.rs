//! The webhook: another server decides who may join. The relay obeys only an answer that is exactly as it must be;
//! whatever else it hears, or does not hear, keeps the door closed.

use std::fmt;
use std::fs;
use std::path::Path;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tracing::{info, warn};

use super::token::check_length;
use super::{Answer, Authorizer, Denial, Grant, JoinRequest};
use crate::limits;
use crate::room::names::{PeerId, PeerName};
use crate::room::{IceServers, Role};
use crate::secret::Secret;

/// The address of a webhook: `http://` or `https://`, a host, and a path.
#[derive(Clone, PartialEq, Eq)]
pub struct AuthUrl(Uri);

/// What is wrong with the address of a webhook. Its text is a sentence for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AuthUrlError {
    /// It is not a URL of HTTP.
    #[error("it is not an http:// or https:// URL, such as http://localhost:3000/may-join")]
    NotHttp,
    /// It has a user or a password.
    #[error("it has a user or a password before the host, which the relay does not send; use the path or the query")]
    HasUser,
}

impl AuthUrl {
    /// Whether the relay reaches it by TLS.
    pub fn is_https(&self) -> bool {
        self.0.scheme_str() == Some("https")
    }
}

impl FromStr for AuthUrl {
    type Err = AuthUrlError;

    fn from_str(text: &str) -> Result<Self, AuthUrlError> {
        let uri: Uri = text.parse().map_err(|_| AuthUrlError::NotHttp)?;
        let authority = uri.authority().ok_or(AuthUrlError::NotHttp)?;
        if authority.as_str().contains('@') {
            return Err(AuthUrlError::HasUser);
        }
        let is_http = matches!(uri.scheme_str(), Some("http" | "https")) && !authority.host().is_empty();
        if is_http { Ok(Self(uri)) } else { Err(AuthUrlError::NotHttp) }
    }
}

impl fmt::Debug for AuthUrl {
    /// Without the query, which may have a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, authority) = (self.0.scheme_str().unwrap_or_default(), self.0.authority());
        write!(f, "{scheme}://{}{}", authority.map_or("", |authority| authority.as_str()), self.0.path())
    }
}

/// An authorizer that asks a webhook.
pub(crate) struct Webhook(Arc<Asker>);

/// What all questions to a webhook share.
struct Asker {
    url: Uri,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    /// A turn for each question that may be on its way at a time.
    turns: Semaphore,
    /// A place for each question that may be on its way or wait for its turn.
    places: Arc<Semaphore>,
    complaints: Mutex<Complaints>,
}

/// What the log said about a webhook that does not decide. Clients can make it fail often, so not every failure is there.
#[derive(Default)]
struct Complaints {
    last: Option<Instant>,
    /// Whether it has not decided since then.
    is_open: bool,
}

impl Complaints {
    fn failed(&mut self, error: &anyhow::Error) {
        if self.last.is_none_or(|last| last.elapsed() >= limits::WEBHOOK_COMPLAINTS) {
            self.last = Some(Instant::now());
            self.is_open = true;
            let error = format_args!("{error:#}");
            warn!(%error, "the webhook of --auth-url did not decide on a join, so it was refused");
        }
    }

    fn decided(&mut self) {
        if self.is_open {
            self.is_open = false;
            info!("the webhook of --auth-url decides again");
        }
    }
}

/// What the webhook is asked.
#[derive(Serialize)]
struct Question<'a> {
    room: &'a str,
    id: Option<&'a str>,
    name: Option<&'a str>,
    token: Option<&'a str>,
    address: Option<String>,
    origin: Option<&'a str>,
}

/// What it answers.
#[derive(Deserialize)]
struct Verdict {
    allow: bool,
    id: Option<String>,
    name: Option<String>,
    role: Option<String>,
    #[serde(rename = "iceServers")]
    ice_servers: Option<Vec<serde_json::Map<String, serde_json::Value>>>,
    message: Option<String>,
}

impl Webhook {
    /// A webhook at `url`; with https, its certificate must be of the authorities in the file `authorities`.
    ///
    /// # Errors
    /// When that file cannot be used.
    pub(crate) fn new(url: &AuthUrl, authorities: Option<&Path>) -> anyhow::Result<Self> {
        let roots = authorities.map_or_else(|| Ok(RootCertStore::empty()), read_authorities).context("--auth-ca")?;
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&TLS13, &TLS12])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(limits::WEBHOOK_IDLE)
            .pool_max_idle_per_host(limits::WEBHOOK_REQUESTS)
            .http1_max_buf_size(limits::WEBHOOK_BYTES)
            .build(connector);
        Ok(Self(Arc::new(Asker {
            url: url.0.clone(),
            client,
            turns: Semaphore::new(limits::WEBHOOK_REQUESTS),
            places: Arc::new(Semaphore::new(limits::WEBHOOK_WAITING)),
            complaints: Mutex::default(),
        })))
    }
}

fn read_authorities(file: &Path) -> anyhow::Result<RootCertStore> {
    let path = file.display();
    let content = fs::read(file).with_context(|| format!("cannot read {path}"))?;
    let mut roots = RootCertStore::empty();
    for certificate in rustls_pemfile::certs(&mut content.as_slice()) {
        let certificate = certificate.with_context(|| format!("{path} is not PEM"))?;
        roots.add(certificate).with_context(|| format!("{path} has a certificate that cannot be used"))?;
    }
    ensure!(!roots.is_empty(), "{path} has no certificate in PEM (BEGIN CERTIFICATE)");
    Ok(roots)
}

impl Authorizer for Webhook {
    fn authorize(&self, request: &JoinRequest) -> Answer {
        if let Err(denial) = request.token.as_ref().map_or(Ok(()), check_length) {
            return Answer::Now(Err(denial));
        }
        let Ok(place) = Arc::clone(&self.0.places).try_acquire_owned() else {
            return Answer::Now(Err(unavailable()));
        };
        let (asker, request) = (Arc::clone(&self.0), request.clone());
        Answer::Later(Box::pin(async move {
            let decision = asker.decide(&request).await;
            drop(place);
            decision
        }))
    }
}

impl Asker {
    /// The webhook's decision, or `unavailable`.
    async fn decide(&self, request: &JoinRequest) -> Result<Grant, Denial> {
        let asked = timeout(limits::AUTHORIZE_DEADLINE, async {
            let _turn = self.turns.acquire().await.context("the relay asks nobody any more")?;
            self.ask(request).await
        });
        let answer = asked.await.unwrap_or_else(|_| Err(anyhow::anyhow!("no answer in time")));
        let decided = answer.and_then(|verdict| verdict.decision(request));
        let mut complaints = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
        match decided {
            Ok(decision) => {
                complaints.decided();
                decision
            }
            Err(error) => {
                complaints.failed(&error);
                Err(unavailable())
            }
        }
    }

    async fn ask(&self, request: &JoinRequest) -> anyhow::Result<Verdict> {
        let question = Question {
            room: request.room.as_str(),
            id: request.id.as_ref().map(PeerId::as_str),
            name: request.name.as_ref().map(PeerName::as_str),
            token: request.token.as_ref().map(Secret::reveal),
            address: request.address.map(|address| address.to_string()),
            origin: request.origin.as_deref(),
        };
        let post = Request::builder()
            .method(Method::POST)
            .uri(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json")
            .header(USER_AGENT, concat!("signaling-relay/", env!("CARGO_PKG_VERSION")))
            .body(Full::from(serde_json::to_vec(&question)?))?;
        let response = self.client.request(post).await?;
        let status = response.status();
        ensure!(status == StatusCode::OK, "it answered with the status {status}, and must with 200");
        let body = Limited::new(response.into_body(), limits::WEBHOOK_BYTES).collect().await;
        let body = body.map_err(anyhow::Error::from_boxed).context("its answer cannot be read")?.to_bytes();
        // The text of a JSON error may repeat what the webhook sent, which is no matter for the log.
        serde_json::from_slice(&body).map_err(|error| {
            let place = (error.line(), error.column());
            anyhow::anyhow!("its answer is not {{\"allow\":true}} or {{\"allow\":false}} (line and column {place:?})")
        })
    }
}

impl Verdict {
    /// What it means for `request`.
    ///
    /// # Errors
    /// When it grants what nobody can have.
    fn decision(self, request: &JoinRequest) -> anyhow::Result<Result<Grant, Denial>> {
        if !self.allow {
            let message = self.message.unwrap_or_else(|| "you may not join this room".into());
            return Ok(Err(Denial::Unauthorized(message.chars().take(limits::DENIAL_CHARS).collect())));
        }
        let mut grant = Grant::from(request);
        if let Some(id) = self.id {
            grant.id = Some(PeerId::parse(&id).context("its \"id\" cannot be an id")?);
            grant.is_identified = true;
        }
        if let Some(name) = self.name {
            grant.name = PeerName::parse(&name).context("its \"name\" is not valid")?;
        }
        if let Some(role) = self.role {
            grant.role = Role::parse(&role).map_err(anyhow::Error::msg)?;
        }
        if let Some(list) = self.ice_servers {
            let servers = IceServers::checked(list).map_err(anyhow::Error::msg);
            grant.ice_servers = Some(servers.context("its \"iceServers\" are not valid")?);
        }
        Ok(Ok(grant))
    }
}

fn unavailable() -> Denial {
    Denial::Unavailable("whether you may join cannot be decided now: try again soon".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room::names::RoomName;

    #[test]
    fn the_address_is_that_of_http_without_a_user_and_its_query_is_not_shown() {
        for text in ["http://localhost:3000", "https://auth.example/may-join?key=k"] {
            text.parse::<AuthUrl>().unwrap();
        }
        for text in ["", "localhost:3000", "/may-join", "ftp://a/", "http://", "http:///a", "a b"] {
            assert_eq!(text.parse::<AuthUrl>(), Err(AuthUrlError::NotHttp), "{text}");
        }
        assert_eq!("http://me:pass@a/".parse::<AuthUrl>(), Err(AuthUrlError::HasUser));
        let shown = format!("{:?}", "https://auth.example/may-join?key=k".parse::<AuthUrl>().unwrap());
        assert_eq!(shown, "https://auth.example/may-join");
    }

    #[tokio::test]
    async fn beyond_those_that_may_wait_a_join_is_unavailable_at_once() {
        let webhook = Webhook::new(&"http://localhost/".parse().unwrap(), None).unwrap();
        let (id, name, address, origin, token) = (None, None, None, None, None);
        let request = JoinRequest { room: RoomName::lobby(), id, name, address, origin, token };
        let mut waiting: Vec<Answer> = Vec::new();
        for _ in 0..limits::WEBHOOK_WAITING {
            waiting.push(webhook.authorize(&request));
        }
        assert!(waiting.iter().all(|answer| matches!(answer, Answer::Later(_))));
        assert!(matches!(webhook.authorize(&request), Answer::Now(Err(Denial::Unavailable(_)))));
        // Who gives up makes room.
        waiting.pop();
        assert!(matches!(webhook.authorize(&request), Answer::Later(_)));
    }
}
