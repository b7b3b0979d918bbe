//! The module `systemd` on a Unix that is not Linux: a service manager of theirs passes sockets in another way, or not at
//! all, and [`ListenAddress`](crate::net::address::ListenAddress) refuses the address before anybody asks for them.

use anyhow::bail;

use crate::net::listen::Listener;

/// Fails.
///
/// # Errors
/// Always: only Linux has systemd.
pub(crate) fn inherited_listeners() -> anyhow::Result<Vec<Listener>> {
    bail!("there is no systemd on this system; listen on an address such as 127.0.0.1:8080")
}
