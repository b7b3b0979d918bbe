//! Relays whose Redis is watched by real sentinels, which promote its replica when it is lost.

use serde_json::json;
use signaling_relay::Config;

use crate::harness::redis::Redis;
use crate::harness::sentinels::Sentinels;
use crate::harness::{Client, TestRelay, run};

async fn replica_of(primary: &Redis) -> Redis {
    Redis::start_with(&["--replicaof", "127.0.0.1", &primary.port.to_string()]).await
}

/// Two clients hear each other.
async fn talk(ana: &mut Client, ben: &mut Client, words: &str) {
    ana.say(json!({"type": "message", "to": ben.id, "data": words})).await;
    assert_eq!(ben.expect("message").await["data"], words);
    ben.say(json!({"type": "message", "to": ana.id, "data": words})).await;
    assert_eq!(ana.expect("message").await["data"], words);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_sentinels_promote_a_replica_rooms_go_on_and_new_ones_are_one_for_all_relays() {
    let mut primary = Redis::start().await;
    let replica = replica_of(&primary).await;
    let mut sentinels = Sentinels::over(&primary).await;
    let config = || Config { redis: Some(sentinels.url().parse().unwrap()), ..Config::default() };
    let (one, other) = (TestRelay::start_with(config()).await, TestRelay::start_with(config()).await);
    let mut ana = one.dial("/ws").await;
    ana.join_at_last("before").await;
    let mut ben = other.dial("/ws").await;
    ben.join_at_last("before").await;
    ana.expect("peer_joined").await;
    // With it goes a sentinel: the other two are enough.
    sentinels.kill(0).await;
    primary.kill().await;
    talk(&mut ana, &mut ben, "without Redis").await;
    let mut cai = other.dial("/ws").await;
    cai.join_at_last("after").await;
    let mut dan = one.dial("/ws").await;
    let joined = dan.join_at_last("after").await;
    assert_eq!(joined["peers"][0]["id"], cai.id.as_str(), "{joined}");
    cai.expect("peer_joined").await;
    // The room that was there is registered with the new primary.
    replica.expect_room("before", |claim| !claim.is_empty()).await;
    assert_eq!(replica.info("role").await, "master");
    talk(&mut ana, &mut ben, "with the other one").await;
    // The old primary comes back as one that knows nothing, and the sentinels make it a replica.
    primary.restart().await;
    let mut eve = one.dial("/ws").await;
    eve.join_at_last("later").await;
    let mut fay = other.dial("/ws").await;
    let joined = fay.join_at_last("later").await;
    assert_eq!(joined["peers"][0]["id"], eve.id.as_str(), "{joined}");
    talk(&mut ana, &mut ben, "again").await;
    talk(&mut cai, &mut dan, "again").await;
}

#[tokio::test]
async fn sentinels_that_do_not_know_the_name_are_said_at_the_start() {
    let primary = Redis::start_with(&[]).await;
    let _replica = replica_of(&primary).await;
    let sentinels = Sentinels::over(&primary).await;
    let url = sentinels.url() + "s";
    let refused = run(&["--listen", "127.0.0.1:0", "--redis", &url]).await;
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(refused.status.code() == Some(1) && said.contains("knows no primary with the name \"roomss\""), "{said}");
}
