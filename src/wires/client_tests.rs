//! One client on a wire of topics: when it waits, and for how long.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::Wake;

use super::super::dialect;
use super::*;
use crate::auth::Open;
use crate::limits::{MESSAGE_RATE, SHARE_MESSAGES, WIRE_LOOK, WIRE_PATIENCE};
use crate::outbox::CloseRequest;
use crate::peer::HubSettings;
use crate::quota::OverLimit;
use crate::wire::Wire;

/// Counts how often it is woken.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Relaxed);
    }
}

/// A relay with the topics of y-webrtc.
struct Relay {
    hub: Arc<Hub>,
    topics: Arc<Topics>,
}

impl Relay {
    fn new() -> Self {
        let hub = Hub::new(HubSettings::default(), Arc::new(Open), None);
        Self { hub, topics: Arc::new(Topics::new(dialect(Wire::YWebrtc).unwrap())) }
    }

    /// A client that is subscribed to `a`, whose socket takes nothing, and what wakes its task.
    fn client(&self) -> Result<(TopicClient, Arc<Count>), OverLimit> {
        let admission = self.hub.quotas.admit(None)?;
        let outbox = self.hub.new_outbox_on(Wire::YWebrtc, admission.purse(), None, crate::limits::WIRE_OUTBOX_BYTES);
        let rate = RateLimiter::new(MESSAGE_RATE, 0, Instant::now());
        let (hub, topics) = (Arc::clone(&self.hub), Arc::clone(&self.topics));
        let mut client = TopicClient::new(hub, topics, outbox, rate, Said::default());
        let woken = Arc::new(Count::default());
        client.says(r#"{"type":"subscribe","topics":["a"]}"#, &woken);
        Ok((client, woken))
    }
}

impl TopicClient {
    fn says(&mut self, text: &str, woken: &Arc<Count>) {
        let waker = Arc::clone(woken).into();
        self.receive(text, Instant::now(), &waker, &mut Deferred::default()).unwrap();
    }

    /// Goes on as its connection does; whether it may receive more.
    fn goes_on(&mut self, woken: &Arc<Count>) -> bool {
        let waker = Arc::clone(woken).into();
        let mut cx = Context::from_waker(&waker);
        let is_ready = self.poll_waiting(&mut cx, Instant::now(), &mut Deferred::default()).is_ready();
        // This is where its outbox learns who writes for it.
        let _ = self.outbox.poll_write(&mut cx);
        is_ready
    }
}

const SAYS: &str = r#"{"type":"publish","topic":"a","data":1}"#;

#[tokio::test(start_paused = true)]
async fn two_who_wait_for_each_other_do_not_wake_each_other_all_the_time() {
    let relay = Relay::new();
    let [(mut one, woken), (mut two, other)] = [relay.client().unwrap(), relay.client().unwrap()];
    for (client, woken) in [(&mut one, &woken), (&mut two, &other)] {
        while client.goes_on(woken) {
            client.says(SAYS, woken);
        }
        assert!(client.messages > SHARE_MESSAGES as u32);
    }
    let wakes = || woken.0.load(Relaxed) + other.0.load(Relaxed);
    let before = wakes();
    for _ in 0..1000 {
        assert!(!one.goes_on(&woken) && !two.goes_on(&other));
    }
    assert!(wakes() - before < 10, "{}", wakes() - before);
    assert!(one.next_look().unwrap() > Instant::now() && two.next_look().unwrap() > Instant::now());
}

#[tokio::test(start_paused = true)]
async fn who_waits_hears_a_pong_now_and_then_and_gives_up_on_the_slow_one_in_the_end() {
    let relay = Relay::new();
    let (mut one, woken) = relay.client().unwrap();
    let (slow, _) = relay.client().unwrap();
    one.says(r#"{"type":"unsubscribe","topics":["a"]}"#, &woken);
    while one.goes_on(&woken) {
        one.says(SAYS, &woken);
    }
    let began = Instant::now();
    let mut looks = 0;
    while !one.goes_on(&woken) {
        let next = one.next_look().unwrap();
        assert!(next > Instant::now() || woken.0.swap(0, Relaxed) > 0, "it does not wait for what is over");
        tokio::time::sleep_until(next).await;
        looks += 1;
    }
    let waited = began.elapsed();
    assert!(waited >= WIRE_PATIENCE && waited < WIRE_PATIENCE + WIRE_LOOK * 3, "{waited:?}");
    assert!(looks < 500, "{looks}");
    assert_eq!(slow.outbox.close_request(), Some(CloseRequest::TooSlow));
    assert!(one.take_answered(), "a pong");
    assert_eq!(one.outbox.close_request(), None);
}

#[tokio::test(start_paused = true)]
async fn others_get_their_turns_between_the_deliveries_of_one() {
    let relay = Relay::new();
    let (mut one, woken) = relay.client().unwrap();
    let mut turns = 0;
    // Its own socket takes everything at once.
    for _ in 0..2 * DELIVERIES_A_TURN {
        one.says(SAYS, &woken);
        one.outbox.discard();
        if one.is_waiting() {
            turns += 1;
            assert!(!one.goes_on(&woken), "others go first");
            assert!(one.goes_on(&woken));
        }
    }
    assert!(turns >= 1, "{turns}");
}
