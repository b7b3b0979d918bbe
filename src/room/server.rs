//! What the application's own server does in rooms, by the address for operators. What it repeats is charged to an account of
//! its own.

use std::borrow::Cow;
use std::mem;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use dashmap::mapref::entry::Entry;
use tokio::time::Instant;

use super::booking::Booking;
use super::bookings::Added;
use super::deferred::Deferred;
use super::door::Door;
use super::event::{Event, HostCommand, LeaveReason, Signal, SignalKind};
use super::names::{PeerId, RoomName};
use super::observer::RoomChange;
use super::password::Password;
use super::rank::Rank;
use super::refusal::{ErrorCode, JoinError, Refusal, denied, not_found};
use super::reserve::NEWCOMER;
use super::role::Role;
use super::room::{Locked, Room, RoomSettings};
use super::table::Rooms;
use crate::limits::{BOOKED_BYTES, BOOKED_ROOMS};
use crate::outbox::{CloseRequest, Pushed, Sender};
use crate::secret::Secret;

/// A room that is to be made ahead of time.
#[derive(Debug)]
pub(crate) struct NewRoom {
    /// Its name.
    pub name: RoomName,
    /// Its password.
    pub password: Option<Secret>,
    /// How many members it takes; without it, as many as any room.
    pub capacity: Option<usize>,
    /// Whether it is locked.
    pub is_locked: bool,
    /// For how long it is there without members.
    pub lasts: Duration,
}

/// Why the server's wish is not carried out.
#[derive(Debug)]
pub(crate) enum ServerError {
    /// There is no such room.
    NoRoom,
    /// There is such a room already.
    RoomExists,
    /// As many rooms as may be were made ahead of time.
    TooManyRooms,
    /// The same as a host would hear.
    Refused(Refusal),
}

impl From<Refusal> for ServerError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<JoinError> for ServerError {
    fn from(error: JoinError) -> Self {
        Self::Refused(error.into())
    }
}

impl Rooms {
    /// Makes a room ahead of time, whose memory is charged to `server`.
    ///
    /// # Errors
    /// [`ServerError`]; `unavailable` while the relay is drained, or if there is no memory.
    pub(crate) fn book(&self, server: &Sender, new: NewRoom) -> Result<(), ServerError> {
        self.end_bookings();
        if self.is_draining() {
            return Err(JoinError::Draining.into());
        }
        if self.find(&new.name).is_some() {
            return Err(ServerError::RoomExists);
        }
        let memory = server.purse().charge(BOOKED_BYTES).ok_or(JoinError::NoMemory)?;
        let capacity = new.capacity.unwrap_or(self.settings.capacity);
        let until = Instant::now() + new.lasts;
        let ownership = self.ownership(&new.name)?;
        let room = Arc::new(Room::new(new.name, &RoomSettings { capacity, ..self.settings.clone() }, ownership));
        let booking = Booking { until, is_locked: new.is_locked, _memory: memory };
        room.state().door = Some(Box::new(Door::of_booked(booking, new.password.map(Password::new))));
        let insert = || match self.table.entry(room.name.clone()) {
            Entry::Occupied(_) => false,
            // It was lost a moment ago: then it ends with the next assertion, as a room that somebody enters now does.
            Entry::Vacant(entry) => {
                entry.insert(Arc::clone(&room));
                true
            }
        };
        match self.bookings.add(BOOKED_ROOMS, until, &room, insert) {
            Added::Done => Ok(()),
            Added::TooMany => Err(ServerError::TooManyRooms),
            Added::Taken => Err(ServerError::RoomExists),
        }
    }

    /// Carries out in a room what a host may do.
    ///
    /// # Errors
    /// [`ServerError`], with the refusals that a host gets.
    pub(crate) fn command(
        &self,
        server: &Sender,
        name: &RoomName,
        command: &HostCommand<'_>,
    ) -> Result<(), ServerError> {
        let mut deferred = Deferred::default();
        let room = self.find(name).ok_or(ServerError::NoRoom)?;
        let mut locked = room.lock(&mut deferred);
        if locked.state.is_closed {
            return Err(ServerError::NoRoom);
        }
        let most = NEWCOMER.max(locked.state.change());
        locked.give_up_unread(most);
        locked.carry_out((&PeerId::server(), Rank::new(Role::Host)), server, command)?;
        if let HostCommand::Lock { is_locked } = command
            && let Some(booking) = locked.state.door.as_mut().and_then(|door| door.booking.as_mut())
        {
            booking.is_locked = *is_locked;
        }
        Ok(())
    }

    /// Sends a `message` with this JSON as its `data` to the member `to`, or to all members of a room. Returns who did not get
    /// it, because it reads slowly, its connection is about to end, or there is no memory for it; and how many got it.
    ///
    /// # Errors
    /// [`ServerError`]; `peer_not_found` if there is no receiver.
    pub(crate) fn tell(
        &self,
        server: &Sender,
        name: &RoomName,
        to: Option<&str>,
        data: &str,
    ) -> Result<(Vec<PeerId>, usize), ServerError> {
        let mut deferred = Deferred::default();
        let room = self.find(name).ok_or(ServerError::NoRoom)?;
        let from = PeerId::server();
        let quoted = to.map(|to| format!("\"{to}\""));
        let mut fields = vec![("\"data\"", data)];
        fields.extend(quoted.as_deref().map(|to| ("\"to\"", to)));
        let bytes = data.len() + to.map_or(0, str::len) + 32;
        let signal = Signal { kind: SignalKind::Message, to: to.map(Cow::Borrowed), bytes, fields };
        let state = room.state();
        // Before it is written, because what is no id may contain anything.
        let is_receiver = |id: &PeerId| to.is_none_or(|to| id.as_str() == to);
        if !state.members.iter().any(|member| is_receiver(&member.id)) {
            return Err(to.map_or_else(nobody, |to| not_found(to, &from)).into());
        }
        let Some(frame) = (room.encode)(&Event::Signal { from: &from, signal: &signal }) else {
            return Ok((Vec::new(), 0));
        };
        let (mut missed, mut queued) = (Vec::new(), 0);
        for member in state.members.iter().filter(|member| is_receiver(&member.id)) {
            let pushed = member.outbox.push(server, &frame, Waker::noop());
            match pushed {
                Pushed::Queued => queued += 1,
                // Nobody waits until there is room.
                Pushed::Full => member.outbox.give_up(server),
                Pushed::Busy | Pushed::Closed => {}
            }
            if pushed != Pushed::Queued {
                missed.push(member.id.clone());
            }
            deferred.add(&member.outbox);
        }
        Ok((missed, queued))
    }

    /// Removes all members of a room, who are told `why`, and those who knock; then there is no such room. Returns how many
    /// members it had.
    ///
    /// # Errors
    /// [`ServerError::NoRoom`]
    pub(crate) fn close(&self, name: &RoomName, why: Option<&str>) -> Result<usize, ServerError> {
        let mut deferred = Deferred::default();
        let room = self.find(name).ok_or(ServerError::NoRoom)?;
        let members = room.lock(&mut deferred).close(why.unwrap_or("the server closed the room"));
        self.remove(&room);
        self.bookings.remove(&room);
        Ok(members)
    }

    /// The room with this name, if it is not about to be removed.
    pub(super) fn find(&self, name: &RoomName) -> Option<Arc<Room>> {
        let room = Arc::clone(&*self.table.get(name)?);
        if room.lock(&mut Deferred::default()).close_if_over() {
            self.remove(&room);
            return None;
        }
        Some(room)
    }

    /// Ends the rooms that were made ahead of time and whose time is over. Where there are members, they stay.
    pub(super) fn end_bookings(&self) {
        for room in self.bookings.take_over() {
            let mut deferred = Deferred::default();
            let mut locked = room.lock(&mut deferred);
            let is_closed = locked.close_if_over();
            if let Some(door) = &mut locked.state.door {
                door.booking = None;
            }
            drop(locked);
            if is_closed {
                self.remove(&room);
            }
        }
    }
}

impl Locked<'_> {
    /// Removes everybody. The members are not told of each other: all of them go.
    fn close(&mut self, why: &str) -> usize {
        let members = mem::take(&mut self.state.members);
        let refusal = Refusal::new(ErrorCode::Kicked, why.to_owned());
        let told = (self.room.encode)(&Event::Error { refusal: &refusal, reference: None });
        let count = members.len();
        for mut member in members {
            if let Some(act) = member.on_removed.take() {
                self.post.deferred.add_removed(act, LeaveReason::Kicked);
            }
            if let Some(frame) = &told {
                member.outbox.answer(frame.clone());
                self.post.note_delivery(&member.outbox);
            }
            member.outbox.request_close(CloseRequest::Kicked);
            self.observe(|_| Some(RoomChange::Left { id: &member.id, reason: LeaveReason::Kicked }));
        }
        self.observe_if_empty();
        let knockers = self.state.door.take().map(|mut door| door.take_all());
        for knocker in knockers.into_iter().flatten() {
            self.post.refuse(knocker, denied("the server closed the room"));
        }
        (self.state.held, self.state.has_kicked, self.state.is_closed) = (None, true, true);
        count
    }
}

fn nobody() -> Refusal {
    Refusal::new(ErrorCode::PeerNotFound, "nobody is in the room")
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::super::names::ROOM_NAME_CHARS;
    use super::super::tests::{Coming, Somebody, rooms};
    use super::*;
    use crate::budget::Budget;
    use crate::limits::PASSWORD_BYTES;
    use crate::outbox::ConnectionId;

    /// The server, with this much memory for all that it causes.
    fn server(memory: usize) -> Sender {
        Sender::new(ConnectionId::new(0), Budget::new(0, memory).address().purse())
    }

    fn name() -> RoomName {
        RoomName::parse("r").unwrap()
    }

    fn new_room(is_locked: bool, lasts: u64) -> NewRoom {
        NewRoom { name: name(), password: None, capacity: None, is_locked, lasts: Duration::from_secs(lasts) }
    }

    fn code(error: ServerError) -> ErrorCode {
        match error {
            ServerError::Refused(refusal) => refusal.code,
            other => panic!("{other:?}"),
        }
    }

    fn enter(rooms: &Arc<Rooms>, id: &str) -> Somebody {
        Coming::new(id).enters(rooms).unwrap()
    }

    const LOCK: HostCommand<'_> = HostCommand::Lock { is_locked: true };

    #[test]
    fn a_member_misses_a_message_for_which_the_server_has_no_memory() {
        let (rooms, server) = (rooms(3), server(64 * 1024));
        let reads = enter(&rooms, "reads");
        let _stalled = Coming { reads: 0, ..Coming::new("stalled") }.enters(&rooms).unwrap();
        let data = format!("\"{}\"", "x".repeat(10_000));
        let missed = |_| rooms.tell(&server, &name(), None, &data).unwrap().0;
        let misses: Vec<_> = (0..10).map(missed).collect();
        assert!(misses[0].is_empty() && misses[9] == [PeerId::parse("stalled").unwrap()], "{misses:?}");
        assert!(server.purse().account().used() <= 64 * 1024);
        assert_eq!(reads.hears().iter().filter(|text| text.contains(r#""from":"@server""#)).count(), 10);
        while server.purse().pin(100) {}
        assert_eq!(code(rooms.command(&server, &name(), &LOCK).unwrap_err()), ErrorCode::Unavailable);
    }

    #[test]
    fn a_room_that_is_made_needs_no_more_memory_than_is_charged_for_it() {
        let [name, password] = [4 * ROOM_NAME_CHARS, PASSWORD_BYTES];
        // Tables of these are twice as large as what is in them, at most.
        let tables = 2 * (size_of::<(RoomName, Arc<Room>)>() + size_of::<(Instant, Arc<Room>)>() + 1);
        let counts = 4 * size_of::<usize>();
        let room = size_of::<Room>() + size_of::<Door>() + name + password + counts + tables;
        assert!((BOOKED_BYTES / 2..=BOOKED_BYTES).contains(&room), "{room}");
    }

    #[test]
    fn what_waits_of_the_server_is_charged_to_it_until_it_is_written() {
        let (rooms, server) = (rooms(3), server(0));
        server.purse().close();
        let stalled = Coming { reads: 0, ..Coming::new("stalled") }.enters(&rooms).unwrap();
        rooms.tell(&server, &name(), Some("stalled"), "1").unwrap();
        assert!(server.purse().account().used() > 0);
        stalled.reads_on();
        assert_eq!(server.purse().account().used(), 0);
    }

    #[test]
    fn a_member_that_is_away_gets_a_message_when_it_comes_back_and_one_whose_share_is_full_misses_it() {
        let (rooms, server) = (rooms(3), server(0));
        let away = Coming { may_resume: true, ..Coming::new("away") }.enters(&rooms).unwrap();
        away.is_cut();
        for _ in 0..crate::limits::SHARE_MESSAGES {
            assert!(rooms.tell(&server, &name(), None, "1").unwrap().0.is_empty());
        }
        assert_eq!(rooms.tell(&server, &name(), None, "1").unwrap(), (vec![PeerId::parse("away").unwrap()], 0));
    }

    #[test]
    fn whom_the_server_removes_stays_out_if_it_is_a_person() {
        let (rooms, server) = (rooms(3), server(0));
        let _other = enter(&rooms, "other");
        let person = Coming { is_identified: true, ..Coming::new("person") };
        let _member = person.enters(&rooms).unwrap();
        let kick = HostCommand::Kick { to: "person".into(), message: None };
        rooms.command(&server, &name(), &kick).unwrap();
        assert!(matches!(person.enters(&rooms), Err(JoinError::Banned)));
    }

    #[test]
    fn of_a_room_that_is_closed_one_who_is_away_is_given_up_and_nothing_stays() {
        let (rooms, server) = (rooms(3), server(0));
        let (one, away) = (enter(&rooms, "one"), Coming { may_resume: true, ..Coming::new("away") });
        let away = away.enters(&rooms).unwrap();
        away.is_cut();
        rooms.command(&server, &name(), &LOCK).unwrap();
        let (_waits, mut knock) = Coming::new("waits").knocks(&rooms).unwrap();
        one.hears();
        assert_eq!(rooms.close(&name(), None).unwrap(), 2);
        let heard = one.hears();
        assert!(heard.len() == 1 && heard[0].contains(r#""code":"kicked""#), "{heard:?}");
        assert_eq!(knock.outcome().unwrap().unwrap_err().unwrap().code, ErrorCode::Denied);
        assert!(rooms.is_empty() && matches!(rooms.close(&name(), None), Err(ServerError::NoRoom)));
        // A new room has the name by now, and those who leave the old one leave it alone.
        let _next = enter(&rooms, "next");
        drop((one, away));
        assert_eq!(rooms.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_room_that_was_made_outlasts_its_members_until_its_time() {
        let (rooms, server) = (rooms(3), server(0));
        server.purse().close();
        rooms.book(&server, new_room(false, 600)).unwrap();
        assert!(server.purse().account().used() >= BOOKED_BYTES);
        for _ in 0..2 {
            let member = enter(&rooms, "a");
            member.commands(&LOCK).unwrap();
            drop(member);
            assert_eq!(rooms.len(), 1, "and the lock is gone");
            advance(Duration::from_secs(299)).await;
        }
        // One who is in when its time is over stays.
        let member = enter(&rooms, "a");
        advance(Duration::from_secs(2)).await;
        assert!(matches!(rooms.book(&server, new_room(false, 600)), Err(ServerError::RoomExists)));
        assert_eq!(server.purse().account().used(), 0, "it is a room as any other");
        drop(member);
        assert!(rooms.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_when_the_time_of_an_empty_room_is_over_comes_to_a_new_one() {
        let (rooms, server) = (rooms(3), server(0));
        let booked = NewRoom { password: Some(Secret::new("p")), capacity: Some(0), ..new_room(true, 600) };
        rooms.book(&server, booked).unwrap();
        assert!(matches!(Coming::new("a").enters(&rooms), Err(JoinError::WrongPassword)));
        assert_eq!(rooms.len(), 1, "a join that fails leaves it there");
        advance(Duration::from_secs(600)).await;
        let _member = enter(&rooms, "a");
        rooms.drain(true);
        assert!(matches!(Coming { room: "other", ..Coming::new("b") }.enters(&rooms), Err(JoinError::Draining)));
        enter(&rooms, "b");
    }

    #[tokio::test(start_paused = true)]
    async fn who_knocks_where_nobody_is_in_waits_until_the_server_decides_or_the_time_is_over() {
        let (rooms, server) = (rooms(3), server(0));
        rooms.book(&server, new_room(true, 600)).unwrap();
        let [(one, mut first), (other, mut second)] =
            ["one", "other"].map(|id| Coming::new(id).knocks(&rooms).unwrap());
        rooms.command(&server, &name(), &HostCommand::Admit { to: "one".into() }).unwrap();
        assert!(first.outcome().unwrap().is_ok());
        drop(one);
        assert!(second.outcome().is_none(), "it waits on, although everybody has left");
        let (gives_up, _) = Coming::new("gives_up").knocks(&rooms).unwrap();
        drop(gives_up);
        assert_eq!(rooms.len(), 1);
        advance(Duration::from_secs(600)).await;
        assert!(rooms.view(&name()).is_none());
        assert_eq!(second.outcome().unwrap().unwrap_err().unwrap().code, ErrorCode::Denied);
        drop(other);
        assert!(rooms.is_empty());
    }
}
