//! One WebSocket in one task: reading, writing, keepalive and closing.
//!
//! Each time the task is polled, it reads what is there (as much as its turn allows), writes the queue, and checks its
//! deadlines. The next deadline is its only timer.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until, timeout, timeout_at};

use super::close::{End, linger};
use super::decoder::{Decoder, Item};
use super::transport::{Reader, Transport};
use crate::budget::Charge;
use crate::limits::{
    CLOSE_DEADLINE, DRAIN_FLUSH, FRAMES_A_TURN, JOIN_DEADLINE, MEMORY_PAUSE, MESSAGE_DEADLINE, MESSAGES_A_TURN,
    PING_INTERVAL, PONG_DEADLINE, READ_BYTES, SLOW_PONG_DEADLINE, WRITE_DEADLINE,
};
use crate::outbox::{Outbox, Status};
use crate::peer::Session;
use crate::quota::EmptyFrames;
use crate::room::Deferred;

thread_local! {
    /// The read buffer of all connections on this thread. A connection keeps only the bytes that it has not handled
    /// yet, so an idle one needs no buffer.
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// One WebSocket.
pub(crate) struct Connection {
    reader: Reader,
    outbox: Arc<Outbox>,
    decoder: Decoder,
    /// The bytes that were read and not decoded yet.
    rest: Vec<u8>,
    /// Whether they may contain a whole frame.
    is_decodable: bool,
    /// The memory of what has arrived and is not handled yet.
    memory: Option<Charge>,
    /// Whether the client had more answers to read than it may when that was last looked at.
    has_unread_answers: bool,
}

/// The times from which the deadlines of a connection count.
struct Clock {
    /// When the WebSocket began.
    opened: Instant,
    /// When the last whole message or control frame arrived. Parts of a message do not count.
    heard: Instant,
    /// When the relay sent the ping that has not been answered.
    pinged: Option<Instant>,
    /// When to check the two again.
    heartbeat: Instant,
    /// When the first byte of the incomplete message arrived.
    message: Option<Instant>,
    /// Since when the connection is throttled, and when to check again. Throttled means that the relay does not read
    /// from it because of the byte rate, or until the client has read its errors.
    throttled: Option<(Instant, Instant)>,
    empty_frames: EmptyFrames,
}

/// What the relay still handles for one connection before other tasks get a turn.
struct Turn {
    messages: usize,
    frames: usize,
}

impl Turn {
    fn is_over(&self) -> bool {
        self.messages == 0 || self.frames == 0
    }
}

/// Why decoding stopped.
enum Stop {
    /// The next frame is incomplete.
    NeedMore,
    /// The session waits, or the client has to read its errors first.
    Waiting,
    /// Other tasks get a turn.
    Turn,
    /// The connection ends.
    End(End),
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
            memory: None,
            has_unread_answers: false,
        }
    }

    /// Serves `session` until the connection ends, and returns why. The caller ends the session.
    pub(crate) async fn run(&mut self, session: &mut Session) -> End {
        let mut clock = Clock::new(Instant::now());
        let mut alarm = pin!(sleep_until(clock.heartbeat));
        poll_fn(|cx| self.poll(cx, session, &mut clock, alarm.as_mut())).await
    }

    /// Performs the closing handshake (RFC 6455 section 7), as far as the client takes part in time: sends the queue,
    /// then `goaway` if there is one, then a close frame, and reads until the client has closed as well.
    pub(crate) async fn close(&mut self, end: &End, goaway: Option<Bytes>) {
        if let Some(frame) = end.close_frame() {
            if let Some(goaway) = goaway {
                self.outbox.announce(self.outbox.sender(), goaway);
            }
            self.outbox.close(frame);
            let patience = if matches!(end, End::Told(_)) { DRAIN_FLUSH } else { CLOSE_DEADLINE };
            let deadline = Instant::now() + patience;
            let outbox = &self.outbox;
            if flush_until(outbox, deadline).await {
                let farewell = async {
                    let _ = poll_fn(|cx| outbox.poll_shutdown(cx)).await;
                    // Nothing follows the client's close frame, so there is nothing to read before the stream is closed.
                    if !matches!(end, End::Closed(_)) {
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

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        session: &mut Session,
        clock: &mut Clock,
        mut alarm: Pin<&mut Sleep>,
    ) -> Poll<End> {
        loop {
            let now = Instant::now();
            let mut flushes = Deferred::default();
            let input = self.poll_input(cx, session, clock, now, &mut flushes);
            flushes.flush();
            if input.is_ready() {
                return input;
            }
            let mut status = match self.outbox.poll_write(cx) {
                Ok(Status { end: Some(reason), .. }) => return Poll::Ready(End::Told(reason)),
                Ok(status) => status,
                Err(error) => return Poll::Ready(End::Lost(error)),
            };
            // After reading and writing, so that a relay that was stopped for a minute first handles what has arrived.
            if let Poll::Ready(end) = self.check_deadlines(cx, session, clock, now, &mut status) {
                return Poll::Ready(end);
            }
            let next = clock.next_deadline(session, status);
            if next < alarm.deadline() || alarm.is_elapsed() {
                alarm.as_mut().reset(next);
            }
            if alarm.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Reads and handles messages, as many as one turn allows.
    fn poll_input(
        &mut self,
        cx: &mut Context<'_>,
        session: &mut Session,
        clock: &mut Clock,
        now: Instant,
        flushes: &mut Deferred,
    ) -> Poll<End> {
        let mut turn = Turn { messages: MESSAGES_A_TURN, frames: FRAMES_A_TURN };
        let mut buffer = BUFFER.take();
        let end = loop {
            if session.poll_waiting(cx, now, flushes).is_pending() {
                break Poll::Pending;
            }
            if self.has_unread_answers && self.outbox.poll_answered(cx).is_pending() {
                clock.throttle(now, now + PING_INTERVAL);
                break Poll::Pending;
            }
            self.has_unread_answers = false;
            if !self.has_memory() {
                clock.throttle(now, now + MEMORY_PAUSE);
                let is_over = clock.throttled.is_some_and(|(since, _)| now >= since + MESSAGE_DEADLINE);
                break if is_over { Poll::Ready(End::Unfinished) } else { Poll::Pending };
            }
            if let Some(until) = session.rate().next_read(now) {
                clock.throttle(now, until);
                break Poll::Pending;
            }
            clock.unthrottle(now);
            if turn.is_over() {
                cx.waker().wake_by_ref();
                break Poll::Pending;
            }
            let filled = match self.poll_fill(cx, &mut buffer) {
                Poll::Pending => break Poll::Pending,
                Poll::Ready(Err(end)) => break Poll::Ready(end),
                Poll::Ready(Ok((filled, read))) => {
                    session.rate().take_bytes(read, now);
                    filled
                }
            };
            let input = buffer.get_mut(..filled).unwrap_or_default();
            let (taken, stop) = self.decode(cx, input, session, clock, now, &mut turn, flushes);
            self.keep(input.get(taken..).unwrap_or_default(), !matches!(stop, Stop::NeedMore));
            if let Stop::End(end) = stop {
                break Poll::Ready(end);
            }
        };
        BUFFER.set(buffer);
        end
    }

    /// Fills `buffer` with the bytes to decode; returns how many there are, and how many of them were read now.
    fn poll_fill(&mut self, cx: &mut Context<'_>, buffer: &mut Vec<u8>) -> Poll<Result<(usize, usize), End>> {
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
            Poll::Ready(Err(error)) => Poll::Ready(Err(End::Lost(error))),
            Poll::Ready(Ok(())) => match room.filled().len() {
                0 => Poll::Ready(Err(End::HungUp)),
                read => Poll::Ready(Ok((kept + read, read))),
            },
        }
    }

    /// Hands the items in `input` to the session; says how many bytes that took, and why no more.
    #[allow(clippy::too_many_arguments, reason = "what one turn is made of")]
    fn decode(
        &mut self,
        cx: &Context<'_>,
        input: &mut [u8],
        session: &mut Session,
        clock: &mut Clock,
        now: Instant,
        turn: &mut Turn,
        flushes: &mut Deferred,
    ) -> (usize, Stop) {
        let mut taken = 0;
        let stop = loop {
            if turn.is_over() {
                break Stop::Turn;
            }
            let (bytes, item) = match self.decoder.decode(input.get_mut(taken..).unwrap_or_default()) {
                Ok(decoded) => decoded,
                Err(violation) => break Stop::End(violation.into()),
            };
            taken += bytes;
            turn.frames -= usize::from(bytes > 0);
            let is_empty = match item {
                None if bytes == 0 => break Stop::NeedMore,
                None => continue,
                Some(Item::Text(text)) => {
                    (clock.heard, clock.message) = (now, None);
                    turn.messages -= 1;
                    if session.receive(&text, now, cx.waker(), flushes).is_err() {
                        break Stop::End(End::Flood);
                    }
                    self.has_unread_answers |= session.take_answered() && self.outbox.poll_answered(cx).is_pending();
                    if session.is_waiting() || self.has_unread_answers {
                        break Stop::Waiting;
                    }
                    false
                }
                Some(Item::Close(close)) => break Stop::End(End::Closed(close)),
                Some(Item::Ping(payload)) => {
                    clock.heard = now;
                    self.outbox.pong(&payload);
                    true
                }
                Some(Item::Pong(payload)) => {
                    clock.heard = now;
                    // The answers that the relay asks for are no flood, however many they are.
                    !self.outbox.confirm(&payload)
                }
                Some(Item::EmptyFragment) => true,
            };
            if is_empty && clock.empty_frames.exceeds(now) {
                break Stop::End(End::EmptyFrames);
            }
        };
        if self.decoder.is_within_message() {
            clock.message.get_or_insert(now);
        } else {
            clock.message = None;
        }
        (taken, stop)
    }

    /// Charges for what has arrived in part; whether there is memory for it, so that more may be read.
    fn has_memory(&mut self) -> bool {
        let bytes = self.rest.capacity() + self.decoder.buffered();
        if bytes == 0 {
            self.memory = None;
            return true;
        }
        match &mut self.memory {
            Some(charge) => charge.bytes() >= bytes || charge.resize(bytes),
            none => {
                *none = self.outbox.sender().purse().charge(bytes);
                none.is_some()
            }
        }
    }

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

    fn check_deadlines(
        &mut self,
        cx: &mut Context<'_>,
        session: &Session,
        clock: &mut Clock,
        now: Instant,
        status: &mut Status,
    ) -> Poll<End> {
        if status.stalled_since.is_some_and(|since| now >= since + WRITE_DEADLINE) {
            return Poll::Ready(End::Slow);
        }
        if clock.join_deadline(session).is_some_and(|deadline| now >= deadline) {
            return Poll::Ready(End::NoJoin);
        }
        if clock.message_deadline().is_some_and(|deadline| now >= deadline) {
            return Poll::Ready(End::Unfinished);
        }
        if now < clock.heartbeat {
            return Poll::Pending;
        }
        // The deadline counts from the ping, not from the last message: a relay that was stopped for a minute must ping
        // its clients before it closes their connections.
        let heard = clock.heard_by(now);
        let slowly_read_until = status.read_at.map(|read| read + SLOW_PONG_DEADLINE).filter(|until| now < *until);
        match (clock.pinged, slowly_read_until) {
            // The ping is queued behind what the kernel holds.
            (Some(pinged), Some(until)) if heard < pinged => clock.heartbeat = until.min(now + PONG_DEADLINE),
            (Some(pinged), None) if heard < pinged => return Poll::Ready(End::Timeout),
            _ if now < heard + PING_INTERVAL => {
                (clock.pinged, clock.heartbeat) = (None, heard + PING_INTERVAL);
            }
            _ => {
                (clock.pinged, clock.heartbeat) = (Some(now), now + PONG_DEADLINE);
                self.outbox.ping();
                match self.outbox.poll_write(cx) {
                    Ok(now) => *status = now,
                    Err(error) => return Poll::Ready(End::Lost(error)),
                }
            }
        }
        self.outbox.shrink();
        Poll::Pending
    }
}

impl Clock {
    fn next_deadline(&self, session: &Session, status: Status) -> Instant {
        [
            status.stalled_since.map(|since| since + WRITE_DEADLINE),
            self.join_deadline(session),
            self.message_deadline(),
            self.throttled.map(|(_, until)| until),
            session.next_look(),
        ]
        .into_iter()
        .flatten()
        .fold(self.heartbeat, Instant::min)
    }

    fn new(now: Instant) -> Self {
        Self {
            opened: now,
            heard: now,
            pinged: None,
            heartbeat: now + PING_INTERVAL,
            message: None,
            throttled: None,
            empty_frames: EmptyFrames::new(now),
        }
    }

    /// When the client must have joined; none while the relay or a host decides on its join.
    fn join_deadline(&self, session: &Session) -> Option<Instant> {
        session.must_join().then(|| self.opened + JOIN_DEADLINE)
    }

    fn message_deadline(&self) -> Option<Instant> {
        // A client cannot finish its message while the relay does not read.
        self.message.filter(|_| self.throttled.is_none()).map(|began| began + MESSAGE_DEADLINE)
    }

    fn throttle(&mut self, now: Instant, until: Instant) {
        let since = self.throttled.map_or(now, |(since, _)| since);
        self.throttled = Some((since, until));
    }

    /// As `heard`, without the time in which the connection is throttled: that does not count against the client.
    fn heard_by(&self, now: Instant) -> Instant {
        self.throttled.map_or(self.heard, |(since, _)| (self.heard + (now - since)).min(now))
    }

    fn unthrottle(&mut self, now: Instant) {
        self.heard = self.heard_by(now);
        if let Some((since, _)) = self.throttled.take() {
            let unread = now - since;
            self.message = self.message.map(|began| (began + unread).min(now));
        }
    }
}

/// Writes the queue until `deadline`; returns whether all of it is written. Gives up earlier if the socket accepts
/// nothing for [`CLOSE_DEADLINE`].
async fn flush_until(outbox: &Outbox, deadline: Instant) -> bool {
    const LOOK: Duration = Duration::from_millis(250);
    loop {
        match timeout(LOOK, poll_fn(|cx| outbox.poll_flush(cx))).await {
            Ok(flushed) => return flushed.is_ok(),
            Err(_) => {
                let takes_nothing = outbox.stalled_since().is_some_and(|since| since.elapsed() >= CLOSE_DEADLINE);
                if takes_nothing || Instant::now() >= deadline {
                    return false;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use tokio::io::AsyncWrite;

    use super::*;
    use crate::auth::Open;
    use crate::peer::{Hub, HubSettings};
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
        let mut session = Session::new(hub, 1, Arc::clone(&outbox), rate, None, None);
        let mut connection = Connection::new(Opaque(Pings(TURNS * FRAMES_A_TURN)), &[], outbox, 1024);
        let mut polls = 0;
        let mut run = pin!(connection.run(&mut session));
        let end = poll_fn(|cx| {
            polls += 1;
            run.as_mut().poll(cx)
        })
        .await;
        assert!(matches!(end, End::HungUp), "{end}");
        assert!(polls >= TURNS, "{polls} turns");
    }
}
