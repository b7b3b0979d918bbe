//! A connection of bytes, with TLS or without.

use tokio::io::{AsyncRead, AsyncWrite};

/// What is read from and written to.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Any of them.
pub(super) type AnyStream = Box<dyn Stream>;
