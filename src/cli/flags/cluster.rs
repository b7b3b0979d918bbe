//! Several relays that are one.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use crate::cluster::settings::RedisUrl;
use crate::config::Config;
use crate::limits;
use crate::net::address::ListenAddress;

/// Several relays that are one.
#[derive(Debug, Args)]
#[command(next_help_heading = "Several relays that are one")]
pub(super) struct ClusterFlags {
    /// Be one with all relays that name the same Redis (7.0 or later) or Valkey: it says on which of them a room lives.
    ///
    /// `redis://HOST:PORT`, or `rediss://HOST:PORT` over TLS; before the host there may be a user, as in redis://relay@HOST, and
    /// behind the port the number of a database, as in redis://HOST:6379/2. Of a Redis Cluster any node will do. Where sentinels watch it:
    /// `redis+sentinel://HOST:PORT,HOST:PORT/NAME`, with the name that they have for it. A password belongs into --redis-password-file: others
    /// see a command line. Rooms that are open go on while Redis is away.
    #[arg(long, value_name = "URL", env = "SIGNALING_RELAY_REDIS", hide_env_values = true)]
    redis: Option<RedisUrl>,

    /// The password of --redis, in a file that nobody else can read.
    #[arg(long, value_name = "FILE", env = "SIGNALING_RELAY_REDIS_PASSWORD_FILE")]
    redis_password_file: Option<PathBuf>,

    /// Trust the certificate authorities in this PEM file for --redis with rediss://.
    ///
    /// Without it they are those of the system.
    #[arg(long, value_name = "FILE", env = "SIGNALING_RELAY_REDIS_CA")]
    redis_ca: Option<PathBuf>,

    /// Begin all keys in Redis with this. Relays with another one are another cluster.
    #[arg(long, value_name = "TEXT", env = "SIGNALING_RELAY_REDIS_PREFIX", default_value = limits::REDIS_PREFIX)]
    redis_prefix: String,

    /// Listen on this address for the other relays of the cluster; by default on a free port of the address that reaches Redis.
    ///
    /// They come over TLS, with certificates that they know each other by.
    #[arg(long, value_name = "HOST:PORT", env = "SIGNALING_RELAY_CLUSTER_LISTEN")]
    cluster_listen: Option<ListenAddress>,

    /// Tell the other relays to come to this address, where it is not the one that the relay listens on.
    #[arg(long, value_name = "IP:PORT", env = "SIGNALING_RELAY_CLUSTER_ADVERTISE")]
    cluster_advertise: Option<SocketAddr>,
}

impl ClusterFlags {
    pub(super) fn set(self, config: &mut Config) {
        config.redis = self.redis;
        config.redis_password_file = self.redis_password_file;
        config.redis_ca = self.redis_ca;
        config.redis_prefix = self.redis_prefix;
        config.cluster_listen = self.cluster_listen;
        config.cluster_advertise = self.cluster_advertise;
    }
}
