//! Whether a client on a wire of topics may do something in one: who decides is asked once for each.

use std::sync::Arc;

use tokio::time::Instant;

use super::TopicClient;
use crate::auth::{Answer, Denial};
use crate::limits::{TOPIC_BYTES, TOPIC_NAME_BYTES};
use crate::room::Refusal;
use crate::room::names::RoomName;
use crate::wires::known::{Known, Standing};
use crate::wires::refused::{self, Wanted};
use crate::wires::waits::{Deciding, Waits};

/// Whether a client may do something in a topic.
pub(super) enum Decided {
    Yes,
    No,
    /// It waits for the decision.
    Later,
}

impl TopicClient {
    /// Whether the client may subscribe to a topic, or publish there; if that is not known yet, asks who decides. If it takes time,
    /// the client waits, and goes on with the topic `at` of `text`.
    pub(super) fn decide(&mut self, name: &str, text: &str, at: usize, now: Instant) -> Decided {
        if let Some(known) = self.known.get_mut(name) {
            return if matches!(known.standing, Standing::Refused) { Decided::No } else { Decided::Yes };
        }
        if name.len() > TOPIC_NAME_BYTES || !self.known.make_room(name.len()) {
            return Decided::No;
        }
        self.pace.charge(0, now);
        let topic: Arc<str> = name.into();
        let said = self.said.as_deref().cloned().unwrap_or_default();
        let request = said.request(&self.outbox, self.topics.dialect().wire, name);
        match self.hub.authorize(&request) {
            Answer::Now(answer) => self.note(topic, answer.map(drop)),
            Answer::Later(decision) => {
                let bytes = text.len() + name.len() + self.said.as_ref().map_or(0, |said| said.bytes());
                let Some(_memory) = self.outbox.sender().purse().charge(bytes) else { return Decided::No };
                let deciding = Deciding { decision, topic, text: text.to_owned(), at, _memory };
                self.waits = Some(Waits::Answer(Box::new(deciding)));
                Decided::Later
            }
        }
    }

    /// Notes what was decided on a topic. What could not be decided is asked again.
    pub(super) fn note(&mut self, topic: Arc<str>, decided: Result<(), Denial>) -> Decided {
        let (standing, is_allowed) = match decided {
            Ok(()) => (Standing::Allowed, Decided::Yes),
            Err(denial) => {
                let is_final = matches!(denial, Denial::Unauthorized(_));
                self.note_refused(&topic, &denial.into());
                if !is_final {
                    return Decided::No;
                }
                (Standing::Refused, Decided::No)
            }
        };
        let bytes = TOPIC_BYTES + 2 * topic.len();
        let Some(_memory) = self.outbox.sender().purse().charge(bytes) else { return Decided::No };
        self.known.push(Known { name: topic, standing, _memory });
        is_allowed
    }

    /// Says in the log, and tells the observer, that a topic was refused.
    fn note_refused(&self, topic: &str, refusal: &Refusal) {
        let room = RoomName::of_topic(self.topics.dialect().wire, topic);
        refused::note(&self.hub, &self.rate, &self.outbox, &Wanted::Topic, room, refusal);
    }
}
