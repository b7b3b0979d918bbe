//! A client for unit tests: an outbox with a socket in memory.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

#[cfg(test)]
use proptest::test_runner::Config as ProptestConfig;

use crate::outbox::{Outbox, Sink};

/// How many cases a property test tries: `usual`, or as many as `PROPTEST_CASES` says. A case that fails is printed, and
/// not written to a file.
#[cfg(test)]
pub(crate) fn cases(usual: u32) -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(usual);
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

/// What `work` writes to the log.
#[cfg(test)]
pub(crate) fn log_of(work: impl FnOnce()) -> String {
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    tracing::subscriber::with_default(subscriber, work);
    let text = log.0.lock().unwrap().clone();
    String::from_utf8(text).unwrap()
}

/// A socket in memory that accepts as many bytes as a test allows.
#[derive(Debug, Clone)]
pub(crate) struct MemorySocket(Arc<Mutex<Memory>>);

#[derive(Debug)]
struct Memory {
    taken: Vec<u8>,
    /// How many more bytes it accepts.
    room: usize,
    writer: Option<Waker>,
}

impl MemorySocket {
    /// A socket that accepts `room` bytes, and an outbox that writes to it.
    pub(crate) fn with_outbox(room: usize) -> (Self, Arc<Outbox>) {
        let outbox = Arc::new(Outbox::new(1024 * 1024));
        (Self::connected_to(&outbox, room), outbox)
    }

    /// A socket that accepts `room` bytes, to which `outbox` writes.
    pub(crate) fn connected_to(outbox: &Outbox, room: usize) -> Self {
        let socket = Self(Arc::new(Mutex::new(Memory { taken: Vec::new(), room, writer: None })));
        outbox.connect(Box::new(socket.clone()));
        socket
    }

    /// Makes it accept `more` bytes.
    pub(crate) fn make_room(&self, more: usize) {
        let mut memory = self.0.lock().unwrap();
        memory.room = memory.room.saturating_add(more);
        if let Some(writer) = memory.writer.take() {
            writer.wake();
        }
    }

    /// Makes it accept nothing.
    pub(crate) fn stop(&self) {
        self.0.lock().unwrap().room = 0;
    }

    /// The text messages that it has accepted since the last call. An incomplete one stays.
    pub(crate) fn texts(&self) -> Vec<String> {
        let texts = self.frames().into_iter().filter(|(opcode, _)| *opcode == 1);
        texts.map(|(_, payload)| String::from_utf8(payload).unwrap()).collect()
    }

    /// The frames that it has accepted since the last call: opcode and payload. An incomplete one stays.
    pub(crate) fn frames(&self) -> Vec<(u8, Vec<u8>)> {
        let mut memory = self.0.lock().unwrap();
        let mut frames = Vec::new();
        while let Some((opcode, header, length)) = frame_at(&memory.taken)
            && memory.taken.len() >= header + length
        {
            let frame: Vec<u8> = memory.taken.drain(..header + length).collect();
            frames.push((opcode, frame[header..].to_vec()));
        }
        frames
    }
}

/// The opcode of a frame, the length of its header, and the length of its payload.
fn frame_at(bytes: &[u8]) -> Option<(u8, usize, usize)> {
    let (first, second) = (*bytes.first()?, *bytes.get(1)?);
    Some(match second {
        126 => (first & 15, 4, u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?).into()),
        127 => (first & 15, 10, u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?) as usize),
        length => (first & 15, 2, length.into()),
    })
}

impl Sink for MemorySocket {
    fn poll_write(&self, cx: &mut Context<'_>, frames: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let mut memory = self.0.lock().unwrap();
        if memory.room == 0 {
            memory.writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let mut taken = 0;
        for frame in frames {
            let bytes = frame.len().min(memory.room);
            memory.taken.extend_from_slice(&frame[..bytes]);
            memory.room -= bytes;
            taken += bytes;
        }
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn is_direct(&self) -> bool {
        true
    }
}
