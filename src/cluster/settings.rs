//! The settings of a cluster, and the URL of Redis.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, ensure};
use hyper::http::uri::Authority;
use percent_encoding::percent_decode_str;
use thiserror::Error;
use tokio_rustls::rustls::RootCertStore;

use crate::limits::{REDIS_PORT, SENTINEL_PORT};
use crate::net::listen::resolve;
use crate::net::{authorities, read};
use crate::secret::Secret;

/// The address of Redis: `redis://HOST:PORT`, that of any node of a Redis Cluster, or `redis+sentinel://HOST:PORT,HOST:PORT/NAME` where sentinels know it by a name;
/// with `rediss` instead of `redis` over TLS. Before the hosts there may be a user and a password, and at the end `/` and the number
/// of a database.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl {
    /// Its host and its port, or those of its sentinels.
    pub(super) servers: Vec<(String, u16)>,
    /// What its sentinels call it; none if nobody has to be asked where it is.
    pub(super) name: Option<String>,
    pub(super) is_tls: bool,
    pub(super) user: Option<String>,
    pub(super) password: Option<Secret>,
    pub(super) database: u16,
}

/// What is wrong with such an address. Its text is a sentence for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RedisUrlError {
    /// It is no URL of Redis.
    #[error(
        "it is not a redis:// or rediss:// URL, such as redis://redis.example:6379, nor one of sentinels, such as \
         redis+sentinel://a.example:26379,b.example:26379/mymaster"
    )]
    NotRedis,
    /// What follows the port is no database.
    #[error(
        "behind its port there is something else than the number of a database, such as redis://redis.example:6379/2"
    )]
    Database,
    /// What follows the sentinels is no name.
    #[error(
        "behind the sentinels there is no name of a primary, such as redis+sentinel://sentinel.example:26379/mymaster"
    )]
    Name,
    /// The user, the password or the name is not UTF-8.
    #[error("its user or password is not UTF-8 with % before what has a meaning in URLs; use --redis-password-file")]
    Credentials,
}

impl RedisUrl {
    /// Whether the relay reaches it by TLS.
    pub fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// Its addresses, or those of its sentinels.
    ///
    /// # Errors
    /// When none of the hosts has one.
    pub(crate) async fn addresses(&self) -> io::Result<Vec<SocketAddr>> {
        let mut found = Ok(Vec::new());
        for (host, port) in &self.servers {
            found = resolve(host, *port).await;
            if found.is_ok() {
                break;
            }
        }
        found
    }

    /// Whether it has a password.
    pub fn has_password(&self) -> bool {
        self.password.is_some()
    }
}

impl FromStr for RedisUrl {
    type Err = RedisUrlError;

    fn from_str(text: &str) -> Result<Self, RedisUrlError> {
        let (scheme, rest) = text.split_once("://").ok_or(RedisUrlError::NotRedis)?;
        let (is_tls, has_sentinels) = match scheme {
            "redis" => (false, false),
            "rediss" => (true, false),
            "redis+sentinel" => (false, true),
            "rediss+sentinel" => (true, true),
            _ => return Err(RedisUrlError::NotRedis),
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        if authority.contains(['?', '#']) {
            return Err(RedisUrlError::Database);
        }
        let (said, servers) =
            authority.rsplit_once('@').map_or((None, authority), |(said, servers)| (Some(said), servers));
        let (user, password) = match said {
            None => (None, None),
            Some(said) => {
                let (user, password) = said.split_once(':').unwrap_or((said, ""));
                (written(user)?, written(password)?)
            }
        };
        let (name, path) = if has_sentinels {
            let (name, path) = path.split_once('/').unwrap_or((path, ""));
            let is_name = !name.contains(['?', '#']);
            (Some(written(name)?.filter(|_| is_name).ok_or(RedisUrlError::Name)?), path)
        } else {
            (None, path)
        };
        let database = if path.is_empty() { Some(0) } else { path.parse().ok() };
        let database = database.ok_or(RedisUrlError::Database)?;
        let servers = if has_sentinels {
            servers.split(',').map(|text| server(text, SENTINEL_PORT)).collect::<Result<_, _>>()?
        } else {
            vec![server(servers, REDIS_PORT)?]
        };
        Ok(Self { servers, name, is_tls, user, password: password.map(Secret::new), database })
    }
}

/// A part of a URL; none if it is empty.
fn written(text: &str) -> Result<Option<String>, RedisUrlError> {
    let decoded = percent_decode_str(text).decode_utf8().map_err(|_| RedisUrlError::Credentials)?;
    Ok((!decoded.is_empty()).then(|| decoded.into_owned()))
}

/// A host, and its port, or the usual one.
fn server(text: &str, usual: u16) -> Result<(String, u16), RedisUrlError> {
    let authority: Authority = text.parse().map_err(|_| RedisUrlError::NotRedis)?;
    let port = match authority.port() {
        Some(port) => port.as_u16(),
        None if text == authority.host() => usual,
        // Such as `host:`, or a port that is none.
        None => return Err(RedisUrlError::NotRedis),
    };
    let host = authority.host().trim_matches(['[', ']']);
    // Several are sentinels, which the scheme says.
    if host.is_empty() || host.contains(',') { Err(RedisUrlError::NotRedis) } else { Ok((host.to_owned(), port)) }
}

/// As it is said in the log: without the user and the password.
impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_tls { "rediss" } else { "redis" })?;
        f.write_str(if self.name.is_some() { "+sentinel://" } else { "://" })?;
        for (number, (host, port)) in self.servers.iter().enumerate() {
            let comma = if number > 0 { "," } else { "" };
            write!(f, "{comma}{}", HostPort(host, *port))?;
        }
        self.name.iter().try_for_each(|name| write!(f, "/{name}"))
    }
}

/// A host and a port as URLs have them.
pub(super) struct HostPort<'a>(pub &'a str, pub u16);

impl fmt::Display for HostPort<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(host, port) = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The settings of a cluster.
#[derive(Debug, Clone)]
pub(crate) struct ClusterSettings {
    /// Where Redis is.
    pub url: RedisUrl,
    /// The file with its password; it may be in the URL instead.
    pub password_file: Option<PathBuf>,
    /// The file with the certificate authorities of Redis; without one, they are the system's.
    pub authorities: Option<PathBuf>,
    /// What the keys begin with.
    pub prefix: String,
}

impl ClusterSettings {
    /// The password, if there is one.
    ///
    /// # Errors
    /// When the file cannot be used, or others can read it.
    pub(super) fn password(&self) -> anyhow::Result<Option<Secret>> {
        let Some(file) = &self.password_file else { return Ok(self.url.password.clone()) };
        read_password(file).map(Some)
    }

    /// The certificate authorities by which Redis is trusted, if it is reached by TLS.
    ///
    /// # Errors
    /// When they cannot be used.
    pub(super) fn roots(&self) -> anyhow::Result<Option<RootCertStore>> {
        self.url.is_tls.then(|| trusted_roots(self.authorities.as_deref())).transpose()
    }
}

/// The password in the file.
///
/// # Errors
/// When it cannot be used, or others can read it.
pub(crate) fn read_password(file: &Path) -> anyhow::Result<Secret> {
    let read = || {
        let password = read::secret(file)?;
        ensure!(!password.is_empty(), "{} has no password", file.display());
        Ok(Secret::new(String::from_utf8(password).with_context(|| format!("{} is not UTF-8", file.display()))?))
    };
    read().context("--redis-password-file")
}

/// The certificate authorities in the file, or those of the system.
///
/// # Errors
/// When they cannot be used.
pub(crate) fn trusted_roots(file: Option<&Path>) -> anyhow::Result<RootCertStore> {
    match file {
        Some(file) => authorities::of_file(file).context("--redis-ca"),
        None => authorities::of_system("--redis-ca"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_where_redis_is_and_only_that_is_shown() {
        for (text, shown, database) in [
            ("redis://localhost", "redis://localhost:6379", 0),
            ("redis://127.0.0.1:7000/", "redis://127.0.0.1:7000", 0),
            ("rediss://redis.example/3", "rediss://redis.example:6379", 3),
            ("redis://[::1]:7000/15", "redis://[::1]:7000", 15),
            ("redis://relay:p%40ss@redis.example", "redis://redis.example:6379", 0),
            ("redis+sentinel://a:7000/rooms", "redis+sentinel://a:7000/rooms", 0),
            (
                "redis+sentinel://u:p@a,[::1]:7000,c/my%20rooms/3",
                "redis+sentinel://a:26379,[::1]:7000,c:26379/my rooms",
                3,
            ),
            ("rediss+sentinel://a/rooms/", "rediss+sentinel://a:26379/rooms", 0),
        ] {
            let url: RedisUrl = text.parse().unwrap();
            assert_eq!((url.to_string().as_str(), format!("{url:?}").as_str(), url.database), (shown, shown, database));
        }
        let url: RedisUrl = "redis://relay:p%40s:s@h".parse().unwrap();
        assert_eq!((url.user.as_deref(), url.password.unwrap().reveal()), (Some("relay"), "p@s:s"));
        let url: RedisUrl = "redis://:secret@h".parse().unwrap();
        assert_eq!((url.user.as_deref(), url.password.unwrap().reveal()), (None, "secret"));
    }

    #[test]
    fn what_is_no_url_of_redis_is_answered_with_what_is_one() {
        use RedisUrlError::{Credentials, Database, Name, NotRedis};
        for (text, error) in [
            ("", NotRedis),
            ("localhost:6379", NotRedis),
            ("http://localhost", NotRedis),
            ("redis://", NotRedis),
            ("redis:///0", NotRedis),
            ("redis://h:", NotRedis),
            ("redis://h:port", NotRedis),
            ("redis://a b", NotRedis),
            ("redis://h/name", Database),
            ("redis://h/1/2", Database),
            ("redis://h/0?db=1", Database),
            ("redis://h/99999", Database),
            ("redis://h?db=1", Database),
            ("redis://a,b", NotRedis),
            ("redis://u:%ff@h", Credentials),
            ("redis+sentinel://a", Name),
            ("redis+sentinel://a/", Name),
            ("redis+sentinel://a//3", Name),
            ("redis+sentinel://a/rooms?x", Name),
            ("redis+sentinel://a,,b/rooms", NotRedis),
            ("redis+sentinel://a:b/rooms", NotRedis),
            ("redis+sentinel:///rooms", NotRedis),
            ("redis+sentinel://a/rooms/x", Database),
        ] {
            assert_eq!(text.parse::<RedisUrl>().unwrap_err(), error, "{text:?}");
        }
    }
}
