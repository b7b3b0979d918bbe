//! An internet of the test's own, with two homes behind hard NATs, in network namespaces.
//!
//! ```text
//! home 1  192.168.1.2 -- 192.168.1.1  NAT 1  203.0.113.11 --+
//!                                                           +-- 203.0.113.1  the relay and coturn
//! home 2  192.168.2.2 -- 192.168.2.1  NAT 2  203.0.113.12 --+
//! ```
//! Each NAT takes another random port for each destination (RFC 4787 calls it address and port-dependent mapping), so that
//! what one peer learns of itself from a STUN server is of no use to the other. The addresses are those that documents use
//! (RFC 5737); nothing leaves the namespaces.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use tokio::net::TcpStream;

use super::bound_to_us;
use crate::harness::coturn::Coturn;
use crate::harness::tool;

/// Where the relay and coturn are.
const SERVER: &str = "203.0.113.1";
/// The port of coturn (RFC 8656 section 18).
const TURN: u16 = 3478;
const NAT: &str = "table ip nat {
  chain postrouting {
    type nat hook postrouting priority srcnat;
    oifname \"wan\" masquerade fully-random
  }
}
";

/// The internet; it goes when the test ends.
pub struct Internet {
    /// What the names of its namespaces begin with.
    prefix: String,
}

impl Internet {
    /// None where nobody may make network namespaces.
    pub fn new() -> Option<Self> {
        if tool("id", &["-u"], "").1.trim() != "0" {
            eprintln!("skipped: only root makes network namespaces");
            return None;
        }
        let internet = Self { prefix: format!("nat-test-{}", std::process::id()) };
        for space in internet.spaces() {
            ip(&["netns", "add", &space]);
            ip(&["-n", &space, "link", "set", "lo", "up"]);
        }
        let server = internet.server();
        ip(&["-n", &server, "link", "add", "net", "type", "bridge"]);
        ip(&["-n", &server, "link", "set", "net", "up"]);
        ip(&["-n", &server, "addr", "add", &format!("{SERVER}/24"), "dev", "net"]);
        for number in [1, 2] {
            let (home, nat) = (internet.home(number), internet.nat(number));
            let port = format!("port{number}");
            ip(&["-n", &server, "link", "add", &port, "type", "veth", "peer", "name", "wan", "netns", &nat]);
            ip(&["-n", &server, "link", "set", &port, "master", "net", "up"]);
            ip(&["-n", &nat, "addr", "add", &format!("203.0.113.1{number}/24"), "dev", "wan"]);
            ip(&["-n", &nat, "link", "add", "lan", "type", "veth", "peer", "name", "eth0", "netns", &home]);
            ip(&["-n", &nat, "addr", "add", &format!("192.168.{number}.1/24"), "dev", "lan"]);
            ip(&["-n", &home, "addr", "add", &format!("192.168.{number}.2/24"), "dev", "eth0"]);
            for (space, link) in [(&nat, "wan"), (&nat, "lan"), (&home, "eth0")] {
                ip(&["-n", space, "link", "set", link, "up"]);
            }
            ip(&["-n", &home, "route", "add", "default", "via", &format!("192.168.{number}.1")]);
            let forward = ["netns", "exec", &nat, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"];
            ip(&forward);
            let (good, said) = tool("ip", &["netns", "exec", &nat, "nft", "-f", "-"], NAT);
            assert!(good, "nft (scripts/test installs it, or apt-get install nftables): {said}");
        }
        Some(internet)
    }

    /// The namespace of the relay and of coturn.
    pub fn server(&self) -> String {
        format!("{}-server", self.prefix)
    }

    /// The namespace of somebody at home, 1 or 2.
    pub fn home(&self, number: u8) -> String {
        format!("{}-home{number}", self.prefix)
    }

    fn nat(&self, number: u8) -> String {
        format!("{}-nat{number}", self.prefix)
    }

    fn spaces(&self) -> [String; 5] {
        [self.server(), self.home(1), self.home(2), self.nat(1), self.nat(2)]
    }

    /// Where a relay can listen.
    pub fn relay_address(&self) -> String {
        format!("{SERVER}:8080")
    }

    /// The URL of its TURN server.
    pub fn turn(&self) -> String {
        format!("turn:{SERVER}:{TURN}")
    }

    /// Starts coturn with this secret, and its files in `folder`.
    pub fn start_coturn(&self, folder: &Path, secret: &str) -> Coturn {
        // The printed configuration refuses the addresses of documents, as it should.
        let more = format!("listening-ip={SERVER}\nrelay-ip={SERVER}\nallowed-peer-ip=203.0.113.0-203.0.113.255");
        let command = in_network(&self.server(), "turnserver");
        Coturn::start_at(command.into(), TURN, folder, secret, &more)
    }
}

impl Drop for Internet {
    fn drop(&mut self) {
        for space in self.spaces() {
            ip(&["netns", "delete", &space]);
        }
    }
}

fn ip(arguments: &[&str]) {
    let (good, said) = tool("ip", arguments, "");
    assert!(good || thread::panicking(), "ip {arguments:?}: {said}");
}

/// A program in the network namespace `name` that ends with this process.
pub fn in_network(name: &str, program: &str) -> Command {
    let mut command = bound_to_us("ip");
    command.args(["netns", "exec", name, program]);
    command
}

/// A connection that is made in the network namespace `name`: a socket stays where it was made, and so it can be used here.
pub async fn connect_in(name: &str, address: SocketAddr) -> io::Result<TcpStream> {
    const DEADLINE: Duration = Duration::from_secs(5);
    let space = File::open(Path::new("/run/netns").join(name))?;
    // A thread of its own, which alone moves there.
    let connect = move || {
        enter(&space)?;
        std::net::TcpStream::connect_timeout(&address, DEADLINE)
    };
    let connected = tokio::task::spawn_blocking(|| thread::spawn(connect).join()).await;
    let stream = connected.unwrap().unwrap()?;
    stream.set_nonblocking(true)?;
    TcpStream::from_std(stream)
}

/// Moves this thread into a network namespace.
#[cfg(target_os = "linux")]
fn enter(space: &File) -> io::Result<()> {
    use std::os::fd::AsFd;

    use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

    Ok(move_into_link_name_space(space.as_fd(), Some(LinkNameSpaceType::Network))?)
}

#[cfg(not(target_os = "linux"))]
fn enter(_: &File) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
