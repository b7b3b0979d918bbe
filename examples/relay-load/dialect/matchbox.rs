//! matchbox_server, and this relay's wire of that name: the server makes the ids, and each signal goes to one of them.

use super::{Dialect, Heard, Member, push};
use crate::message::Kind;

/// matchbox_server.
pub(crate) struct Matchbox {
    /// The id of each member, as the server told it.
    ids: Vec<String>,
}

impl Matchbox {
    /// For `members` members.
    pub(crate) fn new(members: usize) -> Self {
        Self { ids: vec![String::new(); members] }
    }
}

impl Dialect for Matchbox {
    fn path(&self, member: Member) -> String {
        format!("/load-{}", member.room)
    }

    fn greet(&self, _: Member) -> Option<String> {
        None
    }

    fn hear(&mut self, member: Member, text: &[u8]) -> Heard {
        if text.starts_with(br#"{"Signal""#) {
            return Heard::Signal;
        }
        let Some(assigned) = text.strip_prefix(br#"{"IdAssigned":""#) else { return Heard::Nothing };
        if let Some(id) = self.ids.get_mut(member.index) {
            *id = String::from_utf8_lossy(assigned).trim_end_matches("\"}").to_owned();
        }
        Heard::Joined
    }

    fn begin(&self, _: Member, to: Option<Member>, _: Kind, text: &mut Vec<u8>) -> bool {
        let Some(id) = to.and_then(|to| self.ids.get(to.index)) else { return false };
        push(text, format_args!(r#"{{"Signal":{{"receiver":"{id}","data":{{"#));
        true
    }

    fn end(&self) -> &'static [u8] {
        b"}}}"
    }
}
