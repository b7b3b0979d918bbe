//! What systemd is told, if it started the relay as a service with `Type=notify` (sd_notify(3)). Elsewhere nobody is told.

use std::time::Duration;

#[cfg(target_os = "linux")]
use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval};
#[cfg(target_os = "linux")]
use tracing::warn;

/// A change that systemd is told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notification {
    /// The relay listens, or has reloaded its files.
    Ready,
    /// It reads its files again.
    Reloading,
    /// It tells its clients, and ends.
    Stopping,
    /// It still runs.
    Alive,
}

/// Tells systemd, if it wants to know.
pub fn notify(notification: Notification) {
    #[cfg(target_os = "linux")]
    {
        let told = match notification {
            Notification::Ready => sd_notify::notify(&[NotifyState::Ready]),
            Notification::Reloading => {
                NotifyState::monotonic_usec_now().and_then(|now| sd_notify::notify(&[NotifyState::Reloading, now]))
            }
            Notification::Stopping => sd_notify::notify(&[NotifyState::Stopping]),
            Notification::Alive => sd_notify::notify(&[NotifyState::Watchdog]),
        };
        if let Err(error) = told {
            warn!(%error, "cannot tell systemd: {notification:?}");
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = notification;
}

/// Tells systemd that the relay lives, twice in the time after which it would start it anew (`WatchdogSec`); never ends.
pub async fn keep_watch<T>() -> T {
    let Some(every) = patience().map(|patience| patience / 2).filter(|every| !every.is_zero()) else {
        return std::future::pending().await;
    };
    let mut beats = interval(every);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        beats.tick().await;
        notify(Notification::Alive);
    }
}

/// For how long systemd waits for a sign of life.
fn patience() -> Option<Duration> {
    #[cfg(target_os = "linux")]
    return sd_notify::watchdog_enabled();
    #[cfg(not(target_os = "linux"))]
    None
}
