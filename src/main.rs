//! The binary: parses the flags, starts the log, serves, and exits.

use std::process::ExitCode;

use signaling_relay::cli::banner::Banner;
use signaling_relay::cli::flags;
use signaling_relay::cli::log::Log;
use signaling_relay::cli::signals::{self, Signals};
use signaling_relay::{Config, Server, limits};

#[tokio::main]
async fn main() -> ExitCode {
    // A mistake on the command line ends the program here, with exit code 2.
    let config = flags::from_command_line();
    let log = Log::start();
    let result = run(config).await;
    if let Err(error) = &result {
        log.push(&format!("error: {error:#}\n"));
    }
    log.finish(limits::LOG_DEADLINE);
    if result.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn run(config: Config) -> anyhow::Result<()> {
    // A signal that arrives while the server binds takes effect as soon as it serves.
    let signals = Signals::new()?;
    let server = Server::bind(config).await?;
    Banner::new(&server).print();
    signals::serve(server, signals).await
}
