//! Which other relays there are, looked up every few seconds, so that all know all before Redis is away.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::caution::Caution;
use super::notice::{Notice, Notices};
use super::relays::{Neighbour, ProcessId, Relays};
use super::store::{Failed, Store};
use crate::limits::{MISSED_RELAY_PAUSE, RELAY_FORGOTTEN, RELAYS, RELAYS_INTERVAL};

/// What is known of the other relays, beside what they say.
pub(super) struct Scan {
    store: Arc<dyn Store>,
    caution: Arc<Caution>,
    relays: Arc<Relays>,
    own: Arc<Neighbour>,
    notices: Notices,
    /// Since when the lease of a relay is gone, for those where it is.
    seen: HashMap<ProcessId, Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// Whether the log has said that it is there.
    is_told: bool,
    /// Since when its lease is gone, if it is.
    gone_since: Option<Instant>,
}

impl Scan {
    pub(super) fn new(
        store: Arc<dyn Store>,
        caution: Arc<Caution>,
        relays: Arc<Relays>,
        own: Arc<Neighbour>,
        notices: Notices,
    ) -> Self {
        Self { store, caution, relays, own, notices, seen: HashMap::new() }
    }

    /// Looks for ever.
    pub(super) async fn run(mut self) {
        loop {
            // Redis may be away: what is known stays known.
            if self.look().await.is_ok() {
                self.relays.note_look();
            }
            sleep(MISSED_RELAY_PAUSE).await;
            // While a relay is cautious, the others are about to register themselves.
            if self.caution.until().is_some() {
                continue;
            }
            // Strangers must not make it ask more often.
            tokio::select! {
                () = sleep(RELAYS_INTERVAL - MISSED_RELAY_PAUSE) => {}
                () = self.relays.missed() => {}
                () = self.caution.looks() => {}
            }
        }
    }

    /// Looks once.
    pub(super) async fn look(&mut self) -> Result<(), Failed> {
        let registered = self.store.relays().await?;
        let own = self.own.process.to_string();
        if !registered.iter().any(|(process, _)| *process == own) {
            self.store.register(self.own.process, &self.own.to_said()).await?;
        }
        for (text, said) in registered.iter().filter(|(process, _)| *process != own).take(RELAYS) {
            // What no relay has written stays as it is.
            let relay = text.parse().ok().and_then(|process| Neighbour::from_said(process, said));
            if let Some(relay) = relay {
                self.look_at(text, relay).await?;
            }
        }
        // Another one may have taken them out.
        let is_there = |process: &ProcessId| registered.iter().any(|(text, _)| *text == process.to_string());
        let gone: Vec<_> = self.seen.keys().filter(|process| !is_there(process)).copied().collect();
        for process in gone {
            if self.store.lease(process).await?.is_some() || self.caution.until().is_some() {
                continue;
            }
            let was_told = self.seen.get(&process).is_some_and(|seen| seen.is_told);
            if let Some(relay) = self.relays.get(process).filter(|_| was_told) {
                self.part_from(&relay);
            }
            self.forget(process);
        }
        Ok(())
    }

    async fn look_at(&mut self, text: &str, relay: Neighbour) -> Result<(), Failed> {
        let process = relay.process;
        let lives = self.store.lease(process).await?.is_some();
        let seen = self.seen.entry(process).or_default();
        let relay = self.relays.learn(relay);
        if lives {
            self.relays.note_alive(process, true);
            seen.gone_since = None;
            if !std::mem::replace(&mut seen.is_told, true) {
                greet(&self.own, &relay);
                self.notices.tell(&Notice::RelayIsThere { address: relay.address });
            }
            return Ok(());
        }
        if self.caution.until().is_some() {
            return Ok(());
        }
        let gone_since = *seen.gone_since.get_or_insert_with(Instant::now);
        if std::mem::take(&mut seen.is_told) {
            self.part_from(&relay);
        }
        if gone_since.elapsed() >= RELAY_FORGOTTEN {
            self.store.forget(text).await?;
            self.forget(process);
        }
        Ok(())
    }

    fn part_from(&self, relay: &Neighbour) {
        let Neighbour { process, address, .. } = *relay;
        self.relays.note_alive(process, false);
        info!(relay = %process, %address, "another relay of the cluster is gone");
        self.notices.tell(&Notice::RelayIsGone { address });
    }

    fn forget(&mut self, process: ProcessId) {
        self.seen.remove(&process);
        self.relays.forget(process);
    }
}

/// Says in the log that another relay is there, and in what it differs.
fn greet(own: &Neighbour, relay: &Neighbour) {
    let Neighbour { process, address, version, .. } = relay;
    info!(relay = %process, %address, version, "another relay of the cluster is there");
    if !relay.is_understood() {
        warn!(
            relay = %process,
            %address,
            "it has the version {version}, this relay {}, and they do not understand each other: clients who come by one cannot \
             join the rooms of the other. Update the older one",
            own.version
        );
    } else if *version != own.version {
        warn!(relay = %process, %address, "it has the version {version}, and this relay {}", own.version);
    }
    if relay.settings != own.settings {
        warn!(
            relay = %process,
            %address,
            "it was started with other settings for rooms (capacity, rates, --hold-ms, STUN and TURN servers): members feel \
             those of the relay on which their room lives"
        );
    }
    let (here, there) = (own.address.ip().is_loopback(), address.ip().is_loopback());
    if here != there {
        let (whose, own) = if here { ("this relay", own.address) } else { ("it", *address) };
        warn!(
            relay = %process,
            %address,
            "only one of the two is on the machine of Redis, and {whose} says that it is reached at {own}, which is good on that \
             machine alone: set --cluster-listen or --cluster-advertise there to an address at which others reach it"
        );
    }
}
