//! A session as the client of a connection: the relay's own wire.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use tokio::time::Instant;

use super::{Handover, Session};
use crate::metrics::Metrics;
use crate::outbox::Outbox;
use crate::peer::client::{Client, Flood};
use crate::quota::RateLimiter;
use crate::room::{Deferred, ErrorCode, Event, LeaveReason, Refusal};

impl Client for Session {
    #[inline]
    fn metrics(&self) -> &Metrics {
        Self::metrics(self)
    }

    #[inline]
    fn outbox(&self) -> &Arc<Outbox> {
        Self::outbox(self)
    }

    #[inline]
    fn rate(&mut self) -> &mut RateLimiter {
        Self::rate(self)
    }

    #[inline]
    fn receive(&mut self, text: &str, now: Instant, waker: &Waker, deferred: &mut Deferred) -> Result<(), Flood> {
        Self::receive(self, text, now, waker, deferred)
    }

    #[inline]
    fn is_waiting(&self) -> bool {
        Self::is_waiting(self)
    }

    #[inline]
    fn poll_waiting(&mut self, cx: &mut Context<'_>, now: Instant, deferred: &mut Deferred) -> Poll<()> {
        Self::poll_waiting(self, cx, now, deferred)
    }

    #[inline]
    fn next_look(&self) -> Option<Instant> {
        Self::next_look(self)
    }

    #[inline]
    fn take_answered(&self) -> bool {
        Self::take_answered(self)
    }

    #[inline]
    fn must_join(&self) -> bool {
        Self::must_join(self)
    }

    fn remind_to_join(&self) {
        let message = "the query of /ws joins no room: connect to /?room=R, or send {\"type\":\"join\",\"room\":\"R\"}";
        self.refuse(&Refusal::new(ErrorCode::BadMessage, message), None);
    }

    #[inline]
    fn comes_by_door(&self) -> bool {
        Self::comes_by_door(self)
    }

    #[inline]
    fn is_handed_over(&self) -> bool {
        Self::is_handed_over(self)
    }

    fn take_handover(&mut self) -> Option<Box<Handover>> {
        Self::take_handover(self)
    }

    fn goaway(&self, retry_after_ms: u64) -> Option<Bytes> {
        (self.hub.rooms.encoder())(&Event::Goaway { retry_after_ms })
    }

    fn messages(&self) -> u32 {
        Self::messages(self)
    }

    /// The peer's room and id. `{:?}` escapes the name, so that a client cannot forge a line of the log.
    fn place(&self) -> String {
        self.joined_as().map_or("none".to_owned(), |(room, id)| format!("{:?}/{id}", room.as_str()))
    }

    fn end(&mut self, reason: LeaveReason, lost_since: Option<Instant>, why: &str) {
        Self::end(self, reason, lost_since, why);
    }
}
