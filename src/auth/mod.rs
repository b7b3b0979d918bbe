//! Authorization: whether a client may join a room, and under which id and name.
//!
//! The relay asks an [`Authorizer`] before each join. A [`Grant`] contains what the client gets in the room, a
//! [`Denial`] the reason for the client. An answer may take time (a webhook, a directory): the client's next messages
//! wait for it, and other clients do not.

#[cfg(feature = "auth")]
pub(crate) mod authorities;
#[cfg(feature = "auth")]
mod fair_queue;
#[cfg(feature = "auth")]
pub(crate) mod jwks;
#[cfg(feature = "auth")]
pub(crate) mod key;
#[cfg(feature = "auth")]
pub(crate) mod keys;
#[cfg(feature = "auth")]
pub(crate) mod settings;
#[cfg(feature = "auth")]
mod signature;
#[cfg(feature = "auth")]
pub(crate) mod token;
#[cfg(feature = "auth")]
mod token_authorizer;
mod way_back;
#[cfg(feature = "auth")]
pub(crate) mod webhook;

use std::net::IpAddr;
use std::pin::Pin;

use crate::ice::IceServers;
#[cfg(feature = "auth")]
use crate::limits;
use crate::room::names::{PeerId, PeerName, RoomName};
use crate::room::{ErrorCode, Refusal, Role};
use crate::secret::Secret;
#[cfg(feature = "wires")]
use crate::wire::Wire;
#[cfg(feature = "auth")]
use way_back::KeyState;
pub(crate) use way_back::WayBack;

/// A client's request to join a room.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct JoinRequest {
    /// The room. A topic of another library's wire is `WIRE/TOPIC` here, and all of PeerJS `peerjs/`.
    pub room: RoomName,
    /// The wire that the client speaks (feature `wires`); none if that is the relay's own.
    #[cfg(feature = "wires")]
    pub wire: Option<Wire>,
    /// The id that the client chose. On the wire of PeerJS it may have any characters.
    pub id: Option<PeerId>,
    /// The client's display name.
    pub name: Option<PeerName>,
    /// The client's address, if it is known: it is not over a Unix socket, unless a trusted proxy says it.
    pub address: Option<IpAddr>,
    /// The origin of the page (RFC 6454), if the client is a browser.
    pub origin: Option<String>,
    /// The token that the client shows, as it sent it.
    pub token: Option<Secret>,
    /// The headers of the client's upgrade that [`Config::auth_header`](crate::Config::auth_header) names, with their names in
    /// lower case: a cookie by which the client has logged in, for example.
    pub headers: Vec<(String, Secret)>,
}

/// The permission to join, and what the client gets in the room.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Grant {
    /// The client's id; without it the relay makes one.
    pub id: Option<PeerId>,
    /// Whether the authorizer vouches for that id (the `sub` of a token): it stands for one person, who takes it from a
    /// client that only chose it. An `id` that is another one than the client chose counts as vouched for anyway.
    pub is_identified: bool,
    /// The display name that the others see.
    pub name: Option<PeerName>,
    /// The role in the room.
    pub role: Role,
    /// The capacity of the room for this client; without it, the usual one.
    pub capacity: Option<usize>,
    /// The STUN and TURN servers for this client; without them, those of the relay's [`Config`](crate::Config).
    pub ice_servers: Option<IceServers>,
    /// Until when the client may come back to its place; none if that has no end.
    pub(crate) way_back: Option<WayBack>,
}

impl From<&JoinRequest> for Grant {
    /// Grants what the client asks for.
    fn from(request: &JoinRequest) -> Self {
        Self { id: request.id.clone(), name: request.name.clone(), ..Self::default() }
    }
}

impl Grant {
    /// The same for a client that chose `chosen`: whoever decides vouches for an id that it gave instead.
    pub(crate) fn for_one_who_chose(mut self, chosen: Option<&PeerId>) -> Self {
        self.is_identified |= self.id.is_some() && self.id.as_ref() != chosen;
        self
    }
}

/// Why a client may not join. The text is a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Denial {
    /// This client may not join this room, now or later. It gets the error `unauthorized`.
    Unauthorized(String),
    /// It cannot be decided now; the client may try again. It gets the error `unavailable`.
    Unavailable(String),
}

impl From<Denial> for Refusal {
    fn from(denial: Denial) -> Self {
        match denial {
            Denial::Unauthorized(message) => Self::new(ErrorCode::Unauthorized, message),
            Denial::Unavailable(message) => Self::new(ErrorCode::Unavailable, message),
        }
    }
}

/// A decision that takes time.
pub type Decision = Pin<Box<dyn Future<Output = Result<Grant, Denial>> + Send>>;

/// The answer to a [`JoinRequest`].
pub enum Answer {
    /// The decision.
    Now(Result<Grant, Denial>),
    /// A future of the decision. The relay waits for [`AUTHORIZE_DEADLINE`](crate::limits::AUTHORIZE_DEADLINE) at most.
    Later(Decision),
}

/// Decides who may join.
///
/// An async function from [`JoinRequest`] to `Result<Grant, Denial>` is one:
///
/// ```
/// use signaling_relay::{Denial, Grant, JoinRequest};
///
/// async fn members_only(request: JoinRequest) -> Result<Grant, Denial> {
///     match request.name {
///         Some(_) => Ok(Grant::from(&request)),
///         None => Err(Denial::Unauthorized("please give your name".into())),
///     }
/// }
/// # fn is_authorizer(_: impl signaling_relay::Authorizer) {}
/// # is_authorizer(members_only);
/// ```
pub trait Authorizer: Send + Sync {
    /// Answers one request. It must not block: a decision that takes time is a [`Later`](Answer::Later).
    fn authorize(&self, request: &JoinRequest) -> Answer;
}

impl<F, A> Authorizer for F
where
    F: Fn(JoinRequest) -> A + Send + Sync,
    A: Future<Output = Result<Grant, Denial>> + Send + 'static,
{
    fn authorize(&self, request: &JoinRequest) -> Answer {
        Answer::Later(Box::pin(self(request.clone())))
    }
}

/// Grants every request as it is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Open;

impl Authorizer for Open {
    fn authorize(&self, request: &JoinRequest) -> Answer {
        Answer::Now(Ok(Grant::from(request)))
    }
}

/// Checks that a token is not too long to be looked at.
///
/// # Errors
/// `unauthorized`, if it is.
#[cfg(feature = "auth")]
fn check_length(token: &Secret) -> Result<(), Denial> {
    match token.reveal().len() {
        bytes if bytes > limits::TOKEN_BYTES => {
            let most = limits::TOKEN_BYTES;
            Err(Denial::Unauthorized(format!("the token has {bytes} bytes, and a token has {most} at most")))
        }
        _ => Ok(()),
    }
}
