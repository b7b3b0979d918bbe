//! The certificate of this process, by which the other relays know it.
//!
//! Each process makes one when it starts, and publishes its SHA-256. No authority signs it and no name is in it: a relay
//! compares the SHA-256 of what it is shown with what the directory says, in both directions.

use std::fmt;
use std::sync::Arc;

use data_encoding::HEXLOWER;
use rcgen::{CertificateParams, KeyPair};
use ring::digest::{SHA256, digest};
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::client::{ClientConfig, Resumption};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring as provider, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use tokio_rustls::rustls::server::{NoServerSessionStorage, ServerConfig};
use tokio_rustls::rustls::version::TLS13;
use tokio_rustls::rustls::{
    self, CertificateError, DigitallySignedStruct, DistinguishedName, PeerIncompatible, SignatureScheme,
};

use super::relays::{Fingerprint, Relays};

/// The certificate of this process, and its key, which is nowhere else.
pub(crate) struct Identity {
    certificate: CertificateDer<'static>,
    key: PrivatePkcs8KeyDer<'static>,
    fingerprint: Fingerprint,
}

impl Identity {
    /// A new one.
    ///
    /// # Errors
    /// When the operating system provides no randomness.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::default().self_signed(&key)?.der().clone();
        let fingerprint = fingerprint_of(&certificate);
        Ok(Self { certificate, key: key.serialize_der().into(), fingerprint })
    }

    /// The SHA-256 of the certificate.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The settings of the port for other relays: whoever dials it must be one of `relays`.
    ///
    /// # Errors
    /// When the key cannot be used.
    pub(crate) fn server(&self, relays: Arc<Relays>) -> Result<ServerConfig, rustls::Error> {
        let provider = Arc::new(provider::default_provider());
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(Arc::new(KnownClient { own: self.fingerprint, relays, provider }))
            .with_single_cert(vec![self.certificate.clone()], self.key())?;
        // A ticket would let in who is known no more.
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(config)
    }

    /// The settings to dial other relays with; their [`name`] says whose certificate it must be.
    ///
    /// # Errors
    /// When the key cannot be used.
    pub(crate) fn client(&self) -> Result<ClientConfig, rustls::Error> {
        let provider = Arc::new(provider::default_provider());
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(PinnedServer { provider }))
            .with_client_auth_cert(vec![self.certificate.clone()], self.key())?;
        config.resumption = Resumption::disabled();
        config.enable_sni = false;
        Ok(config)
    }

    fn key(&self) -> PrivateKeyDer<'static> {
        self.key.clone_key().into()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("fingerprint", &self.fingerprint).finish_non_exhaustive()
    }
}

/// The name under which a relay with this certificate is dialled: the fingerprint itself, in two labels, since one has 63
/// characters at most (RFC 1035 section 2.3.4). It is never sent.
///
/// # Errors
/// Never, as far as is known: it is a valid DNS name.
pub(crate) fn name(fingerprint: Fingerprint) -> Result<ServerName<'static>, rustls::pki_types::InvalidDnsNameError> {
    let digits = HEXLOWER.encode(&fingerprint.0);
    let (front, back) = digits.split_at_checked(digits.len() / 2).unwrap_or((&digits, ""));
    ServerName::try_from(format!("{front}.{back}"))
}

/// The SHA-256 of `certificate`.
pub(crate) fn fingerprint_of(certificate: &CertificateDer<'_>) -> Fingerprint {
    let mut bytes = [0; 32];
    // The two have the same length.
    bytes.iter_mut().zip(digest(&SHA256, certificate).as_ref()).for_each(|(byte, digested)| *byte = *digested);
    Fingerprint(bytes)
}

/// What the other side is told whose certificate is not the right one.
fn refused() -> rustls::Error {
    CertificateError::ApplicationVerificationFailure.into()
}

/// Only TLS 1.3 is spoken.
fn no_tls12() -> rustls::Error {
    PeerIncompatible::Tls12NotOffered.into()
}

/// Lets in the relays that are known, and this one, which tries whether it is reached.
#[derive(Debug)]
struct KnownClient {
    own: Fingerprint,
    relays: Arc<Relays>,
    provider: Arc<CryptoProvider>,
}

impl ClientCertVerifier for KnownClient {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let shown = fingerprint_of(certificate);
        if shown == self.own || self.relays.with_fingerprint(shown).is_some() {
            return Ok(ClientCertVerified::assertion());
        }
        self.relays.miss();
        Err(refused())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(no_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Trusts the one certificate that the name of the server stands for.
#[derive(Debug)]
struct PinnedServer {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for PinnedServer {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        server: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let is_right = name(fingerprint_of(certificate)).is_ok_and(|name| name == *server);
        if is_right { Ok(ServerCertVerified::assertion()) } else { Err(refused()) }
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(no_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio_rustls::rustls::SupportedProtocolVersion;
    use tokio_rustls::rustls::version::TLS12;
    use tokio_rustls::{TlsAcceptor, TlsConnector};

    use super::super::relays::{Neighbour, PROTOCOL, ProcessId};
    use super::*;

    fn neighbour(identity: &Identity) -> Neighbour {
        Neighbour {
            process: ProcessId::random().unwrap(),
            address: ([127, 0, 0, 1], 1).into(),
            fingerprint: identity.fingerprint(),
            protocol: PROTOCOL,
            version: String::new(),
            settings: String::new(),
        }
    }

    /// Whether a relay that dials one with `pinned`, and finds one with `found` there that knows `known`, is served.
    async fn meet(dials: ClientConfig, pinned: &Identity, found: &Identity, known: &[&Identity]) -> (bool, bool) {
        let relays = Arc::new(Relays::default());
        known.iter().for_each(|identity| drop(relays.learn(neighbour(identity))));
        let acceptor = TlsAcceptor::from(Arc::new(found.server(relays).unwrap()));
        let (client, server): (DuplexStream, DuplexStream) = duplex(64 * 1024);
        let serves = async {
            let mut stream = acceptor.accept(server).await?;
            stream.write_all(b"come in").await?;
            stream.shutdown().await
        };
        let dials = async {
            let connector = TlsConnector::from(Arc::new(dials));
            let mut stream = connector.connect(name(pinned.fingerprint()).unwrap(), client).await?;
            let mut heard = String::new();
            stream.read_to_string(&mut heard).await?;
            assert_eq!(heard, "come in");
            Ok::<_, io::Error>(())
        };
        let (served, dialled) = tokio::join!(serves, dials);
        (served.is_ok(), dialled.is_ok())
    }

    #[tokio::test]
    async fn two_that_know_each_other_meet() {
        let [one, other] = [(); 2].map(|()| Identity::new().unwrap());
        assert_eq!(meet(one.client().unwrap(), &other, &other, &[&one]).await, (true, true));
    }

    #[tokio::test]
    async fn who_is_not_known_is_refused_and_so_is_who_is_not_the_one_that_was_dialled() {
        let [one, other, stranger] = [(); 3].map(|()| Identity::new().unwrap());
        assert_eq!(meet(stranger.client().unwrap(), &other, &other, &[&one]).await, (false, false));
        assert_eq!(meet(one.client().unwrap(), &other, &stranger, &[&one]).await, (false, false));
        assert_eq!(meet(one.client().unwrap(), &other, &other, &[]).await, (false, false));
    }

    #[tokio::test]
    async fn a_certificate_without_its_key_opens_nothing() {
        let [one, other, thief] = [(); 3].map(|()| Identity::new().unwrap());
        // The certificate of one who is known, and another key.
        let pretends = Identity { certificate: one.certificate.clone(), key: thief.key.clone_key(), ..thief };
        assert!(
            pretends.client().is_err()
                || meet(pretends.client().unwrap(), &other, &other, &[&one]).await == (false, false)
        );
    }

    #[tokio::test]
    async fn nothing_but_tls_1_3_is_spoken_and_nobody_comes_without_a_certificate() {
        let [one, other] = [(); 2].map(|()| Identity::new().unwrap());
        let provider = Arc::new(provider::default_provider());
        let verifier = || Arc::new(PinnedServer { provider: Arc::clone(&provider) });
        let of = |versions: &[&'static SupportedProtocolVersion]| {
            ClientConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(versions)
        };
        let old = of(&[&TLS12]).unwrap().dangerous().with_custom_certificate_verifier(verifier());
        let old = old.with_client_auth_cert(vec![one.certificate.clone()], one.key()).unwrap();
        assert_eq!(meet(old, &other, &other, &[&one]).await, (false, false));
        let bare = of(&[&TLS13]).unwrap().dangerous().with_custom_certificate_verifier(verifier());
        assert_eq!(meet(bare.with_no_client_auth(), &other, &other, &[&one]).await, (false, false));
    }

    #[test]
    fn each_process_has_its_own() {
        let [one, other] = [(); 2].map(|()| Identity::new().unwrap());
        assert_ne!(one.fingerprint(), other.fingerprint());
        assert_ne!(name(one.fingerprint()).unwrap(), name(other.fingerprint()).unwrap());
        assert!(!format!("{one:?}").contains("key"));
    }
}
