//! Sessions in rooms, whatever they say and however slowly they read: each is told what the model of the protocol says
//! (`src/peer/tests/model.rs`).
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| signaling_relay::fuzzing::rooms(bytes));
