//! The call page opened from disk, by double click: it goes on to the page that the relay on this machine serves.

use crate::support::{Browser, PageServer, Relay, file_url};

#[tokio::test]
async fn a_page_from_disk_goes_on_to_the_relay_and_calls_somebody_there() {
    let relay = Relay::start().await;
    let browser = Browser::with().dialling_8080_reaches(&relay).start().await;
    let alice = browser.open(&file_url("web/index.html?room=r&name=Alice")).await;
    alice.shows("location.href === 'http://localhost:8080/?room=r&name=Alice'").await;
    let bob = browser.open(&file_url("web/index.html?room=r#x")).await;
    bob.shows("location.href === 'http://localhost:8080/?room=r#x'").await;
    alice.join_as("Alice").await;
    bob.join_as("Bob").await;
    for (person, other) in [(&alice, "Bob"), (&bob, "Alice")] {
        person.plays_video_of(other).await;
        person.hears(other).await;
    }
    alice.photograph("from-disk").await;
    browser.end().await;
}

#[tokio::test]
async fn a_page_from_disk_says_how_to_start_a_relay_and_goes_on_when_one_runs() {
    let mut relay = Relay::start().await;
    relay.crash().await;
    let browser = Browser::start().await;
    browser.expect_console("net::ERR_CONNECTION_REFUSED");
    let port = relay.port();
    let alice = browser.open(&file_url(&format!("web/index.html?port={port}&room=r"))).await;
    alice.shows("document.querySelector('.notice[data-device=relay][data-problem=nobody]')").await;
    alice.reads("cargo run").await;
    alice.reads(&format!("http://localhost:{port}")).await;
    alice.photograph("from-disk-without-relay").await;
    alice.click("#lang").await;
    alice.reads("本机没有运行服务器").await;
    alice.shows("!document.querySelector('#entry').checkVisibility()").await;
    relay.come_back().await;
    alice.shows(&format!("location.href === 'http://localhost:{port}/?room=r'")).await;
    alice.join_as("Alice").await;
    alice.is("waiting").await;
    browser.end().await;
}

#[tokio::test]
async fn a_page_from_disk_tells_another_program_from_a_relay() {
    let pages = PageServer::start("<p>Somebody else's page".to_owned()).await;
    let browser = Browser::start().await;
    let port = pages.port();
    let alice = browser.open(&file_url(&format!("web/index.html?port={port}"))).await;
    alice.shows("document.querySelector('.notice[data-problem=stranger]')").await;
    alice.reads(&format!("port {port}")).await;
    alice.shows("location.protocol === 'file:'").await;
    browser.end().await;
}

#[tokio::test]
async fn a_page_from_disk_asks_the_usual_port_where_the_link_names_none_that_there_can_be() {
    let relay = Relay::start().await;
    let browser = Browser::with().dialling_8080_reaches(&relay).start().await;
    let alice = browser.open("about:blank").await;
    for port in ["0", "65536", "-1", "80a", "1e3", "@evil.example", ""] {
        alice.go_to(&file_url(&format!("web/index.html?room=r&port={port}"))).await;
        alice.shows("location.href === 'http://localhost:8080/?room=r'").await;
    }
    browser.end().await;
}
