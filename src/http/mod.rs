//! One HTTP request.

pub mod assets;
pub mod origin;
pub mod proxy;
pub mod redirect;
pub mod response;
pub mod service;
