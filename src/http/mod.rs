//! One HTTP request.

#[cfg_attr(not(feature = "page"), path = "assets_absent.rs")]
pub mod assets;
pub mod mount;
pub mod origin;
pub mod proxy;
pub mod redirect;
pub mod response;
pub mod service;
pub mod upgrade;
