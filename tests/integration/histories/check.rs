//! Says which promises a history breaks.
//!
//! A checker must not cry wolf. While something is broken, two rooms may have one name, connections may end, and who is busy
//! looks dead; so what may be missing is only what a fault explains, and what counts is how it is when everything is mended.
//! What no fault explains: a message that is lost although its sender was told of no error and its receiver heard what came
//! after, one that comes twice, in the wrong order or from a stranger, somebody who leaves without having come.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde_json::Value;

use super::record::{
    Broken, End, Fault, Finale, Ghost, History, Life, Ms, Parting, Refusal, Said, View, Way, What, Why, text,
};

/// How long after a fault was mended its consequences may show: a relay sees within five seconds that it was given up, and
/// takes up to five more to tell everybody.
const GRACE: Ms = 12_000;
/// The same for a machine that was too busy: whoever looked dead for a moment is found out sooner.
const BUSY_GRACE: Ms = 6_000;
/// How long a room may take to hear that somebody is gone whose relay died: five seconds, and what a busy machine adds.
const FAREWELL: Ms = 8_000;

/// For how long two may be in different rooms of one name without that being told: what they hear of their ends comes late.
const TWO_ROOMS: Ms = 500;
/// After so many rooms elsewhere on one connection, a relay hands nobody on.
const HOPS: usize = 4;
/// Until then relays are cautious, since Redis has just been started.
const BEGINNING: Ms = 5_000;

/// How long it may take a relay that stood still, or a wire that was cut, to deal with what has waited there.
const LATE: Ms = 2_000;

/// The errors that somebody in a room may hear.
const ERRORS: [&str; 7] =
    ["peer_not_found", "peer_busy", "not_host", "unknown_type", "kicked", "room_full", "unavailable"];

/// What the history breaks.
pub(super) fn check(history: &History) -> Vec<String> {
    Checker::new(history).check()
}

/// Whether the machine was too busy to tell: how it ended, or what happened for half of the time.
pub(super) fn is_too_busy(history: &History) -> bool {
    let end = history.lives.iter().flat_map(|life| &life.heard).map(|heard| heard.at).max().unwrap_or_default();
    let busy = history.faults.iter().filter(|fault| fault.broken == Broken::Machine);
    let mut busy: Vec<_> = busy.map(|fault| (fault.from, (fault.until + BUSY_GRACE).min(end))).collect();
    busy.sort_unstable();
    let (mut excused, mut counted) = (0, 0);
    for (from, until) in busy {
        excused += until.saturating_sub(from.max(counted));
        counted = counted.max(until);
    }
    history.finale.as_ref().is_some_and(|finale| finale.is_too_busy) || 2 * excused > end
}

struct Checker<'a> {
    history: &'a History,
    /// On which relay the room of each life was, as far as somebody there knew.
    owners: HashMap<&'a str, usize>,
    faults: Vec<String>,
}

/// What one life was told by another.
#[derive(Default)]
struct Story {
    /// The numbers of the messages, as they came.
    numbers: Vec<u64>,
    has_left: bool,
}

impl<'a> Checker<'a> {
    fn new(history: &'a History) -> Self {
        let mut owners = HashMap::new();
        for life in &history.lives {
            let Some(owner) = life.process().and_then(|process| history.processes.get(process)) else { continue };
            owners.insert(life.id.as_str(), *owner);
            // Whoever it has seen there, was there.
            for id in seen_by(life) {
                owners.insert(id, *owner);
            }
        }
        Self { history, owners, faults: history.complaints.clone() }
    }

    fn check(mut self) -> Vec<String> {
        for life in &self.history.lives {
            self.check_presence(life);
            self.check_errors(life);
            self.check_ways(life);
            self.check_end(life);
            self.check_farewells(life);
        }
        for sender in &self.history.lives {
            self.check_messages(sender);
        }
        self.check_names();
        self.check_losses();
        self.check_refusals();
        for ghost in &self.history.ghosts {
            self.check_ghost(ghost);
        }
        match &self.history.finale {
            // Nobody could tell who is alive.
            Some(finale) if finale.is_too_busy => {}
            Some(finale) => self.check_finale(finale),
            None => self.faults.push("the history was not brought to an end".into()),
        }
        self.faults
    }

    fn fault(&mut self, life: &Life, what: &str) {
        let Life { person, id, room, .. } = life;
        self.faults.push(format!("person {person} as {id} in {room}: {what}"));
    }

    /// Others come before they go, are away before they are back, and are as many as the room takes.
    fn check_presence(&mut self, life: &Life) {
        let Some((joined, rest)) = life.heard.split_first() else { return self.fault(life, "has heard nothing") };
        let mut view = View::new(&joined.message);
        let mut left = HashSet::new();
        for heard in rest {
            let (message, at) = (&heard.message, heard.at);
            if let Err(error) = view.apply(message) {
                self.fault(life, &format!("{at}: {error}"));
            }
            let id = text(&message["id"]);
            match text(&message["type"]) {
                "peer_left" => {
                    left.insert(id.to_owned());
                    if message["reason"] == "kicked" && !self.is_kicked(id) {
                        self.fault(life, &format!("{at}: {id} was kicked by nobody"));
                    }
                }
                "peer_joined" if left.contains(id) => self.fault(life, &format!("{at}: {id} comes twice")),
                _ => {}
            }
            if view.others.contains_key(&life.id) {
                self.fault(life, &format!("{at}: it is another one to itself: {message}"));
            }
            if view.others.len() >= self.history.capacity {
                self.fault(
                    life,
                    &format!("{at}: with {} others in a room of {}", view.others.len(), self.history.capacity),
                );
            }
        }
        for id in seen_by(life) {
            if self.history.tries.get(id) != Some(&life.room) {
                self.fault(life, &format!("{id} never wanted to be there"));
            }
        }
    }

    /// Nobody is told that it did what nobody did.
    fn check_errors(&mut self, life: &Life) {
        let mut is_out = false;
        for heard in life.heard.iter().filter(|heard| heard.message["type"] == "error") {
            let code = text(&heard.message["code"]);
            // What was on its way when its sender was thrown out, or its room went elsewhere, comes from somebody who is in no room.
            is_out |= code == "kicked";
            is_out |= life.end.is_some_and(|end| end.why == Why::Moved);
            let is_deserved = ERRORS.contains(&code) || (is_out && code == "not_joined");
            if !is_deserved {
                self.fault(life, &format!("{}: it is told {}", heard.at, heard.message));
            }
        }
    }

    fn is_kicked(&self, id: &str) -> bool {
        let is_it = |said: &Said| matches!(&said.what, What::Kick { to } if to == id);
        self.history.lives.iter().any(|life| life.said.iter().any(is_it))
    }

    /// A connection ends for a reason.
    fn check_ways(&mut self, life: &Life) {
        let heard_goaway = life.heard.iter().any(|heard| heard.message["type"] == "goaway");
        for Way { door, is_straight, until, .. } in &life.ways {
            let Some((at, parting)) = *until else { continue };
            let owner = self.owners.get(life.id.as_str()).copied();
            let by = is_straight.then_some(*door);
            let (is_fine, what) = match parting {
                Parting::Own => continue,
                Parting::Closed(1008) if life.end.is_some_and(|end| end.why == Why::Kicked) => {
                    (self.is_kicked(&life.id), "kicked by nobody".to_owned())
                }
                Parting::Closed(1001 | 1012) if !heard_goaway => (false, "closed without goaway before".to_owned()),
                Parting::Closed(code @ (1001 | 1012)) => {
                    (self.may_move(owner, at, at), format!("closed with {code} although its room and Redis were well"))
                }
                Parting::Closed(code @ 1013) => {
                    (self.may_be_cut(by, owner, at, at), format!("closed with {code} although all were well"))
                }
                // By a connection of its own that it had given up before that was heard of.
                Parting::Closed(4001) => (
                    life.given_up.iter().any(|(since, asked)| self.may_arrive_late(*since, *asked, owner, at)),
                    "closed with 4001 although nobody else has its place".to_owned(),
                ),
                Parting::Closed(code) => (false, format!("closed with {code}")),
                Parting::Cut => (self.may_be_cut(by, owner, at, at), "cut although both relays were well".to_owned()),
            };
            if !is_fine {
                self.fault(life, &format!("{at}: by relay {by:?}, its room on {owner:?}: {what}"));
            }
        }
    }

    fn check_end(&mut self, life: &Life) {
        let Some(End { at, why }) = life.end else { return };
        let Some(last) = life.ways.last() else { return };
        let owner = self.owners.get(life.id.as_str()).copied();
        match why {
            Why::Goodbye(Some(1000)) => {}
            Why::Goodbye(Some(1008)) if self.is_kicked(&life.id) => {}
            Why::Goodbye(answer) => {
                if !self.may_be_cut(last.is_straight.then_some(last.door), owner, at, at)
                    && !self.may_move(owner, at, at)
                {
                    self.fault(life, &format!("{at}: by relay {}: goodbye was answered by {answer:?}", last.door));
                }
            }
            Why::Refused => {
                let lost = last.until.map_or(at, |(lost, _)| lost);
                let is_late = at.saturating_sub(lost) + 500 >= self.history.hold;
                // Perhaps it left, and did not hear that this was done.
                let has_left = life.said.iter().any(|said| said.what == What::Leave);
                if !is_late && !has_left && !self.may_move(owner, lost, at) && !self.is_kicked(&life.id) {
                    let relay = last.door;
                    self.fault(life, &format!("{at}: by relay {relay} last, its room on {owner:?}: its place is gone"));
                }
            }
            Why::Left | Why::Kicked | Why::Moved | Why::Lost | Why::GaveUp => {}
        }
    }

    /// Whose relay dies is gone for the others within seconds.
    fn check_farewells(&mut self, life: &Life) {
        let Some(End { at, why: Why::Lost }) = life.end else { return };
        let Some(owner) = self.owners.get(life.id.as_str()).copied() else { return };
        for other in &self.history.lives {
            let Some(door) = other.door_during(at, at + FAREWELL) else { continue };
            let has_seen = seen_by(other).contains(life.id.as_str());
            if !has_seen || self.has_trouble(&[door, owner], at, at + FAREWELL) {
                continue;
            }
            let leaves = |message: &Value| message["type"] == "peer_left" && message["id"] == life.id.as_str();
            if !other.heard.iter().any(|heard| leaves(&heard.message) && heard.at <= at + FAREWELL) {
                self.fault(other, &format!("{} was cut at {at}, and has not left {FAREWELL} ms later", life.id));
            }
        }
    }

    /// Whether a relay of these, or what is between any of them and anybody, was broken then.
    fn has_trouble(&self, relays: &[usize], from: Ms, until: Ms) -> bool {
        self.history.faults.iter().any(|fault| {
            let is_of_them = match fault.broken {
                Broken::Relay(relay) => relays.contains(&relay),
                Broken::Wire(one, other) => relays.contains(&one) || relays.contains(&other),
                Broken::Machine => true,
                _ => false,
            };
            is_of_them && is_felt(fault, from, until)
        })
    }

    /// Whether a connection by the relay `door` to a room on the relay `owner` may have been cut in that time. Where one of both
    /// is not known, it may be any.
    fn may_be_cut(&self, door: Option<usize>, owner: Option<usize>, from: Ms, until: Ms) -> bool {
        let is_on_its_way = |relay| match (door, owner) {
            (Some(door), Some(owner)) => relay == door || relay == owner,
            _ => true,
        };
        self.history.faults.iter().any(|fault| {
            let concerns_it = match fault.broken {
                Broken::Relay(relay) => is_on_its_way(relay),
                Broken::Wire(one, other) => is_on_its_way(one) && is_on_its_way(other),
                Broken::Machine => true,
                _ => false,
            };
            concerns_it && is_felt(fault, from, until)
        })
    }

    /// Whether what was said at the relay `asked`, on a connection that was given up at `since`, may have come to the relay
    /// `owner` as late as `at`: what lies behind that door, or the owner, stood still then. If the door itself did, it finds
    /// that nobody waits there any more.
    fn may_arrive_late(&self, since: Ms, asked: usize, owner: Option<usize>, at: Ms) -> bool {
        self.history.faults.iter().any(|fault| {
            let holds_it = match fault.broken {
                Broken::Relay(relay) => owner.is_none_or(|owner| owner == relay),
                Broken::Wire(from, to) => from == asked && owner.is_none_or(|owner| owner == to),
                Broken::Machine => true,
                _ => false,
            };
            holds_it && fault.from <= at && fault.until >= since && fault.until + LATE >= at
        })
    }

    /// Whether a room on the relay `owner` may have been let go of in that time.
    fn may_move(&self, owner: Option<usize>, from: Ms, until: Ms) -> bool {
        let felt = |broken: &dyn Fn(Broken) -> bool| {
            self.history.faults.iter().any(|fault| broken(fault.broken) && is_felt(fault, from, until))
        };
        let is_owner = |relay| owner.is_none_or(|owner| owner == relay);
        let is_relay = felt(&|broken| match broken {
            Broken::Relay(relay) => is_owner(relay),
            Broken::Machine | Broken::Keys => true,
            _ => false,
        });
        // A relay that does not reach Redis cannot say what it has: who does not reach it either takes it for dead, and what
        // Redis has lost is free.
        let is_cut_off = felt(&|broken| matches!(broken, Broken::RedisWire(relay) if is_owner(relay)));
        let is_taken_for_dead =
            felt(&|broken| matches!(broken, Broken::Wire(one, other) if is_owner(one) || is_owner(other)));
        let has_forgotten = felt(&|broken| broken == Broken::Memory);
        is_relay || (is_cut_off && (is_taken_for_dead || has_forgotten))
    }

    /// While all are well, a name is one room.
    fn check_names(&mut self) {
        let known = |life: &&Life| life.process().is_some() && !life.heard.is_empty();
        let mut lives: Vec<_> = self.history.lives.iter().filter(known).collect();
        lives.sort_by_key(|life| life.heard[0].at);
        for (place, life) in lives.iter().enumerate() {
            let is_elsewhere = |other: &&&Life| other.room == life.room && other.process() != life.process();
            for other in lives.iter().take(place).filter(is_elsewhere) {
                let (from, until) = (life.heard[0].at, life.heard[0].at + TWO_ROOMS);
                let stays = |one: &Life| one.end.is_none_or(|end| end.at > until);
                if stays(life) && stays(other) && !self.history.faults.iter().any(|fault| is_felt(fault, from, until)) {
                    let (here, there) = (life.process(), other.process());
                    self.fault(life, &format!("{from}: its room is on {here:?}, and for {} on {there:?}", other.id));
                }
            }
        }
    }

    /// Each message arrives once and in order; or its sender hears why not, or one of both has gone.
    fn check_messages(&mut self, sender: &Life) {
        let mut said: HashMap<u64, &Said> = HashMap::new();
        for one in &sender.said {
            if let What::Message { number, .. } = one.what {
                said.insert(number, one);
            }
        }
        for receiver in &self.history.lives {
            let story = told(receiver, &sender.id);
            if !story.numbers.is_sorted_by(|one, next| one < next) {
                let numbers = story.numbers.iter().zip(story.numbers.iter().skip(1)).find(|(one, next)| one >= next);
                self.fault(receiver, &format!("heard of {} twice or not in order: {numbers:?}", sender.id));
            }
            if !story.numbers.is_empty() && sender.room != receiver.room {
                self.fault(receiver, &format!("heard what {} said in {}", sender.id, sender.room));
            }
            for number in &story.numbers {
                let is_for_it = said.get(number).is_some_and(|said| is_for(said, &receiver.id));
                if !is_for_it {
                    self.fault(receiver, &format!("heard {number} of {}, which was not for it", sender.id));
                }
            }
            for (place, one) in sender.said.iter().enumerate() {
                self.check_arrival(sender, place, one, receiver, &story);
            }
        }
    }

    fn check_arrival(&mut self, sender: &Life, place: usize, said: &Said, receiver: &Life, story: &Story) {
        let What::Message { number, .. } = said.what else { return };
        let is_expected = is_for(said, &receiver.id) && said.present.contains(&receiver.id);
        if !is_expected || story.numbers.contains(&number) || place >= sender.answered {
            return;
        }
        let has_gone_on = receiver.end.is_none() || story.has_left || story.numbers.iter().any(|later| *later > number);
        if has_gone_on && !was_refused(sender, number, &receiver.id) {
            let Said { at, .. } = said;
            let what =
                format!("{number}, said by {} at {at}, is lost: nobody was told, and later ones were heard", sender.id);
            self.fault(receiver, &what);
        }
    }

    fn check_losses(&mut self) {
        for loss in &self.history.losses {
            let is_felt = |fault: &Fault| {
                !matches!(fault.broken, Broken::Redis | Broken::Memory | Broken::RedisWire(_))
                    && is_felt(fault, loss.since, loss.at)
            };
            // Whose relay has let go of a room closes the connections of those who wait there; after four relays a connection
            // ends.
            let is_told = matches!(loss.parting, Parting::Closed(1012 | 1013 | 1008));
            if !is_told && !self.history.faults.iter().any(is_felt) {
                self.faults
                    .push(format!("person {} was cut while joining, although all were well: {loss:?}", loss.person));
            }
        }
    }

    /// A room that is there takes people in whether or not Redis is there; and a new one is opened, if all are well.
    fn check_refusals(&mut self) {
        for refusal in &self.history.refusals {
            let felt = |concerns: &dyn Fn(Broken) -> bool| {
                let mut faults = self.history.faults.iter();
                faults.any(|fault| concerns(fault.broken) && is_felt(fault, refusal.since, refusal.at))
            };
            let is_of_relays =
                |broken| matches!(broken, Broken::Relay(_) | Broken::Wire(..) | Broken::Machine | Broken::Keys);
            if felt(&is_of_relays) || refusal.asked > HOPS || refusal.since < BEGINNING {
                continue;
            }
            let was_there = |life: &Life| {
                let begun = life.heard.first().map_or(Ms::MAX, |joined| joined.at);
                let is_it = refusal.place.as_ref().map_or(life.room == refusal.room, |place| *place == life.id);
                is_it && begun + 1_000 < refusal.since && life.end.is_none_or(|end| end.at > refusal.at + 1_000)
            };
            let is_there = self.history.lives.iter().any(was_there);
            if is_there || !felt(&|_| true) {
                let Refusal { person, room, at, .. } = refusal;
                let what = if is_there { "is there" } else { "could be opened" };
                self.faults
                    .push(format!("person {person}: {at}: {room} is unavailable although it {what}: {refusal:?}"));
            }
        }
    }

    /// A connection whose place another one has is closed with 4001.
    fn check_ghost(&mut self, ghost: &Ghost) {
        let Ghost { id, door, from, until, parting } = ghost;
        let owner = self.owners.get(id.as_str()).copied();
        let is_kicked = *parting == Some(Parting::Closed(1008)) && self.is_kicked(id);
        let is_excused = self.may_be_cut(*door, owner, *from, *until) || self.may_move(owner, *from, *until);
        if *parting != Some(Parting::Closed(4001)) && !is_kicked && !is_excused {
            self.faults.push(format!(
                "{id}: the connection by {door:?} whose place was taken at {from} ended at {until} by {parting:?}"
            ));
        }
    }

    /// Who wants to be in one room is in one, sees the same, and nobody and nothing else is left.
    fn check_finale(&mut self, finale: &Finale) {
        match finale.together_after {
            Some(after) if after <= finale.allowed => {}
            Some(after) => self.faults.push(format!("together only after {after} ms, not {}", finale.allowed)),
            None => self.faults.push(format!("not together after {} ms: {}", finale.allowed, finale.why_not)),
        }
        let mut rooms: BTreeMap<&str, Vec<&Life>> = BTreeMap::new();
        for life in self.history.lives.iter().filter(|life| life.end.is_none()) {
            rooms.entry(&life.room).or_default().push(life);
        }
        for (room, members) in &rooms {
            self.check_final_room(room, members);
            let has_it = |seen: &&super::record::Seen| seen.rooms.contains_key(*room);
            let owners: Vec<_> = finale.relays.iter().filter(has_it).collect();
            let counts: Vec<_> = owners.iter().map(|owner| owner.rooms[*room]).collect();
            if counts != [members.len()] {
                self.faults.push(format!("{room} of {} is on relays with {counts:?} members", members.len()));
            }
            let claim = finale.directory.get(*room).cloned().flatten();
            let is_true = claim.is_some() && owners.iter().all(|owner| owner.process == claim);
            if !is_true {
                self.faults.push(format!("{room} is on {claim:?} in the directory, and on {owners:?}"));
            }
        }
        for (relay, seen) in finale.relays.iter().enumerate() {
            let strange: Vec<_> = seen.rooms.keys().filter(|room| !rooms.contains_key(room.as_str())).collect();
            if !strange.is_empty() || seen.held_places > 0 {
                self.faults.push(format!(
                    "relay {relay} has rooms {strange:?} of nobody, and holds {} places",
                    seen.held_places
                ));
            }
            if seen.process.is_none() || !seen.is_registered {
                self.faults.push(format!("relay {relay} is not among those that live: {seen:?}"));
            }
        }
    }

    fn check_final_room(&mut self, room: &str, members: &[&Life]) {
        let all: BTreeSet<&str> = members.iter().map(|life| life.id.as_str()).collect();
        let mut hosts = BTreeSet::new();
        for life in members {
            let view = life.view();
            let others: BTreeSet<&str> = view.others.keys().map(String::as_str).collect();
            let missing: Vec<_> = all.iter().filter(|id| **id != life.id && !others.contains(**id)).collect();
            let ghosts: Vec<_> = others.difference(&all).collect();
            let away: Vec<_> = view.others.iter().filter(|(_, is_away)| **is_away).map(|(id, _)| id).collect();
            if !(missing.is_empty() && ghosts.is_empty() && away.is_empty()) {
                self.fault(life, &format!("at the end without {missing:?}, with ghosts {ghosts:?}, away {away:?}"));
            }
            hosts.insert(view.host);
        }
        let is_one = hosts.len() == 1 && hosts.iter().all(|host| all.contains(host.as_str()));
        if !is_one {
            self.faults.push(format!("{room} has the hosts {hosts:?} and the members {all:?}"));
        }
    }
}

/// Whether something was broken at some time between `from` and `until`, or shortly before.
fn is_felt(fault: &Fault, from: Ms, until: Ms) -> bool {
    let grace = if fault.broken == Broken::Machine { BUSY_GRACE } else { GRACE };
    fault.from <= until && fault.until.saturating_add(grace) >= from
}

/// Whom a life has ever seen.
fn seen_by(life: &Life) -> HashSet<&str> {
    let mut seen = HashSet::new();
    for heard in &life.heard {
        match text(&heard.message["type"]) {
            "joined" => {
                let peers = heard.message["peers"].as_array().into_iter().flatten();
                seen.extend(peers.map(|peer| text(&peer["id"])));
            }
            "peer_joined" => {
                seen.insert(text(&heard.message["id"]));
            }
            _ => {}
        }
    }
    seen
}

/// What a life was told by the one with this id.
fn told(receiver: &Life, sender: &str) -> Story {
    let mut story = Story::default();
    for message in receiver.heard.iter().map(|heard| &heard.message) {
        match text(&message["type"]) {
            "message" if message["from"] == sender => story.numbers.extend(message["data"]["n"].as_u64()),
            "peer_left" => story.has_left |= message["id"] == sender,
            _ => {}
        }
    }
    story
}

fn is_for(said: &Said, receiver: &str) -> bool {
    match &said.what {
        What::Message { to: Some(to), .. } => to == receiver,
        What::Message { to: None, .. } => true,
        What::Kick { .. } | What::Leave | What::Other => false,
    }
}

/// Whether the sender heard that this message did not reach the receiver.
fn was_refused(sender: &Life, number: u64, receiver: &str) -> bool {
    let number = number.to_string();
    sender.heard.iter().any(|heard| {
        let message = &heard.message;
        let is_of_it = message["type"] == "error" && text(&message["ref"]) == number;
        is_of_it && (message["to"].is_null() || text(&message["to"]) == receiver)
    })
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
