//! A raw-WebSocket JSON signaling relay for WebRTC, with its call page.
//!
//! It carries signaling, never media: the peers in a room exchange offers, answers and candidates through it until they are
//! connected to each other. [`protocol`] is the reference of what is said on the wire, [`limits`] has every number with its
//! reason.
//!
//! # Listen
//! A [`Server`] binds what a [`Config`] says, and serves until its owner ends it. It serves the call page as well.
//!
//! ```no_run
//! # async fn embed() -> Result<(), signaling_relay::BindError> {
//! use signaling_relay::{Config, ListenAddress, Server};
//!
//! let config = Config { listen: vec![ListenAddress::localhost(0)], ..Config::default() };
//! let server = Server::bind(config).await?;
//! println!("listening on {:?}", server.local_addrs());
//! server.serve(async { tokio::signal::ctrl_c().await.unwrap_or(()) }).await;
//! # Ok(())
//! # }
//! ```
//!
//! # Decide who may enter, and hear what happens
//! [`Relay::builder`] takes an [`Authorizer`], which is asked before each join and may take its time, and an observer, which
//! hears of each [`RelayEvent`].
//!
//! ```no_run
//! # async fn embed() -> Result<(), signaling_relay::BindError> {
//! use signaling_relay::{Config, Denial, Grant, JoinRequest, Relay};
//!
//! async fn in_the_calendar(request: JoinRequest) -> Result<Grant, Denial> {
//!     match request.room.as_str() {
//!         "monday-9am" => Ok(Grant::from(&request)),
//!         _ => Err(Denial::Unauthorized("there is no such meeting".into())),
//!     }
//! }
//!
//! let builder = Relay::builder(Config::default()).authorizer(in_the_calendar).observer(|event| println!("{event:?}"));
//! let server = builder.bind().await?;
//! # server.serve(std::future::pending::<()>()).await;
//! # Ok(())
//! # }
//! ```
//!
//! # Bring a listener, a stream or a web server of your own
//! [`RelayBuilder::build`] gives a [`Relay`] that listens nowhere. A process may have several.
//!
//! - [`Relay::service`] mounts it in axum, or any other server of hyper's and tower's, at a path of yours (`examples/axum.rs`).
//! - [`Relay::serve`] takes the connections of a listener: what implements [`Accept`], or the receiving end of a channel.
//! - [`Relay::serve_stream`] serves one stream; one of a type of yours goes into [`Opaque`].
//!
//! [`Relay::shutdown`] ends it: clients are told, what they have yet to read is sent, and no task is left behind.
//!
//! # Features
//! All are on by default. Without any, the crate is rooms over WebSocket.
//!
//! | feature | what it adds |
//! | --- | --- |
//! | `cli` | the binary: flags, banner, log, signals |
//! | `page` | the call page at `/`; without it there is a sentence of plain text |
//! | `tls` | TLS with a certificate from files |
//! | `lan` | `tls`, with a local certificate authority |

// # The floors
// Each uses only what stands above it.
//
// | floor | what it is |
// | --- | --- |
// | `limits.rs` | every number with its unit and reason |
// | `net/` | streams, and where they come from |
// | `outbox/` | what waits for one client's socket, and how it gets there |
// | `room/` | who is where, and who hears what |
// | `protocol/` | text to command, event to text |
// | `auth/` | may somebody enter a room, and as what |
// | `peer/` | one peer without its socket: what it may do, and how much |
// | `drain.rs` | how connections end when the relay goes away |
// | `ws/` | one WebSocket: what comes off its stream, how it is kept alive, how it ends |
// | `relay.rs` | what all connections share |
// | `http/` | one request |
// | `lan/` | TLS for a LAN |
// | `serve.rs`, `mount.rs` | what becomes of a stream; the relay inside another web server |
// | `config.rs`, `server.rs` | settings, checked; bind, accept, drain |
// | `cli/`, `main.rs` | the program |
//
// # The way of one message
// 1. `ws/connection.rs`: `poll_input` reads from the socket, `ws/decoder.rs` finds a whole text.
// 2. `peer/session.rs`: `receive` asks whether the peer may send so much.
// 3. `protocol/parse.rs`: `parse` types the envelope, and leaves the payload as it is.
// 4. `peer/session.rs`: `relay` asks whether the peer is in a room.
// 5. `room/room.rs`: `relay` finds the receivers. `protocol/encode.rs` writes the message once for all of them.
// 6. `outbox/mod.rs`: `push` puts it into each receiver's outbox, if the sender's share there is not full; `flush` writes it to
//    the receiver's socket, at once, or leaves it to the receiver's own task.

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
