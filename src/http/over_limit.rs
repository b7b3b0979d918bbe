//! What a connection beyond a limit is told. It is not served: the relay reads a little of one request, writes one
//! answer, and closes.

use hyper::StatusCode;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::body::Body;
use super::path;
use super::response::{ALLOWED, set, text};
use crate::limits;
use crate::quota::OverLimit;
use crate::ws::linger;

/// What to tell a client behind a proxy that the relay does not know, because all clients of the proxy share its limits.
pub(crate) const PROXY_ADVICE: &str = "; the request came through a proxy that the relay does not trust, so all its clients count as one: start the relay \
     with --trusted-proxy and the proxy's address";

/// Headers of each answer.
const CLOSE: &str = "Cache-Control: no-store\r\nConnection: close\r\n";

/// The refusal of a request: 429 if its client asks too often, otherwise 503.
pub(crate) fn response(over: OverLimit, through_unknown_proxy: bool) -> hyper::Response<Body> {
    let status = if over.is_rate() { StatusCode::TOO_MANY_REQUESTS } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut response = text(status, &sentence(over, through_unknown_proxy));
    set(&mut response, hyper::header::RETRY_AFTER, &over.retry_after().to_string());
    response
}

/// Refuses the connection over `stream`, within [`REFUSAL_DEADLINE`](limits::REFUSAL_DEADLINE) for the request and as
/// long for the answer. `is_trusted` says whether a trusted proxy is at its other end. Health checks are answered all the
/// same, whoever asks: a full relay works.
pub(crate) async fn serve<S>(mut stream: S, is_trusted: bool, over: OverLimit)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let head = read_head(&mut stream).await;
    let answer = health(&head).unwrap_or_else(|| {
        let forwarded = head.contains("\nx-forwarded-for:") || head.contains("\nforwarded:");
        let retry_after = format!("Retry-After: {}\r\n", over.retry_after());
        let answer = plain("503 Service Unavailable", &retry_after, &sentence(over, forwarded && !is_trusted));
        if head.starts_with("head ") { without_body(answer) } else { answer }
    });
    let answered = async {
        if stream.write_all(answer.as_bytes()).await.is_ok() && stream.shutdown().await.is_ok() {
            linger(&mut stream).await;
        }
    };
    // The stream is closed now, whether or not the client closed in time.
    let _ = timeout(limits::REFUSAL_DEADLINE, answered).await;
}

/// The answer to a health check: to GET and HEAD of `/healthz`, and to OPTIONS.
fn health(head: &str) -> Option<String> {
    let mut words = head.lines().next()?.split(' ');
    let (method, target) = (words.next()?, words.next()?);
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    match (method, &*path::comparable(path)) {
        ("options", _) => Some(format!("HTTP/1.1 204 No Content\r\nAllow: {ALLOWED}\r\n{CLOSE}\r\n")),
        ("get", "/healthz") => Some(plain("200 OK", "", "ok")),
        ("head", "/healthz") => Some(without_body(plain("200 OK", "", "ok"))),
        _ => None,
    }
}

/// The answer to HEAD instead of GET.
fn without_body(answer: String) -> String {
    answer.split_inclusive("\r\n\r\n").next().unwrap_or_default().to_owned()
}

fn sentence(over: OverLimit, through_unknown_proxy: bool) -> String {
    format!("{over}{}", if through_unknown_proxy { PROXY_ADVICE } else { "" })
}

/// What has come of the head of a request when it is complete, or long enough, or its time is over; in lower case.
async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::with_capacity(1024);
    let complete = async {
        let mut stream = stream.take(limits::REFUSED_HEAD_BYTES as u64);
        while !head.windows(4).any(|end| end == b"\r\n\r\n") {
            match stream.read_buf(&mut head).await {
                Ok(1..) => {}
                Ok(0) | Err(_) => return,
            }
        }
    };
    let _ = timeout(limits::REFUSAL_DEADLINE, complete).await;
    String::from_utf8_lossy(&head).to_ascii_lowercase()
}

fn plain(status: &str, header: &str, line: &str) -> String {
    let length = line.len() + 1;
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {length}\r\n\
         {CLOSE}{header}\r\n{line}\n"
    )
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;
    use tokio::time::Instant;

    use super::*;

    const OVER_LIMIT: OverLimit = OverLimit::Connections(256);

    /// What a client is told that says `request`, and reads until the relay closes.
    async fn told(is_trusted: bool, request: &str) -> String {
        let (mut client, server) = duplex(64 * 1024);
        client.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let read = async {
            client.read_to_string(&mut answer).await.unwrap();
            drop(client);
        };
        tokio::join!(serve(server, is_trusted, OVER_LIMIT), read);
        answer
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_names_the_limit_and_when_to_try_again() {
        let answer = told(false, "GET / HTTP/1.1\r\nHost: relay\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{answer}");
        assert!(answer.contains("\r\nRetry-After: 6\r\n"), "{answer}");
        assert!(answer.contains("--address-connections") && !answer.contains("--trusted-proxy"), "{answer}");
    }

    #[tokio::test(start_paused = true)]
    async fn behind_an_unknown_proxy_it_names_the_flag_that_is_missing() {
        let request = "GET / HTTP/1.1\r\nHost: relay\r\nX-Forwarded-For: 198.51.100.7\r\n\r\n";
        assert!(told(false, request).await.contains("--trusted-proxy"));
        assert!(!told(true, request).await.contains("--trusted-proxy"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_relay_is_no_ill_one_however_its_health_is_asked_for() {
        for line in
            ["GET /healthz HTTP/1.1", "GET /healthz HTTP/1.0", "GET //healthz/ HTTP/1.1", "GET /healthz?x HTTP/1.1"]
        {
            let answer = told(false, &format!("{line}\r\nHost: relay\r\n\r\n")).await;
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nok\n"), "{line}: {answer}");
        }
        let answer = told(false, "HEAD /healthz HTTP/1.0\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
        assert!(answer.contains("Content-Length: 3\r\n"), "{answer}");
        for line in ["OPTIONS /healthz HTTP/1.1", "OPTIONS / HTTP/1.0", "OPTIONS * HTTP/1.1"] {
            let answer = told(false, &format!("{line}\r\n\r\n")).await;
            assert!(answer.starts_with("HTTP/1.1 204 No Content\r\nAllow: GET, HEAD, OPTIONS\r\n"), "{line}: {answer}");
            assert!(answer.ends_with("\r\n\r\n") && !answer.to_lowercase().contains("access-control"), "{answer}");
        }
        for line in ["GET / HTTP/1.1", "GET /healthzz HTTP/1.1", "POST /healthz HTTP/1.1", "GET /x/healthz HTTP/1.1"] {
            assert!(told(false, &format!("{line}\r\n\r\n")).await.starts_with("HTTP/1.1 503 "), "{line}");
        }
        let answer = told(false, "HEAD / HTTP/1.1\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 503 ") && answer.ends_with("\r\n\r\n"), "{answer}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_client_is_refused_in_time_and_one_that_stays_is_closed() {
        let (mut client, server) = duplex(64 * 1024);
        let begun = Instant::now();
        serve(server, false, OVER_LIMIT).await;
        assert!(begun.elapsed() <= limits::REFUSAL_DEADLINE * 3, "{:?}", begun.elapsed());
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_without_end_is_refused_too() {
        let answer = told(false, &"x".repeat(2 * limits::REFUSED_HEAD_BYTES)).await;
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    }
}
