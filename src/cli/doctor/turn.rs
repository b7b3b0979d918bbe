//! An allocation on a TURN server with the credentials of a client (RFC 8656), which is given back at once.

use std::net::SocketAddr;

use tokio::time::{sleep_until, timeout};
use turn_client_proto::api::{Transmit, TurnClientApi, TurnConfig, TurnEvent, TurnPollRet};
use turn_client_proto::client::TurnClient;
use turn_client_proto::stun::Instant;
use turn_client_proto::tcp::TurnClientTcp;
use turn_client_proto::types::stun::attribute::ErrorCode;
use turn_client_proto::types::stun::message::{Message, MessageClass};
use turn_client_proto::types::{AddressFamily, TransportType, TurnCredentials};
use turn_client_proto::udp::TurnClientUdp;

use super::report::quoted;
use super::server::{Credentials, Endpoint, Fault, Found, Wire, broken, no_answer};
use crate::limits;

/// A client of the server at the other end of a wire.
struct Client {
    wire: Wire,
    turn: TurnClient,
    began: std::time::Instant,
    /// What the server refused last.
    refusal: Option<(u16, String)>,
    /// How often it asked for credentials. The first time it tells what to sign.
    unauthorized: u32,
}

/// Allocates an address on the server.
///
/// # Errors
/// What is wrong with it.
pub(super) async fn allocate(wire: Wire, endpoint: &Endpoint, credentials: &Credentials) -> Result<Found, Fault> {
    let mut config = TurnConfig::new(TurnCredentials::new(&credentials.name, credentials.password.reveal()));
    let (first, times) = limits::DOCTOR_STUN_RETRY;
    config.set_request_retransmits(first, limits::DOCTOR_STEP, times, limits::DOCTOR_STEP);
    if wire.remote.is_ipv6() {
        // As a browser with no other address than this has it.
        config.set_address_family(AddressFamily::IPV6);
    }
    let turn = match wire.transport() {
        TransportType::Udp => TurnClientUdp::allocate(wire.local, wire.remote, config).into(),
        TransportType::Tcp => TurnClientTcp::allocate(wire.local, wire.remote, config).into(),
    };
    let server = wire.remote;
    let mut client = Client { wire, turn, began: std::time::Instant::now(), refusal: None, unauthorized: 0 };
    let relayed = client.run(endpoint).await?;
    client.give_back().await;
    Ok(Found { address: relayed, server })
}

impl Client {
    fn now(&self) -> Instant {
        Instant::from_std(self.began)
    }

    /// Talks with the server until it has allocated an address.
    async fn run(&mut self, endpoint: &Endpoint) -> Result<SocketAddr, Fault> {
        loop {
            while let Some(event) = self.turn.poll_event() {
                match event {
                    TurnEvent::AllocationCreated(_, relayed) => return Ok(relayed),
                    TurnEvent::AllocationCreateFailed(_) => return Err(self.failed(endpoint)),
                    _ => {}
                }
            }
            if self.unauthorized > 1 {
                return Err(self.failed(endpoint));
            }
            let next = match self.turn.poll(self.now()) {
                TurnPollRet::WaitUntil(next) => next,
                TurnPollRet::Closed if self.turn.poll_event().is_none() => return Err(self.failed(endpoint)),
                _ => continue,
            };
            if let Some(transmit) = self.turn.poll_transmit(self.now()) {
                self.wire.send(&transmit.data).await.map_err(|error| broken(endpoint, &error))?;
                continue;
            }
            let bytes = tokio::select! {
                bytes = self.wire.receive() => bytes.map_err(|error| broken(endpoint, &error))?,
                () = sleep_until(next.to_std(self.began).into()) => continue,
            };
            self.note_refusal(&bytes);
            let now = self.now();
            let transmit = Transmit::new(bytes, self.wire.transport(), self.wire.remote, self.wire.local);
            // What it is told is in its events.
            let _ = self.turn.recv(transmit, now);
        }
    }

    /// Keeps the code of an error, which the events do not have.
    fn note_refusal(&mut self, bytes: &[u8]) {
        let Ok(message) = Message::from_bytes(bytes) else { return };
        if !message.has_class(MessageClass::Error) {
            return;
        }
        if let Ok(error) = message.attribute::<ErrorCode>() {
            self.unauthorized += u32::from(error.code() == ErrorCode::UNAUTHORIZED);
            self.refusal = Some((error.code(), error.reason().to_owned()));
        }
    }

    fn failed(&self, endpoint: &Endpoint) -> Fault {
        let Some((code, reason)) = &self.refusal else { return no_answer(endpoint) };
        let advice = match *code {
            ErrorCode::UNAUTHORIZED | ErrorCode::STALE_NONCE => {
                "give the relay (--turn-secret-file) and the server (coturn: static-auth-secret) the same secret, or \
                 correct the user name and the password in --ice-servers; and see that the clocks of both agree, \
                 since credentials run out"
            }
            ErrorCode::ALLOCATION_QUOTA_REACHED => "raise its quota (coturn: user-quota, total-quota), or wait",
            ErrorCode::INSUFFICIENT_CAPACITY => "give it more ports (coturn: min-port, max-port), or wait",
            ErrorCode::FORBIDDEN => "see which rule of the server forbids it",
            _ => "see what its log says",
        };
        Fault::new(format!("it lets no client in: {code} {}", quoted(reason)), advice)
    }

    /// Ends the allocation, so that it counts towards no quota; without it, it ends by itself after ten minutes.
    async fn give_back(&mut self) {
        let now = self.now();
        if self.turn.delete(now).is_err() {
            return;
        }
        let sent = async {
            loop {
                if let Some(transmit) = self.turn.poll_transmit(self.now()) {
                    // A server that hears nothing of it ends it all the same.
                    let _ = self.wire.send(&transmit.data).await;
                    return;
                }
                // Requests have a distance from each other.
                let TurnPollRet::WaitUntil(next) = self.turn.poll(self.now()) else { return };
                sleep_until(next.to_std(self.began).into()).await;
            }
        };
        let _ = timeout(limits::DOCTOR_GOODBYE, sent).await;
    }
}
