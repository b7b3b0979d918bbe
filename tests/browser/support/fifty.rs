//! The page in the style of the 50-line demo: `pages/fifty.html`.

use super::Window;

/// The page, for those who serve it.
pub const FIFTY_LINES: &str = include_str!("../pages/fifty.html");

impl Window {
    /// The caller's button: starts the camera and makes the offer.
    pub async fn press_start(&self) {
        self.click("#start").await;
    }

    /// Waits until the page's socket is open.
    pub async fn has_dialled(&self) {
        self.reads("connected to the relay").await;
    }

    /// Waits until the other side's picture moves and its sound is heard.
    pub async fn sees_and_hears_the_other(&self) {
        self.plays("document.querySelector('#remote')").await;
        self.plays_sound("document.querySelector('#remote')").await;
    }
}
