//! The relay as clients, operators and embedders meet it. All of it is one binary, so that it is linked once.
//!
//! These tests run at the same time in one process: what belongs to the process, such as its environment or its limits,
//! is changed only in processes that a test starts.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that meets what it does not expect has failed"
)]

#[path = "../harness/mod.rs"]
mod harness;

// The relay inside the test.
mod bursts;
mod deadlines;
mod embed;
mod held;
mod host;
#[cfg(feature = "page")]
mod http;
mod promises;
mod resume;
mod wire;

// The program.
#[cfg(all(feature = "cli", feature = "auth"))]
mod auth;
#[cfg(all(feature = "cli", feature = "page"))]
mod authority;
#[cfg(all(feature = "cli", feature = "page"))]
mod environment;
#[cfg(all(feature = "cli", feature = "auth"))]
mod identity;
#[cfg(all(feature = "cli", feature = "page"))]
mod lan;
#[cfg(all(feature = "cli", feature = "page"))]
mod local;
#[cfg(all(feature = "cli", feature = "page"))]
mod program;
#[cfg(all(feature = "cli", feature = "page"))]
mod proxy;
#[cfg(feature = "cli")]
mod quotas;
#[cfg(all(feature = "cli", feature = "page"))]
mod tls;

// What comes with it.
#[cfg(all(feature = "cli", feature = "page"))]
mod deploy;
#[cfg(all(feature = "cli", feature = "page", feature = "auth"))]
mod pages;
#[cfg(all(feature = "cli", feature = "page"))]
mod scripts;
