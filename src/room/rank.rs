//! What a member counts as when a room chooses its host.
//!
//! Members with the role come before those without it. Among equals, the one that a host chose last comes first, and then
//! the oldest.

use std::cmp::Reverse;

use super::role::Role;

/// What a member counts as. It is small, because each connection in a room has one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rank {
    /// Whether its grant gave it the role.
    has_role: bool,
    /// Whether it counts as one who has the role, because such a host chose it.
    counts_as_host: bool,
    /// When a host chose it: more is later, 0 is never.
    chosen: u32,
}

impl Rank {
    /// The rank of a new member.
    pub(super) fn new(role: Role) -> Self {
        let has_role = role == Role::Host;
        Self { has_role, counts_as_host: has_role, chosen: 0 }
    }

    /// What sorts members: the first is the host. Of equals it is the oldest.
    pub(super) fn order(self) -> impl Ord {
        (Reverse(self.counts_as_host), Reverse(self.chosen))
    }

    /// Whether a member with this rank may choose another host in place of `host`, who is somebody else.
    pub(super) fn may_replace(self, host: Self) -> bool {
        self.has_role && !host.has_role
    }

    /// When a host chose it.
    pub(super) fn chosen(self) -> u32 {
        self.chosen
    }

    /// Comes first from now on among those that count as much as `giver`, who chooses it; the one that was chosen before
    /// was that at `latest`.
    pub(super) fn choose(&mut self, giver: Self, latest: u32) {
        self.counts_as_host |= giver.counts_as_host;
        self.chosen = latest.saturating_add(1);
    }
}
