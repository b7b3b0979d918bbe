//! Who is the host of a room.
//!
//! Members with the role come before those without it. Among equals, the one that a host chose last comes first, and then
//! the oldest.

use std::cmp::Reverse;

use super::Role;
use super::state::Member;

/// What a member counts as. It is small, because each connection in a room has one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing {
    /// Whether its grant gave it the role.
    has_role: bool,
    /// Whether it counts as one who has the role, because such a host chose it.
    counts_as_host: bool,
    /// Whether its id stands for one person.
    pub(super) is_identified: bool,
    /// When a host chose it: more is later, 0 is never.
    chosen: u32,
}

impl Standing {
    /// The standing of a newcomer.
    pub(super) fn new(role: Role, is_identified: bool) -> Self {
        let has_role = role == Role::Host;
        Self { has_role, counts_as_host: has_role, is_identified, chosen: 0 }
    }
}

/// The position of the host among `members`, which are sorted by age, oldest first.
pub(super) fn position(members: &[Member]) -> Option<usize> {
    let order = |member: &Member| (Reverse(member.standing.counts_as_host), Reverse(member.standing.chosen));
    // Of equal ones, this is the first.
    members.iter().enumerate().min_by_key(|(_, member)| order(member)).map(|(position, _)| position)
}

/// Whether `giver` may make another member the host in place of `host`: the host itself may, and who has the role may
/// take it from one who does not.
pub(super) fn may_hand_over(giver: &Member, host: &Member) -> bool {
    giver.serial == host.serial || (giver.standing.has_role && !host.standing.has_role)
}

/// Puts the member at `chosen` first among those that count as much as `giver`.
pub(super) fn choose(members: &mut [Member], giver: Standing, chosen: usize) {
    let latest = members.iter().map(|member| member.standing.chosen).max().unwrap_or_default();
    if let Some(member) = members.get_mut(chosen) {
        member.standing.counts_as_host |= giver.counts_as_host;
        member.standing.chosen = latest.saturating_add(1);
    }
}
