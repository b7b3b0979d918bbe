//! What is shown is what is and what will be, at every size and in both languages.

use serde_json::json;

use crate::support::{Browser, Relay, Window};

#[tokio::test]
async fn after_hanging_up_the_buttons_show_what_join_will_turn_on() {
    let relay = Relay::start().await;
    let browser = Browser::start().await;
    let alice = browser.open(&relay.url("?room=r")).await;
    alice.join_as("Alice").await;
    alice.press("m").await;
    alice.hang_up().await;
    alice.shows("document.querySelector('#preview-mic').dataset.on === 'false'").await;
    alice.shows("document.querySelector('#preview-cam').dataset.on === 'true'").await;
    alice.reads("Camera turns on when you join").await;
    alice.join().await;
    let own = "document.querySelector('.tile[data-peer=self]').dataset";
    alice.shows(&format!("{own}.audio === 'off' && {own}.video === 'on'")).await;
    alice.hang_up().await;
    alice.click("#preview-cam").await;
    alice.click("#preview-mic").await;
    alice.shows("document.querySelector('#preview-cam').dataset.on === 'false'").await;
    alice.join().await;
    alice.shows(&format!("{own}.audio === 'on' && {own}.video === 'off'")).await;
    browser.end().await;
}

#[tokio::test]
async fn what_was_off_is_off_after_a_reload() {
    let relay = Relay::start().await;
    let browser = Browser::start().await;
    let alice = browser.open(&relay.url("?room=r")).await;
    alice.shows("document.querySelector('#preview-video').videoWidth > 0").await;
    alice.click("#preview-cam").await;
    alice.click("#preview-mic").await;
    alice.reload().await;
    alice.click("#join").await;
    let own = "document.querySelector('.tile[data-peer=self]')?.dataset";
    alice.shows(&format!("{own}?.audio === 'off' && {own}?.video === 'off'")).await;
    browser.end().await;
}

const IN_SIGHT: &str = "((css) => {
    const { top, bottom, left, right } = document.querySelector(css).getBoundingClientRect();
    const inside = top >= 0 && left >= 0 && bottom <= innerHeight && right <= innerWidth;
    return inside && document.querySelector(css).contains(document.elementFromPoint((left + right) / 2, (top + bottom) / 2));
})";

#[tokio::test]
async fn join_and_what_is_wrong_are_in_sight_at_every_size_in_both_languages() {
    let relay = Relay::start().await;
    let browser = Browser::with().who_denies_devices().start().await;
    let alice = browser.open(&relay.url("?room=blue-heron-lake")).await;
    alice.shows("document.querySelector('.notice[data-problem=denied]')").await;
    for language in ["en", "zh-CN"] {
        for (width, height) in [(360, 740), (740, 360), (820, 560), (600, 420), (1280, 800), (1920, 1080)] {
            alice.resize(width, height).await;
            alice.shows(&format!("innerWidth === {width} && innerHeight === {height}")).await;
            for css in ["#join", ".notice"] {
                alice.shows(&format!("{IN_SIGHT}('{css}')")).await;
            }
            let narrow = "document.querySelector('#entry').scrollWidth <= document.querySelector('#entry').clientWidth";
            alice.shows(narrow).await;
            alice.photograph(&format!("entry-{width}x{height}-{language}")).await;
        }
        alice.click("#lang").await;
    }
    browser.end().await;
}

/// A page of whose relay the test says what it tells.
async fn open_told(browser: &Browser, relay: &Relay, site: serde_json::Value) -> Window {
    let page = browser.open("about:blank").await;
    let source = format!(
        "const real = fetch;
        globalThis.fetch = (url, ...all) => String(url).includes('site.json') ? Promise.resolve(new Response('{site}')) : real(url, ...all);"
    );
    page.devtools("Page.addScriptToEvaluateOnNewDocument", json!({ "source": source })).await;
    page.go_to(&relay.url("?room=r")).await;
    page
}

#[tokio::test]
async fn an_invite_link_works_for_others_or_says_that_it_does_not() {
    let relay = Relay::start().await;
    let browser = Browser::start().await;
    let lan = json!({ "lan": ["https://192.168.1.5:8080/"], "tokens": false });
    let alice = open_told(&browser, &relay, lan).await;
    alice.watch_as("Alice").await;
    alice.click("#invite-open").await;
    alice.shows("document.querySelector('#link').value === 'https://192.168.1.5:8080/?room=r'").await;
    alice.reads("http://192.168.1.5:8080/trust").await;
    alice.shows("!document.querySelector('#link-local').checkVisibility()").await;

    let bob = open_told(&browser, &relay, json!({ "lan": [], "tokens": true })).await;
    bob.watch_as("Bob").await;
    bob.click("#invite-open").await;
    bob.reads("lets in only people with a token").await;
    bob.reads("works on this computer only").await;
    browser.end().await;
}

#[tokio::test]
async fn names_are_shown_as_the_others_will_see_them_and_turn_nothing_round() {
    let relay = Relay::start().await;
    let browser = Browser::start().await;
    let alice = browser.open(&relay.url("?room=r")).await;
    alice.join_as("Alice").await;
    let bob = browser.open(&relay.url("?room=r")).await;
    let type_in = |id: &str, text: &str| {
        format!(
            "const field = document.querySelector('#{id}'); field.value = {}; field.dispatchEvent(new InputEvent('input'))",
            json!(text)
        )
    };
    bob.run(&type_in("name", "Bo\u{202e}b\u{200b}")).await;
    bob.reads("Others will see: Bob").await;
    bob.run(&type_in("name", &"x".repeat(65))).await;
    bob.reads("At most 64 characters; this has 65.").await;
    bob.run(&type_in("room", "Team-Standup")).await;
    bob.shows("document.querySelector('#room').value === 'team-standup'").await;
    bob.run(&type_in("room", &"y".repeat(70))).await;
    bob.reads("At most 64 characters; this has 70.").await;
    bob.click("#join").await;
    bob.is("entry").await;
    // A link is taken as it is, and one that is too long is refused, not cut.
    bob.go_to(&relay.url("?room=Team-Standup")).await;
    bob.shows("document.querySelector('#room').value === 'Team-Standup'").await;
    bob.go_to(&relay.url(&format!("?room={}", "z".repeat(65)))).await;
    bob.shows("document.querySelector('.notice[data-problem=bad_room]')").await;

    // Two without a name are told apart.
    for _ in 0..2 {
        let guest = browser.open(&relay.url("?room=r")).await;
        guest.fill("#name", " ").await;
        guest.click("#watch").await;
        guest.is("connected").await;
    }
    alice.shows("[...document.querySelectorAll('.tile .name')].map(({ textContent }) => textContent).sort().join() === 'Alice (you),Guest,Guest 2'").await;
    alice.shows("document.querySelectorAll('.tile:not([data-peer=self])')[0].style.getPropertyValue('--hue') !== document.querySelectorAll('.tile:not([data-peer=self])')[1].style.getPropertyValue('--hue')").await;
    // A name that another relay let pass turns no words round.
    alice.shows("[...document.querySelectorAll('.tile .name')].every((name) => name.localName === 'bdi')").await;
    browser.end().await;
}

#[tokio::test]
async fn on_a_phone_the_menu_closes_by_a_tap_outside_and_a_face_is_shown_whole() {
    let relay = Relay::start().await;
    let browser = Browser::start().await;
    let (alice, bob) = browser.call_of_alice_and_bob(&relay).await;
    alice.resize(360, 740).await;
    alice.plays_video_of("Bob").await;
    alice.click("#more").await;
    alice.shows("document.querySelector('#invite-open').checkVisibility()").await;
    alice.photograph("phone-menu").await;
    alice.click("#status").await;
    alice.shows("!document.querySelector('#invite-open').checkVisibility()").await;
    // The head count is there as a whole.
    alice.shows("document.querySelector('#status').scrollWidth <= document.querySelector('#status').clientWidth").await;
    alice
        .shows("getComputedStyle(document.querySelector('#status'), '::after').content.includes('2 in the call')")
        .await;
    // At least 60 % of the width of a landscape picture is seen.
    let shown = "(({ clientWidth: w, clientHeight: h, videoWidth, videoHeight }) =>
        (w / h) / (videoWidth / videoHeight) > 0.55)(tile('Bob').querySelector('video'))";
    alice.shows(&format!("tile('Bob').dataset.whole === 'true' || {shown}")).await;
    // Nothing sticks out, and all of the bar can be reached.
    for css in ["#mic", "#cam", "#share", "#chat-open", "#people-open", "#more", "#hangup"] {
        alice.shows(&format!("{IN_SIGHT}('{css}')")).await;
    }
    alice.photograph("phone-call-of-two").await;
    bob.hang_up().await;
    browser.end().await;
}

#[tokio::test]
async fn a_peer_that_falls_silent_does_not_respond_and_each_button_says_whom_it_is_about() {
    let relay = Relay::start().await;
    let browser = Browser::start().await;
    let alice = browser.open(&relay.url("?room=r")).await;
    alice.join_as("Alice").await;
    let bob = browser.open(&relay.url("?room=elsewhere")).await;
    bob.run("const { Call } = await import('/sdk/call.js'); globalThis.call = new Call(); await call.join('r', { name: 'Bob' })").await;
    alice.shows("tile('Bob')?.dataset.connection === 'connected'").await;
    alice.shows("document.querySelector('.tile:not([data-peer=self]) .tile-tools button').getAttribute('aria-label') === 'Enlarge: Bob'").await;
    // His end is gone without a word, and his page goes on to talk to the relay.
    bob.run("const [member] = call.members; member.link.pc.close()").await;
    alice.reads("Does not respond").await;
    assert!(!alice.text().await.contains("No direct way"));
    browser.end().await;
}
