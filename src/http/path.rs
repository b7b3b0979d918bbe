//! The path of a request as the relay compares it.

use std::borrow::Cow;

/// `path` as the relay compares it: several slashes in a row are one, and `/ws/` and `/healthz/` are `/ws` and `/healthz`.
/// A proxy under whose `/relay` a relay lies makes the others, of `/relay/ws` for example.
pub(crate) fn comparable(path: &str) -> Cow<'_, str> {
    if !path.contains("//") {
        return without_end(path).into();
    }
    let mut one = String::with_capacity(path.len());
    for part in path.chars() {
        if part != '/' || !one.ends_with('/') {
            one.push(part);
        }
    }
    without_end(&one).to_owned().into()
}

/// `path` for the log: without the key of PeerJS, which may be a token (`/KEY/id` and `/KEY/peers`).
pub(crate) fn for_log(path: &str) -> Cow<'_, str> {
    let mut parts = path.rsplitn(3, '/');
    match (parts.next(), parts.next()) {
        (Some(end @ ("id" | "peers")), Some(key)) if !matches!(key, "" | PEERJS) => format!("/.../{end}").into(),
        _ => path.into(),
    }
}

/// The key of PeerJS's clients whose page names none, which is also the path of their WebSocket.
pub(crate) const PEERJS: &str = "peerjs";

fn without_end(path: &str) -> &str {
    path.strip_suffix('/').filter(|path| path.ends_with("/ws") || *path == "/healthz").unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_says_no_key_of_peerjs() {
        for (path, shown) in [
            ("/peerjs/id", "/peerjs/id"),
            ("/eyJ.e.s/id", "/.../id"),
            ("/a/eyJ.e.s/peers", "/.../peers"),
            ("//eyJ.e.s/id", "/.../id"),
            ("/id", "/id"),
            ("/a/ids", "/a/ids"),
            ("/", "/"),
            ("*", "*"),
        ] {
            assert_eq!(for_log(path), shown);
        }
    }

    #[test]
    fn only_slashes_too_many_make_no_difference() {
        for (path, same) in [
            ("/", "/"),
            ("//", "/"),
            ("/ws", "/ws"),
            ("//ws", "/ws"),
            ("/ws/", "/ws"),
            ("///ws//", "/ws"),
            ("/call/ws/", "/call/ws"),
            ("/healthz/", "/healthz"),
            ("//healthz//", "/healthz"),
            ("//main.js", "/main.js"),
            ("/main.js/", "/main.js/"),
            ("/a//b", "/a/b"),
            ("/wss/", "/wss/"),
            ("/x/healthz/", "/x/healthz/"),
            ("*", "*"),
            ("", ""),
        ] {
            assert_eq!(comparable(path), same, "{path}");
        }
    }
}
