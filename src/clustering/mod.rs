//! How a relay becomes one of several: from its settings, and by a port for the others.

mod port;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;

use anyhow::{Context, anyhow};
use data_encoding::HEXLOWER;
use ring::digest::{SHA256, digest};
use tracing::{error, warn};

use crate::cluster::identity::Identity;
use crate::cluster::notice::{Notice, Notices};
use crate::cluster::relays::{Neighbour, PROTOCOL, ProcessId};
use crate::cluster::settings::{ClusterSettings, RedisUrl};
use crate::cluster::{Cluster, Entrance};
use crate::config::Config;
use crate::error::BindError;
use crate::net::address::ListenAddress;
use crate::net::listen::resolve;
use crate::net::machine::Machine;
use crate::peer::{Events, Observer, RelayEvent};
use crate::relay::Relay;
use crate::room::Owned;
use port::Port;

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
    let (entrance, address) = open_entrance(config, &settings.url).await.map_err(BindError::Cluster)?;
    let own = own(config, &entrance.identity, address).context("--redis").map_err(BindError::Cluster)?;
    let opened = Cluster::open(&settings, own, entrance, Arc::<Owned>::default(), notices(observer)).await;
    opened.map(Some).map_err(BindError::Cluster)
}

/// Serves the clients that come by other relays, until the relay shuts down.
pub(crate) fn serve_other_relays(relay: &Arc<Relay>) {
    let Some(cluster) = &relay.cluster else { return };
    let Some(Entrance { identity, listener }) = cluster.take_entrance() else { return };
    let directory = Arc::clone(cluster.directory());
    let Some(doors) = directory.doors() else { return };
    match Port::new(&identity, Arc::clone(directory.relays()), Arc::clone(doors.links()), Arc::clone(&directory) as _) {
        Ok(port) => {
            relay.hub().drain.spawn_listener(Arc::new(port).serve(listener, Arc::clone(relay)));
            cluster.try_ways(Arc::clone(doors));
        }
        Err(error) => error!(%error, "cannot serve other relays"),
    }
}

/// Listens for other relays; and where they reach that.
async fn open_entrance(config: &Config, redis: &RedisUrl) -> anyhow::Result<(Entrance, SocketAddr)> {
    let identity = Identity::new().context("cannot make a certificate for other relays")?;
    let candidates = match &config.cluster_listen {
        Some(ListenAddress::Tcp { host, port }) => {
            resolve(host, *port).await.with_context(|| format!("--cluster-listen {host}:{port}"))?
        }
        _ => vec![SocketAddr::new(way_to(redis).await, 0)],
    };
    let mut failed = None;
    for candidate in candidates {
        match port::listen(candidate) {
            Ok(listener) => {
                let bound = listener.local_addr()?;
                let reached = if bound.ip().is_unspecified() { way_to(redis).await } else { bound.ip() };
                let address = config.cluster_advertise.unwrap_or(SocketAddr::new(reached, bound.port()));
                return Ok((Entrance { identity, listener }, address));
            }
            Err(error) => failed = Some(anyhow!("cannot listen on {candidate} for other relays: {error}")),
        }
    }
    let failed = failed.unwrap_or_else(|| anyhow!("this machine has no such address"));
    Err(failed.context("--cluster-listen"))
}

/// The address of this machine by which it reaches Redis. That need not be there yet: nothing is sent.
async fn way_to(redis: &RedisUrl) -> IpAddr {
    let found = redis.addresses().await.unwrap_or_default();
    let own = found.iter().find_map(|address| {
        let any: IpAddr =
            if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { std::net::Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind((any, 0)).ok()?;
        socket.connect(address).ok()?;
        socket.local_addr().ok()
    });
    own.map(|own| own.ip()).unwrap_or_else(|| {
        let address = Machine::detect().addresses.into_iter().find(|address| !address.is_loopback());
        let address = address.unwrap_or(Ipv4Addr::LOCALHOST.into());
        warn!(%address, "cannot find out by which address other relays reach this one: --cluster-advertise says it");
        address
    })
}

/// What this relay says of itself.
fn own(config: &Config, identity: &Identity, address: SocketAddr) -> anyhow::Result<Neighbour> {
    Ok(Neighbour {
        process: ProcessId::random().context("cannot choose a number for this process")?,
        address,
        fingerprint: identity.fingerprint(),
        protocol: PROTOCOL,
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
            Notice::RelayIsThere { address } => RelayEvent::RelayIsThere { address },
            Notice::RelayIsGone { address } => RelayEvent::RelayIsGone { address },
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
