//! `PeerLink` alone: two of them in one page, whose messages take the time that the test says.

use crate::support::{Browser, Relay};

/// Both ends begin, the second so many milliseconds `late` (or when it has the first's offer), with messages that are on
/// their way for `latency`; how it went half a second after they are connected.
const CROSSING: &str = "
const { PeerLink } = await import('/sdk/peer.js');
const wait = (ms) => new Promise((done) => setTimeout(done, ms));
const cross = async (late, latency, media) => {
  const ends = [];
  const offers = [0, 0];
  const problems = [];
  const make = (at) => {
    let line = Promise.resolve();
    const send = (type, fields) => {
      if (type === 'offer') offers[at] += 1;
      line = line.then(() => wait(latency)).then(() => void ends[1 - at].receive({ type, ...fields }));
    };
    const link = new PeerLink({ polite: at === 0, media: media[at], send });
    link.on('problem', (error) => problems.push(error.message));
    ends.push(link);
  };
  const begin = (link) => {
    link.pc.createDataChannel('call');
    link.start();
  };
  make(0);
  make(1);
  begin(ends[0]);
  if (late === null) while (!ends[1].pc.remoteDescription) await wait(10);
  else await wait(late);
  begin(ends[1]);
  while (!ends.every(({ state }) => state === 'connected')) await wait(20);
  await wait(500);
  const sends = ends.map(({ pc }) => pc.getTransceivers().filter(({ currentDirection }) => currentDirection === 'sendrecv').length);
  ends.forEach((link) => link.close());
  return { offers, sends, problems };
};
";

#[tokio::test]
async fn offers_that_cross_end_in_one_pair_of_lines_and_nobody_offers_for_ever() {
    let relay = Relay::start().await;
    let browser = Browser::start().await;
    let page = browser.open(&relay.url("?room=r")).await;
    for (late, latency) in [(0, 0), (0, 30), (20, 0), (20, 30), (30, 30), (40, 30), (90, 30)] {
        let went = page.run(&format!("{CROSSING} return cross({late}, {latency}, [true, true])")).await;
        let offers = went["offers"].as_array().unwrap();
        assert!(offers.iter().all(|offers| offers.as_u64() <= Some(3)), "{late} {latency}: {went}");
        assert_eq!(went["sends"], serde_json::json!([2, 2]), "{late} {latency}: {went}");
        assert_eq!(went["problems"], serde_json::json!([]), "{late} {latency}");
    }
    browser.end().await;
}

#[tokio::test]
async fn sound_and_picture_are_negotiated_also_where_the_first_offer_is_of_data_alone() {
    let relay = Relay::start().await;
    let browser = Browser::start().await;
    let page = browser.open(&relay.url("?room=r")).await;
    for media in [[true, false], [false, true]] {
        let media = serde_json::json!(media);
        let went = page.run(&format!("{CROSSING} return cross(null, 30, {media})")).await;
        assert_eq!(went["sends"], serde_json::json!([2, 2]), "{media}: {went}");
    }
    browser.end().await;
}

/// The polite end gets the other's offer, and its candidates, in the moment in which it makes its own.
const COLLISION: &str = "
const { PeerLink } = await import('/sdk/peer.js');
const wait = (ms) => new Promise((done) => setTimeout(done, ms));
const collide = async () => {
  const held = [];
  let polite = null;
  const send = (type, fields) => void (polite ?? { receive: (message) => held.push(message) }).receive({ type, ...fields });
  const impolite = new PeerLink({ polite: false, send });
  impolite.pc.createDataChannel('call');
  impolite.start();
  while (!held.some(({ type, iceCandidate }) => type === 'offer_ice' && !iceCandidate)) await wait(10);
  const late = new PeerLink({ polite: true, send: (type, fields) => void impolite.receive({ type, ...fields }) });
  late.pc.addEventListener('negotiationneeded', () => {
    polite = late;
    for (const message of held.splice(0)) late.receive(message);
  });
  late.pc.createDataChannel('call');
  late.start();
  while ([late, impolite].some(({ state }) => state !== 'connected')) await wait(20);
  late.close();
  impolite.close();
};
";

#[tokio::test]
async fn an_offer_that_comes_while_ours_is_made_connects_every_time() {
    let relay = Relay::start().await;
    let browser = Browser::start().await;
    let page = browser.open(&relay.url("?room=r")).await;
    for _ in 0..10 {
        page.run(&format!("{COLLISION} await collide()")).await;
    }
    browser.end().await;
}
