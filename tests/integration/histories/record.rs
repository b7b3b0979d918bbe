//! What happened in a history: what each person said and heard, how connections ended, and what was broken from outside.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

/// Milliseconds since a history began.
pub(super) type Ms = u64;

/// All that is known of a history when it is over.
#[derive(Debug, Clone, Default)]
pub(super) struct History {
    /// How many members a room takes.
    pub(super) capacity: usize,
    /// For how long a place is held.
    pub(super) hold: Ms,
    pub(super) lives: Vec<Life>,
    /// The rooms that people have tried to enter, by the ids with which they did.
    pub(super) tries: HashMap<String, String>,
    pub(super) faults: Vec<Fault>,
    /// Which relay each process is.
    pub(super) processes: HashMap<String, usize>,
    /// Connections that ended while somebody was about to enter a room.
    pub(super) losses: Vec<Loss>,
    /// Joins and places that were `unavailable`.
    pub(super) refusals: Vec<Refusal>,
    /// Connections that were open when their clients took their places up by others.
    pub(super) ghosts: Vec<Ghost>,
    /// What somebody saw and nobody may see.
    pub(super) complaints: Vec<String>,
    /// How it was at the end; none if the history was not brought to an end.
    pub(super) finale: Option<Finale>,
}

/// A person's time in a room, from `joined` on.
#[derive(Debug, Clone, Default)]
pub(super) struct Life {
    pub(super) person: usize,
    pub(super) id: String,
    pub(super) room: String,
    /// Whether its place may be taken up again; with the token for that.
    pub(super) token: Option<String>,
    /// What was heard and counts, `joined` first.
    pub(super) heard: Vec<Heard>,
    /// What was said and counts.
    pub(super) said: Vec<Said>,
    /// How much of it the relay is known to have answered: whatever it had to say about that has been heard.
    pub(super) answered: usize,
    pub(super) ways: Vec<Way>,
    /// When it gave up waiting for an answer to `resume`, and the relay that it had asked.
    pub(super) given_up: Vec<(Ms, usize)>,
    /// How it ended; none if it goes on.
    pub(super) end: Option<End>,
}

#[derive(Debug, Clone)]
pub(super) struct Heard {
    pub(super) at: Ms,
    pub(super) message: Value,
}

#[derive(Debug, Clone)]
pub(super) struct Said {
    pub(super) at: Ms,
    pub(super) text: String,
    pub(super) what: What,
    /// Who was there, as far as who said it knew.
    pub(super) present: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    /// A message with its number, to one or to all.
    Message {
        number: u64,
        to: Option<String>,
    },
    Kick {
        to: String,
    },
    Leave,
    /// Anything else.
    Other,
}

/// A connection on which a life went on.
#[derive(Debug, Clone)]
pub(super) struct Way {
    /// By which relay.
    pub(super) door: usize,
    /// Whether its client asked for nothing else on it before. Otherwise it may lead over other relays than that and the one
    /// where the room is.
    pub(super) is_straight: bool,
    pub(super) from: Ms,
    /// When and how it ended.
    pub(super) until: Option<(Ms, Parting)>,
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Parting {
    /// The client ended it.
    Own,
    /// The other side closed it with this code.
    Closed(u16),
    /// It was cut.
    Cut,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct End {
    pub(super) at: Ms,
    pub(super) why: Why,
}

/// Why a life ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// It said `leave`, and heard that this was done.
    Left,
    /// It closed its connection; the answer to that, if there was one.
    Goodbye(Option<u16>),
    Kicked,
    /// Its room went elsewhere, or its relay ended.
    Moved,
    /// Its connection ended, and there is no way back.
    Lost,
    /// It ended its connection without a word, and there is no way back.
    GaveUp,
    /// Its place was gone when it came back.
    Refused,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) broken: Broken,
    pub(super) from: Ms,
    /// When it was mended.
    pub(super) until: Ms,
}

/// What was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    /// A relay was killed, stopped, or told to end.
    Relay(usize),
    /// What goes from one relay to another.
    Wire(usize, usize),
    /// What goes between a relay and Redis.
    RedisWire(usize),
    /// Redis answered nobody.
    Redis,
    /// Redis came back with nothing in it.
    Memory,
    /// Keys of rooms were deleted.
    Keys,
    /// The machine was too busy.
    Machine,
}

/// A connection that ended before its client was in a room, or on which it waited for too long for an answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Loss {
    pub(super) person: usize,
    pub(super) at: Ms,
    /// Since when its client had waited for an answer.
    pub(super) since: Ms,
    pub(super) parting: Parting,
}

/// A join that was `unavailable`, or a place that was.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    pub(super) person: usize,
    pub(super) room: String,
    /// Whose place; none if somebody wanted to come in.
    pub(super) place: Option<String>,
    /// When it was asked for, and when it was refused.
    pub(super) since: Ms,
    pub(super) at: Ms,
    /// How often something was asked for on this connection.
    pub(super) asked: usize,
}

/// A connection that was given up for another one.
#[derive(Debug, Clone)]
pub(super) struct Ghost {
    /// Whose.
    pub(super) id: String,
    /// By which relay it came, if it leads over no others than that and the one where the room is.
    pub(super) door: Option<usize>,
    /// When the other one had the place.
    pub(super) from: Ms,
    pub(super) until: Ms,
    /// How it ended; none if it did not.
    pub(super) parting: Option<Parting>,
}

/// How it was after all faults were mended, and everybody had had the time to come together.
#[derive(Debug, Clone, Default)]
pub(super) struct Finale {
    /// How long that took after the last fault, and how long it may take.
    pub(super) together_after: Option<Ms>,
    pub(super) allowed: Ms,
    /// Why that was not so.
    pub(super) why_not: String,
    /// Whether the machine was too busy to say so.
    pub(super) is_too_busy: bool,
    pub(super) relays: Vec<Seen>,
    /// What the directory has for each room that somebody is in: the process.
    pub(super) directory: BTreeMap<String, Option<String>>,
}

/// A relay as its operators see it at the end.
#[derive(Debug, Clone, Default)]
pub(super) struct Seen {
    /// Its process, if it has a lease.
    pub(super) process: Option<String>,
    /// Whether it is among all relays.
    pub(super) is_registered: bool,
    /// Its rooms, and how many are in each.
    pub(super) rooms: BTreeMap<String, usize>,
    pub(super) held_places: usize,
}

/// A room as one of its members sees it.
#[derive(Debug, Clone, Default)]
pub(super) struct View {
    /// The others; whether they are away.
    pub(super) others: BTreeMap<String, bool>,
    pub(super) host: String,
    pub(super) is_locked: bool,
    /// Who waits at it.
    pub(super) knocks: Vec<String>,
}

impl View {
    /// As `joined` says.
    pub(super) fn new(joined: &Value) -> Self {
        let mut others = BTreeMap::new();
        for peer in joined["peers"].as_array().into_iter().flatten() {
            others.insert(text(&peer["id"]).to_owned(), peer["away"] == json!(true));
        }
        let host = text(&joined["host"]).to_owned();
        Self { others, host, is_locked: joined["locked"] == json!(true), knocks: Vec::new() }
    }

    /// Goes on by what was heard; an error if that cannot follow.
    pub(super) fn apply(&mut self, message: &Value) -> Result<(), String> {
        let id = text(&message["id"]);
        let (before, expected) = match text(&message["type"]) {
            "peer_joined" => {
                self.knocks.retain(|knock| knock != id);
                (self.others.insert(id.to_owned(), false), None)
            }
            "peer_left" => {
                let before = self.others.remove(id);
                (before, Some(before.unwrap_or_default()))
            }
            "peer_away" => (self.others.insert(id.to_owned(), true), Some(false)),
            "peer_back" => (self.others.insert(id.to_owned(), false), Some(true)),
            "message" => {
                let from = text(&message["from"]);
                let is_known = self.others.contains_key(from);
                return is_known.then_some(()).ok_or_else(|| format!("it does not know {from}, who says something"));
            }
            "host" => {
                id.clone_into(&mut self.host);
                return Ok(());
            }
            "room" => {
                self.is_locked = message["locked"] == json!(true);
                return Ok(());
            }
            "knock" => {
                self.knocks.push(id.to_owned());
                return Ok(());
            }
            "knock_gone" => {
                self.knocks.retain(|knock| knock != id);
                return Ok(());
            }
            _ => return Ok(()),
        };
        if before == expected { Ok(()) } else { Err(format!("{message} cannot follow: {id} was {before:?}")) }
    }
}

impl History {
    /// How many messages were heard that came through the door of their sender, of their receiver, or of both.
    pub(super) fn heard_through_doors(&self) -> usize {
        let lives: HashMap<&str, &Life> = self.lives.iter().map(|life| (life.id.as_str(), life)).collect();
        let is_at_door = |life: &Life, at: Ms| {
            let owner = life.process().and_then(|process| self.processes.get(process));
            let way = life.ways.iter().rfind(|way| way.from <= at);
            way.is_some_and(|way| owner.is_some_and(|owner| *owner != way.door))
        };
        let through_door = |receiver: &Life| {
            let heard = receiver.heard.iter().filter(|heard| heard.message["type"] == "message");
            let is_through = |heard: &&Heard| {
                let sender = lives.get(text(&heard.message["from"]));
                is_at_door(receiver, heard.at) || sender.is_some_and(|sender| is_at_door(sender, heard.at))
            };
            heard.filter(is_through).count()
        };
        self.lives.iter().map(through_door).sum()
    }
}

impl Life {
    /// The room as it was seen last.
    pub(super) fn view(&self) -> View {
        let Some((joined, rest)) = self.heard.split_first() else { return View::default() };
        let mut view = View::new(&joined.message);
        for heard in rest {
            let _ = view.apply(&heard.message);
        }
        view
    }

    /// The process on which its room lived, if it knew.
    pub(super) fn process(&self) -> Option<&str> {
        self.token.as_deref()?.split_once('-').map(|(process, _)| process)
    }

    /// Whether it was there from `from` to `until`, on one connection by one relay that is known: which.
    pub(super) fn door_during(&self, from: Ms, until: Ms) -> Option<usize> {
        let is_it = |way: &&Way| way.is_straight && way.from <= from && way.until.is_none_or(|(end, _)| end > until);
        self.ways.iter().find(is_it).map(|way| way.door)
    }
}

/// A text in a message; empty where there is none.
pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
