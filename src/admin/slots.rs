//! The connections of the address for operators: a few, of which the oldest one that asks for nothing gives way to a new one.
//! So nobody is kept out by those who connect and say nothing.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::AbortHandle;

use crate::limits::ADMIN_CONNECTIONS;

/// The connections that are open.
#[derive(Debug, Clone, Default)]
pub(super) struct Slots(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    count: u64,
    /// By age.
    open: BTreeMap<u64, Slot>,
}

#[derive(Debug)]
struct Slot {
    task: AbortHandle,
    busy: Busy,
}

/// Whether a connection has a request that is being answered.
#[derive(Debug, Clone, Default)]
pub(super) struct Busy(Arc<Flags>);

#[derive(Debug, Default)]
struct Flags {
    is_busy: AtomicBool,
    is_streaming: AtomicBool,
}

/// A request that is being answered, until this is dropped.
#[derive(Debug)]
pub(super) struct Request(Busy);

impl Slots {
    /// Serves a connection in a task of its own, if there is room for one more, or another one gives way.
    pub(super) fn spawn<F>(&self, serve: impl FnOnce(Busy) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut state = self.lock();
        if state.open.len() >= ADMIN_CONNECTIONS {
            let silent =
                state.open.iter().find(|(_, slot)| !slot.busy.0.is_busy.load(Relaxed)).map(|(number, _)| *number);
            match silent.and_then(|number| state.open.remove(&number)) {
                Some(slot) => slot.task.abort(),
                None => return,
            }
        }
        state.count += 1;
        let number = state.count;
        let busy = Busy::default();
        let end = End { slots: self.clone(), number };
        let served = serve(busy.clone());
        let task = tokio::spawn(async move {
            let _end = end;
            served.await;
        });
        state.open.insert(number, Slot { task: task.abort_handle(), busy });
    }

    /// Ends all connections.
    pub(super) fn close(&self) {
        self.lock().open.values().for_each(|slot| slot.task.abort());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Frees the slot of a connection that ends.
struct End {
    slots: Slots,
    number: u64,
}

impl Drop for End {
    fn drop(&mut self) {
        self.slots.lock().open.remove(&self.number);
    }
}

impl Busy {
    /// A request has come.
    pub(super) fn begin(&self) -> Request {
        self.0.is_busy.store(true, Relaxed);
        Request(self.clone())
    }

    /// Whether the answer is one that goes on.
    pub(super) fn is_streaming(&self) -> bool {
        self.0.is_streaming.load(Relaxed)
    }
}

impl Request {
    /// The answer goes on for as long as this is there.
    pub(super) fn goes_on(self) -> Self {
        self.0.0.is_streaming.store(true, Relaxed);
        self
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.0.0.is_busy.store(false, Relaxed);
        self.0.0.is_streaming.store(false, Relaxed);
    }
}
