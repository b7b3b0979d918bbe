//! What people do in a history and what breaks meanwhile: chance, which is the same for the same seed.

use super::person::Command;
use super::record::Ms;
use super::relays::{Action, RELAYS};
use super::wire::Mode;
use crate::harness::Dice;

/// How many people there are.
pub(super) const PEOPLE: usize = 8;
/// How long they do what they like.
pub(super) const ACTIVE: Ms = 20_000;
/// When people begin to do what they like: a Redis that has just been started makes relays cautious for three seconds.
const FIRST_STEP: Ms = 3_000;
/// When the first thing may break. What goes wrong before has no excuse.
const FIRST_FAULT: Ms = 6_000;
/// How long before the end a relay falls asleep that wakes when all is mended, and for how long it sleeps: longer than it takes
/// others to take its rooms, and not as long as places are held.
const LAST_SLEEP: (Ms, Ms) = (7_000, 6_500);
/// The rooms where they are.
pub(super) const ROOMS: [&str; 3] = ["red", "green", "blue"];

/// What happens at one time.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Person(usize, Command),
    Break(Action),
}

/// What may break in a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Theme {
    Nothing,
    Redis,
    Relays,
    Wires,
    Everything,
}

#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) theme: Theme,
    /// Whether each person asks for a place that it can take up again.
    pub(super) resumes: Vec<bool>,
    /// In the order in which they happen.
    pub(super) steps: Vec<(Ms, Step)>,
}

impl Plan {
    pub(super) fn new(seed: u64) -> Self {
        // Neighbouring seeds begin alike.
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        for _ in 0..8 {
            dice.below(2);
        }
        let theme = match dice.below(10) {
            0 => Theme::Nothing,
            1 | 2 => Theme::Redis,
            3..=5 => Theme::Relays,
            6 => Theme::Wires,
            _ => Theme::Everything,
        };
        let resumes = (0..PEOPLE).map(|_| dice.below(3) > 0).collect();
        let mut plan = Self { theme, resumes, steps: Vec::new() };
        for person in 0..PEOPLE {
            plan.add_person(person, &mut dice);
        }
        plan.add_rushes(&mut dice);
        plan.add_faults(&mut dice);
        plan.steps.sort_by_key(|(at, _)| *at);
        plan
    }

    fn add(&mut self, at: Ms, person: usize, command: Command) {
        self.steps.push((at, Step::Person(person, command)));
    }

    fn add_person(&mut self, person: usize, dice: &mut Dice) {
        self.add(0, person, join(dice));
        let mut at = FIRST_STEP + dice.below(500);
        while at < ACTIVE {
            let command = match dice.below(33) {
                0..=12 => {
                    let bytes = if dice.below(8) == 0 { 8_000 } else { dice.below(200) as usize };
                    Command::Say { count: 1 + dice.below(6) as usize, bytes, to_one: dice.below(2) == 0 }
                }
                13..=16 => join(dice),
                17 => Command::Leave,
                18..=20 => Command::Goodbye { count: 1 + dice.below(5) as usize },
                21..=23 => Command::Drop { is_reset: dice.below(2) == 0, after: dice.below(5_000) },
                24..=26 => Command::Elsewhere,
                27 => Command::Kick,
                28 => Command::Lock { is_locked: dice.below(3) > 0 },
                29 | 30 => Command::Answer { admits: dice.below(3) > 0 },
                31 => Command::Lock { is_locked: false },
                _ => Command::MakeHost,
            };
            // Whoever has gone comes again.
            if matches!(command, Command::Leave | Command::Goodbye { .. }) {
                self.add(at + 500 + dice.below(1_500), person, join(dice));
            }
            self.add(at, person, command);
            at += 50 + dice.below(900);
        }
    }

    /// Several come to a room that nobody has had, at the same moment and by different relays.
    fn add_rushes(&mut self, dice: &mut Dice) {
        for rush in 0..3 {
            let at = match rush {
                // The first ones come while all is well.
                0 => FIRST_FAULT - 1_000 - dice.below(500),
                _ => FIRST_FAULT + dice.below(ACTIVE - FIRST_FAULT - 3_000),
            };
            for person in (0..PEOPLE).filter(|_| dice.below(2) == 0).collect::<Vec<_>>() {
                // At that moment, they have a connection and are in no room.
                self.steps.retain(|(when, step)| {
                    !matches!(step, Step::Person(other, _) if *other == person && (at - 600..at + 1_500).contains(when))
                });
                self.add(at - 600, person, Command::Leave);
                self.add(at, person, Command::Rush { room: format!("rush{rush}") });
                self.add(at + 2_500, person, join(dice));
            }
        }
    }

    /// A relay sleeps until shortly before the end. Some of those who are away then come back when it is awake again, and do
    /// nothing else: they find out whether it still has their places in rooms that others have by then.
    fn add_last_sleep(&mut self, dice: &mut Dice) {
        let (before_end, length) = LAST_SLEEP;
        let (at, relay) = (ACTIVE - before_end, relay(dice));
        for person in 0..PEOPLE {
            self.steps.retain(
                |(when, step)| !matches!(step, Step::Person(other, _) if *other == person && *when + 400 >= at),
            );
            if person % 2 == 0 {
                let after = 400 + length + 700 + dice.below(1_500);
                self.add(at - 400, person, Command::Drop { is_reset: false, after });
            } else {
                let room = ROOMS[person / 2 % ROOMS.len()].to_owned();
                self.add(at + 800 + dice.below(500), person, Command::Join { room, by_url: false });
            }
        }
        self.steps.retain(|(when, step)| !matches!(step, Step::Break(_)) || *when + 3_000 < at);
        self.steps.push((at, Step::Break(Action::Stop(relay))));
        self.steps.push((at + length, Step::Break(Action::Continue(relay))));
    }

    fn add_faults(&mut self, dice: &mut Dice) {
        let faults = match self.theme {
            Theme::Nothing => 0,
            Theme::Everything => 3 + dice.below(3),
            _ => 1 + dice.below(4),
        };
        for _ in 0..faults {
            let at = FIRST_FAULT + dice.below(ACTIVE - FIRST_FAULT - 2_000);
            let (begin, end) = match self.theme {
                Theme::Nothing => continue,
                Theme::Redis => redis_fault(dice),
                Theme::Relays => relay_fault(dice),
                Theme::Wires => wire_fault(dice),
                Theme::Everything => match dice.below(8) {
                    0 | 1 => redis_fault(dice),
                    2..=4 => relay_fault(dice),
                    5 | 6 => wire_fault(dice),
                    _ => (Action::DeleteKeys, None),
                },
            };
            let length = if dice.below(3) == 0 { 200 + dice.below(2_500) } else { 3_000 + dice.below(5_000) };
            if matches!(begin, Action::Stop(_)) && dice.below(3) > 0 {
                // Some are away when their relay is stopped, and come back when it has gone on.
                for _ in 0..3 {
                    let after = 400 + length + dice.below(1_500);
                    self.add(at - 400, dice.below(PEOPLE as u64) as usize, Command::Drop { is_reset: false, after });
                }
            }
            self.steps.push((at, Step::Break(begin)));
            self.steps.extend(end.map(|end| (at + length, Step::Break(end))));
        }
        if self.theme == Theme::Relays && dice.below(2) == 0 {
            self.add_last_sleep(dice);
        }
        // What is still broken then is mended anyway.
        self.steps.retain(|(at, _)| *at <= ACTIVE);
    }
}

fn join(dice: &mut Dice) -> Command {
    let room = ROOMS[dice.below(ROOMS.len() as u64) as usize].to_owned();
    Command::Join { room, by_url: dice.below(3) == 0 }
}

fn relay(dice: &mut Dice) -> usize {
    dice.below(RELAYS as u64) as usize
}

fn redis_fault(dice: &mut Dice) -> (Action, Option<Action>) {
    let relay = relay(dice);
    match dice.below(7) {
        0 | 1 => (Action::KillRedis, Some(Action::StartRedis)),
        2 => (Action::PauseRedis(500 + dice.below(5_000)), None),
        3 => (Action::KillClients, None),
        4 => (Action::Swallow(relay), None),
        _ => {
            let mode = [Mode::Held, Mode::HeldThere, Mode::HeldBack, Mode::Refused][dice.below(4) as usize];
            (Action::RedisWire(relay, mode), Some(Action::RedisWire(relay, Mode::Open)))
        }
    }
}

fn relay_fault(dice: &mut Dice) -> (Action, Option<Action>) {
    let relay = relay(dice);
    match dice.below(4) {
        0 => (Action::Kill(relay), Some(Action::Start(relay))),
        1 => (Action::Terminate(relay), Some(Action::Start(relay))),
        _ => (Action::Stop(relay), Some(Action::Continue(relay))),
    }
}

fn wire_fault(dice: &mut Dice) -> (Action, Option<Action>) {
    let from = relay(dice);
    let to = (from + 1 + dice.below(RELAYS as u64 - 1) as usize) % RELAYS;
    let mode = [Mode::Held, Mode::HeldThere, Mode::HeldBack, Mode::Refused][dice.below(4) as usize];
    (Action::Wire(from, to, mode), Some(Action::Wire(from, to, Mode::Open)))
}

#[test]
fn a_seed_always_makes_the_same_plan_and_another_one_another() {
    let plan = |seed| format!("{:?}", Plan::new(seed));
    assert_eq!(plan(1), plan(1));
    assert_ne!(plan(1), plan(2));
    let themes: std::collections::HashSet<_> = (0..50).map(|seed| format!("{:?}", Plan::new(seed).theme)).collect();
    assert_eq!(themes.len(), 5);
}
