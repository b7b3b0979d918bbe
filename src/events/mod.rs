//! Events for an application of the operator's, by a webhook: who came and left, who the host is, that a room is empty, and what
//! clients report of their calls. `README.md` beside this file describes them for those who receive them.
//!
//! [`Events`] hears of each change under the lock of its room, so that the order in a room is that in which things happened. It
//! only writes the event down there and queues it (`queue.rs`). A task of its own sends what is queued, in batches, one
//! request after the other (`sender.rs`), signed as Standard Webhooks has it (`signature.rs`).

mod post;
mod queue;
mod sender;
pub(crate) mod signature;
mod url;

use std::fmt;
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use serde::Serialize;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tracing::warn;

use crate::http_client::Authorities;
use crate::room::names::{RoomName, random_hex};
use crate::room::{RoomChange, RoomObserver};
use post::HttpPost;
#[cfg(feature = "admin")]
pub(crate) use queue::Counts;
use queue::Queue;
use sender::Sender;
use signature::Signer;
pub use url::{EventsUrl, EventsUrlError};

/// The settings of events.
#[derive(Debug)]
pub(crate) struct EventsSettings<'a> {
    /// Where they go.
    pub url: &'a EventsUrl,
    /// Files with the secrets that sign them.
    pub secret_files: &'a [PathBuf],
    /// The file with the certificate authorities of the URL; without one, they are the system's.
    pub authorities: Option<&'a Path>,
}

/// The events of a relay.
pub(crate) struct Events {
    queue: Arc<Queue>,
    signer: Arc<Signer>,
    /// Whether the task runs: a look at this is all that an event needs of it.
    is_sending: AtomicBool,
    task: Mutex<Task>,
}

/// The task that sends.
enum Task {
    /// It begins with the first event: a relay may be built where no runtime is.
    Waits(Box<Sender<HttpPost>>),
    Runs(JoinHandle<()>),
    /// The relay has shut down.
    Over,
}

/// An event as it is sent, but for its number.
#[derive(Serialize)]
struct Event<'a> {
    /// Milliseconds since 1970.
    at: u64,
    room: &'a str,
    #[serde(flatten)]
    change: &'a RoomChange<'a>,
}

/// The certificate authorities of the URL.
fn authorities_in(file: Option<&Path>) -> Authorities<'_> {
    Authorities { file, flag: "--events-ca" }
}

/// Checks the certificate authorities in the file, or those of the system.
///
/// # Errors
/// When they cannot be used.
pub(crate) fn check_authorities(file: Option<&Path>) -> anyhow::Result<()> {
    authorities_in(file).trusted_roots().map(drop)
}

impl Events {
    /// None yet. They will be sent as the settings say.
    ///
    /// # Errors
    /// When a file cannot be used.
    pub(crate) fn open(settings: &EventsSettings<'_>) -> anyhow::Result<Self> {
        let signer = Arc::new(Signer::open(settings.secret_files.to_vec())?);
        let post = HttpPost::new(settings.url, authorities_in(settings.authorities), Arc::clone(&signer))?;
        let queue = Arc::new(Queue::new(random_hex()?));
        let task = Mutex::new(Task::Waits(Box::new(Sender::new(Arc::clone(&queue), post))));
        Ok(Self { queue, signer, is_sending: AtomicBool::new(false), task })
    }

    /// Reads the secrets again. If one cannot be used, the log says why, and the old ones stay. Returns whether there are any.
    pub(crate) fn reload(&self) -> bool {
        self.signer.reload()
    }

    /// How many events there were and are.
    #[cfg(feature = "admin")]
    pub(crate) fn counts(&self) -> Counts {
        self.queue.counts()
    }

    /// The relay shuts down: what failed is tried again at once, and then without long pauses.
    pub(crate) fn hurry(&self) {
        self.queue.hurry();
    }

    /// Sends what is queued, until `deadline`. What is left then is lost, and the log says so.
    pub(crate) async fn finish(&self, deadline: Instant) {
        self.queue.close();
        let task = mem::replace(&mut *self.task.lock().unwrap_or_else(PoisonError::into_inner), Task::Over);
        if let Task::Runs(mut task) = task
            && timeout_at(deadline, &mut task).await.is_err()
        {
            task.abort();
        }
        let lost = self.queue.give_up();
        if lost > 0 {
            warn!(lost, "the relay ends, and these events are not sent");
        }
    }

    fn begin(&self) {
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Task::Waits(_), Ok(runtime)) = (&*task, Handle::try_current())
            && let Task::Waits(sender) = mem::replace(&mut *task, Task::Over)
        {
            *task = Task::Runs(runtime.spawn(sender.run()));
            self.is_sending.store(true, Relaxed);
        }
    }
}

impl RoomObserver for Events {
    fn observe(&self, room: &RoomName, change: &RoomChange<'_>) {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let at = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        // This cannot fail: every key is a string, and the target is memory.
        let event = serde_json::to_string(&Event { at, room: room.as_str(), change }).unwrap_or_default();
        self.queue.push(event, matches!(change, RoomChange::Call { .. }));
        if !self.is_sending.load(Relaxed) {
            self.begin();
        }
    }
}

/// A relay that is dropped without a shutdown sends no more.
impl Drop for Events {
    fn drop(&mut self) {
        if let Task::Runs(task) = self.task.get_mut().unwrap_or_else(PoisonError::into_inner) {
            task.abort();
        }
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}
