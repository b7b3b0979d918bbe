//! What people do on the call page, and what they see there, which the page tells by its attributes:
//!
//! | element | attributes |
//! | --- | --- |
//! | `body` | `data-state`: entry, connecting, waiting (alone), connected, reconnecting, refused, left; `data-problem`: a refusal's code, or unreachable; `data-relay`: the channel's state; `data-id`: ours |
//! | `.notice` | `data-device`: microphone, camera (or both), relay; `data-problem`: denied, none, busy, insecure, embedded, nobody, ... |
//! | `.tile` | `data-peer`: id or "self"; `data-name`; `data-connection`: RTCPeerConnection's state; `data-present`: at the relay; `data-audio`: on, off; `data-video`: on, off, screen; `data-speaking`; `data-path`: lan, nat, relay; `data-pinned` |
//! | `#grid` | `data-layout`: alone, duo, grid, spotlight |
//! | `#status`, `#toasts` | words |
//! | `#chat-list li` | `data-from` |
//! | `#people li` | `data-peer`; a connection's numbers |

use serde_json::json;

use super::{Browser, Relay, Window};

impl Browser {
    /// Two people in the room `r`, each in a window, Alice first; wait for what they shall see of each other.
    pub async fn call_of_alice_and_bob(&self, relay: &Relay) -> (Window, Window) {
        let alice = self.open(&relay.url("?room=r")).await;
        let bob = self.open(&relay.url("?room=r")).await;
        alice.join_as("Alice").await;
        bob.join_as("Bob").await;
        (alice, bob)
    }
}

impl Window {
    /// Types the name and joins; waits until the relay has let them in.
    pub async fn join_as(&self, name: &str) {
        self.call_it(name);
        self.fill("#name", name).await;
        self.join().await;
    }

    /// Joins as whoever the form says; waits until the relay has let them in.
    pub async fn join(&self) {
        // As a person does who looks at the preview first. Who comes back finds the camera off until then.
        let ready = "document.querySelector('#preview-video').videoWidth > 0 || document.querySelector('.notice')";
        self.shows(&format!("document.body.dataset.state === 'left' || {ready}")).await;
        self.click("#join").await;
        self.shows("document.body.dataset.relay === 'joined'").await;
    }

    /// Types the name and joins without camera and microphone; waits until the relay has let them in.
    pub async fn watch_as(&self, name: &str) {
        self.call_it(name);
        self.fill("#name", name).await;
        self.click("#watch").await;
        self.shows("document.body.dataset.relay === 'joined'").await;
    }

    pub async fn hang_up(&self) {
        self.click("#hangup").await;
        self.is("left").await;
    }

    /// Waits until the page is in this state of `body[data-state]`.
    pub async fn is(&self, state: &str) {
        self.shows(&format!("document.body.dataset.state === '{state}'")).await;
    }

    /// Waits until somebody of that name has a tile, with the name on it.
    pub async fn sees(&self, name: &str) {
        let name = json!(name);
        self.shows(&format!("tile({name})?.innerText.includes({name}) && tile({name}).checkVisibility()")).await;
    }

    /// Waits until nobody of that name is left.
    pub async fn no_longer_sees(&self, name: &str) {
        self.shows(&format!("!tile({})", json!(name))).await;
    }

    /// Waits until exactly these others are shown, whatever their order.
    pub async fn sees_only(&self, names: &[&str]) {
        let mut expected = names.to_vec();
        expected.sort_unstable();
        let shown = "[...document.querySelectorAll('.tile:not([data-peer=self])')].map(({ dataset }) => dataset.name)";
        self.shows(&format!("JSON.stringify({shown}.sort()) === {}", json!(json!(expected).to_string()))).await;
    }

    /// Waits until their picture moves on this page.
    pub async fn plays_video_of(&self, name: &str) {
        self.plays(&video_of(name)).await;
    }

    /// Waits until their sound comes out of this page.
    pub async fn hears(&self, name: &str) {
        self.plays_sound(&video_of(name)).await;
    }

    /// Waits until nothing but silence comes of them.
    pub async fn no_longer_hears(&self, name: &str) {
        self.falls_silent(&video_of(name)).await;
    }

    /// Waits until a passing message has said so.
    pub async fn is_told(&self, text: &str) {
        self.shows(&format!("testTold.some((told) => told.includes({}))", json!(text))).await;
    }
}

fn video_of(name: &str) -> String {
    format!("tile({})?.querySelector('video')", json!(name))
}
