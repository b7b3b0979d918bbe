//! The checker on histories that were written by hand: what each breaks, and what is no break although it looks like one.

use serde_json::json;

use super::super::record::{Heard, Loss, Refusal, Seen};
use super::*;

const ONE: &str = "0000000000000001";

/// A life that begins with `joined`, in which `others` are there.
fn life(person: usize, id: &str, others: &[&str]) -> Life {
    let peers: Vec<_> = others.iter().map(|id| json!({"id": id})).collect();
    let joined = json!({"type": "joined", "id": id, "room": "r", "host": "a", "peers": peers});
    Life {
        person,
        id: id.into(),
        room: "r".into(),
        token: Some(format!("{ONE}-{id}")),
        heard: vec![Heard { at: 1_000, message: joined }],
        ways: vec![Way { door: person % 3, is_straight: true, from: 1_000, until: None }],
        ..Life::default()
    }
}

fn hears(life: &mut Life, at: Ms, message: Value) {
    life.heard.push(Heard { at, message });
}

fn joins(life: &mut Life, at: Ms, id: &str) {
    hears(life, at, json!({"type": "peer_joined", "id": id}));
}

fn leaves(life: &mut Life, at: Ms, id: &str, reason: &str) {
    hears(life, at, json!({"type": "peer_left", "id": id, "reason": reason}));
}

fn hears_number(life: &mut Life, at: Ms, from: &str, number: u64) {
    hears(life, at, json!({"type": "message", "from": from, "ref": number.to_string(), "data": {"n": number}}));
}

fn says(life: &mut Life, at: Ms, number: u64, present: &[&str]) {
    let present = present.iter().map(|id| (*id).to_owned()).collect();
    life.said.push(Said { at, text: String::new(), what: What::Message { number, to: None }, present });
    life.answered = life.said.len();
}

fn ends(life: &mut Life, at: Ms, parting: Parting, why: Why) {
    life.ways.last_mut().unwrap().until = Some((at, parting));
    life.end = Some(End { at, why });
}

/// The lives of a history in which all went well, with room `r` on relay 0.
fn history(lives: Vec<Life>) -> History {
    let members = lives.iter().filter(|life| life.end.is_none()).count();
    let mut relays = vec![Seen { process: Some(ONE.into()), is_registered: true, ..Seen::default() }; 3];
    if members > 0 {
        relays[0].rooms.insert("r".into(), members);
    }
    relays[1].process = Some("0000000000000002".into());
    relays[2].process = Some("0000000000000003".into());
    let directory = [("r".to_owned(), Some(ONE.to_owned()))].into();
    let finale = Finale { together_after: Some(100), allowed: 10_000, relays, directory, ..Finale::default() };
    History {
        capacity: 3,
        hold: 8_000,
        tries: lives.iter().map(|life| (life.id.clone(), life.room.clone())).collect(),
        processes: [(ONE.to_owned(), 0)].into(),
        lives,
        finale: Some(finale),
        ..History::default()
    }
}

/// Two who are in one room until the end.
fn pair() -> (Life, Life) {
    let (mut a, b) = (life(0, "a", &[]), life(1, "b", &["a"]));
    joins(&mut a, 1_500, "b");
    (a, b)
}

fn broken(what: Broken, from: Ms, until: Ms) -> Fault {
    Fault { broken: what, from, until }
}

#[track_caller]
fn is_good(history: &History) {
    assert_eq!(check(history), [""; 0]);
}

#[track_caller]
fn breaks(history: &History, what: &str) {
    let faults = check(history);
    assert!(faults.iter().any(|fault| fault.contains(what)), "{what}: {faults:?}");
}

#[test]
fn two_who_talk_break_nothing() {
    let (mut a, mut b) = pair();
    says(&mut a, 2_000, 1, &["b"]);
    says(&mut a, 2_001, 2, &["b"]);
    hears_number(&mut b, 2_100, "a", 1);
    hears_number(&mut b, 2_101, "a", 2);
    is_good(&history(vec![a, b]));
}

#[test]
fn a_message_that_is_lost_while_both_stay_is_told() {
    let (mut a, mut b) = pair();
    says(&mut a, 2_000, 1, &["b"]);
    says(&mut a, 2_001, 2, &["b"]);
    hears_number(&mut b, 2_101, "a", 2);
    breaks(&history(vec![a.clone(), b.clone()]), "1, said by a at 2000, is lost");
    // Its sender was told.
    let mut told = a.clone();
    hears(&mut told, 2_050, json!({"type": "error", "code": "peer_busy", "ref": "1", "to": "b"}));
    is_good(&history(vec![told, b.clone()]));
    // Perhaps it was told, and did not hear it.
    a.answered = 0;
    is_good(&history(vec![a.clone(), b.clone()]));
    // Who said it did not know yet that b is there.
    a.answered = 2;
    a.said[0].present.clear();
    is_good(&history(vec![a, b]));
}

#[test]
fn a_message_that_is_lost_before_its_sender_leaves_is_told() {
    let (mut a, mut b) = pair();
    says(&mut b, 2_000, 1, &["a"]);
    ends(&mut b, 2_100, Parting::Own, Why::Left);
    leaves(&mut a, 2_100, "b", "left");
    breaks(&history(vec![a.clone(), b.clone()]), "1, said by b at 2000, is lost");
    // It was on its way when its relay died.
    b.answered = 0;
    is_good(&history(vec![a, b]));
}

#[test]
fn what_is_last_before_a_receiver_is_gone_may_be_lost() {
    let (mut a, mut b) = pair();
    says(&mut a, 2_000, 1, &["b"]);
    ends(&mut b, 2_001, Parting::Own, Why::GaveUp);
    leaves(&mut a, 2_010, "b", "closed");
    is_good(&history(vec![a, b]));
}

#[test]
fn messages_twice_out_of_order_or_for_others_are_told() {
    let (mut a, mut b) = pair();
    says(&mut a, 2_000, 1, &["b"]);
    says(&mut a, 2_000, 2, &["b"]);
    for number in [2, 1] {
        hears_number(&mut b, 2_100, "a", number);
    }
    breaks(&history(vec![a.clone(), b.clone()]), "not in order: Some((2, 1))");
    b.heard.truncate(1);
    for number in [1, 2, 2] {
        hears_number(&mut b, 2_100, "a", number);
    }
    breaks(&history(vec![a.clone(), b.clone()]), "twice or not in order: Some((2, 2))");
    b.heard.pop();
    a.said[1].what = What::Message { number: 2, to: Some("c".into()) };
    breaks(&history(vec![a.clone(), b.clone()]), "heard 2 of a, which was not for it");
    a.room = "another".into();
    breaks(&history(vec![a, b]), "heard what a said in another");
}

#[test]
fn who_comes_twice_leaves_twice_or_speaks_without_being_there_is_told() {
    let (a, b) = pair();
    let with = |more: &[Value]| {
        let mut a = a.clone();
        more.iter().for_each(|message| hears(&mut a, 2_000, message.clone()));
        history(vec![a, b.clone()])
    };
    breaks(&with(&[json!({"type": "peer_joined", "id": "b"})]), "cannot follow");
    let leaves = json!({"type": "peer_left", "id": "b", "reason": "closed"});
    breaks(&with(&[leaves.clone(), leaves]), "cannot follow");
    breaks(&with(&[json!({"type": "peer_back", "id": "b"})]), "cannot follow");
    let away = json!({"type": "peer_away", "id": "b"});
    breaks(&with(&[away.clone(), away.clone()]), "cannot follow");
    breaks(&with(std::slice::from_ref(&away)), "away [\"b\"]");
    is_good(&with(&[away, json!({"type": "peer_back", "id": "b"})]));
    breaks(&with(&[json!({"type": "message", "from": "c", "data": {"n": 1}})]), "does not know c");
    breaks(&with(&[json!({"type": "peer_joined", "id": "c"})]), "c never wanted to be there");
    breaks(&with(&[json!({"type": "peer_left", "id": "b", "reason": "kicked"})]), "b was kicked by nobody");
}

#[test]
fn errors_that_nobody_deserves_are_told_and_who_was_kicked_is_in_no_room() {
    let (mut a, mut b) = pair();
    let error = |code: &str| json!({"type": "error", "code": code, "ref": "1"});
    hears(&mut b, 2_000, error("peer_not_found"));
    is_good(&history(vec![a.clone(), b.clone()]));
    hears(&mut b, 2_100, error("not_joined"));
    breaks(&history(vec![a.clone(), b.clone()]), "it is told");
    b.heard.insert(1, Heard { at: 1_900, message: error("kicked") });
    let kick = What::Kick { to: "b".into() };
    a.said.push(Said { at: 1_800, text: String::new(), what: kick, present: Vec::new() });
    is_good(&history(vec![a.clone(), b.clone()]));
    hears(&mut b, 2_100, error("bad_message"));
    breaks(&history(vec![a, b]), "it is told");
}

#[test]
fn more_than_a_room_takes_are_told() {
    let (mut a, b) = pair();
    joins(&mut a, 1_600, "c");
    joins(&mut a, 1_700, "d");
    breaks(&history(vec![a, b]), "with 3 others in a room of 3");
}

#[test]
fn two_rooms_of_one_name_at_the_end_are_told() {
    let (mut a, mut b) = (life(0, "a", &[]), life(1, "b", &[]));
    b.heard[0].message["host"] = json!("b");
    b.token = None;
    let mut parted = history(vec![a.clone(), b.clone()]);
    breaks(&parted, "without [\"b\"]");
    breaks(&parted, "r has the hosts");
    parted.finale.as_mut().unwrap().relays[0].rooms = [("r".into(), 1)].into();
    parted.finale.as_mut().unwrap().relays[1].rooms = [("r".into(), 1)].into();
    breaks(&parted, "on relays with [1, 1] members");
    // Before the end they may be.
    ends(&mut b, 5_000, Parting::Closed(1012), Why::Moved);
    hears(&mut b, 5_000, json!({"type": "goaway"}));
    let mut again = life(1, "b2", &["a"]);
    again.heard[0].at = 5_500;
    joins(&mut a, 5_500, "b2");
    let mut mended = history(vec![a, b, again]);
    mended.faults = vec![broken(Broken::Keys, 800, 800)];
    is_good(&mended);
    mended.faults.clear();
    breaks(&mended, "closed with 1012 although its room and Redis were well");
}

#[test]
fn ghosts_held_places_and_a_false_directory_are_told() {
    let (a, b) = pair();
    let good = history(vec![a, b.clone()]);
    let with = |change: &dyn Fn(&mut Finale)| {
        let mut history = good.clone();
        change(history.finale.as_mut().unwrap());
        history
    };
    breaks(&with(&|finale| finale.relays[1].held_places = 1), "holds 1 places");
    breaks(&with(&|finale| finale.relays[2].rooms = [("old".into(), 1)].into()), "has rooms [\"old\"] of nobody");
    breaks(&with(&|finale| drop(finale.directory.insert("r".into(), None))), "is on None in the directory");
    breaks(&with(&|finale| finale.relays[0].process = None), "is not among those that live");
    breaks(&with(&|finale| finale.together_after = Some(10_001)), "together only after");
    breaks(&with(&|finale| finale.together_after = None), "not together after");
    let mut ghost = good.clone();
    let end = End { at: 3_000, why: Why::Left };
    ghost.lives[1].end = Some(end);
    breaks(&ghost, "with ghosts [\"b\"]");
    breaks(&History { finale: None, ..good }, "not brought to an end");
}

#[test]
fn a_cut_connection_needs_a_fault_on_its_way() {
    let (mut a, mut b) = pair();
    b.token = None;
    ends(&mut b, 10_000, Parting::Cut, Why::Lost);
    leaves(&mut a, 12_000, "b", "closed");
    let with = |faults: &[Fault]| History { faults: faults.to_vec(), ..history(vec![a.clone(), b.clone()]) };
    breaks(&with(&[]), "cut although both relays were well");
    // Those by which it went, or what is between the two.
    for what in [Broken::Relay(1), Broken::Relay(0), Broken::Wire(0, 1), Broken::Wire(1, 0), Broken::Machine] {
        is_good(&with(&[broken(what, 9_000, 11_000)]));
    }
    for what in
        [Broken::Relay(2), Broken::Wire(0, 2), Broken::Redis, Broken::RedisWire(0), Broken::Memory, Broken::Keys]
    {
        breaks(&with(&[broken(what, 9_000, 11_000)]), "cut although");
    }
    breaks(&with(&[broken(Broken::Relay(1), 10_500, 11_000)]), "cut although");
    // It may lead over a third one.
    let mut winding = with(&[broken(Broken::Relay(2), 9_000, 11_000)]);
    winding.lives[1].ways[0].is_straight = false;
    is_good(&winding);
    winding.faults.clear();
    breaks(&winding, "cut although");
}

#[test]
fn a_room_that_moves_needs_a_reason() {
    let (mut a, mut b) = pair();
    for life in [&mut a, &mut b] {
        hears(life, 10_000, json!({"type": "goaway", "retryAfterMs": 700}));
        ends(life, 10_000, Parting::Closed(1012), Why::Moved);
    }
    let with = |faults: &[Fault]| History { faults: faults.to_vec(), ..history(vec![a.clone(), b.clone()]) };
    is_good(&with(&[broken(Broken::Relay(0), 5_000, 9_000)]));
    is_good(&with(&[broken(Broken::RedisWire(0), 1_000, 9_000), broken(Broken::Wire(2, 0), 2_000, 9_000)]));
    is_good(&with(&[broken(Broken::RedisWire(0), 1_000, 9_000), broken(Broken::Memory, 2_000, 2_000)]));
    for what in [Broken::Relay(1), Broken::RedisWire(0), Broken::Redis, Broken::Memory, Broken::Wire(0, 1)] {
        breaks(&with(&[broken(what, 5_000, 9_000)]), "although its room and Redis were well");
    }
    a.heard.pop();
    breaks(&History { faults: vec![broken(Broken::Relay(0), 5_000, 9_000)], ..history(vec![a, b]) }, "without goaway");
}

#[test]
fn a_place_that_is_gone_needs_a_reason() {
    let (a, mut b) = pair();
    ends(&mut b, 5_000, Parting::Own, Why::Refused);
    b.end = Some(End { at: 6_000, why: Why::Refused });
    let mut a = a;
    leaves(&mut a, 6_000, "b", "timeout");
    breaks(&history(vec![a.clone(), b.clone()]), "its place is gone");
    let moved = vec![broken(Broken::Relay(0), 5_100, 5_500)];
    is_good(&History { faults: moved, ..history(vec![a.clone(), b.clone()]) });
    b.end = Some(End { at: 13_100, why: Why::Refused });
    is_good(&history(vec![a, b]));
}

#[test]
fn a_goodbye_without_an_answer_a_ghost_that_stays_and_a_lost_join_are_told() {
    let (mut a, mut b) = pair();
    ends(&mut b, 5_000, Parting::Own, Why::Goodbye(Some(1000)));
    leaves(&mut a, 5_000, "b", "closed");
    is_good(&history(vec![a.clone(), b.clone()]));
    b.end = Some(End { at: 5_000, why: Why::Goodbye(None) });
    breaks(&history(vec![a.clone(), b.clone()]), "goodbye was answered by None");
    let (a, b) = pair();
    let mut ghosts = history(vec![a, b]);
    let ghost =
        Ghost { id: "b".into(), door: Some(1), from: 3_000, until: 3_050, parting: Some(Parting::Closed(4001)) };
    ghosts.ghosts.push(ghost.clone());
    is_good(&ghosts);
    ghosts.ghosts.push(Ghost { parting: None, until: 8_000, ..ghost });
    breaks(&ghosts, "whose place was taken at 3000");
    // It was thrown out before the other connection had its place.
    ghosts.ghosts[1].parting = Some(Parting::Closed(1008));
    breaks(&ghosts, "whose place was taken at 3000");
    let kick = What::Kick { to: "b".into() };
    ghosts.lives[0].said.push(Said { at: 2_900, text: String::new(), what: kick, present: Vec::new() });
    is_good(&ghosts);
    ghosts.ghosts.clear();
    ghosts.losses.push(Loss { person: 1, at: 3_000, since: 2_000, parting: Parting::Cut });
    breaks(&ghosts, "cut while joining");
    ghosts.faults.push(broken(Broken::Relay(2), 2_500, 2_600));
    is_good(&ghosts);
}

#[test]
fn who_is_cut_is_gone_for_others_within_seconds() {
    let (mut a, mut b) = pair();
    b.token = None;
    ends(&mut b, 10_000, Parting::Cut, Why::Lost);
    let faults = vec![broken(Broken::Relay(1), 10_000, 13_000)];
    leaves(&mut a, 19_000, "b", "closed");
    breaks(&History { faults: faults.clone(), ..history(vec![a.clone(), b.clone()]) }, "has not left 8000 ms later");
    a.heard.last_mut().unwrap().at = 14_000;
    is_good(&History { faults, ..history(vec![a, b]) });
}

#[test]
fn a_room_that_is_there_is_there_without_redis_and_a_new_one_with_it() {
    let (a, b) = pair();
    let mut refused = history(vec![a, b]);
    let refusal = Refusal { person: 2, room: "r".into(), place: None, since: 20_000, at: 21_000, asked: 1 };
    let away = broken(Broken::Redis, 15_000, 25_000);
    refused.faults = vec![away];
    refused.refusals = vec![refusal.clone()];
    breaks(&refused, "r is unavailable although it is there");
    refused.refusals[0].place = Some("b".into());
    breaks(&refused, "r is unavailable although it is there");
    refused.refusals[0] = Refusal { room: "new".into(), ..refusal.clone() };
    is_good(&refused);
    refused.faults.clear();
    breaks(&refused, "new is unavailable although it could be opened");
    refused.refusals[0].asked = 5;
    is_good(&refused);
    refused.refusals[0] = refusal;
    refused.faults = vec![broken(Broken::Relay(2), 18_000, 19_000)];
    is_good(&refused);
}

#[test]
fn a_place_is_taken_away_by_a_connection_of_its_own_alone() {
    let (a, mut b) = pair();
    b.ways[0].until = Some((5_000, Parting::Closed(4001)));
    b.ways.push(Way { door: 2, is_straight: true, from: 5_500, until: None });
    breaks(&history(vec![a.clone(), b.clone()]), "closed with 4001 although");
    b.given_up.push((4_000, 1));
    let with = |faults: &[Fault]| History { faults: faults.to_vec(), ..history(vec![a.clone(), b.clone()]) };
    breaks(&with(&[]), "closed with 4001 although");
    // What it had asked there may have waited at the owner, or before it; a door sees that it has gone.
    for what in [Broken::Relay(0), Broken::Wire(1, 0), Broken::Machine] {
        is_good(&with(&[broken(what, 3_000, 4_500)]));
        breaks(&with(&[broken(what, 1_000, 3_900)]), "closed with 4001 although");
    }
    for what in [Broken::Relay(1), Broken::Wire(2, 0), Broken::Wire(0, 1), Broken::Redis] {
        breaks(&with(&[broken(what, 3_000, 4_500)]), "closed with 4001 although");
    }
}

#[test]
fn a_history_of_which_a_busy_machine_explains_half_tells_nothing() {
    let (a, mut b) = pair();
    hears(&mut b, 30_000, json!({"type": "error", "code": "unknown_type"}));
    let with = |faults: &[Fault]| History { faults: faults.to_vec(), ..history(vec![a.clone(), b.clone()]) };
    assert!(!is_too_busy(&with(&[])));
    // What overlaps counts once, what comes after the end does not count, and other faults do not either.
    let busy = [broken(Broken::Machine, 5_000, 6_000), broken(Broken::Machine, 6_000, 7_000)];
    assert!(!is_too_busy(&with(&busy)));
    assert!(!is_too_busy(&with(&[broken(Broken::Machine, 15_001, 40_000)])));
    assert!(!is_too_busy(&with(&[broken(Broken::Redis, 5_000, 25_000)])));
    assert!(is_too_busy(&with(&[busy[0], broken(Broken::Machine, 12_000, 15_001)])));
    let mut unknown = with(&[]);
    unknown.finale.as_mut().unwrap().is_too_busy = true;
    assert!(is_too_busy(&unknown));
}

#[test]
fn two_rooms_of_one_name_are_told_while_all_are_well() {
    let (mut a, mut b) = (life(0, "a", &[]), life(1, "b", &[]));
    b.token = Some("0000000000000002-b".into());
    b.heard[0].at = 2_000;
    b.heard[0].message["host"] = json!("b");
    ends(&mut b, 2_600, Parting::Own, Why::Left);
    let with = |a: &Life, b: &Life, faults: &[Fault]| History {
        faults: faults.to_vec(),
        ..history(vec![a.clone(), b.clone()])
    };
    breaks(&with(&a, &b, &[]), "and for a on Some(\"0000000000000001\")");
    is_good(&with(&a, &b, &[broken(Broken::Redis, 500, 1_500)]));
    // One had gone when the other came.
    ends(&mut a, 2_300, Parting::Own, Why::Left);
    is_good(&with(&a, &b, &[]));
}

#[test]
fn who_is_in_no_room_because_it_went_elsewhere_may_be_told_so() {
    let (a, mut b) = pair();
    hears(&mut b, 2_000, json!({"type": "error", "code": "not_joined", "ref": "1"}));
    hears(&mut b, 2_010, json!({"type": "goaway"}));
    ends(&mut b, 2_020, Parting::Closed(1012), Why::Moved);
    let mut a = a;
    leaves(&mut a, 2_000, "b", "closed");
    is_good(&History { faults: vec![broken(Broken::Relay(0), 1_000, 1_900)], ..history(vec![a, b]) });
}
