//! TLS by a real nginx in front of the relay: https and wss under a name of its own.

use crate::harness::pki::Pki;
use crate::support::{Browser, Nginx, Relay, trust};

const NAME: &str = "relay.test";

#[tokio::test]
async fn a_call_works_over_wss_where_the_authority_is_trusted() {
    let authority = Pki::for_name(NAME);
    let relay = Relay::start_with(&["--allow-origin", "https://relay.test"]).await;
    let nginx = Nginx::start(&relay, &authority).await;
    let options = Browser::with().host_rule(&nginx.answers_for(NAME)).may_ask(NAME);
    trust(&authority.authority_file(), options.home());
    let browser = options.start().await;
    let alice = browser.open("https://relay.test/?room=r").await;
    let bob = browser.open("https://relay.test/?room=r").await;
    alice.join_as("Alice").await;
    bob.join_as("Bob").await;
    for (person, other) in [(&alice, "Bob"), (&bob, "Alice")] {
        person.plays_video_of(other).await;
        person.hears(other).await;
    }
    assert!(browser.requests().await.contains(&"wss://relay.test/ws?route=r".to_owned()));
    browser.end().await;
}

#[tokio::test]
async fn a_browser_that_does_not_trust_the_authority_shows_nothing() {
    let authority = Pki::for_name(NAME);
    let relay = Relay::start().await;
    let nginx = Nginx::start(&relay, &authority).await;
    let browser = Browser::with().host_rule(&nginx.answers_for(NAME)).may_ask(NAME).start().await;
    let alice = browser.open("https://relay.test/?room=r").await;
    alice.reads("ERR_CERT_AUTHORITY_INVALID").await;
    browser.end().await;
}
