//! The query of a URL that joins a room.

use crate::limits::QUERY_NAME_CHARS;
use crate::parameters::{check_utf8, only, parameters};
use crate::protocol::{ErrorCode, Join, Refusal};
use crate::room::names::{PeerId, PeerName, RoomName};
use crate::secret::Secret;

/// The names of the parameters that a join has. There is also `route`, which says the room to a load balancer and nothing to the
/// relay.
const OF_A_JOIN: [&str; 5] = ["room", "name", "id", "token", "resume"];

/// Whether `query` has any parameter of a join.
pub(super) fn asks_to_join(query: &str) -> bool {
    parameters(query).any(|(name, _)| OF_A_JOIN.contains(&&*name))
}

/// Whether `query` names a room.
pub(super) fn has_room(query: &str) -> bool {
    parameters(query).any(|(name, _)| name == "room")
}

/// A name in `query` that is unknown and was probably meant to be another one; and that.
pub(super) fn misspelled(query: &str) -> Option<(String, &'static str)> {
    parameters(query).find_map(|(name, _)| {
        let meant = OF_A_JOIN.into_iter().find(|known| is_near(&name, known))?;
        Some((name.chars().take(QUERY_NAME_CHARS).collect(), meant))
    })
}

/// Whether `name` is a known one with a letter or two wrong, in capitals, or with something behind it (`roomId`).
fn is_near(name: &str, known: &str) -> bool {
    // Distances of long texts take long.
    if name.len() > QUERY_NAME_CHARS || OF_A_JOIN.contains(&name) {
        return false;
    }
    let lower = name.to_lowercase();
    lower == known
        || strsim::osa_distance(&lower, known) <= known.len() / 3
        || (known.len() > 2 && lower.starts_with(known))
}

/// The join that `?room=R&name=N&id=I&resume=1` asks for; the room is `lobby` without `room`.
pub(super) fn join_of(query: &str) -> Result<Join, Refusal> {
    check_utf8(query).map_err(|sentence| Refusal::new(ErrorCode::BadRoom, sentence))?;
    let value = |key| only(query, key).map_err(|sentence| Refusal::new(ErrorCode::BadMessage, sentence));
    let written = value("room")?;
    let room = written.as_ref().map_or(Ok(RoomName::lobby()), |room| RoomName::parse(room))?;
    let spelling = written.and_then(|written| room.spelling(&written));
    let name = value("name")?.map_or(Ok(None), |name| PeerName::parse(&name))?;
    let id = value("id")?.map(|id| PeerId::chosen(&id)).transpose()?;
    let token = value("token")?.map(Secret::new);
    let resume = match value("resume")?.as_deref() {
        None | Some("0") => false,
        Some("1") => true,
        Some(_) => return Err(Refusal::new(ErrorCode::BadMessage, "\"resume\" in the URL must be 1 or 0")),
    };
    // No password: proxies log queries.
    Ok(Join { room, spelling, name, id, token, password: None, resume })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_that_is_near_a_known_one_is_named_with_it() {
        for (query, meant) in [
            ("roomm=a", "room"),
            ("rom=a", "room"),
            ("Room=a", "room"),
            ("roomId=a", "room"),
            ("room_name=a", "room"),
            ("x=1&nane=Ana", "name"),
            ("room=a&tokn=t", "token"),
            ("resme=1", "resume"),
            ("ID=a", "id"),
        ] {
            assert_eq!(misspelled(query).map(|(_, meant)| meant), Some(meant), "{query}");
        }
        for query in ["", "room=a&name=b&id=c&token=d&resume=1", "utm_source=x&v=2&route=r", "r=a", &"room".repeat(50)]
        {
            assert_eq!(misspelled(query), None, "{query}");
        }
    }
}
