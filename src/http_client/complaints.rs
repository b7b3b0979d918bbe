//! What the log says of a server that does not do what the relay needs of it. Clients can make it fail often, so not every
//! failure is there.

use tokio::time::Instant;

use crate::limits;

/// What the log said about the failures of a server: one reason is said again after
/// [`WEBHOOK_COMPLAINTS`](limits::WEBHOOK_COMPLAINTS), or once the server has done well in between, and only
/// [`WEBHOOK_LINES`](limits::WEBHOOK_LINES) a minute in all.
#[derive(Debug)]
pub(crate) struct Complaints {
    /// The reasons of this outage that were said, and when.
    said: Vec<(String, Instant)>,
    /// Failures that were not said.
    left_out: u64,
    /// Lines that may be written now, as of a moment.
    lines: (f64, Instant),
}

/// A line for the log.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Complaint {
    /// The server fails, and the failures since the last line that have none.
    Fails { left_out: u64 },
    /// It does well again.
    Recovered { left_out: u64 },
}

impl Complaints {
    /// Nothing was said yet.
    pub(crate) fn new() -> Self {
        Self { said: Vec::new(), left_out: 0, lines: (f64::from(limits::WEBHOOK_LINES), Instant::now()) }
    }

    /// What to say of a failure.
    pub(crate) fn failed(&mut self, reason: &str) -> Option<Complaint> {
        self.said.retain(|(_, at)| at.elapsed() < limits::WEBHOOK_COMPLAINTS);
        if self.said.iter().any(|(said, _)| said == reason) || !self.take_line() {
            self.left_out += 1;
            return None;
        }
        self.said.push((reason.to_owned(), Instant::now()));
        Some(Complaint::Fails { left_out: std::mem::take(&mut self.left_out) })
    }

    /// What to say when it does well.
    pub(crate) fn succeeded(&mut self) -> Option<Complaint> {
        if self.said.is_empty() || !self.take_line() {
            return None;
        }
        // The next failure is another outage.
        self.said.clear();
        Some(Complaint::Recovered { left_out: std::mem::take(&mut self.left_out) })
    }

    /// Whether a line may be written now; it counts.
    pub(crate) fn take_line(&mut self) -> bool {
        let (lines, at) = self.lines;
        let most = f64::from(limits::WEBHOOK_LINES);
        let lines = (lines + at.elapsed().as_secs_f64() / 60.0 * most).min(most);
        let may = lines >= 1.0;
        self.lines = (if may { lines - 1.0 } else { lines }, Instant::now());
        may
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_outage_is_said_at_once_and_each_reason_once_a_minute() {
        let fails = |left_out| Some(Complaint::Fails { left_out });
        let mut complaints = Complaints::new();
        assert_eq!(complaints.failed("refused"), fails(0));
        assert_eq!(complaints.failed("refused"), None);
        // Another reason is not hidden by the first.
        assert_eq!(complaints.failed("the status 500"), fails(1));
        assert_eq!(complaints.failed("refused"), None);
        assert_eq!(complaints.succeeded(), Some(Complaint::Recovered { left_out: 1 }));
        assert_eq!(complaints.succeeded(), None);
        // An outage a moment after the first.
        advance(Duration::from_secs(4)).await;
        assert_eq!(complaints.failed("refused"), fails(0));
        advance(limits::WEBHOOK_COMPLAINTS).await;
        assert_eq!(complaints.failed("refused"), fails(0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_fails_now_and_then_writes_few_lines() {
        let mut complaints = Complaints::new();
        let mut lines = 0;
        for _ in 0..1000 {
            lines += u32::from(complaints.failed("refused").is_some());
            lines += u32::from(complaints.succeeded().is_some());
        }
        assert_eq!(lines, limits::WEBHOOK_LINES);
        // An outage that begins then is said within seconds.
        advance(Duration::from_secs(120) / limits::WEBHOOK_LINES).await;
        assert!(complaints.failed("another").is_some());
    }
}
