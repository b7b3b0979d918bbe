//! The listening sockets that systemd passes to a service (sd_listen_fds(3)).

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{bail, ensure};
use socket2::{Socket, Type};
use tokio::net::TcpListener;

use crate::net::listen::{Listener, start_listening};
use crate::net::system::UnixListener;

/// Takes the sockets that systemd passed to this process. This works once, because a file descriptor has one owner.
///
/// # Errors
/// When there are none, they were taken before, or one of them is not a listening stream socket.
pub(crate) fn inherited_listeners() -> anyhow::Result<Vec<Listener>> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    ensure!(!TAKEN.swap(true, Ordering::Relaxed), "they have been taken already");
    let sockets = sd_listen_fds::get()?;
    ensure!(!sockets.is_empty(), "there is none; is this started by a .socket unit?");
    sockets.into_iter().map(|(_, descriptor)| adopt(descriptor.into_std().into())).collect()
}

/// Makes a listener of a socket that already listens, with the options of the relay's own sockets.
fn adopt(socket: Socket) -> anyhow::Result<Listener> {
    ensure!(
        socket.is_listener()? && socket.r#type()? == Type::STREAM,
        "one of them does not accept streams: a .socket unit needs ListenStream= and Accept=no"
    );
    let address = socket.local_addr()?;
    start_listening(&socket)?;
    if address.is_unix() {
        Ok(Listener::Unix(UnixListener::from_std(socket.into())?))
    } else if address.as_socket().is_some() {
        Ok(Listener::Tcp(TcpListener::from_std(socket.into())?))
    } else {
        bail!("one of them is neither a TCP nor a Unix socket")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use socket2::{Domain, SockRef};
    use tokio::net::TcpStream;
    use tokio::time::timeout;

    use super::*;
    use crate::limits;
    use crate::net::accept::Accept;

    fn socket(kind: Type) -> Socket {
        let socket = Socket::new(Domain::IPV4, kind, None).unwrap();
        socket.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
        socket
    }

    #[tokio::test]
    async fn a_socket_of_systemd_gets_the_options_of_our_own() {
        let socket = socket(Type::STREAM);
        socket.set_send_buffer_size(1024 * 1024).unwrap();
        socket.listen(1).unwrap();
        let Listener::Tcp(mut listener) = adopt(socket).unwrap() else { panic!("not TCP") };
        assert!(SockRef::from(&listener).nonblocking().unwrap());
        let mut clients = Vec::new();
        // The backlog of 1 would take two.
        for _ in 0..10 {
            let client = TcpStream::connect(listener.local_addr().unwrap());
            clients.push(timeout(Duration::from_secs(20), client).await.expect("room in the backlog").unwrap());
        }
        let (stream, _) = Accept::accept(&mut listener).await;
        let bytes = SockRef::from(&stream).send_buffer_size().unwrap();
        assert!(bytes <= 2 * limits::SEND_BUFFER_BYTES, "{bytes}");
    }

    #[tokio::test]
    async fn a_socket_that_accepts_no_streams_is_refused() {
        for kind in [Type::STREAM, Type::DGRAM] {
            let refused = adopt(socket(kind)).unwrap_err().to_string();
            assert!(refused.contains("ListenStream="), "{refused}");
        }
    }
}
