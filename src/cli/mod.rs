//! The binary: its flags, invite links, banner, log and signals.

pub mod banner;
pub mod environment;
pub mod flags;
#[cfg(feature = "auth")]
pub mod invite;
pub mod log;
pub mod signals;
