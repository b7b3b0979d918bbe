//! A relay that answers as a test's script says: what the real one does only on bad days.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::{WebSocketStream, accept_async};

use super::PATIENCE;

/// Listens on a free port; each connection is one [`Line`].
pub struct ScriptedRelay {
    listener: TcpListener,
}

/// One client's connection.
pub struct Line {
    socket: WebSocketStream<TcpStream>,
}

impl ScriptedRelay {
    pub async fn start() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.unwrap() }
    }

    /// The address that clients dial.
    pub fn url(&self) -> String {
        format!("ws://127.0.0.1:{}/ws", self.listener.local_addr().unwrap().port())
    }

    /// The next client, and the `join` that it says first.
    pub async fn accept(&self) -> (Line, Value) {
        self.accept_who_says("join").await
    }

    /// The next client, and what it says first, which is of this type.
    pub async fn accept_who_says(&self, kind: &str) -> (Line, Value) {
        let accepting = async {
            let (stream, _) = self.listener.accept().await.unwrap();
            let mut line = Line { socket: accept_async(stream).await.unwrap() };
            let first = line.read().await.expect("a client that says something");
            assert_eq!(first["type"], kind, "{first}");
            (line, first)
        };
        timeout(PATIENCE, accepting).await.expect("a client dials in time")
    }

    /// The next client, let in to a room where `peers` are, with a place that it may take again by the token `t`.
    pub async fn let_in_for_long(&self, peers: &[&str]) -> Line {
        self.let_in_and_tell(peers, json!({})).await
    }

    /// The same, with more `fields` in `joined`.
    pub async fn let_in_and_tell(&self, peers: &[&str], fields: Value) -> Line {
        let (mut line, join) = self.accept().await;
        assert_eq!(join["resume"], true, "{join}");
        line.say(with_place(json!({ "type": "joined" }), peers, fields)).await;
        line
    }

    /// The next client, which comes back after `received` messages, and of whose messages `taken` have arrived.
    pub async fn let_back(&self, peers: &[&str], received: u64, taken: u64) -> Line {
        self.let_back_and_tell(peers, received, taken, json!({})).await
    }

    /// The same, with more `fields` in `resumed`.
    pub async fn let_back_and_tell(&self, peers: &[&str], received: u64, taken: u64, fields: Value) -> Line {
        let (mut line, resume) = self.accept_who_says("resume").await;
        assert_eq!((&resume["token"], &resume["received"]), (&json!("t"), &json!(received)), "{resume}");
        line.say(with_place(json!({ "type": "resumed", "received": taken }), peers, fields)).await;
        line
    }

    /// The next client, let in to a room where `peers` are.
    pub async fn let_in(&self, peers: &[&str]) -> Line {
        let (mut line, _) = self.accept().await;
        let peers: Vec<Value> = peers.iter().map(|id| json!({ "id": id })).collect();
        line.say(json!({ "type": "joined", "id": "me", "room": "r", "host": "me", "peers": peers, "iceServers": [] }))
            .await;
        line
    }
}

fn with_place(mut message: Value, peers: &[&str], fields: Value) -> Value {
    let peers: Vec<Value> = peers.iter().map(|id| json!({ "id": id })).collect();
    let place = json!({
        "id": "me", "room": "r", "host": "me", "peers": peers, "iceServers": [],
        "resume": { "token": "t", "holdMs": 30_000 },
    });
    for more in [place, fields] {
        message.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    }
    message
}

impl Line {
    /// Closes the connection with this code.
    pub async fn close(mut self, code: u16) {
        let frame = CloseFrame { code: code.into(), reason: "so it is".into() };
        self.socket.close(Some(frame)).await.unwrap();
        while let Some(Ok(_)) = self.socket.next().await {}
    }

    /// The code with which the client closes, whatever it says before.
    pub async fn closed_with(mut self) -> u16 {
        let closing = async {
            loop {
                if let Message::Close(Some(frame)) = self.socket.next().await.expect("a close").expect("a close") {
                    return frame.code.into();
                }
            }
        };
        timeout(PATIENCE, closing).await.expect("the client closes in time")
    }

    pub async fn say(&mut self, message: Value) {
        self.socket.send(Message::text(message.to_string())).await.unwrap();
    }

    /// Refuses `message`, whose `ref` it repeats, as the relay does.
    pub async fn refuse(&mut self, message: &Value, code: &str, to: Option<&str>) {
        let retryable = code == "peer_busy" || code == "rate_limited";
        let mut error = json!({ "type": "error", "code": code, "message": "no", "retryable": retryable });
        error["ref"] = message["ref"].clone();
        if let Some(to) = to {
            error["to"] = json!(to);
        }
        self.say(error).await;
    }

    /// What the client says next, other than the questions on the way, which are answered.
    pub async fn hear(&mut self) -> Value {
        let hearing = async {
            loop {
                let message = self.read().await.expect("a client that stays");
                if message["type"] != "join" {
                    return message;
                }
                self.refuse(&message, "already_joined", None).await;
            }
        };
        timeout(PATIENCE, hearing).await.expect("the client says something in time")
    }

    /// Hears `data` for `to`; returns the whole message.
    pub async fn hear_data(&mut self, data: impl Into<Value>, to: Option<&str>) -> Value {
        let message = self.hear().await;
        assert_eq!((&message["data"], message["to"].as_str()), (&data.into(), to), "{message}");
        message
    }

    /// The client's next text, whatever it is.
    pub async fn hear_anything(&mut self) -> Value {
        timeout(PATIENCE, self.read()).await.expect("a text in time").expect("a client that stays")
    }

    /// The client's next text, which is a `join`.
    pub async fn read_join(&mut self) -> Value {
        let join = self.hear_anything().await;
        assert_eq!(join["type"], "join", "{join}");
        join
    }

    /// The client's next text, or nothing when it has hung up.
    async fn read(&mut self) -> Option<Value> {
        loop {
            match self.socket.next().await?.ok()? {
                Message::Text(text) => return Some(serde_json::from_str(&text).unwrap()),
                Message::Close(_) => return None,
                _ => {}
            }
        }
    }
}
