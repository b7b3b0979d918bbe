//! Flags and environment, parsed into values that cannot be wrong; independent of what is done with them.

use std::fmt;
use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::str::FromStr;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use thiserror::Error;

use crate::http::origin::{Origin, TupleOrigin};
use crate::http::proxy::TrustedProxy;
use crate::limits;
use crate::net::certificate::CertificateFiles;
use crate::protocol::IceServers;

/// What a relay can be told. [`Config::default`] is what the binary does without any flag.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "signaling-relay",
    version,
    about = "Carries WebRTC signaling between the browsers in a room, and serves a page to call with.",
    after_help = "Every flag may also be given by its environment variable; the flag wins.\n\
        The log goes to stderr: RUST_LOG=debug shows more of it, RUST_LOG=warn less.",
    max_term_width = 100
)]
pub struct Config {
    /// Address to listen on; repeat it, or separate several by commas. A host name stands for all its addresses,
    /// `localhost` for `127.0.0.1` and `[::1]`, `*` for every address of this machine. Port 0 takes any free port. With --lan
    /// the default is *:8080. For a proxy on this machine it may be a Unix socket, `unix:/PATH`, which speaks no TLS; and
    /// `systemd` stands for the sockets that systemd hands over.
    #[arg(
        long,
        value_name = "HOST:PORT",
        env = "SIGNALING_RELAY_LISTEN",
        default_value = limits::LISTEN,
        default_value_if("lan", "true", limits::LISTEN_ON_LAN),
        value_delimiter = ','
    )]
    pub listen: Vec<ListenAddress>,

    /// Who may connect to the Unix sockets, in octal; those that systemd hands over have a mode of their own.
    #[arg(
        long,
        value_name = "MODE",
        env = "SIGNALING_RELAY_UNIX_MODE",
        default_value = limits::UNIX_MODE,
        value_parser = file_mode
    )]
    pub unix_mode: u32,

    /// Speak TLS (https and wss) with the certificate in this PEM file: the server's own, then its chain.
    #[arg(long, value_name = "FILE", env = "SIGNALING_RELAY_CERT")]
    pub cert: Option<PathBuf>,

    /// The private key of --cert, a PEM file. Both files are read anew when they change, and on SIGHUP.
    #[arg(long, value_name = "FILE", env = "SIGNALING_RELAY_KEY")]
    pub key: Option<PathBuf>,

    /// Serve the people on this network, in one step: listen on every address, and speak TLS, without which browsers give no
    /// page a camera. Without --cert the relay makes its own local certificate authority, and a page at /trust explains how
    /// to trust it.
    #[arg(long, env = "SIGNALING_RELAY_LAN")]
    pub lan: bool,

    /// Where the local certificate authority of --lan is kept.
    #[arg(long, value_name = "DIR", env = "SIGNALING_RELAY_LAN_DIR", default_value = limits::LAN_DIR)]
    pub lan_dir: PathBuf,

    /// Send those who come here with http:// to https://, such as *:80; repeat it, or separate several by commas. The ports
    /// that speak TLS do so by themselves.
    #[arg(long, value_name = "HOST:PORT", env = "SIGNALING_RELAY_REDIRECT_FROM", value_delimiter = ',')]
    pub redirect_from: Vec<ListenAddress>,

    /// Serve the page from this folder instead of the files inside the binary, to change it without a rebuild.
    #[arg(long, value_name = "DIR", env = "SIGNALING_RELAY_WEB")]
    pub web: Option<PathBuf>,

    /// How many a room takes, 1 to 256. (The room `lobby` takes two at most: the 50-line demo's page expects it.)
    #[arg(
        long,
        value_name = "PEERS",
        env = "SIGNALING_RELAY_ROOM_CAPACITY",
        default_value_t = limits::ROOM_CAPACITY,
        value_parser = in_range(1, 256)
    )]
    pub room_capacity: usize,

    /// The largest message, 64 to 16777216 bytes; a larger one closes its connection with 1009.
    #[arg(
        long,
        value_name = "BYTES",
        env = "SIGNALING_RELAY_MAX_MESSAGE_BYTES",
        default_value_t = limits::MESSAGE_BYTES,
        value_parser = in_range(64, 16 * 1024 * 1024)
    )]
    pub max_message_bytes: usize,

    /// Messages a second that one connection may send, after a burst of 20 times as many; a broadcast counts once for
    /// each receiver. 0 is no limit.
    #[arg(long, value_name = "PER_SECOND", env = "SIGNALING_RELAY_MESSAGE_RATE", default_value_t = limits::MESSAGE_RATE)]
    pub message_rate: u32,

    /// Bytes a second that one connection may send, after a burst of 16 times as many. 0 is no limit.
    #[arg(long, value_name = "PER_SECOND", env = "SIGNALING_RELAY_BYTE_RATE", default_value_t = limits::BYTE_RATE)]
    pub byte_rate: u32,

    /// Let web pages of this origin connect, such as `https://intranet.example`; repeat it, or separate several by commas. The
    /// relay's own pages and those of the browser's own machine always may. `null` lets pages opened from disk connect, and
    /// with them sandboxed pages of any web site.
    #[arg(long, value_name = "ORIGIN", env = "SIGNALING_RELAY_ALLOW_ORIGIN", value_delimiter = ',')]
    pub allow_origin: Vec<Origin>,

    /// Let web pages of this origin show the call page in a frame; repeat it, or separate several by commas. The frame needs
    /// allow="camera; microphone; display-capture; fullscreen".
    #[arg(long, value_name = "ORIGIN", env = "SIGNALING_RELAY_ALLOW_FRAME", value_delimiter = ',')]
    pub allow_frame: Vec<TupleOrigin>,

    /// Believe what proxies in this network say of their clients (X-Forwarded-For, -Host and -Proto), such as 127.0.0.1 or
    /// 10.0.0.0/8, or `unix` for those on a Unix socket; repeat it, or separate several by commas.
    #[arg(long, value_name = "CIDR", env = "SIGNALING_RELAY_TRUSTED_PROXY", value_delimiter = ',')]
    pub trusted_proxy: Vec<TrustedProxy>,

    /// STUN and TURN servers to tell those who join: the JSON array that goes into RTCConfiguration.iceServers.
    #[arg(
        long,
        value_name = "JSON",
        env = "SIGNALING_RELAY_ICE_SERVERS",
        default_value = "[]",
        hide_env_values = true
    )]
    pub ice_servers: IceServers,
}

impl Config {
    /// What the command line and the environment say. Ends the process where they are wrong, with exit code 2, and where
    /// they ask for help.
    pub fn of_command_line() -> Self {
        let config = Self::parse();
        match config.check() {
            Ok(()) => config,
            Err(error) => Self::command().error(ErrorKind::ArgumentConflict, error).exit(),
        }
    }

    /// Whether the settings fit together.
    ///
    /// # Errors
    /// [`UsageError`], which says what is missing.
    pub fn check(&self) -> Result<(), UsageError> {
        if self.certificate_files()?.is_none() && !self.lan && !self.redirect_from.is_empty() {
            return Err(UsageError::NowhereToRedirect);
        }
        Ok(())
    }

    /// The files of the certificate, if there are any.
    ///
    /// # Errors
    /// When one is given without the other.
    pub fn certificate_files(&self) -> Result<Option<CertificateFiles>, UsageError> {
        match (&self.cert, &self.key) {
            (None, None) => Ok(None),
            (Some(cert), Some(key)) => Ok(Some(CertificateFiles { cert: cert.clone(), key: key.clone() })),
            (Some(cert), None) => Err(UsageError::NoKey(cert.clone())),
            (None, Some(key)) => Err(UsageError::NoCertificate(key.clone())),
        }
    }
}

/// Why settings do not fit together.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum UsageError {
    /// There is a certificate without a key.
    #[error("--cert {} needs its private key: give --key as well", .0.display())]
    NoKey(PathBuf),
    /// There is a key without a certificate.
    #[error("--key {} needs its certificate: give --cert as well", .0.display())]
    NoCertificate(PathBuf),
    /// There is no TLS to redirect to.
    #[error("--redirect-from needs TLS to lead to: give --lan, or --cert and --key, as well")]
    NowhereToRedirect,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: vec![ListenAddress::localhost(8080)],
            unix_mode: 0o660,
            cert: None,
            key: None,
            lan: false,
            lan_dir: limits::LAN_DIR.into(),
            redirect_from: Vec::new(),
            web: None,
            room_capacity: limits::ROOM_CAPACITY,
            max_message_bytes: limits::MESSAGE_BYTES,
            message_rate: limits::MESSAGE_RATE,
            byte_rate: limits::BYTE_RATE,
            allow_origin: Vec::new(),
            trusted_proxy: Vec::new(),
            allow_frame: Vec::new(),
            ice_servers: IceServers::default(),
        }
    }
}

/// An address to listen on, as people write it: `localhost:8080`, `192.168.1.5:8080`, `[::1]:0`, `*:8080`,
/// `unix:/run/relay.sock`, `systemd`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddress {
    /// A host, which may stand for several addresses, and a port.
    Tcp {
        /// A name or an address, without brackets; `*` for every address of this machine.
        host: String,
        /// The port; 0 takes any that is free.
        port: u16,
    },
    /// A Unix socket at this path.
    Unix(PathBuf),
    /// The sockets that systemd hands over, already listening.
    Systemd,
}

impl ListenAddress {
    /// Both loopback addresses. Port 0 takes any port that is free on both.
    pub fn localhost(port: u16) -> Self {
        Self::Tcp { host: "localhost".to_owned(), port }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Systemd => f.write_str("systemd"),
        }
    }
}

impl FromStr for ListenAddress {
    type Err = ListenAddressError;

    fn from_str(text: &str) -> Result<Self, ListenAddressError> {
        if text == "systemd" {
            return Ok(Self::Systemd);
        }
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() { Err(ListenAddressError::Path) } else { Ok(Self::Unix(path.into())) };
        }
        let (host, port) = text.rsplit_once(':').ok_or(ListenAddressError::NoPort)?;
        let port = port.parse().map_err(|_| ListenAddressError::Port)?;
        let host = match host.strip_prefix('[') {
            Some(inner) => {
                let inner = inner.strip_suffix(']').ok_or(ListenAddressError::Host)?;
                inner.parse::<Ipv6Addr>().map_err(|_| ListenAddressError::Host)?;
                inner
            }
            None if host.contains(':') => return Err(ListenAddressError::Brackets),
            None => host,
        };
        if host.is_empty() || host.contains(char::is_whitespace) {
            return Err(ListenAddressError::Host);
        }
        Ok(Self::Tcp { host: host.to_owned(), port })
    }
}

/// Why a text is no address to listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ListenAddressError {
    /// There is no `:port`.
    #[error("it lacks a port: write HOST:PORT, such as localhost:8080")]
    NoPort,
    /// The port is no number from 0 to 65535.
    #[error("its port is not a number from 0 to 65535")]
    Port,
    /// The host is empty or malformed.
    #[error(
        "its host is not a name or an address: write HOST:PORT, such as localhost:8080, or *:8080 for every address"
    )]
    Host,
    /// A Unix socket has no path.
    #[error("it lacks a path: write unix:/PATH, such as unix:/run/signaling-relay/relay.sock")]
    Path,
    /// An IPv6 address stands without brackets.
    #[error("an IPv6 address stands in brackets, such as [::1]:8080")]
    Brackets,
}

fn file_mode(text: &str) -> Result<u32, String> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o777 => Ok(mode),
        _ => Err("it is not a mode in octal, such as 660".to_owned()),
    }
}

fn in_range(low: usize, high: usize) -> impl Fn(&str) -> Result<usize, String> + Clone {
    move |text| match text.parse() {
        Ok(number) if (low..=high).contains(&number) => Ok(number),
        _ => Err(format!("it is not a number from {low} to {high}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Config, String> {
        let arguments = std::iter::once(&"signaling-relay").chain(arguments);
        Config::try_parse_from(arguments).map_err(|error| error.to_string())
    }

    #[test]
    fn no_flags_mean_the_defaults() {
        assert_eq!(format!("{:?}", parse(&[]).unwrap()), format!("{:?}", Config::default()));
    }

    #[test]
    fn addresses_are_written_as_people_write_them() {
        for text in
            ["localhost:8080", "*:80", "127.0.0.1:0", "[::1]:8080", "relay.example:65535", "unix:/run/a b", "systemd"]
        {
            assert_eq!(text.parse::<ListenAddress>().unwrap().to_string(), text);
        }
        for (text, error) in [
            ("8080", ListenAddressError::NoPort),
            ("localhost", ListenAddressError::NoPort),
            ("localhost:http", ListenAddressError::Port),
            ("localhost:65536", ListenAddressError::Port),
            (":8080", ListenAddressError::Host),
            ("[nonsense]:8080", ListenAddressError::Host),
            ("a b:1", ListenAddressError::Host),
            ("::1:8080", ListenAddressError::Brackets),
            ("unix:", ListenAddressError::Path),
        ] {
            assert_eq!(text.parse::<ListenAddress>(), Err(error), "{text}");
        }
    }

    #[test]
    fn listen_may_be_repeated_or_separated_by_commas() {
        let config = parse(&["--listen", "localhost:1", "--listen", "[::1]:2,*:3"]).unwrap();
        assert_eq!(
            config.listen.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["localhost:1", "[::1]:2", "*:3"]
        );
    }

    #[test]
    fn a_wrong_value_is_told_with_what_is_right() {
        for (arguments, hint) in [
            (["--room-capacity", "0"], "1 to 256"),
            (["--max-message-bytes", "12"], "64 to 16777216"),
            (["--listen", "nowhere"], "such as localhost:8080"),
            (["--unix-mode", "rw"], "such as 660"),
            (["--unix-mode", "1777"], "such as 660"),
            (["--trusted-proxy", "nginx"], "such as 127.0.0.1"),
            (["--allow-origin", "example.org"], "https://example.org"),
            (["--allow-frame", "null"], "is not an origin that can be allowed to frame"),
            (["--ice-servers", "stun:x"], "JSON array"),
            (["--ice-servers", "[{}]"], "urls"),
        ] {
            let error = parse(&arguments).unwrap_err();
            assert!(error.contains(hint), "{error}");
        }
    }
}
