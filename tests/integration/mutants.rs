//! The tests that notice what unit tests do not when `scripts/mutants` changes the rooms, the outbox or the places.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that meets what it does not expect has failed"
)]

#[path = "../harness/mod.rs"]
mod harness;
mod host;
mod resume;
