//! Who gets a place, and who hears of it.

use tokio::task::yield_now;
use tokio::time::advance;

use super::super::hub::Hub;
use super::super::session::tests::{Client, a_while_passes, hub};
use super::*;
use crate::auth::Open;
use crate::limits::{ADDRESS_BURST_SECONDS, AWAY_AFTER, HOLD_MS, RESUME_WAIT};
use crate::outbox::CloseRequest;
use crate::peer::hub::HubSettings;
use crate::quota::QuotaSettings;

/// Somebody with a place, how to ask for it, and a member of the same room that hears about it.
fn somebody_and_a_witness(hub: &Arc<Hub>) -> (Client, String, Client) {
    let (mut somebody, mut witness) = (Client::at(hub, [192, 0, 2, 1].into()), Client::new(hub, usize::MAX));
    witness.answer(r#"{"type":"join","room":"r"}"#);
    let joined = somebody.answer(r#"{"type":"join","room":"r","id":"somebody","resume":true}"#);
    let joined: serde_json::Value = serde_json::from_str(&joined).unwrap();
    witness.hears();
    (somebody, format!(r#"{{"type":"resume","token":{},"received":1}}"#, joined["resume"]["token"]), witness)
}

fn is_cut(client: &mut Client) {
    client.session.end(LeaveReason::Closed, Some(Instant::now()), "cut");
}

#[tokio::test(start_paused = true)]
async fn a_place_that_cannot_be_held_ends_with_the_reason_of_the_loss() {
    let quotas = QuotaSettings { address_connections: 1, ..QuotaSettings::default() };
    let hub = Hub::new(HubSettings { room_capacity: 8, quotas, ..HubSettings::default() }, Arc::new(Open), None);
    let (mut old, _, witness) = somebody_and_a_witness(&hub);
    let address = old.session.rate().address().cloned();
    let _held = hub.quotas.hold(address.as_ref()).unwrap();
    old.session.end(LeaveReason::Slow, Some(Instant::now()), "it reads nothing");
    assert_eq!(witness.hears(), [r#"{"type":"peer_left","id":"somebody","reason":"slow"}"#]);
}

const AWAY: &str = r#"{"type":"peer_away","id":"somebody"}"#;
const BACK: &str = r#"{"type":"peer_back","id":"somebody"}"#;

#[tokio::test(start_paused = true)]
async fn of_several_connections_that_claim_a_place_only_the_last_one_gets_it() {
    let hub = hub(Open);
    let (mut old, resume, witness) = somebody_and_a_witness(&hub);
    let [mut first, mut last] = [(); 2].map(|()| Client::new(&hub, usize::MAX));
    assert_eq!(first.answer(&resume) + &last.answer(&resume), "");
    is_cut(&mut old);
    assert!(first.poll_waiting().is_pending());
    drop(first);
    assert!(last.poll_waiting().is_ready());
    assert!(last.hears().concat().contains(r#""type":"resumed""#));
    assert_eq!(witness.hears(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn who_has_asked_earlier_elsewhere_does_not_take_the_place_from_the_last_one() {
    let hub = hub(Open);
    let (mut old, resume, _witness) = somebody_and_a_witness(&hub);
    is_cut(&mut old);
    let asked = Instant::now();
    advance(Duration::from_secs(1)).await;
    let mut last = Client::new(&hub, usize::MAX);
    assert!(last.answer(&resume).contains(r#""type":"resumed""#));
    let mut late = Client::by_door(&hub, asked);
    assert!(late.answer(&resume).contains(r#""code":"unavailable""#));
    assert_eq!(last.session.outbox().close_request(), None, "it keeps the place");
    let again = late.answer(&resume);
    assert_eq!(again, "", "who asks again is the last one, and waits for the place");
    assert_eq!(last.session.outbox().close_request(), Some(CloseRequest::TakenOver));
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_is_withdrawn_leaves_the_place_as_it_was() {
    let hub = hub(Open);
    let (mut old, resume, witness) = somebody_and_a_witness(&hub);
    let mut new = Client::new(&hub, usize::MAX);
    new.says(&resume).unwrap();
    drop(new);
    assert_eq!(witness.hears(), [""; 0]);
    is_cut(&mut old);
    a_while_passes().await;
    assert_eq!(witness.hears(), [AWAY]);
    advance(Duration::from_millis(HOLD_MS)).await;
    yield_now().await;
    assert_eq!(witness.hears(), [r#"{"type":"peer_left","id":"somebody","reason":"timeout"}"#]);
}

#[tokio::test(start_paused = true)]
async fn when_the_old_session_has_parted_and_the_claim_is_withdrawn_the_others_hear_that_the_peer_is_away() {
    let hub = hub(Open);
    let (mut old, resume, witness) = somebody_and_a_witness(&hub);
    let [mut new, mut next] = [(); 2].map(|()| Client::new(&hub, usize::MAX));
    new.says(&resume).unwrap();
    is_cut(&mut old);
    assert_eq!(witness.hears(), [""; 0], "another connection is about to take the place");
    drop(new);
    a_while_passes().await;
    assert_eq!(witness.hears(), [AWAY]);
    assert!(next.answer(&resume).contains(r#""type":"resumed""#));
    assert_eq!(witness.hears(), [BACK]);
}

#[tokio::test(start_paused = true)]
async fn who_claims_a_place_that_its_owner_leaves_hears_that_it_is_gone() {
    let hub = hub(Open);
    let (mut old, resume, _witness) = somebody_and_a_witness(&hub);
    let mut new = Client::new(&hub, usize::MAX);
    new.says(&resume).unwrap();
    old.says(r#"{"type":"leave"}"#).unwrap();
    assert!(new.poll_waiting().is_ready());
    assert!(new.hears().concat().contains(r#""code":"resume_failed""#));
}

#[tokio::test(start_paused = true)]
async fn a_blink_is_told_to_nobody() {
    let hub = hub(Open);
    let (mut old, resume, witness) = somebody_and_a_witness(&hub);
    is_cut(&mut old);
    advance(AWAY_AFTER - Duration::from_millis(1)).await;
    yield_now().await;
    let mut new = Client::new(&hub, usize::MAX);
    assert!(new.answer(&resume).contains(r#""type":"resumed""#));
    a_while_passes().await;
    assert_eq!(witness.hears(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_come_back_before_a_tenth_of_a_short_hold_is_away() {
    let hub = Hub::new(HubSettings { hold: Duration::from_secs(1), ..HubSettings::default() }, Arc::new(Open), None);
    let (mut old, _, witness) = somebody_and_a_witness(&hub);
    is_cut(&mut old);
    yield_now().await;
    for (millis, told) in [(99, 0), (1, 1), (899, 0), (1, 1)] {
        advance(Duration::from_millis(millis)).await;
        yield_now().await;
        assert_eq!(witness.hears().len(), told, "{millis} ms later");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_comes_meanwhile_sees_who_is_away_and_so_does_everybody() {
    let hub = hub(Open);
    let (mut old, resume, witness) = somebody_and_a_witness(&hub);
    is_cut(&mut old);
    let mut newcomer = Client::new(&hub, usize::MAX);
    let joined = newcomer.answer(r#"{"type":"join","room":"r","id":"newcomer"}"#);
    assert!(joined.contains(r#"{"id":"somebody","away":true}"#), "{joined}");
    assert_eq!(witness.hears(), [AWAY, r#"{"type":"peer_joined","id":"newcomer"}"#]);
    let mut new = Client::new(&hub, usize::MAX);
    assert!(new.answer(&resume).contains(r#""type":"resumed""#));
    assert_eq!((witness.hears(), newcomer.hears()), (vec![BACK.to_owned()], vec![BACK.to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn a_place_that_ends_before_anybody_was_told_has_left() {
    let hub = hub(Open);
    let (mut old, _, mut witness) = somebody_and_a_witness(&hub);
    is_cut(&mut old);
    witness.says(r#"{"type":"kick","to":"somebody"}"#).unwrap();
    assert_eq!(witness.hears(), [r#"{"type":"peer_left","id":"somebody","reason":"kicked"}"#]);
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_the_same_messages_again_and_again_waits_for_its_rates() {
    let settings = HubSettings {
        quotas: QuotaSettings { byte_rate: 1_000, ..QuotaSettings::default() },
        ..HubSettings::default()
    };
    let hub = Hub::new(settings, Arc::new(Open), None);
    let (old, resume, mut witness) = somebody_and_a_witness(&hub);
    // The burst is 16 times the rate. What it asks for again is 4,000 bytes and more.
    let long = format!(r#"{{"type":"message","to":"somebody","data":"{}"}}"#, "x".repeat(4_000));
    witness.says(&long).unwrap();
    old.hears();
    let (mut before, mut resumed) = (old, 0);
    let next = loop {
        is_cut(&mut before);
        let mut next = Client::new(&hub, usize::MAX);
        next.says(&resume).unwrap();
        if !next.hears().concat().contains(r#""type":"resumed""#) {
            break next;
        }
        (before, resumed) = (next, resumed + 1);
    };
    assert!((4..=5).contains(&resumed), "{resumed}");
    let mut next = next;
    assert!(next.poll_waiting().is_pending());
    advance(RESUME_WAIT).await;
    assert!(next.poll_waiting().is_ready());
    assert!(next.hears().concat().contains(r#""type":"resumed""#));
}

#[tokio::test(start_paused = true)]
async fn who_would_wait_too_long_for_its_rates_is_told_to_try_again_and_keeps_the_place() {
    let settings = HubSettings {
        quotas: QuotaSettings { byte_rate: 1_000, ..QuotaSettings::default() },
        ..HubSettings::default()
    };
    let hub = Hub::new(settings, Arc::new(Open), None);
    let (old, resume, mut witness) = somebody_and_a_witness(&hub);
    let long = format!(r#"{{"type":"message","to":"somebody","data":"{}"}}"#, "x".repeat(12_000));
    witness.says(&long).unwrap();
    witness.says(&long).unwrap();
    old.hears();
    let mut before = old;
    let refused = loop {
        is_cut(&mut before);
        let mut next = Client::new(&hub, usize::MAX);
        next.says(&resume).unwrap();
        let heard = next.hears().concat();
        if !heard.contains(r#""type":"resumed""#) {
            break heard;
        }
        before = next;
    };
    assert!(refused.contains(r#""code":"rate_limited""#) && refused.contains(r#""retryable":true"#), "{refused}");
    advance(Duration::from_secs(20)).await;
    assert!(Client::new(&hub, usize::MAX).answer(&resume).contains(r#""type":"resumed""#));
}

#[tokio::test(start_paused = true)]
async fn a_resume_counts_as_a_join_of_its_address() {
    let quotas = QuotaSettings { address_joins: 1, ..QuotaSettings::default() };
    let hub = Hub::new(HubSettings { quotas, ..HubSettings::default() }, Arc::new(Open), None);
    let mut client = Client::at(&hub, [192, 0, 2, 1].into());
    for _ in 0..ADDRESS_BURST_SECONDS {
        assert!(client.answer(r#"{"type":"resume","token":"x","received":1}"#).contains("resume_failed"));
    }
    let refused = client.answer(r#"{"type":"resume","token":"x","received":1}"#);
    assert!(refused.contains("rate_limited") && refused.contains("--address-joins"), "{refused}");
}

/// The types of these messages, and whom they are about or from.
fn kinds(heard: &[String]) -> Vec<(String, String)> {
    let parsed = heard.iter().map(|text| serde_json::from_str::<serde_json::Value>(text).unwrap());
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    parsed.map(|one| (text(&one["type"]), text(one.get("from").unwrap_or(&one["id"])))).collect()
}

fn of(id: &str, kinds: &[&str]) -> Vec<(String, String)> {
    kinds.iter().map(|kind| ((*kind).to_owned(), id.to_owned())).collect()
}

#[tokio::test(start_paused = true)]
async fn who_is_back_hears_that_somebody_left_who_came_while_it_was_away() {
    let hub = hub(Open);
    let (mut old, resume, _witness) = somebody_and_a_witness(&hub);
    is_cut(&mut old);
    let mut visitor = Client::new(&hub, usize::MAX);
    visitor.says(r#"{"type":"join","room":"r","id":"visitor"}"#).unwrap();
    let mut new = Client::new(&hub, 0);
    new.says(&resume).unwrap();
    visitor.says(r#"{"type":"leave"}"#).unwrap();
    new.reads_on();
    // `resumed` has it among the peers.
    assert_eq!(kinds(&new.hears()[1..]), of("visitor", &["peer_joined", "peer_left"]));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_came_back_on_another_connection_has_come_and_gone_for_one_that_hears_its_messages() {
    let hub = hub(Open);
    let (mut old, resume, _witness) = somebody_and_a_witness(&hub);
    is_cut(&mut old);
    let mut visitor = Client::new(&hub, usize::MAX);
    let joined = visitor.answer(r#"{"type":"join","room":"r","id":"visitor","resume":true}"#);
    let joined: serde_json::Value = serde_json::from_str(&joined).unwrap();
    visitor.says(r#"{"type":"offer","sdp":"v=0","to":"somebody"}"#).unwrap();
    is_cut(&mut visitor);
    let back = format!(r#"{{"type":"resume","token":{},"received":1}}"#, joined["resume"]["token"]);
    let mut visitor = Client::new(&hub, usize::MAX);
    assert!(visitor.answer(&back).contains(r#""type":"resumed""#));
    visitor.says(r#"{"type":"leave"}"#).unwrap();
    let mut new = Client::new(&hub, usize::MAX);
    new.says(&resume).unwrap();
    assert_eq!(kinds(&new.hears()[1..]), of("visitor", &["peer_joined", "offer", "peer_left"]));
}
