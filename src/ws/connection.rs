//! One WebSocket: reader, writer, heartbeat and close, in one task; independent of what the messages mean.
//!
//! Reading and writing go on side by side, so that a peer that sends without reading is still heard. Whatever ends first
//! ends the connection, at the one place where the session leaves its room and the closing handshake is made.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::pin;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig, frame::coding::CloseCode};
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use crate::drain::{Shutdown, ShutdownSignal};
use crate::limits;
use crate::peer::outbox::Outbox;
use crate::peer::session::Session;
use crate::protocol::{LeaveReason, RelayMessage};

/// The settings of a WebSocket that takes messages of at most `max_message_bytes`.
pub fn websocket_config(max_message_bytes: usize) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(limits::READ_BUFFER_BYTES)
        .write_buffer_size(limits::WRITE_BUFFER_BYTES)
        // One message at a time is written until the socket blocks, and what the relay adds to one is small.
        .max_write_buffer_size(limits::WRITE_BUFFER_BYTES + 4 * max_message_bytes.max(limits::OUTBOX_BYTES))
        .max_message_size(Some(max_message_bytes))
        .max_frame_size(Some(max_message_bytes))
}

/// Why a connection ended.
#[derive(Debug)]
pub enum End {
    /// The peer closed it; its close frame, if it sent one.
    Closed(Option<CloseFrame>),
    /// The network ended it.
    Lost(WsError),
    /// The peer's frames break RFC 6455.
    BadFrame(WsError),
    /// The peer gave no sign of life.
    Timeout,
    /// The peer did not read, or too slowly.
    Slow,
    /// The peer joined no room in time.
    NoJoin,
    /// The room of `?room=` does not take the peer; whether it is full.
    Refused {
        /// The room has as many members as it takes.
        full: bool,
    },
    /// The peer sent a binary message.
    Binary,
    /// The peer sent a text that is not UTF-8.
    BadUtf8,
    /// The peer sent a message that is too large.
    TooLarge,
    /// The peer sent too much at once, and went on.
    Flood,
    /// The relay is going away.
    Shutdown(Shutdown),
}

impl End {
    /// What the others in the room are told.
    fn leave_reason(&self) -> LeaveReason {
        match self {
            Self::Closed(_) | Self::Lost(_) => LeaveReason::Closed,
            Self::Timeout => LeaveReason::Timeout,
            Self::Slow => LeaveReason::Slow,
            Self::Shutdown(_) => LeaveReason::Shutdown,
            Self::BadFrame(_)
            | Self::NoJoin
            | Self::Refused { .. }
            | Self::Binary
            | Self::BadUtf8
            | Self::TooLarge
            | Self::Flood => LeaveReason::Policy,
        }
    }

    /// What the peer is told, where there is still somebody to tell.
    fn close_frame(&self) -> Option<CloseFrame> {
        let (code, reason) = match self {
            Self::Closed(_) | Self::Lost(_) => return None,
            Self::BadFrame(_) => (CloseCode::Protocol, "the frames break RFC 6455"),
            Self::Timeout => (CloseCode::Policy, "no sign of life"),
            Self::Slow => (CloseCode::Again, "too slow to read"),
            Self::NoJoin => (CloseCode::Policy, "no join in time"),
            Self::Refused { full: true } => (CloseCode::Again, "the room is full"),
            Self::Refused { full: false } => (CloseCode::Policy, "the join was refused"),
            Self::Binary => (CloseCode::Unsupported, "binary messages are not understood"),
            Self::BadUtf8 => (CloseCode::Invalid, "a text was not UTF-8"),
            Self::TooLarge => (CloseCode::Size, "a message was too large"),
            Self::Flood => (CloseCode::Policy, "too many messages"),
            Self::Shutdown(Shutdown::Restart) => (CloseCode::Restart, "the relay restarts"),
            Self::Shutdown(Shutdown::ForGood) => (CloseCode::Away, "the relay goes away"),
        };
        Some(CloseFrame { code, reason: reason.into() })
    }

    fn of_error(error: WsError) -> Self {
        match error {
            WsError::Capacity(_) => Self::TooLarge,
            WsError::Utf8(_) => Self::BadUtf8,
            WsError::Protocol(tokio_tungstenite::tungstenite::error::ProtocolError::ResetWithoutClosingHandshake)
            | WsError::Io(_)
            | WsError::ConnectionClosed
            | WsError::AlreadyClosed => Self::Lost(error),
            error => Self::BadFrame(error),
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(None) => f.write_str("closed by the peer"),
            // What the peer wrote is escaped: it must not forge a line of the log.
            Self::Closed(Some(frame)) if frame.reason.is_empty() => {
                write!(f, "closed by the peer ({})", u16::from(frame.code))
            }
            Self::Closed(Some(frame)) => {
                write!(f, "closed by the peer ({}: {:?})", u16::from(frame.code), frame.reason.as_str())
            }
            Self::Lost(WsError::Protocol(_)) => f.write_str("lost: hung up without a closing handshake"),
            Self::Lost(error) => write!(f, "lost: {error}"),
            Self::BadFrame(error) => write!(f, "bad frame: {error}"),
            Self::Timeout => f.write_str("no sign of life"),
            Self::Slow => f.write_str("too slow to read"),
            Self::NoJoin => f.write_str("no join in time"),
            Self::Refused { full: true } => f.write_str("refused: the room is full"),
            Self::Refused { full: false } => f.write_str("refused: the join was not valid"),
            Self::Binary => f.write_str("a binary message"),
            Self::BadUtf8 => f.write_str("a text that is not UTF-8"),
            Self::TooLarge => f.write_str("a message too large"),
            Self::Flood => f.write_str("too many messages"),
            Self::Shutdown(_) => f.write_str("the relay shuts down"),
        }
    }
}

/// Serves `session` over `socket` until one of them ends, or the relay does.
pub async fn run<S>(socket: WebSocketStream<S>, session: &mut Session, mut shutdown: ShutdownSignal) -> End
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let outbox = session.outbox().clone();
    let (mut sink, mut stream) = socket.split();
    let end = tokio::select! {
        end = read(&mut stream, session) => end,
        end = write(&mut sink, &outbox) => end,
        () = outbox.overflowed() => End::Slow,
        shutdown = shutdown.wait() => End::Shutdown(shutdown),
    };
    session.leave(end.leave_reason());
    close(sink, stream, &outbox, &end).await;
    end
}

/// Tells a peer why it was not let in, and closes its connection.
pub async fn refuse<S>(socket: WebSocketStream<S>, outbox: &Outbox, full: bool) -> End
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (sink, stream) = socket.split();
    let end = End::Refused { full };
    close(sink, stream, outbox, &end).await;
    end
}

/// Hands each message to the session; watches for signs of life, which are whole messages and pongs, never mere bytes.
async fn read<S>(stream: &mut SplitStream<WebSocketStream<S>>, session: &mut Session) -> End
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut heard = Instant::now();
    let mut pinged: Option<Instant> = None;
    let mut join_deadline = pin!(sleep(limits::JOIN_DEADLINE));
    let mut heartbeat = pin!(sleep(limits::PING_INTERVAL));
    loop {
        tokio::select! {
            biased;
            message = stream.next() => {
                heard = Instant::now();
                let kept_to_the_rate = match message {
                    Some(Ok(Message::Text(text))) => session.receive(&text, heard),
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => session.receive_control(heard),
                    Some(Ok(Message::Close(frame))) => return End::Closed(frame),
                    Some(Ok(Message::Binary(_) | Message::Frame(_))) => return End::Binary,
                    Some(Err(error)) => return End::of_error(error),
                    None => return End::Closed(None),
                };
                if kept_to_the_rate.is_err() {
                    return End::Flood;
                }
            }
            () = &mut join_deadline, if session.place().is_none() => return End::NoJoin,
            // The deadline counts from the ping, not from the last sign of life: a relay that was stopped for a minute
            // must ask before it gives everybody up.
            () = &mut heartbeat => match pinged {
                Some(pinged) if heard < pinged => return End::Timeout,
                _ if heard.elapsed() < limits::PING_INTERVAL => {
                    pinged = None;
                    heartbeat.set(sleep_until(heard + limits::PING_INTERVAL));
                }
                _ => {
                    session.outbox().ping();
                    pinged = Some(Instant::now());
                    heartbeat.set(sleep(limits::PONG_DEADLINE));
                }
            },
        }
    }
}

/// Sends what the outbox holds, as it comes.
async fn write<S>(sink: &mut SplitSink<WebSocketStream<S>, Message>, outbox: &Outbox) -> End
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        outbox.filled().await;
        if let Err(end) = send_queued(sink, outbox).await {
            return end;
        }
    }
}

/// Gathers all that the outbox holds into as few writes as possible. Stopping it half-way loses nothing: a message leaves
/// the outbox only when the sink has room for it.
async fn send_queued<S>(sink: &mut SplitSink<WebSocketStream<S>, Message>, outbox: &Outbox) -> Result<(), End>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    loop {
        in_time(poll_fn(|context| sink.poll_ready_unpin(context))).await?;
        let Some(message) = outbox.pop() else { break };
        sink.start_send_unpin(message).map_err(End::of_error)?;
    }
    in_time(sink.flush()).await
}

async fn in_time(write: impl Future<Output = Result<(), WsError>>) -> Result<(), End> {
    match timeout(limits::WRITE_DEADLINE, write).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(End::of_error(error)),
        Err(_) => Err(End::Slow),
    }
}

/// Makes the closing handshake (RFC 6455 section 7), as far as the peer takes part in time.
async fn close<S>(
    mut sink: SplitSink<WebSocketStream<S>, Message>,
    stream: SplitStream<WebSocketStream<S>>,
    outbox: &Outbox,
    end: &End,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if matches!(end, End::Lost(_)) {
        return;
    }
    if matches!(end, End::Shutdown(Shutdown::Restart)) {
        outbox.push(RelayMessage::Goaway { retry_after_ms: retry_after_ms() }.encode());
    }
    let farewell = async {
        if let Some(frame) = end.close_frame() {
            send_queued(&mut sink, outbox).await?;
            sink.start_send_unpin(Message::Close(Some(frame))).map_err(End::of_error)?;
        }
        in_time(sink.flush()).await
    };
    if !matches!(timeout(limits::CLOSE_DEADLINE, farewell).await, Ok(Ok(()))) {
        return;
    }
    if let Ok(mut socket) = sink.reunite(stream) {
        lingering_close(socket.get_mut()).await;
    }
}

/// Ends a stream so that the peer gets to read what was sent last. Bytes that arrive at a closed socket make the kernel
/// answer with a reset, which may overtake them: so say that no more comes, and read until the peer has no more to say.
pub async fn lingering_close<S>(stream: &mut S)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let drained = async {
        stream.shutdown().await?;
        let mut rest = [0; 1024];
        while stream.read(&mut rest).await? > 0 {}
        io::Result::Ok(())
    };
    // Whether the peer hung up in time makes no difference: the stream goes now.
    let _ = timeout(limits::CLOSE_DEADLINE, drained).await;
}

/// A different wait for each peer, so that they do not all come back at once.
fn retry_after_ms() -> u64 {
    let (min, max) = (limits::RETRY_AFTER_MIN.as_millis() as u64, limits::RETRY_AFTER_MAX.as_millis() as u64);
    // Without randomness everybody waits as long as it may take.
    getrandom::u64().map_or(max, |random| min + random % (max - min + 1))
}
