//! The relays that are one, each a process, and their Redis, with wires between all of them that can be broken.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use super::engine::Engine;
use super::person::World;
use super::record::{Broken, Fault, Ms, Seen};
use super::wire::{Mode, Wire, listens_on, owner_of};
use crate::harness::{Process, binary, connect, get, process};

/// How many relays there are.
pub(super) const RELAYS: usize = 3;
/// How many members a room takes.
pub(super) const CAPACITY: usize = 6;
/// For how long places are held.
pub(super) const HOLD: Ms = 10_000;
/// In a quarter of a second, somebody who has to wait for longer than that until it runs, in milliseconds, may take four seconds
/// for what takes one.
const BUSY: Ms = 150;

/// What breaks, or is mended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// A relay is killed, told to end, stopped; goes on, or is started again.
    Kill(usize),
    Terminate(usize),
    Stop(usize),
    Continue(usize),
    Start(usize),
    /// What goes from one relay to another.
    Wire(usize, usize, Mode),
    /// What goes between a relay and Redis.
    RedisWire(usize, Mode),
    /// An answer of Redis to a relay gets lost.
    Swallow(usize),
    /// Redis is killed; is started again, empty; answers nobody for so long; ends all connections.
    KillRedis,
    StartRedis,
    PauseRedis(Ms),
    KillClients,
    /// Somebody deletes the keys of all rooms.
    DeleteKeys,
}

/// The processes of the relays.
pub(super) type Pids = Arc<Mutex<Vec<Option<u32>>>>;

struct Relay {
    process: Process,
    operators: std::net::SocketAddr,
    is_stopped: bool,
}

pub(super) struct Relays {
    world: Arc<World>,
    engine: Engine,
    /// To the one Redis, one of each relay.
    redis_wires: Vec<Wire>,
    /// To the port for other relays of each.
    wires: Vec<Wire>,
    relays: Vec<Option<Relay>>,
    /// The processes, as those who ask whose a connection is need them.
    pids: Pids,
    logs: PathBuf,
    /// What is broken now.
    broken: Vec<(Broken, Ms)>,
    faults: Vec<Fault>,
}

impl Relays {
    /// Starts all of them. Their logs go to this folder.
    pub(super) async fn start(world: Arc<World>, logs: &Path) -> Self {
        let engine = Engine::start().await;
        let pids = Arc::new(Mutex::new(vec![None; RELAYS]));
        let (mut redis_wires, mut wires) = (Vec::new(), Vec::new());
        for _ in 0..RELAYS {
            redis_wires.push(Wire::new(1, Arc::new(|_, _| Some(0))).await);
            let pids = Arc::clone(&pids);
            wires.push(Wire::new(RELAYS, Arc::new(move |from, to| owner_of(from, to, &pids.lock().unwrap()))).await);
        }
        engine.port().inspect(|port| redis_wires.iter().for_each(|wire| wire.lead_to(*port)));
        let relays = (0..RELAYS).map(|_| None).collect();
        let logs = logs.to_owned();
        let (broken, faults) = (Vec::new(), Vec::new());
        let mut all = Self { world, engine, redis_wires, wires, relays, pids, logs, broken, faults };
        for relay in 0..RELAYS {
            all.start_relay(relay).await;
        }
        all
    }

    async fn start_relay(&mut self, relay: usize) {
        if self.relays[relay].is_some() {
            return;
        }
        let mut command = match std::env::var_os("CLUSTER_TEST_RELAY") {
            Some(other) => crate::harness::process::without_settings(std::process::Command::new(other)),
            None => binary(),
        };
        let redis = match self.engine.port() {
            Some(_) => format!("redis://127.0.0.1:{}", self.redis_wires[relay].port),
            None => self.engine.url(relay),
        };
        let advertise = format!("127.0.0.1:{}", self.wires[relay].port);
        let (capacity, hold) = (format!("--room-capacity={CAPACITY}"), format!("--hold-ms={HOLD}"));
        command.args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--redis", &redis]);
        command.args(["--cluster-listen", "127.0.0.1:0", "--cluster-advertise", &advertise]);
        command.args(process::UNLIMITED).args([capacity, hold]);
        let process = Process::from_command(command, Some(&self.logs.join(format!("relay-{relay}.log")))).await;
        let (port, operators) = (process.port(), process.operators("http://"));
        let is_for_relays = |other: &u16| *other != port && *other != operators.port();
        let listens = process.pid().map(listens_on).unwrap_or_default();
        let for_relays: Vec<_> = listens.into_iter().filter(is_for_relays).collect();
        assert_eq!(for_relays.len(), 1, "one port for other relays");
        self.wires[relay].lead_to(for_relays[0]);
        self.pids.lock().unwrap()[relay] = process.pid();
        self.world.doors.lock().unwrap()[relay] = Some(port);
        self.relays[relay] = Some(Relay { process, operators, is_stopped: false });
        self.mend(Broken::Relay(relay));
    }

    fn breaks(&mut self, what: Broken) {
        let now = self.world.now();
        if !self.broken.iter().any(|(broken, _)| *broken == what) {
            self.broken.push((what, now));
        }
    }

    fn mend(&mut self, what: Broken) {
        let until = self.world.now();
        if let Some(place) = self.broken.iter().position(|(broken, _)| *broken == what) {
            let (broken, from) = self.broken.swap_remove(place);
            self.faults.push(Fault { broken, from, until });
        }
    }

    /// Breaks or mends something.
    pub(super) async fn act(&mut self, action: Action) {
        self.world.note(format!("---- {action:?}"));
        match action {
            Action::Kill(relay) => {
                if let Some(killed) = self.take_away(relay) {
                    killed.process.kill().await;
                }
            }
            Action::Terminate(relay) => {
                if let Some(mut ended) = self.take_away(relay) {
                    ended.process.signal("TERM");
                    let world = Arc::clone(&self.world);
                    // It drains while the history goes on.
                    tokio::spawn(async move {
                        let code = ended.process.end().await;
                        if code != Some(0) {
                            world.complain(format!("relay {relay} ended with {code:?}"));
                        }
                    });
                    ended.is_stopped = false;
                }
            }
            Action::Stop(relay) => {
                if self.relays[relay].is_some() {
                    self.breaks(Broken::Relay(relay));
                }
                self.relays[relay].iter_mut().for_each(|relay| {
                    relay.process.signal("STOP");
                    relay.is_stopped = true;
                });
            }
            Action::Continue(relay) => self.wake(relay),
            Action::Start(relay) => self.start_relay(relay).await,
            Action::Wire(from, to, mode) => {
                if mode != Mode::Open {
                    self.breaks(Broken::Wire(from, to));
                }
                self.wires[to].set(from, mode);
                if mode == Mode::Open {
                    self.mend(Broken::Wire(from, to));
                }
            }
            // No wire leads to what tells its addresses itself.
            Action::RedisWire(..) | Action::Swallow(_) if self.engine.port().is_none() => {}
            Action::RedisWire(relay, mode) => {
                if mode != Mode::Open {
                    self.breaks(Broken::RedisWire(relay));
                }
                self.redis_wires[relay].set(0, mode);
                if mode == Mode::Open {
                    self.mend(Broken::RedisWire(relay));
                }
            }
            Action::Swallow(relay) => {
                self.breaks(Broken::RedisWire(relay));
                self.redis_wires[relay].swallow(0);
                self.mend(Broken::RedisWire(relay));
            }
            Action::KillRedis => {
                self.breaks(Broken::Redis);
                self.engine.kill().await;
            }
            Action::StartRedis => self.start_redis().await,
            Action::PauseRedis(ms) if self.engine.is_whole() => {
                self.breaks(Broken::Redis);
                let ms = self.engine.pause(ms).await;
                self.mend(Broken::Redis);
                let paused = self.faults.last_mut().unwrap();
                paused.until += ms;
            }
            Action::KillClients if self.engine.is_whole() => {
                self.breaks(Broken::Redis);
                self.mend(Broken::Redis);
                self.engine.kill_clients().await;
            }
            Action::DeleteKeys if self.engine.is_whole() => {
                self.breaks(Broken::Keys);
                self.engine.delete_rooms().await;
                self.mend(Broken::Keys);
            }
            Action::PauseRedis(_) | Action::KillClients | Action::DeleteKeys => {}
        }
    }

    /// A relay that nobody reaches any more.
    fn take_away(&mut self, relay: usize) -> Option<Relay> {
        let taken = self.relays[relay].take()?;
        self.breaks(Broken::Relay(relay));
        if taken.is_stopped {
            taken.process.signal("CONT");
        }
        self.world.doors.lock().unwrap()[relay] = None;
        Some(taken)
    }

    fn wake(&mut self, relay: usize) {
        let mut is_woken = false;
        self.relays[relay].iter_mut().filter(|relay| relay.is_stopped).for_each(|relay| {
            relay.process.signal("CONT");
            (relay.is_stopped, is_woken) = (false, true);
        });
        if is_woken {
            self.mend(Broken::Relay(relay));
        }
    }

    async fn start_redis(&mut self) {
        if self.engine.is_whole() {
            return;
        }
        self.engine.start_again().await;
        self.engine.port().inspect(|port| self.redis_wires.iter().for_each(|wire| wire.lead_to(*port)));
        self.mend(Broken::Redis);
        let now = self.world.now();
        self.faults.push(Fault { broken: Broken::Memory, from: now, until: now });
    }

    /// Mends all that is broken.
    pub(super) async fn mend_all(&mut self) {
        for relay in 0..RELAYS {
            self.wake(relay);
            self.act(Action::RedisWire(relay, Mode::Open)).await;
            for other in 0..RELAYS {
                self.act(Action::Wire(relay, other, Mode::Open)).await;
            }
        }
        self.start_redis().await;
        for relay in 0..RELAYS {
            self.start_relay(relay).await;
        }
    }

    /// The processes.
    pub(super) fn pids(&self) -> Pids {
        Arc::clone(&self.pids)
    }

    /// What was broken.
    pub(super) fn faults(&self) -> Vec<Fault> {
        self.faults.clone()
    }

    /// Which relay each process is: they tell of each other in their logs.
    pub(super) fn processes(&self) -> HashMap<String, usize> {
        let ports: HashMap<_, _> = self.wires.iter().enumerate().map(|(relay, wire)| (wire.port, relay)).collect();
        let mut processes = HashMap::new();
        for relay in 0..RELAYS {
            let log = std::fs::read_to_string(self.logs.join(format!("relay-{relay}.log"))).unwrap_or_default();
            for line in log.lines().filter(|line| line.contains("another relay of the cluster is there")) {
                let field = |name: &str| line.split(name).nth(1).and_then(|rest| rest.split(' ').next());
                let port = field("address=127.0.0.1:").and_then(|port| port.parse::<u16>().ok());
                if let (Some(process), Some(relay)) = (field("relay="), port.and_then(|port| ports.get(&port))) {
                    processes.insert(process.to_owned(), *relay);
                }
            }
        }
        processes
    }

    /// The relays as their operators see them.
    pub(super) async fn seen(&self) -> Vec<Seen> {
        let leases = self.engine.values("signaling-relay:relay:*").await;
        let registered = self.engine.hash("signaling-relay:relays").await;
        let mut all = Vec::new();
        for (relay, wire) in self.relays.iter().zip(&self.wires) {
            let address = format!("127.0.0.1:{}\"", wire.port);
            let mut seen = Seen::default();
            let lease = leases.iter().rfind(|(_, value)| value.contains(&address));
            seen.process = lease.and_then(|(key, _)| key.rsplit(':').next()).map(str::to_owned);
            let said =
                |process: &String| registered.iter().any(|(name, value)| name == process && value.contains(&address));
            seen.is_registered = seen.process.as_ref().is_some_and(said);
            if let Some(relay) = relay {
                let metrics = get(connect(relay.operators).await, "localhost", "/metrics").await;
                let held = metrics.lines().find_map(|line| line.strip_prefix("signaling_relay_held_places "));
                // Who does not answer in time is asked again.
                seen.held_places =
                    held.and_then(|held| held.parse::<f64>().ok()).map_or(usize::MAX, |held| held as usize);
                seen.rooms = rooms(relay.operators).await;
            }
            all.push(seen);
        }
        all
    }

    /// The process that has a room, as the directory says.
    pub(super) async fn process_of(&self, room: &str) -> Option<String> {
        let there = self.engine.room(room).await;
        there.split_once(':').map(|(process, _)| process.to_owned())
    }

    /// Tells all to end, and waits until they have.
    pub(super) async fn end(self) {
        for (number, relay) in self.relays.into_iter().enumerate() {
            let Some(relay) = relay else { continue };
            relay.process.signal("TERM");
            let code = relay.process.end().await;
            if code != Some(0) {
                self.world.complain(format!("relay {number} ended with {code:?}"));
            }
        }
        for relay in 0..RELAYS {
            let log = std::fs::read_to_string(self.logs.join(format!("relay-{relay}.log"))).unwrap_or_default();
            if let Some(line) = log.lines().find(|line| line.contains("panicked")) {
                self.world.complain(format!("relay {relay}: {line}"));
            }
        }
    }
}

/// The rooms of a relay, and how many are in each.
async fn rooms(operators: std::net::SocketAddr) -> BTreeMap<String, usize> {
    let answer = get(connect(operators).await, "localhost", "/api/rooms").await;
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default();
    let body: Value = serde_json::from_str(body).unwrap_or_default();
    let rooms = body["rooms"].as_array().cloned().unwrap_or_default();
    let of = |room: &Value| Some((room["room"].as_str()?.to_owned(), room["members"].as_u64()? as usize));
    rooms.iter().filter_map(of).collect()
}

/// Notes when this machine is so busy that who lives may look dead: when this task, or the threads of a relay, have to wait for
/// long until they run.
pub(super) async fn watch_machine(world: Arc<World>, pids: Pids, stalls: Arc<Mutex<Vec<Fault>>>) {
    const TICK: Duration = Duration::from_millis(250);
    let mut waited: HashMap<u32, Duration> = HashMap::new();
    loop {
        let from = world.now();
        tokio::time::sleep(TICK).await;
        let until = world.now();
        let all = pids.lock().unwrap().clone();
        let mut is_busy = until > from + TICK.as_millis() as Ms + BUSY;
        for pid in all.into_iter().flatten() {
            let now = waits_of(pid);
            let before = waited.insert(pid, now).unwrap_or(now);
            is_busy |= now.saturating_sub(before) > Duration::from_millis(BUSY);
        }
        if is_busy {
            stalls.lock().unwrap().push(Fault { broken: Broken::Machine, from, until });
        }
    }
}

/// For how long the threads of a process have waited until they ran, in all.
fn waits_of(pid: u32) -> Duration {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let waited = |thread: std::fs::DirEntry| -> Option<u64> {
        let times = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
        times.split_ascii_whitespace().nth(1)?.parse().ok()
    };
    Duration::from_nanos(threads.filter_map(waited).sum())
}
