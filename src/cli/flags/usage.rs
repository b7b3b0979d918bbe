//! How much clients may use.

use clap::Args;

use super::number;
use crate::config::Config;
use crate::limits;

/// How much clients may use.
#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub(super) struct UsageFlags {
    /// Allow this many peers in a room, 1 to 256.
    ///
    /// The room `lobby` takes two at most: the 50-line demo's page expects that.
    #[arg(
        long,
        value_name = "PEERS",
        env = "SIGNALING_RELAY_ROOM_CAPACITY",
        default_value_t = limits::ROOM_CAPACITY,
        value_parser = number(limits::ROOM_CAPACITY_MIN, limits::ROOM_CAPACITY_MAX)
    )]
    room_capacity: usize,

    /// Accept messages of this size at most, 64 to 16777216 bytes.
    ///
    /// A larger one closes its connection with the code 1009.
    #[arg(
        long,
        value_name = "BYTES",
        env = "SIGNALING_RELAY_MAX_MESSAGE_BYTES",
        default_value_t = limits::MESSAGE_BYTES,
        value_parser = number(limits::MESSAGE_BYTES_MIN, limits::MESSAGE_BYTES_MAX)
    )]
    max_message_bytes: usize,

    /// Let one connection send this many messages a second; 0 means no limit.
    ///
    /// It may first send a burst of 20 times as many. A broadcast counts once for each receiver.
    #[arg(
        long,
        value_name = "PER_SECOND",
        env = "SIGNALING_RELAY_MESSAGE_RATE",
        default_value_t = limits::MESSAGE_RATE,
        value_parser = number(0, u32::MAX)
    )]
    message_rate: u32,

    /// Let one connection send this many bytes a second; 0 means no limit.
    ///
    /// It may first send a burst of 16 times as many.
    #[arg(
        long,
        value_name = "PER_SECOND",
        env = "SIGNALING_RELAY_BYTE_RATE",
        default_value_t = limits::BYTE_RATE,
        value_parser = number(0, u32::MAX)
    )]
    byte_rate: u32,

    /// Let one address have this many connections open at a time; 0 means no limit.
    ///
    /// Everybody behind one NAT has one address, so raise it for a larger office. An IPv6 address counts by its /64. The
    /// clients of a --trusted-proxy count by their own addresses. As many places of an address are held at a time (see
    /// --hold-ms).
    #[arg(
        long,
        value_name = "CONNECTIONS",
        env = "SIGNALING_RELAY_ADDRESS_CONNECTIONS",
        default_value_t = limits::ADDRESS_CONNECTIONS,
        value_parser = number(0, u32::MAX)
    )]
    address_connections: u32,

    /// Let one address open this many WebSockets a second; 0 means no limit.
    ///
    /// It may first open 10 times as many at once. TLS handshakes are counted in the same way, on their own.
    #[arg(
        long,
        value_name = "PER_SECOND",
        env = "SIGNALING_RELAY_ADDRESS_UPGRADES",
        default_value_t = limits::ADDRESS_UPGRADES,
        value_parser = number(0, u32::MAX)
    )]
    address_upgrades: u32,

    /// Let one address join rooms this many times a second; 0 means no limit.
    ///
    /// It may first join 10 times as many at once. A failed join counts as 10, so that nobody finds rooms by trying names.
    #[arg(
        long,
        value_name = "PER_SECOND",
        env = "SIGNALING_RELAY_ADDRESS_JOINS",
        default_value_t = limits::ADDRESS_JOINS,
        value_parser = number(0, u32::MAX)
    )]
    address_joins: u32,

    /// Let all connections of one address together send this many bytes a second; 0 means no limit.
    ///
    /// They may first send a burst of 16 times as many. Bytes beyond it are read later. Of the page and other files, they are
    /// sent a quarter of that.
    #[arg(
        long,
        value_name = "PER_SECOND",
        env = "SIGNALING_RELAY_ADDRESS_BYTES",
        default_value_t = limits::ADDRESS_BYTES,
        value_parser = number(0, u32::MAX)
    )]
    address_bytes: u32,

    /// Accept this many connections at a time; 0 means no limit.
    ///
    /// Without it, the limit is 95 % of the file descriptors that the process may open (ulimit -Hn; Windows has no such
    /// limit). When it is reached, only /healthz is still answered.
    #[arg(
        long,
        value_name = "CONNECTIONS",
        env = "SIGNALING_RELAY_MAX_CONNECTIONS",
        value_parser = number(0, usize::MAX)
    )]
    max_connections: Option<usize>,

    /// Let all clients together pin this much memory, in MiB; 0 means no limit. By default it is half of what there is.
    ///
    /// That is what waits for clients that do not read, what is kept for those that may come back, and the connections
    /// themselves. What there is, is the memory of the machine, or of the relay's control group.
    #[arg(long, value_name = "MIB", env = "SIGNALING_RELAY_MEMORY", value_parser = number(0, limits::MEMORY_MIB_MAX))]
    memory: Option<u32>,

    /// Let one address pin this much memory, in MiB; 0 means no limit.
    ///
    /// Messages count for the address that sent them. Beyond it they are refused as if the receiver were busy, and its new
    /// connections too.
    #[arg(
        long,
        value_name = "MIB",
        env = "SIGNALING_RELAY_ADDRESS_MEMORY",
        default_value_t = limits::ADDRESS_MEMORY_MIB,
        value_parser = number(0, limits::MEMORY_MIB_MAX)
    )]
    address_memory: u32,

    /// Hold the place of a client whose connection is lost for this many milliseconds; 0 turns that off.
    ///
    /// Only for clients that ask for it, as the call page does: they come back with the same id, and nothing is lost.
    #[arg(
        long,
        value_name = "MS",
        env = "SIGNALING_RELAY_HOLD_MS",
        default_value_t = limits::HOLD_MS,
        value_parser = number(0, limits::HOLD_MS_MAX)
    )]
    hold_ms: u64,
}

impl UsageFlags {
    pub(super) fn set(self, config: &mut Config) {
        config.room_capacity = self.room_capacity;
        config.max_message_bytes = self.max_message_bytes;
        config.message_rate = self.message_rate;
        config.byte_rate = self.byte_rate;
        config.address_connections = self.address_connections;
        config.address_upgrades = self.address_upgrades;
        config.address_joins = self.address_joins;
        config.address_bytes = self.address_bytes;
        config.max_connections = self.max_connections;
        config.memory = self.memory;
        config.address_memory = self.address_memory;
        config.hold_ms = self.hold_ms;
    }
}
