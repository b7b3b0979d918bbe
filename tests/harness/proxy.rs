//! Proxies and load balancers of this machine in front of relays, as the pages for people print them.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::net::{TcpSocket, TcpStream};

use super::client::AnyStream;
use super::pages::{block, page, with};
use super::pki::{Pki, shake_hands};
use super::{file, free_port, soon, text};

/// What the printed configurations call the site.
pub const SITE: &str = "relay.example";
/// The page about relays that are one.
const CLUSTER: &str = "src/cluster/README.md";
/// Where its configurations expect the relays.
const PRINTED: [&str; 3] = ["10.0.0.1:8080", "10.0.0.2:8080", "10.0.0.3:8080"];

/// A proxy in front of the relay, and who comes to it.
pub struct Proxy {
    pub port: u16,
    /// Whose certificate it has, where it speaks TLS.
    pub pki: Option<Pki>,
    _process: tokio::process::Child,
}

impl Proxy {
    /// Starts it in this folder, and waits until it listens on this port.
    pub async fn start(program: &str, arguments: &[&str], folder: &Path, port: u16) -> Self {
        let process = tokio::process::Command::new(program)
            .args(arguments)
            .current_dir(folder)
            // Where Caddy keeps what it makes.
            .env("HOME", folder)
            .env("XDG_CONFIG_HOME", folder)
            .env("XDG_DATA_HOME", folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}"));
        let up = async {
            // It does not say when it listens.
            while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        soon(program, up).await;
        Self { port, pki: None, _process: process }
    }

    /// What a client calls it.
    pub fn host(&self) -> String {
        format!("{SITE}:{}", self.port)
    }

    /// A connection of a client whose address is 127.0.0.2.
    pub async fn dial(&self) -> AnyStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((Ipv4Addr::new(127, 0, 0, 2), 0).into()).unwrap();
        let stream =
            soon("the proxy", socket.connect(SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)))).await.unwrap();
        match &self.pki {
            None => Box::new(stream),
            Some(pki) => Box::new(shake_hands(&pki.client(), stream, "localhost").await.unwrap()),
        }
    }
}

/// nginx with this in its block `http`, which listens on `port`.
pub async fn nginx(folder: &Path, http: &str, port: u16) -> Proxy {
    let folders: String =
        ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|kind| format!("{kind}_temp_path {kind};\n")).concat();
    let conf = format!("pid pid;\nevents {{}}\nhttp {{\naccess_log off;\n{folders}{http}}}\n");
    let conf = file(folder, "nginx.conf", conf);
    let arguments = ["-p", text(folder), "-c", text(&conf), "-e", "stderr", "-g", "daemon off; master_process off;"];
    Proxy::start("/usr/sbin/nginx", &arguments, folder, port).await
}

/// nginx in front of three relays that are one, which listen on these ports of loopback: as printed for [`printed`].
pub async fn nginx_before(relays: [u16; 3], without: &[&str], folder: &Path) -> Proxy {
    let port = free_port();
    let upstream = printed("nginx", "upstream relays", relays, without);
    let site = page("scripts/deploy/nginx.conf");
    let map = &site[site.find("map ").unwrap()..site.find("server {").unwrap()];
    let location = &site[site.find("    location / {").unwrap()..];
    let location = with(location, &[("proxy_pass http://127.0.0.1:8080;", "proxy_pass http://relays;")]);
    nginx(folder, &format!("{map}{upstream}server {{\nlisten 127.0.0.1:{port};\n{location}"), port).await
}

/// What the page about relays that are one prints in this language with `word` in it, for relays that listen on these ports of
/// loopback, and without the lines that contain one of `without`.
pub fn printed(language: &str, word: &str, relays: [u16; 3], without: &[&str]) -> String {
    let printed = block(&page(CLUSTER), language, word);
    let addresses = relays.map(|port| format!("127.0.0.1:{port}"));
    let changes: Vec<_> = PRINTED.into_iter().zip(addresses.iter().map(String::as_str)).collect();
    for word in without {
        assert!(printed.contains(word), "{word}: {printed}");
    }
    let kept = with(&printed, &changes);
    kept.lines()
        .filter(|line| !without.iter().any(|word| line.contains(word)))
        .map(|line| line.to_owned() + "\n")
        .collect()
}
