//! What stands for TLS in a build without the feature `tls`: types without a value, so that the compiler checks all that would
//! use TLS and nothing of it ever runs.

use std::io;
use std::sync::Arc;

use tokio::net::TcpStream;

/// The TLS end of every connection, which no build without the feature has.
#[derive(Debug)]
pub(crate) enum Tls {}

/// A stream as it turned out to be.
#[derive(Debug)]
pub(crate) enum MaybeTlsStream {
    /// The handshake was made.
    Tls(Box<TcpStream>),
    /// The client speaks something else.
    Plain(TcpStream),
}

impl Tls {
    /// Makes the handshake.
    ///
    /// # Errors
    /// Never: it cannot be called.
    pub(crate) async fn accept(&self, _: TcpStream) -> io::Result<MaybeTlsStream> {
        match *self {}
    }

    /// Loads the certificate anew.
    pub(crate) fn reload(&self) {
        match *self {}
    }

    /// Reloads whenever the certificate has changed.
    pub(crate) async fn watch(self: Arc<Self>) {
        match *self {}
    }
}
