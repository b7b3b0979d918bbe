//! What the targets in `fuzz/` need of the private modules. `cargo fuzz` sets the condition `fuzzing`; no other build
//! has this module.

use crate::ws::decoded_in_chunks;

/// What the decoder of a connection finds in a stream that arrives in these chunks, as text: the items, and why it
/// accepts no more, if that is so.
pub fn decode<'a>(max_message_bytes: usize, chunks: impl Iterator<Item = &'a [u8]>) -> (Vec<String>, Option<String>) {
    let (items, violation) = decoded_in_chunks(max_message_bytes, chunks);
    (items, violation.map(|violation| format!("{violation:?}")))
}

/// Has clients of other libraries' wires say the lines of `bytes`, and panics when somebody hears anything else than the models
/// of their topics, ids and groups say.
#[cfg(feature = "wires")]
pub fn wires(bytes: &[u8]) {
    crate::wires::trial::run(bytes);
}

/// Runs sessions in rooms with the operations that `bytes` select, and panics when a peer is told anything else than
/// the model of the protocol says.
pub fn rooms(bytes: &[u8]) {
    crate::peer::tests::model::run_selected(bytes);
}
