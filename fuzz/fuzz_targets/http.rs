//! A stream from a client, before anything is known about it: the relay answers or closes it within its deadlines, and
//! keeps nothing of it.
#![no_main]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use signaling_relay::{Config, Opaque, Relay};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

/// Longer than all deadlines together: the page's, the write's, and the closing handshake's. The clock is paused, and
/// jumps to the next deadline whenever nothing else is to do.
const LONG: Duration = Duration::from_secs(600);

fuzz_target!(|input: (bool, u8, &[u8])| {
    let (hangs_up, cut, bytes) = input;
    let cut = usize::from(cut).min(bytes.len());
    runtime().block_on(async {
        let relay = Relay::builder(Config::default()).build().expect("a relay");
        let (mut ours, theirs) = duplex(64 * 1024);
        let served = tokio::spawn({
            let relay = Arc::clone(&relay);
            async move { relay.serve_stream(Opaque(theirs), SocketAddr::from((Ipv4Addr::LOCALHOST, 1))).await }
        });
        let mut answer = Vec::new();
        let exchange = async {
            let (first, second) = bytes.split_at(cut);
            // The relay may close before all is written.
            let _ = ours.write_all(first).await;
            tokio::task::yield_now().await;
            let _ = ours.write_all(second).await;
            if hangs_up {
                let _ = ours.shutdown().await;
            }
            let _ = ours.read_to_end(&mut answer).await;
        };
        timeout(LONG, exchange).await.expect("it is closed");
        drop(ours);
        timeout(LONG, served).await.expect("it ends").expect("no panic");
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1."), "{answer:?}");
        assert_eq!((relay.connections(), relay.rooms()), (0, 0), "{:?}", String::from_utf8_lossy(bytes));
    });
});

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime")
}
