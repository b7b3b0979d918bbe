//! TLS for a LAN: the local certificate authority, and the page that explains how to trust it.

#[cfg(feature = "lan")]
pub(crate) mod authority;
#[cfg_attr(not(feature = "lan"), path = "trust_absent.rs")]
pub(crate) mod trust;
