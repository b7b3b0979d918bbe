//! Splits a JSON object (RFC 8259) into its fields, without decoding their values.
//!
//! serde_json can do this as well (`RawValue`), for three times the instructions: it looks at each byte of a string for
//! its end, an escape and a control character, where this asks for control characters once for the whole text and for
//! the rest sixteen and more bytes at a time. Everything that is not valid JSON is refused here as it is there, which
//! the tests check; the sentence that says why comes from serde_json.

use memchr::memchr2;
use smallvec::SmallVec;

/// The fields of an object, in their order. Most messages have at most six.
pub(super) type Fields<'a> = SmallVec<[Field<'a>; 8]>;

/// One field of an object, as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field<'a> {
    /// The name as JSON, with its quotes and escapes.
    pub(super) key: &'a str,
    /// Whether the name has escapes.
    pub(super) is_escaped: bool,
    /// The value as JSON.
    pub(super) value: &'a str,
}

/// Why a text has no fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Invalid {
    /// It is not one JSON object.
    NotAnObject,
    /// It may be one, but is nested too deeply to tell.
    TooDeep,
}

/// The fields of the object that `text` is; the object and what it contains have at most `levels` levels.
pub(super) fn fields(text: &str, levels: usize) -> Result<Fields<'_>, Invalid> {
    let mut scanner = Scanner { text, at: 0, has_controls: has_controls(text.as_bytes()) };
    let mut fields = Fields::new();
    scanner.skip_space();
    if scanner.peek() != Some(b'{') {
        return Err(Invalid::NotAnObject);
    }
    scanner.container(levels, |scanner, levels| {
        fields.push(scanner.field(levels)?);
        Ok(())
    })?;
    scanner.skip_space();
    if scanner.peek().is_some() { Err(Invalid::NotAnObject) } else { Ok(fields) }
}

/// Whether a control character is in `bytes`. A string must not contain one, and few texts have any.
fn has_controls(bytes: &[u8]) -> bool {
    // A chunk at a time, without a way out in the middle, which makes it a vector instruction for many bytes.
    bytes.chunks(256).any(|chunk| chunk.iter().fold(false, |found, byte| found | (*byte < b' ')))
}

struct Scanner<'a> {
    text: &'a str,
    /// The position of the next byte.
    at: usize,
    has_controls: bool,
}

type Scanned<T = ()> = Result<T, Invalid>;

impl<'a> Scanner<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    /// Skips `byte` if it is the next one.
    fn take(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    fn expect(&mut self, byte: u8) -> Scanned {
        if self.take(byte) { Ok(()) } else { Err(Invalid::NotAnObject) }
    }

    /// The text from `start` to here.
    fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    /// Skips an object or an array, whose fields or elements `item` skips.
    fn container(&mut self, levels: usize, mut item: impl FnMut(&mut Self, usize) -> Scanned) -> Scanned {
        let levels = levels.checked_sub(1).ok_or(Invalid::TooDeep)?;
        let close = if self.take(b'{') { b'}' } else { b']' };
        if close == b']' {
            self.expect(b'[')?;
        }
        self.skip_space();
        if self.take(close) {
            return Ok(());
        }
        loop {
            item(self, levels)?;
            self.skip_space();
            if self.take(close) {
                return Ok(());
            }
            self.expect(b',')?;
            self.skip_space();
        }
    }

    fn field(&mut self, levels: usize) -> Scanned<Field<'a>> {
        let start = self.at;
        let is_escaped = self.string()?;
        let key = self.since(start);
        self.skip_space();
        self.expect(b':')?;
        self.skip_space();
        let start = self.at;
        self.value(levels)?;
        Ok(Field { key, is_escaped, value: self.since(start) })
    }

    fn value(&mut self, levels: usize) -> Scanned {
        match self.peek() {
            Some(b'"') => self.string().map(drop),
            Some(b'{') => self.container(levels, |scanner, levels| scanner.field(levels).map(drop)),
            Some(b'[') => self.container(levels, Self::value),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.literal("true"),
            Some(b'f') => self.literal("false"),
            Some(b'n') => self.literal("null"),
            _ => Err(Invalid::NotAnObject),
        }
    }

    fn literal(&mut self, literal: &str) -> Scanned {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        if !rest.starts_with(literal.as_bytes()) {
            return Err(Invalid::NotAnObject);
        }
        self.at += literal.len();
        Ok(())
    }

    /// Skips a string; returns whether it has escapes.
    fn string(&mut self) -> Scanned<bool> {
        self.expect(b'"')?;
        let mut is_escaped = false;
        loop {
            let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
            let length = memchr2(b'"', b'\\', rest).ok_or(Invalid::NotAnObject)?;
            if self.has_controls && rest.iter().take(length).any(|byte| *byte < b' ') {
                return Err(Invalid::NotAnObject);
            }
            self.at += length;
            if self.take(b'"') {
                return Ok(is_escaped);
            }
            is_escaped = true;
            // The lines of a session description end with two escapes.
            while self.take(b'\\') {
                self.escape()?;
            }
        }
    }

    /// Skips an escape after its backslash.
    fn escape(&mut self) -> Scanned {
        let escape = self.peek();
        self.at += 1;
        match escape {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(()),
            Some(b'u') => {
                let digits = self.text.as_bytes().get(self.at..self.at + 4).unwrap_or_default();
                self.at += 4;
                // A lone surrogate is valid JSON, although it is no text (RFC 8259 section 8.2).
                let is_valid = digits.len() == 4 && digits.iter().all(u8::is_ascii_hexdigit);
                if is_valid { Ok(()) } else { Err(Invalid::NotAnObject) }
            }
            _ => Err(Invalid::NotAnObject),
        }
    }

    fn number(&mut self) -> Scanned {
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _ = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        Ok(())
    }

    /// Skips at least one digit.
    fn digits(&mut self) -> Scanned {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at > start { Ok(()) } else { Err(Invalid::NotAnObject) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::de::IgnoredAny;

    use super::*;

    /// Whether serde_json takes `text` for one JSON object.
    fn is_object(text: &str) -> bool {
        text.trim_start_matches([' ', '\n', '\r', '\t']).starts_with('{')
            && serde_json::from_str::<IgnoredAny>(text).is_ok()
    }

    /// Pieces of JSON, and what comes close to them.
    fn piece() -> impl Strategy<Value = String> {
        let tokens = [
            "{", "}", "[", "]", ":", ",", "\"", "\"a\"", "\"a\":", "\\", "\\\"", "\\n", "\\u00e9", "\\ud800", "\\u12g4", "\\x",
            " ", "\n", "\t", "\u{b}", "\u{0}", "\u{7f}", "\u{a0}", "é", "0", "-", "01", "1.5", "1.", ".5", "1e9", "1e", "1E+2", "-0",
            "true", "tru", "false", "null", "nul", "NaN", "'", "/", "{\"type\":\"offer\",\"sdp\":\"v=0\\r\\n\"}",
        ];
        prop_oneof![4 => prop::sample::select(tokens.to_vec()).prop_map(str::to_owned), 1 => "[ -~]{0,20}"]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(20_000))]

        #[test]
        fn an_object_is_what_serde_json_takes_for_one(pieces in prop::collection::vec(piece(), 0..12), braces: bool) {
            let inner = pieces.concat();
            let text = if braces { format!("{{\"k\":{inner}}}") } else { inner };
            match fields(&text, 128) {
                Err(Invalid::TooDeep) => prop_assert!(false, "{text:?} has so many levels"),
                split => prop_assert_eq!(split.is_ok(), is_object(&text), "{:?}", text),
            }
        }

        #[test]
        fn one_wrong_byte_is_judged_as_serde_json_judges_it(at in 0_usize..90, byte in 0_u8..128) {
            let valid = r#"{"a":{"b":[1.5e-3,-0,true,false,null,"x\u00e9\r\n"],"c":{}},"d":"long enough for a vector"}"#;
            let mut bytes = valid.as_bytes().to_vec();
            bytes[at] = byte;
            let text = String::from_utf8(bytes).unwrap();
            prop_assert_eq!(fields(&text, 128).is_ok(), is_object(&text), "{:?}", text);
        }
    }

    #[test]
    fn fields_keep_their_order_and_their_text() {
        let text = r#" { "x" : [1] , "sd\u0070":"v=0\r\n","":{"y":2.50},"é":null } "#;
        let field = |key, is_escaped, value| Field { key, is_escaped, value };
        assert_eq!(
            fields(text, 2).unwrap().as_slice(),
            [
                field("\"x\"", false, "[1]"),
                field(r#""sd\u0070""#, true, r#""v=0\r\n""#),
                field("\"\"", false, r#"{"y":2.50}"#),
                field("\"é\"", false, "null"),
            ]
        );
        assert!(fields("{}", 1).unwrap().is_empty());
    }

    #[test]
    fn nesting_deeper_than_allowed_is_found_before_the_end_of_the_text() {
        assert!(fields(r#"{"a":[[]]}"#, 3).is_ok());
        assert_eq!(fields(r#"{"a":[[]]}"#, 2), Err(Invalid::TooDeep));
        assert_eq!(fields(&format!("{{\"a\":{}", "[".repeat(60_000)), 32), Err(Invalid::TooDeep));
    }
}
