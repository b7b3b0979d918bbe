//! Clients of other libraries' wires that say anything: nothing panics, and who is subscribed, has an id, or is in a
//! group or room hears what is said there, and nobody else, by models of all of that.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| signaling_relay::fuzzing::wires(bytes));
