//! The writing end of a client's stream, as the outbox needs it.

use std::io::{self, IoSlice};
use std::task::{Context, Poll};

/// The writing end of a client's stream. Only one at a time writes; the outbox sees to it.
pub trait Sink: Send + Sync {
    /// Writes some of `frames`, as `AsyncWrite::poll_write_vectored` does.
    fn poll_write(&self, cx: &mut Context<'_>, frames: &[IoSlice<'_>]) -> Poll<io::Result<usize>>;

    /// Hands to the socket what a layer in between (TLS) still holds.
    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Says that nothing more will be written.
    fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Whether tasks of other connections may write here as well, without waiting. A stream that is not known to return
    /// at once is written to by its own task alone.
    fn is_direct(&self) -> bool;

    /// How many bytes the socket has taken since the beginning, where a layer in between hides it; else 0.
    fn taken_below(&self) -> u64 {
        0
    }
}
