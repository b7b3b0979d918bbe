//! Model checks of the outbox with loom: in every interleaving of a few steps no frame is lost, duplicated or
//! reordered, and every task that waits is woken.
//!
//! This is the outbox of the crate, built with loom's lock instead of the standard library's, and with small limits
//! that few steps reach. If a wake-up is missing, loom reports a deadlock.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]
#![allow(dead_code, unreachable_pub, missing_docs, reason = "these tests use only a part of the module")]

#[path = "../src/budget/mod.rs"]
mod budget;
#[path = "../src/outbox/mod.rs"]
mod outbox;
#[cfg(feature = "wires")]
#[path = "../src/wire.rs"]
mod wire;

mod sync {
    pub(crate) use loom::sync::Mutex;
}

mod limits {
    use std::time::Duration;

    pub const SHARE_MESSAGES: usize = 2;
    pub const SHARE_BYTES: usize = 1024;
    pub const ADDRESS_SHARES: usize = 4;
    pub const PLACE_BYTES: usize = 1024;
    pub const ANNOUNCEMENTS: usize = 4;
    pub const UNCONFIRMED: usize = 2;
    pub const ANNOUNCED_BYTES: usize = 1024;
    pub const ERROR_MESSAGES: usize = 2;
    pub const ERROR_BYTES: usize = 1024;
    /// Longer than any model runs.
    pub const STALL: Duration = Duration::from_secs(3600);
    pub const WRITE_DEADLINE: Duration = Duration::from_secs(3600);
    pub const SLOW_PONG_DEADLINE: Duration = Duration::from_secs(3600);
    pub const WRITE_FRAMES: usize = 1;
    pub const WRITE_BYTES: usize = 1024;
    pub const WRITES_FOR_OTHERS: usize = 2;
}

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use loom::future::block_on;
use loom::sync::{Arc, Mutex};
use loom::thread;
use outbox::{CloseRequest, Outbox, Pushed, Sender, Sink, Topic};

/// A socket that accepts as many bytes as it has room for, and wakes the last task that found it full.
#[derive(Clone)]
struct Socket(Arc<Mutex<Kernel>>);

struct Kernel {
    taken: Vec<u8>,
    room: usize,
    is_broken: bool,
    is_direct: bool,
    writer: Option<Waker>,
    /// The task that waits until this many bytes are accepted. It ends the models; a real socket has none.
    watcher: Option<(usize, Waker)>,
}

impl Socket {
    fn new(room: usize, is_direct: bool) -> Self {
        Self(Arc::new(Mutex::new(Kernel {
            taken: Vec::new(),
            room,
            is_broken: false,
            is_direct,
            writer: None,
            watcher: None,
        })))
    }

    fn make_room(&self, more: usize) {
        let writer = {
            let mut kernel = self.0.lock().unwrap();
            kernel.room += more;
            kernel.writer.take()
        };
        writer.into_iter().for_each(Waker::wake);
    }

    /// As a kernel has room before it reports it: only a write finds out.
    fn make_room_silently(&self, more: usize) {
        self.0.lock().unwrap().room += more;
    }

    /// Ready when it has accepted `bytes`; only that wakes the task.
    fn poll_taken(&self, cx: &Context<'_>, bytes: usize) -> Poll<()> {
        let mut kernel = self.0.lock().unwrap();
        if kernel.taken.len() >= bytes {
            return Poll::Ready(());
        }
        kernel.watcher = Some((bytes, cx.waker().clone()));
        Poll::Pending
    }

    fn taken(&self) -> Vec<u8> {
        self.0.lock().unwrap().taken.clone()
    }
}

impl Sink for Socket {
    fn poll_write(&self, cx: &mut Context<'_>, frames: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let mut kernel = self.0.lock().unwrap();
        if kernel.is_broken {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if kernel.room == 0 {
            kernel.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let bytes = frames[0].len().min(kernel.room);
        kernel.taken.extend_from_slice(&frames[0][..bytes]);
        kernel.room -= bytes;
        let taken = kernel.taken.len();
        if let Some((_, watcher)) = kernel.watcher.take_if(|(bytes, _)| taken >= *bytes) {
            watcher.wake();
        }
        Poll::Ready(Ok(bytes))
    }

    fn poll_flush(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn is_direct(&self) -> bool {
        self.0.lock().unwrap().is_direct
    }
}

const PLENTY: usize = 1000;

fn outbox(room: usize, is_direct: bool) -> (Arc<Outbox>, Socket) {
    let socket = Socket::new(room, is_direct);
    let outbox = Outbox::new(PLENTY);
    outbox.connect(Box::new(socket.clone()));
    (Arc::new(outbox), socket)
}

fn sender() -> Sender {
    Outbox::new(PLENTY).sender().clone()
}

/// Sends `texts` as the task of a connection does: one after the other, and waits while the share is full.
fn send(outbox: &Outbox, sender: &Sender, texts: &[&'static str]) -> Vec<Pushed> {
    let push = |text: &'static str| {
        let frame = Bytes::from_static(text.as_bytes());
        let pushed = block_on(poll_fn(|cx| match outbox.push(sender, &frame, cx.waker()) {
            Pushed::Full => Poll::Pending,
            pushed => Poll::Ready(pushed),
        }));
        outbox.flush();
        pushed
    };
    texts.iter().map(|text| push(text)).collect()
}

/// The connection's task: writes whenever it is woken, until the socket has accepted this many bytes.
fn write_until(outbox: &Outbox, socket: &Socket, bytes: usize) {
    block_on(poll_fn(|cx| {
        outbox.poll_write(cx).unwrap();
        socket.poll_taken(cx, bytes)
    }));
}

fn check(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

#[test]
fn two_senders_at_once_write_both_frames_without_the_connections_task() {
    check(|| {
        let (outbox, socket) = outbox(PLENTY, true);
        let other = {
            let outbox = Arc::clone(&outbox);
            thread::spawn(move || send(&outbox, &sender(), &["a"]))
        };
        send(&outbox, &sender(), &["b"]);
        other.join().unwrap();
        let taken = socket.taken();
        assert!(taken == b"ab" || taken == b"ba", "{taken:?}");
    });
}

#[test]
fn the_connections_task_is_woken_to_write_what_the_socket_did_not_accept() {
    check(|| {
        let (outbox, socket) = outbox(1, true);
        let task = {
            let (outbox, socket) = (Arc::clone(&outbox), socket.clone());
            thread::spawn(move || write_until(&outbox, &socket, 3))
        };
        let kernel = {
            let socket = socket.clone();
            thread::spawn(move || socket.make_room(2))
        };
        send(&outbox, &sender(), &["abc"]);
        kernel.join().unwrap();
        task.join().unwrap();
        assert_eq!(socket.taken(), b"abc");
    });
}

#[test]
fn a_paused_sender_goes_on_when_there_is_room() {
    check(|| {
        let (outbox, socket) = outbox(0, true);
        let task = {
            let (outbox, socket) = (Arc::clone(&outbox), socket.clone());
            thread::spawn(move || write_until(&outbox, &socket, 3))
        };
        socket.make_room(PLENTY);
        assert_eq!(send(&outbox, &sender(), &["a", "b", "c"]), [Pushed::Queued; 3]);
        task.join().unwrap();
        assert_eq!(socket.taken(), b"abc");
    });
}

#[test]
fn a_paused_sender_goes_on_when_the_connection_ends() {
    check(|| {
        let (outbox, _socket) = outbox(0, true);
        let closer = {
            let outbox = Arc::clone(&outbox);
            thread::spawn(move || outbox.close(Bytes::from_static(b"close")))
        };
        let pushed = send(&outbox, &sender(), &["a", "b", "c"]);
        assert_eq!(pushed[2], Pushed::Closed);
        closer.join().unwrap();
    });
}

#[test]
fn the_connections_task_is_woken_to_write_if_no_other_task_may() {
    check(|| {
        let (outbox, socket) = outbox(PLENTY, false);
        let task = {
            let (outbox, socket) = (Arc::clone(&outbox), socket.clone());
            thread::spawn(move || write_until(&outbox, &socket, 1))
        };
        send(&outbox, &sender(), &["a"]);
        task.join().unwrap();
        assert_eq!(socket.taken(), b"a");
    });
}

#[test]
fn a_connections_task_that_finds_another_task_writing_is_woken_after_that() {
    check(|| {
        let (outbox, socket) = outbox(PLENTY, true);
        let task = {
            let outbox = Arc::clone(&outbox);
            thread::spawn(move || {
                outbox.close(Bytes::from_static(b"close"));
                block_on(poll_fn(|cx| outbox.poll_flush(cx))).unwrap();
            })
        };
        let pushed = send(&outbox, &sender(), &["a"]);
        task.join().unwrap();
        let expected: &[u8] = if pushed == [Pushed::Queued] { b"aclose" } else { b"close" };
        assert_eq!(socket.taken(), expected);
    });
}

#[test]
fn a_task_that_has_written_enough_for_another_connection_leaves_the_rest_to_it() {
    check(|| {
        let (outbox, socket) = outbox(PLENTY, true);
        let task = {
            let (outbox, socket) = (Arc::clone(&outbox), socket.clone());
            thread::spawn(move || write_until(&outbox, &socket, 3))
        };
        for announcement in [b"a", b"b", b"c"] {
            outbox.announce(outbox.sender(), Topic::Other, Bytes::from_static(announcement));
        }
        outbox.flush();
        task.join().unwrap();
        assert_eq!(socket.taken(), b"abc");
    });
}

#[test]
fn an_error_in_another_tasks_write_ends_the_connection() {
    check(|| {
        let (outbox, socket) = outbox(PLENTY, true);
        socket.0.lock().unwrap().is_broken = true;
        let task = {
            let outbox = Arc::clone(&outbox);
            thread::spawn(move || {
                block_on(poll_fn(|cx| match outbox.poll_write(cx) {
                    Err(error) => Poll::Ready(error),
                    Ok(_) => Poll::Pending,
                }))
            })
        };
        send(&outbox, &sender(), &["a"]);
        assert_eq!(task.join().unwrap().kind(), io::ErrorKind::BrokenPipe);
    });
}

#[test]
fn ending_an_outbox_wakes_its_connections_task() {
    check(|| {
        let (outbox, _socket) = outbox(PLENTY, true);
        let task = {
            let outbox = Arc::clone(&outbox);
            thread::spawn(move || {
                block_on(poll_fn(|cx| outbox.poll_write(cx).unwrap().close_request.map_or(Poll::Pending, Poll::Ready)))
            })
        };
        outbox.request_close(CloseRequest::Restart);
        assert_eq!(task.join().unwrap(), CloseRequest::Restart);
    });
}

#[test]
fn a_connection_is_read_from_again_once_its_errors_are_written() {
    check(|| {
        let (outbox, _socket) = outbox(PLENTY, true);
        outbox.answer(Bytes::from_static(b"one"));
        outbox.answer(Bytes::from_static(b"two"));
        let task = {
            let outbox = Arc::clone(&outbox);
            thread::spawn(move || block_on(poll_fn(|cx| outbox.poll_answered(cx))))
        };
        outbox.flush();
        task.join().unwrap();
    });
}

#[test]
fn a_sender_that_waits_for_room_makes_the_connections_task_try_the_socket() {
    check(|| {
        let (outbox, socket) = outbox(0, true);
        let task = {
            let (outbox, socket) = (Arc::clone(&outbox), socket.clone());
            thread::spawn(move || write_until(&outbox, &socket, 3))
        };
        let sender = sender();
        send(&outbox, &sender, &["a", "b"]);
        socket.make_room_silently(PLENTY);
        send(&outbox, &sender, &["c"]);
        task.join().unwrap();
        assert_eq!(socket.taken(), b"abc");
    });
}

/// The whole messages among `bytes`, each of two letters. A ping has its number after them.
fn whole_messages(bytes: &[u8]) -> Vec<u8> {
    let (mut messages, mut rest) = (Vec::new(), bytes);
    while rest.len() >= 2 {
        let length = if rest[0] == 0x89 { 2 + usize::from(rest[1]) } else { 2 };
        if rest[0] != 0x89 {
            messages.extend_from_slice(&rest[..2]);
        }
        rest = &rest[length.min(rest.len())..];
    }
    messages
}

#[test]
fn who_comes_back_while_another_task_writes_to_the_old_connection_gets_each_message_once() {
    check(|| {
        let (old, old_socket) = outbox(3, true);
        old.keep(None);
        let (sender, texts) = (sender(), [&b"aa"[..], b"bb"]);
        for text in texts {
            assert_eq!(old.push(&sender, &Bytes::from_static(text), Waker::noop()), Pushed::Queued);
        }
        let writer = {
            let old = Arc::clone(&old);
            thread::spawn(move || old.flush())
        };
        let before = whole_messages(&old_socket.taken());
        let received = before.len() as u64 / 2;
        let away = old.suspend().unwrap();
        assert!(away.can_resume_after(received), "{before:?} had arrived");
        let (new, new_socket) = outbox(PLENTY, true);
        assert!(away.hand_over(&new, received, Bytes::from_static(b"RR")).is_some());
        assert!(new.poll_flush(&mut Context::from_waker(Waker::noop())).is_ready());
        writer.join().unwrap();
        let after = whole_messages(&new_socket.taken());
        assert_eq!(after[..2], *b"RR");
        assert_eq!([&before, &after[2..]].concat(), b"aabb");
    });
}

#[test]
fn who_comes_back_while_another_task_writes_hears_that_somebody_left_if_it_heard_that_it_came() {
    check(|| {
        let (old, old_socket) = outbox(3, true);
        old.keep(None);
        let visitor = Outbox::new(PLENTY);
        let (id, cause) = (visitor.id(), visitor.sender());
        old.announce(cause, Topic::Joined(id), Bytes::from_static(b"jj"));
        let writer = {
            let old = Arc::clone(&old);
            thread::spawn(move || old.flush())
        };
        old.announce(cause, Topic::Left(id), Bytes::from_static(b"ll"));
        let before = whole_messages(&old_socket.taken());
        let away = old.suspend().unwrap();
        let (new, new_socket) = outbox(PLENTY, true);
        assert!(away.hand_over(&new, before.len() as u64 / 2, Bytes::from_static(b"RR")).is_some());
        assert!(new.poll_flush(&mut Context::from_waker(Waker::noop())).is_ready());
        writer.join().unwrap();
        let after = whole_messages(&new_socket.taken());
        let expected: &[u8] = if before.is_empty() { b"RR" } else { b"RRll" };
        assert_eq!(after, expected);
    });
}

#[test]
fn what_waits_until_the_client_has_confirmed_is_written_after_the_pong() {
    check(|| {
        let (outbox, socket) = outbox(PLENTY, true);
        outbox.keep(None);
        let task = {
            let (outbox, socket) = (Arc::clone(&outbox), socket.clone());
            thread::spawn(move || write_until(&outbox, &socket, 9))
        };
        for announcement in [b"a", b"b", b"c"] {
            outbox.announce(outbox.sender(), Topic::Other, Bytes::from_static(announcement));
        }
        outbox.flush();
        while !outbox.ack(b"1") {
            thread::yield_now();
        }
        task.join().unwrap();
        assert_eq!(socket.taken(), b"a\x89\x011b\x89\x012c");
    });
}
