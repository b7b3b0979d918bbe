//! How long those who came with a token may come back to their places: until some time after its `exp`, and not when its key
//! is gone. Their connections stay.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use data_encoding::BASE64URL_NOPAD;
use ring::hmac;
use serde_json::{Value, json};
use signaling_relay::Config;
use tokio::time::{Instant, advance};

use crate::harness::places::{cannot_come_back, come_back, resume};
use crate::harness::{Client, TestRelay, secret_file};

/// A token of this secret for the room `r`, which expires in so many seconds.
fn token(secret: &str, seconds: u64) -> String {
    let exp = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + seconds;
    let part = |value: Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    let body = format!("{}.{}", part(json!({"alg": "HS256"})), part(json!({"room": "r", "exp": exp})));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    format!("{body}.{}", BASE64URL_NOPAD.encode(hmac::sign(&key, body.as_bytes()).as_ref()))
}

/// Somebody who joins with a token, and its place if it gets one.
async fn joins(relay: &TestRelay, id: &str, token: &str) -> (Client, Option<String>) {
    let mut client = relay.dial("/ws").await;
    client.say(json!({"type": "join", "room": "r", "id": id, "token": token, "resume": true})).await;
    let joined = client.expect_joined().await;
    (client, joined["resume"]["token"].as_str().map(str::to_owned))
}

/// Reads until a message is about this peer and of this type.
async fn hears_of(client: &mut Client, kind: &str, id: &str) -> Value {
    loop {
        let message = client.hear().await;
        if message["type"] == kind && message["id"] == id {
            return message;
        }
    }
}

/// Lets so many seconds pass while these answer pings.
async fn seconds_pass<const N: usize>(seconds: u64, clients: [&mut Client; N]) {
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut clients = clients;
    while Instant::now() < end {
        advance((end - Instant::now()).min(Duration::from_secs(7))).await;
        for client in &mut clients {
            client.catch_up().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_place_outlives_its_token_for_as_long_as_the_operator_says() {
    let folder = tempfile::tempdir().unwrap();
    let secret = "correct horse battery staple";
    let config = Config {
        token_secret_file: vec![secret_file(folder.path(), "secret", secret)],
        resume_after_exp: 200,
        hold_ms: 60_000,
        ..Config::default()
    };
    let relay = TestRelay::in_memory(config);
    let start = Instant::now();
    let short = token(secret, 100);
    let (mut witness, _) = joins(&relay, "witness", &token(secret, 10_000)).await;
    let [(mut ana, of_ana), (mut bob, of_bob), (mut eve, of_eve)] =
        [joins(&relay, "ana", &short).await, joins(&relay, "bob", &short).await, joins(&relay, "eve", &short).await];
    let [of_ana, of_bob, of_eve] = [of_ana, of_bob, of_eve].map(Option::unwrap);

    // It has expired, and its bearer comes back.
    seconds_pass(250, [&mut witness, &mut ana, &mut bob, &mut eve]).await;
    drop(ana);
    hears_of(&mut witness, "peer_away", "ana").await;
    let (ana, _) = come_back(&relay, &of_ana, 1).await;
    hears_of(&mut witness, "peer_back", "ana").await;
    // A place that is held ends with its way back.
    drop(ana);
    hears_of(&mut witness, "peer_away", "ana").await;
    seconds_pass(44, [&mut witness, &mut bob, &mut eve]).await;
    bob.say(json!({"type": "message", "data": 1})).await;
    while witness.hear().await["type"] != "message" {}
    seconds_pass(2, [&mut bob, &mut eve]).await;
    assert_eq!(hears_of(&mut witness, "peer_left", "ana").await["reason"], "timeout");
    assert!(start.elapsed() <= Duration::from_secs(301), "{:?}", start.elapsed());
    cannot_come_back(&relay, &of_ana).await;

    // Who is connected stays so, and has no way back: neither beside the connection nor after it.
    seconds_pass(600, [&mut witness, &mut bob, &mut eve]).await;
    cannot_come_back(&relay, &of_bob).await;
    bob.say(json!({"type": "message", "data": 2})).await;
    while witness.hear().await["type"] != "message" {}
    drop(bob);
    assert_eq!(hears_of(&mut witness, "peer_left", "bob").await["reason"], "closed");
    cannot_come_back(&relay, &of_bob).await;
    // It answers no ping any more.
    assert_eq!(hears_of(&mut witness, "peer_left", "eve").await["reason"], "timeout");
    cannot_come_back(&relay, &of_eve).await;
}

#[tokio::test]
async fn who_comes_with_a_token_whose_time_is_over_gets_no_way_back() {
    let folder = tempfile::tempdir().unwrap();
    let secret = "correct horse battery staple";
    let token_secret_file = vec![secret_file(folder.path(), "secret", secret)];
    let relay = TestRelay::in_memory(Config { token_secret_file, resume_after_exp: 0, ..Config::default() });
    // Within the leeway for clocks that differ.
    let (_late, place) = joins(&relay, "late", &token(secret, 0)).await;
    assert_eq!(place, None);
    assert!(joins(&relay, "in-time", &token(secret, 100)).await.1.is_some());
}

#[tokio::test]
async fn with_its_key_the_way_back_is_gone_at_once_and_the_connection_stays() {
    let folder = tempfile::tempdir().unwrap();
    let (old, other) = ("the secret that is taken back", "a secret that stays for good");
    let old_file = secret_file(folder.path(), "old", old);
    let token_secret_file = vec![old_file.clone(), secret_file(folder.path(), "other", other)];
    let relay = TestRelay::start_with(Config { token_secret_file, ..Config::default() }).await;
    let (mut witness, _) = joins(&relay, "witness", &token(other, 1000)).await;
    let (held, of_held) = joins(&relay, "held", &token(old, 1000)).await;
    let (kept, of_kept) = joins(&relay, "kept", &token(other, 1000)).await;
    let (mut here, of_here) = joins(&relay, "here", &token(old, 1000)).await;
    for (client, id) in [(held, "held"), (kept, "kept")] {
        drop(client);
        hears_of(&mut witness, "peer_away", id).await;
    }
    let [of_held, of_kept, of_here] = [of_held, of_kept, of_here].map(Option::unwrap);

    // Keys that are read again and are the same are no others; and those that cannot be read change nothing.
    relay.reload();
    secret_file(folder.path(), "old", "short");
    relay.reload();
    let (held, _) = come_back(&relay, &of_held, 1).await;
    hears_of(&mut witness, "peer_back", "held").await;
    drop(held);
    hears_of(&mut witness, "peer_away", "held").await;

    secret_file(folder.path(), "old", "its successor, which is another");
    relay.reload();
    assert_eq!(hears_of(&mut witness, "peer_left", "held").await["reason"], "timeout");
    cannot_come_back(&relay, &of_held).await;
    here.say(json!({"type": "message", "data": 1})).await;
    while witness.hear().await["type"] != "message" {}
    cannot_come_back(&relay, &of_here).await;
    drop(here);
    assert_eq!(hears_of(&mut witness, "peer_left", "here").await["reason"], "closed");
    // Nobody else loses anything, and the key that is back is not the one that was taken back.
    let mut kept = relay.dial("/ws").await;
    kept.say(resume(&of_kept, 1)).await;
    kept.expect("resumed").await;
    secret_file(folder.path(), "old", old);
    relay.reload();
    joins(&relay, "again", &token(old, 1000)).await.1.unwrap();
}
