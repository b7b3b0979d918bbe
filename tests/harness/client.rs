//! Clients of a relay, over any stream.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Response;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::soon;

/// What a client may talk over.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Any of them.
pub type AnyStream = Box<dyn Stream>;

/// A client that reads like a conversation.
pub struct Client<S = AnyStream> {
    pub socket: WebSocketStream<S>,
    /// The id that `joined` told.
    pub id: String,
    /// What the upgrade was answered with.
    pub response: Response,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// Dials `url` over `stream`, with more headers.
    pub async fn dial(stream: S, url: &str, headers: &[(&'static str, &str)]) -> Result<Self, WsError> {
        let mut request = url.into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let (socket, response) = soon("the upgrade", client_async(request, stream)).await?;
        Ok(Self { socket, id: String::new(), response })
    }

    pub async fn say(&mut self, message: Value) {
        self.say_text(&message.to_string()).await;
    }

    pub async fn say_text(&mut self, text: &str) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    /// Sends all of `texts` in one write.
    pub async fn say_at_once<T: AsRef<str>>(&mut self, texts: &[T]) {
        let frames: Vec<u8> = texts.iter().flat_map(|text| frame(TEXT, text.as_ref().as_bytes())).collect();
        self.socket.get_mut().write_all(&frames).await.unwrap();
    }

    /// All that it hears until the answer to a question asked now.
    pub async fn catch_up(&mut self) -> Vec<Value> {
        self.say_at_once(&[r#"{"type":"?","ref":"caught up"}"#]).await;
        let mut heard = Vec::new();
        loop {
            let message = self.hear().await;
            if message["ref"] == "caught up" {
                return heard;
            }
            heard.push(message);
        }
    }

    /// Enters `room` under an id, and reads `joined` and what came before it.
    pub async fn join_with_id(&mut self, room: &str, id: &str) {
        self.say(json!({"type": "join", "room": room, "id": id})).await;
        loop {
            let message = self.hear().await;
            assert_ne!(message["type"], "error", "{message}");
            if message["type"] == "joined" {
                break;
            }
        }
        self.id = id.to_owned();
    }

    /// Enters `room`, and returns `joined`.
    pub async fn join(&mut self, room: &str) -> Value {
        self.say(json!({"type": "join", "room": room})).await;
        self.expect_joined().await
    }

    /// Asks again and again until the room takes it, as `signaling.js` does.
    pub async fn join_at_last(&mut self, room: &str) -> Value {
        loop {
            self.say(json!({"type": "join", "room": room})).await;
            let answer = self.hear().await;
            if answer["type"] == "joined" {
                self.id = answer["id"].as_str().unwrap().to_owned();
                return answer;
            }
            assert_eq!(answer["code"], "unavailable", "{answer}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Enters `room` under a name, and returns `joined`.
    pub async fn join_as(&mut self, room: &str, name: &str) -> Value {
        self.say(json!({"type": "join", "room": room, "name": name})).await;
        self.expect_joined().await
    }

    pub async fn expect_joined(&mut self) -> Value {
        let joined = self.expect("joined").await;
        self.id = joined["id"].as_str().unwrap().to_owned();
        joined
    }

    /// The next message, as it came. Pings come before it for as long as it is awaited, and do not count as time.
    pub async fn hear_text(&mut self) -> String {
        let message = async {
            loop {
                match self.socket.next().await {
                    Some(Ok(Message::Text(text))) => return text.to_string(),
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    other => panic!("no message but {other:?}"),
                }
            }
        };
        soon("a message in time", message).await
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
            match soon("a close in time", self.socket.next()).await {
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

    /// Reads until the stream ends without a close frame.
    pub async fn expect_cut(mut self) {
        loop {
            match soon("the end of the stream", self.socket.next()).await {
                Some(Ok(Message::Close(close))) => panic!("closed: {close:?}"),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return,
            }
        }
    }

    /// Reads until the relay closes with this code, and hangs up when it does.
    pub async fn expect_goodbye(mut self, code: u16) {
        self.expect_close_code(code).await;
        while let Some(Ok(_)) = soon("the end", self.socket.next()).await {}
    }

    pub async fn close(mut self) {
        self.socket.close(None).await.unwrap();
        while let Some(Ok(_)) = soon("a close in time", self.socket.next()).await {}
    }
}

/// The first byte of a frame that is a whole text.
pub const TEXT: u8 = 0x81;

/// A masked frame that begins with `first`. The mask is zero, so its payload is as it was.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = frame_header(first, payload.len() as u64);
    frame.extend_from_slice(payload);
    frame
}

/// The header of a masked frame that begins with `first` and announces `length` bytes. The mask is zero.
pub fn frame_header(first: u8, length: u64) -> Vec<u8> {
    let mut header = vec![first];
    match length {
        0..126 => header.push(0x80 | length as u8),
        126..0x1_0000 => {
            header.push(0x80 | 126);
            header.extend((length as u16).to_be_bytes());
        }
        _ => {
            header.push(0x80 | 127);
            header.extend(length.to_be_bytes());
        }
    }
    header.extend([0; 4]);
    header
}

/// What a WebSocket is refused with: the status and the text.
pub fn refusal<T>(result: Result<T, WsError>) -> (u16, String) {
    match result.map(|_| ()).unwrap_err() {
        WsError::Http(response) => {
            let body = response.body().clone().unwrap_or_default();
            (response.status().as_u16(), String::from_utf8(body).unwrap())
        }
        other => panic!("{other}"),
    }
}

/// Asks for `path`, and reads the whole answer: head and body.
pub async fn get<S: AsyncRead + AsyncWrite + Unpin>(stream: S, host: &str, path: &str) -> String {
    String::from_utf8_lossy(&get_bytes(stream, host, path).await).into_owned()
}

/// The same, as it came.
pub async fn get_bytes<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, host: &str, path: &str) -> Vec<u8> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let mut answer = Vec::new();
    let exchange = async {
        stream.write_all(request.as_bytes()).await?;
        stream.read_to_end(&mut answer).await
    };
    soon("an answer", exchange).await.unwrap();
    answer
}

pub async fn connect(address: SocketAddr) -> TcpStream {
    soon("a connection", TcpStream::connect(address)).await.unwrap()
}
