//! TLS for a LAN: the local certificate authority, and the page that explains how to trust it.

#[cfg(feature = "lan")]
pub(crate) mod authority;
#[cfg(feature = "lan")]
mod constraints;
#[cfg(feature = "lan")]
pub(crate) mod home;
#[cfg(feature = "lan")]
mod make;
#[cfg_attr(not(feature = "lan"), path = "trust_absent.rs")]
pub(crate) mod trust;
