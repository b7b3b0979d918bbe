//! Parses flags and environment variables into a [`Config`].

use std::ffi::OsString;
#[cfg(any(feature = "page", feature = "tls"))]
use std::path::PathBuf;

use clap::error::ErrorKind;
#[cfg(feature = "lan")]
use clap::parser::ValueSource;
#[cfg(any(feature = "lan", feature = "auth"))]
use clap::{ArgAction, builder::BoolishValueParser};
use clap::{Args, CommandFactory, FromArgMatches, Parser};
use hyper::header::HeaderName;

use super::environment::{self, FromEnvironment};
#[cfg(feature = "auth")]
use super::invite::Invite;
#[cfg(feature = "auth")]
use crate::auth::jwks::JwksSource;
#[cfg(feature = "auth")]
use crate::auth::webhook::AuthUrl;
use crate::config::Config;
use crate::http::origin::{Origin, TupleOrigin};
use crate::http::proxy::TrustedProxy;
use crate::limits;
use crate::net::address::ListenAddress;
use crate::protocol::IceServers;

/// What the program is told to do.
#[derive(Debug)]
pub enum Task {
    /// To serve with these settings, some of which may come from the environment.
    Serve(Box<Config>, FromEnvironment),
    /// To print an invite link.
    #[cfg(feature = "auth")]
    Invite(Invite),
}

/// The task on the command line and in the environment. Exits with code 2 and a line that says what is allowed if a
/// setting is wrong, and with code 0 if help or the version is asked for.
pub fn from_command_line() -> Task {
    from_arguments(std::env::args_os()).unwrap_or_else(|error| error.exit())
}

/// The task in `arguments`, the first of which is the name of the program, and in the environment.
///
/// # Errors
/// When a setting is wrong, or help or the version is asked for.
pub fn from_arguments(arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> Result<Task, clap::Error> {
    let arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
    let mut command = environment::without_empty(Line::command());
    // The texts of arguments are known once it is built.
    command.build();
    let parsed = command.clone().try_get_matches_from(&arguments);
    let matches = parsed.map_err(|error| {
        let alone = environment::without_any(Line::command()).try_get_matches_from(&arguments);
        environment::name_variable(error, &command, alone.is_ok())
    })?;
    let line = Line::from_arg_matches(&matches)?;
    #[cfg(feature = "auth")]
    if let Some(Subcommand::Invite(invite)) = line.command {
        return Ok(Task::Invite(invite));
    }
    let sources = FromEnvironment::new(&command, &matches);
    let config = Config::from(line.flags);
    #[cfg(feature = "lan")]
    let config = listening_by_default(config, matches.value_source("listen"));
    match config.check() {
        Ok(()) => Ok(Task::Serve(config.into(), sources)),
        Err(error) => Err(Line::command().error(ErrorKind::ValueValidation, sources.name_in(&error.to_string()))),
    }
}

/// A warning about each environment variable that looks like one of the relay's and is none.
pub fn environment_warnings() -> Vec<String> {
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    environment::warnings(&Line::command(), names)
}

/// Where to listen by default depends on `--lan`.
#[cfg(feature = "lan")]
fn listening_by_default(config: Config, source: Option<ValueSource>) -> Config {
    if config.lan && source == Some(ValueSource::DefaultValue) {
        Config { listen: limits::LISTEN_ON_LAN.parse().into_iter().collect(), ..config }
    } else {
        config
    }
}

/// All flags, with their texts, for the page about them.
pub fn command() -> clap::Command {
    Line::command()
}

const AFTER_HELP: &str = "\
Examples:
  signaling-relay          calls on this machine: open http://localhost:8080/
  signaling-relay --lan    calls on this network, with TLS

Each flag has an environment variable as well; if both are given, the flag wins. An empty variable
counts as none.
A flag that may be given several times also accepts a list with commas.
The log goes to stderr: RUST_LOG=debug makes it longer, RUST_LOG=warn shorter.
Ctrl-C or SIGTERM tells the clients and then ends the relay; a second one ends it at once.";

/// The command line, and the text of `--help`. `-h` shows only the first paragraph of each flag.
#[derive(Debug, Parser)]
#[command(
    name = "signaling-relay",
    version,
    about = "Carries WebRTC signaling between the browsers in a room, and serves a page to call with.",
    after_help = AFTER_HELP,
    max_term_width = 100,
    args_conflicts_with_subcommands = true
)]
struct Line {
    #[cfg(feature = "auth")]
    #[command(subcommand)]
    command: Option<Subcommand>,

    #[command(flatten)]
    flags: Flags,
}

/// What the program does other than to serve.
#[cfg(feature = "auth")]
#[derive(Debug, clap::Subcommand)]
enum Subcommand {
    /// Print a link that lets somebody into a room of a relay with --token-secret-file.
    Invite(Invite),
}

/// The flags of the relay.
#[derive(Debug, Args)]
struct Flags {
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
        default_value_t = limits::RESUME_AFTER_EXP_SECONDS
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

    /// Allow this many peers in a room, 1 to 256.
    ///
    /// The room `lobby` takes two at most: the 50-line demo's page expects that.
    #[arg(
        long,
        value_name = "PEERS",
        env = "SIGNALING_RELAY_ROOM_CAPACITY",
        default_value_t = limits::ROOM_CAPACITY,
        value_parser = number(limits::ROOM_CAPACITY_MIN, limits::ROOM_CAPACITY_MAX)
    )]
    room_capacity: usize,

    /// Accept messages of this size at most, 64 to 16777216 bytes.
    ///
    /// A larger one closes its connection with the code 1009.
    #[arg(
        long,
        value_name = "BYTES",
        env = "SIGNALING_RELAY_MAX_MESSAGE_BYTES",
        default_value_t = limits::MESSAGE_BYTES,
        value_parser = number(limits::MESSAGE_BYTES_MIN, limits::MESSAGE_BYTES_MAX)
    )]
    max_message_bytes: usize,

    /// Let one connection send this many messages a second; 0 means no limit.
    ///
    /// It may first send a burst of 20 times as many. A broadcast counts once for each receiver.
    #[arg(long, value_name = "PER_SECOND", env = "SIGNALING_RELAY_MESSAGE_RATE", default_value_t = limits::MESSAGE_RATE)]
    message_rate: u32,

    /// Let one connection send this many bytes a second; 0 means no limit.
    ///
    /// It may first send a burst of 16 times as many.
    #[arg(long, value_name = "PER_SECOND", env = "SIGNALING_RELAY_BYTE_RATE", default_value_t = limits::BYTE_RATE)]
    byte_rate: u32,

    /// Let one address have this many connections open at a time; 0 means no limit.
    ///
    /// Everybody behind one NAT has one address, so raise it for a larger office. An IPv6 address counts by its /64. The
    /// clients of a --trusted-proxy count by their own addresses. As many places of an address are held at a time (see
    /// --hold-ms).
    #[arg(
        long,
        value_name = "CONNECTIONS",
        env = "SIGNALING_RELAY_ADDRESS_CONNECTIONS",
        default_value_t = limits::ADDRESS_CONNECTIONS
    )]
    address_connections: u32,

    /// Let one address open this many WebSockets a second; 0 means no limit.
    ///
    /// It may first open 10 times as many at once. TLS handshakes are counted in the same way, on their own.
    #[arg(
        long,
        value_name = "PER_SECOND",
        env = "SIGNALING_RELAY_ADDRESS_UPGRADES",
        default_value_t = limits::ADDRESS_UPGRADES
    )]
    address_upgrades: u32,

    /// Let one address join rooms this many times a second; 0 means no limit.
    ///
    /// It may first join 10 times as many at once. A failed join counts as 10, so that nobody finds rooms by trying names.
    #[arg(
        long,
        value_name = "PER_SECOND",
        env = "SIGNALING_RELAY_ADDRESS_JOINS",
        default_value_t = limits::ADDRESS_JOINS
    )]
    address_joins: u32,

    /// Let all connections of one address together send this many bytes a second; 0 means no limit.
    ///
    /// They may first send a burst of 16 times as many. Bytes beyond it are read later.
    #[arg(
        long,
        value_name = "PER_SECOND",
        env = "SIGNALING_RELAY_ADDRESS_BYTES",
        default_value_t = limits::ADDRESS_BYTES
    )]
    address_bytes: u32,

    /// Accept this many connections at a time; 0 means no limit.
    ///
    /// Without it, the limit is 95 % of the file descriptors that the process may open (ulimit -Hn; Windows has no such
    /// limit). When it is reached, only /healthz is still answered.
    #[arg(long, value_name = "CONNECTIONS", env = "SIGNALING_RELAY_MAX_CONNECTIONS")]
    max_connections: Option<usize>,

    /// Hold the place of a client whose connection is lost for this many milliseconds; 0 turns that off.
    ///
    /// Only for clients that ask for it, as the call page does: they come back with the same id, and nothing is lost.
    #[arg(long, value_name = "MS", env = "SIGNALING_RELAY_HOLD_MS", default_value_t = limits::HOLD_MS)]
    hold_ms: u64,

    /// Let web pages of this origin connect, such as `https://intranet.example`; may be given several times.
    ///
    /// The relay's own pages and those of the browser's own machine may always connect. Applications and extensions have
    /// origins such as tauri://localhost. `null` allows pages opened from disk, and any sandboxed frame of any web site.
    #[arg(long, value_name = "ORIGIN", env = "SIGNALING_RELAY_ALLOW_ORIGIN", value_delimiter = ',')]
    allow_origin: Vec<Origin>,

    /// Let web pages of this origin show the call page in a frame; may be given several times.
    ///
    /// The frame needs allow="camera; microphone; display-capture; fullscreen".
    #[arg(long, value_name = "ORIGIN", env = "SIGNALING_RELAY_ALLOW_FRAME", value_delimiter = ',')]
    allow_frame: Vec<TupleOrigin>,

    /// Believe what proxies in this network say about their clients; may be given several times.
    ///
    /// It is an address such as 127.0.0.1, a network such as 10.0.0.0/8, or `unix` for proxies on a Unix socket. The
    /// headers are X-Forwarded-For, X-Forwarded-Host and X-Forwarded-Proto. Everybody at an address in the network can say
    /// who they are, passes every check of where requests come from, and is not limited: name the proxies alone.
    #[arg(long, value_name = "CIDR", env = "SIGNALING_RELAY_TRUSTED_PROXY", value_delimiter = ',')]
    trusted_proxy: Vec<TrustedProxy>,

    /// Give these STUN and TURN servers to the clients that join.
    ///
    /// It is the JSON array that goes into RTCConfiguration.iceServers, such as [{"urls":"stun:stun.example:3478"}].
    #[arg(
        long,
        value_name = "JSON",
        env = "SIGNALING_RELAY_ICE_SERVERS",
        default_value = "[]",
        hide_env_values = true
    )]
    ice_servers: IceServers,
}

impl From<Flags> for Config {
    fn from(flags: Flags) -> Self {
        Self {
            listen: flags.listen,
            #[cfg(unix)]
            unix_mode: flags.unix_mode,
            #[cfg(not(unix))]
            unix_mode: limits::UNIX_MODE,
            #[cfg(feature = "tls")]
            cert: flags.cert,
            #[cfg(feature = "tls")]
            key: flags.key,
            #[cfg(feature = "lan")]
            lan: flags.lan,
            #[cfg(feature = "lan")]
            lan_dir: flags.lan_dir,
            #[cfg(feature = "tls")]
            redirect_from: flags.redirect_from,
            #[cfg(feature = "page")]
            web: flags.web,
            #[cfg(feature = "auth")]
            token_secret_file: flags.token_secret_file,
            #[cfg(feature = "auth")]
            token_key_file: flags.token_key_file,
            #[cfg(feature = "auth")]
            token_jwks: flags.token_jwks,
            #[cfg(feature = "auth")]
            token_audience: flags.token_audience,
            #[cfg(feature = "auth")]
            token_issuer: flags.token_issuer,
            #[cfg(feature = "auth")]
            token_room_claim: flags.token_room_claim,
            #[cfg(feature = "auth")]
            token_any_room: flags.token_any_room,
            #[cfg(feature = "auth")]
            resume_after_exp: flags.resume_after_exp,
            #[cfg(feature = "auth")]
            auth_url: flags.auth_url,
            #[cfg(feature = "auth")]
            auth_ca: flags.auth_ca,
            auth_header: flags.auth_header,
            room_capacity: flags.room_capacity,
            max_message_bytes: flags.max_message_bytes,
            message_rate: flags.message_rate,
            byte_rate: flags.byte_rate,
            address_connections: flags.address_connections,
            address_upgrades: flags.address_upgrades,
            address_joins: flags.address_joins,
            address_bytes: flags.address_bytes,
            max_connections: flags.max_connections,
            hold_ms: flags.hold_ms,
            allow_origin: flags.allow_origin,
            allow_frame: flags.allow_frame,
            trusted_proxy: flags.trusted_proxy,
            ice_servers: flags.ice_servers,
        }
    }
}

/// Parses a mode. [`Config::check`] checks its range.
#[cfg(unix)]
fn octal(text: &str) -> Result<u32, &'static str> {
    u32::from_str_radix(text, 8).map_err(|_| "it is not a mode in octal, such as 660")
}

/// Parses a number. [`Config::check`] checks its range.
fn number(low: usize, high: usize) -> impl Fn(&str) -> Result<usize, String> + Clone {
    move |text| text.parse().map_err(|_| format!("it is not a number from {low} to {high}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Config, String> {
        match from_arguments(std::iter::once(&"signaling-relay").chain(arguments)) {
            Ok(Task::Serve(config, _)) => Ok(*config),
            #[cfg(feature = "auth")]
            Ok(Task::Invite(invite)) => panic!("{invite:?}"),
            Err(error) => Err(error.to_string()),
        }
    }

    fn listen(arguments: &[&str]) -> Vec<String> {
        parse(arguments).unwrap().listen.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn no_flags_mean_the_defaults() {
        assert_eq!(format!("{:?}", parse(&[]).unwrap()), format!("{:?}", Config::default()));
    }

    #[test]
    fn listen_may_be_repeated_or_separated_by_commas() {
        let arguments = ["--listen", "localhost:1", "--listen", "[::1]:2,*:3"];
        assert_eq!(listen(&arguments), ["localhost:1", "[::1]:2", "*:3"]);
    }

    #[test]
    fn a_lan_is_served_on_every_address_unless_others_are_given() {
        assert_eq!(listen(&["--lan"]), ["*:8080"]);
        assert_eq!(listen(&["--lan", "--listen", "localhost:1"]), ["localhost:1"]);
    }

    #[test]
    fn a_wrong_value_is_answered_with_what_is_right() {
        for (arguments, hint) in [
            (["--room-capacity", "0"], "1 to 256"),
            (["--room-capacity", "many"], "1 to 256"),
            (["--max-message-bytes", "12"], "64 to 16777216"),
            (["--max-message-bytes", "99999999999999999999999"], "64 to 16777216"),
            (["--listen", "nowhere"], "such as localhost:8080"),
            #[cfg(unix)]
            (["--unix-mode", "rw"], "such as 660"),
            #[cfg(unix)]
            (["--unix-mode", "1777"], "such as 660"),
            (["--cert", "server.pem"], "give --key as well"),
            (["--redirect-from", "*:80"], "needs TLS"),
            (["--trusted-proxy", "nginx"], "such as 127.0.0.1"),
            (["--allow-origin", "example.org"], "https://example.org"),
            (["--ice-servers", "stun:x"], "JSON array"),
            (["--auth-header", "a b"], "header name"),
            (["--ice-servers", "[{}]"], "urls"),
            (["--ice-servers", r#"[{"urls":"turn:h"}]"#], "username"),
            (["--ice-servers", r#"[{"urls":"stn:h"}]"#], "stun, stuns, turn or turns"),
            #[cfg(feature = "auth")]
            (["--auth-url", "localhost:3000"], "such as http://localhost:3000"),
            #[cfg(feature = "auth")]
            (["--token-jwks", "http://login.example/keys"], "use https"),
            #[cfg(feature = "auth")]
            (["--token-audience", "relay"], "give --token-jwks"),
            #[cfg(feature = "auth")]
            (["--token-room-claim", "rooms"], "give --token-jwks"),
            #[cfg(feature = "auth")]
            (["--auth-ca", "ca.pem"], "https:// URL"),
        ] {
            let error = parse(&arguments).unwrap_err();
            assert!(error.contains(hint) && error.contains(arguments[0]), "{error}");
        }
    }
}
