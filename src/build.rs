//! Prepares the files of the page for embedding: `web/`, the client's classic scripts, and each file gzipped as well.

use std::error::Error;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::{env, io};

#[path = "http/classic.rs"]
mod classic;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=web");
    println!("cargo::rerun-if-changed=src/http/classic.rs");
    if env::var_os("CARGO_FEATURE_PAGE").is_none() {
        return Ok(());
    }
    let page = PathBuf::from(env::var_os("OUT_DIR").ok_or("no OUT_DIR")?).join("page");
    // A file that is gone from `web/` is not embedded any more.
    match fs::remove_dir_all(&page) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    copy(Path::new("web"), &page)?;
    for (name, module) in classic::CLIENTS {
        put(&page.join(name), classic::client(name, &fs::read_to_string(Path::new("web").join(module))?).as_bytes())?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            put(&target, &fs::read(entry.path())?)?;
        }
    }
    Ok(())
}

/// Writes the file, and beside it the same gzipped.
fn put(target: &Path, content: &[u8]) -> io::Result<()> {
    fs::write(target, content)?;
    let mut gzipped = target.as_os_str().to_owned();
    gzipped.push(".gz");
    let mut encoder = flate2::write::GzEncoder::new(fs::File::create(gzipped)?, flate2::Compression::best());
    encoder.write_all(content)?;
    encoder.finish()?.sync_all()
}
