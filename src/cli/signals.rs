//! The signals that end the relay, or reload its certificate and the keys of tokens.

use std::io;

use tokio::time::Instant;

use super::service_manager::{Notification, keep_watch, notify};
use crate::drain::Shutdown;
use crate::limits;
use crate::server::Server;

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request {
    /// To shut the relay down, and to tell its clients.
    End(Shutdown),
    /// To reload the certificate and the keys of tokens.
    Reload,
}

/// Runs `server` until `signals` end it.
///
/// # Errors
/// When a second signal ended it before its connections had ended.
pub async fn serve(server: Server, mut signals: Signals) -> anyhow::Result<()> {
    let reloader = server.reloader();
    let (end, ended) = tokio::sync::oneshot::channel();
    let serving = server.serve(async { ended.await.unwrap_or(Shutdown::ForGood) });
    let end = |shutdown| {
        notify(Notification::Stopping);
        // The receiver exists as long as the server serves.
        let _ = end.send(shutdown);
    };
    let reload = || {
        notify(Notification::Reloading);
        reloader.reload();
        notify(Notification::Ready);
    };
    notify(Notification::Ready);
    tokio::select! {
        () = serving => Ok(()),
        () = obey(async || signals.next().await, end, reload) => {
            anyhow::bail!("a second signal ended the relay before its connections had ended")
        }
        never = keep_watch() => never,
    }
}

/// Carries out the requests: calls `end` once, and `reload` each time. Returns when a second request to end comes later
/// than [`SAME_SIGNAL`](limits::SAME_SIGNAL) after the first: then the user does not want to wait.
async fn obey(mut next: impl AsyncFnMut() -> Request, end: impl FnOnce(Shutdown), reload: impl Fn()) {
    let first = loop {
        match next().await {
            Request::End(shutdown) => break shutdown,
            Request::Reload => reload(),
        }
    };
    end(first);
    let ended = Instant::now();
    loop {
        match next().await {
            Request::End(_) if ended.elapsed() > limits::SAME_SIGNAL => return,
            Request::End(_) => {}
            Request::Reload => reload(),
        }
    }
}

/// The signals of this system. Each is kept until [`next`](Self::next) returns it.
#[derive(Debug)]
pub struct Signals(system::Signals);

impl Signals {
    /// Catches the signals from now on.
    ///
    /// # Errors
    /// When the system refuses it.
    pub fn new() -> io::Result<Self> {
        system::Signals::new().map(Self)
    }

    /// Waits for the next signal.
    pub async fn next(&mut self) -> Request {
        self.0.next().await
    }
}

/// SIGINT (Ctrl-C at the terminal) and SIGTERM (from a service manager) end the relay, SIGHUP reloads the
/// certificate and the keys of tokens.
#[cfg(unix)]
mod system {
    use std::io::{self, IsTerminal};

    use tokio::signal::unix::{Signal, SignalKind, signal};

    use super::Request;
    use crate::drain::Shutdown;

    #[derive(Debug)]
    pub(super) struct Signals {
        interrupt: Signal,
        terminate: Signal,
        hangup: Signal,
        /// Whether the relay was started at a terminal, which may be closed.
        terminal: bool,
    }

    impl Signals {
        pub(super) fn new() -> io::Result<Self> {
            Ok(Self {
                interrupt: signal(SignalKind::interrupt())?,
                terminate: signal(SignalKind::terminate())?,
                hangup: signal(SignalKind::hangup())?,
                terminal: io::stdin().is_terminal(),
            })
        }

        pub(super) async fn next(&mut self) -> Request {
            tokio::select! {
                _ = self.interrupt.recv() => Request::End(Shutdown::ForGood),
                _ = self.terminate.recv() => Request::End(Shutdown::Restart),
                // The kernel also sends SIGHUP when the terminal is closed; then stdin is no longer a terminal.
                _ = self.hangup.recv() => match self.terminal && !io::stdin().is_terminal() {
                    true => Request::End(Shutdown::ForGood),
                    false => Request::Reload,
                },
            }
        }
    }
}

/// Ctrl-C, and that the console is closed, end the relay for good; Ctrl-Break, which programs send that run others, and
/// that the user logs off or the machine shuts down, end it until it is started again. Windows ends a process by itself
/// about 5 s after it has said that the console is closed or the user logs off.
#[cfg(windows)]
mod system {
    use std::io;

    use tokio::signal::windows::{
        CtrlBreak, CtrlC, CtrlClose, CtrlLogoff, CtrlShutdown, ctrl_break, ctrl_c, ctrl_close, ctrl_logoff,
        ctrl_shutdown,
    };

    use super::Request;
    use crate::drain::Shutdown;

    #[derive(Debug)]
    pub(super) struct Signals {
        interrupt: CtrlC,
        terminate: CtrlBreak,
        close: CtrlClose,
        logoff: CtrlLogoff,
        shutdown: CtrlShutdown,
    }

    impl Signals {
        pub(super) fn new() -> io::Result<Self> {
            Ok(Self {
                interrupt: ctrl_c()?,
                terminate: ctrl_break()?,
                close: ctrl_close()?,
                logoff: ctrl_logoff()?,
                shutdown: ctrl_shutdown()?,
            })
        }

        pub(super) async fn next(&mut self) -> Request {
            let shutdown = tokio::select! {
                _ = self.interrupt.recv() => Shutdown::ForGood,
                _ = self.close.recv() => Shutdown::ForGood,
                _ = self.terminate.recv() => Shutdown::Restart,
                _ = self.logoff.recv() => Shutdown::Restart,
                _ = self.shutdown.recv() => Shutdown::Restart,
            };
            Request::End(shutdown)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::time::Duration;

    use tokio::sync::mpsc;
    use tokio::time::{advance, pause};

    use super::*;

    const A_MOMENT: Duration = Duration::from_millis(1);

    /// Sends `requests`, each after its delay; returns what was done, and whether `obey` returned before the last one.
    async fn obeyed(requests: &[(Duration, Request)]) -> (Vec<Request>, bool) {
        pause();
        let (sender, mut receiver) = mpsc::unbounded_channel();
        let done = RefCell::new(Vec::new());
        let next = async || match receiver.recv().await {
            Some(request) => request,
            None => std::future::pending().await,
        };
        let end = |shutdown| done.borrow_mut().push(Request::End(shutdown));
        let reload = || done.borrow_mut().push(Request::Reload);
        let come = async {
            for (after, request) in requests {
                advance(*after).await;
                sender.send(*request).unwrap();
                tokio::task::yield_now().await;
            }
        };
        let ready = tokio::select! {
            biased;
            () = obey(next, end, reload) => true,
            () = come => false,
        };
        (done.into_inner(), ready)
    }

    #[tokio::test]
    async fn the_first_signal_ends_the_relay_and_the_same_in_its_moment_does_nothing_more() {
        let end = Request::End(Shutdown::Restart);
        let interrupt = Request::End(Shutdown::ForGood);
        let at_once = [(A_MOMENT, end), (Duration::ZERO, end), (limits::SAME_SIGNAL, interrupt)];
        assert_eq!(obeyed(&at_once).await, (vec![end], false));
    }

    #[tokio::test]
    async fn a_later_one_does_not_wait() {
        let end = Request::End(Shutdown::ForGood);
        let later = [(A_MOMENT, end), (A_MOMENT, end), (limits::SAME_SIGNAL, end)];
        assert_eq!(obeyed(&later).await, (vec![end], true));
    }

    #[tokio::test]
    async fn reloads_go_on_and_end_nothing() {
        let end = Request::End(Shutdown::Restart);
        let reload = (2 * limits::SAME_SIGNAL, Request::Reload);
        assert_eq!(
            obeyed(&[reload, reload, (A_MOMENT, end), reload]).await,
            (vec![Request::Reload, Request::Reload, end, Request::Reload], false)
        );
    }
}
