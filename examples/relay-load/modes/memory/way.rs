//! The ways in which clients fill the memory of a relay: what each of them says, and how it reads. Independent of sockets.

use std::fmt::Write as _;
use std::time::Duration;

use clap::ValueEnum;
use serde::Serialize;

/// Bytes of a large message: the relay accepts 64 KiB.
const LARGE: usize = 60_000;
/// Bytes of a small message: what a queue costs besides the bytes counts most there.
const SMALL: usize = 100;
/// Bytes of a half message that come; its frame declares one more.
const HALF: usize = 65_000;
/// Bytes of a half request that come: the relay accepts 16 KiB.
const HALF_HEAD: usize = 15_000;
/// Requests on one connection that are sent at once.
const REQUESTS: usize = 64;
/// How long a client lives that leaves a place behind: long enough to fill it.
const FILLED: Duration = Duration::from_secs(10);
/// How long a client stays that comes back again and again.
const STAY: Duration = Duration::from_secs(2);

/// One way to fill memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Way {
    /// Large messages to members who hardly read
    Unread,
    /// Small messages to members who hardly read
    Small,
    /// Large messages to a member who reads all and may resume, so that the relay keeps them
    Replay,
    /// Small messages to such a member
    Kept,
    /// The same, and then the connection is lost: places are held, with what waits and what is kept
    Places,
    /// A client that comes back every few seconds, and says each time that it has received nothing
    Returns,
    /// Messages of a few bytes and much white space, which is not relayed
    Blanks,
    /// Messages that are answered with errors, by a client that reads all and answers no ping, so that the relay keeps them
    Mute,
    /// An offer that waits for somebody
    Offers,
    /// Messages that are begun and not ended
    Halves,
    /// Messages to receivers with long names who do not exist, by a member who hardly reads
    Errors,
    /// Members with long names come and go, and the others hardly read
    Churn,
    /// Clients with long names knock and go, and the host hardly reads
    Knocks,
    /// Many requests for the page on one connection, and no answer is read
    Pages,
    /// Requests that are begun and not ended
    Heads,
}

impl Way {
    /// Every way.
    pub(crate) const ALL: [Self; 15] = [
        Self::Unread,
        Self::Small,
        Self::Replay,
        Self::Kept,
        Self::Places,
        Self::Returns,
        Self::Blanks,
        Self::Mute,
        Self::Offers,
        Self::Halves,
        Self::Errors,
        Self::Churn,
        Self::Knocks,
        Self::Pages,
        Self::Heads,
    ];

    /// Whether its clients speak plain HTTP.
    pub(crate) fn is_http(self) -> bool {
        matches!(self, Self::Pages | Self::Heads)
    }

    /// Clients in a room, where `capacity` may be there.
    fn room_size(self, capacity: usize) -> usize {
        match self {
            Self::Replay | Self::Kept | Self::Places | Self::Returns => 2,
            Self::Offers | Self::Halves | Self::Errors | Self::Mute => 1,
            _ => capacity,
        }
    }

    /// Whether its clients may come back for what they have missed.
    fn resumes(self) -> bool {
        !matches!(self, Self::Unread | Self::Small | Self::Blanks | Self::Halves)
    }

    /// Whether its clients read all that comes; the others read so little that they are not cut off.
    pub(crate) fn reads_all(self) -> bool {
        use Way::{Halves, Heads, Kept, Mute, Offers, Places, Replay, Returns};
        matches!(self, Replay | Kept | Places | Returns | Mute | Offers | Halves | Heads)
    }

    /// Whether its clients answer pings.
    pub(crate) fn answers_pings(self) -> bool {
        self != Self::Mute
    }
}

/// Which of the clients of one way at one address a client is.
#[derive(Debug, Clone)]
pub(crate) struct Seat {
    pub(crate) way: Way,
    /// Names the address and this run.
    prefix: String,
    /// Counts the rooms from 0.
    room: usize,
    /// Counts the members of the room from 0.
    role: usize,
    /// Members of the room.
    size: usize,
    /// Counts the lives of the client. Each of those who leave a place behind has a room of its own.
    life: u32,
    /// What it comes back with.
    token: Option<String>,
}

impl Seat {
    /// The seat of client `index` among those of `way` at one address.
    pub(crate) fn new(way: Way, prefix: String, index: usize, capacity: usize) -> Self {
        let size = way.room_size(capacity);
        Self { way, prefix, room: index / size, role: index % size, size, life: 0, token: None }
    }

    /// Moves on to another room once the time for that has come, `elapsed` after the attack began.
    pub(crate) fn renew(&mut self, elapsed: Duration) {
        if let Some(lifetime) = self.lifetime() {
            self.life = (elapsed.as_secs() / lifetime.as_secs()) as u32;
        }
    }

    /// When the client goes by itself, counted from the beginning of the attack.
    pub(crate) fn ends_at(&self) -> Option<Duration> {
        Some(self.lifetime()? * (self.life + 1))
    }

    /// How long it stays, if it goes by itself.
    fn lifetime(&self) -> Option<Duration> {
        match (self.way, self.role) {
            (Way::Places, _) => Some(FILLED),
            (Way::Returns, 0) => Some(STAY),
            _ => None,
        }
    }

    /// Keeps what is in a text from the relay by which it comes back.
    pub(crate) fn hear(&mut self, text: &str) {
        if let (Way::Returns, 0, Some((_, rest))) = (self.way, self.role, text.split_once(r#""token":""#)) {
            self.token = rest.split_once('"').map(|(token, _)| token.to_owned());
        }
        if text.contains("resume_failed") {
            self.token = None;
        }
    }

    /// What it says first, once its WebSocket is open.
    pub(crate) fn greet(&self) -> Vec<String> {
        match (self.way, self.role) {
            (Way::Returns, 0) => {
                vec![self.token.as_ref().map_or_else(
                    || self.join(),
                    |token| format!(r#"{{"type":"resume","token":"{token}","received":1}}"#),
                )]
            }
            (Way::Churn, role) if role >= self.members() => Vec::new(),
            (Way::Knocks, 1..) => Vec::new(),
            (Way::Offers, _) => vec![self.join(), format!(r#"{{"type":"offer","sdp":"{}"}}"#, filling(LARGE))],
            _ => vec![self.join()],
        }
    }

    /// The text that it says next, after `said` others, `age` after its WebSocket was opened; none for now.
    pub(crate) fn next(&self, said: usize, age: Duration) -> Option<String> {
        let comes_and_goes = || if said.is_multiple_of(2) { self.join() } else { r#"{"type":"leave"}"#.into() };
        let once_a_second = said < age.as_secs() as usize;
        match self.way {
            Way::Unread | Way::Replay | Way::Places => self.signal(said, LARGE),
            Way::Returns => (self.role > 0).then(|| self.signal(said, LARGE))?,
            Way::Blanks => self.signal(said, 0).map(|text| text.replacen(',', &format!(",{}", " ".repeat(LARGE)), 1)),
            Way::Mute => Some(r#"{"type":"nothing that the relay knows of"}"#.into()),
            Way::Small | Way::Kept => self.signal(said, SMALL),
            Way::Errors => Some(format!(r#"{{"type":"offer","to":"{}","sdp":""}}"#, filling(LARGE))),
            Way::Churn => (self.role >= self.members()).then(comes_and_goes),
            Way::Knocks if self.role == 0 => once_a_second.then(|| r#"{"type":"lock","locked":true}"#.into()),
            Way::Knocks => Some(comes_and_goes()),
            Way::Offers | Way::Halves | Way::Pages | Way::Heads => None,
        }
    }

    /// The bytes that it sends besides messages, when its connection is open.
    pub(crate) fn bytes(&self, host: &str) -> Vec<u8> {
        match self.way {
            // The head of a masked text frame (RFC 6455 section 5.2) with a mask of zeros.
            Way::Halves => {
                let mut half = vec![0x81, 0xfe];
                half.extend_from_slice(&(HALF as u16 + 1).to_be_bytes());
                half.extend_from_slice(&[0; 4]);
                half.extend_from_slice(filling(HALF).as_bytes());
                half
            }
            Way::Pages => format!("GET /signaling.js HTTP/1.1\r\nHost: {host}\r\n\r\n").repeat(REQUESTS).into_bytes(),
            Way::Heads => format!("GET / HTTP/1.1\r\nHost: {host}\r\nX-Long: {}", filling(HALF_HEAD)).into_bytes(),
            _ => Vec::new(),
        }
    }

    /// Half of those who churn stay.
    fn members(&self) -> usize {
        (self.size / 2).max(1)
    }

    fn join(&self) -> String {
        let Self { way, prefix, room, role, .. } = self;
        let name = if matches!(way, Way::Churn | Way::Knocks) { LONG_NAME.repeat(16) } else { "a".into() };
        let resume = way.resumes();
        let life = if *way == Way::Places { self.life } else { 0 };
        format!(
            r#"{{"type":"join","room":"{prefix}-{way:?}-{room}-{life}","id":"m{role}","name":"{name}","resume":{resume}}}"#
        )
    }

    /// A signal to each other member in turn.
    fn signal(&self, said: usize, bytes: usize) -> Option<String> {
        let to = (self.role + 1 + said % self.size.checked_sub(1).filter(|others| *others > 0)?) % self.size;
        let mut text = String::with_capacity(bytes + 64);
        let _ = write!(text, r#"{{"type":"offer","to":"m{to}","sdp":"{}"}}"#, filling(bytes));
        Some(text)
    }
}

/// Four characters of four bytes each; a name has 64 characters at most.
const LONG_NAME: &str = "😀😀😀😀";

fn filling(bytes: usize) -> String {
    "x".repeat(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_of_a_room_send_to_each_other_and_never_to_themselves() {
        for role in 0..3 {
            let seat = Seat::new(Way::Unread, "a".into(), role, 3);
            let to: Vec<_> = (0..4).map(|said| seat.signal(said, 1).unwrap()).collect();
            assert!(to.iter().all(|text| !text.contains(&format!("\"m{role}\""))));
            assert_ne!(to[0], to[1]);
            assert_eq!(to[0], to[2]);
        }
        assert_eq!(Seat::new(Way::Unread, "a".into(), 0, 1).signal(0, 1), None, "alone");
    }

    #[test]
    fn those_who_leave_places_behind_have_a_room_of_their_own_in_each_life() {
        let mut seat = Seat::new(Way::Places, "a".into(), 1, 8);
        let before = seat.join();
        assert_eq!(seat.ends_at(), Some(FILLED));
        seat.renew(FILLED);
        assert_eq!(seat.ends_at(), Some(2 * FILLED));
        assert_ne!(seat.join(), before);
    }

    #[test]
    fn a_half_message_lacks_one_byte() {
        let half = Seat::new(Way::Halves, "a".into(), 0, 8).bytes("localhost");
        let declared = u16::from_be_bytes([half[2], half[3]]);
        assert_eq!(usize::from(declared) + 8, half.len() + 1);
    }
}
