//! The STUN and TURN servers that clients are told of.
//!
//! The relay carries no media: it tells each client which servers help it to reach the others (RFC 8445), and with what
//! credentials. Those of a TURN server may be made for one client and run out ([`turn`]), so what a client is told is made
//! when it is told: [`IceServers::for_client`].

mod check;
mod policy;
pub(crate) mod settings;
#[cfg(feature = "auth")]
pub(crate) mod turn;
mod url;

use std::sync::Arc;

use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

pub use policy::CandidatePolicy;
#[cfg(feature = "auth")]
use turn::{TurnServer, TurnSigner};
pub use url::{StunUrl, TurnUrl};

use crate::limits::ICE_SERVERS_BYTES;

/// The STUN and TURN servers that a client may use, as `RTCConfiguration.iceServers` takes them. They are parsed from JSON,
/// [64 KiB](crate::limits::ICE_SERVERS_BYTES) at most, and what `RTCPeerConnection` refuses (W3C webrtc-pc, RFC 7064, RFC
/// 7065) is an error.
#[derive(Debug, Clone, Default)]
pub struct IceServers(Arc<List>);

#[derive(Debug)]
struct List {
    servers: Vec<Map<String, Value>>,
    /// The most bytes of JSON that a client is told.
    bytes: usize,
    /// TURN servers with credentials that are made for each client.
    #[cfg(feature = "auth")]
    signer: Option<TurnSigner>,
}

impl Default for List {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            bytes: "[]".len(),
            #[cfg(feature = "auth")]
            signer: None,
        }
    }
}

/// The servers as one client is told of them.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientsServers<'a> {
    ice_servers: Entries<'a>,
    /// For how many milliseconds from now its credentials are good, if they run out.
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl_ms: Option<u64>,
}

#[derive(Debug)]
struct Entries<'a> {
    servers: &'a [Map<String, Value>],
    #[cfg(feature = "auth")]
    signed: Option<TurnServer<'a>>,
}

impl IceServers {
    fn new(servers: Vec<Map<String, Value>>) -> Result<Self, String> {
        // This cannot fail: there are only JSON values, and maps with keys that are strings.
        let bytes = serde_json::to_string(&servers).unwrap_or_default().len();
        check_size(bytes)?;
        Ok(Self(Arc::new(List {
            servers,
            bytes,
            #[cfg(feature = "auth")]
            signer: None,
        })))
    }

    /// These servers and those of `others`.
    ///
    /// # Errors
    /// When the list is too long.
    pub(crate) fn and(&self, others: &Self) -> Result<Self, String> {
        Self::new(self.0.servers.iter().chain(&others.0.servers).cloned().collect())
    }

    /// These servers, and those for which `signer` makes credentials.
    ///
    /// # Errors
    /// When the list is too long.
    #[cfg(feature = "auth")]
    pub(crate) fn and_signed(&self, signer: TurnSigner) -> Result<Self, String> {
        let bytes = self.0.bytes + signer.most_bytes();
        check_size(bytes)?;
        Ok(Self(Arc::new(List { servers: self.0.servers.clone(), bytes, signer: Some(signer) })))
    }

    /// A server without credentials.
    pub(crate) fn of_stun(urls: &[StunUrl]) -> Result<Self, String> {
        if urls.is_empty() {
            return Ok(Self::default());
        }
        let urls = urls.iter().map(|url| Value::from(url.as_str())).collect();
        Self::new(vec![Map::from_iter([("urls".to_owned(), Value::Array(urls))])])
    }

    /// What the client with this id is told now.
    pub(crate) fn for_client(&self, id: &str) -> ClientsServers<'_> {
        #[cfg(feature = "auth")]
        let (signed, ttl_ms) = match &self.0.signer {
            Some(signer) => (Some(signer.server_for(id)), Some(signer.ttl_ms())),
            None => (None, None),
        };
        #[cfg(not(feature = "auth"))]
        let (_, ttl_ms) = (id, None);
        let entries = Entries {
            servers: &self.0.servers,
            #[cfg(feature = "auth")]
            signed,
        };
        ClientsServers { ice_servers: entries, ttl_ms }
    }

    /// The most bytes of JSON that a client is told.
    pub(crate) fn bytes(&self) -> usize {
        self.0.bytes
    }

    /// Whether there is a TURN server.
    pub(crate) fn has_turn(&self) -> bool {
        #[cfg(feature = "auth")]
        if self.0.signer.is_some() {
            return true;
        }
        self.0.servers.iter().any(|server| check::urls(server).any(url::is_turn))
    }

    /// The first server that has credentials although all of its URLs are `stun:`, counted from one. Browsers ignore them;
    /// whoever wrote that means a TURN server.
    pub(crate) fn stun_with_credentials(&self) -> Option<usize> {
        let is_wrong = |server: &Map<String, Value>| {
            let has =
                ["username", "credential"].iter().any(|field| server.get(*field).is_some_and(|text| !text.is_null()));
            has && !check::urls(server).any(url::is_turn)
        };
        self.0.servers.iter().position(is_wrong).map(|position| position + 1)
    }

    /// Reads the secrets of TURN servers again, if there are any; whether there are.
    #[cfg(feature = "auth")]
    pub(crate) fn reload(&self) -> bool {
        self.0.signer.as_ref().map(TurnSigner::reload).is_some()
    }
}

/// The same servers; credentials that are made for each client do not count.
impl PartialEq for IceServers {
    fn eq(&self, other: &Self) -> bool {
        self.0.servers == other.0.servers
    }
}

impl Serialize for Entries<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut list = to.serialize_seq(None)?;
        self.servers.iter().try_for_each(|server| list.serialize_element(server))?;
        #[cfg(feature = "auth")]
        self.signed.iter().try_for_each(|server| list.serialize_element(server))?;
        list.end()
    }
}

fn check_size(bytes: usize) -> Result<(), String> {
    if bytes > ICE_SERVERS_BYTES {
        return Err(format!("the list is {bytes} bytes of JSON, and must be {ICE_SERVERS_BYTES} at most"));
    }
    Ok(())
}
