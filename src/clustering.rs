//! How a relay becomes one of several: from its settings.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::Context;
use data_encoding::HEXLOWER;
use ring::digest::{SHA256, digest};

use crate::cluster::Cluster;
use crate::cluster::notice::{Notice, Notices};
use crate::cluster::relays::{Fingerprint, Neighbour, ProcessId};
use crate::cluster::settings::ClusterSettings;
use crate::config::Config;
use crate::error::BindError;
use crate::peer::{Events, Observer, RelayEvent};
use crate::room::Owned;

/// Bytes of the hash that stands for the settings.
const SETTINGS_BYTES: usize = 8;

/// Joins the cluster that `config` names, if it names one. Redis is waited for if it is away. `observer` hears what happens.
///
/// # Errors
/// When a setting is wrong, or Redis is there and will not do.
pub(crate) async fn open(config: &Config, observer: Option<Observer>) -> Result<Option<Cluster>, BindError> {
    let Some(url) = config.redis.clone() else { return Ok(None) };
    let settings = ClusterSettings {
        url,
        password_file: config.redis_password_file.clone(),
        authorities: config.redis_ca.clone(),
        prefix: config.redis_prefix.clone(),
    };
    let own = own(config).context("--redis").map_err(BindError::Cluster)?;
    let opened = Cluster::open(&settings, own, Arc::<Owned>::default(), notices(observer)).await;
    opened.map(Some).map_err(BindError::Cluster)
}

/// What this relay says of itself.
fn own(config: &Config) -> anyhow::Result<Neighbour> {
    Ok(Neighbour {
        process: ProcessId::random().context("cannot choose a number for this process")?,
        // There is no port for other relays yet.
        address: config.cluster_advertise.unwrap_or(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))),
        fingerprint: Fingerprint([0; 32]),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        settings: fingerprint_of(config),
    })
}

/// What stands for the settings that members of a room feel.
fn fingerprint_of(config: &Config) -> String {
    let Config { room_capacity, max_message_bytes, message_rate, byte_rate, hold_ms, .. } = config;
    let numbers = (room_capacity, max_message_bytes, message_rate, byte_rate, hold_ms);
    let servers = (&config.stun, &config.ice_servers, &config.ice_servers_file, config.candidate_policy);
    #[cfg(feature = "auth")]
    let servers = (servers, &config.turn, config.turn_ttl);
    let hash = digest(&SHA256, format!("{numbers:?} {servers:?}").as_bytes());
    HEXLOWER.encode(hash.as_ref().get(..SETTINGS_BYTES).unwrap_or_default())
}

/// What the program that embeds the relay hears of the cluster.
fn notices(observer: Option<Observer>) -> Notices {
    let events = Events::new(observer);
    Notices::new(move |notice| {
        events.observe(|| match notice.clone() {
            Notice::RedisIsAway { why } => RelayEvent::RedisIsAway { why },
            Notice::RedisIsBack => RelayEvent::RedisIsBack,
            Notice::LetGo { room } => RelayEvent::LetGo { room },
        });
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_members_feel_have_a_fingerprint() {
        let usual = fingerprint_of(&Config::default());
        assert_eq!(usual.len(), 2 * SETTINGS_BYTES);
        assert_eq!(fingerprint_of(&Config { redis_prefix: "x".into(), ..Config::default() }), usual);
        for other in [Config { room_capacity: 2, ..Config::default() }, Config { hold_ms: 1, ..Config::default() }] {
            assert_ne!(fingerprint_of(&other), usual);
        }
    }
}
