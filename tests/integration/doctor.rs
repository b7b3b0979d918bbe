//! `signaling-relay doctor`: what it says about relays that are well, and about those that are not.

use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, DnType, IsCa, KeyPair};
use serde_json::{Value, json};
use signaling_relay::{Config, Denial, Grant, JoinRequest};
use tokio::net::{TcpListener, TcpStream};

use self::other::{Fake, head, serve, serve_fake, silence, write};
use super::auth::{SECRET, claims, hs256, now};
use super::lan::Machine;
use super::proxy::Nginx;
use crate::harness::coturn::Coturn;
use crate::harness::pki::{Pki, acceptor};
use crate::harness::{Process, TestRelay, binary, file, free_port, run, secret_file, soon, text, tool};

/// What the doctor said.
struct Told {
    code: Option<i32>,
    report: Value,
    /// All that it wrote.
    written: String,
}

impl Told {
    fn of(output: std::process::Output) -> Self {
        let written = String::from_utf8_lossy(&[output.stdout.clone(), output.stderr].concat()).into_owned();
        let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {written}"));
        Self { code: output.status.code(), report, written }
    }

    /// The findings about `check`: each is its state, and what was seen and what to do.
    fn findings(&self, check: &str) -> Vec<(&str, String)> {
        let checks = self.report["checks"].as_array().unwrap();
        let found = checks.iter().filter(|one| one["name"] == check);
        let said =
            |one: &Value| format!("{} -> {}", one["detail"].as_str().unwrap(), one["advice"].as_str().unwrap_or(""));
        found.map(|one| (one["state"].as_str().unwrap(), said(one))).collect()
    }

    /// Asserts that a finding about `check` has this state and all of `words`.
    #[track_caller]
    fn says(&self, check: &str, state: &str, words: &[&str]) -> &Self {
        let fits = |(is, said): &(&str, String)| *is == state && words.iter().all(|word| said.contains(word));
        assert!(self.findings(check).iter().any(fits), "{check}: {state} with {words:?} is not in {}", self.written);
        self
    }

    /// Asserts that calls can be made.
    #[track_caller]
    fn is_well(&self) -> &Self {
        assert_eq!((self.code, &self.report["ok"]), (Some(0), &json!(true)), "{}", self.written);
        self
    }

    /// Asserts that they cannot, and that whatever is wrong comes with advice.
    #[track_caller]
    fn is_ill(&self) -> &Self {
        assert_eq!((self.code, &self.report["ok"]), (Some(1), &json!(false)), "{}", self.written);
        let checks = self.report["checks"].as_array().unwrap();
        let mut wrong = checks.iter().filter(|one| one["state"] == "wrong");
        assert!(wrong.all(|one| one["advice"].as_str().is_some_and(|advice| !advice.is_empty())), "{}", self.written);
        self
    }

    #[track_caller]
    fn hides(&self, secret: &str) -> &Self {
        assert!(!self.written.contains(secret), "{secret} is in {}", self.written);
        self
    }
}

/// The doctor's report about `url`, with a silence that is long enough for what is not about silence.
async fn doctor(url: &str, more: &[&str]) -> Told {
    Told::of(run(&[&["doctor", url, "--json", "--idle", "0"], more].concat()).await)
}

/// The same with its silence of 15 seconds.
async fn patient_doctor(url: &str, more: &[&str]) -> Told {
    Told::of(run(&[&["doctor", url, "--json"], more].concat()).await)
}

fn url(relay: &TestRelay) -> String {
    format!("http://{}/", relay.address())
}

#[tokio::test]
async fn a_relay_that_is_well_is_told_so_in_lines_and_pings_in_time() {
    let relay = TestRelay::start().await;
    let output = run(&["doctor", &url(&relay)]).await;
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0), "{said}");
    assert!(said.starts_with(&format!("{}\n\nok       address ", url(&relay))), "{said}");
    let silence = said.lines().find(|line| line.starts_with("ok       silence      the connection outlives"));
    assert!(silence.is_some_and(|line| line.ends_with("and the relay pings")), "{said}");
    assert!(said.contains("note     turn  ") && said.ends_with("\n\nCalls can be made.\n"), "{said}");
    assert!(!said.contains('\u{1b}'), "colours are for terminals");
}

#[tokio::test]
async fn a_socket_may_be_named_as_well_as_a_page() {
    let relay = TestRelay::start().await;
    for path in ["", "/", "/ws"] {
        let told = doctor(&format!("ws://{}{path}", relay.address()), &[]).await;
        told.is_well().says("messages", "ok", &[]);
    }
}

#[tokio::test]
async fn a_url_that_cannot_be_used_is_one_line_without_its_token() {
    for url in ["relay.example#token=x.y.z", "ftp://relay.example/#token=x.y.z"] {
        let output = run(&["doctor", url]).await;
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), output.stdout.len(), said.lines().count()), (Some(2), 0, 1), "{said}");
        assert!(said.contains("such as https://relay.example/") && !said.contains("x.y.z"), "{said}");
    }
    let output = run(&["doctor", "--ca", "no-such-file"]).await;
    assert!(output.status.code() == Some(2) && String::from_utf8_lossy(&output.stderr).contains("--ca"));
}

#[tokio::test]
async fn where_nothing_listens_or_nothing_is_known_the_first_step_is_wrong() {
    let told = doctor(&format!("http://127.0.0.1:{}/", free_port()), &[]).await;
    told.is_ill().says("port", "wrong", &["refused", "start the relay"]).says("join", "skipped", &["because of port"]);
    let told = doctor("http://no-such-host.invalid/", &[]).await;
    told.is_ill().says("address", "wrong", &["no-such-host.invalid", "spelling"]);
}

/// A relay with `--lan`, and the file with its authority.
async fn lan() -> (Process, tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let relay = Process::start(&["--lan", "--listen", "127.0.0.1:0", "--lan-dir", text(folder.path())]).await;
    let authority = text(&folder.path().join("authority.pem")).to_owned();
    (relay, folder, authority)
}

#[tokio::test]
async fn a_lan_that_this_machine_does_not_trust_yet_is_explained_and_with_its_authority_it_is_well() {
    let (relay, _folder, authority) = lan().await;
    let url = format!("https://127.0.0.1:{}/", relay.port());
    let told = doctor(&url, &[]).await;
    let trust = format!("http://127.0.0.1:{}/trust", relay.port());
    told.is_ill().says("certificate", "wrong", &[&trust, "--ca"]).says("page", "ok", &["200"]);
    told.says("upgrade", "skipped", &["certificate"]);
    doctor(&url, &["--ca", &authority]).await.is_well().says("certificate", "ok", &["127.0.0.1"]);
    // Who forgets the s is redirected, as a browser is.
    let told = doctor(&url.replace("https", "http"), &["--ca", &authority]).await;
    told.is_well().says("page", "ok", &["redirects to https://"]);
    assert_eq!(told.report["url"], url);
}

#[tokio::test]
async fn the_addresses_for_other_devices_are_tried_where_the_relay_tells_them() {
    if tool("id", &["-u"], "").1.trim() != "0" {
        eprintln!("skipped: only root makes network namespaces");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let machine = Machine::new("192.168.78.1/24");
    let program = binary().get_program().to_owned();
    let inside = |arguments: &[&str]| {
        let mut command = std::process::Command::new("ip");
        command.args(["netns", "exec", &machine.0]).arg(&program).args(arguments);
        crate::harness::process::without_settings(command)
    };
    let _relay = Process::of(inside(&["--lan", "--lan-dir", text(folder.path())])).await;
    let authority = folder.path().join("authority.pem");
    let ask = inside(&["doctor", "https://localhost:8080/", "--json", "--idle", "0", "--ca", text(&authority)]);
    let told = Told::of(soon("the doctor", tokio::process::Command::from(ask).output()).await.unwrap());
    told.is_well().says("lan", "ok", &["https://192.168.78.1:8080/ answers"]);
    // A relay without TLS is no relay for other devices.
    let _plain = Process::of(inside(&["--listen", "*:8081"])).await;
    let ask = inside(&["doctor", "http://localhost:8081/", "--json", "--idle", "0"]);
    let told = Told::of(soon("the doctor", tokio::process::Command::from(ask).output()).await.unwrap());
    told.is_well().says("lan", "note", &["http://192.168.78.1:8081/", "camera", "--lan"]);
    let ask = inside(&["doctor", "http://192.168.78.1:8081/", "--json", "--idle", "0"]);
    let told = Told::of(soon("the doctor", tokio::process::Command::from(ask).output()).await.unwrap());
    told.is_ill().says("page", "wrong", &["camera", "TLS"]);
}

/// The URL of a server that shows these certificates.
async fn shows(certificates: &str, key: &str) -> String {
    let acceptor = acceptor(certificates, key);
    let address = serve(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            if let Ok(mut stream) = acceptor.accept(stream).await {
                head(&mut stream).await;
                write(&mut stream, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").await;
            }
        }
    });
    format!("https://localhost:{}/", address.await.port())
}

#[tokio::test]
async fn a_certificate_that_browsers_refuse_is_told_with_its_dates_and_its_names() {
    let pki = Pki::new();
    let authority = pki.authority_file();
    let of_pki = ["--ca", text(&authority)];
    let (cert, key) = pki.issue(1, (2020, 2021));
    doctor(&shows(&cert, &key).await, &of_pki).await.is_ill().says(
        "certificate",
        "wrong",
        &["expired", "2021", "renew"],
    );
    let (cert, key) = pki.issue(1, (2110, 2120));
    doctor(&shows(&cert, &key).await, &of_pki).await.is_ill().says(
        "certificate",
        "wrong",
        &["not valid before", "2110"],
    );
    let soon = SystemTime::now() + Duration::from_secs(24 * 60 * 60);
    let (cert, key) = pki.sign(1, SystemTime::UNIX_EPOCH, soon);
    doctor(&shows(&cert, &key).await, &of_pki).await.says("certificate", "note", &["renew"]);
    let (cert, key) = Pki::new().issue(1, (2020, 2120));
    doctor(&shows(&cert, &key).await, &of_pki).await.is_ill().says(
        "certificate",
        "wrong",
        &["another authority", "same name", "--ca"],
    );
    let other = Pki::for_name("relay.example");
    let (cert, key) = other.issue(1, (2020, 2120));
    let told = doctor(&shows(&cert, &key).await, &["--ca", text(&other.authority_file())]).await;
    told.is_ill().says("certificate", "wrong", &["relay.example, 127.0.0.1", "not for localhost"]);
}

#[tokio::test]
async fn a_chain_without_its_middle_is_told_apart_from_an_authority_that_nobody_knows() {
    let authority = |name: &str| {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        params
    };
    let root = CertifiedIssuer::self_signed(authority("root"), KeyPair::generate().unwrap()).unwrap();
    let middle = CertifiedIssuer::signed_by(authority("middle"), KeyPair::generate().unwrap(), &root).unwrap();
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    // AuthorityInfoAccess (RFC 5280 section 4.2.2.1): the certificate of the issuer is at http://a.
    let url = b"http://a";
    let issuers = [&[0x06, 8, 0x2b, 6, 1, 5, 5, 7, 0x30, 2, 0x86, url.len() as u8][..], url].concat();
    let access = [&[0x30, issuers.len() as u8 + 2, 0x30, issuers.len() as u8][..], &issuers].concat();
    params.custom_extensions.push(CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 1], access));
    let key = KeyPair::generate().unwrap();
    let own = params.signed_by(&key, &middle).unwrap().pem();
    let folder = tempfile::tempdir().unwrap();
    let file = file(folder.path(), "root.pem", root.pem());
    let told = doctor(&shows(&own, &key.serialize_pem()).await, &["--ca", text(&file)]).await;
    told.is_ill().says("certificate", "wrong", &["not complete", "CN=middle", "fullchain"]);
    let whole = doctor(&shows(&(own + &middle.pem()), &key.serialize_pem()).await, &["--ca", text(&file)]).await;
    whole.says("certificate", "ok", &["localhost", "CN=middle"]);
}

#[tokio::test]
async fn plain_http_on_the_port_of_tls_and_the_reverse_are_told() {
    let relay = TestRelay::start().await;
    let told = doctor(&format!("https://{}/", relay.address()), &[]).await;
    told.is_ill().says("tls", "wrong", &["plain HTTP", &format!("open {}", url(&relay))]);
    let pki = Pki::new();
    let nginx = Nginx::start(&pki, relay.address(), &[]).await;
    let told = doctor(&format!("http://localhost:{}/", nginx.address.port()), &[]).await;
    told.is_ill().says("page", "wrong", &["speaks TLS", "open https://localhost"]);
    // A server that says nothing about it.
    let (cert, key) = pki.issue(1, (2020, 2120));
    let told = doctor(&shows(&cert, &key).await.replace("https", "http"), &[]).await;
    told.is_ill().says("page", "wrong", &["speaks TLS"]);
}

/// What the doctor says about a relay behind nginx with its configuration changed.
async fn behind_nginx(changes: &[(&str, &str)], idle: &str, more: &[&str]) -> Told {
    let pki = Pki::new();
    let relay = TestRelay::start().await;
    let nginx = Nginx::start(&pki, relay.address(), changes).await;
    let (url, authority) = (format!("https://localhost:{}/", nginx.address.port()), pki.authority_file());
    Told::of(run(&[&["doctor", &url, "--json", "--idle", idle, "--ca", text(&authority)], more].concat()).await)
}

#[tokio::test]
async fn behind_nginx_a_relay_is_well() {
    behind_nginx(&[], "0", &[]).await.is_well().says("upgrade", "ok", &[]).says("tls", "ok", &["TLS 1.3"]);
}

#[tokio::test]
async fn an_origin_that_may_not_come_is_named_with_what_the_relay_says() {
    let forgets = [
        ("proxy_set_header Host $http_host;", ""),
        ("proxy_set_header X-Forwarded-Host $http_host;", ""),
        ("proxy_set_header X-Forwarded-Proto $scheme;", ""),
    ];
    let told = behind_nginx(&forgets, "0", &["--origin", "https://relay.example"]).await;
    told.is_ill().says(
        "origin",
        "wrong",
        &["https://relay.example", "--allow-origin https://relay.example", "--trusted-proxy"],
    );
    told.says("upgrade", "skipped", &["because of origin"]);
}

#[tokio::test]
async fn a_proxy_that_forgets_the_upgrade_shows_its_page_and_no_socket() {
    let forgets =
        [("proxy_set_header Upgrade $http_upgrade;", ""), ("proxy_set_header Connection $connection_upgrade;", "")];
    let told = behind_nginx(&forgets, "0", &[]).await;
    told.is_ill().says("page", "ok", &["200"]).says(
        "upgrade",
        "wrong",
        &["instead of a WebSocket", "proxy_set_header Upgrade"],
    );
}

#[tokio::test]
async fn a_proxy_that_cuts_what_is_silent_is_found() {
    let told = behind_nginx(&[("proxy_read_timeout 60s;", "proxy_read_timeout 5s;")], "15", &[]).await;
    told.is_ill().says("silence", "wrong", &["s of silence", "proxy_read_timeout"]).says("messages", "ok", &[]);
}

#[tokio::test]
async fn a_proxy_without_a_relay_is_told_apart_from_a_relay() {
    let pki = Pki::new();
    let nginx = Nginx::start(&pki, format!("127.0.0.1:{}", free_port()), &[]).await;
    let (url, authority) = (format!("https://localhost:{}/", nginx.address.port()), pki.authority_file());
    let told = doctor(&url, &["--ca", text(&authority)]).await;
    told.is_ill().says("page", "wrong", &["502", "does not reach a relay"]);
}

#[tokio::test]
async fn a_path_without_a_relay_is_told() {
    let relay = TestRelay::start().await;
    let told = doctor(&format!("{}call/", url(&relay)), &[]).await;
    told.is_ill().says("page", "wrong", &["404", "path"]).says("upgrade", "wrong", &["404"]);
}

#[tokio::test]
async fn a_token_is_asked_for_shown_and_never_printed() {
    let folder = tempfile::tempdir().unwrap();
    let secret = secret_file(folder.path(), "secret", SECRET);
    let relay = TestRelay::start_with(Config { token_secret_file: vec![secret], ..Config::default() }).await;
    doctor(&url(&relay), &[]).await.is_ill().says("join", "wrong", &["needs a token", "--token-file"]);
    let good = hs256(SECRET, &claims(json!({})));
    let token = file(folder.path(), "token", format!("{good}\n"));
    let told = doctor(&url(&relay), &["--token-file", text(&token)]).await;
    told.is_well().hides(&good).says("join", "ok", &["the room that the token names"]).says("messages", "ok", &[]);
    // An invite link has both.
    let told = doctor(&format!("{}?room=r#token={good}", url(&relay)), &[]).await;
    told.is_well().hides(&good).hides(SECRET);
    assert_eq!(told.report["url"], url(&relay));
    let prefix = hs256(SECRET, &claims(json!({"room": "team-*"})));
    doctor(&format!("{}#token={prefix}", url(&relay)), &[]).await.is_well().says("join", "ok", &["a room of its own"]);
    let old = hs256(SECRET, &claims(json!({"exp": now() - 120})));
    let told = doctor(&format!("{}?room=r#token={old}", url(&relay)), &[]).await;
    told.is_ill().hides(&old).says("join", "wrong", &["the token has expired", "get a new token"]);
    // Nobody is there twice.
    let personal = hs256(SECRET, &claims(json!({"sub": "ana"})));
    let told = doctor(&format!("{}?room=r#token={personal}", url(&relay)), &[]).await;
    told.is_well().says("messages", "note", &["one person's"]).says("silence", "ok", &[]);
}

#[tokio::test]
async fn why_the_relay_lets_nobody_in_is_told_in_its_words() {
    let refuses = |denial: fn() -> Denial| async move {
        let authorizer = move |_: JoinRequest| async move { Err::<Grant, _>(denial()) };
        let relay = TestRelay::start_as(Config::default(), |builder| builder.authorizer(authorizer)).await;
        doctor(&url(&relay), &[]).await
    };
    let told = refuses(|| Denial::Unauthorized("only members of the club".into())).await;
    told.is_ill().says("join", "wrong", &["only members of the club"]);
    let told = refuses(|| Denial::Unavailable("the club is closed".into())).await;
    told.is_ill().says("join", "wrong", &["the club is closed", "--auth-url"]);
    let relay = TestRelay::start_with(Config { room_capacity: 1, ..Config::default() }).await;
    doctor(&url(&relay), &[]).await.is_ill().says("join", "wrong", &["second member", "room_full"]);
}

#[tokio::test]
async fn a_name_and_a_password_go_to_the_proxy_that_asks_for_them_and_are_not_printed() {
    let address = serve(|mut stream| async move {
        let head = head(&mut stream).await;
        // `ana:open sesame` in base64.
        let status = if head.contains("Basic YW5hOm9wZW4gc2VzYW1l\r\n") { "404 Not Found" } else { "401 Unauthorized" };
        write(&mut stream, &format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n")).await;
    })
    .await;
    doctor(&format!("http://{address}/"), &[]).await.is_ill().says("page", "wrong", &["401", "password"]);
    let told = doctor(&format!("http://ana:open%20sesame@{address}/"), &[]).await;
    told.is_ill().says("page", "wrong", &["404"]).hides("sesame");
}

#[tokio::test]
async fn a_server_that_says_nothing_ends_the_doctor_in_time() {
    let address = serve(silence).await;
    doctor(&format!("http://{address}/"), &[]).await.is_ill().says("page", "wrong", &["did not answer"]);
    doctor(&format!("https://{address}/"), &[]).await.is_ill().says("tls", "wrong", &["did not answer"]);
}

#[tokio::test]
async fn a_server_that_shows_a_page_and_says_nothing_after_that_ends_the_doctor_in_time() {
    let address = serve(|mut stream| async move {
        let head = head(&mut stream).await;
        if head.starts_with("GET / ") {
            // Its body never comes to its end.
            write(&mut stream, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n<!doc").await;
        }
        silence(stream).await;
    })
    .await;
    let told = patient_doctor(&format!("http://{address}/"), &[]).await;
    told.is_ill().says("page", "ok", &["200"]).says("upgrade", "wrong", &["not answered"]);
}

#[tokio::test]
async fn clocks_that_disagree_are_worth_a_word() {
    for (date, words) in [("Thu, 01 Jan 2026 00:00:00 GMT", "behind"), ("Fri, 01 Jan 2100 00:00:00 GMT", "ahead of")] {
        let address = serve(move |mut stream| async move {
            head(&mut stream).await;
            write(&mut stream, &format!("HTTP/1.1 200 OK\r\nDate: {date}\r\nContent-Length: 0\r\n\r\n")).await;
        })
        .await;
        doctor(&format!("http://{address}/"), &[]).await.says("clock", "note", &[words, "time server"]);
    }
}

#[tokio::test]
async fn members_who_do_not_hear_each_other_are_found() {
    let address = serve_fake(Fake { passes_on: false }).await;
    let told = doctor(&format!("http://{address}/"), &[]).await;
    told.is_ill().says("messages", "wrong", &["did not hear", "proxy_buffering"]).says("join", "ok", &[]);
}

#[tokio::test]
async fn a_relay_whose_pings_do_not_arrive_is_found() {
    let address = serve_fake(Fake { passes_on: true }).await;
    let told = patient_doctor(&format!("http://{address}/"), &[]).await;
    told.is_ill().says("silence", "wrong", &["no ping came for"]).says("messages", "ok", &[]);
}

/// The TURN secret of the relay in these tests.
const TURN_SECRET: &str = "a-secret-of-coturn-and-the-relay";

/// What the doctor says about a relay that names a STUN and a TURN server at these ports.
async fn with_servers(stun: u16, turn: &[String], more: &[&str]) -> Told {
    let folder = tempfile::tempdir().unwrap();
    let relay = TestRelay::start_with(Config {
        stun: vec![format!("stun:127.0.0.1:{stun}").parse().unwrap()],
        turn: turn.iter().map(|url| url.parse().unwrap()).collect(),
        turn_secret_file: turn.iter().take(1).map(|_| secret_file(folder.path(), "secret", TURN_SECRET)).collect(),
        ..Config::default()
    })
    .await;
    let told = doctor(&url(&relay), more).await;
    // The user name of each client ends in its id.
    told.hides(":r-");
    told.hides(TURN_SECRET);
    told
}

#[tokio::test]
async fn coturn_with_the_secret_of_the_relay_answers_and_lets_a_client_in() {
    let folder = tempfile::tempdir().unwrap();
    let coturn = Coturn::start(folder.path(), TURN_SECRET, "").await;
    let [udp, tcp] = ["udp", "tcp"].map(|by| format!("turn:127.0.0.1:{}?transport={by}", coturn.port));
    let told = with_servers(coturn.port, &[udp.clone(), tcp.clone()], &[]).await;
    told.is_well().says("stun", "ok", &["as 127.0.0.1"]);
    for url in [udp, tcp] {
        told.says("turn", "note", &[&url, "lets a client in", "127.0.0.1", "external-ip"]);
    }
}

#[tokio::test]
async fn coturn_with_another_secret_refuses_and_the_advice_names_the_secret() {
    let folder = tempfile::tempdir().unwrap();
    let coturn = Coturn::start(folder.path(), "another-secret-than-that-of-the-relay", "").await;
    for by in ["udp", "tcp"] {
        let told = with_servers(coturn.port, &[format!("turn:127.0.0.1:{}?transport={by}", coturn.port)], &[]).await;
        told.is_ill().says("stun", "ok", &[]).says("turn", "wrong", &["401", "--turn-secret-file", "clocks"]);
    }
}

#[tokio::test]
async fn a_turn_server_with_tls_is_asked_as_browsers_do_who_check_its_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let coturn = Coturn::start(folder.path(), TURN_SECRET, "").await;
    let (pki, port) = (Pki::new(), coturn.port);
    let (cert, key) = pki.issue(1, (2020, 2120));
    let acceptor = acceptor(&cert, &key);
    let address = serve(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            if let Ok(mut stream) = acceptor.accept(stream).await {
                let mut turn = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut turn).await;
            }
        }
    })
    .await;
    let url = [format!("turns:localhost:{}?transport=tcp", address.port())];
    let authority = pki.authority_file();
    let told = with_servers(coturn.port, &url, &["--ca", text(&authority)]).await;
    told.is_well().says("turn", "note", &[&url[0], "lets a client in"]);
    with_servers(coturn.port, &url, &[]).await.is_ill().says("turn", "wrong", &["no TLS", "certificate"]);
}

#[tokio::test]
async fn a_stun_and_a_turn_server_that_are_not_there_are_told() {
    let [one, other] = [free_port(), free_port()];
    let told =
        with_servers(one, &[format!("turn:127.0.0.1:{other}"), format!("turn:127.0.0.1:{other}?transport=tcp")], &[])
            .await;
    told.is_ill().says("stun", "wrong", &["nothing listens"]).says(
        "turn",
        "wrong",
        &["transport=tcp", "nothing listens"],
    );
    // One that hears, and says nothing.
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let told = with_servers(silent.local_addr().unwrap().port(), &[], &[]).await;
    told.is_ill().says("stun", "wrong", &["no answer by UDP", "firewall"]).says("turn", "note", &["no TURN server"]);
}

/// Servers that are no relays.
mod other {
    use std::net::SocketAddr;

    use futures_util::{SinkExt, StreamExt};
    use serde_json::{Value, json};
    use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
    use tokio::sync::broadcast;
    use tokio_tungstenite::WebSocketStream;
    use tokio_tungstenite::tungstenite::Message;
    use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
    use tokio_tungstenite::tungstenite::protocol::Role;

    use super::{TcpListener, TcpStream};

    /// Serves each connection by `answer`, as long as the test runs.
    pub(super) async fn serve<F>(answer: impl Fn(TcpStream) -> F + Send + 'static) -> SocketAddr
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream));
            }
        });
        address
    }

    /// The head of a request.
    pub(super) async fn head<S: AsyncRead + Unpin>(stream: &mut S) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => break,
            }
        }
        String::from_utf8_lossy(&head).into_owned()
    }

    pub(super) async fn write<S: AsyncWrite + Unpin>(stream: &mut S, text: &str) {
        // Who asked may be gone.
        let _ = stream.write_all(text.as_bytes()).await;
        let _ = stream.flush().await;
    }

    /// Reads, and says nothing.
    pub(super) async fn silence(mut stream: TcpStream) {
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    }

    /// A relay that has one room, and no pings.
    #[derive(Clone, Copy)]
    pub(super) struct Fake {
        /// Whether members hear each other.
        pub passes_on: bool,
    }

    pub(super) async fn serve_fake(fake: Fake) -> SocketAddr {
        let (room, _) = broadcast::channel::<String>(16);
        serve(move |mut stream| {
            let room = room.clone();
            async move {
                let head = head(&mut stream).await;
                let key = head.lines().find_map(|line| line.strip_prefix("Sec-Websocket-Key: "));
                let Some(key) = key else {
                    return write(&mut stream, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
                };
                let accept = derive_accept_key(key.as_bytes());
                let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept:";
                write(&mut stream, &format!("HTTP/1.1 101 Switching Protocols\r\n{upgrade} {accept}\r\n\r\n")).await;
                let socket = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
                member(socket, room, fake).await;
            }
        })
        .await
    }

    async fn member(mut socket: WebSocketStream<TcpStream>, room: broadcast::Sender<String>, fake: Fake) {
        let mut others = room.subscribe();
        let id = format!("r-{:p}", &socket);
        loop {
            let said = tokio::select! {
                said = socket.next() => said,
                heard = others.recv() => {
                    let heard = heard.unwrap();
                    let message: Value = serde_json::from_str(&heard).unwrap();
                    if fake.passes_on && message["to"] == id {
                        socket.send(Message::text(heard)).await.unwrap();
                    }
                    continue;
                }
            };
            let Some(Ok(Message::Text(said))) = said else { return };
            let message: Value = serde_json::from_str(&said).unwrap();
            if message["type"] == "join" {
                let joined = json!({"type": "joined", "id": id, "peers": [], "iceServers": []});
                socket.send(Message::text(joined.to_string())).await.unwrap();
            } else {
                room.send(said.to_string()).unwrap();
            }
        }
    }
}
