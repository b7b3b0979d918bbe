//! Ids for which whoever decides on joins vouches, and clients that only chose one.

use serde_json::{Value, json};
use signaling_relay::protocol::names::PeerId;
use signaling_relay::{Config, Denial, Grant, JoinRequest, Role};

use crate::harness::places::cannot_come_back;
use crate::harness::{Client, TestRelay};

/// A relay whose program gives the id that a token names, and lets those without a token call themselves as they like. Who
/// calls itself `boss` is a host.
fn relay() -> TestRelay {
    async fn ask(request: JoinRequest) -> Result<Grant, Denial> {
        let mut grant = Grant::from(&request);
        if let Some(token) = &request.token {
            grant.id = Some(PeerId::parse(token.reveal()).unwrap());
        }
        if request.name.is_some_and(|name| name.as_str() == "boss") {
            grant.role = Role::Host;
        }
        Ok(grant)
    }
    TestRelay::in_memory_as(Config::default(), |builder| builder.authorizer(ask))
}

/// Somebody who asks to join `r` with `more`, and what it hears first.
async fn asks(relay: &TestRelay, more: Value) -> (Client, Value) {
    let mut client = relay.dial("/ws").await;
    let mut join = json!({"type": "join", "room": "r"});
    join.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    client.say(join).await;
    let heard = client.hear().await;
    (client, heard)
}

async fn enters(relay: &TestRelay, more: Value) -> Client {
    let (client, joined) = asks(relay, more).await;
    assert_eq!(joined["type"], "joined", "{joined}");
    client
}

async fn is_refused(relay: &TestRelay, more: Value, code: &str) {
    let (_, error) = asks(relay, more).await;
    assert_eq!(error["code"], code, "{error}");
}

/// Locks the room.
async fn locks(host: &mut Client) {
    host.say(json!({"type": "lock", "locked": true})).await;
    host.expect("room").await;
}

#[tokio::test]
async fn whose_id_it_is_takes_it_from_one_who_only_chose_it() {
    let relay = relay();
    let mut witness = enters(&relay, json!({"id": "witness"})).await;
    let mut guest = enters(&relay, json!({"id": "ana"})).await;
    assert_eq!(witness.hear().await, json!({"type": "peer_joined", "id": "ana"}));

    let (mut ana, joined) = asks(&relay, json!({"token": "ana", "name": "Ana"})).await;
    assert_eq!((&joined["id"], &joined["peers"]), (&json!("ana"), &json!([{"id": "witness"}])), "{joined}");
    let error = guest.expect_error("kicked").await;
    assert!(error["message"].as_str().unwrap().contains("whose id this is"), "{error}");
    guest.expect_goodbye(1008).await;
    assert_eq!(witness.hear().await, json!({"type": "peer_left", "id": "ana", "reason": "displaced"}));
    let came = json!({"type": "peer_joined", "id": "ana", "name": "Ana", "verified": true});
    assert_eq!(witness.hear().await, came);

    // From then on it is nobody else's.
    is_refused(&relay, json!({"id": "ana"}), "id_taken").await;
    is_refused(&relay, json!({"token": "ana"}), "id_taken").await;
    let (_, joined) = asks(&relay, json!({})).await;
    assert_eq!(joined["peers"], json!([{"id": "witness"}, {"id": "ana", "name": "Ana", "verified": true}]));
    ana.say(json!({"type": "message", "to": "witness", "data": 1})).await;
    while witness.hear().await["from"] != "ana" {}
}

#[tokio::test]
async fn one_who_is_alone_gives_way_as_well_and_one_who_is_away() {
    let relay = relay();
    let guest = enters(&relay, json!({"id": "ana"})).await;
    let mut ana = enters(&relay, json!({"token": "ana"})).await;
    guest.expect_goodbye(1008).await;

    let (away, joined) = asks(&relay, json!({"id": "bob", "resume": true})).await;
    ana.expect("peer_joined").await;
    drop(away);
    while ana.hear().await["type"] != "peer_away" {}
    let _bob = enters(&relay, json!({"token": "bob"})).await;
    assert_eq!(ana.hear().await, json!({"type": "peer_left", "id": "bob", "reason": "displaced"}));
    assert_eq!(ana.hear().await, json!({"type": "peer_joined", "id": "bob", "verified": true}));
    cannot_come_back(&relay, joined["resume"]["token"].as_str().unwrap()).await;
}

#[tokio::test]
async fn who_only_chose_its_id_is_denied_at_the_door_when_the_one_comes_whose_it_is() {
    let relay = relay();
    let mut host = enters(&relay, json!({"id": "host"})).await;
    locks(&mut host).await;
    let (mut guest, waiting) = asks(&relay, json!({"id": "ana"})).await;
    assert_eq!(waiting["type"], "waiting");
    assert_eq!(host.hear().await, json!({"type": "knock", "id": "ana"}));

    let (mut ana, waiting) = asks(&relay, json!({"token": "ana"})).await;
    assert_eq!(waiting["type"], "waiting");
    let error = guest.expect_error("denied").await;
    assert!(error["message"].as_str().unwrap().contains("whose id this is"), "{error}");
    assert_eq!(host.hear().await, json!({"type": "knock_gone", "id": "ana"}));
    assert_eq!(host.hear().await, json!({"type": "knock", "id": "ana", "verified": true}));
    // Neither at the door nor inside, not even as a host, who need not wait.
    for more in [json!({"id": "ana"}), json!({"token": "ana"}), json!({"id": "ana", "name": "boss"})] {
        is_refused(&relay, more, "id_taken").await;
    }
    host.say(json!({"type": "admit", "to": "ana"})).await;
    ana.expect("joined").await;
    assert_eq!(host.hear().await, json!({"type": "peer_joined", "id": "ana", "verified": true}));
}

#[tokio::test]
async fn one_inside_who_only_chose_its_id_stays_until_the_one_whose_it_is_comes_in() {
    let relay = relay();
    let mut host = enters(&relay, json!({"id": "host"})).await;
    let (guest, joined) = asks(&relay, json!({"id": "ana", "resume": true})).await;
    host.expect("peer_joined").await;
    locks(&mut host).await;
    let (mut ana, waiting) = asks(&relay, json!({"token": "ana"})).await;
    assert_eq!(waiting["type"], "waiting");
    host.expect("knock").await;
    // Who comes back to its place does not end the wait.
    drop(guest);
    while host.hear().await["type"] != "peer_away" {}
    let mut guest = relay.dial("/ws").await;
    guest.say(json!({"type": "resume", "token": joined["resume"]["token"], "received": 1})).await;
    guest.expect("resumed").await;
    host.expect("peer_back").await;
    ana.expect_nothing().await;
    host.say(json!({"type": "admit", "to": "ana"})).await;
    ana.expect("joined").await;
    guest.expect("room").await;
    guest.expect_error("kicked").await;
    guest.expect_goodbye(1008).await;
    assert_eq!(host.hear().await, json!({"type": "peer_left", "id": "ana", "reason": "displaced"}));
    host.expect("peer_joined").await;
    cannot_come_back(&relay, joined["resume"]["token"].as_str().unwrap()).await;
}
