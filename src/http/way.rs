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
        if end == "ws" { Self::ByMessage } else { Self::of_other(end).unwrap_or(Self::ByUrl) }
    }

    #[cfg(feature = "wires")]
    fn of_other(name: &str) -> Option<Self> {
        name.parse().ok().map(Self::Of)
    }

    #[cfg(not(feature = "wires"))]
    fn of_other(_: &str) -> Option<Self> {
        None
    }
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
            assert_eq!(Way::of(&format!("/{name}/a")), None);
            assert_eq!(Way::of_mounted(&format!("/a/{name}")), Way::Of(wire));
            assert_eq!(Way::of_mounted(&format!("/a-{name}")), Way::ByUrl);
        }
    }
}
