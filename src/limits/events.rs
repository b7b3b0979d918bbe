//! The events that an application gets.

use std::ops::RangeInclusive;
use std::time::Duration;

/// Events that may wait for the application: what a relay with 2,000 people sees within the two or three minutes of an
/// application's restart, when each of them comes and goes once (with the host and the end of the room, four events).
pub const EVENTS: usize = 8_192;
/// Bytes of their JSON that may wait: 512 for each, and a usual one has 150.
pub const EVENTS_BYTES: usize = 4 * 1024 * 1024;
/// Events that may wait when what a client claims (a report of a call) is still added: half. So no client drives out what
/// the relay itself knows by reporting without end.
pub const EVENTS_WITH_REPORTS: usize = EVENTS / 2;
/// The bytes of what may wait then.
pub const EVENTS_BYTES_WITH_REPORTS: usize = EVENTS_BYTES / 2;
/// The most events of one request.
pub const EVENTS_BATCH: usize = 256;
/// The most bytes of the events of one request: frameworks take 100 KiB (Express) to 1 MiB (nginx) unless told otherwise, and
/// 256 events of the usual size have 40 KiB.
pub const EVENTS_BATCH_BYTES: usize = 96 * 1024;
/// How long the answer to one request may take: what Standard Webhooks recommends at least.
pub const EVENTS_DEADLINE: Duration = Duration::from_secs(15);
/// How long the relay waits after a failure until it tries again. It doubles up to [`EVENTS_PAUSE_MAX`].
pub const EVENTS_PAUSE_MIN: Duration = Duration::from_secs(1);
/// The longest of these pauses: an application that is up again hears within about a minute.
pub const EVENTS_PAUSE_MAX: Duration = Duration::from_secs(60);
/// By how much chance makes a pause longer, as a part of it: relays that failed together do not try again together.
pub const EVENTS_JITTER: f64 = 0.25;
/// The bytes of a secret that signs events, as Standard Webhooks demands.
pub const EVENTS_SECRET_BYTES: RangeInclusive<usize> = 24..=64;
