//! Why a relay cannot be started.

use thiserror::Error;

use crate::config::ConfigError;

/// Why a relay cannot be started. Its text is one line that says what would help.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BindError {
    /// A setting is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The relay cannot listen on an address.
    #[error("{0:#}")]
    Listen(anyhow::Error),
    /// The token for operators cannot be used.
    #[error("{0:#}")]
    Admin(anyhow::Error),
    /// The certificate, or the local authority, cannot be used.
    #[error("{0:#}")]
    Tls(anyhow::Error),
    /// A key of tokens, or the authority of the webhook, cannot be used.
    #[error("{0:#}")]
    Auth(anyhow::Error),
    /// A secret that signs events, or the authority of their URL, cannot be used.
    #[error("{0:#}")]
    Events(anyhow::Error),
    /// The secret of the TURN servers, or the file with the list of servers, cannot be used.
    #[error("{0:#}")]
    Ice(anyhow::Error),
    /// Redis, or what the settings say of it, cannot be used.
    #[error("{0:#}")]
    Cluster(anyhow::Error),
    /// The folder of the page cannot be used.
    #[error("{0:#}")]
    Page(anyhow::Error),
}
