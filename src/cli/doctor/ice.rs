//! The STUN and TURN servers that the relay tells its clients of, asked as a browser asks them.

use serde::Deserialize;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use super::ask::ask;
use super::report::{Check, Report};
use super::server::{Credentials, Endpoint, Fault, Found, Kind, no_answer};
use super::tls::Trust;
use crate::limits;
use crate::net::machine::is_private;
use crate::secret::Secret;

/// What a client is told in `joined`.
pub(super) struct Servers {
    list: Vec<Listed>,
    policy: Option<String>,
}

/// A server of the list, or several with the same credentials.
#[derive(Deserialize)]
struct Listed {
    urls: Urls,
    username: Option<String>,
    #[serde(default)]
    credential: Option<Value>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Urls {
    One(String),
    Many(Vec<String>),
}

impl Servers {
    /// Those in `joined`.
    pub(super) fn of(joined: &Value) -> Self {
        Self {
            list: joined.get("iceServers").and_then(|list| Vec::deserialize(list).ok()).unwrap_or_default(),
            policy: joined.get("candidatePolicy").and_then(Value::as_str).map(str::to_owned),
        }
    }

    /// Each URL, with its credentials.
    fn endpoints(self) -> Vec<(String, Option<Endpoint>, Option<Credentials>)> {
        let mut endpoints = Vec::new();
        for Listed { urls, username, credential } in self.list {
            let credential = credential.as_ref().and_then(Value::as_str).map(Secret::new);
            let credentials = username.zip(credential).map(|(name, password)| Credentials { name, password });
            let urls = match urls {
                Urls::One(url) => vec![url],
                Urls::Many(urls) => urls,
            };
            for url in urls {
                let endpoint = Endpoint::parse(&url);
                endpoints.push((url, endpoint, credentials.clone()));
            }
        }
        endpoints
    }
}

/// Asks all of them at the same time.
pub(super) async fn look(servers: Servers, trust: &Trust, report: &Report, until: Instant) {
    let until = until.min(Instant::now() + limits::DOCTOR_ICE);
    for listed in &servers.list {
        let credential = listed.credential.as_ref().and_then(Value::as_str);
        listed.username.as_deref().into_iter().chain(credential).for_each(|text| report.keeps_secret(text));
    }
    let policy = servers.policy.clone();
    if policy.as_deref() == Some("lan") {
        for check in [Check::Stun, Check::Turn] {
            report.ok(check, "none is asked: the relay tells clients to stay on the local network");
        }
        return;
    }
    let mut endpoints = servers.endpoints();
    endpoints.truncate(limits::DOCTOR_ADDRESSES);
    let mut asked = Vec::new();
    for (url, endpoint, credentials) in endpoints {
        let Some(endpoint) = endpoint else {
            report.note(Check::Stun, format!("{url} is no URL that a browser takes"), "correct it");
            continue;
        };
        let (kind, tls) = (endpoint.kind, trust.for_ice());
        // A task of its own, so that a fault in one ends no other.
        let task = tokio::spawn(async move {
            let asked = ask(&endpoint, credentials.as_ref(), &tls, until);
            timeout_at(until, asked).await.unwrap_or_else(|_| Err(no_answer(&endpoint)))
        });
        asked.push((url, kind, task));
    }
    let mut results = Vec::new();
    for (url, kind, task) in asked {
        let broken = |_| Err(Fault::new("what it answers cannot be read", "look at its log"));
        results.push((url, kind, task.await.unwrap_or_else(broken)));
    }
    tell(results, policy.as_deref(), report);
}

/// A server that fails is no obstacle where another one of its kind does its work; a TURN server does that of STUN too.
fn tell(results: Vec<(String, Kind, Result<Found, Fault>)>, policy: Option<&str>, report: &Report) {
    let works = |kind| results.iter().any(|(_, one, result)| *one == kind && result.is_ok());
    let is_there = |kind| results.iter().any(|(_, one, _)| *one == kind);
    let (turn_works, stun_works) = (works(Kind::Turn), works(Kind::Stun) || works(Kind::Turn));
    if !is_there(Kind::Turn) {
        let advice = "name one by --turn: behind strict routers (mobile networks, companies) calls need it";
        if policy == Some("relay") {
            report.wrong(Check::Turn, "clients are told to use nothing else, and there is none", "name one by --turn");
        } else {
            report.note(Check::Turn, "the relay names no TURN server", advice);
        }
        if !is_there(Kind::Stun) {
            let advice = "name one by --stun, if people are to call each other who are not on one network";
            report.note(Check::Stun, "the relay names no STUN server", advice);
        }
    }
    for (url, kind, result) in results {
        let (check, another_works) = match kind {
            Kind::Stun => (Check::Stun, stun_works),
            Kind::Turn => (Check::Turn, turn_works),
        };
        match result {
            Ok(found) => praise(&url, check, &found, report),
            Err(Fault { detail, advice, .. }) if another_works => {
                report.note(check, format!("{url}: {detail}"), advice)
            }
            Err(Fault { detail, advice, .. }) => report.wrong(check, format!("{url}: {detail}"), advice),
        }
    }
}

fn praise(url: &str, check: Check, found: &Found, report: &Report) {
    let ip = found.address.ip();
    match check {
        Check::Turn if is_private(ip) && !is_private(found.server.ip()) => report.wrong(
            check,
            format!("{url} lets a client in, and relays at {ip}, which nobody reaches from elsewhere"),
            "tell the server its public address (coturn: external-ip)",
        ),
        Check::Turn if is_private(ip) => report.note(
            check,
            format!("{url} lets a client in, and relays at {ip}, for people on that network alone"),
            "for people elsewhere, the server needs a public address (coturn: external-ip)",
        ),
        Check::Turn => report.ok(check, format!("{url} lets a client in, and relays at {ip}")),
        _ => report.ok(check, format!("{url} sees this machine as {ip}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(address: &str, server: &str) -> Result<Found, Fault> {
        Ok(Found { address: address.parse().unwrap(), server: server.parse().unwrap() })
    }

    fn fault() -> Result<Found, Fault> {
        Err(Fault::new("no answer", "look"))
    }

    /// The states that are told about these results.
    fn told(results: Vec<(Kind, Result<Found, Fault>)>, policy: Option<&str>) -> String {
        let report = Report::new(String::new());
        tell(results.into_iter().map(|(kind, result)| ("url".to_owned(), kind, result)).collect(), policy, &report);
        report.finish(&[]);
        let text = report.text(false);
        let words = text.lines().skip(2).take_while(|line| !line.is_empty());
        words.map(|line| line.split_whitespace().take(2).collect::<Vec<_>>().join(" ")).collect::<Vec<_>>().join(", ")
    }

    const SERVER: &str = "8.8.8.8:3478";

    #[test]
    fn no_server_is_worth_a_word_and_no_obstacle() {
        assert_eq!(told(Vec::new(), None), "note stun, note turn");
        assert_eq!(told(vec![(Kind::Stun, found("9.9.9.9:1", SERVER))], None), "ok stun, note turn");
        assert_eq!(told(vec![(Kind::Stun, found("9.9.9.9:1", SERVER))], Some("relay")), "ok stun, WRONG turn");
    }

    #[test]
    fn a_server_that_fails_is_an_obstacle_unless_another_one_does_its_work() {
        assert_eq!(told(vec![(Kind::Stun, fault())], None), "WRONG stun, note turn");
        let turn = || (Kind::Turn, found("9.9.9.9:1", SERVER));
        assert_eq!(told(vec![(Kind::Stun, fault()), turn()], None), "note stun, ok turn");
        assert_eq!(told(vec![(Kind::Turn, fault()), turn()], None), "note turn, ok turn");
        assert_eq!(
            told(vec![(Kind::Stun, found("9.9.9.9:1", SERVER)), (Kind::Turn, fault())], None),
            "ok stun, WRONG turn"
        );
    }

    #[test]
    fn a_private_address_of_a_public_turn_server_is_of_no_use() {
        assert_eq!(told(vec![(Kind::Turn, found("10.0.0.1:1", SERVER))], None), "WRONG turn");
        assert_eq!(told(vec![(Kind::Turn, found("10.0.0.1:1", "10.0.0.2:3478"))], None), "note turn");
    }

    #[test]
    fn a_list_is_read_as_browsers_read_it_and_shows_no_credential() {
        let joined = json!({"iceServers": [
            {"urls": "stun:a"}, {"urls": ["turn:b", "turns:b"], "username": "ana", "credential": "secret"}
        ]});
        let servers = Servers::of(&joined);
        let endpoints = servers.endpoints();
        let urls: Vec<_> = endpoints.iter().map(|(url, ..)| url.as_str()).collect();
        assert_eq!(urls, ["stun:a", "turn:b", "turns:b"]);
        assert_eq!(endpoints[2].2.as_ref().unwrap().password.reveal(), "secret");
        assert!(endpoints[0].2.is_none());
        assert!(!format!("{endpoints:?}").contains("secret"));
        assert!(Servers::of(&json!({})).endpoints().is_empty());
    }
}
