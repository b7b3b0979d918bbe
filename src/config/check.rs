//! The checks of the settings. Each error names its flag, and says what is allowed.

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

impl Config {
    /// Checks the settings. [`Server::bind`](crate::Server::bind) does this first.
    ///
    /// # Errors
    /// [`ConfigError`], which names the first wrong setting, and says what is allowed.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.listen.is_empty() {
            return Err(ConfigError::NoListenAddress);
        }
        check_addresses("--listen", &self.listen)?;
        if self.unix_mode > limits::UNIX_MODE_MAX {
            return Err(ConfigError::UnixMode(self.unix_mode));
        }
        self.check_paths()?;
        #[cfg(feature = "tls")]
        self.check_tls()?;
        #[cfg(feature = "auth")]
        self.check_auth()?;
        #[cfg(feature = "admin")]
        self.check_admin()?;
        let capacities = limits::ROOM_CAPACITY_MIN..=limits::ROOM_CAPACITY_MAX;
        check_range("--room-capacity", self.room_capacity, capacities)?;
        let sizes = limits::MESSAGE_BYTES_MIN..=limits::MESSAGE_BYTES_MAX;
        check_range("--max-message-bytes", self.max_message_bytes, sizes)?;
        for (flag, mebibytes) in [("--memory", self.memory), ("--address-memory", Some(self.address_memory))] {
            check_range(flag, mebibytes.unwrap_or_default() as usize, 0..=limits::MEMORY_MIB_MAX as usize)?;
        }
        if !self.auth_header.is_empty() && self.allow_origin.contains(&Origin::Null) {
            return Err(ConfigError::NullWithHeaders);
        }
        if let Some(server) = self.ice_servers.stun_with_credentials() {
            return Err(ConfigError::StunCredentials { server });
        }
        if self.hold_ms > limits::HOLD_MS_MAX {
            return Err(ConfigError::Hold(self.hold_ms));
        }
        Ok(())
    }

    fn check_paths(&self) -> Result<(), ConfigError> {
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
            #[cfg(feature = "admin")]
            ("--admin-token-file", self.admin_token_file.as_deref()),
            ("--ice-servers", self.ice_servers_file.as_deref()),
        ];
        match paths.iter().find(|(_, path)| path.is_some_and(|path| path.as_os_str().is_empty())) {
            Some((flag, _)) => Err(ConfigError::EmptyPath { flag }),
            None => Ok(()),
        }
    }

    #[cfg(feature = "tls")]
    fn check_tls(&self) -> Result<(), ConfigError> {
        check_addresses("--redirect-from", &self.redirect_from)?;
        let has_tls = self.certificate_files()?.is_some();
        #[cfg(feature = "lan")]
        let has_tls = has_tls || self.lan;
        if self.redirect_from.is_empty() || has_tls { Ok(()) } else { Err(ConfigError::NowhereToRedirect) }
    }

    #[cfg(feature = "auth")]
    fn check_auth(&self) -> Result<(), ConfigError> {
        for (flag, files) in [
            ("--token-secret-file", &self.token_secret_file),
            ("--token-key-file", &self.token_key_file),
            ("--turn-secret-file", &self.turn_secret_file),
        ] {
            if files.iter().any(|file| file.as_os_str().is_empty()) {
                return Err(ConfigError::EmptyPath { flag });
            }
        }
        self.check_turn()?;
        self.check_tokens()?;
        let is_https = self.auth_url.as_ref().is_some_and(AuthUrl::is_https);
        if self.auth_ca.is_some() && !is_https && !self.token_jwks.iter().any(JwksSource::is_https) {
            return Err(ConfigError::NoHttps);
        }
        Ok(())
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

    #[cfg(feature = "auth")]
    fn check_turn(&self) -> Result<(), ConfigError> {
        match (self.turn.is_empty(), self.turn_secret_file.is_empty()) {
            (false, true) => return Err(ConfigError::TurnWithoutSecret),
            (true, false) => return Err(ConfigError::SecretWithoutTurn),
            (true, true) if self.turn_ttl != limits::TURN_TTL => return Err(ConfigError::TtlWithoutTurn),
            _ => {}
        }
        if (limits::TURN_TTL_MIN..=limits::TURN_TTL_MAX).contains(&self.turn_ttl) {
            Ok(())
        } else {
            Err(ConfigError::TurnTtl(self.turn_ttl))
        }
    }

    /// Whether nobody joins without a token.
    #[cfg(feature = "auth")]
    pub(crate) fn needs_tokens(&self) -> bool {
        !self.token_secret_file.is_empty() || !self.token_key_file.is_empty() || !self.token_jwks.is_empty()
    }

    #[cfg(feature = "auth")]
    fn check_tokens(&self) -> Result<(), ConfigError> {
        let room_claim = [self.token_room_claim.clone()];
        for (flag, texts, is_default) in [
            ("--token-audience", &self.token_audience[..], self.token_audience.is_empty()),
            ("--token-issuer", &self.token_issuer, self.token_issuer.is_empty()),
            ("--token-room-claim", &room_claim, self.token_room_claim == limits::TOKEN_ROOM_CLAIM),
        ] {
            if texts.iter().any(String::is_empty) {
                return Err(ConfigError::EmptyText { flag });
            }
            if !is_default && !self.needs_tokens() {
                return Err(ConfigError::NoTokens { flag });
            }
        }
        if self.resume_after_exp != limits::RESUME_AFTER_EXP_SECONDS && !self.needs_tokens() {
            return Err(ConfigError::NoTokens { flag: "--resume-after-exp" });
        }
        match self.token_any_room {
            true if !self.needs_tokens() => Err(ConfigError::NoTokens { flag: "--token-any-room" }),
            true if self.token_audience.is_empty() => Err(ConfigError::AnyRoomForAnybody),
            _ => Ok(()),
        }
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
