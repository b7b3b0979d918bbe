//! Secrets of this process's user: files and folders that nobody else can have written, by their owner and their ACL.

use std::fs::{self, File};
use std::io;
use std::os::windows::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, ensure};
use windows_permissions::constants::{SeObjectType, SecurityInformation};
use windows_permissions::utilities::current_process_sid;
use windows_permissions::wrappers::{ConvertSecurityDescriptorToStringSecurityDescriptor, GetSecurityInfo};

use crate::net::sddl::Access;

/// Without this flag of CreateFile, a folder cannot be opened.
const FILE_FLAG_BACKUP_SEMANTICS: u32 = 0x0200_0000;

/// Creates `folder`, and those above it that are missing. They inherit the ACL of the one that is there: below the folder
/// of this user, nobody else can use them.
///
/// # Errors
/// When the operating system refuses it.
#[cfg(feature = "lan")]
pub(crate) fn create_own_folder(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)
}

/// Checks that nobody but this process's user, an administrator or the system can put files into `folder`.
///
/// # Errors
/// When it cannot be examined, belongs to another user, or can be written by others.
#[cfg(feature = "lan")]
pub(crate) fn check_own_folder(folder: &Path) -> anyhow::Result<()> {
    check_own(folder, &access(folder, &open(folder)?)?)
}

/// Opens a file that nobody but this process's user, an administrator or the system can have written. The check is of the
/// file that is open, so nobody can exchange it afterwards.
///
/// # Errors
/// When it cannot be opened or examined, belongs to another user, or can be written by others.
pub(crate) fn open_own(path: &Path) -> anyhow::Result<File> {
    let file = open(path)?;
    check_own(path, &access(path, &file)?)?;
    Ok(file)
}

/// Opens a file as [`open_own`] does, that not every user of this machine can read.
///
/// # Errors
/// When it cannot be opened or examined, belongs to another user, or can be written or read by others.
#[cfg(any(feature = "auth", feature = "admin", feature = "cluster", feature = "cli"))]
pub(crate) fn open_secret(path: &Path) -> anyhow::Result<File> {
    let file = open(path)?;
    let access = access(path, &file)?;
    check_own(path, &access)?;
    check_hidden(path, &access)?;
    Ok(file)
}

/// Checks that nobody else can have written the file, and that not every user can read it.
///
/// # Errors
/// When it is not so, or cannot be known.
pub(crate) fn check_secret(path: &Path) -> anyhow::Result<()> {
    let access = access(path, &open(path)?)?;
    check_own(path, &access)?;
    check_hidden(path, &access)
}

fn open(path: &Path) -> anyhow::Result<File> {
    let opened = fs::OpenOptions::new().read(true).custom_flags(FILE_FLAG_BACKUP_SEMANTICS).open(path);
    opened.with_context(|| format!("cannot read {}", path.display()))
}

/// Who may do what with `file`.
fn access(path: &Path, file: &File) -> anyhow::Result<Access> {
    let parts = SecurityInformation::Owner | SecurityInformation::Dacl;
    let text = || -> io::Result<String> {
        let descriptor = GetSecurityInfo(file, SeObjectType::SE_FILE_OBJECT, parts)?;
        let text = ConvertSecurityDescriptorToStringSecurityDescriptor(&descriptor, parts)?;
        Ok(text.to_string_lossy().into_owned())
    };
    let text = text().with_context(|| {
        format!("cannot tell who may write {}, and so it is not trusted: its ACL cannot be read", path.display())
    })?;
    let user = current_process_sid().context("cannot tell which user the relay runs as")?.to_string();
    Ok(Access::parse(&text, &user))
}

fn check_own(path: &Path, access: &Access) -> anyhow::Result<()> {
    let path = path.display();
    ensure!(
        access.is_own,
        "{path} belongs to {}, but the relay trusts no secret that another user may have put there; if what is there is \
         yours, `takeown /f \"{path}\"`",
        access.owner
    );
    ensure!(
        access.writers.is_empty(),
        "other users can write {path} ({}), and the relay trusts no secret that another user may have put there; if what \
         is there is yours, `icacls \"{path}\" /inheritance:r /grant:r \"%USERNAME%:F\"`",
        access.writers.join(", ")
    );
    Ok(())
}

fn check_hidden(path: &Path, access: &Access) -> anyhow::Result<()> {
    let path = path.display();
    ensure!(
        access.public_readers.is_empty(),
        "every user of this machine can read {path} ({}), so it is no secret; `icacls \"{path}\" /inheritance:r /grant:r \
         \"%USERNAME%:F\"`, and make a new secret if others use this machine",
        access.public_readers.join(", ")
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use windows_permissions::wrappers::SetNamedSecurityInfo;
    use windows_permissions::{LocalBox, SecurityDescriptor};

    use super::*;

    /// A file in a folder of its own, with the ACL of this SDDL text.
    fn file_with(acl: &str) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        fs::write(&file, "sixteen bytes at least").unwrap();
        let user = current_process_sid().unwrap().to_string();
        let descriptor: LocalBox<SecurityDescriptor> = acl.replace("USER", &user).parse().unwrap();
        let parts = SecurityInformation::Dacl | SecurityInformation::ProtectedDacl;
        SetNamedSecurityInfo(
            file.as_os_str(),
            SeObjectType::SE_FILE_OBJECT,
            parts,
            None,
            None,
            descriptor.dacl(),
            None,
        )
        .unwrap();
        (folder, file)
    }

    #[test]
    fn a_file_that_others_may_write_is_refused_by_its_acl() {
        let (_folder, file) = file_with("D:P(A;;FA;;;USER)");
        open_own(&file).unwrap();
        let (_folder, file) = file_with("D:P(A;;FA;;;USER)(A;;FA;;;WD)");
        let said = open_own(&file).unwrap_err().to_string();
        assert!(said.contains("other users can write") && said.contains("icacls"), "{said}");
    }

    #[test]
    #[cfg(feature = "auth")]
    fn what_only_this_user_can_read_is_a_secret() {
        let (_folder, file) = file_with("D:P(A;;FA;;;USER)");
        open_secret(&file).unwrap();
    }

    #[test]
    #[cfg(feature = "auth")]
    fn what_every_user_can_read_is_no_secret() {
        let (_folder, file) = file_with("D:P(A;;FA;;;USER)(A;;FR;;;WD)");
        open_own(&file).unwrap();
        let said = open_secret(&file).unwrap_err().to_string();
        assert!(said.contains("it is no secret"), "{said}");
    }

    #[test]
    #[cfg(feature = "lan")]
    fn a_folder_of_this_user_is_trusted() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("a").join("b");
        create_own_folder(&folder).unwrap();
        let user = current_process_sid().unwrap().to_string();
        let descriptor: LocalBox<SecurityDescriptor> = format!("D:P(A;OICI;FA;;;{user})").parse().unwrap();
        let parts = SecurityInformation::Dacl | SecurityInformation::ProtectedDacl;
        let kind = SeObjectType::SE_FILE_OBJECT;
        SetNamedSecurityInfo(folder.as_os_str(), kind, parts, None, None, descriptor.dacl(), None).unwrap();
        check_own_folder(&folder).unwrap();
    }
}
