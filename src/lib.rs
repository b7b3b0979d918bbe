//! A raw-WebSocket JSON signaling relay for WebRTC, with its call page.
//!
//! It relays signaling, never media: the peers in a room exchange offers, answers and ICE candidates through it until
//! they are connected to each other. [`protocol`] is the reference of the protocol; [`limits`] has every number and its
//! reason.
//!
//! # Listen
//! A [`Server`] listens on the addresses of a [`Config`], and serves until it is told to shut down. It also serves the
//! call page.
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
//! # Decide who may join, and observe events
//! [`Relay::builder`] takes an [`Authorizer`], which the relay asks before each join and which may take time to decide,
//! and an observer, which gets each [`RelayEvent`].
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
//! # Use your own listener, stream or web server
//! [`RelayBuilder::build`] makes a [`Relay`] without a listener. A process may have several.
//!
//! - [`Relay::service`] mounts it in axum, or another server that uses tower services, at any path
//!   (`examples/axum.rs`).
//! - [`Relay::serve`] serves the connections of a listener: a type that implements [`Accept`], or the receiving end of
//!   a channel.
//! - [`Relay::serve_stream`] serves one stream. Wrap a stream of your own type in [`Opaque`].
//!
//! On tokio's runtime with several threads, let it look at its shared queue often, as the binary does
//! (`Builder::global_queue_interval(2)`): with hundreds of busy connections on a thread, the default serves some of them
//! much later than others.
//!
//! [`Relay::shutdown`] ends it: it tells the clients, sends what is queued for them, and leaves no task behind.
//!
//! # Features
//! All are on by default. Without any, the crate is rooms over WebSocket.
//!
//! | feature | what it adds |
//! | --- | --- |
//! | `cli` | the binary: flags, settings from a file, banner, log, signals |
//! | `page` | the call page at `/`; without it, `/` is a sentence of plain text |
//! | `tls` | TLS with a certificate from files |
//! | `lan` | `tls`, with a local certificate authority |
//! | `admin` | an address for operators: whether the relay lives and is ready, its metrics, and an API for the application's own server |
//! | `auth` | `tls`, with tokens and a webhook that decide who may join, and events for another webhook |
//! | `cluster` | `tls`, with other relays that are one with this: Redis says on which of them a room lives |
//! | `wires` | the protocols of other libraries, y-webrtc, Trystero, PeerJS, matchbox and RxDB, whose clients connect unmodified |
//! | `doctor` | `cli` and `tls`, with the command that looks at a relay as a browser would |

// # Modules
// Each uses mainly those above it.
//
// | module | what it contains |
// | --- | --- |
// | `limits.rs` | every number with its unit and reason |
// | `net/` | listeners, streams and TLS |
// | `quota/` | how much one connection, one address, and all together may use |
// | `secret.rs` | a text that must not appear in a log |
// | `parameters.rs` | the parameters in the query of a URL |
// | `wire.rs` | the names of other libraries' wires |
// | `budget/` | how much memory may be pinned, by all and by each address |
// | `memory.rs` | how much memory this machine has |
// | `metrics.rs` | what is counted |
// | `panics.rs` | a panic of one connection ends no other |
// | `ice/` | the STUN and TURN servers that clients are told of |
// | `outbox/` | the frames that are queued for one client, and how they get to its socket |
// | `room/` | rooms: their members, who may enter, what a host may do, and what each member is told |
// | `protocol/` | parsing and encoding of messages |
// | `http_client/` | the client for the servers that the relay asks, and what the log says of those that fail |
// | `auth/` | whether a client may join a room |
// | `events/` | the events of rooms, sent to an application |
// | `cluster/` | many relays as one: where a room lives |
// | `drain.rs` | how connections end when the relay shuts down |
// | `peer/` | one peer's protocol state, without its socket; places that outlive a connection; what all share |
// | `wires/` | other libraries' wires: their clients, topics and ids |
// | `ws/` | one WebSocket: reading, writing, keepalive, closing |
// | `http/` | HTTP requests, and what the site serves besides rooms |
// | `lan/` | TLS for a LAN |
// | `config.rs` | settings and their checks |
// | `clustering/` | how a relay becomes one of several, from its settings, and its port for the others |
// | `relay.rs` | the relay that a program embeds, built from its settings |
// | `serve.rs`, `mount.rs` | serving one stream; the relay inside another web server |
// | `admin/` | the address for operators |
// | `server.rs` | bind, accept, drain |
// | `cli/`, `main.rs` | the program |
// | `fuzzing.rs` | what the targets in `fuzz/` need of the above |
//
// # The path of one message
// 1. `ws/connection.rs`: `poll_input` reads from the socket, and `ws/decoder.rs` decodes a whole text.
// 2. `protocol/parse.rs`: `parse` parses the envelope, and keeps the payload as text.
// 3. `peer/session/mod.rs`: `receive` checks the message rate.
// 4. `peer/session/pause.rs`: `relay` checks that the peer is in a room.
// 5. `room/relay.rs`: `relay` has `protocol/encode.rs` encode the message once, and finds its receivers.
// 6. `outbox/mod.rs`: `push` queues it in each receiver's outbox, if the sender's share there is not full.
// 7. `outbox/writer.rs`: `flush` writes it to the receiver's socket at once, or leaves it to the receiver's own task.

#![cfg_attr(
    not(all(feature = "cli", feature = "lan", feature = "page", feature = "auth")),
    allow(dead_code, reason = "code that only one feature uses is also compiled, and so checked, without it")
)]

#[cfg(feature = "admin")]
mod admin;
mod auth;
mod budget;
// Not in `budget`, which `tests/outbox.rs` compiles with the outbox.
#[cfg(test)]
#[path = "budget/tests.rs"]
mod budget_tests;
#[cfg(feature = "cli")]
#[doc(hidden)]
pub mod cli;
#[cfg_attr(not(feature = "cluster"), path = "cluster_absent.rs")]
mod cluster;
#[cfg(feature = "cluster")]
mod clustering;
mod config;
mod drain;
mod error;
#[cfg(feature = "auth")]
mod events;
#[cfg(fuzzing)]
pub mod fuzzing;
mod http;
#[cfg(feature = "auth")]
mod http_client;
mod ice;
#[cfg(feature = "lan")]
mod lan;
pub mod limits;
mod memory;
mod metrics;
mod mount;
mod net;
mod outbox;
mod panics;
mod parameters;
// Not in `outbox`, which `tests/outbox.rs` compiles with loom's lock.
#[cfg(test)]
#[path = "outbox/tests.rs"]
mod outbox_tests;
mod peer;
pub mod protocol;
mod quota;
mod relay;
mod room;
mod secret;
mod serve;
mod server;
mod sync;
#[cfg(any(test, fuzzing))]
mod testing;
#[cfg(feature = "wires")]
mod wire;
#[cfg(feature = "wires")]
mod wires;
mod ws;

#[cfg(feature = "auth")]
pub use auth::jwks::{JwksSource, JwksSourceError, JwksUrl};
#[cfg(feature = "auth")]
pub use auth::webhook::{AuthUrl, AuthUrlError};
pub use auth::{Answer, Authorizer, Decision, Denial, Grant, JoinRequest, Open};
#[cfg(feature = "cluster")]
pub use cluster::settings::{RedisUrl, RedisUrlError};
pub use config::{Config, ConfigError};
pub use drain::Shutdown;
pub use error::BindError;
#[cfg(feature = "auth")]
pub use events::{EventsUrl, EventsUrlError};
pub use http::body::Body;
pub use http::origin::{CustomOrigin, Origin, OriginError, TupleOrigin};
pub use http::proxy::{TrustedProxy, TrustedProxyError};
pub use mount::RelayService;
pub use net::accept::Accept;
pub use net::address::{ListenAddress, ListenAddressError};
pub use net::info::ConnectionInfo;
pub use peer::RelayEvent;
pub use relay::{Relay, RelayBuilder};
pub use room::Role;
pub use secret::Secret;
pub use server::{Reloader, Server};
#[cfg(feature = "wires")]
pub use wire::{Wire, WireError};
pub use ws::{Opaque, Transport};

/// Compiles the Rust of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
