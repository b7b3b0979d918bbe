//! The safety number, with a relay of the test's own in the middle: it changes what two ends are told of each other.

use crate::support::{Browser, Relay, Window};

/// Two links whose messages go by `middle`, which may change them, and what their ends show. `Mallory` is another pair of
/// ends, which the middle may put between.
const SCENE: &str = "
const { PeerLink } = await import('/sdk/peer.js');
const { safetyNumber } = await import('/sdk/proof.js');
const problems = [];
const make = (polite, send) => {
  const link = new PeerLink({ polite, send });
  link.on('problem', (error) => problems.push(error.message));
  return link;
};
// The browser tells the other side's certificate a moment after it is connected.
const connected = (link) => new Promise((done, fail) => {
  const timer = setInterval(() => {
    if (link.state !== 'connected' || !link.certificates) return;
    clearInterval(timer);
    done();
  }, 20);
  setTimeout(() => { clearInterval(timer); fail(new Error('not connected')); }, 10000);
});
const pair = (change) => {
  const a = make(true, (type, fields) => b.receive({ type, ...change({ type, ...fields }) }));
  const b = make(false, (type, fields) => a.receive({ type, ...change({ type, ...fields }) }));
  a.start();
  return [a, b];
};
const numberOf = (link) => safetyNumber(link.certificates);
const fingerprint = (sdp) => /^a=fingerprint:.*$/m.exec(sdp)[0];
";

async fn scene(browser: &Browser, relay: &Relay) -> Window {
    // A page of the relay's origin, which may import its modules.
    browser.open(&relay.url("?room=r")).await
}

#[tokio::test]
async fn an_honest_pair_has_one_number_of_120_bits() {
    let relay = Relay::start().await;
    let browser = Browser::start().await;
    let page = scene(&browser, &relay).await;
    let numbers = "const [a, b] = pair((message) => message);
        await Promise.all([a, b].map(connected));
        return [numberOf(a), numberOf(b)];";
    let numbers = page.run(&format!("{SCENE}{numbers}")).await;
    let number = numbers[0].as_str().unwrap();
    assert_eq!(numbers[0], numbers[1]);
    let groups: Vec<&str> = number.split(' ').collect();
    assert!(groups.len() == 10 && groups.iter().all(|group| group.len() == 4 && group.parse::<u16>().unwrap() < 4096));
    browser.end().await;
}

#[tokio::test]
async fn who_sits_in_the_middle_shows_in_the_number_however_a_key_is_hidden() {
    let relay = Relay::start().await;
    let browser = Browser::start().await;
    let page = scene(&browser, &relay).await;
    // Mallory answers Alice and calls Bob; what each of them is told of the other may name the honest key besides.
    let attack = "
    const attack = async (hide) => {
      problems.length = 0;
      const toBob = [], toAlice = [];
      const honest = {};
      const disguise = (message, of) => (message.sdp && honest[of] ? { ...message, sdp: hide(message.sdp, honest[of]) } : message);
      const alice = make(true, (type, fields) => {
        if (fields.sdp) honest.alice = fingerprint(fields.sdp);
        m1.receive({ type, ...fields });
        m2.start();
      });
      const m1 = make(false, (type, fields) => alice.receive({ type, ...disguise(fields, 'bob') }));
      const bob = make(false, (type, fields) => {
        if (fields.sdp) honest.bob = fingerprint(fields.sdp);
        m2.receive({ type, ...fields });
      });
      const m2 = make(true, (type, fields) => bob.receive({ type, ...disguise(fields, 'alice') }));
      honest.bob = await RTCPeerConnection.generateCertificate({ name: 'ECDSA', namedCurve: 'P-256' }).then((c) => {
        const { algorithm, value } = c.getFingerprints()[0];
        return 'a=fingerprint:' + algorithm + ' ' + value.toUpperCase();
      });
      alice.start();
      const up = await Promise.all([alice, bob].map(connected)).then(() => true, () => false);
      const result = { up, alice: numberOf(alice), bob: numberOf(bob), problems: [...problems] };
      for (const link of [alice, m1, bob, m2]) link.close();
      return result;
    };";
    let ways = [
        // Not at all.
        ("(sdp) => sdp", false),
        // In a rejected section in front.
        (
            "(sdp, key) => sdp.replace('m=', 'm=application 0 UDP/DTLS/SCTP webrtc-datachannel\\r\\nc=IN IP4 0.0.0.0\\r\\na=mid:x\\r\\n' + key + '\\r\\na=inactive\\r\\nm=')",
            true,
        ),
        // For the whole session, in front.
        ("(sdp, key) => sdp.replace('m=', key + '\\r\\nm=')", true),
        // After the true one, in the same section.
        ("(sdp, key) => sdp.replace(/(a=fingerprint:.*\\r\\n)/g, '$1' + key + '\\r\\n')", true),
        // In another writing.
        ("(sdp, key) => sdp.replace('m=', key.toLowerCase().replace('sha-256', 'SHA-256') + '\\r\\nm=')", true),
    ];
    for (hide, refused) in ways {
        let result = page.run(&format!("{SCENE}{attack} return attack({hide});")).await;
        let problems = result["problems"].to_string();
        assert_eq!(problems.contains("two certificates"), refused, "{hide}: {result}");
        if refused {
            assert_eq!(result["up"], false, "{hide}: {result}");
        } else {
            assert_eq!(result["up"], true, "{hide}: {result}");
            assert_ne!(result["alice"], result["bob"], "{hide}: {result}");
        }
    }
    browser.end().await;
}

#[tokio::test]
async fn several_hash_functions_of_one_key_are_no_offence() {
    let relay = Relay::start().await;
    let browser = Browser::start().await;
    let page = scene(&browser, &relay).await;
    // As aiortc writes them.
    let numbers = "const more = 'a=fingerprint:sha-384 ' + Array(48).fill('00').join(':') + '\\r\\n';
        const [a, b] = pair((message) => message.sdp ? { ...message, sdp: message.sdp.replace(/(a=fingerprint:sha-256 .*\\r\\n)/g, '$1' + more) } : message);
        await new Promise((done) => setTimeout(done, 1000));
        return problems.filter((problem) => problem.includes('two certificates')).length;";
    assert_eq!(page.run(&format!("{SCENE}{numbers}")).await, 0);
    browser.end().await;
}

#[tokio::test]
async fn a_number_is_marked_as_compared_and_a_browser_that_cannot_tell_shows_none() {
    let relay = Relay::start().await;
    let browser = Browser::start().await;
    let blind = browser.open("about:blank").await;
    let source = "delete RTCDtlsTransport.prototype.getRemoteCertificates";
    blind.devtools("Page.addScriptToEvaluateOnNewDocument", serde_json::json!({ "source": source })).await;
    blind.go_to(&relay.url("?room=r")).await;
    let alice = browser.open(&relay.url("?room=r")).await;
    alice.join_as("Alice").await;
    blind.join_as("Bob").await;
    for person in [&alice, &blind] {
        person.is("connected").await;
        person.click("#details-open").await;
    }
    blind.reads("Cannot be checked here").await;
    blind.shows("!document.querySelector('#people .number')").await;
    alice.shows("/^\\d{4}( \\d{4}){9}$/.test(document.querySelector('#people .number').innerText)").await;
    alice.click("#people .safety input").await;
    // The mark stays while the numbers of the connection are read again.
    alice.run("document.querySelector('#people .safety input').blur(); document.querySelector('#people .number').dataset.old = 1").await;
    alice
        .shows("document.querySelector('#people .number') && !document.querySelector('#people .number').dataset.old")
        .await;
    alice.shows("document.querySelector('#people .safety input').checked").await;
    // The other end is another now.
    let changed = "const { prototype } = RTCDtlsTransport, real = prototype.getRemoteCertificates;
        prototype.getRemoteCertificates = function () {
            return real.call(this).map((certificate) => new Uint8Array(certificate).map((byte) => byte ^ 1).buffer);
        };
        document.activeElement.blur()";
    alice.run(changed).await;
    alice.reads("The safety number of Bob has changed since you compared it").await;
    alice.is_told("The safety number of Bob has changed").await;
    browser.end().await;
}
