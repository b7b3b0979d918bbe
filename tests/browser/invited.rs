//! Who comes by an invite link, whose token only the relay may see.

use std::os::unix::fs::PermissionsExt;

use crate::harness::{file, run, text};
use crate::support::{Browser, Relay};

#[tokio::test]
async fn an_invite_link_lets_somebody_in_and_its_token_leaves_the_address_bar() {
    let folder = tempfile::tempdir().unwrap();
    let secret = file(folder.path(), "secret", "correct horse battery staple");
    std::fs::set_permissions(&secret, PermissionsExt::from_mode(0o600)).unwrap();
    let relay = Relay::start_with(&["--token-secret-file", text(&secret)]).await;
    let invite = ["invite", "--token-secret-file", text(&secret), "--room", "r", "--name", "Ana", "--url"];
    let output = run(&[&invite[..], &[&relay.url("")]].concat()).await;
    let link = String::from_utf8(output.stdout).unwrap().trim_end().to_owned();
    let token = link.split_once("#token=").unwrap().1;

    let browser = Browser::start().await;
    let alice = browser.open(&relay.url("?room=r")).await;
    alice.click("#watch").await;
    alice.reads("needs a token").await;

    // The page is open already, so only the fragment of its address changes.
    alice.go_to(&link).await;
    alice.shows("location.search === '?room=r' && location.hash === ''").await;
    alice.watch_as("Alice").await;
    alice.is("waiting").await;
    alice.reload().await;
    alice.watch_as("Alice").await;
    alice.is("waiting").await;

    let bob = browser.open(&link).await;
    bob.shows("location.search === '?room=r' && location.hash === ''").await;
    bob.watch_as("Bob").await;
    // By the name that the token gives.
    alice.sees("Ana").await;
    for page in [&alice, &bob] {
        let shown =
            page.run("return location.href + document.documentElement.outerHTML + JSON.stringify(localStorage)");
        assert!(!shown.await.as_str().unwrap().contains(token));
    }
    assert!(browser.requests().await.iter().all(|url| !url.contains(token)));
    assert!(!relay.log().contains(token));
    browser.end().await;
}
