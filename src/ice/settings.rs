//! The list of STUN and TURN servers that the settings of a relay make.

use std::path::Path;

#[cfg(feature = "auth")]
use super::turn::TurnSigner;
use super::{CandidatePolicy, IceServers, StunUrl};
use crate::limits::ICE_SERVERS_BYTES;
use crate::net::read;

/// The settings that say which servers clients are told of.
#[derive(Debug)]
pub(crate) struct IceSettings<'a> {
    /// STUN servers.
    pub stun: &'a [StunUrl],
    /// Servers with whatever belongs to them.
    pub list: &'a IceServers,
    /// A file with more of them.
    pub file: Option<&'a Path>,
    /// Which candidates clients should use.
    pub policy: CandidatePolicy,
}

/// What is wrong with these settings.
#[derive(Debug)]
pub(crate) enum IceError {
    /// The file cannot be read.
    File(anyhow::Error),
    /// The list is wrong.
    List(String),
    /// A STUN server has credentials: its position in the file.
    StunCredentials(usize),
    /// There is no TURN server, and clients should use nothing else.
    NoTurn,
}

impl IceSettings<'_> {
    /// The list, with the servers for which `signer` makes credentials.
    ///
    /// # Errors
    /// [`IceError`].
    pub(crate) fn open(&self, #[cfg(feature = "auth")] signer: Option<TurnSigner>) -> Result<IceServers, IceError> {
        let mut servers =
            IceServers::of_stun(self.stun).and_then(|stun| stun.and(self.list)).map_err(IceError::List)?;
        if let Some(file) = self.file {
            servers = servers.and(&read_list(file)?).map_err(IceError::List)?;
        }
        #[cfg(feature = "auth")]
        if let Some(signer) = signer {
            servers = servers.and_signed(signer).map_err(IceError::List)?;
        }
        if self.policy == CandidatePolicy::Relay && !servers.has_turn() {
            return Err(IceError::NoTurn);
        }
        Ok(servers)
    }
}

fn read_list(file: &Path) -> Result<IceServers, IceError> {
    // With what a person puts between the values.
    let text = read::text(file, 4 * ICE_SERVERS_BYTES as u64).map_err(IceError::File)?;
    let list = text.parse::<IceServers>();
    let list = list.map_err(|error| IceError::List(format!("{}: {error}", file.display())))?;
    list.stun_with_credentials().map_or(Ok(list), |server| Err(IceError::StunCredentials(server)))
}
