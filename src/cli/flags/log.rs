//! How the log is written.

use clap::Args;

use crate::cli::log::LogFormat;

/// How the log is written.
#[derive(Debug, Args)]
#[command(next_help_heading = "For operators")]
pub(super) struct LogFlags {
    /// Write the log as `text` for people, or as `json` for programs: each line is an object.
    #[arg(
        long,
        value_name = "FORMAT",
        env = "SIGNALING_RELAY_LOG_FORMAT",
        default_value = "text",
        hide_possible_values = true
    )]
    log_format: LogFormat,
}

impl LogFlags {
    pub(super) fn format(&self) -> LogFormat {
        self.log_format
    }
}
