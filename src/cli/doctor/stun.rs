//! A question to a STUN server: under which address it sees this machine (RFC 8489).

use tokio::time::sleep_until;
use turn_client_proto::stun::Instant;
use turn_client_proto::stun::agent::{StunAgent, StunAgentPollRet};
use turn_client_proto::types::stun::attribute::{ErrorCode, XorMappedAddress};
use turn_client_proto::types::stun::message::{BINDING, Message, MessageClass, MessageWriteVec};
use turn_client_proto::types::stun::prelude::MessageWrite;

use super::report::quoted;
use super::server::{Endpoint, Fault, Found, Transport, Wire, broken, no_answer};
use crate::limits;

/// Asks the server at the other end of `wire`.
///
/// # Errors
/// What is wrong with it.
pub(super) async fn ask(mut wire: Wire, endpoint: &Endpoint) -> Result<Found, Fault> {
    let began = std::time::Instant::now();
    let (first, times) = limits::DOCTOR_STUN_RETRY;
    let builder = StunAgent::builder(wire.transport(), wire.local).remote_addr(wire.remote);
    let mut agent = builder.request_retransmits(first, limits::DOCTOR_STEP, times, limits::DOCTOR_STEP).build();
    let request = Message::builder_request(BINDING, MessageWriteVec::new());
    let sent = agent.send_request(request.finish(), wire.remote, Instant::from_std(began));
    let bytes =
        sent.map(|sent| sent.data.to_vec()).map_err(|error| Fault::new(error.to_string(), "correct its URL"))?;
    wire.send(&bytes).await.map_err(|error| broken(endpoint, &error))?;
    // What came over a stream and is not whole yet.
    let mut received = Vec::new();
    loop {
        let now = Instant::from_std(began);
        let next = match agent.poll(now) {
            StunAgentPollRet::WaitUntil(next) => next,
            _ => return Err(no_answer(endpoint)),
        };
        if let Some(again) = agent.poll_transmit(now).map(|again| again.data.to_vec()) {
            wire.send(&again).await.map_err(|error| broken(endpoint, &error))?;
            continue;
        }
        let bytes = tokio::select! {
            bytes = wire.receive() => bytes.map_err(|error| broken(endpoint, &error))?,
            () = sleep_until(next.to_std(began).into()) => continue,
        };
        if endpoint.transport == Transport::Udp {
            received.clear();
        }
        received.extend_from_slice(&bytes);
        if received.len() > limits::DOCTOR_BODY_BYTES {
            return Err(no_stun());
        }
        let Ok(message) = Message::from_bytes(&received) else { continue };
        if agent.handle_stun_message_with_time(&message, wire.remote, Instant::from_std(began)) {
            return read(&message, &wire);
        }
        received.clear();
    }
}

fn read(message: &Message<'_>, wire: &Wire) -> Result<Found, Fault> {
    if message.has_class(MessageClass::Error) {
        let said = message.attribute::<ErrorCode>().map_or_else(|_| String::new(), |error| error.to_string());
        return Err(Fault::new(format!("it refuses to answer: {}", quoted(&said)), "see what its log says"));
    }
    let mapped = message.attribute::<XorMappedAddress>().map_err(|_| no_stun())?;
    Ok(Found { address: mapped.addr(message.transaction_id()), server: wire.remote })
}

fn no_stun() -> Fault {
    Fault::new("what answers there does not speak STUN", "correct the name or the port")
}
