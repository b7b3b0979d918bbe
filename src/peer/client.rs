//! What a connection asks of the client that it serves: the answers of its wire.
//!
//! A **wire** is a protocol that clients speak over a WebSocket. The relay's own is that of [`Session`](super::Session); the
//! module `wires` has those of other libraries. The path of the upgrade decides which it is, and everything here is generic
//! over it, so that no message asks again. Clients of other libraries' wires are behind a pointer, whichever wire it is: one call
//! more for each of their messages, and one copy of the connection's code for all of them.

use std::fmt::Debug;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use tokio::time::Instant;

use super::handover::Handover;
use crate::metrics::Metrics;
use crate::outbox::Outbox;
use crate::quota::RateLimiter;
use crate::room::{Deferred, LeaveReason};

/// The client went on sending although it was limited: its connection must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flood;

/// The state of one client's wire, without its socket.
pub(crate) trait Client: Debug + Send {
    /// What the relay counts.
    fn metrics(&self) -> &Metrics;

    /// The outbox of this client.
    fn outbox(&self) -> &Arc<Outbox>;

    /// How many bytes it may send.
    fn rate(&mut self) -> &mut RateLimiter;

    /// When to read from its socket again; none if it may be read now. A wire that has no word for "too fast" says here what
    /// its messages cost.
    #[inline]
    fn next_read(&mut self, now: Instant) -> Option<Instant> {
        self.rate().next_read(now)
    }

    /// Handles one text. If the client [waits](Self::is_waiting) after that, `waker` is woken when it may go on.
    ///
    /// # Errors
    /// [`Flood`], if the connection must end.
    fn receive(&mut self, text: &str, now: Instant, waker: &Waker, deferred: &mut Deferred) -> Result<(), Flood>;

    /// Whether the wire knows binary messages, which end the connection otherwise.
    fn takes_binary(&self) -> bool {
        false
    }

    /// Handles one binary message, if the wire knows those; by default it is ignored.
    ///
    /// # Errors
    /// [`Flood`], if the connection must end.
    fn receive_binary(&mut self, _: &[u8], _: Instant, _: &Waker, _: &mut Deferred) -> Result<(), Flood> {
        Ok(())
    }

    /// Whether it waits: then call [`poll_waiting`](Self::poll_waiting), and not [`receive`](Self::receive).
    fn is_waiting(&self) -> bool;

    /// Goes on with what the client waits for; ready when it may receive the next text.
    fn poll_waiting(&mut self, cx: &mut Context<'_>, now: Instant, deferred: &mut Deferred) -> Poll<()>;

    /// When to call [`poll_waiting`](Self::poll_waiting) again at the latest.
    fn next_look(&self) -> Option<Instant>;

    /// Whether an answer to its own messages was queued for this client since the last call.
    fn take_answered(&self) -> bool;

    /// Whether the client still has to join its first room, and nothing keeps it from that. Only some wires ask for it.
    fn must_join(&self) -> bool {
        false
    }

    /// Reminds a client that [must join](Self::must_join), and whose URL asks for it in vain.
    fn remind_to_join(&self) {}

    /// Whether the client has come by another relay.
    fn comes_by_door(&self) -> bool {
        false
    }

    /// Whether the client is left to another relay.
    fn is_handed_over(&self) -> bool {
        false
    }

    /// What is left of a client that is left to another relay, for whoever copies the bytes.
    fn take_handover(&mut self) -> Option<Box<Handover>> {
        None
    }

    /// What it is told before a restart, or when another relay has its room; none where the wire has no word for it.
    fn goaway(&self, retry_after_ms: u64) -> Option<Bytes>;

    /// Whether the relay ends the connection without a close frame when it wants to: on some wires a client takes that for an end
    /// that is as it should be, after which nothing is to be done.
    fn hangs_up(&self) -> bool {
        false
    }

    /// The name of its wire, for the log, unless that is the relay's own.
    fn wire(&self) -> Option<&'static str> {
        None
    }

    /// How many messages the client has sent, for the log.
    fn messages(&self) -> u32;

    /// Where it is, for the log, with what a client may have written escaped.
    fn place(&self) -> String;

    /// Its connection has ended: since then, if it was lost then and may come back; and why, for the observer.
    fn end(&mut self, reason: LeaveReason, lost_since: Option<Instant>, why: &str);
}

/// The client of any wire.
#[cfg(feature = "wires")]
impl Client for Box<dyn Client> {
    fn metrics(&self) -> &Metrics {
        (**self).metrics()
    }

    fn outbox(&self) -> &Arc<Outbox> {
        (**self).outbox()
    }

    fn rate(&mut self) -> &mut RateLimiter {
        (**self).rate()
    }

    fn next_read(&mut self, now: Instant) -> Option<Instant> {
        (**self).next_read(now)
    }

    fn receive(&mut self, text: &str, now: Instant, waker: &Waker, deferred: &mut Deferred) -> Result<(), Flood> {
        (**self).receive(text, now, waker, deferred)
    }

    fn takes_binary(&self) -> bool {
        (**self).takes_binary()
    }

    fn receive_binary(
        &mut self,
        bytes: &[u8],
        now: Instant,
        waker: &Waker,
        deferred: &mut Deferred,
    ) -> Result<(), Flood> {
        (**self).receive_binary(bytes, now, waker, deferred)
    }

    fn is_waiting(&self) -> bool {
        (**self).is_waiting()
    }

    fn poll_waiting(&mut self, cx: &mut Context<'_>, now: Instant, deferred: &mut Deferred) -> Poll<()> {
        (**self).poll_waiting(cx, now, deferred)
    }

    fn next_look(&self) -> Option<Instant> {
        (**self).next_look()
    }

    fn take_answered(&self) -> bool {
        (**self).take_answered()
    }

    fn must_join(&self) -> bool {
        (**self).must_join()
    }

    fn remind_to_join(&self) {
        (**self).remind_to_join();
    }

    fn comes_by_door(&self) -> bool {
        (**self).comes_by_door()
    }

    fn is_handed_over(&self) -> bool {
        (**self).is_handed_over()
    }

    fn take_handover(&mut self) -> Option<Box<Handover>> {
        (**self).take_handover()
    }

    fn goaway(&self, retry_after_ms: u64) -> Option<Bytes> {
        (**self).goaway(retry_after_ms)
    }

    fn hangs_up(&self) -> bool {
        (**self).hangs_up()
    }

    fn wire(&self) -> Option<&'static str> {
        (**self).wire()
    }

    fn messages(&self) -> u32 {
        (**self).messages()
    }

    fn place(&self) -> String {
        (**self).place()
    }

    fn end(&mut self, reason: LeaveReason, lost_since: Option<Instant>, why: &str) {
        (**self).end(reason, lost_since, why);
    }
}
