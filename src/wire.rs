//! The names of the wires that the relay speaks besides its own.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// A protocol of another library, which its unmodified clients speak with the relay. `src/wires/README.md` says what each needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Wire {
    /// y-webrtc, the connector of Yjs, at `/y-webrtc`.
    YWebrtc,
    /// The relay of Trystero, at `/trystero`.
    Trystero,
    /// PeerJS, at `/peerjs`.
    PeerJs,
    /// matchbox, by which games in Rust connect, at `/matchbox` and `/matchbox/ROOM`.
    Matchbox,
    /// RxDB, whose databases replicate by it, at `/rxdb`.
    RxDb,
}

/// A name that no wire has. Its text is a sentence for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("it is none of the wires, which are {}", list())]
pub struct WireError;

impl Wire {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::YWebrtc, Self::Trystero, Self::PeerJs, Self::Matchbox, Self::RxDb];

    /// Its name, which is also its path.
    pub fn name(self) -> &'static str {
        match self {
            Self::YWebrtc => "y-webrtc",
            Self::Trystero => "trystero",
            Self::PeerJs => "peerjs",
            Self::Matchbox => "matchbox",
            Self::RxDb => "rxdb",
        }
    }

    /// Whether what follows its name in the path belongs to it too.
    pub(crate) fn has_longer_paths(self) -> bool {
        self == Self::Matchbox
    }

    /// Who speaks it.
    #[cfg(feature = "cli")]
    pub(crate) fn speakers(self) -> &'static str {
        match self {
            Self::YWebrtc | Self::Trystero | Self::PeerJs | Self::RxDb => "Pages",
            Self::Matchbox => "Games",
        }
    }

    /// Its place among [`ALL`](Self::ALL).
    pub(crate) fn number(self) -> usize {
        self as usize
    }

    /// What a page or a program gives its library, for a relay that speaks the wire at `url`.
    #[cfg(feature = "cli")]
    pub(crate) fn line(self, url: &str) -> String {
        match self {
            Self::YWebrtc => format!("{{ signaling: [\"{url}\"] }}"),
            Self::Trystero => format!("{{ relayConfig: {{ urls: [\"{url}\"] }} }}"),
            Self::PeerJs => peerjs_options(url),
            Self::Matchbox => format!("WebRtcSocket::new_reliable(\"{url}/my-game?next=2\")"),
            Self::RxDb => format!("getConnectionHandlerSimplePeer({{ signalingServerUrl: \"{url}\" }})"),
        }
    }
}

impl FromStr for Wire {
    type Err = WireError;

    fn from_str(text: &str) -> Result<Self, WireError> {
        Self::ALL.into_iter().find(|wire| wire.name() == text).ok_or(WireError)
    }
}

impl fmt::Display for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

fn list() -> String {
    let [others @ .., last] = Wire::ALL.map(Wire::name);
    format!("{} and {last}", others.join(", "))
}

/// The options of a `Peer`, which has no URL but its parts.
#[cfg(feature = "cli")]
fn peerjs_options(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or_default();
    let (authority, path) = rest.split_once('/').unwrap_or_default();
    // An address of IPv6 has colons of its own, in brackets.
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (authority, if scheme == "wss" { "443" } else { "80" }),
    };
    let path = path.strip_suffix(Wire::PeerJs.name()).unwrap_or(path);
    format!("{{ host: \"{host}\", port: {port}, path: \"/{path}\", secure: {} }}", scheme == "wss")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wire_has_one_name_and_an_error_says_them_all() {
        for (number, wire) in Wire::ALL.into_iter().enumerate() {
            assert_eq!(wire.number(), number);
            assert_eq!(wire.name().parse(), Ok(wire));
            assert!(WireError.to_string().contains(wire.name()));
        }
        for name in ["", "Y-WebRTC", "y_webrtc", "ws", "peer", "PeerJS"] {
            assert_eq!(name.parse::<Wire>(), Err(WireError), "{name}");
        }
    }

    #[cfg(feature = "cli")]
    #[test]
    fn the_options_of_peerjs_are_the_parts_of_its_url() {
        for (url, options) in [
            ("ws://127.0.0.1:8080/peerjs", "{ host: \"127.0.0.1\", port: 8080, path: \"/\", secure: false }"),
            ("wss://[::1]/peerjs", "{ host: \"[::1]\", port: 443, path: \"/\", secure: true }"),
            ("ws://[::1]:9/peerjs", "{ host: \"[::1]\", port: 9, path: \"/\", secure: false }"),
            ("wss://HOST/a/peerjs", "{ host: \"HOST\", port: 443, path: \"/a/\", secure: true }"),
        ] {
            assert_eq!(Wire::PeerJs.line(url), options);
        }
    }
}
