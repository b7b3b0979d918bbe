//! The binary: its flags, invite links, banner, log, signals and file descriptors.

pub mod banner;
pub mod command_line;
pub mod descriptors;
pub mod environment;
pub mod flags;
#[cfg(feature = "auth")]
pub mod invite;
pub mod log;
pub mod service_manager;
pub mod signals;
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
