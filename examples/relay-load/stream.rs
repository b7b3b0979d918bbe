//! A socket that never blocks, with or without TLS.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use mio::net::TcpStream;
use socket2::{Domain, Protocol, Socket, Type};
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    self, ClientConfig, ClientConnection, DigitallySignedStruct, Error as TlsError, RootCertStore, SignatureScheme,
};

/// Loopback addresses that connections come from in turn: each has 28,000 ports of its own, and a server that limits
/// connections by address sees a few from each.
const SOURCES: usize = 250;

/// Where the server is, and how it is spoken to.
#[derive(Debug)]
pub(crate) struct Target {
    /// Its address.
    pub(crate) address: SocketAddr,
    /// Its name, for the `Host` header and for its certificate.
    pub(crate) host: String,
    /// What stands before the path of the dialect.
    pub(crate) path: String,
    /// The settings of TLS, where there is any.
    pub(crate) tls: Option<Arc<ClientConfig>>,
}

/// A connection's bytes.
pub(crate) enum Stream {
    /// As they are.
    Plain(TcpStream),
    /// Encrypted.
    Tls(Box<(ClientConnection, TcpStream)>),
}

/// What a connection asks of its socket.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Ends {
    /// The address that it comes from; otherwise the kernel's choice. Only where the server is on loopback.
    pub(crate) source: Option<Ipv4Addr>,
    /// Bytes that the kernel takes before they are read.
    pub(crate) receive_buffer: Option<usize>,
    /// Bytes that the kernel takes before the server has read them.
    pub(crate) send_buffer: Option<usize>,
}

impl Stream {
    /// Begins to connect for the member `index`; `receive_buffer` limits what the kernel takes before it is read.
    pub(crate) fn connect(target: &Target, index: usize, receive_buffer: Option<usize>) -> Result<Self> {
        let source = Some(Ipv4Addr::new(127, 0, 0, (index % SOURCES + 1) as u8));
        Self::connect_from(target, &Ends { source, receive_buffer, send_buffer: None })
    }

    /// Begins to connect.
    pub(crate) fn connect_from(target: &Target, ends: &Ends) -> Result<Self> {
        let socket = Socket::new(Domain::for_address(target.address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        if let Some(bytes) = ends.receive_buffer {
            socket.set_recv_buffer_size(bytes)?;
        }
        if let Some(bytes) = ends.send_buffer {
            socket.set_send_buffer_size(bytes)?;
        }
        if matches!(target.address.ip(), IpAddr::V4(ip) if ip.is_loopback())
            && let Some(source) = ends.source
        {
            socket.bind(&SocketAddr::from((source, 0)).into())?;
        }
        match socket.connect(&target.address.into()) {
            Err(error) if !matches!(error.raw_os_error(), Some(IN_PROGRESS)) => return Err(error.into()),
            _ => {}
        }
        let tcp = TcpStream::from_std(socket.into());
        let Some(config) = &target.tls else { return Ok(Self::Plain(tcp)) };
        let name = target.host.rsplit_once(':').map_or(&*target.host, |(name, _)| name);
        let name = ServerName::try_from(name.trim_matches(['[', ']']).to_owned())?;
        Ok(Self::Tls(Box::new((ClientConnection::new(config.clone(), name)?, tcp))))
    }

    /// The socket below.
    pub(crate) fn tcp(&mut self) -> &mut TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => &mut tls.1,
        }
    }

    /// Reads what is there: `None` where nothing is, 0 at the end.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        unless_blocked(match self {
            Self::Plain(tcp) => tcp.read(buffer),
            Self::Tls(tls) => match rustls::Stream::new(&mut tls.0, &mut tls.1).read(buffer) {
                // A server that hangs up without TLS's own goodbye.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(0),
                read => read,
            },
        })
    }

    /// Writes what the socket takes of `bytes`.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(unless_blocked(match self {
            Self::Plain(tcp) => tcp.write(bytes),
            Self::Tls(tls) => rustls::Stream::new(&mut tls.0, &mut tls.1).write(bytes),
        })?
        .unwrap_or_default())
    }

    /// Writes what TLS itself has to say, its handshake for one.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if let Self::Tls(tls) = self {
            while tls.0.wants_write() {
                if unless_blocked(tls.0.write_tls(&mut tls.1))?.is_none() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Whether a read that did not fill its buffer has emptied the socket.
    pub(crate) fn is_plain(&self) -> bool {
        matches!(self, Self::Plain(_))
    }
}

/// EINPROGRESS, the answer to a connect that does not block.
const IN_PROGRESS: i32 = 115;

fn unless_blocked<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error)
            if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted | ErrorKind::NotConnected) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Settings that believe the authorities in the file `ca`, or anybody.
pub(crate) fn tls_config(ca: Option<&Path>) -> Result<Arc<ClientConfig>> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
    let Some(path) = ca else {
        let verifier = Arc::new(Anybody(provider));
        return Ok(Arc::new(builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()));
    };
    let pem = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut roots = RootCertStore::empty();
    for certificate in rustls_pemfile::certs(&mut &*pem) {
        roots.add(certificate?)?;
    }
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}

/// Believes every certificate, for `--insecure`, and checks only that its key signed.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
