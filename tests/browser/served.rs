//! The page that the relay serves: calls of two and of three.

use std::collections::{HashMap, HashSet};

use crate::support::{Browser, Relay};

#[tokio::test]
async fn two_people_who_open_the_same_link_see_and_hear_each_other() {
    let relay = Relay::start().await;
    let browser = Browser::start().await;
    let alice = browser.open(&relay.url("?room=blue-heron")).await;
    alice.join_as("Alice").await;
    alice.is("waiting").await;
    let bob = browser.open(&relay.url("?room=blue-heron")).await;
    bob.join_as("Bob").await;

    for (person, other) in [(&alice, "Bob"), (&bob, "Alice")] {
        person.sees(other).await;
        person.is("connected").await;
        person.plays_video_of(other).await;
        person.hears(other).await;
        person.sees_only(&[other]).await;
    }
    alice.photograph("two-people-alice").await;
    bob.photograph("two-people-bob").await;
    browser.end().await;
}

#[tokio::test]
async fn the_page_makes_room_names_that_can_be_said_but_not_guessed() {
    let relay = Relay::start().await;
    let browser = Browser::start().await;
    let alice = browser.open(&relay.url("")).await;
    let shown = "document.getElementById('room').value";
    let form = "/^([bdfghjklmnrstvwy][aiou]){2}(-([bdfghjklmnrstvwy][aiou]){2}){3}$/";
    alice.shows(&format!("{form}.test({shown})")).await;
    let first = alice.run(&format!("return {shown}")).await;
    alice.click("#new-room").await;
    alice.shows(&format!("{form}.test({shown}) && {shown} !== {first}")).await;

    let names = alice.run("return Array.from({ length: 2000 }, speakableName)").await;
    let names: Vec<&str> = names.as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    let mut counts = HashMap::new();
    for name in &names {
        // Five characters are two syllables and a hyphen.
        for at in [0, 2, 5, 7, 10, 12, 15, 17] {
            *counts.entry((at, &name[at..at + 2])).or_insert(0) += 1;
        }
    }
    // Eight places with 64 syllables each are 48 bits, if all are equally likely: about 31 times each.
    assert_eq!(counts.len(), 8 * 64);
    assert!(counts.values().all(|count| (4..=80).contains(count)), "{counts:?}");
    assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len());
    browser.end().await;
}

#[tokio::test]
async fn two_people_meet_in_the_room_whose_name_they_typed() {
    let relay = Relay::start().await;
    let browser = Browser::start().await;
    let alice = browser.open(&relay.url("")).await;
    let bob = browser.open(&relay.url("")).await;
    let stranger = browser.open(&relay.url("?room=elsewhere")).await;
    stranger.join_as("Stranger").await;
    for (person, name) in [(&alice, "Alice"), (&bob, "Bob")] {
        person.fill("#room", "山间 kitchen").await;
        person.join_as(name).await;
    }
    alice.plays_video_of("Bob").await;
    bob.plays_video_of("Alice").await;
    stranger.is("waiting").await;
    stranger.sees_only(&[]).await;
    browser.end().await;
}

#[tokio::test]
async fn who_hangs_up_is_gone_at_once_and_can_come_back_without_a_reload() {
    let relay = Relay::start().await;
    let browser = Browser::start().await;
    let (alice, bob) = browser.call_of_alice_and_bob(&relay).await;
    alice.plays_video_of("Bob").await;

    bob.run("window.neverReloaded = true").await;
    bob.hang_up().await;
    alice.no_longer_sees("Bob").await;
    alice.is_told("Bob left").await;
    alice.is("waiting").await;

    bob.join().await;
    alice.plays_video_of("Bob").await;
    alice.hears("Bob").await;
    bob.plays_video_of("Alice").await;
    bob.hears("Alice").await;
    alice.sees_only(&["Bob"]).await;
    bob.sees_only(&["Alice"]).await;
    bob.shows("window.neverReloaded").await;
    browser.end().await;
}

#[tokio::test]
async fn three_people_see_and_hear_each_other_and_notice_who_leaves() {
    let relay = Relay::start().await;
    let browser = Browser::start().await;
    let names = ["Alice", "Bob", "Carol"];
    let mut people = Vec::new();
    for name in names {
        let person = browser.open(&relay.url("?room=trio")).await;
        person.join_as(name).await;
        people.push(person);
    }
    for (person, name) in people.iter().zip(names) {
        let others: Vec<&str> = names.into_iter().filter(|other| *other != name).collect();
        person.sees_only(&others).await;
        for other in others {
            person.plays_video_of(other).await;
            person.hears(other).await;
        }
    }
    people[0].photograph("three-people").await;

    // All fake cameras and microphones are alike: whose sound is whose shows when one of them falls silent.
    people[2].press("m").await;
    for (person, other) in [(&people[0], "Bob"), (&people[1], "Alice")] {
        person.no_longer_hears("Carol").await;
        person.hears(other).await;
    }

    // One hangs up.
    people[2].hang_up().await;
    people[0].sees_only(&["Bob"]).await;
    people[1].sees_only(&["Alice"]).await;
    people[0].is_told("Carol left").await;
    people[0].plays_video_of("Bob").await;

    // Another closes the tab.
    people.remove(1).close().await;
    people[0].sees_only(&[]).await;
    people[0].is("waiting").await;
    browser.end().await;
}

#[tokio::test]
async fn a_call_works_under_any_name_that_is_allowed() {
    let relay = Relay::start_with(&["--allow-origin", "http://meet.example"]).await;
    let origin = format!("http://meet.example:{}", relay.port());
    let browser = Browser::with()
        .host_rule("MAP meet.example 127.0.0.1")
        // In place of TLS: without it browsers give no camera to other names than localhost.
        .flag(&format!("--unsafely-treat-insecure-origin-as-secure={origin}"))
        .may_ask("meet.example")
        .start()
        .await;
    let alice = browser.open(&format!("{origin}/?room=r")).await;
    let bob = browser.open(&relay.url("?room=r")).await;
    alice.join_as("Alice").await;
    bob.join_as("Bob").await;
    alice.plays_video_of("Bob").await;
    bob.plays_video_of("Alice").await;
    browser.end().await;
}
