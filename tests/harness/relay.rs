//! A relay inside the test, however its clients reach it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use serde_json::{Value, json};
use signaling_relay::{Config, ListenAddress, Opaque, Relay, RelayBuilder, Reloader, Shutdown};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::tungstenite::Error as WsError;

use super::client::{AnyStream, Client, refusal};
use super::pki::{self, Pki};
use super::soon;

/// What a pipe in memory holds before writes wait.
pub const PIPE_BYTES: usize = 4096;
/// Where those who come by one are said to be.
pub const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 1);

/// A relay that runs inside the test.
pub struct TestRelay {
    pub relay: Arc<Relay>,
    /// Where it listens first.
    pub address: SocketAddr,
    pub redirect_addresses: Vec<SocketAddr>,
    /// How many bytes the kernel keeps for each client that dials from now on, in each direction; as many as it likes where
    /// there is none. A pipe in memory holds as many.
    pub buffers: Option<usize>,
    entrance: Entrance,
    server: Option<Running>,
}

/// How its clients reach it.
enum Entrance {
    Plain,
    Tls(TlsConnector),
    /// By streams of an embedder's.
    Memory,
}

struct Running {
    stop: Option<oneshot::Sender<Shutdown>>,
    serving: JoinHandle<()>,
    reloader: Reloader,
}

impl TestRelay {
    pub async fn start() -> Self {
        Self::start_with(Config::default()).await
    }

    /// What `config` says, on a free port of 127.0.0.1.
    pub async fn start_with(config: Config) -> Self {
        Self::start_as(config, |builder| builder).await
    }

    /// The same, with what `more` adds to it.
    pub async fn start_as(config: Config, more: impl FnOnce(RelayBuilder) -> RelayBuilder) -> Self {
        let config = Config { listen: vec!["127.0.0.1:0".parse::<ListenAddress>().unwrap()], ..config };
        let server = more(Relay::builder(config)).bind().await.unwrap();
        let (relay, address) = (Arc::clone(server.relay()), server.local_addrs()[0]);
        let (redirect_addresses, reloader) = (server.redirect_addrs().to_vec(), server.reloader());
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(server.serve(async { stopped.await.unwrap_or(Shutdown::ForGood) }));
        let server = Some(Running { stop: Some(stop), serving, reloader });
        Self { relay, address, redirect_addresses, buffers: None, entrance: Entrance::Plain, server }
    }

    /// What `config` says, with a certificate; its clients dial by TLS.
    pub async fn start_tls(pki: &Pki, config: Config) -> Self {
        let Config { cert, key, .. } = pki.config();
        let relay = Self::start_with(Config { cert, key, ..config }).await;
        Self { entrance: Entrance::Tls(pki.client()), ..relay }
    }

    /// What `config` says, without a listener: clients come by pipes in memory, and time may be paused.
    pub fn in_memory(config: Config) -> Self {
        Self::in_memory_as(config, |builder| builder)
    }

    /// The same, with what `more` adds to it.
    pub fn in_memory_as(config: Config, more: impl FnOnce(RelayBuilder) -> RelayBuilder) -> Self {
        let relay = more(Relay::builder(config)).build().unwrap();
        let (address, redirect_addresses) = (NOWHERE, Vec::new());
        Self { relay, address, redirect_addresses, buffers: None, entrance: Entrance::Memory, server: None }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Reads its certificate again.
    pub fn reload(&self) {
        self.server.as_ref().unwrap().reloader.reload();
    }

    /// Ends the relay without waiting for it.
    pub fn tell_to_stop(&mut self, shutdown: Shutdown) {
        self.server.as_mut().unwrap().stop.take().unwrap().send(shutdown).unwrap();
    }

    /// Waits until the relay has ended.
    pub async fn stopped(self) {
        soon("the end", self.server.unwrap().serving).await.unwrap();
    }

    /// Ends it for good.
    pub async fn stop(mut self) {
        self.tell_to_stop(Shutdown::ForGood);
        self.stopped().await;
    }

    /// A stream to it that nothing was said on yet.
    pub async fn connect(&self) -> AnyStream {
        match &self.entrance {
            Entrance::Plain => Box::new(self.connect_tcp().await),
            Entrance::Tls(connector) => {
                Box::new(pki::shake_hands(connector, self.connect_tcp().await, "localhost").await.unwrap())
            }
            Entrance::Memory => Box::new(self.pipe()),
        }
    }

    /// A pipe in memory that it serves.
    pub fn pipe(&self) -> DuplexStream {
        let (ours, theirs) = duplex(self.buffers.unwrap_or(PIPE_BYTES));
        let relay = Arc::clone(&self.relay);
        tokio::spawn(async move { relay.serve_stream(Opaque(theirs), NOWHERE).await });
        ours
    }

    async fn connect_tcp(&self) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        if let Some(bytes) = self.buffers {
            // Before it connects: the window that it offers follows from that.
            socket.set_recv_buffer_size(bytes as u32).unwrap();
            socket.set_send_buffer_size(bytes as u32).unwrap();
        }
        soon("a connection", socket.connect(self.address)).await.unwrap()
    }

    pub async fn dial(&self, path: &str) -> Client {
        self.try_dial(path).await.unwrap()
    }

    pub async fn try_dial(&self, path: &str) -> Result<Client, WsError> {
        self.dial_with(path, &[]).await
    }

    /// Dials `/ws` with these headers.
    pub async fn upgrade(&self, headers: &[(&'static str, &str)]) -> Result<Client, WsError> {
        self.dial_with("/ws", headers).await
    }

    async fn dial_with(&self, path: &str, headers: &[(&'static str, &str)]) -> Result<Client, WsError> {
        let url = match &self.entrance {
            Entrance::Plain => format!("ws://{}{path}", self.address),
            Entrance::Tls(_) => format!("wss://localhost:{}{path}", self.address.port()),
            Entrance::Memory => format!("ws://localhost{path}"),
        };
        Client::dial(self.connect().await, &url, headers).await
    }

    /// The status that a refused upgrade is answered with, and its text.
    pub async fn refusal(&self, path: &str) -> (u16, String) {
        refusal(self.try_dial(path).await)
    }

    /// Somebody who is in `room`, and has read `joined`.
    pub async fn join(&self, room: &str) -> Client {
        let mut client = self.dial("/ws").await;
        client.join(room).await;
        client
    }

    /// The first that a client hears which joins the room `r` with the fields of `join`; it is gone after that, so that the
    /// next one may have the same id.
    pub async fn answer(&self, join: Value) -> Value {
        let mut client = self.dial("/ws").await;
        let mut message = json!({"type": "join", "room": "r"});
        message.as_object_mut().unwrap().extend(join.as_object().unwrap().clone());
        client.say(message).await;
        let heard = client.hear().await;
        client.close().await;
        heard
    }

    /// Two who are alone in `room`, the older one first, and have read of each other.
    pub async fn pair(&self, room: &str) -> (Client, Client) {
        let mut one = self.join(room).await;
        let other = self.join(room).await;
        one.expect("peer_joined").await;
        (one, other)
    }

    /// Sends bytes and returns all that comes back until the relay closes.
    pub async fn raw(&self, request: &str) -> String {
        self.raw_bytes(request.as_bytes()).await
    }

    /// The same for bytes that are no text.
    pub async fn raw_bytes(&self, request: &[u8]) -> String {
        String::from_utf8_lossy(&self.bytes(request).await).into_owned()
    }

    /// The same for an answer that is no text either.
    pub async fn bytes(&self, request: &[u8]) -> Vec<u8> {
        let mut stream = self.connect().await;
        stream.write_all(request).await.unwrap();
        let mut response = Vec::new();
        soon("the end", stream.read_to_end(&mut response)).await.unwrap();
        response
    }
}
