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
#[cfg(feature = "wires")]
mod peerjs;
mod promises;
mod reload;
mod resume;
mod vouched;
mod wire;
#[cfg(feature = "wires")]
mod wires;

// The program, where there are signals, files with modes, Unix sockets and tools such as openssl.
#[cfg(all(unix, feature = "cli", feature = "page", feature = "admin"))]
mod admin;
#[cfg(all(unix, feature = "cli", feature = "page", feature = "admin"))]
mod api;
#[cfg(all(unix, feature = "cli", feature = "auth"))]
mod auth;
#[cfg(all(unix, feature = "cli", feature = "page"))]
mod authority;
#[cfg(all(unix, feature = "cli", feature = "page", feature = "admin", feature = "cluster"))]
mod balanced;
#[cfg(all(unix, feature = "cli", feature = "page", feature = "admin", feature = "cluster"))]
mod cluster;
#[cfg(all(unix, feature = "cli", feature = "page", feature = "admin", feature = "cluster"))]
mod crowd;
#[cfg(all(unix, feature = "cli", feature = "page", feature = "auth", feature = "doctor"))]
mod doctor;
#[cfg(all(unix, feature = "cli", feature = "page", feature = "admin", feature = "cluster"))]
mod doors;
#[cfg(all(unix, feature = "cli", feature = "page", feature = "auth", feature = "admin", feature = "cluster"))]
mod drains;
#[cfg(all(unix, feature = "cli", feature = "page"))]
mod environment;
#[cfg(all(unix, feature = "cli", feature = "page", feature = "auth", feature = "admin"))]
mod events;
#[cfg(all(unix, feature = "cli", feature = "page", feature = "admin", feature = "cluster"))]
mod failover;
#[cfg(all(unix, feature = "cli", feature = "page", feature = "auth", feature = "admin", feature = "cluster"))]
mod guests;
#[cfg(all(target_os = "linux", feature = "cli", feature = "page", feature = "admin", feature = "cluster"))]
mod histories;
#[cfg(all(unix, feature = "cli", feature = "auth"))]
mod ice;
#[cfg(all(unix, feature = "cli", feature = "auth"))]
mod identity;
#[cfg(all(unix, feature = "cli", feature = "page"))]
mod lan;
#[cfg(all(unix, feature = "cli", feature = "page"))]
mod local;
#[cfg(all(unix, feature = "cli", feature = "page"))]
mod log;
#[cfg(all(unix, feature = "cli", feature = "page", feature = "admin"))]
mod metrics;
#[cfg(all(unix, feature = "cli", feature = "page", feature = "admin"))]
mod operators;
#[cfg(all(unix, feature = "cli", feature = "page"))]
mod program;
#[cfg(all(unix, feature = "cli", feature = "page"))]
mod proxy;
#[cfg(all(unix, feature = "cli"))]
mod quotas;
#[cfg(all(unix, feature = "cli"))]
mod refusals;
#[cfg(all(unix, feature = "cli", feature = "page", feature = "auth", feature = "admin"))]
mod settings;
#[cfg(all(unix, feature = "cli", feature = "page"))]
mod tls;
#[cfg(all(unix, feature = "cli", feature = "auth"))]
mod way_back;

#[cfg(all(windows, feature = "cli", feature = "page", feature = "auth"))]
mod windows;

// What comes with it.
#[cfg(all(unix, feature = "cli", feature = "page"))]
mod deploy;
#[cfg(all(unix, feature = "cli", feature = "page", feature = "auth"))]
mod pages;
#[cfg(all(unix, feature = "cli", feature = "page"))]
mod scripts;
