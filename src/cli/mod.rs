//! The binary: its flags, invite links, banner, log, signals and file descriptors.

pub mod banner;
pub mod descriptors;
pub mod environment;
pub mod flags;
#[cfg(feature = "auth")]
pub mod invite;
pub mod log;
pub mod signals;
