//! HTTP/1.1 to another relay, over one connection that no task of its own serves.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::limits::{DOOR_REFUSAL_BYTES, HEAD_BYTES};

/// A connection by which another relay is asked.
pub(crate) struct Line<S: AsyncRead + AsyncWrite + Unpin> {
    sender: SendRequest<Empty<Bytes>>,
    connection: Connection<TokioIo<S>, Empty<Bytes>>,
    has_ended: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Line<S> {
    /// Asks over `stream`, to which nothing was written yet.
    ///
    /// # Errors
    /// Never before something is asked, as far as is known.
    pub(crate) async fn new(stream: S) -> hyper::Result<Self> {
        let (sender, connection) =
            http1::Builder::new().max_buf_size(HEAD_BYTES).handshake(TokioIo::new(stream)).await?;
        Ok(Self { sender, connection, has_ended: false })
    }

    /// The head of the answer.
    ///
    /// # Errors
    /// When the connection is lost before.
    pub(crate) async fn ask(&mut self, request: Request<Empty<Bytes>>) -> hyper::Result<Response<Incoming>> {
        let answer = self.sender.send_request(request);
        drive(&mut self.connection, &mut self.has_ended, answer).await
    }

    /// All of the answer, whose body has [`DOOR_REFUSAL_BYTES`] at most: what is longer is left out.
    ///
    /// # Errors
    /// When the connection is lost before.
    pub(crate) async fn whole(&mut self, answer: Response<Incoming>) -> hyper::Result<Response<Bytes>> {
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, DOOR_REFUSAL_BYTES).collect();
        let body = drive(&mut self.connection, &mut self.has_ended, body).await;
        Ok(Response::from_parts(head, body.map(|body| body.to_bytes()).unwrap_or_default()))
    }

    /// The stream, after an answer that has switched protocols, and what was read after that.
    ///
    /// # Errors
    /// When the connection is lost before.
    pub(crate) async fn switch(mut self) -> hyper::Result<(S, Vec<u8>)> {
        if !self.has_ended {
            poll_fn(|cx| self.connection.poll_without_shutdown(cx)).await?;
        }
        let parts = self.connection.into_parts();
        // A copy, which is most often empty: what a tunnel holds on to would be hyper's buffer of several kilobytes.
        Ok((parts.io.into_inner(), parts.read_buf.to_vec()))
    }
}

/// What `wanted` is ready with, while the connection reads and writes.
async fn drive<S, F: Future>(
    connection: &mut Connection<TokioIo<S>, Empty<Bytes>>,
    has_ended: &mut bool,
    wanted: F,
) -> F::Output
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut wanted = pin!(wanted);
    poll_fn(|cx| {
        if let Poll::Ready(output) = wanted.as_mut().poll(cx) {
            return Poll::Ready(output);
        }
        if !*has_ended && connection.poll_without_shutdown(cx).is_ready() {
            // Whoever waits for an answer hears why there is none.
            *has_ended = true;
        }
        wanted.as_mut().poll(cx)
    })
    .await
}

#[cfg(test)]
mod tests {
    use hyper::StatusCode;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn what_comes_right_behind_an_answer_is_kept_without_the_buffer_of_the_answer() {
        let (near, mut far) = tokio::io::duplex(4_096);
        let answers = async {
            assert!(far.read(&mut [0; 4_096]).await.unwrap() > 0);
            let head = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
            far.write_all(format!("{head}joined").as_bytes()).await.unwrap();
        };
        let asks = async {
            let mut line = Line::new(near).await.unwrap();
            let request = Request::get("/ws").header("connection", "upgrade").header("upgrade", "websocket");
            let answer = line.ask(request.body(Empty::new()).unwrap()).await.unwrap();
            assert_eq!(answer.status(), StatusCode::SWITCHING_PROTOCOLS);
            // Its head shares the buffer.
            drop(answer);
            line.switch().await.unwrap()
        };
        let ((_stream, read), ()) = tokio::join!(asks, answers);
        assert_eq!(read, b"joined");
        assert_eq!(read.capacity(), read.len());
    }
}
