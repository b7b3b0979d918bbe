//! Listeners, streams and TLS.

pub(crate) mod accept;
pub(crate) mod address;
#[cfg(feature = "tls")]
pub(crate) mod certificate;
#[cfg(feature = "tls")]
pub(crate) mod counted;
pub(crate) mod info;
pub(crate) mod listen;
pub(crate) mod machine;
#[cfg_attr(not(feature = "tls"), path = "tls_absent.rs")]
pub(crate) mod tls;

// All code that needs Unix is in `unix`; on other systems `no_unix` has the same items. The flag
// `--cfg signaling_relay_no_unix` selects that on Unix too, to check that it compiles.
#[cfg(all(unix, not(signaling_relay_no_unix)))]
pub(crate) mod unix;
#[cfg(any(not(unix), signaling_relay_no_unix))]
#[path = "no_unix.rs"]
pub(crate) mod unix;
