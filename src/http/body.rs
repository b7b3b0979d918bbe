//! The body of a response: bytes in memory, or a file that is read while it is sent.

use std::fs::File;
use std::io::{self, Read};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body_util::Full;
#[cfg(feature = "admin")]
use http_body_util::{BodyExt, combinators::BoxBody};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::task::{JoinHandle, spawn_blocking};

use crate::budget::{Charge, Purse};
use crate::limits::FILE_CHUNK_BYTES;

/// How the body of a file is encoded (RFC 9110 section 8.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(feature = "page"), allow(dead_code, reason = "only the page has gzipped files"))]
pub(crate) enum Encoding {
    /// As it is, for everybody.
    Always,
    /// As it is; gzipped for those who accept that.
    Identity,
    /// Gzipped; as it is for the others.
    Gzip,
}

/// The body of a response of the relay.
#[derive(Debug)]
pub struct Body {
    content: Content,
    /// Bytes of memory that it needs; none for what is part of the program.
    bytes: usize,
    memory: Option<Charge>,
}

#[derive(Debug)]
enum Content {
    /// Bytes that are in memory as a whole.
    Bytes(Full<Bytes>),
    File(FileBody),
    /// What is made while it is sent.
    #[cfg(feature = "admin")]
    Stream(BoxBody<Bytes, io::Error>),
}

impl Body {
    /// The first `length` bytes of `file`, which reads from its start and does not block for long.
    pub(crate) fn of_file(file: File, length: u64) -> Self {
        // The chunk that is being read, and the one that is being written.
        let bytes = usize::try_from(length).map_or(2 * FILE_CHUNK_BYTES, |length| length.min(2 * FILE_CHUNK_BYTES));
        let content = Content::File(FileBody { file: Arc::new(file), left: length, reading: None });
        Self { content, bytes, memory: None }
    }

    /// Text that was made for this response.
    pub(crate) fn of_text(text: String) -> Self {
        Self { bytes: text.len(), ..Self::from(text) }
    }

    /// What is made while it is sent. It accounts for its memory by itself.
    #[cfg(feature = "admin")]
    pub(crate) fn of_stream<S>(stream: S) -> Self
    where
        S: HttpBody<Data = Bytes, Error = io::Error> + Send + Sync + 'static,
    {
        Self { content: Content::Stream(stream.boxed()), bytes: 0, memory: None }
    }

    /// Charges its memory to `purse` until it is sent; whether there is as much.
    #[must_use]
    pub(crate) fn charge(&mut self, purse: &Arc<Purse>) -> bool {
        if self.bytes > 0 {
            self.memory = purse.charge(self.bytes);
        }
        self.bytes == 0 || self.memory.is_some()
    }
}

impl Default for Body {
    fn default() -> Self {
        Self::from(Bytes::new())
    }
}

impl<T: Into<Bytes>> From<T> for Body {
    fn from(bytes: T) -> Self {
        Self { content: Content::Bytes(Full::new(bytes.into())), bytes: 0, memory: None }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match &mut self.get_mut().content {
            Content::Bytes(bytes) => Pin::new(bytes).poll_frame(context).map_err(|never| match never {}),
            Content::File(file) => file.poll_chunk(context).map_ok(Frame::data),
            #[cfg(feature = "admin")]
            Content::Stream(stream) => Pin::new(stream).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Bytes(bytes) => bytes.is_end_stream(),
            Content::File(file) => file.left == 0,
            #[cfg(feature = "admin")]
            Content::Stream(stream) => stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Bytes(bytes) => bytes.size_hint(),
            Content::File(file) => SizeHint::with_exact(file.left),
            #[cfg(feature = "admin")]
            Content::Stream(stream) => stream.size_hint(),
        }
    }
}

/// A file that is sent in chunks. At most one chunk that is not yet with the connection is in memory.
#[derive(Debug)]
struct FileBody {
    file: Arc<File>,
    /// The bytes that are still to be sent. The response announces its length before the file is read, so exactly that
    /// many are sent.
    left: u64,
    /// The next chunk, while it is being read.
    reading: Option<JoinHandle<io::Result<Bytes>>>,
}

impl FileBody {
    fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let bytes = self.left.min(FILE_CHUNK_BYTES as u64);
        let (file, reading) = (&self.file, &mut self.reading);
        let reading = reading.get_or_insert_with(|| {
            let file = Arc::clone(file);
            spawn_blocking(move || read(&file, bytes))
        });
        let chunk = ready!(Pin::new(reading).poll(context));
        self.reading = None;
        let chunk = chunk.unwrap_or_else(|error| Err(error.into())).and_then(|chunk| match chunk.len() {
            // The length is announced already: only the end of the connection can tell the client.
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file got shorter while it was sent")),
            _ => Ok(chunk),
        });
        // After an error, nothing more is sent.
        self.left = chunk.as_ref().map_or(0, |chunk| self.left.saturating_sub(chunk.len() as u64));
        Poll::Ready(Some(chunk))
    }
}

/// The next `bytes` of the file; fewer at its end.
fn read(file: &File, bytes: u64) -> io::Result<Bytes> {
    let mut chunk = Vec::with_capacity(bytes as usize);
    file.take(bytes).read_to_end(&mut chunk)?;
    Ok(chunk.into())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use http_body_util::BodyExt;

    use super::*;

    /// The body of a file of `length` bytes, and the file for changes to it.
    fn body_of(length: usize) -> (Body, File) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&vec![b'x'; length]).unwrap();
        std::io::Seek::rewind(&mut file).unwrap();
        (Body::of_file(file.try_clone().unwrap(), length as u64), file)
    }

    #[tokio::test]
    async fn a_file_is_sent_in_chunks_and_each_is_small() {
        let (mut body, _) = body_of(2 * FILE_CHUNK_BYTES + 1);
        for length in [FILE_CHUNK_BYTES, FILE_CHUNK_BYTES, 1] {
            assert!(!body.is_end_stream());
            let chunk = body.frame().await.unwrap().unwrap().into_data().unwrap();
            assert_eq!(chunk, vec![b'x'; length]);
        }
        assert!(body.is_end_stream() && body.frame().await.is_none());
    }

    #[tokio::test]
    async fn a_file_pins_two_chunks_at_most_until_its_body_is_gone_and_what_is_part_of_the_program_nothing() {
        let account = crate::budget::Budget::new(0, 1024 * 1024).address();
        let (mut body, _) = body_of(20 * FILE_CHUNK_BYTES);
        assert!(body.charge(&account.purse()));
        assert!((2 * FILE_CHUNK_BYTES..3 * FILE_CHUNK_BYTES).contains(&account.used()), "{}", account.used());
        let others: Vec<_> = std::iter::from_fn(|| {
            let (mut body, _) = body_of(20 * FILE_CHUNK_BYTES);
            body.charge(&account.purse()).then_some(body)
        })
        .collect();
        assert_eq!(others.len(), 6, "of 896 KiB");
        drop((body, others));
        assert_eq!(account.used(), 0);
        assert!(Body::from("page").charge(&account.purse()) && account.used() == 0);
    }

    #[tokio::test]
    async fn a_file_that_grows_is_sent_with_the_length_that_it_had() {
        let (body, mut file) = body_of(FILE_CHUNK_BYTES + 1);
        std::io::Seek::seek(&mut file, io::SeekFrom::End(0)).unwrap();
        file.write_all(b"more").unwrap();
        std::io::Seek::rewind(&mut file).unwrap();
        assert_eq!(body.size_hint().exact(), Some(FILE_CHUNK_BYTES as u64 + 1));
        assert_eq!(body.collect().await.unwrap().to_bytes().len(), FILE_CHUNK_BYTES + 1);
    }

    #[tokio::test]
    async fn a_file_that_shrinks_is_an_error() {
        let (mut body, file) = body_of(2 * FILE_CHUNK_BYTES);
        body.frame().await.unwrap().unwrap();
        file.set_len(1).unwrap();
        let error = body.frame().await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert!(body.frame().await.is_none());
    }

    #[tokio::test]
    async fn an_empty_file_is_an_empty_body() {
        let (body, _) = body_of(0);
        assert!(body.is_end_stream());
        assert!(body.collect().await.unwrap().to_bytes().is_empty());
    }
}
