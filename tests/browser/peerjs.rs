//! Pages with the real client of PeerJS, which nobody has changed.

use std::sync::{Arc, Mutex};

use serde_json::json;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

use crate::support::{Browser, PageServer, Relay, Window};
use crate::wires::page;

async fn relay() -> Relay {
    Relay::start_with(&["--wire", "peerjs"]).await
}

/// A network between pages and the relay, which can be lost so that the relay hears nothing of it.
struct LossyLine {
    port: u16,
    /// The connections of pages, and what was the relay's end of those that were lost.
    carried: Arc<Mutex<Vec<AbortHandle>>>,
    lost: Arc<Mutex<Vec<TcpStream>>>,
}

impl LossyLine {
    async fn to(relay: &Relay) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (port, to) = (listener.local_addr().unwrap().port(), relay.port());
        let line = Self { port, carried: Arc::default(), lost: Arc::default() };
        let (carried, lost) = (Arc::clone(&line.carried), Arc::clone(&line.lost));
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                // Both of its addresses, as the browser would.
                let Ok(relay) = TcpStream::connect(("localhost", to)).await else { continue };
                let relay = Kept { stream: Some(relay), lost: Arc::clone(&lost) };
                let task = tokio::spawn(async move {
                    let mut relay = relay;
                    if let Some(stream) = &mut relay.stream {
                        let _ = copy_bidirectional(&mut client, stream).await;
                    }
                    // It ended by itself.
                    relay.stream = None;
                });
                carried.lock().unwrap().push(task.abort_handle());
            }
        });
        line
    }

    /// The pages' ends of all connections are gone; the relay's are as if nothing was.
    fn lose(&self) {
        self.carried.lock().unwrap().drain(..).for_each(|task| task.abort());
    }
}

/// The relay's end of a connection, which stays open when the page's is lost.
struct Kept {
    stream: Option<TcpStream>,
    lost: Arc<Mutex<Vec<TcpStream>>>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.lost.lock().unwrap().extend(self.stream.take());
    }
}

impl Window {
    /// Opens a peer at this port; without an id the relay makes one.
    async fn opens_peer(&self, port: u16, name: &str, id: Option<&str>, more: serde_json::Value) {
        let mut options = json!({ "host": "localhost", "port": port, "path": "/", "secure": false });
        options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.run(&format!("openPeer({name:?}, {}, {options})", json!(id))).await;
    }

    /// Opens a peer, and waits until it has its id.
    async fn is_peer(&self, port: u16, id: &str) {
        self.opens_peer(port, id, Some(id), json!({})).await;
        self.has_opened(id, 1).await;
    }

    async fn has_opened(&self, name: &str, times: u32) {
        self.shows(&format!("peers[{name:?}].opened() === {times}")).await;
    }

    async fn gets_error(&self, name: &str, error: &str) {
        self.shows(&format!("peers[{name:?}].errors.includes({error:?})")).await;
    }

    async fn connects(&self, name: &str, to: &str) {
        self.run(&format!("peers[{name:?}].connect({to:?})")).await;
    }

    async fn is_connected(&self, name: &str, to: &str) {
        self.shows(&format!("peers[{name:?}].isConnected({to:?})")).await;
    }

    async fn says(&self, name: &str, to: &str, words: &str) {
        self.run(&format!("peers[{name:?}].say({to:?}, {words:?})")).await;
    }

    async fn has_heard(&self, name: &str, words: &str) {
        self.shows(&format!("peers[{name:?}].heard.includes({words:?})")).await;
    }
}

#[tokio::test]
async fn peers_of_peerjs_with_ids_of_every_kind_exchange_data_and_pictures() {
    let (relay, pages) = (relay().await, PageServer::start(page()).await);
    let browser = Browser::with().for_two().start().await;
    let other = Browser::with().second_of_two().start().await;
    let (ana, bob) = (browser.open(&pages.url("")).await, other.open(&pages.url("")).await);
    let long = "long-".repeat(40) + "id";
    let port = relay.port();
    ana.is_peer(port, "ana").await;
    for id in ["bob", "bob with spaces", &long] {
        bob.is_peer(port, id).await;
        ana.connects("ana", id).await;
        ana.is_connected("ana", id).await;
        bob.is_connected(id, "ana").await;
        ana.says("ana", id, &format!("to {id}")).await;
        bob.has_heard(id, &format!("to {id}")).await;
        bob.says(id, "ana", &format!("from {id}")).await;
        ana.has_heard("ana", &format!("from {id}")).await;
    }
    // An id that the relay makes.
    bob.opens_peer(port, "made", None, json!({})).await;
    bob.has_opened("made", 1).await;
    let made = bob.run("return peers.made.peer.id").await;
    let made = made.as_str().unwrap();
    assert_eq!(made.len(), 36, "{made}");
    ana.connects("ana", made).await;
    ana.is_connected("ana", made).await;
    ana.says("ana", made, "to a made id").await;
    bob.has_heard("made", "to a made id").await;
    // Pictures both ways.
    ana.run(&format!("peers.ana.call({:?})", "bob with spaces")).await;
    ana.shows("peers.ana.pictures() === 1").await;
    bob.shows("peers['bob with spaces'].pictures() === 1").await;
    browser.end().await;
    other.end().await;
}

#[tokio::test]
async fn what_is_said_to_a_peer_of_peerjs_before_it_is_there_is_not_lost() {
    let (relay, pages) = (relay().await, PageServer::start(page()).await);
    let browser = Browser::start().await;
    let window = browser.open(&pages.url("")).await;
    let port = relay.port();
    window.is_peer(port, "ana").await;
    // Somebody who comes three seconds later.
    window.connects("ana", "late").await;
    let late = json!({ "host": "localhost", "port": port, "path": "/", "secure": false });
    window.run(&format!("setTimeout(() => openPeer('late', 'late', {late}), 3000)")).await;
    window.is_connected("ana", "late").await;
    window.says("ana", "late", "early").await;
    window.has_heard("late", "early").await;
    // Somebody who speaks before it hears that it has its id.
    let options = json!({ "host": "localhost", "port": port, "path": "/", "secure": false });
    window.run(&format!("openPeer('hasty', 'hasty', {options}); peers.hasty.connectEarly('ana')")).await;
    window.is_connected("ana", "hasty").await;
    assert_eq!(window.run("return peers.hasty.wasOpen").await, json!(false));
    // Many candidates at once, to one who is there and to one who is about to come.
    window.run("peers.ana.flood('hasty', 200); peers.ana.flood('later', 200)").await;
    window.shows("peers.hasty.kept() === 200").await;
    window.is_peer(port, "later").await;
    window.shows("peers.later.kept() === 200").await;
    browser.end().await;
}

#[tokio::test]
async fn a_peer_of_peerjs_that_is_refused_is_told_in_the_words_of_its_library() {
    let pages = PageServer::start(page()).await;
    let mut relay = Relay::start_with(&["--wire", "peerjs", "--peerjs-key", "peerjs,second"]).await;
    let browser = Browser::with().host_rule("MAP calls.example 127.0.0.1").may_ask("calls.example").start().await;
    for complaint in ["WebSocket connection to", "CORS", "Failed to load resource"] {
        browser.expect_console(complaint);
    }
    let window = browser.open(&pages.url("")).await;
    let port = relay.port();
    window.is_peer(port, "ana").await;
    window.opens_peer(port, "other", Some("ana"), json!({})).await;
    window.gets_error("other", "unavailable-id").await;
    window.opens_peer(port, "wrong", Some("ana"), json!({ "key": "wrong" })).await;
    window.gets_error("wrong", "server-error").await;
    window.opens_peer(port, "wrong without an id", None, json!({ "key": "wrong" })).await;
    window.gets_error("wrong without an id", "server-error").await;
    window.opens_peer(port, "second", Some("ana"), json!({ "key": "second" })).await;
    window.has_opened("second", 1).await;
    window.connects("ana", "nobody").await;
    window.gets_error("ana", "peer-unavailable").await;
    assert_eq!(window.run("return peers.ana.peer.open").await, json!(true));
    // A page of another host.
    let origin = format!("http://calls.example:{}", pages.port());
    let foreign = browser.open(&format!("{origin}/")).await;
    foreign.opens_peer(port, "with an id", Some("eve"), json!({})).await;
    foreign.gets_error("with an id", "network").await;
    foreign.opens_peer(port, "without one", None, json!({})).await;
    foreign.gets_error("without one", "server-error").await;
    relay.crash().await;
    relay.come_back_with(&["--wire", "peerjs", "--allow-origin", &origin]).await;
    foreign.is_peer(port, "eve").await;
    foreign.opens_peer(port, "made", None, json!({})).await;
    foreign.has_opened("made", 1).await;
    browser.end().await;
}

#[tokio::test]
async fn a_peer_of_peerjs_that_comes_back_has_its_id_and_its_calls_go_on() {
    let mut relay = relay().await;
    let (line, pages) = (LossyLine::to(&relay).await, PageServer::start(page()).await);
    let browser = Browser::start().await;
    browser.expect_console("WebSocket connection to");
    let window = browser.open(&pages.url("")).await;
    window.is_peer(line.port, "ana").await;
    window.is_peer(relay.port(), "bob").await;
    window.connects("bob", "ana").await;
    window.is_connected("bob", "ana").await;
    // In the same breath, before its last connection has ended.
    for times in 2..=21 {
        window.run("peers.ana.peer.disconnect(); peers.ana.peer.reconnect()").await;
        window.has_opened("ana", times).await;
    }
    // The network is lost, of which the relay hears nothing.
    for times in 22..=41 {
        line.lose();
        window.shows("peers.ana.peer.disconnected").await;
        window.run("peers.ana.peer.reconnect()").await;
        window.has_opened("ana", times).await;
    }
    window.is_peer(relay.port(), "eve").await;
    window.connects("eve", "ana").await;
    window.is_connected("eve", "ana").await;
    // The calls need no relay, and those who come when it is back find who has come back.
    relay.crash().await;
    window.shows("peers.ana.peer.disconnected && peers.bob.peer.disconnected").await;
    window.says("bob", "ana", "without it").await;
    window.has_heard("ana", "without it").await;
    relay.come_back().await;
    window.run("peers.ana.peer.reconnect(); peers.bob.peer.reconnect()").await;
    window.has_opened("ana", 42).await;
    window.has_opened("bob", 2).await;
    window.is_peer(relay.port(), "new").await;
    for old in ["ana", "bob"] {
        window.connects("new", old).await;
        window.is_connected("new", old).await;
    }
    window.says("bob", "ana", "still").await;
    window.has_heard("ana", "still").await;
    browser.end().await;
}
