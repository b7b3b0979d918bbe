//! How the lines of the log look.

use clap::ValueEnum;
use serde_json::json;
use tracing::Level;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

/// How the lines of the log are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For programs: each line is a JSON object with `timestamp`, `level`, `message` and what belongs to it.
    Json,
}

/// How a line looks.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Style {
    pub(super) format: LogFormat,
    /// Whether each line begins with its priority, as systemd reads it (sd-daemon(3)).
    pub(super) has_priorities: bool,
}

impl Style {
    /// A line of the log's own.
    pub(super) fn line(self, level: Level, text: &str) -> String {
        let line = match self.format {
            LogFormat::Text => format!("{} {level:>5} {text}\n", time()),
            LogFormat::Json => {
                let object = json!({"timestamp": time(), "level": level.as_str(), "message": text});
                format!("{object}\n")
            }
        };
        self.prefixed(level, &line)
    }

    /// A line with its priority.
    pub(super) fn prefixed(self, level: Level, line: &str) -> String {
        format!("{}{line}", self.priority(level))
    }

    /// The priority of a line (syslog(3)), if lines have one.
    pub(super) fn priority(self, level: Level) -> &'static str {
        match level {
            _ if !self.has_priorities => "",
            Level::ERROR => "<3>",
            Level::WARN => "<4>",
            Level::INFO => "<6>",
            _ => "<7>",
        }
    }
}

/// Whether the journal of systemd reads stderr, as systemd.exec(5) tells it: `$JOURNAL_STREAM` has its device and inode.
#[cfg(target_os = "linux")]
pub(super) fn is_journal() -> bool {
    let named = std::env::var("JOURNAL_STREAM").ok();
    let named = named.as_deref().and_then(|named| named.split_once(':'));
    let stream = rustix::fs::fstat(std::io::stderr()).ok();
    let same = |((device, inode), stream): ((&str, &str), rustix::fs::Stat)| {
        device.parse() == Ok(stream.st_dev) && inode.parse() == Ok(stream.st_ino)
    };
    named.zip(stream).is_some_and(same)
}

/// Whether the journal of systemd reads stderr.
#[cfg(not(target_os = "linux"))]
pub(super) fn is_journal() -> bool {
    false
}

/// The time of now, as a line begins with it.
fn time() -> String {
    let mut time = String::new();
    // Writing into a string does not fail, and if it did, a line without its time is better than none.
    let _ = SystemTime.format_time(&mut Writer::new(&mut time));
    time
}
