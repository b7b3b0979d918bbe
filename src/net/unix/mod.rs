//! What needs Unix.

pub mod listener;
