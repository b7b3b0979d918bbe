//! The command line and the environment: what the program is told to do.

use std::ffi::OsString;

use clap::error::ErrorKind;
#[cfg(feature = "lan")]
use clap::parser::ValueSource;
use clap::{CommandFactory, FromArgMatches, Parser};

use super::environment::{self, FromEnvironment};
use super::flags::Flags;
#[cfg(feature = "auth")]
use super::invite::Invite;
use super::log::LogFormat;
use crate::config::Config;
#[cfg(feature = "lan")]
use crate::limits;

/// What the program is told to do.
#[derive(Debug)]
pub enum Task {
    /// To serve with these settings, some of which may come from the environment, and write the log in this format.
    Serve(Box<Config>, FromEnvironment, LogFormat),
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
    let log_format = line.flags.log_format();
    let config = Config::from(line.flags);
    #[cfg(feature = "lan")]
    let config = listening_by_default(config, matches.value_source("listen"));
    match config.check() {
        Ok(()) => Ok(Task::Serve(config.into(), sources, log_format)),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Config, String> {
        match from_arguments(std::iter::once(&"signaling-relay").chain(arguments)) {
            Ok(Task::Serve(config, ..)) => Ok(*config),
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
