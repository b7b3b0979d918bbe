//! A chat of all in a room, by matchbox as games have it, which says on its output what happens. For a relay that was started with
//! `--wire matchbox`; run it twice:
//!
//! ```sh
//! cargo run --manifest-path examples/wires/matchbox/Cargo.toml 'ws://localhost:8080/matchbox/my-game?next=2'
//! ```
//!
//! - `connected ID`, `disconnected ID`: a peer, by its data channel
//! - `heard ID TEXT`: a peer said that
//! - `ended ok` or `ended ERROR`: what `run` of the client returned; the program ends then
//!
//! A line on its input is said to all peers; at its end the program leaves.

use std::io::BufRead;
use std::time::Duration;

use futures::channel::mpsc;
use futures::{FutureExt, StreamExt, select};
use matchbox_socket::{PeerState, RtcIceServerConfig, WebRtcSocket};

#[tokio::main]
async fn main() {
    let url = std::env::args().nth(1).expect("the URL of a room");
    // For one network. Beyond it, name your STUN and TURN servers.
    let no_servers = RtcIceServerConfig { urls: Vec::new(), username: None, credential: None };
    let (mut socket, run) = WebRtcSocket::builder(url)
        .ice_server(no_servers)
        .reconnect_attempts(Some(1))
        .signaling_keep_alive_interval(Some(Duration::from_secs(1)))
        .add_reliable_channel()
        .build();
    let (say, mut said) = mpsc::unbounded();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if say.unbounded_send(line).is_err() {
                return;
            }
        }
    });
    let run = run.fuse();
    futures::pin_mut!(run);
    loop {
        say_changes(&mut socket);
        for (peer, packet) in socket.channel_mut(0).receive() {
            println!("heard {} {}", peer.0, String::from_utf8_lossy(&packet));
        }
        let tick = tokio::time::sleep(Duration::from_millis(20)).fuse();
        futures::pin_mut!(tick);
        select! {
            () = tick => {}
            line = said.next() => match line {
                None => return,
                Some(line) => {
                    let peers: Vec<_> = socket.connected_peers().collect();
                    let packet: Box<[u8]> = line.into_bytes().into();
                    for peer in peers {
                        let _ = socket.channel_mut(0).try_send(packet.clone().into(), peer);
                    }
                }
            },
            result = run => {
                say_changes(&mut socket);
                match result {
                    Ok(()) => println!("ended ok"),
                    Err(error) => println!("ended {error:?}"),
                }
                return;
            }
        }
    }
}

fn say_changes(socket: &mut WebRtcSocket) {
    for (peer, state) in socket.try_update_peers().unwrap_or_default() {
        match state {
            PeerState::Connected => println!("connected {}", peer.0),
            PeerState::Disconnected => println!("disconnected {}", peer.0),
        }
    }
}
