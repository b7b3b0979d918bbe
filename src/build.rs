//! Prepares the files of the page for embedding: `web/`, the client's classic scripts, and each file gzipped as well.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=web");
    println!("cargo::rerun-if-changed=src/build.rs");
    println!("cargo::rerun-if-changed=src/http/classic.rs");
    #[cfg(feature = "page")]
    page::prepare()?;
    Ok(())
}

#[cfg(feature = "page")]
#[path = "http/classic.rs"]
mod classic;

#[cfg(feature = "page")]
mod page {
    use std::error::Error;
    use std::io::Write;
    use std::path::{Path, PathBuf};
    use std::{env, fs, io};

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::classic;

    pub(super) fn prepare() -> Result<(), Box<dyn Error>> {
        let page = PathBuf::from(env::var_os("OUT_DIR").ok_or("no OUT_DIR")?).join("page");
        // A file that is gone from `web/` is not embedded any more.
        match fs::remove_dir_all(&page) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        copy(Path::new("web"), &page)?;
        for (name, module) in classic::CLIENTS {
            let read = |file: &str| fs::read_to_string(Path::new("web").join(file));
            put(&page.join(name), classic::client(name, &read(module)?, read)?.as_bytes())?;
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
        let mut encoder = GzEncoder::new(fs::File::create(gzipped)?, Compression::best());
        encoder.write_all(content)?;
        encoder.finish()?.sync_all()
    }
}
