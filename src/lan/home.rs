//! The folder that keeps the local authority.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// Where the programs of this system keep such things, below the home folder.
const BELOW_HOME: &str = match (cfg!(target_vendor = "apple"), cfg!(windows)) {
    (true, _) => "Library/Application Support",
    (_, true) => r"AppData\Local",
    _ => ".local/state",
};
/// The folder of this program among those of others.
const PROGRAM: &str = "signaling-relay";

/// The folder of `--lan-dir`, if there is one in `chosen`; otherwise this user's state folder, which does not depend on the
/// current folder.
///
/// # Errors
/// When there is no folder of this user.
pub(crate) fn find(chosen: Option<&Path>) -> anyhow::Result<PathBuf> {
    let home = || state_folder(|name| env::var_os(name), env::home_dir());
    chosen
        .map(Path::to_owned)
        .or_else(home)
        .context("there is no folder to keep the local authority in, because this user has none: give --lan-dir")
}

/// The folder for what this program has to keep: that of systemd's `StateDirectory=`, or else that of the XDG Base
/// Directory Specification, or else where this system keeps such things below the home folder.
fn state_folder(variable: impl Fn(&str) -> Option<OsString>, home: Option<PathBuf>) -> Option<PathBuf> {
    // Both must be absolute; a relative one is to be ignored (XDG Base Directory Specification 0.8).
    let absolute = |path: PathBuf| path.is_absolute().then_some(path);
    // systemd may set several, with colons in between.
    let systemd = variable("STATE_DIRECTORY").and_then(|paths| env::split_paths(&paths).next()).and_then(absolute);
    let xdg = || variable("XDG_STATE_HOME").map(PathBuf::from).and_then(absolute);
    // Below the home folder, unless an administrator has moved it.
    let local = || cfg!(windows).then(|| variable("LOCALAPPDATA").map(PathBuf::from).and_then(absolute)).flatten();
    let base = || xdg().or_else(local).or_else(|| Some(home.and_then(absolute)?.join(BELOW_HOME)));
    systemd.or_else(|| Some(base()?.join(PROGRAM)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(variables: &[(&str, &str)], home: Option<&str>) -> Option<String> {
        let variable = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
        state_folder(variable, home.map(PathBuf::from)).map(|path| path.to_str().unwrap().to_owned())
    }

    /// An absolute path of this system.
    fn absolute(path: &str) -> String {
        if cfg!(windows) { format!("C:{path}").replace('/', r"\") } else { path.to_owned() }
    }

    /// Where the state of this program is in this home folder.
    fn below(home: &str) -> String {
        Path::new(home).join(BELOW_HOME).join(PROGRAM).to_str().unwrap().to_owned()
    }

    #[test]
    fn the_state_folder_is_systemds_then_xdgs_then_below_the_home_folder() {
        let (relay, other) = (absolute("/var/lib/relay"), absolute("/var/lib/other"));
        let both = env::join_paths([&relay, &other]).unwrap().into_string().unwrap();
        let (state, home) = (absolute("/x/state"), absolute("/home/ana"));
        let (systemd, xdg) = (("STATE_DIRECTORY", both.as_str()), ("XDG_STATE_HOME", state.as_str()));
        assert_eq!(found(&[xdg, systemd], Some(&home)).unwrap(), relay);
        let program = Path::new(&state).join(PROGRAM);
        assert_eq!(found(&[xdg], Some(&home)).unwrap(), program.to_str().unwrap());
        assert_eq!(found(&[], Some(&home)).unwrap(), below(&home));
        assert_eq!(found(&[], None), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn below_the_home_folder_it_is_where_xdg_says() {
        assert_eq!(found(&[], Some("/home/ana")).unwrap(), "/home/ana/.local/state/signaling-relay");
    }

    #[test]
    #[cfg(windows)]
    fn on_windows_it_is_local_application_data() {
        let moved = [("LOCALAPPDATA", r"D:\Data")];
        assert_eq!(found(&moved, Some(r"C:\Users\ana")).unwrap(), r"D:\Data\signaling-relay");
        assert_eq!(found(&[], Some(r"C:\Users\ana")).unwrap(), r"C:\Users\ana\AppData\Local\signaling-relay");
        assert_eq!(found(&moved, None).unwrap(), r"D:\Data\signaling-relay");
    }

    #[test]
    fn a_folder_that_would_depend_on_the_current_one_is_ignored() {
        let relative = [("STATE_DIRECTORY", "state"), ("XDG_STATE_HOME", "x"), ("LOCALAPPDATA", "y")];
        let home = absolute("/home/ana");
        assert_eq!(found(&relative, Some(&home)).unwrap(), below(&home));
        assert_eq!(found(&[("STATE_DIRECTORY", ""), ("XDG_STATE_HOME", "")], Some("")), None);
    }

    #[test]
    fn a_folder_that_was_chosen_is_taken_as_it_is() {
        assert_eq!(find(Some(Path::new("kept/here"))).unwrap(), Path::new("kept/here"));
    }
}
