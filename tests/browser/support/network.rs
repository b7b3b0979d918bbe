//! The network between the browser and the relay, which a test can cut.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};

/// Bytes from the relay after which a WebSocket is cut: its `joined`, and a part of the first offer.
const BYTES: u64 = 3_000;

/// Carries connections to the relay, and cuts the first WebSockets in the middle of what the relay sends.
pub struct Network {
    port: u16,
    cuts: Arc<AtomicU64>,
}

impl Network {
    /// To the relay at `port`; cuts so many WebSockets.
    pub async fn start(port: u16, most: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let network = Self { port: listener.local_addr().unwrap().port(), cuts: Arc::default() };
        let cuts = Arc::clone(&network.cuts);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, port, Arc::clone(&cuts), most));
            }
        });
        network
    }

    /// The address of a page of the relay.
    pub fn url(&self, rest: &str) -> String {
        format!("http://localhost:{}/{rest}", self.port)
    }

    /// How many WebSockets were cut.
    pub fn cuts(&self) -> u64 {
        self.cuts.load(Ordering::Relaxed)
    }
}

async fn carry(client: TcpStream, port: u16, cuts: Arc<AtomicU64>, most: u64) {
    // Both of its addresses, as the browser would.
    let Ok(relay) = TcpStream::connect(("localhost", port)).await else { return };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_relay, mut to_relay) = relay.into_split();
    let mut head = vec![0; 2048];
    let Ok(read) = from_client.read(&mut head).await else { return };
    if to_relay.write_all(&head[..read]).await.is_err() {
        return;
    }
    let is_doomed = head.starts_with(b"GET /ws") && cuts.load(Ordering::Relaxed) < most;
    let up = copy(&mut from_client, &mut to_relay);
    if !is_doomed {
        let _ = tokio::join!(up, copy(&mut from_relay, &mut to_client));
        return;
    }
    let mut first = from_relay.take(BYTES);
    tokio::select! {
        _ = up => {}
        _ = copy(&mut first, &mut to_client) => {
            cuts.fetch_add(1, Ordering::Relaxed);
        }
    }
}
