//! The environment variables of the flags: what they may be, which of them are misspelled, and what an error about one of
//! them says.

use clap::builder::Resettable;
use clap::error::{ContextKind, ContextValue};
use clap::{Arg, Command, Error};

use super::nearest;
use super::settings::parse_alone;

/// How the name of each variable begins.
const PREFIX: &str = "SIGNALING_RELAY_";

/// `command` without the variables that are empty: compose files and service managers pass those that nobody has set.
pub(super) fn without_empty(command: Command) -> Command {
    let is_empty = |arg: &Arg| arg.get_env().and_then(std::env::var_os).is_some_and(|value| value.is_empty());
    each_argument(command, &|arg| if is_empty(&arg) { arg.env(Resettable::Reset) } else { arg })
}

/// The flags whose values may hold a password: an error does not repeat them.
const SECRET_FLAGS: [&str; 1] = ["--redis"];

/// `error` with the name of the variable that it is about, rather than that of its flag. `is_good_alone` says whether the
/// arguments parse without any variable.
pub(super) fn name_variable(mut error: Error, command: &Command, is_good_alone: bool) -> Error {
    let Some(ContextValue::String(flag)) = error.get(ContextKind::InvalidArg).cloned() else { return error };
    if SECRET_FLAGS.iter().any(|secret| flag.split(' ').next() == Some(secret)) {
        error.insert(ContextKind::InvalidValue, ContextValue::String("...".to_owned()));
    }
    let variable = command.get_arguments().find(|arg| arg.to_string() == flag).and_then(variable_of);
    if let (Some(variable), true) = (variable, is_good_alone) {
        error.insert(ContextKind::InvalidArg, ContextValue::String(variable));
    }
    error
}

/// `command` without any variable.
pub(super) fn without_any(command: Command) -> Command {
    each_argument(command, &|arg| arg.env(Resettable::Reset))
}

/// `command` without the variable of the flag with this id.
pub(super) fn without(command: Command, id: &str) -> Command {
    each_argument(command, &|arg| if arg.get_id() == id { arg.env(Resettable::Reset) } else { arg })
}

/// The variables whose values are wrong: the id of the flag, the name of the variable, and the error.
pub(super) fn mistakes(command: &Command) -> Vec<(String, String, Error)> {
    let mistake = |arg: &Arg| {
        let variable = variable_of(arg).filter(|variable| std::env::var_os(variable).is_some())?;
        let is_other = |other: &Arg| other.get_id() != arg.get_id();
        let alone = |other: Arg| if is_other(&other) { other.env(Resettable::Reset) } else { other };
        let error = parse_alone(&each_argument(command.clone(), &alone), &[]).err()?;
        Some((arg.get_id().to_string(), variable, error))
    };
    command.get_arguments().filter_map(mistake).collect()
}

/// The names of the variables that there are.
pub(super) fn names() -> impl Iterator<Item = String> {
    std::env::vars_os().filter_map(|(name, _)| name.into_string().ok())
}

/// `command` with each of its arguments, and those of its subcommands, changed.
/// `command` whose help does not name the variables: so the short one is read at a glance.
pub(super) fn without_names(command: Command) -> Command {
    each_argument(command, &|arg| arg.hide_env(true))
}

fn each_argument(command: Command, change: &dyn Fn(Arg) -> Arg) -> Command {
    command.mut_args(change).mut_subcommands(|subcommand| each_argument(subcommand, change))
}

/// The name of the variable of a flag.
pub(super) fn variable_of(arg: &Arg) -> Option<String> {
    arg.get_env().map(|name| name.to_string_lossy().into_owned())
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
    match nearest(tail(name), known.iter().map(|known| tail(known))) {
        Some(nearest) => {
            format!("the relay knows no environment variable {name:?}; the nearest one is {PREFIX}{nearest}")
        }
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
}
