//! An application that gets events, and does with each request what a test wants.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use super::soon;

/// What an application does with a request, once it has read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Does {
    /// Answers with this status.
    Answer(u16),
    /// Says that it is elsewhere.
    Redirect(String),
    /// Hangs up.
    HangUp,
    /// Takes it once the test says so.
    Wait,
}

/// A request as the application got it.
#[derive(Debug, Clone)]
pub struct Request {
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
    /// Whether it was answered with a status from 200 to 299.
    pub is_taken: bool,
}

impl Request {
    pub fn id(&self) -> &str {
        &self.headers["webhook-id"]
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// An application that gets events.
pub struct Application {
    pub address: SocketAddr,
    state: Arc<State>,
    serving: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    /// What it does with the next requests; after that it takes all.
    does: Mutex<VecDeque<Does>>,
    requests: Mutex<Vec<Request>>,
    changed: watch::Sender<()>,
    goes_on: watch::Sender<bool>,
}

impl Application {
    /// One that takes all.
    pub async fn start() -> Self {
        Self::that([]).await
    }

    /// One that does this with the first requests, and then takes all.
    pub async fn that(does: impl IntoIterator<Item = Does>) -> Self {
        let state = State { does: Mutex::new(does.into_iter().collect()), ..State::default() };
        Self::at("127.0.0.1:0".parse().unwrap(), Arc::new(state), None).await
    }

    /// One that takes all, by TLS.
    pub async fn secure(tls: TlsAcceptor) -> Self {
        Self::at("127.0.0.1:0".parse().unwrap(), Arc::default(), Some(tls)).await
    }

    async fn at(address: SocketAddr, state: Arc<State>, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(accept(listener, Arc::clone(&state), tls));
        Self { address, state, serving }
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}/events", self.address)
    }

    /// What it does with the next requests.
    pub fn will(&self, does: impl IntoIterator<Item = Does>) {
        self.state.does.lock().unwrap().extend(does);
    }

    /// It takes what waits, and what comes.
    pub fn goes_on(&self) {
        self.state.goes_on.send_replace(true);
    }

    /// Ends it with all its connections; it can begin again at the same address.
    pub async fn is_killed(&mut self) {
        self.serving.abort();
        let _ = (&mut self.serving).await;
    }

    /// Begins again.
    pub async fn begins_again(&mut self) {
        *self = Self::at(self.address, Arc::clone(&self.state), None).await;
    }

    /// All requests, the repeats too, in order.
    pub fn requests(&self) -> Vec<Request> {
        self.state.requests.lock().unwrap().clone()
    }

    /// Waits for so many requests.
    pub async fn expect_requests(&self, count: usize) -> Vec<Request> {
        self.wait(&format!("{count} requests"), || self.requests().len() >= count).await;
        self.requests()
    }

    /// The bodies that it has taken, each once.
    pub fn taken(&self) -> Vec<Value> {
        let mut ids = BTreeSet::new();
        let requests = self.requests();
        let taken = requests.iter().filter(|request| request.is_taken && ids.insert(request.id().to_owned()));
        taken.map(Request::json).collect()
    }

    /// The events that it has taken, each once.
    pub fn events(&self) -> Vec<Value> {
        self.taken().iter().flat_map(|body| body["events"].as_array().unwrap().clone()).collect()
    }

    /// Waits until it has taken an event that `is_it`.
    pub async fn expect(&self, what: &str, is_it: impl Fn(&Value) -> bool) -> Vec<Value> {
        self.wait(what, || self.events().iter().any(&is_it)).await;
        self.events()
    }

    /// Waits until it has taken the event that `room` is empty, `times` times.
    pub async fn expect_empty(&self, room: &str, times: usize) -> Vec<Value> {
        let is_it = |event: &&Value| event["type"] == "room_empty" && event["room"] == room;
        self.wait("an empty room", || self.events().iter().filter(is_it).count() >= times).await;
        self.events()
    }

    async fn wait(&self, what: &str, is_so: impl Fn() -> bool) {
        let mut changed = self.state.changed.subscribe();
        let so = async {
            while !is_so() {
                changed.changed().await.unwrap();
            }
        };
        soon(what, so).await;
    }
}

async fn accept(listener: TcpListener, state: Arc<State>, tls: Option<TlsAcceptor>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (state, tls) = (Arc::clone(&state), tls.clone());
        connections.spawn(async move {
            match tls {
                None => serve(stream, &state).await,
                Some(tls) => match tls.accept(stream).await {
                    Ok(stream) => serve(stream, &state).await,
                    // A client that does not trust the certificate ends the handshake.
                    Err(_) => None,
                },
            }
        });
    }
}

/// Serves a connection until it ends.
async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, state: &State) -> Option<()> {
    let mut bytes = Vec::new();
    loop {
        let (mut request, length) = loop {
            if let Some(read) = parse(&bytes) {
                break read;
            }
            if stream.read_buf(&mut bytes).await.ok()? == 0 {
                return None;
            }
        };
        bytes.drain(..length);
        let does = state.does.lock().unwrap().pop_front().unwrap_or(Does::Answer(204));
        request.is_taken = matches!(does, Does::Answer(200..=299));
        let number = {
            let mut requests = state.requests.lock().unwrap();
            requests.push(request);
            requests.len() - 1
        };
        state.changed.send_replace(());
        let (status, more) = match does {
            Does::Answer(status) => (status, String::new()),
            Does::Redirect(to) => (307, format!("location: {to}\r\n")),
            Does::HangUp => return None,
            Does::Wait => {
                state.goes_on.subscribe().wait_for(|goes_on| *goes_on).await.ok()?;
                state.requests.lock().unwrap()[number].is_taken = true;
                (200, String::new())
            }
        };
        let body = if status == 204 { "" } else { "content-length: 8\r\n\r\nwhatever" };
        let end = if status == 204 { "\r\n" } else { "" };
        let answer = format!("HTTP/1.1 {status} X\r\n{more}{body}{end}");
        stream.write_all(answer.as_bytes()).await.ok()?;
        state.changed.send_replace(());
    }
}

/// The request that `bytes` begin with, and how many of them it has; none if it is not complete.
fn parse(bytes: &[u8]) -> Option<(Request, usize)> {
    let head = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let text = std::str::from_utf8(&bytes[..head]).unwrap();
    let mut lines = text.lines();
    assert!(lines.next().unwrap().starts_with("POST "), "{text}");
    let header = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned()));
    let headers: BTreeMap<String, String> = lines.filter_map(header).collect();
    let length = head + 4 + headers["content-length"].parse::<usize>().unwrap();
    let body = bytes.get(head + 4..length)?.to_vec();
    Some((Request { headers, body, is_taken: false }, length))
}
