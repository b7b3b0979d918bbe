//! A web server of the test's own: pages of another origin than the relay's.

use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Serves one HTML page at every path, until dropped.
pub struct PageServer {
    port: u16,
    serving: JoinHandle<()>,
}

impl PageServer {
    pub async fn start(html: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let html = Arc::new(html);
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let html = Arc::clone(&html);
                // A browser that goes away early is no failure.
                tokio::spawn(async move { answer(stream, &html).await.ok() });
            }
        });
        Self { port, serving }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// `http://127.0.0.1:PORT/` with `rest` behind it.
    pub fn url(&self, rest: &str) -> String {
        format!("http://127.0.0.1:{}/{rest}", self.port)
    }
}

impl Drop for PageServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn answer(stream: TcpStream, html: &str) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    while stream.read_line(&mut line).await? > "\r\n".len() {
        line.clear();
    }
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nConnection: close";
    stream.write_all(format!("{head}\r\nContent-Length: {}\r\n\r\n{html}", html.len()).as_bytes()).await?;
    stream.shutdown().await
}
