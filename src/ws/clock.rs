//! The deadlines of one WebSocket, and its heartbeat.

use std::time::Duration;

use tokio::time::Instant;

use super::close::Disconnect;
use crate::limits::{
    JOIN_DEADLINE, MESSAGE_DEADLINE, PING_INTERVAL, PONG_DEADLINE, SLOW_PONG_DEADLINE, WRITE_DEADLINE,
    WRITE_DEADLINE_BY_DOOR,
};
use crate::outbox::Status;
use crate::peer::Client;
use crate::quota::EmptyFrames;

/// The times from which the deadlines of a connection count.
pub(super) struct Clock {
    /// When the WebSocket began.
    opened: Instant,
    /// When the last whole message or control frame arrived. Parts of a message do not count.
    pub(super) heard: Instant,
    /// When the relay sent its last ping; when the WebSocket began, before the first one.
    pinged: Instant,
    /// When to check the two again.
    heartbeat: Instant,
    /// When the first byte of the incomplete message arrived.
    pub(super) message: Option<Instant>,
    /// Since when the connection is throttled, and when to check again. Throttled means that the relay does not read
    /// from it because of the byte rate, until the client has read its errors, or until there is memory for more.
    throttled: Option<(Instant, Instant)>,
    pub(super) empty_frames: EmptyFrames,
}

/// What to do at a heartbeat.
pub(super) enum Heartbeat {
    /// Nothing: the client was heard, or may still answer.
    Wait,
    /// Send a ping.
    Ping,
    /// End the connection: the client did not answer.
    Timeout {
        /// When it was last heard.
        heard: Instant,
    },
}

impl Clock {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            opened: now,
            heard: now,
            pinged: now,
            heartbeat: now + PING_INTERVAL,
            message: None,
            throttled: None,
            empty_frames: EmptyFrames::new(now),
        }
    }

    /// When the next heartbeat is.
    #[inline]
    pub(super) fn heartbeat(&self) -> Instant {
        self.heartbeat
    }

    /// When to look at the deadlines again at the latest.
    pub(super) fn next_deadline(&self, client: &impl Client, status: Status) -> Instant {
        [
            status.stalled_since.map(|since| since + write_deadline(client)),
            self.join_deadline(client),
            self.message_deadline(),
            self.throttled.map(|(_, until)| until),
            client.next_look(),
        ]
        .into_iter()
        .flatten()
        .fold(self.heartbeat, Instant::min)
    }

    /// The deadline that is over, other than that of a ping.
    pub(super) fn expired(&self, client: &impl Client, status: Status, now: Instant) -> Option<Disconnect> {
        let is_over = |deadline: Option<Instant>| deadline.is_some_and(|deadline| now >= deadline);
        if is_over(status.stalled_since.map(|since| since + write_deadline(client))) {
            return Some(Disconnect::Slow);
        }
        if is_over(self.join_deadline(client)) {
            return Some(Disconnect::NoJoin);
        }
        is_over(self.message_deadline()).then_some(Disconnect::Unfinished)
    }

    /// Decides what to do at this heartbeat, and when the next one is.
    ///
    /// The relay pings in each interval, whatever else it reads and writes: the heartbeats of many clients hear nothing but
    /// pings. A ping that is not answered is not repeated.
    pub(super) fn beat(&mut self, status: Status, now: Instant) -> Heartbeat {
        let (heard, next_ping) = (self.heard_by(now), self.pinged + PING_INTERVAL);
        let is_answered = heard >= self.pinged;
        if is_answered && now >= next_ping {
            self.pinged = now;
            self.heartbeat = self.pong_deadline(heard, status).min(now + PING_INTERVAL);
            return Heartbeat::Ping;
        }
        if is_answered {
            self.heartbeat = next_ping;
            return Heartbeat::Wait;
        }
        let deadline = self.pong_deadline(heard, status);
        if now >= deadline {
            return Heartbeat::Timeout { heard };
        }
        // It may answer before, and the next ping is due then.
        self.heartbeat = deadline.min(now + PONG_DEADLINE);
        Heartbeat::Wait
    }

    /// When the last ping must have been answered by a client that was last heard at `heard`.
    fn pong_deadline(&self, heard: Instant, status: Status) -> Instant {
        // Who sends now and then has as long as if the relay had pinged only because of its silence. And the deadline
        // counts from the ping too: a relay that was stopped for a minute must ping its clients before it closes their
        // connections.
        let deadline = (self.pinged + PONG_DEADLINE).max(heard + PING_INTERVAL + PONG_DEADLINE);
        // The ping of who reads slowly is queued behind what the kernel holds.
        status.read_at.map_or(deadline, |read| deadline.max(read + SLOW_PONG_DEADLINE))
    }

    /// Notes that the relay does not read from the connection until then.
    #[inline]
    pub(super) fn throttle(&mut self, now: Instant, until: Instant) {
        let since = self.throttled.map_or(now, |(since, _)| since);
        self.throttled = Some((since, until));
    }

    /// Notes that the relay reads from the connection again.
    #[inline(always)]
    pub(super) fn unthrottle(&mut self, now: Instant) {
        self.heard = self.heard_by(now);
        if let Some((since, _)) = self.throttled.take() {
            let unread = now - since;
            self.message = self.message.map(|began| (began + unread).min(now));
        }
    }

    /// When the client must have joined; none while the relay or a host decides on its join.
    fn join_deadline(&self, client: &impl Client) -> Option<Instant> {
        client.must_join().then(|| self.opened + JOIN_DEADLINE)
    }

    #[inline]
    fn message_deadline(&self) -> Option<Instant> {
        // A client cannot finish its message while the relay does not read.
        self.message.filter(|_| self.throttled.is_none()).map(|began| began + MESSAGE_DEADLINE)
    }

    /// As `heard`, without the time in which the connection is throttled: that does not count against the client.
    #[inline]
    fn heard_by(&self, now: Instant) -> Instant {
        self.throttled.map_or(self.heard, |(since, _)| (self.heard + (now - since)).min(now))
    }
}

/// How long the client's socket may take nothing.
fn write_deadline(client: &impl Client) -> Duration {
    if client.comes_by_door() { WRITE_DEADLINE_BY_DOOR } else { WRITE_DEADLINE }
}
