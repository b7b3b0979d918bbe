//! Pages of other people's: the one in the README, word for word, and one that frames the call page.

use std::fs;

use crate::support::{Browser, PageServer, Relay, artifact};

/// The first HTML page in the README.
fn readme_page() -> String {
    let readme = include_str!("../../README.md");
    let (_, page) = readme.split_once("```html\n").unwrap();
    let (page, _) = page.split_once("```\n").unwrap();
    assert!(page.starts_with("<!doctype html>") && page.lines().count() <= 50, "{page}");
    page.to_owned()
}

/// The first in the client's guide, which takes a call's whole mesh from the relay.
fn readme_page_with_call() -> String {
    let readme = include_str!("../../examples/client/README.md");
    let page = readme.split("```html\n").nth(1).unwrap().split("```\n").next().unwrap();
    assert!(page.starts_with("<!doctype html>") && page.lines().count() <= 21, "{page}");
    page.to_owned()
}

#[tokio::test]
async fn the_page_of_twenty_lines_makes_a_call_and_meets_the_call_page() {
    let relay = Relay::start().await;
    let pages = PageServer::start(readme_page_with_call()).await;
    let browser = Browser::with().dialling_8080_reaches(&relay).start().await;
    let one = browser.open(&pages.url("")).await;
    let two = browser.open(&pages.url("")).await;
    for window in [&one, &two] {
        window.plays(OTHER).await;
        window.plays_sound(OTHER).await;
    }
    two.close().await;
    one.shows(&format!("!{OTHER}")).await;
    let bob = browser.open(&relay.url("?room=my-room")).await;
    bob.join_as("Bob").await;
    bob.plays_video_of("Ana").await;
    one.plays(OTHER).await;
    browser.end().await;
}

const OTHER: &str = "document.querySelector('video:not(#me)')";

#[tokio::test]
async fn the_page_in_the_readme_makes_a_call_and_meets_the_call_page() {
    let relay = Relay::start().await;
    let pages = PageServer::start(readme_page()).await;
    let browser = Browser::with().dialling_8080_reaches(&relay).start().await;
    let one = browser.open(&pages.url("")).await;
    one.shows("channel.state === 'joined'").await;
    let two = browser.open(&pages.url("")).await;
    for window in [&one, &two] {
        window.plays(OTHER).await;
        window.plays_sound(OTHER).await;
    }
    two.close().await;
    one.shows(&format!("!{OTHER}")).await;

    let bob = browser.open(&relay.url("?room=my-room")).await;
    bob.join_as("Bob").await;
    bob.plays_video_of("Ana").await;
    bob.hears("Ana").await;
    one.plays(OTHER).await;
    browser.end().await;
}

#[tokio::test]
async fn the_page_in_the_readme_makes_a_call_from_disk_where_the_relay_lets_it() {
    let relay = Relay::start_with(&["--allow-origin", "null"]).await;
    let file = artifact("call.html");
    fs::write(&file, readme_page()).unwrap();
    let file = format!("file://{}", file.display());
    let browser = Browser::with().dialling_8080_reaches(&relay).start().await;
    let one = browser.open(&file).await;
    one.shows("channel.state === 'joined'").await;
    let two = browser.open(&file).await;
    for window in [&one, &two] {
        window.plays(OTHER).await;
        window.plays_sound(OTHER).await;
    }
    browser.end().await;
}

/// An intranet's page, which frames what its own query names.
const FRAMING: &str = "<!doctype html><title>Intranet</title>
<iframe width=900 height=700 allow='camera; microphone; display-capture; fullscreen'></iframe>
<script>document.querySelector('iframe').src = new URLSearchParams(location.search).get('url')</script>";

#[tokio::test]
async fn a_page_that_may_frame_the_call_page_shows_a_call_and_another_shows_nothing() {
    let [intranet, stranger] =
        [PageServer::start(FRAMING.to_owned()).await, PageServer::start(FRAMING.to_owned()).await];
    let relay = Relay::start_with(&["--allow-frame", intranet.url("").trim_end_matches('/')]).await;
    let framing = format!("?url={}", relay.url("%3Froom=r"));
    let browser = Browser::start().await;
    browser.expect_console("frame-ancestors");
    let alice = browser.open(&intranet.url(&framing)).await;
    alice.enter_frame();
    alice.join_as("Alice").await;
    let bob = browser.open(&relay.url("?room=r")).await;
    bob.join_as("Bob").await;
    bob.plays_video_of("Alice").await;
    bob.hears("Alice").await;
    alice.plays_video_of("Bob").await;

    let nobody = browser.open(&stranger.url(&framing)).await;
    nobody.enter_frame();
    nobody.shows("location.protocol === 'chrome-error:' && !document.querySelector('#join')").await;
    browser.end().await;
}
