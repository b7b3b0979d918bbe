//! The module `tls` in a build without the feature: types without values, so that the compiler checks the code that
//! uses TLS, and none of it ever runs.

use std::io;
use std::sync::Arc;

use tokio::net::TcpStream;

/// A TLS server, which a build without the feature does not have.
#[derive(Debug)]
pub(crate) enum Tls {}

/// A connection to a port with TLS.
#[derive(Debug)]
pub(crate) enum MaybeTlsStream {
    /// The handshake succeeded.
    Tls(Box<TcpStream>),
    /// The client began with something else.
    Plain(TcpStream),
}

impl Tls {
    /// Performs the handshake.
    ///
    /// # Errors
    /// Never: it cannot be called.
    pub(crate) async fn accept(&self, _: TcpStream) -> io::Result<MaybeTlsStream> {
        match *self {}
    }

    /// When the certificate expires.
    pub(crate) fn expiry(&self) -> Option<std::time::SystemTime> {
        match *self {}
    }

    /// The DNS names that the certificate is for.
    #[cfg(feature = "cli")]
    pub(crate) fn dns_names(&self) -> Vec<String> {
        match *self {}
    }

    /// Loads the certificate again.
    pub(crate) fn reload(&self) {
        match *self {}
    }

    /// Reloads whenever the certificate has changed.
    pub(crate) async fn watch(self: Arc<Self>) {
        match *self {}
    }
}
