//! The folder that keeps the local authority.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::Context;

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
        .context("there is no folder to keep the local authority in, because HOME is not set: give --lan-dir")
}

/// The folder for what this program has to keep: that of systemd's `StateDirectory=`, or else that of the XDG Base
/// Directory Specification.
fn state_folder(variable: impl Fn(&str) -> Option<OsString>, home: Option<PathBuf>) -> Option<PathBuf> {
    // Both must be absolute; a relative one is to be ignored (XDG Base Directory Specification 0.8).
    let absolute = |path: PathBuf| path.is_absolute().then_some(path);
    // systemd may set several, with colons in between.
    let systemd = variable("STATE_DIRECTORY").and_then(|paths| env::split_paths(&paths).next()).and_then(absolute);
    let xdg = || variable("XDG_STATE_HOME").map(PathBuf::from).and_then(absolute);
    let base = || xdg().or_else(|| Some(home.and_then(absolute)?.join(".local/state")));
    systemd.or_else(|| Some(base()?.join(PROGRAM)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(variables: &[(&str, &str)], home: Option<&str>) -> Option<String> {
        let variable = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
        state_folder(variable, home.map(PathBuf::from)).map(|path| path.to_str().unwrap().to_owned())
    }

    #[test]
    fn the_state_folder_is_systemds_then_xdgs_then_below_the_home_folder() {
        let (systemd, xdg) = (("STATE_DIRECTORY", "/var/lib/relay:/var/lib/other"), ("XDG_STATE_HOME", "/x/state"));
        let home = Some("/home/ana");
        assert_eq!(found(&[xdg, systemd], home).unwrap(), "/var/lib/relay");
        assert_eq!(found(&[xdg], home).unwrap(), "/x/state/signaling-relay");
        assert_eq!(found(&[], home).unwrap(), "/home/ana/.local/state/signaling-relay");
        assert_eq!(found(&[], None), None);
    }

    #[test]
    fn a_folder_that_would_depend_on_the_current_one_is_ignored() {
        let relative = [("STATE_DIRECTORY", "state"), ("XDG_STATE_HOME", "x")];
        assert_eq!(found(&relative, Some("/home/ana")).unwrap(), "/home/ana/.local/state/signaling-relay");
        assert_eq!(found(&[("STATE_DIRECTORY", ""), ("XDG_STATE_HOME", "")], Some("")), None);
    }

    #[test]
    fn a_folder_that_was_chosen_is_taken_as_it_is() {
        assert_eq!(find(Some(Path::new("kept/here"))).unwrap(), Path::new("kept/here"));
    }
}
