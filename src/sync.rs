//! The lock of the outbox. A model checker builds the outbox with a lock of its own in the place of this one.

pub(crate) use std::sync::Mutex;
