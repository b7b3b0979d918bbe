//! A relay with an address for operators.

use std::net::SocketAddr;

use tokio::net::TcpStream;

use super::{Client, Process, connect};

/// A relay with an address for operators on loopback.
pub struct Operated {
    pub process: Process,
    pub main: SocketAddr,
    pub operators: SocketAddr,
}

impl Operated {
    pub async fn start(more: &[&str]) -> Self {
        let arguments = [&["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"], more].concat();
        let process = Process::start(&arguments).await;
        let operators = process.operators("http://");
        Self { main: ([127, 0, 0, 1], process.port()).into(), operators, process }
    }

    pub async fn client(&self) -> Client<TcpStream> {
        self.client_at("/ws").await
    }

    pub async fn client_at(&self, path: &str) -> Client<TcpStream> {
        Client::dial(connect(self.main).await, &format!("ws://localhost{path}"), &[]).await.unwrap()
    }
}
