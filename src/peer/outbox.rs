//! One peer's bounded queue of messages; independent of who fills it and of the socket that drains it.
//!
//! `push` never waits: a peer that does not read cannot hold up the others. When the queue is full its peer is too slow,
//! and its connection ends; a message is never dropped while the connection stays.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio_tungstenite::tungstenite::{Bytes, Message, Utf8Bytes};

use crate::limits::{OUTBOX_BYTES, OUTBOX_MESSAGES};

/// What waits to be sent to one peer.
#[derive(Debug)]
pub struct Outbox {
    queue: Mutex<Queue>,
    filled: Notify,
    overflowed: Notify,
    max_bytes: usize,
}

#[derive(Debug, Default)]
struct Queue {
    texts: VecDeque<Utf8Bytes>,
    bytes: usize,
    /// How many of the messages came with `welcome`; they do not count against [`OUTBOX_MESSAGES`].
    welcomed: usize,
    ping: bool,
    overflowed: bool,
}

impl Outbox {
    /// An empty outbox that holds at least four messages of the largest size, `max_message_bytes`.
    pub fn new(max_message_bytes: usize) -> Self {
        Self {
            queue: Mutex::default(),
            filled: Notify::new(),
            overflowed: Notify::new(),
            max_bytes: OUTBOX_BYTES.max(4 * max_message_bytes),
        }
    }

    /// Queues `text`; overflows when [`OUTBOX_MESSAGES`] or [`OUTBOX_BYTES`] wait already.
    pub fn push(&self, text: Utf8Bytes) {
        let mut queue = self.lock();
        self.append(&mut queue, text);
        drop(queue);
        self.filled.notify_one();
    }

    /// Queues what a newcomer gets at once. However many messages that is, they are bounded by bytes alone: the newcomer
    /// had no chance to read yet.
    pub fn welcome(&self, texts: impl IntoIterator<Item = Utf8Bytes>) {
        let mut queue = self.lock();
        queue.welcomed = usize::MAX - OUTBOX_MESSAGES;
        for text in texts {
            self.append(&mut queue, text);
        }
        queue.welcomed = queue.texts.len();
        drop(queue);
        self.filled.notify_one();
    }

    /// Asks for a ping to be sent.
    pub fn ping(&self) {
        self.lock().ping = true;
        self.filled.notify_one();
    }

    /// Takes the next message, if one waits.
    pub fn pop(&self) -> Option<Message> {
        let mut queue = self.lock();
        if std::mem::take(&mut queue.ping) {
            return Some(Message::Ping(Bytes::new()));
        }
        let text = queue.texts.pop_front()?;
        queue.bytes -= text.len();
        queue.welcomed = queue.welcomed.saturating_sub(1);
        Some(Message::Text(text))
    }

    /// Waits until something may have been queued since the last call.
    pub async fn filled(&self) {
        self.filled.notified().await;
    }

    /// Waits until more was queued than the outbox holds; nothing is in it from then on.
    pub async fn overflowed(&self) {
        self.overflowed.notified().await;
    }

    fn append(&self, queue: &mut Queue, text: Utf8Bytes) {
        if queue.overflowed {
            return;
        }
        if queue.texts.len() >= OUTBOX_MESSAGES + queue.welcomed || queue.bytes + text.len() > self.max_bytes {
            // The connection is about to end, so what waits is lost already: free it at once.
            *queue = Queue { overflowed: true, ..Queue::default() };
            self.overflowed.notify_one();
            return;
        }
        queue.bytes += text.len();
        queue.texts.push_back(text);
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // No code panics while it holds the lock, so a poisoned queue is as good as any.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn outbox() -> Outbox {
        Outbox::new(1024)
    }

    fn drain(outbox: &Outbox) -> usize {
        std::iter::from_fn(|| outbox.pop()).count()
    }

    #[test]
    fn messages_come_out_in_the_order_they_went_in() {
        let outbox = outbox();
        outbox.push("1".into());
        outbox.push("2".into());
        assert_eq!(outbox.pop(), Some(Message::text("1")));
        assert_eq!(outbox.pop(), Some(Message::text("2")));
        assert_eq!(outbox.pop(), None);
    }

    #[test]
    fn one_message_too_many_overflows() {
        let outbox = outbox();
        for _ in 0..OUTBOX_MESSAGES {
            outbox.push("x".into());
        }
        assert!(outbox.overflowed().now_or_never().is_none());
        outbox.push("x".into());
        assert!(outbox.overflowed().now_or_never().is_some());
        assert_eq!(drain(&outbox), 0, "what waited is freed at once");
        outbox.push("x".into());
        assert_eq!(drain(&outbox), 0, "and nothing follows the gap");
    }

    #[test]
    fn one_byte_too_many_overflows() {
        let outbox = outbox();
        outbox.push("x".repeat(OUTBOX_BYTES).into());
        assert!(outbox.overflowed().now_or_never().is_none());
        outbox.push("x".into());
        assert!(outbox.overflowed().now_or_never().is_some());
    }

    #[test]
    fn what_a_newcomer_gets_at_once_leaves_room_for_the_usual_number_of_messages() {
        let outbox = outbox();
        outbox.welcome((0..1000).map(|_| "x".into()));
        for _ in 0..OUTBOX_MESSAGES {
            outbox.push("x".into());
        }
        assert!(outbox.overflowed().now_or_never().is_none());
        assert_eq!(drain(&outbox), 1000 + OUTBOX_MESSAGES);
        for _ in 0..=OUTBOX_MESSAGES {
            outbox.push("x".into());
        }
        assert!(outbox.overflowed().now_or_never().is_some(), "the usual bound holds again");
    }

    #[test]
    fn a_newcomer_who_never_reads_overflows_by_bytes() {
        let outbox = outbox();
        for _ in 0..=OUTBOX_BYTES / 1000 {
            outbox.welcome(["x".repeat(1000).into()]);
        }
        assert!(outbox.overflowed().now_or_never().is_some());
    }

    #[test]
    fn a_ping_overtakes_what_waits() {
        let outbox = outbox();
        outbox.push("1".into());
        outbox.ping();
        assert!(matches!(outbox.pop(), Some(Message::Ping(_))));
        assert_eq!(outbox.pop(), Some(Message::text("1")));
    }
}
