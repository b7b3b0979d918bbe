//! Tokens (JWT, RFC 7519): what a token must be, and what its bearer gets.

use std::sync::Arc;

use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::{Algorithm, EncodingKey, Header, Validation, decode, decode_header, encode};
use serde::{Deserialize, Serialize};

use super::keys::{Key, KeyRing};
use super::{Denial, Grant, JoinRequest, signature};
use crate::limits;
use crate::room::Role;
use crate::room::names::{PeerId, PeerName, RoomName};
use crate::secret::Secret;

/// Checks tokens with the keys of a relay.
#[derive(Debug)]
pub(crate) struct Tokens(Arc<KeyRing>);

/// What a token says about its bearer; what it leaves out is up to the client, or to who is asked next.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Bearer {
    id: Option<PeerId>,
    /// The name; the inner value is none if the token says that there is no name.
    name: Option<Option<PeerName>>,
    role: Option<Role>,
}

/// The claims of a token for the relay. `exp` and `nbf` are checked by the library as well.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Claims {
    /// The time at which the token expires, in seconds since 1970.
    #[serde(default)]
    exp: serde_json::Value,
    /// The rooms that the bearer may join.
    room: Option<Rooms>,
    /// Who the bearer is: its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    sub: Option<String>,
    /// The bearer's display name.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// What the bearer may do: `host` or `guest`.
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<String>,
}

/// The claim `room`: each text is a name, or a prefix that ends in `*`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged, expecting = "\"room\" must be a text or a list of texts")]
enum Rooms {
    One(String),
    Some(Vec<String>),
}

impl Tokens {
    pub(crate) fn new(keys: Arc<KeyRing>) -> Self {
        Self(keys)
    }

    /// What the token of `request` says about the client.
    ///
    /// # Errors
    /// `unauthorized`, with a sentence that says what is wrong with the token.
    pub(crate) fn check(&self, request: &JoinRequest) -> Result<Bearer, Denial> {
        let Some(token) = &request.token else {
            return Err(denied("this relay needs a token, in the field \"token\" of join or in ?token="));
        };
        check_length(token)?;
        let claims = verify(token.reveal(), &self.0.keys())?;
        claims.bearer_in(&request.room).map_err(Denial::Unauthorized)
    }
}

/// Checks that a token is not too long to be looked at.
///
/// # Errors
/// `unauthorized`, if it is.
pub(super) fn check_length(token: &Secret) -> Result<(), Denial> {
    match token.reveal().len() {
        bytes if bytes > limits::TOKEN_BYTES => {
            let most = limits::TOKEN_BYTES;
            Err(denied(format!("the token has {bytes} bytes, and a token has {most} at most")))
        }
        _ => Ok(()),
    }
}

/// The claims of `token`, if one of `keys` verifies it.
fn verify(token: &str, keys: &[Key]) -> Result<Claims, Denial> {
    let header = decode_header(token).map_err(|error| match error.kind() {
        ErrorKind::Json(error) if error.is_data() => {
            denied("the token is not signed: its header must say HS256, ES256, RS256 or EdDSA")
        }
        _ => denied("the token is malformed: it must be a JWT"),
    })?;
    if header.crit.is_some() {
        return Err(denied("the token's header has \"crit\", which the relay does not know"));
    }
    let algorithm = header.alg;
    let mut why = format!("the token is signed with {algorithm:?}, and the relay has no key for that");
    for key in keys.iter().filter(|key| key.algorithm == algorithm) {
        let mut validation = Validation::new(algorithm);
        validation.leeway = limits::TOKEN_LEEWAY.as_secs();
        validation.validate_nbf = true;
        match decode(token, &key.key, &validation) {
            Ok(data) => return Ok(data.claims),
            Err(error) => {
                why = what_is_wrong(&error);
                // Whatever else is wrong, the signature is this key's.
                if !matches!(error.kind(), ErrorKind::InvalidSignature) {
                    break;
                }
            }
        }
    }
    Err(denied(why))
}

fn what_is_wrong(error: &Error) -> String {
    match error.kind() {
        ErrorKind::InvalidSignature => "the token is not signed with a key of this relay".into(),
        ErrorKind::ExpiredSignature => "the token has expired".into(),
        ErrorKind::ImmatureSignature => "the token is not valid yet".into(),
        ErrorKind::MissingRequiredClaim(claim) => format!("the token has no {claim:?}, or it is no number"),
        ErrorKind::InvalidClaimFormat(claim) => format!("the token's {claim:?} is no number of seconds"),
        ErrorKind::InvalidAudience => "the token is for others than this relay: it has \"aud\"".into(),
        ErrorKind::Json(error) if error.is_data() => format!("the token's claims are not valid: {error}"),
        _ => "the token is malformed".into(),
    }
}

impl Claims {
    /// The claims of an invitation to `room` until `expires`, in seconds since 1970.
    pub(crate) fn invitation(room: &RoomName, name: Option<&PeerName>, role: Option<Role>, expires: u64) -> Self {
        Self {
            exp: expires.into(),
            room: Some(Rooms::One(room.as_str().to_owned())),
            sub: None,
            name: name.map(|name| name.as_str().to_owned()),
            role: role.map(|role| role.as_str().to_owned()),
        }
    }

    /// Signs them.
    ///
    /// # Errors
    /// When the library cannot do so.
    pub(crate) fn sign(&self, secret: &[u8]) -> Result<Secret, Error> {
        signature::install();
        encode(&Header::new(Algorithm::HS256), self, &EncodingKey::from_secret(secret)).map(Secret::new)
    }

    /// What they say about the bearer, if it may join `room`.
    fn bearer_in(self, room: &RoomName) -> Result<Bearer, String> {
        let rooms = self.room.ok_or("the token has no \"room\"")?;
        if !rooms.contain(room) {
            return Err("the token is for another room".into());
        }
        let id = self.sub.map(|sub| PeerId::parse(&sub)).transpose();
        let id = id.map_err(|error| format!("the token's \"sub\" cannot be an id: {error}"))?;
        let name = self.name.map(|name| PeerName::parse(&name)).transpose();
        let name = name.map_err(|error| format!("the token's \"name\" is not valid: {error}"))?;
        let role = self.role.map(|role| Role::parse(&role)).transpose();
        let role = role.map_err(|error| format!("the token's \"role\" is not valid: {error}"))?;
        Ok(Bearer { id, name, role })
    }
}

impl Rooms {
    fn contain(&self, room: &RoomName) -> bool {
        let matches = |one: &String| match one.strip_suffix('*') {
            Some(prefix) => room.as_str().starts_with(prefix),
            None => room.as_str() == one,
        };
        match self {
            Self::One(one) => matches(one),
            Self::Some(rooms) => rooms.iter().any(matches),
        }
    }
}

impl Bearer {
    /// What the bearer asks for: what its token says instead of what it says itself.
    pub(crate) fn request(&self, request: &JoinRequest) -> JoinRequest {
        let mut request = request.clone();
        request.id = self.id.clone().or(request.id);
        request.name = self.name.clone().unwrap_or(request.name);
        request
    }

    /// What the bearer gets: what its token says wins over the `grant` of who was asked next.
    pub(crate) fn grant(self, mut grant: Grant) -> Grant {
        if let Some(id) = self.id {
            grant.id = Some(id);
            grant.is_identified = true;
        }
        if let Some(name) = self.name {
            grant.name = name;
        }
        grant.role = self.role.unwrap_or(grant.role);
        grant
    }
}

fn denied(why: impl Into<String>) -> Denial {
    Denial::Unauthorized(why.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(name: &str) -> RoomName {
        RoomName::parse(name).unwrap()
    }

    fn bearer(claims: serde_json::Value, name: &str) -> Result<Bearer, String> {
        serde_json::from_value::<Claims>(claims).unwrap().bearer_in(&room(name))
    }

    #[test]
    fn a_room_is_a_name_a_list_or_a_prefix() {
        for (claim, name, may) in [
            (serde_json::json!("team"), "team", true),
            (serde_json::json!("team"), "team-a", false),
            (serde_json::json!("team"), "Team", false),
            (serde_json::json!("team-*"), "team-a", true),
            (serde_json::json!("team-*"), "team-", true),
            (serde_json::json!("team-*"), "team", false),
            (serde_json::json!("*"), "anything", true),
            (serde_json::json!(["a", "b-*"]), "a", true),
            (serde_json::json!(["a", "b-*"]), "b-1", true),
            (serde_json::json!(["a", "b-*"]), "c", false),
            (serde_json::json!([]), "a", false),
            (serde_json::json!(""), "a", false),
        ] {
            let bearer = bearer(serde_json::json!({ "room": claim }), name);
            assert_eq!(bearer.is_ok(), may, "{claim} {name}: {bearer:?}");
        }
        assert!(bearer(serde_json::json!({}), "a").unwrap_err().contains("no \"room\""));
    }

    #[test]
    fn what_a_token_says_wins_over_the_client_and_over_who_is_asked_next() {
        let claims = serde_json::json!({"room": "r", "sub": "ana", "name": "Ana", "role": "host"});
        let ana = bearer(claims, "r").unwrap();
        let next = Grant { id: Some(PeerId::parse("other").unwrap()), role: Role::Guest, ..Grant::default() };
        let grant = ana.grant(next);
        assert_eq!(grant.id.unwrap().as_str(), "ana");
        assert!(grant.is_identified);
        assert_eq!(grant.name.unwrap().as_str(), "Ana");
        assert_eq!(grant.role, Role::Host);
    }

    #[test]
    fn what_a_token_leaves_out_is_up_to_others() {
        let somebody = bearer(serde_json::json!({"room": "r"}), "r").unwrap();
        let next = Grant { id: Some(PeerId::parse("other").unwrap()), role: Role::Host, ..Grant::default() };
        assert_eq!(somebody.grant(next.clone()), next);
    }

    #[test]
    fn an_empty_name_in_a_token_takes_the_clients_name_away() {
        let nameless = bearer(serde_json::json!({"room": "r", "name": ""}), "r").unwrap();
        let next = Grant { name: PeerName::parse("Mallory").unwrap(), ..Grant::default() };
        assert_eq!(nameless.grant(next).name, None);
    }
}
