//! TLS on accepted connections, with a certificate that can be replaced while the relay serves.

use std::io;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{self, ServerConfig};
use tokio_rustls::server::TlsStream;
use tracing::{info, warn};

use crate::limits;
#[cfg(feature = "cli")]
use crate::net::certificate::dns_names;
use crate::net::certificate::{CertificateSource, expiry};
use crate::net::counted::Counted;

/// A TLS server: its settings and its current certificate.
#[derive(Debug)]
pub(crate) struct Tls {
    config: Arc<ServerConfig>,
    current: Arc<CurrentCertificate>,
    source: Box<dyn CertificateSource>,
    /// The version of the source when it was last loaded, also when that failed. Locked while it is loaded, so that what was
    /// loaded later is what stays.
    loaded: RwLock<String>,
    /// When the log last warned that the certificate expires soon.
    reminded: Mutex<Option<SystemTime>>,
}

/// A connection to a port with TLS.
#[derive(Debug)]
pub(crate) enum MaybeTlsStream {
    /// The handshake succeeded.
    Tls(Box<TlsStream<Counted<TcpStream>>>),
    /// The client began with something else, most likely plain HTTP. Nothing has been read from the stream.
    Plain(TcpStream),
}

impl Tls {
    /// A server of TLS 1.2 and 1.3 with the certificate that `source` has now.
    ///
    /// # Errors
    /// When the source has no certificate that can be used.
    pub(crate) fn new(source: impl CertificateSource + 'static) -> anyhow::Result<Self> {
        let version = source.version();
        let current = Arc::new(CurrentCertificate(RwLock::new(Arc::new(source.load()?))));
        Ok(Self {
            config: Arc::new(server_config(Arc::clone(&current))?),
            current,
            source: Box::new(source),
            loaded: RwLock::new(version),
            reminded: Mutex::default(),
        })
    }

    /// Performs the handshake, if the client begins one, within [`TLS_DEADLINE`](limits::TLS_DEADLINE).
    ///
    /// # Errors
    /// When the client closes the connection, takes too long, or offers no version or cipher suite that the server has.
    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<MaybeTlsStream> {
        let handshake = async {
            // The first byte of every TLS connection (RFC 8446 section 5.1).
            const HANDSHAKE_RECORD: u8 = 22;
            let mut first = [0];
            if stream.peek(&mut first).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if first != [HANDSHAKE_RECORD] {
                return Ok(MaybeTlsStream::Plain(stream));
            }
            let mut stream = TlsAcceptor::from(Arc::clone(&self.config)).accept(Counted::new(stream)).await?;
            stream.get_mut().1.set_buffer_limit(Some(limits::TLS_BUFFER_BYTES));
            Ok(MaybeTlsStream::Tls(Box::new(stream)))
        };
        timeout(limits::TLS_DEADLINE, handshake).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Loads the certificate again. New connections get it from now on, and existing ones keep theirs. If it cannot be
    /// used, the log says why, and the previous certificate stays in use.
    pub(crate) fn reload(&self) {
        let mut loaded = self.loaded.write().unwrap_or_else(PoisonError::into_inner);
        let version = self.source.version();
        match self.source.load() {
            Ok(certificate) => {
                *self.current.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(certificate);
                info!("serving the new certificate");
            }
            Err(error) => warn!(error = %format_args!("{error:#}"), "keeping the old certificate"),
        }
        *loaded = version;
    }

    /// Polls the source and never ends: reloads the certificate when two polls in a row saw the same change, and warns
    /// in the log when the certificate expires soon.
    pub(crate) async fn watch(self: Arc<Self>) {
        let mut before = None;
        loop {
            sleep(limits::CERTIFICATE_POLL).await;
            let tls = Arc::clone(&self);
            let last = before.take();
            // In a blocking task, because the files may be on a slow disk.
            let polled = tokio::task::spawn_blocking(move || tls.poll_source(last)).await;
            before = polled.unwrap_or_default();
        }
    }

    /// Polls the source once; `before` is the version that the poll before saw.
    fn poll_source(&self, before: Option<String>) -> Option<String> {
        let version = self.source.version();
        let changed = *self.loaded.read().unwrap_or_else(PoisonError::into_inner) != version;
        if changed && before.as_ref() == Some(&version) {
            self.reload();
        }
        self.remind(SystemTime::now());
        Some(version)
    }

    /// When the certificate that is served expires, if that can be read.
    pub(crate) fn expiry(&self) -> Option<SystemTime> {
        let current = Arc::clone(&self.current.0.read().unwrap_or_else(PoisonError::into_inner));
        current.cert.first().and_then(|own| expiry(own))
    }

    /// The DNS names that the certificate is for.
    #[cfg(feature = "cli")]
    pub(crate) fn dns_names(&self) -> Vec<String> {
        let current = Arc::clone(&self.current.0.read().unwrap_or_else(PoisonError::into_inner));
        current.cert.first().map_or_else(Vec::new, |own| dns_names(own))
    }

    fn remind(&self, now: SystemTime) {
        let Some(expiry) = self.expiry() else { return };
        let left = expiry.duration_since(now).unwrap_or(Duration::ZERO);
        let mut reminded = self.reminded.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due =
            reminded.is_none_or(|before| now.duration_since(before).is_ok_and(|ago| ago > limits::EXPIRY_REMINDER));
        if left < limits::EXPIRY_NOTICE && is_due {
            *reminded = Some(now);
            warn!(hours_left = left.as_secs() / 3600, "the certificate is about to expire and has not been renewed");
        }
    }
}

fn server_config(current: Arc<CurrentCertificate>) -> Result<ServerConfig, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(current);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // A client that reconnects resumes its TLS session, which saves the relay a signature. The keys of the tickets are
    // kept only in memory, and rotate.
    config.ticketer = ring::Ticketer::new()?;
    Ok(config)
}

/// The certificate that new connections get.
#[derive(Debug)]
struct CurrentCertificate(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for CurrentCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU8, Ordering};
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::thread;

    use tokio_rustls::rustls::pki_types::CertificateDer;
    use tokio_rustls::rustls::sign::{Signer, SigningKey};
    use tokio_rustls::rustls::{SignatureAlgorithm, SignatureScheme};

    use super::*;

    #[derive(Debug)]
    struct NoKey;

    impl SigningKey for NoKey {
        fn choose_scheme(&self, _: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
            None
        }

        fn algorithm(&self) -> SignatureAlgorithm {
            SignatureAlgorithm::ED25519
        }
    }

    /// Has a certificate with the number of the load. The second load takes long.
    #[derive(Debug)]
    struct Slow {
        loads: AtomicU8,
        begins: Sender<()>,
        other_is_done: Mutex<Receiver<()>>,
    }

    impl CertificateSource for Slow {
        fn load(&self) -> anyhow::Result<CertifiedKey> {
            let number = self.loads.fetch_add(1, Ordering::Relaxed);
            if number == 1 {
                self.begins.send(())?;
                // It would be done by then if it did not wait; if it does, this is how long the test takes.
                let _ = self.other_is_done.lock().unwrap().recv_timeout(Duration::from_millis(100));
            }
            Ok(CertifiedKey::new(vec![CertificateDer::from(vec![number])], Arc::new(NoKey)))
        }

        fn version(&self) -> String {
            String::new()
        }
    }

    #[test]
    fn of_two_reloads_at_once_the_one_that_loads_later_counts() {
        let ((begins, has_begun), (done, is_done)) = (channel(), channel());
        let tls = Tls::new(Slow { loads: AtomicU8::new(0), begins, other_is_done: Mutex::new(is_done) }).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| tls.reload());
            has_begun.recv().unwrap();
            tls.reload();
            let _ = done.send(());
        });
        assert_eq!(tls.current.0.read().unwrap().cert[0].as_ref(), [2]);
    }
}
