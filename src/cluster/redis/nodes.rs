//! To whom a command goes: to the one Redis that there is, or to the node of a Redis Cluster that has its key.
//!
//! A key is in one of [`SLOTS`] slots, and each slot is served by one primary (the Redis Cluster specification, "Key distribution
//! model"). There is a connection to each primary. A slot that moves from one to another is followed, since it takes its keys along;
//! whatever else changes ends the connections, and the cluster is dialled anew.

use std::sync::{Mutex, PoisonError};

use crc::{CRC_16_XMODEM, Crc};
use redis::aio::MultiplexedConnection;
use redis::{Arg, Cmd, ErrorKind, FromRedisValue, RedisError, RedisResult, ServerErrorKind, Value};

use crate::cluster::settings::HostPort;

/// How many slots a Redis Cluster has.
pub(super) const SLOTS: usize = 16_384;

/// A connection to each node that has keys of ours.
pub(super) struct Nodes {
    connections: Vec<Node>,
    /// Which node has which slot, as its place in `connections`; none for a Redis that stands alone.
    slots: Option<Mutex<Vec<u16>>>,
}

/// A connection, and where it leads, as a Redis Cluster writes it.
#[derive(Clone)]
pub(super) struct Node {
    pub(super) at: String,
    pub(super) connection: MultiplexedConnection,
}

/// Slots that one node of a cluster serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) first: u16,
    pub(super) last: u16,
    pub(super) at: (String, u16),
}

impl Nodes {
    /// A Redis that stands alone.
    pub(super) fn one(connection: MultiplexedConnection) -> Self {
        Self { connections: vec![Node { at: String::new(), connection }], slots: None }
    }

    /// Those of a cluster, which serve these ranges; none if they do not serve all slots.
    pub(super) fn of_cluster(connections: Vec<Node>, ranges: &[Range]) -> Option<Self> {
        let mut slots = vec![None; SLOTS];
        for Range { first, last, at } in ranges {
            let at = HostPort(&at.0, at.1).to_string();
            let node = connections.iter().position(|node| node.at == at).and_then(|place| u16::try_from(place).ok());
            slots.get_mut(usize::from(*first)..=usize::from(*last))?.fill(node);
        }
        let slots = slots.into_iter().collect::<Option<_>>()?;
        Some(Self { connections, slots: Some(Mutex::new(slots)) })
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = MultiplexedConnection> {
        self.connections.iter().map(|node| node.connection.clone())
    }

    /// Asks the one that has the key of the command.
    pub(super) async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> RedisResult<T> {
        match command.query_async(&mut self.of(command)?).await {
            // Once is enough: a slot does not move twice at a time.
            Err(error) if self.follow(&error) => command.query_async(&mut self.of(command)?).await,
            answer => answer,
        }
    }

    /// The one to which a command goes.
    fn of(&self, command: &Cmd) -> RedisResult<MultiplexedConnection> {
        let place = match (&self.slots, key(command)) {
            (Some(slots), Some(key)) => {
                let slots = slots.lock().unwrap_or_else(PoisonError::into_inner);
                slots.get(slot(key)).copied().unwrap_or_default()
            }
            _ => 0,
        };
        let node = self.connections.get(usize::from(place));
        node.map(|node| node.connection.clone()).ok_or_else(|| (ErrorKind::Io, "there is no node").into())
    }

    /// Takes down where the slot is that a node has answered it does not have; false if that is none of these nodes, or the error
    /// is another one.
    fn follow(&self, error: &RedisError) -> bool {
        let Some(slots) = &self.slots else { return false };
        let Some((at, slot)) = error.redirect_node() else { return false };
        // Only the next command goes there: the slot is still on its way.
        if error.kind() != ErrorKind::Server(ServerErrorKind::Moved) {
            return false;
        }
        let node = self.connections.iter().position(|node| node.at == at).and_then(|place| u16::try_from(place).ok());
        let mut slots = slots.lock().unwrap_or_else(PoisonError::into_inner);
        match (slots.get_mut(usize::from(slot)), node) {
            (Some(there), Some(node)) => {
                *there = node;
                true
            }
            _ => false,
        }
    }
}

/// The key of a command: what follows its name, or a script and the number of its keys.
fn key(command: &Cmd) -> Option<&[u8]> {
    let mut words = command.args_iter().filter_map(|word| match word {
        Arg::Simple(word) => Some(word),
        _ => None,
    });
    if words.next()? == b"EVAL" { words.nth(2) } else { words.next() }
}

/// The slot of a key. Where it has something in braces, only that counts.
fn slot(key: &[u8]) -> usize {
    const CHECKSUM: Crc<u16> = Crc::<u16>::new(&CRC_16_XMODEM);
    let tag = || {
        let (_, rest) = split_at_byte(key, b'{')?;
        let (tag, _) = split_at_byte(rest, b'}')?;
        (!tag.is_empty()).then_some(tag)
    };
    usize::from(CHECKSUM.checksum(tag().unwrap_or(key))) % SLOTS
}

fn split_at_byte(bytes: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let place = bytes.iter().position(|byte| *byte == at)?;
    Some((bytes.get(..place)?, bytes.get(place + 1..)?))
}

/// What a node answers to `CLUSTER SLOTS`, asked at `asked`; none if it is not understood.
pub(super) fn ranges(said: &Value, asked: &(String, u16)) -> Option<Vec<Range>> {
    let Value::Array(ranges) = said else { return None };
    let range = |said: &Value| {
        let Value::Array(parts) = said else { return None };
        let [Value::Int(first), Value::Int(last), Value::Array(primary), ..] = parts.as_slice() else { return None };
        let [host, Value::Int(port), ..] = primary.as_slice() else { return None };
        // One that does not know its own address is where it was asked.
        let host = match host {
            Value::BulkString(host) if !host.is_empty() => String::from_utf8(host.clone()).ok()?,
            _ => asked.0.clone(),
        };
        let (first, last) = (u16::try_from(*first).ok()?, u16::try_from(*last).ok()?);
        Some(Range { first, last, at: (host, u16::try_from(*port).ok()?) })
    };
    ranges.iter().map(range).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    #[test]
    fn a_key_is_in_the_slot_in_which_a_redis_cluster_looks_for_it() {
        // As `CLUSTER KEYSLOT` of Redis 7.0 says.
        for (key, there) in [
            ("123456789", 12_739),
            ("foo", 12_182),
            ("{foo}bar", 12_182),
            ("a{foo}", 12_182),
            ("foo{}bar", 14_292),
            ("{}foo", 9_500),
            ("{foo", 13_308),
        ] {
            assert_eq!(slot(key.as_bytes()), there, "{key}");
        }
    }

    #[test]
    fn the_key_of_a_command_is_found() {
        for (command, expected) in [
            (redis::cmd("GET").arg("k"), Some("k")),
            (redis::cmd("EVAL").arg("return 1").arg(1).arg("k").arg("more"), Some("k")),
            (redis::cmd("HSET").arg("k").arg("field").arg("value"), Some("k")),
            (&mut redis::cmd("PING"), None),
        ] {
            assert_eq!(key(command), expected.map(str::as_bytes));
        }
    }

    #[test]
    fn who_serves_which_slots_is_read() {
        let node = |host, port| Value::Array(vec![host, Value::Int(port), text("id"), Value::Array(Vec::new())]);
        let range = |first, last, primary| {
            Value::Array(vec![Value::Int(first), Value::Int(last), primary, node(text("10.0.0.9"), 1)])
        };
        let asked = ("redis.example".to_owned(), 6379);
        let said = Value::Array(vec![
            range(0, 99, node(text("10.0.0.1"), 6379)),
            range(100, 16_383, node(text(""), 7000)),
            range(100, 16_383, node(Value::Nil, 7001)),
        ]);
        let read = ranges(&said, &asked).unwrap();
        assert_eq!(read[0], Range { first: 0, last: 99, at: ("10.0.0.1".into(), 6379) });
        assert_eq!(read[1].at, ("redis.example".into(), 7000));
        assert_eq!(read[2].at, ("redis.example".into(), 7001));
        for odd in [
            Value::Nil,
            Value::Array(vec![Value::Nil]),
            Value::Array(vec![range(0, 70_000, node(text("a"), 1))]),
            Value::Array(vec![range(0, 1, node(text("a"), -1))]),
            Value::Array(vec![range(0, 1, Value::Array(Vec::new()))]),
        ] {
            assert_eq!(ranges(&odd, &asked), None, "{odd:?}");
        }
    }
}
