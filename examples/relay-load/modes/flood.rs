//! Members who send as fast as their sockets take it, and come back whenever they are cut off.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::courier::Courier;
use crate::net::Net;

/// Messages in a row of one of them, so that they do not keep the tool from those who are measured.
const TURN: usize = 4;
/// How long one stays away once it was cut off.
const RETURN: Duration = Duration::from_millis(100);

/// Members who flood, in rooms of their own.
pub(crate) struct Flood {
    /// What they sent, and what became of it.
    pub(crate) courier: Courier,
    members: Range<usize>,
    /// Which of them are in their rooms.
    joined: Vec<bool>,
    /// Those who were cut off, and when they come back.
    away: VecDeque<(Instant, usize)>,
}

impl Flood {
    /// `members` flood.
    pub(crate) fn new(members: Range<usize>, courier: Courier) -> Self {
        Self { courier, joined: vec![false; members.len()], members, away: VecDeque::new() }
    }

    /// Whether the member `index` is one of them.
    pub(crate) fn has(&self, index: usize) -> bool {
        self.members.contains(&index)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// The member `index` is in its room.
    pub(crate) fn enter(&mut self, index: usize) {
        self.set_joined(index, true);
    }

    /// The member `index` was cut off.
    pub(crate) fn cut_off(&mut self, index: usize) {
        self.courier.tally.dropped += 1;
        self.set_joined(index, false);
        self.away.push_back((Instant::now() + RETURN, index));
    }

    /// Keeps their sockets full, and brings those back who were cut off.
    pub(crate) fn go_on(&mut self, net: &mut Net, now: Instant) -> Result<()> {
        for (from, joined) in self.members.clone().zip(&self.joined) {
            for _ in 0..TURN {
                if !joined || net.backlog(from).is_none_or(|bytes| bytes > 0) {
                    break;
                }
                let time = net.now();
                self.courier.send(net, from, None, time)?;
            }
        }
        while let Some(&(_, index)) = self.away.front().filter(|(when, _)| *when <= now) {
            self.away.pop_front();
            net.connect(index, None);
        }
        Ok(())
    }

    fn set_joined(&mut self, index: usize, joined: bool) {
        if let Some(place) = self.joined.get_mut(index - self.members.start) {
            *place = joined;
        }
    }
}
