//! Many relays as one: a room lives on one of them, and the others are doors to it.
//!
//! Redis says where a room lives, and which relays there are ([`relays`]). No message goes through it.

pub(crate) mod alive;
pub(crate) mod dial;
pub(crate) mod door;
pub(crate) mod identity;
mod line;
pub(crate) mod paths;
pub(crate) mod port;
pub(crate) mod relays;
pub(crate) mod tunnel;

#[cfg(test)]
mod tests;
