//! Who is removed, and who is not let back in.

use serde_json::json;

use crate::harness::{file, run, text};
use crate::support::{Browser, Relay, Window};

/// Keeps the tracks that this page sends, to see later whether they have ended.
const KEEP_TRACKS: &str =
    "globalThis.mine = document.querySelector('.tile[data-peer=self] video').srcObject.getTracks()";

const SECRET: &str = "correct horse battery staple";

/// A call of three whose pictures move.
async fn call_of_three(browser: &Browser, relay: &Relay) -> [Window; 3] {
    let (alice, bob) = browser.call_of_alice_and_bob(relay).await;
    let carol = browser.open(&relay.url("?room=r")).await;
    carol.join_as("Carol").await;
    for (person, others) in [(&alice, ["Bob", "Carol"]), (&bob, ["Alice", "Carol"]), (&carol, ["Alice", "Bob"])] {
        person.sees_only(&others).await;
        for other in others {
            person.plays_video_of(other).await;
        }
    }
    [alice, bob, carol]
}

#[tokio::test]
async fn who_is_removed_reads_why_and_sends_nothing_any_more() {
    let relay = Relay::start().await;
    let browser = Browser::start().await;
    let [alice, bob, carol] = call_of_three(&browser, &relay).await;
    bob.run(KEEP_TRACKS).await;
    // Only the host has the button.
    carol.click("#people-open").await;
    carol.shows("document.querySelectorAll('#roster li').length === 3").await;
    carol.shows("!document.querySelector('#roster [id^=remove]')").await;
    alice.click("#people-open").await;
    alice.click("#roster li:nth-child(2) [id^=remove]").await;
    alice.reads("Remove Bob").await;
    alice.fill("#remove-word", "good night").await;
    alice.click("#remove-yes").await;

    bob.is("refused").await;
    bob.reads("You were removed from the call").await;
    bob.reads("The host says: good night").await;
    bob.reads("You are not in the call any more").await;
    assert!(!bob.text().await.contains("You left the call"));
    bob.shows("document.body.dataset.problem === 'kicked' && document.querySelector('#call').hidden").await;
    bob.shows("mine.length > 0 && mine.every(({ readyState }) => readyState === 'ended')").await;
    bob.shows("document.querySelector('#join').checkVisibility() && !document.querySelector('#join').disabled").await;
    for (person, other) in [(&alice, "Carol"), (&carol, "Alice")] {
        person.sees_only(&[other]).await;
        person.is_told("Bob was removed").await;
        person.plays_video_of(other).await;
    }
    bob.photograph("removed").await;
    // He may ask again.
    bob.click("#join").await;
    bob.is("connected").await;
    alice.sees_only(&["Bob", "Carol"]).await;
    // Without a word from the host there is none to read.
    alice.click("#roster [aria-label='Remove: Bob']").await;
    alice.click("#remove-yes").await;
    bob.is("refused").await;
    bob.reads("You were removed from the call").await;
    assert!(!bob.text().await.contains("The host says"));
    browser.end().await;
}

#[tokio::test]
async fn who_is_refused_on_return_goes_on_with_those_who_are_there_and_can_try_again() {
    let folder = tempfile::tempdir().unwrap();
    let secret = file(folder.path(), "secret", SECRET);
    std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let mut relay = Relay::start().await;
    let browser = Browser::start().await;
    browser.expect_console("WebSocket connection to");
    let (alice, bob) = browser.call_of_alice_and_bob(&relay).await;
    alice.plays_video_of("Bob").await;
    relay.crash().await;
    relay.come_back_with(&["--token-secret-file", text(&secret)]).await;
    for (person, other) in [(&alice, "Bob"), (&bob, "Alice")] {
        person.shows("document.querySelector('#call-notices .notice[data-problem=unauthorized]')").await;
        person.reads("You need a valid invite link").await;
        person.sees_only(&[other]).await;
        person.plays_video_of(other).await;
        person.hears(other).await;
    }
    // They go on talking without the relay.
    alice.press("m").await;
    bob.shows("tile('Alice').dataset.audio === 'off'").await;
    bob.photograph("refused-on-return").await;
    relay.crash().await;
    relay.come_back_with(&[]).await;
    for person in [&alice, &bob] {
        person.click("#call-notices .notice button").await;
        person.is("connected").await;
        person.shows("!document.querySelector('#call-notices .notice')").await;
    }
    alice.sees_only(&["Bob"]).await;
    bob.hang_up().await;
    alice.sees_only(&[]).await;
    browser.end().await;
}

#[tokio::test]
async fn who_is_refused_on_return_can_hang_up() {
    let mut relay = Relay::start().await;
    let browser = Browser::start().await;
    browser.expect_console("WebSocket connection to");
    let (alice, bob) = browser.call_of_alice_and_bob(&relay).await;
    alice.plays_video_of("Bob").await;
    relay.crash().await;
    relay.come_back_with(&["--room-capacity", "1"]).await;
    // One of the two is back first; for the other the room is full, and not the relay away.
    let full = "document.querySelector('#status').textContent.includes('The room is full')";
    let settled = format!("{full} || document.body.dataset.state === 'connected'");
    alice.shows(&settled).await;
    bob.shows(&settled).await;
    let outside = format!("return {full}");
    let (out, inside) = if alice.run(&outside).await == true { (alice, bob) } else { (bob, alice) };
    out.shows(full).await;
    inside.is("connected").await;
    for person in [&out, &inside] {
        person.plays("document.querySelector('.tile:not([data-peer=self]) video')").await;
    }
    out.hang_up().await;
    inside.sees_only(&[]).await;
    browser.end().await;
}

/// A page that chooses its id.
const CHOOSES_AN_ID: &str = "globalThis.WebSocket = class extends WebSocket {
    send(text) {
        const message = JSON.parse(text);
        super.send(JSON.stringify(message.type === 'join' ? { ...message, id: 'bob' } : message));
    }
};";

/// Comes in with a token for the id `bob`.
const COMES_AS_BOB: &str = "const base64url = (bytes) =>
    btoa(String.fromCharCode(...bytes)).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
const bytes = (text) => new TextEncoder().encode(text);
const part = (value) => base64url(bytes(JSON.stringify(value)));
const claims = { sub: 'bob', room: 'r', name: 'Robert', exp: Math.round(Date.now() / 1000) + 600 };
const body = `${part({ alg: 'HS256', typ: 'JWT' })}.${part(claims)}`;
const key = await crypto.subtle.importKey('raw', bytes('SECRET'), { name: 'HMAC', hash: 'SHA-256' }, false, ['sign']);
const signature = new Uint8Array(await crypto.subtle.sign('HMAC', key, bytes(body)));
const { Call } = await import('/sdk/call.js');
globalThis.call = new Call();
await call.join('r', { token: `${body}.${base64url(signature)}` });";

#[tokio::test]
async fn who_is_displaced_reads_who_did_it_and_the_others_see_who_is_there_now() {
    let folder = tempfile::tempdir().unwrap();
    let secret = file(folder.path(), "secret", SECRET);
    std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let relay = Relay::start_with(&["--token-secret-file", text(&secret)]).await;
    let invite = ["invite", "--token-secret-file", text(&secret), "--room", "r", "--url"];
    let output = run(&[&invite[..], &[&relay.url("")]].concat()).await;
    let link = String::from_utf8(output.stdout).unwrap().trim_end().to_owned();
    let browser = Browser::start().await;
    let alice = browser.open(&link).await;
    alice.join_as("Alice").await;
    let bob = browser.open("about:blank").await;
    bob.devtools("Page.addScriptToEvaluateOnNewDocument", json!({ "source": CHOOSES_AN_ID })).await;
    bob.go_to(&link).await;
    bob.join_as("Bob").await;
    alice.plays_video_of("Bob").await;
    bob.run(KEEP_TRACKS).await;

    let robert = browser.open(&relay.url("?room=elsewhere")).await;
    robert.run(&COMES_AS_BOB.replace("SECRET", SECRET)).await;
    bob.is("refused").await;
    bob.reads("Somebody signed in elsewhere with your id").await;
    assert!(!bob.text().await.contains("host says"));
    bob.shows("document.body.dataset.problem === 'displaced' && document.querySelector('#call').hidden").await;
    bob.shows("mine.length > 0 && mine.every(({ readyState }) => readyState === 'ended')").await;
    alice.is_told("Bob left").await;
    alice.sees_only(&["Robert"]).await;
    browser.end().await;
}
