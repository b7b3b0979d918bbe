//! Many rooms by three relays that are one, each a process, with a real Redis: all relays are restarted one after the other, or
//! one is killed.

mod member;

use std::sync::atomic::{AtomicU16, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::harness::redis::Redis;
use crate::harness::{Client, Process, binary, connect, process};
use member::{Doors, Member, Status, Told};

/// How many rooms a rolling restart goes under, unless `CLUSTER_TEST_ROOMS` says otherwise.
const ROOMS: usize = 60;
/// How many rooms lose their relay, unless `CLUSTER_TEST_ROOMS` says otherwise.
const KILLED_ROOMS: usize = 1_000;
/// When the members of a room are together again after the death of its relay, as promised; who has lost a connection pauses
/// before it comes again, a few times.
const TOGETHER: Duration = Duration::from_millis(10_000 + 2_000);
/// How long something of many is waited for on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);
/// How many come in at a time: less than what a relay's backlog of connections takes.
const AT_ONCE: usize = 100;
const RELAYS: usize = 3;

/// What a room is: where it lives, and its members' ids.
type Place = (String, Vec<String>);

/// Three relays, and the members of rooms.
struct Crowd {
    redis: Redis,
    relays: Vec<Option<Process>>,
    doors: Doors,
    rooms: Vec<Vec<Arc<Mutex<Status>>>>,
    tell: watch::Sender<Told>,
    members: JoinSet<()>,
}

impl Crowd {
    async fn start() -> Self {
        let redis = Redis::start().await;
        let doors: Doors = Arc::new((0..RELAYS).map(|_| AtomicU16::new(0)).collect());
        let (rooms, relays) = (Vec::new(), (0..RELAYS).map(|_| None).collect());
        let (tell, members) = (watch::channel(Told::Stay).0, JoinSet::new());
        let mut crowd = Self { redis, relays, doors, rooms, tell, members };
        for relay in 0..RELAYS {
            crowd.start_relay(relay).await;
        }
        crowd
    }

    async fn start_relay(&mut self, relay: usize) {
        let mut command = match std::env::var_os("CLUSTER_TEST_RELAY") {
            Some(other) => process::without_settings(std::process::Command::new(other)),
            None => binary(),
        };
        command
            .args(["--listen", "127.0.0.1:0", "--redis", &self.redis.url()])
            .args(process::UNLIMITED)
            .arg("--max-connections=0")
            .env("RUST_LOG", "error");
        // Nobody reads what it writes there.
        let log = self.redis.folder().join(format!("relay-{relay}.log"));
        let process = Process::from_command(command, Some(&log)).await;
        self.doors[relay].store(process.port(), SeqCst);
        self.relays[relay] = Some(process);
    }

    /// Takes a relay away from those who come by it; its process.
    fn take_away(&mut self, relay: usize) -> Process {
        self.doors[relay].store(0, SeqCst);
        self.relays[relay].take().unwrap()
    }

    /// Which process a relay is: what the tokens of its places begin with.
    async fn home(&self, relay: usize) -> String {
        let port = self.doors[relay].load(SeqCst);
        let url = format!("ws://localhost:{port}/?room=probe-{relay}-{port}&resume=1");
        let mut client = Client::dial(connect(([127, 0, 0, 1], port).into()).await, &url, &[]).await.unwrap();
        let token = client.expect_joined().await["resume"]["token"].as_str().unwrap().to_owned();
        client.close().await;
        token.split_once('-').unwrap().0.to_owned()
    }

    /// Lets the members of so many rooms in: all first ones by the relay that `owner` tells for each room, where the room lives then,
    /// and the others by the next ones.
    async fn enter(&mut self, rooms: usize, size: usize, owner: impl Fn(usize) -> usize) {
        self.rooms = (0..rooms).map(|_| (0..size).map(|_| Arc::default()).collect()).collect();
        for slot in 0..size {
            for room in 0..rooms {
                let status = Arc::clone(&self.rooms[room][slot]);
                let (doors, told) = (Arc::clone(&self.doors), self.tell.subscribe());
                let (door, seed) = ((owner(room) + slot) % RELAYS, (room * size + slot) as u64);
                let member = Member::new(format!("room-{room}"), status, doors, door, told, (seed + 1) * 0x9e37_79b9);
                self.members.spawn(member.live());
                if room % AT_ONCE == AT_ONCE - 1 || room == rooms - 1 {
                    let come = &self.rooms[..=room];
                    eventually("those who come", || {
                        come.iter().rev().take(AT_ONCE).all(|room| room[slot].lock().unwrap().is_in)
                    })
                    .await;
                }
            }
        }
        self.are_together(|_| true).await;
    }

    /// Waits until all members of each room are in one room, at a relay that `is_right`.
    async fn are_together(&self, is_right: impl Fn(&str) -> bool) {
        eventually("all rooms to be whole", || self.rooms.iter().all(|room| is_whole(room, &is_right))).await;
    }

    fn places(&self) -> Vec<Place> {
        self.rooms.iter().map(|room| place(room)).collect()
    }

    fn members(&self) -> impl Iterator<Item = std::sync::MutexGuard<'_, Status>> {
        self.rooms.iter().flatten().map(|member| member.lock().unwrap())
    }

    /// Nobody has heard what should not have been, or missed anything.
    fn assert_no_faults(&self) {
        let faults: Vec<String> = self.members().flat_map(|member| member.faults.clone()).collect();
        assert!(faults.is_empty(), "{} faults: {:#?}", faults.len(), &faults[..faults.len().min(10)]);
    }
}

fn place(room: &[Arc<Mutex<Status>>]) -> Place {
    let ids = room.iter().map(|member| member.lock().unwrap().id.clone()).collect();
    (room[0].lock().unwrap().home.clone(), ids)
}

fn is_whole(room: &[Arc<Mutex<Status>>], is_right: impl Fn(&str) -> bool) -> bool {
    let (home, ids) = place(room);
    is_right(&home)
        && room.iter().zip(&ids).all(|(member, id)| {
            let member = member.lock().unwrap();
            member.home == home && member.is_with(ids.iter().filter(|other| *other != id).map(String::as_str))
        })
}

/// Waits until `is_so`.
async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let waits = async {
        while !is_so() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, waits).await.unwrap_or_else(|_| panic!("waited too long for {what}"));
}

fn rooms() -> Option<usize> {
    std::env::var("CLUSTER_TEST_ROOMS").ok().map(|rooms| rooms.parse().expect("CLUSTER_TEST_ROOMS is a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_relays_restart_one_after_the_other_and_rooms_of_the_others_lose_no_message_and_no_id() {
    let mut crowd = Crowd::start().await;
    crowd.enter(rooms().unwrap_or(ROOMS), 4, |room| room % RELAYS).await;
    crowd.tell.send_replace(Told::Talk);
    for relay in 0..RELAYS {
        let (home, before) = (crowd.home(relay).await, crowd.places());
        let resumed: usize = crowd.members().map(|member| member.resumed).sum();
        let (begun, process) = (Instant::now(), crowd.take_away(relay));
        let port = process.port();
        process.signal("TERM");
        assert_eq!(process.end().await, Some(0));
        crowd.start_relay(relay).await;
        crowd.are_together(|at| at != home).await;
        eventually("those who came by it", || crowd.members().all(|member| member.port != port)).await;
        crowd.are_together(|_| true).await;
        let took = begun.elapsed();
        let (mut kept, mut moved) = (0, 0);
        for (before, after) in before.iter().zip(crowd.places()) {
            if before.0 == home {
                moved += 1;
                assert!(before.1.iter().all(|id| !after.1.contains(id)), "{before:?} is {after:?}");
            } else {
                kept += 1;
                assert_eq!(before, &after);
            }
        }
        crowd.assert_no_faults();
        let resumed = crowd.members().map(|member| member.resumed).sum::<usize>() - resumed;
        println!("{relay}: {moved} rooms moved and {kept} stayed, {resumed} places taken up, whole after {took:?}");
        assert!(moved > 0 && kept > 0 && resumed > 0, "{moved} moved, {kept} stayed, {resumed} places");
    }
    crowd.tell.send_replace(Told::Finish);
    eventually("the last message of each", || crowd.members().all(|member| member.has_heard_all())).await;
    crowd.assert_no_faults();
    let messages: usize = crowd.members().map(|member| member.messages).sum();
    println!("{messages} messages heard");
    // Nobody is there but those who believe it.
    for room in 0..crowd.rooms.len() {
        let port = crowd.doors[room % RELAYS].load(SeqCst);
        let url = format!("ws://localhost:{port}/?room=room-{room}");
        let mut client = Client::dial(connect(([127, 0, 0, 1], port).into()).await, &url, &[]).await.unwrap();
        let joined = client.expect_joined().await;
        assert_eq!(joined["peers"].as_array().unwrap().len(), 4, "{joined}");
        client.say(json!({"type": "leave"})).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "on a machine of its own: scripts/cluster-test"]
async fn the_members_of_many_rooms_are_together_again_10_s_after_the_death_of_their_relay() {
    let rooms = rooms().unwrap_or(KILLED_ROOMS);
    let mut crowd = Crowd::start().await;
    crowd.enter(rooms, 2, |_| 0).await;
    let home = crowd.home(0).await;
    assert!(crowd.places().iter().all(|(at, _)| *at == home));
    let (begun, killed) = (Instant::now(), crowd.take_away(0));
    killed.kill().await;
    crowd.are_together(|at| at != home).await;
    let mut after: Vec<Duration> = crowd
        .rooms
        .iter()
        .map(|room| room.iter().map(|member| member.lock().unwrap().since - begun).max().unwrap())
        .collect();
    after.sort();
    let (half, last) = (after[rooms / 2], after[rooms - 1]);
    println!(
        "{rooms} rooms of two: the first together after {:?}, half of them after {half:?}, the last after {last:?}",
        after[0]
    );
    crowd.assert_no_faults();
    // More are a figure alone.
    assert!(rooms > KILLED_ROOMS || last < TOGETHER, "{last:?}");
}
