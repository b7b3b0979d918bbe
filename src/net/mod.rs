//! Streams, and where they come from.

pub mod accept;
pub mod certificate;
pub mod info;
pub mod listen;
pub mod machine;
pub mod tls;
pub mod unix;
