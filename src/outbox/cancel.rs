//! Announcements that others make needless before they are written: who comes and goes while a client is away, or does not
//! read, leaves nothing in its outbox.

use super::ConnectionId;
use super::queue::State;
use super::queued::Origin;
use super::topic::Topic;

impl State {
    /// Removes what is not written yet and needless after an announcement about `topic` that `cause` has caused; returns
    /// whether that is needless as well.
    ///
    /// Two that cancel out are both needless: the client knows of neither. Of the host and the lock only the present state
    /// counts.
    pub(super) fn cancel_out(&mut self, topic: Topic, cause: ConnectionId) -> bool {
        match topic {
            Topic::Left(member) => {
                let never_came = !self.has_queued_from(cause) && self.remove_unwritten(Topic::Joined(member));
                self.remove_unwritten(Topic::Away(member));
                self.remove_unwritten(Topic::Back(member));
                never_came
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
            Topic::Other | Topic::Start | Topic::Joined(_) | Topic::Knock(_) | Topic::KnockGone(_) => false,
        }
    }

    /// Whether messages of `sender` wait: they are from somebody who must be known.
    fn has_queued_from(&self, sender: ConnectionId) -> bool {
        self.queue.iter().any(|queued| queued.origin() == Origin::Sender(sender))
    }

    /// Removes the last announcement about `topic` of the client's present place that no write has begun with; returns
    /// whether there was one.
    fn remove_unwritten(&mut self, topic: Topic) -> bool {
        let begun = self.begun();
        let unwritten = self.queue.iter().enumerate().skip(begun).rev();
        let mut present = unwritten.take_while(|(_, queued)| queued.topic() != Some(Topic::Start));
        let Some((position, _)) = present.find(|(_, queued)| queued.topic() == Some(topic)) else { return false };
        if let Some(queued) = self.queue.remove(position) {
            self.release(queued.frame.len(), queued.origin());
        }
        true
    }
}
