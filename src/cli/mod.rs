//! The program.

pub mod banner;
