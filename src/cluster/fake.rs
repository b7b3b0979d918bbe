//! A Redis in memory for tests, whose commands can be held up, and the relays that ask it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::assertions::Assertions;
use super::caution::Caution;
use super::directory::Directory;
use super::notice::Notices;
use super::relays::{Fingerprint, Neighbour, PROTOCOL, ProcessId, Relays};
use super::store::{Asking, Claim, Epoch, Failed, RoomKey, Store};
use crate::ice::CandidatePolicy;
use crate::limits::{LEASE, REDIS_DEADLINE, ROOM_LEASE};
use crate::protocol;
use crate::room::names::RoomName;
use crate::room::{Owned, RoomSettings, Rooms};

/// What all relays ask.
#[derive(Default)]
pub(crate) struct World(Mutex<Keys>);

#[derive(Default)]
struct Keys {
    /// Values, and until when they are good.
    values: HashMap<String, (String, Instant)>,
    relays: HashMap<String, String>,
}

impl World {
    fn get(&self, key: &str) -> Option<String> {
        let keys = self.0.lock().unwrap();
        keys.values.get(key).filter(|(_, until)| Instant::now() < *until).map(|(value, _)| value.clone())
    }

    fn set(&self, key: String, value: String, lasts: Duration) {
        self.0.lock().unwrap().values.insert(key, (value, Instant::now() + lasts));
    }

    /// What stands there for a room.
    pub(crate) fn room(&self, name: &str) -> Option<String> {
        self.get(&key(name).to_string())
    }

    /// Writes what is no relay's into the place of a room.
    pub(crate) fn write(&self, name: &str, value: &str) {
        self.set(key(name).to_string(), value.to_owned(), ROOM_LEASE);
    }

    /// Deletes what stands there for a room.
    pub(crate) fn delete(&self, name: &str) {
        self.0.lock().unwrap().values.remove(&key(name).to_string());
    }

    /// Forgets everything.
    pub(crate) fn flush(&self) {
        *self.0.lock().unwrap() = Keys::default();
    }
}

/// The key of a room with this name.
fn key(name: &str) -> RoomKey {
    RoomKey::from(&RoomName::parse(name).unwrap())
}

/// How one relay reaches the world.
pub(crate) struct FakeStore {
    world: Arc<World>,
    epoch: AtomicU64,
    /// Commands that are held up before they are carried out, by their names.
    held: Mutex<HashMap<&'static str, Arc<Gate>>>,
    /// How many commands there were, by their names.
    asked: Mutex<HashMap<&'static str, usize>>,
    /// How long each answer takes.
    latency: Mutex<Duration>,
}

/// Where a command waits.
#[derive(Default)]
pub(crate) struct Gate {
    arrived: Notify,
    opened: Notify,
}

impl Gate {
    /// Waits until a command is held up here.
    pub(crate) async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// Lets it go on.
    pub(crate) fn open(&self) {
        self.opened.notify_one();
    }
}

impl FakeStore {
    fn new(world: &Arc<World>) -> Self {
        Self {
            world: Arc::clone(world),
            epoch: AtomicU64::new(1),
            held: Mutex::default(),
            asked: Mutex::default(),
            latency: Mutex::default(),
        }
    }

    /// Holds the next command with this name up, before it is carried out.
    pub(crate) fn hold(&self, command: &'static str) -> Arc<Gate> {
        let gate = Arc::<Gate>::default();
        self.held.lock().unwrap().insert(command, Arc::clone(&gate));
        gate
    }

    /// How often a command was asked.
    pub(crate) fn asked(&self, command: &'static str) -> usize {
        self.asked.lock().unwrap().get(command).copied().unwrap_or_default()
    }

    /// Each answer takes so long from now on.
    pub(crate) fn takes(&self, latency: Duration) {
        *self.latency.lock().unwrap() = latency;
    }

    /// Redis is away from now on.
    pub(crate) fn lose(&self) {
        self.epoch.store(0, SeqCst);
    }

    /// Redis is there, on a connection with this number.
    pub(crate) fn connect(&self, epoch: u64) {
        self.epoch.store(epoch, SeqCst);
    }

    async fn now(&self) -> Result<Epoch, Failed> {
        let begun = Instant::now();
        while self.epoch.load(SeqCst) == 0 {
            if begun.elapsed() >= REDIS_DEADLINE {
                return Err(Failed::Away);
            }
            sleep(Duration::from_millis(10)).await;
        }
        Ok(Epoch(self.epoch.load(SeqCst)))
    }

    async fn command(&self, name: &'static str, on: Option<Epoch>) -> Result<(), Failed> {
        *self.asked.lock().unwrap().entry(name).or_default() += 1;
        let now = self.now().await?;
        let gate = self.held.lock().unwrap().remove(name);
        if let Some(gate) = gate {
            gate.arrived.notify_one();
            gate.opened.notified().await;
        }
        let latency = *self.latency.lock().unwrap();
        if !latency.is_zero() {
            sleep(latency).await;
        }
        if on.is_some_and(|on| on != now) || self.epoch.load(SeqCst) != now.0 {
            return Err(Failed::Away);
        }
        Ok(())
    }
}

impl Store for FakeStore {
    fn connected(&self) -> Asking<'_, Epoch> {
        Box::pin(self.now())
    }

    fn claim(&self, room: RoomKey, claim: Claim, on: Epoch) -> Asking<'_, Option<String>> {
        Box::pin(async move {
            self.command("claim", Some(on)).await?;
            let there = self.world.get(&room.to_string());
            if there.is_none() {
                self.world.set(room.to_string(), claim.to_string(), ROOM_LEASE);
            }
            Ok(there)
        })
    }

    fn read(&self, room: RoomKey) -> Asking<'_, Option<String>> {
        Box::pin(async move {
            self.command("read", None).await?;
            Ok(self.world.get(&room.to_string()))
        })
    }

    fn take_over(&self, room: RoomKey, was: Claim, claim: Claim, on: Epoch) -> Asking<'_, bool> {
        Box::pin(async move {
            self.command("take_over", Some(on)).await?;
            let is_same = self.world.get(&room.to_string()) == Some(was.to_string());
            if is_same {
                self.world.set(room.to_string(), claim.to_string(), ROOM_LEASE);
            }
            Ok(is_same)
        })
    }

    fn assert(&self, room: RoomKey, claim: Claim) -> Asking<'_, Option<String>> {
        Box::pin(async move {
            self.command("assert", None).await?;
            let own = format!("{}:", claim.process);
            let there = self.world.get(&room.to_string()).filter(|there| !there.starts_with(&own));
            if there.is_none() {
                self.world.set(room.to_string(), claim.to_string(), ROOM_LEASE);
            }
            Ok(there)
        })
    }

    fn release(&self, room: RoomKey, process: ProcessId) -> Asking<'_, ()> {
        Box::pin(async move {
            self.command("release", None).await?;
            let own = format!("{process}:");
            if self.world.get(&room.to_string()).is_some_and(|there| there.starts_with(&own)) {
                self.world.0.lock().unwrap().values.remove(&room.to_string());
            }
            Ok(())
        })
    }

    fn lease(&self, process: ProcessId) -> Asking<'_, Option<String>> {
        Box::pin(async move {
            self.command("lease", None).await?;
            Ok(self.world.get(&format!("relay:{process}")))
        })
    }

    fn renew<'a>(&'a self, process: ProcessId, said: &'a str) -> Asking<'a, bool> {
        Box::pin(async move {
            // A connection of its own: the others hold nothing up there.
            self.now().await?;
            let key = format!("relay:{process}");
            let was_there = self.world.get(&key).is_some();
            self.world.set(key, said.to_owned(), LEASE);
            Ok(was_there)
        })
    }

    fn end_lease(&self, process: ProcessId) -> Asking<'_, ()> {
        Box::pin(async move {
            self.world.0.lock().unwrap().values.remove(&format!("relay:{process}"));
            Ok(())
        })
    }

    fn relays(&self) -> Asking<'_, Vec<(String, String)>> {
        Box::pin(async move {
            self.command("relays", None).await?;
            Ok(self.world.0.lock().unwrap().relays.clone().into_iter().collect())
        })
    }

    fn register<'a>(&'a self, process: ProcessId, said: &'a str) -> Asking<'a, ()> {
        Box::pin(async move {
            self.world.0.lock().unwrap().relays.insert(process.to_string(), said.to_owned());
            Ok(())
        })
    }

    fn forget<'a>(&'a self, process: &'a str) -> Asking<'a, ()> {
        Box::pin(async move {
            self.world.0.lock().unwrap().relays.remove(process);
            Ok(())
        })
    }

    fn name_of(&self, room: RoomKey) -> String {
        format!("room:{room}")
    }
}

/// A relay, as far as the directory knows it.
pub(crate) struct FakeRelay {
    pub(crate) own: Arc<Neighbour>,
    pub(crate) store: Arc<FakeStore>,
    pub(crate) caution: Arc<Caution>,
    pub(crate) directory: Arc<Directory>,
}

impl FakeRelay {
    /// One that lives, and nobody renews its lease.
    pub(crate) async fn new(world: &Arc<World>) -> Self {
        Self::asking(world, |store| store).await
    }

    /// The same, which asks what `by` makes of its store.
    pub(crate) async fn asking(world: &Arc<World>, by: impl FnOnce(Arc<dyn Store>) -> Arc<dyn Store>) -> Self {
        let process = ProcessId::random().unwrap();
        let own = Neighbour {
            process,
            address: ([127, 0, 0, 1], 7000).into(),
            fingerprint: Fingerprint([0; 32]),
            protocol: PROTOCOL,
            version: "1".into(),
            settings: String::new(),
        };
        let (store, caution) = (Arc::new(FakeStore::new(world)), Arc::<Caution>::default());
        let (relays, owned) = (Arc::<Relays>::default(), Arc::<Owned>::default());
        let own = Arc::new(own);
        let asked = by(Arc::clone(&store) as _);
        let directory = Directory::new(Arc::clone(&own), asked, Arc::clone(&caution), relays, owned);
        let relay = Self { own, store, caution, directory: Arc::new(directory) };
        relay.renews().await;
        relay
    }

    /// Says that it lives.
    pub(crate) async fn renews(&self) -> bool {
        self.store.renew(self.own.process, &self.own.to_said()).await.unwrap()
    }

    /// Its rooms, which it asserts from now on.
    pub(crate) fn rooms(&self) -> (Arc<Rooms>, JoinHandle<()>) {
        let rooms = Arc::new(Rooms::new(RoomSettings {
            capacity: 8,
            max_message_bytes: 1024,
            candidate_policy: CandidatePolicy::All,
            encode: protocol::encode,
            observer: None,
            owned: Some(Arc::clone(self.directory.owned())),
        }));
        let assertions = Assertions::new(Arc::clone(&self.directory), Arc::clone(&rooms), Notices::new(|_| {}));
        (rooms, tokio::spawn(assertions.run()))
    }
}
