//! What one who comes back, or is away for long, need not be told: who came and is gone again meanwhile.

use std::collections::{HashMap, VecDeque};

use super::ConnectionId;
use super::queue::State;
use super::queued::{Origin, Queued, trim};
use super::topic::Topic;
use crate::limits::ANNOUNCEMENTS;

/// What a client has not got, in order, and which of it is needless: it knows of nothing in it.
#[derive(Default)]
struct Needless {
    /// For each frame, whether it is needless.
    flags: Vec<bool>,
    /// Those who came, and are not gone yet.
    visits: HashMap<ConnectionId, Visit>,
    /// The last of `peer_away` and `peer_back` about each one, if it does not undo the one before.
    presence: HashMap<ConnectionId, usize>,
    /// All about each one that knocks, if the first of it is here.
    knocks: HashMap<u64, Vec<usize>>,
    /// Who is the host, and whether the room is locked, as it was told last.
    host: Option<usize>,
    lock: Option<usize>,
}

/// One who came: where that is said, and what it said.
struct Visit {
    joined: usize,
    messages: Vec<usize>,
}

impl Needless {
    /// Of `frames`, whose announcements are about what `topic` says. A visit in which something was said counts only if
    /// `even_said`.
    fn of<'q>(
        frames: impl Iterator<Item = &'q Queued>,
        topic: fn(&Queued) -> Option<Topic>,
        even_said: bool,
    ) -> std::vec::IntoIter<bool> {
        let mut needless = Self::default();
        for (at, queued) in frames.enumerate() {
            needless.flags.push(false);
            match (topic(queued), queued.origin()) {
                (Some(topic), _) => needless.add(at, topic, even_said),
                (None, Origin::Sender(sender)) => {
                    needless.visits.get_mut(&sender).into_iter().for_each(|visit| visit.messages.push(at));
                }
                _ => {}
            }
        }
        needless.flags.into_iter()
    }

    fn add(&mut self, at: usize, topic: Topic, even_said: bool) {
        match topic {
            Topic::Joined(member) => {
                self.visits.insert(member, Visit { joined: at, messages: Vec::new() });
            }
            Topic::Left(member) => {
                let last = self.presence.remove(&member);
                self.drop_all(last);
                let visit = self.visits.remove(&member).filter(|visit| even_said || visit.messages.is_empty());
                if let Some(Visit { joined, messages }) = visit {
                    self.drop_all([joined, at].into_iter().chain(messages));
                }
            }
            Topic::Away(member) | Topic::Back(member) => match self.presence.remove(&member) {
                Some(before) => self.drop_all([before, at]),
                None => {
                    self.presence.insert(member, at);
                }
            },
            Topic::Knock(knocker) => {
                self.knocks.insert(knocker, vec![at]);
            }
            Topic::KnockAgain(knocker) => {
                self.knocks.get_mut(&knocker).into_iter().for_each(|told| told.push(at));
            }
            Topic::KnockGone(knocker) => {
                if let Some(told) = self.knocks.remove(&knocker) {
                    self.drop_all(told.into_iter().chain([at]));
                }
            }
            Topic::Host => {
                let before = self.host.replace(at);
                self.drop_all(before);
            }
            Topic::Lock => {
                let before = self.lock.replace(at);
                self.drop_all(before);
            }
            // What comes before is about an earlier place.
            Topic::Start => *self = Self { flags: std::mem::take(&mut self.flags), ..Self::default() },
            Topic::Other => {}
            // No client of such a wire resumes.
            #[cfg(feature = "wires")]
            Topic::Roster(_) => {}
        }
    }

    fn drop_all(&mut self, frames: impl IntoIterator<Item = usize>) {
        for at in frames {
            self.flags.get_mut(at).into_iter().for_each(|flag| *flag = true);
        }
    }
}

impl State {
    /// Forgets those who came and are gone again, with what they said, as far as no write has begun with it.
    pub(super) fn forget_visits(&mut self) {
        let begun = self.begun();
        let needless = Needless::of(self.queue.iter().skip(begun), Queued::topic, true);
        let mut needless = std::iter::repeat_n(false, begun).chain(needless);
        for queued in std::mem::take(&mut self.queue) {
            if needless.next() == Some(true) {
                self.release(queued.frame.len(), queued.origin());
            } else {
                self.queue.push_back(queued);
            }
        }
    }
}

/// Removes what is needless from the messages that a client has not got: those to send `again`, and those that `wait` behind
/// them. They get their numbers after that. Those who said something are only forgotten if more than [`ANNOUNCEMENTS`] of the
/// relay's own messages are left otherwise.
pub(super) fn compact(again: &mut VecDeque<Queued>, waiting: &mut VecDeque<Queued>) {
    for even_said in [false, true] {
        let announcements = |frames: &VecDeque<Queued>| frames.iter().filter(|queued| queued.told().is_some()).count();
        if even_said && announcements(again) + announcements(waiting) <= ANNOUNCEMENTS {
            return;
        }
        // `resumed` says anew what those did that stand for themselves.
        let mut needless = Needless::of(again.iter().chain(&*waiting), Queued::told, even_said);
        for frames in [&mut *again, &mut *waiting] {
            frames.retain(|_| needless.next() != Some(true));
            trim(frames);
        }
    }
}
