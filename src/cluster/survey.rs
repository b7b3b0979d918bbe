//! While Redis is away, the other relays themselves are asked whether they have a room.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::StreamExt;
use futures_util::stream;
use hyper::{Response, StatusCode};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::dial::{Dialer, RelayStream};
use super::line::Line;
use super::paths::{ROOMS, question};
use super::relays::{Neighbour, ProcessId};
use super::store::RoomKey;
use crate::limits::{SURVEY_DEADLINE, SURVEY_RELAYS, SURVEYS};

/// Asks the other relays.
pub(crate) struct Survey {
    dialer: Arc<Dialer>,
    /// One connection to each that was asked, while nobody asks it.
    idle: Mutex<HashMap<ProcessId, Line<RelayStream>>>,
    /// The rooms that may be asked about at a time.
    turns: Semaphore,
}

impl Survey {
    /// By connections of the `dialer`.
    pub(super) fn new(dialer: Arc<Dialer>) -> Self {
        Self { dialer, idle: Mutex::default(), turns: Semaphore::new(SURVEYS) }
    }

    /// Which of the `relays` has the room, the one called `last` first. None if nobody says so in time, or too much is asked
    /// already.
    pub(super) async fn find(
        &self,
        room: RoomKey,
        last: Option<ProcessId>,
        relays: Vec<Arc<Neighbour>>,
    ) -> Option<Arc<Neighbour>> {
        let _turn = self.turns.try_acquire().ok()?;
        let (last, others): (Vec<_>, Vec<_>) = relays.into_iter().partition(|relay| Some(relay.process) == last);
        for relays in [last, others] {
            let asked = stream::iter(relays).map(|relay| async move { self.has(&relay, room).await.then_some(relay) });
            let mut those_who_have_it = asked.buffer_unordered(SURVEY_RELAYS).filter_map(std::future::ready).boxed();
            if let Ok(Some(relay)) = timeout(SURVEY_DEADLINE, those_who_have_it.next()).await {
                return Some(relay);
            }
        }
        None
    }

    async fn has(&self, relay: &Neighbour, room: RoomKey) -> bool {
        let idle = self.lock().remove(&relay.process);
        let path = format!("{ROOMS}{room}");
        if let Some(line) = idle
            && let Some(has) = self.ask(line, relay, &path).await
        {
            return has;
        }
        let Ok(stream) = self.dialer.dial(relay).await else { return false };
        let Ok(line) = Line::new(stream).await else { return false };
        self.ask(line, relay, &path).await.unwrap_or_default()
    }

    /// None if the connection was lost.
    async fn ask(&self, mut line: Line<RelayStream>, relay: &Neighbour, path: &str) -> Option<bool> {
        let status = line.ask(question(path)).await.as_ref().map(Response::status).ok()?;
        self.lock().insert(relay.process, line);
        Some(status == StatusCode::OK)
    }

    /// Keeps no connections but those to these relays.
    pub(super) fn keep(&self, relays: &[Arc<Neighbour>]) {
        self.lock().retain(|process, _| relays.iter().any(|relay| relay.process == *process));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<ProcessId, Line<RelayStream>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Survey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Survey").finish_non_exhaustive()
    }
}
