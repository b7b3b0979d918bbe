//! What the details say of the STUN and TURN servers, after each has been tried: before a call, alone in the room.

use std::net::UdpSocket;
use std::path::Path;

use crate::harness::coturn::Coturn;
use crate::harness::{secret_file, text};
use crate::looks::faults;
use crate::support::{Browser, Relay, Window};

const SECRET: &str = "a-secret-of-coturn-and-the-relay";

/// What the page says when none of them is of use.
const NONE: &str = "No working STUN or TURN server: people on other networks will hardly get through.";

/// Alone in the room, with the details open and the servers being tried.
async fn checking(browser: &Browser, relay: &Relay) -> Window {
    let alice = browser.open(&relay.url("?room=r")).await;
    alice.join_as("Alice").await;
    alice.is("waiting").await;
    alice.click("#details-open").await;
    alice.click("#check").await;
    alice
}

/// A coturn, and a relay that hands it out as TURN server `secret` and all, and as STUN server.
async fn with_coturn(folder: &Path, secret: &str, more: &[&str]) -> (Coturn, Relay) {
    let coturn = Coturn::start(folder, SECRET, "").await;
    let secret = secret_file(folder, "turn-secret", secret);
    let address = format!("127.0.0.1:{}", coturn.port);
    let (stun, turn) = (format!("stun:{address}"), format!("turn:{address}"));
    let flags = ["--stun", &stun, "--turn", &turn, "--turn-secret-file", text(&secret)];
    let relay = Relay::start_with(&[&flags[..], more].concat()).await;
    (coturn, relay)
}

#[tokio::test]
async fn who_gets_no_servers_reads_what_that_means_by_keyboard_and_screen_reader_too() {
    let relay = Relay::start().await;
    let browser = Browser::start().await;
    let alice = browser.open(&relay.url("?room=r")).await;
    alice.join_as("Alice").await;
    alice.is("waiting").await;
    alice.run("document.activeElement.blur()").await;
    alice.press("d").await;
    alice.run("document.querySelector('#check').focus()").await;
    alice.press("\u{e007}").await;
    alice.reads(NONE).await;
    alice.shows("document.activeElement.id === 'check' && document.querySelector('#checked').role === 'status'").await;
    assert_eq!(faults(&alice).await, "");

    // In the other language without another try, and nothing is left of it in the next call.
    alice.click("#lang").await;
    alice.reads("没有可用的 STUN 或 TURN 服务器").await;
    alice.hang_up().await;
    alice.join().await;
    alice.click("#details-open").await;
    alice.reads("检查 STUN 和 TURN 服务器").await;
    assert!(!alice.text().await.contains("没有可用的"));
    browser.end().await;
}

#[tokio::test]
async fn each_server_is_told_apart_and_a_turn_server_that_works_is_enough() {
    let folder = tempfile::tempdir().unwrap();
    // It takes what comes, and says nothing.
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let silent = format!("stun:{}", silent.local_addr().unwrap());
    let (coturn, relay) = with_coturn(folder.path(), SECRET, &["--stun", &silent]).await;
    let browser = Browser::start().await;
    let alice = checking(&browser, &relay).await;
    alice.reads("Trying…").await;
    alice.reads("TURN works: people behind strict networks get through, too.").await;
    let port = coturn.port;
    alice.reads(&format!("{silent}: Does not answer")).await;
    alice.reads(&format!("turn:127.0.0.1:{port}: Works")).await;
    // It has answered with the address that Chromium has, of which Chromium says nothing.
    alice.reads(&format!("stun:127.0.0.1:{port}: Cannot be told without a NAT on the way")).await;
    // No credentials.
    let log = alice.run("return document.querySelector('#checked').innerHTML + Log.text()").await;
    assert!(log.as_str().unwrap().contains(" check ") && !log.as_str().unwrap().contains("credential"), "{log}");
    assert_eq!(faults(&alice).await, "");
    for (width, height) in [(360, 640), (1280, 800)] {
        alice.resize(width, height).await;
        alice.shows("document.documentElement.scrollWidth <= innerWidth").await;
        alice.shows("document.querySelector('#details-view').scrollWidth <= document.querySelector('#details-view').clientWidth").await;
        alice.photograph(&format!("check-{width}")).await;
    }

    coturn.kill().await;
    alice.click("#check").await;
    alice.reads(&format!("turn:127.0.0.1:{port}: Does not answer")).await;
    alice.reads(NONE).await;
    browser.end().await;
}

#[tokio::test]
async fn a_turn_server_that_refuses_the_credentials_is_told_from_one_that_does_not_answer() {
    let folder = tempfile::tempdir().unwrap();
    let (coturn, relay) = with_coturn(folder.path(), "another-secret", &[]).await;
    let browser = Browser::start().await;
    let alice = checking(&browser, &relay).await;
    alice.reads(&format!("turn:127.0.0.1:{}: Refuses the credentials", coturn.port)).await;
    // Its STUN may be of use.
    alice.reads("No working TURN server: people behind strict networks will not get through.").await;
    browser.end().await;
}

#[tokio::test]
async fn where_calls_go_by_turn_alone_nobody_gets_through_without_it() {
    let folder = tempfile::tempdir().unwrap();
    let (_coturn, relay) = with_coturn(folder.path(), "another-secret", &["--candidate-policy", "relay"]).await;
    let browser = Browser::start().await;
    let alice = checking(&browser, &relay).await;
    alice.reads("No working TURN server, and calls here go by nothing else: nobody gets through.").await;
    browser.end().await;
}

#[tokio::test]
async fn a_call_that_uses_no_servers_tries_none() {
    let folder = tempfile::tempdir().unwrap();
    let (_coturn, relay) = with_coturn(folder.path(), SECRET, &["--candidate-policy", "lan"]).await;
    let browser = Browser::start().await;
    let alice = checking(&browser, &relay).await;
    alice.reads(NONE).await;
    assert!(!alice.text().await.contains("turn:127.0.0.1"));
    browser.end().await;
}
