//! HTTP requests: the page, the health check, the redirect to https, and the upgrade to a WebSocket.

#[cfg_attr(not(feature = "page"), path = "assets_absent.rs")]
pub(crate) mod assets;
pub(crate) mod body;
#[cfg(feature = "page")]
mod classic;
pub(crate) mod origin;
pub(crate) mod over_limit;
pub(crate) mod proxy;
pub(crate) mod redirect;
pub(crate) mod response;
pub(crate) mod service;
#[cfg(feature = "page")]
pub(crate) mod site;
pub(crate) mod upgrade;
