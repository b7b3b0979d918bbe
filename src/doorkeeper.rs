//! What stands between a listener and what is served: TLS or none, and a line in the log when somebody comes and goes;
//! independent of which sockets are listened on.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tracing::{debug, info};

use crate::http::redirect::Redirect;
use crate::http::service::{self, Upgraded};
use crate::net::info::ConnectionInfo;
use crate::net::tls::{MaybeTlsStream, Tls};
use crate::peer::session::Session;
use crate::protocol::ErrorCode;
use crate::relay::Relay;
use crate::ws::connection;

/// What stands between a listener and what is served.
#[derive(Debug, Clone)]
pub struct Doorkeeper {
    /// What its clients speak first.
    pub greeting: Greeting,
    /// What they come to.
    pub relay: Arc<Relay>,
}

/// What a listener's clients speak first.
#[derive(Debug, Clone)]
pub enum Greeting {
    /// HTTP.
    Plain,
    /// TLS, and HTTP over that.
    Tls(Arc<Tls>),
    /// HTTP, which leads to TLS and no further.
    Redirect(Arc<Redirect>),
}

impl Doorkeeper {
    /// One connection of this machine's own, a proxy's most likely. It never leaves the machine, so TLS would be of no use.
    pub async fn welcome_local<S>(self, stream: S, info: ConnectionInfo)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        match self.greeting {
            Greeting::Redirect(redirect) => redirect.serve(stream, self.relay.shutdown.clone()).await,
            Greeting::Plain | Greeting::Tls(_) => serve_stream(stream, info, self.relay).await,
        }
    }

    /// One connection from the network, from its first byte to its last.
    pub async fn welcome(self, stream: TcpStream, info: ConnectionInfo) {
        let mut shutdown = self.relay.shutdown.clone();
        let tls = match self.greeting {
            Greeting::Plain => return serve_stream(stream, info, self.relay).await,
            Greeting::Redirect(redirect) => return redirect.serve(stream, shutdown).await,
            Greeting::Tls(tls) => tls,
        };
        let accepted = tokio::select! {
            accepted = tls.accept(stream) => accepted,
            _ = shutdown.wait() => return,
        };
        match accepted {
            Ok(MaybeTlsStream::Tls(stream)) => serve_stream(*stream, info.over_tls(), self.relay).await,
            Ok(MaybeTlsStream::Plain(stream)) => {
                Arc::new(Redirect { port: None, trust: self.relay.trust.clone() }).serve(stream, shutdown).await
            }
            Err(error) => debug!(address = %info, %error, "no TLS handshake"),
        }
    }
}

/// Serves whatever a client on `stream` asks for: pages, then perhaps a WebSocket. The log gets a line when that begins and
/// one when it ends.
pub async fn serve_stream<S>(stream: S, info: impl Into<ConnectionInfo>, relay: Arc<Relay>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let info = info.into();
    let Some(Upgraded { socket, mut admission }) = service::serve(stream, info, Arc::clone(&relay)).await else {
        return;
    };
    let (connection, address) = (relay.count_connection(), &admission.client);
    let connected = Instant::now();
    info!(connection, %address, place = %place_of(&admission.session), "connected");
    let end = match admission.refused {
        Some(code) => connection::refuse(socket, admission.session.outbox(), code == ErrorCode::RoomFull).await,
        None => connection::run(socket, &mut admission.session, relay.shutdown.clone()).await,
    };
    let (place, after_s) = (place_of(&admission.session), connected.elapsed().as_secs());
    info!(connection, %address, %place, after_s, why = %end, "disconnected");
}

/// The peer's room and id, for the log. `{:?}` escapes what people wrote: nobody forges a line.
fn place_of(session: &Session) -> String {
    session.place().map_or("none".to_owned(), |(room, id)| format!("{:?}/{id}", room.as_str()))
}
