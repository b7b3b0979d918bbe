//! What the HTTP side of a relay answers with: the hub of its sessions, and what it serves besides rooms, and to whom.

use std::sync::Arc;

use hyper::header::{HeaderMap, HeaderName};
use tracing::info;

#[cfg(feature = "page")]
use super::about::About;
use super::assets::Page;
use super::origin::{OriginPolicy, TupleOrigin};
use super::proxy::{self, Client, TrustedProxy};
use super::trust::TrustPages;
use crate::net::info::ConnectionInfo;
use crate::peer::Hub;
use crate::quota::{Address, Admission, RefusalPermit};
#[cfg(feature = "wires")]
use crate::wires::Wires;

/// What requests are answered with.
#[derive(Debug)]
pub(crate) struct Site {
    /// What all sessions share.
    pub hub: Arc<Hub>,
    /// The call page.
    pub page: Page,
    /// What the page is told of the relay.
    #[cfg(feature = "page")]
    pub about: About,
    /// The wires of other libraries that are on.
    #[cfg(feature = "wires")]
    pub wires: Wires,
    /// The web pages that may connect.
    pub origins: OriginPolicy,
    /// The origins of web pages that may show the call page in a frame.
    pub may_frame: Vec<TupleOrigin>,
    /// The proxies whose `X-Forwarded-` headers are believed.
    pub trusted_proxies: Vec<TrustedProxy>,
    /// The headers of an upgrade that who decides on joins hears of.
    pub auth_headers: Vec<HeaderName>,
    /// The pages about the local authority, if there is one.
    pub trust: Option<Arc<TrustPages>>,
}

impl Site {
    /// The client that made the request with these `headers`, on a connection that may be a proxy's.
    pub(crate) fn client(&self, headers: &HeaderMap, connection: ConnectionInfo) -> Client {
        Client::from_request(headers, connection, &self.trusted_proxies)
    }

    /// The address that pays for the answer to the request with these `headers`; none if it is not limited.
    pub(crate) fn payer(&self, headers: &HeaderMap, connection: ConnectionInfo) -> Option<Arc<Address>> {
        let ip = self.client(headers, connection).counted_ip(&self.trusted_proxies)?;
        Some(self.hub.quotas.visitor(ip))
    }

    /// Admits a connection; a trusted proxy's counts only among all.
    ///
    /// # Errors
    /// When a limit is reached, which the log says: the permit to say so, unless enough others are being told.
    pub(crate) fn admit(&self, connection: ConnectionInfo) -> Result<Arc<Admission>, Option<RefusalPermit>> {
        let (quotas, ip) = (&self.hub.quotas, proxy::counted_ip(connection.ip(), &self.trusted_proxies));
        quotas.admit(ip).map_err(|over| {
            self.hub.metrics.refusals.add(over.number());
            if quotas.may_log_refusal(ip, over) {
                info!(address = %connection, why = %over, "refused a connection");
            }
            quotas.refuse(over, connection)
        })
    }
}
