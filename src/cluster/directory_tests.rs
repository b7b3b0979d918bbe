//! Relays that ask at the same moment, and commands that arrive late.

use std::time::Duration;

use tokio::time::{advance, sleep};

use super::super::fake::{FakeRelay, World};
use super::super::lease;
use super::super::notice::Notices;
use super::super::scan::Scan;
use super::*;
use crate::limits::{CAUTION, LEASE, LEASE_RENEWAL, RELAY_FORGOTTEN, RELAYS_INTERVAL, ROOM_LEASE};
use crate::room::Ownership;

fn name() -> RoomName {
    RoomName::parse("r").unwrap()
}

fn here(place: Place) -> Arc<Ownership> {
    match place {
        Place::Here(ownership) => ownership,
        other => panic!("{other:?}"),
    }
}

fn owner(place: Place) -> ProcessId {
    match place {
        Place::At(owner) => owner.process,
        other => panic!("{other:?}"),
    }
}

fn unknown(place: Place) -> Unknown {
    match place {
        Place::Unknown(why) => why,
        other => panic!("{other:?}"),
    }
}

async fn two() -> (Arc<World>, FakeRelay, FakeRelay) {
    let world = Arc::<World>::default();
    let (one, other) = (FakeRelay::new(&world).await, FakeRelay::new(&world).await);
    (world, one, other)
}

#[tokio::test(start_paused = true)]
async fn of_all_who_claim_a_name_one_has_it_and_all_hear_of_the_same() {
    let (_, one, other) = two().await;
    let (first, second) = tokio::join!(one.directory.claim(&name()), other.directory.claim(&name()));
    let _ownership = here(first);
    assert_eq!(owner(second), one.own.process);
    assert_eq!(owner(other.directory.look(&name()).await), one.own.process);
    assert!(matches!(one.directory.look(&name()).await, Place::Nowhere), "it is here");
    let free = RoomName::parse("free").unwrap();
    assert!(matches!(other.directory.look(&free).await, Place::Nowhere));
    here(one.directory.claim(&free).await);
}

#[tokio::test(start_paused = true)]
async fn however_many_wait_a_relay_asks_once_a_room() {
    let (_, one, _other) = two().await;
    let gate = one.store.hold("claim");
    let asks: Vec<_> = (0..50).map(|_| tokio::spawn(one.directory.claim(&name()))).collect();
    gate.arrived().await;
    let gives_up = one.directory.claim(&name());
    drop(gives_up);
    gate.open();
    for ask in asks {
        here(ask.await.unwrap());
    }
    assert_eq!(one.store.asked("claim"), 1);
    assert!(one.directory.questions.is_empty());
    // Those who give up all ask nobody any more.
    let gate = one.store.hold("claim");
    let ask = tokio::spawn(one.directory.claim(&RoomName::parse("other").unwrap()));
    gate.arrived().await;
    ask.abort();
    ask.await.unwrap_err();
    assert!(one.directory.questions.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_name_that_was_opened_here_before_is_good_for_its_whole_time_again() {
    let (world, one, _other) = two().await;
    drop(here(one.directory.claim(&name()).await));
    let before = world.room("r");
    advance(ROOM_LEASE - Duration::from_secs(1)).await;
    one.renews().await;
    let _again = here(one.directory.claim(&name()).await);
    assert_ne!(world.room("r"), before);
    advance(Duration::from_secs(2)).await;
    assert!(world.room("r").is_some());
}

#[tokio::test(start_paused = true)]
async fn a_room_is_taken_over_only_when_the_lease_of_its_relay_is_gone() {
    let (_, one, other) = two().await;
    let _ownership = here(one.directory.claim(&name()).await);
    let found = other.directory.claim(&name()).await;
    let Place::At(neighbour) = found else { panic!("{found:?}") };
    assert_eq!(owner(other.directory.replace(&name(), &neighbour).await), one.own.process);
    advance(LEASE).await;
    other.renews().await;
    let _taken = here(other.directory.replace(&name(), &neighbour).await);
    one.renews().await;
    assert_eq!(owner(one.directory.look(&name()).await), other.own.process);
}

#[tokio::test(start_paused = true)]
async fn a_relay_that_nobody_knows_and_that_does_not_live_has_no_room() {
    let (world, one, other) = two().await;
    drop(here(one.directory.claim(&name()).await));
    advance(LEASE).await;
    let _taken = here(other.directory.claim(&name()).await);
    assert!(world.room("r").unwrap().starts_with(&other.own.process.to_string()));
}

#[tokio::test(start_paused = true)]
async fn a_relay_that_was_ever_registered_is_dialled_before_its_late_lease_counts() {
    let (_, one, other) = two().await;
    let _ownership = here(one.directory.claim(&name()).await);
    one.store.register(one.own.process, &one.own.to_said()).await.unwrap();
    advance(LEASE).await;
    let Place::At(neighbour) = other.directory.claim(&name()).await else { panic!() };
    assert_eq!(neighbour, one.own, "it may only be late");
    let _taken = here(other.directory.replace(&name(), &neighbour).await);
}

#[tokio::test(start_paused = true)]
async fn a_relay_knows_by_its_key_which_rooms_it_has() {
    let (_, one, _other) = two().await;
    let key = RoomKey::from(&name());
    assert!(!one.directory.has(key));
    let ownership = here(one.directory.claim(&name()).await);
    assert!(one.directory.has(key));
    drop(ownership);
    assert!(!one.directory.has(key), "nobody has a use for it");
    one.directory.forget_unused();
    assert!(one.directory.owned_keys.is_empty());
    let (rooms, task) = one.rooms();
    task.abort();
    let ownership = here(one.directory.claim(&name()).await);
    rooms.let_go(&ownership);
    assert!(!one.directory.has(key), "it was let go of");
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_read_as_gone_then_its_relay_asserts_then_the_take_over_arrives() {
    let (world, one, other) = two().await;
    let _ownership = here(one.directory.claim(&name()).await);
    let Place::At(neighbour) = other.directory.claim(&name()).await else { panic!() };
    advance(LEASE).await;
    let gate = other.store.hold("take_over");
    let takes = tokio::spawn(other.directory.replace(&name(), &neighbour));
    gate.arrived().await;
    one.renews().await;
    assert_eq!(one.store.assert(RoomKey::from(&name()), one.directory.new_claim()).await, Ok(None));
    gate.open();
    assert_eq!(owner(takes.await.unwrap()), one.own.process);
    assert!(world.room("r").unwrap().starts_with(&one.own.process.to_string()));
}

#[tokio::test(start_paused = true)]
async fn what_was_learnt_on_one_connection_is_not_done_on_the_next() {
    let (_, one, other) = two().await;
    let _ownership = here(one.directory.claim(&name()).await);
    let Place::At(neighbour) = other.directory.claim(&name()).await else { panic!() };
    advance(LEASE).await;
    let gate = other.store.hold("take_over");
    let takes = tokio::spawn(other.directory.replace(&name(), &neighbour));
    gate.arrived().await;
    // Redis was away, and is another one perhaps: the owner has not said yet that it lives.
    other.caution.begin();
    other.store.connect(2);
    gate.open();
    sleep(Duration::from_millis(100)).await;
    one.renews().await;
    let renewals = async {
        loop {
            sleep(LEASE_RENEWAL).await;
            one.renews().await;
        }
    };
    let place = tokio::select! { place = takes => place.unwrap(), () = renewals => unreachable!() };
    assert_eq!(owner(place), one.own.process);
}

#[tokio::test(start_paused = true)]
async fn redis_forgets_while_the_owner_and_one_who_claims_live() {
    let (world, one, other) = two().await;
    let (_rooms, _asserts) = one.rooms();
    let _ownership = here(one.directory.claim(&name()).await);
    world.flush();
    // Both come back, the one who claims first.
    other.caution.begin();
    let claims = tokio::spawn(other.directory.claim(&name()));
    sleep(Duration::from_secs(2)).await;
    assert!(!claims.is_finished());
    one.renews().await;
    one.caution.begin();
    assert_eq!(owner(claims.await.unwrap()), one.own.process);
}

#[tokio::test(start_paused = true)]
async fn a_cautious_relay_still_says_who_has_a_room_and_never_that_nobody_has() {
    let (_, one, other) = two().await;
    let _ownership = here(one.directory.claim(&name()).await);
    other.caution.begin();
    let begun = Instant::now();
    assert_eq!(owner(other.directory.claim(&name()).await), one.own.process);
    assert_eq!(begun.elapsed(), Duration::ZERO);
    here(other.directory.claim(&RoomName::parse("new").unwrap()).await);
    assert_eq!(begun.elapsed(), CAUTION);
    other.caution.begin();
    let again = tokio::spawn(other.directory.claim(&RoomName::parse("another").unwrap()));
    sleep(Duration::from_secs(2)).await;
    other.caution.begin();
    let begun = Instant::now();
    assert_eq!(unknown(again.await.unwrap()), Unknown::Away);
    assert_eq!(begun.elapsed(), LOCATE_DEADLINE - Duration::from_secs(2), "a join waits no longer");
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_cautious_relay_hears_of_the_room_as_soon_as_it_opens_elsewhere() {
    let (world, one, other) = two().await;
    one.caution.begin();
    let claims = tokio::spawn(one.directory.claim(&name()));
    let dead = Arc::clone(&other.own);
    sleep(Duration::from_secs(1)).await;
    let _ownership = here(other.directory.claim(&name()).await);
    let begun = Instant::now();
    assert_eq!(owner(claims.await.unwrap()), other.own.process);
    assert!(begun.elapsed() <= LEASE_LOOK, "{:?}", begun.elapsed());
    // Likewise who waits because the relay of a room is not reached.
    let replaces = tokio::spawn(one.directory.replace(&name(), &dead));
    sleep(Duration::from_secs(1)).await;
    let third = FakeRelay::new(&world).await;
    assert!(!replaces.is_finished());
    world.write("r", &third.directory.new_claim().to_string());
    let begun = Instant::now();
    assert_eq!(owner(replaces.await.unwrap()), third.own.process);
    assert!(begun.elapsed() <= LEASE_LOOK, "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn while_redis_is_away_a_new_name_is_unavailable_after_a_second() {
    let (_, one, _other) = two().await;
    one.store.lose();
    let begun = Instant::now();
    assert_eq!(unknown(one.directory.claim(&name()).await), Unknown::Away);
    assert_eq!(begun.elapsed(), REDIS_DEADLINE);
    // It is back within that second.
    let claims = tokio::spawn(one.directory.claim(&name()));
    sleep(Duration::from_millis(500)).await;
    one.store.connect(2);
    here(claims.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn what_no_relay_has_written_is_never_overwritten() {
    let (world, one, _other) = two().await;
    for foreign in ["hello", "00000000000000ff:x", ""] {
        world.write("r", foreign);
        assert_eq!(unknown(one.directory.claim(&name()).await), Unknown::Foreign);
        assert_eq!(unknown(one.directory.look(&name()).await), Unknown::Foreign);
        assert_eq!(world.room("r").as_deref(), Some(foreign));
    }
    let (_rooms, _asserts) = one.rooms();
    let ownership = one.directory.owned().add(&name());
    sleep(Duration::from_secs(20)).await;
    assert!(!ownership.is_lost(), "whoever is in that room stays");
    assert_eq!(world.room("r").as_deref(), Some(""));
}

#[tokio::test(start_paused = true)]
async fn a_relay_lets_go_of_a_room_that_another_one_has() {
    let (world, one, other) = two().await;
    let (_rooms, _asserts) = one.rooms();
    let ownership = here(one.directory.claim(&name()).await);
    // It slept, was taken for dead, and wakes up.
    advance(LEASE).await;
    other.renews().await;
    let _taken = here(other.directory.claim(&name()).await);
    assert!(!one.renews().await);
    one.caution.begin();
    sleep(Duration::from_millis(200)).await;
    assert!(ownership.is_lost());
    assert!(world.room("r").unwrap().starts_with(&other.own.process.to_string()));
}

#[tokio::test(start_paused = true)]
async fn a_cautious_relay_does_not_take_a_room_from_one_that_has_not_said_yet_that_it_lives() {
    let (world, one, other) = two().await;
    let (_rooms, _asserts) = one.rooms();
    let ownership = here(one.directory.claim(&name()).await);
    // Redis comes back with an old file, which says that the other one has it.
    world.flush();
    let claim = other.directory.new_claim();
    world.write("r", &claim.to_string());
    one.renews().await;
    one.caution.begin();
    sleep(Duration::from_secs(2)).await;
    assert!(!ownership.is_lost());
    assert_eq!(world.room("r"), Some(claim.to_string()));
    for _ in 0..6 {
        one.renews().await;
        other.renews().await;
        sleep(LEASE_RENEWAL).await;
    }
    assert!(ownership.is_lost());
}

#[tokio::test(start_paused = true)]
async fn keys_that_somebody_deletes_are_there_again_after_five_seconds() {
    let (world, one, _other) = two().await;
    let (_rooms, _asserts) = one.rooms();
    let _ownership = here(one.directory.claim(&name()).await);
    world.flush();
    sleep(Duration::from_millis(5_200)).await;
    assert!(world.room("r").unwrap().starts_with(&one.own.process.to_string()));
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_assertions_do_not_hold_up_the_lease_and_all_are_made() {
    let (world, one, _other) = two().await;
    let named = |number: usize| RoomName::parse(&format!("room-{number}")).unwrap();
    let owned: Vec<_> = (0..10_000).map(|number| one.directory.owned().add(&named(number))).collect();
    let _lease =
        tokio::spawn(lease::renew(Arc::clone(&one.store) as _, Arc::clone(&one.caution), Arc::clone(&one.own)));
    one.store.takes(Duration::from_millis(50));
    let (_rooms, _asserts) = one.rooms();
    one.caution.begin();
    for _ in 0..4 {
        sleep(LEASE_RENEWAL).await;
        assert!(one.store.lease(one.own.process).await.unwrap().is_some());
    }
    assert!((0..10_000).all(|number| world.room(&format!("room-{number}")).is_some()), "within the caution of others");
    // Then a thousand a second.
    let before = one.store.asked("assert");
    sleep(Duration::from_secs(10)).await;
    let asked = one.store.asked("assert") - before;
    assert!((5_000..=10_100).contains(&asked), "{asked}");
    assert!(owned.iter().all(|ownership| !ownership.is_lost()));
}

#[tokio::test(start_paused = true)]
async fn nobody_lets_go_of_a_room_while_redis_is_away() {
    let (world, one, other) = two().await;
    let (_rooms, _asserts) = one.rooms();
    let ownership = here(one.directory.claim(&name()).await);
    one.store.lose();
    sleep(Duration::from_secs(600)).await;
    assert!(!ownership.is_lost());
    // The other one has taken it meanwhile, since the lease of this one was gone.
    other.renews().await;
    let _taken = here(other.directory.claim(&name()).await);
    one.caution.begin();
    one.store.connect(2);
    one.renews().await;
    sleep(Duration::from_secs(1)).await;
    other.renews().await;
    sleep(Duration::from_secs(1)).await;
    assert!(ownership.is_lost());
    assert!(world.room("r").is_some());
}

#[tokio::test(start_paused = true)]
async fn a_relay_that_drains_claims_and_asserts_nothing() {
    let (world, one, _other) = two().await;
    let (_rooms, _asserts) = one.rooms();
    let _ownership = here(one.directory.claim(&name()).await);
    one.directory.drain();
    world.flush();
    sleep(Duration::from_secs(20)).await;
    assert_eq!(world.room("r"), None);
    assert_eq!(unknown(one.directory.claim(&name()).await), Unknown::Draining);
}

#[tokio::test(start_paused = true)]
async fn all_relays_know_of_all_and_forget_who_has_been_gone_for_a_minute() {
    let (_, one, other) = two().await;
    let scan = |relay: &FakeRelay| {
        Scan::new(
            Arc::clone(&relay.store) as _,
            Arc::clone(&relay.caution),
            Arc::clone(relay.directory.relays()),
            Arc::clone(&relay.own),
            Notices::new(|_| {}),
        )
    };
    let (mut ones, mut others) = (scan(&one), scan(&other));
    ones.look().await.unwrap();
    others.look().await.unwrap();
    ones.look().await.unwrap();
    let known = |relay: &FakeRelay| relay.directory.relays().all();
    assert_eq!(known(&one), [Arc::clone(&other.own)]);
    assert_eq!(known(&other), [Arc::clone(&one.own)]);
    // What no relay has written stays.
    one.store.forget("nobody").await.unwrap();
    let begun = Instant::now();
    while !known(&one).is_empty() {
        sleep(RELAYS_INTERVAL).await;
        one.renews().await;
        ones.look().await.unwrap();
    }
    let after = RELAY_FORGOTTEN..=RELAY_FORGOTTEN + LEASE + 2 * RELAYS_INTERVAL;
    assert!(after.contains(&begun.elapsed()), "{:?}", begun.elapsed());
    assert_eq!(one.store.relays().await.unwrap().len(), 1);
    // It was only slow: an owner that misses its own entry writes it again.
    other.renews().await;
    others.look().await.unwrap();
    ones.look().await.unwrap();
    assert_eq!(known(&one), [Arc::clone(&other.own)]);
}

#[tokio::test(start_paused = true)]
async fn however_many_wait_for_a_relay_to_die_its_lease_is_looked_at_four_times_a_second() {
    let world = Arc::<World>::default();
    let (one, other) = (FakeRelay::new(&world).await, FakeRelay::new(&world).await);
    one.store.takes(Duration::from_millis(1));
    let (process, begun) = (other.own.process, Instant::now());
    let waits: Vec<_> = (0..1_000)
        .map(|number| {
            let directory = Arc::clone(&one.directory);
            tokio::spawn(async move {
                sleep(Duration::from_millis(number)).await;
                while !directory.is_dead(process).await {}
            })
        })
        .collect();
    for wait in waits {
        wait.await.unwrap();
    }
    assert!(begun.elapsed() >= LEASE && begun.elapsed() < LEASE + 2 * LEASE_LOOK, "{:?}", begun.elapsed());
    let most = begun.elapsed().as_millis() / LEASE_LOOK.as_millis() + 1;
    let looks = one.store.asked("lease") as u128;
    assert!(looks <= most, "{looks} looks");
    // Nobody waits any more.
    one.directory.is_dead(one.own.process).await;
    assert!(one.directory.deaths.is_empty());
}
