//! What operators see.

use std::path::PathBuf;

use clap::Args;

use crate::config::Config;
use crate::net::address::ListenAddress;

/// What operators see.
#[derive(Debug, Args)]
#[command(next_help_heading = "For operators")]
pub(super) struct OperatorFlags {
    /// Tell operators on this address how the relay is, and take their orders: a page at /, /livez, /readyz, /metrics, and an
    /// API at /api/.
    ///
    /// It is a loopback address such as localhost:9090, or `unix:/PATH`, whose socket is for the relay's user alone. Any other
    /// address needs --admin-token-file, and has TLS if the relay has. Whoever reaches it may remove people from rooms: on a
    /// machine that others use too, take a token or a socket.
    #[arg(long, value_name = "HOST:PORT", env = "SIGNALING_RELAY_ADMIN_LISTEN")]
    admin_listen: Option<ListenAddress>,

    /// Answer there only those who show the token in this file, as `Authorization: Bearer TOKEN`.
    ///
    /// /livez, /readyz and the files of the page, which tell nothing else, need no token. The page asks for it.
    #[arg(long, value_name = "FILE", env = "SIGNALING_RELAY_ADMIN_TOKEN_FILE")]
    admin_token_file: Option<PathBuf>,
}

impl OperatorFlags {
    pub(super) fn set(self, config: &mut Config) {
        config.admin_listen = self.admin_listen;
        config.admin_token_file = self.admin_token_file;
    }
}
