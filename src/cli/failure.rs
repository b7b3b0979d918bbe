//! Why the program does not start: a mistake in what it is told to do.

use std::fmt;
use std::io::Write;
use std::process::ExitCode;

/// Why the program does not start.
#[derive(Debug)]
pub enum Failure {
    /// The command line or the environment is wrong; or help or the version is asked for, which is no failure.
    CommandLine(clap::Error),
    /// The file with settings is wrong: a sentence for each problem, with the line.
    File(Vec<String>),
    /// The file with settings cannot be read.
    Unreadable(String),
}

impl Failure {
    /// Whether something is wrong, and not help or the version asked for.
    pub fn is_mistake(&self) -> bool {
        match self {
            Self::CommandLine(error) => error.use_stderr(),
            Self::File(_) | Self::Unreadable(_) => true,
        }
    }

    /// Prints it, to stderr if something is wrong; returns the exit code: 2 for a wrong setting, 1 for a file that cannot be
    /// read.
    pub fn print(&self) -> ExitCode {
        // If nobody reads it, the exit code has to do.
        let _ = match self {
            // In colours, where a terminal has them.
            Self::CommandLine(error) => error.print(),
            Self::File(_) | Self::Unreadable(_) => write!(std::io::stderr(), "{self}"),
        };
        match self {
            Self::CommandLine(error) => u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from),
            Self::File(_) => ExitCode::from(2),
            Self::Unreadable(_) => ExitCode::FAILURE,
        }
    }
}

impl From<clap::Error> for Failure {
    fn from(error: clap::Error) -> Self {
        Self::CommandLine(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CommandLine(error) => error.fmt(f),
            Self::File(problems) => problems.iter().try_for_each(|problem| writeln!(f, "error: {problem}")),
            Self::Unreadable(error) => writeln!(f, "error: {error}"),
        }
    }
}
