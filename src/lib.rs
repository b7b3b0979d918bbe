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

#[cfg(feature = "cli")]
pub mod cli;
pub mod config;
pub mod doorkeeper;
pub mod drain;
pub mod http;
pub mod lan;
pub mod limits;
pub mod net;
pub mod peer;
pub mod protocol;
pub mod relay;
pub mod room;
pub mod server;
pub mod ws;

pub use config::{Config, ConfigError, ListenAddress};
pub use drain::Shutdown;
pub use server::{Reloader, Server};
