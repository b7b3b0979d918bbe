//! The binary: parses the flags, starts the log, serves, and exits. Or checks the settings, prints an invite
//! link, or looks at a relay.

#[cfg(feature = "auth")]
use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context;
use signaling_relay::cli::banner::Banner;
use signaling_relay::cli::command_line::{self, Start, Task};
use signaling_relay::cli::descriptors;
use signaling_relay::cli::log::{Log, LogFormat};
use signaling_relay::cli::signals::{self, Signals};
use signaling_relay::cli::sources::Sources;
use signaling_relay::{BindError, Config, Server, limits};
use tokio::runtime::{Builder, Runtime};
use tracing::warn;

/// Gives memory back to the system: what strangers made the relay use for a moment is not its own for ever.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let task = match command_line::from_command_line() {
        Ok(task) => task,
        Err(failure) => return failure.print(),
    };
    match task {
        Task::Serve(start) => {
            let Start { config, sources, log_format, warnings } = *start;
            let log = Log::start(log_format);
            for warning in warnings {
                warn!("{warning}");
            }
            end(&log, &sources, runtime().and_then(|runtime| runtime.block_on(run(config))))
        }
        Task::Check(check) => check.run().print(),
        Task::Health(health) => {
            let log = Log::start(LogFormat::Text);
            end(&log, &Sources::default(), health.ask())
        }
        #[cfg(feature = "auth")]
        Task::Invite(invite) => {
            let log = Log::start(LogFormat::Text);
            let link = invite.link();
            let printed = link.and_then(|link| writeln!(std::io::stdout(), "{link}").context("cannot print the link"));
            end(&log, &Sources::default(), printed)
        }
        // Without a log: what it has to say is its report.
        #[cfg(feature = "doctor")]
        Task::Doctor(doctor) => doctor.run(),
    }
}

/// Says why the program ends, if it ends by an error; returns its exit code.
fn end(log: &Log, sources: &Sources, result: anyhow::Result<()>) -> ExitCode {
    if let Err(error) = &result {
        log.push_error(&sources.name_in(&format!("{error:#}")));
    }
    log.finish(limits::LOG_DEADLINE);
    match &result {
        Ok(()) => ExitCode::SUCCESS,
        // What a file says that a setting names is a part of the setting.
        Err(error) if matches!(error.downcast_ref(), Some(BindError::Config(_))) => ExitCode::from(2),
        Err(_) => ExitCode::FAILURE,
    }
}

/// The threads that serve, one for each core.
fn runtime() -> anyhow::Result<Runtime> {
    let mut builder = Builder::new_multi_thread();
    // A thread with more than 256 tasks that are ready moves half of them to a queue of all threads. By default it takes
    // one from there after up to 61 of its own, so that under load some connections wait much longer than others: with
    // 500 busy pairs on one core, p99 was 19 times p50, and is twice p50 if every second task is one of those.
    builder.global_queue_interval(2);
    builder.enable_all().build().context("cannot start the threads that serve")
}

async fn run(config: Config) -> anyhow::Result<()> {
    // A signal that arrives while the server binds takes effect as soon as it serves.
    let signals = Signals::new()?;
    // Before the server derives from it how many connections it may take.
    descriptors::raise_limit();
    let server = Server::bind(config).await?;
    Banner::new(&server).print();
    signals::serve(server, signals).await
}
