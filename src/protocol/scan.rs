//! Splits a JSON object (RFC 8259) into its fields, without decoding their values.
//!
//! serde_json can do this as well (`RawValue`), for twice the instructions of an offer: this asks for control characters
//! once for the whole text, and for the ends of strings many bytes at a time. Everything that is not valid JSON is refused
//! here as it is there, which the tests check; the sentence that says why comes from serde_json.

use std::borrow::Cow;

use memchr::memchr2;
use smallvec::SmallVec;

/// The fields of an object, in their order. Most messages have at most six.
pub(crate) type Fields<'a> = SmallVec<[Field<'a>; 8]>;

/// One field of an object, as it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Field<'a> {
    /// The name as JSON, with its quotes and escapes.
    pub(crate) key: &'a str,
    /// Whether the name has escapes.
    pub(crate) is_escaped: bool,
    /// The value as JSON.
    pub(crate) value: &'a str,
}

/// Why a text has no fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Invalid {
    /// It is not one JSON object.
    NotAnObject,
    /// It may be one, but is nested too deeply to tell.
    TooDeep,
}

impl Field<'_> {
    /// Whether this is the name of the field.
    pub(crate) fn is_named(&self, name: &str) -> bool {
        if self.is_escaped {
            return self.name() == name;
        }
        self.key.as_bytes().strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")) == Some(name.as_bytes())
    }

    /// The name as text. One that is not Unicode text (a lone surrogate) is kept as JSON, which no field of ours has as
    /// its name.
    pub(crate) fn name(&self) -> Cow<'_, str> {
        decode_string(self.key, self.is_escaped).unwrap_or(Cow::Borrowed(self.key))
    }
}

/// The text of a JSON string; none if `json` is not a string, or not Unicode text.
pub(crate) fn decode_string(json: &str, is_escaped: bool) -> Option<Cow<'_, str>> {
    let inner = json.strip_prefix('"')?.strip_suffix('"')?;
    if is_escaped { serde_json::from_str(json).ok().map(Cow::Owned) } else { Some(Cow::Borrowed(inner)) }
}

/// Appends to `fields` those of the object that `text` is; the object and what it contains have at most `levels` levels.
pub(crate) fn scan<'a>(text: &'a str, levels: usize, fields: &mut Fields<'a>) -> Result<(), Invalid> {
    object(text, levels, &mut |scanner, levels| {
        fields.push(scanner.field(levels)?);
        Ok(())
    })
}

/// The same, and puts into `inner`, in the same pass, the fields of the object that is the value of the field `name`; none if it is
/// something else. Of several with this name the last one counts.
#[cfg(feature = "wires")]
pub(crate) fn scan_with_inner<'a>(
    text: &'a str,
    levels: usize,
    name: &str,
    fields: &mut Fields<'a>,
    inner: &mut Option<Fields<'a>>,
) -> Result<(), Invalid> {
    object(text, levels, &mut |scanner, levels| {
        let (key, is_escaped) = scanner.key()?;
        let mut field = Field { key, is_escaped, value: "" };
        let start = scanner.rest;
        if !field.is_named(name) {
            scanner.value(levels)?;
        } else if scanner.take(b'{') {
            let found = inner.insert(Fields::new());
            scanner.items(b'}', levels, &mut |scanner, levels| {
                found.push(scanner.field(levels)?);
                Ok(())
            })?;
        } else {
            *inner = None;
            scanner.value(levels)?;
        }
        field.value = scanner.since(start);
        fields.push(field);
        Ok(())
    })
}

/// Skips each field of the object that `text` is by `field`.
fn object<'a>(
    text: &'a str,
    levels: usize,
    field: &mut dyn FnMut(&mut Scanner<'a>, usize) -> Scanned,
) -> Result<(), Invalid> {
    let mut scanner = Scanner { text, rest: text.as_bytes(), has_controls: has_controls(text.as_bytes()) };
    scanner.skip_space();
    scanner.expect(b'{')?;
    scanner.items(b'}', levels, field)?;
    scanner.skip_space();
    if scanner.rest.is_empty() { Ok(()) } else { Err(Invalid::NotAnObject) }
}

/// Calls `element` with each element, as it was written, of the array that `text` is, until it turns out to be none.
#[cfg(feature = "wires")]
pub(crate) fn elements<'a>(text: &'a str, levels: usize, element: &mut dyn FnMut(&'a str)) -> Result<(), Invalid> {
    let mut scanner = Scanner { text, rest: text.as_bytes(), has_controls: has_controls(text.as_bytes()) };
    scanner.skip_space();
    scanner.expect(b'[')?;
    scanner.items(b']', levels, &mut |scanner, levels| {
        let start = scanner.rest;
        scanner.value(levels)?;
        element(scanner.since(start));
        Ok(())
    })
}

/// Whether a control character is in `bytes`. A string must not contain one, and few texts have any.
fn has_controls(bytes: &[u8]) -> bool {
    // A chunk at a time, without a way out in the middle, which makes it a vector instruction for many bytes.
    bytes.chunks(256).any(|chunk| chunk.iter().fold(0, |found, byte| found | u8::from(*byte < b' ')) > 0)
}

struct Scanner<'a> {
    text: &'a str,
    /// The bytes that are still to come.
    rest: &'a [u8],
    has_controls: bool,
}

type Scanned<T = ()> = Result<T, Invalid>;

impl<'a> Scanner<'a> {
    fn skip_space(&mut self) {
        while let [b' ' | b'\n' | b'\r' | b'\t', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    /// Skips `byte` if it is the next one.
    fn take(&mut self, byte: u8) -> bool {
        match self.rest {
            [next, rest @ ..] if *next == byte => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    fn expect(&mut self, byte: u8) -> Scanned {
        if self.take(byte) { Ok(()) } else { Err(Invalid::NotAnObject) }
    }

    /// The text from where `rest` was the rest to here.
    fn since(&self, rest: &[u8]) -> &'a str {
        let end = self.text.len() - self.rest.len();
        self.text.get(self.text.len() - rest.len()..end).unwrap_or_default()
    }

    /// Skips the fields of an object or the elements of an array, each by `item`, up to `close`.
    fn items(&mut self, close: u8, levels: usize, item: &mut dyn FnMut(&mut Self, usize) -> Scanned) -> Scanned {
        let levels = levels.checked_sub(1).ok_or(Invalid::TooDeep)?;
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

    /// Skips the name of a field and its colon; returns the name as JSON, and whether it has escapes.
    fn key(&mut self) -> Scanned<(&'a str, bool)> {
        let start = self.rest;
        let is_escaped = self.string()?;
        let key = self.since(start);
        self.skip_space();
        self.expect(b':')?;
        self.skip_space();
        Ok((key, is_escaped))
    }

    fn field(&mut self, levels: usize) -> Scanned<Field<'a>> {
        let (key, is_escaped) = self.key()?;
        let start = self.rest;
        self.value(levels)?;
        Ok(Field { key, is_escaped, value: self.since(start) })
    }

    fn value(&mut self, levels: usize) -> Scanned {
        match self.rest {
            [b'"', ..] => self.string().map(drop),
            [b'{', rest @ ..] => {
                self.rest = rest;
                self.items(b'}', levels, &mut |scanner, levels| scanner.field(levels).map(drop))
            }
            [b'[', rest @ ..] => {
                self.rest = rest;
                self.items(b']', levels, &mut Self::value)
            }
            [b'-' | b'0'..=b'9', ..] => self.number(),
            [b't', b'r', b'u', b'e', rest @ ..]
            | [b'f', b'a', b'l', b's', b'e', rest @ ..]
            | [b'n', b'u', b'l', b'l', rest @ ..] => {
                self.rest = rest;
                Ok(())
            }
            _ => Err(Invalid::NotAnObject),
        }
    }

    /// Skips a string; returns whether it has escapes.
    fn string(&mut self) -> Scanned<bool> {
        self.expect(b'"')?;
        let mut is_escaped = false;
        loop {
            let length = memchr2(b'"', b'\\', self.rest).ok_or(Invalid::NotAnObject)?;
            let (plain, rest) = self.rest.split_at_checked(length).unwrap_or_default();
            if self.has_controls && plain.iter().any(|byte| *byte < b' ') {
                return Err(Invalid::NotAnObject);
            }
            self.rest = rest;
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
        self.rest = match self.rest {
            [b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', rest @ ..] => rest,
            // A lone surrogate is valid JSON, although it is no text (RFC 8259 section 8.2).
            [b'u', a, b, c, d, rest @ ..] if [a, b, c, d].iter().all(|digit| digit.is_ascii_hexdigit()) => rest,
            _ => return Err(Invalid::NotAnObject),
        };
        Ok(())
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
        let start = self.rest.len();
        while let [b'0'..=b'9', rest @ ..] = self.rest {
            self.rest = rest;
        }
        if self.rest.len() < start { Ok(()) } else { Err(Invalid::NotAnObject) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::de::IgnoredAny;

    use super::*;

    fn fields(text: &str, levels: usize) -> Result<Fields<'_>, Invalid> {
        let mut fields = Fields::new();
        scan(text, levels, &mut fields).map(|()| fields)
    }

    /// Whether serde_json takes `text` for one JSON object.
    fn is_object(text: &str) -> bool {
        text.trim_start_matches([' ', '\n', '\r', '\t']).starts_with('{')
            && serde_json::from_str::<IgnoredAny>(text).is_ok()
    }

    /// Pieces of JSON, and what comes close to them.
    fn piece() -> impl Strategy<Value = String> {
        let tokens = [
            "{",
            "}",
            "[",
            "]",
            ":",
            ",",
            "\"",
            "\"a\"",
            "\"a\":",
            "\\",
            "\\\"",
            "\\n",
            "\\u00e9",
            "\\ud800",
            "\\u12g4",
            "\\x",
            " ",
            "\n",
            "\t",
            "\u{b}",
            "\u{0}",
            "\u{7f}",
            "\u{a0}",
            "é",
            "0",
            "-",
            "01",
            "1.5",
            "1.",
            ".5",
            "1e9",
            "1e",
            "1E+2",
            "-0",
            "true",
            "tru",
            "false",
            "null",
            "nul",
            "NaN",
            "'",
            "/",
            "{\"type\":\"offer\",\"sdp\":\"v=0\\r\\n\"}",
        ];
        prop_oneof![4 => prop::sample::select(tokens.to_vec()).prop_map(str::to_owned), 1 => "[ -~]{0,20}"]
    }

    proptest! {
        #![proptest_config(crate::testing::cases(20_000))]

        #[test]
        fn an_object_is_what_serde_json_takes_for_one(pieces in prop::collection::vec(piece(), 0..12), braces: bool) {
            let inner = pieces.concat();
            let text = if braces { format!("{{\"k\":{inner}}}") } else { inner };
            match fields(&text, 128) {
                Err(Invalid::TooDeep) => prop_assert!(false, "{text:?} has so many levels"),
                split => prop_assert_eq!(split.is_ok(), is_object(&text), "{:?}", text),
            }
        }

        #[cfg(feature = "wires")]
        #[test]
        fn the_fields_of_an_inner_object_are_those_that_it_has_by_itself(
            pieces in prop::collection::vec(piece(), 0..12), more in "(,\"a\":(1|\"b\"|\\[\\]|\\{\\}|\\{\"a\":\\{\\}\\}))?"
        ) {
            let text = format!("{{\"a\":{{{}}}{more}}}", pieces.concat());
            let (mut outer, mut inner) = (Fields::new(), None);
            let scanned = scan_with_inner(&text, 8, "a", &mut outer, &mut inner);
            prop_assert_eq!(scanned.map(|()| outer.clone()), fields(&text, 8), "{}", text);
            if scanned.is_ok() {
                let last = outer.iter().rev().find(|field| field.is_named("a")).unwrap();
                prop_assert_eq!(inner, fields(last.value, 8).ok(), "{}", text);
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
    fn control_characters_are_allowed_as_white_space_between_tokens_and_nowhere_else() {
        assert!(fields("{\n\t\"a b\":\r\n\"c d\" }", 1).is_ok());
        for control in 0..b' ' {
            for count in 1..=2 {
                let controls = String::from_utf8(vec![control; count]).unwrap();
                // Also behind many other bytes, which are looked at in chunks.
                for before in [0, 255, 1000] {
                    let text = format!("{{\"a\":\"{}{controls}\"}}", "x".repeat(before));
                    assert_eq!(fields(&text, 1), Err(Invalid::NotAnObject), "{control} after {before}");
                }
            }
        }
    }

    #[test]
    fn a_number_has_digits_wherever_it_needs_them_and_no_zero_before_them() {
        for number in ["0", "-0", "10", "1.5", "0.05", "1e9", "1E+20", "-1.5e-30"] {
            assert!(fields(&format!("{{\"a\":{number}}}"), 1).is_ok(), "{number}");
        }
        for number in ["-", "+1", "01", "-01", "1.", ".5", "1.e5", "1e", "1e+", "0x1", "1,5", "--1", "1e1.5"] {
            assert_eq!(fields(&format!("{{\"a\":{number}}}"), 1), Err(Invalid::NotAnObject), "{number}");
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

    #[cfg(feature = "wires")]
    #[test]
    fn elements_keep_their_order_and_their_text_and_are_those_of_an_array_alone() {
        let of = |text| {
            let mut found = Vec::new();
            elements(text, 3, &mut |element| found.push(element)).map(|()| found)
        };
        assert_eq!(of(r#" ["a", 1.10,{"b":[2]} ,null]"#).unwrap(), [r#""a""#, "1.10", r#"{"b":[2]}"#, "null"]);
        assert!(of("[]").unwrap().is_empty());
        for text in ["{}", "\"a\"", "null", "", "[,]"] {
            assert_eq!(of(text), Err(Invalid::NotAnObject), "{text}");
        }
        assert_eq!(of("[[[[]]]]"), Err(Invalid::TooDeep));
    }

    #[test]
    fn nesting_deeper_than_allowed_is_found_before_the_end_of_the_text() {
        assert!(fields(r#"{"a":[[]]}"#, 3).is_ok());
        assert_eq!(fields(r#"{"a":[[]]}"#, 2), Err(Invalid::TooDeep));
        assert_eq!(fields(&format!("{{\"a\":{}", "[".repeat(60_000)), 32), Err(Invalid::TooDeep));
    }
}
