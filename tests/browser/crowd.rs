//! Calls of many: a mesh, in which everyone sends to everyone.

use crate::support::{Browser, Relay, Window};

/// As many as a room takes by default.
const EIGHT: [&str; 8] = ["Ana", "Bo", "Chidi", "Dmitri", "Eun", "Fatima", "Gil", "Hana"];

/// Everyone has a tile of everyone else's, whose connection is up, and nothing sticks out.
async fn are_together(people: &[(Window, &str)]) {
    for (person, name) in people {
        let others: Vec<&str> = people.iter().map(|(_, other)| *other).filter(|other| other != name).collect();
        person.is("connected").await;
        person.sees_only(&others).await;
        person
            .shows("[...document.querySelectorAll('.tile')].every(({ dataset }) => dataset.connection === 'connected')")
            .await;
        person.shows("document.documentElement.scrollWidth <= innerWidth").await;
    }
}

#[tokio::test]
async fn four_people_see_each_other() {
    let relay = Relay::start().await;
    let browser = Browser::with().for_a_crowd().start().await;
    let mut people = Vec::new();
    for name in &EIGHT[..4] {
        let person = browser.open(&relay.url("?room=r")).await;
        person.join_as(name).await;
        people.push((person, *name));
    }
    are_together(&people).await;
    for (person, name) in &people {
        for (_, other) in people.iter().filter(|(_, other)| other != name) {
            person.plays_video_of(other).await;
            person.hears(other).await;
        }
    }
    people[0].0.photograph("four-people").await;
    browser.end().await;
}

/// Fifty-six pictures at once are too many for a small machine: two are on camera, and six only watch.
#[tokio::test]
async fn eight_people_are_in_one_call_and_all_see_those_on_camera() {
    let relay = Relay::start().await;
    let browser = Browser::with().for_a_crowd().start().await;
    let mut people: Vec<(Window, &str)> = Vec::new();
    for name in EIGHT {
        let person = browser.open(&relay.url("?room=r")).await;
        person.resize(640, 480).await;
        if people.len() < 2 {
            person.join_as(name).await;
        } else {
            person.watch_as(name).await;
        }
        people.push((person, name));
    }
    are_together(&people).await;
    for (person, name) in &people {
        for on_camera in EIGHT[..2].iter().filter(|other| *other != name) {
            person.plays_video_of(on_camera).await;
        }
    }
    people[2].0.resize(1280, 800).await;
    people[2].0.plays_video_of(EIGHT[0]).await;
    people[2].0.photograph("eight-people").await;

    let (leaver, name) = people.remove(3);
    leaver.hang_up().await;
    for (person, _) in &people {
        person.no_longer_sees(name).await;
    }
    are_together(&people).await;
    browser.end().await;
}
