//! The checks of the settings. Each error names its flag, and says what is allowed.

#[cfg(feature = "cluster")]
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::Path;

use super::{Config, ConfigError};
#[cfg(feature = "auth")]
use crate::auth::jwks::JwksSource;
#[cfg(feature = "auth")]
use crate::auth::webhook::AuthUrl;
use crate::http::origin::Origin;
use crate::limits;
use crate::net::address::ListenAddress;
#[cfg(feature = "tls")]
use crate::net::certificate::CertificateFiles;
#[cfg(feature = "wires")]
use crate::wire::Wire;

impl Config {
    /// Checks the settings. [`Server::bind`](crate::Server::bind) does this first.
    ///
    /// # Errors
    /// [`ConfigError`], which names the first wrong setting, and says what is allowed.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.problems().into_iter().next().map_or(Ok(()), Err)
    }

    /// All that is wrong with the settings, as far as it can be known without the files that they name.
    pub fn problems(&self) -> Vec<ConfigError> {
        let mut problems = Vec::new();
        if self.listen.is_empty() {
            problems.push(ConfigError::NoListenAddress);
        }
        problems.extend(check_addresses("--listen", &self.listen).err());
        if self.unix_mode > limits::UNIX_MODE_MAX {
            problems.push(ConfigError::UnixMode(self.unix_mode));
        }
        problems.extend(self.empty_paths());
        #[cfg(feature = "tls")]
        problems.extend(self.tls_problems());
        #[cfg(feature = "auth")]
        problems.extend(self.auth_problems());
        #[cfg(feature = "admin")]
        problems.extend(self.check_admin().err());
        #[cfg(feature = "cluster")]
        problems.extend(self.cluster_problems());
        let capacities = limits::ROOM_CAPACITY_MIN..=limits::ROOM_CAPACITY_MAX;
        problems.extend(check_range("--room-capacity", self.room_capacity, capacities).err());
        let sizes = limits::MESSAGE_BYTES_MIN..=limits::MESSAGE_BYTES_MAX;
        problems.extend(check_range("--max-message-bytes", self.max_message_bytes, sizes).err());
        for (flag, mebibytes) in [("--memory", self.memory), ("--address-memory", Some(self.address_memory))] {
            let mebibytes = mebibytes.unwrap_or_default() as usize;
            problems.extend(check_range(flag, mebibytes, 0..=limits::MEMORY_MIB_MAX as usize).err());
        }
        if !self.auth_header.is_empty() && self.allow_origin.contains(&Origin::Null) {
            problems.push(ConfigError::NullWithHeaders);
        }
        if self.allow_origin.contains(&Origin::Any) {
            if !self.auth_header.is_empty() {
                problems.push(ConfigError::AnyOriginWithHeaders);
            }
            if self.allow_origin.len() > 1 {
                problems.push(ConfigError::AnyOriginAndOthers);
            }
        }
        #[cfg(feature = "wires")]
        problems.extend(self.check_peerjs_keys().err());
        if let Some(server) = self.ice_servers.stun_with_credentials() {
            problems.push(ConfigError::StunCredentials { server });
        }
        if self.hold_ms > limits::HOLD_MS_MAX {
            problems.push(ConfigError::Hold(self.hold_ms));
        }
        problems
    }

    #[cfg(feature = "wires")]
    fn check_peerjs_keys(&self) -> Result<(), ConfigError> {
        if self.peerjs_key.is_empty() {
            return Ok(());
        }
        if self.peerjs_key.iter().any(String::is_empty) {
            return Err(ConfigError::EmptyText { flag: "--peerjs-key" });
        }
        if self.peerjs_key.iter().any(|key| key.len() > limits::PEERJS_KEY_BYTES) {
            return Err(ConfigError::PeerJsKeyTooLong);
        }
        if !self.wires.contains(&Wire::PeerJs) {
            return Err(ConfigError::PeerJsIsOff);
        }
        #[cfg(feature = "auth")]
        if self.needs_tokens() {
            return Err(ConfigError::PeerJsKeyAndTokens);
        }
        Ok(())
    }

    fn empty_paths(&self) -> Vec<ConfigError> {
        let paths: &[(&'static str, Option<&Path>)] = &[
            #[cfg(feature = "tls")]
            ("--cert", self.cert.as_deref()),
            #[cfg(feature = "tls")]
            ("--key", self.key.as_deref()),
            #[cfg(feature = "lan")]
            ("--lan-dir", self.lan_dir.as_deref()),
            #[cfg(feature = "page")]
            ("--web", self.web.as_deref()),
            #[cfg(feature = "auth")]
            ("--auth-ca", self.auth_ca.as_deref()),
            #[cfg(feature = "auth")]
            ("--events-ca", self.events_ca.as_deref()),
            #[cfg(feature = "admin")]
            ("--admin-token-file", self.admin_token_file.as_deref()),
            #[cfg(feature = "cluster")]
            ("--redis-password-file", self.redis_password_file.as_deref()),
            #[cfg(feature = "cluster")]
            ("--redis-ca", self.redis_ca.as_deref()),
            ("--ice-servers", self.ice_servers_file.as_deref()),
        ];
        let is_empty = |path: Option<&Path>| path.is_some_and(|path| path.as_os_str().is_empty());
        paths.iter().filter(|(_, path)| is_empty(*path)).map(|(flag, _)| ConfigError::EmptyPath { flag }).collect()
    }

    #[cfg(feature = "tls")]
    fn tls_problems(&self) -> Vec<ConfigError> {
        let mut problems: Vec<ConfigError> =
            check_addresses("--redirect-from", &self.redirect_from).err().into_iter().collect();
        let has_tls = match self.certificate_files() {
            Ok(files) => files.is_some(),
            Err(error) => {
                problems.push(error);
                // There is to be TLS.
                true
            }
        };
        #[cfg(feature = "lan")]
        let has_tls = has_tls || self.lan;
        if !self.redirect_from.is_empty() && !has_tls {
            problems.push(ConfigError::NowhereToRedirect);
        }
        problems
    }

    #[cfg(feature = "auth")]
    fn auth_problems(&self) -> Vec<ConfigError> {
        let mut problems = Vec::new();
        for (flag, files) in [
            ("--token-secret-file", &self.token_secret_file),
            ("--token-key-file", &self.token_key_file),
            ("--turn-secret-file", &self.turn_secret_file),
            ("--events-secret-file", &self.events_secret_file),
        ] {
            if files.iter().any(|file| file.as_os_str().is_empty()) {
                problems.push(ConfigError::EmptyPath { flag });
            }
        }
        problems.extend(self.check_turn().err());
        if !(limits::TURN_TTL_MIN..=limits::TURN_TTL_MAX).contains(&self.turn_ttl) {
            problems.push(ConfigError::TurnTtl(self.turn_ttl));
        }
        problems.extend(self.token_problems());
        let is_https = self.auth_url.as_ref().is_some_and(AuthUrl::is_https);
        if self.auth_ca.is_some() && !is_https && !self.token_jwks.iter().any(JwksSource::is_https) {
            problems.push(ConfigError::NoHttps);
        }
        problems.extend(self.check_events().err());
        problems
    }

    #[cfg(feature = "auth")]
    fn check_events(&self) -> Result<(), ConfigError> {
        let Some(url) = &self.events_url else {
            let given = [
                ("--events-secret-file", !self.events_secret_file.is_empty()),
                ("--events-ca", self.events_ca.is_some()),
            ];
            let alone = given.into_iter().find(|(_, is_given)| *is_given);
            return alone.map_or(Ok(()), |(flag, _)| Err(ConfigError::NoEvents { flag }));
        };
        if self.events_secret_file.is_empty() && !url.is_of_this_machine() {
            return Err(ConfigError::EventsUnsigned);
        }
        if self.events_ca.is_some() && !url.is_https() { Err(ConfigError::NoHttpsForEvents) } else { Ok(()) }
    }

    #[cfg(feature = "admin")]
    fn check_admin(&self) -> Result<(), ConfigError> {
        let Some(address) = &self.admin_listen else {
            let is_alone = self.admin_token_file.is_some();
            return if is_alone { Err(ConfigError::TokenWithoutAdmin) } else { Ok(()) };
        };
        check_addresses("--admin-listen", std::slice::from_ref(address))?;
        match address {
            ListenAddress::Systemd => Err(ConfigError::AdminBySystemd),
            address if address.is_of_this_machine() || self.admin_token_file.is_some() => Ok(()),
            _ => Err(ConfigError::AdminWithoutToken),
        }
    }

    #[cfg(feature = "cluster")]
    fn cluster_problems(&self) -> Vec<ConfigError> {
        let mut problems = Vec::new();
        let Some(redis) = &self.redis else {
            let given = [
                ("--redis-password-file", self.redis_password_file.is_some()),
                ("--redis-ca", self.redis_ca.is_some()),
                ("--redis-prefix", self.redis_prefix != limits::REDIS_PREFIX),
                ("--cluster-listen", self.cluster_listen.is_some()),
                ("--cluster-advertise", self.cluster_advertise.is_some()),
            ];
            let alone = given.into_iter().filter(|(_, is_given)| *is_given);
            return alone.map(|(flag, _)| ConfigError::NoRedis { flag }).collect();
        };
        if self.redis_password_file.is_some() && redis.has_password() {
            problems.push(ConfigError::TwoRedisPasswords);
        }
        if self.redis_ca.is_some() && !redis.is_tls() {
            problems.push(ConfigError::NoTlsToRedis);
        }
        let is_prefix = (1..=limits::REDIS_PREFIX_BYTES).contains(&self.redis_prefix.len());
        if !is_prefix || !self.redis_prefix.bytes().all(|byte| byte.is_ascii_graphic()) {
            problems.push(ConfigError::RedisPrefix);
        }
        match &self.cluster_listen {
            None => {}
            Some(address @ ListenAddress::Tcp { .. }) => {
                problems.extend(check_addresses("--cluster-listen", std::slice::from_ref(address)).err());
            }
            Some(ListenAddress::Unix(_) | ListenAddress::Systemd) => problems.push(ConfigError::ClusterListen),
        }
        let is_reachable = |address: &SocketAddr| address.port() > 0 && !address.ip().is_unspecified();
        if self.cluster_advertise.as_ref().is_some_and(|address| !is_reachable(address)) {
            problems.push(ConfigError::ClusterAdvertise);
        }
        problems
    }

    #[cfg(feature = "auth")]
    fn check_turn(&self) -> Result<(), ConfigError> {
        match (self.turn.is_empty(), self.turn_secret_file.is_empty()) {
            (false, true) => Err(ConfigError::TurnWithoutSecret),
            (true, false) => Err(ConfigError::SecretWithoutTurn),
            (true, true) if self.turn_ttl != limits::TURN_TTL => Err(ConfigError::TtlWithoutTurn),
            _ => Ok(()),
        }
    }

    /// Whether nobody joins without a token.
    #[cfg(feature = "auth")]
    pub(crate) fn needs_tokens(&self) -> bool {
        !self.token_secret_file.is_empty() || !self.token_key_file.is_empty() || !self.token_jwks.is_empty()
    }

    #[cfg(feature = "auth")]
    fn token_problems(&self) -> Vec<ConfigError> {
        let mut problems = Vec::new();
        let room_claim = [self.token_room_claim.clone()];
        for (flag, texts, is_default) in [
            ("--token-audience", &self.token_audience[..], self.token_audience.is_empty()),
            ("--token-issuer", &self.token_issuer, self.token_issuer.is_empty()),
            ("--token-room-claim", &room_claim, self.token_room_claim == limits::TOKEN_ROOM_CLAIM),
        ] {
            if texts.iter().any(String::is_empty) {
                problems.push(ConfigError::EmptyText { flag });
            } else if !is_default && !self.needs_tokens() {
                problems.push(ConfigError::NoTokens { flag });
            }
        }
        if self.resume_after_exp != limits::RESUME_AFTER_EXP_SECONDS && !self.needs_tokens() {
            problems.push(ConfigError::NoTokens { flag: "--resume-after-exp" });
        }
        if self.token_any_room && !self.needs_tokens() {
            problems.push(ConfigError::NoTokens { flag: "--token-any-room" });
        } else if self.token_any_room && self.token_audience.is_empty() {
            problems.push(ConfigError::AnyRoomForAnybody);
        }
        problems
    }

    /// The files of the certificate, if they are set.
    ///
    /// # Errors
    /// When one is given without the other.
    #[cfg(feature = "tls")]
    pub fn certificate_files(&self) -> Result<Option<CertificateFiles>, ConfigError> {
        match (&self.cert, &self.key) {
            (None, None) => Ok(None),
            (Some(cert), Some(key)) => Ok(Some(CertificateFiles { cert: cert.clone(), key: key.clone() })),
            (Some(cert), None) => Err(ConfigError::NoKey(cert.clone())),
            (None, Some(key)) => Err(ConfigError::NoCertificate(key.clone())),
        }
    }
}

fn check_addresses(flag: &'static str, addresses: &[ListenAddress]) -> Result<(), ConfigError> {
    addresses.iter().try_for_each(ListenAddress::check).map_err(|error| ConfigError::Address { flag, error })
}

fn check_range(flag: &'static str, number: usize, range: RangeInclusive<usize>) -> Result<(), ConfigError> {
    if range.contains(&number) { Ok(()) } else { Err(ConfigError::Range { flag, number, range }) }
}
