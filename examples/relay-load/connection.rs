//! One connection: its socket, what came and is no whole message yet, and what the socket has not taken yet.

use std::io::Write;

use anyhow::{Context, Result, ensure};

use crate::frame::{self, Framing, Opcode};
use crate::stream::{Stream, Target};

/// Capacity that an empty buffer may keep: thousands of idle connections share the machine with what is measured.
const KEPT_BYTES: usize = 8 * 1024;
/// What the kernel takes in for a member that reads slowly, asked for in bytes: little, so that it is felt soon.
const SLOW_RECEIVE_BUFFER: usize = 16 * 1024;
/// The end of an HTTP response's head.
const HEAD_END: &[u8] = b"\r\n\r\n";
/// The largest head that a server may answer with, in bytes.
const HEAD_BYTES: usize = 8 * 1024;

/// How far a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The TCP connection or the upgrade is under way.
    Dialling,
    /// Messages go both ways.
    Open,
    /// A close frame was written.
    Closing,
}

/// One connection.
pub(crate) struct Connection {
    /// Its socket.
    pub(crate) stream: Stream,
    /// How far it is.
    pub(crate) phase: Phase,
    /// What came and is no whole message yet.
    pub(crate) pending: Vec<u8>,
    /// How many bytes may still be read, where that is limited.
    pub(crate) budget: Option<usize>,
    /// The code of the server's close frame.
    pub(crate) close_code: Option<u16>,
    framing: Framing,
    out: Vec<u8>,
    written: usize,
}

impl Connection {
    /// Begins to connect, and asks for the upgrade of `path`.
    pub(crate) fn dial(
        target: &Target,
        index: usize,
        framing: Framing,
        path: &str,
        budget: Option<usize>,
    ) -> Result<Self> {
        let mut out = Vec::new();
        if framing == Framing::WebSocket {
            write!(
                out,
                "GET {}{path} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                target.path, target.host
            )?;
        }
        Ok(Self {
            stream: Stream::connect(target, index, budget.map(|_| SLOW_RECEIVE_BUFFER))?,
            phase: Phase::Dialling,
            pending: Vec::new(),
            budget,
            close_code: None,
            framing,
            out,
            written: 0,
        })
    }

    /// What follows the head of the server's answer, once it is all there and says yes.
    pub(crate) fn upgraded(bytes: &[u8]) -> Result<Option<&[u8]>> {
        let Some(end) = bytes.windows(HEAD_END.len()).position(|window| window == HEAD_END) else {
            ensure!(bytes.len() < HEAD_BYTES, "the server's answer to the upgrade does not end");
            return Ok(None);
        };
        let (head, rest) = bytes.split_at_checked(end + HEAD_END.len()).context("the answer is shorter than itself")?;
        ensure!(head.starts_with(b"HTTP/1.1 101"), "the server answers {}", String::from_utf8_lossy(bytes));
        Ok(Some(rest))
    }

    /// Appends a frame to what is to be written; whether the socket may take it at once.
    pub(crate) fn append(&mut self, opcode: Opcode, payload: &[u8]) -> bool {
        if self.phase == Phase::Closing {
            return false;
        }
        if opcode == Opcode::Close {
            self.phase = Phase::Closing;
        }
        let first = self.out.is_empty();
        frame::write(self.framing, opcode, payload, &mut self.out);
        first
    }

    /// Bytes that the socket has not taken yet.
    pub(crate) fn backlog(&self) -> usize {
        self.out.len() - self.written
    }

    /// Writes what the socket takes. What is wrong with it, the next read will tell.
    pub(crate) fn flush(&mut self) {
        while let Some(rest @ [_, ..]) = self.out.get(self.written..) {
            match self.stream.write(rest) {
                Ok(0) | Err(_) => break,
                Ok(bytes) => self.written += bytes,
            }
        }
        // TLS's own words fail only where the next read fails as well.
        let _ = self.stream.flush();
        if self.backlog() == 0 {
            self.written = 0;
            if self.out.capacity() > KEPT_BYTES { self.out = Vec::new() } else { self.out.clear() }
        }
    }
}
