//! The log, which never blocks the relay: a thread writes its lines to stderr, and lines for which the queue has no
//! room are dropped and counted. So are lines that come without end, however many addresses they are about.

mod style;

use std::collections::VecDeque;
use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::{Level, Metadata};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use super::has_colours;
use crate::limits;
use crate::metrics::LOG_LINES_LOST;
pub use style::LogFormat;
use style::{Style, is_journal};

/// A handle to the log. Clones write to the same log.
#[derive(Debug, Clone)]
pub struct Log(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
    style: Style,
}

/// The lines to write.
#[derive(Debug, Default)]
struct Queue {
    lines: VecDeque<Line>,
    bytes: usize,
    /// Whether the thread sleeps until there is a line: the next one wakes it.
    awaits_line: bool,
    /// Whether the program waits for the last lines: the thread gathers no more.
    is_finishing: bool,
    /// Lines that were lost since the last one in the queue.
    lost: usize,
    /// Whether the thread is writing.
    writing: bool,
    /// Whether the last write failed: then a loss is written with the next line, and not retried at once.
    failing: bool,
    /// How many lines may still be written that tell what happens, and how many warnings.
    told: Ration,
    warned: Ration,
}

/// How many lines of one kind may still be written, and how many were left out.
#[derive(Debug, Default)]
struct Ration {
    /// How many there were beyond the rate, as of the last one; none before that.
    beyond: f64,
    at: Option<Instant>,
    left_out: usize,
    /// When the log last said how many were left out.
    said: Option<Instant>,
}

/// Writes lines of one level.
#[derive(Debug)]
pub struct Lines {
    log: Log,
    level: Level,
}

#[derive(Debug)]
struct Line {
    text: Vec<u8>,
    /// Lines that were lost before this one.
    lost_before: usize,
}

/// What is written at once.
#[derive(Debug, Default)]
struct Batch {
    text: Vec<u8>,
    lines: usize,
    /// Lines that were lost before these.
    lost_before: usize,
}

impl Log {
    /// Starts the log of the whole program, on stderr, in this format. `RUST_LOG` filters it; the default is `INFO`. A panic
    /// becomes a line of it too, because the standard panic message may block on stderr. For the journal of systemd, each
    /// line begins with its priority.
    ///
    /// # Panics
    /// When the system cannot start a thread.
    pub fn start(format: LogFormat) -> Self {
        let log = Self::new(io::stderr(), Style { format, has_priorities: is_journal() });
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
        let lines = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_target(false)
            .with_ansi(format == LogFormat::Text && io::stderr().is_terminal() && has_colours())
            .with_writer(log.clone())
            // These errors would go to stderr directly.
            .log_internal_errors(false);
        match format {
            LogFormat::Text => lines.init(),
            LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).with_span_list(false).init(),
        }
        std::panic::set_hook(Box::new(|panic| tracing::error!(panic = ?panic.to_string(), "this is a bug")));
        log
    }

    fn new(sink: impl Write + Send + 'static, style: Style) -> Self {
        let shared = Arc::new(Shared { style, ..Shared::default() });
        let log = Self(Arc::clone(&shared));
        // The thread is not joined: a write may block forever.
        std::thread::spawn(move || shared.write_to(sink));
        log
    }

    /// Adds a line about the end of the program, even if the queue is full.
    pub fn push_error(&self, text: &str) {
        let line = match self.0.style.format {
            LogFormat::Text => self.0.style.prefixed(Level::ERROR, &format!("error: {text}\n")),
            LogFormat::Json => self.0.style.line(Level::ERROR, text),
        };
        let mut queue = self.0.lock();
        queue.push(line.as_bytes());
        self.0.wake_writer(queue);
    }

    /// Waits until all lines are written, for `deadline` at most; returns whether they are.
    pub fn finish(&self, deadline: Duration) -> bool {
        let unwritten = |queue: &mut Queue| !queue.is_empty() || queue.writing;
        let mut queue = self.0.lock();
        queue.say_left_out(Instant::now(), Duration::ZERO, self.0.style);
        queue.is_finishing = true;
        self.0.changed.notify_all();
        let waited = self.0.changed.wait_timeout_while(queue, deadline, unwritten);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Lines;

    fn make_writer(&'a self) -> Lines {
        Lines { log: self.clone(), level: Level::INFO }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Lines {
        Lines { log: self.clone(), level: *metadata.level() }
    }
}

/// Queues a line as a whole, or drops it; never blocks and never fails.
impl Write for Lines {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let mut queue = self.log.0.lock();
        let now = Instant::now();
        let is_allowed = queue.take(self.level, now);
        queue.say_left_out(now, limits::LOG_REMINDER, self.log.0.style);
        if !is_allowed {
            // Counted.
        } else if queue.bytes + text.len() <= limits::LOG_BYTES {
            match self.log.0.style.priority(self.level) {
                "" => queue.push(text),
                priority => queue.push(&[priority.as_bytes(), text].concat()),
            }
        } else {
            queue.lost += 1;
            LOG_LINES_LOST.add(1);
        }
        self.log.0.wake_writer(queue);
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

    /// Wakes the thread if it sleeps. While it gathers or writes it looks at the queue again by itself, so that a
    /// thousand lines at once do not wake it a thousand times: that took a quarter of the CPU of a short visit.
    fn wake_writer(&self, mut queue: MutexGuard<'_, Queue>) {
        if !queue.is_empty() && std::mem::take(&mut queue.awaits_line) {
            drop(queue);
            self.changed.notify_all();
        }
    }

    /// Writes the lines as they come, and never returns.
    fn write_to(&self, mut sink: impl Write) {
        let mut queue = self.lock();
        loop {
            while queue.is_empty() {
                queue.awaits_line = true;
                queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
            queue.awaits_line = false;
            let gathered = self.changed.wait_timeout_while(queue, limits::LOG_GATHER, |queue| !queue.is_finishing);
            queue = gathered.unwrap_or_else(PoisonError::into_inner).0;
            while !queue.is_empty() {
                let Batch { text, lines, lost_before } = queue.pop();
                queue.writing = true;
                drop(queue);
                let written = write_loss(&mut sink, lost_before, self.style).and_then(|()| sink.write_all(&text));
                queue = self.lock();
                queue.writing = false;
                queue.failing = written.is_err();
                if queue.failing {
                    queue.lost += lost_before + lines;
                    LOG_LINES_LOST.add(lines as u64);
                }
            }
            // For whoever waits for the last lines.
            self.changed.notify_all();
        }
    }
}

impl Queue {
    fn is_empty(&self) -> bool {
        self.lines.is_empty() && (self.lost == 0 || self.failing)
    }

    /// Whether a line of this level may be written. What `RUST_LOG` adds is as long as its reader wants.
    fn take(&mut self, level: Level, now: Instant) -> bool {
        match level {
            Level::ERROR | Level::WARN => self.warned.take(now),
            Level::INFO => self.told.take(now),
            _ => true,
        }
    }

    /// Adds a line that says how many were left out, if some were and that was not said for so long.
    fn say_left_out(&mut self, now: Instant, interval: Duration, style: Style) {
        let kinds = [(&mut self.told, "lines"), (&mut self.warned, "warnings")];
        for (count, kind) in kinds.map(|(ration, kind)| (ration.left_out_for(now, interval), kind)) {
            if let Some(count) = count {
                let most = limits::LOG_LINES_A_SECOND;
                let text = format!("left out {kind}={count}: more than {most} a second came");
                self.push(style.line(Level::WARN, &text).as_bytes());
            }
        }
    }

    fn push(&mut self, text: &[u8]) {
        self.bytes += text.len();
        self.lines.push_back(Line { text: text.to_owned(), lost_before: std::mem::take(&mut self.lost) });
    }

    /// The next lines; none if only a loss is to be written.
    fn pop(&mut self) -> Batch {
        let mut batch = Batch::default();
        while let Some(Line { text, lost_before }) = self.lines.front()
            && (batch.lines == 0 || (*lost_before == 0 && batch.text.len() + text.len() <= limits::LOG_WRITE_BYTES))
        {
            batch.text.extend_from_slice(text);
            batch.lines += 1;
            batch.lost_before += lost_before;
            self.bytes -= text.len();
            self.lines.pop_front();
        }
        if batch.lines == 0 {
            batch.lost_before = std::mem::take(&mut self.lost);
        }
        batch
    }
}

impl Ration {
    /// Takes a line if there is one, and counts it as left out otherwise.
    fn take(&mut self, now: Instant) -> bool {
        let passed = self.at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        let refilled = passed.as_secs_f64() * f64::from(limits::LOG_LINES_A_SECOND);
        (self.beyond, self.at) = ((self.beyond - refilled).max(0.0), Some(now));
        let is_allowed = self.beyond + 1.0 <= f64::from(limits::LOG_LINES);
        if is_allowed {
            self.beyond += 1.0;
        } else {
            self.left_out += 1;
        }
        is_allowed
    }

    /// How many were left out, if some were and that was not asked for so long.
    fn left_out_for(&mut self, now: Instant, interval: Duration) -> Option<usize> {
        let is_due = self.said.is_none_or(|said| now.saturating_duration_since(said) >= interval);
        if self.left_out == 0 || !is_due {
            return None;
        }
        self.said = Some(now);
        Some(std::mem::take(&mut self.left_out))
    }
}

/// Writes a line of the log that says how many lines were lost, if any were.
fn write_loss(sink: &mut impl Write, lines: usize, style: Style) -> io::Result<()> {
    if lines == 0 {
        return Ok(());
    }
    let what = if lines == 1 { "1 line of the log was lost" } else { &format!("{lines} lines of the log were lost") };
    sink.write_all(style.line(Level::WARN, &format!("{what}: stderr was not read in time")).as_bytes())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    use super::*;

    /// Longer than a thread needs, and short enough to wait for a test that fails.
    const PATIENCE: Duration = Duration::from_secs(10);

    /// A sink where each line waits until the test reads it, and which fails once the test has ended.
    struct Pipe(SyncSender<String>);

    impl Write for Pipe {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            for line in String::from_utf8_lossy(text).split_inclusive('\n') {
                self.0.send(line.to_owned()).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
            }
            Ok(text.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn log() -> (Log, Receiver<String>) {
        let (sender, receiver) = sync_channel(0);
        (Log::new(Pipe(sender), Style::default()), receiver)
    }

    impl Log {
        fn writes(&self, level: Level, line: &str) {
            Lines { log: self.clone(), level }.write_all(line.as_bytes()).unwrap();
        }
    }

    fn line(number: usize) -> String {
        format!("{number:0>1023}\n")
    }

    #[test]
    fn lines_come_out_in_order() {
        let (log, reader) = log();
        for number in 0..100 {
            log.writes(Level::INFO, &line(number));
        }
        for number in 0..100 {
            assert_eq!(reader.recv_timeout(PATIENCE).unwrap(), line(number));
        }
        assert!(log.finish(PATIENCE));
    }

    #[test]
    fn what_nobody_reads_is_lost_and_counted_where_it_is_missing() {
        let (log, reader) = log();
        let many = 2 * limits::LOG_BYTES / line(0).len();
        for number in 0..many {
            log.writes(Level::INFO, &line(number));
        }
        log.push_error("the end");
        let (mut next, mut losses) = (0, 0);
        loop {
            let text = reader.recv_timeout(PATIENCE).unwrap();
            if text == "error: the end\n" {
                break;
            }
            match text.split_once(" WARN ").map(|(_, loss)| loss.split_once(' ').unwrap()) {
                None => assert_eq!(text, line(next), "a line is missing without a word"),
                Some((lost, what)) => {
                    assert_eq!(what, "lines of the log were lost: stderr was not read in time\n");
                    next += lost.parse::<usize>().unwrap() - 1;
                    losses += 1;
                }
            }
            next += 1;
        }
        assert_eq!(next, many);
        assert!(losses > 0);
    }

    #[test]
    fn a_loss_is_written_even_if_nothing_comes_after_it() {
        let (log, reader) = log();
        log.writes(Level::INFO, &line(0));
        log.writes(Level::INFO, &"x".repeat(limits::LOG_BYTES + 1));
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
        log.push_error("last words");
        assert!(!log.finish(Duration::ZERO));
        let reading = std::thread::spawn(move || reader.recv_timeout(PATIENCE).unwrap());
        assert!(log.finish(PATIENCE));
        assert_eq!(reading.join().unwrap(), "error: last words\n");
    }

    #[test]
    fn a_reader_who_has_gone_holds_up_nothing() {
        let (log, reader) = log();
        drop(reader);
        log.writes(Level::INFO, "to nobody\n");
        assert!(log.finish(PATIENCE));
    }

    #[test]
    fn so_many_lines_pass_and_then_so_many_a_second_and_warnings_have_room_of_their_own() {
        let (mut ration, start) = (Ration::default(), Instant::now());
        let passed = |ration: &mut Ration, count: u32, now| (0..count).filter(|_| ration.take(now)).count() as u32;
        assert_eq!(passed(&mut ration, limits::LOG_LINES + 7, start), limits::LOG_LINES);
        assert_eq!(ration.left_out_for(start, limits::LOG_REMINDER), Some(7));
        let later = start + Duration::from_secs(2);
        assert_eq!(passed(&mut ration, 1_000, later), 2 * limits::LOG_LINES_A_SECOND);
        assert_eq!(ration.left_out_for(later, limits::LOG_REMINDER), None, "it was said a moment ago");
        let left_out = (1_000 - 2 * limits::LOG_LINES_A_SECOND) as usize;
        assert_eq!(ration.left_out_for(start + limits::LOG_REMINDER, limits::LOG_REMINDER), Some(left_out));
        let idle = later + Duration::from_secs(u64::from(limits::LOG_LINES));
        assert_eq!(passed(&mut ration, 2 * limits::LOG_LINES, idle), limits::LOG_LINES);

        let (log, reader) = log();
        let reading =
            std::thread::spawn(move || reader.iter().take_while(|line| line != "error: end\n").collect::<Vec<_>>());
        for _ in 0..limits::LOG_LINES + 100 {
            log.writes(Level::INFO, "told\n");
            while log.0.lock().bytes > limits::LOG_BYTES / 2 {
                std::thread::yield_now();
            }
        }
        log.writes(Level::WARN, "warned\n");
        assert!(log.finish(PATIENCE));
        log.push_error("end");
        let lines = reading.join().unwrap();
        let told = lines.iter().filter(|line| *line == "told\n").count();
        // Those that became free meanwhile.
        let most = limits::LOG_LINES + 90;
        assert!((limits::LOG_LINES..most).contains(&(told as u32)), "{told}");
        assert!(lines.contains(&"warned\n".into()));
        assert!(lines.iter().any(|line| line.contains(" WARN left out lines=")));
    }
}
