//! Streams, and where they come from.

pub mod certificate;
pub mod counted;
pub mod info;
pub mod listen;
pub mod machine;
pub mod tls;
pub mod unix;
