//! The wires of other libraries: y-webrtc, Trystero, PeerJS, matchbox, RxDB.

use std::time::Duration;

/// Topics to which one connection may be subscribed, or publish, at a time. A page of y-webrtc has one for each document, and one
/// of Trystero one for each room, its own, and that of each peer that it greets.
pub const TOPICS: usize = 128;
/// Bytes of the names of these topics: those of y-webrtc's rooms are short, and those of Trystero have 36 characters.
pub const TOPIC_NAMES_BYTES: usize = 16 * 1024;
/// The longest name of a topic, in bytes: as long as the name of a room may be as it is written.
pub const TOPIC_NAME_BYTES: usize = 1024;
/// Subscribers of one topic of y-webrtc: a page connects to 20 to 34 others, so more than a hundred are too many for it anyway.
pub const Y_WEBRTC_SUBSCRIBERS: usize = 128;
/// Subscribers of one topic of Trystero, whose older clients announce themselves to all of it each 5.3 s for ever: 64 are 760
/// deliveries a second.
pub const TRYSTERO_SUBSCRIBERS: usize = 64;
/// Memory of one topic of a connection, in bytes, besides its name, which is there twice: the entry of the connection, its place
/// among the subscribers, the topic itself, and the ids by which it is known there.
pub const TOPIC_BYTES: usize = 1024;
/// Ids by which one subscriber is known in a topic; who has more gets everything that is said there. A page has one, and another
/// one when it leaves a room and enters it again.
pub const TOPIC_IDS: usize = 4;
/// The longest of them, in bytes: a UUID has 36.
pub const TOPIC_ID_BYTES: usize = 64;
/// Bytes of peers' messages that may wait for one client of these wires: 64 senders with a full share each. If there are more,
/// they wait.
pub const WIRE_OUTBOX_BYTES: usize = 64 * super::SHARE_BYTES;
/// How many deliveries cost as much as one message of the rate. A newcomer among 34 with a password sends 400 messages at once,
/// each to all, which are 13,600 deliveries: with their own price, and that of the messages, they are within the burst.
pub const DELIVERIES_A_MESSAGE: u32 = 10;
/// Deliveries that the relay makes for one connection on these wires before other tasks get a turn: about as many as 32
/// broadcasts in a room of eight.
pub const DELIVERIES_A_TURN: usize = 256;
/// How long one message may wait for a receiver that reads, but too slowly; then its connection is closed, and it dials again.
/// One that reads nothing is closed after [`WRITE_DEADLINE`](super::WRITE_DEADLINE). It is below the 15 s in which a page of
/// y-webrtc, from which nothing is read meanwhile, wants to hear something.
pub const WIRE_PATIENCE: Duration = Duration::from_secs(10);
/// How often a message that waits is tried again: a receiver without memory wakes nobody.
pub const WIRE_LOOK: Duration = Duration::from_millis(50);
/// How often a client from which nothing is read hears something all the same: half of the 15 s after which a page of y-webrtc
/// looks whether it heard anything.
pub const WIRE_SIGN_OF_LIFE: Duration = Duration::from_millis(7_500);

/// The longest id of PeerJS, in bytes: one that its server makes has 36, and pages that make their own use up to some 200.
pub const PEERJS_ID_BYTES: usize = 256;
/// The longest key of PeerJS that is no token, in bytes, and the longest of the texts by which a client knows its id again: as
/// long as any other name on these wires. The client makes one of some ten characters.
pub const PEERJS_KEY_BYTES: usize = 1024;
/// How long what was said to an id that nobody has is held, from the first message on, as long as PeerJS's own server does: a page
/// that is about to come, or loses its connection and comes back, needs a second or two.
pub const PEERJS_MAIL_FOR: Duration = Duration::from_secs(5);
/// Messages that are held for one id: an offer, and more candidates than any machine has.
pub const PEERJS_MAIL_MESSAGES: usize = 256;
/// Bytes that are held for one id: some forty offers of a video call.
pub const PEERJS_MAIL_BYTES: usize = 256 * 1024;
/// Bytes that are held of the clients of one address: a hundred calls at once to who is not there yet.
pub const PEERJS_MAIL_ADDRESS_BYTES: usize = 1024 * 1024;
/// Bytes that are held in all: sixty-four addresses with as much as they may.
pub const PEERJS_MAIL_ALL_BYTES: usize = 64 * 1024 * 1024;
/// Memory of a message that is held, in bytes, besides its own: its entry, and, if it is the first, that of the id and the timer.
/// It counts in what one address and all may have held.
pub const PEERJS_LETTER_BYTES: usize = 256;
/// Memory of a client of PeerJS, in bytes, besides its texts: its entry among the ids.
pub const PEERJS_CLIENT_BYTES: usize = 256;

/// Members of a group of matchbox, and the largest `next`: as many as a room of the relay's own may have at most. Each of them
/// makes an offer to each newcomer.
pub const MATCHBOX_MEMBERS: usize = 256;
/// Memory of one member of a group of matchbox, in bytes, besides its client and the name of its room: its entry, and the group
/// of which it may be the only member.
pub const MATCHBOX_MEMBER_BYTES: usize = 512;

/// Members of a room of RxDB: each coming and going sends a list of all to all, which is 4,096 ids for a full room. Databases
/// that replicate with each other one by one are seldom more than a dozen.
pub const RXDB_MEMBERS: usize = 64;
/// How many characters the name of a room of RxDB may have, in UTF-16: as for its own server.
pub const RXDB_NAME_CHARS: std::ops::RangeInclusive<usize> = 6..=99;
