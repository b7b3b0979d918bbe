//! Serves a stream: HTTP requests first, then a WebSocket if one of them upgrades the stream.

#[cfg(feature = "cluster")]
use std::future::poll_fn;
#[cfg(feature = "cluster")]
use std::pin::Pin;
use std::sync::Arc;
#[cfg(feature = "cluster")]
use std::task::Poll;

#[cfg(feature = "cluster")]
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::timeout;
use tracing::field::display;
use tracing::info;

#[cfg(feature = "cluster")]
use crate::cluster::tunnel::ClientEnds;
use crate::drain::Registration;
use crate::http::over_limit;
use crate::http::proxy::{Client, is_trusted};
use crate::http::service::{self, Upgraded};
use crate::http::upgrade::{Own, Speaker, Upgrade};
use crate::limits;
use crate::net::accept::Accept;
use crate::net::info::ConnectionInfo;
use crate::outbox::CloseRequest;
use crate::peer::{Client as Spoken, Handover, Session};
use crate::quota::{Admission, RefusalPermit};
use crate::relay::Relay;
use crate::room::ErrorCode;
#[cfg(feature = "cluster")]
use crate::room::LeaveReason;
use crate::ws::{Connection, Disconnect, Transport};

impl Relay {
    /// Serves one stream: HTTP requests, and a WebSocket after an upgrade. Wrap a stream of your own type (your own
    /// TLS, a tunnel) in [`Opaque`](crate::Opaque). If this future is dropped, the client leaves its room: its place is
    /// held only when the stream itself ends.
    pub async fn serve_stream<S: Transport>(self: &Arc<Self>, stream: S, connection: impl Into<ConnectionInfo>) {
        self.hub().drain.serve(self.admit_and_serve(stream, connection.into())).await;
    }

    /// Serves the connections of a listener of your own, until the relay shuts down.
    pub async fn serve<L>(self: &Arc<Self>, mut listener: L)
    where
        L: Accept<Io: Transport>,
    {
        loop {
            let (stream, connection) = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = self.hub().drain.wait() => return,
            };
            let relay = Arc::clone(self);
            self.hub().drain.spawn(async move { relay.admit_and_serve(stream, connection).await });
        }
    }

    /// As [`serve_stream`](Self::serve_stream), in a task that is registered with the drain already.
    async fn admit_and_serve<S: Transport>(self: &Arc<Self>, stream: S, connection: ConnectionInfo) {
        match self.site.admit(connection) {
            Ok(admission) => Arc::clone(self).serve_transport(stream, connection, admission).await,
            Err(Some(refusal)) => self.refuse(stream, connection, refusal).await,
            Err(None) => {}
        }
    }

    /// Serves a stream that is admitted, in a task that is registered with the drain already.
    pub(crate) fn serve_transport<S: Transport>(
        self: Arc<Self>,
        stream: S,
        connection: ConnectionInfo,
        admission: Arc<Admission>,
    ) -> impl Future<Output = ()> + Send {
        // Boxed, so that a WebSocket does not keep the memory that its requests needed; and made here rather than in the
        // future, so that this does not keep the stream and what belongs to it a second time.
        let requests = Box::pin(service::serve(stream, connection, admission, Arc::clone(&self.site)));
        async move {
            let mut opened = match requests.await {
                Some(Upgraded { stream, read, upgrade }) => self.open_websocket(stream, &read, upgrade),
                None => return,
            };
            match &mut opened {
                Opened::Own(websocket) => websocket.serve(&self).await,
                #[cfg(feature = "wires")]
                Opened::Other(websocket) => websocket.serve(&self).await,
            }
        }
    }

    /// Tells a connection why it is refused.
    pub(crate) async fn refuse<S: Transport>(&self, stream: S, connection: ConnectionInfo, refusal: RefusalPermit) {
        let is_trusted = is_trusted(connection.ip(), &self.site.trusted_proxies);
        Box::pin(over_limit::serve(stream, is_trusted, refusal.over)).await;
    }

    /// Makes a WebSocket of `stream`, from which `read` has been read already.
    pub(crate) fn open_websocket(&self, stream: impl Transport, read: &[u8], upgrade: Upgrade) -> Opened {
        let Upgrade { client, admission, registration, speaker } = upgrade;
        let max_message_bytes = self.hub().max_message_bytes;
        let mut websocket = WebSocket {
            connection: Connection::new(stream, read, speaker.outbox(), max_message_bytes),
            client: (),
            registration: Some(registration),
            admission,
            whence: Whence::of(&client),
            refused: None,
            is_misled: false,
        };
        match speaker {
            Speaker::Own(Own { session, refused, is_misled }) => {
                (websocket.refused, websocket.is_misled) = (refused, is_misled);
                Opened::Own(websocket.of(session))
            }
            #[cfg(feature = "wires")]
            Speaker::Other(client) => Opened::Other(websocket.of(client)),
        }
    }
}

/// The WebSocket of an upgrade, on the wire that its path names.
pub(crate) enum Opened {
    /// On the relay's own wire.
    Own(WebSocket<Session>),
    /// On the wire of another library.
    #[cfg(feature = "wires")]
    Other(WebSocket<Box<dyn Spoken>>),
}

// One on another wire takes the same memory; one on the relay's own takes no more for that.
#[cfg(feature = "wires")]
const _: () = assert!(size_of::<Opened>() == size_of::<WebSocket<Session>>());

/// The time after which a client is to come back, if it is to: random, so that not all reconnect at once.
fn retry_after_ms(end: &Disconnect) -> Option<u64> {
    if !matches!(end, Disconnect::Told(CloseRequest::Restart | CloseRequest::RoomMoved)) {
        return None;
    }
    let (min, max) = (limits::RETRY_AFTER_MIN.as_millis() as u64, limits::RETRY_AFTER_MAX.as_millis() as u64);
    // Without randomness, the longest delay.
    Some(getrandom::u64().map_or(max, |random| min + random % (max - min + 1)))
}

/// One WebSocket of a relay: its connection, its client, and its registration.
pub(crate) struct WebSocket<C> {
    connection: Connection,
    client: C,
    /// None once another relay serves the client: then it is not told when this one shuts down.
    registration: Option<Registration>,
    /// What the client counts as.
    admission: Arc<Admission>,
    /// Whence the client came, for the log.
    whence: Whence,
    /// Why the client cannot join the room of its URL, if that is so.
    refused: Option<ErrorCode>,
    /// Whether its URL asks to join a room and cannot.
    is_misled: bool,
}

impl<C> WebSocket<C> {
    /// The same for this client.
    fn of<D>(self, client: D) -> WebSocket<D> {
        let Self { connection, client: _, registration, admission, whence, refused, is_misled } = self;
        WebSocket { connection, client, registration, admission, whence, refused, is_misled }
    }
}

impl<C: Spoken> WebSocket<C> {
    /// Serves it until it ends. Logs one line when it begins and one when it ends.
    pub(crate) async fn serve(&mut self, relay: &Relay) {
        self.client.metrics().websockets.add(1);
        if self.admission.may_log() {
            let (connection, address, via) = (self.number(), self.whence.address(), self.whence.via());
            info!(connection, %address, via = via.map(display), wire = self.client.wire(), "connected");
        }
        let end = match self.refused {
            Some(code) => Disconnect::Refused { retryable: code.is_retryable() },
            None if self.client.is_handed_over() => Disconnect::HandedOver,
            None => self.run().await,
        };
        if let Some(handover) = self.client.take_handover() {
            return Box::pin(self.go_on_elsewhere(relay, *handover)).await;
        }
        // Boxed, so that an open connection does not reserve the memory that closing needs.
        Box::pin(self.close(end)).await;
    }

    async fn run(&mut self) -> Disconnect {
        if self.is_misled {
            // Boxed, so that an open connection does not reserve the memory for this. Dropping it loses nothing.
            let first = Box::pin(timeout(limits::MISLED_PATIENCE, self.connection.run(&mut self.client)));
            if let Ok(end) = first.await {
                return end;
            }
            if self.client.must_join() {
                self.client.remind_to_join();
            }
        }
        self.connection.run(&mut self.client).await
    }

    /// Leaves the room at once, unless its place is held, and then performs the closing handshake.
    async fn close(&mut self, end: Disconnect) {
        self.client.metrics().closes.add(end.kind());
        self.client.end(end.leave_reason(), end.lost_since(), &end.to_string());
        let (number, place) = (self.number(), self.client.place());
        if self.client.hangs_up() && matches!(end, Disconnect::Told(_)) {
            self.connection.hang_up().await;
        } else {
            let goaway = retry_after_ms(&end).and_then(|after| self.client.goaway(after));
            self.connection.close(&end, goaway).await;
        }
        let (address, via) = (self.whence.address(), self.whence.via().map(display));
        if self.admission.may_log() {
            let (after_s, messages) = (self.age_s(), self.client.messages());
            info!(connection = number, %address, via, %place, after_s, messages, why = %end, "disconnected");
        }
    }

    /// Copies between the client and the relay on which its room lives, until that ends.
    #[cfg(feature = "cluster")]
    async fn go_on_elsewhere(&mut self, relay: &Relay, handover: Handover) {
        let Handover { mut tunnel, mut first, response, is_resume } = handover;
        debug_assert!(response.is_none(), "its head shares a buffer of 8 KiB, which a tunnel would keep");
        let outbox = Arc::clone(self.client.outbox());
        let (reader, mut rest) = self.connection.hand_over();
        if is_resume && has_gone(reader, &mut rest).await {
            return self.close(Disconnect::HungUp).await;
        }
        self.registration = None;
        let (number, address, room_at) = (self.number(), self.whence.address(), tunnel.at());
        if self.admission.may_log() {
            info!(connection = number, %address, %room_at, "handed over");
        }
        let (reader, _) = self.connection.hand_over();
        first.extend(rest);
        let Some(sink) = outbox.sink() else { return };
        let end = tunnel.run(ClientEnds { reader, sink, outbox: &outbox }, first, &relay.hub().drain).await;
        outbox.discard();
        self.client.end(LeaveReason::Closed, None, &end.to_string());
        let (address, via) = (self.whence.address(), self.whence.via().map(display));
        if self.admission.may_log() {
            info!(connection = number, %address, via, %room_at, after_s = self.age_s(), why = %end, "disconnected");
        }
    }

    #[cfg(not(feature = "cluster"))]
    async fn go_on_elsewhere(&mut self, _: &Relay, handover: Handover) {
        match *handover.tunnel {}
    }

    fn number(&self) -> u64 {
        self.client.outbox().id().number()
    }

    /// For how many seconds it has been open.
    fn age_s(&self) -> u64 {
        self.client.outbox().opened().elapsed().as_secs()
    }
}

/// Whether the client has closed its connection already; what else it has sent is added to `rest`. A relay that stood still
/// finds a `resume` and the end of its connection at the same time, and by then another connection may have the place, which
/// is not to lose it to one that nobody waits for.
#[cfg(feature = "cluster")]
async fn has_gone(reader: &mut (dyn AsyncRead + Send + Unpin), rest: &mut Vec<u8>) -> bool {
    /// How a close frame begins (RFC 6455 section 5.2).
    const CLOSE: u8 = 0x88;
    if rest.is_empty() {
        let mut bytes = vec![0; limits::READ_BYTES];
        let mut read = ReadBuf::new(&mut bytes);
        match poll_fn(|cx| Poll::Ready(Pin::new(&mut *reader).poll_read(cx, &mut read))).await {
            Poll::Pending => return false,
            Poll::Ready(Ok(())) if !read.filled().is_empty() => rest.extend_from_slice(read.filled()),
            Poll::Ready(_) => return true,
        }
    }
    rest.first() == Some(&CLOSE)
}

/// Whence a client came, as one text, since each open connection has one: its address, and the relay by which it came, if it
/// came by one.
struct Whence(Box<str>);

impl Whence {
    /// What is between the two. No address has it; and it is found faster than a word.
    const VIA: char = ' ';

    fn of(client: &Client) -> Self {
        let via = client.connection.address.filter(|_| client.connection.is_door());
        Self(via.map_or_else(|| client.to_string(), |via| format!("{client}{}{via}", Self::VIA)).into())
    }

    fn address(&self) -> &str {
        self.0.split_once(Self::VIA).map_or(&self.0, |(address, _)| address)
    }

    fn via(&self) -> Option<&str> {
        self.0.split_once(Self::VIA).map(|(_, via)| via)
    }
}
