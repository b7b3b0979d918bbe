//! A connection to Redis: where it is, TCP, TLS, the password, and whether it is a Redis that will do.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use futures_util::StreamExt;
use futures_util::future::try_join_all;
use futures_util::stream::FuturesUnordered;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, ErrorKind, FromRedisValue, RedisConnectionInfo, RedisError, Value};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{CertificateError, ClientConfig, Error as TlsError};

use super::NO_EVICTION;
use super::nodes::{Node, Nodes, ranges};
use crate::cluster::settings::{ClusterSettings, HostPort, RedisUrl};
use crate::limits::{REDIS_CONNECT_DEADLINE, REDIS_DEADLINE};
use crate::secret::Secret;

/// The oldest Redis that knows `SET` with `NX` and `GET`.
const OLDEST: u32 = 7;

/// Connects to Redis.
pub(super) struct Dialer {
    pub(super) url: RedisUrl,
    password: Option<Secret>,
    tls: Option<TlsConnector>,
    /// The nodes of the Redis Cluster that it was last connected to: any of them may be the one that is left.
    known: Mutex<Vec<(String, u16)>>,
}

/// What moves the bytes of a connection, which lives as long as this is polled.
pub(super) type Driver = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The connections, and what moves their bytes: when one of these ends, all have.
pub(super) struct Dialled {
    pub(super) nodes: Nodes,
    pub(super) drivers: FuturesUnordered<Driver>,
    pub(super) server: ServerInfo,
}

/// A connection of which it is not known yet what is at its other end.
struct Greeted {
    connection: MultiplexedConnection,
    driver: Driver,
}

impl Greeted {
    async fn over<S>(stream: S, info: &RedisConnectionInfo) -> redis::RedisResult<Self>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        // Deadlines are the link's, which drops the connection then.
        let config = AsyncConnectionConfig::new().set_response_timeout(None).set_connection_timeout(None);
        let (connection, driver) = MultiplexedConnection::new_with_config(info, stream, config).await?;
        Ok(Self { connection, driver: Box::pin(driver) })
    }

    /// Asks, within [`REDIS_DEADLINE`].
    async fn ask<T: FromRedisValue>(&mut self, command: &Cmd) -> Result<redis::RedisResult<T>, Refused> {
        let asks = async {
            tokio::select! {
                said = command.query_async::<T>(&mut self.connection) => Ok(said),
                () = &mut self.driver => Err(Refused::Away("it closed the connection".into())),
            }
        };
        timeout(REDIS_DEADLINE, asks).await.map_err(|_| late())?
    }
}

fn late() -> Refused {
    Refused::Away("it does not answer".into())
}

/// What Redis says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ServerInfo {
    /// A name of this run, which is another one after a restart.
    pub(super) run_id: String,
    /// For how long it runs.
    pub(super) up_for: Duration,
    /// What it does when its memory is full.
    pub(super) policy: String,
    /// Whether it is a node of a Redis Cluster.
    is_clustered: bool,
    /// Whether it is a replica.
    is_replica: bool,
}

/// Why there is no connection. Its text is a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    /// Redis is away. It may come back.
    #[error("{0}")]
    Away(String),
    /// It is there, and will not do as long as nobody changes something.
    #[error("{0}")]
    Unfit(String),
    /// It is a replica of the Redis at this address.
    #[error("it is a replica: give the URL of its primary, {0}")]
    Replica(String),
}

impl Refused {
    /// The same, said of the node of a Redis Cluster at this address.
    fn of_node(self, at: &str) -> Self {
        match self {
            Self::Away(why) => Self::Away(format!("its node {at}: {why}")),
            Self::Unfit(why) => Self::Unfit(format!("its node {at}: {why}")),
            refused @ Self::Replica(_) => refused,
        }
    }
}

impl Dialer {
    /// A dialer by these settings.
    ///
    /// # Errors
    /// When a file that they name cannot be used.
    pub(super) fn new(settings: &ClusterSettings) -> anyhow::Result<Self> {
        let tls = settings.roots()?.map(|roots| {
            let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
                .with_protocol_versions(&[&TLS13, &TLS12])?
                .with_root_certificates(roots)
                .with_no_client_auth();
            anyhow::Ok(TlsConnector::from(Arc::new(config)))
        });
        let tls = tls.transpose().context("--redis")?;
        Ok(Self { url: settings.url.clone(), password: settings.password()?, tls, known: Mutex::default() })
    }

    /// Connects, and asks Redis what it is.
    pub(super) async fn dial(&self) -> Result<Dialled, Refused> {
        let at = match &self.url.name {
            Some(name) => self.primary(name).await?,
            None => self.url.servers.first().cloned().unwrap_or_default(),
        };
        let mut dialled = self.dial_at(&at).await;
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for node in known.iter().filter(|node| **node != at) {
            if !matches!(dialled, Err(Refused::Away(_))) {
                break;
            }
            dialled = self.dial_at(node).await;
        }
        dialled
    }

    async fn dial_at(&self, at: &(String, u16)) -> Result<Dialled, Refused> {
        let (mut greeted, server) = self.ask_what_it_is(at).await?;
        if server.is_clustered {
            return self.dial_cluster(at, &mut greeted).await;
        }
        let Greeted { connection, driver } = greeted;
        Ok(Dialled { nodes: Nodes::one(connection), drivers: FuturesUnordered::from_iter([driver]), server })
    }

    async fn ask_what_it_is(&self, at: &(String, u16)) -> Result<(Greeted, ServerInfo), Refused> {
        let mut greeted = self.greet(at, self.credentials().set_db(self.url.database.into())).await?;
        let said: String = greeted.ask(&redis::cmd("INFO")).await?.map_err(|error| self.refused(&error))?;
        let server = ServerInfo::parse(&said).map_err(|refused| match refused {
            // Another one is about to be the primary, or this one: the sentinels have not agreed yet.
            Refused::Replica(_) if self.url.name.is_some() => {
                Refused::Away(format!("{} is a replica, and its sentinels name no other one", HostPort(&at.0, at.1)))
            }
            refused => refused,
        })?;
        Ok((greeted, server))
    }

    /// Connects to all primaries of the Redis Cluster of which `asked` is a node.
    async fn dial_cluster(&self, at: &(String, u16), asked: &mut Greeted) -> Result<Dialled, Refused> {
        let mut ask = redis::cmd("CLUSTER");
        let state: String = asked.ask(ask.arg("INFO")).await?.map_err(|error| self.refused(&error))?;
        if !state.contains("cluster_state:ok") {
            return Err(Refused::Away("its Redis Cluster is not whole".into()));
        }
        let mut ask = redis::cmd("CLUSTER");
        let said: Value = asked.ask(ask.arg("SLOTS")).await?.map_err(|error| self.refused(&error))?;
        let ranges = ranges(&said, at).ok_or_else(|| Refused::Away("what it says of its slots is odd".into()))?;
        let mut primaries: Vec<_> = ranges.iter().map(|range| range.at.clone()).collect();
        primaries.sort_unstable();
        primaries.dedup();
        let greets = primaries.iter().map(async |at| {
            let there = HostPort(&at.0, at.1).to_string();
            let (greeted, server) = self.ask_what_it_is(at).await.map_err(|refused| refused.of_node(&there))?;
            if server.is_replica {
                Err(Refused::Away(format!("its node {there} is a replica now")))
            } else {
                Ok((there, greeted, server))
            }
        });
        let (mut nodes, drivers, mut servers) = (Vec::new(), FuturesUnordered::new(), Vec::new());
        for (at, Greeted { connection, driver }, server) in try_join_all(greets).await? {
            nodes.push(Node { at, connection });
            drivers.push(driver);
            servers.push(server);
        }
        let nodes = Nodes::of_cluster(nodes, &ranges);
        let nodes = nodes.ok_or_else(|| Refused::Away("its Redis Cluster does not serve all slots".into()))?;
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = primaries;
        Ok(Dialled { nodes, drivers, server: ServerInfo::of_all(&servers) })
    }

    /// Where the sentinels say that Redis is. They are asked at once: some of them may be away.
    async fn primary(&self, name: &str) -> Result<(String, u16), Refused> {
        let mut asked: FuturesUnordered<_> =
            self.url.servers.iter().map(|at| async move { (at, self.ask_sentinel(at, name).await) }).collect();
        let (mut away, mut unfit) = (None, None);
        while let Some(((host, port), answer)) = asked.next().await {
            let at = HostPort(host, *port);
            match answer {
                Ok(Some(primary)) => return Ok(primary),
                Ok(None) => {
                    unfit = Some(Refused::Unfit(format!("the sentinel {at} knows no primary with the name {name:?}")))
                }
                Err(Refused::Away(why)) => away = Some(Refused::Away(format!("the sentinel {at}: {why}"))),
                Err(why) => unfit = Some(Refused::Unfit(format!("the sentinel {at}: {why}"))),
            }
        }
        // One that is away may know better.
        Err(away.or(unfit).unwrap_or_else(late))
    }

    /// Where this sentinel says that Redis is; none if it does not know it.
    async fn ask_sentinel(&self, at: &(String, u16), name: &str) -> Result<Option<(String, u16)>, Refused> {
        let mut ask = redis::cmd("SENTINEL");
        ask.arg("GET-MASTER-ADDR-BY-NAME").arg(name);
        let mut sentinel = self.greet(at, RedisConnectionInfo::default().set_skip_set_lib_name()).await?;
        let mut answer = sentinel.ask(&ask).await?;
        // A sentinel may want no password where Redis does, and then an answer to one would be an error.
        if matches!(&answer, Err(error) if error.code() == Some("NOAUTH")) && self.password.is_some() {
            answer = self.greet(at, self.credentials()).await?.ask(&ask).await?;
        }
        answer.map_err(|error| self.refused(&error))
    }

    /// Who this relay is to Redis.
    fn credentials(&self) -> RedisConnectionInfo {
        let mut info = RedisConnectionInfo::default().set_skip_set_lib_name();
        if let Some(user) = &self.url.user {
            info = info.set_username(user);
        }
        if let Some(password) = &self.password {
            info = info.set_password(password.reveal());
        }
        info
    }

    /// Connects to a Redis or a sentinel.
    async fn greet(&self, (host, port): &(String, u16), info: RedisConnectionInfo) -> Result<Greeted, Refused> {
        let stream = async {
            let stream = TcpStream::connect((host.as_str(), *port)).await;
            let stream = stream.map_err(|error| Refused::Away(error.to_string()))?;
            // Commands are short, and wait for nothing.
            let _ = stream.set_nodelay(true);
            let Some(tls) = &self.tls else { return Ok(Stream::Plain(stream)) };
            let name = ServerName::try_from(host.clone())
                .map_err(|_| Refused::Unfit(format!("{host:?} cannot be in a certificate")))?;
            let connected = tls.connect(name, stream).await;
            connected.map(|stream| Stream::Tls(Box::new(stream))).map_err(|error| untrusted(&error))
        };
        let greeted = match timeout(REDIS_CONNECT_DEADLINE, stream).await.map_err(|_| late())?? {
            Stream::Plain(stream) => timeout(REDIS_DEADLINE, Greeted::over(stream, &info)).await,
            Stream::Tls(stream) => timeout(REDIS_DEADLINE, Greeted::over(*stream, &info)).await,
        };
        greeted.map_err(|_| late())?.map_err(|error| self.refused(&error))
    }

    /// Why Redis does not greet.
    fn refused(&self, error: &RedisError) -> Refused {
        match error.code() {
            _ if error.kind() == ErrorKind::AuthenticationFailed => {}
            Some("NOAUTH" | "WRONGPASS") => {}
            Some("NOPERM") => return Refused::Unfit(no_permission(error)),
            _ if error.is_io_error() || error.is_unrecoverable_error() => return Refused::Away(error.to_string()),
            // Such as a database that it does not have.
            Some("ERR") => return Refused::Unfit(error.to_string()),
            _ => return Refused::Away(error.to_string()),
        }
        let text = match (&self.password, &self.url.user) {
            (None, _) => "it wants a password: give --redis-password-file".to_owned(),
            (Some(_), None) => "it does not take the password: look at --redis-password-file".to_owned(),
            (Some(_), Some(user)) => {
                format!("it does not take the password of the user {user:?}: look at --redis-password-file")
            }
        };
        Refused::Unfit(text)
    }
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
}

/// What to say when Redis does not allow a command.
pub(super) fn no_permission(error: &RedisError) -> String {
    format!("its user may not do what the relay needs, and the README says what that is: {error}")
}

/// Why a TLS handshake failed.
fn untrusted(error: &std::io::Error) -> Refused {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<TlsError>());
    match cause {
        Some(TlsError::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature)) => {
            Refused::Unfit(
                "no authority that the relay trusts vouches for its certificate: give --redis-ca, the authority in PEM"
                    .into(),
            )
        }
        Some(TlsError::InvalidCertificate(error)) => Refused::Unfit(format!("its certificate is not good: {error}")),
        _ => Refused::Away(format!("no TLS handshake: {error}")),
    }
}

impl ServerInfo {
    /// What Redis says in `INFO`.
    fn parse(info: &str) -> Result<Self, Refused> {
        let fields: HashMap<&str, &str> = info.lines().filter_map(|line| line.trim_end().split_once(':')).collect();
        let field = |name| fields.get(name).copied().unwrap_or_default();
        let version = field("redis_version");
        let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
        if major.is_none_or(|major| major < OLDEST) {
            let text = format!("it is Redis {version:?}: the relay needs Redis {OLDEST}.0 or later, or Valkey");
            return Err(Refused::Unfit(text));
        }
        let (is_clustered, is_replica) = (field("cluster_enabled") == "1", field("role") != "master");
        // Any node of a Redis Cluster knows where the others are.
        if is_replica && !is_clustered {
            let primary = format!("{}:{}", field("master_host"), field("master_port"));
            return Err(Refused::Replica(primary));
        }
        if field("loading") == "1" {
            return Err(Refused::Away("it is still loading".into()));
        }
        let up_for = Duration::from_secs(field("uptime_in_seconds").parse().unwrap_or_default());
        let (run_id, policy) = (field("run_id").to_owned(), field("maxmemory_policy").to_owned());
        Ok(Self { run_id, up_for, policy, is_clustered, is_replica })
    }

    /// What all primaries of a Redis Cluster are together: another run when one of them is, and as fresh and as forgetful as one of
    /// them.
    fn of_all(servers: &[Self]) -> Self {
        let run_ids: Vec<_> = servers.iter().map(|server| server.run_id.as_str()).collect();
        let policy = servers.iter().map(|server| &server.policy).find(|policy| *policy != NO_EVICTION);
        Self {
            run_id: run_ids.join(","),
            up_for: servers.iter().map(|server| server.up_for).min().unwrap_or_default(),
            policy: policy.map_or(NO_EVICTION, String::as_str).to_owned(),
            is_clustered: true,
            is_replica: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &str = "# Server\r\nredis_version:7.0.15\r\nrun_id:abc\r\nuptime_in_seconds:12\r\n\r\n# Memory\r\n\
                        maxmemory_policy:noeviction\r\n# Replication\r\nrole:master\r\ncluster_enabled:0\r\nloading:0\r\n";

    #[test]
    fn redis_says_what_it_is() {
        let server = ServerInfo::parse(INFO).unwrap();
        assert_eq!((server.run_id.as_str(), server.policy.as_str()), ("abc", "noeviction"));
        assert_eq!(server.up_for, Duration::from_secs(12));
    }

    #[test]
    fn the_nodes_of_a_cluster_are_together_as_fresh_and_as_forgetful_as_one_of_them() {
        let node = |run_id: &str, seconds, policy: &str| {
            let info = INFO.replace("cluster_enabled:0", "cluster_enabled:1").replace("abc", run_id);
            let info = info.replace("in_seconds:12", &format!("in_seconds:{seconds}")).replace("noeviction", policy);
            ServerInfo::parse(&info).unwrap()
        };
        let all = ServerInfo::of_all(&[node("a", 100, "noeviction"), node("b", 3, "allkeys-lru")]);
        assert_eq!(
            (all.run_id.as_str(), all.policy.as_str(), all.up_for),
            ("a,b", "allkeys-lru", Duration::from_secs(3))
        );
        let replica = INFO.replace("cluster_enabled:0", "cluster_enabled:1").replace("role:master", "role:slave");
        assert!(ServerInfo::parse(&replica).unwrap().is_replica);
    }

    #[test]
    fn a_redis_that_will_not_do_is_refused_with_what_would() {
        for (there, here, says) in [
            ("7.0.15", "6.2.7", "needs Redis 7.0 or later"),
            ("redis_version", "another_version", "needs Redis 7.0 or later"),
            ("role:master", "role:slave\r\nmaster_host:10.0.0.1\r\nmaster_port:6379", "its primary, 10.0.0.1:6379"),
        ] {
            let refused = ServerInfo::parse(&INFO.replace(there, here)).unwrap_err();
            let is_replica = matches!(refused, Refused::Replica(_));
            assert_eq!(is_replica, here.contains("role:slave"), "{refused}");
            assert!(is_replica || matches!(refused, Refused::Unfit(_)), "{refused}");
            assert!(refused.to_string().contains(says), "{refused}");
        }
        let loads = ServerInfo::parse(&INFO.replace("loading:0", "loading:1"));
        assert!(matches!(loads, Err(Refused::Away(_))));
    }
}
