//! What lies between a relay and Redis, or between two relays: a TCP proxy that can be cut, one way or both, and that can
//! swallow an answer.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering::SeqCst};
use std::time::Duration;

use rustix::net::{self, AddressFamily, RecvFlags, SendFlags, SocketType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How what comes from one side is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Mode {
    /// It passes.
    #[default]
    Open,
    /// Connections are reset, and new ones refused.
    Refused,
    /// What goes there arrives when this is over, as of a network that lost it and had it sent again.
    HeldThere,
    /// What comes back does.
    HeldBack,
    /// Both.
    Held,
}

/// How it is treated now, and how often answers were swallowed.
type State = (Mode, u32);

/// Who has the connection from the first of these ports to the second one.
pub(super) type Whose = Arc<dyn Fn(u16, u16) -> Option<usize> + Send + Sync>;

/// A wire that leads to one port, from several sides.
pub(super) struct Wire {
    /// Where it begins.
    pub(super) port: u16,
    target: Arc<AtomicU16>,
    sides: Vec<watch::Sender<State>>,
    accepting: JoinHandle<()>,
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Wire {
    /// One with so many sides, which leads nowhere yet.
    pub(super) async fn new(sides: usize, whose: Whose) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let target = Arc::<AtomicU16>::default();
        let sides: Vec<_> = (0..sides).map(|_| watch::channel(State::default()).0).collect();
        let whose = move |from| whose(from, port);
        let accepting = tokio::spawn(accept(listener, Arc::clone(&target), sides.clone(), whose));
        Self { port, target, sides, accepting }
    }

    /// Where new connections lead from now on.
    pub(super) fn lead_to(&self, port: u16) {
        self.target.store(port, SeqCst);
    }

    /// How those from `side` are treated from now on.
    pub(super) fn set(&self, side: usize, mode: Mode) {
        self.sides[side].send_modify(|state| state.0 = mode);
    }

    /// Nothing comes back any more on the connections that there are now; what they carry there arrives.
    pub(super) fn swallow(&self, side: usize) {
        self.sides[side].send_modify(|state| state.1 += 1);
    }
}

async fn accept(
    listener: TcpListener,
    target: Arc<AtomicU16>,
    sides: Vec<watch::Sender<State>>,
    whose: impl Fn(u16) -> Option<usize>,
) {
    loop {
        let Ok((near, from)) = listener.accept().await else { continue };
        let _ = near.set_nodelay(true);
        // Who has it may be gone already.
        let Some(side) = whose(from.port()).and_then(|side| sides.get(side)) else { continue };
        tokio::spawn(carry(near, Arc::clone(&target), side.subscribe()));
    }
}

/// Carries what a connection says there and back, until either end has ended.
async fn carry(near: TcpStream, target: Arc<AtomicU16>, mut state: watch::Receiver<State>) {
    let is_there = |(mode, _): &State| matches!(mode, Mode::Open | Mode::Refused);
    let Ok(first) = state.wait_for(is_there).await.map(|state| *state) else { return };
    if first.0 == Mode::Refused {
        return reset(&near);
    }
    let Ok(far) = TcpStream::connect((Ipv4Addr::LOCALHOST, target.load(SeqCst))).await else { return reset(&near) };
    let _ = far.set_nodelay(true);
    let ((near_reader, near_writer), (far_reader, far_writer)) = (near.into_split(), far.into_split());
    let there = Way { reader: near_reader, writer: far_writer, state: state.clone(), swallowed: None };
    let back = Way { reader: far_reader, writer: near_writer, state: state.clone(), swallowed: Some(first.1) };
    let (mut there, mut back) = (tokio::spawn(there.carry()), tokio::spawn(back.carry()));
    let refused = async move { state.wait_for(|(mode, _)| *mode == Mode::Refused).await.is_ok() };
    tokio::select! {
        // One of the two goes on, as far as the other end likes.
        ended = &mut there => if ended.is_ok_and(|is_whole| is_whole) { let _ = (&mut back).await; },
        ended = &mut back => if ended.is_ok_and(|is_whole| is_whole) { let _ = (&mut there).await; },
        true = refused => {}
    }
    there.abort();
    back.abort();
}

/// Ends a connection as something that is not there does.
fn reset(stream: &TcpStream) {
    let _ = stream.set_zero_linger();
}

/// One direction.
struct Way {
    reader: OwnedReadHalf,
    writer: OwnedWriteHalf,
    state: watch::Receiver<State>,
    /// If this leads back: how often answers had been swallowed when it began.
    swallowed: Option<u32>,
}

impl Way {
    /// Carries until it ends; returns whether it ended as a whole.
    async fn carry(mut self) -> bool {
        let is_back = self.swallowed.is_some();
        let is_held = move |mode: Mode| match mode {
            Mode::Open | Mode::Refused => false,
            Mode::HeldThere => !is_back,
            Mode::HeldBack => is_back,
            Mode::Held => true,
        };
        let mut bytes = vec![0; 16 * 1024];
        loop {
            let read = self.reader.read(&mut bytes).await;
            // The end, too, is not heard of before the wire is mended.
            let Ok(state) = self.state.wait_for(|(mode, _)| !is_held(*mode)).await.map(|state| *state) else {
                return false;
            };
            if state.0 == Mode::Refused {
                let _ = self.reader.as_ref().set_zero_linger();
                return false;
            }
            match read {
                Ok(0) => return self.writer.shutdown().await.is_ok(),
                Ok(_) if self.swallowed.is_some_and(|before| before != state.1) => {}
                Ok(read) => {
                    if self.writer.write_all(&bytes[..read]).await.is_err() {
                        return false;
                    }
                }
                Err(_) => return false,
            }
        }
    }
}

/// Which of these processes has the connection from one port of 127.0.0.1 to another.
pub(super) fn owner_of(from: u16, to: u16, processes: &[Option<u32>]) -> Option<usize> {
    let in_table = || sockets().find(|socket| socket.port == from && !socket.is_listening).map(|socket| socket.inode);
    let inode = inode_of(from, to).or_else(in_table)?;
    processes.iter().position(|pid| pid.is_some_and(|pid| inodes_of(pid).contains(&inode)))
}

/// The inode of the socket whose connection leads from one port of 127.0.0.1 to another, as the kernel says it (sock_diag(7));
/// none if it does not. Its table of all connections takes milliseconds to read, and has thousands where tests run.
fn inode_of(from: u16, to: u16) -> Option<u64> {
    const REQUEST: u16 = 1;
    const SOCK_DIAG_BY_FAMILY: u16 = 20;
    const INODE: usize = 84;
    let mut ask = Vec::new();
    // The head of the message: its length, what it asks, and a number.
    ask.extend(72_u32.to_ne_bytes());
    ask.extend([SOCK_DIAG_BY_FAMILY, REQUEST].map(u16::to_ne_bytes).concat());
    ask.extend([0; 8]);
    // TCP over IPv4 in any state.
    ask.extend([2, 6, 0, 0, 0xff, 0xff, 0xff, 0xff]);
    ask.extend([from, to].map(u16::to_be_bytes).concat());
    for _ in 0..2 {
        ask.extend(Ipv4Addr::LOCALHOST.octets());
        ask.extend([0; 12]);
    }
    // By any interface, without a cookie.
    ask.extend([0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    let kernel = net::socket(AddressFamily::NETLINK, SocketType::RAW, Some(net::netlink::SOCK_DIAG)).ok()?;
    net::send(&kernel, &ask, SendFlags::empty()).ok()?;
    let mut answer = [0; 512];
    let (length, _) = net::recv(&kernel, &mut answer, RecvFlags::DONTWAIT).ok()?;
    let is_it = answer[4..6] == SOCK_DIAG_BY_FAMILY.to_ne_bytes() && length >= INODE + 4;
    let inode = u32::from_ne_bytes(answer[INODE..INODE + 4].try_into().ok()?);
    // None has this number: it is closed already.
    (is_it && inode > 0).then_some(inode.into())
}

/// The ports on which a process listens.
pub(super) fn listens_on(pid: u32) -> Vec<u16> {
    let inodes = inodes_of(pid);
    let is_its = |socket: &Socket| socket.is_listening && inodes.contains(&socket.inode);
    sockets().filter(is_its).map(|socket| socket.port).collect()
}

/// A TCP socket of this machine.
struct Socket {
    port: u16,
    is_listening: bool,
    inode: u64,
}

fn sockets() -> impl Iterator<Item = Socket> {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let sockets: Vec<_> = table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<_> = line.split_ascii_whitespace().collect();
            let port = u16::from_str_radix(fields.get(1)?.rsplit_once(':')?.1, 16).ok()?;
            Some(Socket { port, is_listening: *fields.get(3)? == "0A", inode: fields.get(9)?.parse().ok()? })
        })
        .collect();
    sockets.into_iter()
}

fn inodes_of(pid: u32) -> Vec<u64> {
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let inode = |file: std::fs::DirEntry| {
        let link = std::fs::read_link(file.path()).ok()?;
        link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
    };
    files.filter_map(inode).collect()
}

#[tokio::test]
#[ignore = "on a machine of its own: scripts/cluster-test"]
async fn a_wire_carries_holds_swallows_and_refuses() {
    let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let own = Some(std::process::id());
    let wire = Wire::new(2, Arc::new(move |from, to| owner_of(from, to, &[None, own]))).await;
    wire.lead_to(server.local_addr().unwrap().port());
    let dial = async || {
        let near = TcpStream::connect((Ipv4Addr::LOCALHOST, wire.port)).await.unwrap();
        let far = crate::harness::soon("the other end", server.accept()).await.unwrap().0;
        (near, far)
    };
    let hears = async |stream: &mut TcpStream| {
        let mut byte = [0; 1];
        tokio::time::timeout(Duration::from_millis(300), stream.read_exact(&mut byte))
            .await
            .map(|read| read.map(|_| byte[0]))
    };
    let (mut near, mut far) = dial().await;
    let ports = (near.local_addr().unwrap().port(), near.peer_addr().unwrap().port());
    assert!(inodes_of(std::process::id()).contains(&inode_of(ports.0, ports.1).expect("the kernel knows it")));
    assert_eq!(inode_of(ports.0, 1), None);
    near.write_all(b"1").await.unwrap();
    assert_eq!(hears(&mut far).await.unwrap().unwrap(), b'1');
    // What another side feels.
    wire.set(0, Mode::Held);
    // One way.
    wire.set(1, Mode::HeldThere);
    near.write_all(b"2").await.unwrap();
    far.write_all(b"3").await.unwrap();
    assert_eq!(hears(&mut near).await.unwrap().unwrap(), b'3');
    assert!(hears(&mut far).await.is_err());
    wire.set(1, Mode::Open);
    assert_eq!(hears(&mut far).await.unwrap().unwrap(), b'2');
    // Answers that were on their way, and none of a connection that comes after.
    wire.swallow(1);
    near.write_all(b"4").await.unwrap();
    assert_eq!(hears(&mut far).await.unwrap().unwrap(), b'4');
    far.write_all(b"5").await.unwrap();
    assert!(hears(&mut near).await.is_err());
    let (mut again, mut answers) = dial().await;
    answers.write_all(b"6").await.unwrap();
    assert_eq!(hears(&mut again).await.unwrap().unwrap(), b'6');
    // An end is not heard of while it is held.
    wire.set(1, Mode::Held);
    drop(answers);
    assert!(hears(&mut again).await.is_err());
    wire.set(1, Mode::Refused);
    assert!(hears(&mut again).await.unwrap().is_err());
    let mut refused = TcpStream::connect((Ipv4Addr::LOCALHOST, wire.port)).await.unwrap();
    assert!(hears(&mut refused).await.unwrap().is_err());
    assert!(wire.port > 0 && listens_on(std::process::id()).contains(&wire.port));
}
