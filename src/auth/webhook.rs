//! The webhook: another server decides who may join. The relay obeys only an answer that is exactly as it must be;
//! whatever else it hears, or does not hear, keeps the door closed.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use hyper::{Method, Request, Uri};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::time::{Instant, timeout_at};
use tracing::{info, warn};

use super::authorities::authorities_in;
use super::fair_queue::{FairQueue, Ticket};
use super::{Answer, Authorizer, Denial, Grant, JoinRequest, check_length};
use crate::http_client::complaints::{Complaint, Complaints};
use crate::http_client::{self, Client};
use crate::ice::IceServers;
use crate::limits;
use crate::room::Role;
use crate::room::names::{NameError, PeerId, PeerName};
use crate::secret::Secret;
#[cfg(feature = "wires")]
use crate::wire::Wire;

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
    client: Client,
    queue: Arc<FairQueue>,
    complaints: Mutex<Complaints>,
}

/// What the webhook is asked.
#[derive(Serialize)]
struct Question<'a> {
    room: &'a str,
    #[cfg(feature = "wires")]
    #[serde(skip_serializing_if = "Option::is_none")]
    wire: Option<&'static str>,
    id: Option<&'a str>,
    name: Option<&'a str>,
    token: Option<&'a str>,
    address: Option<String>,
    origin: Option<&'a str>,
    /// The headers that `--auth-header` names; several values of one are a list.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<&'a str, String>,
}

/// What it answers.
#[derive(Deserialize)]
struct WebhookAnswer {
    allow: bool,
    id: Option<String>,
    name: Option<String>,
    role: Option<String>,
    #[serde(rename = "iceServers")]
    ice_servers: Option<Vec<serde_json::Map<String, serde_json::Value>>>,
    message: Option<String>,
}

impl Webhook {
    /// A webhook at `url`; with https, its certificate must be of the authorities in the file `authorities`, or of the
    /// system's without one.
    ///
    /// # Errors
    /// When the authorities cannot be used.
    pub(crate) fn new(url: &AuthUrl, authorities: Option<&Path>) -> anyhow::Result<Self> {
        let authorities = authorities_in(authorities.filter(|_| url.is_https()));
        Ok(Self(Arc::new(Asker {
            url: url.0.clone(),
            client: Client::new(url.is_https(), authorities, limits::WEBHOOK_REQUESTS)?,
            queue: FairQueue::new(limits::WEBHOOK_REQUESTS, limits::WEBHOOK_WAITING),
            complaints: Mutex::new(Complaints::new()),
        })))
    }
}

impl Authorizer for Webhook {
    fn authorize(&self, request: &JoinRequest) -> Answer {
        if let Err(denial) = request.token.as_ref().map_or(Ok(()), check_length) {
            return Answer::Now(Err(denial));
        }
        let Some(ticket) = self.0.queue.take(request.address.map(Into::into)) else {
            return Answer::Now(Err(unavailable()));
        };
        let (asker, request) = (Arc::clone(&self.0), request.clone());
        Answer::Later(Box::pin(async move { asker.decide(&request, ticket).await }))
    }
}

impl Asker {
    /// The webhook's decision, or `unavailable`.
    async fn decide(self: Arc<Self>, request: &JoinRequest, mut ticket: Ticket) -> Result<Grant, Denial> {
        let deadline = Instant::now() + limits::AUTHORIZE_DEADLINE;
        match timeout_at(deadline, ticket.turn()).await {
            Ok(true) => {}
            // It was not asked, so it has not failed.
            Ok(false) => return Err(unavailable()),
            Err(_) => return Err(self.complain(&anyhow::anyhow!("too many joins wait for its answers"))),
        }
        let answer = match self.question(request) {
            Ok(question) => {
                let (asker, asked) = (Arc::clone(&self), ticket.ask());
                // In a task of its own, which goes on when the client is gone, as the webhook does.
                let task = tokio::spawn(async move {
                    let answer = timeout_at(deadline, asker.ask(question)).await;
                    drop(asked);
                    answer.unwrap_or_else(|_| Err(anyhow::anyhow!("no answer in time")))
                });
                task.await.unwrap_or_else(|error| Err(error.into()))
            }
            Err(error) => Err(error),
        };
        match answer.and_then(|answer| answer.decision(request)) {
            Ok(decision) => {
                if let Some(Complaint::Recovered { left_out }) = self.complaints().succeeded() {
                    info!(left_out, "the webhook of --auth-url decides again");
                }
                decision
            }
            Err(error) => Err(self.complain(&error)),
        }
    }

    fn complain(&self, error: &anyhow::Error) -> Denial {
        let error = format!("{error:#}");
        if let Some(Complaint::Fails { left_out }) = self.complaints().failed(&error) {
            warn!(%error, left_out, "the webhook of --auth-url did not decide on a join, so it was refused");
        }
        unavailable()
    }

    fn complaints(&self) -> MutexGuard<'_, Complaints> {
        self.complaints.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the webhook is asked.
    fn question(&self, request: &JoinRequest) -> anyhow::Result<Request<Full<Bytes>>> {
        let question = Question {
            room: request.room.as_str(),
            #[cfg(feature = "wires")]
            wire: request.wire.map(Wire::name),
            id: request.id.as_ref().map(PeerId::as_str),
            name: request.name.as_ref().map(PeerName::as_str),
            token: request.token.as_ref().map(Secret::reveal),
            address: request.address.map(|address| address.to_string()),
            origin: request.origin.as_deref(),
            headers: headers_of(request),
        };
        Ok(Request::builder()
            .method(Method::POST)
            .uri(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json")
            .header(USER_AGENT, http_client::USER_AGENT)
            .body(Full::from(serde_json::to_vec(&question)?))?)
    }

    async fn ask(&self, question: Request<Full<Bytes>>) -> anyhow::Result<WebhookAnswer> {
        let body = self.client.ask(question, limits::WEBHOOK_BYTES).await?;
        // The text of a JSON error may repeat what the webhook sent, which is no matter for the log.
        serde_json::from_slice(&body).map_err(|error| {
            let place = (error.line(), error.column());
            anyhow::anyhow!("its answer is not {{\"allow\":true}} or {{\"allow\":false}} (line and column {place:?})")
        })
    }
}

impl WebhookAnswer {
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
            grant.id = Some(id_of(request, &id).context("its \"id\" cannot be an id")?);
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

/// The id that the webhook gave. On the wire of PeerJS it may be of any characters.
fn id_of(request: &JoinRequest, id: &str) -> Result<PeerId, NameError> {
    #[cfg(feature = "wires")]
    if request.wire == Some(Wire::PeerJs) {
        return Ok(PeerId::of_wire(id));
    }
    #[cfg(not(feature = "wires"))]
    let _ = request;
    PeerId::parse(id)
}

fn headers_of(request: &JoinRequest) -> BTreeMap<&str, String> {
    let mut headers: BTreeMap<&str, String> = BTreeMap::new();
    for (name, value) in &request.headers {
        let list = headers.entry(name).or_default();
        if !list.is_empty() {
            // Cookies have a separator of their own (RFC 6265 section 4.2.1).
            list.push_str(if name == "cookie" { "; " } else { ", " });
        }
        list.push_str(value.reveal());
    }
    headers
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
        let request = JoinRequest {
            room: RoomName::lobby(),
            #[cfg(feature = "wires")]
            wire: None,
            id,
            name,
            address,
            origin,
            token,
            headers: Vec::new(),
        };
        let mut waiting: Vec<Answer> = Vec::new();
        for _ in 0..limits::WEBHOOK_REQUESTS + limits::WEBHOOK_WAITING {
            waiting.push(webhook.authorize(&request));
        }
        assert!(waiting.iter().all(|answer| matches!(answer, Answer::Later(_))));
        assert!(matches!(webhook.authorize(&request), Answer::Now(Err(Denial::Unavailable(_)))));
        // Who gives up makes room.
        waiting.pop();
        assert!(matches!(webhook.authorize(&request), Answer::Later(_)));
    }
}
