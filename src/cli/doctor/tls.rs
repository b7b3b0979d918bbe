//! TLS, and what a browser makes of a certificate.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use tokio_rustls::rustls::crypto::{WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::parse_x509_certificate;

use super::report::{Check, Report};
use super::target::Target;
use crate::limits;
use crate::net::authorities;

/// Which authorities are trusted: those of the system, and those in a file.
pub(super) struct Trust {
    roots: Arc<RootCertStore>,
    has_file: bool,
    algorithms: WebPkiSupportedAlgorithms,
    connector: TlsConnector,
    curious: TlsConnector,
    for_ice: TlsConnector,
}

impl Trust {
    /// The authorities of the system, and those in `file`.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub(super) fn new(file: Option<&Path>) -> anyhow::Result<Self> {
        let of_file = file.map(authorities::of_file).transpose().context("--ca")?;
        // A system without any is an obstacle where a certificate is shown.
        let mut roots = authorities::of_system("--ca").unwrap_or_else(|_| RootCertStore::empty());
        roots.roots.extend(of_file.map(|file| file.roots).unwrap_or_default());
        let (roots, provider) = (Arc::new(roots), Arc::new(ring::default_provider()));
        let algorithms = provider.signature_verification_algorithms;
        let builder =
            || ClientConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(&[&TLS13, &TLS12]);
        let careful = builder()?.with_root_certificates(Arc::clone(&roots)).with_no_client_auth();
        let any = Arc::new(AnyCertificate(algorithms));
        let curious = builder()?.dangerous().with_custom_certificate_verifier(any).with_no_client_auth();
        let for_ice = TlsConnector::from(Arc::new(careful.clone()));
        let for_http = |mut config: ClientConfig| {
            // What a browser offers for a WebSocket.
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            TlsConnector::from(Arc::new(config))
        };
        let (connector, curious) = (for_http(careful), for_http(curious));
        Ok(Self { roots, has_file: file.is_some(), algorithms, connector, curious, for_ice })
    }

    /// How to connect as a browser does.
    pub(super) fn connector(&self) -> TlsConnector {
        self.connector.clone()
    }

    /// How to connect to STUN and TURN servers.
    pub(super) fn for_ice(&self) -> TlsConnector {
        self.for_ice.clone()
    }

    /// How to connect with whatever certificate the server has, to look at it. Nothing secret goes over such a
    /// connection.
    pub(super) fn curious(&self) -> &TlsConnector {
        &self.curious
    }

    /// Whether a browser accepts the certificate of `target` with its `chain`; tells `report` why not.
    pub(super) fn judge(&self, chain: &[CertificateDer<'_>], target: &Target, report: &Report) -> bool {
        let now = SystemTime::now();
        let Some((own, rest)) = chain.split_first() else {
            report.wrong(Check::Certificate, "the server has none", "give the relay or its proxy a certificate");
            return false;
        };
        let (Ok((_, shown)), Ok(parsed)) = (parse_x509_certificate(own), ParsedCertificate::try_from(own)) else {
            report.wrong(Check::Certificate, "it is damaged, or not of version 3", "get another certificate");
            return false;
        };
        let dates = dates(&shown, now);
        let since_1970 = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let at = UnixTime::since_unix_epoch(since_1970);
        let chained = verify_server_cert_signed_by_trust_anchor(&parsed, &self.roots, rest, at, self.algorithms.all);
        let named = ServerName::try_from(target.name()).is_ok_and(|name| verify_server_name(&parsed, &name).is_ok());
        let mut is_good = true;
        let mut wrong = |detail: String, advice: String| {
            report.wrong(Check::Certificate, detail, advice);
            is_good = false;
        };
        if let Err((detail, advice)) = &dates {
            wrong(detail.clone(), (*advice).to_owned());
        }
        if !named {
            let names = names(&shown);
            let names = if names.is_empty() { "no name".to_owned() } else { names.join(", ") };
            let advice = format!("open one of its names, or get a certificate for {}", target.host);
            wrong(format!("it is for {names}, not for {}", target.host), advice);
        }
        match chained {
            Err(Error::InvalidCertificate(
                CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. },
            )) if dates.is_err() => {}
            Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
                let (detail, advice) = self.unknown_issuer(&shown, rest, target);
                wrong(detail, advice);
            }
            // The names of both are the same, or the other one would not have been tried.
            Err(Error::InvalidCertificate(CertificateError::BadSignature)) => wrong(
                format!(
                    "it is signed by another authority than the one of the same name ({}) that is trusted",
                    shown.issuer()
                ),
                format!("that authority was made anew: trust the new one instead; {}", how_to_trust(target)),
            ),
            Err(Error::InvalidCertificate(error)) => {
                let advice = "see that the whole chain is current: the certificate, and the intermediate ones after it";
                wrong(format!("its chain is not valid: {error}"), advice.to_owned());
            }
            Err(error) => wrong(format!("its chain is not valid: {error}"), "get another certificate".to_owned()),
            Ok(()) => {}
        }
        if is_good {
            self.praise(&shown, now, report);
        }
        is_good
    }

    fn praise(&self, shown: &X509Certificate<'_>, now: SystemTime, report: &Report) {
        let issuer = shown.issuer();
        let good = format!("for {}, by {issuer}, until {}", names(shown).join(", "), shown.validity().not_after);
        let end = u64::try_from(shown.validity().not_after.timestamp()).unwrap_or_default();
        let left = (UNIX_EPOCH + Duration::from_secs(end)).duration_since(now).unwrap_or_default();
        if left < limits::EXPIRY_NOTICE {
            report.note(Check::Certificate, good, "renew it: it expires soon");
        } else {
            report.ok(Check::Certificate, good);
        }
    }

    /// What is known of an issuer that is not among the authorities.
    fn unknown_issuer(
        &self,
        shown: &X509Certificate<'_>,
        rest: &[CertificateDer<'_>],
        target: &Target,
    ) -> (String, String) {
        let trust = how_to_trust(target);
        if self.roots.is_empty() {
            let detail = "this system knows no authorities by which certificates can be checked".to_owned();
            return (detail, "install them (the package ca-certificates), or give --ca FILE".to_owned());
        }
        let last = rest.last().and_then(|last| parse_x509_certificate(last).ok()).map(|(_, last)| last);
        let top = last.as_ref().unwrap_or(shown);
        let issuer = top.issuer().to_string();
        if rest.is_empty() && shown.issuer() == shown.subject() {
            let detail = "it is self-signed, and no browser trusts it".to_owned();
            return (detail, format!("get one from an authority such as Let's Encrypt, or use --lan; {trust}"));
        }
        if top.issuer() != top.subject() && has_url_of_issuer(top) {
            let detail = format!("its chain is not complete: the certificate of its issuer ({issuer}) is missing");
            let advice = "serve the whole chain, which Let's Encrypt calls fullchain.pem: browsers that have not met \
                          this issuer elsewhere show a warning";
            return (detail, advice.to_owned());
        }
        let file = if self.has_file { ", nor in the file of --ca" } else { "" };
        let detail = format!("its authority ({issuer}) is not among those that this machine trusts{file}");
        (detail, format!("{trust}; if it is your own, install it on each device"))
    }
}

/// How people come to trust the authority of a local network.
fn how_to_trust(target: &Target) -> String {
    format!(
        "if it is that of a relay with --lan, open http://{}/trust once on each device, and tell this command of its \
         authority with --ca FILE (authority.pem in the folder of --lan-dir)",
        target.authority()
    )
}

/// Whether a certificate says where that of its issuer is to be had, as those of public authorities do (RFC 5280
/// section 4.2.2.1).
fn has_url_of_issuer(certificate: &X509Certificate<'_>) -> bool {
    let of = |extension: &ParsedExtension<'_>| match extension {
        ParsedExtension::AuthorityInfoAccess(access) => access
            .iter()
            .any(|one| one.access_method == x509_parser::oid_registry::OID_PKIX_ACCESS_DESCRIPTOR_CA_ISSUERS),
        _ => false,
    };
    certificate.extensions().iter().any(|extension| of(extension.parsed_extension()))
}

/// What is wrong with its dates, and what to do.
fn dates(certificate: &X509Certificate<'_>, now: SystemTime) -> Result<(), (String, &'static str)> {
    let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let now = i64::try_from(seconds).unwrap_or(i64::MAX);
    let validity = certificate.validity();
    if now > validity.not_after.timestamp() {
        let advice =
            "renew it, and see why that did not happen by itself; if that date is to come, set this machine's clock";
        return Err((format!("it expired on {}", validity.not_after), advice));
    }
    if now < validity.not_before.timestamp() {
        let advice = "set the clock of this machine, or of the one that made it";
        return Err((format!("it is not valid before {}", validity.not_before), advice));
    }
    Ok(())
}

/// The names and addresses that a certificate is for.
fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return Vec::new() };
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => address(bytes).map(|ip| ip.to_string()),
        _ => None,
    };
    names.value.general_names.iter().filter_map(name).collect()
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

/// Accepts any certificate whose key the server has.
#[derive(Debug)]
struct AnyCertificate(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
