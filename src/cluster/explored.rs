//! Two relays, one room and a Redis, in every order in which their commands may arrive, with every fault at every point: the
//! directory's rules, tried exhaustively up to a number of steps.
//!
//! It is the code of the relay itself that runs, on a clock that only the schedule moves. A schedule is a list of choices: which
//! relay's next command Redis carries out, that a second passes, or what goes wrong. All schedules are tried one after the other.
//! `CLUSTER_TEST_STEPS` says how long they are.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::task::yield_now;
use tokio::time::{advance, sleep};

use super::directory::Directory;
use super::fake::{FakeRelay, World};
use super::lease;
use super::relays::{Place, ProcessId};
use super::store::{Asking, Claim, Epoch, Failed, RoomKey, Store};
use crate::limits::LEASE_LOOK;
use crate::room::Ownership;
use crate::room::names::RoomName;

/// How many choices there are in a schedule, unless `CLUSTER_TEST_STEPS` says otherwise.
const STEPS: usize = 3;
/// How many things may go wrong in one.
const FAULTS: usize = 2;
/// Longer than the longest of chains of tasks that wake each other.
const YIELDS: usize = 12;
/// So many seconds after the last fault all is well again: a relay is cautious for 3, a join waits for 4, rooms are asserted every 5,
/// and one that was given up asks again after that.
const SETTLED: usize = 16;

/// What may happen next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Choice {
    /// Redis carries out the next command of a relay, which hears the answer.
    Answer(usize),
    /// A second passes in which nobody waits for Redis.
    Second,
    /// A second passes. Whoever waits for an answer has waited too long, and its connection is lost.
    TooLate,
    /// The next command of a relay is carried out; then its connection is lost.
    Unheard(usize),
    /// The connection of a relay is lost before that.
    Lost(usize),
    /// Redis starts again, and knows nothing.
    Forgets,
    /// Somebody deletes what stands there for the room.
    Deleted,
    /// The lease of a relay is late, and it is reached all the same.
    Late(usize),
    /// A relay stands still until the next second: it is not reached, and its lease is gone.
    Stopped(usize),
    /// The two relays do not reach each other until the next second.
    Cut,
}

impl Choice {
    fn is_fault(self) -> bool {
        !matches!(self, Self::Answer(_) | Self::Second)
    }
}

/// Whether there may be two rooms of one name for a while after that: a relay looks dead if it is not reached and its lease is gone.
fn may_part(done: &[Choice]) -> bool {
    let is_late = done.iter().any(|choice| matches!(choice, Choice::Late(_)));
    done.iter().any(|choice| match choice {
        Choice::Deleted | Choice::Stopped(_) => true,
        Choice::Cut => is_late,
        _ => false,
    })
}

/// How a relay reaches Redis: each command waits until the schedule lets it go.
struct Stepped {
    inner: Arc<dyn Store>,
    waiting: Mutex<VecDeque<oneshot::Sender<Step>>>,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Answered,
    Unheard,
    Lost,
}

impl Stepped {
    async fn step<T>(&self, command: Asking<'_, T>) -> Result<T, Failed> {
        let (go, goes) = oneshot::channel();
        self.waiting.lock().unwrap().push_back(go);
        match goes.await {
            Ok(Step::Answered) => command.await,
            Ok(Step::Unheard) => command.await.and(Err(Failed::Away)),
            Ok(Step::Lost) | Err(_) => Err(Failed::Away),
        }
    }

    fn next(&self) -> Option<oneshot::Sender<Step>> {
        let mut waiting = self.waiting.lock().unwrap();
        // Whoever has given up asks no more.
        while waiting.front().is_some_and(oneshot::Sender::is_closed) {
            waiting.pop_front();
        }
        waiting.pop_front()
    }

    fn has_waiting(&self) -> bool {
        self.waiting.lock().unwrap().iter().any(|go| !go.is_closed())
    }
}

impl Store for Stepped {
    fn connected(&self) -> Asking<'_, Epoch> {
        self.inner.connected()
    }

    fn claim(&self, room: RoomKey, claim: Claim, on: Epoch) -> Asking<'_, Option<String>> {
        Box::pin(self.step(self.inner.claim(room, claim, on)))
    }

    fn read(&self, room: RoomKey) -> Asking<'_, Option<String>> {
        Box::pin(self.step(self.inner.read(room)))
    }

    fn take_over(&self, room: RoomKey, was: Claim, claim: Claim, on: Epoch) -> Asking<'_, bool> {
        Box::pin(self.step(self.inner.take_over(room, was, claim, on)))
    }

    fn assert(&self, room: RoomKey, claim: Claim) -> Asking<'_, Option<String>> {
        Box::pin(self.step(self.inner.assert(room, claim)))
    }

    fn release(&self, room: RoomKey, process: ProcessId) -> Asking<'_, ()> {
        Box::pin(self.step(self.inner.release(room, process)))
    }

    fn lease(&self, process: ProcessId) -> Asking<'_, Option<String>> {
        Box::pin(self.step(self.inner.lease(process)))
    }

    // On a connection of its own, which nothing holds up here but the faults that take the lease away.
    fn renew<'a>(&'a self, process: ProcessId, said: &'a str) -> Asking<'a, bool> {
        self.inner.renew(process, said)
    }

    fn end_lease(&self, process: ProcessId) -> Asking<'_, ()> {
        self.inner.end_lease(process)
    }

    fn relays(&self) -> Asking<'_, Vec<(String, String)>> {
        Box::pin(self.step(self.inner.relays()))
    }

    fn register<'a>(&'a self, process: ProcessId, said: &'a str) -> Asking<'a, ()> {
        self.inner.register(process, said)
    }

    fn forget<'a>(&'a self, process: &'a str) -> Asking<'a, ()> {
        self.inner.forget(process)
    }

    fn name_of(&self, room: RoomKey) -> String {
        self.inner.name_of(room)
    }
}

/// What the test knows of a relay.
struct Explored {
    relay: FakeRelay,
    store: Arc<Stepped>,
    /// The room that its client is in, if that lives here.
    held: Arc<Mutex<Option<Arc<Ownership>>>>,
    /// Whether its commands do not get to Redis.
    is_stopped: AtomicBool,
    /// Whether the other relay does not reach it.
    is_away: Arc<AtomicBool>,
    connections: u64,
}

impl Explored {
    async fn new(world: &Arc<World>) -> Self {
        let mut stepped = None;
        let relay = FakeRelay::asking(world, |inner| {
            let store = Arc::new(Stepped { inner, waiting: Mutex::default() });
            Arc::clone(stepped.insert(store)) as _
        });
        let relay = relay.await;
        relay.store.register(relay.own.process, &relay.own.to_said()).await.unwrap();
        let store = stepped.unwrap();
        Self {
            relay,
            store,
            held: Arc::default(),
            is_stopped: AtomicBool::default(),
            is_away: Arc::default(),
            connections: 1,
        }
    }

    fn has_room(&self) -> bool {
        self.held.lock().unwrap().as_ref().is_some_and(|ownership| !ownership.is_lost())
    }

    /// Its connection is lost, and there is another one.
    fn reconnects(&mut self) {
        while let Some(go) = self.store.next() {
            let _ = go.send(Step::Lost);
        }
        self.connections += 1;
        self.relay.caution.begin();
        self.relay.store.connect(self.connections);
    }
}

/// Somebody who comes by a relay and stays in the room for ever, and comes again when that is let go of.
async fn stay(relays: Arc<[Party; 2]>, own: usize) {
    let Party { directory, held, .. } = &relays[own];
    let other = &relays[1 - own];
    let is_there = |held: &Mutex<Option<Arc<Ownership>>>| {
        held.lock().unwrap().as_ref().is_some_and(|ownership| !ownership.is_lost())
    };
    let name = RoomName::parse("r").unwrap();
    loop {
        let mut place = directory.claim(&name).await;
        while let Place::At(owner) = &place
            && other.is_away.load(SeqCst)
        {
            place = directory.replace(&name, &Arc::clone(owner)).await;
            sleep(LEASE_LOOK).await;
        }
        match place {
            Place::Here(ownership) => {
                *held.lock().unwrap() = Some(ownership);
                while is_there(held) {
                    sleep(LOOK).await;
                }
                *held.lock().unwrap() = None;
            }
            Place::At(_) => {
                while is_there(&other.held) {
                    sleep(LOOK).await;
                }
            }
            Place::Nowhere | Place::Unknown(_) => {}
        }
        sleep(LOOK).await;
    }
}

/// What a client knows of a relay.
struct Party {
    directory: Arc<Directory>,
    held: Arc<Mutex<Option<Arc<Ownership>>>>,
    is_away: Arc<AtomicBool>,
}

/// How often a client looks around.
const LOOK: Duration = Duration::from_millis(200);

async fn settle() {
    for _ in 0..YIELDS {
        yield_now().await;
    }
}

/// What may happen now.
fn choices(relays: &[Explored; 2], faults_left: usize) -> Vec<Choice> {
    let awake = |relay: &usize| relays[*relay].store.has_waiting() && !relays[*relay].is_stopped.load(SeqCst);
    let asking: Vec<_> = (0..2).filter(awake).collect();
    let mut choices: Vec<_> = asking.iter().map(|relay| Choice::Answer(*relay)).collect();
    if asking.is_empty() {
        choices.push(Choice::Second);
    }
    if faults_left > 0 {
        if !asking.is_empty() {
            choices.push(Choice::TooLate);
        }
        choices.extend(asking.iter().flat_map(|relay| [Choice::Unheard(*relay), Choice::Lost(*relay)]));
        choices.extend([Choice::Forgets, Choice::Deleted]);
        choices.extend([0, 1].map(Choice::Late));
        choices.extend([0, 1].map(Choice::Stopped));
        choices.push(Choice::Cut);
    }
    choices
}

async fn carry_out(choice: Choice, world: &World, relays: &mut [Explored; 2]) {
    match choice {
        Choice::Answer(relay) => {
            let _ = relays[relay].store.next().unwrap().send(Step::Answered);
        }
        Choice::Unheard(relay) => {
            let _ = relays[relay].store.next().unwrap().send(Step::Unheard);
            settle().await;
            relays[relay].reconnects();
        }
        Choice::Lost(relay) => relays[relay].reconnects(),
        Choice::Second | Choice::TooLate => {
            for relay in &mut *relays {
                if relay.store.has_waiting() {
                    relay.reconnects();
                }
                relay.is_stopped.store(false, SeqCst);
                relay.is_away.store(false, SeqCst);
            }
            settle().await;
            advance(Duration::from_secs(1)).await;
        }
        Choice::Forgets => {
            world.flush();
            relays.iter_mut().for_each(Explored::reconnects);
        }
        Choice::Deleted => world.delete("r"),
        Choice::Late(relay) | Choice::Stopped(relay) => {
            let Explored { relay: of, is_stopped, is_away, .. } = &relays[relay];
            of.store.end_lease(of.own.process).await.unwrap();
            if matches!(choice, Choice::Stopped(_)) {
                is_stopped.store(true, SeqCst);
                is_away.store(true, SeqCst);
            }
        }
        Choice::Cut => relays.iter().for_each(|relay| relay.is_away.store(true, SeqCst)),
    }
    settle().await;
}

/// What holds at each moment.
fn look(relays: &[Explored; 2], done: &[Choice], were_there: &mut [bool; 2]) -> Result<(), String> {
    if may_part(done) {
        return Ok(());
    }
    let there = relays.each_ref().map(Explored::has_room);
    if there == [true; 2] {
        return Err(format!("{done:?}: two rooms"));
    }
    if (0..2).any(|relay| were_there[relay] && !there[relay]) {
        return Err(format!("{done:?}: a relay that is well lost its room"));
    }
    *were_there = there;
    Ok(())
}

/// Follows `schedule`, and then takes the first choice each time; returns what was chosen, out of how many.
async fn run(schedule: &[usize], steps: usize) -> Result<Vec<(usize, usize)>, String> {
    let world = Arc::<World>::default();
    let mut relays = [Explored::new(&world).await, Explored::new(&world).await];
    let parties = Arc::new(relays.each_ref().map(|relay| Party {
        directory: Arc::clone(&relay.relay.directory),
        held: Arc::clone(&relay.held),
        is_away: Arc::clone(&relay.is_away),
    }));
    let mut rooms = Vec::new();
    for (number, Explored { relay, .. }) in relays.iter().enumerate() {
        tokio::spawn(lease::renew(Arc::clone(&relay.store) as _, Arc::clone(&relay.caution), Arc::clone(&relay.own)));
        rooms.push(relay.rooms());
        tokio::spawn(stay(Arc::clone(&parties), number));
    }
    settle().await;
    let (mut taken, mut done, mut were_there) = (Vec::new(), Vec::new(), [false; 2]);
    for step in 0..steps {
        let faults = done.iter().filter(|choice: &&Choice| choice.is_fault()).count();
        let choices = choices(&relays, FAULTS - faults);
        let choice = schedule.get(step).copied().unwrap_or_default();
        taken.push((choice, choices.len()));
        done.push(choices[choice]);
        carry_out(choices[choice], &world, &mut relays).await;
        look(&relays, &done, &mut were_there)?;
    }
    for _ in 0..SETTLED {
        while let Some(relay) = (0..2).find(|relay| relays[*relay].store.has_waiting()) {
            carry_out(Choice::Answer(relay), &world, &mut relays).await;
            look(&relays, &done, &mut were_there)?;
        }
        carry_out(Choice::Second, &world, &mut relays).await;
        look(&relays, &done, &mut were_there)?;
    }
    let owner = match relays.each_ref().map(Explored::has_room) {
        [true, false] => &relays[0],
        [false, true] => &relays[1],
        there => return Err(format!("{done:?}: in the end the room is at {there:?}")),
    };
    let registered = world.room("r").unwrap_or_default();
    if !registered.starts_with(&owner.relay.own.process.to_string()) {
        return Err(format!("{done:?}: in the end the directory says {registered:?}"));
    }
    Ok(taken)
}

/// The schedule after this one; none if it was the last.
fn next(mut taken: Vec<(usize, usize)>) -> Option<Vec<usize>> {
    while let Some((choice, choices)) = taken.pop() {
        if choice + 1 < choices {
            let mut schedule: Vec<_> = taken.iter().map(|(choice, _)| *choice).collect();
            schedule.push(choice + 1);
            return Some(schedule);
        }
    }
    None
}

#[test]
fn whatever_comes_first_and_whatever_goes_wrong_a_room_is_at_one_relay_in_the_end() {
    let steps = std::env::var("CLUSTER_TEST_STEPS").map_or(STEPS, |steps| steps.parse().unwrap());
    let (mut schedule, mut count) = (Vec::new(), 0_u64);
    loop {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        count += 1;
        let taken = runtime.block_on(run(&schedule, steps)).unwrap_or_else(|broken| panic!("{broken}"));
        match next(taken) {
            Some(later) => schedule = later,
            None => break,
        }
    }
    println!("{count} schedules of {steps} steps");
}
