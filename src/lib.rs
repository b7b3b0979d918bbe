//! A raw-WebSocket JSON signaling relay for WebRTC, with its call page.
//!
//! It carries signaling, never media: the peers in a room exchange offers, answers and candidates through it until they
//! are connected to each other. [`protocol`] is the reference of what is said on the wire.
//!
//! # The way of one message
//! socket in → [`connection`] reads a text → [`session`] asks whether the peer may → [`protocol`] types the envelope and
//! leaves the payload alone → [`rooms`] finds the receivers → each one's [`outbox`] → its [`connection`] → socket out.
//!
//! # The map
//! | what | where |
//! | --- | --- |
//! | the words | [`names`], [`protocol`], [`limits`] |
//! | who is where, and what waits for whom | [`outbox`], [`rooms`], [`session`] |
//! | one WebSocket | [`connection`] |
//! | the first requests on a stream, and who may make them | [`http`], [`response`], [`page`], [`origin`], [`proxy`], [`arrival`] |
//! | TLS, and the authority of a LAN | [`certificate`], [`tls`], [`redirect`], [`host`], [`authority`], [`trust`] |
//! | the frame | [`config`], [`listen`], [`unix`], [`doorkeeper`], [`relay`], [`server`], [`shutdown`], [`screen`] |
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

pub mod arrival;
pub mod authority;
pub mod certificate;
pub mod config;
pub mod connection;
pub mod doorkeeper;
pub mod host;
pub mod http;
pub mod limits;
pub mod listen;
pub mod names;
pub mod origin;
pub mod outbox;
pub mod page;
pub mod protocol;
pub mod proxy;
pub mod redirect;
pub mod relay;
pub mod response;
pub mod rooms;
pub mod screen;
pub mod server;
pub mod session;
pub mod shutdown;
pub mod tls;
pub mod trust;
pub mod unix;

pub use config::{Config, ListenAddress};
pub use server::{Reloader, Server};
pub use shutdown::Shutdown;
