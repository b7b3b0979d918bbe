//! Pages in the style of the 50-line demo, from another origin and from disk: no room, no ids, nothing but signals.

use crate::support::{Browser, FIFTY_LINES, PageServer, Relay, file_url};

#[tokio::test]
async fn the_callee_waits_and_the_caller_calls() {
    let relay = Relay::start().await;
    let pages = PageServer::start(FIFTY_LINES.to_owned()).await;
    let browser = Browser::with().dialling_8080_reaches(&relay).start().await;
    let callee = browser.open(&pages.url("?side=answer")).await;
    callee.has_dialled().await;
    let caller = browser.open(&pages.url("?side=offer")).await;
    caller.has_dialled().await;
    caller.press_start().await;
    caller.sees_and_hears_the_other().await;
    callee.sees_and_hears_the_other().await;
    caller.photograph("fifty-lines").await;
    browser.end().await;
}

#[tokio::test]
async fn a_caller_who_was_early_gets_the_call_when_the_callee_comes() {
    let relay = Relay::start().await;
    let pages = PageServer::start(FIFTY_LINES.to_owned()).await;
    let browser = Browser::with().dialling_8080_reaches(&relay).start().await;
    let caller = browser.open(&pages.url("?side=offer")).await;
    caller.has_dialled().await;
    caller.press_start().await;
    caller.shows("pc.iceGatheringState === 'complete'").await;
    let callee = browser.open(&pages.url("?side=answer")).await;
    caller.sees_and_hears_the_other().await;
    callee.sees_and_hears_the_other().await;
    browser.end().await;
}

#[tokio::test]
async fn pages_from_disk_call_each_other_where_the_relay_lets_them() {
    let relay = Relay::start_with(&["--allow-origin", "null"]).await;
    let browser = Browser::with().dialling_8080_reaches(&relay).start().await;
    let callee = browser.open(&file_url("tests/browser/pages/fifty.html?side=answer")).await;
    callee.has_dialled().await;
    let caller = browser.open(&file_url("tests/browser/pages/fifty.html?side=offer")).await;
    caller.has_dialled().await;
    caller.press_start().await;
    caller.sees_and_hears_the_other().await;
    callee.sees_and_hears_the_other().await;
    browser.end().await;
}

#[tokio::test]
async fn a_third_page_is_refused_at_the_upgrade_and_the_call_of_the_two_goes_on() {
    let relay = Relay::start().await;
    let pages = PageServer::start(FIFTY_LINES.to_owned()).await;
    let browser = Browser::with().dialling_8080_reaches(&relay).start().await;
    browser.expect_console("Unexpected response code: 503");
    let callee = browser.open(&pages.url("?side=answer")).await;
    callee.has_dialled().await;
    let caller = browser.open(&pages.url("?side=offer")).await;
    caller.has_dialled().await;
    caller.press_start().await;
    caller.sees_and_hears_the_other().await;

    let third = browser.open(&pages.url("?side=answer")).await;
    third.reads("the relay refused the socket").await;
    caller.sees_and_hears_the_other().await;
    callee.sees_and_hears_the_other().await;

    // Once one of the two has gone there is room again.
    callee.close().await;
    third.reload().await;
    third.has_dialled().await;
    browser.end().await;
}

#[tokio::test]
async fn a_fifty_line_page_calls_our_page_in_the_lobby() {
    let relay = Relay::start().await;
    let pages = PageServer::start(FIFTY_LINES.to_owned()).await;
    let browser = Browser::with().dialling_8080_reaches(&relay).start().await;
    let alice = browser.open(&relay.url("?room=lobby")).await;
    alice.join_as("Alice").await;
    alice.is("waiting").await;
    let caller = browser.open(&pages.url("?side=offer")).await;
    caller.has_dialled().await;
    caller.press_start().await;
    caller.sees_and_hears_the_other().await;
    alice.plays_video_of("").await;
    alice.hears("").await;
    alice.is("connected").await;
    alice.photograph("fifty-lines-calls-our-page").await;
    browser.end().await;
}

#[tokio::test]
async fn our_page_comes_to_a_fifty_line_page_that_waits_in_the_lobby() {
    let relay = Relay::start().await;
    let pages = PageServer::start(FIFTY_LINES.to_owned()).await;
    let browser = Browser::with().dialling_8080_reaches(&relay).start().await;
    let callee = browser.open(&pages.url("?side=answer")).await;
    callee.has_dialled().await;
    let alice = browser.open(&relay.url("?room=lobby")).await;
    alice.join_as("Alice").await;
    callee.sees_and_hears_the_other().await;
    alice.plays_video_of("").await;
    alice.hears("").await;
    browser.end().await;
}
