//! How many file descriptors this process may open: each connection takes one.

use std::io;

use crate::limits;

/// Raises the limit as far as this user may, to the hard limit of the process (on macOS to kern.maxfilesperproc, if that
/// is less), and logs when few remain. The soft limit that most systems begin with is low for the sake of programs that
/// use select(2); the relay is none of them.
#[cfg(unix)]
pub fn raise_limit() {
    if let Some(complaint) = complaint(rlimit::increase_nofile_limit(u64::MAX)) {
        tracing::warn!("{complaint}");
    }
}

/// Does nothing: this system counts no file descriptors.
#[cfg(not(unix))]
pub fn raise_limit() {}

/// What there is to say about the limit, which could be `raised` so far.
#[cfg_attr(not(unix), allow(dead_code, reason = "other systems have no such limit"))]
fn complaint(raised: io::Result<u64>) -> Option<String> {
    match raised {
        Ok(limit) if limit >= limits::FEW_DESCRIPTORS => None,
        Ok(limit) => Some(format!(
            "this process may open only {limit} file descriptors, one for each connection: raise its hard limit \
             (`ulimit -Hn`, or LimitNOFILE= of systemd)"
        )),
        Err(error) => Some(format!("cannot raise the limit of file descriptors (`ulimit -n`): {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_limit_that_stays_low_is_complained_about() {
        for plenty in [4096, 20_000, u64::MAX] {
            assert_eq!(complaint(Ok(plenty)), None);
        }
        for few in [0, 256, 4095] {
            let said = complaint(Ok(few)).unwrap();
            assert!(said.contains(&format!("only {few} file descriptors")), "{said}");
        }
        let said = complaint(Err(io::Error::from(io::ErrorKind::PermissionDenied))).unwrap();
        assert!(said.contains("cannot raise"), "{said}");
    }
}
