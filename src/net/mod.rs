//! Streams, and where they come from.

#[cfg(feature = "tls")]
pub mod certificate;
pub mod host;
pub mod info;
pub mod listen;
#[cfg_attr(not(feature = "tls"), path = "tls_absent.rs")]
pub mod tls;
pub mod unix;
