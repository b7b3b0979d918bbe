//! A raw-WebSocket JSON signaling relay for WebRTC, with its call page.
//!
//! It carries signaling, never media: the peers in a room exchange offers, answers and candidates through it until they
//! are connected to each other. [`protocol`] is the reference of what is said on the wire.
//!
//! # The way of one message
//! socket in → [`ws`] reads a text → [`peer`] asks whether the peer may → [`protocol`] types the envelope and
//! leaves the payload alone → [`room`] finds the receivers → each one's outbox → its [`ws`] → socket out.
//!
//! # The floors
//! A floor uses only those above it.
//!
//! | floor | what it is |
//! | --- | --- |
//! | [`limits`] | every number with its unit and reason |
//! | [`net`] | streams, and where they come from |
//! | [`room`] | who is where, and who hears what |
//! | [`protocol`] | text to command, event to text |
//! | [`peer`] | one peer without its socket |
//! | [`relay`], [`drain`] | what all connections share, and how they end |
//! | [`ws`] | one WebSocket |
//! | [`http`] | one request |
//! | [`lan`] | TLS for a LAN |
//! | [`config`], [`server`] | settings; bind, accept, drain |
//! | [`cli`] | the program |
//!
//! # Features
//! All are on by default. Without any, the crate is rooms over WebSocket.
//!
//! | feature | what it adds |
//! | --- | --- |
//! | `cli` | [`cli`] and the binary |
//! | `page` | the call page at `/`; without it there is a sentence of plain text |
//! | `tls` | TLS with a certificate from files |
//! | `lan` | `tls`, with a local certificate authority |
//!
//! # Embedding
//! ```no_run
//! # async fn embed() -> anyhow::Result<()> {
//! use signaling_relay::{Config, ListenAddress, Server};
//!
//! let config = Config { listen: vec![ListenAddress::localhost(0)], ..Config::default() };
//! let server = Server::bind(config).await?;
//! println!("listening on {:?}", server.local_addrs());
//! server.serve(async { tokio::signal::ctrl_c().await.unwrap_or(()) }).await;
//! # Ok(())
//! # }
//! ```

#![cfg_attr(
    not(all(feature = "cli", feature = "lan", feature = "page")),
    allow(dead_code, reason = "what only one feature uses is compiled, and so checked, without it as well")
)]

mod auth;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
mod config;
mod drain;
mod error;
mod http;
mod lan;
pub mod limits;
mod mount;
mod net;
mod outbox;
mod peer;
pub mod protocol;
mod relay;
mod room;
mod serve;
mod server;
mod sync;
#[cfg(test)]
mod testing;
mod ws;

pub use auth::{Answer, Authorizer, Decision, Denial, Grant, JoinRequest, Open};
pub use config::{Config, ConfigError};
pub use drain::Shutdown;
pub use error::BindError;
pub use http::origin::{Origin, OriginError, TupleOrigin};
pub use http::proxy::{TrustedProxy, TrustedProxyError};
pub use mount::RelayService;
pub use net::accept::Accept;
pub use net::address::{ListenAddress, ListenAddressError};
pub use net::info::ConnectionInfo;
pub use peer::RelayEvent;
pub use relay::{Relay, RelayBuilder};
pub use server::{Reloader, Server};
pub use ws::{Opaque, Transport};
