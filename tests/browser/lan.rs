//! TLS by the relay itself: its own authority for the LAN, and certificates of one's own.

use std::process::Command;

use crate::harness::pki::Pki;
use crate::support::{Browser, Relay, trust};

/// The name under which the local network finds this machine.
fn name_in_the_lan() -> String {
    let output = Command::new("hostname").output().expect("hostname: scripts/test installs it");
    let name = String::from_utf8(output.stdout).unwrap().trim().to_lowercase();
    format!("{}.local", name.split('.').next().unwrap())
}

#[tokio::test]
async fn a_call_works_over_wss_where_the_local_authority_is_trusted() {
    let (folder, name) = (tempfile::tempdir().unwrap(), name_in_the_lan());
    let relay = Relay::start_with(&["--lan", "--lan-dir", folder.path().to_str().unwrap()]).await;
    let port = relay.port();
    let browser = Browser::with().host_rule(&format!("MAP {name} 127.0.0.1")).may_ask(&name);
    trust(&folder.path().join("authority.pem"), browser.home());
    let browser = browser.start().await;
    // Who types no https:// is sent there; the other comes by an address.
    let alice = browser.open(&format!("http://{name}:{port}/?room=r")).await;
    let bob = browser.open(&format!("https://127.0.0.1:{port}/?room=r")).await;
    alice.join_as("Alice").await;
    bob.join_as("Bob").await;
    for (person, other) in [(&alice, "Bob"), (&bob, "Alice")] {
        person.plays_video_of(other).await;
        person.hears(other).await;
    }
    let requests = browser.requests().await;
    for socket in [format!("wss://{name}:{port}/ws?route=r"), format!("wss://127.0.0.1:{port}/ws?route=r")] {
        assert!(requests.contains(&socket), "{requests:?}");
    }
    browser.end().await;
}

#[tokio::test]
async fn without_trust_the_browser_warns_and_the_page_that_helps_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let relay = Relay::start_with(&["--lan", "--lan-dir", folder.path().to_str().unwrap()]).await;
    let browser = Browser::start().await;
    let alice = browser.open(&relay.url("?room=r")).await;
    alice.reads("ERR_CERT_AUTHORITY_INVALID").await;
    let bob = browser.open(&format!("http://localhost:{}/trust", relay.port())).await;
    bob.reads("SHA-256").await;
    bob.reads("信任").await;
    browser.end().await;
}

#[tokio::test]
async fn a_call_works_over_wss_with_a_certificate_of_ones_own() {
    let authority = Pki::for_name("relay.test");
    let (cert, key) = authority.renew(1);
    let flags = ["--cert", cert.to_str().unwrap(), "--key", key.to_str().unwrap()];
    let relay = Relay::start_with(&flags).await;
    let browser = Browser::with().host_rule("MAP relay.test 127.0.0.1").may_ask("relay.test");
    trust(&authority.authority_file(), browser.home());
    let browser = browser.start().await;
    let url = format!("https://relay.test:{}/?room=r", relay.port());
    let (alice, bob) = (browser.open(&url).await, browser.open(&url).await);
    alice.join_as("Alice").await;
    bob.join_as("Bob").await;
    alice.plays_video_of("Bob").await;
    bob.hears("Alice").await;
    browser.end().await;
}

#[tokio::test]
async fn who_steals_the_local_authority_can_still_not_pose_as_another_site() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    Relay::start_with(&["--lan", "--lan-dir", folder.path().to_str().unwrap()]).await;
    let forge = "openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout \"$2\" -subj /O=thief |
        openssl x509 -req -CA \"$1/authority.key\" -CAkey \"$1/authority.key\" -days 3 -out \"$3\" \\
            -extfile <(printf 'subjectAltName=DNS:bank.example\\nextendedKeyUsage=serverAuth\\n') &&
        sed -n '/BEGIN CERTIFICATE/,$p' \"$1/authority.key\" >> \"$3\"";
    let (key, cert) = (at("forged.key"), at("forged.pem"));
    let mut bash = Command::new("bash");
    let forged = bash.args(["-c", forge, "bash", &at(""), &key, &cert]).output().unwrap();
    assert!(forged.status.success(), "{}", String::from_utf8_lossy(&forged.stderr));
    let thief = Relay::start_with(&["--cert", &cert, "--key", &key]).await;
    let browser = Browser::with().host_rule("MAP bank.example 127.0.0.1").may_ask("bank.example");
    trust(&folder.path().join("authority.pem"), browser.home());
    let browser = browser.start().await;
    let alice = browser.open(&format!("https://bank.example:{}/", thief.port())).await;
    alice.reads("ERR_CERT_INVALID").await;
    browser.end().await;
}
