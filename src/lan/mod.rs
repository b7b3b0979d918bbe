//! TLS for a LAN.

pub mod authority;
pub mod trust;
