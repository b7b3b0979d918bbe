//! Two people at home, each behind a NAT that lets nobody in: a real coturn, and the credentials of the relay.

use serde_json::json;

use crate::harness::{secret_file, text};
use crate::support::{Browser, Internet, Options, Relay, Window};

const SECRET: &str = "a-secret-of-coturn-and-the-relay";

/// In a page: joins a room by a socket of its own, and keeps the servers that the relay tells; and finds out how many relay
/// candidates some servers give, or with which error they refuse.
const ASK: &str = "
const socket = new WebSocket(location.origin.replace('http', 'ws') + '/ws');
const answers = [];
socket.onmessage = ({ data }) => {
  const said = JSON.parse(data);
  if (said.iceServers) answers.push(said.iceServers);
};
socket.onopen = () => socket.send(JSON.stringify({ type: 'join', room: 'credentials' }));
const gather = async (iceServers) => {
  const connection = new RTCPeerConnection({ iceServers, iceTransportPolicy: 'relay' });
  const [relays, errors] = [[], []];
  connection.onicecandidate = ({ candidate }) => candidate?.candidate.includes(' typ relay ') && relays.push(candidate);
  connection.onicecandidateerror = ({ errorCode }) => errors.push(errorCode);
  connection.createDataChannel('');
  await connection.setLocalDescription();
  await new Promise((done) => (connection.onicegatheringstatechange = () =>
    connection.iceGatheringState === 'complete' && done()));
  connection.close();
  return relays.length > 0 ? 'relay' : errors.join();
};
Object.assign(globalThis, { socket, answers, gather });
";

/// What the details say of the way between the two.
async fn goes_by_relay(window: &Window, name: &str) {
    window
        .shows(&format!(
            "tile({0}).dataset.connection === 'connected' && tile({0}).dataset.path === 'relay'",
            json!(name)
        ))
        .await;
}

#[tokio::test]
async fn two_people_behind_hard_nats_meet_by_turn_alone_and_their_call_outlives_its_credentials() {
    let Some(internet) = Internet::new() else { return };
    let folder = tempfile::tempdir().unwrap();
    let secret = secret_file(folder.path(), "turn-secret", SECRET);
    let coturn = internet.start_coturn(folder.path(), SECRET);
    let stun = internet.turn().replace("turn:", "stun:");
    let mut relay = Relay::start_at(&internet.relay_address(), Some(&internet.server()), &["--stun", &stun]).await;
    let at_home = |options: Options, number| {
        let origin = relay.url("").trim_end_matches('/').to_owned();
        options
            .in_network(&internet.home(number))
            // As if it were https, where alone browsers give a page a camera.
            .flag(&format!("--unsafely-treat-insecure-origin-as-secure={origin}"))
            .may_ask("203.0.113.1")
            .start()
    };
    let (one, two) = (at_home(Browser::with().for_two(), 1).await, at_home(Browser::with().second_of_two(), 2).await);
    for browser in [&one, &two] {
        browser.expect_console("WebSocket connection to");
    }
    let alice = one.open(&relay.url("?room=r")).await;
    let bob = two.open(&relay.url("?room=r")).await;
    alice.join_as("Alice").await;
    bob.join_as("Bob").await;

    // A STUN server alone does not help.
    alice.reads("No direct way between your networks").await;
    bob.reads("No direct way between your networks").await;
    alice.click("#details-open").await;
    alice.click("#check").await;
    alice.reads(&format!("{stun}: Works")).await;
    alice.reads("No working TURN server: people behind strict networks will not get through.").await;

    // With a TURN server they meet, without a word of theirs.
    relay.crash().await;
    let turn = internet.turn();
    let flags = ["--stun", &stun, "--turn", &turn, "--turn-secret-file", text(&secret), "--turn-ttl", "10s"];
    relay.come_back_with(&flags).await;
    alice.plays_video_of("Bob").await;
    bob.plays_video_of("Alice").await;
    goes_by_relay(&alice, "Bob").await;
    goes_by_relay(&bob, "Alice").await;
    alice.click("#check").await;
    alice.reads("TURN works: people behind strict networks get through, too.").await;

    // Credentials are good for ten seconds, and coturn takes them no longer.
    alice.run(ASK).await;
    alice.shows("answers.length === 1").await;
    assert_eq!(alice.run("return gather(answers[0])").await, "relay");
    alice.run("await new Promise((done) => setTimeout(done, 12_000))").await;
    assert_eq!(alice.run("return gather(answers[0])").await, "401");
    alice.run("socket.send(JSON.stringify({ type: 'ice_servers' }))").await;
    alice.shows("answers.length === 2").await;
    assert_eq!(alice.run("return gather(answers[1])").await, "relay");

    // Those with which the call began have run out too. It needs new ones when coturn has lost its allocations.
    coturn.kill().await;
    alice.shows("tile('Bob').dataset.connection !== 'connected'").await;
    let _coturn = internet.start_coturn(folder.path(), SECRET);
    alice.plays_video_of("Bob").await;
    bob.plays_video_of("Alice").await;
    goes_by_relay(&alice, "Bob").await;
    one.end().await;
    two.end().await;
}
