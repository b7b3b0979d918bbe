//! TLS by `--cert` and `--key`: what clients see, what is refused, and that nothing breaks when the certificate changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use serde_json::json;
use signaling_relay::Config;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::rustls::HandshakeKind;
use tokio_rustls::rustls::version::{TLS12, TLS13};

use crate::harness::pki::{Pki, dial, serial};
use crate::harness::{Client, Process, TestRelay, connect, file, get, refusal, run, soon, text, tool};

#[tokio::test]
async fn two_peers_talk_over_wss() {
    let pki = Pki::new();
    let relay = TestRelay::start_with(pki.config()).await;
    let client = pki.client();
    let url = format!("wss://localhost:{}/?room=r", relay.address().port());
    let mut peers = Vec::new();
    for _ in 0..2 {
        let stream = dial(&client, relay.address(), "localhost").await.unwrap();
        let origin = url.replace("wss", "https").replace("/?room=r", "");
        let mut peer = Client::dial(stream, &url, &[("origin", &origin)]).await.unwrap();
        peer.expect("joined").await;
        peers.push(peer);
    }
    let [a, b] = &mut peers[..] else { unreachable!() };
    a.expect("peer_joined").await;
    b.say(json!({"type": "offer", "sdp": "v=0"})).await;
    assert_eq!(a.expect("offer").await["sdp"], "v=0");
    relay.stop().await;
}

#[tokio::test]
async fn a_page_comes_over_https() {
    let pki = Pki::new();
    let relay = TestRelay::start_with(pki.config()).await;
    let stream = dial(&pki.client(), relay.address(), "127.0.0.1").await.unwrap();
    let page = get(stream, "127.0.0.1", "/").await;
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("<!doctype html>"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn openssl_sees_1_2_and_1_3_and_is_refused_1_1() {
    let pki = Pki::new();
    let relay = TestRelay::start_with(pki.config()).await;
    let address = relay.address().to_string();
    for (version, works) in [("-tls1_3", true), ("-tls1_2", true), ("-tls1_1", false), ("-tls1", false)] {
        // Level 0 lets this client speak what it would refuse by itself.
        let arguments =
            ["s_client", "-connect", &address, version, "-alpn", "http/1.1", "-cipher", "DEFAULT@SECLEVEL=0"];
        let (_, said) = tool("openssl", &arguments, "");
        let made = said.contains("Protocol  : TLSv1.") || said.contains("New, TLSv1.3");
        assert_eq!(made && said.contains("ALPN protocol: http/1.1"), works, "{version}: {said}");
        assert_eq!(said.contains("alert"), !works, "{version}: {said}");
    }
}

#[tokio::test]
async fn a_client_that_comes_back_resumes_its_session() {
    let pki = Pki::new();
    let relay = TestRelay::start_with(pki.config()).await;
    for version in [&TLS12, &TLS13] {
        let client = pki.client_of(&[version]);
        let mut kinds = Vec::new();
        for serial in 2..5 {
            let stream = dial(&client, relay.address(), "localhost").await.unwrap();
            kinds.push(stream.get_ref().1.handshake_kind().unwrap());
            // The tickets come with the answer.
            assert!(get(stream, "localhost", "/healthz").await.ends_with("ok\n"));
            // A new certificate does not end the sessions.
            pki.renew(serial);
            relay.reload();
        }
        assert_eq!(kinds, [HandshakeKind::Full, HandshakeKind::Resumed, HandshakeKind::Resumed]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_key_works() {
    let pki = Pki::new();
    let (key, cert) = (pki.folder().join("kind.key"), pki.folder().join("kind.pem"));
    let (rsa, ec) = (pki.folder().join("rsa.pem"), pki.folder().join("ec.pem"));
    assert!(tool("openssl", &["genrsa", "-out", text(&rsa), "2048"], "").0);
    assert!(tool("openssl", &["ecparam", "-name", "prime256v1", "-genkey", "-out", text(&ec)], "").0);
    for (kind, make, mark) in [
        ("RSA in PKCS#8", vec!["pkcs8", "-topk8", "-nocrypt", "-in", text(&rsa)], "BEGIN PRIVATE KEY"),
        ("RSA in PKCS#1", vec!["rsa", "-traditional", "-in", text(&rsa)], "BEGIN RSA PRIVATE KEY"),
        ("P-256 in SEC1, after its parameters", vec!["-param_out"], "BEGIN EC PARAMETERS"),
        ("P-256 in SEC1", vec!["ec", "-in", text(&ec)], "BEGIN EC PRIVATE KEY"),
        ("P-256 in PKCS#8", vec!["pkcs8", "-topk8", "-nocrypt", "-in", text(&ec)], "BEGIN PRIVATE KEY"),
        ("P-384", vec!["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"], "BEGIN PRIVATE KEY"),
        ("Ed25519", vec!["genpkey", "-algorithm", "ed25519"], "BEGIN PRIVATE KEY"),
    ] {
        let mut arguments = make.clone();
        arguments.extend(["-out", text(&key)]);
        if arguments.contains(&"-param_out") {
            // Both sections in one file, as `openssl ecparam -genkey` writes them.
            std::fs::copy(&ec, &key).unwrap();
        } else {
            assert!(tool("openssl", &arguments, "").0, "{kind}");
        }
        assert!(std::fs::read_to_string(&key).unwrap().contains(mark), "{kind}");
        let request = ["req", "-x509", "-key", text(&key), "-out", text(&cert), "-subj", "/CN=localhost", "-days", "3"];
        assert!(tool("openssl", &request, "").0, "{kind}");
        let config = signaling_relay::Config { cert: Some(cert.clone()), key: Some(key.clone()), ..Default::default() };
        let relay = TestRelay::start_with(config).await;
        let address = relay.address().to_string();
        let arguments = ["s_client", "-connect", &address, "-CAfile", text(&cert), "-verify_return_error"];
        let (_, said) = tool("openssl", &arguments, "");
        assert!(said.contains("Verify return code: 0 (ok)"), "{kind}: {said}");
        relay.stop().await;
    }
}

#[tokio::test]
async fn what_is_wrong_with_the_files_is_said_in_one_line_and_the_start_stops() {
    let pki = Pki::new();
    let (cert, key) = pki.renew(1);
    let (expired, expired_key) = pki.issue(2, (2020, 2021));
    let (early, early_key) = pki.issue(3, (2119, 2120));
    let folder = pki.folder();
    let write = |name: &str, content: &str| text(&file(folder, name, content)).to_owned();
    let good = std::fs::read_to_string(&cert).unwrap();
    let rsa = folder.join("rsa.pem");
    assert!(tool("openssl", &["genrsa", "-aes128", "-passout", "pass:x", "-out", text(&rsa), "2048"], "").0);
    let der = folder.join("der");
    assert!(tool("openssl", &["x509", "-in", text(&cert), "-outform", "der", "-out", text(&der)], "").0);
    let (cert, key, rsa, der) = (text(&cert), text(&key), text(&rsa), text(&der));
    let p521 = folder.join("p521");
    let p521 = text(&p521);
    assert!(tool("openssl", &["ecparam", "-name", "secp521r1", "-genkey", "-noout", "-out", p521], "").0);
    let missing = folder.join("nothing.pem");
    let missing = text(&missing);
    let empty = write("empty.pem", " \n");
    let damaged = write("damaged.pem", good.replace('M', "!").as_str());
    let cut = write("cut.pem", good.trim_end().trim_end_matches('-'));
    let nonsense = write("nonsense.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let (expired, expired_key) = (write("expired.pem", &expired), write("expired.key", &expired_key));
    let (early, early_key) = (write("early.pem", &early), write("early.key", &early_key));
    for (cert, key, file, fault) in [
        (missing, key, missing, "No such file"),
        (cert, missing, missing, "No such file"),
        (text(folder), key, text(folder), "it is not a regular file"),
        (&empty, key, &empty, "is empty"),
        (cert, &empty, &empty, "is empty"),
        (key, cert, key, "holds a private key and no certificate: are --cert and --key swapped?"),
        (cert, cert, cert, "holds a certificate and no private key"),
        (der, key, der, "is not PEM"),
        (&damaged, key, &damaged, "is damaged"),
        (&cut, key, &cut, "is damaged"),
        (&nonsense, key, &nonsense, "damaged certificate"),
        (cert, rsa, rsa, "is encrypted with a password"),
        (cert, p521, p521, "of an unsupported kind"),
        (cert, &expired_key, &expired_key, "is not that of the first certificate in"),
        (&expired, &expired_key, &expired, "expired on Jan  1"),
        (&early, &early_key, &early, "is not valid before Jan  1"),
    ] {
        let output = run(&["--listen", "127.0.0.1:0", "--cert", cert, "--key", key]).await;
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.starts_with("error: cannot serve TLS: "), "{said}");
        assert!(said.contains(file) && said.contains(fault), "{fault}: {said}");
        assert_eq!((said.lines().count(), output.status.code(), output.stdout.len()), (1, Some(1), 0), "{said}");
    }
    for (arguments, hint) in
        [(["--cert", cert], "--cert needs its private key"), (["--key", key], "--key needs its certificate")]
    {
        let output = run(&[&["--listen", "127.0.0.1:0"], &arguments[..]].concat()).await;
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.starts_with(&format!("error: {hint}")), "{said}");
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{said}");
    }
}

#[tokio::test]
async fn a_key_that_every_user_can_read_is_warned_about() {
    use std::os::unix::fs::PermissionsExt;
    let pki = Pki::new();
    let (cert, key) = pki.renew(1);
    for (mode, warned) in [(0o644, true), (0o640, false), (0o600, false)] {
        std::fs::set_permissions(&key, PermissionsExt::from_mode(mode)).unwrap();
        let mut relay = Process::start(&["--listen", "127.0.0.1:0", "--cert", text(&cert), "--key", text(&key)]).await;
        assert!(relay.urls()[0].starts_with("https://127.0.0.1:"), "{:?}", relay.screen);
        relay.signal("TERM");
        let line = relay.expect_log(if warned { "chmod 600" } else { "shutting down" }).await;
        assert!(!warned || (line.contains("WARN") && line.contains(text(&key)) && line.contains("644")), "{line}");
        assert!(warned || !line.contains("chmod"), "{line}");
        assert_eq!(relay.end().await, Some(0));
    }
}

#[tokio::test]
async fn sighup_and_a_changed_file_bring_the_new_certificate_and_a_bad_file_does_not() {
    let pki = Pki::new();
    let (cert, key) = pki.renew(1);
    let mut relay = Process::start(&["--listen", "127.0.0.1:0", "--cert", text(&cert), "--key", text(&key)]).await;
    let address = ([127, 0, 0, 1], relay.port()).into();
    // Each time somebody who has not been here before: a session that goes on shows no certificate.
    let shown = async || serial(&dial(&pki.client(), address, "localhost").await.unwrap());
    let mut stays = {
        let stream = dial(&pki.client(), address, "localhost").await.unwrap();
        Client::dial(stream, "wss://localhost/?room=r", &[]).await.unwrap()
    };
    stays.expect("joined").await;
    assert_eq!(shown().await, 1);
    pki.renew(2);
    relay.signal("HUP");
    relay.expect_log("serving the new certificate").await;
    assert_eq!(shown().await, 2);
    // Nobody says anything now: it looks by itself.
    pki.renew(3);
    relay.expect_log("serving the new certificate").await;
    assert_eq!(shown().await, 3);
    file(pki.folder(), "cert.pem", "nonsense");
    let line = relay.expect_log("keeping the old certificate").await;
    assert!(line.contains("WARN") && line.contains("cert.pem is not PEM"), "{line}");
    assert_eq!(shown().await, 3);
    std::fs::remove_file(&cert).unwrap();
    relay.signal("HUP");
    let line = relay.expect_log("keeping the old certificate").await;
    assert!(line.contains("No such file"), "{line}");
    assert_eq!(shown().await, 3);
    pki.renew(4);
    relay.signal("HUP");
    relay.expect_log("serving the new certificate").await;
    assert_eq!(shown().await, 4);
    stays.say(json!({"type": "leave"})).await;
    stays.say(json!({"type": "join", "room": "r"})).await;
    stays.expect("joined").await;
    relay.signal("INT");
    assert_eq!(relay.end().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_reloads_under_load_fail_no_handshake_and_drop_no_connection() {
    let pki = Arc::new(Pki::new());
    let relay = TestRelay::start_with(pki.config()).await;
    let address = relay.address();
    let mut peers = Vec::new();
    for n in 0..20 {
        let stream = dial(&pki.client(), address, "localhost").await.unwrap();
        let mut peer = Client::dial(stream, &format!("wss://localhost/?room=r{}", n / 2), &[]).await.unwrap();
        peer.expect("joined").await;
        peers.push(peer);
    }
    let (done, handshakes) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let load: Vec<_> = (0..4)
        .map(|_| {
            let (pki, done, handshakes) = (Arc::clone(&pki), Arc::clone(&done), Arc::clone(&handshakes));
            tokio::spawn(async move {
                while !done.load(Ordering::Relaxed) {
                    let stream = dial(&pki.client(), address, "localhost").await.unwrap();
                    assert!(get(stream, "localhost", "/healthz").await.ends_with("ok\n"));
                    handshakes.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for number in 2..102 {
        pki.renew(number);
        relay.reload();
        assert_eq!(serial(&dial(&pki.client(), address, "localhost").await.unwrap()), number);
    }
    done.store(true, Ordering::Relaxed);
    for task in load {
        task.await.unwrap();
    }
    println!("{} handshakes during 100 reloads", handshakes.load(Ordering::Relaxed));
    assert!(handshakes.load(Ordering::Relaxed) >= 100);
    for pair in peers.chunks_mut(2) {
        let [a, b] = pair else { unreachable!() };
        a.expect("peer_joined").await;
        a.say(json!({"type": "message", "data": 1})).await;
        assert_eq!(b.expect("message").await["data"], 1);
    }
    relay.stop().await;
}

#[tokio::test]
async fn who_begins_no_handshake_is_hung_up_on_after_five_seconds() {
    let pki = Pki::new();
    let relay = TestRelay::start_with(Config { address_connections: 0, address_upgrades: 0, ..pki.config() }).await;
    let begun = Instant::now();
    let mut silent = Vec::new();
    for n in 0..1000 {
        let mut stream = connect(relay.address()).await;
        if n % 2 == 0 {
            // The header of a record that never comes.
            stream.write_all(&[22, 3, 1, 2, 0]).await.unwrap();
        }
        silent.push(stream);
    }
    // An honest client is not kept waiting by them.
    let asked = Instant::now();
    dial(&pki.client(), relay.address(), "localhost").await.unwrap();
    assert!(asked.elapsed().as_millis() < 1000, "{:?}", asked.elapsed());
    for mut stream in silent {
        // A reset is an end as well.
        let _ = soon("the end", stream.read_to_end(&mut Vec::new())).await;
    }
    assert!((4..15).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn plain_http_is_sent_to_https_and_never_served() {
    let pki = Pki::new();
    let config = signaling_relay::Config { redirect_from: vec!["127.0.0.1:0".parse().unwrap()], ..pki.config() };
    let relay = TestRelay::start_with(config).await;
    let https = relay.address();
    for asked in [https, relay.redirect_addresses[0]] {
        let answer = get(connect(asked).await, &asked.to_string(), "/?room=r").await;
        assert!(answer.starts_with("HTTP/1.1 308"), "{answer}");
        assert!(answer.contains(&format!("\r\nlocation: https://{https}/?room=r\r\n")), "{answer}");
        assert!(answer.contains("no-store") && !answer.contains("<"), "{answer}");
        let socket = Client::dial(connect(asked).await, &format!("ws://{asked}/?room=r"), &[]).await;
        let (status, text) = refusal(socket);
        assert!(status == 308 && text.contains(&format!("connect to wss://{https}/")), "{text}");
        // Neither a request nor a handshake.
        let mut stream = connect(asked).await;
        stream.write_all(b"\x15\x03\x01 what?\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        soon("the end", stream.read_to_end(&mut answer)).await.unwrap();
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 400"), "{answer:?}");
    }
    let output = run(&["--listen", "127.0.0.1:0", "--redirect-from", "127.0.0.1:0"]).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("--redirect-from needs TLS"));
}

#[tokio::test]
async fn sighup_without_a_certificate_ends_nothing() {
    let mut relay = Process::start(&["--listen", "127.0.0.1:0"]).await;
    relay.signal("HUP");
    relay.expect_log("there is no certificate to reload").await;
    let address = ([127, 0, 0, 1], relay.port()).into();
    assert!(get(connect(address).await, "localhost", "/healthz").await.ends_with("ok\n"));
    relay.signal("INT");
    assert_eq!(relay.end().await, Some(0));
}

#[tokio::test]
async fn a_certificate_that_is_about_to_expire_is_told_to_the_log() {
    let pki = Pki::new();
    let day = std::time::Duration::from_secs(24 * 60 * 60);
    let now = std::time::SystemTime::now();
    let (cert, key) = pki.sign(1, now - day, now + day * 2);
    let (cert, key) = (file(pki.folder(), "cert.pem", cert), file(pki.folder(), "key.pem", key));
    let mut relay = Process::start(&["--listen", "127.0.0.1:0", "--cert", text(&cert), "--key", text(&key)]).await;
    let line = relay.expect_log("about to expire").await;
    assert!(line.contains("WARN") && line.contains("hours_left=47"), "{line}");
}
