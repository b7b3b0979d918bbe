//! Random histories of people and relays that are one, with a real Redis, and with faults from outside: whatever is killed,
//! stopped, cut or forgotten, no promise is broken.
//!
//! A history that breaks one says its seed, and where what happened is written down:
//! `CLUSTER_TEST_SEED=7 cargo test --test integration histories::random -- --ignored` runs it again. What people do is the same then; what
//! the machine does meanwhile is not. `scripts/cluster-test` runs many.

mod check;
mod engine;
mod person;
mod plan;
mod record;
mod relays;
mod wire;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use crate::harness::Dice;
use check::{check, is_too_busy};
use person::{Command, Person, Status, World};
use plan::{ACTIVE, PEOPLE, Plan, ROOMS, Step, Theme};
use record::{Broken, Fault, Finale, History, Ms, Seen};
use relays::{Action, CAPACITY, HOLD, RELAYS, Relays, watch_machine};

/// How many histories there are, unless `CLUSTER_TEST_HISTORIES` says otherwise.
const HISTORIES: u64 = 20;
/// How many run at a time, unless `CLUSTER_TEST_AT_ONCE` says otherwise: most of their time is waiting.
const AT_ONCE: usize = 7;
/// At most every so manieth may be one of which the machine was too busy to tell: a run that looks at nothing finds nothing.
const MOST_TOO_BUSY: u64 = 3;
/// How many messages go through doors, unless `CLUSTER_TEST_MESSAGES` says otherwise; in one history, which is kept in memory;
/// and how many somebody says at once, less than what makes the relay wait for who reads.
const MESSAGES: u64 = 5_000;
/// See [`MESSAGES`].
const MESSAGES_A_TIME: usize = 50_000;
/// See [`MESSAGES`].
const BURST: usize = 40;
/// How long after the last fault all have to be together.
const TOGETHER: Ms = 10_000;
/// How much longer, where Redis has lost what it had: so long rooms may take to be registered again.
const REGISTERED: Ms = 5_000;
/// What people add who come again only after a pause.
const PAUSES: Ms = 2_000;
/// How long the end is waited for on a machine that stands still again and again.
const PATIENCE: Ms = 90_000;

/// What a history came to.
struct Outcome {
    seed: u64,
    theme: Theme,
    messages: usize,
    /// None if they never were.
    together_after: Option<Ms>,
    /// For how long the machine was too busy to tell who lives, and whether that is too much to tell anything.
    busy: Ms,
    is_too_busy: bool,
    /// What it breaks, and where what happened is written down.
    faults: Vec<String>,
    folder: PathBuf,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "on a machine that has nothing else to do: scripts/test at its end, scripts/cluster-test for an hour"]
async fn random_histories_keep_every_promise() {
    let first: Option<u64> = number("CLUSTER_TEST_SEED");
    let count = number("CLUSTER_TEST_HISTORIES").unwrap_or(if first.is_some() { 1 } else { HISTORIES });
    let at_once = number("CLUSTER_TEST_AT_ONCE").unwrap_or(AT_ONCE as u64) as usize;
    // Small enough to be typed again.
    let first = first.unwrap_or_else(|| getrandom::u64().unwrap() % 1_000_000_000);
    println!("{count} histories from the seed {first} on");
    let mut outcomes = stream::iter(0..count)
        .map(|number| async move {
            // Not all at the same point of their histories.
            if number < at_once as u64 {
                sleep(Duration::from_millis(number * 1_500)).await;
            }
            tokio::spawn(run(first + number)).await
        })
        .buffer_unordered(at_once);
    let (mut broken, mut messages, mut slowest, mut too_busy) = (String::new(), 0, 0, 0);
    while let Some(outcome) = outcomes.next().await {
        let Outcome { seed, theme, messages: heard, together_after, busy, is_too_busy, faults, folder } =
            outcome.unwrap();
        (messages, too_busy) = (messages + heard, too_busy + u64::from(is_too_busy));
        slowest = slowest.max(together_after.unwrap_or_default());
        let together = together_after.map_or("never together".into(), |after| format!("together after {after} ms"));
        let busy = if is_too_busy { "too busy to tell".into() } else { format!("busy for {busy} ms") };
        println!("seed {seed}: {theme:?}, {heard} messages, {together}, {busy}, {} faults", faults.len());
        if !faults.is_empty() {
            let _ = writeln!(broken, "CLUSTER_TEST_SEED={seed} ({theme:?}), see {}:", folder.display());
            broken.extend(faults.iter().take(10).map(|fault| format!("  {fault}\n")));
        }
    }
    println!("{count} histories, {messages} messages heard; the slowest came together after {slowest} ms");
    println!("of {too_busy} of them the machine was too busy to tell");
    assert!(broken.is_empty(), "{broken}");
    assert!(too_busy * MOST_TOO_BUSY <= count, "the machine was too busy to tell of {too_busy} of {count}");
}

/// People who do little else than talk, and take their places up by one relay after the other: as many messages as
/// `CLUSTER_TEST_MESSAGES` says go through doors.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "for minutes, and on a machine of its own: scripts/cluster-test"]
async fn messages_through_doors_arrive_once_and_in_order() {
    let goal = number("CLUSTER_TEST_MESSAGES").unwrap_or(MESSAGES) as usize;
    let first = number("CLUSTER_TEST_SEED").unwrap_or_else(|| getrandom::u64().unwrap() % 1_000_000_000);
    let (mut through_doors, mut seed) = (0, first);
    while through_doors < goal {
        let plan = Plan { theme: Theme::Nothing, resumes: vec![true; PEOPLE], steps: Vec::new() };
        let logs = tempfile::tempdir().unwrap();
        let world = Arc::new(World::new(RELAYS, PEOPLE));
        let relays = Relays::start(Arc::clone(&world), logs.path()).await;
        let most = (goal - through_doors).min(MESSAGES_A_TIME);
        let history = play(seed, &plan, Arc::clone(&world), relays, Some(most)).await;
        let faults = check(&history);
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("messages-{seed}"));
        if !faults.is_empty() {
            write_down(&folder, logs.path(), &plan, &world, &history, &faults);
        }
        through_doors += history.heard_through_doors();
        println!("seed {seed}: {through_doors} messages through doors, {} faults", faults.len());
        assert!(faults.is_empty(), "CLUSTER_TEST_SEED={seed}, see {}: {:?}", folder.display(), faults.first());
        seed += 1;
    }
}

/// Has everybody talk until about so many messages were heard.
async fn talk(seed: u64, world: &World, people: &[mpsc::UnboundedSender<Command>], most: usize) {
    let mut dice = Dice(seed | 1);
    // How many commands each was given.
    let mut told = vec![0; people.len()];
    let tell = |told: &mut [usize], person: usize, command| {
        told[person] += 1;
        let _ = people[person].send(command);
    };
    // They have done what they were told, and have heard what the relays have to say about that: nobody says more meanwhile.
    let is_quiet = |told: &[usize]| {
        let board = world.board.lock().unwrap();
        let is_quiet = |(status, told): (&Status, &usize)| {
            status.room.is_some() && status.unanswered == 0 && status.obeyed == *told
        };
        board.iter().zip(told).all(is_quiet)
    };
    for number in 0..people.len() {
        let room = ROOMS[number % 2].to_owned();
        tell(&mut told, number, Command::Join { room, by_url: false });
    }
    eventually(|| is_quiet(&told)).await;
    let mut said = 0;
    while said < most {
        for number in 0..people.len() {
            let (to_one, bytes) = (dice.below(2) == 0, dice.below(300) as usize);
            tell(&mut told, number, Command::Say { count: BURST, bytes, to_one });
            // Half of them to all three others.
            said += if to_one { BURST } else { BURST * (PEOPLE / 2 - 1) };
            match dice.below(20) {
                0 => tell(&mut told, number, Command::Drop { is_reset: dice.below(2) == 0, after: dice.below(50) }),
                1 => tell(&mut told, number, Command::Elsewhere),
                _ => {}
            }
        }
        eventually(|| is_quiet(&told)).await;
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|number| number.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// Runs one history, and checks it.
async fn run(seed: u64) -> Outcome {
    let plan = Plan::new(seed);
    let logs = tempfile::tempdir().unwrap();
    let world = Arc::new(World::new(RELAYS, PEOPLE));
    let relays = Relays::start(Arc::clone(&world), logs.path()).await;
    let history = play(seed, &plan, Arc::clone(&world), relays, None).await;
    let faults = check(&history);
    let together_after = history.finale.as_ref().and_then(|finale| finale.together_after);
    let messages = history.lives.iter().flat_map(|life| &life.heard).filter(|heard| heard.message["type"] == "message");
    let messages = messages.count();
    let busy = history.faults.iter().filter(|fault| fault.broken == Broken::Machine);
    let busy = busy.map(|fault| fault.until - fault.from).sum();
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("history-{seed}"));
    if !faults.is_empty() {
        write_down(&folder, logs.path(), &plan, &world, &history, &faults);
    }
    let is_too_busy = is_too_busy(&history);
    Outcome { seed, theme: plan.theme, messages, together_after, busy, is_too_busy, faults, folder }
}

/// Carries out the plan, or has everybody talk until so many messages were heard, mends everything, and looks at what is there then.
async fn play(seed: u64, plan: &Plan, world: Arc<World>, mut relays: Relays, messages: Option<usize>) -> History {
    let stalls = Arc::new(Mutex::new(Vec::new()));
    let watching = tokio::spawn(watch_machine(Arc::clone(&world), relays.pids(), Arc::clone(&stalls)));
    let (mut people, mut living) = (Vec::new(), Vec::new());
    for (number, resumes) in plan.resumes.iter().enumerate() {
        let (commands, told) = mpsc::unbounded_channel();
        let chance = seed.wrapping_mul(1_000_003).wrapping_add(number as u64 * 7_919);
        living.push(tokio::spawn(Person::live(number, *resumes, chance, Arc::clone(&world), told)));
        people.push(commands);
    }
    let begun = Instant::now();
    for (at, step) in &plan.steps {
        sleep_until(begun + Duration::from_millis(*at)).await;
        match step {
            Step::Person(person, command) => drop(people[*person].send(command.clone())),
            Step::Break(action) => relays.act(*action).await,
        }
    }
    match messages {
        Some(most) => talk(seed, &world, &people, most).await,
        None => sleep_until(begun + Duration::from_millis(ACTIVE)).await,
    }
    let finale = bring_to_an_end(plan, &world, &mut relays, &stalls, &people).await;
    let tell_all = |command: &Command| people.iter().for_each(|person| drop(person.send(command.clone())));
    tell_all(&Command::End);
    let (mut lives, mut connections) = (Vec::new(), Vec::new());
    for person in living {
        match person.await {
            Ok((more, connection)) => {
                lives.extend(more);
                // Nobody is to see that others go.
                connections.push(connection);
            }
            Err(error) => world.complain(format!("a person: {error}")),
        }
    }
    let (mut faults, processes) = (relays.faults(), relays.processes());
    drop(connections);
    relays.end().await;
    watching.abort();
    faults.extend(stalls.lock().unwrap().iter().copied());
    let taken = |list: &Mutex<Vec<String>>| list.lock().unwrap().clone();
    History {
        capacity: CAPACITY,
        hold: HOLD,
        lives,
        tries: world.tries.lock().unwrap().clone(),
        faults,
        processes,
        losses: world.losses.lock().unwrap().clone(),
        refusals: world.refusals.lock().unwrap().clone(),
        ghosts: world.ghosts.lock().unwrap().clone(),
        complaints: taken(&world.complaints),
        finale: Some(finale),
    }
}

/// Mends everything, brings all into rooms, and looks around when they are there.
async fn bring_to_an_end(
    plan: &Plan,
    world: &World,
    relays: &mut Relays,
    stalls: &Mutex<Vec<Fault>>,
    people: &[mpsc::UnboundedSender<Command>],
) -> Finale {
    relays.mend_all().await;
    let forgot = plan
        .steps
        .iter()
        .any(|(_, step)| matches!(step, Step::Break(Action::StartRedis | Action::KillRedis | Action::DeleteKeys)));
    world.note("---- everything is mended".into());
    // Whoever is or wants to be in one of the rooms stays there, the others go where least are.
    let mut wanted: BTreeMap<&str, usize> = ROOMS.iter().map(|room| (*room, 0)).collect();
    let board = world.board.lock().unwrap().clone();
    let mut homeless = Vec::new();
    let settle = |person: usize, room: &str| drop(people[person].send(Command::Settle { room: room.to_owned() }));
    for (person, status) in board.iter().enumerate() {
        match status.goal.as_deref().and_then(|goal| wanted.get_mut(goal)) {
            Some(count) if *count + 1 < CAPACITY => {
                *count += 1;
                settle(person, status.goal.as_deref().unwrap_or_default());
            }
            _ => homeless.push(person),
        }
    }
    for person in homeless {
        let (room, count) = wanted.iter_mut().min_by_key(|(_, count)| **count).unwrap();
        *count += 1;
        settle(person, room);
    }
    let mut has_waited = false;
    let mut finale = Finale::default();
    let mended = world.now();
    while finale.together_after.is_none() {
        let board = world.board.lock().unwrap().clone();
        has_waited |= board.iter().any(|status| status.is_waiting);
        finale.allowed = allowed(forgot, has_waited);
        // A machine that stands still is a fault like others.
        let stalled = stalls.lock().unwrap().last().map_or(0, |stall: &Fault| stall.until);
        let (now, since) = (world.now(), mended.max(stalled));
        let Some(why) = why_not_together(&board) else {
            finale.together_after = Some(now - since);
            break;
        };
        finale.why_not = why;
        // What comes later than it may is told so.
        if now > since + 2 * finale.allowed {
            break;
        }
        if now > mended + PATIENCE {
            finale.is_too_busy = true;
            break;
        }
        sleep(Duration::from_millis(50)).await;
    }
    // What all have said has arrived when everybody has had two answers: one after the other, each after what came before.
    let tell_all = |command: &Command| people.iter().for_each(|person| drop(person.send(command.clone())));
    tell_all(&Command::Say { count: 3, bytes: 10, to_one: false });
    for _ in 0..2 {
        tell_all(&Command::Probe);
        sleep(Duration::from_millis(100)).await;
        eventually(|| world.board.lock().unwrap().iter().all(|status| status.unanswered == 0)).await;
    }
    // Places of clients that were lost before they heard that they are in are held for a while, and so are those of connections
    // that somebody left open elsewhere, from their ends on. A relay whose room another one opened when somebody had deleted its
    // key finds out when it asserts its rooms.
    let (begun, mut quiet_since) = (world.now(), world.now());
    loop {
        finale.relays = relays.seen().await;
        finale.directory.clear();
        let board = world.board.lock().unwrap().clone();
        for status in &board {
            if let Some(room) = &status.room {
                let process = relays.process_of(room).await;
                finale.directory.insert(room.clone(), process);
            }
        }
        let is_there = |seen: &Seen| seen.held_places == 0 && seen.is_registered;
        let is_away = |status: &Status| status.view.others.values().any(|is_away| *is_away);
        let has_parted = board.iter().all(|status| status.partings == 0);
        let is_quiet = has_parted && why_not_together(&board).is_none() && !board.iter().any(is_away);
        let has = |room: &String, process: &Option<String>| {
            finale.relays.iter().any(|seen| seen.process == *process && seen.rooms.contains_key(room))
        };
        if !has_parted {
            quiet_since = world.now();
        }
        let is_told = finale.directory.iter().all(|(room, process)| has(room, process));
        let (now, stalled) = (world.now(), stalls.lock().unwrap().last().map_or(0, |stall: &Fault| stall.until));
        // Whoever has just begun to move again has not heard everything yet.
        let last_long =
            |stalls: &[Fault]| stalls.iter().rfind(|stall| stall.until - stall.from > 1_000).map(|stall| stall.until);
        let has_stood_still = last_long(&stalls.lock().unwrap()).is_some_and(|until| until + 1_000 > now);
        if is_quiet && is_told && !has_stood_still && finale.relays.iter().all(is_there) {
            break;
        }
        if now > quiet_since.max(stalled) + HOLD + 3_000 {
            break;
        }
        if now > begun + PATIENCE {
            finale.is_too_busy = true;
            break;
        }
        sleep(Duration::from_millis(300)).await;
    }
    world.note("---- the end".into());
    finale
}

/// How long it may take until all are together. Whoever waits at a locked room whose last member is away, waits until the place
/// of that one is not held any more.
fn allowed(has_forgotten: bool, has_waited: bool) -> Ms {
    TOGETHER + PAUSES + if has_forgotten { REGISTERED } else { 0 } + if has_waited { HOLD + PAUSES } else { 0 }
}

#[test]
fn who_waits_at_a_locked_room_may_wait_until_the_place_of_its_host_is_not_held_any_more() {
    assert_eq!(allowed(false, false), 12_000);
    assert_eq!(allowed(true, false), 17_000);
    assert!(allowed(false, true) >= allowed(false, false) + HOLD);
}

async fn eventually(is_it: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(5);
    while !is_it() && Instant::now() < until {
        sleep(Duration::from_millis(20)).await;
    }
}

/// Why not all are where they want to be, and with all who want to be there; none if they are.
fn why_not_together(board: &[Status]) -> Option<String> {
    for (person, status) in board.iter().enumerate() {
        if status.room.is_none() || status.room != status.goal {
            return Some(format!("person {person} is in {:?} and wants to be in {:?}", status.room, status.goal));
        }
        let others = board.iter().filter(|other| other.room == status.room && other.id != status.id);
        let others: Vec<_> = others.map(|other| other.id.as_str()).collect();
        let seen: Vec<_> =
            status.view.others.iter().filter(|(_, is_away)| !**is_away).map(|(id, _)| id.as_str()).collect();
        if let Some(missing) = others.iter().find(|id| !seen.contains(id)) {
            return Some(format!("person {person} as {} does not see {missing} in {:?}", status.id, status.room));
        }
        if let Some(ghost) = seen.iter().find(|id| !others.contains(id)) {
            return Some(format!(
                "person {person} as {} sees {ghost} in {:?}, who is not there",
                status.id, status.room
            ));
        }
    }
    None
}

/// Writes down what happened.
fn write_down(folder: &Path, logs: &Path, plan: &Plan, world: &World, history: &History, faults: &[String]) {
    let _ = std::fs::remove_dir_all(folder);
    std::fs::create_dir_all(folder).unwrap();
    for log in std::fs::read_dir(logs).unwrap().flatten() {
        let _ = std::fs::copy(log.path(), folder.join(log.file_name()));
    }
    let mut text = format!("{:?}\n", plan.theme);
    text.extend(faults.iter().map(|fault| format!("{fault}\n")));
    let _ = writeln!(text, "\n{:?}\n{:?}\n", history.processes, history.finale);
    text.extend(history.faults.iter().map(|fault| format!("{fault:?}\n")));
    let mut lines = world.diary.lock().unwrap().clone();
    for life in &history.lives {
        for heard in &life.heard {
            let mut line = heard.message.to_string();
            line.truncate(line.char_indices().nth(300).map_or(line.len(), |(end, _)| end));
            lines.push((heard.at, format!("person {} {} hears {line}", life.person, life.id)));
        }
        for said in &life.said {
            let text: String = said.text.chars().take(120).collect();
            lines.push((said.at, format!("person {} {} says {text}", life.person, life.id)));
        }
    }
    lines.sort_by_key(|(at, _)| *at);
    text.extend(lines.iter().map(|(at, line)| format!("{at:>6} {line}\n")));
    std::fs::write(folder.join("history.txt"), text).unwrap();
}
