//! Which relay had a room last, of the rooms that were asked about lately: while Redis is away, that one is asked first.

use std::collections::HashMap;
use std::mem;
use std::sync::{Mutex, PoisonError};

use super::relays::ProcessId;
use super::store::RoomKey;
use crate::limits::RECENT_ROOMS;

/// Where rooms were last, at other relays.
#[derive(Debug, Default)]
pub(super) struct Recent(Mutex<Generations>);

/// When the young ones are too many, the old ones are forgotten, and the young ones are the old ones.
#[derive(Debug, Default)]
struct Generations {
    young: HashMap<RoomKey, ProcessId>,
    old: HashMap<RoomKey, ProcessId>,
}

impl Recent {
    /// The relay that had the room last, if that is remembered.
    pub(super) fn get(&self, room: RoomKey) -> Option<ProcessId> {
        let generations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        generations.young.get(&room).or_else(|| generations.old.get(&room)).copied()
    }

    /// The relay `process` has the room.
    pub(super) fn note(&self, room: RoomKey, process: ProcessId) {
        let mut generations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if generations.young.len() >= RECENT_ROOMS {
            generations.old = mem::take(&mut generations.young);
        }
        generations.young.insert(room, process);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room::names::RoomName;

    #[test]
    fn the_last_rooms_are_remembered_and_not_all() {
        let (recent, process) = (Recent::default(), ProcessId::random().unwrap());
        let key = |number: usize| RoomKey::from(&RoomName::parse(&number.to_string()).unwrap());
        let rooms = 2 * RECENT_ROOMS + 1;
        (0..rooms).for_each(|number| recent.note(key(number), process));
        assert_eq!(recent.get(key(0)), None);
        assert!((rooms - RECENT_ROOMS..rooms).all(|number| recent.get(key(number)) == Some(process)));
        let another = ProcessId::random().unwrap();
        recent.note(key(rooms - RECENT_ROOMS), another);
        assert_eq!(recent.get(key(rooms - RECENT_ROOMS)), Some(another));
    }
}
