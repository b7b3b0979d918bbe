//! A relay on a free port, and clients that read like a conversation.


use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use signaling_relay::{Config, ListenAddress, Server, Shutdown};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// Longer than anything here takes, shorter than anybody wants to wait for a test that failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// A relay that runs inside the test.
pub struct TestRelay {
    pub address: SocketAddr,
    stop: Option<oneshot::Sender<Shutdown>>,
    serving: JoinHandle<()>,
}

impl TestRelay {
    pub async fn start() -> Self {
        Self::start_with(Config::default()).await
    }

    /// What `config` says, on a free port.
    pub async fn start_with(config: Config) -> Self {
        let config = Config { listen: vec![ListenAddress::localhost(0)], ..config };
        let server = Server::bind(config).await.unwrap();
        let address = server.local_addrs()[0];
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(server.serve(async { stopped.await.unwrap_or(Shutdown::ForGood) }));
        Self { address, stop: Some(stop), serving }
    }

    /// Ends the relay without waiting for it.
    pub fn tell_to_stop(&mut self, shutdown: Shutdown) {
        self.stop.take().unwrap().send(shutdown).unwrap();
    }

    /// Waits until the relay has ended.
    pub async fn stopped(self) {
        timeout(PATIENCE, self.serving).await.expect("the relay ends in time").unwrap();
    }

    pub async fn dial(&self, path: &str) -> Peer {
        self.try_dial(path).await.unwrap()
    }

    pub async fn try_dial(&self, path: &str) -> Result<Peer, WsError> {
        let request = format!("ws://{}{path}", self.address).into_client_request().unwrap();
        let (socket, _) = timeout(PATIENCE, connect_async(request)).await.expect("an answer to the upgrade")?;
        Ok(Peer { socket, id: String::new() })
    }

    /// Dials `/ws` with these headers.
    pub async fn upgrade(&self, headers: &[(&'static str, &str)]) -> Result<Peer, WsError> {
        let mut request = format!("ws://{}/ws", self.address).into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let (socket, _) = timeout(PATIENCE, connect_async(request)).await.expect("an answer to the upgrade")?;
        Ok(Peer { socket, id: String::new() })
    }

    /// The status that a refused upgrade is answered with, and its text.
    pub async fn refusal(&self, path: &str) -> (u16, String) {
        match self.try_dial(path).await {
            Err(WsError::Http(response)) => {
                let text = String::from_utf8(response.body().clone().unwrap_or_default()).unwrap();
                (response.status().as_u16(), text)
            }
            other => panic!("{path} was not refused: {:?}", other.map(|_| ())),
        }
    }

    /// Somebody who is in `room`, and has read `joined`.
    pub async fn join(&self, room: &str) -> Peer {
        let mut peer = self.dial("/ws").await;
        peer.join(room).await;
        peer
    }

    /// Two who are alone in `room`, the older one first, and have read of each other.
    pub async fn pair(&self, room: &str) -> (Peer, Peer) {
        let mut one = self.join(room).await;
        let other = self.join(room).await;
        one.expect("peer_joined").await;
        (one, other)
    }

    /// Sends bytes and returns all that comes back until the relay closes.
    pub async fn raw(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut response = Vec::new();
        timeout(PATIENCE, stream.read_to_end(&mut response)).await.expect("the relay closes").unwrap();
        String::from_utf8_lossy(&response).into_owned()
    }
}

/// A client of the relay.
pub struct Peer {
    pub socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// The id that `joined` told.
    pub id: String,
}

impl Peer {
    pub async fn say(&mut self, message: Value) {
        self.say_text(&message.to_string()).await;
    }

    pub async fn say_text(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    /// Enters `room`, and returns `joined`.
    pub async fn join(&mut self, room: &str) -> Value {
        self.say(json!({"type": "join", "room": room})).await;
        self.expect_joined().await
    }

    pub async fn expect_joined(&mut self) -> Value {
        let joined = self.expect("joined").await;
        self.id = joined["id"].as_str().unwrap().to_owned();
        joined
    }

    /// The next message, as it came.
    pub async fn hear_text(&mut self) -> String {
        loop {
            match timeout(PATIENCE, self.socket.next()).await.expect("a message in time") {
                Some(Ok(Message::Text(text))) => return text.to_string(),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("no message but {other:?}"),
            }
        }
    }

    pub async fn hear(&mut self) -> Value {
        serde_json::from_str(&self.hear_text().await).unwrap()
    }

    /// The next message, which must be of this type.
    pub async fn expect(&mut self, kind: &str) -> Value {
        let message = self.hear().await;
        assert_eq!(message["type"], kind, "{message}");
        message
    }

    /// The next message, which must be an error with this code.
    pub async fn expect_error(&mut self, code: &str) -> Value {
        let message = self.expect("error").await;
        assert_eq!(message["code"], code, "{message}");
        assert!(message["message"].as_str().is_some_and(|text| !text.is_empty()), "{message}");
        assert!(message["retryable"].is_boolean(), "{message}");
        message
    }

    /// Asserts that nothing waits to be read: the answer to a question asked now is the next that comes.
    pub async fn expect_nothing(&mut self) {
        self.say(json!({"type": "anything new?", "ref": "nothing"})).await;
        let next = self.hear().await;
        assert_eq!(next["ref"], "nothing", "{next}");
    }

    /// Reads until the relay closes; its close frame.
    pub async fn expect_close(&mut self) -> CloseFrame {
        loop {
            match timeout(PATIENCE, self.socket.next()).await.expect("a close in time") {
                Some(Ok(Message::Close(Some(frame)))) => return frame,
                Some(Ok(Message::Text(_) | Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("no close frame but {other:?}"),
            }
        }
    }

    pub async fn expect_close_code(&mut self, code: u16) {
        let frame = self.expect_close().await;
        assert_eq!(u16::from(frame.code), code, "{frame:?}");
        assert!(!frame.reason.is_empty(), "a reason is given");
    }

    pub async fn close(mut self) {
        self.socket.close(None).await.unwrap();
        while let Some(Ok(_)) = timeout(PATIENCE, self.socket.next()).await.expect("a close in time") {}
    }
}
