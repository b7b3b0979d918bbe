//! The stream of one client that speaks HTTP: its [`Pace`] takes note of it, and pages are sent no faster than its address
//! may get them.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use super::pace::Pace;
use crate::quota::Address;

/// The least pause between two writes: the resolution of the timer.
const PAUSE_MIN: Duration = Duration::from_millis(1);

/// Whose address what is sent counts for: behind a proxy it may be another one at each request.
#[derive(Debug, Default)]
pub(crate) struct Payer(Mutex<Option<Arc<Address>>>);

impl Payer {
    /// A client of `address`; none if that is not limited.
    pub(crate) fn new(address: Option<Arc<Address>>) -> Arc<Self> {
        Arc::new(Self(Mutex::new(address)))
    }

    /// What is sent from now on counts for `address`.
    pub(crate) fn set(&self, address: Option<Arc<Address>>) {
        *self.lock() = address;
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Address>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream of which a [`Pace`] takes note, and whose bytes count for the address to which they are sent.
#[derive(Debug)]
pub(super) struct Metered<S> {
    pub(super) inner: S,
    payer: Arc<Payer>,
    pause: Option<Pin<Box<Sleep>>>,
    /// Learns what is read and written, and when the relay waits, and not the client.
    pace: Arc<Pace>,
}

impl<S> Metered<S> {
    pub(super) fn new(inner: S, payer: Arc<Payer>, pace: Arc<Pace>) -> Self {
        Self { inner, payer, pause: None, pace }
    }

    /// Ready when more may be sent to the address.
    fn poll_allowed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(cx));
                self.pause = None;
            }
            let missing = self.payer.lock().as_ref().and_then(|address| address.page_pause(Instant::now()));
            let Some(missing) = missing else { return Poll::Ready(()) };
            self.pause = Some(Box::pin(sleep(missing.max(PAUSE_MIN))));
        }
    }
}

impl<S: AsyncWrite + Unpin> Metered<S> {
    /// Writes when the address may get more; the pace takes note either way.
    fn poll_paced(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let turn = self.poll_allowed(cx);
        self.pace.set_throttled(turn.is_pending());
        let written = if turn.is_ready() { write(Pin::new(&mut self.inner), cx) } else { Poll::Pending };
        if let Poll::Ready(Ok(bytes)) = &written
            && let Some(address) = &*self.payer.lock()
        {
            address.take_page_bytes(*bytes, Instant::now());
        }
        self.pace.has_written(&written);
        written
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.pace.has_read();
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_paced(cx, |stream, cx| stream.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_paced(cx, |stream, cx| stream.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt, duplex};

    use super::*;
    use crate::limits::{ADDRESS_BYTES_BURST_SECONDS, PAGE_SHARE};
    use crate::quota::{QuotaSettings, Quotas};

    #[tokio::test(start_paused = true)]
    async fn pages_are_sent_to_all_clients_of_an_address_at_its_rate_after_a_burst() {
        let settings = QuotaSettings { address_bytes: 1_000 * PAGE_SHARE, ..QuotaSettings::default() };
        let quotas = Quotas::new(&settings);
        let admission = quotas.admit(Some([192, 0, 2, 1].into())).unwrap();
        let write = async |bytes: usize, admission: &crate::quota::Admission| {
            let (_client, stream) = duplex(1024 * 1024);
            let mut stream = Metered::new(stream, Payer::new(admission.address().cloned()), Pace::new());
            let began = Instant::now();
            for _ in 0..bytes / 1_000 {
                stream.write_all(&[0; 1_000]).await.unwrap();
            }
            began.elapsed().as_millis()
        };
        let burst = 1_000 * ADDRESS_BYTES_BURST_SECONDS as usize;
        assert!(write(burst, &admission).await < 10);
        let more = write(10_000, &admission).await;
        assert!((9_000..10_100).contains(&more), "{more} ms");
        let other = quotas.admit(Some([192, 0, 2, 2].into())).unwrap();
        assert!(write(burst, &other).await < 10, "another address has its own rate");
    }
}
