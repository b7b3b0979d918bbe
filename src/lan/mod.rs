//! TLS for a LAN: the local certificate authority.

pub(crate) mod authority;
mod constraints;
mod generate;
pub(crate) mod home;
