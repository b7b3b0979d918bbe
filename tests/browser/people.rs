//! What the host does with the room and the people in it: both sides looked at.

use crate::support::{Browser, Relay, Window};

/// Two at the door of the room of `host`, who has read that they knock.
async fn carol_and_dave_knock(browser: &Browser, relay: &Relay, host: &Window) -> (Window, Window) {
    let carol = browser.open(&relay.url("?room=r")).await;
    knock_as(&carol, "Carol").await;
    let dave = browser.open(&relay.url("?room=r")).await;
    knock_as(&dave, "Dave").await;
    for name in ["Carol", "Dave"] {
        host.reads(&format!("{name} asks to be let in")).await;
    }
    (carol, dave)
}

async fn knock_as(person: &Window, name: &str) {
    person.call_it(name);
    person.fill("#name", name).await;
    person.click("#watch").await;
    person.reads("Asking to be let in").await;
    person.shows("document.body.dataset.state === 'connecting' && document.body.dataset.problem === 'door'").await;
}

#[tokio::test]
async fn a_host_locks_lets_in_turns_away_hands_over_and_everybody_sees_it() {
    let relay = Relay::start().await;
    let browser = Browser::start().await;
    let (alice, bob) = browser.call_of_alice_and_bob(&relay).await;
    alice.plays_video_of("Bob").await;
    for person in [&alice, &bob] {
        person.click("#people-open").await;
        person.shows("document.querySelectorAll('#roster li').length === 2").await;
    }
    alice.shows("document.querySelector('#roster li').innerText.includes('Host')").await;
    bob.shows("document.querySelector('#roster li:nth-child(2)').innerText.includes('Host')").await;
    bob.shows("document.querySelector('#lock').disabled").await;
    bob.press("m").await;
    alice.shows("document.querySelector('#roster li:nth-child(2)').innerText.includes('Microphone off')").await;
    alice.click("#lock").await;
    for person in [&alice, &bob] {
        person.is_told("The room is locked").await;
        person.shows("document.querySelector('#lock').checked").await;
        person.shows("document.querySelector('#locked').checkVisibility()").await;
    }

    // Three at the door: one gives up, one is turned away, one is let in.
    let (carol, dave) = carol_and_dave_knock(&browser, &relay, &alice).await;
    alice.shows("document.querySelector('#knocks').getAttribute('role') === 'alert'").await;
    // What passes by covers no button, and who changes the language reads all in it.
    let below =
        "#toasts').getBoundingClientRect().top >= document.querySelector('#knocks').getBoundingClientRect().bottom";
    alice.shows(&format!("document.querySelector('{below}")).await;
    alice.click("#lang").await;
    alice.reads("Carol 请求进入").await;
    alice.click("#lang").await;
    alice.reads("Carol asks to be let in").await;
    bob.shows("!document.querySelector('.knock')").await;
    carol.photograph("at-the-door").await;
    alice.photograph("knocks").await;
    carol.click(".notice[data-problem=door] button").await;
    carol.is("entry").await;
    alice.shows("document.querySelectorAll('.knock').length === 1").await;
    knock_as(&carol, "Carol").await;
    alice.shows("document.querySelectorAll('.knock').length === 2").await;
    alice.click(".knock[data-name=Dave] [data-act=deny]").await;
    dave.is("refused").await;
    dave.reads("You were not let in").await;

    // Those who still knock are shown to who becomes host.
    alice.click("#roster [id^=make_host]").await;
    bob.is_told("You are the host now").await;
    alice.is_told("Bob is the host now").await;
    alice.shows("!document.querySelector('.knock') && document.querySelector('#lock').disabled").await;
    bob.click(".knock[data-name=Carol] [data-act=admit]").await;
    for (person, others) in [(&alice, ["Bob", "Carol"]), (&bob, ["Alice", "Carol"]), (&carol, ["Alice", "Bob"])] {
        person.sees_only(&others).await;
    }
    bob.shows("!document.querySelector('.knock')").await;
    bob.click("#lock").await;
    for person in [&alice, &bob, &carol] {
        person.is_told("The room is open").await;
        person.shows("!document.querySelector('#locked').checkVisibility()").await;
    }
    browser.end().await;
}

#[tokio::test]
async fn a_password_is_set_by_who_is_first_and_asked_of_the_others() {
    let relay = Relay::start().await;
    let browser = Browser::start().await;
    let alice = browser.open(&relay.url("?room=r")).await;
    alice.click("#password-more summary").await;
    alice.fill("#password", "sesame").await;
    alice.watch_as("Alice").await;
    let bob = browser.open(&relay.url("?room=r")).await;
    bob.fill("#name", "Bob").await;
    bob.click("#watch").await;
    bob.is("refused").await;
    bob.reads("This room has a password").await;
    bob.shows(
        "document.querySelector('#password').checkVisibility() && document.querySelector('#name').value === 'Bob'",
    )
    .await;
    bob.fill("#password", "wrong").await;
    bob.click("#join").await;
    bob.is("refused").await;
    bob.fill("#password", "sesame").await;
    bob.click("#join").await;
    bob.is("connected").await;
    alice.sees_only(&["Bob"]).await;
    browser.end().await;
}

#[tokio::test]
async fn a_knock_can_be_answered_by_keyboard_and_nothing_is_wrong_for_screen_readers() {
    let relay = Relay::start().await;
    let browser = Browser::start().await;
    let (alice, bob) = browser.call_of_alice_and_bob(&relay).await;
    alice.plays_video_of("Bob").await;
    alice.press("p").await;
    alice.shows("document.querySelector('#people-view').checkVisibility()").await;
    alice.run("document.querySelector('#lock').focus()").await;
    alice.press(" ").await;
    bob.is_told("The room is locked").await;
    let carol = browser.open(&relay.url("?room=r")).await;
    knock_as(&carol, "Carol").await;
    alice.reads("Carol asks to be let in").await;
    for (page, view) in [(&alice, "the people, with a knock"), (&carol, "at the door")] {
        assert_eq!(crate::looks::faults(page).await, "", "{view}");
    }
    alice.run("document.querySelector('.knock [data-act=admit]').focus()").await;
    alice.press("\u{e007}").await;
    alice.sees_only(&["Bob", "Carol"]).await;
    browser.end().await;
}

#[tokio::test]
async fn who_is_host_again_sees_no_knock_that_another_has_answered() {
    let relay = Relay::start().await;
    let browser = Browser::start().await;
    let (alice, bob) = browser.call_of_alice_and_bob(&relay).await;
    alice.plays_video_of("Bob").await;
    for person in [&alice, &bob] {
        person.click("#people-open").await;
    }
    alice.click("#lock").await;
    bob.is_told("The room is locked").await;
    let (carol, _dave) = carol_and_dave_knock(&browser, &relay, &alice).await;
    alice.click("#roster [id^=make_host]").await;
    bob.click(".knock[data-name=Carol] [data-act=deny]").await;
    carol.is("refused").await;
    bob.click("#roster [id^=make_host]").await;
    alice.is_told("You are the host now").await;
    alice.reads("Dave asks to be let in").await;
    assert!(!alice.text().await.contains("Carol asks"));
    bob.shows("!document.querySelector('.knock')").await;
    browser.end().await;
}
