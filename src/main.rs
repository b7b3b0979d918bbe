//! The binary: arguments, log, signals, exit code.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use signaling_relay::cli::banner::Screen;
use signaling_relay::cli::flags;
use signaling_relay::net::host::Host;
use signaling_relay::{Config, Reloader, Server, Shutdown};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> ExitCode {
    // Wrong arguments end here, with exit code 2.
    let config = flags::from_command_line();
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
    let _ = introduce(&server);
    let reloader = server.reloader();
    let (told, shutdown) = tokio::sync::oneshot::channel();
    let serve = server.serve(async { shutdown.await.unwrap_or(Shutdown::ForGood) });
    let stop = async {
        // The receiver is there as long as the server serves.
        let _ = told.send(signals.next(&reloader).await);
        signals.next(&reloader).await;
    };
    tokio::select! {
        () = serve => Ok(()),
        () = stop => anyhow::bail!("told to end twice: not waiting for the connections to close"),
    }
}

/// The signals that mean something to the relay: Ctrl-C by the person at the terminal and SIGTERM by whatever runs it as a
/// service end it, SIGHUP makes it read its certificate anew.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    /// Whether it was started at a terminal, which may be closed.
    terminal: bool,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
            terminal: io::stdin().is_terminal(),
        })
    }

    /// Waits for the end; reloads until then.
    async fn next(&mut self, reloader: &Reloader) -> Shutdown {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => return Shutdown::ForGood,
                _ = self.terminate.recv() => return Shutdown::Restart,
                _ = self.hangup.recv() => {
                    // The kernel sends it too when the terminal's window is closed, and a terminal that is gone is none.
                    if self.terminal && !io::stdin().is_terminal() {
                        return Shutdown::ForGood;
                    }
                    reloader.reload();
                }
            }
        }
    }
}

/// Prints what can be opened.
fn introduce(server: &Server) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let screen = Screen::new(server, &Host::look(), out.is_terminal());
    write!(out, "{screen}")?;
    out.flush()
}

fn start_log() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr)
        // It would complain of a stderr that is gone on stderr, and panic.
        .log_internal_errors(false)
        .init();
}
