//! Listeners whose `accept` cannot fail: it waits until there is a connection.
//!
//! An embedder implements [`Accept`] for its own listeners, or sends streams into a channel: the receiving end of a
//! channel is a listener as well, for connections in memory.

use std::io;

#[cfg(any(target_os = "linux", target_os = "android"))]
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::sleep;
use tracing::{debug, warn};

use crate::limits;
use crate::net::info::ConnectionInfo;

/// A listener.
pub trait Accept: Send + 'static {
    /// The stream of one connection.
    type Io: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Waits for the next connection. Errors of the operating system are logged, and accepting is retried after a
    /// delay.
    ///
    /// Dropping the future before it is ready loses no connection.
    fn accept(&mut self) -> impl Future<Output = (Self::Io, ConnectionInfo)> + Send;
}

impl Accept for TcpListener {
    type Io = TcpStream;

    async fn accept(&mut self) -> (TcpStream, ConnectionInfo) {
        let listener = &*self;
        let (stream, address) = retry(|| listener.accept()).await;
        if let Err(error) = set_options(&stream) {
            debug!(%address, %error, "cannot set socket options");
        }
        (stream, ConnectionInfo::tcp(address))
    }
}

/// A listener in memory, for tests for example. It stays pending once all senders are dropped and the channel is empty.
impl<Io> Accept for mpsc::Receiver<(Io, ConnectionInfo)>
where
    Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Io = Io;

    async fn accept(&mut self) -> (Io, ConnectionInfo) {
        match self.recv().await {
            Some(connection) => connection,
            None => std::future::pending().await,
        }
    }
}

/// Calls `accept` until it succeeds. After an error that concerns only one connection it retries at once. Any other
/// error, mostly the lack of file descriptors, is logged, and the next try is delayed: by
/// [`ACCEPT_PAUSE_MIN`](limits::ACCEPT_PAUSE_MIN), doubled each time, up to
/// [`ACCEPT_PAUSE_MAX`](limits::ACCEPT_PAUSE_MAX).
pub(super) async fn retry<T, F>(mut accept: impl FnMut() -> F) -> T
where
    F: Future<Output = io::Result<T>>,
{
    let mut pause = limits::ACCEPT_PAUSE_MIN;
    loop {
        match accept().await {
            Ok(connection) => return connection,
            Err(error) if is_of_one_connection(&error) => debug!(%error, "a connection ended before it was accepted"),
            Err(error) => {
                warn!(%error, pause_ms = pause.as_millis(), "cannot accept a connection");
                sleep(pause).await;
                pause = (pause * 2).min(limits::ACCEPT_PAUSE_MAX);
            }
        }
    }
}

/// Whether the client closed its connection before it was accepted (accept(2)).
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// Sets the options of a connection.
///
/// # Errors
/// When the socket is gone already.
pub(crate) fn set_options(stream: &TcpStream) -> io::Result<()> {
    // Without this, a small message may be delayed by 40 ms, until the previous one is acknowledged.
    stream.set_nodelay(true)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    SockRef::from(stream).set_tcp_user_timeout(Some(limits::TCP_USER_TIMEOUT))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::{Instant, timeout};

    use super::*;

    const IS_LINUX: bool = cfg!(any(target_os = "linux", target_os = "android"));
    // Those of Winsock, of Linux, and of the BSDs and macOS.
    const EMFILE: i32 = if cfg!(windows) { 10_024 } else { 24 };
    const ECONNABORTED: i32 = match (cfg!(windows), IS_LINUX) {
        (true, _) => 10_053,
        (_, true) => 103,
        (_, false) => 53,
    };

    /// How long `retry` takes when the operating system answers with these errors first.
    async fn pauses(errors: &[i32]) -> Duration {
        let mut errors = VecDeque::from(errors.to_vec());
        let started = Instant::now();
        let accept =
            || std::future::ready(errors.pop_front().map_or(Ok(()), |code| Err(io::Error::from_raw_os_error(code))));
        timeout(Duration::from_secs(3600), retry(accept)).await.expect("a connection");
        started.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_lack_of_descriptors_is_waited_out_with_growing_pauses() {
        assert_eq!(pauses(&[]).await, Duration::ZERO);
        let [first, second, third] = [1, 2, 4].map(|times| limits::ACCEPT_PAUSE_MIN * times);
        assert!((first + second + third..).contains(&pauses(&[EMFILE; 3]).await));
        let more = pauses(&[EMFILE; 12]).await - pauses(&[EMFILE; 11]).await;
        assert!(more.abs_diff(limits::ACCEPT_PAUSE_MAX) < Duration::from_millis(20), "{more:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_went_away_delays_nobody() {
        assert_eq!(pauses(&[ECONNABORTED; 100]).await, Duration::ZERO);
    }

    #[tokio::test]
    async fn a_tcp_connection_has_its_options_and_its_address() {
        let mut listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, info) = Accept::accept(&mut listener).await;
        assert_eq!(info, ConnectionInfo::tcp(client.local_addr().unwrap()));
        assert!(stream.nodelay().unwrap());
        #[cfg(target_os = "linux")]
        assert_eq!(SockRef::from(&stream).tcp_user_timeout().unwrap(), Some(limits::TCP_USER_TIMEOUT));
    }

    #[tokio::test]
    async fn a_channel_is_a_listener_in_memory() {
        let (connections, mut listener) = mpsc::channel(1);
        let (mut client, server) = duplex(64);
        let info = ConnectionInfo::tcp("192.168.1.9:5000".parse().unwrap());
        connections.send((server, info)).await.unwrap();
        let (mut stream, accepted) = listener.accept().await;
        assert_eq!(accepted, info);
        client.write_all(b"hello").await.unwrap();
        let mut heard = [0; 5];
        stream.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"hello");
        drop(connections);
        assert!(futures_util::FutureExt::now_or_never(listener.accept()).is_none(), "it waits for ever");
    }
}
