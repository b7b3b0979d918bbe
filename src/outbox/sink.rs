//! The writing end of a client's stream, as the outbox needs it.

use std::io::{self, IoSlice};
use std::task::{Context, Poll};

/// The writing end of a client's stream. The outbox makes sure that one task writes at a time.
pub trait Sink: Send + Sync {
    /// Writes some of `frames`, as `AsyncWrite::poll_write_vectored` does.
    fn poll_write(&self, cx: &mut Context<'_>, frames: &[IoSlice<'_>]) -> Poll<io::Result<usize>>;

    /// Writes to the socket what a layer in between (TLS) still holds.
    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Shuts down the writing end.
    fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Whether tasks of other connections may write here as well, because a write returns at once. Otherwise only the
    /// connection's own task writes.
    fn is_direct(&self) -> bool;

    /// How many bytes the socket has accepted in total, if a layer in between (TLS) buffers them; otherwise 0.
    fn taken_below(&self) -> u64 {
        0
    }
}
