//! A client of the relay: it connects as a page does, enters a room, and says and hears what its protocol has.

use futures_util::{SinkExt, StreamExt};
use hyper::StatusCode;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::Message;

use super::http::{self, Answer, Socket, Upgrade};
use super::reach::{Door, step};
use super::report::{Check, Report, quoted};
use crate::limits;
use crate::secret::Secret;

/// The name by which people in a room know who came.
const NAME: &str = "signaling-relay doctor";

/// What to do where nothing more is known.
const LOGS: &str = "see what the log of the relay and of its proxy say";

/// How to enter: the room, and what is shown at its door.
pub(super) struct Entry<'a> {
    /// The origin of the page.
    pub(super) origin: &'a str,
    /// The room.
    pub(super) room: &'a str,
    /// The token.
    pub(super) token: Option<&'a Secret>,
}

/// A member of a room.
pub(super) struct Member {
    socket: Box<Socket>,
    /// What the relay said when it came in.
    pub(super) joined: Value,
}

/// What a member hears.
pub(super) enum Heard {
    /// A message of the relay.
    Message(Value),
    /// A ping, which is answered.
    Ping,
    /// The end of the connection, in words.
    End(String),
}

/// Connects, and enters a room. What goes wrong is told to the report; so is what goes well, if this is the `first`.
pub(super) async fn enter(
    door: &Door,
    entry: &Entry<'_>,
    first: bool,
    report: &Report,
    until: Instant,
) -> Option<Member> {
    let path = door.target.beside("ws");
    let upgraded = step(until, async {
        http::upgrade(door.open().await?, &door.target, &path, door.target.user.as_ref(), entry.origin).await
    });
    let who = if first { "" } else { "the second member: " };
    let socket = match upgraded.await {
        Some(Ok(Upgrade::Socket(socket))) => socket,
        Some(Ok(Upgrade::Refused(answer))) => {
            refused(&answer, entry.origin, who, report);
            return None;
        }
        Some(Err(error)) => {
            report.wrong(Check::Upgrade, format!("{who}no WebSocket: {error}"), LOGS);
            return None;
        }
        None => {
            report.wrong(Check::Upgrade, format!("{who}the request for a WebSocket was not answered"), LOGS);
            return None;
        }
    };
    if first {
        report.ok(Check::Origin, format!("a page of {} may use the relay", entry.origin));
        report.ok(Check::Upgrade, "the connection becomes a WebSocket");
    }
    let mut member = Member { socket, joined: Value::Null };
    let token = entry.token.map(Secret::reveal);
    let join = json!({"type": "join", "room": entry.room, "name": NAME, "token": token});
    let answered = step(until, async {
        member.say(&join).await;
        loop {
            match member.hear().await {
                Heard::Message(message) if text(&message, "type") == "joined" => return Ok(message),
                Heard::Message(message) if text(&message, "type") == "error" => return Err(no_entry(&message, entry)),
                Heard::Message(message) if text(&message, "type") == "waiting" => {
                    return Err(("the room is locked, and its host has to let people in".into(), "unlock it"));
                }
                Heard::Message(_) | Heard::Ping => {}
                Heard::End(why) => return Err((format!("instead of an answer: {why}"), LOGS)),
            }
        }
    });
    match answered.await {
        Some(Ok(joined)) => member.joined = joined,
        Some(Err((detail, advice))) => {
            report.wrong(Check::Join, format!("{who}{detail}"), advice);
            return None;
        }
        None => {
            let advice = "see whether the proxy passes on what comes over a WebSocket (buffering), and whether this is \
                          the relay";
            report.wrong(Check::Join, format!("{who}the relay did not answer a message"), advice);
            return None;
        }
    }
    Some(member)
}

/// Says why there is no WebSocket.
fn refused(answer: &Answer, origin: &str, who: &str, report: &Report) {
    let (status, said) = (answer.status, quoted(&answer.body));
    if status == StatusCode::FORBIDDEN && answer.body.contains("may not use this relay") {
        report.wrong(
            Check::Origin,
            format!("the page's origin {origin} is refused: {said}"),
            format!("start the relay with --allow-origin {origin}, or let it believe the proxy (--trusted-proxy)"),
        );
        return;
    }
    let headers = "let the proxy pass the headers Upgrade and Connection on by HTTP/1.1 (in nginx: \
                   proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection \
                   \"upgrade\")";
    let (why, advice) = match status {
        StatusCode::OK => ("it is a page: the request arrived without its Upgrade", headers),
        StatusCode::BAD_REQUEST | StatusCode::UPGRADE_REQUIRED => (&*said, headers),
        StatusCode::FORBIDDEN => (&*said, "see which rule of the proxy refuses it"),
        StatusCode::UNAUTHORIZED => {
            ("a proxy asks for a password", "let it ask for none here, or write it into the URL")
        }
        StatusCode::NOT_FOUND => (
            &*said,
            "correct the path, or let the proxy pass on what is below it (it is the page's path with ws at its end)",
        ),
        StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => (
            "the proxy does not reach the relay",
            "start the relay, and let the proxy pass requests to the address that it listens on",
        ),
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
            (&*said, "see which limit is reached (the relay's log says so), or wait")
        }
        _ => (&*said, LOGS),
    };
    report.wrong(Check::Upgrade, format!("{who}{status} instead of a WebSocket: {why}"), advice);
}

/// Why the relay does not let a client into the room, and what to do.
fn no_entry(error: &Value, entry: &Entry<'_>) -> (String, &'static str) {
    let code = text(error, "code");
    let detail = format!("{}: {}", quoted(code), quoted(text(error, "message")));
    let advice = match code {
        "unauthorized" if entry.token.is_none() => {
            "give a token by --token-file, or an invite link as the URL (the command invite makes one)"
        }
        "unauthorized" => {
            "get a new token; if it is new, see whether it is signed by a key of this relay, and that the clocks agree"
        }
        "unavailable" => "see whether the webhook (--auth-url) or the identity provider (--token-jwks) answers",
        "denied" => "see why the webhook or the host says so",
        "room_full" => "wait until somebody leaves, or use a token for another room",
        "wrong_password" => "use a token for a room without a password",
        "rate_limited" => "wait a minute: this address has joined too often",
        _ => "see what the relay's log says",
    };
    (detail, advice)
}

/// A field of a message that is a text; an empty one if it is none.
pub(super) fn text<'a>(message: &'a Value, field: &str) -> &'a str {
    message.get(field).and_then(Value::as_str).unwrap_or_default()
}

impl Member {
    /// Its id.
    pub(super) fn id(&self) -> &str {
        text(&self.joined, "id")
    }

    /// Sends a message. That it cannot be sent shows when the member hears.
    pub(super) async fn say(&mut self, message: &Value) {
        let _ = self.socket.send(Message::text(message.to_string())).await;
    }

    /// What comes next.
    pub(super) async fn hear(&mut self) -> Heard {
        loop {
            let end = match self.socket.next().await {
                Some(Ok(Message::Text(text))) => match serde_json::from_str(&text) {
                    Ok(message) => return Heard::Message(message),
                    Err(_) => "it is no relay of this kind: what it says is not JSON".to_owned(),
                },
                // The library answers it with the next read.
                Some(Ok(Message::Ping(_))) => return Heard::Ping,
                Some(Ok(Message::Close(Some(frame)))) => {
                    format!("it was closed with {}, {}", u16::from(frame.code), quoted(&frame.reason))
                }
                Some(Ok(Message::Close(None))) => "it was closed without a code".to_owned(),
                Some(Ok(_)) => continue,
                Some(Err(error)) => format!("it was cut: {error}"),
                None => "it was cut".to_owned(),
            };
            return Heard::End(end);
        }
    }

    /// Hears until a message is one for which `is_it`, for one step at most.
    ///
    /// # Errors
    /// What came instead, in words.
    pub(super) async fn hear_until(&mut self, until: Instant, is_it: impl Fn(&Value) -> bool) -> Result<(), String> {
        let heard = step(until, async {
            loop {
                match self.hear().await {
                    Heard::Message(message) if is_it(&message) => return Ok(()),
                    Heard::Message(message) if text(&message, "type") == "error" => {
                        return Err(format!("it was refused: {}", quoted(text(&message, "message"))));
                    }
                    Heard::Message(_) | Heard::Ping => {}
                    Heard::End(why) => return Err(why),
                }
            }
        });
        heard.await.unwrap_or_else(|| Err("nothing came".to_owned()))
    }

    /// Leaves, with a word to the relay; without one if that takes long.
    pub(super) async fn leave(mut self) {
        let _ = timeout(limits::DOCTOR_GOODBYE, (*self.socket).close(None)).await;
    }
}
