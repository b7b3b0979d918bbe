//! Real calls in real Chromium, through the real binary.

// Where there are Chromium and network namespaces.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that meets what it does not expect has failed"
)]
#![allow(unreachable_pub, reason = "the words that tests are told in are public to them")]

mod application;
mod check;
#[cfg(all(feature = "cluster", feature = "admin"))]
mod cluster;
mod controls;
mod crowd;
mod disk;
mod fifty_lines;
#[path = "../harness/mod.rs"]
mod harness;
mod hosting;
mod ice;
mod identity;
mod invited;
mod lan;
mod link;
mod looks;
mod nat;
mod number;
mod operators;
mod outage;
mod own_page;
mod package;
#[cfg(feature = "wires")]
mod peerjs;
mod people;
mod provider;
mod proxied;
mod refused;
mod safety;
mod served;
mod shown;
mod signaling;
mod support;
mod talk;
mod troubles;
#[cfg(feature = "wires")]
mod wires;
