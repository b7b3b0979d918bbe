//! One WebSocket in one task: reading, writing, keepalive and closing.
//!
//! Each time the task is polled, it reads what is there (as much as its turn allows), writes the queue, and checks its
//! deadlines. The next deadline is its only timer.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};

use super::clock::{Clock, Heartbeat};
use super::close::{Disconnect, flush_until, linger};
use super::decoder::{Decoder, Item};
use super::transport::{Reader, Transport};
use crate::limits::{
    CLOSE_DEADLINE, DRAIN_FLUSH, FRAMES_A_TURN, MEMORY_PAUSE, MESSAGE_DEADLINE, MESSAGES_A_TURN, PING_INTERVAL,
    READ_BYTES,
};
use crate::metrics;
use crate::net::buffer;
use crate::outbox::{Outbox, Status, Topic};
use crate::peer::Client;
use crate::room::Deferred;

/// One WebSocket.
pub(crate) struct Connection {
    reader: Reader,
    outbox: Arc<Outbox>,
    decoder: Decoder,
    /// The bytes that were read and not decoded yet.
    rest: Vec<u8>,
    /// Whether they may contain a whole frame.
    is_decodable: bool,
    /// Bytes that are pinned for what has arrived and is not handled yet.
    pinned: u32,
    /// Since when there is no memory for what it sends, if there is none.
    lacks_memory_since: Option<Instant>,
    /// Whether the client had more answers to read than it may when that was last looked at.
    has_unread_answers: bool,
}

/// What the relay still handles for one connection before other tasks get their turns.
struct Budget {
    messages: usize,
    frames: usize,
}

impl Budget {
    #[inline]
    fn is_spent(&self) -> bool {
        self.messages == 0 || self.frames == 0
    }
}

/// One pass of a connection's task: what it reads for, and how much.
struct Pass<'a, 'c, C> {
    cx: &'a mut Context<'c>,
    client: &'a mut C,
    clock: &'a mut Clock,
    now: Instant,
    budget: Budget,
    deferred: Deferred,
}

/// Why decoding stopped.
enum Stop {
    /// The next frame is incomplete.
    NeedMore,
    /// The client waits, or has to read its errors first.
    Waiting,
    /// Other tasks get their turns.
    Budget,
    /// The connection ends.
    Disconnect(Disconnect),
}

impl Connection {
    /// A WebSocket over `stream`, from which `read` has been read already, for the client of `outbox`. It accepts
    /// messages of at most `max_message_bytes`.
    pub(crate) fn new(stream: impl Transport, read: &[u8], outbox: Arc<Outbox>, max_message_bytes: usize) -> Self {
        let (reader, sink) = stream.into_halves();
        outbox.connect(sink);
        Self {
            reader,
            outbox,
            decoder: Decoder::new(max_message_bytes),
            rest: read.to_vec(),
            is_decodable: !read.is_empty(),
            pinned: 0,
            lacks_memory_since: None,
            has_unread_answers: false,
        }
    }

    /// Serves `client` until the connection ends, and returns why. The caller ends the client.
    pub(crate) async fn run<C: Client>(&mut self, client: &mut C) -> Disconnect {
        self.decoder.take_binary(client.takes_binary());
        let mut clock = Clock::new(Instant::now());
        let mut alarm = pin!(sleep_until(clock.heartbeat()));
        poll_fn(|cx| self.poll(cx, client, &mut clock, alarm.as_mut())).await
    }

    /// Performs the closing handshake (RFC 6455 section 7), as far as the client takes part in time: sends the queue,
    /// then `goaway` if there is one, then a close frame, and reads until the client has closed as well.
    pub(crate) async fn close(&mut self, end: &Disconnect, goaway: Option<Bytes>) {
        if let Some(frame) = end.close_frame() {
            if let Some(goaway) = goaway {
                self.outbox.announce(self.outbox.sender(), Topic::Other, goaway);
            }
            self.outbox.close(frame);
            let patience = if matches!(end, Disconnect::Told(_)) { DRAIN_FLUSH } else { CLOSE_DEADLINE };
            let deadline = Instant::now() + patience;
            let outbox = &self.outbox;
            if flush_until(outbox, deadline).await {
                let farewell = async {
                    let _ = poll_fn(|cx| outbox.poll_shutdown(cx)).await;
                    // Nothing follows the client's close frame, so there is nothing to read before the stream is closed.
                    if !matches!(end, Disconnect::Closed(_)) {
                        linger(&mut self.reader).await;
                    }
                };
                // One deadline for both. When the relay shuts down, the queue may take longer, and this gets its own.
                let deadline = if patience > CLOSE_DEADLINE { Instant::now() + CLOSE_DEADLINE } else { deadline };
                // The stream is closed now, whether or not the client closed in time.
                let _ = timeout_at(deadline, farewell).await;
            }
        }
        self.outbox.discard();
    }

    /// Sends the queue and ends the stream, without a close frame.
    pub(crate) async fn hang_up(&mut self) {
        let outbox = &self.outbox;
        if flush_until(outbox, Instant::now() + DRAIN_FLUSH).await {
            let _ = timeout_at(Instant::now() + CLOSE_DEADLINE, poll_fn(|cx| outbox.poll_shutdown(cx))).await;
        }
        self.outbox.discard();
    }

    /// What reads the stream, and what was read and not handled yet, in a connection that ended with
    /// [`Disconnect::HandedOver`].
    pub(crate) fn hand_over(&mut self) -> (&mut (dyn AsyncRead + Send + Unpin + 'static), Vec<u8>) {
        self.outbox.sender().purse().unpin(std::mem::take(&mut self.pinned) as usize);
        (&mut *self.reader, std::mem::take(&mut self.rest))
    }

    fn poll<C: Client>(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut C,
        clock: &mut Clock,
        mut alarm: Pin<&mut Sleep>,
    ) -> Poll<Disconnect> {
        loop {
            let now = Instant::now();
            let budget = Budget { messages: MESSAGES_A_TURN, frames: FRAMES_A_TURN };
            let mut pass = Pass { cx, client, clock, now, budget, deferred: Deferred::default() };
            let input = self.poll_input(&mut pass);
            pass.deferred.flush();
            if pass.budget.messages < MESSAGES_A_TURN && metrics::is_sample() {
                pass.client.metrics().latency.add(now.elapsed());
            }
            if input.is_ready() {
                return input;
            }
            let mut status = match self.outbox.poll_write(cx) {
                Ok(Status { close_request: Some(request), .. }) => return Poll::Ready(Disconnect::Told(request)),
                Ok(status) => status,
                Err(error) => return Poll::Ready(Disconnect::Lost(error)),
            };
            // After reading and writing, so that a relay that was stopped for a minute first handles what has arrived.
            if let Some(end) = clock.expired(client, status, now) {
                return Poll::Ready(end);
            }
            if now >= clock.heartbeat() {
                status = match self.beat(cx, clock, now, status) {
                    Ok(status) => status,
                    Err(end) => return Poll::Ready(end),
                };
            }
            let next = clock.next_deadline(client, status);
            if next < alarm.deadline() || alarm.is_elapsed() {
                alarm.as_mut().reset(next);
            }
            if alarm.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Reads and handles messages, as many as one turn allows.
    fn poll_input<C: Client>(&mut self, pass: &mut Pass<'_, '_, C>) -> Poll<Disconnect> {
        let mut buffer = buffer::take();
        let end = loop {
            let now = pass.now;
            if pass.client.poll_waiting(pass.cx, now, &mut pass.deferred).is_pending() {
                let is_handed_over = pass.client.is_handed_over();
                break if is_handed_over { Poll::Ready(Disconnect::HandedOver) } else { Poll::Pending };
            }
            if self.has_unread_answers && self.outbox.poll_answered(pass.cx).is_pending() {
                pass.clock.throttle(now, now + PING_INTERVAL);
                break Poll::Pending;
            }
            self.has_unread_answers = false;
            if !self.has_memory() {
                pass.clock.throttle(now, now + MEMORY_PAUSE);
                let since = *self.lacks_memory_since.get_or_insert(now);
                let is_over = now >= since + MESSAGE_DEADLINE;
                break if is_over { Poll::Ready(Disconnect::NoMemory) } else { Poll::Pending };
            }
            self.lacks_memory_since = None;
            if let Some(until) = pass.client.next_read(now) {
                pass.clock.throttle(now, until);
                break Poll::Pending;
            }
            pass.clock.unthrottle(now);
            if pass.budget.is_spent() {
                pass.cx.waker().wake_by_ref();
                break Poll::Pending;
            }
            let filled = match self.poll_fill(pass.cx, &mut buffer) {
                Poll::Pending => break Poll::Pending,
                Poll::Ready(Err(end)) => break Poll::Ready(end),
                Poll::Ready(Ok((filled, read))) => {
                    pass.client.metrics().hot().received_bytes.add(read as u64);
                    pass.client.rate().take_bytes(read, now);
                    filled
                }
            };
            let input = buffer.get_mut(..filled).unwrap_or_default();
            let (taken, stop) = self.decode(input, pass);
            self.keep(input.get(taken..).unwrap_or_default(), !matches!(stop, Stop::NeedMore));
            if let Stop::Disconnect(end) = stop {
                break Poll::Ready(end);
            }
        };
        buffer::put_back(buffer);
        end
    }

    /// Fills `buffer` with the bytes to decode; returns how many there are, and how many of them were read now.
    #[inline(always)]
    fn poll_fill(&mut self, cx: &mut Context<'_>, buffer: &mut Vec<u8>) -> Poll<Result<(usize, usize), Disconnect>> {
        let kept = self.rest.len();
        if buffer.len() < kept + READ_BYTES {
            buffer.resize(kept + READ_BYTES, 0);
        }
        if let Some(front) = buffer.get_mut(..kept) {
            front.copy_from_slice(&self.rest);
        }
        if self.is_decodable {
            return Poll::Ready(Ok((kept, 0)));
        }
        let mut room = ReadBuf::new(buffer.get_mut(kept..kept + READ_BYTES).unwrap_or_default());
        match Pin::new(&mut self.reader).poll_read(cx, &mut room) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(error)) => Poll::Ready(Err(Disconnect::Lost(error))),
            Poll::Ready(Ok(())) => match room.filled().len() {
                0 => Poll::Ready(Err(Disconnect::HungUp)),
                read => Poll::Ready(Ok((kept + read, read))),
            },
        }
    }

    /// Hands the items in `input` to the client; says how many bytes that took, and why no more.
    fn decode<C: Client>(&mut self, input: &mut [u8], pass: &mut Pass<'_, '_, C>) -> (usize, Stop) {
        let now = pass.now;
        let mut taken = 0;
        let stop = loop {
            if pass.budget.is_spent() {
                break Stop::Budget;
            }
            let (bytes, item) = match self.decoder.decode(input.get_mut(taken..).unwrap_or_default()) {
                Ok(decoded) => decoded,
                Err(violation) => break Stop::Disconnect(violation.into()),
            };
            taken += bytes;
            pass.budget.frames -= usize::from(bytes > 0);
            let is_empty = match item {
                None if bytes == 0 => break Stop::NeedMore,
                None => continue,
                Some(Item::Text(text)) => {
                    (pass.clock.heard, pass.clock.message) = (now, None);
                    pass.budget.messages -= 1;
                    if pass.client.receive(&text, now, pass.cx.waker(), &mut pass.deferred).is_err() {
                        break Stop::Disconnect(Disconnect::Flood);
                    }
                    if self.must_stop(pass) {
                        break Stop::Waiting;
                    }
                    false
                }
                Some(Item::Binary(bytes)) => {
                    (pass.clock.heard, pass.clock.message) = (now, None);
                    pass.budget.messages -= 1;
                    if pass.client.receive_binary(&bytes, now, pass.cx.waker(), &mut pass.deferred).is_err() {
                        break Stop::Disconnect(Disconnect::Flood);
                    }
                    if self.must_stop(pass) {
                        break Stop::Waiting;
                    }
                    false
                }
                Some(Item::Close(close)) => break Stop::Disconnect(Disconnect::Closed(close)),
                Some(Item::Ping(payload)) => {
                    pass.clock.heard = now;
                    self.outbox.pong(&payload);
                    true
                }
                Some(Item::Pong(payload)) => {
                    pass.clock.heard = now;
                    // The answers that the relay asks for are no flood, however many they are.
                    !self.outbox.ack(&payload)
                }
                Some(Item::EmptyFragment) => true,
            };
            if is_empty && pass.clock.empty_frames.exceeds(now) {
                break Stop::Disconnect(Disconnect::EmptyFrames);
            }
        };
        if self.decoder.is_within_message() {
            pass.clock.message.get_or_insert(now);
        } else {
            pass.clock.message = None;
        }
        (taken, stop)
    }

    /// Whether the client receives nothing more after its last message, for now.
    #[inline]
    fn must_stop<C: Client>(&mut self, pass: &mut Pass<'_, '_, C>) -> bool {
        self.has_unread_answers |= pass.client.take_answered() && self.outbox.poll_answered(pass.cx).is_pending();
        pass.client.is_waiting() || self.has_unread_answers
    }

    /// Pins the memory of what has arrived in part; whether there is as much, so that more may be read.
    #[inline(always)]
    fn has_memory(&mut self) -> bool {
        let bytes = (self.rest.capacity() + self.decoder.buffered()) as u32;
        if bytes == self.pinned {
            return true;
        }
        let purse = self.outbox.sender().purse();
        match bytes.checked_sub(self.pinned) {
            Some(more) if !purse.pin(more as usize) => return false,
            Some(_) => {}
            None => purse.unpin((self.pinned - bytes) as usize),
        }
        self.pinned = bytes;
        true
    }

    #[inline(always)]
    fn keep(&mut self, rest: &[u8], is_decodable: bool) {
        self.is_decodable = is_decodable && !rest.is_empty();
        if rest.is_empty() {
            // An idle connection keeps no buffer.
            self.rest = Vec::new();
        } else {
            self.rest.clear();
            self.rest.extend_from_slice(rest);
        }
    }

    /// Sends a ping if it is time for one, and frees memory. Returns how the outbox stands.
    ///
    /// # Errors
    /// Why the connection ends, if the client did not answer the last ping, or is gone.
    fn beat(
        &self,
        cx: &mut Context<'_>,
        clock: &mut Clock,
        now: Instant,
        status: Status,
    ) -> Result<Status, Disconnect> {
        let status = match clock.beat(status, now) {
            Heartbeat::Wait => status,
            Heartbeat::Ping => {
                self.outbox.ping();
                self.outbox.poll_write(cx).map_err(Disconnect::Lost)?
            }
            Heartbeat::Timeout { heard } => return Err(Disconnect::Timeout { heard }),
        };
        self.outbox.shrink();
        Ok(status)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.outbox.sender().purse().unpin(self.pinned as usize);
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use tokio::io::AsyncWrite;

    use super::*;
    use crate::auth::Open;
    use crate::peer::{Hub, HubSettings, Session};
    use crate::quota::RateLimiter;
    use crate::ws::Opaque;

    const PING: &[u8] = b"\x89\x80\0\0\0\0";

    /// A client that sends so many pings at once and hangs up, and reads all.
    struct Pings(usize);

    impl AsyncRead for Pings {
        fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            while self.0 > 0 && buffer.remaining() >= PING.len() {
                buffer.put_slice(PING);
                self.0 -= 1;
            }
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Pings {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn others_get_their_turns_while_a_client_sends_pings_without_a_pause() {
        const TURNS: usize = 100;
        let hub = Hub::new(HubSettings::default(), Arc::new(Open), None);
        let outbox = Arc::new(Outbox::new(0));
        let rate = RateLimiter::new(0, 0, Instant::now());
        let mut session = Session::new(hub, Arc::clone(&outbox), rate, Default::default());
        let mut connection = Connection::new(Opaque(Pings(TURNS * FRAMES_A_TURN)), &[], outbox, 1024);
        let mut polls = 0;
        let mut run = pin!(connection.run(&mut session));
        let end = poll_fn(|cx| {
            polls += 1;
            run.as_mut().poll(cx)
        })
        .await;
        assert!(matches!(end, Disconnect::HungUp), "{end}");
        assert!(polls >= TURNS, "{polls} turns");
    }
}
