//! Secrets of this process's user: files and folders that nobody else can have written.

use std::fs::{self, DirBuilder, File, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

use anyhow::{Context, ensure};

use super::files::open_file;

/// The permissions of a folder with secrets: its owner may use it.
const OWNER_ONLY: u32 = 0o700;
/// The permission to write, of users who are not the owner.
const OTHERS_WRITE: u32 = 0o022;
/// The permission to read, of users who are neither the owner of a file nor in its group.
#[cfg(any(feature = "auth", feature = "admin", feature = "cluster", feature = "cli"))]
const OTHERS_READ: u32 = 0o004;
/// The user id of root, who can read and write every file.
const ROOT: u32 = 0;

/// Creates `folder`, and those above it that are missing; only the owner can use what is created.
///
/// # Errors
/// When the operating system refuses it.
pub(crate) fn create_own_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(OWNER_ONLY).create(folder)
}

/// Checks that nobody but this process's user, or root, can put files into `folder`. The sticky bit, as on `/tmp`, is
/// not enough: it keeps others from replacing a file, but not from making it first.
///
/// # Errors
/// When it cannot be examined, belongs to another user, or can be written by others.
pub(crate) fn check_own_folder(folder: &Path) -> anyhow::Result<()> {
    let metadata = fs::metadata(folder).with_context(|| format!("cannot examine {}", folder.display()))?;
    check_own(folder, &metadata)
}

/// Opens a file that nobody but this process's user, or root, can have written. The check is of the file that is open,
/// so nobody can exchange it afterwards.
///
/// # Errors
/// When it cannot be opened, belongs to another user, or can be written by others.
pub(crate) fn open_own(path: &Path) -> anyhow::Result<File> {
    let file = open_file(path).with_context(|| format!("cannot read {}", path.display()))?;
    check_own(path, &file.metadata()?)?;
    Ok(file)
}

/// Opens a file as [`open_own`] does, that not every user of this machine can read. (A group may: that is how
/// container runtimes and Debian hand out secrets.)
///
/// # Errors
/// When it cannot be opened, belongs to another user, or can be written or read by others.
#[cfg(any(feature = "auth", feature = "admin", feature = "cluster", feature = "cli"))]
pub(crate) fn open_secret(path: &Path) -> anyhow::Result<File> {
    let file = open_own(path)?;
    let mode = file.metadata()?.mode();
    ensure!(
        mode & OTHERS_READ == 0,
        "every user of this machine can read {path} (mode {:o}), so it is no secret; `chmod 600 {path}`, and make a new \
         secret if others use this machine",
        mode & 0o7777,
        path = path.display()
    );
    Ok(file)
}

fn check_own(path: &Path, metadata: &Metadata) -> anyhow::Result<()> {
    let (owner, user, path) = (metadata.uid(), rustix::process::geteuid().as_raw(), path.display());
    ensure!(
        owner == user || owner == ROOT,
        "{path} belongs to the user with the id {owner}, but the relay runs as {user}, and trusts no secret that another \
         user may have put there; if what is there is yours, `chown {user} {path}`"
    );
    let mode = metadata.mode();
    ensure!(
        mode & OTHERS_WRITE == 0,
        "other users can write {path} (mode {:o}), and the relay trusts no secret that another user may have put there; \
         if what is there is yours, `chmod go-w {path}`",
        mode & 0o7777
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// What is said of a file with this mode, in a folder with that one.
    fn said(folder_mode: u32, file_mode: u32) -> String {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        fs::write(&file, "").unwrap();
        fs::set_permissions(&file, PermissionsExt::from_mode(file_mode)).unwrap();
        fs::set_permissions(folder.path(), PermissionsExt::from_mode(folder_mode)).unwrap();
        match check_own_folder(folder.path()).and_then(|()| open_own(&file)) {
            Ok(_) => String::new(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn who_else_may_write_a_secret_or_its_folder_makes_it_useless() {
        for (folder, file) in [(0o700, 0o600), (0o755, 0o644), (0o755, 0o400)] {
            assert_eq!(said(folder, file), "", "{folder:o} {file:o}");
        }
        for (folder, file, named) in [
            (0o700, 0o620, "secret (mode 620)"),
            (0o700, 0o602, "secret (mode 602)"),
            (0o700, 0o666, "secret (mode 666)"),
            (0o770, 0o600, "(mode 770)"),
            (0o707, 0o600, "(mode 707)"),
            (0o1777, 0o600, "(mode 1777)"),
        ] {
            let said = said(folder, file);
            assert!(said.contains(named) && said.contains("chmod go-w"), "{folder:o} {file:o}: {said}");
        }
    }

    #[test]
    #[cfg(feature = "auth")]
    fn what_every_user_can_read_is_no_secret() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        fs::write(&file, "").unwrap();
        for (mode, is_secret) in [(0o600, true), (0o400, true), (0o640, true), (0o644, false), (0o604, false)] {
            fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
            match open_secret(&file) {
                Ok(_) => assert!(is_secret, "{mode:o}"),
                Err(error) => assert!(!is_secret && error.to_string().contains("chmod 600"), "{mode:o}: {error}"),
            }
        }
    }

    #[test]
    fn what_is_created_is_for_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("a/b");
        create_own_folder(&deep).unwrap();
        for path in [folder.path().join("a"), deep] {
            assert_eq!(fs::metadata(path).unwrap().mode() & 0o777, 0o700);
        }
    }

    #[test]
    fn a_secret_of_another_user_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        fs::write(&file, "").unwrap();
        // Only root can give a file away; who is not root finds files of others, such as those of root, but trusts root.
        if std::os::unix::fs::chown(&file, Some(12_345), None).is_ok() {
            let said = open_own(&file).unwrap_err().to_string();
            assert!(said.contains("the id 12345"), "{said}");
        }
    }
}
