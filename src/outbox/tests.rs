//! What the outbox promises to one task after the other. (`tests/outbox.rs` checks what several do at once.)

use std::io::{self, IoSlice};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, advance};

use crate::budget::{Account, Budget};
use crate::limits::{
    ADDRESS_SHARES, ANNOUNCED_BYTES, ANNOUNCEMENTS, ERROR_BYTES, ERROR_MESSAGES, PLACE_BYTES, SHARE_BYTES,
    SHARE_MESSAGES, SLOW_PONG_DEADLINE, STALL, UNCONFIRMED, WRITE_BYTES, WRITE_FRAMES, WRITES_FOR_OTHERS,
};
use crate::outbox::{ConnectionId, Outbox, Pushed, Sender, Sink, Topic, frame};

/// A socket that accepts as many bytes as a test allows, and remembers how it was written to.
#[derive(Clone, Default)]
struct Wire(Arc<Mutex<Line>>);

#[derive(Default)]
struct Line {
    taken: Vec<u8>,
    room: usize,
    /// How many bytes one write accepts.
    at_once: Option<usize>,
    /// How many frames each write offered.
    offered: Vec<usize>,
    /// Whether a layer in between (TLS) holds what it was given.
    holds_back: bool,
    taken_below: u64,
    is_indirect: bool,
    is_shut: bool,
    is_broken: bool,
}

impl Wire {
    fn with_outbox(room: usize) -> (Self, Outbox) {
        let wire = Self::default();
        wire.0.lock().unwrap().room = room;
        let outbox = Outbox::new(0);
        outbox.connect(Box::new(wire.clone()));
        (wire, outbox)
    }

    /// A socket that accepts all, and an outbox in which much may wait.
    fn with_large_outbox() -> (Self, Outbox) {
        let wire = Self::default();
        wire.make_room(usize::MAX);
        let outbox = Outbox::new(16 * PLACE_BYTES);
        outbox.connect(Box::new(wire.clone()));
        (wire, outbox)
    }

    fn make_room(&self, more: usize) {
        let mut line = self.0.lock().unwrap();
        line.room = line.room.saturating_add(more);
    }

    fn taken(&self) -> Vec<u8> {
        std::mem::take(&mut self.0.lock().unwrap().taken)
    }
}

impl Sink for Wire {
    fn poll_write(&self, _: &mut Context<'_>, frames: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let mut line = self.0.lock().unwrap();
        if line.is_broken {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if line.room == 0 {
            return Poll::Pending;
        }
        line.offered.push(frames.len());
        let text = frames.iter().flat_map(|frame| frame.iter().copied());
        let most = line.at_once.unwrap_or(usize::MAX).min(line.room);
        let text: Vec<u8> = text.take(most).collect();
        line.room -= text.len();
        line.taken.extend_from_slice(&text);
        Poll::Ready(Ok(text.len()))
    }

    fn poll_flush(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.0.lock().unwrap().holds_back { Poll::Pending } else { Poll::Ready(Ok(())) }
    }

    fn poll_shutdown(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.lock().unwrap().is_shut = true;
        Poll::Ready(Ok(()))
    }

    fn is_direct(&self) -> bool {
        !self.0.lock().unwrap().is_indirect
    }

    fn taken_below(&self) -> u64 {
        self.0.lock().unwrap().taken_below
    }
}

fn sender() -> Sender {
    Outbox::new(0).sender().clone()
}

fn bytes(count: usize) -> Bytes {
    vec![b'x'; count].into()
}

fn push(outbox: &Outbox, sender: &Sender, count: usize) -> Pushed {
    outbox.push(sender, &bytes(count), Waker::noop())
}

/// A turn of the connection's task.
fn take_turn(outbox: &Outbox) -> crate::outbox::Status {
    outbox.poll_write(&mut Context::from_waker(Waker::noop())).unwrap()
}

/// Counts how often a task is woken.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Relaxed);
    }
}

#[test]
fn an_outbox_that_is_full_as_a_whole_refuses_a_message_without_a_pause_until_some_are_written() {
    let (wire, outbox) = Wire::with_outbox(0);
    let [one, other] = [(); 2].map(|()| sender());
    assert_eq!(push(&outbox, &one, SHARE_BYTES - 1), Pushed::Queued);
    assert_eq!(push(&outbox, &other, 2), Pushed::Busy);
    assert_eq!(push(&outbox, &other, 1), Pushed::Queued);
    wire.make_room(usize::MAX);
    take_turn(&outbox);
    for _ in 0..3 {
        assert_eq!(push(&outbox, &other, SHARE_BYTES), Pushed::Queued);
        take_turn(&outbox);
    }
}

#[test]
fn the_senders_of_one_address_leave_room_for_another_with_a_client_that_is_away() {
    let budget = Budget::new(0, 0);
    let outbox = Outbox::of(sender(), PLACE_BYTES);
    outbox.keep(None);
    let away = outbox.suspend().unwrap();
    let paying = |account: &Arc<Account>| Sender::new(Outbox::new(0).id(), account.purse());
    for bytes in [1, SHARE_BYTES] {
        let [crowd, other] = [budget.address(), budget.address()];
        let waits = (0..2 * PLACE_BYTES).take_while(|_| push(&away, &paying(&crowd), bytes) == Pushed::Queued).count();
        assert_eq!(waits, ADDRESS_SHARES * if bytes == 1 { SHARE_MESSAGES } else { 1 });
        assert_eq!(push(&away, &paying(&other), bytes), Pushed::Queued);
    }
}

#[test]
fn who_is_away_makes_nobody_wait() {
    let (_wire, outbox) = Wire::with_outbox(0);
    outbox.keep(None);
    let away = outbox.suspend().unwrap();
    let sender = sender();
    (0..SHARE_MESSAGES).for_each(|_| assert_eq!(push(&away, &sender, 1), Pushed::Queued));
    assert_eq!(push(&away, &sender, 1), Pushed::Busy);
    assert!(outbox.suspend().is_none(), "it has moved");
}

#[test]
fn as_many_announcements_fit_as_are_not_written_yet() {
    let (wire, outbox) = Wire::with_outbox(0);
    for round in 0..3 {
        assert!(outbox.room_for_announcements(ANNOUNCEMENTS) && !outbox.room_for_announcements(ANNOUNCEMENTS + 1));
        (0..ANNOUNCEMENTS - 2).for_each(|_| outbox.announce(outbox.sender(), Topic::Other, bytes(1)));
        assert!(outbox.room_for_join() && outbox.room_for_announcements(2), "round {round}");
        outbox.announce(outbox.sender(), Topic::Other, bytes(1));
        assert!(!outbox.room_for_join() && outbox.room_for_announcements(1), "round {round}");
        wire.make_room(ANNOUNCEMENTS - 1);
        take_turn(&outbox);
    }
}

#[test]
fn who_has_not_read_the_bytes_of_earlier_joins_may_not_join_again() {
    let (wire, outbox) = Wire::with_outbox(0);
    (0..3).for_each(|_| outbox.announce(outbox.sender(), Topic::Other, bytes(ANNOUNCED_BYTES / 2)));
    assert!(!outbox.room_for_join());
    wire.make_room(ANNOUNCED_BYTES / 2);
    take_turn(&outbox);
    assert!(outbox.room_for_join());
    outbox.announce(outbox.sender(), Topic::Other, bytes(1));
    assert!(!outbox.room_for_join());
}

#[test]
fn a_client_that_does_not_read_its_errors_is_read_from_again_when_half_of_them_are_written() {
    let (wire, outbox) = Wire::with_outbox(0);
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let is_answered = || outbox.poll_answered(&Context::from_waker(&waker)).is_ready();
    for _ in 0..2 {
        (1..ERROR_MESSAGES).for_each(|_| outbox.answer(bytes(1)));
        assert!(is_answered());
        outbox.answer(bytes(1));
        assert!(!is_answered());
        let before = wakes.0.load(Relaxed);
        let write_one = || {
            wire.make_room(1);
            let _ = outbox.poll_write(&mut Context::from_waker(&waker));
        };
        (1..ERROR_MESSAGES / 2).for_each(|_| write_one());
        assert_eq!(wakes.0.load(Relaxed), before);
        write_one();
        assert_eq!(wakes.0.load(Relaxed), before + 1);
        assert!(is_answered());
        (0..ERROR_MESSAGES / 2).for_each(|_| write_one());
        assert_eq!(wakes.0.load(Relaxed), before + 1, "once");
    }
}

#[test]
fn a_ping_and_a_pong_go_first_and_only_the_last_ping_is_answered() {
    let (wire, outbox) = Wire::with_outbox(0);
    outbox.ping();
    wire.make_room(usize::MAX);
    take_turn(&outbox);
    assert_eq!(wire.taken(), *frame::ping(b""));
    outbox.pong(b"1");
    take_turn(&outbox);
    assert_eq!(wire.taken(), *frame::pong(b"1"));
    take_turn(&outbox);
    assert_eq!(wire.taken(), b"");
    outbox.announce(outbox.sender(), Topic::Other, bytes(3));
    outbox.ping();
    outbox.pong(b"2");
    outbox.pong(b"3");
    take_turn(&outbox);
    assert_eq!(wire.taken(), [&frame::pong(b"3")[..], &frame::ping(b""), b"xxx"].concat());
}

#[test]
fn no_control_frame_goes_into_another_frame() {
    let (wire, outbox) = Wire::with_outbox(2);
    outbox.announce(outbox.sender(), Topic::Other, Bytes::from_static(b"first"));
    outbox.announce(outbox.sender(), Topic::Other, Bytes::from_static(b"second"));
    take_turn(&outbox);
    outbox.ping();
    wire.make_room(usize::MAX);
    take_turn(&outbox);
    assert_eq!(wire.taken(), [b"first", &frame::ping(b"")[..], b"second"].concat());
}

#[test]
fn a_frame_that_is_partly_written_ends_before_the_close_frame_of_a_connection_whose_place_has_moved() {
    for (room, expected) in [(0, &b"close"[..]), (2, b"firstclose")] {
        let (wire, outbox) = Wire::with_outbox(room);
        outbox.keep(Some(Bytes::from_static(b"first")));
        outbox.announce(outbox.sender(), Topic::Other, Bytes::from_static(b"second"));
        take_turn(&outbox);
        outbox.suspend().unwrap();
        outbox.close(Bytes::from_static(b"close"));
        wire.make_room(usize::MAX);
        take_turn(&outbox);
        assert_eq!(wire.taken(), expected);
    }
}

#[test]
fn what_is_for_a_client_that_came_back_waits_even_if_a_write_to_its_new_connection_had_failed() {
    let (_wire, old) = Wire::with_outbox(0);
    old.keep(None);
    let away = old.suspend().unwrap();
    let (wire, new) = Wire::with_outbox(usize::MAX);
    wire.0.lock().unwrap().is_broken = true;
    new.announce(new.sender(), Topic::Other, bytes(1));
    new.flush();
    assert!(away.hand_over(&new, 0, Bytes::from_static(b"resumed")).is_some());
    assert_eq!(push(&new, &sender(), 1), Pushed::Queued);
    assert!(new.poll_write(&mut Context::from_waker(Waker::noop())).is_err());
    let away = new.suspend().unwrap();
    let (wire, next) = Wire::with_outbox(usize::MAX);
    assert!(away.hand_over(&next, 0, Bytes::from_static(b"resumed")).is_some());
    take_turn(&next);
    assert_eq!(wire.taken(), b"resumedx");
}

#[test]
fn a_write_offers_so_many_frames_and_bytes_and_at_least_one_frame() {
    let offered = |sizes: &[usize]| {
        let (wire, outbox) = Wire::with_outbox(usize::MAX);
        sizes.iter().for_each(|size| outbox.announce(outbox.sender(), Topic::Other, bytes(*size)));
        take_turn(&outbox);
        wire.0.lock().unwrap().offered.clone()
    };
    assert_eq!(offered(&[1; 2 * WRITE_FRAMES + 1]), [WRITE_FRAMES, WRITE_FRAMES, 1]);
    assert_eq!(offered(&[WRITE_BYTES / 2, WRITE_BYTES / 2, 1]), [2, 1]);
    assert_eq!(offered(&[WRITE_BYTES / 2, WRITE_BYTES / 2 + 1, 1]), [1, 2]);
    assert_eq!(offered(&[WRITE_BYTES + 1, WRITE_BYTES + 1]), [1, 1]);
}

#[test]
fn a_socket_that_accepts_a_few_bytes_at_a_time_gets_the_rest_from_where_it_stopped() {
    let write = |at_once| {
        let (wire, outbox) = Wire::with_outbox(usize::MAX);
        wire.0.lock().unwrap().at_once = Some(at_once);
        for text in [&b"one"[..], b"two", b"three"] {
            outbox.announce(outbox.sender(), Topic::Other, Bytes::copy_from_slice(text));
        }
        take_turn(&outbox);
        assert_eq!(wire.taken(), b"onetwothree", "{at_once} at once");
        wire.0.lock().unwrap().offered.clone()
    };
    assert_eq!(write(3), [3, 2, 1, 1]);
    assert_eq!(write(4), [3, 2, 1]);
    assert_eq!(write(7), [3, 1]);
}

#[test]
fn what_no_write_has_offered_cannot_have_arrived() {
    let (wire, outbox) = Wire::with_outbox(0);
    outbox.keep(None);
    outbox.announce(outbox.sender(), Topic::Other, bytes(1));
    assert!(outbox.can_resume_after(0) && !outbox.can_resume_after(1));
    wire.make_room(1);
    take_turn(&outbox);
    assert!(outbox.can_resume_after(1) && !outbox.can_resume_after(2));
}

/// A socket that, while it is written to, asks from which messages the client may go on.
struct Curious(Weak<Outbox>, Arc<Mutex<Vec<bool>>>);

impl Sink for Curious {
    fn poll_write(&self, _: &mut Context<'_>, frames: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let outbox = self.0.upgrade().unwrap();
        self.1.lock().unwrap().extend((0..4).map(|received| outbox.can_resume_after(received)));
        Poll::Ready(Ok(frames.iter().map(|frame| frame.len()).sum()))
    }

    fn poll_flush(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn is_direct(&self) -> bool {
        true
    }
}

#[test]
fn all_that_a_write_under_way_offers_may_have_arrived() {
    let (outbox, answers) = (Arc::new(Outbox::new(0)), Arc::default());
    outbox.connect(Box::new(Curious(Arc::downgrade(&outbox), Arc::clone(&answers))));
    outbox.keep(None);
    (0..2).for_each(|_| outbox.announce(outbox.sender(), Topic::Other, bytes(1)));
    take_turn(&outbox);
    assert_eq!(*answers.lock().unwrap(), [true, true, true, false]);
}

#[test]
fn a_task_writes_so_much_for_another_connection_and_leaves_the_rest_to_it() {
    let (wire, outbox) = Wire::with_outbox(usize::MAX);
    let most = WRITES_FOR_OTHERS * WRITE_FRAMES;
    (0..2 * most).for_each(|_| outbox.announce(outbox.sender(), Topic::Other, bytes(1)));
    outbox.flush();
    assert_eq!(wire.taken().len(), most);
    take_turn(&outbox);
    assert_eq!(wire.taken().len(), most);
}

#[test]
fn only_the_connections_task_writes_to_a_stream_that_is_not_direct() {
    let (wire, outbox) = Wire::with_outbox(usize::MAX);
    wire.0.lock().unwrap().is_indirect = true;
    outbox.announce(outbox.sender(), Topic::Other, bytes(1));
    outbox.flush();
    assert_eq!(wire.taken(), b"");
    take_turn(&outbox);
    assert_eq!(wire.taken(), b"x");
}

#[test]
fn the_connections_task_is_woken_for_a_new_frame_only_where_nobody_else_may_write_and_the_socket_is_writable() {
    for (is_indirect, room, wakes) in [(false, 1, 0), (true, 1, 1), (true, 0, 0)] {
        let (wire, outbox) = Wire::with_outbox(room);
        wire.0.lock().unwrap().is_indirect = is_indirect;
        let task = Arc::new(Wakes::default());
        let waker = Waker::from(Arc::clone(&task));
        outbox.announce(outbox.sender(), Topic::Other, bytes(1));
        outbox.poll_write(&mut Context::from_waker(&waker)).unwrap();
        outbox.announce(outbox.sender(), Topic::Other, bytes(1));
        assert_eq!(task.0.load(Relaxed), wakes, "{is_indirect} {room}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_outbox_is_stalled_since_its_socket_accepted_the_last_byte() {
    let (wire, outbox) = Wire::with_outbox(1);
    let start = Instant::now();
    outbox.announce(outbox.sender(), Topic::Other, bytes(3));
    assert_eq!(take_turn(&outbox).stalled_since, Some(start));
    advance(STALL - Duration::from_millis(1)).await;
    let status = take_turn(&outbox);
    assert_eq!((status.stalled_since, status.read_at, outbox.was_stalled(Instant::now())), (Some(start), None, false));
    advance(Duration::from_millis(1)).await;
    assert!(outbox.was_stalled(Instant::now()) && !outbox.was_stalled(start));
    wire.make_room(1);
    let now = Some(Instant::now());
    let status = take_turn(&outbox);
    assert_eq!((status.stalled_since, status.read_at), (now, now));
    advance(STALL).await;
    wire.0.lock().unwrap().taken_below += 1;
    let now = Some(Instant::now());
    let status = take_turn(&outbox);
    assert_eq!((status.stalled_since, status.read_at), (now, now), "TLS had buffered that byte");
    wire.make_room(1);
    assert_eq!(take_turn(&outbox).stalled_since, None);
}

#[test]
fn what_tls_holds_back_is_flushed_later_although_nothing_is_queued() {
    let (wire, outbox) = Wire::with_outbox(usize::MAX);
    wire.0.lock().unwrap().holds_back = true;
    outbox.announce(outbox.sender(), Topic::Other, bytes(1));
    assert!(take_turn(&outbox).stalled_since.is_some());
    wire.0.lock().unwrap().holds_back = false;
    assert!(take_turn(&outbox).stalled_since.is_none());
}

#[test]
fn an_outbox_that_is_closed_takes_nothing_more_and_one_that_is_discarded_writes_nothing_more() {
    let (wire, outbox) = Wire::with_outbox(0);
    outbox.announce(outbox.sender(), Topic::Other, bytes(1));
    outbox.close(Bytes::from_static(b"close"));
    outbox.close(Bytes::from_static(b"again"));
    outbox.announce(outbox.sender(), Topic::Other, bytes(1));
    outbox.answer(bytes(1));
    assert_eq!(push(&outbox, &sender(), 1), Pushed::Closed);
    wire.make_room(usize::MAX);
    take_turn(&outbox);
    assert_eq!(wire.taken(), b"xclose");
    let mut cx = Context::from_waker(Waker::noop());
    assert!(outbox.poll_shutdown(&mut cx).is_ready() && wire.0.lock().unwrap().is_shut);

    let (wire, outbox) = Wire::with_outbox(0);
    outbox.announce(outbox.sender(), Topic::Other, bytes(1));
    outbox.ping();
    outbox.pong(b"");
    outbox.discard();
    assert_eq!(push(&outbox, &sender(), 1), Pushed::Closed);
    wire.make_room(usize::MAX);
    take_turn(&outbox);
    assert_eq!(wire.taken(), b"");
}

#[test]
fn a_client_that_may_resume_is_asked_what_has_arrived_each_time_that_half_of_a_share_is_unconfirmed() {
    let (wire, outbox) = Wire::with_outbox(usize::MAX);
    outbox.keep(None);
    let sender = sender();
    let half = SHARE_MESSAGES / 2;
    let say = |count: usize| {
        (0..count).for_each(|_| {
            assert_eq!(push(&outbox, &sender, 1), Pushed::Queued);
            take_turn(&outbox);
        });
        take_turn(&outbox);
        wire.taken()
    };
    let ping = |number: usize| frame::ping(number.to_string().as_bytes());
    assert_eq!(say(half - 1), vec![b'x'; half - 1], "not yet");
    assert_eq!(say(1), [b"x", &ping(half)[..]].concat());
    assert_eq!(say(half), vec![b'x'; half], "one at a time");
    assert!(!outbox.ack(b"1") && !outbox.ack(b"") && !outbox.ack(b"x"));
    assert!(outbox.ack(half.to_string().as_bytes()) && !outbox.ack(half.to_string().as_bytes()));
    assert_eq!(say(0), *ping(2 * half), "as much is unconfirmed again");
    outbox.forget();
    assert!(!outbox.ack((2 * half).to_string().as_bytes()) && !outbox.can_resume_after(2 * half as u64));
    assert!(outbox.suspend().is_none());
}

#[test]
fn a_sender_waits_while_what_is_kept_needs_the_room_and_the_pong_wakes_it() {
    let (wire, outbox) = Wire::with_outbox(usize::MAX);
    outbox.keep(None);
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let [one, other] = [(); 2].map(|()| sender());
    assert_eq!(push(&outbox, &one, SHARE_BYTES / 4), Pushed::Queued);
    take_turn(&outbox);
    assert_eq!(wire.taken().len(), SHARE_BYTES / 4, "and no ping");
    assert_eq!(outbox.push(&other, &bytes(SHARE_BYTES), &waker), Pushed::Full);
    take_turn(&outbox);
    assert_eq!(wire.taken(), *frame::ping(b"1"));
    assert_eq!(outbox.push(&other, &bytes(SHARE_BYTES), &waker), Pushed::Full);
    take_turn(&outbox);
    assert_eq!(wire.taken(), b"", "one ping at a time");
    assert_eq!(wakes.0.load(Relaxed), 0);
    assert!(outbox.ack(b"1"));
    assert_eq!(wakes.0.load(Relaxed), 1);
    assert_eq!(outbox.push(&other, &bytes(SHARE_BYTES), &waker), Pushed::Queued);
    assert_eq!(push(&outbox, &one, 1), Pushed::Busy, "what waits needs the room, and no pong will make any");
}

#[test]
fn the_relays_own_messages_are_kept_up_to_twice_the_bound() {
    let (wire, outbox) = Wire::with_outbox(usize::MAX);
    outbox.keep(None);
    let write = |count: usize| {
        (0..count).for_each(|_| outbox.announce(outbox.sender(), Topic::Other, bytes(768)));
        take_turn(&outbox);
        wire.taken();
    };
    write(2 * SHARE_BYTES / 1024);
    assert!(outbox.can_resume_after(0));
    write(1);
    assert!(!outbox.can_resume_after(0) && outbox.can_resume_after(1));
}

/// A sender at an address that may pin so many bytes, and its account.
fn sender_within(bytes: usize) -> (Sender, Arc<Account>) {
    let account = Budget::new(0, bytes).address();
    (Sender::new(Outbox::new(0).id(), account.purse()), account)
}

#[test]
fn what_waits_counts_for_its_sender_until_it_is_written_whoever_writes_it() {
    let (wire, outbox) = Wire::with_outbox(0);
    let (sender, account) = sender_within(0);
    assert_eq!(push(&outbox, &sender, 40_000), Pushed::Queued);
    outbox.announce(&sender, Topic::Other, bytes(10_000));
    assert!((50_000..60_000).contains(&account.used()), "{}", account.used());
    wire.make_room(usize::MAX);
    outbox.flush();
    sender.purse().give_back();
    assert_eq!(account.used(), 0);
}

#[test]
fn so_does_what_a_client_left_behind_that_has_gone() {
    let (_wire, outbox) = Wire::with_outbox(0);
    let (sender, account) = sender_within(0);
    assert_eq!(push(&outbox, &sender, 40_000), Pushed::Queued);
    drop(sender);
    assert!(account.used() >= 40_000);
    outbox.discard();
    assert_eq!(account.used(), 0);
}

#[test]
fn a_message_without_memory_is_refused_and_that_of_another_sender_is_not() {
    let (wire, outbox) = Wire::with_outbox(0);
    let ((poor, account), rich) = (sender_within(72 * 1024), sender());
    assert_eq!(push(&outbox, &poor, 50_000), Pushed::Queued);
    assert_eq!(push(&outbox, &poor, 10_000), Pushed::Busy);
    assert_eq!(push(&outbox, &rich, 10_000), Pushed::Queued);
    outbox.announce(&poor, Topic::Other, bytes(10_000));
    assert!(account.used() > 60_000, "the truth about a room is told in any case");
    wire.make_room(usize::MAX);
    take_turn(&outbox);
    assert_eq!(push(&outbox, &poor, 10_000), Pushed::Queued);
}

#[test]
fn a_message_finds_the_memory_of_those_that_were_kept_and_have_arrived() {
    let (wire, outbox) = Wire::with_large_outbox();
    let (sender, account) = sender_within(64 * 1024);
    outbox.keep(None);
    for _ in 0..4 {
        assert_eq!(push(&outbox, &sender, 10_000), Pushed::Queued);
        take_turn(&outbox);
    }
    assert!(account.used() > 40_000 && outbox.can_resume_after(0), "they are kept");
    assert_eq!(push(&outbox, &sender, 40_000), Pushed::Busy, "it is not known yet that they have arrived");
    outbox.ping();
    take_turn(&outbox);
    let pinged = wire.taken();
    assert!(pinged.ends_with(b"4"), "{:?}", pinged.last());
    assert!(outbox.ack(b"4") && outbox.can_resume_after(0));
    assert_eq!(push(&outbox, &sender, 40_000), Pushed::Queued);
    assert!(!outbox.can_resume_after(0) && outbox.can_resume_after(4));
}

#[test]
fn who_has_used_up_its_memory_makes_a_client_forget_nothing_of_others() {
    let (_wire, outbox) = Wire::with_large_outbox();
    let (other, (poor, _account)) = (sender(), sender_within(64 * 1024));
    outbox.keep(None);
    for sender in [&other, &poor] {
        assert_eq!(push(&outbox, sender, 10_000), Pushed::Queued);
        take_turn(&outbox);
    }
    outbox.ping();
    take_turn(&outbox);
    assert!(outbox.ack(b"2"));
    for _ in 0..3 {
        assert_eq!(push(&outbox, &poor, 60_000), Pushed::Busy);
    }
    assert!(outbox.can_resume_after(0), "the oldest message is of another address");
}

#[test]
fn where_memory_is_short_what_has_arrived_is_not_kept_by_idle_clients_either() {
    let (_wire, outbox) = Wire::with_outbox(usize::MAX);
    let (sender, account) = sender_within(64 * 1024);
    outbox.keep(None);
    assert_eq!(push(&outbox, &sender, 10_000), Pushed::Queued);
    take_turn(&outbox);
    outbox.ping();
    take_turn(&outbox);
    assert!(outbox.ack(b"1"));
    outbox.shrink();
    assert!(outbox.can_resume_after(0), "there is enough");
    let pressure = sender.purse().charge(40_000);
    assert!(account.is_pressed() && pressure.is_some());
    outbox.shrink();
    assert!(!outbox.can_resume_after(0) && outbox.can_resume_after(1));
}

#[test]
fn what_is_kept_and_has_arrived_is_bounded_however_much_may_wait() {
    let (_wire, outbox) = Wire::with_large_outbox();
    outbox.keep(None);
    let (sender, account) = sender_within(0);
    for number in 1..=2 * PLACE_BYTES / SHARE_BYTES {
        assert_eq!(push(&outbox, &sender, SHARE_BYTES), Pushed::Queued);
        take_turn(&outbox);
        outbox.ack(number.to_string().as_bytes());
    }
    assert!(account.used() < PLACE_BYTES + 4 * SHARE_BYTES, "{}", account.used());
}

#[test]
fn a_client_does_not_read_on_until_its_errors_are_few_in_bytes_too() {
    let (wire, outbox) = Wire::with_outbox(0);
    let cx = Context::from_waker(Waker::noop());
    outbox.answer(bytes(ERROR_BYTES - 1));
    assert!(outbox.poll_answered(&cx).is_ready());
    outbox.answer(bytes(1));
    assert!(outbox.poll_answered(&cx).is_pending());
    wire.make_room(usize::MAX);
    take_turn(&outbox);
    assert!(outbox.poll_answered(&cx).is_ready());
}

/// An announcement of `cause` that is written as this text.
fn tell(outbox: &Outbox, cause: &Sender, topic: fn(ConnectionId) -> Topic, text: &str) {
    outbox.announce(cause, topic(cause.id()), Bytes::copy_from_slice(text.as_bytes()));
}

/// What is sent to a client that has received so many messages, how much of it was sent before, and the outbox of its new
/// connection.
fn comes_back(old: &Outbox, received: u64) -> (String, usize, Outbox) {
    let (wire, new) = Wire::with_large_outbox();
    let replayed = old.suspend().unwrap().hand_over(&new, received, Bytes::from_static(b"resumed ")).unwrap();
    let mut text = Vec::new();
    loop {
        take_turn(&new);
        let taken = wire.taken();
        if taken.is_empty() {
            break;
        }
        text.extend(taken);
        // It answers each ping.
        let _ = (0..10 * ANNOUNCEMENTS).any(|number| new.ack(number.to_string().as_bytes()));
    }
    (String::from_utf8_lossy(&text).into_owned(), replayed.messages, new)
}

/// An outbox to whose client was written that somebody came and left; and that somebody came, said something and left, and
/// came again. It waits that this one left.
fn outbox_after_two_visits() -> Outbox {
    let (wire, outbox) = Wire::with_large_outbox();
    let [silent, talker] = [(); 2].map(|()| sender());
    outbox.keep(Some(Bytes::from_static(b"joined ")));
    let write = |cause, topic, text| {
        tell(&outbox, cause, topic, text);
        take_turn(&outbox);
    };
    write(&silent, Topic::Joined, "+silent ");
    write(&silent, Topic::Away, "away ");
    write(&silent, Topic::Left, "-silent ");
    write(&talker, Topic::Joined, "+talker ");
    assert_eq!(outbox.push(&talker, &Bytes::from_static(b"says "), Waker::noop()), Pushed::Queued);
    write(&talker, Topic::Left, "-talker ");
    write(&talker, Topic::Joined, "+again ");
    assert_eq!(wire.taken(), b"joined +silent away -silent +talker says -talker +again ");
    wire.0.lock().unwrap().room = 0;
    tell(&outbox, &talker, Topic::Left, "-again ");
    outbox
}

#[test]
fn who_comes_back_is_not_told_of_those_who_came_and_went_meanwhile_unless_they_said_something() {
    let back = |received| {
        let (text, again, _) = comes_back(&outbox_after_two_visits(), received);
        (text, again)
    };
    let visit = "resumed +talker says -talker ";
    assert_eq!(back(1), (visit.to_owned(), 3));
    assert_eq!(back(2), ("resumed -silent +talker says -talker ".to_owned(), 4), "it knows that somebody came");
    assert_eq!(back(3), ("resumed -silent +talker says -talker ".to_owned(), 4));
    assert_eq!(back(4), (visit.to_owned(), 3));
    assert_eq!(back(5), ("resumed says -talker ".to_owned(), 2));
    assert_eq!(back(8), ("resumed -again ".to_owned(), 0));
}

#[test]
fn the_numbers_of_what_is_sent_again_are_those_that_the_client_counts_also_when_it_is_lost_once_more() {
    let after_two_losses = |more: u64| comes_back(&comes_back(&outbox_after_two_visits(), 1).2, 1 + more);
    assert_eq!(after_two_losses(0).0, "resumed +talker says -talker ");
    assert_eq!(after_two_losses(2).0, "resumed -talker ");
    let (text, again, outbox) = after_two_losses(3);
    assert_eq!((text.as_str(), again), ("resumed ", 0));
    assert!(outbox.can_resume_after(4) && !outbox.can_resume_after(5));
}

#[test]
fn who_comes_back_is_told_of_the_host_the_lock_and_those_who_knock_as_it_is_then() {
    let (_wire, outbox) = Wire::with_large_outbox();
    outbox.keep(Some(Bytes::from_static(b"joined ")));
    let relay = outbox.sender();
    let tell = |topic, text: &'static str| {
        outbox.announce(relay, topic, Bytes::from_static(text.as_bytes()));
        take_turn(&outbox);
    };
    tell(Topic::Host, "host-1 ");
    tell(Topic::Lock, "locked ");
    tell(Topic::Knock(1), "knock-1 ");
    tell(Topic::KnockAgain(1), "knock-1 ");
    tell(Topic::Knock(2), "knock-2 ");
    tell(Topic::Other, "notice ");
    tell(Topic::Host, "host-2 ");
    tell(Topic::KnockGone(1), "gone-1 ");
    tell(Topic::KnockGone(3), "gone-3 ");
    tell(Topic::Lock, "unlocked ");
    assert_eq!(comes_back(&outbox, 1).0, "resumed knock-2 notice host-2 gone-3 unlocked ");
}

#[test]
fn of_too_many_who_came_said_something_and_went_who_comes_back_is_told_nothing_but_of_those_who_are_there() {
    for (visits, told) in [(ANNOUNCEMENTS / 2 - 2, true), (ANNOUNCEMENTS / 2 - 1, false)] {
        let (_wire, outbox) = Wire::with_large_outbox();
        outbox.keep(Some(Bytes::from_static(b"joined ")));
        let [stays, gone] = [(); 2].map(|()| sender());
        tell(&outbox, &stays, Topic::Joined, "+stays ");
        for _ in 0..visits {
            let visitor = sender();
            tell(&outbox, &visitor, Topic::Joined, "+");
            outbox.push(&visitor, &bytes(1), Waker::noop());
            tell(&outbox, &visitor, Topic::Left, "-");
            take_turn(&outbox);
        }
        outbox.push(&stays, &Bytes::from_static(b"says "), Waker::noop());
        tell(&outbox, &gone, Topic::Left, "-gone ");
        tell(&outbox, &gone, Topic::Away, "+1 ");
        take_turn(&outbox);
        let (text, ..) = comes_back(&outbox, 1);
        assert_eq!(text.matches('x').count(), if told { visits } else { 0 });
        assert!(text.starts_with("resumed +stays ") && text.contains("says -gone +1 "), "{told}");
    }
}

#[test]
fn what_a_client_that_is_away_need_not_know_makes_room_and_what_may_have_arrived_stays() {
    let (_wire, outbox) = Wire::with_outbox(1);
    outbox.keep(None);
    let [first, stays] = [(); 2].map(|()| sender());
    tell(&outbox, &first, Topic::Joined, "+first ");
    take_turn(&outbox);
    let away = outbox.suspend().unwrap();
    tell(&away, &first, Topic::Left, "-first ");
    tell(&away, &stays, Topic::Joined, "+stays ");
    assert_eq!(push(&away, &stays, 1), Pushed::Queued);
    for _ in 0..ANNOUNCEMENTS / 2 - 2 {
        let visitor = sender();
        tell(&away, &visitor, Topic::Joined, "+");
        assert_eq!(push(&away, &visitor, 1), Pushed::Queued);
        tell(&away, &visitor, Topic::Left, "-");
    }
    assert!(away.make_room_for_announcements(1) && away.announcements() == ANNOUNCEMENTS - 1, "it fits as it is");
    assert!(away.make_room_for_announcements(2) && away.announcements() == 3);
    assert!(away.make_room_for_announcements(ANNOUNCEMENTS - 3) && !away.make_room_for_announcements(ANNOUNCEMENTS));
    let (wire, new) = Wire::with_outbox(usize::MAX);
    assert!(away.hand_over(&new, 1, Bytes::from_static(b"resumed ")).is_some());
    take_turn(&new);
    assert_eq!(wire.taken(), b"resumed -first +stays x");
}

#[tokio::test(start_paused = true)]
async fn who_confirms_nothing_is_written_so_much_of_what_the_relay_says_and_the_rest_may_cancel_out() {
    let (wire, outbox) = Wire::with_large_outbox();
    outbox.keep(None);
    let visit = || {
        let visitor = sender();
        tell(&outbox, &visitor, Topic::Joined, "+");
        take_turn(&outbox);
        tell(&outbox, &visitor, Topic::Left, "-");
        take_turn(&outbox);
    };
    (0..UNCONFIRMED).for_each(|_| visit());
    let written = wire.taken().iter().filter(|byte| b"+-".contains(byte)).count();
    assert_eq!((written, outbox.announcements()), (UNCONFIRMED, 0));
    tell(&outbox, &sender(), Topic::Joined, "last");
    assert_eq!(push(&outbox, &sender(), 1), Pushed::Queued);
    outbox.pong(b"");
    take_turn(&outbox);
    assert_eq!(wire.taken(), *frame::pong(b""), "control frames are no messages");
    assert!(outbox.stalled_since().is_none());
    // The last ping but one asked about the first messages.
    let wakes = Arc::new(Wakes::default());
    outbox.poll_write(&mut Context::from_waker(&Waker::from(Arc::clone(&wakes)))).unwrap();
    assert!(outbox.ack((SHARE_MESSAGES / 2).to_string().as_bytes()));
    assert_eq!(wakes.0.load(Relaxed), 1);
    take_turn(&outbox);
    assert_eq!(wire.taken(), [&frame::ping(UNCONFIRMED.to_string().as_bytes())[..], b"lastx"].concat());
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_pong_is_written_when_the_connection_ends_and_when_none_comes_for_a_minute() {
    for is_closed in [true, false] {
        let (wire, outbox) = Wire::with_large_outbox();
        outbox.keep(None);
        for _ in 0..UNCONFIRMED {
            outbox.announce(outbox.sender(), Topic::Other, Bytes::new());
            take_turn(&outbox);
        }
        outbox.announce(outbox.sender(), Topic::Other, Bytes::from_static(b"last"));
        take_turn(&outbox);
        wire.taken();
        if is_closed {
            outbox.close(Bytes::from_static(b"close"));
        } else {
            advance(SLOW_PONG_DEADLINE).await;
        }
        take_turn(&outbox);
        assert_eq!(wire.taken(), if is_closed { &b"lastclose"[..] } else { b"last" });
    }
}
