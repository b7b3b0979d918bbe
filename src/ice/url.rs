//! The URLs of STUN servers (RFC 7064) and TURN servers (RFC 7065), as far as the constructor of `RTCPeerConnection` takes
//! them.

use std::net::Ipv6Addr;
use std::str::FromStr;

/// The URL of a STUN server, such as `stun:stun.example:3478` (RFC 7064).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StunUrl(String);

/// The URL of a TURN server, such as `turn:turn.example:3478?transport=udp` (RFC 7065).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TurnUrl(String);

impl StunUrl {
    /// The URL.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TurnUrl {
    /// The URL.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for StunUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match check(text) {
            Ok(false) => Ok(Self(text.to_owned())),
            Ok(true) => Err("it is the URL of a TURN server, which needs --turn".into()),
            Err(why) => Err(format!("it is no URL such as stun:stun.example:3478: {why}")),
        }
    }
}

impl FromStr for TurnUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match check(text) {
            Ok(true) => Ok(Self(text.to_owned())),
            Ok(false) => Err("it is the URL of a STUN server, which needs --stun".into()),
            Err(why) => Err(format!("it is no URL such as turn:turn.example:3478: {why}")),
        }
    }
}

/// Whether a valid URL is that of a TURN server.
pub(super) fn is_turn(url: &str) -> bool {
    url.get(..4).is_some_and(|scheme| scheme.eq_ignore_ascii_case("turn"))
}

/// Checks a URL; returns whether its server needs a credential.
pub(super) fn check(url: &str) -> Result<bool, &'static str> {
    let (scheme, rest) = url.split_once(':').ok_or("it has no scheme, such as stun:")?;
    let is_turn = match scheme.to_ascii_lowercase().as_str() {
        "stun" | "stuns" => false,
        "turn" | "turns" => true,
        _ => return Err("its scheme must be stun, stuns, turn or turns"),
    };
    let (authority, query) = rest.split_once('?').map_or((rest, None), |(authority, query)| (authority, Some(query)));
    if let Some(query) = query {
        let is_known = |transport: &str| transport.eq_ignore_ascii_case("udp") || transport.eq_ignore_ascii_case("tcp");
        if !is_turn {
            return Err("only turn: and turns: take a query");
        }
        if !query.strip_prefix("transport=").is_some_and(is_known) {
            return Err("its query must be ?transport=udp or ?transport=tcp");
        }
    }
    check_authority(authority)?;
    Ok(is_turn)
}

/// Checks `host` or `host:port`.
fn check_authority(authority: &str) -> Result<(), &'static str> {
    if authority.starts_with("//") {
        return Err("there is no // after the scheme");
    }
    if authority.contains('@') {
        return Err("a user goes into \"username\"");
    }
    let port = match authority.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']').ok_or("its address has no ]")?;
            address.parse::<Ipv6Addr>().map_err(|_| "what is between [ and ] is no IPv6 address")?;
            if port.is_empty() { None } else { Some(port.strip_prefix(':').ok_or("after ] comes a port")?) }
        }
        None => {
            let (host, port) = authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)));
            // A registered name (RFC 3986 section 3.2.2).
            let of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(&byte);
            if host.is_empty() || !host.bytes().all(of_name) {
                return Err("its host is no name and no address");
            }
            port
        }
    };
    let is_port =
        |port: &str| port.bytes().all(|digit| digit.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0);
    if port.is_none_or(is_port) { Ok(()) } else { Err("its port must be from 1 to 65535") }
}
