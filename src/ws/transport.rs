//! Streams for WebSockets: the connection's own task reads, and any task with a frame for the client writes.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::net::{TcpStream, tcp};
#[cfg(unix)]
use tokio::net::{UnixStream, unix};
#[cfg(feature = "tls")]
use tokio_rustls::server::TlsStream;

#[cfg(feature = "tls")]
use crate::net::counted::Counted;
use crate::outbox::Sink;

/// The reading end of a stream.
pub(super) type Reader = Box<dyn AsyncRead + Send + Unpin>;

/// A stream that a WebSocket can use. Wrap a stream of your own type in [`Opaque`].
pub trait Transport: AsyncRead + AsyncWrite + Send + Unpin + Sized + 'static {
    /// Splits the stream into a reading and a writing end.
    fn into_halves(self) -> (Box<dyn AsyncRead + Send + Unpin>, Box<dyn Sink>);
}

/// A stream of any type. Only the connection's own task writes to it.
#[derive(Debug)]
pub struct Opaque<S>(pub S);

impl Transport for TcpStream {
    fn into_halves(self) -> (Reader, Box<dyn Sink>) {
        let (reader, writer) = self.into_split();
        (Box::new(reader), Box::new(writer))
    }
}

#[cfg(feature = "tls")]
impl Transport for TlsStream<Counted<TcpStream>> {
    fn into_halves(self) -> (Reader, Box<dyn Sink>) {
        let shared = Shared(Arc::new(Mutex::new(self)));
        (Box::new(shared.clone()), Box::new(TlsSink(shared)))
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Transport for Opaque<S> {
    fn into_halves(self) -> (Reader, Box<dyn Sink>) {
        let shared = Shared(Arc::new(Mutex::new(self.0)));
        (Box::new(shared.clone()), Box::new(OpaqueSink(shared)))
    }
}

impl Transport for DuplexStream {
    fn into_halves(self) -> (Reader, Box<dyn Sink>) {
        Opaque(self).into_halves()
    }
}

/// Implements [`Sink`] for the writing half of a socket. It needs no lock, because the kernel has one.
macro_rules! impl_sink_for_socket {
    ($half:ty) => {
        impl Sink for $half {
            fn poll_write(&self, cx: &mut Context<'_>, frames: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
                loop {
                    let written = match frames {
                        // A plain write costs the kernel less.
                        [frame] => self.try_write(frame),
                        frames => self.try_write_vectored(frames),
                    };
                    match written {
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                            ready!(self.as_ref().poll_write_ready(cx))?;
                        }
                        done => return Poll::Ready(done),
                    }
                }
            }

            fn poll_flush(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }

            fn poll_shutdown(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(socket2::SockRef::from(self.as_ref()).shutdown(std::net::Shutdown::Write))
            }

            fn is_direct(&self) -> bool {
                true
            }
        }
    };
}

impl_sink_for_socket!(tcp::OwnedWriteHalf);

#[cfg(unix)]
impl_sink_for_socket!(unix::OwnedWriteHalf);

#[cfg(unix)]
impl Transport for UnixStream {
    fn into_halves(self) -> (Reader, Box<dyn Sink>) {
        let (reader, writer) = self.into_split();
        (Box::new(reader), Box::new(writer))
    }
}

/// A stream that is read and written through one lock, which is held for one call at a time.
struct Shared<S>(Arc<Mutex<S>>);

impl<S> Clone for Shared<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S: AsyncWrite + Unpin> Shared<S> {
    fn lock(&self) -> MutexGuard<'_, S> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn poll_write(&self, cx: &mut Context<'_>, frames: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let mut stream = self.lock();
        if stream.is_write_vectored() {
            return Pin::new(&mut *stream).poll_write_vectored(cx, frames);
        }
        // A stream that has no vectored write gets the frames as one buffer.
        match frames {
            [frame] => Pin::new(&mut *stream).poll_write(cx, frame),
            frames => {
                Pin::new(&mut *stream).poll_write(cx, &frames.iter().map(|frame| &**frame).collect::<Vec<_>>().concat())
            }
        }
    }

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.lock()).poll_flush(cx)
    }

    fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.lock()).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Shared<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.lock()).poll_read(cx, buffer)
    }
}

#[cfg(feature = "tls")]
/// TLS over a socket. A write returns at once, so every task may write. [`Counted`] counts what the socket accepts.
struct TlsSink(Shared<TlsStream<Counted<TcpStream>>>);

#[cfg(feature = "tls")]
impl Sink for TlsSink {
    fn poll_write(&self, cx: &mut Context<'_>, frames: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.0.poll_write(cx, frames)
    }

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_flush(cx)
    }

    fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_shutdown(cx)
    }

    fn is_direct(&self) -> bool {
        true
    }

    fn taken_below(&self) -> u64 {
        self.0.lock().get_ref().0.written()
    }
}

struct OpaqueSink<S>(Shared<S>);

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Sink for OpaqueSink<S> {
    fn poll_write(&self, cx: &mut Context<'_>, frames: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.0.poll_write(cx, frames)
    }

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_flush(cx)
    }

    fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_shutdown(cx)
    }

    fn is_direct(&self) -> bool {
        false
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Opaque<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Opaque<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
