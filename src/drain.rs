//! How connections end when the relay shuts down: it tells all clients, waits for their connections, and aborts the
//! rest.

#[cfg(feature = "admin")]
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use dashmap::DashMap;
use futures_util::FutureExt;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::limits::DRAIN_DEADLINE;
#[cfg(feature = "admin")]
use crate::outbox::Waiting;
use crate::outbox::{CloseRequest, ConnectionId, Outbox};
use crate::panics::contained;
#[cfg(all(feature = "admin", feature = "wires"))]
use crate::wire::Wire;

/// What the relay tells its clients when it shuts down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// It restarts: they get `goaway`, then close code 1012.
    Restart,
    /// It shuts down for good: they get close code 1001.
    ForGood,
}

/// The default is a restart, so that clients reconnect.
impl From<()> for Shutdown {
    fn from((): ()) -> Self {
        Self::Restart
    }
}

impl From<Shutdown> for CloseRequest {
    fn from(shutdown: Shutdown) -> Self {
        match shutdown {
            Shutdown::Restart => Self::Restart,
            Shutdown::ForGood => Self::Shutdown,
        }
    }
}

/// The connections of a relay, and the signal that ends them.
#[derive(Debug)]
pub(crate) struct Drain {
    shutdown: watch::Sender<Option<Shutdown>>,
    connections: TaskTracker,
    /// How many of its tasks accept connections, and are none themselves.
    listeners: AtomicUsize,
    /// The relay's own tasks, to abort those that are left at the deadline.
    tasks: DashMap<u64, Option<AbortHandle>>,
    /// Cancels the connections that run in an embedder's tasks.
    cut: CancellationToken,
    websockets: DashMap<ConnectionId, Weak<Outbox>>,
    /// Numbers the tasks.
    spawned: AtomicU64,
}

impl Drain {
    pub(crate) fn new() -> Self {
        Self {
            shutdown: watch::Sender::new(None),
            connections: TaskTracker::new(),
            listeners: AtomicUsize::new(0),
            tasks: DashMap::new(),
            cut: CancellationToken::new(),
            websockets: DashMap::new(),
            spawned: AtomicU64::new(0),
        }
    }

    /// Waits until the relay shuts down.
    pub(crate) async fn wait(&self) -> Shutdown {
        let mut shutdown = self.shutdown.subscribe();
        // The sender lives as long as `self`, so there is always a value.
        shutdown.wait_for(Option::is_some).await.ok().and_then(|shutdown| *shutdown).unwrap_or(Shutdown::ForGood)
    }

    /// Whether the relay is shutting down.
    pub(crate) fn has_begun(&self) -> bool {
        self.shutdown.borrow().is_some()
    }

    /// Serves a connection in a task of its own, which is aborted at the deadline.
    pub(crate) fn spawn(self: &Arc<Self>, served: impl Future<Output = ()> + Send + 'static) {
        let task = Task { drain: Arc::clone(self), number: self.spawned.fetch_add(1, Ordering::Relaxed) };
        let number = task.number;
        // The entry is there before the task, which may end at once and remove it.
        self.tasks.insert(number, None);
        // Not an async block, which would hold `served` twice: before it is first polled, and after.
        let spawned = self.connections.spawn(contained(served).map(move |()| drop(task)));
        if let Some(mut entry) = self.tasks.get_mut(&number) {
            *entry = Some(spawned.abort_handle());
        }
    }

    /// Accepts connections in a task of its own, which must end when the relay shuts down.
    pub(crate) fn spawn_listener(self: &Arc<Self>, accepts: impl Future<Output = ()> + Send + 'static) {
        let drain = Arc::clone(self);
        self.listeners.fetch_add(1, Ordering::Relaxed);
        self.spawn(contained(accepts).map(move |()| {
            drain.listeners.fetch_sub(1, Ordering::Relaxed);
        }));
    }

    /// How many connections are served.
    fn open(&self) -> usize {
        self.connections.len().saturating_sub(self.listeners.load(Ordering::Relaxed))
    }

    /// Serves a connection in the caller's task. The relay waits for it as well, and cancels it at the deadline.
    pub(crate) async fn serve(&self, served: impl Future<Output = ()>) {
        let _connection = self.connections.token();
        tokio::select! {
            () = contained(served) => {}
            () = self.cut.cancelled() => {}
        }
    }

    /// Registers a WebSocket until the registration is dropped.
    pub(crate) fn register(self: &Arc<Self>, outbox: &Arc<Outbox>) -> Registration {
        let id = outbox.id();
        self.websockets.insert(id, Arc::downgrade(outbox));
        // A client that connects while the relay tells the others is told here.
        if let Some(shutdown) = *self.shutdown.borrow() {
            outbox.request_close(shutdown.into());
        }
        Registration { drain: Arc::clone(self), id }
    }

    /// How many WebSockets are registered.
    pub(crate) fn websockets(&self) -> usize {
        self.websockets.len()
    }

    /// The first `limit` registered WebSockets whose numbers are above `after`, in the order of these; and whether there are
    /// more.
    #[cfg(feature = "admin")]
    pub(crate) fn websockets_after(&self, after: u64, limit: usize) -> (Vec<Arc<Outbox>>, bool) {
        // One more, to know whether there are more. The table has no order, so the highest of too many are dropped again.
        let mut first = BTreeMap::new();
        for entry in self.websockets.iter().filter(|entry| entry.key().number() > after) {
            if let Some(outbox) = entry.upgrade() {
                first.insert(entry.key().number(), outbox);
            }
            if first.len() > limit + 1 {
                first.pop_last();
            }
        }
        let has_more = first.len() > limit;
        (first.into_values().take(limit).collect(), has_more)
    }

    /// What waits for the clients of all registered WebSockets.
    #[cfg(feature = "admin")]
    pub(crate) fn queued(&self) -> Waiting {
        let mut sum = Waiting::default();
        for outbox in self.websockets.iter().filter_map(|outbox| outbox.upgrade()) {
            let waiting = outbox.waiting();
            sum.messages += waiting.messages;
            sum.bytes += waiting.bytes;
            sum.stalled += waiting.stalled;
        }
        sum
    }

    /// How many of the registered WebSockets are on each wire of another library.
    #[cfg(all(feature = "admin", feature = "wires"))]
    pub(crate) fn websockets_on_wires(&self) -> [usize; Wire::ALL.len()] {
        let mut counts = [0; Wire::ALL.len()];
        for wire in self.websockets.iter().filter_map(|outbox| outbox.upgrade()?.wire()) {
            if let Some(count) = counts.get_mut(wire.number()) {
                *count += 1;
            }
        }
        counts
    }

    /// Gives the signal, and tells nobody.
    #[cfg(feature = "cluster")]
    pub(crate) fn begin(&self) {
        self.shutdown.send_replace(Some(Shutdown::ForGood));
    }

    /// Tells every client, waits until all connections have ended, for [`DRAIN_DEADLINE`] at most, and aborts the rest.
    pub(crate) async fn shut_down(&self, shutdown: Shutdown) {
        info!(websockets = self.websockets.len(), connections = self.open(), "shutting down");
        self.shutdown.send_replace(Some(shutdown));
        for outbox in &self.websockets {
            if let Some(outbox) = outbox.upgrade() {
                outbox.request_close(shutdown.into());
            }
        }
        self.connections.close();
        if timeout(DRAIN_DEADLINE, self.connections.wait()).await.is_err() {
            warn!(connections = self.open(), "some connections did not end in time, and were aborted");
            self.tasks.iter().filter_map(|task| task.clone()).for_each(|task| task.abort());
            self.cut.cancel();
        }
    }
}

/// The entry of one of the relay's own tasks. It is removed however the task ends.
struct Task {
    drain: Arc<Drain>,
    number: u64,
}

impl Drop for Task {
    fn drop(&mut self) {
        self.drain.tasks.remove(&self.number);
    }
}

/// The registration of a WebSocket: it is told when the relay shuts down.
#[derive(Debug)]
pub(crate) struct Registration {
    drain: Arc<Drain>,
    id: ConnectionId,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.drain.websockets.remove(&self.id);
    }
}
