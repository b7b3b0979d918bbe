//! Tokens (JWT, RFC 7519): what a token must be, and what its bearer gets.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::{Algorithm, EncodingKey, Header, Validation, decode, decode_header, encode};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use tokio::time::Instant;

use super::key::Key;
use super::keys::KeyRing;
use super::{Denial, Grant, JoinRequest, KeyState, WayBack, check_length, signature};
use crate::limits;
use crate::room::Role;
use crate::room::names::{self, PeerId, PeerName, RoomName};
use crate::secret::Secret;
#[cfg(feature = "wires")]
use crate::wire::Wire;

/// Checks tokens with the keys of a relay.
#[derive(Debug)]
pub(crate) struct Tokens {
    keys: Arc<KeyRing>,
    rules: Rules,
}

/// What tokens must say, besides being signed.
#[derive(Debug)]
pub(crate) struct Rules {
    /// For whom they are: one of these; for nobody in particular, if there are none.
    pub audiences: Vec<String>,
    /// Who issued them: one of these; anybody with a key, if there are none.
    pub issuers: Vec<String>,
    /// The claim with the rooms.
    pub room_claim: String,
    /// Whether a token without that claim is for every room.
    pub any_room: bool,
    /// For how long after its `exp` the bearer may come back to a place that it got with it.
    pub resume_after_exp: Duration,
}

/// Why a token lets nobody in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is signed with a key that is not known, and may be known when the key sets are read again.
    UnknownKey,
    /// It is not good.
    Denied(Denial),
}

impl From<Denial> for Fault {
    fn from(denial: Denial) -> Self {
        Self::Denied(denial)
    }
}

impl Rules {
    /// What the library has to check of a token with this algorithm.
    fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        validation.leeway = limits::TOKEN_LEEWAY.as_secs();
        validation.validate_nbf = true;
        let mut required = vec!["exp"];
        if !self.audiences.is_empty() {
            validation.set_audience(&self.audiences);
            required.push("aud");
        }
        if !self.issuers.is_empty() {
            validation.set_issuer(&self.issuers);
            required.push("iss");
        }
        validation.set_required_spec_claims(&required);
        validation
    }
}

/// What a token says about its bearer; what it leaves out is up to the client, or to who is asked next.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Bearer {
    id: Option<PeerId>,
    /// The name; the inner value is none if the token says that there is no name.
    name: Option<Option<PeerName>>,
    role: Option<Role>,
    way_back: Option<WayBack>,
}

/// The claims of an invitation.
#[derive(Debug, Serialize)]
pub(crate) struct Claims {
    /// The time at which the token expires, in seconds since 1970.
    exp: u64,
    /// The rooms that the bearer may join.
    room: String,
    /// The bearer's display name.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// What the bearer may do: `host` or `guest`.
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
}

/// The claims of a token. The library checks `exp`, `nbf`, `aud` and `iss`.
#[derive(Debug, Default)]
struct Said(serde_json::Map<String, serde_json::Value>);

impl<'de> Deserialize<'de> for Said {
    /// A name that is there twice is an error: two programs would read two claims.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ClaimsVisitor)
    }
}

struct ClaimsVisitor;

impl<'de> Visitor<'de> for ClaimsVisitor {
    type Value = Said;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("claims")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut claims: A) -> Result<Said, A::Error> {
        let mut said = Said::default();
        while let Some((name, value)) = claims.next_entry::<String, serde_json::Value>()? {
            if said.0.insert(name, value).is_some() {
                return Err(serde::de::Error::custom("a claim is there twice"));
            }
        }
        Ok(said)
    }
}

/// The claim `room`: each text is a name, or a prefix that ends in `*`.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Rooms {
    One(String),
    Some(Vec<String>),
}

impl Tokens {
    pub(crate) fn new(keys: Arc<KeyRing>, rules: Rules) -> Self {
        Self { keys, rules }
    }

    /// What the token of `request` says about the client.
    ///
    /// # Errors
    /// `unauthorized`, with a sentence that says what is wrong with the token; or that its key is not known yet.
    pub(crate) fn check(&self, request: &JoinRequest) -> Result<Bearer, Fault> {
        match self.verify(request)? {
            // Else a token for a topic would open the call of that name.
            #[cfg(feature = "wires")]
            Verified::Good { .. } if request.wire.is_none() && request.room.reads_as_topic() => {
                Err(denied("with tokens, no room has the name of a wire and a slash at its beginning").into())
            }
            Verified::Good { said, key } => {
                let bearer = said.bearer_in(&request.room, &self.rules).map_err(Denial::Unauthorized)?;
                // The clients of PeerJS know each other by what they call themselves.
                #[cfg(feature = "wires")]
                let bearer = match said.text("sub") {
                    Ok(Some(sub)) if request.wire == Some(Wire::PeerJs) => {
                        Bearer { id: Some(PeerId::of_wire(sub)), ..bearer }
                    }
                    _ => bearer,
                };
                let ends = said.expires().and_then(|expires| from_now(expires, self.rules.resume_after_exp));
                Ok(Bearer { way_back: Some(WayBack { ends, key }), ..bearer })
            }
            Verified::Bad { is_key_unknown: true, .. } if self.keys.has_sets() => Err(Fault::UnknownKey),
            Verified::Bad { why, .. } => Err(denied(why).into()),
        }
    }

    /// The same, once the key sets were read again.
    ///
    /// # Errors
    /// `unauthorized`; and `unavailable`, as long as no key is known at all.
    pub(crate) async fn check_with_new_keys(&self, request: &JoinRequest) -> Result<Bearer, Denial> {
        self.keys.refresh().await;
        match self.check(request) {
            Ok(bearer) => Ok(bearer),
            Err(Fault::Denied(denial)) => Err(denial),
            Err(Fault::UnknownKey) if self.keys.keys().iter().all(|keys| keys.is_empty()) => {
                Err(Denial::Unavailable("the relay does not have the keys of tokens yet: try again soon".into()))
            }
            Err(Fault::UnknownKey) => Err(denied(NO_KEY)),
        }
    }

    fn verify(&self, request: &JoinRequest) -> Result<Verified, Denial> {
        let Some(token) = &request.token else {
            return Err(denied("this relay needs a token, in the field \"token\" of join or in ?token="));
        };
        check_length(token)?;
        let keys = self.keys.keys();
        let keys: Vec<&Key> = keys.iter().flat_map(|keys| keys.iter()).collect();
        verify(token.reveal(), &keys, &self.rules)
    }
}

/// What has come of looking for the key of a token.
enum Verified {
    /// This key verifies it: what it says. The key is none if it may be taken back without a word.
    Good { said: Said, key: Option<KeyState> },
    /// No key does, or it says what it must not.
    Bad { why: String, is_key_unknown: bool },
}

const NO_KEY: &str = "the token is not signed with a key of this relay";

/// What `token` says, if one of `keys` verifies it.
fn verify(token: &str, keys: &[&Key], rules: &Rules) -> Result<Verified, Denial> {
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
    let validation = rules.validation(algorithm);
    // A key of a file has no name.
    let fits = |key: &Key| key.id.is_none() || header.kid.is_none() || key.id.as_deref() == header.kid.as_deref();
    for key in keys.iter().filter(|key| key.algorithm == algorithm && fits(key)) {
        match decode(token, &key.key, &validation) {
            Ok(data) => return Ok(Verified::Good { said: data.claims, key: key.state.clone() }),
            Err(error) => {
                why = what_is_wrong(&error, rules);
                // Whatever else is wrong, the signature is this key's.
                if !matches!(error.kind(), ErrorKind::InvalidSignature) {
                    return Ok(Verified::Bad { why, is_key_unknown: false });
                }
            }
        }
    }
    // No set has a secret.
    Ok(Verified::Bad { why, is_key_unknown: algorithm != Algorithm::HS256 })
}

fn what_is_wrong(error: &Error, rules: &Rules) -> String {
    match error.kind() {
        ErrorKind::InvalidSignature => NO_KEY.into(),
        ErrorKind::ExpiredSignature => "the token has expired".into(),
        ErrorKind::ImmatureSignature => "the token is not valid yet".into(),
        ErrorKind::MissingRequiredClaim(claim) => format!("the token has no {claim:?}, or of the wrong kind"),
        ErrorKind::InvalidClaimFormat(claim) => format!("the token's {claim:?} is no number of seconds"),
        ErrorKind::InvalidAudience if rules.audiences.is_empty() => {
            "the token is for others than this relay: it has \"aud\" (see --token-audience)".into()
        }
        ErrorKind::InvalidAudience => "the token is for others than this relay, by its \"aud\"".into(),
        ErrorKind::InvalidIssuer => "the token is of another issuer, by its \"iss\"".into(),
        ErrorKind::Json(error) if error.is_data() => format!("the token's claims are not valid: {error}"),
        _ => "the token is malformed".into(),
    }
}

impl Claims {
    /// The claims of an invitation to `room` until `expires`, in seconds since 1970.
    pub(crate) fn invitation(room: &RoomName, name: Option<&PeerName>, role: Option<Role>, expires: u64) -> Self {
        Self {
            exp: expires,
            room: room.as_str().to_owned(),
            name: name.map(|name| name.as_str().to_owned()),
            role: role.map(Role::as_str),
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
}

impl Said {
    /// What the token says about the bearer, if it may join `room`.
    fn bearer_in(&self, room: &RoomName, rules: &Rules) -> Result<Bearer, String> {
        let claim = &rules.room_claim;
        match self.get(claim) {
            None if rules.any_room => {}
            None => return Err(format!("the token has no {claim:?}")),
            Some(value) => {
                let rooms = Rooms::deserialize(value);
                let rooms = rooms.map_err(|_| format!("the token's {claim:?} must be a text or a list of texts"))?;
                if !rooms.contain(room) {
                    return Err("the token is for another room".into());
                }
            }
        }
        let id = self.text("sub")?.map(|sub| id_of(self.text("iss").ok().flatten(), sub)).transpose()?;
        let name = self.text("name")?.map(PeerName::parse).transpose();
        let name = name.map_err(|error| format!("the token's \"name\" is not valid: {error}"))?;
        Ok(Bearer { id, name, role: self.role(rules)?, way_back: None })
    }

    /// When the token expires, since 1970; none if that is further away than can be counted.
    fn expires(&self) -> Option<Duration> {
        // The library takes a fraction as well.
        Duration::try_from_secs_f64(self.get("exp")?.as_f64()?).ok()
    }

    /// The role. A token for an audience may be one that other services read too, whose roles are not the relay's.
    fn role(&self, rules: &Rules) -> Result<Option<Role>, String> {
        let role = self.text("role").and_then(|role| {
            let role = role.map(Role::parse).transpose();
            role.map_err(|error| format!("the token's \"role\" is not valid: {error}"))
        });
        if rules.audiences.is_empty() { role } else { Ok(role.unwrap_or_default()) }
    }

    /// A claim; none if it is absent or `null`.
    fn get(&self, claim: &str) -> Option<&serde_json::Value> {
        self.0.get(claim).filter(|value| !value.is_null())
    }

    fn text(&self, claim: &str) -> Result<Option<&str>, String> {
        match self.get(claim) {
            None => Ok(None),
            Some(serde_json::Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(format!("the token's claims are not valid: {claim:?} must be a text")),
        }
    }
}

/// The moment that is `after` a time since 1970. Counted from now, so that a clock that is set later ends nothing.
fn from_now(since_1970: Duration, after: Duration) -> Option<Instant> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Instant::now().checked_add(since_1970.checked_add(after)?.saturating_sub(now))
}

/// The id of a person: the `sub` itself if that can be an id, or else one that each relay makes of it and of who issued
/// the token.
fn id_of(issuer: Option<&str>, sub: &str) -> Result<PeerId, String> {
    if sub.is_empty() {
        return Err("the token's \"sub\" is empty".into());
    }
    match PeerId::parse(sub) {
        Ok(id) if !id.is_reserved() => Ok(id),
        _ => Ok(PeerId::of_subject(issuer.unwrap_or_default(), sub, &sha256)),
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    // Both have 32 bytes.
    hash.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
    hash
}

impl Rooms {
    fn contain(&self, room: &RoomName) -> bool {
        let matches = |one: &String| {
            let one = names::normalized(one);
            match one.strip_suffix('*') {
                Some(prefix) => room.as_str().starts_with(prefix),
                None => room.as_str() == one,
            }
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
        grant.way_back = self.way_back.or(grant.way_back);
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

    fn rules() -> Rules {
        let (audiences, issuers) = (Vec::new(), Vec::new());
        let resume_after_exp = Duration::ZERO;
        Rules { audiences, issuers, room_claim: limits::TOKEN_ROOM_CLAIM.into(), any_room: false, resume_after_exp }
    }

    fn bearer(claims: serde_json::Value, name: &str) -> Result<Bearer, String> {
        serde_json::from_value::<Said>(claims).unwrap().bearer_in(&room(name), &rules())
    }

    #[test]
    fn every_room_is_for_tokens_without_rooms_and_the_claim_may_have_another_name() {
        let may = |claims: serde_json::Value, rules: &Rules| {
            serde_json::from_value::<Said>(claims).unwrap().bearer_in(&room("a"), rules).is_ok()
        };
        let any = Rules { any_room: true, ..rules() };
        assert!(may(serde_json::json!({}), &any) && may(serde_json::json!({"room": null}), &any));
        assert!(may(serde_json::json!({"room": "a"}), &any) && !may(serde_json::json!({"room": "b"}), &any));
        assert!(!may(serde_json::json!({"room": 5}), &any) && !may(serde_json::json!({"room": {}}), &any));
        let groups = Rules { room_claim: "https://relay.example/rooms".into(), ..rules() };
        assert!(may(serde_json::json!({"https://relay.example/rooms": ["a", "b"], "room": "x"}), &groups));
        assert!(!may(serde_json::json!({"room": "a"}), &groups));
    }

    #[test]
    fn who_cannot_be_an_id_gets_one_that_each_relay_makes_alike() {
        let id = |claims: serde_json::Value| bearer(claims, "r").map(|bearer| bearer.id.unwrap().as_str().to_owned());
        let of = |issuer: serde_json::Value, sub: &str| {
            id(serde_json::json!({"room": "r", "iss": issuer, "sub": sub})).unwrap()
        };
        assert_eq!(of("https://a.example".into(), "ana"), "ana");
        let one = of("https://a.example".into(), "auth0|123");
        // The first half of the SHA-256 of issuer, zero and sub.
        assert_eq!(one, "s-N6NIC-DIVrfICdSc5cQR8Q");
        assert_eq!(one, of("https://a.example".into(), "auth0|123"));
        assert_ne!(one, of("https://b.example".into(), "auth0|123"));
        assert_ne!(one, of("https://a.example".into(), "auth0|124"));
        assert_eq!(of(serde_json::Value::Null, "ana@example.org").len(), 24);
        // Nobody is called by an id that was made of somebody else, or for somebody else.
        assert_ne!(of("https://a.example".into(), &one), one);
        let random = PeerId::random().unwrap();
        assert!(of("https://a.example".into(), random.as_str()).starts_with("s-"));
        for sub in [serde_json::json!(""), serde_json::json!(5), serde_json::json!(["ana"])] {
            assert!(id(serde_json::json!({"room": "r", "sub": sub})).unwrap_err().contains("\"sub\""));
        }
        assert!(bearer(serde_json::json!({"room": "r", "sub": null}), "r").unwrap().id.is_none());
    }

    #[test]
    fn a_token_for_an_audience_may_have_roles_of_others() {
        let audience = Rules { audiences: vec!["relay".into()], ..rules() };
        for (role, expected) in [("authenticated", None), ("host", Some(Role::Host))] {
            let said: Said = serde_json::from_value(serde_json::json!({"room": "r", "role": role})).unwrap();
            assert_eq!(said.bearer_in(&room("r"), &audience).unwrap().role, expected);
        }
        let said: Said = serde_json::from_value(serde_json::json!({"room": "r", "role": ["admin"]})).unwrap();
        assert_eq!(said.bearer_in(&room("r"), &audience).unwrap().role, None);
        assert!(said.bearer_in(&room("r"), &rules()).is_err());
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
            (serde_json::json!(" cafe\u{301}"), "caf\u{e9}", true),
            (serde_json::json!("cafe\u{301}-*"), "caf\u{e9}-a", true),
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
