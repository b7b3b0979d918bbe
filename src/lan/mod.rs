//! TLS for a LAN.

#[cfg(feature = "lan")]
pub(crate) mod authority;
#[cfg_attr(not(feature = "lan"), path = "trust_absent.rs")]
pub(crate) mod trust;
