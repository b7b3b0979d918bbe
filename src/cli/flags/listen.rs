//! Where the relay listens, its TLS, and its page.

#[cfg(any(feature = "page", feature = "tls"))]
use std::path::PathBuf;

use clap::Args;
#[cfg(feature = "lan")]
use clap::{ArgAction, builder::BoolishValueParser};

use crate::config::Config;
use crate::limits;
use crate::net::address::ListenAddress;

/// Where the relay listens, its TLS, and its page.
#[derive(Debug, Args)]
#[command(next_help_heading = "Addresses and TLS")]
pub(super) struct ListenFlags {
    /// Listen on this address; may be given several times.
    ///
    /// A host name means all its addresses, `localhost` means `127.0.0.1` and `[::1]`, `*` means every address of this
    /// machine. Port 0 takes any free port. With --lan the default is *:8080. For a proxy on this machine, `unix:/PATH`
    /// is a Unix socket, without TLS; `systemd` means the sockets that systemd passes to the relay.
    #[arg(
        long,
        value_name = "HOST:PORT",
        env = "SIGNALING_RELAY_LISTEN",
        default_value = limits::LISTEN,
        value_delimiter = ','
    )]
    listen: Vec<ListenAddress>,

    /// Make Unix sockets with this mode, in octal: who may connect to them.
    ///
    /// 660 allows the relay's user and group. The sockets that systemd passes have a mode of their own.
    #[cfg(unix)]
    // The default is `limits::UNIX_MODE` in octal.
    #[arg(long, value_name = "MODE", env = "SIGNALING_RELAY_UNIX_MODE", default_value = "660", value_parser = octal)]
    unix_mode: u32,

    /// Use TLS (https and wss) with the certificate in this PEM file: the server's own, then its chain; needs --key.
    #[cfg(feature = "tls")]
    #[arg(long, value_name = "FILE", env = "SIGNALING_RELAY_CERT")]
    cert: Option<PathBuf>,

    /// The private key of --cert, a PEM file.
    ///
    /// Both files are reloaded when they change, and on SIGHUP.
    #[cfg(feature = "tls")]
    #[arg(long, value_name = "FILE", env = "SIGNALING_RELAY_KEY")]
    key: Option<PathBuf>,

    /// Serve the devices on this network: listen on every address, and use TLS.
    ///
    /// Browsers give no page a camera without TLS. Without --cert the relay makes its own local certificate authority,
    /// and its page /trust explains how a device learns to trust it.
    #[cfg(feature = "lan")]
    #[arg(long, env = "SIGNALING_RELAY_LAN", action = ArgAction::SetTrue, value_parser = BoolishValueParser::new())]
    lan: bool,

    /// Keep the local certificate authority of --lan in this folder; by default it is this user's state folder.
    ///
    /// That is $STATE_DIRECTORY (which systemd sets), $XDG_STATE_HOME/signaling-relay or
    /// ~/.local/state/signaling-relay; on macOS ~/Library/Application Support/signaling-relay, on Windows
    /// %LOCALAPPDATA%\signaling-relay.
    #[cfg(feature = "lan")]
    #[arg(long, value_name = "DIR", env = "SIGNALING_RELAY_LAN_DIR")]
    lan_dir: Option<PathBuf>,

    /// Redirect http:// on this address, such as *:80, to https://; may be given several times.
    ///
    /// The ports with TLS redirect http:// without this flag.
    #[cfg(feature = "tls")]
    #[arg(long, value_name = "HOST:PORT", env = "SIGNALING_RELAY_REDIRECT_FROM", value_delimiter = ',')]
    redirect_from: Vec<ListenAddress>,

    /// Serve the page from this folder, to change it without a rebuild; by default it is inside the binary.
    #[cfg(feature = "page")]
    #[arg(long, value_name = "DIR", env = "SIGNALING_RELAY_WEB")]
    web: Option<PathBuf>,
}

impl ListenFlags {
    pub(super) fn set(self, config: &mut Config) {
        config.listen = self.listen;
        #[cfg(unix)]
        {
            config.unix_mode = self.unix_mode;
        }
        #[cfg(feature = "tls")]
        {
            config.cert = self.cert;
        }
        #[cfg(feature = "tls")]
        {
            config.key = self.key;
        }
        #[cfg(feature = "lan")]
        {
            config.lan = self.lan;
        }
        #[cfg(feature = "lan")]
        {
            config.lan_dir = self.lan_dir;
        }
        #[cfg(feature = "tls")]
        {
            config.redirect_from = self.redirect_from;
        }
        #[cfg(feature = "page")]
        {
            config.web = self.web;
        }
    }
}

/// Parses a mode.
#[cfg(unix)]
fn octal(text: &str) -> Result<u32, String> {
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= limits::UNIX_MODE_MAX);
    mode.ok_or_else(|| format!("it is not a mode in octal, 0 to {:o}, such as 660", limits::UNIX_MODE_MAX))
}
