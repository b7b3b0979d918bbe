//! This relay says again and again which rooms it has, and lets go of those that another relay has.
//!
//! This mends whatever went wrong: a relay that slept, networks that were cut, a Redis that forgot or went back in time, keys
//! that somebody deleted.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use tokio::time::{interval, timeout};
use tracing::{debug, warn};

use super::directory::Directory;
use super::notice::{Notice, Notices};
use super::store::{Claim, Failed, RoomKey};
use crate::limits::{ASSERTION_INTERVAL, ASSERTIONS_A_SECOND, ASSERTIONS_UNDER_WAY};
use crate::room::{LetGo, Ownership, Rooms};

/// How often the next few assertions are made.
const TICK: Duration = Duration::from_millis(100);
/// How many these are at most.
const A_TICK: usize = ASSERTIONS_A_SECOND * TICK.as_millis() as usize / 1000;

/// Asserts rooms.
pub(super) struct Assertions {
    directory: Arc<Directory>,
    rooms: Arc<Rooms>,
    notices: Notices,
}

/// What became of an assertion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asserted {
    /// The room is this relay's, or nobody can say.
    Stays,
    /// Another relay has it.
    Lost,
}

/// The rooms of one round that another relay has. The log says it once, when this is dropped.
#[derive(Default)]
struct Lost {
    rooms: usize,
    gone: LetGo,
}

impl Lost {
    fn add(&mut self, gone: LetGo) {
        (self.rooms, self.gone) = (self.rooms + 1, self.gone + gone);
    }
}

impl Drop for Lost {
    fn drop(&mut self) {
        if self.rooms > 0 {
            let LetGo { members, knocks } = self.gone;
            let rooms = self.rooms;
            warn!(
                rooms,
                members, knocks, "let go of rooms that another relay has: who was there is told to come again"
            );
        }
    }
}

impl Assertions {
    pub(super) fn new(directory: Arc<Directory>, rooms: Arc<Rooms>, notices: Notices) -> Self {
        Self { directory, rooms, notices }
    }

    /// Asserts all rooms every few seconds, and at once when that is called for.
    pub(super) async fn run(self) {
        let caution = Arc::clone(&self.directory.caution);
        let mut is_urgent = false;
        loop {
            // A round that is under way is given up for one that is called for.
            is_urgent = tokio::select! {
                () = self.round(is_urgent) => timeout(ASSERTION_INTERVAL, caution.asserts()).await.is_ok(),
                () = caution.asserts() => true,
            };
        }
    }

    /// Asserts each room once: evenly over [`ASSERTION_INTERVAL`], or as fast as it goes if it `is_urgent`, since the others
    /// wait only as long as [`CAUTION`](crate::limits::CAUTION) until they take what is not registered for free.
    async fn round(&self, is_urgent: bool) {
        let owned = self.directory.owned.all();
        self.directory.forget_unused();
        let ticks = (ASSERTION_INTERVAL.as_millis() / TICK.as_millis()) as usize;
        let a_tick = if is_urgent { usize::MAX } else { owned.len().div_ceil(ticks).clamp(1, A_TICK) };
        let mut tick = interval(TICK);
        let mut lost = Lost::default();
        for some in owned.chunks(a_tick.min(owned.len()).max(1)) {
            tick.tick().await;
            if self.directory.is_draining() {
                break;
            }
            let mut asserted = stream::iter(some.to_vec())
                .map(|ownership| async move {
                    let asserted = self.assert(&ownership).await;
                    (ownership, asserted)
                })
                .buffer_unordered(ASSERTIONS_UNDER_WAY);
            let mut is_away = false;
            while let Some((ownership, result)) = asserted.next().await {
                match result {
                    Ok(Asserted::Stays) => {}
                    Ok(Asserted::Lost) => lost.add(self.let_go(&ownership)),
                    // The next connection begins a round of its own.
                    Err(Failed::Away) => {
                        is_away = true;
                        break;
                    }
                    Err(Failed::Foreign) => self.directory.complain_of(RoomKey::from(ownership.room())),
                }
            }
            if is_away {
                break;
            }
        }
    }

    async fn assert(&self, ownership: &Ownership) -> Result<Asserted, Failed> {
        let directory = &self.directory;
        let key = RoomKey::from(ownership.room());
        let on = directory.store.connected().await?;
        let Some(there) = directory.store.assert(key, directory.new_claim()).await? else { return Ok(Asserted::Stays) };
        let there = Claim::parse(&there).ok_or(Failed::Foreign)?;
        if directory.store.lease(there.process).await?.is_some() {
            return Ok(Asserted::Lost);
        }
        // Its relay is dead, or has not yet said that it lives since Redis forgot it. The next round asks again, if it is not taken.
        directory.takes_over(key, there, on).await?;
        Ok(Asserted::Stays)
    }

    fn let_go(&self, ownership: &Arc<Ownership>) -> LetGo {
        if cfg!(signaling_relay_fault = "let_go") {
            return LetGo::default();
        }
        let let_go = self.rooms.let_go(ownership);
        self.directory.counts.let_go.add(1);
        let room = ownership.room();
        debug!(room = ?room.as_str(), members = let_go.members, "let go of a room that another relay has");
        self.notices.tell(&Notice::LetGo { room: room.clone() });
        let_go
    }
}
