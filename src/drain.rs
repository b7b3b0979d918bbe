//! How the relay's connections end when it goes away: all are told first, then waited for, and none is left behind.

use std::sync::{Arc, Weak};
use std::sync::atomic::{AtomicU64, Ordering};

use dashmap::DashMap;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::limits::DRAIN_DEADLINE;
use crate::outbox::{EndReason, Outbox};

/// What the clients are told when the relay ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// It will be back in a moment: `goaway`, then close code 1012.
    Restart,
    /// It will not: close code 1001.
    ForGood,
}

/// Who does not say is taken to restart, so that clients come back.
impl From<()> for Shutdown {
    fn from((): ()) -> Self {
        Self::Restart
    }
}

impl From<Shutdown> for EndReason {
    fn from(shutdown: Shutdown) -> Self {
        match shutdown {
            Shutdown::Restart => Self::Restart,
            Shutdown::ForGood => Self::Shutdown,
        }
    }
}

/// Every connection of a relay, and how they are told to end.
#[derive(Debug)]
pub(crate) struct Drain {
    shutdown: watch::Sender<Option<Shutdown>>,
    connections: TaskTracker,
    /// Cuts off what is left when the time is up.
    cut: CancellationToken,
    /// The WebSockets.
    live: DashMap<u64, Weak<Outbox>>,
    count: AtomicU64,
}

impl Drain {
    pub(crate) fn new() -> Self {
        Self {
            shutdown: watch::Sender::new(None),
            connections: TaskTracker::new(),
            cut: CancellationToken::new(),
            live: DashMap::new(),
            count: AtomicU64::new(0),
        }
    }

    /// Waits until the relay goes away.
    pub(crate) async fn wait(&self) -> Shutdown {
        let mut shutdown = self.shutdown.subscribe();
        // The sender lives as long as we do.
        shutdown.wait_for(Option::is_some).await.ok().and_then(|shutdown| *shutdown).unwrap_or(Shutdown::ForGood)
    }

    /// Whether the relay is going away now.
    pub(crate) fn has_begun(&self) -> bool {
        self.shutdown.borrow().is_some()
    }

    /// Serves a connection, and cuts it off when the time is up.
    pub(crate) async fn track(&self, served: impl Future<Output = ()>) {
        let served = self.connections.track_future(served);
        tokio::select! {
            () = served => {}
            () = self.cut.cancelled() => {}
        }
    }

    /// Registers a WebSocket; the number tells its lines in the log from those of others.
    pub(crate) fn register(&self, outbox: &Arc<Outbox>) -> u64 {
        let number = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        self.live.insert(number, Arc::downgrade(outbox));
        // Whoever comes while the others are told is told as well.
        if let Some(shutdown) = *self.shutdown.borrow() {
            outbox.end(shutdown.into());
        }
        number
    }

    /// Forgets a WebSocket that has ended.
    pub(crate) fn forget(&self, number: u64) {
        self.live.remove(&number);
    }

    /// Tells every client, and waits until all connections have ended, [`DRAIN_DEADLINE`] at most.
    pub(crate) async fn shut_down(&self, shutdown: Shutdown) {
        info!(websockets = self.live.len(), connections = self.connections.len(), "shutting down");
        self.shutdown.send_replace(Some(shutdown));
        for outbox in &self.live {
            if let Some(outbox) = outbox.upgrade() {
                outbox.end(shutdown.into());
            }
        }
        self.connections.close();
        if timeout(DRAIN_DEADLINE, self.connections.wait()).await.is_err() {
            warn!(connections = self.connections.len(), "some connections did not end in time, and were cut off");
            self.cut.cancel();
        }
    }
}
