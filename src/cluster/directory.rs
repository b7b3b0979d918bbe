//! Where a room lives, and whether its relay does: asked of Redis, once for all who want to know it at the same time.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use dashmap::DashMap;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::error;

use super::caution::Caution;
use super::door::Doors;
use super::questions::{Questions, Waiting};
use super::recent::Recent;
use super::relays::{Neighbour, Place, ProcessId, Relays, Unknown};
use super::store::{Claim, Epoch, Failed, RoomKey, Store};
use crate::limits::{LEASE_LOOK, LOCATE_DEADLINE, REDIS_COMPLAINT, REDIS_DEADLINE};
use crate::metrics::{Counter, Counters};
use crate::room::names::RoomName;
use crate::room::{Owned, Ownership};

/// How many keys that hold something foreign the log names within [`REDIS_COMPLAINT`].
const FOREIGN_KEYS: usize = 16;

/// The wait for a place.
pub(crate) type Locating = Waiting<Place>;

/// Says where rooms live.
pub(crate) struct Directory {
    own: Arc<Neighbour>,
    pub(super) store: Arc<dyn Store>,
    pub(super) caution: Arc<Caution>,
    pub(super) relays: Arc<Relays>,
    pub(super) owned: Arc<Owned>,
    /// The same names by their keys.
    owned_keys: DashMap<RoomKey, Weak<Ownership>>,
    /// Where rooms were last, at other relays.
    recent: Recent,
    /// The number of the last claim.
    claims: AtomicU64,
    /// What is being asked about rooms.
    questions: Questions<(RoomName, Question), Place>,
    /// Whether relays that cannot be reached are dead.
    deaths: Questions<ProcessId, bool>,
    is_draining: AtomicBool,
    /// The ways to the other relays.
    doors: OnceLock<Arc<Doors>>,
    /// Keys that hold something foreign, and when the log named them.
    foreign: Mutex<Vec<(RoomKey, Instant)>>,
    pub(super) counts: DirectoryCounts,
}

/// What is counted.
#[derive(Debug, Default)]
pub(super) struct DirectoryCounts {
    /// What came of claims: see [`CLAIM_RESULTS`].
    pub(super) claims: Counters<{ CLAIM_RESULTS.len() }>,
    /// Rooms that were taken over from dead relays.
    pub(super) taken_over: Counter,
    /// Rooms that this relay let go of.
    pub(super) let_go: Counter,
}

/// What may come of a claim: the room lives here or at another relay, or nobody can say.
pub(crate) const CLAIM_RESULTS: [&str; 3] = ["here", "elsewhere", "unavailable"];

/// What is asked about a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Question {
    /// Who has it; if nobody has, this relay.
    Claim,
    /// Who has it.
    Look,
    /// Who has it instead of a relay that cannot be reached.
    Replace(ProcessId),
}

impl Directory {
    /// The directory as the relay `own` sees it, which owns the names in `owned`.
    pub(crate) fn new(
        own: Arc<Neighbour>,
        store: Arc<dyn Store>,
        caution: Arc<Caution>,
        relays: Arc<Relays>,
        owned: Arc<Owned>,
    ) -> Self {
        Self {
            own,
            store,
            caution,
            relays,
            owned,
            owned_keys: DashMap::new(),
            recent: Recent::default(),
            claims: AtomicU64::new(0),
            questions: Questions::default(),
            deaths: Questions::default(),
            is_draining: AtomicBool::new(false),
            doors: OnceLock::new(),
            foreign: Mutex::default(),
            counts: DirectoryCounts::default(),
        }
    }

    /// The process of this relay.
    pub(crate) fn process(&self) -> ProcessId {
        self.own.process
    }

    /// What this relay says of itself.
    #[cfg(feature = "admin")]
    pub(crate) fn own(&self) -> &Neighbour {
        &self.own
    }

    /// The other relays that are known.
    pub(crate) fn relays(&self) -> &Arc<Relays> {
        &self.relays
    }

    /// The ways to the other relays, once they are open.
    pub(crate) fn doors(&self) -> Option<&Arc<Doors>> {
        self.doors.get()
    }

    /// Goes to other relays by `doors` from now on. Only the first call has an effect.
    pub(crate) fn open_doors(&self, doors: Arc<Doors>) {
        let _ = self.doors.set(doors);
    }

    /// The names that this relay owns.
    pub(crate) fn owned(&self) -> &Arc<Owned> {
        &self.owned
    }

    /// Where the room lives: here, if it lives nowhere else. It takes [`LOCATE_DEADLINE`] at most.
    pub(crate) fn claim(self: &Arc<Self>, room: &RoomName) -> Locating {
        self.ask(room, Question::Claim)
    }

    /// Whether the room lives at another relay, without claiming it.
    pub(crate) fn look(self: &Arc<Self>, room: &RoomName) -> Locating {
        self.ask(room, Question::Look)
    }

    /// Where the room lives, after its relay `dead` could not be reached: here, if its lease is gone. Otherwise it is still
    /// there, and this may be asked again a moment later.
    pub(crate) fn replace(self: &Arc<Self>, room: &RoomName, dead: &Neighbour) -> Locating {
        self.ask(room, Question::Replace(dead.process))
    }

    /// Whether this relay has the room with this key.
    pub(crate) fn has(&self, key: RoomKey) -> bool {
        let ownership = self.owned_keys.get(&key).and_then(|ownership| ownership.upgrade());
        ownership.is_some_and(|ownership| !ownership.is_lost())
    }

    /// Forgets the keys of rooms that nobody has a use for any more.
    pub(super) fn forget_unused(&self) {
        self.owned_keys.retain(|_, ownership| ownership.strong_count() > 0);
    }

    /// This relay owns the name from now on.
    fn take(&self, room: &RoomName, key: RoomKey) -> Place {
        let ownership = self.owned.add(room);
        self.owned_keys.insert(key, Arc::downgrade(&ownership));
        Place::Here(ownership)
    }

    /// Claims and asserts nothing from now on.
    pub(super) fn drain(&self) {
        self.is_draining.store(true, Relaxed);
    }

    /// Whether it claims and asserts nothing.
    pub(crate) fn is_draining(&self) -> bool {
        self.is_draining.load(Relaxed)
    }

    /// A claim that this process has never used.
    pub(super) fn new_claim(&self) -> Claim {
        Claim { process: self.process(), number: self.claims.fetch_add(1, Relaxed) + 1 }
    }

    fn ask(self: &Arc<Self>, room: &RoomName, question: Question) -> Locating {
        let (directory, of) = (Arc::clone(self), room.clone());
        let answers = async move { directory.answer(&of, question).await };
        self.questions.ask((room.clone(), question), answers)
    }

    /// Whether the relay `process`, which cannot be reached, does not live any more. While nobody can say, it does. Whoever
    /// asks before [`LEASE_LOOK`] is over hears the same, and nobody hears that it lives before that: everybody who had a
    /// place at a relay comes at once when that dies.
    pub(crate) async fn is_dead(self: &Arc<Self>, process: ProcessId) -> bool {
        let directory = Arc::clone(self);
        let looks = async move {
            let is_gone = directory.store.lease(process).await.is_ok_and(|lease| lease.is_none());
            let is_dead = is_gone && directory.caution.until().is_none();
            if !is_dead {
                sleep(LEASE_LOOK).await;
            }
            is_dead
        };
        self.deaths.ask(process, looks).await
    }

    async fn answer(&self, room: &RoomName, question: Question) -> Place {
        if self.is_draining() {
            return Place::Unknown(Unknown::Draining);
        }
        let (key, begun) = (RoomKey::from(room), Instant::now());
        let asked = async {
            let first = self.try_answer(room, key, question).await;
            match first {
                // The connection was lost under the question: the next one may be there already.
                Err(Failed::Away) if begun.elapsed() < REDIS_DEADLINE => self.try_answer(room, key, question).await,
                answer => answer,
            }
        };
        let answers = async {
            match asked.await {
                Ok(place) => place,
                Err(Failed::Foreign) => {
                    self.complain_of(key);
                    Place::Unknown(Unknown::Foreign)
                }
                Err(Failed::Away) => self.ask_relays(key, question).await,
            }
        };
        let place = timeout(LOCATE_DEADLINE, answers).await.unwrap_or(Place::Unknown(Unknown::Away));
        if let Place::At(owner) = &place {
            self.recent.note(key, owner.process);
        }
        if question != Question::Look {
            self.counts.claims.add(match place {
                Place::Here(_) => 0,
                Place::At(_) => 1,
                Place::Nowhere | Place::Unknown(_) => 2,
            });
        }
        place
    }

    /// Where the room lives, as the other relays say, since Redis is away.
    async fn ask_relays(&self, key: RoomKey, question: Question) -> Place {
        let (Some(doors), mut relays) = (self.doors(), self.relays.all()) else { return Place::Unknown(Unknown::Away) };
        doors.survey().keep(&relays);
        relays.retain(|relay| relay.is_understood() && question != Question::Replace(relay.process));
        let found = doors.survey().find(key, self.recent.get(key), relays).await;
        found.map_or(Place::Unknown(Unknown::Away), Place::At)
    }

    async fn try_answer(&self, room: &RoomName, key: RoomKey, question: Question) -> Result<Place, Failed> {
        match question {
            Question::Claim => self.try_claim(room, key).await,
            Question::Look => match self.store.read(key).await? {
                Some(there) => {
                    let there = Claim::parse(&there).ok_or(Failed::Foreign)?;
                    if there.process == self.process() { Ok(Place::Nowhere) } else { self.neighbour(there).await }
                }
                None => Ok(Place::Nowhere),
            },
            Question::Replace(dead) => self.try_replace(room, key, dead).await,
        }
    }

    /// Where the claim leads; nowhere if its relay is not known and does not live.
    async fn neighbour(&self, there: Claim) -> Result<Place, Failed> {
        let process = there.process;
        if let Some(known) = self.relays.get(process).filter(|relay| relay.is_understood()) {
            return Ok(Place::At(known));
        }
        let Some(said) = self.store.lease(process).await? else {
            // Its lease may only be late. Whoever was ever registered is dialled before it counts as dead.
            let registered = self.store.relays().await?;
            let said = registered.iter().find(|(other, _)| *other == process.to_string()).map(|(_, said)| said);
            let relay = said.and_then(|said| Neighbour::from_said(process, said)).filter(Neighbour::is_understood);
            return Ok(relay.map_or(Place::Nowhere, |relay| Place::At(self.relays.learn(relay))));
        };
        Ok(match Neighbour::from_said(process, &said) {
            Some(relay) if relay.is_understood() => Place::At(self.relays.learn(relay)),
            Some(_) => Place::Unknown(Unknown::Apart),
            // No relay has written it.
            None => Place::Unknown(Unknown::OwnerAway),
        })
    }

    async fn try_claim(&self, room: &RoomName, key: RoomKey) -> Result<Place, Failed> {
        loop {
            let on = self.store.connected().await?;
            // After the connection: it is cautious before anything is asked on a new one.
            let calm_at = self.caution.until();
            let there = match calm_at {
                Some(_) => self.store.read(key).await?,
                None => self.store.claim(key, self.new_claim(), on).await?,
            };
            let there = there.map(|there| Claim::parse(&there).ok_or(Failed::Foreign)).transpose()?;
            match (there, calm_at) {
                (Some(there), _) if there.process != self.process() => match self.neighbour(there).await? {
                    Place::Nowhere if calm_at.is_none() => {
                        if self.takes_over(key, there, on).await? {
                            return Ok(self.take(room, key));
                        }
                    }
                    Place::Nowhere => self.wait_for_calm().await,
                    place => return Ok(place),
                },
                (_, Some(_)) => self.wait_for_calm().await,
                (None, None) => return Ok(self.take(room, key)),
                // It was opened here before. What stands there may be about to expire.
                (Some(there), None) => {
                    if self.store.take_over(key, there, self.new_claim(), on).await? {
                        return Ok(self.take(room, key));
                    }
                }
            }
        }
    }

    async fn try_replace(&self, room: &RoomName, key: RoomKey, dead: ProcessId) -> Result<Place, Failed> {
        let (on, there) = loop {
            let on = self.store.connected().await?;
            let is_calm = self.caution.until().is_none();
            // It is read before the lease: if its relay comes back after that, its claim has another number.
            let there = self.store.read(key).await?;
            let there = there.map(|there| Claim::parse(&there).ok_or(Failed::Foreign)).transpose()?;
            match there.filter(|there| there.process == dead) {
                None => return self.try_claim(room, key).await,
                Some(there) if is_calm => break (on, there),
                Some(_) => self.wait_for_calm().await,
            }
        };
        if self.takes_over(key, there, on).await? {
            return Ok(self.take(room, key));
        }
        Ok(self.relays.get(dead).map_or(Place::Unknown(Unknown::OwnerAway), Place::At))
    }

    /// Takes a room over from the relay whose claim stands there, if that does not live any more; whether this relay has it then.
    pub(super) async fn takes_over(&self, key: RoomKey, there: Claim, on: Epoch) -> Result<bool, Failed> {
        if self.store.lease(there.process).await?.is_some() || self.caution.until().is_some() {
            return Ok(false);
        }
        let is_taken = self.store.take_over(key, there, self.new_claim(), on).await?;
        self.counts.taken_over.add(is_taken.into());
        Ok(is_taken)
    }

    /// Waits until this relay is not cautious any more, or it is time to look again: meanwhile the room may open elsewhere.
    async fn wait_for_calm(&self) {
        if let Some(until) = self.caution.until() {
            sleep_until(until.min(Instant::now() + LEASE_LOOK)).await;
        }
    }

    /// Says in the log that no relay has written what stands in the place of a room.
    pub(super) fn complain_of(&self, key: RoomKey) {
        let mut foreign = self.foreign.lock().unwrap_or_else(PoisonError::into_inner);
        foreign.retain(|(_, at)| at.elapsed() < REDIS_COMPLAINT);
        if foreign.len() < FOREIGN_KEYS && !foreign.iter().any(|(known, _)| *known == key) {
            foreign.push((key, Instant::now()));
            let key = self.store.name_of(key);
            error!(
                key,
                "no relay has written what Redis has under this key, and so its room cannot be opened: delete it"
            );
        }
    }
}

impl std::fmt::Debug for Directory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Directory").field("own", &self.own).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "directory_tests.rs"]
mod tests;
