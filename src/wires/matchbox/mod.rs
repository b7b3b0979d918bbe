//! The wire of matchbox_socket 0.15.0.
//!
//! `groups.rs` is the table of those who are together, and `client.rs` one client.
//!
//! # What it says
//! The path `/matchbox/ROOM?next=N` joins a group of that room, at the upgrade. Each N has groups of its own, and so has the path
//! without it. The Nth member completes a group, and who comes after that begins a new one; without N a group is never complete.
//! `/matchbox` and `/matchbox/` are the room without a name.
//!
//! | the relay says | when |
//! | --- | --- |
//! | `{"IdAssigned":"UUID"}` | first, and once |
//! | `{"NewPeer":"UUID"}` | somebody came into the group of who hears it, who then makes the offer. The newcomer hears of nobody |
//! | `{"PeerLeft":"UUID"}` | the connection of a member has ended; not when the relay itself ends |
//! | `{"Signal":{"sender":"UUID","data":X}}` | a member has said so |
//!
//! | the client says | the relay does |
//! | --- | --- |
//! | `{"Signal":{"receiver":"UUID","data":X}}` | says it to that member of its group, `X` as it was written |
//! | `"KeepAlive"`, and anything else | nothing |
//!
//! # Where it differs from its own server
//! | its own server | here |
//! | --- | --- |
//! | passes signals to whoever has the id, and tells newcomers who wait that somebody of a complete group left | both stay in the group |
//! | breaks at `next=0`, and takes any number | 1 to 256, else HTTP 503; a group without N has 256 members at most, else HTTP 503 |
//! | writes numbers and the order of keys anew | passes `X` on as it was written |
//! | messages of 64 MiB, and of any depth | `--max-message-bytes` (1009), and 32 levels, of which a deeper one is ignored |
//! | queues without end for who does not read | reads on from the sender when the receiver has read; who reads nothing for 5 s is closed |
//! | keeps dead connections and empty rooms | pings, and forgets them |
//! | has no tokens | `?token=`, whose `room` covers `matchbox/ROOM`; who may not enter hears HTTP 401 or 403 |

mod client;
mod groups;
#[cfg(any(test, fuzzing))]
pub(super) mod trial;
mod uuid;

use std::num::NonZeroU16;

use bytes::Bytes;

use percent_encoding::percent_decode_str;

use super::{NotOpened, json, token};
use crate::limits::MATCHBOX_MEMBERS;
use crate::outbox::frame;
use crate::parameters::only;
use crate::room::Refusal;
use crate::room::names::NAME_BYTES;
use crate::secret::Secret;
pub(super) use client::MatchboxClient;
use groups::Full;
pub(super) use groups::Groups;
use uuid::Uuid;

/// How many make a group complete; none if it never is.
type Size = Option<NonZeroU16>;

/// What the URL of a client asks for.
#[derive(Debug)]
pub(super) struct Joining {
    /// The name of the room, as it was written.
    pub(super) room: String,
    size: Size,
    token: Option<Secret>,
}

impl Joining {
    /// That of a URL with this query, and this after `/matchbox/`.
    ///
    /// # Errors
    /// [`NotOpened`].
    pub(super) fn of(rest: &str, query: &str) -> Result<Self, NotOpened> {
        // Its own server has no such path either.
        if rest.contains('/') {
            return Err(NotOpened::NoSuchPath("a room is what follows /matchbox/, up to the next slash"));
        }
        let room = percent_decode_str(rest).decode_utf8();
        let room = room.map_err(|_| NotOpened::BadUrl("the path of the URL is not UTF-8".into()))?.into_owned();
        if room.len() > NAME_BYTES {
            return Err(NotOpened::BadUrl(format!("a room name has at most {NAME_BYTES} bytes")));
        }
        let token = token(query)?;
        let next = only(query, "next").map_err(NotOpened::BadUrl)?;
        let size = size(next.as_deref()).map_err(|full| NotOpened::Refused(Refusal::from(full).into()))?;
        Ok(Self { room, size, token })
    }
}

/// What a client says to another one.
#[derive(Debug, PartialEq, Eq)]
struct Signal<'a> {
    receiver: Uuid,
    /// JSON, as it was written.
    data: &'a str,
}

/// What the value of `next` in a URL says. What is no number counts as if it were not there, as for its own server.
///
/// # Errors
/// [`Full`], if it is not from 1 to [`MATCHBOX_MEMBERS`].
fn size(next: Option<&str>) -> Result<Size, Full> {
    let digits = next.filter(|next| !next.is_empty() && next.bytes().all(|byte| byte.is_ascii_digit()));
    let Some(digits) = digits else { return Ok(None) };
    let size = digits.parse().ok().filter(|size| *size <= MATCHBOX_MEMBERS as u16).and_then(NonZeroU16::new);
    size.map(Some).ok_or(Full::NoSuchSize)
}

/// The signal that a text is; none if it is something else.
fn signal(text: &str) -> Option<Signal<'_>> {
    let (fields, signal) = json::fields_with_inner(text, "Signal")?;
    let signal = signal.filter(|_| fields.len() == 1)?;
    let receiver = Uuid::parse(&json::string(json::value(&signal, "receiver")?)?)?;
    Some(Signal { receiver, data: json::value(&signal, "data")? })
}

/// The bytes of a message that are there besides a UUID and what a client wrote, at most.
const AROUND: usize = 64;

/// The frame of a message about one peer.
fn about(event: &str, peer: Uuid) -> Bytes {
    frame::text(AROUND + Uuid::CHARS, |frame| frame.extend_from_slice(format!("{{\"{event}\":\"{peer}\"}}").as_bytes()))
}

fn id_assigned(id: Uuid) -> Bytes {
    about("IdAssigned", id)
}

fn new_peer(id: Uuid) -> Bytes {
    about("NewPeer", id)
}

fn peer_left(id: Uuid) -> Bytes {
    about("PeerLeft", id)
}

/// The frame of a signal.
fn signal_of(sender: Uuid, data: &str) -> Bytes {
    frame::text(AROUND + Uuid::CHARS + data.len(), |frame| {
        frame.extend_from_slice(format!("{{\"Signal\":{{\"sender\":\"{sender}\",\"data\":").as_bytes());
        frame.extend_from_slice(data.as_bytes());
        frame.extend_from_slice(b"}}");
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_is_a_number_from_1_to_256_or_as_if_it_were_not_there() {
        for (next, expected) in [
            (None, Ok(None)),
            (Some(""), Ok(None)),
            (Some("two"), Ok(None)),
            (Some("-1"), Ok(None)),
            (Some("1.5"), Ok(None)),
            (Some("1"), Ok(NonZeroU16::new(1))),
            (Some("02"), Ok(NonZeroU16::new(2))),
            (Some("256"), Ok(NonZeroU16::new(256))),
            (Some("0"), Err(Full::NoSuchSize)),
            (Some("257"), Err(Full::NoSuchSize)),
            (Some("65538"), Err(Full::NoSuchSize)),
            (Some("99999999999999999999999999"), Err(Full::NoSuchSize)),
        ] {
            assert_eq!(size(next), expected, "{next:?}");
        }
    }

    #[test]
    fn only_a_signal_with_a_receiver_and_data_is_one() {
        let id = "01234567-89ab-4def-8123-456789abcdef";
        let text = format!(r#" {{"Signal" : {{"data":{{"Offer":1.10}}, "receiver":"{id}","more":1}}}} "#);
        let receiver = Uuid::parse(id).unwrap();
        assert_eq!(signal(&text), Some(Signal { receiver, data: r#"{"Offer":1.10}"# }));
        assert_eq!(
            signal(&format!(r#"{{"\u0053ignal":{{"receiver":"{id}","data":null}}}}"#)),
            Some(Signal { receiver, data: "null" })
        );
        for text in [
            "",
            "null",
            "\"KeepAlive\"",
            "[]",
            "{}",
            "{",
            r#"{"Signal":null}"#,
            r#"{"Signal":{"data":1}}"#,
            r#"{"Signal":{"receiver":"nobody","data":1}}"#,
            r#"{"Signal":{"receiver":1,"data":1}}"#,
            &format!(r#"{{"Signal":{{"receiver":"{id}"}}}}"#),
            &format!(r#"{{"Signal":{{"receiver":"{id}","data":1}},"more":1}}"#),
            &format!(r#"{{"signal":{{"receiver":"{id}","data":1}}}}"#),
            &format!(r#"{{"Signal":{{"receiver":"{id}","data":{}1{}}}}}"#, "[".repeat(99), "]".repeat(99)),
        ] {
            assert_eq!(signal(text), None, "{text}");
        }
    }

    #[test]
    fn frames_are_texts_of_the_original() {
        let id = Uuid::parse("01234567-89AB-4DEF-8123-456789ABCDEF").unwrap();
        for (frame, text) in [
            (id_assigned(id), r#"{"IdAssigned":"01234567-89ab-4def-8123-456789abcdef"}"#),
            (new_peer(id), r#"{"NewPeer":"01234567-89ab-4def-8123-456789abcdef"}"#),
            (peer_left(id), r#"{"PeerLeft":"01234567-89ab-4def-8123-456789abcdef"}"#),
            (signal_of(id, "1.10"), r#"{"Signal":{"sender":"01234567-89ab-4def-8123-456789abcdef","data":1.10}}"#),
        ] {
            assert!(frame.ends_with(text.as_bytes()), "{frame:?}");
            assert_eq!(frame.len(), text.len() + if text.len() < 126 { 2 } else { 4 });
        }
    }
}
