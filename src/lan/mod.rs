//! TLS for a LAN.

#[cfg(feature = "lan")]
pub mod authority;
#[cfg_attr(not(feature = "lan"), path = "trust_absent.rs")]
pub mod trust;
