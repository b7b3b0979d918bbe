//! What the doctor is told to look at: the URL of a page, of a WebSocket, or an invite link.

use std::fmt;

use hyper::Uri;
use hyper::http::uri::Authority;

use crate::secret::Secret;

/// A relay as a URL names it.
#[derive(Clone)]
pub(super) struct Target {
    /// Whether it is reached by TLS.
    pub(super) is_secure: bool,
    /// Whether the URL is that of a page; otherwise it is that of a WebSocket.
    pub(super) is_page: bool,
    /// Its name or address; an IPv6 address has its brackets.
    pub(super) host: String,
    /// Its port.
    pub(super) port: u16,
    /// The path of the URL.
    pub(super) path: String,
    /// What is before the `@` of the URL, decoded: a name and a password.
    pub(super) user: Option<Secret>,
    /// The token of an invite link.
    pub(super) token: Option<Secret>,
    /// The room of an invite link.
    pub(super) room: Option<String>,
}

const WRONG: &str = "it is not the URL of a relay's page, such as https://relay.example/, or an invite link";

impl Target {
    /// Parses what somebody copied from the address bar of a browser.
    ///
    /// # Errors
    /// When it is no such URL; the error says what is one.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (text, fragment) = text.split_once('#').unwrap_or((text, ""));
        let uri: Uri = text.parse().map_err(|_| WRONG)?;
        let (is_secure, is_page) = match uri.scheme_str() {
            Some("http") => (false, true),
            Some("https") => (true, true),
            Some("ws") => (false, false),
            Some("wss") => (true, false),
            Some(_) => return Err(WRONG.into()),
            None => return Err(format!("{WRONG}: begin with http:// or https://")),
        };
        let authority = uri.authority().filter(|authority| !authority.host().is_empty()).ok_or(WRONG)?;
        let port = match authority.port() {
            Some(port) => Some(port.as_u16()).filter(|port| *port > 0).ok_or(WRONG)?,
            None => default_port(is_secure),
        };
        let of = |pairs: &str, key: &str| {
            let mut pairs = form_urlencoded::parse(pairs.as_bytes());
            pairs.find(|(name, value)| name == key && !value.is_empty()).map(|(_, value)| value.into_owned())
        };
        let query = uri.query().unwrap_or_default();
        Ok(Self {
            is_secure,
            is_page,
            host: authority.host().to_ascii_lowercase(),
            port,
            path: uri.path().to_owned(),
            user: user(authority),
            token: of(fragment, "token").or_else(|| of(query, "token")).map(Secret::new),
            room: of(query, "room"),
        })
    }

    /// Where the page at this target leads by a `Location`, with what belongs to the person; none if that is no such
    /// URL.
    pub(super) fn redirected(&self, location: &str) -> Option<Self> {
        let absolute = match location {
            path if path.starts_with("//") => format!("{}:{path}", self.scheme()),
            path if path.starts_with('/') => format!("{}{path}", self.origin()),
            other => other.to_owned(),
        };
        let next = Self::parse(&absolute).ok().filter(|next| next.is_page)?;
        // A browser sends the password to nobody else.
        let user = self.user.clone().filter(|_| next.host == self.host);
        Some(Self { user, token: self.token.clone(), room: self.room.clone(), ..next })
    }

    fn scheme(&self) -> &'static str {
        if self.is_secure { "https" } else { "http" }
    }

    /// `host`, or `host:port` if that is not the scheme's own: what is in `Host`.
    pub(super) fn authority(&self) -> String {
        if self.port == default_port(self.is_secure) {
            self.host.clone()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// The origin of the page.
    pub(super) fn origin(&self) -> String {
        format!("{}://{}", self.scheme(), self.authority())
    }

    /// The URL, without what is nobody else's business.
    pub(super) fn url(&self) -> String {
        let scheme = match (self.is_page, self.is_secure) {
            (true, _) => self.scheme(),
            (false, true) => "wss",
            (false, false) => "ws",
        };
        format!("{scheme}://{}{}", self.authority(), self.path)
    }

    /// The path of `file` beside the page.
    pub(super) fn beside(&self, file: &str) -> String {
        let folder = self.path.rfind('/').and_then(|end| self.path.get(..=end)).unwrap_or("/");
        format!("{folder}{file}")
    }

    /// The host as the system's resolver and TLS take it.
    pub(super) fn name(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Target").field(&self.url()).finish()
    }
}

fn default_port(is_secure: bool) -> u16 {
    if is_secure { 443 } else { 80 }
}

fn user(authority: &Authority) -> Option<Secret> {
    let (user, _) = authority.as_str().rsplit_once('@')?;
    Some(Secret::new(percent_encoding::percent_decode_str(user).decode_utf8_lossy()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Target {
        Target::parse(text).unwrap()
    }

    #[test]
    fn a_url_names_a_page_a_socket_or_an_invitation() {
        for (text, url, origin, socket) in [
            ("http://localhost:8080", "http://localhost:8080/", "http://localhost:8080", "/ws"),
            ("https://Relay.example:443/call/", "https://relay.example/call/", "https://relay.example", "/call/ws"),
            ("https://a/call/index.html?x#y", "https://a/call/index.html", "https://a", "/call/ws"),
            ("wss://relay.example/call/ws", "wss://relay.example/call/ws", "https://relay.example", "/call/ws"),
            ("ws://[::1]:80/", "ws://[::1]/", "http://[::1]", "/ws"),
            ("https://ana:secret@relay.example/", "https://relay.example/", "https://relay.example", "/ws"),
        ] {
            let target = parsed(text);
            assert_eq!((target.url().as_str(), target.origin().as_str()), (url, origin), "{text}");
            assert_eq!(target.beside("ws"), socket, "{text}");
            assert!(!format!("{target:?}").contains("secret"));
        }
        assert_eq!(parsed("http://[::1]:80/").name(), "::1");
    }

    #[test]
    fn an_invite_link_brings_its_room_and_its_token() {
        let target = parsed("https://relay.example/?room=the+team#token=a.b.c");
        assert_eq!(target.room.as_deref(), Some("the team"));
        assert_eq!(target.token.map(|token| token.reveal().to_owned()).as_deref(), Some("a.b.c"));
        assert_eq!(parsed("http://a/#tok").token, None);
    }

    #[test]
    fn a_user_and_a_password_are_decoded() {
        assert_eq!(parsed("http://ana:p%40ss@a/").user.unwrap().reveal(), "ana:p@ss");
    }

    #[test]
    fn what_is_no_url_of_a_relay_is_told_so() {
        for text in ["", "relay.example", "localhost:8080", "ftp://a/", "https://", "http://:80/", "http://a:0/", "a b"]
        {
            assert!(Target::parse(text).unwrap_err().contains("https://relay.example/"), "{text}");
        }
    }

    #[test]
    fn a_redirect_keeps_the_token_and_gives_the_password_to_nobody_else() {
        let target = parsed("http://ana:secret@relay.example/?room=r#token=t");
        let secure = target.redirected("https://relay.example/").unwrap();
        assert!(secure.is_secure && secure.user.is_some() && secure.token.is_some());
        assert_eq!(target.redirected("/call/").unwrap().url(), "http://relay.example/call/");
        assert_eq!(target.redirected("//other.example/").unwrap().user, None);
        assert!(target.redirected("mailto:ana").is_none());
    }
}
