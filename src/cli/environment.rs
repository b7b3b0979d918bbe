//! The environment variables of the flags: what they may be, which of them are misspelled, and what an error about one of
//! them says.

use clap::builder::Resettable;
use clap::error::{ContextKind, ContextValue};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command, Error};

/// How the name of each variable begins.
const PREFIX: &str = "SIGNALING_RELAY_";

/// `command` without the variables that are empty: compose files and service managers pass those that nobody has set.
pub(super) fn without_empty(command: Command) -> Command {
    let is_empty = |arg: &Arg| arg.get_env().and_then(std::env::var_os).is_some_and(|value| value.is_empty());
    each_argument(command, &|arg| if is_empty(&arg) { arg.env(Resettable::Reset) } else { arg })
}

/// `error` with the name of the variable that it is about, rather than that of its flag. `is_good_alone` says whether the
/// arguments parse without any variable.
pub(super) fn name_variable(mut error: Error, command: &Command, is_good_alone: bool) -> Error {
    let Some(ContextValue::String(flag)) = error.get(ContextKind::InvalidArg) else { return error };
    let variable = command.get_arguments().find(|arg| arg.to_string() == *flag).and_then(variable_of);
    if let (Some(variable), true) = (variable, is_good_alone) {
        error.insert(ContextKind::InvalidArg, ContextValue::String(variable));
    }
    error
}

/// `command` without any variable.
pub(super) fn without_any(command: Command) -> Command {
    each_argument(command, &|arg| arg.env(Resettable::Reset))
}

fn each_argument(command: Command, change: &dyn Fn(Arg) -> Arg) -> Command {
    command.mut_args(change).mut_subcommands(|subcommand| each_argument(subcommand, change))
}

fn variable_of(arg: &Arg) -> Option<String> {
    arg.get_env().map(|name| name.to_string_lossy().into_owned())
}

/// The flags whose values come from variables, and these.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FromEnvironment(Vec<(String, String)>);

impl FromEnvironment {
    pub(super) fn new(command: &Command, matches: &ArgMatches) -> Self {
        let is_from_variable =
            |arg: &&Arg| matches.value_source(arg.get_id().as_str()) == Some(ValueSource::EnvVariable);
        let pair = |arg: &Arg| Some((format!("--{}", arg.get_long()?), variable_of(arg)?));
        Self(command.get_arguments().filter(is_from_variable).filter_map(pair).collect())
    }

    /// `text` with the name of the variable instead of each flag that comes from one.
    pub fn name_in(&self, text: &str) -> String {
        let mut named = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = rest.find("--") {
            let (before, flag) = rest.split_at(start);
            let end = flag.find(|char: char| !char.is_ascii_alphanumeric() && char != '-').unwrap_or(flag.len());
            let (flag, after) = flag.split_at(end);
            named.push_str(before);
            named.push_str(self.0.iter().find(|(known, _)| known == flag).map_or(flag, |(_, variable)| variable));
            rest = after;
        }
        named + rest
    }
}

/// A warning about each variable that begins as ours do and is none of `command`'s.
pub(super) fn warnings(command: &Command, present: impl Iterator<Item = String>) -> Vec<String> {
    let known: Vec<String> = command.get_arguments().filter_map(variable_of).collect();
    let mut unknown: Vec<String> = present
        .filter(|name| name.starts_with(PREFIX) && !known.contains(name) && !is_of_a_kubernetes_service(name))
        .collect();
    unknown.sort();
    unknown.iter().map(|name| warning(name, &known)).collect()
}

fn warning(name: &str, known: &[String]) -> String {
    let nearest = known.iter().max_by(|one, other| {
        let likeness = |known: &str| strsim::jaro_winkler(tail(name), tail(known));
        likeness(one).total_cmp(&likeness(other))
    });
    match nearest {
        Some(nearest) => format!("the relay knows no environment variable {name:?}; the nearest one is {nearest}"),
        None => format!("the relay knows no environment variable {name:?}"),
    }
}

fn tail(name: &str) -> &str {
    name.strip_prefix(PREFIX).unwrap_or(name)
}

/// Whether Kubernetes makes such a variable in each pod for a service whose name begins with `signaling-relay`.
fn is_of_a_kubernetes_service(name: &str) -> bool {
    let name = name.strip_prefix("SIGNALING_RELAY").unwrap_or(name);
    name.ends_with("_PORT") || name.contains("_PORT_") || name.contains("_SERVICE_")
}

#[cfg(test)]
mod tests {
    use clap::ArgAction;

    use super::*;

    fn command() -> Command {
        let arg = |name: &'static str, variable: &'static str| Arg::new(name).long(name).env(variable);
        Command::new("relay")
            .arg(arg("room-capacity", "SIGNALING_RELAY_ROOM_CAPACITY"))
            .arg(arg("listen", "SIGNALING_RELAY_LISTEN"))
            .arg(arg("lan", "SIGNALING_RELAY_LAN").action(ArgAction::SetTrue))
    }

    #[test]
    fn a_misspelled_variable_is_named_with_the_nearest_one() {
        let warnings = |names: &[&str]| warnings(&command(), names.iter().map(|name| (*name).to_owned()));
        for (name, nearest) in [
            ("SIGNALING_RELAY_ROOM_CAPACTIY", "SIGNALING_RELAY_ROOM_CAPACITY"),
            ("SIGNALING_RELAY_CAPACITY", "SIGNALING_RELAY_ROOM_CAPACITY"),
            ("SIGNALING_RELAY_LISTEN_ON", "SIGNALING_RELAY_LISTEN"),
            ("SIGNALING_RELAY_lan", "SIGNALING_RELAY_LAN"),
        ] {
            let said = warnings(&[name]);
            assert!(said.len() == 1 && said[0].contains(name) && said[0].ends_with(nearest), "{said:?}");
        }
        assert!(warnings(&["SIGNALING_RELAY_LISTEN", "SIGNALING_RELAYS", "PATH", "RUST_LOG"]).is_empty());
    }

    #[test]
    fn what_kubernetes_says_of_a_service_is_no_spelling_mistake() {
        let of_service = [
            "SIGNALING_RELAY_PORT",
            "SIGNALING_RELAY_SERVICE_HOST",
            "SIGNALING_RELAY_SERVICE_PORT",
            "SIGNALING_RELAY_SERVICE_PORT_HTTP",
            "SIGNALING_RELAY_PORT_8080_TCP",
            "SIGNALING_RELAY_PORT_8080_TCP_ADDR",
            "SIGNALING_RELAY_WEB_SERVICE_HOST",
            "SIGNALING_RELAY_WEB_PORT",
        ];
        assert!(warnings(&command(), of_service.map(str::to_owned).into_iter()).is_empty());
    }

    #[test]
    fn a_flag_that_comes_from_a_variable_is_called_by_its_name() {
        let pairs = [("--cert", "SIGNALING_RELAY_CERT"), ("--lan", "SIGNALING_RELAY_LAN")];
        let sources = FromEnvironment(pairs.map(|(flag, name)| (flag.to_owned(), name.to_owned())).into());
        for (text, named) in [
            ("--cert c.pem needs --key", "SIGNALING_RELAY_CERT c.pem needs --key"),
            ("give --lan, or --cert and --key", "give SIGNALING_RELAY_LAN, or SIGNALING_RELAY_CERT and --key"),
            ("--lan-dir is an empty path", "--lan-dir is an empty path"),
            ("nothing -- of it", "nothing -- of it"),
        ] {
            assert_eq!(sources.name_in(text), named);
        }
    }
}
