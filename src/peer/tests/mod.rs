//! Sessions beside simple models of the protocol. No build ships this folder.

pub(crate) mod model;
#[cfg(test)]
mod resume_model;
