//! The STUN and TURN servers for clients.

use std::path::PathBuf;
use std::str::FromStr;
#[cfg(feature = "auth")]
use std::time::Duration;

use clap::Args;

#[cfg(feature = "auth")]
use crate::cli::time;
use crate::config::Config;
#[cfg(feature = "auth")]
use crate::ice::TurnUrl;
use crate::ice::{CandidatePolicy, IceServers, StunUrl};
#[cfg(feature = "auth")]
use crate::limits;

/// The STUN and TURN servers for clients.
#[derive(Debug, Args)]
#[command(next_help_heading = "STUN and TURN")]
pub(super) struct IceFlags {
    /// Tell clients of this STUN server, such as `stun:stun.example:3478`; may be given several times.
    ///
    /// With it browsers find out by which address they are seen from outside their networks. A LAN needs none.
    #[arg(long, value_name = "URL", env = "SIGNALING_RELAY_STUN", value_delimiter = ',')]
    stun: Vec<StunUrl>,

    /// Tell clients of this TURN server, such as `turn:turn.example:3478`; may be given several times.
    ///
    /// It carries the calls of those whom their networks let through in no other way. Each client gets credentials of its own,
    /// which run out; for that the server (coturn's `use-auth-secret`) and --turn-secret-file have the same secret.
    #[cfg(feature = "auth")]
    #[arg(long, value_name = "URL", env = "SIGNALING_RELAY_TURN", value_delimiter = ',')]
    turn: Vec<TurnUrl>,

    /// Sign the credentials for --turn with the secret in this file; may be given several times, and the first one signs.
    ///
    /// White space around the secret does not count. SIGHUP reads it again: for a new secret, give the new file first and
    /// the old one after it until the TURN server knows both.
    #[cfg(feature = "auth")]
    #[arg(long, value_name = "FILE", env = "SIGNALING_RELAY_TURN_SECRET_FILE", value_delimiter = ',')]
    turn_secret_file: Vec<PathBuf>,

    /// Make credentials for --turn that are good for so long: a number with s, m, h or d, 10s to 7d.
    #[cfg(feature = "auth")]
    #[arg(
        long,
        value_name = "TIME",
        env = "SIGNALING_RELAY_TURN_TTL",
        default_value = limits::TURN_TTL_TEXT,
        value_parser = turn_ttl
    )]
    turn_ttl: Duration,

    /// Tell clients of the STUN and TURN servers in this file too.
    ///
    /// It has the JSON array that goes into RTCConfiguration.iceServers, such as [{"urls":"stun:stun.example:3478"}], for servers
    /// whose user names and credentials stay the same. The array itself can stand here instead of the file.
    #[arg(
        long,
        value_name = "FILE",
        env = "SIGNALING_RELAY_ICE_SERVERS",
        default_value = "[]",
        hide_default_value = true,
        hide_env_values = true
    )]
    ice_servers: IceServersOrFile,

    /// Let clients use only some candidates: `lan` (no STUN or TURN server), `relay` (TURN servers alone), or `all`.
    ///
    /// The call page and its SDK obey it. `relay` hides the address of each from the others.
    #[arg(long, value_name = "POLICY", env = "SIGNALING_RELAY_CANDIDATE_POLICY", default_value = "all")]
    candidate_policy: CandidatePolicy,
}

impl IceFlags {
    pub(super) fn set(self, config: &mut Config) {
        config.stun = self.stun;
        #[cfg(feature = "auth")]
        {
            config.turn = self.turn;
        }
        #[cfg(feature = "auth")]
        {
            config.turn_secret_file = self.turn_secret_file;
        }
        #[cfg(feature = "auth")]
        {
            config.turn_ttl = self.turn_ttl;
        }
        match self.ice_servers {
            IceServersOrFile::List(list) => config.ice_servers = list,
            IceServersOrFile::File(file) => config.ice_servers_file = Some(file),
        }
        config.candidate_policy = self.candidate_policy;
    }
}

/// A list of STUN and TURN servers, or the file that has it.
#[derive(Debug, Clone)]
enum IceServersOrFile {
    List(IceServers),
    File(PathBuf),
}

impl FromStr for IceServersOrFile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let trimmed = text.trim_start();
        let scheme = trimmed.split(':').next().unwrap_or_default().to_ascii_lowercase();
        if matches!(scheme.as_str(), "stun" | "stuns" | "turn" | "turns") {
            return Err("it is a URL: that goes to --stun or --turn, or into a JSON array".into());
        }
        if trimmed.starts_with(['[', '{', '"']) {
            return trimmed.parse().map(Self::List);
        }
        Ok(Self::File(text.into()))
    }
}

/// Parses how long the credentials of TURN servers are good.
#[cfg(feature = "auth")]
fn turn_ttl(text: &str) -> Result<Duration, &'static str> {
    time::parse(text, limits::TURN_TTL_MIN, limits::TURN_TTL_MAX)
        .ok_or("it is not a time such as 90m, 12h or 2d, from 10s to 7d")
}
