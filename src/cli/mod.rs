//! The binary: its flags and the file with settings, invite links, the doctor, banner, log, signals and file descriptors.

pub mod banner;
pub mod check;
pub mod command_line;
pub mod descriptors;
#[cfg(feature = "doctor")]
pub mod doctor;
mod environment;
pub mod failure;
pub mod file;
pub mod flags;
pub mod health;
#[cfg(feature = "auth")]
pub mod invite;
pub mod log;
pub mod service_manager;
mod settings;
pub mod signals;
pub mod sources;
#[cfg(feature = "auth")]
mod time;

/// Whether a terminal of this system shows colours. The console of Windows 10 does only when it is asked to, and that is
/// done here.
fn has_colours() -> bool {
    #[cfg(windows)]
    return anstyle_query::windows::enable_ansi_colors().unwrap_or(false);
    #[cfg(not(windows))]
    true
}

/// The one of `known` that is most like `name`.
fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let likeness = |known: &str| strsim::jaro_winkler(name, known);
    known.max_by(|one, other| likeness(one).total_cmp(&likeness(other)))
}
