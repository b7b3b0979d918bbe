//! One frame in the queue of an outbox, and the memory that it pins.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use super::topic::Topic;
use super::{ConnectionId, Sender};
use crate::budget::Purse;

/// A frame that is queued, or was written and is kept.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) frame: Bytes,
    origin: Tag,
    /// Where its [cost] is pinned until it is dropped; none for control frames, of which there are two at most.
    purse: Option<Arc<Purse>>,
}

/// What a frame costs besides its bytes, in bytes: its entry of 48 in a queue, which has room for half as many more on
/// average; what is counted about its buffer, and what that has left; and the entry of its sender among the shares.
pub(super) const ENTRY_BYTES: usize = 160;

/// What a frame of so many bytes costs, in bytes. Allocators have four sizes for each power of two, and so half of them
/// on average a tenth more than was asked for.
#[inline]
pub(super) fn cost(bytes: usize) -> usize {
    bytes + bytes / 8 + ENTRY_BYTES
}

/// Whose frame it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    Sender(ConnectionId),
    Relay,
    Error,
    /// Pings, pongs and close frames.
    Control,
}

/// An [`Origin`] in half of its size, and what an announcement is about: numbers that no connection has stand for all that
/// is no message of a peer. Their highest bit is set, the next one says whether it stands for itself, six say what kind it
/// is, and the rest is the number of whom it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tag(u64);

impl Tag {
    const ERROR: u64 = Self::of(0, 0);
    const CONTROL: u64 = Self::of(1, 0);
    const MEMBER_BITS: u32 = 56;
    const SETTLED: u64 = 1 << 62;

    const fn of(kind: u64, member: u64) -> u64 {
        1 << 63 | kind << Self::MEMBER_BITS | member & ((1 << Self::MEMBER_BITS) - 1)
    }

    /// What the announcement is about, even if it stands for itself; none if this is of something else.
    fn told(self) -> Option<Topic> {
        let (kind, number) = (self.0 >> Self::MEMBER_BITS & !(1 << 6), self.0 & ((1 << Self::MEMBER_BITS) - 1));
        let member = ConnectionId(number);
        Some(match kind.checked_sub(1 << 7)? {
            2 => Topic::Other,
            3 => Topic::Start,
            4 => Topic::Joined(member),
            5 => Topic::Left(member),
            6 => Topic::Away(member),
            7 => Topic::Back(member),
            8 => Topic::Knock(number),
            9 => Topic::KnockGone(number),
            12 => Topic::KnockAgain(number),
            10 => Topic::Host,
            11 => Topic::Lock,
            #[cfg(feature = "wires")]
            13 => Topic::Roster(number),
            _ => return None,
        })
    }
}

impl From<Topic> for Tag {
    fn from(topic: Topic) -> Self {
        Self(match topic {
            Topic::Other => Self::of(2, 0),
            Topic::Start => Self::of(3, 0),
            Topic::Joined(ConnectionId(member)) => Self::of(4, member),
            Topic::Left(ConnectionId(member)) => Self::of(5, member),
            Topic::Away(ConnectionId(member)) => Self::of(6, member),
            Topic::Back(ConnectionId(member)) => Self::of(7, member),
            Topic::Knock(number) => Self::of(8, number),
            Topic::KnockGone(number) => Self::of(9, number),
            Topic::KnockAgain(number) => Self::of(12, number),
            Topic::Host => Self::of(10, 0),
            Topic::Lock => Self::of(11, 0),
            #[cfg(feature = "wires")]
            Topic::Roster(number) => Self::of(13, number),
        })
    }
}

impl From<Origin> for Tag {
    fn from(origin: Origin) -> Self {
        Self(match origin {
            Origin::Sender(ConnectionId(number)) => number,
            Origin::Relay => return Topic::Other.into(),
            Origin::Error => Self::ERROR,
            Origin::Control => Self::CONTROL,
        })
    }
}

impl From<Tag> for Origin {
    fn from(Tag(number): Tag) -> Self {
        match number {
            Tag::ERROR => Self::Error,
            Tag::CONTROL => Self::Control,
            number if number >> 63 == 1 => Self::Relay,
            number => Self::Sender(ConnectionId(number)),
        }
    }
}

impl Queued {
    /// A message of `sender`, for which [as much memory as it costs](cost) is pinned already.
    #[inline]
    pub(super) fn pinned(sender: &Sender, frame: &Bytes) -> Self {
        let origin = Origin::Sender(sender.id).into();
        Self { frame: frame.clone(), origin, purse: Some(Arc::clone(&sender.purse)) }
    }

    /// A frame that cannot be refused, and is charged to its cause.
    pub(super) fn anyway(frame: Bytes, origin: Origin, cause: &Sender) -> Self {
        cause.purse.pin_anyway(cost(frame.len()));
        Self { frame, origin: origin.into(), purse: Some(Arc::clone(&cause.purse)) }
    }

    /// An announcement about `topic`, which cannot be refused either.
    pub(super) fn announcement(frame: Bytes, topic: Topic, cause: &Sender) -> Self {
        let mut queued = Self::anyway(frame, Origin::Relay, cause);
        queued.origin = topic.into();
        queued
    }

    /// A control frame.
    pub(super) fn control(frame: Bytes) -> Self {
        Self { frame, origin: Origin::Control.into(), purse: None }
    }

    /// Whose frame it is.
    pub(super) fn origin(&self) -> Origin {
        self.origin.into()
    }

    /// What it is about, if it is an announcement: [anything](Topic::Other) if it stands for itself.
    pub(super) fn topic(&self) -> Option<Topic> {
        self.told().map(|topic| if self.origin.0 & Tag::SETTLED == 0 { topic } else { Topic::Other })
    }

    /// What it is about, if it is an announcement, even if it stands for itself.
    pub(super) fn told(&self) -> Option<Topic> {
        self.origin.told()
    }

    /// Has it stand for itself, or no more: if it may have arrived, or the client was told what it says in another way, nothing
    /// makes it needless.
    pub(super) fn settle(&mut self, is_settled: bool) {
        if self.told().is_some() {
            self.origin.0 = self.origin.0 & !Tag::SETTLED | if is_settled { Tag::SETTLED } else { 0 };
        }
    }

    /// Whether memory is so short where it is charged that it should not be kept just in case.
    pub(super) fn is_pressed(&self) -> bool {
        self.purse.as_ref().is_some_and(|purse| purse.account().is_pressed())
    }

    /// Whether its memory is charged to the same address as that of `purse`.
    pub(super) fn is_charged_with(&self, purse: &Purse) -> bool {
        self.purse.as_ref().is_some_and(|own| Arc::ptr_eq(own.account(), purse.account()))
    }

    /// Whether it is a message, and no control frame.
    pub(super) fn is_message(&self) -> bool {
        self.origin.0 != Tag::CONTROL
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        if let Some(purse) = &self.purse {
            purse.unpin(cost(self.frame.len()));
        }
    }
}

/// Frees what a burst needed, once most of these frames are gone: a queue that is empty does not keep the memory of
/// thousands.
#[inline]
pub(super) fn trim(frames: &mut VecDeque<Queued>) {
    /// Frames for which there may be room in any case: a burst of candidates.
    const FEW: usize = 32;
    let (length, capacity) = (frames.len(), frames.capacity());
    if capacity > FEW && length < capacity / 4 {
        frames.shrink_to((2 * length).max(FEW));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_of_which_little_is_left_frees_what_the_rest_needed() {
        let frame = || Queued::control(Bytes::from_static(b"x"));
        let mut frames: VecDeque<_> = (0..1000).map(|_| frame()).collect();
        frames.drain(..500);
        trim(&mut frames);
        assert!(frames.capacity() >= 1000, "half of it is in use");
        frames.drain(..499);
        trim(&mut frames);
        assert!((1..100).contains(&frames.capacity()), "{}", frames.capacity());
    }

    #[test]
    fn an_entry_of_a_queue_has_six_words_and_keeps_its_origin() {
        assert_eq!(size_of::<Queued>(), 6 * size_of::<u64>());
        for origin in [Origin::Sender(ConnectionId(7)), Origin::Relay, Origin::Error, Origin::Control] {
            assert_eq!(Origin::from(Tag::from(origin)), origin);
            assert_eq!(Tag::from(origin).told(), (origin == Origin::Relay).then_some(Topic::Other));
        }
        let of_a_member = [Topic::Joined, Topic::Left, Topic::Away, Topic::Back].map(|topic| topic(ConnectionId(7)));
        let of_a_knock = [Topic::Knock, Topic::KnockAgain, Topic::KnockGone].map(|topic| topic(7));
        let of_all = [Topic::Other, Topic::Start, Topic::Host, Topic::Lock];
        #[cfg(feature = "wires")]
        let of_all = of_all.into_iter().chain([Topic::Roster(7)]);
        for topic in of_all.into_iter().chain(of_a_member).chain(of_a_knock) {
            assert_eq!((Tag::from(topic).told(), Origin::from(Tag::from(topic))), (Some(topic), Origin::Relay));
            let cause = Sender::new(ConnectionId(1), crate::budget::boundless());
            let mut queued = Queued::announcement(Bytes::new(), topic, &cause);
            for (is_settled, expected) in [(true, Topic::Other), (false, topic)] {
                queued.settle(is_settled);
                assert_eq!(
                    (queued.topic(), queued.told(), queued.origin()),
                    (Some(expected), Some(topic), Origin::Relay)
                );
            }
        }
    }
}
