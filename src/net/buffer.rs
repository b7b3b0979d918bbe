//! The read buffer of all connections on this thread. A connection keeps only the bytes that it has not handled yet, so an
//! idle one needs no buffer.

use std::cell::Cell;

thread_local! {
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Takes the buffer, which has any length. [Put it back](put_back) before the task gives up its turn.
pub(crate) fn take() -> Vec<u8> {
    BUFFER.take()
}

/// Puts back what was taken.
pub(crate) fn put_back(buffer: Vec<u8>) {
    BUFFER.set(buffer);
}
