//! Who may enter: tokens, invite links and the webhook, as operators and clients meet them.

use std::convert::Infallible;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::post;
use futures_util::stream;
use ring::hmac;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use serde_json::{Value, json};
use signaling_relay::{BindError, Config, Denial, Grant, JoinRequest, Relay};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;

use crate::harness::pages::{block, page};
use crate::harness::pki::Pki;
use crate::harness::{self, Process, TestRelay, binary, file, run, secret_file, soon, text, tool};

pub(super) const SECRET: &str = "correct horse battery staple";

/// The part of a token that encodes `bytes` (RFC 4648 section 5, without padding).
fn base64url(bytes: impl AsRef<[u8]>) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let encode = |chunk: &[u8]| {
        let group = chunk.iter().fold(0, |group, byte| group << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        let digits = (0..=chunk.len()).map(|at| char::from(DIGITS[(group >> (18 - 6 * at) & 63) as usize]));
        digits.collect::<String>()
    };
    bytes.as_ref().chunks(3).map(encode).collect()
}

pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Claims that let somebody into the room `r`, with `more`.
pub(super) fn claims(more: Value) -> Value {
    let mut claims = json!({"exp": now() + 600, "room": "r"});
    claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    claims
}

fn signed_by(header: &Value, claims: &Value, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let body = format!("{}.{}", base64url(header.to_string()), base64url(claims.to_string()));
    let signature = sign(body.as_bytes());
    format!("{body}.{}", base64url(signature))
}

pub(super) fn hs256(secret: impl AsRef<[u8]>, claims: &Value) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_ref());
    signed_by(&json!({"alg": "HS256", "typ": "JWT"}), claims, |body| hmac::sign(&key, body).as_ref().to_vec())
}

/// A token for the room `r`.
fn good() -> String {
    hs256(SECRET, &claims(json!({})))
}

/// A relay that asks for a token with the secret.
async fn guarded() -> (TestRelay, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let secret = secret_file(folder.path(), "secret", format!("  {SECRET}\n"));
    (TestRelay::start_with(Config { token_secret_file: vec![secret], ..Config::default() }).await, folder)
}

/// Asserts that `token` lets its bearer in.
async fn lets_in(relay: &TestRelay, token: &str) {
    let heard = relay.answer(json!({"token": token})).await;
    assert_eq!(heard["type"], "joined", "{heard}");
}

/// Asserts that `join` is unauthorized, with a sentence that has `why` in it.
async fn keeps_out(relay: &TestRelay, join: Value, why: &str) {
    let heard = relay.answer(join).await;
    assert_eq!((&heard["code"], &heard["retryable"]), (&json!("unauthorized"), &json!(false)), "{heard}");
    assert!(heard["message"].as_str().unwrap().contains(why), "{why}: {heard}");
}

#[tokio::test]
async fn a_token_says_who_somebody_is_whatever_the_client_says() {
    let (relay, _folder) = guarded().await;
    let token = hs256(SECRET, &claims(json!({"sub": "ana", "name": "Ana", "role": "host"})));
    let heard = relay.answer(json!({"token": token, "id": "mallory", "name": "Mallory"})).await;
    assert_eq!((&heard["type"], &heard["id"]), (&json!("joined"), &json!("ana")), "{heard}");

    let mut ana = relay.dial("/ws").await;
    ana.say(json!({"type": "join", "room": "r", "id": "x", "name": "X", "token": token})).await;
    ana.expect_joined().await;
    let token = hs256(SECRET, &claims(json!({})));
    let mut bob = relay.dial("/ws").await;
    bob.say(json!({"type": "join", "room": "r", "id": "bob", "name": "Bob", "token": token})).await;
    let joined = bob.expect_joined().await;
    assert_eq!(joined["id"], "bob");
    assert_eq!(joined["peers"], json!([{"id": "ana", "name": "Ana", "verified": true}]));
    assert_eq!(ana.expect("peer_joined").await["name"], "Bob");
}

#[tokio::test]
async fn a_token_that_is_not_good_is_refused_with_what_is_wrong() {
    let (relay, _folder) = guarded().await;
    let with = |more| hs256(SECRET, &claims(more));
    let none = format!("{}.{}.", base64url(r#"{"alg":"none"}"#), base64url(claims(json!({})).to_string()));
    let hs512 = signed_by(&json!({"alg": "HS512"}), &claims(json!({})), |body| {
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA512, SECRET.as_bytes()), body).as_ref().to_vec()
    });
    let critical = signed_by(&json!({"alg": "HS256", "crit": ["b64"], "b64": false}), &claims(json!({})), |body| {
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes()), body).as_ref().to_vec()
    });
    let (own, wider) = (good(), with(json!({"room": "*"})));
    let forged = format!("{}.{}", wider.rsplit_once('.').unwrap().0, own.rsplit_once('.').unwrap().1);
    for (token, why) in [
        (String::new(), "malformed"),
        ("a.b.c".into(), "malformed"),
        ("..".into(), "malformed"),
        (good().replace('.', " "), "malformed"),
        (format!("{}.", good()), "malformed"),
        (none.clone(), "not signed"),
        (none.replace("none", "None"), "not signed"),
        (hs512, "HS512"),
        (critical, "crit"),
        (forged, "not signed with a key"),
        (format!("{}.", good().rsplit_once('.').unwrap().0), "not signed with a key"),
        (hs256("another secret altogether", &claims(json!({}))), "not signed with a key"),
        (hs256("", &claims(json!({}))), "not signed with a key"),
        (with(json!({"exp": now() - 62})), "expired"),
        (with(json!({"exp": 0})), "expired"),
        (with(json!({"exp": null})), "\"exp\""),
        (with(json!({"exp": (now() + 600).to_string()})), "\"exp\""),
        (with(json!({"exp": -1})), "\"exp\""),
        (hs256(SECRET, &json!({"room": "r"})), "\"exp\""),
        (with(json!({"nbf": now() + 90})), "not valid yet"),
        (with(json!({"nbf": "soon"})), "\"nbf\""),
        (with(json!({"room": "other"})), "another room"),
        (with(json!({"room": []})), "another room"),
        (with(json!({"room": 5})), "a text or a list of texts"),
        (with(json!({"room": null})), "no \"room\""),
        (with(json!({"sub": ""})), "\"sub\""),
        (with(json!({"sub": 7})), "claims"),
        (with(json!({"name": "x".repeat(65)})), "\"name\""),
        (with(json!({"role": "admin"})), "\"role\""),
        (with(json!({"aud": "another service"})), "\"aud\""),
        (hs256(SECRET, &json!("claims")), "claims"),
        (with(json!({"x": "y".repeat(8 * 1024)})), "8192"),
        ("x".repeat(60 * 1024), "8192"),
    ] {
        keeps_out(&relay, json!({ "token": token }), why).await;
    }
    keeps_out(&relay, json!({}), "needs a token").await;
    keeps_out(&relay, json!({"token": null}), "needs a token").await;
    assert_eq!(relay.answer(json!({"token": 5})).await["code"], "bad_message");
    // None of this has harmed anything.
    lets_in(&relay, &good()).await;
}

#[tokio::test]
async fn clocks_may_differ_by_a_minute() {
    let (relay, _folder) = guarded().await;
    lets_in(&relay, &hs256(SECRET, &claims(json!({"exp": now() - 40, "nbf": now() + 40})))).await;
}

#[tokio::test]
async fn while_keys_are_rotated_any_of_them_will_do() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (SECRET, "another secret altogether");
    let files = [("old", old), ("new", new)].map(|(name, secret)| secret_file(folder.path(), name, secret));
    let relay = TestRelay::start_with(Config { token_secret_file: files.to_vec(), ..Config::default() }).await;
    for secret in [old, new] {
        lets_in(&relay, &hs256(secret, &claims(json!({})))).await;
        let expired = hs256(secret, &claims(json!({"exp": 1})));
        keeps_out(&relay, json!({ "token": expired }), "expired").await;
    }
    let third = hs256("a third secret altogether", &claims(json!({})));
    keeps_out(&relay, json!({ "token": third }), "not signed with a key").await;
}

#[tokio::test]
async fn a_token_may_be_for_several_rooms() {
    let (relay, _folder) = guarded().await;
    let token = hs256(SECRET, &claims(json!({"room": ["a", "team-*"]})));
    for (room, kind) in [("a", "joined"), ("team-x", "joined"), ("r", "error"), ("team", "error")] {
        assert_eq!(relay.answer(json!({"token": token, "room": room})).await["type"], kind, "{room}");
    }
}

#[tokio::test]
async fn where_the_url_joins_the_token_is_in_the_query() {
    let (relay, _folder) = guarded().await;
    relay.dial(&format!("/?room=r&token={}", good())).await.expect_joined().await;
    let mut refused = relay.dial("/?room=r&token=x").await;
    refused.expect_error("unauthorized").await;
    refused.expect_close_code(1008).await;
    let (status, why) = relay.refusal("/").await;
    assert!(status == 401 && why.contains("needs a token"), "{status} {why}");
    let (status, why) = relay.refusal(&format!("/?token={}", good())).await;
    assert!(status == 401 && why.contains("another room"), "{status} {why}");
    let lobby = hs256(SECRET, &claims(json!({"room": "lobby"})));
    relay.dial(&format!("/?token={lobby}")).await.expect_joined().await;
}

/// A private key that openssl makes, in PKCS #8, and the file of its public key in PEM.
fn key_pair(folder: &Path, name: &str, kind: &[&str]) -> (Vec<u8>, PathBuf) {
    let (private, public) = (folder.join(format!("{name}.key")), folder.join(format!("{name}.pem")));
    let (good, said) = tool("openssl", &[&["genpkey", "-out", text(&private)], kind].concat(), "");
    assert!(good, "{said}");
    let (good, said) = tool("openssl", &["pkey", "-in", text(&private), "-pubout", "-out", text(&public)], "");
    assert!(good, "{said}");
    (PrivatePkcs8KeyDer::from_pem_file(&private).unwrap().secret_pkcs8_der().to_vec(), public)
}

const P256: [&str; 4] = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
const RSA: [&str; 4] = ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];
const ED25519: [&str; 2] = ["-algorithm", "ED25519"];

#[tokio::test]
async fn the_algorithm_follows_from_the_key_and_never_from_the_token() {
    let folder = tempfile::tempdir().unwrap();
    let (ec, ec_file) = key_pair(folder.path(), "ec", &P256);
    let (rsa, rsa_file) = key_pair(folder.path(), "rsa", &RSA);
    let (ed, ed_file) = key_pair(folder.path(), "ed", &ED25519);
    let random = ring::rand::SystemRandom::new();
    let ec = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &ec, &random).unwrap();
    let rsa = RsaKeyPair::from_pkcs8(&rsa).unwrap();
    let ed = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&ed).unwrap();
    let claims = claims(json!({}));
    let sign_rsa = |body: &[u8]| {
        let mut signature = vec![0; rsa.public().modulus_len()];
        rsa.sign(&RSA_PKCS1_SHA256, &random, body, &mut signature).unwrap();
        signature
    };
    let es256 = signed_by(&json!({"alg": "ES256"}), &claims, |body| ec.sign(&random, body).unwrap().as_ref().to_vec());
    let rs256 = signed_by(&json!({"alg": "RS256"}), &claims, sign_rsa);
    let eddsa = signed_by(&json!({"alg": "EdDSA"}), &claims, |body| ed.sign(body).as_ref().to_vec());
    let tokens = [("ES256", &es256, &ec_file), ("RS256", &rs256, &rsa_file), ("EdDSA", &eddsa, &ed_file)];

    for (algorithm, token, public) in tokens {
        let relay = TestRelay::start_with(Config { token_key_file: vec![public.clone()], ..Config::default() }).await;
        lets_in(&relay, token).await;
        for (other, token, _) in tokens.iter().filter(|(other, ..)| *other != algorithm) {
            keeps_out(&relay, json!({ "token": token }), other).await;
        }
        let pem = std::fs::read_to_string(public).unwrap();
        for secret in [pem.as_str(), pem.trim()] {
            keeps_out(&relay, json!({"token": hs256(secret, &claims)}), "HS256").await;
        }
        let renamed = signed_by(&json!({"alg": algorithm}), &claims, |_| b"no signature".to_vec());
        keeps_out(&relay, json!({ "token": renamed }), "not signed with a key").await;
    }

    let secret = secret_file(folder.path(), "secret", SECRET);
    let token_key_file = vec![ec_file.clone(), rsa_file.clone(), ed_file.clone()];
    let all = Config { token_secret_file: vec![secret], token_key_file, ..Config::default() };
    let relay = TestRelay::start_with(all).await;
    for token in [&es256, &rs256, &eddsa, &good()] {
        lets_in(&relay, token).await;
    }
}

/// Why a relay with this file does not start.
async fn complaint(flag: &str, path: &Path) -> String {
    let output = run(&["--listen", "127.0.0.1:0", flag, text(path)]).await;
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test]
async fn a_file_that_cannot_be_trusted_keeps_the_relay_from_starting() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let open = file(folder, "open", SECRET);
    std::fs::set_permissions(&open, PermissionsExt::from_mode(0o644)).unwrap();
    let writable = secret_file(folder, "writable", SECRET);
    std::fs::set_permissions(&writable, PermissionsExt::from_mode(0o622)).unwrap();
    let (_, p384) = key_pair(folder, "p384", &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"]);
    let (_, short) = key_pair(folder, "short", &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"]);
    let _ = key_pair(folder, "ed", &ED25519);
    for (flag, path, why) in [
        ("--token-secret-file", open, "chmod 600"),
        ("--token-secret-file", writable.clone(), "chmod go-w"),
        ("--token-secret-file", secret_file(folder, "empty", " \n"), "has 0 bytes"),
        ("--token-secret-file", secret_file(folder, "few", "  swordfish\n"), "has 9 bytes, and needs 16"),
        ("--token-secret-file", secret_file(folder, "many", "x".repeat(70_000)), "longer than"),
        ("--token-secret-file", folder.join("missing"), "cannot read"),
        ("--token-key-file", folder.join("missing"), "cannot read"),
        ("--token-key-file", writable, "chmod go-w"),
        ("--token-key-file", secret_file(folder, "nothing", SECRET), "no public key in PEM"),
        ("--token-key-file", secret_file(folder, "bad", "-----BEGIN PUBLIC KEY-----\n????\n"), "is not PEM"),
        ("--token-key-file", folder.join("ed.key"), "private key"),
        ("--token-key-file", p384, "P-256 (ES256)"),
        ("--token-key-file", short, "1024 bits"),
    ] {
        let said = complaint(flag, &path).await;
        assert!(said.contains(flag) && said.contains(why), "{flag} {path:?}: {said}");
        assert!(!said.contains("swordfish") && !said.contains(SECRET), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

/// A relay as a process, with the secret in a file.
async fn guarded_process(folder: &Path, more: &[&str], log: Option<&Path>) -> (Process, PathBuf) {
    let secret = secret_file(folder, "secret", SECRET);
    let mut command = binary();
    command.args(["--listen", "127.0.0.1:0", "--token-secret-file", text(&secret)]).args(more);
    if log.is_some() {
        command.env("RUST_LOG", "trace");
    }
    (Process::from_command(command, log).await, secret)
}

/// What a client of `process` hears that dials `path` and says `messages`.
async fn conversation(process: &Process, path: &str, messages: &[Value]) -> Vec<Value> {
    let stream = harness::connect(([127, 0, 0, 1], process.port()).into()).await;
    let url = format!("ws://127.0.0.1:{}{path}", process.port());
    let Ok(mut peer) = harness::Client::dial(stream, &url, &[]).await else { return Vec::new() };
    let mut heard = Vec::new();
    if path != "/ws" {
        heard.push(peer.hear().await);
    }
    for message in messages {
        peer.say(message.clone()).await;
        heard.push(peer.hear().await);
    }
    heard
}

#[tokio::test]
async fn sighup_changes_the_secret_and_a_bad_file_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (mut relay, secret) = guarded_process(folder.path(), &[], None).await;
    let new = hs256("another secret altogether", &claims(json!({})));
    let join = |token: &str| [json!({"type": "join", "room": "r", "token": token})];
    assert_eq!(conversation(&relay, "/ws", &join(&good())).await[0]["type"], "joined");
    assert_eq!(conversation(&relay, "/ws", &join(&new)).await[0]["code"], "unauthorized");

    secret_file(folder.path(), "secret", "short");
    relay.signal("HUP");
    let said = relay.expect_log("keeping the old keys of tokens").await;
    assert!(said.contains("has 5 bytes") && said.contains(text(&secret)), "{said}");
    assert_eq!(conversation(&relay, "/ws", &join(&good())).await[0]["type"], "joined");

    secret_file(folder.path(), "secret", "another secret altogether");
    relay.signal("HUP");
    relay.expect_log("read again").await;
    assert_eq!(conversation(&relay, "/ws", &join(&good())).await[0]["code"], "unauthorized");
    assert_eq!(conversation(&relay, "/ws", &join(&new)).await[0]["type"], "joined");
}

#[tokio::test]
async fn the_log_has_no_token_and_no_secret_even_at_trace() {
    let folder = tempfile::tempdir().unwrap();
    let webhook = Webhook::start().await;
    let log = folder.path().join("log");
    let more = ["--auth-url", &webhook.url];
    let (relay, _) = guarded_process(folder.path(), &more, Some(&log)).await;
    let expired = hs256(SECRET, &claims(json!({"exp": 1})));
    let elsewhere = hs256("another secret altogether", &claims(json!({"room": "silent-r"})));
    for token in [&good(), &expired, &elsewhere] {
        conversation(&relay, "/ws", &[json!({"type": "join", "room": "r", "token": token})]).await;
        conversation(&relay, &format!("/?room=r&token={token}"), &[]).await;
        conversation(&relay, &format!("/?token={token}"), &[]).await;
        // A page's request for the same URL.
        let stream = harness::connect(([127, 0, 0, 1], relay.port()).into()).await;
        harness::get(stream, "localhost", &format!("/?token={token}")).await;
    }
    let (password, wrong) = ("the password of the room", "a wrong password of it");
    let join = |room: &str, password: &str| json!({"type": "join", "room": room, "token": good(), "resume": true, "password": password});
    let heard = conversation(&relay, "/ws", &[join("r", password)]).await;
    let place = heard[0]["resume"]["token"].as_str().unwrap().to_owned();
    conversation(&relay, "/ws", &[join("r", wrong)]).await;
    let unknown = "0123456789abcdef0123456789abcdef";
    let resume = |token: &str, received: Value| json!({"type": "resume", "token": token, "received": received});
    let attempts = [resume(unknown, json!(1)), resume(&place, json!("x")), resume(&place, json!(1))];
    let heard = conversation(&relay, "/ws", &attempts).await;
    assert_eq!(heard[2]["type"], "resumed", "{heard:?}");
    relay.signal("INT");
    assert_eq!(relay.end().await, Some(0));
    let log = std::fs::read_to_string(log).unwrap();
    for secret in [password, wrong, unknown, &place, "\"allow\""] {
        assert!(!log.contains(secret), "{secret}: {log}");
    }
    assert!(log.contains("TRACE") || log.contains("DEBUG"), "the log is not at trace: {log}");
    for token in [&good(), &expired, &elsewhere] {
        for part in token.split('.').skip(1) {
            assert!(!log.contains(part), "{part}: {log}");
        }
    }
    assert!(!log.contains(SECRET) && !log.contains("?token=") && !log.contains("&token="), "{log}");
}

#[tokio::test]
async fn an_invite_link_lets_somebody_in() {
    let folder = tempfile::tempdir().unwrap();
    let (relay, secret) = guarded_process(folder.path(), &[], None).await;
    let invite = ["invite", "--token-secret-file", text(&secret), "--room", "a b/ü"];
    let output = run(&[&invite[..], &["--name", "Ana", "--role", "host", "--expires", "5m"]].concat()).await;
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    let link = String::from_utf8(output.stdout).unwrap();
    let (page, token) = link.trim_end().split_once("#token=").unwrap();
    assert_eq!(page, "http://localhost:8080/?room=a+b%2F%C3%BC");
    let join = json!({"type": "join", "room": "a b/ü", "token": token});
    assert_eq!(conversation(&relay, "/ws", &[join]).await[0]["type"], "joined");
    let join = json!({"type": "join", "room": "r", "token": token});
    assert_eq!(conversation(&relay, "/ws", &[join]).await[0]["code"], "unauthorized");

    let output = run(&[&invite[..], &["--url", "https://call.example/x/"]].concat()).await;
    assert!(String::from_utf8(output.stdout).unwrap().starts_with("https://call.example/x/?room="));
}

#[tokio::test]
async fn a_mistake_in_an_invitation_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let secret = secret_file(folder.path(), "secret", SECRET);
    let few = secret_file(folder.path(), "few", "x");
    let invite = |file| ["invite", "--token-secret-file", text(file), "--room", "r"];
    for (arguments, code, why) in [
        (vec!["invite"], 2, "--token-secret-file"),
        (vec!["invite", "--token-secret-file", text(&secret)], 2, "--room"),
        ([&invite(&secret)[..], &["--expires", "tomorrow"]].concat(), 2, "24h"),
        ([&invite(&secret)[..], &["--role", "king"]].concat(), 2, "\"host\" or \"guest\""),
        ([&invite(&secret)[..], &["--url", "call.example"]].concat(), 2, "https://relay.example/"),
        ([&invite(&secret)[..], &["--name", &"x".repeat(65)]].concat(), 2, "64 characters"),
        (vec!["invite", "--token-secret-file", text(&secret), "--room", "team-*"], 2, "every room"),
        (invite(&few).to_vec(), 1, "needs 16"),
        (invite(&folder.path().join("missing")).to_vec(), 1, "cannot read"),
    ] {
        let output = run(&arguments).await;
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(code) && said.contains(why), "{arguments:?}: {said}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
}

/// Runs `line` of a shell in `folder`, where the relay is on the PATH; what it wrote.
fn shell(folder: &Path, line: &str) -> String {
    let programs = Path::new(binary().get_program()).parent().unwrap().to_owned();
    let in_folder = format!("cd '{}' && PATH='{}':$PATH && {line}", text(folder), text(&programs));
    let (good, said) = tool("sh", &["-c", &in_folder], "");
    assert!(good, "{line}: {said}");
    said.trim_end().to_owned()
}

#[tokio::test]
async fn the_lines_of_the_readme_about_tokens_work_as_they_are() {
    let readme = page("README.md");
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let start = block(&readme, "sh", "token-secret-file");
    let [secret, start] = start.lines().collect::<Vec<_>>().try_into().unwrap();
    shell(folder, secret);
    let mut command = binary();
    let (program, flags) = start.split_once(' ').unwrap();
    assert_eq!(program, "signaling-relay");
    command.current_dir(folder).args(flags.split(' ')).args(["--listen", "127.0.0.1:0"]);
    let mut relay = Process::of(command).await;

    let link = shell(folder, block(&readme, "sh", "signaling-relay invite").trim());
    let (_, invited) = link.split_once("#token=").unwrap();
    file(folder, "sign.mjs", block(&readme, "js", "createHmac"));
    file(folder, "sign.py", block(&readme, "python", "hmac"));
    for token in [invited, &shell(folder, "node sign.mjs"), &shell(folder, "python3 sign.py")] {
        let join = json!({"type": "join", "room": "team", "token": token});
        assert_eq!(conversation(&relay, "/ws", &[join]).await[0]["type"], "joined", "{token}");
    }
    relay.signal("TERM");
    // The secret is for its owner alone, of which there is nothing to warn.
    loop {
        let line = relay.expect_log("").await;
        assert!(!line.contains("WARN"), "{line}");
        if line.contains("shutting down") {
            break;
        }
    }
}

/// A server that is asked who may join.
struct Webhook {
    url: String,
    /// How many questions were on their way at most.
    most: Arc<AtomicUsize>,
    asked: tokio::sync::mpsc::UnboundedReceiver<Value>,
}

impl Webhook {
    /// One that answers by what the room's name begins with.
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/may-join", listener.local_addr().unwrap());
        let (most, current) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (tell, asked) = tokio::sync::mpsc::unbounded_channel();
        let counter = Arc::clone(&most);
        let decide = move |body: Bytes| {
            let question: Value = serde_json::from_slice(&body).unwrap();
            let room = question["room"].as_str().unwrap().to_owned();
            // The test may have no more interest.
            let _ = tell.send(question);
            let (counter, current) = (Arc::clone(&counter), Arc::clone(&current));
            async move {
                counter.fetch_max(current.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                let response = verdict(&room).await;
                current.fetch_sub(1, Ordering::SeqCst);
                response
            }
        };
        let open = || async { r#"{"allow":true}"# };
        let app = Router::new().route("/may-join", post(decide)).route("/open", post(open).get(open));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, most, asked }
    }

    fn config(&self) -> Config {
        Config { auth_url: Some(self.url.parse().unwrap()), ..Config::default() }
    }
}

async fn verdict(room: &str) -> Response {
    let kind = room.split('-').next().unwrap();
    let json = |value: Value| value.to_string().into_response();
    match kind {
        "silent" => std::future::pending().await,
        "named" => json(json!({"allow": true, "id": "ana", "name": "Ana", "role": "host"})),
        "closed" => json(json!({"allow": false, "message": "ask the host first"})),
        "shut" => json(json!({"allow": false})),
        "failing" => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        "created" => (StatusCode::CREATED, r#"{"allow":true}"#).into_response(),
        "forbidden" => (StatusCode::FORBIDDEN, r#"{"allow":true}"#).into_response(),
        "moved" => Redirect::temporary("/open").into_response(),
        "found" => Redirect::to("/open").into_response(),
        "prose" => "yes, of course".into_response(),
        "nothing" => "".into_response(),
        "list" => "[true]".into_response(),
        "text" => json(json!({"allow": "true"})),
        "neither" => json(json!({"id": "ana"})),
        // A head, and a body that never comes.
        "stalled" => Body::from_stream(stream::pending::<Result<Bytes, Infallible>>()).into_response(),
        "twice" => r#"{"allow":false,"allow":true}"#.into_response(),
        "cut" => r#"{"allow":true"#.into_response(),
        "more" => r#"{"allow":true} and more"#.into_response(),
        "large" => json(json!({"allow": true, "x": "x".repeat(64 * 1024)})),
        "id" => json(json!({"allow": true, "id": "not an id"})),
        "name" => json(json!({"allow": true, "name": "x".repeat(65)})),
        "role" => json(json!({"allow": true, "role": "admin"})),
        "turn" => json(json!({
            "allow": true,
            "iceServers": [{"urls": "turn:turn.example", "username": "u", "credential": "c"}],
        })),
        "ice" => json(json!({"allow": true, "iceServers": [{"urls": "turn:turn.example"}]})),
        "url" => json(json!({"allow": true, "iceServers": [{"urls": "stn:stun.example"}]})),
        "busy" => {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            json(json!({"allow": true}))
        }
        _ => json(json!({"allow": true, "and": "more"})),
    }
}

#[tokio::test]
async fn the_webhook_is_told_who_asks_and_says_who_they_are() {
    let mut webhook = Webhook::start().await;
    let relay = TestRelay::start_with(webhook.config()).await;
    let asks = json!({"room": "named", "id": "x", "name": "X", "token": "a word between the two"});
    let heard = relay.answer(asks.clone()).await;
    assert_eq!((&heard["type"], &heard["id"]), (&json!("joined"), &json!("ana")), "{heard}");
    let mut expected = json!({"address": "127.0.0.1", "origin": null});
    expected.as_object_mut().unwrap().extend(asks.as_object().unwrap().clone());
    assert_eq!(soon("the question", webhook.asked.recv()).await.unwrap(), expected);

    let heard = relay.answer(json!({"room": "any", "id": "bob"})).await;
    assert_eq!(heard["id"], "bob", "{heard}");
    let expected = json!({
        "room": "any", "id": "bob", "name": null, "token": null, "address": "127.0.0.1", "origin": null
    });
    assert_eq!(soon("the question", webhook.asked.recv()).await.unwrap(), expected);
    let heard = relay.answer(json!({"room": "turn"})).await;
    let servers = json!([{"urls": "turn:turn.example", "username": "u", "credential": "c"}]);
    assert_eq!(heard["iceServers"], servers, "{heard}");
    keeps_out(&relay, json!({"room": "closed"}), "ask the host first").await;
    keeps_out(&relay, json!({"room": "shut"}), "may not join").await;
    keeps_out(&relay, json!({"token": "x".repeat(8 * 1024 + 1)}), "8192").await;
}

#[tokio::test]
async fn the_headers_that_are_named_reach_who_decides_and_no_others() {
    let mut webhook = Webhook::start().await;
    let auth_header = vec!["cookie".parse().unwrap(), "X-User".parse().unwrap()];
    let relay = TestRelay::start_with(Config { auth_header, ..webhook.config() }).await;
    let headers = [("cookie", "session=s3cr3t"), ("x-user", "ana"), ("x-other", "no")];
    let mut client = relay.upgrade(&headers).await.unwrap();
    client.join("any").await;
    let question = soon("the question", webhook.asked.recv()).await.unwrap();
    assert_eq!(question["headers"], json!({"cookie": "session=s3cr3t", "x-user": "ana"}));
    let config = Config {
        auth_header: vec!["cookie".parse().unwrap()],
        allow_origin: vec!["null".parse().unwrap()],
        ..Config::default()
    };
    assert!(config.check().unwrap_err().to_string().contains("--auth-header"));

    async fn only_with_a_cookie(request: JoinRequest) -> Result<Grant, Denial> {
        assert!(!format!("{request:?}").contains("s3cr3t"));
        match request.headers.as_slice() {
            [(name, value)] if name == "cookie" && value.reveal() == "session=s3cr3t" => Ok(Grant::from(&request)),
            _ => Err(Denial::Unauthorized("log in first".into())),
        }
    }
    let config = Config { auth_header: vec!["cookie".parse().unwrap()], ..Config::default() };
    let relay = TestRelay::start_as(config, |builder| builder.authorizer(only_with_a_cookie)).await;
    relay.upgrade(&headers).await.unwrap().join("r").await;
    keeps_out(&relay, json!({}), "log in first").await;
}

#[tokio::test]
async fn whatever_else_the_webhook_says_opens_no_door() {
    let webhook = Webhook::start().await;
    let relay = TestRelay::start_with(webhook.config()).await;
    for room in [
        "failing",
        "created",
        "forbidden",
        "moved",
        "found",
        "prose",
        "nothing",
        "list",
        "text",
        "neither",
        "twice",
        "cut",
        "more",
        "large",
        "id",
        "name",
        "role",
        "ice",
        "url",
    ] {
        let heard = relay.answer(json!({ "room": room })).await;
        assert_eq!((&heard["code"], &heard["retryable"]), (&json!("unavailable"), &json!(true)), "{room}: {heard}");
    }
    let mut refused = relay.dial("/?room=failing").await;
    refused.expect_error("unavailable").await;
    refused.expect_close_code(1013).await;
    assert_eq!(relay.answer(json!({})).await["type"], "joined");
}

#[tokio::test]
async fn a_webhook_that_is_down_opens_no_door() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let relay = TestRelay::start_with(Config { auth_url: Some(url.parse().unwrap()), ..Config::default() }).await;
    assert_eq!(relay.answer(json!({})).await["code"], "unavailable");
    assert_eq!(relay.refusal("/").await.0, 503);
}

#[tokio::test]
async fn while_the_webhook_is_silent_about_one_the_others_come_and_go() {
    let mut webhook = Webhook::start().await;
    let relay = TestRelay::start_with(webhook.config()).await;
    let mut waiting = relay.dial("/ws").await;
    let late = json!({"type": "message", "data": 1, "ref": "late"});
    waiting.say(json!({"type": "join", "room": "silent", "ref": "join"})).await;
    waiting.say(late).await;
    soon("the question", webhook.asked.recv()).await.unwrap();
    let mut stalled = relay.dial("/ws").await;
    stalled.say(json!({"type": "join", "room": "stalled"})).await;
    soon("the question", webhook.asked.recv()).await.unwrap();
    let (mut alice, mut bob) = relay.pair("open").await;
    alice.say(json!({"type": "message", "data": "hello"})).await;
    assert_eq!(bob.expect("message").await["data"], "hello");
    // What it sent meanwhile is answered after the join, which is refused after 5 s.
    assert_eq!(waiting.expect_error("unavailable").await["ref"], "join");
    assert_eq!(waiting.expect_error("not_joined").await["ref"], "late");
    stalled.expect_error("unavailable").await;
}

#[tokio::test]
async fn the_webhook_is_asked_little_at_a_time() {
    let webhook = Webhook::start().await;
    let relay = TestRelay::start_with(webhook.config()).await;
    let mut peers = Vec::new();
    for number in 0..100 {
        let mut peer = relay.dial("/ws").await;
        peer.say(json!({"type": "join", "room": format!("busy-{number}")})).await;
        peers.push(peer);
    }
    for peer in &mut peers {
        peer.expect_joined().await;
    }
    let most = webhook.most.load(Ordering::SeqCst);
    assert!((2..=signaling_relay::limits::WEBHOOK_REQUESTS).contains(&most), "{most}");
}

#[tokio::test]
async fn with_tokens_as_well_the_token_is_looked_at_first_and_wins() {
    let mut webhook = Webhook::start().await;
    let folder = tempfile::tempdir().unwrap();
    let secret = secret_file(folder.path(), "secret", SECRET);
    let relay = TestRelay::start_with(Config { token_secret_file: vec![secret], ..webhook.config() }).await;
    keeps_out(&relay, json!({}), "needs a token").await;
    let token = hs256(SECRET, &claims(json!({"room": "*", "sub": "tim"})));
    let heard = relay.answer(json!({"room": "named", "id": "x", "name": "X", "token": token})).await;
    assert_eq!(heard["id"], "tim", "{heard}");
    // Nobody asked about the first one.
    let asked = soon("the question", webhook.asked.recv()).await.unwrap();
    assert_eq!((&asked["id"], &asked["name"]), (&json!("tim"), &json!("X")));
    keeps_out(&relay, json!({"room": "closed", "token": token}), "ask the host first").await;
    assert_eq!(relay.answer(json!({"room": "failing", "token": token})).await["code"], "unavailable");
}

/// A webhook that answers by TLS with the certificate of `pki`.
async fn secure_webhook(pki: &Pki) -> String {
    let acceptor = pki.acceptor();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}/", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            // A client that does not trust the certificate ends the handshake.
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut request = [0; 4096];
            assert!(stream.read(&mut request).await.unwrap() > 0);
            let response = "HTTP/1.1 200 OK\r\ncontent-length: 14\r\nconnection: close\r\n\r\n{\"allow\":true}";
            stream.write_all(response.as_bytes()).await.unwrap();
            let _ = stream.shutdown().await;
        }
    });
    url
}

#[tokio::test]
async fn a_webhook_by_https_must_be_of_the_authority_that_was_given() {
    let (pki, stranger) = (Pki::new(), Pki::new());
    let url = secure_webhook(&pki).await;
    for (authority, heard) in [(&pki, "joined"), (&stranger, "error")] {
        let (auth_url, auth_ca) = (Some(url.parse().unwrap()), Some(authority.authority_file()));
        let relay = TestRelay::start_with(Config { auth_url, auth_ca, ..Config::default() }).await;
        assert_eq!(relay.answer(json!({})).await["type"], heard);
    }
    // Without the flag, those of the system are believed.
    for (authority, heard) in [(&pki, "joined"), (&stranger, "error")] {
        let mut command = binary();
        command.args(["--listen", "127.0.0.1:0", "--auth-url", &url]);
        command.env("SSL_CERT_FILE", authority.authority_file()).env("SSL_CERT_DIR", pki.folder().join("none"));
        let relay = Process::of(command).await;
        let address = format!("127.0.0.1:{}", relay.port()).parse().unwrap();
        let url = format!("ws://{address}/ws");
        let mut client = harness::Client::dial(harness::connect(address).await, &url, &[]).await.unwrap();
        client.say(json!({"type": "join", "room": "r"})).await;
        assert_eq!(client.hear().await["type"], heard);
    }
    let auth_ca = Some(file(pki.folder(), "empty.pem", ""));
    let config = Config { auth_url: Some(url.parse().unwrap()), auth_ca, ..Config::default() };
    let error = Relay::builder(config).build().unwrap_err().to_string();
    assert!(error.contains("--auth-ca") && error.contains("no certificate in PEM"), "{error}");
}

#[tokio::test]
async fn an_embedder_decides_after_the_tokens_but_not_beside_a_webhook() {
    async fn only_ana(request: JoinRequest) -> Result<Grant, Denial> {
        match request.id.as_ref().map(|id| id.as_str()) {
            Some("ana") => Ok(Grant::from(&request)),
            _ => Err(Denial::Unauthorized("only Ana".into())),
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let secret = secret_file(folder.path(), "secret", SECRET);
    let config = Config { token_secret_file: vec![secret], ..Config::default() };
    let relay = TestRelay::start_as(config, |builder| builder.authorizer(only_ana)).await;
    keeps_out(&relay, json!({"id": "ana"}), "needs a token").await;
    keeps_out(&relay, json!({"token": good()}), "only Ana").await;
    lets_in(&relay, &hs256(SECRET, &claims(json!({"sub": "ana"})))).await;

    let config = Config { auth_url: Some("http://localhost/".parse().unwrap()), ..Config::default() };
    let error = Relay::builder(config).authorizer(only_ana).build().unwrap_err();
    assert!(matches!(error, BindError::Config(_)), "{error}");
}

#[cfg(feature = "wires")]
mod of_wires {
    //! The same for topics of other libraries' wires.

    use futures_util::StreamExt;
    use signaling_relay::Wire;
    use tokio_tungstenite::tungstenite::Message;

    use super::*;
    use crate::harness::Client;

    const SAYS: &str = r#"{"type":"publish","topic":"team","data":1}"#;

    /// Whether a client of y-webrtc whose URL has this query hears what it says in `team`.
    async fn hears_itself(relay: &TestRelay, query: &str) -> bool {
        let mut client = relay.dial(&format!("/y-webrtc{query}")).await;
        client.say(json!({"type": "subscribe", "topics": ["team"]})).await;
        client.say_text(SAYS).await;
        client.say(json!({"type": "ping"})).await;
        client.hear().await["type"] == "publish"
    }

    #[tokio::test]
    async fn a_token_for_a_topic_opens_no_call_and_one_for_a_call_no_topic() {
        let folder = tempfile::tempdir().unwrap();
        let token_secret_file = vec![secret_file(folder.path(), "relay.secret", SECRET)];
        let wires = Wire::ALL.to_vec();
        let relay = TestRelay::start_with(Config { token_secret_file, wires, ..Config::default() }).await;
        let token = |room: &str| hs256(SECRET, &claims(json!({"room": room})));
        for (room, opens) in [
            ("y-webrtc/team", true),
            ("y-webrtc/*", true),
            ("*", true),
            ("team", false),
            ("trystero/team", false),
            ("trystero/*", false),
            ("y-webrtc/tea", false),
            ("y-webrtc", false),
        ] {
            assert_eq!(hears_itself(&relay, &format!("?token={}", token(room))).await, opens, "{room}");
        }
        assert!(!hears_itself(&relay, "").await && !hears_itself(&relay, "?token=x").await);
        for room in ["y-webrtc/team", "y-webrtc/*", "*"] {
            let join = json!({"room": "y-webrtc/team", "token": token(room)});
            let heard = relay.answer(join).await;
            assert_eq!(heard["code"], "unauthorized", "{room}: {heard}");
        }
        let heard = relay.answer(json!({"room": "team", "token": token("y-webrtc/team")})).await;
        assert_eq!(heard["code"], "unauthorized", "{heard}");
        let heard = relay.answer(json!({"room": "team", "token": token("*")})).await;
        assert_eq!(heard["type"], "joined", "{heard}");
    }

    /// What a client of PeerJS first hears, whose key and id are these.
    async fn of_peerjs(relay: &TestRelay, key: &str, id: &str) -> (Client, Value) {
        let mut client = relay.dial(&format!("/peerjs?key={key}&id={id}&token=t")).await;
        let heard = client.hear().await;
        (client, heard)
    }

    #[tokio::test]
    async fn a_token_opens_those_rooms_of_matchbox_that_it_names_whatever_the_size_of_a_group_is() {
        let folder = tempfile::tempdir().unwrap();
        let token_secret_file = vec![secret_file(folder.path(), "relay.secret", SECRET)];
        let wires = Wire::ALL.to_vec();
        let relay = TestRelay::start_with(Config { token_secret_file, wires, ..Config::default() }).await;
        let path = |room: &str, token: &str| format!("/matchbox/{room}?next=2&token={token}");
        for (room, opens) in [
            ("matchbox/team", true),
            ("matchbox/*", true),
            ("*", true),
            ("team", false),
            ("matchbox/", false),
            ("peerjs/*", false),
        ] {
            let token = hs256(SECRET, &claims(json!({"room": room})));
            if opens {
                let mut client = relay.dial(&path("team", &token)).await;
                assert!(client.hear().await["IdAssigned"].is_string(), "{room}");
            } else {
                assert_eq!(relay.refusal(&path("team", &token)).await.0, 401, "{room}");
            }
        }
        assert_eq!(relay.refusal("/matchbox/team").await.0, 401);
    }

    #[tokio::test]
    async fn a_token_opens_those_rooms_of_rxdb_that_it_names_and_any_other_one_is_silence() {
        let folder = tempfile::tempdir().unwrap();
        let token_secret_file = vec![secret_file(folder.path(), "relay.secret", SECRET)];
        let wires = Wire::ALL.to_vec();
        let relay = TestRelay::start_with(Config { token_secret_file, wires, ..Config::default() }).await;
        for (room, opens) in [
            ("rxdb/the team", true),
            ("rxdb/*", true),
            ("*", true),
            ("the team", false),
            ("rxdb/", false),
            ("y-webrtc/*", false),
        ] {
            let claims = claims(json!({"room": ["rxdb/the last", room], "sub": "ana"}));
            let mut client = relay.dial(&format!("/rxdb?token={}", hs256(SECRET, &claims))).await;
            let id = client.hear().await["yourPeerId"].clone();
            let list = json!({"type": "joined", "otherPeerIds": [id]});
            for room in ["the team", "the last"] {
                client.say(json!({"type": "join", "room": room})).await;
            }
            for _ in 0..1 + usize::from(opens) {
                assert_eq!(client.hear().await, list, "{room}");
            }
            // It tells in which of them it is.
            let signal = |room| json!({"type": "signal", "senderPeerId": id, "receiverPeerId": id, "room": room});
            client.say_at_once(&[signal("the team").to_string(), signal("the last").to_string()]).await;
            let heard = client.hear().await;
            assert_eq!(heard["room"] == "the team", opens, "{room}: {heard}");
        }
        let mut client = relay.dial("/rxdb").await;
        assert_eq!(client.hear().await["type"], "init");
        client.say(json!({"type": "join", "room": "the team"})).await;
        client.say_text("null").await;
        let next = harness::soon("the end", client.socket.next()).await;
        assert!(matches!(next, Some(Ok(Message::Close(_)))), "it is in no room: {next:?}");
    }

    #[tokio::test]
    async fn the_key_of_peerjs_is_the_token_and_its_sub_the_only_id() {
        let folder = tempfile::tempdir().unwrap();
        let token_secret_file = vec![secret_file(folder.path(), "relay.secret", SECRET)];
        let wires = Wire::ALL.to_vec();
        let relay = TestRelay::start_with(Config { token_secret_file, wires, ..Config::default() }).await;
        let token = |more: Value| hs256(SECRET, &claims(more));
        for (room, opens) in [
            ("peerjs/", true),
            ("peerjs/*", true),
            ("*", true),
            ("peerjs", false),
            ("team", false),
            ("y-webrtc/*", false),
        ] {
            let (_, heard) = of_peerjs(&relay, &token(json!({"room": room})), "any%20one").await;
            assert_eq!(heard["type"] == "OPEN", opens, "{room}: {heard}");
        }
        let (_, heard) = of_peerjs(&relay, "peerjs", "a").await;
        assert!(heard["type"] == "ERROR" && heard["payload"]["msg"].as_str().unwrap().contains("token"), "{heard}");
        // As it is written, although no room of the page would take it.
        for (sub, id, opens) in [
            ("ana b", "ana%20b", true),
            ("r-0123456789012345678901", "r-0123456789012345678901", true),
            ("ana b", "ana", false),
            ("ana b", "ana%20b%20", false),
        ] {
            let key = token(json!({"room": "peerjs/", "sub": sub}));
            let (_, heard) = of_peerjs(&relay, &key, id).await;
            assert_eq!(heard["type"] == "OPEN", opens, "{sub} {id}: {heard}");
        }
        // All are in one space, whatever their tokens are.
        let (mut ana, _) = of_peerjs(&relay, &token(json!({"room": "peerjs/", "sub": "ana"})), "ana").await;
        let (mut bob, _) = of_peerjs(&relay, &token(json!({"room": "peerjs/", "sub": "bob"})), "bob").await;
        ana.say(json!({"type": "OFFER", "dst": "bob"})).await;
        assert_eq!(bob.hear().await, json!({"type": "OFFER", "src": "ana", "dst": "bob"}));
        // A token for the wire opens no call of the page, nor does one for its room.
        for room in ["peerjs/", "*"] {
            let join = json!({"room": "peerjs/", "token": token(json!({"room": room}))});
            assert_eq!(relay.answer(join).await["code"], "unauthorized", "{room}");
        }
        let config = Config { peerjs_key: vec!["k".into()], token_secret_file: vec!["x".into()], ..Config::default() };
        let config = Config { wires: Wire::ALL.to_vec(), ..config };
        assert!(config.check().unwrap_err().to_string().contains("--peerjs-key"));
    }

    #[tokio::test]
    async fn the_webhook_is_told_the_id_and_the_key_of_a_client_of_peerjs() {
        let mut webhook = Webhook::start().await;
        let relay = TestRelay::start_with(Config { wires: Wire::ALL.to_vec(), ..webhook.config() }).await;
        let (_, heard) = of_peerjs(&relay, "the%20key", "a%20na").await;
        assert_eq!(heard["type"], "OPEN");
        let expected = json!({
            "room": "peerjs/", "wire": "peerjs", "id": "a na", "name": null, "token": "the key", "address": "127.0.0.1",
            "origin": null
        });
        assert_eq!(soon("the question", webhook.asked.recv()).await.unwrap(), expected);
    }

    #[tokio::test]
    async fn the_webhook_is_told_the_wire_and_the_room_of_a_client_of_rxdb() {
        let mut webhook = Webhook::start().await;
        let relay = TestRelay::start_with(Config { wires: Wire::ALL.to_vec(), ..webhook.config() }).await;
        let mut client = relay.dial("/rxdb?token=t").await;
        client.hear().await;
        client.say(json!({"type": "join", "room": "the team"})).await;
        client.expect("joined").await;
        let expected = json!({
            "room": "rxdb/the team", "wire": "rxdb", "id": null, "name": null, "token": "t", "address": "127.0.0.1",
            "origin": null
        });
        assert_eq!(soon("the question", webhook.asked.recv()).await.unwrap(), expected);
    }

    #[tokio::test]
    async fn the_webhook_is_told_the_wire_and_the_topic() {
        let mut webhook = Webhook::start().await;
        let relay = TestRelay::start_with(Config { wires: Wire::ALL.to_vec(), ..webhook.config() }).await;
        assert!(hears_itself(&relay, "?token=t").await);
        let expected = json!({
            "room": "y-webrtc/team", "wire": "y-webrtc", "id": null, "name": null, "token": "t", "address": "127.0.0.1",
            "origin": null
        });
        assert_eq!(soon("the question", webhook.asked.recv()).await.unwrap(), expected);
    }
}
