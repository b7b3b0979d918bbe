//! Reloads what a server has read from files.

use std::sync::Arc;

use tracing::info;

use crate::net::tls::Tls;
use crate::relay::Relay;

/// Reloads the certificate and the keys of tokens of a [`Server`](crate::Server) while it serves.
#[derive(Debug, Clone)]
pub struct Reloader {
    tls: Option<Arc<Tls>>,
    #[cfg(feature = "auth")]
    relay: Arc<Relay>,
}

impl Reloader {
    /// Reloads what `relay` has, and its certificate if there is one.
    #[cfg_attr(not(feature = "auth"), allow(unused_variables, reason = "nothing of it is read from files"))]
    pub(super) fn new(tls: Option<Arc<Tls>>, relay: &Arc<Relay>) -> Self {
        Self {
            tls,
            #[cfg(feature = "auth")]
            relay: Arc::clone(relay),
        }
    }

    /// Reads the certificate again, for new connections, the keys of tokens, for new joins, and the secrets of TURN servers and of
    /// events.
    /// What cannot be used is in the log, and the old one stays.
    pub fn reload(&self) {
        if let Some(tls) = &self.tls {
            tls.reload();
        }
        let has_secrets = self.reload_secrets();
        if self.tls.is_none() && !has_secrets {
            info!("there is no certificate to reload, and no key of tokens or secret of TURN servers or events");
        }
    }
}

impl Reloader {
    /// Reads the keys of tokens, and the secrets of TURN servers and of events, again; returns whether there are any.
    fn reload_secrets(&self) -> bool {
        #[cfg(feature = "auth")]
        {
            self.relay.reload_token_keys();
            let has_turn = self.relay.reload_turn_secrets();
            let has_events = self.relay.reload_events_secrets();
            self.relay.keys.is_some() || has_turn || has_events
        }
        #[cfg(not(feature = "auth"))]
        false
    }
}
