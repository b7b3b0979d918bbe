//! A connection to Redis: where it is, TCP, TLS, the password, and whether it is a Redis that will do.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, ErrorKind, FromRedisValue, RedisConnectionInfo, RedisError};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{CertificateError, ClientConfig, Error as TlsError};

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
}

/// A connection, and what moves its bytes: it lives as long as that is polled.
pub(super) struct Dialled {
    pub(super) connection: MultiplexedConnection,
    pub(super) driver: Pin<Box<dyn Future<Output = ()> + Send>>,
    pub(super) server: ServerInfo,
}

/// A connection of which it is not known yet what is at its other end.
struct Greeted {
    connection: MultiplexedConnection,
    driver: Pin<Box<dyn Future<Output = ()> + Send>>,
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
        Ok(Self { url: settings.url.clone(), password: settings.password()?, tls })
    }

    /// Connects, and asks Redis what it is.
    pub(super) async fn dial(&self) -> Result<Dialled, Refused> {
        let at = match &self.url.name {
            Some(name) => self.primary(name).await?,
            None => self.url.servers.first().cloned().unwrap_or_default(),
        };
        let mut greeted = self.greet(&at, self.credentials().set_db(self.url.database.into())).await?;
        let said: String = greeted.ask(&redis::cmd("INFO")).await?.map_err(|error| self.refused(&error))?;
        let server = ServerInfo::parse(&said).map_err(|refused| match refused {
            // Another one is about to be the primary, or this one: the sentinels have not agreed yet.
            Refused::Replica(_) if self.url.name.is_some() => {
                Refused::Away(format!("{} is a replica, and its sentinels name no other one", HostPort(&at.0, at.1)))
            }
            refused => refused,
        })?;
        let Greeted { connection, driver } = greeted;
        Ok(Dialled { connection, driver, server })
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
        if field("cluster_enabled") == "1" {
            let text = "it is a node of a Redis Cluster, which the relay does not know: give a Redis that stands alone";
            return Err(Refused::Unfit(text.into()));
        }
        if field("role") != "master" {
            let primary = format!("{}:{}", field("master_host"), field("master_port"));
            return Err(Refused::Replica(primary));
        }
        if field("loading") == "1" {
            return Err(Refused::Away("it is still loading".into()));
        }
        let up_for = Duration::from_secs(field("uptime_in_seconds").parse().unwrap_or_default());
        let (run_id, policy) = (field("run_id").to_owned(), field("maxmemory_policy").to_owned());
        Ok(Self { run_id, up_for, policy })
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
    fn a_redis_that_will_not_do_is_refused_with_what_would() {
        for (there, here, says) in [
            ("7.0.15", "6.2.7", "needs Redis 7.0 or later"),
            ("redis_version", "another_version", "needs Redis 7.0 or later"),
            ("role:master", "role:slave\r\nmaster_host:10.0.0.1\r\nmaster_port:6379", "its primary, 10.0.0.1:6379"),
            ("cluster_enabled:0", "cluster_enabled:1", "Redis Cluster"),
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
