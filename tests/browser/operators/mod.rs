//! The operators' page, in real Chromium, and what real clients see of what it does.

mod deeds;

use std::net::SocketAddr;

use serde_json::json;
use tokio::net::TcpStream;

#[cfg(feature = "cluster")]
use crate::harness::Redis;
use crate::harness::{Client, connect, secret_file, text};
use crate::looks::faults;
use crate::support::{Browser, Relay, Window};

const TOKEN: &str = "a-token-that-nobody-guesses";
/// What would be seen, or run, if it were HTML.
const HOSTILE: &str = "<img src=x onerror=alert(1)><b>bold</b>";

async fn relay(flags: &[&str]) -> Relay {
    Relay::start_with(&[&["--admin-listen", "127.0.0.1:0"], flags].concat()).await
}

/// Opens the page, which asks for no token.
async fn open(browser: &Browser, relay: &Relay) -> Window {
    let window = browser.open(&relay.operators_url()).await;
    window.call_it("operator");
    window.reads("Live").await;
    window
}

async fn client(relay: &Relay) -> Client<TcpStream> {
    client_at(relay, "/ws").await
}

async fn client_at(relay: &Relay, path: &str) -> Client<TcpStream> {
    let address = SocketAddr::from(([127, 0, 0, 1], relay.port()));
    Client::dial(connect(address).await, &format!("ws://localhost{path}"), &[]).await.unwrap()
}

async fn member(relay: &Relay, room: &str, id: &str, name: &str) -> Client<TcpStream> {
    let mut client = client(relay).await;
    client.say(json!({"type": "join", "room": room, "id": id, "name": name})).await;
    client.expect_joined().await;
    client
}

async fn knocker(relay: &Relay, room: &str, id: &str, name: &str) -> Client<TcpStream> {
    let mut client = client(relay).await;
    client.say(json!({"type": "join", "room": room, "id": id, "name": name})).await;
    client.expect("waiting").await;
    client
}

/// The button in the entry of this id in a list.
fn button(list: &str, id: &str, word: &str) -> String {
    format!("{list} [data-id='{id}'] [aria-label^='{word}']")
}

#[cfg(feature = "cluster")]
#[tokio::test]
async fn the_relays_of_the_cluster_are_listed_and_one_that_has_died_does_not_answer() {
    let redis = Redis::start().await;
    let (one, other) = (relay(&["--redis", &redis.url()]).await, redis.relay(&["--room-capacity", "3"]).await);
    let browser = Browser::start().await;
    let window = open(&browser, &one).await;
    window.reads("alive · version").await;
    window.reads("other settings").await;
    assert_eq!(faults(&window).await, "");
    window.photograph("operators-relays").await;
    other.signal("KILL");
    window.reads("does not answer").await;
    browser.end().await;
}

#[tokio::test]
async fn the_page_asks_for_the_token_and_keeps_it_in_memory_alone() {
    let folder = tempfile::tempdir().unwrap();
    let token = secret_file(folder.path(), "token", TOKEN);
    let relay = relay(&["--admin-token-file", text(&token)]).await;
    let browser = Browser::start().await;
    browser.expect_console("401 (Unauthorized)");
    let window = browser.open(&relay.operators_url()).await;
    window.reads("The relay asks for its token").await;
    assert_eq!(faults(&window).await, "");
    window.fill("#token", "another-token\u{e007}").await;
    window.reads("The relay does not take this token.").await;
    window.fill("#token", TOKEN).await;
    window.press("\u{e007}").await;
    window.reads("Live").await;
    let kept = "[...Object.entries(localStorage), ...Object.entries(sessionStorage), document.cookie, location.href,
        history.state, (await indexedDB.databases()).length, (await caches.keys()).length, $token.value].join(' ')";
    let kept = window.run(&format!("const $token = document.querySelector('#token'); return {kept}")).await;
    let address = relay.operators_url();
    assert_eq!(kept.as_str().unwrap().split_whitespace().collect::<Vec<_>>(), [address.as_str(), "0", "0"]);
    assert!(browser.requests().await.iter().all(|url| !url.contains(TOKEN)));
    window.reload().await;
    window.reads("The relay asks for its token").await;
    browser.end().await;
}

#[tokio::test]
async fn names_that_look_like_html_are_text() {
    let relay = relay(&[]).await;
    let browser = Browser::start().await;
    let window = open(&browser, &relay).await;
    let mut ana = member(&relay, HOSTILE, "ana", HOSTILE).await;
    ana.say(json!({"type": "lock", "locked": true})).await;
    ana.expect("room").await;
    let _bob = knocker(&relay, HOSTILE, "bob", HOSTILE).await;
    window.reads(HOSTILE).await;
    window.click("#room-list .row").await;
    window.shows("document.querySelectorAll('#connection-list li').length === 2").await;
    window.click(&button("#members", "ana", "Remove")).await;
    window.shows("document.querySelector('#ask[open]') !== null").await;
    for place in
        ["#room-list .name", "#room-name", "#members .name", "#waiting .name", "#connection-list bdi", "#ask-title bdi"]
    {
        let shown = window.run(&format!("return document.querySelector({place:?}).textContent")).await;
        assert_eq!(shown, HOSTILE, "{place}");
    }
    window.shows("document.querySelector('main img, dialog img') === null").await;
    browser.end().await;
}

#[tokio::test]
async fn who_comes_is_seen_without_a_reload_and_takes_no_focus() {
    let relay = relay(&[]).await;
    let browser = Browser::start().await;
    let window = open(&browser, &relay).await;
    window.reads("There are none.").await;
    let ana = member(&relay, "m", "ana", "Ana").await;
    window.shows("document.querySelector('#count-peers').textContent === '1'").await;
    window.click("#room-list .row").await;
    window.reads("Ana").await;
    // Somebody types, and somebody else is about to press a button, while people come and go.
    window.fill("#message", "half a sent").await;
    let _early = member(&relay, "a", "early", "Early").await;
    let _bob = member(&relay, "m", "bob", "Bob").await;
    window
        .shows("document.querySelector('#members [data-id=bob]') && document.querySelector('#room-list [data-room=a]')")
        .await;
    window.press("ence").await;
    window.shows("document.querySelector('#message').value === 'half a sentence'").await;
    window.run("document.querySelector('#room-list [data-room=m] button').focus()").await;
    let _first = member(&relay, "0", "zero", "Zero").await;
    window.shows("document.querySelector('#room-list [data-room=\"0\"]')").await;
    window.shows("document.activeElement.closest('[data-room=m]') !== null").await;
    // The one whose button has the focus goes.
    window.run("document.querySelector('#members [data-id=ana] button').focus()").await;
    ana.close().await;
    window.shows("document.activeElement.id === 'members-title'").await;
    browser.end().await;
}

#[tokio::test]
async fn a_fifth_page_says_why_it_shows_nothing_and_comes_when_another_one_is_closed() {
    let relay = relay(&[]).await;
    let browser = Browser::start().await;
    browser.expect_console("503 (Service Unavailable)");
    let mut open_pages = Vec::new();
    for _ in 0..4 {
        open_pages.push(open(&browser, &relay).await);
    }
    let fifth = browser.open(&relay.operators_url()).await;
    fifth.reads("Trying again: 4 streams are open").await;
    open_pages.pop().unwrap().close().await;
    fifth.reads("Live").await;
    browser.end().await;
}

#[tokio::test]
async fn the_page_comes_back_by_itself_when_the_relay_does() {
    let port = crate::harness::free_port();
    let admin = format!("127.0.0.1:{port}");
    let mut relay = Relay::start_with(&["--admin-listen", &admin]).await;
    let browser = Browser::start().await;
    browser.expect_console("ERR_");
    let window = open(&browser, &relay).await;
    relay.crash().await;
    window.reads("Not connected, trying again").await;
    relay.come_back().await;
    window.reads("Live").await;
    browser.end().await;
}

#[cfg(feature = "wires")]
#[tokio::test]
async fn a_connection_on_the_wire_of_another_library_is_listed_with_its_name() {
    let relay = relay(&["--wire", "y-webrtc"]).await;
    let browser = Browser::start().await;
    let window = open(&browser, &relay).await;
    let (_own, _other) = (client(&relay).await, client_at(&relay, "/y-webrtc").await);
    if !window.run("return document.querySelector('#connections-open').open").await.as_bool().unwrap() {
        window.click("#connections summary").await;
    }
    let facts = |number| format!("document.querySelector('#connection-list li:nth-child({number}) .hint').textContent");
    window.shows(&format!("{}.startsWith('127.0.0.1 · y-webrtc · ')", facts(2))).await;
    window.shows(&format!("/^127.0.0.1 · [^·]*$/.test({})", facts(1))).await;
    browser.end().await;
}

#[tokio::test]
async fn it_fits_a_phone_and_a_wide_screen_in_light_and_dark_and_an_accessibility_check_finds_nothing() {
    let relay = relay(&["--memory", "64"]).await;
    let browser = Browser::start().await;
    let window = open(&browser, &relay).await;
    let mut ana = member(&relay, "Monday standup", "ana", "Ana").await;
    ana.say(json!({"type": "lock", "locked": true})).await;
    ana.expect("room").await;
    let _bob =
        knocker(&relay, "Monday standup", "bob", "Bob, whose name is as long as a name may be, which is 64 chars")
            .await;
    let _others = [
        member(&relay, "غرفة الاجتماعات", "c", "سلمى").await,
        member(&relay, &"long-name-without-any-space".repeat(2), "d", "").await,
    ];
    let fits = "document.documentElement.scrollWidth <= innerWidth";
    for (width, height, size) in [(360, 740, "phone"), (1280, 800, "wide")] {
        window.resize(width, height).await;
        for scheme in ["light", "dark"] {
            let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
            window.devtools("Emulation.setEmulatedMedia", features).await;
            window.reads("Monday standup").await;
            window.shows(&format!("innerWidth === {width} && {fits}")).await;
            assert_eq!(faults(&window).await, "", "{size}, {scheme}");
            window.photograph(&format!("operators-{size}-{scheme}")).await;
            window.click("#room-list [data-room='Monday standup'] button").await;
            window.shows("document.querySelector('#room-title').checkVisibility()").await;
            window.shows(fits).await;
            assert_eq!(faults(&window).await, "", "a room, {size}, {scheme}");
            window.photograph(&format!("operators-room-{size}-{scheme}")).await;
            window.click(&button("#members", "ana", "Remove")).await;
            window.shows("document.querySelector('#ask[open]') !== null").await;
            assert_eq!(faults(&window).await, "", "a question, {size}, {scheme}");
            window.photograph(&format!("operators-question-{size}-{scheme}")).await;
            window.press("\u{e00c}").await;
            window.click("#room-back").await;
            // The focus is where it was.
            window.shows("document.activeElement.closest('[data-room=\"Monday standup\"]') !== null").await;
        }
    }
    window.click("#rooms details summary").await;
    window.shows("document.querySelectorAll('#connection-list li').length === 4").await;
    assert_eq!(faults(&window).await, "", "connections");
    window.photograph("operators-connections-wide").await;
    window.resize(360, 740).await;
    window.shows(&format!("innerWidth === 360 && {fits}")).await;
    assert_eq!(faults(&window).await, "", "connections on a phone");
    browser.end().await;
}
