//! The directory in Redis: two connections to it, or to each node of it, one of which only says that this relay lives.
//!
//! | key | value |
//! | --- | --- |
//! | `PREFIXroom:R` | the [`Claim`] of the relay on which the room lives |
//! | `PREFIXrelay:P` | what the relay says of itself, as long as it lives |
//! | `PREFIXrelays` | a hash of all relays that there are or were, and what they said of themselves |

mod dial;
mod link;
mod nodes;

use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::bail;
use redis::{Cmd, cmd};
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::caution::Caution;
use super::notice::{Notice, Notices};
use super::relays::ProcessId;
use super::settings::{ClusterSettings, RedisUrl};
use super::store::{Asking, Claim, Epoch, RoomKey, Store};
use crate::limits::{ASSERTIONS_UNDER_WAY, LEASE, REDIS_COMMANDS, REDIS_COMPLAINT, ROOM_LEASE};
#[cfg(feature = "admin")]
use crate::metrics::Times;
use dial::{Dialer, Refused, ServerInfo};
use link::{Link, Listener};

/// Sets a room to another claim if the one that was read still stands there.
const TAKE_OVER: &str = "if redis.call('GET', KEYS[1]) == ARGV[1] then \
                         redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) return 1 end return 0";
/// Sets a room to another claim of the same process, or if nothing stands there; otherwise returns what does.
const ASSERT: &str = "local there = redis.call('GET', KEYS[1]) \
                      if not there or string.sub(there, 1, #ARGV[1]) == ARGV[1] then \
                      redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) return false end return there";
/// Removes a claim of this process.
const RELEASE: &str = "local there = redis.call('GET', KEYS[1]) \
                       if there and string.sub(there, 1, #ARGV[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end return 1";
/// What `maxmemory-policy` has to be, so that nothing is forgotten before its time.
const NO_EVICTION: &str = "noeviction";
/// How many questions may be under way on the connection that says that this relay lives.
const LEASE_COMMANDS: usize = 8;

/// The directory in Redis.
pub(super) struct Redis {
    prefix: String,
    main: Arc<Link>,
    lease: Arc<Link>,
    status: Arc<Status>,
}

/// How Redis is, as the log and the program that embeds the relay hear it.
struct Status {
    url: RedisUrl,
    caution: Arc<Caution>,
    notices: Notices,
    outage: Mutex<Outage>,
}

/// What was said of the outage of now.
#[derive(Debug, Default)]
struct Outage {
    /// Since when Redis is away, if it is.
    since: Option<Instant>,
    /// Why, as it was said last, and when.
    said: Option<(Refused, Instant)>,
    /// Whether Redis was ever there.
    was_reached: bool,
}

impl Status {
    fn is_there(&self) {
        let mut outage = self.outage.lock().unwrap_or_else(PoisonError::into_inner);
        outage.was_reached = true;
        outage.said = None;
        let Some(since) = outage.since.take() else { return };
        drop(outage);
        info!(redis = %self.url, after_s = since.elapsed().as_secs(), "Redis is there again");
        self.notices.tell(&Notice::RedisIsBack);
    }

    fn is_away(&self, why: &Refused) {
        let mut outage = self.outage.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = outage.since.is_none();
        let is_said = |(said, at): &(Refused, Instant)| {
            // That somebody has to do something is said at once.
            let is_worse = matches!((said, why), (Refused::Away(_), Refused::Unfit(_) | Refused::Replica(_)));
            said == why || (at.elapsed() < REDIS_COMPLAINT && !is_worse)
        };
        if !is_new && outage.said.as_ref().is_some_and(is_said) {
            return;
        }
        outage.since.get_or_insert_with(Instant::now);
        outage.said = Some((why.clone(), Instant::now()));
        drop(outage);
        let why = why.to_string();
        warn!(redis = %self.url, why = why.as_str(), "Redis is away: rooms that are open go on, and new ones wait until it is back");
        if is_new {
            self.notices.tell(&Notice::RedisIsAway { why });
        }
    }

    fn warn_of_policy(&self, server: &ServerInfo) {
        if server.policy != NO_EVICTION {
            warn!(
                redis = %self.url,
                policy = server.policy,
                "Redis throws keys away when its memory is full, and rooms with them: set maxmemory-policy {NO_EVICTION}"
            );
        }
    }
}

/// The connection on which rooms are asked about.
struct OfMain(Arc<Status>);

impl Listener for OfMain {
    fn connects(&self, server: &ServerInfo, is_again: bool) {
        self.0.caution.connects(&server.run_id, server.up_for, is_again);
        self.0.is_there();
    }

    fn is_away(&self, why: &Refused) {
        self.0.is_away(why);
    }
}

/// The connection on which this relay says that it lives.
struct OfLease(Arc<Status>);

impl Listener for OfLease {
    fn connects(&self, server: &ServerInfo, _: bool) {
        // Whether the lease is gone, its renewal says.
        self.0.caution.connects(&server.run_id, server.up_for, false);
    }

    fn is_away(&self, why: &Refused) {
        debug!(%why, "the connection to Redis for the lease is lost");
    }
}

impl Redis {
    /// Connects, and goes on connecting in tasks of its own, which `spawn` starts. If Redis is away, it is waited for.
    ///
    /// # Errors
    /// When a setting is wrong, or Redis is there and will not do.
    pub(super) async fn open(
        settings: &ClusterSettings,
        caution: Arc<Caution>,
        notices: Notices,
        mut spawn: impl FnMut(super::Task),
    ) -> anyhow::Result<Arc<Self>> {
        let dialer = Arc::new(Dialer::new(settings)?);
        let url = settings.url.clone();
        let status = Arc::new(Status { url: url.clone(), caution, notices, outage: Mutex::default() });
        let link = |most, listener| Arc::new(Link::new(Arc::clone(&dialer), most, listener));
        let redis = Self {
            prefix: settings.prefix.clone(),
            main: link(REDIS_COMMANDS + ASSERTIONS_UNDER_WAY, Box::new(OfMain(Arc::clone(&status)))),
            lease: link(LEASE_COMMANDS, Box::new(OfLease(Arc::clone(&status)))),
            status,
        };
        let first = match dialer.dial().await {
            Ok(dialled) => {
                redis.status.warn_of_policy(&dialled.server);
                Some(dialled)
            }
            Err(away @ Refused::Away(_)) => {
                redis.status.is_away(&away);
                None
            }
            Err(unfit) => bail!("--redis {url}: {unfit}"),
        };
        let is_there = first.is_some();
        spawn(Box::pin(Arc::clone(&redis.main).run(first)));
        spawn(Box::pin(Arc::clone(&redis.lease).run(None)));
        if is_there {
            redis.check_rights().await?;
        }
        Ok(Arc::new(redis))
    }

    /// Whether Redis has ever been reached.
    pub(super) fn was_reached(&self) -> bool {
        self.status.outage.lock().unwrap_or_else(PoisonError::into_inner).was_reached
    }

    /// Whether Redis is there now.
    #[cfg(feature = "admin")]
    pub(super) fn is_there(&self) -> bool {
        let outage = self.status.outage.lock().unwrap_or_else(PoisonError::into_inner);
        outage.was_reached && outage.since.is_none()
    }

    /// How often it was connected again.
    #[cfg(feature = "admin")]
    pub(super) fn reconnects(&self) -> u64 {
        self.main.reconnects.get()
    }

    /// How long its answers took, but for those about the lease of this relay.
    #[cfg(feature = "admin")]
    pub(super) fn latency(&self) -> &Times {
        &self.main.latency
    }

    /// Tries what the relay will need, on keys that nobody has.
    async fn check_rights(&self) -> anyhow::Result<()> {
        let key = self.key("room:", "trial");
        let relays = self.key("relays", "");
        let (set, evaluate) = (
            Self::command("SET", &key, &["trial", "NX", "GET", "PX", "1"]),
            Self::script(TAKE_OVER, &key, &["", "", "1"]),
        );
        let others = [
            Self::command("GET", &key, &[]),
            Self::command("DEL", &key, &[]),
            Self::command("HSET", &relays, &["trial", ""]),
            Self::command("HGETALL", &relays, &[]),
            Self::command("HDEL", &relays, &["trial"]),
            cmd("PING"),
        ];
        for command in [set, evaluate].into_iter().chain(others) {
            if let Err(why) = self.main.try_command(command).await {
                bail!("--redis {}: {why}", self.status.url);
            }
        }
        Ok(())
    }

    fn key(&self, kind: &str, name: impl Display) -> String {
        format!("{}{kind}{name}", self.prefix)
    }

    fn room(&self, room: RoomKey) -> String {
        self.key("room:", room)
    }

    fn relay(&self, process: ProcessId) -> String {
        self.key("relay:", process)
    }

    fn command(name: &str, key: &str, more: &[&str]) -> Cmd {
        let mut command = cmd(name);
        command.arg(key).arg(more);
        command
    }

    fn script(script: &str, key: &str, more: &[&str]) -> Cmd {
        let mut command = cmd("EVAL");
        command.arg(script).arg(1).arg(key).arg(more);
        command
    }
}

/// What a process writes before the number of a claim.
fn beginning(process: ProcessId) -> String {
    format!("{process}:")
}

/// For so many milliseconds a room stays with its relay.
fn room_lease() -> String {
    ROOM_LEASE.as_millis().to_string()
}

/// What stands in Redis, as text. What a relay has written stays as it is.
fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

fn texts(found: Option<Vec<u8>>) -> Option<String> {
    found.map(text)
}

impl Store for Redis {
    fn connected(&self) -> Asking<'_, Epoch> {
        Box::pin(self.main.connected())
    }

    fn claim(&self, room: RoomKey, claim: Claim, on: Epoch) -> Asking<'_, Option<String>> {
        let (claim, lease) = (claim.to_string(), room_lease());
        if cfg!(signaling_relay_fault = "claim") {
            return Box::pin(async move {
                let there = self.read(room).await?;
                if there.is_none() {
                    let command = Self::command("SET", &self.room(room), &[&claim, "PX", &lease]);
                    self.main.ask::<()>(command, Some(on)).await?;
                }
                Ok(there)
            });
        }
        let command = Self::command("SET", &self.room(room), &[&claim, "NX", "GET", "PX", &lease]);
        Box::pin(async move { self.main.ask(command, Some(on)).await.map(texts) })
    }

    fn read(&self, room: RoomKey) -> Asking<'_, Option<String>> {
        let command = Self::command("GET", &self.room(room), &[]);
        Box::pin(async move { self.main.ask(command, None).await.map(texts) })
    }

    fn take_over(&self, room: RoomKey, was: Claim, claim: Claim, on: Epoch) -> Asking<'_, bool> {
        let arguments = [was.to_string(), claim.to_string(), room_lease()];
        let command = Self::script(TAKE_OVER, &self.room(room), &arguments.each_ref().map(String::as_str));
        Box::pin(async move { self.main.ask(command, Some(on)).await })
    }

    fn assert(&self, room: RoomKey, claim: Claim) -> Asking<'_, Option<String>> {
        let arguments = [beginning(claim.process), claim.to_string(), room_lease()];
        let command = Self::script(ASSERT, &self.room(room), &arguments.each_ref().map(String::as_str));
        Box::pin(async move { self.main.ask(command, None).await.map(texts) })
    }

    fn release(&self, room: RoomKey, process: ProcessId) -> Asking<'_, ()> {
        let command = Self::script(RELEASE, &self.room(room), &[&beginning(process)]);
        Box::pin(async move { self.main.ask(command, None).await })
    }

    fn lease(&self, process: ProcessId) -> Asking<'_, Option<String>> {
        let command = Self::command("GET", &self.relay(process), &[]);
        Box::pin(async move { self.main.ask(command, None).await.map(texts) })
    }

    fn renew<'a>(&'a self, process: ProcessId, said: &'a str) -> Asking<'a, bool> {
        let lease = LEASE.as_millis().to_string();
        let command = Self::command("SET", &self.relay(process), &[said, "GET", "PX", &lease]);
        Box::pin(async move { self.lease.ask::<Option<Vec<u8>>>(command, None).await.map(|was| was.is_some()) })
    }

    fn end_lease(&self, process: ProcessId) -> Asking<'_, ()> {
        let command = Self::command("DEL", &self.relay(process), &[]);
        Box::pin(async move { self.lease.ask(command, None).await })
    }

    fn relays(&self) -> Asking<'_, Vec<(String, String)>> {
        let command = Self::command("HGETALL", &self.key("relays", ""), &[]);
        Box::pin(async move {
            let relays: Vec<(Vec<u8>, Vec<u8>)> = self.main.ask(command, None).await?;
            Ok(relays.into_iter().map(|(process, said)| (text(process), text(said))).collect())
        })
    }

    fn register<'a>(&'a self, process: ProcessId, said: &'a str) -> Asking<'a, ()> {
        let command = Self::command("HSET", &self.key("relays", ""), &[&process.to_string(), said]);
        Box::pin(async move { self.main.ask(command, None).await })
    }

    fn forget<'a>(&'a self, process: &'a str) -> Asking<'a, ()> {
        let command = Self::command("HDEL", &self.key("relays", ""), &[process]);
        Box::pin(async move { self.main.ask(command, None).await })
    }

    fn name_of(&self, room: RoomKey) -> String {
        self.room(room)
    }
}
