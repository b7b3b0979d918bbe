//! Joins of rooms that may live at another relay.

use std::sync::Mutex;
use std::task::Waker;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{advance, sleep};

use super::super::tests::Client;
use super::*;
use crate::auth::{Authorizer, Decision, Denial, JoinRequest, Open};
use crate::cluster::fake::{FakeRelay, World};
use crate::limits::LEASE;
use crate::peer::{Hub, HubSettings};

const JOIN: &str = r#"{"type":"join","room":"r","ref":"j"}"#;

fn hub(relay: &FakeRelay, authorizer: impl Authorizer + 'static) -> Arc<Hub> {
    let directory = Some(Arc::clone(&relay.directory));
    Hub::new(HubSettings { directory, ..HubSettings::default() }, Arc::new(authorizer), None)
}

async fn relays() -> (Arc<World>, FakeRelay, FakeRelay) {
    let world = Arc::<World>::default();
    let (one, other) = (FakeRelay::new(&world).await, FakeRelay::new(&world).await);
    (world, one, other)
}

/// Refuses everybody at once.
struct Nobody;

impl Authorizer for Nobody {
    fn authorize(&self, _: &JoinRequest) -> Answer {
        Answer::Now(Err(Denial::Unauthorized("no".into())))
    }
}

/// Takes its time: each decision is made when the test says so.
#[derive(Clone, Default)]
struct Slow(Arc<Mutex<Vec<oneshot::Sender<()>>>>);

impl Slow {
    /// How many it was asked about.
    fn asked(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// Lets the last one in.
    fn decide(&self) {
        self.0.lock().unwrap().pop().unwrap().send(()).unwrap();
    }
}

impl Authorizer for Slow {
    fn authorize(&self, request: &JoinRequest) -> Answer {
        let (slow, grant) = (self.clone(), Grant::from(request));
        let decision: Decision = Box::pin(async move {
            let (decide, decided) = oneshot::channel();
            slow.0.lock().unwrap().push(decide);
            decided.await.map_err(|_| Denial::Unauthorized("no".into()))?;
            Ok(grant)
        });
        Answer::Later(decision)
    }
}

/// Gives the client its turns until it waits no more.
async fn settle(client: &mut Client) {
    for _ in 0..1_000 {
        if client.poll_waiting().is_ready() {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("it still waits");
}

async fn answer(client: &mut Client) -> String {
    client.says(JOIN).unwrap();
    settle(client).await;
    client.hears().concat()
}

#[tokio::test(start_paused = true)]
async fn a_room_that_lives_elsewhere_is_unavailable_and_another_one_may_be_joined() {
    let (_, one, other) = relays().await;
    let (hub, others) = (hub(&one, Open), hub(&other, Open));
    let mut host = Client::new(&others, usize::MAX);
    assert!(answer(&mut host).await.contains("joined"));
    let mut client = Client::new(&hub, usize::MAX);
    client.says(JOIN).unwrap();
    assert!(client.session.is_waiting() && !client.session.must_join(), "no deadline runs meanwhile");
    settle(&mut client).await;
    let refused = client.hears().concat();
    assert!(refused.contains(r#""code":"unavailable""#) && refused.contains(r#""retryable":true"#), "{refused}");
    assert!(refused.contains(r#""ref":"j""#) && hub.rooms.is_empty(), "{refused}");
    client.says(r#"{"type":"join","room":"free"}"#).unwrap();
    settle(&mut client).await;
    assert!(client.hears().concat().contains("joined"));
    // By URL, the refusal is returned, with the relay that has the room.
    let mut by_url = Client::new(&hub, usize::MAX);
    let join = match crate::protocol::parse(JOIN).message {
        Ok(crate::protocol::Command::Join(join)) => join,
        other => panic!("{other:?}"),
    };
    let refused = by_url.session.join_by_url(join, None).await.unwrap_err();
    assert!(matches!(refused, JoinRefusal::Other(refusal) if refusal.code == ErrorCode::Unavailable));
}

#[tokio::test(start_paused = true)]
async fn a_room_that_is_here_is_entered_without_asking_the_directory() {
    let (_, one, _other) = relays().await;
    let hub = hub(&one, Open);
    let mut host = Client::new(&hub, usize::MAX);
    answer(&mut host).await;
    one.store.lose();
    let mut client = Client::new(&hub, usize::MAX);
    assert!(client.answer(JOIN).contains("joined"), "at once");
    assert_eq!(one.store.asked("claim"), 1);
    drop((host, client));
    let mut client = Client::new(&hub, usize::MAX);
    assert!(answer(&mut client).await.contains("unavailable"), "nobody was there any more");
}

#[tokio::test(start_paused = true)]
async fn the_directory_never_hears_of_those_whom_the_authorizer_refuses() {
    let (_, one, _other) = relays().await;
    let hub = hub(&one, Nobody);
    let mut client = Client::new(&hub, usize::MAX);
    for _ in 0..5 {
        assert!(client.answer(JOIN).contains("unauthorized"));
    }
    for command in ["claim", "read", "lease", "take_over"] {
        assert_eq!(one.store.asked(command), 0, "{command}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_webhook_is_asked_where_the_room_lives_and_nowhere_else() {
    let (_, one, other) = relays().await;
    let (slow, others) = (Slow::default(), hub(&other, Open));
    let hub = hub(&one, slow.clone());
    let mut host = Client::new(&others, usize::MAX);
    answer(&mut host).await;
    let mut client = Client::new(&hub, usize::MAX);
    assert!(answer(&mut client).await.contains("unavailable"));
    assert_eq!(slow.asked(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_room_that_is_taken_while_a_webhook_decides_is_not_opened_a_second_time() {
    let (_, one, other) = relays().await;
    let (slow, others) = (Slow::default(), hub(&other, Open));
    let hub = hub(&one, slow.clone());
    let mut client = Client::new(&hub, usize::MAX);
    client.says(JOIN).unwrap();
    while slow.asked() == 0 {
        let _ = client.poll_waiting();
        sleep(Duration::from_millis(10)).await;
    }
    let mut host = Client::new(&others, usize::MAX);
    assert!(answer(&mut host).await.contains("joined"), "nothing was claimed yet");
    slow.decide();
    settle(&mut client).await;
    assert!(client.hears().concat().contains("unavailable") && hub.rooms.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_room_that_empties_and_is_let_go_of_while_a_webhook_decides_is_not_entered() {
    let (_, one, other) = relays().await;
    let slow = Slow::default();
    let hub = hub(&one, slow.clone());
    let mut host = Client::new(&hub, usize::MAX);
    host.says(JOIN).unwrap();
    while slow.asked() == 0 {
        let _ = host.poll_waiting();
        sleep(Duration::from_millis(10)).await;
    }
    slow.decide();
    settle(&mut host).await;
    assert!(host.hears().concat().contains("joined"));
    let mut client = Client::new(&hub, usize::MAX);
    client.says(JOIN).unwrap();
    let _ = client.poll_waiting();
    assert_eq!(slow.asked(), 1, "the room is here, so the webhook is asked at once");
    drop(host);
    advance(LEASE).await;
    other.renews().await;
    let taken = other.directory.claim(&RoomName::parse("r").unwrap()).await;
    assert!(matches!(taken, Place::Here(_)), "{taken:?}");
    slow.decide();
    settle(&mut client).await;
    assert!(client.hears().concat().contains("unavailable") && hub.rooms.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_room_that_is_let_go_of_between_the_claim_and_the_entry_is_claimed_again() {
    let (_, one, _other) = relays().await;
    let hub = hub(&one, Open);
    let gate = one.store.hold("claim");
    let mut client = Client::new(&hub, usize::MAX);
    client.says(JOIN).unwrap();
    let _ = client.poll_waiting();
    gate.arrived().await;
    gate.open();
    // Somebody else who waits for the same has the answer earlier.
    let Place::Here(ownership) = one.directory.claim(&RoomName::parse("r").unwrap()).await else { panic!() };
    hub.rooms.let_go(&ownership);
    settle(&mut client).await;
    assert!(client.hears().concat().contains("joined"));
    assert_eq!(one.store.asked("claim"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_gives_up_while_it_waits_leaves_nothing_behind() {
    let (_, one, _other) = relays().await;
    let hub = hub(&one, Open);
    let gate = one.store.hold("claim");
    let mut client = Client::new(&hub, usize::MAX);
    client.says(JOIN).unwrap();
    let mut cx = task::Context::from_waker(Waker::noop());
    assert!(client.session.poll_waiting(&mut cx, Instant::now(), &mut Deferred::default()).is_pending());
    gate.arrived().await;
    drop(client);
    gate.open();
    sleep(Duration::from_secs(1)).await;
    assert!(hub.rooms.is_empty() && one.directory.owned().all().is_empty());
}
