//! Reads the short files that settings name.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, ensure};

#[cfg(any(feature = "auth", feature = "admin", feature = "cluster"))]
use crate::limits::KEY_FILE_BYTES;
use crate::net::system::open_file;
#[cfg(any(feature = "auth", feature = "admin", feature = "cluster"))]
use crate::net::system::open_secret;

/// The text of a file of at most `most` bytes.
///
/// # Errors
/// When it cannot be read, is longer, or is no text.
pub(crate) fn text(path: &Path, most: u64) -> anyhow::Result<String> {
    let file = open_file(path).with_context(|| format!("cannot read {}", path.display()))?;
    String::from_utf8(whole(file, path, most)?).with_context(|| format!("{} is not UTF-8", path.display()))
}

/// What is in a secret file, without the white space around it.
///
/// # Errors
/// When it cannot be read, or others can read or write it.
#[cfg(any(feature = "auth", feature = "admin", feature = "cluster"))]
pub(crate) fn secret(path: &Path) -> anyhow::Result<Vec<u8>> {
    Ok(whole(open_secret(path)?, path, KEY_FILE_BYTES)?.trim_ascii().to_vec())
}

/// All of `file`, which is at `path` and has at most `most` bytes.
///
/// # Errors
/// When it cannot be read, or is longer.
pub(crate) fn whole(file: File, path: &Path, most: u64) -> anyhow::Result<Vec<u8>> {
    let mut content = Vec::new();
    let read = file.take(most + 1).read_to_end(&mut content);
    read.with_context(|| format!("cannot read {}", path.display()))?;
    ensure!(content.len() as u64 <= most, "{} is longer than {most} bytes", path.display());
    Ok(content)
}
