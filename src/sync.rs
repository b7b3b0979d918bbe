//! The lock of the outbox. `tests/outbox.rs` builds the outbox with the lock of a model checker (loom) instead.

pub(crate) use std::sync::Mutex;
