//! Announcements that others make needless before they are written: who comes and goes while a client is away, or does not
//! read, leaves nothing in its outbox.

use super::queue::State;
use super::queued::{Origin, Queued};
use super::topic::Topic;

impl State {
    /// Removes what is not written yet and needless after an announcement about `topic`; returns whether that is needless as
    /// well.
    ///
    /// Two that cancel out are both needless: the client knows of neither. Of the host, the lock and a roster only the present
    /// state counts.
    pub(super) fn cancel_out(&mut self, topic: Topic) -> bool {
        match topic {
            Topic::Left(member) => {
                let joined = self.unwritten(Topic::Joined(member));
                // Messages that wait are from somebody who must be known.
                let is_said = |queued: &Queued| queued.origin() == Origin::Sender(member);
                let silent = joined.filter(|joined| !self.queue.iter().skip(*joined).any(is_said));
                silent.into_iter().for_each(|joined| self.remove_at(joined));
                self.remove_unwritten(Topic::Away(member));
                self.remove_unwritten(Topic::Back(member));
                silent.is_some()
            }
            Topic::Back(member) => self.remove_unwritten(Topic::Away(member)),
            Topic::Away(member) => self.remove_unwritten(Topic::Back(member)),
            // Who has not been told first was not told again.
            Topic::KnockGone(knocker) if self.remove_unwritten(Topic::Knock(knocker)) => {
                while self.remove_unwritten(Topic::KnockAgain(knocker)) {}
                true
            }
            Topic::Host | Topic::Lock | Topic::KnockAgain(_) => {
                self.remove_unwritten(topic);
                false
            }
            #[cfg(feature = "wires")]
            Topic::Roster(_) => {
                self.remove_unwritten(topic);
                false
            }
            Topic::Other | Topic::Start | Topic::Joined(_) | Topic::Knock(_) | Topic::KnockGone(_) => false,
        }
    }

    /// Removes the last announcement about `topic` of the client's present place that no write has begun with; returns
    /// whether there was one.
    fn remove_unwritten(&mut self, topic: Topic) -> bool {
        let position = self.unwritten(topic);
        position.into_iter().for_each(|position| self.remove_at(position));
        position.is_some()
    }

    /// Where that announcement is.
    fn unwritten(&self, topic: Topic) -> Option<usize> {
        let begun = self.begun();
        let unwritten = self.queue.iter().enumerate().skip(begun).rev();
        let mut present = unwritten.take_while(|(_, queued)| queued.topic() != Some(Topic::Start));
        present.find(|(_, queued)| queued.topic() == Some(topic)).map(|(position, _)| position)
    }

    fn remove_at(&mut self, position: usize) {
        if let Some(queued) = self.queue.remove(position) {
            self.release(queued.frame.len(), queued.origin());
        }
    }
}
