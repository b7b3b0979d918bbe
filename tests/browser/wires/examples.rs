//! The smallest page for each library, in `examples/wires/`, with the bundle that it tells its readers to make.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::harness::pages::{page, with};
use crate::support::{Browser, PageServer, Relay, Window};

/// The page, with its bundle in place of the file beside it.
fn example(name: &str) -> String {
    const PACKAGES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/tools/node_modules");
    let page = page(&format!("examples/wires/{name}.html"));
    let (_, command) = page.split_once("echo '").expect("how to make the bundle");
    let (source, options) = command.split_once("' | npx esbuild ").unwrap();
    let options = options.lines().next().unwrap().trim_end_matches(" --outfile=library.js");
    let mut esbuild = Command::new("node");
    esbuild.arg(format!("{PACKAGES}/esbuild/bin/esbuild")).args(options.split(' ')).env("NODE_PATH", PACKAGES);
    let mut child =
        esbuild.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("node: scripts/test installs it");
    child.stdin.take().unwrap().write_all(source.as_bytes()).unwrap();
    let bundled = child.wait_with_output().unwrap();
    assert!(bundled.status.success(), "scripts/test puts the packages into target/tools");
    let script = String::from_utf8(bundled.stdout).unwrap();
    let url = format!("data:text/javascript,{}", percent_encode(&script));
    with(&page, &[("./library.js", &url)])
}

/// What may stand in a URL within a string of JSON within HTML.
fn percent_encode(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}

/// The relay with this wire.
async fn relay(wire: &str) -> Relay {
    Relay::start_with(&["--wire", wire]).await
}

async fn two_share_notes(wire: &str) {
    let (relay, pages) = (relay(wire).await, PageServer::start(example(wire)).await);
    let browser = Browser::with().dialling_8080_reaches(&relay).for_two().start().await;
    let other = Browser::with().dialling_8080_reaches(&relay).second_of_two().start().await;
    let ana = browser.open(&pages.url("")).await;
    ana.fill("#note", "buy bread").await;
    ana.click("button").await;
    ana.reads("buy bread").await;
    let bob = other.open(&pages.url("")).await;
    bob.reads("buy bread").await;
    bob.fill("#note", "and milk").await;
    bob.click("button").await;
    ana.reads("and milk").await;
    browser.end().await;
    other.end().await;
}

#[tokio::test]
async fn what_one_notes_on_the_page_for_y_webrtc_the_other_reads_and_who_comes_later_too() {
    two_share_notes("y-webrtc").await;
}

#[tokio::test]
async fn what_one_says_on_the_page_for_trystero_the_other_reads() {
    let (relay, pages) = (relay("trystero").await, PageServer::start(example("trystero")).await);
    let browser = Browser::with().dialling_8080_reaches(&relay).for_two().start().await;
    let other = Browser::with().dialling_8080_reaches(&relay).second_of_two().start().await;
    let (ana, bob) = (browser.open(&pages.url("")).await, other.open(&pages.url("")).await);
    for (one, other, text) in [(&ana, &bob, "hello from Ana"), (&bob, &ana, "hello from Bob")] {
        // Whoever is not there yet would not hear it.
        one.reads("Somebody has come.").await;
        one.fill("#word", text).await;
        one.click("button").await;
        other.reads(text).await;
    }
    browser.end().await;
    other.end().await;
}

#[tokio::test]
async fn what_one_says_on_the_page_for_peerjs_the_other_reads_and_it_is_found_when_the_relay_is_back() {
    let mut relay = Relay::start_with(&["--wire", "peerjs"]).await;
    let pages = PageServer::start(example("peerjs")).await;
    let browser = Browser::with().dialling_8080_reaches(&relay).for_two().start().await;
    let other = Browser::with().dialling_8080_reaches(&relay).second_of_two().start().await;
    for each in [&browser, &other] {
        each.expect_console("WebSocket connection to");
    }
    let (ana, bob) = (browser.open(&pages.url("")).await, other.open(&pages.url("")).await);
    ana.shows("document.getElementById('me').value").await;
    let id = ana.run("return document.getElementById('me').value").await;
    let id = id.as_str().unwrap();
    let dials = async |page: &Window| {
        page.fill("#id", id).await;
        page.click("#dial button").await;
        page.reads("Somebody is connected.").await;
    };
    bob.shows("document.getElementById('me').value").await;
    dials(&bob).await;
    ana.reads("Somebody is connected.").await;
    for (one, other, text) in [(&ana, &bob, "hello from Ana"), (&bob, &ana, "hello from Bob")] {
        one.fill("#word", text).await;
        one.click("#form button").await;
        other.reads(text).await;
    }
    relay.crash().await;
    ana.reads("Lost connection to server.").await;
    relay.come_back().await;
    // Ana's page is at the relay again.
    let eve = other.open(&pages.url("")).await;
    eve.shows("document.getElementById('me').value").await;
    dials(&eve).await;
    for text in ["hello to all", "and again"] {
        ana.fill("#word", text).await;
        ana.click("#form button").await;
        bob.reads(text).await;
        eve.reads(text).await;
    }
    browser.end().await;
    other.end().await;
}

#[tokio::test]
async fn what_one_notes_on_the_page_for_rxdb_the_other_reads_and_who_comes_later_too() {
    two_share_notes("rxdb").await;
}
