//! Where events go.

use std::fmt;
use std::str::FromStr;

use hyper::Uri;
use thiserror::Error;

use crate::http_client::is_of_this_machine;

/// The address of an application that gets events: `http://` or `https://`, a host, and a path.
#[derive(Clone, PartialEq, Eq)]
pub struct EventsUrl(pub(super) Uri);

/// What is wrong with such an address. Its text is a sentence for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum EventsUrlError {
    /// It is not a URL of HTTP.
    #[error("it is not an http:// or https:// URL, such as http://localhost:3000/events")]
    NotHttp,
    /// It has a user or a password.
    #[error("it has a user or a password before the host, which the relay does not send; use --events-secret-file")]
    HasUser,
}

impl EventsUrl {
    /// Whether the relay reaches it by TLS.
    pub fn is_https(&self) -> bool {
        self.0.scheme_str() == Some("https")
    }

    /// Whether it is on this machine: `localhost`, or a loopback address.
    pub fn is_of_this_machine(&self) -> bool {
        is_of_this_machine(&self.0)
    }
}

impl FromStr for EventsUrl {
    type Err = EventsUrlError;

    fn from_str(text: &str) -> Result<Self, EventsUrlError> {
        let uri: Uri = text.parse().map_err(|_| EventsUrlError::NotHttp)?;
        let authority = uri.authority().ok_or(EventsUrlError::NotHttp)?;
        if authority.as_str().contains('@') {
            return Err(EventsUrlError::HasUser);
        }
        let is_http = matches!(uri.scheme_str(), Some("http" | "https")) && !authority.host().is_empty();
        if is_http { Ok(Self(uri)) } else { Err(EventsUrlError::NotHttp) }
    }
}

impl fmt::Debug for EventsUrl {
    /// Without the path and the query, which may have a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, authority) = (self.0.scheme_str().unwrap_or_default(), self.0.authority());
        write!(f, "{scheme}://{}", authority.map_or("", |authority| authority.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_that_of_http_without_a_user_and_only_its_host_is_shown() {
        for (text, is_here) in [
            ("http://localhost:3000", true),
            ("http://LOCALHOST/events", true),
            ("http://127.0.0.2/events", true),
            ("https://[::1]:8443/events", true),
            ("http://192.0.2.7/events", false),
            ("http://localhost.example/events", false),
            ("https://app.example/events?key=k", false),
        ] {
            assert_eq!(text.parse::<EventsUrl>().unwrap().is_of_this_machine(), is_here, "{text}");
        }
        for text in ["", "localhost:3000", "/events", "ftp://a/", "http://", "http:///a", "a b"] {
            assert_eq!(text.parse::<EventsUrl>(), Err(EventsUrlError::NotHttp), "{text}");
        }
        assert_eq!("http://me:pass@a/".parse::<EventsUrl>(), Err(EventsUrlError::HasUser));
        let shown = format!("{:?}", "https://hooks.example/T0/B0/token?key=k".parse::<EventsUrl>().unwrap());
        assert_eq!(shown, "https://hooks.example");
    }
}
