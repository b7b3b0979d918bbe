//! Tokens of an identity provider: its keys, its audiences and issuers, and whom it calls what.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::harness::{Client, Process, TestRelay, binary, connect, file, text, tool};
use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use data_encoding::BASE64URL_NOPAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};
use signaling_relay::{Config, limits};
use tokio::net::TcpListener;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;

const ISSUER: &str = "https://login.example/";

/// A key of a provider.
struct Key {
    name: String,
    pair: EcdsaKeyPair,
}

impl Key {
    fn new(name: &str) -> Self {
        let random = SystemRandom::new();
        let secret = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        Self::from_pkcs8(name, secret.as_ref())
    }

    fn from_pkcs8(name: &str, secret: &[u8]) -> Self {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, secret, &SystemRandom::new()).unwrap();
        Self { name: name.to_owned(), pair }
    }

    fn jwk(&self) -> Value {
        let point = self.pair.public_key().as_ref();
        let (x, y) = (BASE64URL_NOPAD.encode(&point[1..33]), BASE64URL_NOPAD.encode(&point[33..]));
        json!({"kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": self.name, "use": "sig", "alg": "ES256"})
    }

    /// A token of the provider's for the relay and somebody, with `more`.
    fn token(&self, more: Value) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let mut claims = json!({"exp": now + 300, "iss": ISSUER, "aud": "relay", "sub": "auth0|123"});
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        claims.as_object_mut().unwrap().retain(|_, claim| !claim.is_null());
        let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        let body = format!("{}.{}", part(&json!({"alg": "ES256", "kid": self.name})), part(&claims));
        let signature = self.pair.sign(&SystemRandom::new(), body.as_bytes()).unwrap();
        format!("{body}.{}", BASE64URL_NOPAD.encode(signature.as_ref()))
    }
}

/// A provider that serves its keys, unless it is away, and counts how often it is asked.
struct Provider {
    url: String,
    state: Arc<Mutex<(Option<Value>, usize)>>,
}

impl Provider {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new((None, 0)));
        let shared = Arc::clone(&state);
        let serve = move || {
            let mut state = shared.lock().unwrap();
            state.1 += 1;
            let answer = match &state.0 {
                Some(set) => (StatusCode::OK, Value::to_string(set)),
                None => (StatusCode::SERVICE_UNAVAILABLE, String::new()),
            };
            async { answer }
        };
        let app = Router::new().route("/jwks.json", get(serve));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, state }
    }

    fn serves(&self, keys: &[&Key]) {
        let keys: Vec<Value> = keys.iter().map(|key| key.jwk()).collect();
        self.state.lock().unwrap().0 = Some(json!({ "keys": keys }));
    }

    fn goes_away(&self) {
        self.state.lock().unwrap().0 = None;
    }

    fn asked(&self) -> usize {
        self.state.lock().unwrap().1
    }

    fn config(&self) -> Config {
        Config {
            token_jwks: vec![self.url.parse().unwrap()],
            token_audience: vec!["other".into(), "relay".into()],
            token_issuer: vec![ISSUER.into()],
            token_any_room: true,
            ..Config::default()
        }
    }
}

async fn lets_in(relay: &TestRelay, token: &str) -> String {
    let heard = relay.answer(json!({"token": token})).await;
    assert_eq!(heard["type"], "joined", "{heard}");
    heard["id"].as_str().unwrap().to_owned()
}

async fn keeps_out(relay: &TestRelay, token: &str, code: &str, why: &str) {
    let heard = relay.answer(json!({"token": token})).await;
    assert!(heard["code"] == code && heard["message"].as_str().unwrap().contains(why), "{heard}");
}

/// Lets so much time pass that keys may be fetched again.
async fn a_minute_later() {
    tokio::time::pause();
    tokio::time::advance(limits::JWKS_REFETCH + Duration::from_secs(1)).await;
    tokio::time::resume();
}

#[tokio::test]
async fn what_a_provider_signs_for_the_relay_opens_it_and_nothing_else_does() {
    let (provider, key) = (Provider::start().await, Key::new("a"));
    provider.serves(&[&key]);
    let relay = TestRelay::start_with(provider.config()).await;
    let id = lets_in(&relay, &key.token(json!({}))).await;
    assert!(id.starts_with("s-") && id.len() == 24, "{id}");
    assert_eq!(lets_in(&relay, &key.token(json!({"sub": "ana", "aud": ["x", "other"]}))).await, "ana");
    lets_in(&relay, &key.token(json!({"sub": "ana@example.org", "role": "authenticated", "room": ["q", "r"]}))).await;
    for (more, why) in [
        (json!({"aud": "another"}), "\"aud\""),
        (json!({"aud": null}), "\"aud\""),
        (json!({"iss": "https://evil.example/"}), "\"iss\""),
        (json!({"iss": null}), "\"iss\""),
        (json!({"room": "another"}), "another room"),
        (json!({"exp": 1}), "expired"),
        (json!({"sub": ""}), "\"sub\""),
    ] {
        keeps_out(&relay, &key.token(more), "unauthorized", why).await;
    }
    // A key of the same name is not the same key.
    keeps_out(&relay, &Key::new("a").token(json!({})), "unauthorized", "not signed with a key").await;
    assert_eq!(provider.asked(), 1);
}

#[tokio::test]
async fn keys_rotate_by_their_names_and_are_asked_for_once_a_minute_at_most() {
    let (provider, a, b, c) = (Provider::start().await, Key::new("a"), Key::new("b"), Key::new("c"));
    let relay = TestRelay::start_with(provider.config()).await;
    keeps_out(&relay, &a.token(json!({})), "unavailable", "try again").await;
    provider.serves(&[&a]);
    keeps_out(&relay, &a.token(json!({})), "unavailable", "try again").await;
    assert_eq!(provider.asked(), 1);
    a_minute_later().await;
    lets_in(&relay, &a.token(json!({"sub": "one"}))).await;
    provider.serves(&[&a, &b]);
    keeps_out(&relay, &b.token(json!({})), "unauthorized", "not signed with a key").await;
    assert_eq!(provider.asked(), 2);
    a_minute_later().await;
    lets_in(&relay, &b.token(json!({"sub": "two"}))).await;
    lets_in(&relay, &a.token(json!({"sub": "three"}))).await;
    // One that the provider has taken back.
    provider.serves(&[&b]);
    a_minute_later().await;
    keeps_out(&relay, &c.token(json!({})), "unauthorized", "not signed with a key").await;
    keeps_out(&relay, &a.token(json!({})), "unauthorized", "not signed with a key").await;
    assert_eq!(provider.asked(), 4);
    // Without the provider, the keys that are known go on.
    provider.goes_away();
    a_minute_later().await;
    keeps_out(&relay, &c.token(json!({})), "unauthorized", "not signed with a key").await;
    lets_in(&relay, &b.token(json!({"sub": "four"}))).await;
    assert_eq!(provider.asked(), 5);
}

#[tokio::test]
async fn the_log_says_when_a_provider_is_away_and_a_file_of_keys_is_read_again_on_sighup() {
    let (folder, key, next) = (tempfile::tempdir().unwrap(), Key::new("a"), Key::new("b"));
    let set = file(folder.path(), "keys.json", json!({"keys": [key.jwk()]}).to_string());
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let mut command = binary();
    command.args(["--listen", "127.0.0.1:0", "--token-audience", "relay", "--token-any-room", "--token-jwks"]);
    command.arg(format!("{},http://{nobody}/keys?secret=s3cr3t", text(&set)));
    let mut relay = Process::of(command).await;
    let line = relay.expect_log("cannot read the keys of tokens").await;
    assert!(line.contains("WARN") && line.contains(&nobody.to_string()) && !line.contains("s3cr3t"), "{line}");
    let address = format!("127.0.0.1:{}", relay.port()).parse().unwrap();
    let join = async |token: String| {
        let mut client = Client::dial(connect(address).await, &format!("ws://{address}/ws"), &[]).await.unwrap();
        client.say(json!({"type": "join", "room": "r", "token": token})).await;
        client.hear().await["type"].clone()
    };
    assert_eq!(join(key.token(json!({}))).await, "joined");
    assert_eq!(join(next.token(json!({}))).await, "error");
    file(folder.path(), "keys.json", json!({"keys": [next.jwk()]}).to_string());
    relay.signal("HUP");
    // The log may still say that a key was asked for which was not known before.
    while {
        relay.expect_log("read the keys of tokens").await;
        join(next.token(json!({"sub": "next"}))).await != "joined"
    } {}
    assert_eq!(join(key.token(json!({"sub": "old"}))).await, "error");
}

#[tokio::test]
async fn a_certificate_is_as_good_as_its_key_and_a_set_never_has_a_secret() {
    let folder = tempfile::tempdir().unwrap();
    let (secret, certificate) = (folder.path().join("key.pem"), folder.path().join("cert.pem"));
    let curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=login"];
    let files = ["req", "-x509", "-keyout", text(&secret), "-out", text(&certificate)];
    let (good, said) = tool("openssl", &[&files[..], &curve[..]].concat(), "");
    assert!(good, "{said}");
    let pkcs8 = PrivatePkcs8KeyDer::from_pem_file(&secret).unwrap();
    let key = Key::from_pkcs8("any", pkcs8.secret_pkcs8_der());
    let config = Config { token_key_file: vec![certificate], ..Config::default() };
    let relay = TestRelay::start_with(config).await;
    lets_in(&relay, &key.token(json!({"aud": null, "room": "r"}))).await;
    keeps_out(&relay, &Key::new("any").token(json!({"aud": null, "room": "r"})), "unauthorized", "not signed").await;

    let shared = json!({"keys": [{"kty": "oct", "k": BASE64URL_NOPAD.encode(&[7; 32])}]});
    let set = file(folder.path(), "keys.json", shared.to_string());
    let config = Config { token_jwks: vec![text(&set).parse().unwrap()], ..Config::default() };
    let error = signaling_relay::Relay::builder(config).build().unwrap_err().to_string();
    assert!(error.contains("--token-jwks") && error.contains("no key that can verify tokens"), "{error}");
}
