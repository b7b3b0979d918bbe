//! How the relay's connections end when it goes away: all are told first, then waited for, and none is left behind.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use dashmap::DashMap;
use tokio::sync::watch;
use tokio::task::{AbortHandle, Id};
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
    /// Their tasks, to cut off what is left when the time is up.
    tasks: DashMap<Id, AbortHandle>,
    /// Cuts off those that run in tasks of an embedder's.
    cut: CancellationToken,
    /// The WebSockets, by the numbers of their connections.
    websockets: DashMap<u64, Weak<Outbox>>,
    count: AtomicU64,
}

impl Drain {
    pub(crate) fn new() -> Self {
        Self {
            shutdown: watch::Sender::new(None),
            connections: TaskTracker::new(),
            tasks: DashMap::new(),
            cut: CancellationToken::new(),
            websockets: DashMap::new(),
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

    /// Serves a connection in a task of its own, which is cut off when the time is up.
    pub(crate) fn spawn(self: &Arc<Self>, served: impl Future<Output = ()> + Send + 'static) {
        let drain = Arc::clone(self);
        let task = self.connections.spawn(async move {
            served.await;
            if let Some(id) = tokio::task::try_id() {
                drain.tasks.remove(&id);
            }
        });
        self.tasks.insert(task.id(), task.abort_handle());
        if task.is_finished() {
            // It has looked for its entry already.
            self.tasks.remove(&task.id());
        }
    }

    /// Serves a connection in the caller's task. It is waited for and cut off as well.
    pub(crate) async fn serve(&self, served: impl Future<Output = ()>) {
        let _connection = self.connections.token();
        tokio::select! {
            () = served => {}
            () = self.cut.cancelled() => {}
        }
    }

    /// Registers a WebSocket until the registration is dropped.
    pub(crate) fn register(self: &Arc<Self>, outbox: &Arc<Outbox>) -> Registration {
        let number = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        self.websockets.insert(number, Arc::downgrade(outbox));
        // Whoever comes while the others are told is told as well.
        if let Some(shutdown) = *self.shutdown.borrow() {
            outbox.end(shutdown.into());
        }
        Registration { drain: Arc::clone(self), number }
    }

    /// How many WebSockets there are.
    pub(crate) fn websockets(&self) -> usize {
        self.websockets.len()
    }

    /// Tells every client, and waits until all connections have ended, [`DRAIN_DEADLINE`] at most.
    pub(crate) async fn shut_down(&self, shutdown: Shutdown) {
        info!(websockets = self.websockets.len(), connections = self.connections.len(), "shutting down");
        self.shutdown.send_replace(Some(shutdown));
        for outbox in &self.websockets {
            if let Some(outbox) = outbox.upgrade() {
                outbox.end(shutdown.into());
            }
        }
        self.connections.close();
        if timeout(DRAIN_DEADLINE, self.connections.wait()).await.is_err() {
            warn!(connections = self.connections.len(), "some connections did not end in time, and were cut off");
            self.tasks.iter().for_each(|task| task.abort());
            self.cut.cancel();
        }
    }
}

/// A WebSocket that is told when the relay goes away.
#[derive(Debug)]
pub(crate) struct Registration {
    drain: Arc<Drain>,
    number: u64,
}

impl Registration {
    /// Tells the connection's lines in the log from those of others.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.drain.websockets.remove(&self.number);
    }
}
