//! The files of the call page: embedded in the binary, or read from a folder.

use std::borrow::Cow;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::Context;
use cap_fs_ext::OpenOptionsSyncExt;
use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions};
use rust_embed::RustEmbed;
use tokio::task::spawn_blocking;

use crate::http::body::{Body, Encoding};
use crate::http::classic;
use crate::limits::LONGEST_MODULE;

/// `web/` as the build script prepares it: with the client's classic scripts, and with each file gzipped beside it.
#[derive(RustEmbed)]
#[folder = "$OUT_DIR/page"]
struct Embedded;

/// Where the page's files were before they had folders. Other people's pages may still link to them.
const MOVED: [&str; 16] = [
    "call.js",
    "proof.js",
    "devices.js",
    "disk.js",
    "dom.js",
    "entry.js",
    "main.js",
    "media.js",
    "panels.js",
    "qr.js",
    "room.js",
    "stats.js",
    "style.css",
    "text.js",
    "tiles.js",
    "index.js",
];

/// The call page, by the source of its files.
#[derive(Debug, Clone)]
pub(crate) enum Page {
    /// The files embedded in the binary.
    Embedded,
    /// The files in this folder, which are read for each request.
    Folder(PathBuf),
}

/// One file of the page.
#[derive(Debug)]
pub(crate) struct File {
    /// Its content.
    pub body: Body,
    /// Its media type, with the charset for text.
    pub content_type: String,
    /// A hash of the content as an entity tag (RFC 9110 section 8.8.3); none for a file in a folder, which may change.
    pub etag: Option<String>,
    /// How the body is encoded.
    pub encoding: Encoding,
}

impl Page {
    /// The page in `folder`, or the embedded one without a folder.
    ///
    /// # Errors
    /// When the folder does not exist, or has no `index.html`.
    pub(crate) fn new(folder: Option<&Path>) -> anyhow::Result<Self> {
        let Some(folder) = folder else { return Ok(Self::Embedded) };
        let folder =
            folder.canonicalize().with_context(|| format!("cannot serve the page from {}", folder.display()))?;
        let refusal = || format!("cannot serve the page from {}: it holds no index.html to serve", folder.display());
        open(&folder, "index.html").with_context(refusal)?;
        Ok(Self::Folder(folder))
    }

    /// The file at the URL path `/name`, if there is one. The name must match byte by byte: it is not percent-decoded,
    /// and `..` and hidden files are not found. A name that ends with a dot is none either: Windows would leave that out.
    /// Embedded files are `gzipped` for those who accept that.
    pub(crate) async fn file(&self, name: &str, gzipped: bool) -> Option<File> {
        let plain = |part: &str| {
            !part.is_empty()
                && !part.starts_with('.')
                && !part.ends_with('.')
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        };
        if !name.split('/').all(plain) {
            return None;
        }
        let content_type = content_type(name);
        match self {
            // The gzipped files have no address of their own.
            Self::Embedded if name.ends_with(".gz") => None,
            Self::Embedded => {
                let file = if gzipped { Embedded::get(&format!("{name}.gz"))? } else { Embedded::get(name)? };
                let etag = Some(etag(&file.metadata.sha256_hash()));
                let body = match file.data {
                    Cow::Borrowed(bytes) => Body::from(bytes),
                    Cow::Owned(bytes) => Body::from(bytes),
                };
                let encoding = if gzipped { Encoding::Gzip } else { Encoding::Identity };
                Some(File { body, content_type, etag, encoding })
            }
            Self::Folder(folder) => {
                let (folder, name) = (folder.clone(), name.to_owned());
                let body = spawn_blocking(move || read(&folder, &name)).await.ok()?.ok()?;
                Some(File { body, content_type, etag: None, encoding: Encoding::Always })
            }
        }
    }

    /// Where a file is now that had the URL path `/name` in earlier versions, relative to that path.
    pub(crate) fn moved(name: &str) -> Option<String> {
        let folder = if matches!(name, "call.js" | "proof.js" | "index.js") { "sdk" } else { "page" };
        MOVED.contains(&name).then(|| format!("{folder}/{name}"))
    }
}

/// A file of `folder`; where it has none of that name, the client's script that is made from another.
fn read(folder: &Path, name: &str) -> io::Result<Body> {
    let found = open(folder, name);
    let client = classic::CLIENTS.iter().find(|(client, _)| *client == name);
    let (Err(_), Some((_, module))) = (&found, client) else {
        return found.map(|(file, length)| Body::of_file(file, length));
    };
    // The module and its parts together: a folder may have anything.
    let mut left = LONGEST_MODULE;
    let mut read = |name: &str| {
        let (file, length) = open(folder, name)?;
        let mut text = String::new();
        left -= file.take(length.min(left)).read_to_string(&mut text)? as u64;
        Ok::<_, io::Error>(text)
    };
    let module = read(module)?;
    Ok(Body::of_text(classic::client(name, &module, read)?))
}

/// Opens a file of `folder`. What is not a regular file, or is outside of the folder, is an error.
///
/// A symlink may lead to another file of the folder by a relative path. The operating system or cap-std follows each
/// step below the folder's handle, so a path that changes meanwhile leads outside at no time. Two ways out are left,
/// both of which need the rights to change the folder: a hard link is the same as the file itself, and a file system
/// that is mounted in the folder is part of it.
fn open(folder: &Path, name: &str) -> io::Result<(std::fs::File, u64)> {
    // Opened each time: a build tool may replace the folder by a new one.
    let folder = Dir::open_ambient_dir(folder, ambient_authority())?;
    if HAS_OTHER_NAMES && !is_spelled(&folder, name)? {
        return Err(io::ErrorKind::NotFound.into());
    }
    // Opening a FIFO would otherwise wait for its writer. For regular files it changes nothing.
    let file = folder.open_with(name, OpenOptions::new().read(true).nonblock(true))?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    Ok((file.into_std(), metadata.len()))
}

/// Whether the file systems of this operating system know a file by other names than its own: in other letter case, or on
/// Windows by a short name (`INDEX~1.HTM`), or as a device (`NUL.txt`).
const HAS_OTHER_NAMES: bool = cfg!(any(windows, target_vendor = "apple"));

/// Whether each part of `path` is, byte by byte, the name of what is in `folder`.
fn is_spelled(folder: &Dir, path: &str) -> io::Result<bool> {
    let (first, rest) = path.split_once('/').map_or((path, None), |(first, rest)| (first, Some(rest)));
    let mut entries = folder.entries()?;
    if !entries.any(|entry| entry.is_ok_and(|entry| entry.file_name() == first)) {
        return Ok(false);
    }
    rest.map_or(Ok(true), |rest| is_spelled(&folder.open_dir(first)?, rest))
}

fn content_type(name: &str) -> String {
    let mime = match name.rsplit_once('.') {
        // The type of all JavaScript since RFC 9239.
        Some((_, "mjs")) => mime_guess::mime::TEXT_JAVASCRIPT,
        // The extension also means a video format; our files are type declarations.
        Some((_, "ts")) => mime_guess::mime::TEXT_PLAIN,
        _ => mime_guess::from_path(name).first_or_octet_stream(),
    };
    if mime.type_() == mime_guess::mime::TEXT {
        format!("{}; charset=utf-8", mime.essence_str())
    } else {
        mime.to_string()
    }
}

fn etag(sha256: &[u8; 32]) -> String {
    // 64 bits are enough to distinguish the versions of one file.
    sha256.iter().take(8).fold("\"".to_owned(), |tag, byte| format!("{tag}{byte:02x}")) + "\""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_embedded_files_have_a_type_and_a_tag() {
        let index = Page::Embedded.file("index.html", false).await.unwrap();
        assert_eq!(index.content_type, "text/html; charset=utf-8");
        let tag = index.etag.unwrap();
        assert_eq!((tag.len(), &tag[..1]), (18, "\""));
        let script = Page::Embedded.file("signaling.js", false).await.unwrap();
        assert_eq!(script.content_type, "text/javascript; charset=utf-8");
    }

    #[tokio::test]
    async fn the_client_is_a_classic_script_and_a_module_made_from_one_source() {
        let folder = Page::new(Some(Path::new("web"))).unwrap();
        for page in [Page::Embedded, folder] {
            for (name, source) in classic::CLIENTS {
                let module = text(&page, source).await;
                let exports: Vec<&str> = module.lines().filter_map(|line| line.strip_prefix("export ")).collect();
                assert!(!exports.is_empty(), "{source}");
                let client = text(&page, name).await;
                let is_module = name.ends_with(".mjs");
                assert!(!client.contains("\nimport "), "{name}");
                // What its parts export is not for others.
                let exported: Vec<&str> = client.lines().filter_map(|line| line.strip_prefix("export ")).collect();
                assert_eq!(exported, if is_module { exports } else { Vec::new() }, "{name}");
                assert_eq!(client == module, is_module && !module.contains("\nimport "), "{name}");
                assert_eq!(client.contains("Object.assign(globalThis, {"), !is_module, "{name}");
            }
        }
        let signaling = text(&Page::Embedded, "signaling.js").await;
        assert!(signaling.ends_with("Object.assign(globalThis, { SignalingError, SignalingChannel });\n})();\n"));
        assert!(signaling.contains("\nclass Outbox {\n"));
    }

    async fn text(page: &Page, name: &str) -> String {
        let body = page.file(name, false).await.unwrap().body;
        let bytes = http_body_util::BodyExt::collect(body).await.unwrap().to_bytes();
        String::from_utf8(bytes.into()).unwrap()
    }

    #[tokio::test]
    async fn a_name_that_is_not_exactly_a_files_is_not_found() {
        let folder = Page::new(Some(Path::new("web"))).unwrap();
        for page in [Page::Embedded, folder] {
            for name in [
                "",
                ".",
                "..",
                "../Cargo.toml",
                "./index.html",
                "/index.html",
                "index.html/",
                "x/../index.html",
                "..%2fCargo.toml",
                "%2e%2e/Cargo.toml",
                "index%2ehtml",
                ".gitignore",
                "INDEX.HTML",
                "index.html\0",
                "..\\Cargo.toml",
                "/etc/passwd",
                "//etc/passwd",
                "nothing.js",
                "index.html.",
                "index.html...",
                "index.html ",
                " index.html",
                "INDEX.html",
                "index.HTML",
                "Index.Html",
                "INDEX~1.HTM",
                "index~1.htm",
                "SIGNAL~1.JS",
                "PROGRA~1/x.html",
                "index.html::$DATA",
                "index.html:$DATA",
                "index.html:other",
                "::$INDEX_ALLOCATION/index.html",
                "C:/Windows/win.ini",
                "C:index.html",
                "C:",
                "c:\\Windows\\win.ini",
                "\\index.html",
                ".\\index.html",
                "..\\web\\index.html",
                "\\\\localhost\\c$\\Windows\\win.ini",
                "//localhost/c$/Windows/win.ini",
                "\\\\?\\C:\\Windows\\win.ini",
                "\\\\.\\NUL",
                "//./NUL",
                "CON",
                "con",
                "PRN",
                "AUX",
                "NUL",
                "nul",
                "NUL.txt",
                "nul.html",
                "aux.js",
                "COM1",
                "COM1.html",
                "com9.js",
                "LPT1",
                "LPT1.txt",
                "CONIN$",
                "CONOUT$",
                "CLOCK$",
                "COM\u{b9}",
                "sdk",
                "index.html.gz",
            ] {
                assert!(page.file(name, false).await.is_none(), "{name:?}");
            }
        }
    }

    #[test]
    fn a_name_is_a_files_only_if_each_part_of_it_is_spelled_as_in_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("sub")).unwrap();
        std::fs::write(folder.path().join("sub/File.js"), "").unwrap();
        let folder = Dir::open_ambient_dir(folder.path(), ambient_authority()).unwrap();
        assert!(is_spelled(&folder, "sub").unwrap() && is_spelled(&folder, "sub/File.js").unwrap());
        for other in
            ["Sub", "SUB/File.js", "sub/file.js", "sub/FILE~1.JS", "sub/File.js.", "NUL", "sub/NUL", "x/File.js"]
        {
            assert!(!is_spelled(&folder, other).unwrap(), "{other}");
        }
    }

    #[tokio::test]
    async fn a_folder_without_a_page_is_refused() {
        let error = Page::new(Some(Path::new("src"))).unwrap_err();
        assert!(error.to_string().contains("index.html"), "{error}");
        assert!(Page::new(Some(Path::new("no-such-folder"))).is_err());
    }
}
