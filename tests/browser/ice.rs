//! The STUN and TURN servers that the relay hands out, as the connections of a call have them.

use serde_json::{Value, json};

use crate::harness::{secret_file, soon, text};
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

#[tokio::test]
async fn the_operator_of_a_relay_sees_that_calls_come_about_and_by_which_candidates() {
    let relay = Relay::start_with(&["--admin-listen", "127.0.0.1:0"]).await;
    let browser = Browser::start().await;
    let (page, _) = met(&browser, &relay).await;
    page.shows("ana.members[0].isConnected && bob.members[0].isConnected").await;
    let reported = async {
        loop {
            let metrics = relay.metrics().await;
            let reports = metrics.lines().filter(|line| line.contains("call_reports_total{state=\"connected\""));
            let count =
                reports.filter(|line| line.contains("protocol=\"udp\"")).filter_map(|line| line.rsplit_once(' '));
            if count.map(|(_, count)| count.parse::<u32>().unwrap()).sum::<u32>() == 2 {
                break metrics;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    let metrics = soon("two reports", reported).await;
    for counted in ["join_to_offer_seconds_count 1", "offer_to_answer_seconds_count 1", "offers_unanswered_total 0"] {
        assert!(metrics.contains(&format!("signaling_relay_{counted}")), "{counted}: {metrics}");
    }
    browser.end().await;
}
