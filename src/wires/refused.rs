//! What the log and the observer hear of who is refused something on the wire of another library.

use std::borrow::Cow;

use tracing::info;

use crate::outbox::Outbox;
use crate::peer::{Hub, RelayEvent};
use crate::quota::RateLimiter;
use crate::room::names::RoomName;
use crate::room::{ErrorCode, Refusal};

/// What somebody is refused. What a client may have written is its last field.
pub(super) enum Wanted<'a> {
    /// Something in a topic.
    Topic,
    /// A place in a room.
    Join,
    /// This id, which is named instead of the room that stands for all of them.
    Id(&'a str),
}

/// Says in the log, and tells the observer, that a client was refused what it `wanted` in `room`; a join in vain costs more.
pub(super) fn note(
    hub: &Hub,
    rate: &RateLimiter,
    outbox: &Outbox,
    wanted: &Wanted<'_>,
    room: RoomName,
    refusal: &Refusal,
) {
    if matches!(wanted, Wanted::Join) && matches!(refusal.code, ErrorCode::RoomFull | ErrorCode::Unauthorized) {
        rate.charge_failed_join();
    }
    if hub.quotas.may_log_about(rate.address()) {
        let address = outbox.address().map_or(Cow::Borrowed("unix"), |address| Cow::Owned(address.to_string()));
        let (said, room, id) = match wanted {
            Wanted::Topic => ("refused a topic", Some(room.as_str()), None),
            Wanted::Join => ("refused a join", Some(room.as_str()), None),
            Wanted::Id(id) => ("refused an id", None, Some(*id)),
        };
        // What a client may have written comes last, quoted and escaped.
        info!(
            connection = outbox.id().number(),
            %address,
            code = %refusal.code.as_str(),
            why = ?refusal.message,
            room = room.map(tracing::field::debug),
            id = id.map(tracing::field::debug),
            "{said}"
        );
    }
    hub.observe(|| RelayEvent::JoinRefused {
        connection: outbox.id().number(),
        address: outbox.address(),
        room: Some(room),
        code: refusal.code,
        message: refusal.message.clone().into_owned(),
    });
}
