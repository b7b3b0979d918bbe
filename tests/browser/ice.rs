//! The STUN and TURN servers that the relay hands out, as the connections of a call have them.

use serde_json::{Value, json};

use crate::harness::{secret_file, text};
use crate::support::{Browser, Relay, Window};

const STUN: [&str; 2] = ["--stun", "stun:127.0.0.1:3478"];

/// Two calls in one page that have met, `ana` and `bob`.
const CALLS: &str = "
const { Call } = await import('/sdk/index.js');
const [ana, bob] = [new Call({ media: false }), new Call({ media: false })];
await ana.join('data');
await bob.join('data');
const used = (call) => call.members[0]?.link?.pc.getConfiguration();
Object.assign(globalThis, { ana, bob, used });
";

/// What the connections of both have been configured with.
async fn met(browser: &Browser, relay: &Relay) -> (Window, Vec<Value>) {
    let page = browser.open(&relay.url("?room=r")).await;
    page.run(CALLS).await;
    page.shows("used(ana) && used(bob)").await;
    let used = page.run("return [ana, bob].map(used)").await;
    (page, used.as_array().unwrap().clone())
}

#[tokio::test]
async fn a_call_uses_the_servers_of_the_relay_as_its_policy_says() {
    let folder = tempfile::tempdir().unwrap();
    let secret = secret_file(folder.path(), "turn-secret", "correct horse");
    let turn = ["--turn", "turn:127.0.0.1:3478", "--turn-secret-file", text(&secret)];
    let browser = Browser::start().await;
    let mut open = Vec::new();
    for (policy, servers, transports) in [("all", 2, "all"), ("lan", 0, "all"), ("relay", 2, "relay")] {
        let relay = Relay::start_with(&[&STUN[..], &turn[..], &["--candidate-policy", policy]].concat()).await;
        let (page, used) = met(&browser, &relay).await;
        for used in used {
            assert_eq!(used["iceServers"].as_array().unwrap().len(), servers, "{policy}: {used}");
            assert_eq!(used["iceTransportPolicy"], transports, "{policy}: {used}");
        }
        open.push((relay, page));
    }
    browser.end().await;
}

#[tokio::test]
async fn the_connections_of_a_long_call_get_new_credentials_before_the_old_ones_run_out() {
    let folder = tempfile::tempdir().unwrap();
    let secret = secret_file(folder.path(), "turn-secret", "correct horse");
    let turn = ["--turn", "turn:127.0.0.1:3478", "--turn-secret-file", text(&secret), "--turn-ttl", "10s"];
    let relay = Relay::start_with(&[&STUN[..], &turn[..]].concat()).await;
    let browser = Browser::start().await;
    let (page, used) = met(&browser, &relay).await;
    for (call, used) in ["ana", "bob"].into_iter().zip(used) {
        let old = &used["iceServers"];
        assert!(old.to_string().contains(r#""credential":""#), "{old}");
        page.shows(&format!("JSON.stringify(used({call}).iceServers) !== JSON.stringify({old})")).await;
        let new = page.run(&format!("return used({call})")).await;
        assert_eq!(new["iceServers"].as_array().unwrap().len(), 2, "{new}");
        assert_eq!(new["iceTransportPolicy"], "all", "{new}");
    }
    browser.end().await;
}

#[tokio::test]
async fn a_call_obeys_the_policy_of_the_relay_that_came_back() {
    let mut relay = Relay::start_with(&STUN).await;
    let browser = Browser::start().await;
    browser.expect_console("WebSocket connection to");
    let (page, used) = met(&browser, &relay).await;
    assert_eq!(used[0]["iceServers"], json!([{ "urls": ["stun:127.0.0.1:3478"], "username": "", "credential": "" }]));
    page.shows("ana.members[0].isConnected && bob.members[0].isConnected").await;
    relay.crash().await;
    page.shows("ana.state === 'reconnecting' && bob.state === 'reconnecting'").await;
    relay.come_back_with(&[&STUN[..], &["--candidate-policy", "lan"]].concat()).await;
    page.shows("[ana, bob].every((call) => call.state === 'joined' && used(call).iceServers.length === 0)").await;
    page.shows("ana.members[0].isConnected && bob.members[0].isConnected").await;
    browser.end().await;
}
