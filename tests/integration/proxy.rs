//! Which pages may connect, directly, over TLS and through a real nginx, and which client the relay sees.

use std::fmt::Display;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;
use std::time::Duration;

use signaling_relay::Config;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream, UnixStream};
use tokio_rustls::rustls::pki_types::ServerName;

use crate::harness::pki::{Pki, dial};
use crate::harness::{Client, Process, TestRelay, connect, file, free_port, get, refusal, soon, text};

/// What the upgrade is answered with: 101, or the refusal's status.
async fn status(relay: &TestRelay, pki: Option<&Pki>, host: &str, headers: &[(&'static str, &str)]) -> u16 {
    let status = |result| match result {
        Ok(()) => 101,
        refused => refusal(refused).0,
    };
    match pki {
        None => {
            let url = format!("ws://{host}/ws");
            status(Client::dial(connect(relay.address()).await, &url, headers).await.map(|_| ()))
        }
        Some(pki) => {
            let stream = dial(&pki.client(), relay.address(), "localhost").await.unwrap();
            status(Client::dial(stream, &format!("wss://{host}/ws"), headers).await.map(|_| ()))
        }
    }
}

/// The status that the upgrade to `relay.example:8443` is answered with, for pages of these origins, over TLS and over plain
/// HTTP, where that name may be anybody's.
const ORIGINS: [(&str, u16, u16); 26] = [
    ("https://relay.example:8443", 101, 403),
    ("http://relay.example:8443", 403, 403),
    ("https://relay.example", 403, 403),
    ("https://relay.example:443", 403, 403),
    ("https://relay.example:84430", 403, 403),
    ("https://RELAY.example:8443", 403, 403),
    ("HTTPS://relay.example:8443", 403, 403),
    ("https://relay.example:8443/", 101, 403),
    ("https://relay.example:8443//", 403, 403),
    ("wss://relay.example:8443", 101, 403),
    ("tauri://relay.example:8443", 403, 403),
    ("file://", 403, 403),
    ("https://relay.example.:8443", 403, 403),
    ("https://relay.example.evil.example:8443", 403, 403),
    ("https://evil-relay.example:8443", 403, 403),
    ("https://user@relay.example:8443", 403, 403),
    ("https://relay.example:8443, https://relay.example:8443", 403, 403),
    ("https://intranet.example", 101, 101),
    ("http://intranet.example", 403, 403),
    ("https://intranet.example:444", 403, 403),
    ("http://localhost:5500", 101, 101),
    ("https://localhost.evil.example", 403, 403),
    ("http://127.0.0.1", 101, 101),
    ("http://app.localhost", 101, 101),
    ("http://[::1]:3000", 101, 101),
    ("null", 403, 403),
];

#[tokio::test]
async fn a_page_connects_only_from_an_origin_that_may() {
    let pki = Pki::new();
    let allowed = || vec!["https://intranet.example".parse().unwrap()];
    let plain = TestRelay::start_with(Config { allow_origin: allowed(), ..Config::default() }).await;
    let secure = TestRelay::start_with(Config { allow_origin: allowed(), ..pki.config() }).await;
    for (origin, over_tls, without) in ORIGINS {
        let headers = [("origin", origin)];
        assert_eq!(status(&secure, Some(&pki), "relay.example:8443", &headers).await, over_tls, "{origin} over TLS");
        assert_eq!(status(&plain, None, "relay.example:8443", &headers).await, without, "{origin} without TLS");
    }
    for (pki, host, origin) in [
        (Some(&pki), "relay.example:443", "https://relay.example"),
        (None, "LocalHost:80", "http://localhost"),
        (None, "192.168.1.5:80", "http://192.168.1.5"),
        (None, "Intranet.example:8080", "http://intranet.example:8080"),
    ] {
        let relay = if pki.is_some() { &secure } else { &plain };
        assert_eq!(status(relay, pki, host, &[("origin", origin)]).await, 101, "the scheme's own port");
        assert_eq!(status(relay, pki, host, &[]).await, 101, "a program that is no browser");
    }
}

#[tokio::test]
async fn only_a_trusted_proxy_is_believed_on_host_and_scheme() {
    let claims =
        [("origin", "https://relay.example"), ("x-forwarded-host", "relay.example"), ("x-forwarded-proto", "https")];
    for (trusted, expected) in [("127.0.0.1", 101), ("127.0.0.0/8", 101), ("10.0.0.0/8", 403), ("unix", 403)] {
        let relay =
            TestRelay::start_with(Config { trusted_proxy: vec![trusted.parse().unwrap()], ..Config::default() }).await;
        assert_eq!(status(&relay, None, "127.0.0.1:8080", &claims).await, expected, "{trusted}");
        assert_eq!(status(&relay, None, "127.0.0.1:8080", &[("origin", "null")]).await, 403, "{trusted}");
    }
    let relay = TestRelay::start_with(Config::default()).await;
    let (status, said) = refusal(Client::dial(connect(relay.address()).await, "ws://127.0.0.1:8080/", &claims).await);
    assert_eq!(status, 403);
    assert!(said.contains("asked for as http://127.0.0.1:8080"), "{said}");
    assert!(
        said.contains("--allow-origin https://relay.example") && said.contains("--trusted-proxy 127.0.0.1"),
        "{said}"
    );
}

/// Debian's nginx, with the configuration that we give away.
pub(super) struct Nginx {
    pub(super) address: SocketAddr,
    _process: tokio::process::Child,
}

impl Nginx {
    /// TLS in front of the relay at `relay`, by `scripts/deploy/nginx.conf` with each of these lines replaced.
    pub(super) async fn start(pki: &Pki, relay: impl Display, changes: &[(&str, &str)]) -> Self {
        let (cert, key) = pki.renew(1);
        let port = free_port();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let mut site = std::fs::read_to_string("scripts/deploy/nginx.conf").unwrap();
        let redirect = format!("listen unix:{}/{port}.sock;", text(pki.folder()));
        let (listen, pass) = (format!("listen {address} ssl;"), format!("proxy_pass http://{relay};"));
        for (from, to) in [
            ("listen 80;", ""),
            ("listen [::]:80;", &redirect),
            ("listen 443 ssl;", &listen),
            ("listen [::]:443 ssl;", ""),
            ("/etc/ssl/relay.example.pem", text(&cert)),
            ("/etc/ssl/private/relay.example.key", text(&key)),
            ("proxy_pass http://127.0.0.1:8080;", &pass),
        ]
        .iter()
        .chain(changes)
        {
            assert!(site.contains(from), "{from}");
            site = site.replace(from, to);
        }
        let folders: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {kind};\n"))
            .concat();
        let conf = format!("pid pid;\nevents {{}}\nhttp {{\naccess_log off;\n{folders}{site}}}\n");
        let conf = file(pki.folder(), "nginx.conf", conf);
        let process = tokio::process::Command::new("/usr/sbin/nginx")
            .args([
                "-p",
                text(pki.folder()),
                "-c",
                text(&conf),
                "-e",
                "stderr",
                "-g",
                "daemon off; master_process off;",
            ])
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("Debian's nginx at /usr/sbin/nginx");
        let up = async {
            // It does not say when it listens.
            while TcpStream::connect(address).await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        soon("nginx", up).await;
        Self { address, _process: process }
    }

    /// A browser at 127.0.0.2 that shows a page of `origin`.
    async fn browse(&self, pki: &Pki, origin: &str) -> Result<(), tokio_tungstenite::tungstenite::Error> {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((Ipv4Addr::new(127, 0, 0, 2), 0).into()).unwrap();
        let stream = socket.connect(self.address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let stream = pki.client().connect(name, stream).await.unwrap();
        let url = format!("wss://localhost:{}/?room=r", self.address.port());
        let mut client = Client::dial(stream, &url, &[("origin", origin), ("x-forwarded-for", "1.2.3.4")]).await?;
        client.expect("joined").await;
        Ok(())
    }
}

#[tokio::test]
async fn behind_nginx_pages_connect_and_the_log_names_the_client() {
    let pki = Pki::new();
    let mut relay = Process::start(&["--listen", "127.0.0.1:0", "--trusted-proxy", "127.0.0.1"]).await;
    let nginx = Nginx::start(&pki, format!("127.0.0.1:{}", relay.port()), &[]).await;
    let origin = format!("https://localhost:{}", nginx.address.port());
    nginx.browse(&pki, &origin).await.unwrap();
    let line = relay.expect_log("connected").await;
    assert!(line.ends_with("address=127.0.0.2"), "{line}");
    let (status, said) = refusal(nginx.browse(&pki, "https://evil.example").await);
    assert!(status == 403 && said.contains(&format!("asked for as {origin}")), "{said}");
    let page = get(dial(&pki.client(), nginx.address, "localhost").await.unwrap(), "localhost", "/").await;
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("<!doctype html>"), "{page}");
}

#[tokio::test]
async fn nginx_reaches_the_relay_over_a_unix_socket() {
    let pki = Pki::new();
    let listen = format!("unix:{}/relay.sock", text(pki.folder()));
    let mut relay = Process::start(&["--listen", &listen, "--trusted-proxy", "unix"]).await;
    let nginx = Nginx::start(&pki, &listen, &[]).await;
    nginx.browse(&pki, &format!("https://localhost:{}", nginx.address.port())).await.unwrap();
    let line = relay.expect_log("connected").await;
    assert!(line.ends_with("address=127.0.0.2"), "{line}");
    assert_eq!(refusal(nginx.browse(&pki, "null").await).0, 403);
}

#[tokio::test]
async fn behind_an_nginx_that_forgets_the_host_the_refusal_says_what_helps() {
    let pki = Pki::new();
    let forgets = [
        ("proxy_set_header Host $http_host;", ""),
        ("proxy_set_header X-Forwarded-Host $http_host;", ""),
        ("proxy_set_header X-Forwarded-Proto $scheme;", ""),
        ("proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;", ""),
    ];
    let relay = TestRelay::start_with(Config::default()).await;
    let nginx = Nginx::start(&pki, relay.address(), &forgets).await;
    let origin = format!("https://relay.example:{}", nginx.address.port());
    let (status, said) = refusal(nginx.browse(&pki, &origin).await);
    assert_eq!(status, 403);
    assert!(said.contains(&format!("asked for as http://{}", relay.address())), "{said}");
    assert!(said.contains(&format!("--allow-origin {origin}")), "{said}");
    assert!(said.contains("--trusted-proxy 127.0.0.1"), "{said}");
    // The first advice.
    let allowing =
        TestRelay::start_with(Config { allow_origin: vec![origin.parse().unwrap()], ..Config::default() }).await;
    let nginx = Nginx::start(&pki, allowing.address(), &forgets).await;
    nginx.browse(&pki, &origin).await.unwrap();
    // The second, without Host all the same.
    let trusting = Config { trusted_proxy: vec!["127.0.0.1".parse().unwrap()], ..Config::default() };
    let trusting = TestRelay::start_with(trusting).await;
    let nginx = Nginx::start(&pki, trusting.address(), &forgets[..1]).await;
    nginx.browse(&pki, &format!("https://localhost:{}", nginx.address.port())).await.unwrap();
}

#[tokio::test]
async fn under_a_path_of_nginx_the_page_and_its_socket_are_found() {
    let pki = Pki::new();
    let relay =
        TestRelay::start_with(Config { trusted_proxy: vec!["127.0.0.1".parse().unwrap()], ..Config::default() }).await;
    // With a slash after the address nginx cuts the path off, and leaves a second slash: `//ws`.
    let nginx = Nginx::start(&pki, format!("{}/", relay.address()), &[("location / {", "location /call {")]).await;
    let origin = format!("https://localhost:{}", nginx.address.port());
    for (path, room) in [("/call/?room=r", Some("r")), ("/call?room=s", Some("s")), ("/call/ws", None)] {
        let stream = dial(&pki.client(), nginx.address, "localhost").await.unwrap();
        let url = format!("wss://localhost:{}{path}", nginx.address.port());
        let mut client = Client::dial(stream, &url, &[("origin", &origin)]).await.unwrap();
        match room {
            Some(room) => assert_eq!(client.expect("joined").await["room"], room),
            None => assert_eq!(client.join("t").await["room"], "t"),
        }
    }
    for file in ["", "page/main.js", "signaling.js"] {
        let stream = dial(&pki.client(), nginx.address, "localhost").await.unwrap();
        let answer = get(stream, "localhost", &format!("/call/{file}")).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{file}: {answer}");
    }
}

/// A program that is stopped at the end of its test, and the port of 127.0.0.1 that it listens on.
struct Balancer {
    address: SocketAddr,
    folder: tempfile::TempDir,
    _process: tokio::process::Child,
}

impl Balancer {
    /// `program` with its configuration, made of the port and a folder for its files.
    async fn start(program: &str, arguments: &[&str], conf: impl FnOnce(u16, &str) -> String) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let conf = file(folder.path(), "conf", conf(port, text(folder.path())));
        let process = tokio::process::Command::new(program)
            .args(arguments)
            .arg(conf)
            .env("HOME", folder.path())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("Debian's {program}: {error}"));
        let up = async {
            // It does not say when it listens.
            while TcpStream::connect(address).await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        soon(program, up).await;
        Self { address, folder, _process: process }
    }
}

#[tokio::test]
async fn under_a_path_of_caddy_the_page_and_its_socket_are_found() {
    let relay =
        TestRelay::start_with(Config { trusted_proxy: vec!["127.0.0.1".parse().unwrap()], ..Config::default() }).await;
    let to = relay.address();
    let caddy = Balancer::start("/usr/bin/caddy", &["run", "--adapter", "caddyfile", "--config"], |port, _| {
        format!(
            "{{\nadmin off\nauto_https off\n}}\nhttp://:{port} {{\nbind 127.0.0.1\nredir /call /call/\n\
             handle_path /call/* {{\nreverse_proxy {to}\n}}\n}}\n"
        )
    })
    .await;
    let origin = format!("http://relay.example:{}", caddy.address.port());
    let url = format!("ws://relay.example:{}/call/ws", caddy.address.port());
    let mut client = Client::dial(connect(caddy.address).await, &url, &[("origin", &origin)]).await.unwrap();
    assert_eq!(client.join("r").await["room"], "r");
    let moved = get(connect(caddy.address).await, "relay.example", "/call").await;
    assert!(moved.to_lowercase().contains("\r\nlocation: /call/\r\n"), "{moved}");
    for file in ["", "page/main.js"] {
        let answer = get(connect(caddy.address).await, "relay.example", &format!("/call/{file}")).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{file}: {answer}");
    }
}

#[tokio::test]
async fn haproxy_takes_a_full_relay_for_a_healthy_one() {
    let relay = TestRelay::start_with(Config { max_connections: Some(2), ..Config::default() }).await;
    let (_one, _two) = relay.pair("r").await;
    // Its default check: OPTIONS of / by HTTP/1.0.
    let haproxy = Balancer::start("/usr/sbin/haproxy", &["-db", "-f"], |port, folder| {
        format!(
            "global\nstats socket {folder}/admin\ndefaults\nmode http\ntimeout connect 1s\ntimeout client 5s\n\
             timeout server 5s\nlisten relay\nbind 127.0.0.1:{port}\noption httpchk\n\
             server relay {} check inter 20ms fall 1 rise 1\n",
            relay.address()
        )
    })
    .await;
    let verdict = async {
        loop {
            // It listens for balancing before it listens there.
            let Ok(mut admin) = UnixStream::connect(haproxy.folder.path().join("admin")).await else {
                tokio::task::yield_now().await;
                continue;
            };
            admin.write_all(b"show stat\n").await.unwrap();
            let mut table = String::new();
            admin.read_to_string(&mut table).await.unwrap();
            let line = table.lines().find(|line| line.starts_with("relay,relay,")).unwrap().to_owned();
            // Until the first check is over.
            if line.contains(",L7") {
                return line;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let line = soon("a check", verdict).await;
    assert!(line.contains(",UP,") && line.contains(",L7OK,204,"), "{line}");
}
