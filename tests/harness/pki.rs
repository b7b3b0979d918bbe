//! A certificate authority for the tests, and clients that trust it and nobody else.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SerialNumber, date_time_ymd};
use signaling_relay::Config;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::{connect, file, soon};

/// An authority with a folder for what it issues.
pub struct Pki {
    authority: CertifiedIssuer<'static, KeyPair>,
    /// The name that its certificates are for, besides 127.0.0.1.
    name: String,
    folder: tempfile::TempDir,
}

impl Pki {
    pub fn new() -> Self {
        Self::for_name("localhost")
    }

    /// One whose certificates are for `name` and 127.0.0.1.
    pub fn for_name(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        Self { authority, name: name.to_owned(), folder: tempfile::tempdir().unwrap() }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A certificate and its key as PEM, with `serial`, valid in the years from and to.
    pub fn issue(&self, serial: u64, years: (i32, i32)) -> (String, String) {
        self.sign(serial, date_time_ymd(years.0, 1, 1).into(), date_time_ymd(years.1, 1, 1).into())
    }

    /// The same, valid between two moments.
    pub fn sign(&self, serial: u64, from: SystemTime, to: SystemTime) -> (String, String) {
        let mut params = CertificateParams::new([self.name.clone(), "127.0.0.1".to_owned()]).unwrap();
        params.serial_number = Some(SerialNumber::from(serial));
        (params.not_before, params.not_after) = (from.into(), to.into());
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.authority).unwrap().pem(), key.serialize_pem())
    }

    /// Puts a certificate that is good into `cert.pem` and `key.pem`.
    pub fn renew(&self, serial: u64) -> (PathBuf, PathBuf) {
        let (cert, key) = self.issue(serial, (2020, 2120));
        (file(self.folder(), "cert.pem", cert), file(self.folder(), "key.pem", key))
    }

    /// A relay's configuration with a certificate that is good.
    pub fn config(&self) -> Config {
        let (cert, key) = self.renew(1);
        Config { cert: Some(cert), key: Some(key), ..Config::default() }
    }

    /// The authority's own certificate, in a file.
    pub fn authority_file(&self) -> PathBuf {
        file(self.folder(), "ca.pem", self.authority.pem())
    }

    /// A server's side of TLS with a certificate that it issues.
    pub fn acceptor(&self) -> TlsAcceptor {
        let (certificate, key) = self.issue(1, (2020, 2120));
        acceptor(&certificate, &key)
    }

    /// A client that trusts the authority.
    pub fn client(&self) -> TlsConnector {
        self.client_of(&[&tokio_rustls::rustls::version::TLS13, &tokio_rustls::rustls::version::TLS12])
    }

    /// The same, which speaks no other versions than these.
    pub fn client_of(&self, versions: &[&'static SupportedProtocolVersion]) -> TlsConnector {
        connector(self.authority.der().clone(), versions)
    }
}

/// A server's side of TLS with these certificates.
pub fn acceptor(certificates: &str, key: &str) -> TlsAcceptor {
    let chain = CertificateDer::pem_slice_iter(certificates.as_bytes()).collect::<Result<Vec<_>, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// A client that trusts the authority whose certificate is in this PEM text.
pub fn client_trusting(pem: &str) -> TlsConnector {
    let authority = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    connector(authority, &[&tokio_rustls::rustls::version::TLS13])
}

fn connector(authority: CertificateDer<'static>, versions: &[&'static SupportedProtocolVersion]) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(authority).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

/// Connects by TLS to `address` as `name`.
pub async fn dial(connector: &TlsConnector, address: SocketAddr, name: &str) -> io::Result<TlsStream<TcpStream>> {
    shake_hands(connector, connect(address).await, name).await
}

/// Makes the handshake over `stream` with a server that is `name`.
pub async fn shake_hands<S>(connector: &TlsConnector, stream: S, name: &str) -> io::Result<TlsStream<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let name = ServerName::try_from(name.to_owned()).unwrap();
    soon("a handshake", connector.connect(name, stream)).await
}

/// The serial number of the certificate that the server showed.
pub fn serial(stream: &TlsStream<TcpStream>) -> u64 {
    let shown = &stream.get_ref().1.peer_certificates().unwrap()[0];
    let (_, shown) = x509_parser::parse_x509_certificate(shown).unwrap();
    shown.raw_serial().iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}
