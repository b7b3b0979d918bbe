//! What is wrong with the settings of a relay.

use std::ops::RangeInclusive;
use std::path::PathBuf;
#[cfg(feature = "auth")]
use std::time::Duration;

use thiserror::Error;

use crate::limits;
use crate::net::address::ListenAddressError;

/// What is wrong with a [`Config`](super::Config). Its text names the flag, and says what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// There is no address to listen on.
    #[error("--listen needs one address at least, such as localhost:8080")]
    NoListenAddress,
    /// An address is not valid.
    #[error("{flag} has an address that is not valid: {error}")]
    Address {
        /// The flag that sets it.
        flag: &'static str,
        /// What is wrong with the address.
        error: ListenAddressError,
    },
    /// A mode that no socket can have.
    #[error("--unix-mode is {0:o} in octal, and must be from 0 to {max:o}, such as 660", max = limits::UNIX_MODE_MAX)]
    UnixMode(u32),
    /// A path is empty.
    #[error("{flag} is an empty path")]
    EmptyPath {
        /// The flag that sets it.
        flag: &'static str,
    },
    /// There is a certificate without a key.
    #[error("--cert needs its private key: give --key as well")]
    NoKey(PathBuf),
    /// There is a key without a certificate.
    #[error("--key needs its certificate: give --cert as well")]
    NoCertificate(PathBuf),
    /// There is no TLS to redirect to.
    #[error("--redirect-from needs TLS to redirect to: give --lan, or --cert and --key, as well")]
    NowhereToRedirect,
    /// A page from anywhere would come with the cookies of its visitor.
    #[error(
        "--allow-origin null excludes --auth-header: a frame of any web site would come with its visitor's cookies"
    )]
    NullWithHeaders,
    /// Pages of every host may connect, and headers decide who may join.
    #[error("--allow-origin * excludes --auth-header: the page of any web site would come with its visitor's cookies")]
    AnyOriginWithHeaders,
    /// Pages of every host may connect, and others are named.
    #[error("--allow-origin * allows every page: name no other")]
    AnyOriginAndOthers,
    /// A key of PeerJS is longer than any client's may be.
    #[cfg(feature = "wires")]
    #[error("--peerjs-key may have {} bytes", crate::limits::PEERJS_KEY_BYTES)]
    PeerJsKeyTooLong,
    /// Keys of PeerJS are named, and its wire is off.
    #[cfg(feature = "wires")]
    #[error("--peerjs-key is for the wire of PeerJS: it needs --wire peerjs")]
    PeerJsIsOff,
    /// Keys of PeerJS are named, and the key of a client is its token.
    #[cfg(feature = "wires")]
    #[error("--peerjs-key excludes tokens: with them, the key of a client of PeerJS is its token")]
    PeerJsKeyAndTokens,
    /// A text is empty.
    #[error("{flag} is empty")]
    EmptyText {
        /// The flag that sets it.
        flag: &'static str,
    },
    /// There is a rule for tokens, and nobody needs one.
    #[cfg(feature = "auth")]
    #[error("{flag} needs tokens: give --token-jwks, --token-key-file or --token-secret-file as well")]
    NoTokens {
        /// The flag that sets it.
        flag: &'static str,
    },
    /// Each token of the identity provider would open each room, whomever it is for.
    #[cfg(feature = "auth")]
    #[error("--token-any-room needs --token-audience: otherwise each token of the identity provider opens each room")]
    AnyRoomForAnybody,
    /// There is the authority of https servers, and no such server.
    #[cfg(feature = "auth")]
    #[error("--auth-ca needs --auth-url or --token-jwks with an https:// URL")]
    NoHttps,
    /// There are two who decide on joins.
    #[cfg(feature = "auth")]
    #[error("--auth-url excludes an authorizer of the program's own")]
    TwoAuthorizers,
    /// Events would go to another machine without a signature.
    #[cfg(feature = "auth")]
    #[error(
        "--events-url of another machine needs --events-secret-file, so that the application knows who sends the events; without \
         one, the URL is of this machine, such as http://localhost:3000/events"
    )]
    EventsUnsigned,
    /// There is a setting of events, and they go nowhere.
    #[cfg(feature = "auth")]
    #[error("{flag} needs --events-url, such as https://app.example/events")]
    NoEvents {
        /// The flag that sets it.
        flag: &'static str,
    },
    /// There is the authority of an https server, and no such server.
    #[cfg(feature = "auth")]
    #[error("--events-ca needs --events-url with an https:// URL")]
    NoHttpsForEvents,
    /// The address for operators can be reached from elsewhere, and there is no token.
    #[cfg(feature = "admin")]
    #[error(
        "--admin-listen with an address that others can reach needs --admin-token-file; without one it is a loopback address, \
         such as localhost:9090, or unix:/PATH"
    )]
    AdminWithoutToken,
    /// There is a token for operators, and no address for them.
    #[cfg(feature = "admin")]
    #[error("--admin-token-file needs --admin-listen, such as localhost:9090")]
    TokenWithoutAdmin,
    /// systemd's sockets are for clients.
    #[cfg(feature = "admin")]
    #[error("--admin-listen cannot be systemd, whose sockets are for clients: give an address such as localhost:9090")]
    AdminBySystemd,
    /// There is a setting of a cluster, and no Redis.
    #[cfg(feature = "cluster")]
    #[error("{flag} needs --redis, such as redis://redis.example:6379")]
    NoRedis {
        /// The flag that sets it.
        flag: &'static str,
    },
    /// There is the authority of a Redis that is reached without TLS.
    #[cfg(feature = "cluster")]
    #[error("--redis-ca needs --redis with a rediss:// URL")]
    NoTlsToRedis,
    /// There are two passwords of Redis.
    #[cfg(feature = "cluster")]
    #[error(
        "--redis-password-file excludes a password in the URL of --redis: leave out that one, which others may see"
    )]
    TwoRedisPasswords,
    /// A beginning that the keys in Redis cannot have.
    #[cfg(feature = "cluster")]
    #[error(
        "--redis-prefix has 1 to {max} characters, none of which is a space or is not ASCII, such as calls:",
        max = limits::REDIS_PREFIX_BYTES
    )]
    RedisPrefix,
    /// Other relays cannot reach such an address.
    #[cfg(feature = "cluster")]
    #[error("--cluster-listen is an address that other relays reach, such as *:7000 or 10.0.0.5:0")]
    ClusterListen,
    /// Nobody can be told to come to such an address.
    #[cfg(feature = "cluster")]
    #[error("--cluster-advertise is the address at which other relays reach this one, such as 10.0.0.5:7000")]
    ClusterAdvertise,
    /// A relay that is built without a server is to be one of several.
    #[cfg(feature = "cluster")]
    #[error("a relay with redis needs a server: build it with RelayBuilder::bind")]
    ClusterWithoutServer,
    /// There are TURN servers to sign for, and no secret.
    #[cfg(feature = "auth")]
    #[error(
        "--turn needs --turn-secret-file, the secret that the relay shares with the TURN server; a user name and a credential \
         that stay the same go into --ice-servers"
    )]
    TurnWithoutSecret,
    /// There is a secret of TURN servers, and no such server.
    #[cfg(feature = "auth")]
    #[error("--turn-secret-file needs --turn, the URL of the server, such as turn:turn.example:3478")]
    SecretWithoutTurn,
    /// There is a time for credentials, and nothing to make them for.
    #[cfg(feature = "auth")]
    #[error("--turn-ttl needs --turn and --turn-secret-file")]
    TtlWithoutTurn,
    /// Credentials would be good for too short or too long.
    #[cfg(feature = "auth")]
    #[error("--turn-ttl is {} s, and must be from 10s to 7d", .0.as_secs())]
    TurnTtl(Duration),
    /// A STUN server has credentials, which only a TURN server takes.
    #[error(
        "--ice-servers: server {server} of the list has a user name or a credential, and only stun: URLs, which take none: if \
         it is a TURN server, its URLs begin with turn:"
    )]
    StunCredentials {
        /// Which one, counted from 1.
        server: usize,
    },
    /// The list of STUN and TURN servers in a file is wrong, or all lists together are too long.
    #[error("--ice-servers: {0}")]
    IceServers(String),
    /// Clients should use TURN servers alone, and there is none.
    #[error("--candidate-policy relay needs a TURN server: give --turn, or one in --ice-servers")]
    RelayWithoutTurn,
    /// A number outside its range.
    #[error("{flag} is {number}, and must be from {} to {}", range.start(), range.end())]
    Range {
        /// The flag that sets it.
        flag: &'static str,
        /// What it is set to.
        number: usize,
        /// What it may be set to.
        range: RangeInclusive<usize>,
    },
    /// A place would be held for too long.
    #[error("--hold-ms is {0}, and must be from 0 to {max}", max = limits::HOLD_MS_MAX)]
    Hold(u64),
}
