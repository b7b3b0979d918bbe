//! The address for operators.

use std::time::Duration;

/// Connections to the address for operators at a time: a few people and programs, each with a few.
pub const ADMIN_CONNECTIONS: usize = 32;
/// How long such a connection may stay open, with all its requests: Prometheus comes back by itself.
pub const ADMIN_DEADLINE: Duration = Duration::from_secs(60);
/// How long a request may take that is being answered when that is over.
pub const ADMIN_LAST_ANSWER: Duration = API_BODY_DEADLINE;
/// The most bytes of the body of a request that changes something there, but for a message, which has the size of any: the
/// sentence for a member that is kicked fits, however JSON escapes it.
pub const API_BODY_BYTES: usize = 16 * 1024;
/// How long such a body may take: it has a few packets.
pub const API_BODY_DEADLINE: Duration = Duration::from_secs(10);
/// The most entries of a page of a list there: [`API_PAGE_USUAL`] unless the request says how many.
pub const API_PAGE_MAX: usize = 1000;
/// The entries of a page by default.
pub const API_PAGE_USUAL: usize = 100;
/// The bytes of the token for it below which the relay warns: 128 bits as text.
pub const ADMIN_TOKEN_BYTES: usize = 22;
/// The mode of its Unix socket: the relay's own user alone.
pub const ADMIN_UNIX_MODE: u32 = 0o600;
/// How often a stream of changes looks whether something changed: people see it soon, and a look visits each room.
pub const LIVE_INTERVAL: Duration = Duration::from_secs(2);
/// The rooms in one event of such a stream, the first by their names.
pub const LIVE_ROOMS: usize = API_PAGE_USUAL;
/// The memory of an event is counted in steps of so many bytes. It is part of what the events tell, so each change of it is a
/// reason for one more event.
pub const LIVE_MEMORY_STEP: usize = 4 * 1024;
/// Such streams at a time: a few people look, and most [connections](ADMIN_CONNECTIONS) are left to the others.
pub const LIVE_STREAMS: usize = 4;
/// How long such a stream lasts. The operators' page then asks for another one; what nobody reads any more ends.
pub const LIVE_DEADLINE: Duration = Duration::from_secs(10 * 60);
