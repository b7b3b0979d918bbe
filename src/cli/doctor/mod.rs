//! `signaling-relay doctor`: looks at a relay as a user's browser would, and says what is wrong and what to do.
//! `README.md` beside this file is for its users.

mod ask;
mod call;
mod http;
mod ice;
mod member;
mod page;
mod reach;
mod report;
mod room;
mod server;
mod stream;
mod stun;
mod target;
mod tls;
mod turn;

use std::convert::Infallible;
use std::io::{self, IsTerminal, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use clap::Args;
use tokio::runtime::Builder;
use tokio::time::{Instant, timeout_at};

use self::call::{Visit, call};
use self::page::Seen;
use self::reach::{Door, reach};
use self::report::{Check, Report};
use self::target::Target;
use self::tls::Trust;
use super::has_colours;
use crate::http::origin::Origin;
use crate::limits;
use crate::net::read;
use crate::secret::Secret;

/// What to look at, and how.
#[derive(Debug, Args)]
pub struct Doctor {
    /// The URL of the relay's page or WebSocket, or an invite link.
    #[arg(value_name = "URL", default_value = "http://localhost:8080/", value_parser = given)]
    url: Given,

    /// Show the token in this file, where the relay needs one.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// Trust the certificate authorities in this PEM file as well, such as that of `--lan`.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,

    /// Connect as a page of this origin does, if that is another one than the relay's own.
    #[arg(long, value_name = "ORIGIN", value_parser = origin)]
    origin: Option<String>,

    /// Be silent in a room for so many seconds, 3600 at most, to see that nothing on the way cuts the connection.
    ///
    /// The relay pings every 15 s; with less than that no ping is waited for.
    #[arg(long, value_name = "SECONDS", default_value_t = limits::DOCTOR_IDLE_SECONDS,
        value_parser = clap::value_parser!(u64).range(0..=limits::DOCTOR_IDLE_SECONDS_MAX))]
    idle: u64,

    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// A target, or why the URL is none. A refusal by the parser of the command line would print it with its token.
type Given = Result<Target, String>;

fn given(text: &str) -> Result<Given, Infallible> {
    Ok(Target::parse(text))
}

fn origin(text: &str) -> Result<String, String> {
    text.parse::<Origin>().map(|_| text.to_owned()).map_err(|error| error.to_string())
}

impl Doctor {
    /// Looks, and prints what was found. The exit code is 0 if calls can be made, 1 if not, and 2 if the URL or a file
    /// that a flag names cannot be used.
    pub fn run(&self) -> ExitCode {
        match self.look() {
            Ok(report) => {
                let mut out = io::stdout().lock();
                let colours = out.is_terminal() && has_colours();
                let text = if self.json { report.json() + "\n" } else { report.text(colours) };
                // A closed stdout is no error: nobody wants to read it.
                let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
                if report.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
            }
            Err(error) => {
                let _ = writeln!(io::stderr(), "error: {error:#}");
                ExitCode::from(2)
            }
        }
    }

    fn look(&self) -> anyhow::Result<Report> {
        let target = self.url.clone().map_err(|why| anyhow!("the URL cannot be used: {why}"))?;
        let token = self.token_file.as_deref().map(read_token).transpose()?.or_else(|| target.token.clone());
        let trust = Trust::new(self.ca.as_deref())?;
        let runtime = Builder::new_multi_thread().enable_all().build().context("cannot start the threads")?;
        let report = Report::new(target.url());
        for secret in token.iter().chain(&target.user) {
            report.keeps_secret(secret.reveal());
        }
        if let Some((_, password)) = target.user.as_ref().and_then(|user| user.reveal().split_once(':')) {
            report.keeps_secret(password);
        }
        runtime.block_on(async {
            let last = Instant::now() + self.time();
            // So that what a part tells at its end is told.
            let until = last - limits::DOCTOR_GOODBYE;
            // Each part ends by itself in time; if one did not, what was found until then is told.
            let is_secure = target.is_secure;
            let looked = timeout_at(last, self.examine(target, &trust, token.as_ref(), &report, until)).await;
            report.finish(&expected(looked.unwrap_or(is_secure)));
        });
        // What a server of names has not answered yet is of no interest.
        runtime.shutdown_background();
        Ok(report)
    }

    /// How long it may take.
    fn time(&self) -> Duration {
        limits::DOCTOR_DEADLINE + Duration::from_secs(self.idle.saturating_sub(limits::DOCTOR_IDLE_SECONDS))
    }

    /// Looks at everything. Returns whether TLS is among it.
    async fn examine(
        &self,
        target: Target,
        trust: &Trust,
        token: Option<&Secret>,
        report: &Report,
        until: Instant,
    ) -> bool {
        let reached_until = until.min(Instant::now() + limits::DOCTOR_REACH);
        let (target, door) = find(target, trust, report, reached_until).await;
        let Some(door) = door else { return target.is_secure };
        let own = target.origin();
        let origin = self.origin.as_deref().unwrap_or(&own);
        let visit = Visit { origin, token, idle: Duration::from_secs(self.idle), until };
        tokio::join!(page::lan(&door, trust, report, until), call(&door, &visit, trust, report));
        target.is_secure
    }
}

/// Follows redirects to the relay's page; the way to more connections, if a browser would go on.
async fn find(mut target: Target, trust: &Trust, report: &Report, until: Instant) -> (Target, Option<Door>) {
    for _ in 0..=limits::DOCTOR_REDIRECTS {
        let Some(reached) = reach(&target, trust, report, until).await else { return (target, None) };
        match page::look(reached, &target, trust, report, until).await {
            Seen::Here(door) => return (target, door),
            Seen::Moved(next) => {
                target = next;
                report.is_about(target.url());
            }
        }
    }
    report.wrong(Check::Page, "it redirects again and again", "correct the redirects of the proxy");
    (target, None)
}

/// The checks that a report must have.
fn expected(is_secure: bool) -> Vec<Check> {
    let all = [
        Check::Address,
        Check::Port,
        Check::Tls,
        Check::Certificate,
        Check::Page,
        Check::Clock,
        Check::Origin,
        Check::Upgrade,
        Check::Join,
        Check::Messages,
        Check::Silence,
        Check::Stun,
        Check::Turn,
    ];
    let is_expected = |check: &Check| is_secure || !matches!(check, Check::Tls | Check::Certificate);
    all.into_iter().filter(is_expected).collect()
}

fn read_token(file: &Path) -> anyhow::Result<Secret> {
    let most = limits::TOKEN_BYTES as u64;
    let text = read::text(file, most).context("--token-file")?;
    let token = text.trim();
    ensure!(!token.is_empty(), "--token-file: {} has no token", file.display());
    Ok(Secret::new(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_end_before_the_whole_and_the_whole_in_less_than_25_seconds() {
        let parts = limits::DOCTOR_REACH + limits::DOCTOR_ROOM + limits::DOCTOR_ICE;
        assert!(parts <= limits::DOCTOR_DEADLINE && limits::DOCTOR_DEADLINE < Duration::from_secs(25));
        // Where nothing is slow, there is time for the ping.
        let ping = limits::PING_INTERVAL + limits::DOCTOR_PING_LATE;
        assert!(limits::DOCTOR_STEP + ping + limits::DOCTOR_GOODBYE * 2 < limits::DOCTOR_DEADLINE);
        // Two requests of TURN, whose last one waits for an answer, are cut by the end of the part.
        assert!(limits::DOCTOR_STEP < limits::DOCTOR_ICE);
    }
}
