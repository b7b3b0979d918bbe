//! The offer of a peer that was alone in its room when it sent it, held for the first peer that joins.

use bytes::Bytes;

use super::event::{Signal, SignalKind};
use super::names::PeerId;
use crate::budget::Charge;
use crate::limits::HELD_BYTES;
use crate::outbox::Sender;

/// An unanswered offer, and the candidates that followed.
#[derive(Debug)]
pub(super) struct HeldOffer {
    from: PeerId,
    /// The frames, one after the other, so that thousands of small candidates cost no more than their bytes.
    frames: Vec<u8>,
    /// The size of the messages as they were sent, in bytes.
    bytes: usize,
    /// The memory of the frames.
    charge: Charge,
}

impl HeldOffer {
    /// Holds a broadcast offer of a peer that is alone, and the candidates that follow it; returns whether it holds
    /// this signal. Candidates that follow after another peer has joined are held as well: if that peer leaves without
    /// an answer, the next one needs all of them.
    pub(super) fn hold(
        held: &mut Option<Self>,
        signal: &Signal<'_>,
        (from, sender): (&PeerId, &Sender),
        frame: &Bytes,
        alone: bool,
    ) -> bool {
        match (signal.kind, held) {
            (SignalKind::Offer, held) if alone && signal.bytes <= HELD_BYTES => {
                let charge = sender.purse().charge(frame.len());
                *held = charge.map(|charge| Self {
                    from: from.clone(),
                    frames: frame.to_vec(),
                    bytes: signal.bytes,
                    charge,
                });
                held.is_some()
            }
            (SignalKind::OfferIce, Some(held)) => held.takes(signal, from) && held.add(signal, frame),
            _ => false,
        }
    }

    /// Holds another message; returns whether there is memory for it.
    fn add(&mut self, signal: &Signal<'_>, frame: &Bytes) -> bool {
        let bytes = self.frames.len() + frame.len();
        // A table that grows doubles.
        if bytes > self.frames.capacity() && !self.charge.resize(2 * bytes) {
            return false;
        }
        self.frames.extend_from_slice(frame);
        self.bytes += signal.bytes;
        true
    }

    /// Drops the held offer once it is answered, or its sender offers again.
    pub(super) fn note_progress(held: &mut Option<Self>, signal: &Signal<'_>, from: &PeerId) {
        held.take_if(|held| match signal.kind {
            SignalKind::Offer => held.from == *from,
            SignalKind::Answer => held.from != *from && signal.to.as_deref().is_none_or(|to| to == held.from.as_str()),
            _ => false,
        });
    }

    /// Drops the held offer when its sender leaves.
    pub(super) fn note_leave(held: &mut Option<Self>, id: &PeerId) {
        held.take_if(|held| held.from == *id);
    }

    /// Whose it is.
    pub(super) fn from(&self) -> &PeerId {
        &self.from
    }

    /// The bytes of the frames.
    pub(super) fn bytes(&self) -> usize {
        self.frames.len()
    }

    /// The frames for a peer that joins.
    pub(super) fn frames(&self) -> Bytes {
        Bytes::copy_from_slice(&self.frames)
    }

    fn takes(&self, signal: &Signal<'_>, from: &PeerId) -> bool {
        self.from == *from && self.bytes + signal.bytes <= HELD_BYTES
    }
}
