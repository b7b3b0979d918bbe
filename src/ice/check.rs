//! The STUN and TURN servers for clients: what a browser's `RTCPeerConnection` would refuse is refused here, because
//! otherwise each page of each client fails, and nobody but its console says why.
//!
//! The rules are those of W3C webrtc-pc ("set a configuration"), of RFC 7064 (`stun:`) and of RFC 7065 (`turn:`), as far
//! as Chromium's constructor applies them; the test has a table of what it said. A few texts that it takes, although the
//! standards do not, are refused: spaces around a URL, a second query, brackets around what is no IPv6 address, and a
//! user name or a credential that is no text and no number, which it turns into a text such as `[object Object]`.

use std::str::FromStr;

use serde_json::{Map, Value};

use super::{IceServers, url};
use crate::limits::TURN_USERNAME_BYTES;

impl IceServers {
    /// The servers of `list`, if a browser takes them.
    ///
    /// # Errors
    /// A sentence that says what is wrong, without any credential.
    pub(crate) fn checked(list: Vec<Map<String, Value>>) -> Result<Self, String> {
        for (index, server) in list.iter().enumerate() {
            check_server(server).map_err(|error| format!("server {} of the list: {error}", index + 1))?;
        }
        Self::new(list)
    }
}

impl FromStr for IceServers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = r#"it is not a JSON array such as [{"urls":"stun:stun.example:3478"}]"#;
        // No error repeats a part of the text, which may be a credential: serde_json's do when a value is of another type than
        // it expects, and none is when it expects no type.
        let list = match serde_json::from_str(text).map_err(|error| format!("{wrong}: {error}"))? {
            Value::Array(list) => list,
            _ => return Err(wrong.to_owned()),
        };
        let server = |(index, value)| match value {
            Value::Object(server) => Ok(server),
            _ => Err(format!("server {} of the list is not an object such as {{\"urls\":\"stun:h\"}}", index + 1)),
        };
        Self::checked(list.into_iter().enumerate().map(server).collect::<Result<_, _>>()?)
    }
}

fn check_server(server: &Map<String, Value>) -> Result<(), String> {
    let urls = match server.get("urls") {
        None => return Err(r#"it needs "urls", such as "stun:stun.example:3478""#.into()),
        Some(Value::Array(urls)) if urls.is_empty() => return Err("\"urls\" is an empty list".into()),
        Some(Value::Array(urls)) => urls.as_slice(),
        Some(url) => std::slice::from_ref(url),
    };
    let mut needs_credential = false;
    for (index, url) in urls.iter().enumerate() {
        let Value::String(url) = url else { return Err("\"urls\" must be a text or a list of texts".into()) };
        // Not the URL itself: somebody may have put a password before its host.
        let wrong = |why| format!("URL {} of it is none of a STUN or TURN server: {why}", index + 1);
        needs_credential |= url::check(url).map_err(wrong)?;
    }
    if needs_credential { check_credential(server) } else { Ok(()) }
}

/// The URLs of a server that has been checked.
pub(super) fn urls(server: &Map<String, Value>) -> impl Iterator<Item = &str> {
    let urls = match server.get("urls") {
        Some(Value::Array(urls)) => urls.as_slice(),
        Some(url) => std::slice::from_ref(url),
        None => &[],
    };
    urls.iter().filter_map(Value::as_str)
}

fn check_credential(server: &Map<String, Value>) -> Result<(), String> {
    for field in ["username", "credential"] {
        let bytes = match server.get(field) {
            Some(Value::String(text)) => text.len(),
            Some(Value::Number(number)) => number.to_string().len(),
            None | Some(Value::Null) => 0,
            Some(_) => return Err(format!("{field:?} must be a text")),
        };
        if bytes == 0 {
            return Err(format!("turn: and turns: need a {field:?} that is not empty"));
        }
        if field == "username" && bytes > TURN_USERNAME_BYTES {
            return Err(format!("\"username\" has {bytes} bytes, and must have {TURN_USERNAME_BYTES} at most"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::ICE_SERVERS_BYTES;

    /// URLs that Chromium 156 takes in `new RTCPeerConnection({iceServers: [{urls, username: "u", credential: "c"}]})`.
    const TAKEN: [&str; 24] = [
        "stun:h",
        "stun:h:3478",
        "stuns:h",
        "stuns:h:5349",
        "STUN:h",
        "Stun:h",
        "stun:h:65535",
        "stun:h:03478",
        "stun:1.2.3.4",
        "stun:[::1]",
        "stun:[::1]:3478",
        "stun:h_h",
        "stun:h%20h",
        "stun:h,i",
        "stun:h.",
        "stun:-h",
        "stun:h!$&'()*+;=",
        "stun:h~",
        "turn:h",
        "turns:h:443?transport=tcp",
        "turn:h?transport=udp",
        "turn:h?transport=TCP",
        "TURN:h",
        "turn:[::1]:5?transport=tcp",
    ];

    /// URLs that it refuses with the same user name and credential.
    const REFUSED: [&str; 43] = [
        "",
        "h",
        "stun",
        "stn:h",
        "http://h",
        "stun:",
        "stun://h",
        "stun:h/path",
        "stun:h?transport=udp",
        "stun:h?",
        "stun:h#f",
        "stun:user@h",
        "stun:h:0",
        "stun:h:",
        "stun:h:x",
        "stun:h:65536",
        "stun:h:-1",
        "stun:h:+1",
        "stun:h:1:2",
        "stun:::1",
        "stun:[::1",
        "stun:[]",
        "stun:h h",
        "stun::3478",
        "stun:h\\i",
        "stun:h<",
        "stun:h|i",
        "stun:h^",
        "turn:",
        "turn:u@h",
        "turn:u:p@h",
        "turn://h",
        "turn:h:0",
        "turn:h#x",
        "turn:h?transport=tls",
        "turn:h?transport=sctp",
        "turn:h?transport=",
        "turn:h?transport",
        "turn:h?x=1",
        "turn:h?",
        "turn:h?transport=udp&x=1",
        "turn:h?Transport=udp",
        "turns:h:99999?transport=tcp",
    ];

    fn check(list: &Value) -> Result<IceServers, String> {
        list.to_string().parse()
    }

    #[test]
    fn a_url_is_taken_if_the_constructor_of_a_browser_takes_it() {
        let server = |url: &str| serde_json::json!([{"urls": url, "username": "u", "credential": "c"}]);
        for url in TAKEN {
            check(&server(url)).unwrap_or_else(|error| panic!("{url}: {error}"));
        }
        for url in REFUSED {
            let error = check(&server(url)).expect_err(url);
            assert!(error.starts_with("server 1 of the list: URL 1 of it is none of a STUN or TURN server"), "{error}");
            check(&serde_json::json!([{"urls": ["stun:h", url]}])).expect_err(url);
        }
        // What Chromium takes, and the standards do not.
        for url in [" stun:h", "stun:h ", "stun:h\n", "stun:[h]", "turn:h?transport=udp?transport=tcp"] {
            check(&server(url)).expect_err(url);
        }
    }

    #[test]
    fn a_list_is_taken_if_the_constructor_of_a_browser_takes_it() {
        for json in [
            "[]",
            r#"[{"urls":["stun:h"]},{"urls":["stun:i","stun:j"]}]"#,
            r#"[{"urls":"stun:h","username":5,"credential":{}}]"#,
            r#"[{"urls":"stun:h","credentialType":"x","x":{"y":1}}]"#,
            r#"[{"urls":"turn:h","username":5,"credential":6}]"#,
            r#"[{"urls":["stun:h","turn:h"],"username":"u","credential":"c","credentialType":"password"}]"#,
        ] {
            json.parse::<IceServers>().unwrap_or_else(|error| panic!("{json}: {error}"));
        }
        for json in [
            "null",
            "{}",
            "[null]",
            "[5]",
            "[[]]",
            r#"["stun:h"]"#,
            "[{}]",
            r#"[{"url":"stun:h"}]"#,
            r#"[{"urls":[]}]"#,
            r#"[{"urls":null}]"#,
            r#"[{"urls":5}]"#,
            r#"[{"urls":[5]}]"#,
            r#"[{"urls":{}}]"#,
            r#"[{"urls":true}]"#,
            r#"[{"urls":"turn:h"}]"#,
            r#"[{"urls":"turns:h"}]"#,
            r#"[{"urls":["stun:h","turn:h"]}]"#,
            r#"[{"urls":"turn:h","username":"u"}]"#,
            r#"[{"urls":"turn:h","credential":"c"}]"#,
            r#"[{"urls":"turn:h","username":"","credential":"c"}]"#,
            r#"[{"urls":"turn:h","username":"u","credential":""}]"#,
            r#"[{"urls":"turn:h","username":true,"credential":[]}]"#,
            r#"[{"urls":"turn:h","username":null,"credential":"c"}]"#,
        ] {
            json.parse::<IceServers>().expect_err(json);
        }
    }

    #[test]
    fn a_turn_user_name_is_as_long_as_a_browser_takes_it() {
        let user = |bytes: usize| serde_json::json!([{"urls": "turn:h", "username": "u".repeat(bytes), "credential": "c".repeat(5000)}]);
        check(&user(509)).unwrap();
        assert!(check(&user(510)).unwrap_err().contains("has 510 bytes"));
    }

    #[test]
    fn an_error_names_the_server_and_shows_no_credential() {
        let list =
            serde_json::json!([{"urls": "stun:h"}, {"urls": "turn:h:x", "username": "u", "credential": "hunter2"}]);
        let error = check(&list).unwrap_err();
        assert!(error.contains("server 2") && error.contains("1 to 65535") && !error.contains("hunter2"), "{error}");
        assert!(check(&serde_json::json!([{"urls": "turn:h"}])).unwrap_err().contains("\"username\""));
        for text in [r#"["hunter2"]"#, r#""hunter2""#, r#"[{"urls":"turn:u:hunter2@h"}]"#, r#"[{"urls":"hunter2""#] {
            let error = text.parse::<IceServers>().unwrap_err();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn the_list_fits_into_a_message() {
        let list = |length: usize| check(&serde_json::json!([{"urls": format!("stun:{}", "x".repeat(length))}]));
        list(1024).unwrap();
        assert_eq!(list(ICE_SERVERS_BYTES).unwrap_err(), "the list is 65554 bytes of JSON, and must be 65536 at most");
    }
}
