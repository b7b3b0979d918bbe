//! TLS for a LAN: the local certificate authority.

pub(crate) mod authority;
mod constraints;
pub(crate) mod home;
mod make;
