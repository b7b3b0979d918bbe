//! How a client enters a room, or begins to knock at one that is locked.

use std::sync::Arc;

use super::deferred::Deferred;
use super::event::{Event, LeaveReason, NoticeCode};
use super::knocks::Knock;
use super::member::PendingMember;
use super::names::RoomName;
use super::password::Password;
use super::refusal::JoinError;
use super::reserve::NEWCOMER;
use super::room::Locked;
use super::table::{Membership, Rooms};
use super::wrong_passwords::WrongPasswords;
use crate::limits::LOBBY_IDLE;
use crate::outbox::{CloseRequest, Sender, Topic};

impl Rooms {
    /// Enters a room: sends the client `joined` and the held offer, and `peer_joined` to the others. If the room is locked,
    /// the client knocks instead, and the membership begins when it is let in.
    ///
    /// # Errors
    /// [`JoinError`]; then nobody is told anything.
    pub(crate) fn enter(
        self: &Arc<Self>,
        name: &RoomName,
        pending: PendingMember,
        deferred: &mut Deferred,
    ) -> Result<(Membership, Option<Knock>), JoinError> {
        loop {
            let room = self.room(name)?;
            let mut locked = room.lock(deferred);
            if locked.close_if_over() {
                // It is about to be removed, and a new one takes its name.
                drop(locked);
                self.remove(&room);
                continue;
            }
            let (id, sender) = (pending.id.clone(), pending.outbox.sender().clone());
            let ice_servers = pending.ice_servers.clone();
            let entered = locked.enter(pending, &self.wrong_passwords);
            let is_closed = entered.is_err() && locked.state.close_if_empty();
            drop(locked);
            if is_closed {
                self.remove(&room);
            }
            let (serial, knock) = entered?;
            return Ok((Membership::new(Arc::clone(self), room, id, sender, serial, ice_servers), knock));
        }
    }
}

impl Locked<'_> {
    /// Returns the number that the client has in the room, and its knock if it has to wait.
    fn enter(
        &mut self,
        mut pending: PendingMember,
        wrong_passwords: &WrongPasswords,
    ) -> Result<(u64, Option<Knock>), JoinError> {
        self.give_up_unread(NEWCOMER);
        if self.state.members.is_empty() {
            self.observe_if_empty();
            self.clear_door(LeaveReason::Timeout);
        }
        if let Some(door) = &mut self.state.door {
            if let Err(error) = door.check(&pending, &self.room.name, wrong_passwords) {
                self.tell_of_guesses(pending.outbox.sender());
                return Err(error);
            }
            if door.is_closed_to(pending.role) {
                let serial = self.state.next_serial();
                return Ok((serial, Some(self.knock(pending, serial)?)));
            }
        }
        match self.check(&pending) {
            Err(JoinError::Full(capacity)) if self.room.idle_give_way => self.make_way(&pending, capacity)?,
            checked => checked?,
        }
        if self.state.members.is_empty()
            && !self.state.is_booked()
            && let Some(secret) = pending.password.take()
        {
            self.state.door.get_or_insert_default().password = Some(Password::new(secret));
        }
        let serial = self.state.next_serial();
        self.add(pending, serial, None);
        Ok((serial, None))
    }

    /// Tells the host that somebody guesses the password, if it has not just been told. It is left out if it does not fit.
    fn tell_of_guesses(&mut self, guesser: &Sender) {
        let Some(host) = self.state.host().map(|host| Arc::clone(&host.outbox)) else { return };
        let Some(password) = self.state.door.as_mut().and_then(|door| door.password.as_mut()) else { return };
        if password.is_guessed() && host.room_for_announcements(1) {
            password.note_told();
            let event = Event::Notice { code: NoticeCode::PasswordGuessing };
            self.at_no_charge(|room| room.post.tell(guesser, &host, Topic::Other, &event));
        }
    }

    /// Whether `pending` may be added.
    pub(super) fn check(&self, pending: &PendingMember) -> Result<(), JoinError> {
        self.state.check(pending, pending.capacity.unwrap_or(self.room.capacity))
    }

    /// Ends the connection of the member that was idle for longest, if that is [`LOBBY_IDLE`] at least, so that `pending`
    /// can enter although `capacity` is reached.
    fn make_way(&mut self, pending: &PendingMember, capacity: usize) -> Result<(), JoinError> {
        let oldest = self.state.members.iter().enumerate().min_by_key(|(_, member)| member.active);
        let Some((position, _)) = oldest.filter(|(_, member)| member.active.elapsed() >= LOBBY_IDLE) else {
            return Err(JoinError::Full(capacity));
        };
        // Whether there is room for one more is not the only question: nobody gives way to one who cannot enter anyway.
        self.state.check(pending, capacity + 1)?;
        let member = self.at_no_charge(|room| room.remove(position, LeaveReason::Idle));
        member.outbox.request_close(CloseRequest::GaveWay);
        Ok(())
    }
}
