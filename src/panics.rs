//! A panic of one connection ends that one alone, whether the fault is the relay's or is in code of the embedder that it
//! calls (an authorizer, an observer, a stream).
//!
//! The panic unwinds the connection's future: its session leaves the room, its registration ends, and its stream is
//! closed. No lock of the relay stays poisoned for others: each change under a lock leaves a state that is valid.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use futures_util::FutureExt;
use tracing::error;

/// `served`, until it ends or panics. A panic is logged.
pub(crate) fn contained(served: impl Future<Output = ()>) -> impl Future<Output = ()> {
    AssertUnwindSafe(served).catch_unwind().map(|ended| {
        if let Err(panic) = ended {
            error!(panic = text_of(&*panic), "a connection panicked: it has ended, and the others go on");
        }
    })
}

/// Calls the embedder's code, and logs its panic.
pub(crate) fn call(what: &str, code: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(code)) {
        error!(panic = text_of(&*panic), "{what} panicked");
    }
}

fn text_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("(no text)")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn a_panic_is_logged_with_its_text() {
        let log = testing::log_of(|| {
            let panic = contained(async { panic!("no room {}", "for this") }).now_or_never();
            assert_eq!(panic, Some(()), "it ends");
            call("the observer", || panic!("a fixed text"));
            call("the observer", || {});
        });
        let lines: Vec<&str> = log.lines().collect();
        assert_eq!(lines.len(), 2, "{log}");
        assert!(lines[0].contains("ERROR") && lines[0].contains("no room for this"), "{log}");
        assert!(lines[1].contains("the observer panicked") && lines[1].contains("a fixed text"), "{log}");
    }
}
