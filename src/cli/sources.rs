//! Where the values of flags come from, so that an error names the variable or the line of the file and not a flag that
//! nobody gave.

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};

use super::environment::variable_of;

/// The flags whose values do not come from the command line, and where they come from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources(Vec<(String, Source)>);

/// Where the value of a flag comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    /// An environment variable of this name.
    Variable(String),
    /// A file: `place` is its path and the line.
    File { place: String, key: String },
}

impl Sources {
    /// Notes the flags of `command` whose values in `matches` come from variables.
    pub(super) fn add_variables(&mut self, command: &Command, matches: &ArgMatches) {
        let is_from_variable =
            |arg: &&Arg| matches.value_source(arg.get_id().as_str()) == Some(ValueSource::EnvVariable);
        let pair = |arg: &Arg| Some((format!("--{}", arg.get_long()?), Source::Variable(variable_of(arg)?)));
        self.0.extend(command.get_arguments().filter(is_from_variable).filter_map(pair));
    }

    /// Notes that the value of the flag `--key` comes from `place`, the path of a file and a line.
    pub(super) fn add_key(&mut self, key: &str, place: String) {
        self.0.push((format!("--{key}"), Source::File { place, key: key.to_owned() }));
    }

    /// `text` with the name of the variable, or the key of the file, instead of each flag that comes from one.
    pub fn name_in(&self, text: &str) -> String {
        let mut named = String::with_capacity(text.len());
        for part in parts(text) {
            match self.0.iter().find(|(flag, _)| flag == part) {
                Some((_, Source::Variable(name))) => named.push_str(name),
                // As compilers do, so that editors find the line.
                Some((_, Source::File { place, key })) if named.is_empty() => {
                    named.push_str(&format!("{place}: {key}"));
                }
                Some((_, Source::File { place, key })) => named.push_str(&format!("{key} ({place})")),
                None => named.push_str(part),
            }
        }
        named
    }
}

/// Whether `text` names one of these flags.
pub(super) fn names_any(text: &str, flags: &[String]) -> bool {
    parts(text).any(|part| flags.iter().any(|flag| flag == part))
}

/// The parts of `text`: flags, such as `--listen`, and what is between them.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let end = match rest.find("--") {
            None => rest.len(),
            Some(0) => rest.find(|char: char| !char.is_ascii_alphanumeric() && char != '-').unwrap_or(rest.len()),
            Some(start) => start,
        };
        let (part, after) = rest.split_at(end);
        rest = after;
        (!part.is_empty()).then_some(part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_that_comes_from_a_variable_is_called_by_its_name() {
        let pairs = [("--cert", "SIGNALING_RELAY_CERT"), ("--lan", "SIGNALING_RELAY_LAN")];
        let sources = Sources(pairs.map(|(flag, name)| (flag.to_owned(), Source::Variable(name.to_owned()))).into());
        for (text, named) in [
            ("--cert needs --key", "SIGNALING_RELAY_CERT needs --key"),
            ("give --lan, or --cert and --key", "give SIGNALING_RELAY_LAN, or SIGNALING_RELAY_CERT and --key"),
            ("--lan-dir is an empty path", "--lan-dir is an empty path"),
            ("nothing -- of it", "nothing -- of it"),
        ] {
            assert_eq!(sources.name_in(text), named);
        }
    }

    #[test]
    fn a_flag_that_comes_from_a_file_is_called_by_its_key_and_line() {
        let mut sources = Sources::default();
        sources.add_key("cert", "relay.toml:3".to_owned());
        assert_eq!(sources.name_in("--cert needs --key"), "relay.toml:3: cert needs --key");
        assert_eq!(sources.name_in("--key needs --cert"), "--key needs cert (relay.toml:3)");
    }

    #[test]
    fn a_flag_is_found_by_its_whole_name() {
        let flags = ["--lan".to_owned()];
        assert!(names_any("give --lan, or --cert", &flags) && !names_any("--lan-dir is an empty path", &flags));
    }
}
