//! A relay mounted in an axum server beside other routes. Clients with a display name may join. It ends on Ctrl-C.
//!
//! `cargo run --example axum`

use axum::Router;
use axum::extract::RawQuery;
use axum::response::Redirect;
use axum::routing::get;
use signaling_relay::{Config, Denial, Grant, JoinRequest, Relay, Shutdown};
use tokio::net::TcpListener;

/// Decides who may join. It may take time, for a database or a webhook.
async fn members_only(request: JoinRequest) -> Result<Grant, Denial> {
    match request.name {
        Some(_) => Ok(Grant::from(&request)),
        None => Err(Denial::Unauthorized("please give your name".into())),
    }
}

async fn with_slash(RawQuery(query): RawQuery) -> Redirect {
    Redirect::permanent(&format!("/signaling/?{}", query.unwrap_or_default()))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let relay = Relay::builder(Config::default()).authorizer(members_only).build()?;
    let app = Router::new()
        .route("/", get(|| async { "the relay is at /signaling/" }))
        // The addresses in the call page are relative: without the slash it would be blank.
        .route("/signaling", get(with_slash))
        .nest_service("/signaling/", relay.service());
    let listener = TcpListener::bind("localhost:0").await?;
    println!("signaling on ws://{}/signaling/?room=demo&name=me", listener.local_addr()?);
    let ctrl_c = async { tokio::signal::ctrl_c().await.unwrap_or_default() };
    // axum does not wait for WebSockets; the relay does.
    axum::serve(listener, app).with_graceful_shutdown(ctrl_c).await?;
    relay.shutdown(Shutdown::Restart).await;
    Ok(())
}
