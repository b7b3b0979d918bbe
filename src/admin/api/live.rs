//! `GET /api/live`: what changes, as server-sent events (HTML standard, section 9.2). An event has all that the operators' page
//! shows at first sight, so a client that missed some needs only the last one.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::StreamBody;
use hyper::StatusCode;
use hyper::body::Frame;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};

use super::{Answer, ApiError};
use crate::admin::slots::Request;
use crate::budget::Charge;
use crate::http::body::Body;
use crate::limits::{LIVE_DEADLINE, LIVE_INTERVAL, LIVE_MEMORY_STEP, LIVE_ROOMS, LIVE_STREAMS};
use crate::peer::Hub;
use crate::room::Overview;
use crate::room::names::RoomName;

/// A comment, which tells that the stream goes on.
const NOTHING_NEW: &[u8] = b":\n\n";

/// How many streams there may be.
#[derive(Debug, Clone)]
pub(in crate::admin) struct Streams(Arc<Semaphore>);

/// The relay as it is now.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Snapshot {
    version: &'static str,
    /// Rooms with members.
    rooms: usize,
    peers: usize,
    knocks: usize,
    /// WebSockets.
    connections: usize,
    /// Whether an operator drains the relay.
    draining: bool,
    /// Whether the process is about to end.
    shutting_down: bool,
    memory: Memory,
    first_rooms: Vec<Overview>,
    /// Where the rooms after these begin.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<RoomName>,
}

/// Bytes of memory.
#[derive(Debug, Serialize)]
struct Memory {
    /// What clients pin.
    pinned: usize,
    /// What they may pin, if there is a limit.
    budget: Option<usize>,
}

/// One stream.
struct Live {
    hub: Arc<Hub>,
    /// The last event, with its memory.
    last: Option<(Bytes, Charge)>,
    /// When it looks again.
    next: Instant,
    ends: Instant,
    _place: OwnedSemaphorePermit,
    /// The connection does not give way to another one.
    _busy: Request,
}

impl Default for Streams {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(LIVE_STREAMS)))
    }
}

impl Streams {
    /// How many more there may be.
    #[cfg(test)]
    pub(in crate::admin) fn free(&self) -> usize {
        self.0.available_permits()
    }

    /// One more stream, unless there are as many as may be.
    pub(super) fn open(&self, hub: &Arc<Hub>, busy: Request) -> Result<Answer, ApiError> {
        let place = Arc::clone(&self.0).try_acquire_owned().map_err(|_| {
            let message = format!(
                "{LIVE_STREAMS} streams are open, which is the most: close one of the pages, or ask for /api/rooms"
            );
            ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "too_many_streams", message)
        })?;
        let now = Instant::now();
        let (ends, busy) = (now + LIVE_DEADLINE, busy.goes_on());
        let live = Live { hub: Arc::clone(hub), last: None, next: now, ends, _place: place, _busy: busy };
        let frames = stream::unfold(live, async |mut live| {
            let chunk = live.chunk().await?;
            Some((Ok::<_, io::Error>(Frame::data(chunk)), live))
        });
        Ok(Answer::Events(Body::of_stream(StreamBody::new(frames))))
    }
}

impl Live {
    /// What is sent next; nothing when the stream has lasted long enough.
    async fn chunk(&mut self) -> Option<Bytes> {
        sleep_until(self.next).await;
        let now = Instant::now();
        self.next = now + LIVE_INTERVAL;
        (now < self.ends).then(|| self.news().unwrap_or(Bytes::from_static(NOTHING_NEW)))
    }

    /// An event, if something changed; nothing either while there is no memory for one.
    fn news(&mut self) -> Option<Bytes> {
        // This cannot fail: every key is a string, and the target is memory. JSON has no line breaks of its own.
        let json = serde_json::to_string(&Snapshot::of(&self.hub)).ok()?;
        let event = Bytes::from(format!("data: {json}\n\n"));
        if self.last.as_ref().is_some_and(|(last, _)| *last == event) {
            return None;
        }
        let memory = self.hub.server.purse().charge(event.len().next_multiple_of(LIVE_MEMORY_STEP))?;
        self.last = Some((event.clone(), memory));
        Some(event)
    }
}

impl Snapshot {
    fn of(hub: &Hub) -> Self {
        let count = hub.rooms.count();
        let (pinned, budget) = hub.quotas.memory();
        let (first_rooms, next) = hub.rooms.overview("", LIVE_ROOMS);
        Self {
            version: env!("CARGO_PKG_VERSION"),
            rooms: count.rooms,
            peers: count.peers,
            knocks: count.knocks,
            connections: hub.drain.websockets(),
            draining: hub.rooms.is_draining(),
            shutting_down: hub.drain.has_begun(),
            memory: Memory { pinned, budget },
            first_rooms,
            next,
        }
    }
}
