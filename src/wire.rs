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
}

/// A name that no wire has. Its text is a sentence for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("it is none of the wires, which are {}", list())]
pub struct WireError;

impl Wire {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::YWebrtc, Self::Trystero];

    /// Its name, which is also its path.
    pub fn name(self) -> &'static str {
        match self {
            Self::YWebrtc => "y-webrtc",
            Self::Trystero => "trystero",
        }
    }

    /// Its place among [`ALL`](Self::ALL).
    pub(crate) fn number(self) -> usize {
        self as usize
    }

    /// What a page gives its library, for a relay that speaks the wire at `url`.
    #[cfg(feature = "cli")]
    pub(crate) fn line(self, url: &str) -> String {
        match self {
            Self::YWebrtc => format!("{{ signaling: [\"{url}\"] }}"),
            Self::Trystero => format!("{{ relayConfig: {{ urls: [\"{url}\"] }} }}"),
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
    Wire::ALL.map(Wire::name).join(" and ")
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
        for name in ["", "Y-WebRTC", "y_webrtc", "ws", "peerjs"] {
            assert_eq!(name.parse::<Wire>(), Err(WireError), "{name}");
        }
    }
}
