//! Streams, and where they come from.

pub mod accept;
#[cfg(feature = "tls")]
pub mod certificate;
#[cfg(feature = "tls")]
pub mod counted;
pub mod info;
pub mod listen;
pub mod machine;
#[cfg_attr(not(feature = "tls"), path = "tls_absent.rs")]
pub mod tls;

// All code that needs Unix is in `unix`; on other systems `no_unix` has the same items. The flag
// `--cfg signaling_relay_no_unix` selects that on Unix too, to check that it compiles.
#[cfg(all(unix, not(signaling_relay_no_unix)))]
pub mod unix;
#[cfg(any(not(unix), signaling_relay_no_unix))]
#[path = "no_unix.rs"]
pub mod unix;
