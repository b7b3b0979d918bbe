//! The binary: arguments, log, signals, exit code.

use std::io::{self, IsTerminal, Write};
use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;

use clap::Parser;
use signaling_relay::{Config, Server, Shutdown};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> ExitCode {
    // Wrong arguments end here, with exit code 2.
    let config = Config::parse();
    start_log();
    match run(config).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell when stderr is gone as well.
            let _ = writeln!(io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(config: Config) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    let server = Server::bind(config).await?;
    // Somebody who closed stdout does not want to read it.
    let _ = introduce(server.local_addrs());
    let (told, shutdown) = tokio::sync::oneshot::channel();
    let serve = server.serve(async { shutdown.await.unwrap_or(Shutdown::ForGood) });
    let stop = async {
        // The receiver is there as long as the server serves.
        let _ = told.send(signals.next().await);
        signals.next().await;
    };
    tokio::select! {
        () = serve => Ok(()),
        () = stop => anyhow::bail!("told to end twice: not waiting for the connections to close"),
    }
}

/// The two signals that end the relay: Ctrl-C by the person at the terminal, SIGTERM by whatever runs it as a service.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) -> Shutdown {
        tokio::select! {
            _ = self.interrupt.recv() => Shutdown::ForGood,
            _ = self.terminate.recv() => Shutdown::Restart,
        }
    }
}

/// Prints what can be opened.
fn introduce(addresses: &[SocketAddr]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "signaling-relay {} is ready. Open", env!("CARGO_PKG_VERSION"))?;
    for url in urls(addresses) {
        writeln!(out, "    {url}")?;
    }
    writeln!(out, "in two tabs, or give the address to somebody; Ctrl-C ends it.")?;
    out.flush()
}

/// What to type into a browser: `localhost` where both its addresses are listened on, the address itself otherwise.
fn urls(addresses: &[SocketAddr]) -> Vec<String> {
    let mut urls = Vec::new();
    for address in addresses {
        let twin = |other: &SocketAddr| other.port() == address.port() && other.is_ipv4() != address.is_ipv4();
        let both = |test: fn(IpAddr) -> bool| {
            test(address.ip()) && addresses.iter().any(|other| twin(other) && test(other.ip()))
        };
        let url = if both(|ip| ip.is_loopback()) || address.ip().is_unspecified() {
            format!("http://localhost:{}/", address.port())
        } else {
            format!("http://{address}/")
        };
        if !urls.contains(&url) {
            urls.push(url);
        }
    }
    urls
}

fn start_log() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr)
        .init();
}
