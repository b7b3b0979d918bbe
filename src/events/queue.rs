//! The events that wait to be sent, up to a bound. If there are more, the oldest are lost: the application learns how many, and
//! what it hears after that has no further gap.

use std::collections::VecDeque;
use std::fmt::Write;
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::{Notify, watch};

use crate::limits;

/// The events that wait.
#[derive(Debug)]
pub(super) struct Queue {
    /// Names this run of the relay, in which the events are numbered from 1.
    run: String,
    state: Mutex<State>,
    changed: Notify,
    is_hurried: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct State {
    events: VecDeque<Waiting>,
    /// Bytes of these.
    bytes: usize,
    /// How many events there were.
    count: u64,
    /// How many batches there were.
    batches: u64,
    /// How many events are in the batch that is under way.
    under_way: usize,
    /// Events that were lost since the last batch.
    lost: u64,
    totals: Totals,
    /// Whether the task ends when nothing waits.
    is_closed: bool,
    /// Whether nothing is sent any more.
    is_over: bool,
}

#[derive(Debug)]
struct Waiting {
    number: u64,
    json: Box<str>,
}

#[derive(Debug, Default)]
struct Totals {
    sent: u64,
    lost: u64,
}

/// How many events there were and are.
#[cfg(feature = "admin")]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// How many wait, or are on their way.
    pub queued: usize,
    /// How many the application has taken.
    pub sent: u64,
    /// How many were lost.
    pub lost: u64,
}

/// What one request tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Batch {
    /// The same as often as it is sent, so that repeats are known. It has no full stop, as Standard Webhooks wants it.
    pub(super) id: String,
    /// JSON.
    pub(super) body: Bytes,
    /// How many events were lost before these.
    pub(super) lost: u64,
}

impl Queue {
    /// Nothing waits yet in this `run` of the relay.
    pub(super) fn new(run: String) -> Self {
        Self { run, state: Mutex::default(), changed: Notify::new(), is_hurried: watch::Sender::new(false) }
    }

    /// Adds an event, whose JSON begins with `{` and a key. Whether a client claims it, and the relay does not know it itself:
    /// then it takes no place from others.
    pub(super) fn push(&self, json: String, is_claim: bool) {
        let mut state = self.lock();
        state.count += 1;
        let is_half_full =
            state.events.len() >= limits::EVENTS_WITH_REPORTS || state.bytes >= limits::EVENTS_BYTES_WITH_REPORTS;
        if state.is_over || is_claim && is_half_full {
            state.lose(1);
            return;
        }
        while state.events.len() >= limits::EVENTS || state.bytes + json.len() > limits::EVENTS_BYTES {
            let Some(oldest) = state.events.pop_front() else { break };
            state.bytes -= oldest.json.len();
            state.lose(1);
        }
        state.bytes += json.len();
        let number = state.count;
        state.events.push_back(Waiting { number, json: json.into() });
        drop(state);
        self.changed.notify_one();
    }

    /// Waits for events, and takes as many as one request tells. None when the queue is [closed](Self::close) and empty.
    pub(super) async fn next(&self) -> Option<Batch> {
        loop {
            {
                let mut state = self.lock();
                if !state.events.is_empty() {
                    return Some(state.take(&self.run));
                }
                if state.is_closed {
                    return None;
                }
            }
            // One that came in between is kept as a permit.
            self.changed.notified().await;
        }
    }

    /// The application has the batch that was under way.
    pub(super) fn note_sent(&self) {
        let mut state = self.lock();
        state.totals.sent += mem::take(&mut state.under_way) as u64;
    }

    /// Ends pauses from now on.
    pub(super) fn hurry(&self) {
        self.is_hurried.send_replace(true);
    }

    /// Says when pauses end.
    pub(super) fn hurried(&self) -> watch::Receiver<bool> {
        self.is_hurried.subscribe()
    }

    /// No more events come.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_one();
    }

    /// Loses what waits or is under way, and what comes later; returns how many events wait or are under way.
    pub(super) fn give_up(&self) -> u64 {
        let mut state = self.lock();
        let left = state.queued() as u64;
        (state.events, state.bytes, state.under_way, state.is_over) = (VecDeque::new(), 0, 0, true);
        state.lose(left);
        left
    }

    /// How many events wait or are under way, and how many were lost since the last batch.
    pub(super) fn backlog(&self) -> (usize, u64) {
        let state = self.lock();
        (state.queued(), state.lost)
    }

    /// How many events there were and are.
    #[cfg(feature = "admin")]
    pub(super) fn counts(&self) -> Counts {
        let state = self.lock();
        Counts { queued: state.queued(), sent: state.totals.sent, lost: state.totals.lost }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn queued(&self) -> usize {
        self.events.len() + self.under_way
    }

    fn lose(&mut self, events: u64) {
        self.lost += events;
        self.totals.lost += events;
    }

    /// Takes the next batch, of one event at least if there is any.
    fn take(&mut self, run: &str) -> Batch {
        self.batches += 1;
        let (lost, mut bytes) = (mem::take(&mut self.lost), 0);
        let mut body = format!(r#"{{"run":"{run}","lost":{lost},"events":["#);
        while let Some(event) = self.events.front() {
            bytes += event.json.len();
            if self.under_way > 0 && (self.under_way == limits::EVENTS_BATCH || bytes > limits::EVENTS_BATCH_BYTES) {
                break;
            }
            let separator = if self.under_way == 0 { "" } else { "," };
            // Writing into a string does not fail. The rest of the event follows its brace.
            let _ = write!(body, r#"{separator}{{"sequence":{},{}"#, event.number, event.json.get(1..).unwrap_or("}"));
            self.bytes -= event.json.len();
            self.under_way += 1;
            self.events.pop_front();
        }
        body.push_str("]}");
        Batch { id: format!("{run}-{}", self.batches), body: body.into(), lost }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use serde_json::{Value, json};

    use super::*;

    fn queue() -> Queue {
        Queue::new("run".into())
    }

    fn add(queue: &Queue, names: impl IntoIterator<Item = u64>) {
        names.into_iter().for_each(|name| queue.push(json!({"name": name}).to_string(), false));
    }

    /// The next batch as JSON.
    fn next(queue: &Queue) -> Value {
        let batch = queue.next().now_or_never().unwrap().unwrap();
        queue.note_sent();
        serde_json::from_slice(&batch.body).unwrap()
    }

    #[test]
    fn events_are_numbered_and_batches_have_ids() {
        let queue = queue();
        assert!(queue.next().now_or_never().is_none());
        add(&queue, [10, 20]);
        let first = queue.next().now_or_never().unwrap().unwrap();
        assert_eq!(first.id, "run-1");
        assert_eq!(
            first.body,
            r#"{"run":"run","lost":0,"events":[{"sequence":1,"name":10},{"sequence":2,"name":20}]}"#
        );
        queue.note_sent();
        add(&queue, [30]);
        let second = queue.next().now_or_never().unwrap().unwrap();
        assert_eq!(second.id, "run-2");
        assert_eq!(second.body, r#"{"run":"run","lost":0,"events":[{"sequence":3,"name":30}]}"#);
    }

    #[test]
    fn a_batch_has_a_bound_in_events_and_in_bytes_and_one_event_at_least() {
        let queue = queue();
        add(&queue, 0..limits::EVENTS_BATCH as u64 + 1);
        assert_eq!(next(&queue)["events"].as_array().unwrap().len(), limits::EVENTS_BATCH);
        assert_eq!(next(&queue)["events"].as_array().unwrap().len(), 1);
        for length in [limits::EVENTS_BATCH_BYTES, limits::EVENTS_BATCH_BYTES / 2, limits::EVENTS_BATCH_BYTES / 3] {
            queue.push(json!({"name": "x".repeat(length)}).to_string(), false);
        }
        assert_eq!(next(&queue)["events"].as_array().unwrap().len(), 1);
        assert_eq!(next(&queue)["events"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn beyond_the_bound_the_oldest_are_lost_and_counted_but_not_those_under_way() {
        let queue = queue();
        add(&queue, [0]);
        let under_way = queue.next().now_or_never().unwrap().unwrap();
        add(&queue, 1..=limits::EVENTS as u64 + 3);
        assert_eq!(queue.backlog(), (limits::EVENTS + 1, 3));
        assert_eq!(under_way.lost, 0);
        queue.note_sent();
        let (mut expected, mut lost) = (4, 3);
        while queue.backlog().0 > 0 {
            let batch = next(&queue);
            assert_eq!(batch["lost"], mem::take(&mut lost));
            for event in batch["events"].as_array().unwrap() {
                assert_eq!((&event["name"], &event["sequence"]), (&json!(expected), &json!(expected + 1)));
                expected += 1;
            }
        }
        assert_eq!(expected, limits::EVENTS as u64 + 4);
    }

    #[test]
    fn what_waits_has_a_bound_in_bytes_too() {
        let queue = queue();
        let large = json!({"name": "x".repeat(limits::EVENTS_BYTES / 4)}).to_string();
        (0..8).for_each(|_| queue.push(large.clone(), false));
        assert_eq!(queue.backlog(), (3, 5));
        // One that fits into nothing is still no reason to wait for ever.
        queue.push(json!({"name": "x".repeat(limits::EVENTS_BYTES)}).to_string(), false);
        assert_eq!(queue.backlog(), (1, 8));
    }

    #[test]
    fn what_clients_claim_takes_no_place_from_what_the_relay_knows() {
        let queue = queue();
        for number in 0..limits::EVENTS_WITH_REPORTS as u64 + 2 {
            queue.push(json!({"name": number}).to_string(), true);
        }
        assert_eq!(queue.backlog(), (limits::EVENTS_WITH_REPORTS, 2));
        add(&queue, 0..(limits::EVENTS - limits::EVENTS_WITH_REPORTS) as u64);
        assert_eq!(queue.backlog(), (limits::EVENTS, 2));
    }

    #[test]
    #[cfg(feature = "admin")]
    fn each_event_is_queued_sent_or_lost() {
        let queue = queue();
        add(&queue, 0..300);
        next(&queue);
        let _under_way = queue.next().now_or_never().unwrap();
        add(&queue, 0..10);
        assert_eq!(queue.counts(), Counts { queued: 54, sent: 256, lost: 0 });
        assert_eq!(queue.give_up(), 54);
        add(&queue, [1]);
        assert_eq!(queue.counts(), Counts { queued: 0, sent: 256, lost: 55 });
    }

    #[test]
    fn a_queue_that_is_closed_ends_when_it_is_empty() {
        let queue = queue();
        add(&queue, [1]);
        queue.close();
        assert!(queue.next().now_or_never().unwrap().is_some());
        assert!(queue.next().now_or_never().unwrap().is_none());
    }
}
