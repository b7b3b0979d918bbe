//! How the page presents itself: in two languages, on phones and wide screens, to keyboards and screen readers.

use serde_json::json;

use crate::support::{Browser, Relay, Window};

async fn open_in(browser: &Browser, language: &str, url: &str) -> Window {
    let window = browser.open("about:blank").await;
    let agent = window.run("return navigator.userAgent").await;
    window.devtools("Emulation.setUserAgentOverride", json!({ "userAgent": agent, "acceptLanguage": language })).await;
    window.go_to(url).await;
    window
}

#[tokio::test]
async fn the_page_speaks_the_browsers_language_and_can_be_switched() {
    let relay = Relay::start().await;
    let browser = Browser::start().await;
    let ming = open_in(&browser, "zh-CN", &relay.url("?room=r")).await;
    ming.shows("document.documentElement.lang.startsWith('zh')").await;
    ming.reads("加入").await;
    let ana = open_in(&browser, "fr-FR", &relay.url("?room=r")).await;
    ana.shows("document.documentElement.lang === 'en'").await;
    ana.reads("Join").await;

    ana.click("#lang").await;
    ana.reads("加入").await;
    ana.reload().await;
    ana.reads("加入").await;
    ming.join_as("小明").await;
    ana.join_as("Ana").await;
    ming.is_told("Ana").await;
    ming.reads("已连接").await;
    ming.photograph("in-chinese").await;
    browser.end().await;
}

#[tokio::test]
async fn nothing_sticks_out_at_any_width() {
    let relay = Relay::start().await;
    let browser = Browser::start().await;
    let alice = browser.open(&relay.url("?room=r")).await;
    let bob = browser.open(&relay.url("?room=r")).await;
    let widths = [(360, 640), (740, 360), (1280, 800), (1920, 1080)];
    let fits = "document.documentElement.scrollWidth <= innerWidth";
    for (width, height) in widths {
        alice.resize(width, height).await;
        alice.shows(&format!("innerWidth === {width} && {fits}")).await;
    }
    alice.join_as("Alice").await;
    bob.join_as("Bob").await;
    alice.plays_video_of("Bob").await;
    for (width, height) in widths {
        alice.resize(width, height).await;
        alice.shows(&format!("innerWidth === {width} && {fits}")).await;
        let on_screen =
            "(({ top, left, bottom, right }) => top >= 0 && left >= 0 && bottom <= innerHeight && right <= innerWidth)";
        for css in ["#mic", "#cam", "#hangup", ".tile:not([data-peer=self])"] {
            alice.shows(&format!("{on_screen}(document.querySelector('{css}').getBoundingClientRect())")).await;
        }
        alice.photograph(&format!("width-{width}")).await;
    }
    browser.end().await;
}

#[tokio::test]
async fn a_call_can_be_made_by_keyboard_alone() {
    let relay = Relay::start().await;
    let browser = Browser::start().await;
    let alice = browser.open(&relay.url("?room=r")).await;
    let bob = browser.open(&relay.url("?room=r")).await;
    bob.join_as("Bob").await;
    alice.call_it("Alice");
    alice.shows("document.querySelector('#preview-video').videoWidth > 0").await;
    alice.run("document.querySelector('#name').focus()").await;
    alice.press("Alice\u{e007}").await;
    alice.plays_video_of("Bob").await;
    // What has the focus is always something that can be seen, and has a name.
    let named = "(({ innerText, ariaLabel, title, labels }) => innerText || ariaLabel || title || labels?.length)";
    for _ in 0..12 {
        alice.press("\u{e004}").await;
        alice.shows(&format!("document.activeElement === document.body || {named}(document.activeElement)")).await;
    }
    alice.run("document.activeElement.blur()").await;
    alice.press("?").await;
    alice.shows("document.querySelector('dialog[open]') !== null").await;
    alice.press("\u{e00c}").await;
    alice.shows("document.querySelector('dialog[open]') === null").await;
    // It asks first.
    alice.press("x").await;
    alice.shows("document.querySelector('#leave[open]') !== null").await;
    alice.press("\u{e00c}").await;
    alice.shows("document.querySelector('#leave[open]') === null").await;
    alice.press("x").await;
    alice.shows("document.querySelector('#leave[open]') !== null").await;
    alice.press("\u{e007}").await;
    alice.is("left").await;
    browser.end().await;
}

/// What axe-core (npm) finds in the page as it is.
pub async fn faults(window: &Window) -> String {
    let axe =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/target/tools/node_modules/axe-core/axe.min.js"))
            .expect("target/tools/node_modules/axe-core: scripts/test puts it there");
    // The page's own policy runs no foreign script; the debugger may.
    window.devtools("Runtime.evaluate", json!({ "expression": axe })).await;
    let faults = "const { violations } = await axe.run();
        return violations
            .map(({ id, nodes }) => id + ': ' + nodes.map(({ html }) => html).join(' ')).join('\\n');";
    window.run(faults).await.as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_accessibility_check_finds_nothing() {
    let relay = Relay::start().await;
    let browser = Browser::start().await;
    let alice = browser.open(&relay.url("?room=r")).await;
    let bob = browser.open(&relay.url("?room=r")).await;
    for scheme in ["light", "dark"] {
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        alice.devtools("Emulation.setEmulatedMedia", features).await;
        alice.shows("document.querySelector('#join').checkVisibility()").await;
        assert_eq!(faults(&alice).await, "", "before the call, {scheme}");
    }
    alice.join_as("Alice").await;
    alice.is("waiting").await;
    assert_eq!(faults(&alice).await, "", "waiting");
    bob.join_as("Bob").await;
    alice.plays_video_of("Bob").await;
    assert_eq!(faults(&alice).await, "", "in the call");
    for (button, view) in [("#chat-open", "the chat"), ("#details-open", "the details")] {
        alice.click(button).await;
        alice.shows("document.querySelector('#panel').checkVisibility()").await;
        assert_eq!(faults(&alice).await, "", "{view}");
    }
    alice.hang_up().await;
    assert_eq!(faults(&alice).await, "", "after the call");
    browser.end().await;
}
