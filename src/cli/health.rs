//! `signaling-relay health`: whether a relay answers, for containers and service managers that ask by a command.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use clap::Args;

use crate::limits::HEALTH_DEADLINE;

/// The question whether a relay answers.
#[derive(Debug, Args)]
pub struct Health {
    /// Where the relay listens.
    #[arg(value_name = "HOST:PORT", default_value = "localhost:8080")]
    address: String,
}

impl Health {
    /// Asks for `/healthz` without TLS, which a port with TLS redirects.
    ///
    /// # Errors
    /// When nobody answers within [`HEALTH_DEADLINE`], or the answer is another one.
    pub fn ask(&self) -> anyhow::Result<()> {
        let end = Instant::now() + HEALTH_DEADLINE;
        let addresses: Vec<_> = self.address.to_socket_addrs().with_context(|| self.address.clone())?.collect();
        let mut failed = None;
        for address in addresses {
            let left = end.saturating_duration_since(Instant::now());
            ensure!(!left.is_zero(), "{}: no answer in time", self.address);
            match TcpStream::connect_timeout(&address, left) {
                Ok(stream) => return self.ask_on(stream, end),
                Err(error) => failed = Some(error),
            }
        }
        match failed {
            Some(error) => Err(error).with_context(|| self.address.clone()),
            None => bail!("{}: no such host", self.address),
        }
    }

    fn ask_on(&self, mut stream: TcpStream, end: Instant) -> anyhow::Result<()> {
        let mut answer = Vec::new();
        let mut ask = || -> io::Result<()> {
            stream.set_write_timeout(Some(HEALTH_DEADLINE))?;
            write!(stream, "GET /healthz HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address)?;
            // The status is all that counts.
            while answer.len() < STATUS_BYTES {
                let left = end.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    return Err(io::ErrorKind::TimedOut.into());
                }
                stream.set_read_timeout(Some(left))?;
                let mut bytes = [0; STATUS_BYTES];
                let read = stream.read(&mut bytes)?;
                if read == 0 {
                    break;
                }
                answer.extend_from_slice(bytes.get(..read).unwrap_or_default());
            }
            Ok(())
        };
        ask().with_context(|| format!("{}: no answer", self.address))?;
        let status = String::from_utf8_lossy(answer.get(..STATUS_BYTES).unwrap_or(&answer)).into_owned();
        let is_well = ["HTTP/1.1 200", "HTTP/1.1 308"].contains(&status.as_str());
        ensure!(is_well, "{}: it answers {status:?}", self.address);
        Ok(())
    }
}

/// How many bytes a status has, such as `HTTP/1.1 200` (RFC 9112 section 4).
const STATUS_BYTES: usize = 12;
