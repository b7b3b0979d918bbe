//! The flags of the relay, and the [`Config`] that they make: one file for each part of `--help`.

#[cfg(feature = "cluster")]
mod cluster;
mod entry;
#[cfg(feature = "auth")]
mod events;
mod file;
mod ice;
mod listen;
mod log;
#[cfg(feature = "admin")]
mod operators;
mod pages;
mod usage;

use std::fmt::Display;
use std::path::Path;
use std::str::FromStr;

use clap::{Args, Command};

use super::log::LogFormat;
use crate::config::Config;
pub(super) use file::CONFIG;

/// The flags of the relay.
#[derive(Debug, Args)]
pub struct Flags {
    #[command(flatten)]
    file: file::FileFlags,
    #[command(flatten)]
    listen: listen::ListenFlags,
    #[command(flatten)]
    entry: entry::EntryFlags,
    #[command(flatten)]
    ice: ice::IceFlags,
    #[command(flatten)]
    pages: pages::PageFlags,
    #[command(flatten)]
    usage: usage::UsageFlags,
    #[cfg(feature = "auth")]
    #[command(flatten)]
    events: events::EventFlags,
    #[cfg(feature = "cluster")]
    #[command(flatten)]
    cluster: cluster::ClusterFlags,
    #[cfg(feature = "admin")]
    #[command(flatten)]
    operators: operators::OperatorFlags,
    #[command(flatten)]
    log: log::LogFlags,
}

impl Flags {
    /// The file with further settings.
    pub(super) fn config_file(&self) -> Option<&Path> {
        self.file.path()
    }

    /// How the log is written.
    pub(super) fn log_format(&self) -> LogFormat {
        self.log.format()
    }
}

/// A command with these flags and nothing else.
pub(super) fn command() -> Command {
    Flags::augment_args(Command::new("signaling-relay")).disable_help_flag(true)
}

impl From<Flags> for Config {
    fn from(flags: Flags) -> Self {
        let mut config = Self::default();
        flags.listen.set(&mut config);
        flags.entry.set(&mut config);
        flags.ice.set(&mut config);
        flags.pages.set(&mut config);
        flags.usage.set(&mut config);
        #[cfg(feature = "auth")]
        flags.events.set(&mut config);
        #[cfg(feature = "cluster")]
        flags.cluster.set(&mut config);
        #[cfg(feature = "admin")]
        flags.operators.set(&mut config);
        config
    }
}

/// Parses a number from `low` to `high`.
fn number<T>(low: T, high: T) -> impl Fn(&str) -> Result<T, String> + Clone
where
    T: FromStr + PartialOrd + Display + Copy + Send + Sync + 'static,
{
    move |text| {
        let number = text.parse().ok().filter(|number| (low..=high).contains(number));
        // Without the text: an error about a value of a file does not repeat it.
        number.ok_or_else(|| format!("it is not a number from {low} to {high}"))
    }
}
