//! In which room the doctor looks: one that nobody else is in, unless the token is for others.

use data_encoding::BASE64URL_NOPAD;
use serde_json::Value;

use crate::limits;
use crate::secret::Secret;

/// A room.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Room {
    /// Its name.
    pub(super) name: String,
    /// Whether somebody else may be in it.
    pub(super) is_shared: bool,
}

/// The room for who has `token`, if there is one, and was invited to `room`, if that is so.
///
/// # Errors
/// When the operating system provides no randomness.
pub(super) fn choose(token: Option<&Secret>, room: Option<&str>) -> Result<Room, getrandom::Error> {
    let own = |prefix: &str| Ok(Room { name: format!("{prefix}{}", random()?), is_shared: false });
    let shared = |name: &str| Room { name: name.to_owned(), is_shared: true };
    let Some(token) = token else { return own("doctor-") };
    let claims = claims(token.reveal());
    let claim = claims.as_ref().and_then(|claims| claims.get(limits::TOKEN_ROOM_CLAIM));
    let rooms: Vec<&str> = match claim {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(rooms)) => rooms.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if let Some(prefix) = rooms.iter().find_map(|room| room.strip_suffix('*')) {
        return own(prefix);
    }
    match (rooms.first(), room) {
        // That of the link, if the token is for it.
        (Some(_), Some(room)) if rooms.contains(&room) => Ok(shared(room)),
        (Some(first), _) => Ok(shared(first)),
        // The rooms are in another claim, or elsewhere.
        (None, Some(room)) => Ok(shared(room)),
        (None, None) => own("doctor-"),
    }
}

/// Whether the token is one person's, of whom a room has one at most.
pub(super) fn is_personal(token: Option<&Secret>) -> bool {
    token.and_then(|token| claims(token.reveal())).is_some_and(|claims| claims.get("sub").is_some_and(Value::is_string))
}

/// What the token says. Whether that is true is the relay's business.
fn claims(token: &str) -> Option<Value> {
    let payload = token.split('.').nth(1)?;
    serde_json::from_slice(&BASE64URL_NOPAD.decode(payload.as_bytes()).ok()?).ok()
}

/// A text that nobody guesses.
pub(super) fn random() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(BASE64URL_NOPAD.encode(&bytes))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn token(claims: &Value) -> Secret {
        Secret::new(format!("x.{}.y", BASE64URL_NOPAD.encode(claims.to_string().as_bytes())))
    }

    #[test]
    fn without_a_token_nobody_else_is_in_the_room() {
        let [one, other] = [choose(None, Some("team")).unwrap(), choose(None, None).unwrap()];
        assert!(!one.is_shared && one.name.starts_with("doctor-") && one.name != other.name);
    }

    #[test]
    fn a_token_is_taken_where_it_is_good() {
        for (claims, invited, name) in [
            (json!({"room": "team"}), None, "team"),
            (json!({"room": ["a", "b"]}), Some("b"), "b"),
            (json!({"room": ["a", "b"]}), Some("c"), "a"),
            (json!({"rooms": "elsewhere"}), Some("c"), "c"),
        ] {
            let room = choose(Some(&token(&claims)), invited).unwrap();
            assert_eq!((room.name.as_str(), room.is_shared), (name, true), "{claims}");
        }
    }

    #[test]
    fn a_prefix_is_room_enough_for_a_room_of_ones_own() {
        let room = choose(Some(&token(&json!({"room": ["a", "team-*"]}))), Some("a")).unwrap();
        assert!(room.name.starts_with("team-") && room.name.len() > 20 && !room.is_shared);
        assert!(!choose(Some(&Secret::new("no token")), None).unwrap().is_shared);
    }

    #[test]
    fn a_token_with_a_subject_is_one_persons() {
        assert!(is_personal(Some(&token(&json!({"sub": "ana"})))));
        assert!(!is_personal(Some(&token(&json!({"room": "a"})))) && !is_personal(None));
    }
}
