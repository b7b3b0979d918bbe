//! HTTP requests: the page, the health check, the redirect to https, and the upgrade to a WebSocket.

#[cfg(feature = "page")]
pub(crate) mod about;
#[cfg_attr(not(feature = "page"), path = "assets_absent.rs")]
pub(crate) mod assets;
pub(crate) mod body;
#[cfg(feature = "page")]
mod classic;
pub(crate) mod metered;
pub(crate) mod origin;
pub(crate) mod over_limit;
mod pace;
pub(crate) mod path;
pub(crate) mod proxy;
mod query;
pub(crate) mod redirect;
pub(crate) mod response;
pub(crate) mod service;
pub(crate) mod site;
pub(crate) mod trust;
pub(crate) mod upgrade;
pub(crate) mod way;
#[cfg(feature = "wires")]
mod wires;
