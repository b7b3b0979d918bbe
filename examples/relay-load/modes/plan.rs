//! Who is there and what each does, in the modes whose members talk.

/// What the members do.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// The mode's name.
    pub(crate) mode: &'static str,
    /// Honest members.
    pub(crate) members: usize,
    /// Members of a room.
    pub(crate) room_size: usize,
    /// Members who flood, in rooms of their own.
    pub(crate) flooders: usize,
    /// What the last member of each room reads a second, where it reads slowly.
    pub(crate) slow_bytes: Option<usize>,
    /// Messages under way in each room.
    pub(crate) window: usize,
    /// Messages a second, of all together; a closed loop otherwise.
    pub(crate) rate: Option<f64>,
    /// Whether messages go to one member rather than to all.
    pub(crate) addressed: bool,
}

impl Plan {
    /// Rooms of `room_size` that `members` fill, in which one message is under way, to everyone.
    pub(crate) fn new(mode: &'static str, members: usize, room_size: usize) -> Self {
        Self { mode, members, room_size, flooders: 0, slow_bytes: None, window: 1, rate: None, addressed: false }
    }

    /// The members of each room, from its first, who talk and listen.
    pub(crate) fn listeners(&self) -> usize {
        self.room_size - usize::from(self.slow_bytes.is_some())
    }

    /// Whom a message of `from` goes to: the next in its room, or everyone.
    pub(crate) fn addressee(&self, from: usize) -> Option<usize> {
        let slot = from % self.room_size;
        self.addressed.then(|| from - slot + (slot + 1) % self.room_size)
    }
}
