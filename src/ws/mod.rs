//! One WebSocket.

pub mod connection;
