//! One connection to Redis that is made again for ever.
//!
//! A question that is not answered in time ends the connection, so that a late answer is never taken for that of another
//! question, and everybody else who waits on it hears at once that Redis is away.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::StreamExt;
use futures_util::future::try_join_all;
use redis::{Cmd, FromRedisValue, RedisError, RedisResult};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::dial::{Dialer, Dialled, Refused, ServerInfo, no_permission};
use super::nodes::Nodes;
use crate::cluster::store::{Epoch, Failed};
use crate::limits::{REDIS_COMPLAINT, REDIS_DEADLINE, REDIS_PAUSE_MAX, REDIS_PAUSE_MIN, REDIS_PING};
use crate::metrics::{Counter, Times};

/// What hears how a link is.
pub(super) trait Listener: Send + Sync {
    /// It is connected to this server; `is_again` if it was before. Nothing was asked yet.
    fn connects(&self, server: &ServerInfo, is_again: bool);

    /// It is connected no more, or could not connect. This is called each time that it is tried.
    fn is_away(&self, why: &Refused);
}

/// One connection to Redis.
pub(super) struct Link {
    dialer: Arc<Dialer>,
    listener: Box<dyn Listener>,
    live: watch::Sender<Option<Live>>,
    /// How many questions may be under way or wait for a connection.
    free: Semaphore,
    epochs: AtomicU64,
    /// When the log last said that Redis refuses a command.
    complained: Mutex<Option<Instant>>,
    /// How long answers took.
    pub(super) latency: Times,
    /// How often it connected after the first time.
    pub(super) reconnects: Counter,
}

/// The connection of now.
#[derive(Clone)]
struct Live {
    nodes: Arc<Nodes>,
    epoch: Epoch,
    broken: Broken,
}

/// Set when a connection must end, and why.
#[derive(Clone, Default)]
struct Broken {
    token: CancellationToken,
    why: Arc<Mutex<Option<String>>>,
}

impl Broken {
    fn set(&self, why: impl Into<String>) {
        self.why.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why.into());
        self.token.cancel();
    }
}

impl Link {
    /// A link that is not connected yet, on which `most` questions may be under way.
    pub(super) fn new(dialer: Arc<Dialer>, most: usize, listener: Box<dyn Listener>) -> Self {
        Self {
            dialer,
            listener,
            live: watch::Sender::new(None),
            free: Semaphore::new(most),
            epochs: AtomicU64::new(0),
            complained: Mutex::new(None),
            latency: Times::default(),
            reconnects: Counter::default(),
        }
    }

    /// Connects, and does so again whenever the connection is lost, for ever.
    pub(super) async fn run(self: Arc<Self>, mut first: Option<Dialled>) {
        let mut pause = REDIS_PAUSE_MIN;
        loop {
            let dialled = match first.take() {
                Some(dialled) => Ok(dialled),
                None => self.dialer.dial().await,
            };
            let why = match dialled {
                Ok(dialled) => {
                    let since = Instant::now();
                    let why = self.live(dialled).await;
                    if since.elapsed() >= REDIS_PAUSE_MAX {
                        pause = REDIS_PAUSE_MIN;
                    }
                    why
                }
                Err(refused) => refused,
            };
            self.listener.is_away(&why);
            // By chance a little longer, so that relays that lost it together do not come back together.
            let more = getrandom::u32().map_or(0, |random| random % pause.as_millis().max(1) as u32 / 4);
            sleep(pause + std::time::Duration::from_millis(more.into())).await;
            pause = (2 * pause).min(REDIS_PAUSE_MAX);
        }
    }

    /// Keeps the connection until it ends; returns why.
    async fn live(&self, dialled: Dialled) -> Refused {
        let Dialled { nodes, mut drivers, server } = dialled;
        let number = self.epochs.fetch_add(1, Relaxed) + 1;
        let broken = Broken::default();
        self.reconnects.add(u64::from(number > 1));
        self.listener.connects(&server, number > 1);
        let live = Live { nodes: Arc::new(nodes), epoch: Epoch(number), broken: broken.clone() };
        self.live.send_replace(Some(live.clone()));
        let pings = async {
            let ping = redis::cmd("PING");
            loop {
                sleep(REDIS_PING).await;
                let asks = live.nodes.all().map(async |mut node| ping.query_async::<String>(&mut node).await);
                let _ = self.answer(&live, try_join_all(asks)).await;
            }
        };
        tokio::select! {
            _ = drivers.next() => broken.set("it closed the connection"),
            () = broken.token.cancelled() => {}
            () = pings => {}
        }
        self.live.send_replace(None);
        broken.token.cancel();
        let why = broken.why.lock().unwrap_or_else(PoisonError::into_inner).take();
        Refused::Away(why.unwrap_or_default())
    }

    /// The number of the connection, once there is one.
    pub(super) async fn connected(&self) -> Result<Epoch, Failed> {
        self.now().await.map(|live| live.epoch)
    }

    /// Asks, once there is a connection, and only if that is still `on`.
    pub(super) async fn ask<T: FromRedisValue>(&self, command: Cmd, on: Option<Epoch>) -> Result<T, Failed> {
        let _permit = self.free.try_acquire().map_err(|_| Failed::Away)?;
        let live = self.now().await?;
        if on.is_some_and(|epoch| epoch != live.epoch) {
            return Err(Failed::Away);
        }
        self.answer(&live, live.nodes.ask(&command)).await
    }

    /// What is answered in time.
    async fn answer<T>(&self, live: &Live, asks: impl Future<Output = RedisResult<T>>) -> Result<T, Failed> {
        let asked = Instant::now();
        let answer = tokio::select! {
            biased;
            () = live.broken.token.cancelled() => return Err(Failed::Away),
            answer = timeout(REDIS_DEADLINE, asks) => answer,
        };
        match answer {
            // A process that was stopped for a while may find an answer that is as old.
            Ok(_) if asked.elapsed() >= REDIS_DEADLINE => {}
            Ok(Ok(answer)) => {
                self.latency.add(asked.elapsed());
                return Ok(answer);
            }
            Ok(Err(error)) => return Err(self.failed(&error, live)),
            Err(_) => {}
        }
        live.broken.set("it did not answer in time");
        Err(Failed::Away)
    }

    /// Asks something whose answer does not matter.
    ///
    /// # Errors
    /// When Redis refuses it: a sentence that says why. Not when it is away.
    pub(super) async fn try_command(&self, command: Cmd) -> Result<(), String> {
        let Ok(live) = self.now().await else { return Ok(()) };
        match timeout(REDIS_DEADLINE, live.nodes.ask::<redis::Value>(&command)).await {
            Ok(Err(error)) if error.code() == Some("NOPERM") => Err(no_permission(&error)),
            Ok(Err(error)) if error.code() == Some("ERR") => Err(error.to_string()),
            _ => Ok(()),
        }
    }

    async fn now(&self) -> Result<Live, Failed> {
        let mut live = self.live.subscribe();
        let waited = timeout(REDIS_DEADLINE, live.wait_for(Option::is_some)).await;
        let now = waited.ok().and_then(Result::ok).and_then(|live| live.clone());
        now.ok_or(Failed::Away)
    }

    /// What an error of Redis means.
    fn failed(&self, error: &RedisError, live: &Live) -> Failed {
        match error.code() {
            Some("WRONGTYPE") => return Failed::Foreign,
            Some("NOPERM") => self.complain(&no_permission(error)),
            // The slot of the key moves at this moment to another node.
            Some("ASK" | "TRYAGAIN") => {}
            Some("OOM") => self.complain("its memory is full: give it more (maxmemory)"),
            // It is no primary any more, or has been told that it needs a password, or loads: another one may be in its place.
            // Or what it says is none of the answers that there are.
            _ => live.broken.set(error.to_string()),
        }
        Failed::Away
    }

    /// Says in the log why Redis does not do what it is asked, now and then.
    fn complain(&self, why: &str) {
        let mut complained = self.complained.lock().unwrap_or_else(PoisonError::into_inner);
        if complained.is_none_or(|at| at.elapsed() >= REDIS_COMPLAINT) {
            *complained = Some(Instant::now());
            warn!(redis = %self.dialer.url, why, "Redis refuses what the relay needs of it: no new room can be opened");
        } else {
            debug!(why, "Redis refuses a command");
        }
    }
}

#[cfg(test)]
#[path = "link_tests.rs"]
mod tests;
