//! What was found.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::Level;

use crate::cli::sources::Sources;

/// What a check has found.
#[derive(Debug, Default)]
pub struct Report {
    /// What keeps the relay from starting.
    problems: Vec<String>,
    /// What the relay warns of when it starts.
    warnings: Vec<String>,
    /// What was not looked at, and why.
    notes: Vec<String>,
    /// How many files were read.
    files: usize,
}

impl Report {
    pub(super) fn problem(&mut self, text: String) {
        add(&mut self.problems, text);
    }

    pub(super) fn warn(&mut self, text: String) {
        add(&mut self.warnings, text);
    }

    pub(super) fn note(&mut self, text: String) {
        add(&mut self.notes, text);
    }

    /// Notes what became of reading `files` files; returns what was in them, if they can be used.
    pub(super) fn read<T>(&mut self, files: usize, read: anyhow::Result<T>, sources: &Sources) -> Option<T> {
        match read {
            Ok(content) => {
                self.files += files;
                Some(content)
            }
            Err(error) => {
                self.problem(sources.name_in(&format!("{error:#}")));
                None
            }
        }
    }

    /// Whether the relay can start with these settings.
    pub fn is_right(&self) -> bool {
        self.problems.is_empty()
    }

    /// Prints a line for each thing that was found, and one that says so if nothing is wrong. Returns the exit code.
    pub fn print(&self) -> ExitCode {
        // If nobody reads it, the exit code has to do.
        let _ = self.write(&mut io::stdout().lock());
        if self.is_right() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        for (kind, lines) in [("error", &self.problems), ("warning", &self.warnings), ("note", &self.notes)] {
            lines.iter().try_for_each(|line| writeln!(out, "{kind}: {line}"))?;
        }
        if self.is_right() {
            let files = match self.files {
                0 => "they name no file".to_owned(),
                1 => "1 file was read".to_owned(),
                files => format!("{files} files were read"),
            };
            writeln!(out, "the settings are right: {files}")?;
        }
        out.flush()
    }
}

fn add(lines: &mut Vec<String>, text: String) {
    // Each is one line, whatever a path or a key has in it.
    let line: String = text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect();
    if !lines.contains(&line) {
        lines.push(line);
    }
}

/// Runs `check`; returns the warnings that it wrote into the log meanwhile, which are those of the start.
pub(super) fn gather_warnings(check: impl FnOnce()) -> Vec<String> {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(Level::WARN)
        .without_time()
        .with_level(false)
        .with_target(false)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, check);
    let written = lines.0.lock().unwrap_or_else(PoisonError::into_inner);
    String::from_utf8_lossy(&written).lines().map(|line| line.trim().to_owned()).collect()
}

/// The lines of a log.
#[derive(Debug, Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(report: &Report) -> String {
        let mut text = Vec::new();
        report.write(&mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn each_thing_is_said_once_in_one_line_and_the_last_says_that_all_is_right() {
        let mut report = Report::default();
        report.note("a".into());
        report.warn("b".into());
        report.warn("b".into());
        assert_eq!(written(&report), "warning: b\nnote: a\nthe settings are right: they name no file\n");
        report.problem("c\nd".into());
        assert_eq!(written(&report), "error: c d\nwarning: b\nnote: a\n");
    }

    #[test]
    fn what_the_start_would_warn_of_is_gathered() {
        let warnings = gather_warnings(|| {
            tracing::info!("fine");
            tracing::warn!(file = "x", "others can read it");
        });
        assert_eq!(warnings, [r#"others can read it file="x""#]);
    }
}
