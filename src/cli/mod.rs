//! The binary: its flags, banner, log and signals.

pub mod banner;
pub mod flags;
pub mod log;
pub mod signals;
