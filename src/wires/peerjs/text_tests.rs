//! Texts to what they say, and back.

use super::*;

fn relayed_text(text: &str) -> Option<String> {
    let frame = relayed(&parse(text)?, "\"me\"");
    let json = frame.iter().position(|byte| *byte == b'{')?;
    Some(String::from_utf8(frame[json..].to_vec()).unwrap())
}

#[test]
fn values_are_passed_on_as_they_were_written_with_the_senders_own_id() {
    for (said, heard) in [
        (
            r#"{"type":"OFFER","payload":{"n":1.10, "s":"\u00e9"},"dst":"b c"}"#,
            r#"{"type":"OFFER","src":"me","dst":"b c","payload":{"n":1.10, "s":"\u00e9"}}"#,
        ),
        (
            r#" {"dst":"\u0062","src":"forged","type":"ANSWER","payload":null,"more":1}"#,
            r#"{"type":"ANSWER","src":"me","dst":"\u0062","payload":null}"#,
        ),
        (r#"{"type":"CANDIDATE","dst":"b"}"#, r#"{"type":"CANDIDATE","src":"me","dst":"b"}"#),
        (r#"{"type":"LEAVE","dst":"a","dst":"b"}"#, r#"{"type":"LEAVE","src":"me","dst":"b"}"#),
    ] {
        assert_eq!(relayed_text(said).as_deref(), Some(heard));
    }
    assert_eq!(parse(r#"{"type":"OFFER","dst":"\u0062"}"#).unwrap().dst, "b");
    assert!(parse(r#"{"type":"OFFER","dst":"b"}"#).unwrap().may_be_held());
    assert!(!parse(r#"{"type":"LEAVE","dst":"b"}"#).unwrap().may_be_held());
}

#[test]
fn what_says_nothing_to_anybody_is_nothing() {
    for text in [
        "",
        "{",
        "null",
        "5",
        "[]",
        "nonsense",
        r#"{"type":"HEARTBEAT"}"#,
        r#"{"type":"OFFER"}"#,
        r#"{"type":"OFFER","dst":""}"#,
        r#"{"type":"OFFER","dst":5}"#,
        r#"{"type":"OFFER","dst":null}"#,
        r#"{"type":"OFFER","dst":"\ud800"}"#,
        r#"{"type":"offer","dst":"b"}"#,
        r#"{"type":["OFFER"],"dst":"b"}"#,
        r#"{"type":"OPEN","dst":"b"}"#,
        r#"{"type":"EXPIRE","dst":"b","src":"c"}"#,
        r#"{"type":"LEAVE"}"#,
        r#"{"dst":"b"}"#,
    ] {
        assert!(parse(text).is_none(), "{text}");
    }
    let deep = format!(r#"{{"type":"OFFER","dst":"b","payload":{}{}}}"#, "[".repeat(500), "]".repeat(500));
    assert!(parse(&deep).is_none());
}

#[test]
fn what_the_relay_says_itself_is_json_whatever_the_texts_are() {
    for frame in [open(), id_taken(), error("a \"b\"\n"), expire(&json("\u{1}\""), &json("é"))] {
        let said: serde_json::Value = serde_json::from_slice(&frame[2..]).unwrap();
        assert!(said["type"].is_string(), "{said}");
    }
}
