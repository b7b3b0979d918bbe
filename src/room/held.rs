//! The offer of somebody who was alone when sending it, held for the first who joins.

use bytes::Bytes;

use super::event::{Signal, SignalKind};
use super::names::PeerId;
use crate::limits::HELD_BYTES;

/// An unanswered offer, and the candidates that followed.
#[derive(Debug)]
pub(super) struct Held {
    from: PeerId,
    /// The frames, one behind the other: thousands of small candidates cost no more than their bytes.
    frames: Vec<u8>,
    /// The size of the messages as they were sent, in bytes.
    bytes: usize,
}

impl Held {
    /// Holds a broadcast offer by someone who is alone, and the candidates that follow it. Those that follow after somebody
    /// joined are held as well, so that the offer is whole for the next one should the first one leave without an answer.
    pub(super) fn hold(
        held: &mut Option<Self>,
        signal: &Signal<'_>,
        from: &PeerId,
        frame: &Bytes,
        alone: bool,
    ) -> bool {
        match (signal.kind, held) {
            (SignalKind::Offer, held) if alone && signal.bytes <= HELD_BYTES => {
                *held = Some(Self { from: from.clone(), frames: frame.to_vec(), bytes: signal.bytes });
                true
            }
            (SignalKind::OfferIce, Some(held)) if held.takes(signal, from) => {
                held.frames.extend_from_slice(frame);
                held.bytes += signal.bytes;
                true
            }
            _ => false,
        }
    }

    /// Forgets what is held once it is answered, or its sender offers again.
    pub(super) fn note_progress(held: &mut Option<Self>, signal: &Signal<'_>, from: &PeerId) {
        held.take_if(|held| match signal.kind {
            SignalKind::Offer => held.from == *from,
            SignalKind::Answer => held.from != *from && signal.to.as_deref().is_none_or(|to| to == held.from.as_str()),
            _ => false,
        });
    }

    /// Forgets what is held when its sender leaves.
    pub(super) fn note_leave(held: &mut Option<Self>, id: &PeerId) {
        held.take_if(|held| held.from == *id);
    }

    /// What is delivered to somebody who joins.
    pub(super) fn frames(&self) -> Bytes {
        Bytes::copy_from_slice(&self.frames)
    }

    fn takes(&self, signal: &Signal<'_>, from: &PeerId) -> bool {
        self.from == *from && self.bytes + signal.bytes <= HELD_BYTES
    }
}
