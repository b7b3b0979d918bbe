//! Who gets a place, and who hears of it.

use tokio::task::yield_now;
use tokio::time::advance;

use super::super::hub::Hub;
use super::super::session::tests::{Client, hub};
use super::*;
use crate::auth::Open;
use crate::limits::HOLD_MS;

/// Somebody with a place, how to ask for it, and a member of the same room that hears about it.
fn somebody_and_a_witness(hub: &Arc<Hub>) -> (Client, String, Client) {
    let (mut somebody, mut witness) = (Client::new(hub, usize::MAX), Client::new(hub, usize::MAX));
    witness.answer(r#"{"type":"join","room":"r"}"#);
    let joined = somebody.answer(r#"{"type":"join","room":"r","id":"somebody","resume":true}"#);
    let joined: serde_json::Value = serde_json::from_str(&joined).unwrap();
    witness.hears();
    (somebody, format!(r#"{{"type":"resume","token":{},"received":1}}"#, joined["resume"]["token"]), witness)
}

fn is_cut(client: &mut Client) {
    client.session.end(LeaveReason::Closed, Some(Instant::now()), "cut");
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
async fn a_claim_that_is_withdrawn_leaves_the_place_as_it_was() {
    let hub = hub(Open);
    let (mut old, resume, witness) = somebody_and_a_witness(&hub);
    let mut new = Client::new(&hub, usize::MAX);
    new.says(&resume).unwrap();
    drop(new);
    assert_eq!(witness.hears(), [""; 0]);
    is_cut(&mut old);
    assert_eq!(witness.hears(), [AWAY]);
    yield_now().await;
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
