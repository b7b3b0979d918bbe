//! How long somebody who came with a token may come back to its place after a lost connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use tokio::time::Instant;

/// Whether a key of tokens has been taken back. Clones are of the same key.
#[derive(Debug, Clone, Default)]
pub(crate) struct KeyState(Arc<AtomicBool>);

/// Until when somebody may come back to its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WayBack {
    /// By the `exp` of its token. Without a time, there is no end.
    pub(super) ends: Option<Instant>,
    /// The key of its token; none if only `exp` counts.
    pub(super) key: Option<KeyState>,
}

impl KeyState {
    /// Takes the key back.
    #[cfg(feature = "auth")]
    pub(super) fn take_back(&self) {
        self.0.store(true, Relaxed);
    }

    fn is_taken_back(&self) -> bool {
        self.0.load(Relaxed)
    }
}

impl WayBack {
    /// The earlier one of `until` and the moment at which it ends.
    pub(crate) fn limit(&self, until: Instant) -> Instant {
        let ends = if self.is_over() { Some(Instant::now()) } else { self.ends };
        ends.map_or(until, |ends| ends.min(until))
    }

    /// Whether it has ended.
    pub(crate) fn is_over(&self) -> bool {
        self.key.as_ref().is_some_and(KeyState::is_taken_back) || self.ends.is_some_and(|ends| Instant::now() >= ends)
    }
}

/// Two are the same if they are of the same key.
impl PartialEq for KeyState {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for KeyState {}
