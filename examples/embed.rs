//! A relay inside another program: it listens on a free port, prints its URLs, and ends on Ctrl-C.
//!
//! `cargo run --example embed`

use signaling_relay::{Config, ListenAddress, Server};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let config = Config { listen: vec![ListenAddress::localhost(0)], room_capacity: 4, ..Config::default() };
    let server = Server::bind(config).await?;
    for address in server.local_addrs() {
        println!("signaling on ws://{address}/?room=demo");
    }
    server.serve(async { tokio::signal::ctrl_c().await.unwrap_or_default() }).await;
    Ok(())
}
