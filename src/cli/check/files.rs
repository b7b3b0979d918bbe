//! The files that settings name, read by the functions that the start reads them by.

#[cfg(feature = "lan")]
use std::sync::Arc;
#[cfg(feature = "tls")]
use std::time::SystemTime;

#[cfg(any(feature = "tls", feature = "page"))]
use anyhow::Context;

use super::report::Report;
#[cfg(feature = "auth")]
use crate::auth::authorities::check_authorities;
#[cfg(feature = "auth")]
use crate::auth::jwks::{JwksSource, read_key_set};
#[cfg(feature = "auth")]
use crate::auth::key::read_keys;
#[cfg(feature = "auth")]
use crate::auth::webhook::AuthUrl;
use crate::cli::sources::{Sources, names_any};
#[cfg(feature = "cluster")]
use crate::cluster::settings;
use crate::config::Config;
#[cfg(feature = "auth")]
use crate::events;
#[cfg(feature = "page")]
use crate::http::assets::Page;
use crate::http::proxy;
use crate::ice::CandidatePolicy;
#[cfg(feature = "auth")]
use crate::ice::turn::read_secret;
#[cfg(feature = "lan")]
use crate::lan::authority::{Authority, LeafSource};
#[cfg(feature = "lan")]
use crate::lan::home;
#[cfg(feature = "tls")]
use crate::limits;
#[cfg(feature = "lan")]
use crate::net::certificate::CertificateSource;
#[cfg(feature = "tls")]
use crate::net::certificate::expiry;
use crate::relay::open_ice_servers;

/// Checks what the files have that `config` names. Whatever needs a flag in `wrong_flags` is left out.
pub(super) fn check(config: &Config, sources: &Sources, wrong_flags: &[String], report: &mut Report) {
    let mut files = Files { config, sources, wrong_flags, report };
    #[cfg(feature = "tls")]
    files.tls();
    #[cfg(feature = "auth")]
    files.auth();
    #[cfg(feature = "auth")]
    files.events();
    #[cfg(feature = "cluster")]
    files.cluster();
    files.ice_servers();
    #[cfg(feature = "page")]
    if config.web.is_some() {
        files.read(1, Page::new(config.web.as_deref()).map(drop).context("--web"));
    }
    #[cfg(feature = "admin")]
    if let Some(file) = &config.admin_token_file {
        files.read(1, crate::admin::read_token(file));
    }
    proxy::warn_of_networks(&config.trusted_proxy);
}

struct Files<'a> {
    config: &'a Config,
    sources: &'a Sources,
    wrong_flags: &'a [String],
    report: &'a mut Report,
}

impl Files<'_> {
    fn read<T>(&mut self, files: usize, read: anyhow::Result<T>) -> Option<T> {
        self.report.read(files, read, self.sources)
    }

    fn note(&mut self, text: &str) {
        self.report.note(self.sources.name_in(text));
    }

    #[cfg(feature = "tls")]
    fn tls(&mut self) {
        // Whether it is complete is known already.
        let Ok(files) = self.config.certificate_files() else { return };
        if let Some(files) = files {
            let now = SystemTime::now();
            let read = self.read(2, files.read(now).context("cannot serve TLS"));
            let expiry = read.and_then(|certified| expiry(certified.cert.first()?));
            let left = expiry.and_then(|expiry| expiry.duration_since(now).ok());
            if let Some(left) = left.filter(|left| *left < limits::EXPIRY_NOTICE) {
                let hours = left.as_secs() / 3600;
                self.report.warn(format!("the certificate in {} expires in {hours} hours", files.cert.display()));
            }
        }
        #[cfg(feature = "lan")]
        if self.config.lan && self.config.cert.is_none() {
            self.local_authority();
        }
    }

    #[cfg(feature = "lan")]
    fn local_authority(&mut self) {
        let looked =
            home::find(self.config.lan_dir.as_deref()).and_then(|folder| Ok((Authority::existing(&folder)?, folder)));
        match looked {
            Ok((Some(authority), _)) => {
                self.read(1, LeafSource(Arc::new(authority)).load());
            }
            Ok((None, folder)) => self.note(&format!(
                "there is no local authority of --lan in {} yet: the relay makes one when it starts",
                folder.display()
            )),
            Err(error) => {
                self.read::<()>(0, Err(error));
            }
        }
    }

    #[cfg(feature = "auth")]
    fn auth(&mut self) {
        let config = self.config;
        for file in &config.token_secret_file {
            self.read(1, read_keys(std::slice::from_ref(file), &[]));
        }
        for file in &config.token_key_file {
            self.read(1, read_keys(&[], std::slice::from_ref(file)));
        }
        for source in &config.token_jwks {
            match source {
                JwksSource::File(file) => {
                    self.read(1, read_key_set(file));
                }
                // Without the URL, which may have a secret.
                JwksSource::Url(_) => self.note("the URL of --token-jwks is not fetched"),
            }
        }
        if config.auth_url.is_some() {
            self.note("the URL of --auth-url is not asked");
        }
        let is_https = config.auth_url.as_ref().is_some_and(AuthUrl::is_https)
            || config.token_jwks.iter().any(JwksSource::is_https);
        // Without https, that there is a file is a mistake which is known already.
        if is_https || config.auth_ca.is_some() {
            self.read(usize::from(config.auth_ca.is_some()), check_authorities(config.auth_ca.as_deref()));
        }
    }

    #[cfg(feature = "auth")]
    fn events(&mut self) {
        let config = self.config;
        for file in &config.events_secret_file {
            self.read(1, events::signature::read_secret(file));
        }
        let Some(url) = &config.events_url else { return };
        self.note("nothing is sent to the URL of --events-url");
        if url.is_https() {
            let read = events::check_authorities(config.events_ca.as_deref());
            self.read(usize::from(config.events_ca.is_some()), read);
        }
    }

    #[cfg(feature = "cluster")]
    fn cluster(&mut self) {
        let config = self.config;
        if let Some(file) = &config.redis_password_file {
            self.read(1, settings::read_password(file));
        }
        let Some(redis) = &config.redis else { return };
        self.note("the Redis of --redis is not asked");
        if redis.is_tls() {
            let roots = settings::trusted_roots(config.redis_ca.as_deref());
            self.read(usize::from(config.redis_ca.is_some()), roots);
        }
    }

    /// The list of STUN and TURN servers, and the secrets of those of `--turn`.
    fn ice_servers(&mut self) {
        let mut config = self.config.clone();
        #[cfg(feature = "auth")]
        {
            let secrets: Vec<_> =
                config.turn_secret_file.iter().filter_map(|file| self.read(1, read_secret(file))).collect();
            if secrets.len() < config.turn_secret_file.len() || secrets.is_empty() {
                config.turn.clear();
            }
        }
        #[cfg(feature = "auth")]
        let has_lost_turn = config.turn.len() < self.config.turn.len();
        #[cfg(not(feature = "auth"))]
        let has_lost_turn = false;
        // Whether there is a TURN server is not known then.
        if has_lost_turn || names_any("--turn --turn-secret-file --ice-servers", self.wrong_flags) {
            config.candidate_policy = CandidatePolicy::All;
        }
        // A mistake in the list itself is known already.
        if self.config.ice_servers.stun_with_credentials().is_none() {
            let opened = open_ice_servers(&config).map_err(anyhow::Error::from);
            self.read(usize::from(config.ice_servers_file.is_some()), opened);
        }
    }
}
