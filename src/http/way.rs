//! What the path of a WebSocket's URL decides, once, at the upgrade: which wire its client speaks, and by what it joins a room.

use super::path;
#[cfg(feature = "wires")]
use crate::wire::Wire;

/// How a WebSocket begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// On the relay's own wire, in the room that its URL names.
    ByUrl,
    /// On the relay's own wire, in no room until the client says `join`.
    ByMessage,
    /// On the wire of another library.
    #[cfg(feature = "wires")]
    Of(Wire),
}

impl Way {
    /// That of a path of this relay; none if there is no WebSocket.
    pub(crate) fn of(path: &str) -> Option<Self> {
        match &*path::comparable(path) {
            "/" => Some(Self::ByUrl),
            "/ws" => Some(Self::ByMessage),
            path => Self::of_other(path.strip_prefix('/')?),
        }
    }

    /// The same, at a path of a web server in which the relay is mounted: the end decides, and any other path joins by its URL.
    pub(crate) fn of_mounted(path: &str) -> Self {
        let path = &*path::comparable(path);
        let end = path.rsplit('/').next().unwrap_or_default();
        if end == "ws" {
            return Self::ByMessage;
        }
        // Only where the end names no wire may more follow the name of one.
        let longer = path.match_indices('/').filter_map(|(at, slash)| path.get(at + slash.len()..));
        std::iter::once(end).chain(longer).find_map(Self::of_other).unwrap_or(Self::ByUrl)
    }

    /// The wire whose name `path` begins with, if that is all of it, or the rest belongs to the wire too.
    #[cfg(feature = "wires")]
    fn of_other(path: &str) -> Option<Self> {
        let name = path.split('/').next()?;
        let wire = name.parse::<Wire>().ok()?;
        (name == path || wire.has_longer_paths()).then_some(Self::Of(wire))
    }

    #[cfg(not(feature = "wires"))]
    fn of_other(_: &str) -> Option<Self> {
        None
    }
}

/// What follows the name of `wire` and a slash in the path of an upgrade, not decoded; empty if there is nothing.
#[cfg(feature = "wires")]
pub(super) fn rest(path: &str, wire: Wire) -> String {
    let path = path::comparable(path);
    path.split_once(&format!("/{wire}/")).map(|(_, rest)| rest.to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bare_path_joins_by_its_url_and_ws_by_a_message() {
        for (path, way) in [
            ("/", Some(Way::ByUrl)),
            ("//", Some(Way::ByUrl)),
            ("/ws", Some(Way::ByMessage)),
            ("//ws/", Some(Way::ByMessage)),
            ("/news", None),
            ("/relay/ws", None),
            ("/signaling.js", None),
        ] {
            assert_eq!(Way::of(path), way, "{path}");
        }
    }

    #[test]
    fn within_another_server_the_end_of_the_path_decides() {
        for (path, way) in [
            ("/", Way::ByUrl),
            ("/relay", Way::ByUrl),
            ("/relay/", Way::ByUrl),
            ("/relay/ws", Way::ByMessage),
            ("/relay//ws/", Way::ByMessage),
            ("/news", Way::ByUrl),
        ] {
            assert_eq!(Way::of_mounted(path), way, "{path}");
        }
    }

    #[cfg(feature = "wires")]
    #[test]
    fn each_wire_has_its_name_as_its_path() {
        for wire in Wire::ALL {
            let name = wire.name();
            assert_eq!(Way::of(&format!("/{name}")), Some(Way::Of(wire)));
            assert_eq!(Way::of(&format!("//{name}")), Some(Way::Of(wire)));
            assert_eq!(Way::of(&format!("/a/{name}")), None);
            let (longer, is_longer) = (Way::Of(wire), wire.has_longer_paths());
            for more in ["", "a", "a/b", "ws"] {
                assert_eq!(Way::of(&format!("/{name}/{more}")), is_longer.then_some(longer), "{more}");
            }
            assert_eq!(Way::of_mounted(&format!("/a/{name}")), Way::Of(wire));
            for more in ["", "b", "b/c"] {
                let path = format!("/a/{name}/{more}");
                assert_eq!(Way::of_mounted(&path), if is_longer { longer } else { Way::ByUrl }, "{more}");
                assert_eq!(rest(&path, wire), more);
            }
            assert_eq!(Way::of_mounted(&format!("/a/{name}/ws")), Way::ByMessage);
            assert_eq!(rest(&format!("//{name}//a%2F"), wire), "a%2F");
            assert_eq!(rest(&format!("/{name}"), wire), "");
            assert_eq!(Way::of_mounted(&format!("/a-{name}")), Way::ByUrl);
        }
    }
}
