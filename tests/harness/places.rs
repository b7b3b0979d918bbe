//! Clients whose places survive a lost connection.

use std::time::Duration;

use serde_json::{Value, json};

use super::client::Client;
use super::relay::TestRelay;

/// How long a place is held by default.
pub const HOLD: Duration = Duration::from_secs(30);

/// Somebody who may come back, and the token.
pub async fn resumable(relay: &TestRelay, room: &str) -> (Client, String) {
    let mut client = relay.dial("/ws").await;
    client.say(json!({"type": "join", "room": room, "resume": true})).await;
    let joined = client.expect_joined().await;
    assert_eq!(joined["resume"]["holdMs"], HOLD.as_millis() as u64);
    let token = joined["resume"]["token"].as_str().unwrap();
    assert!(token.len() >= 32, "128 bits at least");
    (client, token.to_owned())
}

/// What asks for a place.
pub fn resume(token: &str, received: u64) -> Value {
    json!({"type": "resume", "token": token, "received": received})
}

/// A new connection that asks for the place.
pub async fn come_back(relay: &TestRelay, token: &str, received: u64) -> (Client, Value) {
    let mut client = relay.dial("/ws").await;
    client.say(resume(token, received)).await;
    let resumed = client.expect("resumed").await;
    (client, resumed)
}

/// A new connection asks for the place, which is gone.
pub async fn cannot_come_back(relay: &TestRelay, token: &str) {
    let mut client = relay.dial("/ws").await;
    client.say(resume(token, 1)).await;
    client.expect_error("resume_failed").await;
}

/// The next message, which must be of this type and about this peer.
pub async fn hears_who(client: &mut Client, kind: &str, id: &str) -> Value {
    let message = client.expect(kind).await;
    assert_eq!(message["id"], id, "{message}");
    message
}
