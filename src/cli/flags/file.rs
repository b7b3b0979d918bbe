//! The file with settings.

use std::path::{Path, PathBuf};

use clap::Args;

/// The name of `--config`, which no file has.
pub(in crate::cli) const CONFIG: &str = "config";

/// The file with settings. It is read before the other flags are parsed, which it adds to.
#[derive(Debug, Args)]
#[command(next_help_heading = "Settings from a file")]
pub(super) struct FileFlags {
    /// Read settings from this TOML file, whose keys are named as the flags: `room-capacity = 4`, `lan = true`.
    ///
    /// What may be given several times is a list there: `listen = ["localhost:8080", "*:8443"]`. Flags win over the environment,
    /// which wins over the file. Paths in it are relative to the folder in which the relay is started, as those of flags are.
    /// `ice-servers` may be the list itself. It is read at the start alone; `signaling-relay check` looks for mistakes in it.
    #[arg(long, value_name = "FILE", env = "SIGNALING_RELAY_CONFIG")]
    config: Option<PathBuf>,
}

impl FileFlags {
    pub(super) fn path(&self) -> Option<&Path> {
        self.config.as_deref()
    }
}
