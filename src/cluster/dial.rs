//! Reaches other relays. To dial may be repeated as often as it takes: nothing is handed over by that.
//!
//! However many clients wait for one that is dead, it is dialled once at a time: while nobody knows whether a relay answers,
//! one of them dials, and the others share the outcome.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use dashmap::DashMap;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls;

use super::identity::{Identity, name};
use super::relays::{Neighbour, ProcessId};
use crate::limits::{DIAL_DEADLINE, DIALS_AT_ONCE, DOOR_BUFFER_BYTES, LANES, PROVEN_FOR, TLS_BUFFER_BYTES};
use crate::net::accept::set_options;

/// A connection to another relay, which is known to be the right one.
pub(crate) type RelayStream = TlsStream<TcpStream>;

/// Dials other relays.
pub(crate) struct Dialer {
    tls: TlsConnector,
    lanes: DashMap<ProcessId, Arc<Lane>>,
}

/// Why a relay cannot be reached. Nothing was handed over to it.
#[derive(Debug, Clone)]
pub(crate) struct Unreachable(Arc<io::Error>);

/// The way to one relay.
#[derive(Debug)]
struct Lane {
    /// The connections that may be made at a time.
    turns: Semaphore,
    /// Who may dial while nobody knows whether it answers.
    probe: Semaphore,
    state: Mutex<LaneState>,
}

#[derive(Debug, Default)]
struct LaneState {
    /// When it answered last, if it did not fail since.
    answered: Option<Instant>,
    /// When it failed last, and how.
    failed: Option<(Instant, Unreachable)>,
}

impl Dialer {
    /// Dials as `identity`.
    ///
    /// # Errors
    /// When the key cannot be used.
    pub(crate) fn new(identity: &Identity) -> Result<Self, rustls::Error> {
        Ok(Self { tls: TlsConnector::from(Arc::new(identity.client()?)), lanes: DashMap::new() })
    }

    /// Connects to `neighbour`, within [`DIAL_DEADLINE`] once it is this client's turn.
    ///
    /// # Errors
    /// When it cannot be reached, or another process has its address.
    pub(crate) async fn dial(&self, neighbour: &Neighbour) -> Result<RelayStream, Unreachable> {
        let (lane, began) = (self.lane(neighbour.process), Instant::now());
        if !lane.is_proven() {
            let _probe = lane.probe.acquire().await.map_err(|_| Unreachable::from(io::ErrorKind::Interrupted))?;
            if !lane.is_proven() {
                // Somebody else has dialled since.
                if let Some(failure) = lane.failure_since(began) {
                    return Err(failure);
                }
                return lane.note(self.connect(neighbour).await);
            }
        }
        let _turn = lane.turns.acquire().await.map_err(|_| Unreachable::from(io::ErrorKind::Interrupted))?;
        // It may have fallen silent while others had their turns.
        if let Some(failure) = lane.failure_since(began).filter(|_| !lane.is_proven()) {
            return Err(failure);
        }
        lane.note(self.connect(neighbour).await)
    }

    /// The same without waiting for a turn, for who has to know in time whether `neighbour` is alive: a thousand clients who wait
    /// for theirs must not make it look dead.
    ///
    /// # Errors
    /// When it cannot be reached, or another process has its address.
    pub(super) async fn dial_at_once(&self, neighbour: &Neighbour) -> Result<RelayStream, Unreachable> {
        self.lane(neighbour.process).note(self.connect(neighbour).await)
    }

    /// All turns at this process are taken for ever, and it is known to answer.
    #[cfg(test)]
    pub(super) fn occupy(&self, process: ProcessId) {
        let lane = self.lane(process);
        lane.state.lock().unwrap().answered = Some(Instant::now() + crate::limits::DIAL_DEADLINE * 100);
        lane.turns.try_acquire_many(DIALS_AT_ONCE as u32).unwrap().forget();
    }

    async fn connect(&self, neighbour: &Neighbour) -> Result<RelayStream, Unreachable> {
        let handshake = async || -> io::Result<RelayStream> {
            let stream = open(neighbour.address)?.connect(neighbour.address).await?;
            set_options(&stream)?;
            let name = name(neighbour.fingerprint).map_err(io::Error::other)?;
            let mut stream = self.tls.connect(name, stream).await?;
            stream.get_mut().1.set_buffer_limit(Some(TLS_BUFFER_BYTES));
            Ok(stream)
        };
        let dialled = timeout(DIAL_DEADLINE, handshake()).await;
        dialled.map_err(|_| Unreachable::from(io::ErrorKind::TimedOut))?.map_err(Unreachable::from)
    }

    fn lane(&self, process: ProcessId) -> Arc<Lane> {
        if self.lanes.len() > LANES {
            // Most of them are of processes that have ended.
            self.lanes.retain(|_, lane| Arc::strong_count(lane) > 1);
        }
        Arc::clone(&self.lanes.entry(process).or_default())
    }
}

impl fmt::Debug for Dialer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialer").field("lanes", &self.lanes.len()).finish_non_exhaustive()
    }
}

impl Default for Lane {
    fn default() -> Self {
        Self { turns: Semaphore::new(DIALS_AT_ONCE), probe: Semaphore::new(1), state: Mutex::default() }
    }
}

impl Lane {
    /// Whether it has answered a moment ago.
    fn is_proven(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.answered.is_some_and(|at| at.elapsed() < PROVEN_FOR)
    }

    fn failure_since(&self, began: Instant) -> Option<Unreachable> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, failure) = state.failed.as_ref().filter(|(at, _)| *at >= began)?;
        Some(failure.clone())
    }

    fn note(&self, dialled: Result<RelayStream, Unreachable>) -> Result<RelayStream, Unreachable> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match &dialled {
            Ok(_) => state.answered = Some(Instant::now()),
            Err(failure) => *state = LaneState { answered: None, failed: Some((Instant::now(), failure.clone())) },
        }
        dialled
    }
}

/// A socket for a connection to `address`. Its buffers are set before it connects: the window that it offers follows from
/// them.
fn open(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    set_buffers(&socket)?;
    socket.set_nonblocking(true)?;
    Ok(TcpSocket::from_std_stream(socket.into()))
}

/// Sets how much the kernel keeps of what goes between two relays.
pub(crate) fn set_buffers(socket: &Socket) -> io::Result<()> {
    socket.set_send_buffer_size(DOOR_BUFFER_BYTES)?;
    socket.set_recv_buffer_size(DOOR_BUFFER_BYTES)
}

/// Whether `error` says that the other side refused the handshake: in TLS 1.3 a client learns that with what it reads first,
/// and nothing that it sent was looked at.
pub(super) fn is_refused_handshake(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        // An error within an `io::Error` is not its source, but itself.
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let inner = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>());
        if matches!(inner.or(error.downcast_ref()), Some(rustls::Error::AlertReceived(_))) {
            return true;
        }
        cause = error.source();
    }
    false
}

impl From<io::ErrorKind> for Unreachable {
    fn from(kind: io::ErrorKind) -> Self {
        io::Error::from(kind).into()
    }
}

impl From<io::Error> for Unreachable {
    fn from(error: io::Error) -> Self {
        Self(Arc::new(error))
    }
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.kind() {
            io::ErrorKind::TimedOut => f.write_str("it does not answer"),
            _ => self.0.fmt(f),
        }
    }
}

impl Error for Unreachable {}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::super::relays::PROTOCOL;
    use super::*;

    #[tokio::test]
    async fn those_who_wait_for_their_turn_do_not_dial_a_relay_that_has_fallen_silent_meanwhile() {
        let dialer = Arc::new(Dialer::new(&Identity::new().unwrap()).unwrap());
        // As a process that was stopped: the kernel accepts, and nobody greets.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let neighbour = Arc::new(Neighbour {
            process: ProcessId::random().unwrap(),
            address: listener.local_addr().unwrap(),
            fingerprint: Identity::new().unwrap().fingerprint(),
            protocol: PROTOCOL,
            version: String::new(),
            settings: String::new(),
        });
        // It has answered a moment ago.
        dialer.lane(neighbour.process).state.lock().unwrap().answered = Some(Instant::now());
        let dials: Vec<_> = (0..4 * DIALS_AT_ONCE)
            .map(|_| {
                let (dialer, neighbour) = (Arc::clone(&dialer), Arc::clone(&neighbour));
                tokio::spawn(async move { dialer.dial(&neighbour).await.map(drop) })
            })
            .collect();
        let mut accepted = Vec::new();
        let all = async {
            for dial in dials {
                dial.await.unwrap().unwrap_err();
            }
        };
        let accepts = async {
            loop {
                accepted.push(listener.accept().await.unwrap());
            }
        };
        tokio::select! {
            () = all => {}
            () = accepts => {}
        }
        assert!(accepted.len() <= DIALS_AT_ONCE, "{} connections", accepted.len());
    }
}
