//! The log, which never blocks the relay: a thread writes its lines to stderr, and lines for which the queue has no
//! room are dropped and counted.

use std::collections::VecDeque;
use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

use crate::limits;

/// A handle to the log. Clones write to the same log.
#[derive(Debug, Clone)]
pub struct Log(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

/// The lines to write.
#[derive(Debug, Default)]
struct Queue {
    lines: VecDeque<Line>,
    bytes: usize,
    /// Lines that were lost since the last one in the queue.
    lost: usize,
    /// Whether the thread is writing a line.
    writing: bool,
    /// Whether the last write failed: then a loss is written with the next line, and not retried at once.
    failing: bool,
}

#[derive(Debug)]
struct Line {
    text: Vec<u8>,
    /// Lines that were lost before this one.
    lost_before: usize,
}

impl Log {
    /// Starts the log of the whole program, on stderr. `RUST_LOG` filters it; the default is `INFO`. A panic becomes a
    /// line of it too, because the standard panic message may block on stderr.
    ///
    /// # Panics
    /// When the system cannot start a thread.
    pub fn start() -> Self {
        let log = Self::new(io::stderr());
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
        let writer = log.clone();
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_target(false)
            .with_ansi(io::stderr().is_terminal())
            .with_writer(move || writer.clone())
            // These errors would go to stderr directly.
            .log_internal_errors(false)
            .init();
        std::panic::set_hook(Box::new(|panic| tracing::error!(panic = ?panic.to_string(), "this is a bug")));
        log
    }

    fn new(sink: impl Write + Send + 'static) -> Self {
        let shared = Arc::new(Shared::default());
        let log = Self(Arc::clone(&shared));
        // The thread is not joined: a write may block forever.
        std::thread::spawn(move || shared.write_to(sink));
        log
    }

    /// Adds a line, with its line break, even if the queue is full.
    pub fn push(&self, text: &str) {
        self.0.lock().push(text.as_bytes());
        self.0.changed.notify_all();
    }

    /// Waits until all lines are written, for `deadline` at most; returns whether they are.
    pub fn finish(&self, deadline: Duration) -> bool {
        let unwritten = |queue: &mut Queue| !queue.is_empty() || queue.writing;
        let waited = self.0.changed.wait_timeout_while(self.0.lock(), deadline, unwritten);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }
}

/// Queues a line as a whole, or drops it; never blocks and never fails.
impl Write for Log {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let mut queue = self.0.lock();
        if queue.bytes + text.len() <= limits::LOG_BYTES {
            queue.push(text);
        } else {
            queue.lost += 1;
        }
        drop(queue);
        self.0.changed.notify_all();
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the lines as they come, and never returns.
    fn write_to(&self, mut sink: impl Write) {
        let mut queue = self.lock();
        loop {
            queue = self.changed.wait_while(queue, |queue| queue.is_empty()).unwrap_or_else(PoisonError::into_inner);
            let Line { text, lost_before } = queue.pop();
            queue.writing = true;
            drop(queue);
            let written = write_loss(&mut sink, lost_before).and_then(|()| sink.write_all(&text));
            queue = self.lock();
            queue.writing = false;
            queue.failing = written.is_err();
            if queue.failing {
                queue.lost += lost_before + usize::from(!text.is_empty());
            }
            self.changed.notify_all();
        }
    }
}

impl Queue {
    fn is_empty(&self) -> bool {
        self.lines.is_empty() && (self.lost == 0 || self.failing)
    }

    fn push(&mut self, text: &[u8]) {
        self.bytes += text.len();
        self.lines.push_back(Line { text: text.to_owned(), lost_before: std::mem::take(&mut self.lost) });
    }

    /// The next line; one without text if only a loss is to be written.
    fn pop(&mut self) -> Line {
        let line = self.lines.pop_front();
        let line = line.unwrap_or_else(|| Line { text: Vec::new(), lost_before: std::mem::take(&mut self.lost) });
        self.bytes -= line.text.len();
        line
    }
}

/// Writes a line of the log that says how many lines were lost, if any were.
fn write_loss(sink: &mut impl Write, lines: usize) -> io::Result<()> {
    if lines == 0 {
        return Ok(());
    }
    let mut time = String::new();
    // Writing into a string does not fail, and if it did, a line without its time is better than none.
    let _ = SystemTime.format_time(&mut Writer::new(&mut time));
    let what = if lines == 1 { "1 line of the log was lost" } else { &format!("{lines} lines of the log were lost") };
    sink.write_all(format!("{time}  WARN {what}: stderr was not read in time\n").as_bytes())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    use super::*;

    /// Longer than a thread needs, and short enough to wait for a test that fails.
    const PATIENCE: Duration = Duration::from_secs(10);

    /// A sink where each write waits until the test reads it, and fails once the test has ended.
    struct Pipe(SyncSender<String>);

    impl Write for Pipe {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            let line = String::from_utf8_lossy(text).into_owned();
            self.0.send(line).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
            Ok(text.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn log() -> (Log, Receiver<String>) {
        let (sender, receiver) = sync_channel(0);
        (Log::new(Pipe(sender)), receiver)
    }

    fn line(number: usize) -> String {
        format!("{number:0>1023}\n")
    }

    #[test]
    fn lines_come_out_in_order() {
        let (mut log, reader) = log();
        for number in 0..100 {
            log.write_all(line(number).as_bytes()).unwrap();
        }
        for number in 0..100 {
            assert_eq!(reader.recv_timeout(PATIENCE).unwrap(), line(number));
        }
        assert!(log.finish(PATIENCE));
    }

    #[test]
    fn what_nobody_reads_is_lost_and_counted_where_it_is_missing() {
        let (mut log, reader) = log();
        let many = 2 * limits::LOG_BYTES / line(0).len();
        for number in 0..many {
            log.write_all(line(number).as_bytes()).unwrap();
        }
        log.push("the end\n");
        let mut kept = 0;
        let loss = loop {
            match reader.recv_timeout(PATIENCE).unwrap() {
                text if text == line(kept) => kept += 1,
                loss => break loss,
            }
        };
        let lost = format!(" WARN {} lines of the log were lost: stderr was not read in time\n", many - kept);
        assert!(loss.ends_with(&lost), "{loss}");
        assert_eq!(reader.recv_timeout(PATIENCE).unwrap(), "the end\n");
    }

    #[test]
    fn a_loss_is_written_even_if_nothing_comes_after_it() {
        let (mut log, reader) = log();
        log.write_all(line(0).as_bytes()).unwrap();
        log.write_all(&vec![b'x'; limits::LOG_BYTES + 1]).unwrap();
        assert_eq!(reader.recv_timeout(PATIENCE).unwrap(), line(0));
        assert!(
            reader
                .recv_timeout(PATIENCE)
                .unwrap()
                .ends_with(" WARN 1 line of the log was lost: stderr was not read in time\n")
        );
    }

    #[test]
    fn the_end_waits_for_the_last_lines_and_not_for_ever() {
        let (log, reader) = log();
        log.push("last words\n");
        assert!(!log.finish(Duration::ZERO));
        let reading = std::thread::spawn(move || reader.recv_timeout(PATIENCE).unwrap());
        assert!(log.finish(PATIENCE));
        assert_eq!(reading.join().unwrap(), "last words\n");
    }

    #[test]
    fn a_reader_who_has_gone_holds_up_nothing() {
        let (mut log, reader) = log();
        drop(reader);
        log.write_all(b"to nobody\n").unwrap();
        assert!(log.finish(PATIENCE));
    }
}
