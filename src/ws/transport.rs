//! Streams for WebSockets: the connection's own task reads, and any task with a frame for the client writes.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use socket2::SockRef;
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
        let sink = SharedSink { stream: shared.clone(), is_direct: true, taken_below: |tls| tls.get_ref().0.written() };
        (Box::new(shared), Box::new(sink))
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin + 'static> Transport for Opaque<S> {
    fn into_halves(self) -> (Reader, Box<dyn Sink>) {
        let shared = Shared(Arc::new(Mutex::new(self.0)));
        let sink = SharedSink { stream: shared.clone(), is_direct: false, taken_below: |_| 0 };
        (Box::new(shared), Box::new(sink))
    }
}

impl Transport for DuplexStream {
    fn into_halves(self) -> (Reader, Box<dyn Sink>) {
        Opaque(self).into_halves()
    }
}

/// Writes to a socket that the runtime knows as not writable. The kernel reports it as writable only when a third of its
/// buffer is free, which a slow reader may not reach in time; a write succeeds as soon as the reader took anything.
fn poll_send<'s>(socket: impl Into<SockRef<'s>>, frames: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
    match socket.into().send_vectored(frames) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
        sent => Poll::Ready(sent),
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
                            if self.as_ref().poll_write_ready(cx)?.is_pending() {
                                return poll_send(self.as_ref(), frames);
                            }
                        }
                        done => return Poll::Ready(done),
                    }
                }
            }

            fn poll_flush(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }

            fn poll_shutdown(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(SockRef::from(self.as_ref()).shutdown(std::net::Shutdown::Write))
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

/// The writing half of a stream behind a lock.
struct SharedSink<S> {
    stream: Shared<S>,
    /// TLS over a socket returns at once, so any task may write to it; of an embedder's stream that is not known.
    is_direct: bool,
    /// How many bytes the socket below has accepted, where a layer in between hides it.
    taken_below: fn(&S) -> u64,
}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Sink for SharedSink<S> {
    fn poll_write(&self, cx: &mut Context<'_>, frames: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.stream.poll_write(cx, frames)
    }

    fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_flush(cx)
    }

    fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream.poll_shutdown(cx)
    }

    fn is_direct(&self) -> bool {
        self.is_direct
    }

    fn taken_below(&self) -> u64 {
        (self.taken_below)(&self.stream.lock())
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

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use socket2::{Domain, Socket, Type};
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;

    use super::*;

    /// How many bytes a client with a small buffer has to read from a full socket before that takes more, and how many it held.
    async fn read_until_it_takes_more(transport: impl FnOnce(TcpStream) -> Box<dyn Sink>) -> (usize, usize) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        client.set_recv_buffer_size(16 * 1024).unwrap();
        client.connect(&listener.local_addr().unwrap().into()).unwrap();
        client.set_nonblocking(true).unwrap();
        let mut client = TcpStream::from_std(client.into()).unwrap();
        let (socket, _) = listener.accept().await.unwrap();
        SockRef::from(&socket).set_send_buffer_size(crate::limits::SEND_BUFFER_BYTES).unwrap();
        let sink = transport(socket);
        let mut cx = Context::from_waker(Waker::noop());
        let mut write = || sink.poll_write(&mut cx, &[IoSlice::new(&[0; 1024])]);
        let (mut held, mut read) = (0, 0);
        // Twice: the runtime learns only while the client reads what the kernel said of the socket before.
        for _ in 0..2 {
            while let Poll::Ready(written) = write() {
                held += written.unwrap();
            }
            held -= client.read_exact(&mut [0; 1024]).await.unwrap();
        }
        while let Poll::Ready(written) = write() {
            held += written.unwrap();
        }
        while write().is_pending() {
            read += client.read_exact(&mut [0; 1024]).await.unwrap();
        }
        (read, held)
    }

    #[tokio::test]
    async fn a_full_socket_takes_more_as_soon_as_its_client_has_read_a_little() {
        let (read, held) = read_until_it_takes_more(|socket| socket.into_halves().1).await;
        assert!(read < held / 4, "only after {read} of {held} bytes");
    }

    #[cfg(feature = "tls")]
    #[tokio::test]
    async fn so_does_one_below_tls() {
        let counted = |socket| -> Box<dyn Sink> {
            let stream = Shared(Arc::new(Mutex::new(Counted::new(socket))));
            Box::new(SharedSink { stream, is_direct: false, taken_below: |_| 0 })
        };
        let (read, held) = read_until_it_takes_more(counted).await;
        assert!(read < held / 4, "only after {read} of {held} bytes");
    }
}
