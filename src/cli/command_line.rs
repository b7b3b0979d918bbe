//! The command line, the environment and the file with settings: what the program is told to do.

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches, Parser};

use super::check::{self, Check};
#[cfg(feature = "doctor")]
use super::doctor::Doctor;
use super::environment;
use super::failure::Failure;
use super::file::SettingsFile;
use super::flags::{self, Flags};
use super::health::Health;
#[cfg(feature = "auth")]
use super::invite::Invite;
use super::log::LogFormat;
use super::settings::{self, PROGRAM};
use super::sources::Sources;
use crate::config::Config;

/// What the program is told to do.
#[derive(Debug)]
pub enum Task {
    /// To serve.
    Serve(Box<Start>),
    /// To look for mistakes in the settings.
    Check(Check),
    /// To ask whether a relay answers.
    Health(Health),
    /// To print an invite link.
    #[cfg(feature = "auth")]
    Invite(Invite),
    /// To look at a relay.
    #[cfg(feature = "doctor")]
    Doctor(Doctor),
}

/// What the relay is started with.
#[derive(Debug)]
pub struct Start {
    /// The settings.
    pub config: Config,
    /// Where they come from.
    pub sources: Sources,
    /// How the log is written.
    pub log_format: LogFormat,
    /// What is not as it should be, and does not keep the relay from starting.
    pub warnings: Vec<String>,
}

/// The task on the command line, in the environment and in the file that they name.
///
/// # Errors
/// [`Failure`], when a setting is wrong, or help or the version is asked for.
pub fn from_command_line() -> Result<Task, Failure> {
    from_arguments(std::env::args_os())
}

/// The task in `arguments`, the first of which is the name of the program, in the environment, and in the file that they
/// name.
///
/// # Errors
/// When a setting is wrong, or help or the version is asked for.
pub fn from_arguments(arguments: impl IntoIterator<Item = impl Into<OsString>>) -> Result<Task, Failure> {
    let arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
    if let [_, name, flags @ ..] = &arguments[..]
        && name == check::NAME
    {
        // It says itself what is wrong with them, but for help.
        let asked = environment::without_any(command()).try_get_matches_from(&arguments);
        let help = asked.err().filter(|error| !error.use_stderr());
        return help.map_or_else(|| Ok(Task::Check(Check::new(flags.to_vec()))), |help| Err(help.into()));
    }
    let mut plain = environment::without_empty(command());
    if arguments.iter().any(|argument| argument == "-h") {
        plain = environment::without_names(plain);
    }
    let mut built = plain.clone();
    // The texts of arguments are known once it is built.
    built.build();
    let parsed = built.clone().try_get_matches_from(&arguments);
    let matches = parsed.map_err(|error| {
        let alone = environment::without_any(command()).try_get_matches_from(&arguments);
        environment::name_variable(error, &built, alone.is_ok())
    })?;
    let line = Line::from_arg_matches(&matches)?;
    match line.command {
        None => {}
        Some(Subcommand::Health(health)) => return Ok(Task::Health(health)),
        #[cfg(feature = "auth")]
        Some(Subcommand::Invite(invite)) => return Ok(Task::Invite(invite)),
        #[cfg(feature = "doctor")]
        Some(Subcommand::Doctor(doctor)) => return Ok(Task::Doctor(doctor)),
    }
    let mut sources = Sources::default();
    sources.add_variables(&built, &matches);
    let (flags, matches, mut warnings) = match line.flags.config_file() {
        None => (line.flags, matches, Vec::new()),
        Some(path) => {
            let file = SettingsFile::read(path);
            let file = file.map_err(|error| Failure::Unreadable(sources.name_in(&format!("{error:#}"))))?;
            let found = file.settings(&flags::command());
            if !found.problems.is_empty() {
                return Err(Failure::File(found.problems));
            }
            let warnings = found.warnings.clone();
            let (command, arguments) = found.add_to(plain, &arguments, &matches, &mut sources);
            let matches = command.try_get_matches_from(arguments)?;
            (Line::from_arg_matches(&matches)?.flags, matches, warnings)
        }
    };
    let log_format = flags.log_format();
    let config = settings::config(flags, &matches);
    if let Err(error) = config.check() {
        return Err(command().error(ErrorKind::ValueValidation, sources.name_in(&error.to_string())).into());
    }
    warnings.extend(environment::warnings(&command(), environment::names()));
    Ok(Task::Serve(Box::new(Start { config, sources, log_format, warnings })))
}

/// All flags, with their texts, for the page about them.
pub fn command() -> clap::Command {
    Line::command().subcommand(check::command())
}

const AFTER_HELP: &str = "\
Examples:
  signaling-relay          calls on this machine: open http://localhost:8080/
  signaling-relay --lan    calls on this network, with TLS

Each flag has an environment variable as well, and a key in the file of --config: the flag wins over
the variable, which wins over the file. An empty variable counts as none.
A flag that may be given several times also accepts a list with commas, and a list in the file.
The log goes to stderr: RUST_LOG=debug makes it longer, RUST_LOG=warn shorter.
Ctrl-C or SIGTERM tells the clients and then ends the relay; a second one ends it at once.";

/// The command line, and the text of `--help`. `-h` shows only the first paragraph of each flag.
#[derive(Debug, Parser)]
#[command(
    name = PROGRAM,
    version,
    about = "Carries WebRTC signaling between the browsers in a room, and serves a page to call with.",
    after_help = AFTER_HELP,
    max_term_width = 100,
    args_conflicts_with_subcommands = true
)]
struct Line {
    #[command(subcommand)]
    command: Option<Subcommand>,

    #[command(flatten)]
    flags: Flags,
}

/// What the program does other than to serve, and to check its settings.
#[derive(Debug, clap::Subcommand)]
enum Subcommand {
    /// Say by the exit code whether a relay answers: 0 if it does.
    Health(Health),
    /// Print a link that lets somebody into a room of a relay with --token-secret-file.
    #[cfg(feature = "auth")]
    Invite(Invite),
    /// Look at a relay as a browser would, and say what is wrong and what to do.
    #[cfg(feature = "doctor")]
    Doctor(Doctor),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Config, String> {
        match from_arguments(std::iter::once(&"signaling-relay").chain(arguments)) {
            Ok(Task::Serve(start)) => Ok(start.config),
            Ok(other) => panic!("{other:?}"),
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
    #[cfg(feature = "lan")]
    fn a_file_says_as_flags_do_where_a_lan_is_served() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("relay.toml");
        let file = file.to_str().unwrap();
        let listen = |content: &str, flags: &[&str]| {
            std::fs::write(file, content).unwrap();
            listen(&[&["--config", file], flags].concat())
        };
        assert_eq!(listen("lan = true", &[]), ["*:8080"]);
        assert_eq!(listen("", &["--lan"]), ["*:8080"]);
        assert_eq!(listen("listen = 'localhost:1'", &["--lan"]), ["localhost:1"]);
        assert_eq!(listen("lan = true\nlisten = ['localhost:1', '[::1]:2']", &[]), ["localhost:1", "[::1]:2"]);
        assert_eq!(listen("lan = true", &["--listen", "localhost:3"]), ["localhost:3"]);
        assert_eq!(listen("lan = false", &[]), ["localhost:8080"]);
    }

    #[test]
    #[cfg(feature = "auth")]
    fn a_comma_in_a_file_is_a_part_of_a_value() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("relay.toml");
        std::fs::write(&file, "token-secret-file = ['a,b', 'c']").unwrap();
        let config = parse(&["--config", file.to_str().unwrap()]).unwrap();
        assert_eq!(config.token_secret_file, ["a,b", "c"].map(std::path::PathBuf::from));
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
