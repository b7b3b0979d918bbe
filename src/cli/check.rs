//! `signaling-relay check`: looks for mistakes in the settings before a restart does.
//!
//! It takes what the relay takes, reads every file that a setting names by the functions that the start reads it by, and
//! says all that is wrong and not only the first. It makes nothing, listens nowhere and asks no other machine.

mod files;
mod report;

use std::ffi::OsString;

use clap::{ArgMatches, Command, FromArgMatches};

pub use report::Report;

use super::environment;
use super::file::SettingsFile;
use super::flags::{self, Flags};
use super::settings::{self, PROGRAM, is_given, parse_alone, what_is_right};
use super::sources::{Sources, names_any};

/// How the subcommand is called.
pub(super) const NAME: &str = "check";

/// Settings to check.
#[derive(Debug)]
pub struct Check {
    /// The flags.
    arguments: Vec<OsString>,
}

/// The subcommand, for `--help`: what it takes is parsed here.
pub(super) fn command() -> Command {
    flags::command()
        .name(NAME)
        .disable_help_flag(false)
        .about("Look for mistakes in the settings before a restart does")
        .long_about(
            "Look for mistakes in the settings before a restart does: in flags, environment and --config.\n\nIt takes what the \
             relay takes, reads every file that a setting names, listens nowhere, makes nothing, asks nobody, and prints a \
             line for all that is wrong. The exit code is 1 if the relay would not start, and 0 otherwise; what the relay \
             would only warn of is a warning.",
        )
}

impl Check {
    /// A check of these flags, of the environment and of the file that they name.
    pub(super) fn new(arguments: Vec<OsString>) -> Self {
        Self { arguments }
    }

    /// Looks for mistakes.
    pub fn run(&self) -> Report {
        let mut report = Report::default();
        for warning in environment::warnings(&flags::command(), environment::names()) {
            report.warn(warning);
        }
        let warnings = report::gather_warnings(|| {
            if let Some((matches, sources, wrong_flags)) = self.parse(&mut report) {
                check_config(&matches, &sources, &wrong_flags, &mut report);
            }
        });
        warnings.into_iter().for_each(|warning| report.warn(warning));
        report
    }

    /// What is right of the flags, the environment and the file, where it comes from, and the flags whose values are wrong. None
    /// if the parts do not fit together.
    fn parse(&self, report: &mut Report) -> Option<(ArgMatches, Sources, Vec<String>)> {
        let mut wrong_flags = Vec::new();
        let bare = environment::without_any(flags::command());
        let mut arguments = vec![OsString::from(PROGRAM)];
        for part in parts(&self.arguments) {
            match parse_alone(&bare, part) {
                Ok(_) => arguments.extend_from_slice(part),
                Err(error) => {
                    let flag = flag_of(part);
                    let right = what_is_right(&error).map(|right| format!("{flag}: {right}"));
                    report.problem(right.unwrap_or_else(|| first_line(&error)));
                    wrong_flags.push(flag);
                }
            }
        }
        let mut command = environment::without_empty(flags::command());
        let given = self.fit(bare.try_get_matches_from(&arguments), report)?;
        for (id, variable, error) in environment::mistakes(&command) {
            // The relay does not look at a variable whose flag is given.
            if !is_given(&given, &id) {
                let right = what_is_right(&error).unwrap_or_else(|| first_line(&error));
                report.problem(format!("{variable}: {right}"));
                wrong_flags.push(format!("--{}", id.replace('_', "-")));
            }
            command = environment::without(command, &id);
        }
        let mut sources = Sources::default();
        let matches = self.fit(command.clone().try_get_matches_from(&arguments), report)?;
        sources.add_variables(&command, &matches);
        let file = Flags::from_arg_matches(&matches).ok()?.config_file().map(SettingsFile::read);
        let Some(file) = file.and_then(|file| report.read(1, file, &sources)) else {
            return Some((matches, sources, wrong_flags));
        };
        let found = file.settings(&flags::command());
        found.problems.iter().for_each(|problem| report.problem(problem.clone()));
        found.warnings.iter().for_each(|warning| report.warn(warning.clone()));
        wrong_flags.extend_from_slice(&found.wrong_flags);
        let (command, arguments) = found.add_to(command, &arguments, &matches, &mut sources);
        let matches = self.fit(command.try_get_matches_from(arguments), report)?;
        Some((matches, sources, wrong_flags))
    }

    /// What parts that are right alone are together: none if one of them is given twice.
    fn fit(&self, matches: Result<ArgMatches, clap::Error>, report: &mut Report) -> Option<ArgMatches> {
        matches.map_err(|error| report.problem(first_line(&error))).ok()
    }
}

fn check_config(matches: &ArgMatches, sources: &Sources, wrong_flags: &[String], report: &mut Report) {
    let Ok(flags) = Flags::from_arg_matches(matches) else { return };
    let config = settings::config(flags, matches);
    for error in config.problems() {
        let text = error.to_string();
        // What is missing beside a wrong value may be that value.
        if !names_any(&text, wrong_flags) {
            report.problem(sources.name_in(&text));
        }
    }
    files::check(&config, sources, wrong_flags, report);
}

/// The parts of a command line that can be parsed alone: each flag with its value.
fn parts(arguments: &[OsString]) -> impl Iterator<Item = &[OsString]> {
    let is_flag = |argument: &OsString| argument.as_encoded_bytes().starts_with(b"-");
    let has_value = |argument: &OsString| argument.as_encoded_bytes().contains(&b'=');
    let mut rest = arguments;
    std::iter::from_fn(move || {
        let (first, others) = rest.split_first()?;
        let takes_next = is_flag(first) && !has_value(first) && others.first().is_some_and(|next| !is_flag(next));
        let (part, after) = rest.split_at(if takes_next { 2 } else { 1 });
        rest = after;
        Some(part)
    })
}

/// The flag of such a part.
fn flag_of(part: &[OsString]) -> String {
    let first = part.first().map(|first| first.to_string_lossy().into_owned()).unwrap_or_default();
    first.split('=').next().unwrap_or_default().to_owned()
}

fn first_line(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let mut lines = text.lines().filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default();
    let tip = lines.map(str::trim).find_map(|line| line.strip_prefix("tip: "));
    let first = first.strip_prefix("error: ").unwrap_or(first);
    tip.map_or_else(|| first.to_owned(), |tip| format!("{first}: {tip}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_is_taken_apart_into_flags_with_their_values() {
        let arguments = ["--lan", "--listen", "a:1", "--stun=stun:h", "stray", "--web"].map(OsString::from);
        let parts: Vec<_> = parts(&arguments).map(|part| part.join(std::ffi::OsStr::new(" "))).collect();
        assert_eq!(parts, ["--lan", "--listen a:1", "--stun=stun:h", "stray", "--web"]);
    }
}
