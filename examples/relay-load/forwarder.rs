//! The least that a relay can do: one read and one write a message, over plain TCP, without frames and without a look at
//! what they carry. What it costs is the physical limit that relays are measured against.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;

use anyhow::Result;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

/// Bytes that one read takes at most, in a buffer that all connections share.
const READ_BYTES: usize = 64 * 1024;
/// Events that one look at the poller brings.
const EVENTS: usize = 1024;
/// Bytes of the length in front of the room's name.
const PREFIX_BYTES: usize = 4;
/// The token of the listener; connections count from 0.
const LISTENER: Token = Token(usize::MAX);

/// A connection, and who is in the room with it.
struct Client {
    stream: TcpStream,
    room: Option<Vec<u8>>,
    hello: Vec<u8>,
    /// What the socket has not taken yet.
    out: Vec<u8>,
}

/// All connections.
struct Forwarder {
    poll: Poll,
    clients: Vec<Option<Client>>,
    free: Vec<usize>,
    rooms: HashMap<Vec<u8>, Vec<usize>>,
}

/// Forwards until it is killed.
pub(crate) fn run(address: SocketAddr) -> Result<()> {
    let mut listener = TcpListener::bind(address)?;
    println!("listening on {}", listener.local_addr()?);
    let poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut forwarder = Forwarder { poll, clients: Vec::new(), free: Vec::new(), rooms: HashMap::new() };
    let mut events = Events::with_capacity(EVENTS);
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match forwarder.poll.poll(&mut events, None) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.into()),
            _ => {}
        }
        for event in &events {
            if event.token() == LISTENER {
                forwarder.accept(&listener)?;
                continue;
            }
            let Token(index) = event.token();
            if event.is_writable() {
                forwarder.flush(index);
            }
            if event.is_readable() && !forwarder.forward(index, event.is_read_closed(), &mut buffer) {
                forwarder.forget(index);
            }
        }
    }
}

impl Forwarder {
    fn accept(&mut self, listener: &TcpListener) -> Result<()> {
        // An error means that nobody waits, or that one who waited is gone.
        while let Ok((mut stream, _)) = listener.accept() {
            stream.set_nodelay(true)?;
            let index = self.free.pop().unwrap_or(self.clients.len());
            self.poll.registry().register(&mut stream, Token(index), Interest::READABLE | Interest::WRITABLE)?;
            let client = Some(Client { stream, room: None, hello: Vec::new(), out: Vec::new() });
            match self.clients.get_mut(index) {
                Some(place) => *place = client,
                None => self.clients.push(client),
            }
        }
        Ok(())
    }

    /// Reads what came and writes it to the others in the room; `false` when the connection has ended. A read that does
    /// not fill its buffer has emptied the socket, but for the end of the stream, which the same event may tell.
    fn forward(&mut self, index: usize, to_the_end: bool, buffer: &mut [u8]) -> bool {
        loop {
            let Some(Some(client)) = self.clients.get_mut(index) else { return true };
            let bytes = match client.stream.read(buffer) {
                Ok(0) => return false,
                Ok(bytes) => bytes,
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            };
            let emptied = bytes < buffer.len() && !to_the_end;
            let bytes = buffer.get(..bytes).unwrap_or_default();
            if let Some(room) = &client.room {
                let others = self.rooms.get(room).map(Vec::as_slice).unwrap_or_default();
                write_to_others(&mut self.clients, others, index, bytes);
            } else {
                self.greet(index, bytes);
            }
            if emptied {
                return true;
            }
        }
    }

    /// Takes in the room's name, and forwards what follows it.
    fn greet(&mut self, index: usize, bytes: &[u8]) {
        let Some(Some(client)) = self.clients.get_mut(index) else { return };
        client.hello.extend_from_slice(bytes);
        let Some((length, rest)) = client.hello.split_first_chunk::<PREFIX_BYTES>() else { return };
        let Some((room, rest)) = rest.split_at_checked(u32::from_be_bytes(*length) as usize) else { return };
        let (room, rest) = (room.to_vec(), rest.to_vec());
        client.hello = Vec::new();
        client.room = Some(room.clone());
        let members = self.rooms.entry(room).or_default();
        members.push(index);
        if !rest.is_empty() {
            write_to_others(&mut self.clients, members, index, &rest);
        }
    }

    fn flush(&mut self, index: usize) {
        if let Some(Some(client)) = self.clients.get_mut(index).filter(|client| has_backlog(client)) {
            let out = std::mem::take(&mut client.out);
            client.write(&out);
        }
    }

    fn forget(&mut self, index: usize) {
        let Some(mut client) = self.clients.get_mut(index).and_then(Option::take) else { return };
        // A socket that is closed leaves the poller by itself.
        let _ = self.poll.registry().deregister(&mut client.stream);
        self.free.push(index);
        let Some(room) = client.room else { return };
        if let Some(members) = self.rooms.get_mut(&room) {
            members.retain(|member| *member != index);
            if members.is_empty() {
                self.rooms.remove(&room);
            }
        }
    }
}

fn has_backlog(client: &Option<Client>) -> bool {
    client.as_ref().is_some_and(|client| !client.out.is_empty())
}

fn write_to_others(clients: &mut [Option<Client>], members: &[usize], from: usize, bytes: &[u8]) {
    for member in members.iter().filter(|member| **member != from) {
        if let Some(Some(client)) = clients.get_mut(*member) {
            client.write(bytes);
        }
    }
}

impl Client {
    /// Writes `bytes`, and keeps what the socket does not take. What is wrong with it, the next read will tell.
    fn write(&mut self, bytes: &[u8]) {
        let taken = if self.out.is_empty() { self.stream.write(bytes).unwrap_or_default() } else { 0 };
        self.out.extend_from_slice(bytes.get(taken..).unwrap_or_default());
    }
}
