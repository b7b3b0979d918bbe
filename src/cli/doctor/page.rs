//! The page, the clock of who serves it, and the addresses that the relay tells people on this machine.

use std::io::ErrorKind;
use std::net::IpAddr;
use std::time::SystemTime;

use hyper::StatusCode;
use hyper::header;
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::http::{self, Answer};
use super::reach::{Door, Reached, step, what_happened};
use super::report::{Check, Report, quoted};
use super::target::Target;
use super::tls::Trust;
use crate::limits;

/// What the page came to.
pub(super) enum Seen {
    /// It is elsewhere.
    Moved(Target),
    /// It was told to the report; the way to more connections, if there is one.
    Here(Option<Door>),
}

/// Asks for the page on the first connection.
pub(super) async fn look(reached: Reached, target: &Target, trust: &Trust, report: &Report, until: Instant) -> Seen {
    let Reached { stream, door } = reached;
    // Where the certificate is not good, nothing is said that is not for everybody.
    let user = target.user.as_ref().filter(|_| door.is_some());
    let asked = timeout_at(until, http::get(stream, target, &target.path, user)).await;
    let answer = match asked.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into())) {
        Ok(answer) => answer,
        Err(error) if error.kind() == ErrorKind::TimedOut => {
            let advice = "see whether that program is the relay or its proxy, and whether it hangs";
            report.wrong(Check::Page, "the server took the connection, and did not answer the request", advice);
            return Seen::Here(None);
        }
        Err(_) if !target.is_secure && speaks_tls(target, door.as_ref(), trust, until).await => {
            speaks_tls_alone(target, report);
            return Seen::Here(None);
        }
        Err(error) => {
            let advice = "see whether the port is that of the relay or its proxy";
            report.wrong(Check::Page, format!("no HTTP response: {}", what_happened(&error)), advice);
            return Seen::Here(None);
        }
    };
    if answer.status.is_redirection()
        && let Some(location) = answer.headers.get(header::LOCATION).and_then(|value| value.to_str().ok())
    {
        let Some(next) = target.redirected(location) else {
            let detail = format!("it redirects to {}, which is no page", quoted(location));
            report.wrong(Check::Page, detail, "correct the redirect of the proxy");
            return Seen::Here(None);
        };
        report.ok(Check::Page, format!("{} redirects to {}", target.url(), next.url()));
        return Seen::Moved(next);
    }
    clock(&answer, report);
    if answer.status == StatusCode::BAD_REQUEST && answer.body.contains("HTTPS port") {
        speaks_tls_alone(target, report);
        return Seen::Here(None);
    }
    judge(&answer, target, report);
    Seen::Here(door)
}

fn speaks_tls_alone(target: &Target, report: &Report) {
    let secure = Target { is_secure: true, ..target.clone() };
    let detail = format!("port {} speaks TLS, not plain HTTP", target.port);
    report.wrong(Check::Page, detail, format!("open {}", secure.url()));
}

/// Whether the server makes a TLS handshake.
async fn speaks_tls(target: &Target, door: Option<&Door>, trust: &Trust, until: Instant) -> bool {
    let Some(door) = door else { return false };
    let handshake = step(until, async {
        let stream = TcpStream::connect(door.address()).await.ok()?;
        trust.curious().connect(super::reach::server_name(target).ok()?, stream).await.ok()
    });
    handshake.await.flatten().is_some()
}

fn judge(answer: &Answer, target: &Target, report: &Report) {
    let status = answer.status;
    let said = format!("{} answers {status}", target.url());
    if !target.is_page && status != StatusCode::OK {
        report.note(Check::Page, said, "see that people get the page from elsewhere: this URL is that of a WebSocket");
        return;
    }
    match status {
        StatusCode::OK if target.is_page && !target.is_secure && !is_loopback(target.name()) => report.wrong(
            Check::Page,
            format!("{said}, but browsers give a page at http:// no camera and no microphone, other than on localhost"),
            "use TLS: --lan on a local network, --cert and --key, or a proxy with a certificate",
        ),
        StatusCode::OK => report.ok(Check::Page, said),
        StatusCode::UNAUTHORIZED | StatusCode::PROXY_AUTHENTICATION_REQUIRED => report.wrong(
            Check::Page,
            format!("{said}: a proxy asks for a name and a password"),
            "write them into the URL (https://NAME:PASSWORD@HOST/) to look further",
        ),
        StatusCode::NOT_FOUND => report.wrong(
            Check::Page,
            format!("{said}: there is no relay at this path"),
            "correct the path, or the proxy's rule for it",
        ),
        StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => report.wrong(
            Check::Page,
            format!("{said}: the proxy does not reach a relay"),
            "start the relay, and let the proxy pass requests to the address that it listens on",
        ),
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => report.wrong(
            Check::Page,
            format!("{said}: {}", quoted(&answer.body)),
            "see whether the relay behind the proxy runs, and which of its limits is reached (its log says so)",
        ),
        _ => report.wrong(
            Check::Page,
            format!("{said}: {}", quoted(&answer.body)),
            "see whether this is the relay, and what its log or that of the proxy says",
        ),
    }
}

/// Whether a browser takes a page of this host for one of its own machine.
pub(super) fn is_loopback(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost") || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

/// Compares the clocks, to the second.
fn clock(answer: &Answer, report: &Report) {
    let date = answer.headers.get(header::DATE).and_then(|date| date.to_str().ok());
    let Some(there) = date.and_then(|date| httpdate::parse_http_date(date).ok()) else {
        report.ok(Check::Clock, "the response has no date to compare with");
        return;
    };
    let here = SystemTime::now();
    let (difference, word) = match here.duration_since(there) {
        Ok(behind) => (behind, "behind"),
        Err(ahead) => (ahead.duration(), "ahead of"),
    };
    let seconds = difference.as_secs();
    if difference < limits::DOCTOR_CLOCK_DIFFERENCE {
        report.ok(Check::Clock, "the relay's clock and this machine's agree");
    } else {
        report.note(
            Check::Clock,
            format!("the relay's clock is {seconds} s {word} this machine's"),
            "set both by a time server: by a wrong clock tokens, TURN credentials and certificates are refused",
        );
    }
}

/// What the relay says about itself, beside the page.
#[derive(Debug, Deserialize)]
struct Site {
    #[serde(default)]
    lan: Vec<String>,
}

/// Looks at the addresses for other devices on the local network, which the relay tells somebody on its own machine.
pub(super) async fn lan(door: &Door, trust: &Trust, report: &Report, until: Instant) {
    let target = &door.target;
    let asked = step(until, async {
        http::get(door.open().await?, target, &target.beside("site.json"), target.user.as_ref()).await
    });
    let Some(Ok(answer)) = asked.await else { return };
    let Ok(mut site) = serde_json::from_str::<Site>(&answer.body) else { return };
    site.lan.truncate(limits::DOCTOR_ADDRESSES);
    let tried = site.lan.iter().filter_map(|url| Target::parse(url).ok()).map(|near| try_lan(near, trust, until));
    let tried = futures_util::future::join_all(tried).await;
    let none_answers = tried.iter().all(|(_, fault)| fault.is_some());
    for (near, fault) in tried {
        let url = near.url();
        match fault {
            None if near.is_secure => report.ok(Check::Lan, format!("{url} answers")),
            None => report.note(
                Check::Lan,
                format!("{url} answers, but browsers give a page at http:// no camera and no microphone"),
                "start the relay with --lan, so that other devices can call",
            ),
            Some((detail, advice)) if none_answers => report.wrong(Check::Lan, format!("{url}: {detail}"), advice),
            Some((detail, advice)) => report.note(Check::Lan, format!("{url}: {detail}"), advice),
        }
    }
}

/// What is wrong with an address on the local network, and what to do.
async fn try_lan(near: Target, trust: &Trust, until: Instant) -> (Target, Option<(String, &'static str)>) {
    let address = near.name().parse().map(|ip: IpAddr| (ip, near.port));
    let fault = match address {
        Err(_) => None,
        Ok(address) => {
            let dialed = step(until, async {
                let stream = TcpStream::connect(address).await.map_err(|error| (error, FIREWALL))?;
                if near.is_secure {
                    let name = super::reach::server_name(&near).map_err(|error| (error, CERTIFICATE))?;
                    trust.connector().connect(name, stream).await.map_err(|error| (error, CERTIFICATE))?;
                }
                Ok(())
            });
            match dialed.await {
                Some(Ok(())) => None,
                Some(Err((error, advice))) => Some((what_happened(&error), advice)),
                None => Some(("no answer".to_owned(), FIREWALL)),
            }
        }
    };
    (near, fault)
}

const FIREWALL: &str = "let the relay listen there, and let the port through this machine's firewall";
const CERTIFICATE: &str =
    "use a certificate that is for this address as well; that of --lan follows the machine's addresses";
