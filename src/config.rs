//! The settings of a relay, and their checks.

mod check;
mod error;

#[cfg(feature = "cluster")]
use std::net::SocketAddr;
use std::path::PathBuf;
#[cfg(feature = "auth")]
use std::time::Duration;

use hyper::header::HeaderName;

#[cfg(feature = "auth")]
use crate::auth::jwks::JwksSource;
#[cfg(feature = "auth")]
use crate::auth::webhook::AuthUrl;
#[cfg(feature = "cluster")]
use crate::cluster::settings::RedisUrl;
#[cfg(feature = "auth")]
use crate::events::EventsUrl;
use crate::http::origin::{Origin, TupleOrigin};
use crate::http::proxy::TrustedProxy;
#[cfg(feature = "auth")]
use crate::ice::TurnUrl;
use crate::ice::{CandidatePolicy, IceServers, StunUrl};
use crate::limits::{self, MEBIBYTE};
use crate::memory;
use crate::net::address::ListenAddress;
use crate::quota::QuotaSettings;
#[cfg(feature = "wires")]
use crate::wire::Wire;
pub use error::ConfigError;

/// The settings of a relay. [`Config::default`] has the binary's defaults; [`Config::check`] checks the values. Some
/// fields exist only with their feature, so set the fields that you need, and take the others from the default.
#[derive(Debug, Clone)]
pub struct Config {
    /// The addresses to listen on, at least one.
    pub listen: Vec<ListenAddress>,
    /// The mode of the Unix sockets that the relay makes, 0 to 0o777: who may connect to them.
    pub unix_mode: u32,
    /// The certificate for TLS (feature `tls`), a PEM file: the server's own, then its chain. It needs `key`.
    #[cfg(feature = "tls")]
    pub cert: Option<PathBuf>,
    /// The private key of `cert` (feature `tls`), a PEM file.
    #[cfg(feature = "tls")]
    pub key: Option<PathBuf>,
    /// Whether to use TLS with a certificate of the relay's own local authority if there is no `cert` (feature `lan`).
    #[cfg(feature = "lan")]
    pub lan: bool,
    /// The folder that keeps the local authority (feature `lan`); without one, it is this user's state folder, as
    /// `--help` says.
    #[cfg(feature = "lan")]
    pub lan_dir: Option<PathBuf>,
    /// Further addresses that redirect plain HTTP to https (feature `tls`). They need TLS on `listen`, where plain HTTP
    /// is redirected as well.
    #[cfg(feature = "tls")]
    pub redirect_from: Vec<ListenAddress>,
    /// The folder of the page (feature `page`); without one, the relay serves the page inside the binary.
    #[cfg(feature = "page")]
    pub web: Option<PathBuf>,
    /// Files with a secret that signs tokens with HS256 (feature `auth`): with one, or with a key, nobody joins without a
    /// token. Any of the secrets and keys will do.
    #[cfg(feature = "auth")]
    pub token_secret_file: Vec<PathBuf>,
    /// Files with a public key that verifies tokens (feature `auth`), in PEM: P-256 for ES256, RSA for RS256, Ed25519 for
    /// EdDSA.
    #[cfg(feature = "auth")]
    pub token_key_file: Vec<PathBuf>,
    /// Key sets of identity providers that verify tokens (feature `auth`, RFC 7517): files, or URLs that are asked again
    /// when a token names a key that is not known.
    #[cfg(feature = "auth")]
    pub token_jwks: Vec<JwksSource>,
    /// The audiences of tokens (feature `auth`): their `aud` must have one of these. Without any, a token with `aud` is
    /// refused.
    #[cfg(feature = "auth")]
    pub token_audience: Vec<String>,
    /// The issuers of tokens (feature `auth`): their `iss` must be one of these, if there are any.
    #[cfg(feature = "auth")]
    pub token_issuer: Vec<String>,
    /// The claim of tokens that has the rooms (feature `auth`).
    #[cfg(feature = "auth")]
    pub token_room_claim: String,
    /// Whether a token without that claim opens every room (feature `auth`). It needs a `token_audience`.
    #[cfg(feature = "auth")]
    pub token_any_room: bool,
    /// For how many seconds after the `exp` of its token a client may come back to the place that it got with it, when its
    /// connection is lost (feature `auth`). The connection itself stays.
    #[cfg(feature = "auth")]
    pub resume_after_exp: u64,
    /// The webhook that is asked before each join (feature `auth`). A program that has an authorizer of its own cannot have
    /// a webhook too.
    #[cfg(feature = "auth")]
    pub auth_url: Option<AuthUrl>,
    /// The certificate authorities of `auth_url` and `token_jwks` with https, a PEM file (feature `auth`); without it they are
    /// those of the system.
    #[cfg(feature = "auth")]
    pub auth_ca: Option<PathBuf>,
    /// The headers of an upgrade that who decides on joins hears of, such as `cookie`; none by default.
    pub auth_header: Vec<HeaderName>,
    /// The most members of a room, [1](limits::ROOM_CAPACITY_MIN) to [256](limits::ROOM_CAPACITY_MAX).
    pub room_capacity: usize,
    /// The largest message in bytes, [64](limits::MESSAGE_BYTES_MIN) to [16 MiB](limits::MESSAGE_BYTES_MAX).
    pub max_message_bytes: usize,
    /// Messages a second that one connection may send, after a burst of 20 times as many; 0 means no limit.
    pub message_rate: u32,
    /// Bytes a second that one connection may send, after a burst of 16 times as many; 0 means no limit.
    pub byte_rate: u32,
    /// Connections that one address may have open at a time; 0 means no limit. As many of its places may be held at a time
    /// ([`hold_ms`](Self::hold_ms)). An IPv6 address counts by its /64, and a trusted proxy's clients count by their own
    /// addresses.
    pub address_connections: u32,
    /// WebSocket upgrades a second by one address, after a burst of 10 times as many, and the same number of TLS
    /// handshakes; 0 means no limit.
    pub address_upgrades: u32,
    /// Joins a second by one address, after a burst of 10 times as many; a failed one counts as
    /// [10](limits::FAILED_JOIN). 0 means no limit.
    pub address_joins: u32,
    /// Bytes a second that all connections of one address may send together, after a burst of 16 times as many; 0 means no
    /// limit.
    pub address_bytes: u32,
    /// Connections that may be open at a time; 0 means no limit. Without a number, it is
    /// [95 %](limits::MAX_CONNECTIONS_PERCENT) of the process's limit of file descriptors, which the binary raises first and
    /// a library does not; on Windows, there is no limit then.
    pub max_connections: Option<usize>,
    /// Memory that all clients together may pin, in MiB, up to [a TiB](limits::MEMORY_MIB_MAX); 0 means no limit. Without a
    /// number, it is half of the machine's memory, or of what its control group (Linux) leaves to the relay.
    pub memory: Option<u32>,
    /// Memory that one address may pin, in MiB, up to [a TiB](limits::MEMORY_MIB_MAX); 0 means no limit. What waits for a
    /// client that does not read counts for the address that sent it.
    pub address_memory: u32,
    /// For how many milliseconds the relay holds the place of a client that asked for it and whose connection is lost, up to
    /// [an hour](limits::HOLD_MS_MAX); 0 means not at all.
    pub hold_ms: u64,
    /// The origins of web pages that may connect, besides the relay's own and those on loopback.
    pub allow_origin: Vec<Origin>,
    /// The origins of web pages that may show the call page in a frame.
    pub allow_frame: Vec<TupleOrigin>,
    /// The proxies whose `X-Forwarded-` headers the relay believes.
    pub trusted_proxy: Vec<TrustedProxy>,
    /// The wires of other libraries that the relay speaks (feature `wires`), each at the path of its name; none by default.
    #[cfg(feature = "wires")]
    pub wires: Vec<Wire>,
    /// The keys with which clients of PeerJS are served (feature `wires`), of up to
    /// [1,024 bytes](limits::PEERJS_KEY_BYTES); any, if there are none. Those of one key do not see those of another one. If there are
    /// none and somebody decides who may join, or clients need a token, a client's key is its token, and all see each other.
    #[cfg(feature = "wires")]
    pub peerjs_key: Vec<String>,
    /// The application that gets the events of rooms (feature `auth`).
    #[cfg(feature = "auth")]
    pub events_url: Option<EventsUrl>,
    /// Files with the secrets that sign these events (feature `auth`): each of them does.
    #[cfg(feature = "auth")]
    pub events_secret_file: Vec<PathBuf>,
    /// The certificate authorities of `events_url` with https, a PEM file (feature `auth`); without it they are those of the
    /// system.
    #[cfg(feature = "auth")]
    pub events_ca: Option<PathBuf>,
    /// The address for operators (feature `admin`): loopback, a Unix socket, or another one, which needs `admin_token_file`.
    #[cfg(feature = "admin")]
    pub admin_listen: Option<ListenAddress>,
    /// The file with the token that operators show there (feature `admin`).
    #[cfg(feature = "admin")]
    pub admin_token_file: Option<PathBuf>,
    /// The Redis by which several relays are one (feature `cluster`). It needs a [`Server`](crate::Server).
    #[cfg(feature = "cluster")]
    pub redis: Option<RedisUrl>,
    /// The file with the password of `redis` (feature `cluster`), which nobody else can read, unless it is in the URL.
    #[cfg(feature = "cluster")]
    pub redis_password_file: Option<PathBuf>,
    /// The certificate authorities of `redis` with `rediss://`, a PEM file (feature `cluster`); without it they are those of the
    /// system.
    #[cfg(feature = "cluster")]
    pub redis_ca: Option<PathBuf>,
    /// What the keys in `redis` begin with (feature `cluster`), [64 bytes](limits::REDIS_PREFIX_BYTES) at most. Relays with another
    /// one are another cluster.
    #[cfg(feature = "cluster")]
    pub redis_prefix: String,
    /// Where to listen for the other relays of the cluster (feature `cluster`); without it, on a free port of the address by which
    /// the relay reaches `redis`.
    #[cfg(feature = "cluster")]
    pub cluster_listen: Option<ListenAddress>,
    /// Where the other relays reach that port (feature `cluster`), if that is another address.
    #[cfg(feature = "cluster")]
    pub cluster_advertise: Option<SocketAddr>,
    /// The STUN servers for clients that join.
    pub stun: Vec<StunUrl>,
    /// The TURN servers for which each client that joins gets credentials of its own, which run out (feature `auth`). They
    /// need a `turn_secret_file`.
    #[cfg(feature = "auth")]
    pub turn: Vec<TurnUrl>,
    /// Files with the secret that the relay shares with the servers of `turn` (feature `auth`): the first one signs, and the
    /// others are those that it replaces.
    #[cfg(feature = "auth")]
    pub turn_secret_file: Vec<PathBuf>,
    /// For how long the credentials of `turn` are good (feature `auth`), [10 s](limits::TURN_TTL_MIN) to
    /// [7 days](limits::TURN_TTL_MAX).
    #[cfg(feature = "auth")]
    pub turn_ttl: Duration,
    /// More STUN and TURN servers for clients that join, with whatever belongs to them: those that a browser's
    /// `RTCPeerConnection` takes.
    pub ice_servers: IceServers,
    /// A file with such a list, in JSON.
    pub ice_servers_file: Option<PathBuf>,
    /// Which ICE candidates clients should use.
    pub candidate_policy: CandidatePolicy,
}

impl From<&Config> for QuotaSettings {
    fn from(config: &Config) -> Self {
        Self {
            message_rate: config.message_rate,
            byte_rate: config.byte_rate,
            address_connections: config.address_connections,
            address_upgrades: config.address_upgrades,
            address_joins: config.address_joins,
            address_bytes: config.address_bytes,
            max_connections: config.max_connections,
            memory: config.memory.map_or_else(memory::half_of_machine, bytes_of_mebibytes),
            address_memory: bytes_of_mebibytes(config.address_memory),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: vec![ListenAddress::localhost(limits::PORT)],
            unix_mode: limits::UNIX_MODE,
            #[cfg(feature = "tls")]
            cert: None,
            #[cfg(feature = "tls")]
            key: None,
            #[cfg(feature = "lan")]
            lan: false,
            #[cfg(feature = "lan")]
            lan_dir: None,
            #[cfg(feature = "tls")]
            redirect_from: Vec::new(),
            #[cfg(feature = "page")]
            web: None,
            #[cfg(feature = "auth")]
            token_secret_file: Vec::new(),
            #[cfg(feature = "auth")]
            token_key_file: Vec::new(),
            #[cfg(feature = "auth")]
            token_jwks: Vec::new(),
            #[cfg(feature = "auth")]
            token_audience: Vec::new(),
            #[cfg(feature = "auth")]
            token_issuer: Vec::new(),
            #[cfg(feature = "auth")]
            token_room_claim: limits::TOKEN_ROOM_CLAIM.to_owned(),
            #[cfg(feature = "auth")]
            token_any_room: false,
            #[cfg(feature = "auth")]
            resume_after_exp: limits::RESUME_AFTER_EXP_SECONDS,
            #[cfg(feature = "auth")]
            auth_url: None,
            #[cfg(feature = "auth")]
            auth_ca: None,
            auth_header: Vec::new(),
            room_capacity: limits::ROOM_CAPACITY,
            max_message_bytes: limits::MESSAGE_BYTES,
            message_rate: limits::MESSAGE_RATE,
            byte_rate: limits::BYTE_RATE,
            address_connections: limits::ADDRESS_CONNECTIONS,
            address_upgrades: limits::ADDRESS_UPGRADES,
            address_joins: limits::ADDRESS_JOINS,
            address_bytes: limits::ADDRESS_BYTES,
            max_connections: None,
            memory: None,
            address_memory: limits::ADDRESS_MEMORY_MIB,
            hold_ms: limits::HOLD_MS,
            allow_origin: Vec::new(),
            allow_frame: Vec::new(),
            trusted_proxy: Vec::new(),
            #[cfg(feature = "wires")]
            wires: Vec::new(),
            #[cfg(feature = "wires")]
            peerjs_key: Vec::new(),
            #[cfg(feature = "auth")]
            events_url: None,
            #[cfg(feature = "auth")]
            events_secret_file: Vec::new(),
            #[cfg(feature = "auth")]
            events_ca: None,
            #[cfg(feature = "admin")]
            admin_listen: None,
            #[cfg(feature = "admin")]
            admin_token_file: None,
            #[cfg(feature = "cluster")]
            redis: None,
            #[cfg(feature = "cluster")]
            redis_password_file: None,
            #[cfg(feature = "cluster")]
            redis_ca: None,
            #[cfg(feature = "cluster")]
            redis_prefix: limits::REDIS_PREFIX.to_owned(),
            #[cfg(feature = "cluster")]
            cluster_listen: None,
            #[cfg(feature = "cluster")]
            cluster_advertise: None,
            stun: Vec::new(),
            #[cfg(feature = "auth")]
            turn: Vec::new(),
            #[cfg(feature = "auth")]
            turn_secret_file: Vec::new(),
            #[cfg(feature = "auth")]
            turn_ttl: limits::TURN_TTL,
            ice_servers: IceServers::default(),
            ice_servers_file: None,
            candidate_policy: CandidatePolicy::All,
        }
    }
}

fn bytes_of_mebibytes(mebibytes: u32) -> usize {
    (mebibytes as usize).saturating_mul(MEBIBYTE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(config: Config) -> String {
        config.check().unwrap_err().to_string()
    }

    #[test]
    fn the_defaults_and_the_ends_of_each_range_are_right() {
        Config::default().check().unwrap();
        for (room_capacity, max_message_bytes, unix_mode) in [(1, 64, 0), (256, 16 * 1024 * 1024, 0o777)] {
            Config { room_capacity, max_message_bytes, unix_mode, ..Config::default() }.check().unwrap();
        }
    }

    #[test]
    fn a_number_outside_its_range_is_named_with_the_range() {
        for room_capacity in [0, 257, usize::MAX] {
            let error = error(Config { room_capacity, ..Config::default() });
            assert_eq!(error, format!("--room-capacity is {room_capacity}, and must be from 1 to 256"));
        }
        for max_message_bytes in [0, 63, 16 * 1024 * 1024 + 1, usize::MAX] {
            let error = error(Config { max_message_bytes, ..Config::default() });
            assert_eq!(error, format!("--max-message-bytes is {max_message_bytes}, and must be from 64 to 16777216"));
        }
        let memory = Some(1024 * 1024 + 1);
        let text = error(Config { memory, ..Config::default() });
        assert_eq!(text, "--memory is 1048577, and must be from 0 to 1048576");
        let error = error(Config { unix_mode: 0o1777, ..Config::default() });
        assert_eq!(error, "--unix-mode is 1777 in octal, and must be from 0 to 777, such as 660");
    }

    #[tokio::test]
    async fn a_relay_with_wrong_settings_does_not_start() {
        let wrong = || Config { max_message_bytes: usize::MAX, ..Config::default() };
        let error = crate::Server::bind(wrong()).await.unwrap_err();
        assert!(matches!(error, crate::BindError::Config(error) if error == wrong().check().unwrap_err()));
    }

    #[test]
    fn a_relay_needs_a_valid_address_to_listen_on() {
        assert!(error(Config { listen: Vec::new(), ..Config::default() }).starts_with("--listen needs one address"));
        let nowhere = || ListenAddress::Tcp { host: String::new(), port: 1 };
        assert!(error(Config { listen: vec![nowhere()], ..Config::default() }).starts_with("--listen has an address"));
        let unnamed = Config { listen: vec![ListenAddress::Unix(std::path::PathBuf::new())], ..Config::default() };
        assert!(error(unnamed).contains("unix:/PATH"));
    }

    #[test]
    #[cfg(feature = "lan")]
    fn a_certificate_and_its_key_come_together_and_a_redirect_leads_to_tls() {
        let file = || Some(PathBuf::from("server.pem"));
        let redirect_from = || vec![ListenAddress::localhost(80)];
        assert!(error(Config { cert: file(), ..Config::default() }).contains("give --key as well"));
        assert!(error(Config { key: file(), ..Config::default() }).contains("give --cert as well"));
        assert!(error(Config { redirect_from: redirect_from(), ..Config::default() }).contains("needs TLS"));
        Config { redirect_from: redirect_from(), cert: file(), key: file(), ..Config::default() }.check().unwrap();
        Config { redirect_from: redirect_from(), lan: true, ..Config::default() }.check().unwrap();
        let nowhere = ListenAddress::Tcp { host: String::new(), port: 80 };
        let redirect = Config { redirect_from: vec![nowhere], lan: true, ..Config::default() };
        assert!(error(redirect).starts_with("--redirect-from has an address"));
    }

    #[test]
    fn who_lets_every_page_in_names_no_other_and_no_header() {
        let allow = |origins: &[&str]| origins.iter().map(|origin| origin.parse().unwrap()).collect::<Vec<Origin>>();
        Config { allow_origin: allow(&["*"]), ..Config::default() }.check().unwrap();
        let text = error(Config { allow_origin: allow(&["*", "null"]), ..Config::default() });
        assert!(text.contains("name no other"), "{text}");
        let auth_header = vec![hyper::header::COOKIE];
        let text = error(Config { allow_origin: allow(&["*"]), auth_header, ..Config::default() });
        assert!(text.contains("excludes --auth-header"), "{text}");
    }

    #[test]
    #[cfg(all(feature = "lan", feature = "page"))]
    fn an_empty_path_is_refused() {
        let empty = || Some(PathBuf::new());
        assert_eq!(error(Config { web: empty(), ..Config::default() }), "--web is an empty path");
        assert_eq!(error(Config { cert: empty(), key: empty(), ..Config::default() }), "--cert is an empty path");
        assert_eq!(error(Config { lan_dir: empty(), ..Config::default() }), "--lan-dir is an empty path");
    }
}
