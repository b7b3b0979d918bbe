//! Real Chromium, the real relay, and words to tell what people do with them.
//!
//! ```ignore
//! let relay = Relay::start().await;
//! let browser = Browser::start().await;
//! let alice = browser.open(&relay.url("?room=r")).await;
//! let bob = browser.open(&relay.url("?room=r")).await;
//! alice.join_as("Alice").await;
//! bob.join_as("Bob").await;
//! alice.plays_video_of("Bob").await;
//! alice.hears("Bob").await;
//! browser.end().await;
//! ```
//! Whatever waits, waits for a condition in [`Window::until`], which shows all windows when it gives up. Screenshots and
//! the relays' logs are left in `target/browser/`.

mod call;
mod camera;
mod chromium;
mod driver;
mod fifty;
mod files;
mod nat;
mod network;
mod relay;
mod scripted;
mod session;
mod tls;
mod window;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tokio::process::Child;

pub use chromium::{Browser, Options};
pub use fifty::FIFTY_LINES;
pub use files::PageServer;
pub use nat::Internet;
pub use network::Network;
pub use relay::Relay;
pub use scripted::{Line, ScriptedRelay};
pub use tls::{Nginx, trust};
pub use window::Window;

pub use crate::harness::PATIENCE;
use crate::harness::bound_to_us;

/// A file in `target/browser/`.
pub fn artifact(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("browser");
    fs::create_dir_all(&folder).unwrap();
    folder.join(name)
}

/// The address under which a browser opens a file of this repository from disk.
pub fn file_url(path: &str) -> String {
    format!("file://{}/{path}", env!("CARGO_MANIFEST_DIR"))
}

/// Starts a program that ends with this process, and with whoever holds what is returned.
fn spawn_bound_to_us(program: &str, arguments: &[&str]) -> io::Result<Child> {
    let mut command = tokio::process::Command::from(bound_to_us(program));
    command.args(arguments).kill_on_drop(true).spawn()
}

/// The name of the test that runs, to name files by.
fn test_name() -> String {
    std::thread::current().name().unwrap_or("test").replace("::", "-")
}
