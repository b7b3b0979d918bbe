//! Copies bytes between a client and the relay on which its room lives.
//!
//! A tunnel knows nothing of what it copies, and says nothing of its own. What one side does not take keeps the other from
//! being read, so a slow reader slows down its senders as without a door. An idle tunnel has no buffer.
//!
//! When one side ends its stream, the other one hears of it after what is still held for it, and has
//! [`CLOSE_DEADLINE`] for the rest. Whatever else goes wrong, both are cut: to the client and to its room that is a lost
//! connection.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::limits::{CLOSE_DEADLINE, DOOR_RETRY, DOOR_STALL, DOOR_TURNS, READ_BYTES};
use crate::net::buffer;
use crate::outbox::{Outbox, Sink};

/// The two ends of a client's stream.
pub(crate) struct ClientEnds<'a> {
    /// What it sends.
    pub reader: &'a mut (dyn AsyncRead + Send + Unpin + 'static),
    /// Where it is written to.
    pub sink: &'a (dyn Sink + 'static),
    /// What waits for it of this relay, which goes first, and what may ask the connection to end.
    pub outbox: &'a Outbox,
}

/// Why a tunnel ended.
#[derive(Debug)]
pub(crate) enum TunnelEnd {
    /// The client ended its stream.
    Client,
    /// The relay of the room ended the stream.
    Room,
    /// The client's stream failed.
    ClientLost(io::Error),
    /// The stream to the relay of the room failed.
    RoomLost(io::Error),
    /// The client's socket took nothing for too long.
    Slow,
    /// The relay of the room does not answer any more, or that by which the client came.
    Silent,
    /// This relay shuts down.
    Shutdown,
}

impl fmt::Display for TunnelEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client => f.write_str("ended by the peer"),
            Self::Room => f.write_str("ended by the room's relay"),
            Self::ClientLost(error) => write!(f, "lost: {error}"),
            Self::RoomLost(error) => write!(f, "lost the room's relay: {error}"),
            Self::Slow => f.write_str("too slow to read"),
            Self::Silent => f.write_str("lost: another relay does not answer"),
            Self::Shutdown => f.write_str("the relay shuts down"),
        }
    }
}

/// Copies until both sides have ended. `to_room` and `to_client` go first.
pub(crate) async fn copy<'a, S>(
    client: ClientEnds<'a>,
    room: &'a mut S,
    to_room: Vec<u8>,
    to_client: Vec<u8>,
) -> TunnelEnd
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let taken_below = client.sink.taken_below();
    let mut copying = Copying {
        client,
        room,
        up: Way::beginning_with(to_room),
        down: Way::beginning_with(to_client),
        end: None,
        until: None,
        has_waiting: true,
        stalled_since: None,
        taken_below,
        alarm: None,
    };
    poll_fn(|cx| copying.poll(cx)).await
}

/// One direction.
#[derive(Debug)]
struct Way {
    /// What was read and not taken yet.
    held: Vec<u8>,
    /// Whether a layer below (TLS) may still hold bytes that it was given.
    is_unflushed: bool,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Bytes come and go.
    Open,
    /// The side that is read has ended: the other one is to hear of that after what is held.
    Ended,
    /// The side that is read was lost: the other one gets what is held, and is cut.
    Cut,
    /// The side that is written to is lost: what comes is dropped.
    Dropping,
    /// Nothing more happens here.
    Done,
}

impl Way {
    fn beginning_with(held: Vec<u8>) -> Self {
        Self { held, is_unflushed: true, stage: Stage::Open }
    }

    /// Removes what was taken of what is held. An idle tunnel keeps no buffer.
    fn took(&mut self, bytes: usize) {
        if bytes >= self.held.len() {
            self.held = Vec::new();
        } else {
            self.held.drain(..bytes);
        }
    }
}

struct Copying<'a, S> {
    client: ClientEnds<'a>,
    room: &'a mut S,
    /// From the client to the room's relay.
    up: Way,
    /// From there to the client.
    down: Way,
    /// What ended first, and why.
    end: Option<TunnelEnd>,
    /// When both are cut.
    until: Option<Instant>,
    /// Whether the outbox may have something that goes first.
    has_waiting: bool,
    /// Since when the client's socket has taken nothing although there is something for it.
    stalled_since: Option<Instant>,
    /// What [`Sink::taken_below`] was when the client was last seen to read.
    taken_below: u64,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Copying<'_, S> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<TunnelEnd> {
        loop {
            let mut buffer = buffer::take();
            if buffer.len() < READ_BYTES {
                buffer.resize(READ_BYTES, 0);
            }
            self.copy_what_is_there(cx, &mut buffer);
            buffer::put_back(buffer);
            if self.is_over() {
                return Poll::Ready(self.end.take().unwrap_or(TunnelEnd::Client));
            }
            if self.client.outbox.close_request().is_some() {
                return Poll::Ready(TunnelEnd::Silent);
            }
            let now = Instant::now();
            let patience = self.stalled_since.map(|since| since + DOOR_STALL);
            if self.until.is_some_and(|until| now >= until) {
                return Poll::Ready(self.end.take().unwrap_or(TunnelEnd::Client));
            }
            if patience.is_some_and(|until| now >= until) {
                return Poll::Ready(TunnelEnd::Slow);
            }
            let Some(next) = self.until.into_iter().chain(patience.map(|until| until.min(now + DOOR_RETRY))).min()
            else {
                self.alarm = None;
                return Poll::Pending;
            };
            let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(next)));
            if next < alarm.deadline() || alarm.is_elapsed() {
                alarm.as_mut().reset(next);
            }
            ready!(alarm.as_mut().poll(cx));
        }
    }

    /// Whether nothing is left to do.
    fn is_over(&self) -> bool {
        let has_delivered = |way: &Way| way.held.is_empty() && !way.is_unflushed;
        match (self.up.stage, self.down.stage) {
            (Stage::Cut, _) => has_delivered(&self.up),
            (_, Stage::Cut) => has_delivered(&self.down),
            (up, down) if cfg!(signaling_relay_fault = "last_bytes") => up == Stage::Done || down == Stage::Done,
            (up, down) => up == Stage::Done && down == Stage::Done,
        }
    }

    /// Copies in both directions until both wait.
    fn copy_what_is_there(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) {
        for _ in 0..DOOR_TURNS {
            let up = self.poll_up(cx, buffer);
            let down = self.poll_down(cx, buffer);
            if (up.is_pending() && down.is_pending()) || self.is_over() {
                return;
            }
        }
        cx.waker().wake_by_ref();
    }

    /// Goes one step on from the client to the room's relay; pending when there is none now.
    fn poll_up(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<()> {
        while !self.up.held.is_empty() {
            match ready!(Pin::new(&mut *self.room).poll_write(cx, &self.up.held)) {
                Ok(bytes @ 1..) => self.up.took(bytes),
                Ok(0) => self.room_takes_no_more(io::ErrorKind::WriteZero.into()),
                Err(error) => self.room_takes_no_more(error),
            }
        }
        if self.up.is_unflushed {
            match ready!(Pin::new(&mut *self.room).poll_flush(cx)) {
                Ok(()) => self.up.is_unflushed = false,
                Err(error) => self.room_takes_no_more(error),
            }
        }
        match self.up.stage {
            Stage::Done | Stage::Cut => return Poll::Pending,
            Stage::Ended => {
                // If that fails, it hears of it by the end of the connection.
                let _ = ready!(Pin::new(&mut *self.room).poll_shutdown(cx));
                self.up.stage = Stage::Done;
                return Poll::Ready(());
            }
            Stage::Open | Stage::Dropping => {}
        }
        let mut room = ReadBuf::new(buffer);
        match ready!(Pin::new(&mut *self.client.reader).poll_read(cx, &mut room)) {
            Err(error) => self.client_is_lost(error),
            Ok(()) if room.filled().is_empty() => {
                let stage = if self.up.stage == Stage::Open { Stage::Ended } else { Stage::Done };
                self.up.stage = stage;
                self.begin_to_end(TunnelEnd::Client);
            }
            Ok(()) if self.up.stage == Stage::Open => {
                self.up.is_unflushed = true;
                let read = room.filled();
                let taken = match Pin::new(&mut *self.room).poll_write(cx, read) {
                    Poll::Ready(Ok(bytes)) => bytes,
                    // What is wrong shows at the next step.
                    Poll::Ready(Err(_)) | Poll::Pending => 0,
                };
                self.up.held.extend_from_slice(read.get(taken..).unwrap_or_default());
            }
            Ok(()) => {}
        }
        Poll::Ready(())
    }

    /// Goes one step on from the room's relay to the client; pending when there is none now.
    fn poll_down(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<()> {
        if self.has_waiting {
            match ready!(self.notes_stall(self.client.outbox.poll_flush(cx))) {
                Ok(()) => self.has_waiting = false,
                Err(error) => self.client_is_lost(error),
            }
        }
        while !self.down.held.is_empty() {
            let written = self.client.sink.poll_write(cx, &[IoSlice::new(&self.down.held)]);
            match ready!(self.notes_stall(written)) {
                Ok(bytes @ 1..) => self.down.took(bytes),
                Ok(0) => self.client_is_lost(io::ErrorKind::WriteZero.into()),
                Err(error) => self.client_is_lost(error),
            }
        }
        if self.down.is_unflushed {
            let flushed = self.client.sink.poll_flush(cx);
            match ready!(self.notes_stall(flushed)) {
                Ok(()) => self.down.is_unflushed = false,
                Err(error) => self.client_is_lost(error),
            }
        }
        match self.down.stage {
            Stage::Done | Stage::Cut | Stage::Dropping => return Poll::Pending,
            Stage::Ended => {
                // If that fails, the client is gone, which its other end shows.
                let _ = ready!(self.client.sink.poll_shutdown(cx));
                self.down.stage = Stage::Done;
                return Poll::Ready(());
            }
            Stage::Open => {}
        }
        let mut room = ReadBuf::new(buffer);
        match ready!(Pin::new(&mut *self.room).poll_read(cx, &mut room)) {
            Err(error) => {
                self.down.stage = Stage::Cut;
                self.begin_to_end(TunnelEnd::RoomLost(error));
            }
            Ok(()) if room.filled().is_empty() => {
                self.down.stage = Stage::Ended;
                self.begin_to_end(TunnelEnd::Room);
            }
            Ok(()) => {
                self.down.is_unflushed = true;
                let read = room.filled();
                let taken = match self.client.sink.poll_write(cx, &[IoSlice::new(read)]) {
                    Poll::Ready(Ok(bytes)) => bytes,
                    // What is wrong shows at the next step.
                    Poll::Ready(Err(_)) | Poll::Pending => 0,
                };
                self.down.held.extend_from_slice(read.get(taken..).unwrap_or_default());
            }
        }
        Poll::Ready(())
    }

    /// Takes note of whether the client's socket took something; returns what became of it.
    fn notes_stall<T>(&mut self, outcome: Poll<T>) -> Poll<T> {
        let taken_below = self.client.sink.taken_below();
        if outcome.is_ready() || taken_below != self.taken_below {
            (self.taken_below, self.stalled_since) = (taken_below, None);
        }
        if outcome.is_pending() {
            self.stalled_since.get_or_insert_with(Instant::now);
        }
        outcome
    }

    /// What it has sent may still be read.
    fn room_takes_no_more(&mut self, error: io::Error) {
        let stage = if self.up.stage == Stage::Cut { Stage::Cut } else { Stage::Dropping };
        self.up = Way { held: Vec::new(), is_unflushed: false, stage };
        self.begin_to_end(TunnelEnd::RoomLost(error));
    }

    /// What it has sent may still be delivered.
    fn client_is_lost(&mut self, error: io::Error) {
        if self.up.stage != Stage::Done {
            self.up.stage = Stage::Cut;
        }
        (self.has_waiting, self.stalled_since) = (false, None);
        self.down = Way { held: Vec::new(), is_unflushed: false, stage: Stage::Done };
        self.begin_to_end(TunnelEnd::ClientLost(error));
    }

    fn begin_to_end(&mut self, end: TunnelEnd) {
        self.end.get_or_insert(end);
        self.until.get_or_insert_with(|| Instant::now() + CLOSE_DEADLINE);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, duplex, split};
    use tokio::task::JoinHandle;
    use tokio::time::{advance, sleep};

    use super::*;
    use crate::ws::{Opaque, Transport};

    const PIPE: usize = 1024;

    /// A client, the relay of its room, and the tunnel between the two.
    struct Between {
        client: DuplexStream,
        room: DuplexStream,
        tunnel: JoinHandle<TunnelEnd>,
    }

    fn between(to_room: &[u8], to_client: &[u8]) -> Between {
        let ((client, near), (room, mut far)) = (duplex(PIPE), duplex(PIPE));
        let (to_room, to_client) = (to_room.to_vec(), to_client.to_vec());
        let tunnel = tokio::spawn(async move {
            let (mut reader, sink) = Opaque(near).into_halves();
            let outbox = Outbox::new(0);
            let client = ClientEnds { reader: &mut *reader, sink: &*sink, outbox: &outbox };
            // What waits in the outbox needs its sink, which has nothing to write.
            outbox.connect(Box::new(Nothing));
            copy(client, &mut far, to_room, to_client).await
        });
        Between { client, room, tunnel }
    }

    /// The sink of an outbox in which nothing waits.
    struct Nothing;

    impl Sink for Nothing {
        fn poll_write(&self, _: &mut Context<'_>, _: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
            Poll::Pending
        }

        fn poll_flush(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn is_direct(&self) -> bool {
            false
        }
    }

    async fn heard<const N: usize>(stream: &mut DuplexStream) -> [u8; N] {
        let mut bytes = [0; N];
        stream.read_exact(&mut bytes).await.unwrap();
        bytes
    }

    async fn all(stream: &mut DuplexStream) -> Vec<u8> {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        bytes
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_held_goes_first_and_then_all_in_its_order_both_ways() {
        let Between { mut client, mut room, tunnel } = between(b"join", b"101");
        client.write_all(b" and more").await.unwrap();
        room.write_all(b" joined").await.unwrap();
        assert_eq!(&heard::<13>(&mut room).await, b"join and more");
        assert_eq!(&heard::<10>(&mut client).await, b"101 joined");
        let much: Vec<u8> = (0..100_000_u32).flat_map(u32::to_be_bytes).collect();
        let (mut client_reads, mut client_writes): (ReadHalf<_>, WriteHalf<_>) = split(client);
        let (mut room_reads, mut room_writes): (ReadHalf<_>, WriteHalf<_>) = split(room);
        let (mut up, mut down) = (vec![0; much.len()], vec![0; much.len()]);
        let (one, other, third, fourth) = tokio::join!(
            client_writes.write_all(&much),
            room_writes.write_all(&much),
            room_reads.read_exact(&mut up),
            client_reads.read_exact(&mut down)
        );
        one.and(other).unwrap();
        third.and(fourth).unwrap();
        assert!(up == much && down == much);
        assert!(!tunnel.is_finished());
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_is_passed_on_after_what_is_still_held() {
        let Between { mut client, mut room, tunnel } = between(b"", b"");
        let last = vec![b'x'; 3 * PIPE];
        room.write_all(&last[..PIPE]).await.unwrap();
        sleep(Duration::from_millis(1)).await;
        room.write_all(&last[..PIPE]).await.unwrap();
        sleep(Duration::from_millis(1)).await;
        room.write_all(&last[..PIPE]).await.unwrap();
        room.shutdown().await.unwrap();
        assert_eq!(all(&mut client).await, last, "the client hears all and then the end");
        client.write_all(b"a close frame").await.unwrap();
        client.shutdown().await.unwrap();
        assert_eq!(all(&mut room).await, b"a close frame", "and so does the relay of its room");
        assert!(matches!(tunnel.await.unwrap(), TunnelEnd::Room));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_ends_its_half_still_hears_what_comes() {
        let Between { mut client, mut room, tunnel } = between(b"", b"");
        client.write_all(b"bye").await.unwrap();
        client.shutdown().await.unwrap();
        assert_eq!(all(&mut room).await, b"bye");
        room.write_all(b"bye bye").await.unwrap();
        drop(room);
        assert_eq!(all(&mut client).await, b"bye bye");
        assert!(matches!(tunnel.await.unwrap(), TunnelEnd::Client));
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_take_part_in_the_end_is_cut_in_time() {
        for ends_first in ["client", "room"] {
            let Between { client, room, tunnel } = between(b"", b"");
            let begun = Instant::now();
            let (mut ends, stays) = if ends_first == "client" { (client, room) } else { (room, client) };
            ends.shutdown().await.unwrap();
            tunnel.await.unwrap();
            let took = begun.elapsed();
            assert!((CLOSE_DEADLINE..CLOSE_DEADLINE + Duration::from_millis(10)).contains(&took), "{took:?}");
            drop(stays);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_cut_and_one_that_takes_a_little_now_and_then_is_not() {
        let Between { mut client, mut room, tunnel } = between(b"", b"");
        let flood = tokio::spawn(async move { while room.write_all(&[b'x'; 16]).await.is_ok() {} });
        for _ in 0..20 {
            advance(DOOR_STALL - Duration::from_millis(100)).await;
            heard::<1>(&mut client).await;
            assert!(!tunnel.is_finished());
        }
        let begun = Instant::now();
        assert!(matches!(tunnel.await.unwrap(), TunnelEnd::Slow));
        let took = begun.elapsed();
        assert!((DOOR_STALL - DOOR_RETRY..DOOR_STALL + DOOR_RETRY).contains(&took), "{took:?}");
        flood.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_not_read_is_not_written_to_for_ever() {
        let Between { client, mut room, .. } = between(b"", b"");
        let mut taken = 0;
        while tokio::time::timeout(Duration::from_millis(10), room.write_all(&[0; 64])).await.is_ok() {
            taken += 64;
        }
        assert!(taken <= 2 * PIPE + READ_BYTES, "{taken} bytes");
        drop(client);
    }
}
