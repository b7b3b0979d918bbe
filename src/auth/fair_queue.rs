//! Turns at a server that is asked about joins: as many as it is asked at a time, and for those who wait a line for each
//! address, so that one address does not make the others wait. Who gives up is forgotten at once.
//!
//! But a server goes on with a question of which it was not told that nobody waits for the answer. So the **abandoned** questions
//! are counted until they are answered: of one line and of all there are only so many, and beyond that nobody is called who
//! would add to them.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::limits::{WEBHOOK_ABANDONED, WEBHOOK_ABANDONED_OF_LINE};
use crate::quota::Network;

/// Those of one address, or of those who have none.
type Line = Option<Network>;

/// The turns, and who waits for one.
#[derive(Debug)]
pub(super) struct FairQueue {
    /// The most that may wait in all.
    most_waiting: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    free: usize,
    waiting: usize,
    /// Numbers those who wait.
    count: u64,
    /// The lines in which somebody waits.
    lines: HashMap<Line, VecDeque<Waiter>>,
    /// Whose line is next.
    order: VecDeque<Line>,
    /// The numbers of those whose questions are on their way, and who wait for the answers.
    asking: HashSet<u64>,
    /// How many questions of each line are abandoned, where there are any.
    abandoned: HashMap<Line, usize>,
}

#[derive(Debug)]
struct Waiter {
    number: u64,
    call: oneshot::Sender<()>,
}

/// A turn, or the wait for it, until this is dropped.
#[derive(Debug)]
pub(super) struct Ticket {
    queue: Arc<FairQueue>,
    line: Line,
    number: u64,
    call: oneshot::Receiver<()>,
    has_turn: bool,
}

/// A question on its way, until this is dropped.
#[derive(Debug)]
pub(super) struct Asked {
    queue: Arc<FairQueue>,
    line: Line,
    number: u64,
}

impl FairQueue {
    /// `turns` at a time, and `most_waiting` others that may wait.
    pub(super) fn new(turns: usize, most_waiting: usize) -> Arc<Self> {
        Arc::new(Self { most_waiting, state: Mutex::new(State { free: turns, ..State::default() }) })
    }

    /// Stands in `line`. If all places are taken, the last one of the longest line gives way to a shorter one.
    ///
    /// None if `line` is one of the longest itself.
    pub(super) fn take(self: &Arc<Self>, line: Line) -> Option<Ticket> {
        let mut state = self.lock();
        if state.waiting >= self.most_waiting && !state.shorten_a_line_longer_than(line) {
            return None;
        }
        state.count += 1;
        let number = state.count;
        let (call, called) = oneshot::channel();
        state.push(line, Waiter { number, call });
        state.call_next();
        Some(Ticket { queue: Arc::clone(self), line, number, call: called, has_turn: false })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn push(&mut self, line: Line, waiter: Waiter) {
        let waiters = self.lines.entry(line).or_default();
        if waiters.is_empty() {
            self.order.push_back(line);
        }
        waiters.push_back(waiter);
        self.waiting += 1;
    }

    fn shorten_a_line_longer_than(&mut self, line: Line) -> bool {
        let own = self.lines.get(&line).map_or(0, VecDeque::len);
        let Some(longest) = self.lines.iter().max_by_key(|(_, waiters)| waiters.len()).map(|(line, _)| *line) else {
            return false;
        };
        match self.lines.get_mut(&longest) {
            Some(waiters) if waiters.len() > own + 1 => {
                // Its ticket notices that nobody will call it.
                waiters.pop_back();
                self.waiting -= 1;
                true
            }
            _ => false,
        }
    }

    /// Gives the free turns to the first of each line, one line after the other.
    fn call_next(&mut self) {
        if self.abandoned.values().sum::<usize>() >= WEBHOOK_ABANDONED {
            return;
        }
        // Those lines are passed over that have abandoned as many as they may.
        let mut passed_over = 0;
        while self.free > 0
            && passed_over < self.order.len()
            && let Some(line) = self.order.pop_front()
        {
            if self.abandoned.get(&line).is_some_and(|count| *count >= WEBHOOK_ABANDONED_OF_LINE) {
                self.order.push_back(line);
                passed_over += 1;
                continue;
            }
            let Some(waiters) = self.lines.get_mut(&line) else { continue };
            let first = waiters.pop_front();
            if waiters.is_empty() {
                self.lines.remove(&line);
            } else {
                self.order.push_back(line);
            }
            if let Some(first) = first {
                self.waiting -= 1;
                self.free -= usize::from(first.call.send(()).is_ok());
            }
        }
    }

    fn forget_abandoned(&mut self, line: Line) {
        if let Entry::Occupied(mut count) = self.abandoned.entry(line) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }

    fn forget(&mut self, line: Line, number: u64) {
        let Some(waiters) = self.lines.get_mut(&line) else { return };
        let before = waiters.len();
        waiters.retain(|waiter| waiter.number != number);
        self.waiting -= before - waiters.len();
        if waiters.is_empty() {
            self.lines.remove(&line);
            self.order.retain(|other| *other != line);
        }
    }
}

impl Ticket {
    /// Waits for the turn; false if the ticket gave way to others.
    pub(super) async fn turn(&mut self) -> bool {
        self.has_turn = self.has_turn || (&mut self.call).await.is_ok();
        self.has_turn
    }

    /// Asks the question of this turn. Drop what this returns when it is answered, or its time is over, and not when nobody waits
    /// for the answer any more.
    pub(super) fn ask(&self) -> Asked {
        self.queue.lock().asking.insert(self.number);
        Asked { queue: Arc::clone(&self.queue), line: self.line, number: self.number }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        if !state.asking.remove(&self.number) {
            state.forget_abandoned(self.line);
            state.call_next();
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        // It may have been called, and not noticed it yet.
        if self.has_turn || self.call.try_recv().is_ok() {
            if state.asking.remove(&self.number) {
                *state.abandoned.entry(self.line).or_default() += 1;
            }
            state.free += 1;
            state.call_next();
        } else {
            state.forget(self.line, self.number);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn line(last: u8) -> Line {
        Some(std::net::IpAddr::from([192, 0, 2, last]).into())
    }

    fn has_turn(ticket: &mut Ticket) -> bool {
        ticket.turn().now_or_never().unwrap_or(false)
    }

    #[test]
    fn each_address_has_its_turn_however_many_of_another_wait() {
        let turns = FairQueue::new(1, 100);
        let mut crowd: Vec<Ticket> = (0..50).map(|_| turns.take(line(1)).unwrap()).collect();
        let mut one = turns.take(line(2)).unwrap();
        assert!(has_turn(&mut crowd[0]) && !has_turn(&mut crowd[1]) && !has_turn(&mut one));
        // The turn of the crowd's next comes first, since it came first; then the other's.
        crowd.remove(0);
        assert!(has_turn(&mut crowd[0]) && !has_turn(&mut one));
        crowd.remove(0);
        assert!(has_turn(&mut one) && !has_turn(&mut crowd[0]));
        drop(one);
        assert!(has_turn(&mut crowd[0]));
    }

    #[test]
    fn who_gives_up_is_forgotten_at_once() {
        let turns = FairQueue::new(2, 3);
        let mut held: Vec<Ticket> = (0..2).map(|_| turns.take(None).unwrap()).collect();
        let waiting: Vec<Ticket> = (0..3).map(|_| turns.take(None).unwrap()).collect();
        assert!(turns.take(None).is_none(), "as many wait as may");
        drop(waiting);
        assert!(turns.lock().lines.is_empty() && turns.lock().order.is_empty());
        let mut next = turns.take(None).unwrap();
        assert!(!has_turn(&mut next));
        // One that was called and never looked.
        held.remove(0);
        let last = turns.take(None).unwrap();
        drop(next);
        drop(last);
        drop(held);
        let state = turns.lock();
        assert_eq!((state.free, state.waiting), (2, 0));
    }

    #[test]
    fn who_asks_and_goes_again_and_again_has_no_turn_until_the_server_has_answered_and_others_have() {
        let turns = FairQueue::new(1, 100);
        let ask_and_go = |from: u8| {
            let mut ticket = turns.take(line(from)).unwrap();
            has_turn(&mut ticket).then(|| ticket.ask())
        };
        let mut asked: Vec<Asked> = std::iter::from_fn(|| ask_and_go(1)).take(1000).collect();
        assert_eq!(asked.len(), WEBHOOK_ABANDONED_OF_LINE);
        // Others have their turns, though somebody of that line came before them.
        let mut waits = turns.take(line(1)).unwrap();
        let mut other = turns.take(line(2)).unwrap();
        assert!(!has_turn(&mut waits) && has_turn(&mut other));
        drop(other);
        assert!(!has_turn(&mut waits));
        asked.pop();
        assert!(has_turn(&mut waits));
        // Whoever waits for the answer abandons nothing.
        drop(waits.ask());
        drop(waits);
        // However many lines there are, there is a bound for all.
        for from in 2..=255 {
            asked.extend(std::iter::from_fn(|| ask_and_go(from)));
        }
        assert_eq!(asked.len(), WEBHOOK_ABANDONED);
        let mut last = turns.take(line(0)).unwrap();
        assert!(!has_turn(&mut last));
        asked.clear();
        assert!(has_turn(&mut last) && turns.lock().abandoned.is_empty());
    }

    #[test]
    fn when_all_places_are_taken_the_longest_line_gives_way_to_a_shorter_one() {
        let turns = FairQueue::new(0, 4);
        let mut crowd: Vec<Ticket> = (0..4).map(|_| turns.take(line(1)).unwrap()).collect();
        assert!(turns.take(line(1)).is_none());
        let _one = turns.take(line(2)).unwrap();
        assert_eq!(crowd[3].turn().now_or_never(), Some(false), "the last one gave way");
        let _two = turns.take(line(3)).unwrap();
        assert!(turns.take(line(2)).is_none(), "no line is longer by two");
        crowd.clear();
        assert_eq!(turns.lock().waiting, 2);
    }
}
