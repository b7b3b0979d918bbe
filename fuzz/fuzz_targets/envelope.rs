//! A text from a client: the relay and serde_json agree whether it is one JSON object, and a signal is the same after it
//! was encoded and parsed again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use signaling_relay::protocol::names::PeerId;
use signaling_relay::protocol::{Command, ErrorCode, Event, Signal, encode, parse};

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let parsed = parse(text);
    match &parsed.message {
        Err(refusal) if refusal.code == ErrorCode::BadJson => assert!(!is_object(text), "{text:?}: {refusal:?}"),
        _ => assert!(is_object(text), "{text:?} is no JSON object: {:?}", parsed.message),
    }
    if let Ok(Command::Signal(signal)) = &parsed.message {
        check_signal(text, signal);
    }
});

/// What serde_json says. It has no limit of its own for the depth here, as the relay's limit is another error.
fn is_object(text: &str) -> bool {
    text.trim_start_matches([' ', '\t', '\n', '\r']).starts_with('{') && is_json(text)
}

/// Whether serde_json skips the text as one value: without a limit for the depth, numbers of any size, and strings that
/// are no Unicode text included.
fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

fn check_signal(text: &str, signal: &Signal<'_>) {
    let me = PeerId::parse("me").expect("an id");
    let frame = encode(&Event::Signal { from: &me, signal }).expect("a frame");
    let relayed = payload(&frame);
    let again = parse(relayed).message;
    let Ok(Command::Signal(twice)) = again else { panic!("{text:?} became {relayed:?}: {again:?}") };
    assert_eq!((twice.kind, &twice.to, &twice.fields), (signal.kind, &signal.to, &signal.fields), "{text:?}");
    assert_eq!(encode(&Event::Signal { from: &me, signal: &twice }).as_deref(), Some(&*frame), "{text:?}");
    // What a browser sees: what was sent, but for `from`. (It cannot be compared when a number or a lone surrogate is
    // one that a `Value` cannot hold.)
    if let (Ok(mut sent), Ok(received)) = (serde_json::from_str::<Value>(text), serde_json::from_str::<Value>(relayed))
    {
        sent["from"] = "me".into();
        assert_eq!(received, sent, "{text:?}");
    }
}

/// The text in an unmasked frame.
fn payload(frame: &[u8]) -> &str {
    let header = match frame[1] {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    std::str::from_utf8(&frame[header..]).expect("a text")
}
