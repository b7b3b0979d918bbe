//! The file of `--config`: settings in TOML, whose keys are named as the flags. clap's definition of the flags is the only
//! one: each key becomes the argument that the flag would be, so that both take the same values.
//!
//! The file may have secrets, so no error repeats a part of a value.

mod example;
mod value;

use std::ffi::OsString;
use std::path::Path;

use anyhow::Context;
use clap::{Arg, ArgMatches, Command};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::flags::CONFIG;
use super::settings::{PROGRAM, is_given, parse_alone, what_is_right};
use super::sources::Sources;
use super::{environment, nearest};
use crate::limits::FILE_BYTES;
use crate::net::read;
use crate::net::system::{open_file, open_secret};
pub use example::example;
use value::Wrong;

/// A file with settings, as it was read.
#[derive(Debug)]
pub(super) struct SettingsFile {
    /// Its path, as it is named in errors.
    name: String,
    content: Vec<u8>,
    /// Why what is in it is no secret, if others can read or write it.
    exposure: Option<String>,
}

/// What is in such a file.
#[derive(Debug, Default)]
pub(super) struct Settings {
    /// The settings that are right.
    pub(super) settings: Vec<Setting>,
    /// What is wrong: a sentence for each problem, with the line.
    pub(super) problems: Vec<String>,
    /// The flags whose keys have wrong values.
    pub(super) wrong_flags: Vec<String>,
    /// What is not as it should be, and does not keep the relay from starting.
    pub(super) warnings: Vec<String>,
}

/// A setting of a file.
#[derive(Debug)]
pub(super) struct Setting {
    /// The name of its flag, without the dashes.
    key: String,
    /// The path of the file and the line.
    place: String,
    /// The id of its flag.
    id: String,
    /// As which arguments the flag would say the same.
    arguments: Vec<OsString>,
}

impl SettingsFile {
    /// Reads the file.
    ///
    /// # Errors
    /// When it cannot be read, or is longer than [`FILE_BYTES`].
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let read = || {
            let file = open_file(path).with_context(|| format!("cannot read {}", path.display()))?;
            read::whole(file, path, FILE_BYTES)
        };
        let content = read().context("--config")?;
        let exposure = open_secret(path).err().map(|error| format!("{error:#}"));
        Ok(Self { name: path.display().to_string(), content, exposure })
    }

    /// The settings in it, each of which has been parsed alone, by these flags.
    pub(super) fn settings(&self, flags: &Command) -> Settings {
        let mut found = Settings::default();
        let text = match std::str::from_utf8(&self.content) {
            Ok(text) => text,
            Err(error) => {
                let place = self.place(self.line(error.valid_up_to()));
                found.problems.push(format!("{place}: it is not UTF-8, as TOML is"));
                return found;
            }
        };
        let (table, errors) = DeTable::parse_recoverable(text);
        let mut problems: Vec<(usize, String)> = Vec::new();
        for error in errors {
            let offset = error.span().map_or(0, |span| span.start);
            let line = self.line(offset);
            // What follows from the first error of a line is of no use.
            if !problems.iter().any(|(other, _)| *other == line) {
                problems.push((line, format!("it is not TOML: {}", syntax(text, offset, error.message()))));
            }
        }
        let broken_lines: Vec<usize> = problems.iter().map(|(line, _)| *line).collect();
        let flags = without_delimiters(environment::without_any(flags.clone()));
        for (key, value) in table.get_ref() {
            let line = self.line(key.span().start);
            if broken_lines.contains(&line) {
                found.wrong_flags.push(format!("--{}", key.get_ref()));
                continue;
            }
            match self.setting(key.get_ref(), line, value, &flags) {
                Ok((setting, warning)) => {
                    found.settings.push(setting);
                    found.warnings.extend(warning);
                }
                Err(Wrong { offset, text }) => {
                    found.wrong_flags.push(format!("--{}", key.get_ref()));
                    problems.push((offset.map_or(line, |offset| self.line(offset)), text));
                }
            }
        }
        problems.sort();
        found.problems = problems.into_iter().map(|(line, text)| format!("{}: {text}", self.place(line))).collect();
        found
    }

    /// The setting of a key, and the warning that others can read its value.
    fn setting(
        &self,
        key: &str,
        line: usize,
        value: &Spanned<DeValue<'_>>,
        flags: &Command,
    ) -> Result<(Setting, Option<String>), Wrong> {
        let Some(arg) = arguments_of(flags).find(|arg| arg.get_long() == Some(key)) else {
            return Err(Wrong { offset: None, text: unknown(key, value, flags) });
        };
        let named = |wrong: Wrong| Wrong { text: format!("{key}: {}", wrong.text), ..wrong };
        let check = |(offset, argument): (usize, String)| {
            let argument = OsString::from(argument);
            match parse_alone(flags, std::slice::from_ref(&argument)) {
                Ok(_) => Ok(argument),
                Err(error) => {
                    let text = what_is_right(&error).unwrap_or_else(|| "the flag does not take it".to_owned());
                    Err(Wrong { offset: Some(offset), text })
                }
            }
        };
        let arguments = value::arguments(arg, key, value).map_err(named)?;
        let arguments = arguments.into_iter().map(check).collect::<Result<Vec<_>, Wrong>>().map_err(named)?;
        let place = self.place(line);
        // Those are the flags whose values may be secrets.
        let is_secret = arg.is_hide_env_values_set() && arguments.iter().any(has_secret);
        let exposure = self.exposure.as_ref().filter(|_| is_secret);
        let warning = exposure.map(|why| format!("{place}: {key} has a secret, it seems, but {why}"));
        Ok((Setting { key: key.to_owned(), place, id: arg.get_id().to_string(), arguments }, warning))
    }

    /// The path and the line, as compilers name them.
    fn place(&self, line: usize) -> String {
        format!("{}:{line}", self.name)
    }

    fn line(&self, offset: usize) -> usize {
        1 + self.content.iter().take(offset).filter(|byte| **byte == b'\n').count()
    }
}

impl Settings {
    /// `command` and `arguments` with these settings, where `matches`, which is what the arguments and the environment say, has
    /// nothing.
    pub(super) fn add_to(
        self,
        mut command: Command,
        arguments: &[OsString],
        matches: &ArgMatches,
        sources: &mut Sources,
    ) -> (Command, Vec<OsString>) {
        let (program, rest) = arguments
            .split_first()
            .map_or((OsString::from(PROGRAM), &[][..]), |(program, rest)| (program.clone(), rest));
        let mut all = vec![program];
        for setting in self.settings {
            if is_given(matches, &setting.id) {
                continue;
            }
            command = command.mut_arg(&setting.id, without_delimiter);
            sources.add_key(&setting.key, setting.place);
            all.extend(setting.arguments);
        }
        all.extend_from_slice(rest);
        (command, all)
    }
}

/// The flags that a file may have.
fn arguments_of(flags: &Command) -> impl Iterator<Item = &Arg> {
    flags.get_arguments().filter(|arg| arg.get_long().is_some_and(|long| ![CONFIG, "help", "version"].contains(&long)))
}

/// In a file the parts of a list are apart already.
fn without_delimiters(flags: Command) -> Command {
    flags.mut_args(without_delimiter)
}

fn without_delimiter(arg: Arg) -> Arg {
    arg.value_delimiter(None)
}

/// What is wrong with the syntax at `offset`. The parser takes a word without quotes for what begins like it, such as `nan`.
fn syntax<'a>(text: &str, offset: usize, message: &'a str) -> &'a str {
    let is_word = text.as_bytes().get(offset).is_some_and(u8::is_ascii_alphabetic);
    if is_word && (message.starts_with("invalid ") || message.contains("quoted")) {
        "a text must be in quotes, and what is without is a number, true or false"
    } else {
        message
    }
}

fn unknown(key: &str, value: &Spanned<DeValue<'_>>, flags: &Command) -> String {
    if key == CONFIG {
        return "a file names no other file: --config is for the command line".to_owned();
    }
    let plain = key.to_lowercase().replace('_', "-");
    let nearest = nearest(&plain, arguments_of(flags).filter_map(Arg::get_long)).unwrap_or_default();
    let hint = format!("there is no setting {key:?}; the nearest one is {nearest:?}");
    match value.get_ref() {
        DeValue::Table(_) => format!("{hint}; settings are in no table such as [{key}]"),
        _ => hint,
    }
}

/// Whether an argument has a secret, as far as one can know: a credential of a TURN server, or a URL with a query or a user.
fn has_secret(argument: &OsString) -> bool {
    let text = argument.to_string_lossy();
    ["?", "@", "\"credential\""].iter().any(|sign| text.contains(sign))
}
