//! One peer after the other, without sockets.

use std::net::IpAddr;
use std::time::Duration;

use super::super::HubSettings;
use super::*;
use crate::auth::{Authorizer, Denial, Grant, JoinRequest, Open};
use crate::budget::{Charge, PURSE, Purse};
use crate::limits::{
    ANNOUNCED_BYTES, AWAY_AFTER, BYTE_RATE, MESSAGE_BURST, MESSAGE_RATE, PAUSE, REFUSALS, SHARE_MESSAGES, STALL,
};
use crate::outbox::Topic;
use crate::quota::{Admission, QuotaSettings};
use crate::room::LeaveReason;
use crate::secret::Secret;
use crate::testing::MemorySocket;

/// A client whose session has no task: a test carries its texts, and gives it its turns.
pub(in crate::peer) struct Client {
    pub(in crate::peer) session: Session,
    socket: MemorySocket,
    _admission: Option<Arc<Admission>>,
}

impl Client {
    pub(in crate::peer) fn new(hub: &Arc<Hub>, room: usize) -> Self {
        let (socket, outbox) = MemorySocket::with_outbox(room);
        let rate = RateLimiter::new(MESSAGE_RATE, BYTE_RATE, Instant::now());
        let session = Session::new(Arc::clone(hub), outbox, rate, Default::default());
        Self { session, socket, _admission: None }
    }

    /// One whose first message has waited at another relay since it `asked`.
    pub(in crate::peer) fn by_door(hub: &Arc<Hub>, asked: Instant) -> Self {
        let (socket, outbox) = MemorySocket::with_outbox(usize::MAX);
        let rate = RateLimiter::new(MESSAGE_RATE, BYTE_RATE, Instant::now());
        let said = UpgradeHeaders { asked: Some(asked), ..UpgradeHeaders::default() };
        Self { session: Session::new(Arc::clone(hub), outbox, rate, said).after(1), socket, _admission: None }
    }

    /// One at this address, within the limits of the hub.
    pub(in crate::peer) fn at(hub: &Arc<Hub>, address: IpAddr) -> Self {
        let outbox = Arc::new(Outbox::new(1024 * 1024).at(Some(address)));
        let socket = MemorySocket::connected_to(&outbox, usize::MAX);
        let admission = hub.quotas.admit(Some(address)).unwrap();
        let rate = hub.quotas.rate_limiter(admission.address());
        let session = Session::new(Arc::clone(hub), outbox, rate, Default::default());
        Self { session, socket, _admission: Some(admission) }
    }

    /// A client whose messages are charged to `purse`.
    fn paying_from(hub: &Arc<Hub>, room: usize, purse: &Arc<Purse>) -> Self {
        let outbox = hub.new_outbox(purse, None);
        let socket = MemorySocket::connected_to(&outbox, room);
        let rate = RateLimiter::new(0, 0, Instant::now());
        let session = Session::new(Arc::clone(hub), outbox, rate, Default::default());
        Self { session, socket, _admission: None }
    }

    pub(in crate::peer) fn says(&mut self, text: &str) -> Result<(), Flood> {
        self.session.receive(text, Instant::now(), Waker::noop(), &mut Deferred::default())
    }

    /// The texts that the relay has sent to it since the last call.
    pub(in crate::peer) fn hears(&self) -> Vec<String> {
        self.session.outbox().flush();
        self.socket.texts()
    }

    /// Reads all that comes from now on.
    pub(in crate::peer) fn reads_on(&self) {
        self.socket.make_room(usize::MAX);
        let _ = self.session.outbox().poll_write(&mut task::Context::from_waker(Waker::noop()));
    }

    /// What the relay answers to `text`; empty when it answers nothing.
    pub(in crate::peer) fn answer(&mut self, text: &str) -> String {
        self.says(text).unwrap();
        self.hears().concat()
    }

    pub(in crate::peer) fn poll_waiting(&mut self) -> Poll<()> {
        let mut cx = task::Context::from_waker(Waker::noop());
        self.session.poll_waiting(&mut cx, Instant::now(), &mut Deferred::default())
    }
}

pub(in crate::peer) fn hub(authorizer: impl Authorizer + 'static) -> Arc<Hub> {
    Hub::new(HubSettings { room_capacity: 8, ..HubSettings::default() }, Arc::new(authorizer), None)
}

fn client() -> Client {
    Client::new(&hub(Open), usize::MAX)
}

const MESSAGE: &str = r#"{"type":"message","data":1,"ref":"m"}"#;

#[test]
fn a_peer_joins_leaves_and_joins_again() {
    let mut client = client();
    assert!(client.answer(r#"{"type":"join","room":"one"}"#).contains("joined"));
    assert!(client.answer(r#"{"type":"join","room":"two"}"#).contains("already_joined"));
    assert_eq!(client.session.joined_as().unwrap().0.as_str(), "one");
    assert_eq!(client.answer(r#"{"type":"leave"}"#), "");
    assert!(client.answer(r#"{"type":"join","room":"two"}"#).contains("joined"));
    assert_eq!(client.session.joined_as().unwrap().0.as_str(), "two");
}

#[test]
fn what_needs_a_room_is_refused_outside_of_one() {
    let mut client = client();
    for text in [r#"{"type":"leave"}"#, r#"{"type":"offer","sdp":""}"#, r#"{"type":"message","data":1,"to":"x"}"#] {
        assert!(client.answer(text).contains("not_joined"), "{text}");
    }
    assert!(client.session.joined_as().is_none());
}

#[tokio::test]
async fn who_has_not_read_about_earlier_joins_neither_joins_nor_comes_back() {
    let hub = hub(Open);
    let mut first = Client::new(&hub, usize::MAX);
    let joined = first.answer(r#"{"type":"join","room":"r","resume":true}"#);
    let joined: serde_json::Value = serde_json::from_str(&joined).unwrap();
    let resume = serde_json::json!({"type": "resume", "token": joined["resume"]["token"], "received": 1}).to_string();
    let mut client = Client::new(&hub, usize::MAX);
    for text in [r#"{"type":"join","room":"r"}"#, &resume] {
        let outbox = client.session.outbox();
        let unread = frame::text(ANNOUNCED_BYTES + 1, |frame| frame.resize(ANNOUNCED_BYTES + 1, b' '));
        outbox.announce(outbox.sender(), Topic::Other, unread);
        let answer = client.answer(text);
        assert!(answer.contains(r#""code":"unavailable""#), "{}", answer.trim());
    }
    assert!(client.answer(&resume).contains("resumed") || client.session.is_waiting());
}

#[tokio::test(start_paused = true)]
async fn a_flood_is_refused_and_then_ended() {
    let mut client = client();
    for _ in 0..MESSAGE_BURST {
        client.answer(r#"{"type":"leave"}"#);
    }
    for _ in 0..REFUSALS {
        let error = client.answer(r#"{"type":"leave","ref":"x"}"#);
        assert!(error.contains("rate_limited") && error.contains(r#""ref":"x""#), "{error}");
    }
    assert_eq!(client.says(r#"{"type":"leave"}"#), Err(Flood));
}

#[tokio::test(start_paused = true)]
async fn joins_and_leaves_cost_as_much_as_they_deliver() {
    let hub = hub(Open);
    let mut members: Vec<Client> = (0..6).map(|_| Client::new(&hub, usize::MAX)).collect();
    for member in &mut members {
        member.answer(r#"{"type":"join","room":"r"}"#);
    }
    let mut churner = Client::new(&hub, usize::MAX);
    let told = || members.iter().map(|member| member.hears().len()).sum::<usize>();
    told();
    while !churner.answer(r#"{"type":"join","room":"r"}"#).contains("rate_limited") {
        churner.answer(r#"{"type":"leave"}"#);
    }
    let told = told();
    assert!(told <= MESSAGE_BURST as usize + 12, "{told} deliveries for {MESSAGE_BURST} tokens");
}

#[tokio::test(start_paused = true)]
async fn what_a_host_does_costs_as_much_as_it_delivers() {
    let hub = hub(Open);
    let mut host = Client::new(&hub, usize::MAX);
    host.answer(r#"{"type":"join","room":"r","id":"host"}"#);
    let mut members: Vec<Client> = (0..6).map(|_| Client::new(&hub, usize::MAX)).collect();
    for member in &mut members {
        member.answer(r#"{"type":"join","room":"r"}"#);
    }
    let told = || members.iter().map(|member| member.hears().len()).sum::<usize>();
    told();
    host.hears();
    let commands = [r#"{"type":"lock","locked":true}"#, r#"{"type":"make_host","to":"host"}"#];
    for command in commands.iter().cycle() {
        if host.answer(command).contains("rate_limited") {
            break;
        }
    }
    let told = told();
    assert!(told > 0 && told <= MESSAGE_BURST as usize, "{told} deliveries for {MESSAGE_BURST} tokens");
}

/// The host of the room `r`, which it has locked, and a client that is in no room yet.
fn at_a_locked_room(hub: &Arc<Hub>) -> (Client, Client) {
    let (mut host, visitor) = (Client::new(hub, usize::MAX), Client::new(hub, usize::MAX));
    host.answer(r#"{"type":"join","room":"r"}"#);
    host.answer(r#"{"type":"lock","locked":true}"#);
    (host, visitor)
}

#[tokio::test(start_paused = true)]
async fn knocking_again_and_again_costs_as_much_as_it_delivers() {
    let hub = hub(Open);
    let (host, mut visitor) = at_a_locked_room(&hub);
    while !visitor.answer(r#"{"type":"join","room":"r"}"#).contains("rate_limited") {
        visitor.answer(r#"{"type":"leave"}"#);
    }
    let told = host.hears().len();
    assert!(told > 0 && told <= MESSAGE_BURST as usize / 2, "{told} deliveries for {MESSAGE_BURST} tokens");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_was_let_in_is_a_member_at_once_even_before_its_task_has_a_turn() {
    let hub = hub(Open);
    let (mut host, mut visitor) = at_a_locked_room(&hub);
    assert_eq!(visitor.answer(r#"{"type":"join","room":"r","id":"visitor"}"#), r#"{"type":"waiting"}"#);
    assert!(!visitor.session.must_join() && visitor.session.joined_as().is_none());
    host.answer(r#"{"type":"admit","to":"visitor"}"#);
    assert_eq!(visitor.answer(MESSAGE).matches("joined").count(), 1);
    assert!(host.hears().concat().contains(r#""from":"visitor""#));
    assert!(visitor.answer(r#"{"type":"join","room":"r"}"#).contains("already_joined"));
}

#[tokio::test(start_paused = true)]
async fn nothing_of_a_kicked_peer_arrives_even_before_its_connection_has_ended() {
    let hub = hub(Open);
    let (mut host, mut bully) = (Client::new(&hub, 0), Client::new(&hub, usize::MAX));
    host.says(r#"{"type":"join","room":"r"}"#).unwrap();
    bully.says(r#"{"type":"join","room":"r","id":"bully"}"#).unwrap();
    for _ in 0..=SHARE_MESSAGES {
        bully.says(MESSAGE).unwrap();
    }
    assert!(bully.session.is_waiting());
    host.says(r#"{"type":"kick","to":"bully"}"#).unwrap();
    host.socket.make_room(usize::MAX);
    assert!(host.session.outbox().poll_flush(&mut task::Context::from_waker(Waker::noop())).is_ready());
    assert!(bully.poll_waiting().is_ready());
    assert!(bully.answer(MESSAGE).contains("not_joined"));
    let heard = host.hears();
    assert_eq!(heard.len(), 2 + SHARE_MESSAGES + 1);
    assert_eq!(heard.last().unwrap(), r#"{"type":"peer_left","id":"bully","reason":"kicked"}"#);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_is_lost_just_after_it_was_let_in_leaves_the_room() {
    let hub = hub(Open);
    let (mut host, mut visitor) = at_a_locked_room(&hub);
    visitor.answer(r#"{"type":"join","room":"r","id":"visitor"}"#);
    host.answer(r#"{"type":"admit","to":"visitor"}"#);
    drop(visitor);
    assert_eq!(host.hears(), [r#"{"type":"peer_left","id":"visitor","reason":"closed"}"#]);
}

/// So long that the others hear who is away.
pub(in crate::peer) async fn a_while_passes() {
    tokio::task::yield_now().await;
    tokio::time::advance(AWAY_AFTER).await;
    tokio::task::yield_now().await;
}

#[tokio::test(start_paused = true)]
async fn one_that_takes_a_place_over_and_is_lost_before_it_has_it_leaves_it_away() {
    for has_parted in [false, true] {
        let hub = hub(Open);
        let (mut stays, mut old) = (Client::new(&hub, usize::MAX), Client::new(&hub, usize::MAX));
        stays.says(r#"{"type":"join","room":"r"}"#).unwrap();
        let joined = old.answer(r#"{"type":"join","room":"r","id":"phone","resume":true}"#);
        let joined: serde_json::Value = serde_json::from_str(&joined).unwrap();
        stays.hears();
        let resume = format!(r#"{{"type":"resume","token":{},"received":1}}"#, joined["resume"]["token"]);
        let mut new = Client::new(&hub, usize::MAX);
        assert_eq!(new.answer(&resume), "", "the old one has to part first");
        if has_parted {
            old.session.end(LeaveReason::Closed, Some(Instant::now()), "taken over");
            assert_eq!(stays.hears().len(), 0);
            new.session.end(LeaveReason::Closed, Some(Instant::now()), "lost");
        } else {
            new.session.end(LeaveReason::Closed, Some(Instant::now()), "lost");
            old.session.end(LeaveReason::Closed, Some(Instant::now()), "taken over");
        }
        a_while_passes().await;
        assert_eq!(stays.hears(), [r#"{"type":"peer_away","id":"phone"}"#]);
        assert_eq!((hub.resumptions.len(), hub.resumptions.held()), (1, 1));
        assert!(Client::new(&hub, usize::MAX).answer(&resume).contains(r#""type":"resumed""#));
        assert_eq!(hub.resumptions.held(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_is_lost_just_after_it_was_kicked_was_kicked() {
    let (tell, told) = std::sync::mpsc::channel();
    let observer = move |event: &RelayEvent| {
        if let RelayEvent::Left { reason, .. } = event {
            let _ = tell.send(*reason);
        }
    };
    let hub = Hub::new(HubSettings::default(), Arc::new(Open), Some(Arc::new(observer)));
    let (mut host, mut bully) = (Client::new(&hub, usize::MAX), Client::new(&hub, usize::MAX));
    host.says(r#"{"type":"join","room":"r"}"#).unwrap();
    bully.says(r#"{"type":"join","room":"r","id":"bully","resume":true}"#).unwrap();
    host.says(r#"{"type":"kick","to":"bully"}"#).unwrap();
    bully.session.end(LeaveReason::Closed, Some(Instant::now()), "lost");
    assert_eq!(told.try_iter().collect::<Vec<_>>(), [LeaveReason::Kicked]);
    assert_eq!(hub.resumptions.len(), 0);
    assert_eq!(host.hears().len(), 3, "`joined`, `peer_joined` and one `peer_left`");
}

#[tokio::test(start_paused = true)]
async fn who_joins_again_and_again_for_a_held_offer_has_to_read_it() {
    let hub = hub(Open);
    let (mut alone, mut joiner) = (Client::new(&hub, usize::MAX), Client::new(&hub, 0));
    alone.says(r#"{"type":"join","room":"r"}"#).unwrap();
    alone.says(&format!(r#"{{"type":"offer","sdp":"{}"}}"#, "x".repeat(60_000))).unwrap();
    for _ in 0..100 {
        joiner.says(r#"{"type":"join","room":"r"}"#).unwrap();
        joiner.says(r#"{"type":"leave"}"#).unwrap();
    }
    joiner.socket.make_room(usize::MAX);
    assert!(joiner.session.outbox().poll_flush(&mut task::Context::from_waker(Waker::noop())).is_ready());
    let heard = joiner.hears();
    let count = |what: &str| heard.iter().filter(|text| text.contains(what)).count();
    assert_eq!((count(r#""type":"offer""#), count(r#""code":"unavailable""#)), (5, 95));
    assert!(joiner.answer(r#"{"type":"join","room":"r"}"#).contains(r#""type":"joined""#), "it has read");
}

#[tokio::test(start_paused = true)]
async fn a_full_share_pauses_its_sender_until_the_receiver_reads() {
    let hub = hub(Open);
    let (mut sender, mut receiver) = (Client::new(&hub, usize::MAX), Client::new(&hub, 0));
    receiver.says(r#"{"type":"join","room":"r"}"#).unwrap();
    sender.says(r#"{"type":"join","room":"r"}"#).unwrap();
    for _ in 0..SHARE_MESSAGES {
        sender.says(MESSAGE).unwrap();
        assert!(!sender.session.is_waiting());
    }
    sender.says(MESSAGE).unwrap();
    assert!(sender.session.is_waiting());
    assert!(sender.poll_waiting().is_pending());
    receiver.socket.make_room(usize::MAX);
    let mut cx = task::Context::from_waker(Waker::noop());
    assert!(receiver.session.outbox().poll_flush(&mut cx).is_ready());
    assert!(sender.poll_waiting().is_ready());
    assert_eq!(receiver.hears().len(), 2 + SHARE_MESSAGES + 1);
    assert_eq!(sender.hears().len(), 1, "nothing but `joined`");
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_is_paused_when_somebody_else_is_kicked_still_gets_its_message_through() {
    let hub = hub(Open);
    let [mut receiver, mut sender, mut bully] = [0, usize::MAX, usize::MAX].map(|room| Client::new(&hub, room));
    receiver.says(r#"{"type":"join","room":"r","id":"host"}"#).unwrap();
    sender.says(r#"{"type":"join","room":"r"}"#).unwrap();
    bully.says(r#"{"type":"join","room":"r","id":"bully"}"#).unwrap();
    let message = r#"{"type":"message","data":1,"to":"host"}"#;
    (0..=SHARE_MESSAGES).for_each(|_| sender.says(message).unwrap());
    assert!(sender.session.is_waiting());
    receiver.says(r#"{"type":"kick","to":"bully"}"#).unwrap();
    receiver.socket.make_room(usize::MAX);
    assert!(receiver.session.outbox().poll_flush(&mut task::Context::from_waker(Waker::noop())).is_ready());
    assert!(sender.poll_waiting().is_ready());
    assert_eq!(receiver.hears().iter().filter(|text| text.contains(r#""data":1"#)).count(), SHARE_MESSAGES + 1);
}

/// A sender that waits, and the receiver for which it does: that one, called `slow`, has not read any of a full share.
fn paused() -> (Client, Client) {
    let hub = hub(Open);
    let (mut sender, mut receiver) = (Client::new(&hub, usize::MAX), Client::new(&hub, 0));
    receiver.says(r#"{"type":"join","room":"r","id":"slow"}"#).unwrap();
    sender.says(r#"{"type":"join","room":"r"}"#).unwrap();
    for _ in 0..=SHARE_MESSAGES {
        sender.says(MESSAGE).unwrap();
    }
    (sender, receiver)
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_reads_nothing_for_100_ms_is_busy_until_half_of_the_share_is_read() {
    let (mut sender, receiver) = paused();
    assert!(sender.poll_waiting().is_pending());
    tokio::time::advance(STALL).await;
    assert!(sender.poll_waiting().is_pending(), "the relay may have been late itself");
    tokio::time::advance(STALL / 2).await;
    assert!(sender.poll_waiting().is_ready());
    let busy = sender.hears().pop().unwrap();
    assert!(busy.contains(r#""code":"peer_busy""#) && busy.contains(r#""to":"slow""#), "{busy}");
    assert!(busy.contains(r#""ref":"m""#) && busy.contains(r#""retryable":true"#), "{busy}");
    assert!(sender.answer(MESSAGE).contains("peer_busy"), "at once from then on");
    assert!(!sender.session.is_waiting());
    let frame = 2 + r#"{"type":"message","from":"","data":1,"ref":"m"}"#.len() + 32;
    let before = 400;
    receiver.socket.make_room(before + frame * SHARE_MESSAGES / 2);
    let mut cx = task::Context::from_waker(Waker::noop());
    let _ = receiver.session.outbox().poll_flush(&mut cx);
    assert_eq!(sender.answer(MESSAGE), "", "it takes messages again");
}

#[tokio::test(start_paused = true)]
async fn a_relay_that_is_late_itself_blames_no_receiver() {
    let (mut sender, receiver) = paused();
    // The socket takes something once in each of the relay's turns, whatever time they take.
    for _ in 0..4 {
        tokio::time::advance(PAUSE * 2).await;
        assert!(sender.poll_waiting().is_pending());
        receiver.socket.make_room(1);
        let _ = receiver.session.outbox().poll_flush(&mut task::Context::from_waker(Waker::noop()));
    }
    receiver.socket.make_room(usize::MAX);
    assert!(receiver.session.outbox().poll_flush(&mut task::Context::from_waker(Waker::noop())).is_ready());
    assert!(sender.poll_waiting().is_ready());
    assert_eq!(sender.hears().len(), 1, "nothing but `joined`");
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_reads_too_slowly_pauses_its_sender_for_250_ms() {
    let (mut sender, receiver) = paused();
    let start = Instant::now();
    while sender.poll_waiting().is_pending() {
        receiver.socket.make_room(1);
        let _ = receiver.session.outbox().poll_flush(&mut task::Context::from_waker(Waker::noop()));
        tokio::time::advance(Duration::from_millis(10)).await;
    }
    assert!(start.elapsed() >= PAUSE && start.elapsed() < PAUSE * 2, "{:?}", start.elapsed());
    assert!(sender.hears().concat().contains("peer_busy"));
}

#[tokio::test(start_paused = true)]
async fn an_authorizer_may_take_time_and_a_late_answer_is_a_refusal() {
    let slowly = |request: JoinRequest| async move {
        tokio::time::sleep(Duration::from_secs(if request.room.as_str() == "never" { 60 } else { 1 })).await;
        if request.room.as_str() == "no" {
            Err(Denial::Unauthorized("not you".into()))
        } else {
            Ok(Grant::from(&request))
        }
    };
    let mut client = Client::new(&hub(slowly), usize::MAX);
    for (room, answer) in [("no", "unauthorized"), ("never", "unavailable"), ("yes", "joined")] {
        client.says(&format!(r#"{{"type":"join","room":"{room}","ref":"j"}}"#)).unwrap();
        assert!(client.session.is_waiting() && client.hears().is_empty());
        let session = &mut client.session;
        std::future::poll_fn(|cx| session.poll_waiting(cx, Instant::now(), &mut Deferred::default())).await;
        let heard = client.hears().concat();
        assert!(heard.contains(answer), "{heard}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_repeats_no_more_of_a_message_than_an_id_and_a_ref() {
    let mut client = client();
    client.answer(r#"{"type":"join","room":"r","id":"me"}"#);
    let long = "x".repeat(60_000);
    for commands in ["kick", "admit", "deny", "make_host", "offer"] {
        let error = client.answer(&format!(r#"{{"type":"{commands}","to":"{long}","sdp":"","ref":"m"}}"#));
        assert!(error.contains("peer_not_found") && !error.contains(r#""to""#), "{commands}");
    }
    let error = client.answer(r#"{"type":"offer","to":"nobody","sdp":""}"#);
    assert!(error.contains(r#""to":"nobody""#), "{error}");
    let twice = client.answer(&format!(r#"{{"type":"offer","{long}":1,"{long}":1}}"#));
    assert!(twice.contains("is present twice") && twice.len() < 300, "{}", twice.len());
    let spaces = client.answer(&format!(r#"{{"type":"leave","ref":"{}"}}"#, "x".repeat(60_000)));
    assert!(spaces.contains("bad_message") && spaces.len() < 300, "{}", spaces.len());
}

/// A hub in which each address may pin 1 MiB.
fn narrow_hub() -> Arc<Hub> {
    let quotas = QuotaSettings { address_memory: 1024 * 1024, ..QuotaSettings::default() };
    Hub::new(HubSettings { room_capacity: 8, quotas, ..HubSettings::default() }, Arc::new(Open), None)
}

/// A client at this address, which reads so many bytes.
fn client_at(hub: &Arc<Hub>, ip: &str, room: usize) -> (Client, Arc<Admission>) {
    let admission = hub.quotas.admit(Some(ip.parse().unwrap())).unwrap();
    (Client::paying_from(hub, room, admission.purse()), admission)
}

#[tokio::test(start_paused = true)]
async fn who_has_pinned_the_memory_of_its_address_hears_of_busy_peers_and_nobody_else_does() {
    let hub = narrow_hub();
    let offer = format!(r#"{{"type":"offer","to":"b","sdp":"{}"}}"#, "x".repeat(50_000));
    let mut pairs: Vec<_> = (0..20).map(|_| [(); 2].map(|()| client_at(&hub, "192.0.2.1", 10_000))).collect();
    for (room, [(one, _), (other, _)]) in pairs.iter_mut().enumerate() {
        one.says(&format!(r#"{{"type":"join","room":"{room}","id":"a"}}"#)).unwrap();
        other.says(&format!(r#"{{"type":"join","room":"{room}","id":"b"}}"#)).unwrap();
    }
    let mut busy = 0;
    for [(one, _), _] in &mut pairs {
        one.says(&offer).unwrap();
        for _ in 0..4 {
            let _ = one.poll_waiting();
            tokio::time::advance(PAUSE).await;
        }
        busy += one.hears().concat().matches("peer_busy").count();
    }
    assert!((1..20).contains(&busy), "{busy}");
    let [(mut one, _a), (mut other, _b)] = [(); 2].map(|()| client_at(&hub, "192.0.2.2", usize::MAX));
    one.answer(r#"{"type":"join","room":"honest","id":"a"}"#);
    other.answer(r#"{"type":"join","room":"honest","id":"b"}"#);
    assert!(one.hears().concat().contains("peer_joined"));
    assert_eq!(one.answer(&offer), "");
    assert!(other.hears().concat().contains("offer"));
    drop((pairs, one, other, _a, _b));
    assert_eq!(hub.quotas.pinned(), 0);
}

#[test]
fn who_has_pinned_the_memory_of_its_address_joins_later_and_leaves_no_offer() {
    let hub = narrow_hub();
    let (mut client, admission) = client_at(&hub, "192.0.2.1", usize::MAX);
    assert!(client.answer(r#"{"type":"join","room":"r"}"#).contains("joined"));
    let pinned = std::iter::from_fn(|| admission.purse().charge(1000)).collect::<Vec<_>>();
    let offer = format!(r#"{{"type":"offer","sdp":"{}"}}"#, "x".repeat(PURSE));
    assert!(client.answer(&offer).contains("peer_not_found"));
    client.answer(r#"{"type":"leave"}"#);
    let refused = client.answer(r#"{"type":"join","room":"r"}"#);
    assert!(refused.contains("unavailable") && refused.contains("--address-memory"), "{refused}");
    drop(pinned);
    assert!(client.answer(r#"{"type":"join","room":"r"}"#).contains("joined"));
    assert_eq!(client.answer(&offer), "");
}

/// All the memory of an address.
fn pin_all(admission: &Admission) -> Vec<Charge> {
    let bytes = [1000, 10].into_iter();
    bytes.flat_map(|bytes| std::iter::from_fn(move || admission.purse().charge(bytes))).collect()
}

#[tokio::test(start_paused = true)]
async fn a_message_that_waits_for_room_pins_memory_and_without_memory_it_does_not_wait() {
    let hub = narrow_hub();
    let (mut one, admission) = client_at(&hub, "192.0.2.1", usize::MAX);
    let (mut stalled, _other) = client_at(&hub, "192.0.2.2", 1_000);
    one.answer(r#"{"type":"join","room":"r","id":"a"}"#);
    stalled.answer(r#"{"type":"join","room":"r","id":"b"}"#);
    one.hears();
    let offer = format!(r#"{{"type":"offer","to":"b","sdp":"{}"}}"#, "x".repeat(50_000));
    assert_eq!(one.answer(&offer), "");
    let before = admission.purse().account().used();
    assert_eq!(one.answer(&offer), "");
    assert!(one.session.is_waiting() && admission.purse().account().used() >= before + 40_000);
    while one.poll_waiting().is_pending() {
        tokio::time::advance(PAUSE).await;
    }
    assert!(one.hears().concat().contains("peer_busy"));
    admission.purse().give_back();
    assert!(admission.purse().account().used() <= before);
    stalled.session.leave(LeaveReason::Left, &mut Deferred::default());

    let (mut next, _next) = client_at(&hub, "192.0.2.2", 1_000);
    next.answer(r#"{"type":"join","room":"r","id":"b"}"#);
    one.hears();
    assert_eq!(one.answer(&offer), "");
    let _pinned = pin_all(&admission);
    assert!(one.answer(&offer).contains("peer_busy") && !one.session.is_waiting());
}

#[tokio::test(start_paused = true)]
async fn without_memory_a_host_changes_nothing_and_nobody_comes_back() {
    let hub = narrow_hub();
    let (mut host, admission) = client_at(&hub, "192.0.2.1", usize::MAX);
    let joined = host.answer(r#"{"type":"join","room":"r","id":"a","resume":true}"#);
    let joined: serde_json::Value = serde_json::from_str(&joined).unwrap();
    let resume = format!(r#"{{"type":"resume","token":{},"received":1}}"#, joined["resume"]["token"]);
    let mut pinned = Vec::new();
    for command in [r#"{"type":"lock","locked":true}"#, r#"{"type":"make_host","to":"a"}"#] {
        pinned.push(pin_all(&admission));
        let refused = host.answer(command);
        assert!(refused.contains("unavailable") && refused.contains("--address-memory"), "{refused}");
    }
    drop(pinned);
    let (mut next, admission) = client_at(&hub, "192.0.2.1", usize::MAX);
    let pinned = pin_all(&admission);
    assert!(next.answer(&resume).contains("unavailable"));
    drop(pinned);
    next.answer(&resume);
    host.session.end(LeaveReason::Closed, Some(Instant::now()), "taken over");
    assert!(next.poll_waiting().is_ready() && next.hears().concat().contains("resumed"), "the place stayed");
}

#[tokio::test(start_paused = true)]
async fn what_the_upgrade_said_pins_memory_as_long_as_it_is_known() {
    let hub = narrow_hub();
    let (client, admission) = client_at(&hub, "192.0.2.1", usize::MAX);
    let before = admission.purse().account().used();
    let said =
        UpgradeHeaders { origin: Some("x".repeat(100_000)), named: vec![("a".into(), Secret::new("b"))], asked: None };
    let outbox = hub.new_outbox(admission.purse(), None);
    let rate = RateLimiter::new(0, 0, Instant::now());
    let session = Session::new(Arc::clone(&hub), outbox, rate, said);
    assert!(admission.purse().account().used() >= before + 100_000);
    drop((session, client));
    admission.purse().give_back();
    assert!(admission.purse().account().used() <= before);
}
