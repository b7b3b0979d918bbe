//! `signaling-relay invite`: prints a link with a token, for somebody who may join a room.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use clap::Args;
use hyper::Uri;

use super::time;
use crate::auth::key::read_secret;
use crate::auth::token::Claims;
use crate::limits;
use crate::room::Role;
use crate::room::names::{PeerName, RoomName};

/// An invitation.
#[derive(Debug, Args)]
pub struct Invite {
    /// Sign with the secret in this file, one of those that the relay has; if there are several, with the first.
    #[arg(
        long,
        value_name = "FILE",
        env = "SIGNALING_RELAY_TOKEN_SECRET_FILE",
        value_delimiter = ',',
        required = true
    )]
    token_secret_file: Vec<PathBuf>,

    /// Invite to this room.
    #[arg(long, value_name = "ROOM", value_parser = room)]
    room: RoomName,

    /// Give whoever follows the link this name; without it they choose one.
    #[arg(long, value_name = "NAME", value_parser = name)]
    name: Option<PeerName>,

    /// Give whoever follows the link this role: `host` or `guest`.
    #[arg(long, value_name = "ROLE", value_parser = Role::parse)]
    role: Option<Role>,

    /// How long the link lets somebody in: a number with s, m, h or d, 366d at most.
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = validity)]
    expires: Duration,

    /// The address of the relay's page.
    #[arg(long, value_name = "URL", default_value = "http://localhost:8080", value_parser = page_url)]
    url: String,
}

impl Invite {
    /// The link. Its token is in the fragment, which browsers send to no server.
    ///
    /// # Errors
    /// When the file of the secret cannot be used.
    pub fn link(&self) -> anyhow::Result<String> {
        let file = self.token_secret_file.first().context("--token-secret-file is missing")?;
        let secret = read_secret(file)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).context("this machine's clock is before 1970")?;
        let expires = (now + self.expires).as_secs();
        let claims = Claims::invitation(&self.room, self.name.as_ref(), self.role, expires);
        let token = claims.sign(&secret).context("cannot sign the token")?;
        let query = form_urlencoded::Serializer::new(String::new()).append_pair("room", self.room.as_str()).finish();
        Ok(format!("{}?{query}#token={}", self.url, token.reveal()))
    }
}

fn room(text: &str) -> Result<RoomName, String> {
    if text.ends_with('*') {
        return Err("in a token, a name that ends in * means every room that begins like it".into());
    }
    RoomName::parse(text).map_err(|error| error.to_string())
}

fn name(text: &str) -> Result<PeerName, String> {
    PeerName::parse(text).map_err(|error| error.to_string())?.ok_or_else(|| "it is empty".into())
}

/// Parses a time such as `24h`.
fn validity(text: &str) -> Result<Duration, String> {
    let (longest, days) = (limits::INVITE_VALIDITY_MAX, limits::INVITE_VALIDITY_MAX.as_secs() / (24 * 60 * 60));
    time::parse(text, Duration::from_secs(1), longest)
        .ok_or_else(|| format!("it is not a time such as 90m, 24h or 7d, {days}d at most"))
}

/// Checks the URL of a page, and adds the `/` of an empty path.
fn page_url(text: &str) -> Result<String, &'static str> {
    let wrong = "it is not the http:// or https:// URL of a page, such as https://relay.example/, without ? and #";
    let uri: Uri = text.parse().map_err(|_| wrong)?;
    let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
    let has_host = uri.authority().is_some_and(|authority| !authority.host().is_empty());
    if !is_http || !has_host || text.contains(['?', '#']) {
        return Err(wrong);
    }
    let is_bare = uri.authority().is_some_and(|authority| text.ends_with(authority.as_str()));
    Ok(if is_bare { format!("{text}/") } else { text.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_a_unit_and_is_not_endless() {
        for (text, seconds) in [("90s", 90), ("5m", 300), ("24h", 86_400), ("366d", 31_622_400)] {
            assert_eq!(validity(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "24", "0h", "-1h", "1.5h", "367d", "h", "1w", "99999999999999999999d"] {
            assert!(validity(text).unwrap_err().contains("24h"), "{text}");
        }
    }

    #[test]
    fn the_url_is_that_of_a_page() {
        for (text, url) in [
            ("http://localhost:8080", "http://localhost:8080/"),
            ("https://relay.example/", "https://relay.example/"),
            ("https://example.org/call/", "https://example.org/call/"),
        ] {
            assert_eq!(page_url(text).as_deref(), Ok(url));
        }
        for text in ["", "relay.example", "ws://relay.example", "https://a/?room=b", "https://a/#b", "file:///a"] {
            assert!(page_url(text).is_err(), "{text}");
        }
    }
}
