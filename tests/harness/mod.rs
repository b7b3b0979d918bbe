//! The relay as its users meet it, as a process or inside the test, and clients that dial it.
#![allow(dead_code, unreachable_pub, unused_imports, reason = "each test binary uses a part of it")]

pub mod client;
pub mod pki;
pub mod relay;

pub use client::TestRelay;
pub use relay::*;
