//! How fast a client sends its requests and reads the responses: what `hyper` leaves to its caller.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use hyper::Request;
use hyper::body::Incoming;
use hyper::service::Service;
use tokio::time::Instant;

use crate::limits::{HEAD_DEADLINE, KEEP_ALIVE};

/// The pace of one client.
#[derive(Debug)]
pub(super) struct Pace {
    phase: Mutex<Phase>,
    /// Bytes that the client's socket has taken.
    written: AtomicU64,
    /// Whether the socket takes no more for now: a response is under way, and the client has to read.
    is_blocked: AtomicBool,
    /// Whether that is so because its address may get no more now: the client has nothing to read.
    is_throttled: AtomicBool,
}

/// What the client does, and since when.
#[derive(Debug, Clone, Copy)]
enum Phase {
    /// It sends the head of a request: the first one since the connection began, and a later one since its first byte.
    Head(Instant),
    /// It gets a response, or rests between two requests.
    Rest(Instant),
}

impl Pace {
    pub(super) fn new() -> Arc<Self> {
        let phase = Mutex::new(Phase::Head(Instant::now()));
        Arc::new(Self {
            phase,
            written: AtomicU64::new(0),
            is_blocked: AtomicBool::default(),
            is_throttled: AtomicBool::default(),
        })
    }

    /// When the client must have sent the head of its request, or the first byte of the next one.
    pub(super) fn deadline(&self) -> Instant {
        let is_blocked = self.is_blocked();
        self.change(|phase| match phase {
            // What comes while a response is being read has to wait, and who reads does not rest.
            Phase::Head(_) if is_blocked => Phase::Head(Instant::now()),
            Phase::Rest(_) if is_blocked => Phase::Rest(Instant::now()),
            phase => phase,
        })
        .deadline()
    }

    pub(super) fn written(&self) -> u64 {
        self.written.load(Relaxed)
    }

    /// Whether the client has to read before more can be sent.
    pub(super) fn waits_for_client(&self) -> bool {
        self.is_blocked() && !self.is_throttled.load(Relaxed)
    }

    pub(super) fn set_throttled(&self, is_throttled: bool) {
        self.is_throttled.store(is_throttled, Relaxed);
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.is_blocked.load(Relaxed)
    }

    fn change(&self, to: impl FnOnce(Phase) -> Phase) -> Phase {
        let mut phase = self.phase.lock().unwrap_or_else(PoisonError::into_inner);
        *phase = to(*phase);
        *phase
    }

    /// Notes that the client has sent something.
    pub(super) fn has_read(&self) {
        self.change(|phase| match phase {
            Phase::Rest(_) => Phase::Head(Instant::now()),
            head => head,
        });
    }

    /// Notes what became of a write.
    pub(super) fn has_written(&self, written: &Poll<io::Result<usize>>) {
        self.is_blocked.store(written.is_pending(), Relaxed);
        if let Poll::Ready(Ok(bytes)) = written {
            self.written.fetch_add(*bytes as u64, Relaxed);
            self.change(|phase| match phase {
                Phase::Rest(_) => Phase::Rest(Instant::now()),
                head => head,
            });
        }
    }
}

impl Phase {
    fn deadline(self) -> Instant {
        match self {
            Self::Head(since) => since + HEAD_DEADLINE,
            Self::Rest(since) => since + KEEP_ALIVE,
        }
    }
}

/// A service that answers requests, of which a [`Pace`] takes note.
#[derive(Debug)]
pub(super) struct Paced<D> {
    pub(super) inner: D,
    pub(super) pace: Arc<Pace>,
}

impl<D: Service<Request<Incoming>>> Service<Request<Incoming>> for Paced<D> {
    type Response = D::Response;
    type Error = D::Error;
    type Future = D::Future;

    fn call(&self, request: Request<Incoming>) -> D::Future {
        // The head is complete.
        self.pace.change(|_| Phase::Rest(Instant::now()));
        self.inner.call(request)
    }
}
