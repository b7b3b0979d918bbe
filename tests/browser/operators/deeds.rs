//! What an operator does by the page, and what clients see of it.

use serde_json::json;

use super::{button, client, knocker, member, open, relay};
use crate::support::Browser;

#[tokio::test]
async fn what_the_operator_does_is_what_clients_see() {
    let relay = relay(&[]).await;
    let browser = Browser::start().await;
    let window = open(&browser, &relay).await;
    let mut ana = member(&relay, "team", "ana", "Ana").await;
    window.click("#room-list .row").await;
    window.click("#room-lock").await;
    assert_eq!(ana.expect("room").await["locked"], true);
    window.shows("document.querySelector('#room-lock').textContent === 'Unlock'").await;

    let mut bob = knocker(&relay, "team", "bob", "Bob").await;
    let mut eve = knocker(&relay, "team", "eve", "Eve").await;
    window.click(&button("#waiting", "bob", "Admit")).await;
    bob.expect("joined").await;
    window.click(&button("#waiting", "eve", "Deny")).await;
    eve.expect_error("denied").await;
    for seen in ["knock", "knock", "peer_joined", "knock_gone"] {
        ana.expect(seen).await;
    }

    window.fill("#message", "We begin in five minutes").await;
    window.press("\u{e007}").await;
    for member in [&mut ana, &mut bob] {
        let message = member.expect("message").await;
        assert_eq!((&message["from"], &message["data"]), (&json!("@server"), &json!("We begin in five minutes")));
    }
    window.reads("Sent at").await;

    // It asks first, and does nothing if that was no answer.
    window.click(&button("#members", "bob", "Remove")).await;
    window.press("\u{e00c}").await;
    window.shows("document.querySelector('#ask[open]') === null").await;
    bob.expect_nothing().await;
    window.click(&button("#members", "bob", "Remove")).await;
    window.fill("#ask-word", "see the rules").await;
    window.press("\u{e007}").await;
    assert_eq!(bob.expect_error("kicked").await["message"], "see the rules");
    window.shows("document.querySelector('#members [data-id=bob]') === null").await;
    ana.expect("peer_left").await;

    window.click("#room-close").await;
    window.click("#ask-yes").await;
    ana.expect_error("kicked").await;
    window.shows("document.querySelector('#room').hidden").await;
    window.reads("There are none.").await;
    browser.end().await;
}

#[tokio::test]
async fn what_the_server_says_stands_on_the_call_page() {
    let relay = relay(&[]).await;
    let browser = Browser::start().await;
    let dora = browser.open(&relay.url("?room=team")).await;
    dora.watch_as("Dora").await;
    let window = open(&browser, &relay).await;
    window.click("#room-list .row").await;
    window.fill("#message", "We begin in five minutes").await;
    window.press("\u{e007}").await;
    dora.is_told("The server: We begin in five minutes").await;
    browser.end().await;
}

#[tokio::test]
async fn a_room_is_locked_and_somebody_removed_by_keyboard_alone() {
    let relay = relay(&[]).await;
    let browser = Browser::start().await;
    // The room that is gone.
    browser.expect_console("404 (Not Found)");
    let window = open(&browser, &relay).await;
    let mut ana = member(&relay, "team", "ana", "Ana").await;
    window.reads("team").await;
    // Presses Tab until what has the focus matches: whatever has it on the way can be seen, and has a name.
    let tab_to = async |css: &str| {
        let named = "(({ innerText, ariaLabel, labels }) => innerText || ariaLabel || labels?.length)";
        for _ in 0..20 {
            window.press("\u{e004}").await;
            let focus = "const focus = document.activeElement; if (focus === document.body) return 'passed';";
            let body = format!(
                "{focus} return focus.checkVisibility() && {named}(focus) ? focus.matches({css:?}) : 'unnamed'"
            );
            match window.run(&body).await {
                found if found == true => return,
                other => assert_ne!(other, "unnamed", "on the way to {css}"),
            }
        }
        panic!("Tab does not lead to {css}");
    };
    tab_to("#room-list button").await;
    window.press("\u{e007}").await;
    window.shows("document.activeElement.id === 'room-title'").await;
    tab_to("#room-lock").await;
    window.press("\u{e007}").await;
    assert_eq!(ana.expect("room").await["locked"], true);
    tab_to("#members button").await;
    window.press("\u{e007}").await;
    window.shows("document.activeElement.id === 'ask-word'").await;
    tab_to("#ask-no").await;
    window.press("\u{e007}").await;
    window.shows("document.activeElement.matches('#members button')").await;
    window.press("\u{e007}").await;
    tab_to("#ask-yes").await;
    window.press("\u{e007}").await;
    ana.expect_error("kicked").await;
    // The room has gone with her, and the focus is not lost.
    window.reads("The room that was open is gone.").await;
    window.shows("document.activeElement.id === 'rooms-title'").await;
    browser.end().await;
}

#[tokio::test]
async fn rooms_are_made_ahead_of_time_and_the_relay_is_drained() {
    let relay = relay(&[]).await;
    let browser = Browser::start().await;
    browser.expect_console("409 (Conflict)");
    browser.expect_console("404 (Not Found)");
    let window = open(&browser, &relay).await;
    window.click("#rooms details summary").await;
    window.fill("#make-name", "standup").await;
    window.fill("#make-password", "tulip").await;
    window.fill("#make-capacity", "20").await;
    window.click("#make-form .primary").await;
    window.reads("0 of 20 members · password · made ahead of time").await;
    window.fill("#make-name", "standup\u{e007}").await;
    window.reads("There is a room with this name already.").await;
    window.fill("#find", "elsewhere\u{e007}").await;
    window.reads("There is no room with this name.").await;
    window.click("#error-close").await;
    window.click("#drain").await;
    window.click("#ask-yes").await;
    window.reads("Drained:").await;
    let mut late = client(&relay).await;
    late.say(json!({"type": "join", "room": "new"})).await;
    late.expect_error("unavailable").await;
    window.click("#drain").await;
    window.reads("It takes new rooms.").await;
    browser.end().await;
}

#[tokio::test]
async fn many_rooms_come_in_pages_and_any_of_them_is_found_by_its_name() {
    let relay = relay(&[]).await;
    let browser = Browser::start().await;
    let window = open(&browser, &relay).await;
    let make = "const headers = { 'Content-Type': 'application/json' };
        for (let number = 100; number <= 200; number++) {
            const body = JSON.stringify({ room: 'r' + number, expiresIn: 600 });
            await fetch('/api/rooms', { method: 'POST', headers, body });
        }";
    window.run(make).await;
    window.shows("document.querySelectorAll('#room-list li').length === 100").await;
    window.click("#rooms-next").await;
    window
        .shows("[...document.querySelectorAll('#room-list .name')].map((name) => name.textContent).join() === 'r200'")
        .await;
    // It stays while the first page changes, and the button that is gone has left the focus to the other one.
    let _early = member(&relay, "early", "early", "Early").await;
    window.shows("document.querySelector('#count-peers').textContent === '1'").await;
    window.shows("document.activeElement.id === 'rooms-first'").await;
    window.press("\u{e007}").await;
    window.shows("document.querySelector('#room-list [data-room=early]') !== null").await;
    window.fill("#find", "r200\u{e007}").await;
    window.shows("document.querySelector('#room-name').textContent === 'r200'").await;
    browser.end().await;
}
