//! Asks a STUN or TURN server to do its work, at each of its addresses at once.

use std::net::SocketAddr;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use super::reach::step;
use super::server::{Credentials, Endpoint, Fault, Found, Kind, Transport, Wire, broken, no_answer};
use super::{stun, turn};
use crate::limits;
use crate::net::listen::resolve;

/// Asks a server to do its work.
///
/// # Errors
/// What is wrong with it.
pub(super) async fn ask(
    endpoint: &Endpoint,
    credentials: Option<&Credentials>,
    tls: &TlsConnector,
    until: Instant,
) -> Result<Found, Fault> {
    if endpoint.transport == Transport::Dtls {
        return Err(Fault::new(
            "it is not asked: this command does not speak DTLS",
            "offer it by TLS as well, over TCP",
        ));
    }
    let addresses = match step(until, resolve(&endpoint.host, endpoint.port)).await {
        Some(Ok(addresses)) => addresses,
        Some(Err(error)) => return Err(Fault::new(format!("its name has no address: {error}"), "correct the name")),
        None => {
            return Err(Fault::new("the name server did not answer", "see whether this machine's name servers answer"));
        }
    };
    let ask = async |address: SocketAddr| {
        let wire = match step(until, Wire::open(endpoint, address, tls)).await {
            Some(Ok(wire)) => wire,
            Some(Err(error)) => return Err(broken(endpoint, &error)),
            None => return Err(no_answer(endpoint)),
        };
        match (endpoint.kind, credentials) {
            (Kind::Stun, _) => stun::ask(wire, endpoint).await,
            (Kind::Turn, Some(credentials)) => turn::allocate(wire, endpoint, credentials).await,
            (Kind::Turn, None) => {
                Err(Fault::new("the relay tells no credentials for it", "give username and credential"))
            }
        }
    };
    let addresses = addresses.into_iter().take(limits::DOCTOR_ADDRESSES);
    let mut asked: FuturesUnordered<_> = addresses.map(ask).collect();
    let mut faults = Vec::new();
    while let Some(result) = asked.next().await {
        match result {
            Ok(found) => return Ok(found),
            Err(fault) => faults.push(fault),
        }
    }
    // What a server has to say is worth more than that there is none at another address of its name.
    let fault = faults.into_iter().min_by_key(|fault| fault.is_absent);
    Err(fault.unwrap_or_else(|| Fault::new("its name has no address", "correct the name")))
}
