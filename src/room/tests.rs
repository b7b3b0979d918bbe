//! Rooms without sessions, on sockets in memory.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::advance;

use super::names::{LOBBY, PeerId, RoomName};
use super::room::Room;
use super::*;
use crate::ice::{CandidatePolicy, IceServers};
use crate::limits::{ANNOUNCEMENTS, HELD_BYTES, LOBBY_IDLE, MESSAGE_BYTES};
use crate::outbox::{Outbox, Topic};
use crate::protocol::{self, Command};
use crate::secret::Secret;
use crate::testing::MemorySocket;

/// How somebody comes to a room.
#[derive(Clone, Copy)]
pub(in crate::room) struct Coming<'a> {
    pub(in crate::room) room: &'a str,
    pub(in crate::room) id: &'a str,
    pub(in crate::room) role: Role,
    pub(in crate::room) is_identified: bool,
    pub(in crate::room) may_resume: bool,
    pub(in crate::room) capacity: Option<usize>,
    /// The last part of its address, which has no more to tell apart; none if it is not known.
    pub(in crate::room) address: Option<u8>,
    /// How many bytes its socket accepts.
    pub(in crate::room) reads: usize,
}

impl<'a> Coming<'a> {
    pub(in crate::room) fn new(id: &'a str) -> Self {
        Self {
            room: "r",
            id,
            role: Role::Guest,
            is_identified: false,
            may_resume: false,
            capacity: None,
            address: None,
            reads: usize::MAX,
        }
    }

    /// Enters, or knocks.
    pub(in crate::room) fn comes(
        self,
        rooms: &Arc<Rooms>,
    ) -> Result<(Membership, Option<Knock>, MemorySocket), JoinError> {
        let (socket, outbox) = MemorySocket::with_outbox(self.reads);
        let pending = PendingMember {
            id: PeerId::parse(self.id).unwrap(),
            is_identified: self.is_identified,
            name: None,
            role: self.role,
            password: None,
            address: self.address.map(|last| Ipv4Addr::new(192, 0, 2, last).into()),
            capacity: self.capacity,
            ice_servers: IceServers::default(),
            resume: self.may_resume.then(|| (Secret::new("t"), 0)),
            spelling: None,
            outbox,
        };
        let (membership, knock) =
            rooms.enter(&RoomName::parse(self.room).unwrap(), pending, &mut Deferred::default())?;
        Ok((membership, knock, socket))
    }

    pub(in crate::room) fn enters(self, rooms: &Arc<Rooms>) -> Result<Somebody, JoinError> {
        match self.comes(rooms)? {
            (membership, None, socket) => Ok(Somebody { membership, socket }),
            _ => panic!("{} is locked", self.room),
        }
    }

    pub(in crate::room) fn knocks(self, rooms: &Arc<Rooms>) -> Result<(Membership, Knock), JoinError> {
        match self.comes(rooms)? {
            (membership, Some(knock), _) => Ok((membership, knock)),
            _ => panic!("{} is not locked", self.room),
        }
    }
}

pub(in crate::room) struct Somebody {
    pub(in crate::room) membership: Membership,
    socket: MemorySocket,
}

impl Somebody {
    fn says(&self, text: &str) -> Result<usize, Refusal> {
        match protocol::parse(text).message {
            Ok(Command::Signal(signal)) => {
                self.membership.relay(&signal, Waker::noop(), &mut Deferred::default()).map(|relayed| relayed.receivers)
            }
            other => panic!("no signal: {other:?}"),
        }
    }

    /// Returns how many messages that sent.
    pub(in crate::room) fn commands(&self, command: &HostCommand<'_>) -> Result<usize, Refusal> {
        let mut deferred = Deferred::default();
        self.membership.command(command, &mut deferred).map(|()| deferred.take_deliveries())
    }

    /// Loses its connection, and keeps its place, and a while passes; returns how many others were told.
    pub(in crate::room) fn is_cut(&self) -> Option<usize> {
        let mut deferred = Deferred::default();
        let suspended = self.membership.suspend(OnRemoved::new(|_| {}), false, &mut deferred);
        let told = suspended.and_then(|()| self.membership.tell_away(&mut deferred));
        told.ok().map(|()| deferred.take_deliveries())
    }

    pub(in crate::room) fn hears(&self) -> Vec<String> {
        self.socket.texts()
    }

    /// Its outbox in the room.
    pub(in crate::room) fn outbox(&self) -> Arc<Outbox> {
        let state = self.membership.room.state();
        Arc::clone(&state.member(self.membership.serial).unwrap().outbox)
    }

    pub(in crate::room) fn reads_no_more(&self) {
        self.socket.stop();
    }

    pub(in crate::room) fn reads_on(&self) {
        self.socket.make_room(usize::MAX);
        let mut cx = std::task::Context::from_waker(Waker::noop());
        let _ = self.outbox().poll_write(&mut cx);
    }

    pub(in crate::room) fn leaves(self, reason: LeaveReason) {
        self.membership.leave(reason, &mut Deferred::default());
    }
}

/// Somebody comes, says something to all, and goes. Where that waits, so do its coming and going.
pub(in crate::room) fn visit(rooms: &Arc<Rooms>) -> Result<(), JoinError> {
    let visitor = Coming::new("visitor").enters(rooms)?;
    visitor.says(r#"{"type":"message","data":1}"#).unwrap();
    Ok(())
}

/// So many messages more wait for somebody.
pub(in crate::room) fn fill(somebody: &Somebody, count: usize) {
    let state = somebody.membership.room.state();
    let outbox = &state.member(somebody.membership.serial).unwrap().outbox;
    (0..count).for_each(|_| outbox.announce(outbox.sender(), Topic::Other, Bytes::new()));
}

pub(in crate::room) fn rooms(capacity: usize) -> Arc<Rooms> {
    rooms_with(capacity, None)
}

pub(in crate::room) fn rooms_with(capacity: usize, observer: Option<Arc<dyn RoomObserver>>) -> Arc<Rooms> {
    Arc::new(Rooms::new(settings(capacity, observer)))
}

/// Those of a relay that is one of several, and the names that it owns.
pub(in crate::room) fn owned_rooms() -> (Arc<Rooms>, Arc<Owned>) {
    let owned = Arc::new(Owned::default());
    let settings = RoomSettings { owned: Some(Arc::clone(&owned)), ..settings(8, None) };
    (Arc::new(Rooms::new(settings)), owned)
}

fn settings(capacity: usize, observer: Option<Arc<dyn RoomObserver>>) -> RoomSettings {
    RoomSettings {
        capacity,
        max_message_bytes: MESSAGE_BYTES,
        candidate_policy: CandidatePolicy::All,
        encode: protocol::encode,
        observer,
        owned: None,
    }
}

fn try_enter(rooms: &Arc<Rooms>, room: &str, id: &str) -> Result<Somebody, JoinError> {
    Coming { room, ..Coming::new(id) }.enters(rooms)
}

fn enter(rooms: &Arc<Rooms>, room: &str, id: &str) -> Somebody {
    try_enter(rooms, room, id).unwrap()
}

const OFFER: &str = r#"{"type":"offer","sdp":"v=0"}"#;
const OFFER_ICE: &str = r#"{"type":"offer_ice","iceCandidate":null}"#;
const ANSWER: &str = r#"{"type":"answer","sdp":"v=0"}"#;

#[test]
fn whoever_comes_and_goes_there_is_room_for_what_its_coming_may_cause() {
    let (rooms, name) = (rooms(3), RoomName::parse("r").unwrap());
    let _reads_nothing = Coming { reads: 0, ..Coming::new("a") }.enters(&rooms).unwrap();
    // Each says something, so that what is told of it does not cancel out.
    visit(&rooms).unwrap();
    let (room, mut most) = (rooms.room(&name).unwrap(), 0);
    for _ in 0..ANNOUNCEMENTS {
        let host = Coming { role: Role::Host, ..Coming::new("host") }.enters(&rooms).unwrap();
        most = most.max(most_waiting(&room));
        host.says(r#"{"type":"message","data":1}"#).unwrap();
        host.leaves(LeaveReason::Left);
    }
    assert!((ANNOUNCEMENTS - 2..=ANNOUNCEMENTS).contains(&most), "{most}");
}

/// The most announcements that wait for a member.
fn most_waiting(room: &Room) -> usize {
    room.state().members.iter().map(|member| member.outbox.announcements()).max().unwrap()
}

#[test]
fn the_oldest_member_is_the_host_and_is_replaced_when_it_leaves() {
    let rooms = rooms(3);
    let (a, b) = (enter(&rooms, "r", "a"), enter(&rooms, "r", "b"));
    let joined = |id: &str, peers: &str| {
        format!(
            r#"{{"type":"joined","id":"{id}","room":"r","host":"a","peers":[{peers}],"iceServers":[],"maxMessageBytes":65536}}"#
        )
    };
    assert_eq!(a.hears()[0], joined("a", ""));
    assert_eq!(b.hears(), [joined("b", r#"{"id":"a"}"#)]);
    a.leaves(LeaveReason::Left);
    assert_eq!(b.hears(), [r#"{"type":"peer_left","id":"a","reason":"left"}"#, r#"{"type":"host","id":"b"}"#]);
}

#[test]
fn a_room_is_removed_when_its_last_member_leaves() {
    let rooms = rooms(3);
    let (a, b) = (enter(&rooms, "r", "a"), enter(&rooms, "r", "b"));
    assert_eq!(rooms.len(), 1);
    drop(a);
    assert!(rooms.len() == 1 && !rooms.is_empty());
    drop(b);
    assert!(rooms.is_empty());
}

#[test]
fn a_full_room_and_a_taken_id_are_refused_and_nobody_notices() {
    let rooms = rooms(3);
    let (a, _b, _c) = (enter(&rooms, "r", "a"), enter(&rooms, "r", "b"), enter(&rooms, "r", "c"));
    a.hears();
    assert!(matches!(try_enter(&rooms, "r", "d"), Err(JoinError::Full(3))));
    assert!(matches!(try_enter(&rooms, "r", "b"), Err(JoinError::IdTaken)));
    assert_eq!(a.hears(), [""; 0]);
    assert!(try_enter(&rooms, "other", "b").is_ok(), "ids are unique in a room, not in the relay");
}

#[test]
fn the_lobby_takes_two() {
    let rooms = rooms(3);
    let _two = (enter(&rooms, LOBBY, "a"), enter(&rooms, LOBBY, "b"));
    assert!(matches!(try_enter(&rooms, LOBBY, "c"), Err(JoinError::Full(2))));
}

#[test]
fn a_peer_of_another_room_is_not_found() {
    let rooms = rooms(3);
    let (a, elsewhere) = (enter(&rooms, "r", "a"), enter(&rooms, "other", "b"));
    elsewhere.hears();
    let refusal = a.says(r#"{"type":"message","data":1,"to":"b"}"#).unwrap_err();
    assert_eq!((refusal.code, refusal.to.as_deref()), (ErrorCode::PeerNotFound, Some("b")));
    assert_eq!(refusal.message, "nobody in this room has that id");
    let refusal = a.says(r#"{"type":"message","data":1,"to":"a"}"#).unwrap_err();
    assert_eq!((refusal.code, refusal.message.as_ref()), (ErrorCode::PeerNotFound, "that is your own id"));
    assert_eq!(elsewhere.hears(), [""; 0]);
}

#[test]
fn an_offer_made_alone_and_its_candidates_are_held_for_the_first_peer_that_joins() {
    let rooms = rooms(3);
    let a = enter(&rooms, "r", "a");
    assert_eq!(a.says(OFFER), Ok(0));
    assert_eq!(a.says(OFFER_ICE), Ok(0));
    let b = enter(&rooms, "r", "b");
    let heard = b.hears();
    assert!(heard[0].contains("joined"));
    assert_eq!(heard[1], r#"{"type":"offer","from":"a","sdp":"v=0"}"#);
    assert_eq!(heard[2], r#"{"type":"offer_ice","from":"a","iceCandidate":null}"#);
    assert_eq!(enter(&rooms, "r", "c").hears().len(), 1, "only the first peer that joins gets them");
}

#[test]
fn a_held_offer_stays_until_it_is_answered() {
    let rooms = rooms(3);
    let a = enter(&rooms, "r", "a");
    a.says(OFFER).unwrap();
    let b = enter(&rooms, "r", "b");
    a.says(OFFER_ICE).unwrap();
    drop(b);
    let c = enter(&rooms, "r", "c");
    assert_eq!(c.hears().len(), 3, "the first peer left without an answer");
    c.says(ANSWER).unwrap();
    drop(c);
    assert_eq!(enter(&rooms, "r", "d").hears().len(), 1, "it has been answered");
}

#[test]
fn an_answer_to_somebody_else_leaves_the_held_offer_and_one_to_its_sender_does_not() {
    let rooms = rooms(3);
    let a = enter(&rooms, "r", "a");
    a.says(OFFER).unwrap();
    let (b, c) = (enter(&rooms, "r", "b"), enter(&rooms, "r", "c"));
    c.says(r#"{"type":"answer","sdp":"v=0","to":"b"}"#).unwrap();
    drop((b, c));
    let d = enter(&rooms, "r", "d");
    assert_eq!(d.hears().len(), 2, "it is still held");
    d.says(r#"{"type":"answer","sdp":"v=0","to":"a"}"#).unwrap();
    drop(d);
    assert_eq!(enter(&rooms, "r", "e").hears().len(), 1, "it has been answered");
}

#[test]
fn a_held_offer_is_dropped_when_its_sender_leaves_or_offers_again() {
    let rooms = rooms(3);
    let (a, b) = (enter(&rooms, "r", "a"), enter(&rooms, "r", "b"));
    drop(b);
    a.says(OFFER).unwrap();
    a.says(r#"{"type":"offer","sdp":"again"}"#).unwrap();
    let b = enter(&rooms, "r", "b");
    assert!(b.hears()[1].contains("again"));
    drop(a);
    assert_eq!(enter(&rooms, "r", "c").hears().len(), 1);
}

#[test]
fn a_held_offer_is_dropped_when_its_sender_offers_again_to_others_and_not_when_somebody_else_does() {
    let rooms = rooms(3);
    let a = enter(&rooms, "r", "a");
    a.says(OFFER).unwrap();
    let b = enter(&rooms, "r", "b");
    b.says(OFFER).unwrap();
    drop(b);
    let c = enter(&rooms, "r", "c");
    assert_eq!(c.hears().len(), 2, "b's offer was for a, and a's is still held");
    a.says(OFFER).unwrap();
    drop(c);
    assert_eq!(enter(&rooms, "r", "d").hears().len(), 1, "the second offer was for c alone");
}

#[test]
fn a_broadcast_that_reaches_nobody_and_is_not_held_is_refused() {
    let rooms = rooms(3);
    let a = enter(&rooms, "r", "a");
    for text in [OFFER_ICE, ANSWER, r#"{"type":"message","data":1}"#] {
        assert_eq!(a.says(text).unwrap_err().code, ErrorCode::PeerNotFound, "{text}");
    }
}

#[test]
fn no_more_than_64_kib_are_held() {
    let rooms = rooms(3);
    let a = enter(&rooms, "r", "a");
    let offer = |bytes: usize| format!(r#"{{"type":"offer","sdp":"{}"}}"#, "x".repeat(bytes - 25));
    assert_eq!(a.says(&offer(HELD_BYTES)), Ok(0));
    assert_eq!(a.says(OFFER_ICE).unwrap_err().code, ErrorCode::PeerNotFound);
    assert_eq!(a.says(&offer(HELD_BYTES + 1)).unwrap_err().code, ErrorCode::PeerNotFound);
    for candidates in 0..3 {
        assert_eq!(a.says(&offer(HELD_BYTES - candidates * OFFER_ICE.len())), Ok(0));
        assert_eq!((0..4).filter(|_| a.says(OFFER_ICE).is_ok()).count(), candidates, "as many as fit behind it");
    }
}

#[tokio::test(start_paused = true)]
async fn in_a_full_lobby_the_member_that_was_idle_for_longest_gives_way() {
    let rooms = rooms(3);
    let first = enter(&rooms, LOBBY, "first");
    advance(LOBBY_IDLE / 2).await;
    let second = enter(&rooms, LOBBY, "second");
    advance(LOBBY_IDLE / 2).await;
    let third = enter(&rooms, LOBBY, "third");
    assert!(second.hears().concat().contains(r#"{"type":"peer_left","id":"first","reason":"idle"}"#));
    assert!(third.hears()[0].contains(r#""host":"second""#));
    assert_eq!(first.says(OFFER).unwrap_err().code, ErrorCode::NotJoined, "before its connection has ended");
    drop(first);
    assert!(matches!(try_enter(&rooms, LOBBY, "fourth"), Err(JoinError::Full(2))), "the others are not idle");
}

#[tokio::test(start_paused = true)]
async fn who_sends_or_is_sent_a_signal_is_not_idle() {
    let rooms = rooms(3);
    let (one, _two) = (enter(&rooms, LOBBY, "one"), enter(&rooms, LOBBY, "two"));
    for _ in 0..3 {
        advance(LOBBY_IDLE - Duration::from_secs(1)).await;
        assert!(matches!(try_enter(&rooms, LOBBY, "three"), Err(JoinError::Full(2))));
        one.says(OFFER).unwrap();
    }
    for _ in 0..3 {
        advance(LOBBY_IDLE - Duration::from_secs(1)).await;
        assert!(matches!(try_enter(&rooms, LOBBY, "three"), Err(JoinError::Full(2))));
        one.says(r#"{"type":"message","data":1,"to":"two"}"#).unwrap();
    }
}

#[test]
fn no_room_stays_behind_for_one_who_could_not_enter_it() {
    let rooms = rooms(3);
    assert!(matches!(Coming { capacity: Some(0), ..Coming::new("a") }.enters(&rooms), Err(JoinError::Full(0))));
    assert!(rooms.is_empty());
}

#[test]
fn a_person_that_is_away_takes_its_own_place_even_in_a_full_room() {
    let rooms = rooms(2);
    let person = Coming { is_identified: true, may_resume: true, ..Coming::new("person") };
    let (other, before) = (enter(&rooms, "r", "other"), person.enters(&rooms).unwrap());
    before.is_cut();
    assert!(matches!(try_enter(&rooms, "r", "third"), Err(JoinError::Full(2))));
    let _after = person.enters(&rooms).unwrap();
    let heard = other.hears();
    let kinds = ["peer_away", "peer_left", "peer_joined"];
    assert!(heard.iter().rev().zip(kinds.iter().rev()).all(|(text, kind)| text.contains(kind)), "{heard:?}");
}

#[tokio::test(start_paused = true)]
async fn in_other_rooms_nobody_gives_way_and_none_to_a_name_that_is_taken() {
    let rooms = rooms(3);
    let _members: Vec<_> = ["a", "b", "c"].map(|id| enter(&rooms, "r", id)).into();
    let _lobby: Vec<_> = ["a", "b"].map(|id| enter(&rooms, LOBBY, id)).into();
    advance(2 * LOBBY_IDLE).await;
    assert!(matches!(try_enter(&rooms, "r", "d"), Err(JoinError::Full(3))));
    assert!(matches!(try_enter(&rooms, LOBBY, "a"), Err(JoinError::IdTaken)));
}

#[test]
fn when_the_relay_shuts_down_no_member_is_told_that_others_leave() {
    let rooms = rooms(3);
    let (a, b) = (enter(&rooms, "r", "a"), enter(&rooms, "r", "b"));
    b.hears();
    a.leaves(LeaveReason::Shutdown);
    assert_eq!(b.hears(), [""; 0]);
}

#[test]
fn a_member_that_reads_nothing_stays_and_joins_are_refused_until_it_reads() {
    let rooms = rooms(3);
    let stalled = Coming { reads: 0, ..Coming::new("stalled") }.enters(&rooms).unwrap();
    // It has its `joined`. A newcomer needs two.
    fill(&stalled, ANNOUNCEMENTS - 1 - 2);
    visit(&rooms).unwrap();
    fill(&stalled, 1);
    let refused = visit(&rooms).unwrap_err();
    assert!(matches!(refused, JoinError::Unavailable), "{refused}");
    drop(stalled);
    assert!(try_enter(&rooms, "r", "a").is_ok());
}

#[test]
fn those_who_come_say_something_and_go_keep_nobody_out_of_the_room_of_one_that_reads_nothing() {
    let rooms = rooms(3);
    let stalled = Coming { reads: 0, ..Coming::new("stalled") }.enters(&rooms).unwrap();
    let stays = enter(&rooms, "r", "stays");
    stays.says(r#"{"type":"message","data":1}"#).unwrap();
    for _ in 0..2 * ANNOUNCEMENTS {
        visit(&rooms).unwrap();
    }
    stalled.reads_on();
    let heard = stalled.hears();
    assert!(heard[1].contains("peer_joined") && heard[2].contains(r#""from":"stays""#), "{:?}", &heard[..3]);
    assert!(heard.iter().skip(3).all(|text| text.contains("visitor")) && heard.len().is_multiple_of(3));
}

#[test]
fn those_who_come_and_go_without_a_word_leave_nothing_to_one_that_reads_nothing() {
    let rooms = rooms(3);
    let stalled = Coming { reads: 0, ..Coming::new("stalled") }.enters(&rooms).unwrap();
    for _ in 0..2 * ANNOUNCEMENTS {
        drop(try_enter(&rooms, "r", "a").unwrap());
    }
    let _stays = enter(&rooms, "r", "b");
    stalled.reads_on();
    let heard = stalled.hears();
    assert_eq!(heard.len(), 2, "{heard:?}");
    assert_eq!(heard[1], r#"{"type":"peer_joined","id":"b"}"#);
}

#[test]
fn who_said_something_has_come_and_gone() {
    let rooms = rooms(3);
    let stalled = Coming { reads: 0, ..Coming::new("stalled") }.enters(&rooms).unwrap();
    visit(&rooms).unwrap();
    stalled.reads_on();
    let kinds = ["joined", "peer_joined", "message", "peer_left"];
    let heard = stalled.hears();
    assert!(heard.len() == 4 && heard.iter().zip(kinds).all(|(text, kind)| text.contains(kind)), "{heard:?}");
}

#[test]
fn who_was_let_in_has_come_and_gone_for_the_host_that_saw_it_knock() {
    let rooms = rooms(3);
    let host = enter(&rooms, "r", "host");
    host.commands(&HostCommand::Lock { is_locked: true }).unwrap();
    let (visitor, _knock) = Coming::new("visitor").knocks(&rooms).unwrap();
    host.hears();
    host.reads_no_more();
    host.commands(&HostCommand::Admit { to: "visitor".into() }).unwrap();
    drop(visitor);
    host.reads_on();
    let heard = host.hears();
    assert!(heard.len() == 2 && heard[0].contains("peer_joined") && heard[1].contains("peer_left"), "{heard:?}");
}

#[test]
fn of_the_host_and_the_lock_one_hears_that_reads_late_what_is_so_then() {
    let rooms = rooms(4);
    let [one, two] = ["one", "two"].map(|id| enter(&rooms, "r", id));
    let late = Coming { reads: 0, ..Coming::new("late") }.enters(&rooms).unwrap();
    for _ in 0..ANNOUNCEMENTS {
        one.commands(&HostCommand::Lock { is_locked: true }).unwrap();
        one.commands(&HostCommand::Lock { is_locked: false }).unwrap();
        one.commands(&HostCommand::MakeHost { to: "two".into() }).unwrap();
        two.commands(&HostCommand::MakeHost { to: "one".into() }).unwrap();
    }
    late.reads_on();
    let heard = late.hears();
    assert_eq!(heard[1..], [r#"{"type":"room","locked":false}"#, r#"{"type":"host","id":"one"}"#]);
}
