//! The end of the relay, as its connections learn of it; independent of what they do about it.

use tokio::sync::watch;

/// What the clients are told when the relay ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// It will be back in a moment: `goaway`, then close code 1012.
    Restart,
    /// It will not: close code 1001.
    ForGood,
}

/// Who does not say is taken to restart, so that clients come back.
impl From<()> for Shutdown {
    fn from((): ()) -> Self {
        Self::Restart
    }
}

/// Tells every [`ShutdownSignal`] at once.
#[derive(Debug)]
pub struct ShutdownSender(watch::Sender<Option<Shutdown>>);

impl ShutdownSender {
    /// Ends the relay.
    pub fn send(&self, shutdown: Shutdown) {
        self.0.send_replace(Some(shutdown));
    }
}

/// A sender, and the signal that hears it; clone the signal for each connection.
pub fn channel() -> (ShutdownSender, ShutdownSignal) {
    let (sender, receiver) = watch::channel(None);
    (ShutdownSender(sender), ShutdownSignal(receiver))
}

/// Tells when the relay is going away.
#[derive(Debug, Clone)]
pub struct ShutdownSignal(watch::Receiver<Option<Shutdown>>);

impl ShutdownSignal {
    /// Waits until the relay goes away.
    pub async fn wait(&mut self) -> Shutdown {
        match self.0.wait_for(Option::is_some).await.map(|shutdown| *shutdown) {
            Ok(Some(shutdown)) => shutdown,
            // The server was dropped while serving.
            _ => Shutdown::ForGood,
        }
    }

    /// Whether the relay is going away now.
    pub fn is_shutting_down(&self) -> bool {
        self.0.borrow().is_some()
    }
}
