//! The relay as its users meet it, inside the test or as a process, and clients that dial it.
#![allow(dead_code, unreachable_pub, unused_imports, reason = "each test binary uses a part of it")]

pub mod application;
pub mod client;
#[cfg(unix)]
pub mod coturn;
pub mod dice;
pub mod operated;
pub mod pages;
pub mod pki;
pub mod places;
pub mod process;
#[cfg(unix)]
pub mod proxy;
#[cfg(all(unix, feature = "cluster"))]
pub mod redis;
pub mod relay;
#[cfg(all(unix, feature = "cluster"))]
pub mod sentinels;
#[cfg(all(unix, feature = "cluster"))]
pub mod shards;
pub mod tools;

use std::time::Duration;

use tokio::time::timeout;

pub use client::{AnyStream, Client, connect, get, get_bytes, refusal};
pub use dice::Dice;
pub use process::{Process, binary, run};
#[cfg(all(unix, feature = "cluster"))]
pub use redis::Redis;
pub use relay::TestRelay;
#[cfg(unix)]
pub use tools::secret_file;
pub use tools::{bound_to_us, ended_with_us, file, free_port, text, tool};

/// Longer than anything here takes, even on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Waits for `future`, and fails the test when it takes too long.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("waited too long for {what}"))
}
