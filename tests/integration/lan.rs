//! `--lan`: an authority that is made once, certificates that follow the machine's addresses, and the page that explains
//! how to trust it.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use crate::harness::pki::{Pki, client_trusting, dial};
use crate::harness::{self, Client, Process, binary, connect, file, get, get_bytes, text, tool};

/// A relay with `--lan` on a free loopback port, that keeps its authority in `folder`.
async fn start(folder: &Path) -> (Process, SocketAddr) {
    let relay = Process::start(&["--lan", "--listen", "127.0.0.1:0", "--lan-dir", text(folder)]).await;
    let address = ([127, 0, 0, 1], relay.port()).into();
    (relay, address)
}

fn read(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join(name)).unwrap()
}

#[tokio::test]
async fn two_peers_who_trust_the_authority_talk_over_wss_and_nobody_else_does() {
    let folder = tempfile::tempdir().unwrap();
    let (relay, address) = start(folder.path()).await;
    assert!(relay.urls()[0].starts_with("https://"), "{:?}", relay.screen);
    let client = client_trusting(&read(folder.path(), "authority.pem"));
    let mut peers = Vec::new();
    for name in ["localhost", "127.0.0.1"] {
        let stream = dial(&client, address, name).await.unwrap();
        let url = format!("wss://{name}:{}/?room=r", address.port());
        let mut peer = Client::dial(stream, &url, &[]).await.unwrap();
        peer.expect("joined").await;
        peers.push(peer);
    }
    let [a, b] = &mut peers[..] else { unreachable!() };
    a.expect("peer_joined").await;
    b.say(json!({"type": "offer", "sdp": "v=0"})).await;
    assert_eq!(a.expect("offer").await["sdp"], "v=0");
    let error = dial(&Pki::new().client(), address, "localhost").await.unwrap_err();
    assert!(error.to_string().contains("UnknownIssuer"), "{error}");
    assert!(dial(&client, address, "example.org").await.is_err());
}

#[tokio::test]
async fn the_authority_is_made_once_and_its_key_is_nobody_elses() {
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("certs");
    let (mut relay, _) = start(&kept).await;
    relay.expect_log("made a local certificate authority").await;
    let (key, certificate) = (read(&kept, "authority.key"), read(&kept, "authority.pem"));
    let mode = std::fs::metadata(kept.join("authority.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(key.starts_with("-----BEGIN PRIVATE KEY") && key.ends_with(&certificate));
    assert!(!certificate.contains("PRIVATE"));
    assert!(read(&kept, ".gitignore").lines().any(|line| line == "*"));
    relay.signal("INT");
    assert_eq!(relay.end().await, Some(0));
    std::fs::remove_file(kept.join("authority.pem")).unwrap();
    let (_relay, _) = start(&kept).await;
    assert_eq!((read(&kept, "authority.key"), read(&kept, "authority.pem")), (key, certificate));
    assert_eq!(std::fs::read_dir(&kept).unwrap().count(), 3, "no draft is left");
}

#[tokio::test]
async fn relays_that_start_together_share_one_authority() {
    let folder = tempfile::tempdir().unwrap();
    let starts = (0..4).map(|_| start(folder.path()));
    let relays = futures_util::future::join_all(starts).await;
    let fingerprints: Vec<_> = relays.iter().map(|(relay, _)| fingerprint(relay)).collect();
    assert!(fingerprints.iter().all(|one| *one == fingerprints[0]), "{fingerprints:?}");
}

#[tokio::test]
async fn without_a_folder_the_authority_has_a_home_that_does_not_depend_on_the_current_folder() {
    let (state, here, elsewhere) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let start_in = async |folder: &Path| {
        let mut command = binary();
        command.args(["--lan", "--listen", "127.0.0.1:0"]).current_dir(folder);
        command.env("XDG_STATE_HOME", state.path()).env_remove("STATE_DIRECTORY");
        Process::of(command).await
    };
    let first = fingerprint(&start_in(here.path()).await);
    assert_eq!(fingerprint(&start_in(elsewhere.path()).await), first);
    let home = state.path().join("signaling-relay");
    assert!(read(&home, "authority.key").contains("PRIVATE KEY"));
    assert_eq!(std::fs::metadata(&home).unwrap().permissions().mode() & 0o777, 0o700);
    for folder in [&here, &elsewhere] {
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left in the current folder");
    }
    // What lies in the current folder is no matter.
    std::fs::rename(&home, here.path().join("certs")).unwrap();
    assert_ne!(fingerprint(&start_in(here.path()).await), first);
}

/// The fingerprint on the first screen.
fn fingerprint(relay: &Process) -> String {
    let line = relay.screen.iter().find(|line| line.contains("SHA-256")).expect("a fingerprint");
    line.split_whitespace().last().unwrap().to_owned()
}

#[tokio::test]
async fn the_page_explains_how_to_trust_the_authority_also_to_those_who_do_not_yet() {
    let folder = tempfile::tempdir().unwrap();
    let (relay, address) = start(folder.path()).await;
    let authority = folder.path().join("authority.pem");
    let (_, said) = tool("openssl", &["x509", "-in", text(&authority), "-noout", "-fingerprint", "-sha256"], "");
    let printed = fingerprint(&relay);
    assert_eq!(said.trim().rsplit('=').next().unwrap(), printed);
    let host = address.to_string();
    let client = client_trusting(&read(folder.path(), "authority.pem"));
    for path in ["/trust", "/trust.css", "/authority.crt", "/authority.pem"] {
        let secure = get(dial(&client, address, "localhost").await.unwrap(), &host, path).await;
        let plain = get(connect(address).await, &host, path).await;
        for answer in [&secure, &plain] {
            assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
            assert!(answer.contains("content-security-policy: default-src 'none'; style-src 'self'"), "{answer}");
        }
        let body = |answer: &str| answer.split_once("\r\n\r\n").unwrap().1.to_owned();
        assert_eq!(body(&secure), body(&plain));
    }
    let page = get(connect(address).await, &host, "/trust").await;
    assert_eq!(page.matches(&printed.replace(':', ":<wbr>")).count(), 2, "in both languages");
    for system in ["iPhone", "Android", "Windows", "macOS", "Linux", "Firefox", "鸿蒙", "lang=\"zh-CN\""] {
        assert!(page.contains(system), "{system}");
    }
    assert!(!page.contains("<script") && !page.contains(" style=") && !page.contains("{fingerprint}"));
    let download = get(connect(address).await, &host, "/authority.crt").await;
    assert!(download.contains("content-type: application/x-x509-ca-cert"), "{download}");
    // What a computer's own tools say of the file is what the terminal says.
    let download = get_bytes(connect(address).await, &host, "/authority.crt").await;
    let body = download.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let download = file(folder.path(), "signaling-relay.crt", &download[body..]);
    let (_, said) = tool("sha256sum", &[text(&download)], "");
    assert_eq!(said.split(' ').next().unwrap(), printed.replace(':', "").to_lowercase());
    let download = get(connect(address).await, &host, "/authority.pem").await;
    assert!(download.ends_with(&read(folder.path(), "authority.pem")));
    // Everything else goes to https, and nothing of it is here without an authority.
    assert!(get(connect(address).await, &host, "/").await.starts_with("HTTP/1.1 308"));
    let plain = harness::TestRelay::start_with(signaling_relay::Config::default()).await;
    assert!(get(connect(plain.address()).await, &host, "/trust").await.starts_with("HTTP/1.1 404"));
}

/// A machine of its own, as far as the network goes, with one LAN address; it goes when the test ends.
pub(super) struct Machine(pub(super) String);

impl Machine {
    pub(super) fn new(address: &str) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let machine = Self(format!("lan-test-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)));
        ip(&["netns", "add", &machine.0]);
        machine.ip(&["link", "set", "lo", "up"]);
        machine.ip(&["link", "add", "lan0", "type", "veth", "peer", "name", "lan1"]);
        machine.ip(&["link", "set", "lan0", "up"]);
        machine.ip(&["link", "set", "lan1", "up"]);
        machine.ip(&["addr", "add", address, "dev", "lan0"]);
        machine
    }

    fn ip(&self, arguments: &[&str]) {
        ip(&[&["-n", &self.0], arguments].concat());
    }

    /// What openssl says of the certificate at an address of the machine.
    fn verify(&self, authority: &Path, address: &str, port: u16) -> String {
        let at = format!("{address}:{port}");
        let arguments = ["netns", "exec", &self.0, "openssl", "s_client", "-connect", &at, "-CAfile", text(authority)];
        tool("ip", &[&arguments[..], &["-verify_return_error", "-verify_ip", address]].concat(), "").1
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        ip(&["netns", "delete", &self.0]);
    }
}

fn ip(arguments: &[&str]) {
    let (good, said) = tool("ip", arguments, "");
    assert!(good, "ip {arguments:?}: {said}");
}

#[tokio::test]
async fn the_certificate_follows_the_addresses_of_the_machine() {
    if tool("id", &["-u"], "").1.trim() != "0" {
        eprintln!("skipped: only root makes network namespaces");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let authority = folder.path().join("authority.pem");
    let machine = Machine::new("192.168.77.1/24");
    machine.ip(&["addr", "add", "203.0.113.5/24", "dev", "lan0"]);
    let mut command = Command::new("ip");
    let program = binary();
    command.args(["netns", "exec", &machine.0]).arg(program.get_program());
    command.args(["--lan", "--lan-dir", text(folder.path())]);
    let mut relay = Process::of(command).await;
    // Its own default: every address, and the same port as without TLS.
    assert!(relay.urls().contains(&"https://localhost:8080/"), "{:?}", relay.screen);
    assert!(relay.urls().contains(&"https://192.168.77.1:8080/"), "{:?}", relay.screen);
    let good = "Verify return code: 0 (ok)";
    let said = machine.verify(&authority, "192.168.77.1", 8080);
    assert!(said.contains(good), "{said}");
    // A public address is not the authority's business.
    let said = machine.verify(&authority, "203.0.113.5", 8080);
    assert!(said.contains("IP address mismatch"), "{said}");
    machine.ip(&["addr", "add", "10.20.30.40/8", "dev", "lan0"]);
    let log = relay.expect_log("10.20.30.40").await;
    assert!(log.contains("the local authority signs"), "{log}");
    relay.expect_log("serving the new certificate").await;
    for address in ["10.20.30.40", "192.168.77.1"] {
        let said = machine.verify(&authority, address, 8080);
        assert!(said.contains(good), "{said}");
    }
}
