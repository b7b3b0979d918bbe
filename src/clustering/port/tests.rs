//! Two relays and more of this process, whose neighbours are told to them, and clients that come by doors.

use std::iter;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use hyper::StatusCode;
use hyper::header::{HeaderMap, HeaderValue};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::{Port, Residence, listen};
use crate::budget::boundless;
use crate::cluster::door::{Doors, Failure, Guest, Opened, Tunnel, UrlRequest};
use crate::cluster::identity::Identity;
use crate::cluster::relays::{Neighbour, PROTOCOL, ProcessId, Relays};
use crate::cluster::tunnel::{ClientEnds, TunnelEnd};
use crate::config::Config;
use crate::net::info::ConnectionInfo;
use crate::outbox::Outbox;
use crate::relay::Relay;
use crate::testing::MemorySocket;
use crate::ws::{Opaque, Transport};

/// Longer than anything here takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("waited too long for {what}"))
}

/// A relay with a port for others.
struct Member {
    relay: Arc<Relay>,
    relays: Arc<Relays>,
    doors: Arc<Doors>,
    itself: Neighbour,
    is_draining: Arc<Flag>,
    port: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Flag(AtomicBool);

impl Residence for Flag {
    fn has_room(&self, hash: &str) -> bool {
        hash == "here"
    }

    fn is_draining(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Member {
    async fn start() -> Self {
        Self::start_with(Config::default()).await
    }

    async fn start_with(config: Config) -> Self {
        let relay = Relay::builder(config).build().unwrap();
        let (identity, relays) = (Identity::new().unwrap(), Arc::new(Relays::default()));
        let doors = Arc::new(Doors::new(&identity).unwrap());
        let listener = listen(([127, 0, 0, 1], 0).into()).unwrap();
        let itself = Neighbour {
            process: ProcessId::random().unwrap(),
            address: listener.local_addr().unwrap(),
            fingerprint: identity.fingerprint(),
            protocol: PROTOCOL,
            version: String::new(),
            settings: String::new(),
        };
        let is_draining = Arc::new(Flag::default());
        let port = Port::new(
            &identity,
            Arc::clone(&relays),
            Arc::clone(doors.links()),
            Arc::clone(&is_draining) as Arc<dyn Residence>,
        );
        let port = tokio::spawn(Arc::new(port.unwrap()).serve(listener, Arc::clone(&relay)));
        Self { relay, relays, doors, itself, is_draining, port }
    }

    /// Lets the other one in.
    fn knows(&self, other: &Self) -> Arc<Neighbour> {
        self.relays.learn(other.itself.clone())
    }

    /// What comes of the request of a client of this relay for a room of `owner`.
    async fn ask(&self, owner: &Self, query: &str, ip: &str) -> Result<Opened, Failure> {
        let mut headers = HeaderMap::new();
        headers.insert("sec-websocket-key", HeaderValue::try_from(generate_key()).unwrap());
        headers.insert("sec-websocket-version", HeaderValue::from_static("13"));
        headers.insert("x-forwarded-for", HeaderValue::from_static("192.0.2.66"));
        let request = UrlRequest::new(&headers, query, "http", Some("door.example".to_owned()));
        let neighbour = self.knows(owner);
        let stream = self.doors.dial(&neighbour).await.map_err(Failure::Unreachable)?;
        soon("an answer", self.doors.open_by_url(stream, &neighbour, &guest(ip), &request, &boundless())).await
    }

    /// A client of this relay, whose URL names a room of `owner`.
    async fn visit(&self, owner: &Self, query: &str, ip: &str) -> Visitor {
        match self.ask(owner, query, ip).await {
            Ok(Opened::Tunnel(_, tunnel)) => Visitor::by(self, tunnel, Vec::new()).await,
            Ok(Opened::Refused(answer)) => panic!("refused: {answer:?}"),
            Err(failure) => panic!("{failure}"),
        }
    }

    /// The status and the text with which a client is refused.
    async fn refusal(&self, owner: &Self, query: &str, ip: &str) -> (u16, String) {
        match self.ask(owner, query, ip).await {
            Ok(Opened::Refused(answer)) => {
                (answer.status().as_u16(), String::from_utf8(answer.body().to_vec()).unwrap())
            }
            Ok(Opened::Tunnel(..)) => panic!("it is let in"),
            Err(failure) => panic!("{failure}"),
        }
    }

    /// A client of this relay that joins by the message `text`.
    async fn join(&self, owner: &Self, text: &Value, ip: &str) -> Visitor {
        match soon("a way", self.open(&self.knows(owner), ip)).await.unwrap() {
            Opened::Tunnel(_, tunnel) => Visitor::by(self, tunnel, frame(&text.to_string())).await,
            Opened::Refused(answer) => panic!("refused: {answer:?}"),
        }
    }

    /// A way to `neighbour`, by which nobody has joined yet.
    async fn open(&self, neighbour: &Arc<Neighbour>, ip: &str) -> Result<Opened, Failure> {
        let stream = self.doors.dial(neighbour).await.map_err(Failure::Unreachable)?;
        self.doors.open(stream, neighbour, &guest(ip), &boundless()).await
    }

    /// It dies.
    fn die(self) {
        self.port.abort();
    }
}

fn guest(ip: &str) -> Guest {
    let ip: Option<IpAddr> = Some(ip.parse().unwrap());
    Guest { ip, origin: Some("https://elsewhere.example".to_owned()), named: Vec::new(), hops: 1, asked: None }
}

/// A masked frame of a text, whose mask is zero.
fn frame(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81, 0x80 | 126];
    frame.extend((text.len() as u16).to_be_bytes());
    frame.extend([0; 4]);
    frame.extend(text.as_bytes());
    frame
}

/// A client that came by a door.
struct Visitor {
    socket: WebSocketStream<DuplexStream>,
    tunnel: JoinHandle<TunnelEnd>,
}

impl Visitor {
    async fn by(door: &Member, mut tunnel: Box<Tunnel>, first: Vec<u8>) -> Self {
        let (client, near) = duplex(4096);
        let drain = Arc::clone(&door.relay.hub().drain);
        let tunnel = tokio::spawn(async move {
            let (mut reader, sink) = Opaque(near).into_halves();
            let outbox = Outbox::new(0);
            MemorySocket::connected_to(&outbox, 0);
            let client = ClientEnds { reader: &mut *reader, sink: &*sink, outbox: &outbox };
            tunnel.run(client, first, &drain).await
        });
        Self { socket: WebSocketStream::from_raw_socket(client, Role::Client, None).await, tunnel }
    }

    async fn say(&mut self, message: Value) {
        self.socket.send(Message::text(message.to_string())).await.unwrap();
    }

    async fn hear(&mut self) -> Value {
        loop {
            match soon("a message", self.socket.next()).await {
                Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).unwrap(),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("no message but {other:?}"),
            }
        }
    }

    async fn expect(&mut self, kind: &str) -> Value {
        let message = self.hear().await;
        assert_eq!(message["type"], kind, "{message}");
        message
    }

    /// The code with which it is closed; none if its connection is lost.
    async fn closed(&mut self) -> Option<u16> {
        loop {
            match soon("the end", self.socket.next()).await {
                Some(Ok(Message::Close(close))) => return close.map(|close| close.code.into()),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    }
}

#[tokio::test]
async fn members_of_a_room_who_come_by_different_doors_talk() {
    let (owner, one, other) = (Member::start().await, Member::start().await, Member::start().await);
    owner.knows(&one);
    owner.knows(&other);
    let mut ana = one.visit(&owner, "room=r&name=Ana", "198.51.100.1").await;
    assert_eq!(ana.expect("joined").await["peers"], json!([]));
    let mut ben = other.join(&owner, &json!({"type": "join", "room": "r", "name": "Ben"}), "198.51.100.2").await;
    assert_eq!(ben.expect("joined").await["peers"][0]["name"], "Ana");
    assert_eq!(ana.expect("peer_joined").await["name"], "Ben");
    ana.say(json!({"type": "offer", "sdp": "v=0"})).await;
    assert_eq!(ben.expect("offer").await["sdp"], "v=0");
    let long = "x".repeat(40_000);
    ben.say(json!({"type": "answer", "sdp": long})).await;
    assert_eq!(ana.expect("answer").await["sdp"], long);
    ben.socket.close(None).await.unwrap();
    assert_eq!(ana.expect("peer_left").await["reason"], "closed");
    assert_eq!(ben.closed().await, None, "the answer has no code, as the question");
    assert!(matches!(soon("the end", ben.tunnel).await.unwrap(), TunnelEnd::Room | TunnelEnd::Client));
}

#[tokio::test]
async fn whoever_is_refused_gets_the_answer_of_the_relay_of_the_room() {
    let owner = Member::start_with(Config { address_connections: 3, address_joins: 2, ..Config::default() }).await;
    let door = Member::start().await;
    owner.knows(&door);
    let mut ana = door.visit(&owner, "id=ana", "198.51.100.1").await;
    ana.expect("joined").await;
    let (status, text) = door.refusal(&owner, "id=ana", "198.51.100.2").await;
    assert!(status == 409 && text.contains("id"), "{status} {text}");
    let (status, text) = door.refusal(&owner, "id=", "198.51.100.3").await;
    assert_eq!(status, 400, "{text}");
    // The true address counts, and not the door's.
    let mut guests = Vec::new();
    for _ in 0..3 {
        guests.push(door.join(&owner, &json!({"type": "?"}), "198.51.100.4").await);
        guests.last_mut().unwrap().expect("error").await;
    }
    let (status, text) = door.refusal(&owner, "room=r", "198.51.100.4").await;
    assert!(status == 503 && text.contains("--address-connections"), "{status} {text}");
    assert!(!text.contains("--trusted-proxy"), "{text}");
    for _ in 0..2 {
        door.refusal(&owner, "id=ana", "198.51.100.5").await;
    }
    let (status, text) = door.refusal(&owner, "id=ana", "198.51.100.5").await;
    assert!(status == 429 && text.contains("--address-joins"), "{status} {text}");
    ana.say(json!({"type": "leave"})).await;
}

#[tokio::test]
async fn a_refused_join_leaves_the_client_at_the_relay_of_the_room() {
    let (owner, door) = (Member::start().await, Member::start().await);
    owner.knows(&door);
    let mut ana = door.join(&owner, &json!({"type": "join", "room": "r", "id": "ana"}), "198.51.100.1").await;
    ana.expect("joined").await;
    let join = json!({"type": "join", "room": "r", "id": "ana", "ref": "7"});
    let mut ben = door.join(&owner, &join, "198.51.100.2").await;
    let refused = ben.expect("error").await;
    assert_eq!((&refused["code"], &refused["ref"]), (&json!("id_taken"), &json!("7")));
    ben.say(json!({"type": "join", "room": "r", "id": "ben"})).await;
    assert_eq!(ben.expect("joined").await["peers"][0]["id"], "ana");
}

#[tokio::test]
async fn a_door_that_dies_is_a_lost_connection_to_the_room_and_so_is_the_owner_to_the_client() {
    let (owner, door) = (Member::start().await, Member::start().await);
    owner.knows(&door);
    let mut ana = door.visit(&owner, "room=r&resume=1", "198.51.100.1").await;
    let token = ana.expect("joined").await["resume"]["token"].clone();
    let mut ben = door.visit(&owner, "room=r", "198.51.100.2").await;
    ben.expect("joined").await;
    // Her door has died: the tunnel is gone without a word.
    ana.tunnel.abort();
    assert_eq!(ana.closed().await, None);
    assert_eq!(ben.expect("peer_away").await["type"], "peer_away");
    let mut ana = door.join(&owner, &json!({"type": "resume", "token": token, "received": 1}), "198.51.100.1").await;
    assert_eq!(ana.expect("resumed").await["type"], "resumed");
    ben.expect("peer_back").await;
    // The relay of the room shuts down, which it tells them.
    let relay = Arc::clone(&owner.relay);
    let shutdown = tokio::spawn(async move { relay.shutdown(crate::drain::Shutdown::Restart).await });
    assert_eq!(ben.closed().await, Some(1012));
    assert_eq!(ana.closed().await, Some(1012));
    soon("the drain", shutdown).await.unwrap();
}

#[tokio::test]
async fn who_was_kept_waiting_at_a_door_does_not_take_the_place_from_a_later_connection() {
    let (owner, door) = (Member::start().await, Member::start().await);
    owner.knows(&door);
    let mut ana = door.visit(&owner, "room=r&resume=1", "198.51.100.1").await;
    let token = ana.expect("joined").await["resume"]["token"].clone();
    let resume = json!({"type": "resume", "token": token, "received": 1});
    let kept_waiting = Guest { asked: Instant::now().checked_sub(PATIENCE), ..guest("198.51.100.1") };
    let mut last = door.join(&owner, &resume, "198.51.100.1").await;
    last.expect("resumed").await;
    assert_eq!(ana.closed().await, Some(4001));
    let neighbour = door.knows(&owner);
    let stream = door.doors.dial(&neighbour).await.unwrap();
    let opened = door.doors.open(stream, &neighbour, &kept_waiting, &boundless()).await.unwrap();
    let Opened::Tunnel(_, tunnel) = opened else { panic!("it is refused") };
    let mut late = Visitor::by(&door, tunnel, frame(&resume.to_string())).await;
    assert_eq!(late.expect("error").await["code"], "unavailable");
    // Whoever is still there asks again, and is the last one now.
    late.say(resume).await;
    late.expect("resumed").await;
    assert_eq!(last.closed().await, Some(4001));
}

#[tokio::test]
async fn a_door_that_drains_cuts_its_tunnels_and_says_nothing() {
    let (owner, door) = (Member::start().await, Member::start().await);
    owner.knows(&door);
    let mut ana = door.visit(&owner, "room=r", "198.51.100.1").await;
    ana.expect("joined").await;
    let drain = Arc::clone(&door.relay.hub().drain);
    let begun = Instant::now();
    tokio::spawn(async move { drain.shut_down(crate::drain::Shutdown::Restart).await });
    assert!(soon("the end", ana.socket.next()).await.is_none_or(|end| end.is_err()), "without a word");
    assert!(begun.elapsed() < crate::limits::RETRY_AFTER_MAX + PATIENCE / 2);
    assert!(matches!(ana.tunnel.await.unwrap(), TunnelEnd::Shutdown));
}

#[tokio::test]
async fn a_relay_that_drains_takes_nobody_and_says_that_it_is_alive() {
    let (owner, door) = (Member::start().await, Member::start().await);
    owner.knows(&door);
    owner.is_draining.0.store(true, Ordering::Relaxed);
    assert!(matches!(door.ask(&owner, "room=r", "198.51.100.1").await, Err(Failure::Draining)));
    let opened = door.open(&door.knows(&owner), "198.51.100.1").await;
    assert!(matches!(opened, Err(Failure::Draining)));
}

#[tokio::test]
async fn a_relay_that_is_full_answers_other_relays_while_strangers_take_up_all_its_refusals() {
    let owner = Member::start_with(Config { max_connections: Some(1), ..Config::default() }).await;
    let door = Member::start().await;
    owner.knows(&door);
    let quotas = &owner.relay.hub().quotas;
    let _full = quotas.admit(None).unwrap();
    let over = quotas.admit(None).unwrap_err();
    let stranger = ConnectionInfo::door(owner.itself.address);
    let refusals: Vec<_> = iter::from_fn(|| quotas.refuse(over, stranger)).collect();
    let opened = soon("an answer", door.open(&door.knows(&owner), "198.51.100.1")).await.unwrap();
    let Opened::Refused(answer) = opened else { panic!("it is let in") };
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE, "{} refusals are under way", refusals.len());
}

#[tokio::test]
async fn a_relay_that_is_not_known_yet_is_refused_before_anything_is_handed_over() {
    let (owner, door) = (Member::start().await, Member::start().await);
    for _ in 0..20 {
        let refused = door.ask(&owner, "room=r", "198.51.100.1").await;
        assert!(matches!(refused, Err(Failure::Unreachable(_))), "{:?}", refused.err());
    }
    assert_eq!(owner.relay.rooms(), 0);
    owner.knows(&door);
    door.visit(&owner, "room=r", "198.51.100.1").await.expect("joined").await;
}

#[tokio::test]
async fn a_relay_that_has_ended_is_unreachable_and_so_is_one_that_has_its_address_now() {
    let (owner, door, other) = (Member::start().await, Member::start().await, Member::start().await);
    other.knows(&door);
    let taken = Neighbour { address: other.itself.address, ..owner.itself.clone() };
    let known = door.relays.learn(taken);
    let opened = door.open(&known, "198.51.100.1").await;
    assert!(matches!(opened, Err(Failure::Unreachable(_))), "another certificate");
    let known = door.relays.learn(owner.itself.clone());
    owner.die();
    soon("nobody", async {
        loop {
            match door.open(&known, "198.51.100.1").await {
                Err(Failure::Unreachable(_)) => return,
                _ => sleep(Duration::from_millis(10)).await,
            }
        }
    })
    .await;
}

#[tokio::test]
async fn strangers_are_refused_in_the_handshake() {
    let owner = Member::start().await;
    let address: SocketAddr = owner.itself.address;
    let connect = || async move { TcpStream::connect(address).await.unwrap() };
    // Plain HTTP, garbage, and nothing at all.
    for said in [&b"GET /cluster/1/alive HTTP/1.1\r\nHost: relay\r\n\r\n"[..], b"\x16\x03\x01\xff\xff nonsense", b""] {
        let mut stranger = connect().await;
        stranger.write_all(said).await.unwrap();
        if said.is_empty() {
            stranger.shutdown().await.unwrap();
        }
        let mut heard = Vec::new();
        let _ = soon("the end", stranger.read_to_end(&mut heard)).await;
        assert!(heard.len() < 32 && !heard.starts_with(b"HTTP"), "{heard:?}");
    }
    // A relay of another cluster.
    let stranger = Member::start().await;
    assert!(matches!(stranger.ask(&owner, "room=r", "198.51.100.1").await, Err(Failure::Unreachable(_))));
    assert_eq!(owner.relay.connections(), 0);
}

#[tokio::test]
async fn a_thousand_that_say_nothing_keep_no_relay_out() {
    let (owner, door) = (Member::start().await, Member::start().await);
    owner.knows(&door);
    let mut silent = Vec::new();
    for _ in 0..300 {
        silent.push(TcpStream::connect(owner.itself.address).await.unwrap());
    }
    let mut ana = soon("a way", async {
        loop {
            match door.ask(&owner, "room=r", "198.51.100.1").await {
                Ok(Opened::Tunnel(_, tunnel)) => return Visitor::by(&door, tunnel, Vec::new()).await,
                _ => sleep(Duration::from_millis(100)).await,
            }
        }
    })
    .await;
    ana.expect("joined").await;
}

/// Connections that say nothing, from this address.
#[cfg(target_os = "linux")]
async fn silent(to: &Member, from: [u8; 4], count: usize) -> Vec<TcpStream> {
    let mut silent = Vec::new();
    for _ in 0..count {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind((from, 0).into()).unwrap();
        silent.push(socket.connect(to.itself.address).await.unwrap());
    }
    silent
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn strangers_from_many_addresses_keep_no_relay_out_and_those_at_the_address_of_one_are_limited() {
    let (owner, door) = (Member::start().await, Member::start().await);
    owner.knows(&door);
    let mut strangers = Vec::new();
    for last in 2..8 {
        strangers.extend(silent(&owner, [127, 0, 0, last], 100).await);
    }
    // At the first try, while the handshakes of all of them are under way.
    door.visit(&owner, "room=r", "198.51.100.1").await.expect("joined").await;
    let nearby = silent(&owner, [127, 0, 0, 1], 2 * crate::limits::STRANGERS_OF_ADDRESS as usize).await;
    let refused = async |stream: &TcpStream| {
        let closed = async { stream.readable().await.is_ok() };
        timeout(Duration::from_millis(100), closed).await.is_ok()
    };
    let outcomes = futures_util::future::join_all(nearby.iter().map(refused)).await;
    let refused = outcomes.into_iter().filter(|is_refused| *is_refused).count();
    assert!(refused >= crate::limits::STRANGERS_OF_ADDRESS as usize, "{refused} are refused");
}

/// What becomes of a client of `door` at a relay that does this with each connection after the handshake.
async fn at_a_relay_that<F>(
    door: &Member,
    does: impl Fn(tokio_rustls::server::TlsStream<TcpStream>) -> F,
) -> Result<Opened, Failure>
where
    F: Future<Output = ()>,
{
    let (identity, relays) = (Identity::new().unwrap(), Arc::new(Relays::default()));
    relays.learn(door.itself.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let neighbour = door.relays.learn(Neighbour {
        process: ProcessId::random().unwrap(),
        address: listener.local_addr().unwrap(),
        fingerprint: identity.fingerprint(),
        ..door.itself.clone()
    });
    let tls = tokio_rustls::TlsAcceptor::from(Arc::new(identity.server(relays).unwrap()));
    let serves = async {
        does(tls.accept(listener.accept().await.unwrap().0).await.unwrap()).await;
        std::future::pending().await
    };
    tokio::select! {
        opened = door.open(&neighbour, "198.51.100.1") => opened,
        never = serves => never,
    }
}

#[tokio::test]
async fn an_answer_without_end_is_none_and_is_not_waited_for() {
    let door = Member::start().await;
    for (begins, goes_on) in [
        ("", ""),
        ("HTTP/1.1 101 Switching Protocols\r\n", "a: b\r\n"),
        ("HTTP/1.1 101 Switching Protocols\r\na: ", "bbbbbbbb"),
        ("", "HTTP/1.1 100 Continue\r\n\r\n"),
        ("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 1000000000\r\n\r\n", ""),
        ("nonsense", "nonsense"),
    ] {
        let begun = Instant::now();
        let outcome = at_a_relay_that(&door, |mut stream| async move {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(begins.as_bytes()).await;
            while !goes_on.is_empty() && stream.write_all(goes_on.as_bytes()).await.is_ok() {}
            std::future::pending::<()>().await;
        });
        let outcome = soon("the outcome", outcome).await;
        assert!(matches!(outcome, Err(Failure::Unreachable(_))), "{begins:?} {goes_on:?}: {:?}", outcome.err());
        assert!(begun.elapsed() < PATIENCE / 2, "{:?}", begun.elapsed());
    }
    // A body without end is left out.
    let outcome = at_a_relay_that(&door, |mut stream| async move {
        let _ = stream.read(&mut [0; 4096]).await;
        let _ = stream.write_all(b"HTTP/1.1 409 Conflict\r\n\r\n").await;
        while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
    });
    match soon("the outcome", outcome).await {
        Ok(Opened::Refused(answer)) => assert!(answer.status() == 409 && answer.body().is_empty(), "{answer:?}"),
        Ok(Opened::Tunnel(..)) => panic!("it is let in"),
        Err(failure) => panic!("{failure}"),
    }
}

#[tokio::test]
async fn a_relay_whose_clients_came_before_it_was_known_is_let_in_once_it_is() {
    let (owner, door) = (Member::start().await, Member::start().await);
    // More than an address may fail within the time of its burst.
    for _ in 0..15 {
        let mut strangers: Vec<_> = Vec::new();
        for _ in 0..100 {
            let mut stranger = TcpStream::connect(owner.itself.address).await.unwrap();
            let _ = stranger.write_all(b"garbage that is no TLS at all").await;
            let _ = stranger.shutdown().await;
            strangers.push(stranger);
        }
        for stranger in &mut strangers {
            let _ = soon("the end", stranger.read_to_end(&mut Vec::new())).await;
        }
    }
    assert!(matches!(door.ask(&owner, "room=r", "198.51.100.1").await, Err(Failure::Unreachable(_))));
    owner.knows(&door);
    door.visit(&owner, "room=r", "198.51.100.1").await.expect("joined").await;
}

#[tokio::test]
async fn a_relay_that_falls_silent_loses_all_tunnels_within_5_s() {
    let (owner, door) = (Member::start().await, Member::start().await);
    // As a process that was stopped: the kernel accepts, and nobody greets.
    let stopped = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    owner.relays.learn(Neighbour { address: stopped.local_addr().unwrap(), ..door.itself.clone() });
    let mut ana = door.visit(&owner, "room=r&resume=1", "198.51.100.1").await;
    ana.expect("joined").await;
    let begun = Instant::now();
    assert_eq!(ana.closed().await, None, "a lost connection");
    let took = begun.elapsed();
    assert!(took > Duration::from_secs(2), "{took:?}");
    assert_eq!(owner.relay.rooms(), 1, "her place is held");
}

#[tokio::test]
async fn a_relay_says_which_rooms_it_has() {
    use crate::cluster::line::Line;
    use crate::cluster::paths::{ROOMS, question};
    let (owner, door) = (Member::start().await, Member::start().await);
    owner.knows(&door);
    let stream = door.doors.dial(&door.knows(&owner)).await.unwrap();
    let mut line = Line::new(stream).await.unwrap();
    for (hash, status) in [("here", StatusCode::OK), ("elsewhere", StatusCode::NOT_FOUND)] {
        let answer = soon("an answer", line.ask(question(&format!("{ROOMS}{hash}")))).await.unwrap();
        assert_eq!(answer.status(), status);
    }
}
