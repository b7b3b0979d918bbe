//! What is common to starting the relay and to checking its settings: what an error about a flag says, and the [`Config`]
//! that the flags make.

use std::error::Error as _;
use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{ArgMatches, Command, Error};

use super::flags::Flags;
use crate::config::Config;
use crate::limits;

/// How the program is called on a command line that it makes itself.
pub(super) const PROGRAM: &str = "signaling-relay";

/// Parses `arguments` as all that `command` is given.
///
/// # Errors
/// What clap says of it.
pub(super) fn parse_alone(command: &Command, arguments: &[OsString]) -> Result<ArgMatches, Error> {
    let program = OsString::from(PROGRAM);
    command.clone().try_get_matches_from(std::iter::once(&program).chain(arguments))
}

/// What is right instead of the value that `error` is about, without the value; none if it is about something else.
pub(super) fn what_is_right(error: &Error) -> Option<String> {
    match (error.kind(), error.get(ContextKind::ValidValue)) {
        (ErrorKind::ValueValidation, _) => error.source().map(ToString::to_string),
        (ErrorKind::InvalidValue, Some(ContextValue::Strings(names))) if !names.is_empty() => {
            Some(format!("it must be {}", names.join(" or ")))
        }
        (ErrorKind::InvalidValue, _) => Some("it needs a value".to_owned()),
        _ => None,
    }
}

/// The settings that the flags make. Where to listen by default depends on `--lan`.
pub(super) fn config(flags: Flags, matches: &ArgMatches) -> Config {
    let config = Config::from(flags);
    #[cfg(feature = "lan")]
    let is_on_lan = config.lan;
    #[cfg(not(feature = "lan"))]
    let is_on_lan = false;
    if is_on_lan && matches.value_source("listen") == Some(ValueSource::DefaultValue) {
        return Config { listen: limits::LISTEN_ON_LAN.parse().into_iter().collect(), ..config };
    }
    config
}

/// Whether the command line or the environment gives the flag with this id.
pub(super) fn is_given(matches: &ArgMatches, id: &str) -> bool {
    matches!(matches.value_source(id), Some(ValueSource::CommandLine | ValueSource::EnvVariable))
}
