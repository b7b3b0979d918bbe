//! Who may enter: tokens, and a webhook.

#[cfg(feature = "auth")]
use std::path::PathBuf;

use clap::Args;
#[cfg(feature = "auth")]
use clap::{ArgAction, builder::BoolishValueParser};
use hyper::header::HeaderName;

#[cfg(feature = "auth")]
use super::number;
#[cfg(feature = "auth")]
use crate::auth::jwks::JwksSource;
#[cfg(feature = "auth")]
use crate::auth::webhook::AuthUrl;
use crate::config::Config;
#[cfg(feature = "auth")]
use crate::limits;

/// Who may enter: tokens, and a webhook.
#[derive(Debug, Args)]
#[command(next_help_heading = "Who may enter")]
pub(super) struct EntryFlags {
    /// Let in only who has a token (JWT) that is signed by HS256 with the secret in this file; may be given several times.
    ///
    /// White space around the secret does not count. Claims: `exp`; `room`, a name, a list, or a prefix that ends in `*`;
    /// and if you like `nbf`, `sub` (the id, or what one is made of), `name`, and `role` (host or guest). If there are several secrets and keys, any
    /// will do. SIGHUP reads them again.
    #[cfg(feature = "auth")]
    #[arg(long, value_name = "FILE", env = "SIGNALING_RELAY_TOKEN_SECRET_FILE", value_delimiter = ',')]
    token_secret_file: Vec<PathBuf>,

    /// The same with the public key in this PEM file, of P-256 (ES256), RSA (RS256) or Ed25519 (EdDSA).
    ///
    /// It may be a certificate, whose first key it is.
    #[cfg(feature = "auth")]
    #[arg(long, value_name = "FILE", env = "SIGNALING_RELAY_TOKEN_KEY_FILE", value_delimiter = ',')]
    token_key_file: Vec<PathBuf>,

    /// The same with the keys of an identity provider (a JWKS), from its URL or a file; may be given several times.
    ///
    /// The URL is https, or http on this machine. It is asked again when a token names a key that is not known, once a minute
    /// at most, and every 10 minutes while people join. When it does not answer, the keys that are known go on.
    #[cfg(feature = "auth")]
    #[arg(long, value_name = "URL", env = "SIGNALING_RELAY_TOKEN_JWKS", value_delimiter = ',', hide_env_values = true)]
    token_jwks: Vec<JwksSource>,

    /// Let in only tokens for this audience (`aud`); may be given several times, and any will do.
    ///
    /// Without it a token that has `aud` is refused, because it is for others.
    #[cfg(feature = "auth")]
    #[arg(long, value_name = "AUDIENCE", env = "SIGNALING_RELAY_TOKEN_AUDIENCE", value_delimiter = ',')]
    token_audience: Vec<String>,

    /// Let in only tokens of this issuer (`iss`); may be given several times, and any will do.
    #[cfg(feature = "auth")]
    #[arg(long, value_name = "ISSUER", env = "SIGNALING_RELAY_TOKEN_ISSUER", value_delimiter = ',')]
    token_issuer: Vec<String>,

    /// Read the rooms of a token from this claim.
    #[cfg(feature = "auth")]
    #[arg(
        long,
        value_name = "NAME",
        env = "SIGNALING_RELAY_TOKEN_ROOM_CLAIM",
        default_value = limits::TOKEN_ROOM_CLAIM
    )]
    token_room_claim: String,

    /// Let tokens without that claim into every room; needs --token-audience.
    #[cfg(feature = "auth")]
    #[arg(
        long,
        env = "SIGNALING_RELAY_TOKEN_ANY_ROOM",
        action = ArgAction::SetTrue,
        value_parser = BoolishValueParser::new()
    )]
    token_any_room: bool,

    /// Let clients come back to their places for this many seconds after their tokens have expired.
    ///
    /// A call goes on when a token expires. But when its connection is lost later than that, the client has to join again,
    /// with a new token.
    #[cfg(feature = "auth")]
    #[arg(
        long,
        value_name = "SECONDS",
        env = "SIGNALING_RELAY_RESUME_AFTER_EXP",
        default_value_t = limits::RESUME_AFTER_EXP_SECONDS,
        value_parser = number(0, u64::MAX)
    )]
    resume_after_exp: u64,

    /// Ask this URL before each join, by POST; nobody joins when it does not answer.
    ///
    /// It gets {"room","id","name","token","address","origin"} in JSON, and answers with the status 200 and
    /// {"allow":true}, if it likes with "id", "name", "role" and "iceServers", or {"allow":false,"message":"why"}.
    #[cfg(feature = "auth")]
    #[arg(long, value_name = "URL", env = "SIGNALING_RELAY_AUTH_URL", hide_env_values = true)]
    auth_url: Option<AuthUrl>,

    /// Trust the certificate authorities in this PEM file for --auth-url and --token-jwks with https.
    ///
    /// Without it they are those of the system.
    #[cfg(feature = "auth")]
    #[arg(long, value_name = "FILE", env = "SIGNALING_RELAY_AUTH_CA")]
    auth_ca: Option<PathBuf>,

    /// Tell who decides on joins this header of the client's upgrade, such as `cookie`; may be given several times.
    ///
    /// The webhook gets it in "headers", and it is in no log.
    #[arg(long, value_name = "NAME", env = "SIGNALING_RELAY_AUTH_HEADER", value_delimiter = ',')]
    auth_header: Vec<HeaderName>,
}

impl EntryFlags {
    pub(super) fn set(self, config: &mut Config) {
        #[cfg(feature = "auth")]
        {
            config.token_secret_file = self.token_secret_file;
        }
        #[cfg(feature = "auth")]
        {
            config.token_key_file = self.token_key_file;
        }
        #[cfg(feature = "auth")]
        {
            config.token_jwks = self.token_jwks;
        }
        #[cfg(feature = "auth")]
        {
            config.token_audience = self.token_audience;
        }
        #[cfg(feature = "auth")]
        {
            config.token_issuer = self.token_issuer;
        }
        #[cfg(feature = "auth")]
        {
            config.token_room_claim = self.token_room_claim;
        }
        #[cfg(feature = "auth")]
        {
            config.token_any_room = self.token_any_room;
        }
        #[cfg(feature = "auth")]
        {
            config.resume_after_exp = self.resume_after_exp;
        }
        #[cfg(feature = "auth")]
        {
            config.auth_url = self.auth_url;
        }
        #[cfg(feature = "auth")]
        {
            config.auth_ca = self.auth_ca;
        }
        config.auth_header = self.auth_header;
    }
}
