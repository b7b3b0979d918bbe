//! Clients of other libraries' wires that say anything: nothing panics, and who is subscribed hears what is published, and
//! nobody else, by a model of their topics.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| signaling_relay::fuzzing::wires(bytes));
