//! Whether the relay can be reached: its name, its port, and TLS.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::http;
use super::report::{Check, Report, quoted};
use super::stream::AnyStream;
use super::target::Target;
use super::tls::Trust;
use crate::limits;
use crate::net::listen::resolve;

/// What comes of a step that may take [`DOCTOR_STEP`](limits::DOCTOR_STEP), and ends at `until` at the latest; none if
/// it took longer.
pub(super) async fn step<T>(until: Instant, future: impl Future<Output = T>) -> Option<T> {
    timeout_at(until.min(Instant::now() + limits::DOCTOR_STEP), future).await.ok()
}

/// Where the relay was reached, to connect there again.
pub(super) struct Door {
    /// What the URL says.
    pub(super) target: Target,
    address: SocketAddr,
    /// How TLS is spoken with it, if its certificate is good.
    tls: Option<TlsConnector>,
}

impl Door {
    /// The address that answered.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// A connection as a browser makes it, which checks the certificate.
    ///
    /// # Errors
    /// When there is none.
    pub(super) async fn open(&self) -> io::Result<AnyStream> {
        let stream = TcpStream::connect(self.address).await?;
        // So small messages do not wait for each other.
        let _ = stream.set_nodelay(true);
        match &self.tls {
            None => Ok(Box::new(stream)),
            Some(tls) => Ok(Box::new(tls.connect(server_name(&self.target)?, stream).await?)),
        }
    }
}

/// A first connection, and the way to more of them.
pub(super) struct Reached {
    /// The connection, on which nothing was said yet.
    pub(super) stream: AnyStream,
    /// None if a browser would not go on.
    pub(super) door: Option<Door>,
}

/// Reaches `target` until then, and tells `report` how far that went; none if nothing can be asked there.
pub(super) async fn reach(target: &Target, trust: &Trust, report: &Report, until: Instant) -> Option<Reached> {
    let addresses = look_up(target, report, until).await?;
    let (stream, address) = connect(target, &addresses, report, until).await?;
    if !target.is_secure {
        let door = Door { target: target.clone(), address, tls: None };
        return Some(Reached { stream: Box::new(stream), door: Some(door) });
    }
    let name = match server_name(target) {
        Ok(name) => name,
        Err(error) => {
            report.wrong(Check::Tls, error.to_string(), "use the name in the certificate");
            return None;
        }
    };
    let handshake = step(until, trust.curious().connect(name, stream)).await;
    let stream = match handshake {
        Some(Ok(stream)) => stream,
        Some(Err(error)) => {
            no_tls(target, address, &error, report, until).await;
            return None;
        }
        None => {
            let advice =
                "see whether the port is that of the relay or its proxy, and whether that machine is overloaded";
            report.wrong(Check::Tls, "the server took the connection, and did not answer the TLS handshake", advice);
            return None;
        }
    };
    let session = stream.get_ref().1;
    let version = session.protocol_version().and_then(|version| version.as_str()).unwrap_or("TLS");
    report.ok(Check::Tls, version.replace("v1_", " 1."));
    let chain = session.peer_certificates().unwrap_or_default().to_vec();
    let is_good = trust.judge(&chain, target, report);
    let door = is_good.then(|| Door { target: target.clone(), address, tls: Some(trust.connector()) });
    Some(Reached { stream: Box::new(stream), door })
}

/// The name that the certificate of `target` must have.
///
/// # Errors
/// When no certificate can have it.
pub(super) fn server_name(target: &Target) -> io::Result<ServerName<'static>> {
    let wrong = |_| io::Error::other(format!("{} is no name for which there are certificates", target.host));
    ServerName::try_from(target.name().to_owned()).map_err(wrong)
}

async fn look_up(target: &Target, report: &Report, until: Instant) -> Option<Vec<SocketAddr>> {
    let host = target.name();
    let advice = if host.contains('.') {
        "check the spelling, and the name's A and AAAA records in DNS"
    } else {
        "check the spelling; names without a dot are known on their own network alone"
    };
    let mut addresses = match step(until, resolve(host, target.port)).await {
        Some(Ok(addresses)) if !addresses.is_empty() => addresses,
        Some(Ok(_)) => {
            report.wrong(Check::Address, format!("{host} has no address"), advice);
            return None;
        }
        Some(Err(error)) => {
            report.wrong(Check::Address, format!("{host} has no address: {error}"), advice);
            return None;
        }
        None => {
            let detail = format!("the name server did not say in time what {host} is");
            report.wrong(Check::Address, detail, "see whether this machine's name servers answer");
            return None;
        }
    };
    addresses.truncate(limits::DOCTOR_ADDRESSES);
    if host.parse::<IpAddr>().is_ok() {
        report.ok(Check::Address, host);
    } else {
        let ips: Vec<_> = addresses.iter().map(|address| address.ip().to_string()).collect();
        report.ok(Check::Address, format!("{host} is {}", ips.join(", ")));
    }
    Some(addresses)
}

/// Connects to the first of `addresses` that answers.
async fn connect(
    target: &Target,
    addresses: &[SocketAddr],
    report: &Report,
    until: Instant,
) -> Option<(TcpStream, SocketAddr)> {
    let dial = async |address: SocketAddr| {
        let connected = step(until, TcpStream::connect(address)).await;
        (address, connected.unwrap_or_else(|| Err(ErrorKind::TimedOut.into())))
    };
    let mut dials: FuturesUnordered<_> = addresses.iter().map(|address| dial(*address)).collect();
    let (mut found, mut failed) = (None, Vec::new());
    let mut until_then = until + limits::DOCTOR_STEP;
    while let Ok(Some((address, connected))) = timeout_at(until_then, dials.next()).await {
        match connected {
            Ok(stream) if found.is_none() => {
                found = Some((stream, address));
                until_then = Instant::now() + limits::DOCTOR_OTHER_ADDRESSES;
            }
            Ok(_) => {}
            Err(error) => failed.push((address, error)),
        }
    }
    let port = target.port;
    match (&found, failed.first()) {
        (Some((_, address)), None) => report.ok(Check::Port, format!("{address} answers")),
        // The relay may listen on one of both loopback addresses.
        (Some((_, address)), Some((silent, _))) if silent.ip().is_loopback() => {
            report.ok(Check::Port, format!("{address} answers, {silent} does not"));
        }
        (Some((_, address)), Some((silent, error))) => report.note(
            Check::Port,
            format!("{address} answers, and {silent} does not: {}", what_happened(error)),
            "listen there as well, or take that address out of DNS: browsers try it first, and wait",
        ),
        (None, Some((address, error))) => {
            let advice = match error.kind() {
                ErrorKind::ConnectionRefused => {
                    format!(
                        "start the relay or its proxy there, let it listen on that address, or correct the port {port}"
                    )
                }
                ErrorKind::TimedOut => format!(
                    "see whether the machine is on, and let TCP port {port} through its firewall and its network's"
                ),
                _ => "see whether this machine is connected to that network".to_owned(),
            };
            report.wrong(Check::Port, format!("{address}: {}", what_happened(error)), advice);
        }
        (None, None) => report.wrong(Check::Port, "nothing answered in time", "see whether the machine is on"),
    }
    found
}

/// A word about a connection that failed, for people.
pub(super) fn what_happened(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::ConnectionRefused => "nothing listens there (connection refused)".to_owned(),
        ErrorKind::TimedOut => "no answer".to_owned(),
        _ => error.to_string(),
    }
}

/// Says why the handshake failed. A server that speaks plain HTTP is found by asking it.
async fn no_tls(target: &Target, address: SocketAddr, error: &io::Error, report: &Report, until: Instant) {
    let asked = step(until, async {
        let stream = TcpStream::connect(address).await?;
        http::get(Box::new(stream), target, "/", None).await
    });
    if let Some(Ok(_)) = asked.await {
        let plain = Target { is_secure: false, ..target.clone() };
        report.wrong(
            Check::Tls,
            format!("port {} speaks plain HTTP, not TLS", target.port),
            format!(
                "open {}, or start the relay with --lan or --cert and --key, or send people to the port of the proxy \
                 that has the certificate",
                plain.url()
            ),
        );
        return;
    }
    let detail = format!("no TLS handshake: {}", quoted(&error.to_string()));
    report.wrong(Check::Tls, detail, "see whether the port is that of the relay or of a proxy with TLS 1.2 or 1.3");
}
