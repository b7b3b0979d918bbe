//! The files of the call page: embedded in the binary, or read from a folder.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use bytes::Bytes;
use rust_embed::RustEmbed;

#[derive(RustEmbed)]
#[folder = "web"]
struct Embedded;

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
    pub bytes: Bytes,
    /// Its media type, with the charset for text.
    pub content_type: String,
    /// A hash of the content as an entity tag (RFC 9110 section 8.8.3); none for a file in a folder, which may change.
    pub etag: Option<String>,
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
        let index = folder.join("index.html");
        ensure!(index.is_file(), "cannot serve the page from {}: it holds no index.html", folder.display());
        Ok(Self::Folder(folder))
    }

    /// The file at the URL path `/name`, if there is one. The name must match byte by byte: it is not percent-decoded,
    /// and `..` and hidden files are not found.
    pub(crate) async fn file(&self, name: &str) -> Option<File> {
        let plain = |part: &str| {
            !part.is_empty()
                && !part.starts_with('.')
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        };
        if !name.split('/').all(plain) {
            return None;
        }
        let content_type = content_type(name);
        match self {
            Self::Embedded => {
                let file = Embedded::get(name)?;
                let etag = Some(etag(&file.metadata.sha256_hash()));
                Some(File { bytes: into_bytes(file.data), content_type, etag })
            }
            Self::Folder(folder) => {
                let bytes = tokio::fs::read(folder.join(name)).await.ok()?;
                Some(File { bytes: bytes.into(), content_type, etag: None })
            }
        }
    }
}

fn into_bytes(data: std::borrow::Cow<'static, [u8]>) -> Bytes {
    match data {
        std::borrow::Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        std::borrow::Cow::Owned(bytes) => bytes.into(),
    }
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
        let index = Page::Embedded.file("index.html").await.unwrap();
        assert_eq!(index.content_type, "text/html; charset=utf-8");
        let tag = index.etag.unwrap();
        assert_eq!((tag.len(), &tag[..1]), (18, "\""));
        let script = Page::Embedded.file("signaling.js").await.unwrap();
        assert_eq!(script.content_type, "text/javascript; charset=utf-8");
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
            ] {
                assert!(page.file(name).await.is_none(), "{name:?}");
            }
        }
    }

    #[tokio::test]
    async fn a_folder_without_a_page_is_refused() {
        let error = Page::new(Some(Path::new("src"))).unwrap_err();
        assert!(error.to_string().contains("index.html"), "{error}");
        assert!(Page::new(Some(Path::new("no-such-folder"))).is_err());
    }
}
