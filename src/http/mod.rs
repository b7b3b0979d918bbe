//! One HTTP request.

#[cfg_attr(not(feature = "page"), path = "assets_absent.rs")]
pub(crate) mod assets;
pub(crate) mod origin;
pub(crate) mod proxy;
pub(crate) mod redirect;
pub(crate) mod response;
pub(crate) mod service;
pub(crate) mod upgrade;
