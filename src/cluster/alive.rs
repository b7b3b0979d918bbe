//! Which of the relays are alive with which this one shares tunnels.
//!
//! TCP sees at once that a process has ended, but not that it was stopped, that its machine has lost its power, or that the
//! network was cut. So each asks the other every second, over one connection that is kept. If one hears nothing for
//! [`ALIVE_DEADLINE`], it ends all tunnels between the two.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use anyhow::Context;
use dashmap::DashMap;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::dial::{Dialer, RelayStream};
use super::line::Line;
use super::paths::{ALIVE, question};
use super::relays::{Neighbour, ProcessId};
use crate::drain::Drain;
use crate::limits::{ALIVE_DEADLINE, ALIVE_INTERVAL, ALIVE_PATIENCE, LINKS_LOOK, RETRY_AFTER_MAX};
use crate::outbox::{CloseRequest, ConnectionId, Outbox};

/// The relays with which this one shares tunnels.
pub(crate) struct Links {
    dialer: Arc<Dialer>,
    by_process: DashMap<ProcessId, Weak<Link>>,
}

/// What this relay shares with another one, as long as there is a tunnel between the two.
#[derive(Debug)]
pub(crate) struct Link {
    neighbour: Arc<Neighbour>,
    /// Cancelled when the other one does not answer.
    silent: CancellationToken,
    /// Cancelled when the last tunnel has ended.
    unused: CancellationToken,
    /// The clients that have come by the other one.
    guests: Mutex<HashMap<ConnectionId, Weak<Outbox>>>,
}

/// A client that has come by another relay. It is one until this is dropped.
#[derive(Debug)]
pub(crate) struct LinkedGuest {
    link: Arc<Link>,
    id: ConnectionId,
}

impl Links {
    /// None yet.
    pub(crate) fn new(dialer: Arc<Dialer>) -> Self {
        Self { dialer, by_process: DashMap::new() }
    }

    /// Waits until the relay shuts down and no tunnel is left, for [`RETRY_AFTER_MAX`] at most after the former: by then it has
    /// ended its own.
    pub(crate) async fn outlive(&self, drain: &Drain) {
        drain.wait().await;
        let empty = async {
            while self.by_process.iter().any(|link| link.strong_count() > 0) {
                sleep(LINKS_LOOK).await;
            }
        };
        let _ = timeout(RETRY_AFTER_MAX, empty).await;
    }

    /// How many clients have come by other relays.
    #[cfg(feature = "admin")]
    pub(crate) fn guests(&self) -> usize {
        self.by_process.iter().filter_map(|link| link.upgrade()).map(|link| link.lock().len()).sum()
    }

    /// The link with `neighbour`. From the first one until the last one is dropped, this relay asks whether the other one is
    /// alive.
    pub(crate) fn with(&self, neighbour: &Arc<Neighbour>) -> Arc<Link> {
        self.by_process.retain(|_, link| link.strong_count() > 0);
        let mut entry = self.by_process.entry(neighbour.process).or_default();
        if let Some(link) = entry.upgrade().filter(|link| !link.silent.is_cancelled()) {
            return link;
        }
        let link = Arc::new(Link {
            neighbour: Arc::clone(neighbour),
            silent: CancellationToken::new(),
            unused: CancellationToken::new(),
            guests: Mutex::default(),
        });
        *entry = Arc::downgrade(&link);
        drop(entry);
        let (unused, watch) = (link.unused.clone(), watch(Arc::downgrade(&link), Arc::clone(&self.dialer)));
        tokio::spawn(async move {
            tokio::select! {
                () = watch => {}
                () = unused.cancelled() => {}
            }
        });
        link
    }
}

impl Link {
    /// Waits until the other relay does not answer any more.
    pub(crate) async fn silent(&self) {
        self.silent.cancelled().await;
    }

    /// Counts a client that has come by the other relay: when that does not answer any more, its connection is lost.
    pub(crate) fn guest(self: &Arc<Self>, outbox: &Arc<Outbox>) -> LinkedGuest {
        let id = outbox.id();
        self.lock().insert(id, Arc::downgrade(outbox));
        if self.silent.is_cancelled() {
            outbox.request_close(CloseRequest::DoorLost);
        }
        LinkedGuest { link: Arc::clone(self), id }
    }

    fn end(&self) {
        self.silent.cancel();
        let guests: Vec<_> = self.lock().values().filter_map(Weak::upgrade).collect();
        warn!(relay = %self.neighbour.process, address = %self.neighbour.address, "another relay does not answer: ended all tunnels with it");
        guests.iter().for_each(|outbox| outbox.request_close(CloseRequest::DoorLost));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<ConnectionId, Weak<Outbox>>> {
        self.guests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.unused.cancel();
    }
}

impl Drop for LinkedGuest {
    fn drop(&mut self) {
        self.link.lock().remove(&self.id);
    }
}

impl fmt::Debug for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Links").field("count", &self.by_process.len()).finish_non_exhaustive()
    }
}

/// How much later than it was to end a wait ends on a machine that stood still.
const LATE: Duration = ALIVE_PATIENCE.checked_div(10).unwrap();

/// Asks until the other relay does not answer any more.
async fn watch(link: Weak<Link>, dialer: Arc<Dialer>) {
    let Some(neighbour) = link.upgrade().map(|link| Arc::clone(&link.neighbour)) else { return };
    let (mut line, mut heard) = (None, Instant::now());
    let (mut next, mut was_late) = (heard, false);
    loop {
        // A relay that was late itself gives the other one a moment.
        let until = (heard + ALIVE_DEADLINE).max(Instant::now() + ALIVE_PATIENCE);
        match timeout_at(until, ask(&dialer, &neighbour, &mut line)).await {
            Ok(Ok(())) => (heard, was_late) = (Instant::now(), false),
            Ok(Err(_)) | Err(_) => {
                line = None;
                // So does one that stood still while it waited, as all relays of one machine do at the same time; but only once.
                if !was_late && Instant::now() >= until + LATE {
                    was_late = true;
                    continue;
                }
            }
        }
        if Instant::now() >= heard + ALIVE_DEADLINE {
            if let Some(link) = link.upgrade() {
                link.end();
            }
            return;
        }
        next = (next + ALIVE_INTERVAL).max(Instant::now());
        sleep_until(next.min(heard + ALIVE_DEADLINE)).await;
    }
}

/// Asks once; any answer is one.
async fn ask(dialer: &Dialer, neighbour: &Neighbour, kept: &mut Option<Line<RelayStream>>) -> anyhow::Result<()> {
    if let Some(line) = kept
        && line.ask(question(ALIVE)).await.is_ok()
    {
        return Ok(());
    }
    let line = kept.insert(Line::new(dialer.dial_at_once(neighbour).await?).await?);
    line.ask(question(ALIVE)).await.context("it was asked")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use super::super::identity::Identity;
    use super::super::relays::{PROTOCOL, Relays};
    use super::*;

    fn neighbour(identity: &Identity, address: std::net::SocketAddr) -> Neighbour {
        Neighbour {
            process: ProcessId::random().unwrap(),
            address,
            fingerprint: identity.fingerprint(),
            protocol: PROTOCOL,
            version: String::new(),
            settings: String::new(),
        }
    }

    /// A relay that gives each question to `answers`, and its dialler.
    async fn other<F: Future<Output = ()> + Send>(
        mut answers: impl FnMut(usize) -> F + Send + 'static,
    ) -> (Dialer, Neighbour) {
        let (own, other) = (Identity::new().unwrap(), Identity::new().unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, relays) = (listener.local_addr().unwrap(), Arc::new(Relays::default()));
        relays.learn(neighbour(&own, address));
        let tls = TlsAcceptor::from(Arc::new(other.server(relays).unwrap()));
        tokio::spawn(async move {
            let mut count = 0;
            loop {
                let mut stream = tls.accept(listener.accept().await.unwrap().0).await.unwrap();
                while stream.read(&mut [0; 1024]).await.is_ok_and(|read| read > 0) {
                    count += 1;
                    answers(count).await;
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
                }
            }
        });
        (Dialer::new(&own).unwrap(), neighbour(&other, address))
    }

    #[tokio::test]
    async fn a_relay_is_alive_however_many_clients_wait_for_their_turn_to_reach_it() {
        let (dialer, neighbour) = other(|_| std::future::ready(())).await;
        dialer.occupy(neighbour.process);
        let answer = timeout(ALIVE_DEADLINE * 10, ask(&dialer, &neighbour, &mut None)).await;
        answer.expect("it waits for no turn").unwrap();
    }

    #[tokio::test]
    async fn relays_whose_machine_stands_still_while_one_waits_for_the_other_share_their_tunnels_afterwards() {
        let (answered, mut answers) = tokio::sync::watch::channel(0);
        let (dialer, neighbour) = other(move |count| {
            let answered = answered.clone();
            async move {
                if count == 2 {
                    // Everything here is on this thread. The other relay needs a moment when it goes on, too.
                    std::thread::sleep(ALIVE_DEADLINE + LATE);
                    sleep(LATE).await;
                }
                answered.send_replace(count);
            }
        })
        .await;
        let link = Links::new(Arc::new(dialer)).with(&Arc::new(neighbour));
        let goes_on = async { answers.wait_for(|count| *count >= 4).await.map(drop) };
        tokio::select! {
            () = link.silent() => panic!("it is alive"),
            goes_on = timeout(ALIVE_DEADLINE * 10, goes_on) => goes_on.unwrap().unwrap(),
        }
    }
}
