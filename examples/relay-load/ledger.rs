//! Who has received which numbers from whom: tells what came twice, late, or not at all; independent of sockets.

use std::collections::BTreeSet;

/// What a number says about its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It comes after all that came before it.
    InOrder,
    /// One that was sent later has come before it.
    Reordered,
    /// It has come before.
    Doubled,
}

/// The numbers that each member received from each other member of its room.
#[derive(Debug)]
pub(crate) struct Ledger {
    room_size: usize,
    streams: Vec<Stream>,
}

/// What came from one member to another.
#[derive(Debug, Clone, Default)]
struct Stream {
    next: u32,
    /// Numbers below `next` that have not come. Those that were refused, or meant for somebody else, stay for ever.
    missing: BTreeSet<u32>,
}

impl Ledger {
    /// A ledger of `members`, `room_size` in each room.
    pub(crate) fn new(members: usize, room_size: usize) -> Self {
        Self { room_size, streams: vec![Stream::default(); members * room_size] }
    }

    /// Enters that `to` received message `number` of the member in slot `from_slot` of its room.
    pub(crate) fn enter(&mut self, to: usize, from_slot: usize, number: u32) -> Verdict {
        let Some(stream) = self.streams.get_mut(to * self.room_size + from_slot) else { return Verdict::Doubled };
        if number < stream.next {
            return if stream.missing.remove(&number) { Verdict::Reordered } else { Verdict::Doubled };
        }
        stream.missing.extend(stream.next..number);
        stream.next = number + 1;
        Verdict::InOrder
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_twice_or_late_is_told_apart() {
        let mut ledger = Ledger::new(2, 2);
        let verdicts = [0, 1, 4, 2, 2, 4, 5].map(|number| ledger.enter(1, 0, number));
        use Verdict::{Doubled, InOrder, Reordered};
        assert_eq!(verdicts, [InOrder, InOrder, InOrder, Reordered, Doubled, Doubled, InOrder]);
        assert_eq!(ledger.enter(0, 1, 0), InOrder);
    }
}
