//! Parses the messages of clients. The payload of a signal is kept as the text that the client sent.

use std::borrow::Cow;

use serde::de::IgnoredAny;
use smallvec::SmallVec;

use super::scan::{self, Field, Fields, Invalid, decode_string};
use super::{Command, ErrorCode, HostCommand, Join, Refusal, Resume, Signal, SignalKind};
use crate::limits::{KICK_MESSAGE_BYTES, NESTING_DEPTH, PASSWORD_BYTES, REF_BYTES, REPORT_BYTES};
use crate::metrics::CallReport;
use crate::room::names::{PeerId, PeerName, RoomName};
use crate::secret::Secret;

/// One parsed text from a client.
#[derive(Debug)]
pub struct Parsed<'a> {
    /// The `ref` for an `error`, if it could be read.
    pub reference: Option<Cow<'a, str>>,
    /// The command, or why the message is invalid.
    pub message: Result<Command<'a>, Refusal>,
}

/// Parses one text from a client.
pub fn parse(text: &str) -> Parsed<'_> {
    let mut envelope = Envelope { fields: Fields::new() };
    if let Err(invalid) = scan::scan(text, NESTING_DEPTH, &mut envelope.fields) {
        return Parsed { reference: None, message: Err(why_invalid(text, invalid)) };
    }
    match envelope.reference() {
        Ok(reference) => Parsed { reference, message: envelope.message(text) },
        Err(refusal) => Parsed { reference: None, message: Err(refusal) },
    }
}

/// Parses what the application's own server says: to whom, if not to all, and the JSON of its `data`.
///
/// # Errors
/// `bad_json` or `bad_message`, as for a client.
#[cfg(feature = "admin")]
pub(crate) fn parse_server_message(text: &str) -> Result<(Option<Cow<'_, str>>, &str), Refusal> {
    let mut fields = Fields::new();
    scan::scan(text, NESTING_DEPTH, &mut fields).map_err(|invalid| why_invalid(text, invalid))?;
    let (mut data, mut to) = (None, None);
    for field in &fields {
        let place = match &*field.name() {
            "data" => &mut data,
            "to" => &mut to,
            other => {
                return Err(bad_message(format!("the fields here are \"data\" and \"to\", not {}", shortened(other))));
            }
        };
        if place.replace(field.value).is_some() {
            return Err(bad_message(format!("the field {} is present twice", field.key)));
        }
    }
    let data = data.ok_or_else(|| bad_message("the field \"data\" is missing"))?;
    let to = to.map(|json| decode_string(json, json.contains('\\')));
    if to == Some(None) {
        return Err(bad_message("the field \"to\" must be a string"));
    }
    Ok((to.flatten(), data))
}

/// The refusal of a text that has no fields.
fn why_invalid(text: &str, invalid: Invalid) -> Refusal {
    match (serde_json::from_str::<IgnoredAny>(text), invalid) {
        (Err(error), _) => Refusal::new(ErrorCode::BadJson, format!("a message is one JSON object: {error}")),
        (Ok(_), Invalid::NotAnObject) => {
            Refusal::new(ErrorCode::BadJson, "a message is one JSON object, not another JSON value")
        }
        (Ok(_), Invalid::TooDeep) => bad_message(format!("the message is nested deeper than {NESTING_DEPTH} levels")),
    }
}

/// A flat JSON object whose keys and values are kept as they were written.
struct Envelope<'a> {
    fields: Fields<'a>,
}

impl<'a> Envelope<'a> {
    fn message(&self, text: &'a str) -> Result<Command<'a>, Refusal> {
        if let Some(key) = self.key_that_stands_twice() {
            return Err(bad_message(format!("the field {} is present twice", shortened(&key))));
        }
        let Some(kind) = self.string("type")? else {
            return Err(bad_message("the field \"type\" is missing"));
        };
        match kind.as_ref() {
            "join" => Ok(Command::Join(self.join())),
            "resume" => Ok(Command::Resume(self.resume())),
            "leave" => Ok(Command::Leave),
            "ice_servers" => Ok(Command::IceServers),
            "offer" => self.signal(SignalKind::Offer, text.len()),
            "answer" => self.signal(SignalKind::Answer, text.len()),
            "offer_ice" => self.signal(SignalKind::OfferIce, text.len()),
            "answer_ice" => self.signal(SignalKind::AnswerIce, text.len()),
            "message" => self.signal(SignalKind::Message, text.len()),
            "report" => self.report(text.len()),
            "kick" => self.kick(),
            "lock" => self.lock(),
            "admit" => Ok(Command::Host(HostCommand::Admit { to: self.to("admit")? })),
            "deny" => Ok(Command::Host(HostCommand::Deny { to: self.to("deny")? })),
            "make_host" => Ok(Command::Host(HostCommand::MakeHost { to: self.to("make_host")? })),
            "joined" | "resumed" | "taken" | "peer_joined" | "peer_away" | "peer_back" | "peer_left" | "host"
            | "room" | "waiting" | "knock" | "knock_gone" | "notice" | "error" | "goaway" => {
                Err(Refusal::new(ErrorCode::UnknownType, format!("only the relay sends {kind:?}")))
            }
            _ => Err(Refusal::new(ErrorCode::UnknownType, format!("no message has the type {}", shortened(&kind)))),
        }
    }

    fn join(&self) -> Result<Join, Refusal> {
        let Some(room) = self.string("room")? else {
            return Err(bad_message("\"join\" needs the field \"room\""));
        };
        let name = self.optional("name")?.map_or(Ok(None), |name| PeerName::parse(&name))?;
        let id = self.optional("id")?.map(|id| PeerId::chosen(&id)).transpose()?;
        let token = self.optional("token")?.map(Secret::new);
        let password = self.short_string("password", PASSWORD_BYTES)?;
        let password = password.filter(|password| !password.is_empty()).map(Secret::new);
        let resume = match self.get("resume") {
            None | Some("false" | "null") => false,
            Some("true") => true,
            Some(_) => return Err(bad_message("the field \"resume\" must be true or false")),
        };
        let written = room;
        let room = RoomName::parse(&written)?;
        Ok(Join { spelling: room.spelling(&written), room, name, id, token, password, resume })
    }

    fn resume(&self) -> Result<Resume, Refusal> {
        let Some(token) = self.string("token")? else {
            return Err(bad_message("\"resume\" needs the field \"token\""));
        };
        match self.get("received") {
            Some(number) if !number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit()) => {
                // A number that is too large for a `u64` is beyond what was sent, like the largest `u64`.
                Ok(Resume { token: Secret::new(token), received: number.parse().unwrap_or(u64::MAX) })
            }
            _ => Err(bad_message("\"resume\" needs the field \"received\", a whole number")),
        }
    }

    fn kick(&self) -> Result<Command<'a>, Refusal> {
        let message = self.short_string("message", KICK_MESSAGE_BYTES)?;
        Ok(Command::Host(HostCommand::Kick { to: self.to("kick")?, message }))
    }

    /// What it says of the call is one of the words that are counted, and everything else "other".
    fn report(&self, bytes: usize) -> Result<Command<'a>, Refusal> {
        if bytes > REPORT_BYTES {
            return Err(bad_message(format!("\"report\" has at most {REPORT_BYTES} bytes")));
        }
        let to = self.string("to")?;
        let Some(state) = self.string("state")? else {
            return Err(bad_message("\"report\" needs the field \"state\", \"connected\" or \"failed\""));
        };
        let [local, remote, protocol] = [self.optional("local")?, self.optional("remote")?, self.optional("protocol")?];
        let report = CallReport::new(&state, local.as_deref(), remote.as_deref(), protocol.as_deref());
        Ok(Command::Report { report, to })
    }

    fn lock(&self) -> Result<Command<'a>, Refusal> {
        let is_locked = match self.get("locked") {
            Some("true") => true,
            Some("false") => false,
            _ => return Err(bad_message("\"lock\" needs the field \"locked\", true or false")),
        };
        Ok(Command::Host(HostCommand::Lock { is_locked }))
    }

    /// The `to` of a message of the type `kind`, which needs it.
    fn to(&self, kind: &str) -> Result<Cow<'a, str>, Refusal> {
        self.string("to")?.ok_or_else(|| bad_message(format!("{kind:?} needs the field \"to\"")))
    }

    fn signal(&self, kind: SignalKind, bytes: usize) -> Result<Command<'a>, Refusal> {
        let (field, expected, fits) = payload_of(kind);
        match self.get(field) {
            None => return Err(bad_message(format!("{:?} needs the field {field:?}", kind.as_str()))),
            Some(value) if !fits(value) => return Err(bad_message(format!("the field {field:?} must be {expected}"))),
            Some(_) => {}
        }
        let to = self.string("to")?;
        let mut fields = Vec::with_capacity(self.fields.len());
        let theirs = self.fields.iter().filter(|field| !field.is_named("type") && !field.is_named("from"));
        fields.extend(theirs.map(|field| (field.key, field.value)));
        Ok(Command::Signal(Signal { kind, to, bytes, fields }))
    }

    fn reference(&self) -> Result<Option<Cow<'a, str>>, Refusal> {
        self.short_string("ref", REF_BYTES)
    }

    fn get(&self, key: &str) -> Option<&'a str> {
        self.fields.iter().find(|field| field.is_named(key)).map(|field| field.value)
    }

    fn string(&self, key: &str) -> Result<Option<Cow<'a, str>>, Refusal> {
        let Some(json) = self.get(key) else { return Ok(None) };
        decode_string(json, json.contains('\\'))
            .map(Some)
            .ok_or_else(|| bad_message(format!("the field {key:?} must be a string")))
    }

    /// A string that need not be there; `null` means that it is not, as clients with types write it. Not for `to`: a
    /// receiver that a client lost must not become a broadcast.
    fn optional(&self, key: &str) -> Result<Option<Cow<'a, str>>, Refusal> {
        if self.get(key) == Some("null") { Ok(None) } else { self.string(key) }
    }

    /// The same, of at most `most` bytes.
    fn short_string(&self, key: &str, most: usize) -> Result<Option<Cow<'a, str>>, Refusal> {
        match self.optional(key)? {
            Some(text) if text.len() > most => Err(bad_message(format!("the field {key:?} has at most {most} bytes"))),
            text => Ok(text),
        }
    }

    /// Sorts the names, so that ten thousand of them in one message cost little more than to read them.
    fn key_that_stands_twice(&self) -> Option<Cow<'_, str>> {
        let mut names: SmallVec<[Cow<'_, str>; 8]> = self.fields.iter().map(Field::name).collect();
        names.sort_unstable();
        names.windows(2).find_map(|pair| match pair {
            [one, next] if one == next => Some(one.clone()),
            _ => None,
        })
    }
}

/// The payload field of a signal, the kind of value that it must have, and a check for that.
fn payload_of(kind: SignalKind) -> (&'static str, &'static str, fn(&str) -> bool) {
    match kind {
        SignalKind::Offer | SignalKind::Answer => ("sdp", "a string", |json| json.starts_with('"')),
        SignalKind::OfferIce | SignalKind::AnswerIce => {
            ("iceCandidate", "an object or null", |json| json.starts_with('{') || json == "null")
        }
        SignalKind::Message => ("data", "any JSON", |_| true),
    }
}

fn bad_message(message: impl Into<Cow<'static, str>>) -> Refusal {
    Refusal::new(ErrorCode::BadMessage, message)
}

/// At most 40 characters of a client's text, quoted and escaped, for an error message.
fn shortened(text: &str) -> String {
    format!("{:?}", text.chars().take(40).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{self, Event};

    fn refusal(text: &str) -> Refusal {
        match parse(text).message {
            Err(refusal) | Ok(Command::Join(Err(refusal)) | Command::Resume(Err(refusal))) => refusal,
            Ok(command) => panic!("{text}: {command:?}"),
        }
    }

    /// The payload of the frame that clients get.
    fn text_of(event: &Event<'_>) -> String {
        let frame = protocol::encode(event).unwrap();
        let header = if frame[1] < 126 { 2 } else { [4, 10][usize::from(frame[1] - 126)] };
        String::from_utf8(frame[header..].to_vec()).unwrap()
    }

    fn relayed(text: &str) -> String {
        match parse(text).message {
            Ok(Command::Signal(signal)) => {
                text_of(&Event::Signal { from: &PeerId::parse("me").unwrap(), signal: &signal })
            }
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn a_payload_passes_byte_for_byte() {
        for data in [
            "1.10",
            "-0",
            "1e400",
            "12345678901234567890.50",
            r#""\ud800""#,
            r#""\u0041\u0000""#,
            r#"{"b":1,"a":2,"b":3}"#,
            "[]",
            "null",
            "\"\u{2028}\"",
            "[ 1,  2 ]",
            r#""\/""#,
        ] {
            let sent = format!(r#"{{"type":"message","data":{data}}}"#);
            assert_eq!(relayed(&sent), format!(r#"{{"type":"message","from":"me","data":{data}}}"#));
        }
    }

    #[test]
    fn fields_that_the_protocol_does_not_name_travel_too_in_their_order() {
        assert_eq!(
            relayed(r#" { "x" : [1] , "to":"b","type":"offer","sd\u0070":"v=0","\ud800":"k" } "#),
            r#"{"type":"offer","from":"me","x":[1],"to":"b","sd\u0070":"v=0","\ud800":"k"}"#
        );
    }

    #[test]
    fn what_a_client_puts_into_from_is_dropped() {
        let stamped = r#"{"type":"message","from":"me","data":1}"#;
        assert_eq!(relayed(r#"{"type":"message","from":"admin","data":1}"#), stamped);
        assert_eq!(relayed(r#"{"fr\u006fm":"admin","type":"message","data":1}"#), stamped);
    }

    #[test]
    fn what_is_not_one_json_object_is_bad_json() {
        for text in [
            "",
            " ",
            "hello",
            "1",
            "[]",
            "null",
            r#""offer""#,
            "{",
            "{}{}",
            r#"{"a":}"#,
            "{\"a\":\"\n\"}",
            "\u{feff}{}",
        ] {
            assert_eq!(refusal(text).code, ErrorCode::BadJson, "{text:?}");
        }
        assert_eq!(refusal(&"[".repeat(32 * 1024)).code, ErrorCode::BadJson);
    }

    #[test]
    fn a_field_that_is_missing_of_the_wrong_kind_or_there_twice_is_a_bad_message() {
        for text in [
            "{}",
            r#"{"type":1}"#,
            r#"{"type":null}"#,
            r#"{"type":"join"}"#,
            r#"{"type":"join","room":7}"#,
            r#"{"type":"join","room":"r","name":7}"#,
            r#"{"type":"join","room":"\ud800"}"#,
            r#"{"type":"offer"}"#,
            r#"{"type":"offer","sdp":null}"#,
            r#"{"type":"answer","sdp":{"type":"answer"}}"#,
            r#"{"type":"offer_ice"}"#,
            r#"{"type":"offer_ice","iceCandidate":"candidate:1"}"#,
            r#"{"type":"message"}"#,
            r#"{"type":"message","data":1,"to":null}"#,
            r#"{"type":"message","data":1,"to":["a"]}"#,
            r#"{"type":"message","data":1,"ref":1}"#,
            r#"{"type":"message","data":1,"data":1}"#,
            r#"{"type":"message","data":1,"d\u0061ta":1}"#,
            r#"{"type":"message","data":1,"from":"a","from":"b"}"#,
        ] {
            assert_eq!(refusal(text).code, ErrorCode::BadMessage, "{text}");
        }
        let fitting_ref = format!(r#"{{"type":"leave","ref":"{}"}}"#, "x".repeat(64));
        assert_eq!(parse(&fitting_ref).reference.map(|reference| reference.len()), Some(64));
        let long_ref = format!(r#"{{"type":"leave","ref":"{}"}}"#, "x".repeat(65));
        assert_eq!(refusal(&long_ref).code, ErrorCode::BadMessage);
        let long_name = format!(r#"{{"type":"join","room":"r","name":"{}"}}"#, "x".repeat(65));
        assert_eq!(refusal(&long_name).code, ErrorCode::BadMessage);
    }

    #[test]
    fn nesting_of_32_levels_passes_and_of_33_does_not() {
        let nested = |levels: usize| {
            let inner = levels - 1;
            format!(r#"{{"type":"message","data":{}{}}}"#, "[".repeat(inner), "]".repeat(inner))
        };
        assert!(parse(&nested(32)).message.is_ok());
        assert_eq!(refusal(&nested(33)).code, ErrorCode::BadMessage);
        assert_eq!(refusal(&nested(20_000)).code, ErrorCode::BadMessage);
        let brackets_in_a_string = format!(r#"{{"type":"message","data":"\"{}"}}"#, "[".repeat(100));
        assert!(parse(&brackets_in_a_string).message.is_ok());
    }

    #[test]
    fn types_that_clients_do_not_say_are_unknown() {
        for kind in ["", "Offer", "welcome"] {
            let refusal = refusal(&format!(r#"{{"type":"{kind}"}}"#));
            assert_eq!(refusal.code, ErrorCode::UnknownType, "{kind}");
            assert!(refusal.message.starts_with("no message has the type"), "{}", refusal.message);
        }
        for kind in ["joined", "peer_joined", "peer_left", "host", "error", "goaway"] {
            let refusal = refusal(&format!(r#"{{"type":"{kind}"}}"#));
            assert_eq!(refusal.code, ErrorCode::UnknownType, "{kind}");
            assert!(refusal.message.starts_with("only the relay sends"), "{}", refusal.message);
        }
    }

    #[test]
    fn a_ref_is_read_even_when_the_message_is_refused() {
        let parsed = parse(r#"{"type":"nonsense","ref":"7"}"#);
        let refusal = parsed.message.unwrap_err();
        assert_eq!(
            text_of(&Event::Error { refusal: &refusal, reference: parsed.reference.as_deref() }),
            r#"{"type":"error","code":"unknown_type","message":"no message has the type \"nonsense\"","ref":"7","retryable":false}"#
        );
    }

    #[test]
    fn ten_thousand_keys_cost_no_more_than_reading_them() {
        let keys: Vec<String> = (0..10_000).map(|n| format!("\"{n}\":0")).collect();
        let text = format!(r#"{{"type":"message","data":0,{}}}"#, keys.join(","));
        assert!(relayed(&text).ends_with("\"9999\":0}"));
    }

    #[test]
    fn a_join_reads_its_three_fields() {
        let parsed = parse(r#"{"type":"join","room":"\u4f1a\u8bae","name":"","id":"tab_1"}"#);
        let Ok(Command::Join(Ok(join))) = parsed.message else { panic!("not a join") };
        assert_eq!(join.room, RoomName::parse("会议").unwrap());
        assert_eq!(join.name, None);
        assert_eq!(join.id, Some(PeerId::parse("tab_1").unwrap()));
    }

    #[test]
    fn null_means_that_an_optional_field_is_absent() {
        let unset = r#""name":null,"id":null,"token":null,"password":null,"resume":null,"ref":null"#;
        let join = |fields: &str| match parse(&format!(r#"{{"type":"join","room":"r"{fields}}}"#)).message {
            Ok(Command::Join(Ok(join))) => join,
            other => panic!("no join: {other:?}"),
        };
        assert_eq!(join(&format!(",{unset}")), join(""));
        let parsed = parse(r#"{"type":"kick","to":"a","message":null,"ref":null}"#);
        assert!(parsed.reference.is_none());
        let Ok(Command::Host(HostCommand::Kick { message, .. })) = parsed.message else { panic!("no kick") };
        assert_eq!(message, None);
        // A receiver that is lost is no broadcast, and what is needed is needed.
        for text in [
            r#"{"type":"offer","sdp":"v=0","to":null}"#,
            r#"{"type":"kick","to":null}"#,
            r#"{"type":"admit","to":null}"#,
            r#"{"type":"join","room":null}"#,
            r#"{"type":null}"#,
            r#"{"type":"offer","sdp":null}"#,
            r#"{"type":"resume","token":null,"received":0}"#,
            r#"{"type":"lock","locked":null}"#,
        ] {
            assert!(
                match parse(text).message {
                    Err(refusal) => refusal.code == ErrorCode::BadMessage,
                    Ok(Command::Join(Err(refusal)) | Command::Resume(Err(refusal))) => {
                        refusal.code == ErrorCode::BadMessage
                    }
                    Ok(_) => false,
                },
                "{text}"
            );
        }
        // A value that travels stays what it is.
        for text in [r#"{"type":"message","data":null,"x":null}"#, r#"{"type":"offer_ice","iceCandidate":null}"#] {
            assert!(relayed(text).contains(":null"), "{text}");
        }
    }

    #[test]
    fn an_empty_password_is_no_password() {
        let password = |json: &str| match parse(&format!(r#"{{"type":"join","room":"r","password":{json}}}"#)).message {
            Ok(Command::Join(Ok(join))) => join.password,
            other => panic!("no join: {other:?}"),
        };
        assert_eq!(password(r#""""#), None);
        assert_eq!(password(r#""x""#), Some(Secret::new("x")));
    }

    #[test]
    fn a_resume_needs_a_whole_number_however_large() {
        let received =
            |json: &str| match parse(&format!(r#"{{"type":"resume","token":"t","received":{json}}}"#)).message {
                Ok(Command::Resume(resume)) => resume.map(|resume| resume.received).map_err(|refusal| refusal.code),
                other => panic!("no resume: {other:?}"),
            };
        for (json, number) in [("0", 0), ("12", 12), ("18446744073709551616", u64::MAX)] {
            assert_eq!(received(json), Ok(number));
        }
        for json in ["-1", "1.0", "1e3", r#""1""#, r#""""#, "null", "true", "[]"] {
            assert_eq!(received(json), Err(ErrorCode::BadMessage), "{json}");
        }
    }
}
