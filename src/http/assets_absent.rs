//! The page in a build without the feature `page`: one sentence at `/`, for people who open it in a browser.

use crate::http::body::{Body, Encoding};

const SENTENCE: &str = "This is a WebRTC signaling relay without a page: connect to / or /ws by WebSocket.\n";

/// The page, which is one sentence.
#[derive(Debug, Clone, Default)]
pub(crate) struct Page;

/// One file of the page.
#[derive(Debug)]
pub(crate) struct File {
    /// Its content.
    pub body: Body,
    /// Its media type, with the charset for text.
    pub content_type: String,
    /// A hash of the content as an entity tag (RFC 9110 section 8.8.3); always none here.
    pub etag: Option<String>,
    /// How the body is encoded; always as it is here.
    pub encoding: Encoding,
}

impl Page {
    /// The file at the URL path `/name`: the sentence as `index.html`, and no others.
    pub(crate) async fn file(&self, name: &str, _gzipped: bool) -> Option<File> {
        let content_type = "text/plain; charset=utf-8".to_owned();
        (name == "index.html").then(|| File {
            body: Body::from(SENTENCE),
            content_type,
            etag: None,
            encoding: Encoding::Always,
        })
    }

    /// Where a file of an earlier version is now: nowhere.
    pub(crate) fn moved(_name: &str) -> Option<String> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn there_is_a_sentence_and_nothing_else() {
        let body = Page.file("index.html", true).await.unwrap().body;
        assert_eq!(http_body_util::BodyExt::collect(body).await.unwrap().to_bytes(), SENTENCE);
        assert!(Page.file("signaling.js", true).await.is_none());
    }
}
