//! Requests as a browser makes them, on a connection of their own.

use std::io;

use bytes::Bytes;
use data_encoding::BASE64;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{self, HeaderMap};
use hyper::upgrade::Upgraded;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::stream::AnyStream;
use super::target::Target;
use crate::limits;
use crate::secret::Secret;

/// What a server answered.
#[derive(Debug)]
pub(super) struct Answer {
    /// The status.
    pub(super) status: StatusCode,
    /// The headers.
    pub(super) headers: HeaderMap,
    /// The first part of the body, as text.
    pub(super) body: String,
}

/// A WebSocket to the relay.
pub(super) type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// What the request for a WebSocket came to.
pub(super) enum Upgrade {
    /// There it is.
    Socket(Box<Socket>),
    /// This came instead.
    Refused(Answer),
}

/// Asks for `path` at `target` over `stream`. The head of the response may take one step, and its body
/// [`DOCTOR_BODY`](limits::DOCTOR_BODY).
///
/// # Errors
/// When there is no HTTP response.
pub(super) async fn get(stream: AnyStream, target: &Target, path: &str, user: Option<&Secret>) -> io::Result<Answer> {
    let request = request(target, path, user).header(header::ACCEPT, "*/*");
    let response = timeout(limits::DOCTOR_STEP, send(stream, request)).await;
    answer(response.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?).await
}

/// Asks for a WebSocket at `path`, as a page of `origin` does.
///
/// # Errors
/// When there is no HTTP response, or one that no WebSocket server gives.
pub(super) async fn upgrade(
    stream: AnyStream,
    target: &Target,
    path: &str,
    user: Option<&Secret>,
    origin: &str,
) -> io::Result<Upgrade> {
    let key = generate_key();
    let request = request(target, path, user)
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_VERSION, "13")
        .header(header::SEC_WEBSOCKET_KEY, &key)
        .header(header::ORIGIN, origin);
    let response = send(stream, request).await?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(Upgrade::Refused(answer(response).await?));
    }
    let accepted = response.headers().get(header::SEC_WEBSOCKET_ACCEPT);
    if accepted.is_none_or(|accepted| accepted.as_bytes() != derive_accept_key(key.as_bytes()).as_bytes()) {
        return Err(io::Error::other("its Sec-WebSocket-Accept does not belong to the request"));
    }
    let upgraded = hyper::upgrade::on(response).await.map_err(io::Error::other)?;
    let config = WebSocketConfig::default().max_message_size(Some(limits::DOCTOR_MESSAGE_BYTES));
    let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Client, Some(config)).await;
    Ok(Upgrade::Socket(Box::new(socket)))
}

fn request(target: &Target, path: &str, user: Option<&Secret>) -> hyper::http::request::Builder {
    let request = Request::get(path)
        .header(header::HOST, target.authority())
        .header(header::USER_AGENT, concat!("signaling-relay/", env!("CARGO_PKG_VERSION")));
    match user {
        None => request,
        Some(user) => {
            request.header(header::AUTHORIZATION, format!("Basic {}", BASE64.encode(user.reveal().as_bytes())))
        }
    }
}

async fn send(stream: AnyStream, request: hyper::http::request::Builder) -> io::Result<Response<Incoming>> {
    let request = request.body(Empty::<Bytes>::new()).map_err(io::Error::other)?;
    let handshake = http1::Builder::new().title_case_headers(true).handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.map_err(io::Error::other)?;
    // It ends with the response, or with the WebSocket that it becomes.
    tokio::spawn(connection.with_upgrades());
    sender.send_request(request).await.map_err(io::Error::other)
}

async fn answer(response: Response<Incoming>) -> io::Result<Answer> {
    let (status, headers) = (response.status(), response.headers().clone());
    let mut body = Vec::new();
    let mut parts = Limited::new(response.into_body(), limits::DOCTOR_BODY_BYTES);
    let read = async {
        while let Some(Ok(frame)) = parts.frame().await {
            body.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
        }
    };
    // What was read of one that is too long, slow or cut off, is enough.
    let _ = timeout(limits::DOCTOR_BODY, read).await;
    Ok(Answer { status, headers, body: String::from_utf8_lossy(&body).into_owned() })
}
