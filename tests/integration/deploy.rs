//! The configurations of proxies on the page about deploying work as they are printed there, with addresses of the test's
//! own. (`tests/proxy.rs` runs `nginx.conf`.)

use std::path::Path;
use std::time::Duration;

use crate::harness::coturn::Coturn;
use crate::harness::pages::{block, page, with};
use crate::harness::pki::Pki;
use crate::harness::proxy::{Proxy, SITE, nginx};
use crate::harness::{Client, Process, binary, file, free_port, get, secret_file, text};

pub(crate) const PAGE: &str = "scripts/deploy/README.md";
/// Where they expect the relay.
const RELAY: &str = "127.0.0.1:8080";

impl Proxy {
    async fn get(&self, path: &str) -> String {
        get(self.dial().await, &self.host(), path).await
    }

    /// A page of the site has its call through the proxy, and the relay knows who it is.
    async fn carries_a_call(&self, relay: &mut Process, base: &str) {
        let scheme = if self.pki.is_some() { "https" } else { "http" };
        let origin = format!("{scheme}://{}", self.host());
        let shown = self.get(base).await;
        assert!(shown.starts_with("HTTP/1.1 200") && shown.contains("<!doctype html>"), "{shown}");
        for path in ["ws", "?room=r"] {
            let url = format!("ws://{}{base}{path}", self.host());
            let mut client = Client::dial(self.dial().await, &url, &[("origin", &origin)]).await.unwrap();
            if path == "ws" {
                client.join("r").await;
            } else {
                client.expect_joined().await;
            }
            let line = relay.expect_log(" connected ").await;
            assert!(line.ends_with("address=127.0.0.2"), "{line}");
        }
    }
}

/// A relay behind a proxy, and where it listens.
async fn relay() -> (Process, String) {
    let relay = relay_at("127.0.0.1:0", "127.0.0.1").await;
    let address = format!("127.0.0.1:{}", relay.port());
    (relay, address)
}

async fn relay_at(address: &str, trusted: &str) -> Process {
    let mut command = binary();
    command.args(["--listen", address, "--trusted-proxy", trusted]).env("RUST_LOG", "debug");
    Process::of(command).await
}

/// nginx with the locations that are printed for a path, which reach the relay at `upstream`.
async fn nginx_with_a_path(folder: &Path, upstream: &str) -> Proxy {
    let port = free_port();
    let printed = block(&page(PAGE), "nginx", "location /call/");
    let locations = with(&printed, &[("http://127.0.0.1:8080/;", &format!("http://{upstream}/;"))]);
    let conf = page("scripts/deploy/nginx.conf");
    let map = &conf[conf.find("map ").unwrap()..conf.find("server {").unwrap()];
    nginx(folder, &format!("{map}server {{\nlisten 127.0.0.1:{port};\n{locations}}}\n"), port).await
}

#[tokio::test]
async fn under_a_path_of_a_site_of_nginx() {
    let folder = tempfile::tempdir().unwrap();
    let (mut relay, address) = relay().await;
    let nginx = nginx_with_a_path(folder.path(), &address).await;
    nginx.carries_a_call(&mut relay, "/call/").await;
    let redirect = nginx.get("/call?room=r").await;
    assert!(redirect.contains(&format!("ocation: http://{}/call/?room=r\r\n", nginx.host())), "{redirect}");
}

#[tokio::test]
async fn under_a_path_of_a_site_of_nginx_over_a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let socket = format!("unix:{}", text(&folder.path().join("relay.sock")));
    let mut relay = relay_at(&socket, "unix").await;
    // With a socket, what comes after the second colon is the path.
    let printed = "http://unix:/run/signaling-relay/relay.sock:/;";
    let upstream = printed.strip_prefix("http://").unwrap().strip_suffix("/;").unwrap();
    assert!(page(PAGE).contains(printed));
    let upstream = upstream.replace("unix:/run/signaling-relay/relay.sock", &socket);
    nginx_with_a_path(folder.path(), &upstream).await.carries_a_call(&mut relay, "/call/").await;
}

/// Caddy with the site that is printed on a page and has `word` in it.
async fn caddy(folder: &Path, printed: &str, word: &str, relay: &str) -> Proxy {
    let port = free_port();
    let site = format!("http://{SITE}:{port} {{\n\tbind 127.0.0.1");
    let site = with(&block(&page(printed), "caddyfile", word), &[(RELAY, relay), ("relay.example {", &site)]);
    let conf = file(folder, "Caddyfile", format!("{{\n\tadmin off\n\tauto_https off\n}}\n{site}"));
    Proxy::start("caddy", &["run", "--adapter", "caddyfile", "--config", text(&conf)], folder, port).await
}

#[tokio::test]
async fn behind_caddy() {
    let folder = tempfile::tempdir().unwrap();
    let (mut relay, address) = relay().await;
    caddy(folder.path(), "README.md", "reverse_proxy", &address).await.carries_a_call(&mut relay, "/").await;
}

#[tokio::test]
async fn under_a_path_of_a_site_of_caddy() {
    let folder = tempfile::tempdir().unwrap();
    let (mut relay, address) = relay().await;
    let caddy = caddy(folder.path(), PAGE, "handle_path", &address).await;
    caddy.carries_a_call(&mut relay, "/call/").await;
    let redirect = caddy.get("/call?room=r").await;
    assert!(redirect.contains("Location: /call/?room=r\r\n"), "{redirect}");
}

#[tokio::test]
async fn behind_haproxy_which_finds_the_relay_well() {
    let pki = Pki::new();
    let (mut relay, address) = relay().await;
    let (port, (cert, key)) = (free_port(), pki.renew(1));
    let both = page(text(&cert)) + &page(text(&key));
    let both = file(pki.folder(), "both.pem", both);
    let conf = with(
        &block(&page(PAGE), "haproxy", "backend relay"),
        &[
            ("bind :443 ", &format!("bind 127.0.0.1:{port} ")),
            ("/etc/haproxy/relay.example.pem", text(&both)),
            (RELAY, &address),
        ],
    );
    let conf = file(pki.folder(), "haproxy.cfg", conf);
    let mut haproxy = Proxy::start("/usr/sbin/haproxy", &["-f", text(&conf)], pki.folder(), port).await;
    let check = relay.expect_log("status=204").await;
    assert!(check.contains("path=\"/\""), "{check}");
    haproxy.pki = Some(pki);
    haproxy.carries_a_call(&mut relay, "/").await;
}

#[cfg(feature = "auth")]
#[tokio::test]
async fn coturn_takes_the_credentials_of_the_relay_until_they_run_out_and_leads_to_no_network_of_ones_own() {
    const SECRET: &str = "a-secret-of-coturn-and-the-relay";
    let folder = tempfile::tempdir().unwrap();
    let secret = secret_file(folder.path(), "secret", SECRET);
    let inner = folder.path().join("coturn");
    std::fs::create_dir(&inner).unwrap();
    let coturn = Coturn::start(&inner, SECRET, "allow-loopback-peers").await;
    let turn = format!("turn:127.0.0.1:{}", coturn.port);
    let relay = Process::start(&[
        "--listen",
        "127.0.0.1:0",
        "--turn",
        &turn,
        "--turn-secret-file",
        text(&secret),
        "--turn-ttl",
        "10s",
    ])
    .await;
    let stream = crate::harness::connect(([127, 0, 0, 1], relay.port()).into()).await;
    let mut client = Client::dial(stream, "ws://localhost/ws", &[]).await.unwrap();
    let joined = client.join("r").await;
    let joined_at = std::time::Instant::now();
    let server = &joined["iceServers"][0];
    let (username, credential) = (server["username"].as_str().unwrap(), server["credential"].as_str().unwrap());
    for private in ["127.0.0.1", "10.0.0.1", "169.254.169.254", "172.31.255.255", "192.168.1.1", "224.0.0.1", "0.0.0.0"]
    {
        let said = coturn.client(username, credential, &["-c", "-e", private]).await;
        assert!(said.contains("403 (Forbidden IP)"), "{private}: {said}");
    }
    let said = coturn.client(username, "wrong", &["-y"]).await;
    assert!(said.contains("Cannot complete Allocation"), "{said}");
    // What is not refused is relayed.
    coturn.kill().await;
    let coturn = Coturn::start(&inner, SECRET, "allow-loopback-peers\nallowed-peer-ip=127.0.0.1").await;
    let fresh = {
        client.say(serde_json::json!({"type": "ice_servers"})).await;
        client.expect("ice_servers").await
    };
    let server = &fresh["iceServers"][0];
    let said =
        coturn.client(server["username"].as_str().unwrap(), server["credential"].as_str().unwrap(), &["-y"]).await;
    assert!(said.contains("Total lost packets 0 (0.000000%)"), "{said}");
    // The first ones have run out by now, or soon: their times are those of the wall.
    tokio::time::sleep((Duration::from_secs(12)).saturating_sub(joined_at.elapsed())).await;
    let said = coturn.client(username, credential, &["-y"]).await;
    assert!(said.contains("Cannot complete Allocation"), "{said}");
}

#[cfg(feature = "cli")]
#[test]
fn the_containers_side_by_side_have_settings_that_the_relay_knows() {
    let compose = page("scripts/deploy/compose.yaml");
    let known: Vec<String> = signaling_relay::cli::command_line::command()
        .get_arguments()
        .filter_map(|arg| Some(arg.get_env()?.to_str().unwrap().to_owned()))
        .collect();
    let is_of_name = |char: char| char.is_ascii_uppercase() || char == '_';
    let set: Vec<&str> =
        compose.split(|char| !is_of_name(char)).filter(|word| word.starts_with("SIGNALING_RELAY_")).collect();
    assert!(set.len() >= 4, "{set:?}");
    for name in set {
        assert!(known.iter().any(|known| known == name), "{name}");
    }
}
