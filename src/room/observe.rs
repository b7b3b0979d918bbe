//! When the observer of the rooms is told.

use super::observer::RoomChange;
use super::room::Locked;
use super::state::State;
use super::table::Membership;
use crate::metrics::CallReport;

impl Locked<'_> {
    /// Tells the observer, if there is one, what `change` makes of the state.
    pub(super) fn observe<'a>(&'a self, change: impl FnOnce(&'a State) -> Option<RoomChange<'a>>) {
        if let Some(observer) = &self.room.observer
            && let Some(change) = change(&self.state)
        {
            observer.observe(&self.room.name, &change);
        }
    }

    /// Tells the observer who the host is.
    pub(super) fn observe_host(&self) {
        self.observe(|state| state.host().map(|host| RoomChange::Host { id: &host.id }));
    }

    /// Tells the observer that the room is empty, once for each time that it had members.
    pub(super) fn observe_if_empty(&mut self) {
        if self.state.members.is_empty() && std::mem::take(&mut self.state.had_members) {
            self.observe(|_| Some(RoomChange::RoomEmpty));
        }
    }
}

impl Membership {
    /// Tells the observer, if there is one, what the member reports of its call with `to`.
    pub(crate) fn report(&self, report: CallReport, to: Option<&str>) {
        if self.room.observer.is_none() || !report.is_of_outcome() {
            return;
        }
        self.room.lock(&mut super::Deferred::default()).observe(|state| {
            let id = &state.member(self.serial)?.id;
            let to = to.and_then(|to| state.members.get(state.position_of(to)?)).map(|member| &member.id);
            Some(RoomChange::Call { id, to, report })
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::super::event::{HostCommand, LeaveReason};
    use super::super::names::RoomName;
    use super::super::observer::RoomObserver;
    use super::super::table::Rooms;
    use super::super::tests::{Coming, rooms_with};
    use super::*;

    /// Writes down what it hears.
    #[derive(Debug, Default)]
    struct Notes(Mutex<Vec<String>>);

    impl RoomObserver for Notes {
        fn observe(&self, _: &RoomName, change: &RoomChange<'_>) {
            self.0.lock().unwrap().push(serde_json::to_string(change).unwrap());
        }
    }

    impl Notes {
        fn take(&self) -> Vec<String> {
            std::mem::take(&mut self.0.lock().unwrap())
        }
    }

    fn observed(capacity: usize) -> (Arc<Rooms>, Arc<Notes>) {
        let notes = Arc::new(Notes::default());
        (rooms_with(capacity, Some(Arc::clone(&notes) as Arc<dyn RoomObserver>)), notes)
    }

    #[test]
    fn each_change_is_told_once_and_in_order() {
        let (rooms, notes) = observed(4);
        let ana = Coming::new("ana").enters(&rooms).unwrap();
        let bob = Coming::new("bob").enters(&rooms).unwrap();
        ana.commands(&HostCommand::Lock { is_locked: true }).unwrap();
        let waits = Coming::new("waits").knocks(&rooms).unwrap();
        ana.commands(&HostCommand::MakeHost { to: "ana".into() }).unwrap();
        ana.commands(&HostCommand::MakeHost { to: "bob".into() }).unwrap();
        bob.commands(&HostCommand::Admit { to: "waits".into() }).unwrap();
        bob.commands(&HostCommand::Kick { to: "ana".into(), message: None }).unwrap();
        // Its session finds that it is no member any more.
        drop(ana);
        bob.membership.leave(LeaveReason::Left, &mut super::super::Deferred::default());
        drop(waits);
        assert_eq!(
            notes.take(),
            [
                r#"{"type":"joined","id":"ana"}"#,
                r#"{"type":"host","id":"ana"}"#,
                r#"{"type":"joined","id":"bob"}"#,
                r#"{"type":"host","id":"bob"}"#,
                r#"{"type":"joined","id":"waits"}"#,
                r#"{"type":"left","id":"ana","reason":"kicked"}"#,
                r#"{"type":"left","id":"bob","reason":"left"}"#,
                r#"{"type":"host","id":"waits"}"#,
                r#"{"type":"left","id":"waits","reason":"closed"}"#,
                r#"{"type":"room_empty"}"#,
            ]
        );
    }

    #[test]
    #[cfg(feature = "admin")]
    fn a_room_that_the_server_closes_ends_before_the_next_one_with_its_name_begins() {
        let (rooms, notes) = observed(4);
        let members = ["ana", "bob"].map(|id| Coming::new(id).enters(&rooms).unwrap());
        notes.take();
        assert_eq!(rooms.close(&RoomName::parse("r").unwrap(), None).unwrap(), 2);
        let _next = Coming::new("next").enters(&rooms).unwrap();
        drop(members);
        assert_eq!(
            notes.take(),
            [
                r#"{"type":"left","id":"ana","reason":"kicked"}"#,
                r#"{"type":"left","id":"bob","reason":"kicked"}"#,
                r#"{"type":"room_empty"}"#,
                r#"{"type":"joined","id":"next"}"#,
                r#"{"type":"host","id":"next"}"#,
            ]
        );
    }

    #[test]
    fn who_is_not_let_in_changes_nothing() {
        let (rooms, notes) = observed(1);
        let _ana = Coming::new("ana").enters(&rooms).unwrap();
        notes.take();
        assert!(Coming::new("bob").enters(&rooms).is_err());
        assert!(Coming { capacity: Some(0), room: "another", ..Coming::new("bob") }.enters(&rooms).is_err());
        assert_eq!(notes.take(), [""; 0]);
    }

    #[test]
    fn a_report_is_told_in_words_of_ours_while_its_member_is_there() {
        let (rooms, notes) = observed(4);
        let [ana, bob] = ["ana", "bob"].map(|id| Coming::new(id).enters(&rooms).unwrap());
        notes.take();
        let report = |state: &str| CallReport::new(state, Some("host"), Some("192.0.2.7"), None);
        ana.membership.report(report("connected"), Some("bob"));
        ana.membership.report(report("failed"), Some("<script>"));
        ana.membership.report(report("<script>"), Some("bob"));
        bob.commands(&HostCommand::Kick { to: "ana".into(), message: None }).unwrap_err();
        ana.commands(&HostCommand::Kick { to: "bob".into(), message: None }).unwrap();
        bob.membership.report(report("failed"), Some("ana"));
        assert_eq!(
            notes.take(),
            [
                r#"{"type":"call","id":"ana","to":"bob","state":"connected","local":"host","remote":"other","protocol":"none"}"#,
                r#"{"type":"call","id":"ana","state":"failed","local":"host","remote":"other","protocol":"none"}"#,
                r#"{"type":"left","id":"bob","reason":"kicked"}"#,
            ]
        );
    }
}
