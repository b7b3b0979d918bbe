//! Relays whose Redis has a replica that takes its place, promoted by real sentinels or by a real Redis Cluster, which has its keys on
//! several.

use serde_json::json;
use signaling_relay::Config;
use tokio::net::TcpStream;

use crate::harness::pages::{block, page};
use crate::harness::redis::Redis;
use crate::harness::sentinels::Sentinels;
use crate::harness::shards::Shards;
use crate::harness::{Client, Process, TestRelay, connect, run};

async fn replica_of(primary: &Redis) -> Redis {
    Redis::start_with(&["--replicaof", "127.0.0.1", &primary.port.to_string()]).await
}

async fn dial(relay: &Process) -> Client<TcpStream> {
    let stream = connect(([127, 0, 0, 1], relay.port()).into()).await;
    Client::dial(stream, "ws://localhost/ws", &[]).await.unwrap()
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

#[tokio::test(flavor = "multi_thread")]
async fn rooms_are_spread_over_a_redis_cluster_and_are_one_whichever_node_a_relay_was_given() {
    let shards = Shards::start().await;
    let [a, b, _] = &shards.primaries[..] else { panic!("three nodes") };
    let (one, other) = (TestRelay::start_with(a.config()).await, TestRelay::start_with(b.config()).await);
    for number in 0..20 {
        let room = format!("room {number}");
        let mut ana = one.dial("/ws").await;
        ana.join_at_last(&room).await;
        let mut ben = other.dial("/ws").await;
        let joined = ben.join_at_last(&room).await;
        assert_eq!(joined["peers"][0]["id"], ana.id.as_str(), "{joined}");
        ana.expect("peer_joined").await;
        talk(&mut ana, &mut ben, "hello").await;
    }
    let (mut relays, mut rooms) = (0, 0);
    for node in &shards.primaries {
        let keys = node.cli(&["keys", "*"]).await;
        let of_kind =
            |kind: &str| keys.lines().filter(|key| key.starts_with(&format!("signaling-relay:{kind}:"))).count();
        assert!(of_kind("room") > 0, "{keys}");
        (relays, rooms) = (relays + of_kind("relay"), rooms + of_kind("room"));
    }
    assert_eq!((relays, rooms), (2, 20));
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_that_move_from_node_to_node_are_followed_and_nobody_notices() {
    let shards = Shards::start().await;
    // By a user who may do what is printed for operators.
    let printed = page("src/cluster/README.md");
    let rules = block(&printed, "conf", "user relay");
    let rules = rules.strip_prefix("user relay on >PASSWORD ").unwrap().trim_end();
    let more = printed.split('`').find(|code| code.starts_with("+cluster|")).unwrap();
    for node in &shards.primaries {
        node.add_user("relay", &format!(">swordfish {rules} {more}")).await;
    }
    let url = format!("redis://relay:swordfish@127.0.0.1:{}", shards.primaries[0].port);
    let mut relay = Process::start(&["--listen", "127.0.0.1:0", "--redis", &url]).await;
    let mut rooms = Vec::new();
    for number in 0..12 {
        let mut client = dial(&relay).await;
        client.join_at_last(&format!("room {number}")).await;
        rooms.push(client);
    }
    // All that the first node has. A room whose slot moves at that moment is `unavailable` until it has moved.
    let opens = async {
        for number in 0..100 {
            let mut client = dial(&relay).await;
            client.join_at_last(&format!("meanwhile {number}")).await;
            client.close().await;
        }
    };
    tokio::join!(shards.move_slots(0, 1, 5_461), opens);
    for (number, room) in rooms.iter_mut().enumerate() {
        let mut client = dial(&relay).await;
        let joined = client.join_at_last(&format!("room {number}")).await;
        assert_eq!(joined["peers"].as_array().unwrap().len(), 1, "{joined}");
        room.expect("peer_joined").await;
        client.close().await;
        room.expect("peer_left").await;
    }
    assert_eq!(shards.primaries[0].cli(&["dbsize"]).await, "0");
    relay.signal("TERM");
    while let Some(line) = relay.next_log().await {
        assert!(!line.contains("Redis is away"), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_a_node_of_a_redis_cluster_is_lost_its_replica_has_its_rooms_and_new_ones_are_one() {
    let mut shards = Shards::start().await;
    let _replica = shards.replica_of(0).await;
    let at = |number: usize| TestRelay::start_with(shards.primaries[number].config());
    // One of them was given the node that is lost.
    let (one, other) = (at(0).await, at(1).await);
    let mut members = Vec::new();
    for number in 0..6 {
        let room = format!("before {number}");
        let mut ana = one.dial("/ws").await;
        ana.join_at_last(&room).await;
        let mut ben = other.dial("/ws").await;
        ben.join_at_last(&room).await;
        ana.expect("peer_joined").await;
        members.push((ana, ben));
    }
    shards.primaries[0].kill().await;
    for (ana, ben) in &mut members {
        talk(ana, ben, "with a node less").await;
    }
    let mut newcomers = Vec::new();
    for number in 0..6 {
        let room = format!("after {number}");
        let mut cai = other.dial("/ws").await;
        cai.join_at_last(&room).await;
        let mut dan = one.dial("/ws").await;
        let joined = dan.join_at_last(&room).await;
        assert_eq!(joined["peers"][0]["id"], cai.id.as_str(), "{joined}");
        let mut eve = one.dial("/ws").await;
        let joined = eve.join_at_last(&format!("before {number}")).await;
        assert_eq!(joined["peers"].as_array().unwrap().len(), 2, "{joined}");
        newcomers.push(eve);
    }
    for (ana, ben) in &mut members {
        ana.expect("peer_joined").await;
        ben.expect("peer_joined").await;
        talk(ana, ben, "with the replica").await;
    }
}
