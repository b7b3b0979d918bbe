//! The client for the servers that the relay asks: HTTP/1.1, over TLS with an authority of the operator's or
//! with those of the system.

pub(crate) mod complaints;

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::timeout;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::limits;
use crate::net::authorities;

/// What the relay says that it is.
pub(crate) const USER_AGENT: &str = concat!("signaling-relay/", env!("CARGO_PKG_VERSION"));

/// A client.
#[derive(Clone)]
pub(crate) struct Client(legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>);

impl Client {
    /// A client that asks `at_once` servers at a time. With https, their certificates must be of the `authorities`.
    ///
    /// # Errors
    /// When the authorities cannot be used.
    pub(crate) fn new(is_https: bool, authorities: Authorities<'_>, at_once: usize) -> anyhow::Result<Self> {
        let is_needed = is_https || authorities.file.is_some();
        let roots = if is_needed { authorities.trusted_roots()? } else { RootCertStore::empty() };
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&TLS13, &TLS12])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
        let client = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(limits::WEBHOOK_IDLE)
            .pool_max_idle_per_host(at_once)
            .http1_max_buf_size(limits::WEBHOOK_BYTES)
            .build(connector);
        Ok(Self(client))
    }

    /// The body of the response, which must have the status 200 and `most` bytes at most. Redirects are not followed.
    pub(crate) async fn ask(&self, request: Request<Full<Bytes>>, most: usize) -> anyhow::Result<Bytes> {
        let response = self.0.request(request).await?;
        let status = response.status();
        ensure!(status == StatusCode::OK, "it answered with the status {status}, and must with 200");
        let body = Limited::new(response.into_body(), most).collect().await;
        Ok(body.map_err(anyhow::Error::from_boxed).context("its answer cannot be read")?.to_bytes())
    }

    /// The status of the response. Redirects are not followed. The body does not matter: it is read only so that the connection
    /// can be used again, up to `most` bytes and for [`BODY_PATIENCE`](limits::BODY_PATIENCE).
    pub(crate) async fn tell(&self, request: Request<Full<Bytes>>, most: usize) -> anyhow::Result<StatusCode> {
        let response = self.0.request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), most).collect();
        // Without the end of the body, the connection ends.
        let _ = timeout(limits::BODY_PATIENCE, body).await;
        Ok(status)
    }
}

/// The certificate authorities that servers must be certified by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Authorities<'a> {
    /// The file that they are in; without one, they are those of the system.
    pub file: Option<&'a Path>,
    /// The flag that names the file, for errors.
    pub flag: &'static str,
}

/// Whether a URL names this machine: `localhost`, or a loopback address.
pub(crate) fn is_of_this_machine(url: &Uri) -> bool {
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

impl Authorities<'_> {
    /// The certificates of these authorities.
    ///
    /// # Errors
    /// When they cannot be used.
    pub(crate) fn trusted_roots(self) -> anyhow::Result<RootCertStore> {
        match self.file {
            Some(file) => authorities::of_file(file).context(self.flag),
            None => authorities::of_system(self.flag),
        }
    }
}
