//! May somebody enter a room, and as what: the question that is asked before each join.
//!
//! The answer travels in its type: a [`Grant`] carries what is needed to enter, a [`Denial`] what is needed to say why not.
//! It may take time (a webhook, a directory); the client's next messages wait for it, other clients do not.

use std::net::IpAddr;
use std::pin::Pin;

use crate::room::names::{PeerId, PeerName, RoomName};
use crate::room::{ErrorCode, IceServers, Refusal};

/// Who wants to enter which room.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct JoinRequest {
    /// The room.
    pub room: RoomName,
    /// The id that the client chose.
    pub id: Option<PeerId>,
    /// What people call the client.
    pub name: Option<PeerName>,
    /// The client's address, as far as it is known: none over a Unix socket.
    pub address: Option<IpAddr>,
    /// The origin of the page that dialled (RFC 6454), where a browser told it.
    pub origin: Option<String>,
}

/// The permission to enter, and as what.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Grant {
    /// The id that the client gets; one is made where there is none.
    pub id: Option<PeerId>,
    /// The name that the others see.
    pub name: Option<PeerName>,
    /// How many the room takes for this client; as many as the relay's rooms take where there is none.
    pub capacity: Option<usize>,
    /// The STUN and TURN servers that it is told; the relay's own where there are none.
    pub ice_servers: Option<IceServers>,
}

impl From<&JoinRequest> for Grant {
    /// Grants what was asked for.
    fn from(request: &JoinRequest) -> Self {
        Self { id: request.id.clone(), name: request.name.clone(), ..Self::default() }
    }
}

/// Why somebody may not enter. The text is a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Denial {
    /// This client may not enter this room; trying again does not help. The client hears `unauthorized`.
    Unauthorized(String),
    /// It cannot be decided just now; trying again may help. The client hears `unavailable`.
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
    /// The answer itself.
    Now(Result<Grant, Denial>),
    /// The answer is on the way. It is waited for [`AUTHORIZE_DEADLINE`](crate::limits::AUTHORIZE_DEADLINE) at most.
    Later(Decision),
}

/// Decides who may enter.
///
/// An async function from [`JoinRequest`] to `Result<Grant, Denial>` is one:
///
/// ```
/// use signaling_relay::{Denial, Grant, JoinRequest};
///
/// async fn members_only(request: JoinRequest) -> Result<Grant, Denial> {
///     match request.name {
///         Some(_) => Ok(Grant::from(&request)),
///         None => Err(Denial::Unauthorized("please say your name".into())),
///     }
/// }
/// # fn is_authorizer(_: impl signaling_relay::Authorizer) {}
/// # is_authorizer(members_only);
/// ```
pub trait Authorizer: Send + Sync {
    /// Answers one request. It must not block: what takes time is answered [`Later`](Answer::Later).
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

/// Lets everybody in, as what they ask for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Open;

impl Authorizer for Open {
    fn authorize(&self, request: &JoinRequest) -> Answer {
        Answer::Now(Ok(Grant::from(request)))
    }
}
