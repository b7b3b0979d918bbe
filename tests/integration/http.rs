//! What one port serves besides the sockets: the page, the relay's health, and proper refusals.

use std::io::{Read, Write};
#[cfg(unix)]
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use signaling_relay::{Config, limits};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep};

use crate::harness::{self, TestRelay, file};
#[cfg(unix)]
use crate::harness::{text, tool};

/// A request with these lines of headers, on a connection that closes after it.
fn request(line: &str, headers: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n")
}

async fn get(relay: &TestRelay, path: &str) -> String {
    relay.raw(&request(&format!("GET {path}"), "")).await
}

const UPGRADE: &str = "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// The status that this upgrade, which is meant to be refused, is answered with.
async fn status_of_upgrade(relay: &TestRelay, from: &str, to: &str) -> String {
    assert!(UPGRADE.contains(from), "{from}");
    // A second request ends the connection that the refusal leaves open.
    let text = format!("{}\r\n{}", UPGRADE.replace(from, to), request("GET /healthz", ""));
    relay.raw(&text).await[9..12].to_owned()
}

#[tokio::test]
async fn every_url_that_takes_a_socket_serves_the_page_as_well() {
    let relay = TestRelay::start().await;
    for path in ["/", "/?room=r", "/?room=%E4%BC%9A&name=x", "/ws"] {
        let response = get(&relay, path).await;
        assert!(response.starts_with("HTTP/1.1 200 OK"), "{response}");
        assert!(response.contains("content-type: text/html; charset=utf-8"), "{response}");
        assert!(response.contains("<!doctype html>"), "{response}");
    }
}

/// The files of `web/` with their paths in it, in order.
fn files_of_the_page() -> Vec<(String, Vec<u8>)> {
    let mut folders = vec![PathBuf::from("web")];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                // Windows has another separator.
                let name = path.strip_prefix("web").unwrap().to_str().unwrap().replace('\\', "/");
                files.push((name, std::fs::read(&path).unwrap()));
            }
        }
    }
    files.sort();
    files
}

#[tokio::test]
async fn every_file_of_the_page_is_served_as_it_is_with_its_type() {
    let relay = TestRelay::start().await;
    let files = files_of_the_page();
    assert!(files.len() > 3);
    for (name, content) in files {
        let response = get(&relay, &format!("/{name}")).await;
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK"), "{name}: {head}");
        assert!(body.as_bytes() == content, "{name} is not what is in the folder");
        let content_type = match name.rsplit_once('.').unwrap().1 {
            "html" => "text/html; charset=utf-8",
            "js" | "mjs" => "text/javascript; charset=utf-8",
            "css" => "text/css; charset=utf-8",
            "svg" => "image/svg+xml",
            "json" => "application/json",
            "ts" => "text/plain; charset=utf-8",
            "md" => "text/markdown; charset=utf-8",
            other => panic!("what is the type of .{other}?"),
        };
        assert!(head.contains(&format!("content-type: {content_type}\r\n")), "{name}: {head}");
    }
}

#[test]
fn all_of_the_page_is_at_most_56_kib_when_gzipped_as_one() {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    for (name, content) in files_of_the_page() {
        // The types are for people; no page loads them.
        if !name.ends_with(".d.ts") {
            encoder.write_all(&content).unwrap();
        }
    }
    let bytes = encoder.finish().unwrap().len();
    assert!(bytes <= 56 * 1024, "{bytes} bytes");
}

#[tokio::test]
async fn who_accepts_gzip_gets_the_files_gzipped() {
    let relay = TestRelay::start().await;
    let plain = get(&relay, "/page/main.js").await;
    assert!(plain.contains("vary: Accept-Encoding\r\n") && !plain.contains("content-encoding"), "{plain}");
    let tag = |head: &str| head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap().to_owned();
    for accepted in ["gzip", "br, gzip;q=0.8", "*", "GZIP, deflate"] {
        let accept = format!("Accept-Encoding: {accepted}\r\nOrigin: http://localhost:5500\r\n");
        let response = relay.bytes(request("GET /page/main.js", &accept).as_bytes()).await;
        let end = response.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        let (head, body) = (std::str::from_utf8(&response[..end]).unwrap(), &response[end + 4..]);
        assert!(head.contains("content-encoding: gzip\r\n"), "{accepted}: {head}");
        assert!(head.contains("vary: Accept-Encoding\r\n") && head.contains("vary: Origin\r\n"), "{head}");
        assert!(head.contains("content-type: text/javascript; charset=utf-8"), "{head}");
        assert_ne!(tag(head), tag(&plain), "each representation has its tag");
        let mut text = String::new();
        GzDecoder::new(body).read_to_string(&mut text).unwrap();
        assert!(plain.ends_with(&text) && text.len() > body.len(), "{accepted}");
        let again = format!("{accept}If-None-Match: {}\r\n", tag(head));
        assert!(relay.raw(&request("GET /page/main.js", &again)).await.starts_with("HTTP/1.1 304"));
    }
    for refused in ["identity", "gzip;q=0", "br, gzip; q=0.0"] {
        let response = relay.raw(&request("GET /page/main.js", &format!("Accept-Encoding: {refused}\r\n"))).await;
        assert!(!response.contains("content-encoding"), "{refused}: {response}");
    }
}

#[tokio::test]
async fn the_page_learns_whether_clients_need_a_token() {
    let relay = TestRelay::start().await;
    let told = get(&relay, "/site.json").await;
    assert!(
        told.contains("content-type: application/json\r\n") && told.contains("cache-control: no-store\r\n"),
        "{told}"
    );
    let (_, body) = told.split_once("\r\n\r\n").unwrap();
    // It listens on loopback alone, so there is no address for others.
    assert_eq!(body.trim_end(), r#"{"lan":[],"tokens":false}"#);
}

#[tokio::test]
async fn the_client_has_the_addresses_that_other_peoples_pages_know() {
    let relay = TestRelay::start().await;
    for (name, module) in [("signaling", "sdk/signaling.js"), ("peer", "sdk/peer.js")] {
        let module = std::fs::read_to_string(format!("web/{module}")).unwrap();
        // In place of its imports are the files that it imports.
        let own = module.split_inclusive('\n').filter(|line| !line.starts_with("import ")).collect::<String>();
        let whole = get(&relay, &format!("/{name}.mjs")).await;
        assert!(whole.ends_with(own.rsplit_once("\n\nexport ").unwrap().1) && !whole.contains("\nimport "), "{whole}");
        let classic = get(&relay, &format!("/{name}.js")).await;
        assert!(classic.contains("content-type: text/javascript; charset=utf-8"), "{classic}");
        assert!(!classic.contains("\nexport ") && classic.contains("Object.assign(globalThis, {"), "{classic}");
    }
    for (old, new) in [("/call.js", "sdk/call.js"), ("/main.js", "page/main.js"), ("/style.css", "page/style.css")] {
        let moved = get(&relay, old).await;
        assert!(moved.starts_with("HTTP/1.1 308") && moved.contains(&format!("location: {new}\r\n")), "{moved}");
    }
}

#[tokio::test]
async fn a_file_that_the_browser_has_is_not_sent_again() {
    let relay = TestRelay::start().await;
    let response = get(&relay, "/signaling.js").await;
    let etag = response.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap().to_owned();
    for tags in [etag.clone(), format!("\"other\", W/{etag}")] {
        let again = relay.raw(&request("GET /signaling.js", &format!("If-None-Match: {tags}\r\n"))).await;
        assert!(again.starts_with("HTTP/1.1 304 Not Modified"), "{again}");
        assert!(again.ends_with("\r\n\r\n"), "{again}");
    }
    let changed = relay.raw(&request("GET /signaling.js", "If-None-Match: \"other\"\r\n")).await;
    assert!(changed.starts_with("HTTP/1.1 200"), "{changed}");
}

#[tokio::test]
async fn the_page_runs_only_its_own_files_and_is_framed_only_by_those_who_may() {
    let relay = TestRelay::start().await;
    let response = get(&relay, "/").await;
    let policy = response.lines().find(|line| line.starts_with("content-security-policy: ")).unwrap();
    for part in [
        "default-src 'none'",
        "script-src 'self';",
        "style-src 'self';",
        "connect-src 'self' ws://localhost wss://localhost;",
        "frame-ancestors 'self'",
    ] {
        assert!(policy.contains(part), "{part} is missing from {policy}");
    }
    assert!(policy.ends_with("frame-ancestors 'self'") && !policy.contains("unsafe"), "{policy}");
    for line in [
        "x-content-type-options: nosniff",
        "x-frame-options: SAMEORIGIN",
        "referrer-policy: no-referrer",
        "permissions-policy: camera=(self)",
    ] {
        assert!(response.contains(line), "{line} is missing from {response}");
    }
    let allow_frame = vec!["https://intranet.example".parse().unwrap()];
    let relay = TestRelay::start_with(Config { allow_frame, ..Config::default() }).await;
    let response = get(&relay, "/").await;
    assert!(response.contains("frame-ancestors 'self' https://intranet.example\r\n"), "{response}");
    assert!(!response.contains("x-frame-options"), "{response}");
    let odd = relay.raw("GET / HTTP/1.1\r\nHost: x; script-src *\r\nConnection: close\r\n\r\n").await;
    assert!(!odd.contains("script-src *"), "{odd}");
}

#[tokio::test]
async fn the_client_scripts_are_shared_with_the_pages_that_may_connect() {
    let allow_origin = vec!["https://intranet.example".parse().unwrap()];
    let relay = TestRelay::start_with(Config { allow_origin, ..Config::default() }).await;
    for (origin, shared) in
        [("https://intranet.example", true), ("http://localhost:5500", true), ("https://evil.example", false)]
    {
        let response = relay.raw(&request("GET /signaling.mjs", &format!("Origin: {origin}\r\n"))).await;
        assert!(response.starts_with("HTTP/1.1 200"), "{response}");
        assert_eq!(response.contains(&format!("access-control-allow-origin: {origin}\r\n")), shared, "{response}");
    }
}

#[tokio::test]
async fn a_folder_is_served_in_place_of_the_embedded_page() {
    let folder = folder_with_page();
    let relay = TestRelay::start_with(serving(folder.path())).await;
    assert!(get(&relay, "/").await.ends_with("mine"));
    file(folder.path(), "index.html", "changed");
    assert!(get(&relay, "/").await.ends_with("changed"), "without a restart");
    assert!(get(&relay, "/signaling.js").await.starts_with("HTTP/1.1 404"));
}

/// A folder with a page.
fn folder_with_page() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    file(folder.path(), "index.html", "mine");
    folder
}

fn serving(folder: &Path) -> Config {
    Config { web: Some(PathBuf::from(folder)), ..Config::default() }
}

#[cfg(unix)]
#[tokio::test]
async fn a_symlink_is_followed_within_the_folder_and_not_out_of_it() {
    let parent = tempfile::tempdir().unwrap();
    file(parent.path(), "secret", "secret");
    let folder = parent.path().join("web");
    std::fs::create_dir_all(folder.join("sub")).unwrap();
    file(&folder, "index.html", "mine");
    for (target, link) in [
        ("index.html", "same.html"),
        ("../index.html", "sub/up.html"),
        ("sub", "folder"),
        ("/proc/self/environ", "environ"),
        ("../secret", "outside"),
        ("../../secret", "sub/outside"),
        ("..", "parent"),
        ("/", "root"),
        ("sub/outside", "twice"),
        ("loop", "loop"),
        ("nowhere", "dangling"),
    ] {
        symlink(target, folder.join(link)).unwrap();
    }
    symlink(parent.path().join("secret"), folder.join("absolute")).unwrap();
    let relay = TestRelay::start_with(serving(&folder)).await;
    for path in ["/same.html", "/sub/up.html", "/folder/up.html"] {
        let response = get(&relay, path).await;
        assert!(response.starts_with("HTTP/1.1 200") && response.ends_with("mine"), "{path}: {response}");
    }
    for path in [
        "/environ",
        "/outside",
        "/sub/outside",
        "/folder/outside",
        "/parent/secret",
        "/root/proc/self/environ",
        "/twice",
        "/loop",
        "/dangling",
        "/absolute",
    ] {
        let response = get(&relay, path).await;
        assert!(response.starts_with("HTTP/1.1 404"), "{path}: {response}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_folder_may_itself_be_reached_by_a_symlink_and_be_replaced() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("build");
    std::fs::create_dir(&folder).unwrap();
    file(&folder, "index.html", "mine");
    symlink("build", parent.path().join("web")).unwrap();
    let relay = TestRelay::start_with(serving(&parent.path().join("web"))).await;
    assert!(get(&relay, "/").await.ends_with("mine"));
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(get(&relay, "/").await.starts_with("HTTP/1.1 404"));
    std::fs::create_dir(&folder).unwrap();
    file(&folder, "index.html", "rebuilt");
    assert!(get(&relay, "/").await.ends_with("rebuilt"));
}

#[cfg(unix)]
#[tokio::test]
async fn what_is_no_regular_file_is_not_found_at_once() {
    let folder = folder_with_page();
    std::fs::create_dir(folder.path().join("folder")).unwrap();
    let (fifo, socket) = (folder.path().join("fifo"), folder.path().join("socket"));
    let (made, said) = tool("mkfifo", &[text(&fifo)], "");
    assert!(made, "{said}");
    let _listener = std::os::unix::net::UnixListener::bind(socket).unwrap();
    let relay = TestRelay::start_with(serving(folder.path())).await;
    // Nobody ever writes into the FIFO.
    for path in ["/fifo", "/folder", "/socket"] {
        let response = get(&relay, path).await;
        assert!(response.starts_with("HTTP/1.1 404"), "{path}: {response}");
    }
    let both = std::fs::File::options().read(true).write(true).open(&fifo).unwrap();
    assert!((&both).write(b"written").is_ok());
    assert!(get(&relay, "/fifo").await.starts_with("HTTP/1.1 404"), "not even with a writer");
}

#[tokio::test]
async fn a_file_of_the_folder_is_answered_like_an_embedded_one() {
    let folder = folder_with_page();
    let content: String = (0..40_000).map(|number| format!("{number}\n")).collect();
    file(folder.path(), "large.txt", &content);
    file(folder.path(), "empty.txt", "");
    let relay = TestRelay::start_with(serving(folder.path())).await;
    let (head, body) = get(&relay, "/large.txt").await.split_once("\r\n\r\n").map(owned).unwrap();
    assert!(body == content, "{} bytes are not the file's", body.len());
    for line in ["content-type: text/plain; charset=utf-8", &format!("content-length: {}", content.len())] {
        assert!(head.contains(line), "{line} is missing from {head}");
    }
    let (head_of_head, body) =
        relay.raw(&request("HEAD /large.txt", "")).await.split_once("\r\n\r\n").map(owned).unwrap();
    let undated = |head: &str| head.lines().filter(|line| !line.starts_with("date: ")).collect::<String>();
    assert_eq!((undated(&head_of_head), body.as_str()), (undated(&head), ""));
    let empty = get(&relay, "/empty.txt").await;
    assert!(empty.contains("content-length: 0\r\n") && empty.ends_with("\r\n\r\n"), "{empty}");
}

fn owned((head, body): (&str, &str)) -> (String, String) {
    (head.to_owned(), body.to_owned())
}

#[tokio::test]
async fn a_file_that_shrinks_while_it_is_sent_ends_the_connection() {
    let folder = folder_with_page();
    let large = file(folder.path(), "large", vec![b'x'; 8 * 1024 * 1024]);
    let relay = TestRelay::in_memory(serving(folder.path()));
    let mut stream = relay.connect().await;
    stream.write_all(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    stream.read_exact(&mut [0; 1024]).await.unwrap();
    std::fs::File::options().write(true).open(large).unwrap().set_len(1024 * 1024).unwrap();
    let mut rest = Vec::new();
    harness::soon("the end", stream.read_to_end(&mut rest)).await.unwrap();
    assert!(rest.len() < 2 * 1024 * 1024, "{} bytes more", rest.len());
}

/// How long a client that reads `bytes` each second gets a file of 1 MiB, and how much of the response it gets.
async fn read_slowly(bytes: usize) -> (Duration, usize) {
    let folder = folder_with_page();
    file(folder.path(), "large", vec![b'x'; MEBIBYTE]);
    let relay = TestRelay::in_memory(serving(folder.path()));
    let mut stream = relay.connect().await;
    let start = Instant::now();
    stream.write_all(request("GET /large", "").as_bytes()).await.unwrap();
    let mut response = Vec::new();
    while (&mut stream).take(bytes as u64).read_to_end(&mut response).await.unwrap() == bytes {
        sleep(Duration::from_secs(1)).await;
    }
    (start.elapsed(), response.len())
}

const MEBIBYTE: usize = 1024 * 1024;

#[tokio::test(start_paused = true)]
async fn a_large_file_may_take_longer_than_the_deadline_while_its_client_reads() {
    let (elapsed, bytes) = read_slowly(5 * 1024).await;
    assert!(bytes > MEBIBYTE, "{bytes} bytes");
    assert!(elapsed > 3 * limits::PAGE_DEADLINE, "{elapsed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_too_slowly_does_not_get_all_of_a_file() {
    let (elapsed, bytes) = read_slowly(3 * 1024).await;
    assert!(bytes < 300 * 1024, "{bytes} bytes");
    // What was in the pipe already is read too.
    let end = limits::PAGE_DEADLINE + limits::WRITE_DEADLINE;
    assert!(elapsed >= end && elapsed < end + Duration::from_secs(3), "{elapsed:?}");
}

/// Ways to ask for what is not served: outside the folder, or a file of the page by another name.
const ODD_PATHS: [&str; 64] = [
    "/nothing",
    "/index.html/",
    "/index.html%00",
    "/index.html%00.js",
    "/index.html.",
    "/index.html~",
    "/index.html::$DATA",
    "/INDEX.HTML",
    "/index%2ehtml",
    "/./index.html",
    "/x/../index.html",
    "/%2f/index.html",
    "///etc/passwd",
    "/index.html/",
    "/wss",
    "/wss/",
    "/healthz/x",
    "/ws/index.html",
    "/Healthz",
    "/.gitignore",
    "/.git/config",
    "/src/main.rs",
    "/web/index.html",
    "/Cargo.toml",
    "/certs/authority.key",
    "/../Cargo.toml",
    "/../../../../../../etc/passwd",
    "/..;/etc/passwd",
    "/....//....//etc/passwd",
    "/..\\..\\etc\\passwd",
    "/..%5c..%5cetc%5cpasswd",
    "/%2e%2e/Cargo.toml",
    "/%2e%2e%2fCargo.toml",
    "/..%2f..%2fetc%2fpasswd",
    "/.%2e/.%2e/etc/passwd",
    "/%252e%252e/Cargo.toml",
    "/%c0%ae%c0%ae/Cargo.toml",
    "/%uff0e%uff0e/Cargo.toml",
    "/proc/self/environ",
    "/C:/Windows/win.ini",
    "/~root",
    "/index.html...",
    "/index.html%20",
    "/index.html:$DATA",
    "/Index.html",
    "/index.HTML",
    "/INDEX~1.HTM",
    "/PROGRA~1/index.html",
    "/..%5cCargo.toml",
    "/..\\Cargo.toml",
    "/.\\index.html",
    "/C:index.html",
    "/C:%5cWindows%5cwin.ini",
    "/%5c%5c?%5cC:%5cWindows%5cwin.ini",
    "/%5c%5clocalhost%5cc$%5cWindows%5cwin.ini",
    "/CON",
    "/NUL",
    "/nul.txt",
    "/aux.html",
    "/COM1",
    "/com1.js",
    "/LPT1.txt",
    "/PRN",
    "/CONIN$",
];

#[tokio::test]
async fn what_is_outside_the_page_is_not_found_by_any_of_sixty_odd_paths() {
    let outside = tempfile::tempdir().unwrap();
    let folder = outside.path().join("page");
    std::fs::create_dir(&folder).unwrap();
    file(&folder, "index.html", "mine");
    file(outside.path(), "Cargo.toml", "outside");
    for relay in [TestRelay::start().await, TestRelay::start_with(serving(&folder)).await] {
        for path in ODD_PATHS {
            let response = get(&relay, path).await;
            assert!(response.starts_with("HTTP/1.1 404"), "{path}: {response}");
        }
    }
}

#[tokio::test]
async fn other_methods_are_not_allowed() {
    let relay = TestRelay::start().await;
    for method in ["POST", "PUT", "DELETE", "PATCH", "BREW"] {
        let response = relay.raw(&request(&format!("{method} /"), "")).await;
        assert!(response.starts_with("HTTP/1.1 405"), "{method}: {response}");
        assert!(response.contains("allow: GET, HEAD"), "{response}");
    }
}

#[tokio::test]
async fn options_says_what_is_allowed_and_lets_no_page_in() {
    let relay = TestRelay::start().await;
    for line in ["OPTIONS / HTTP/1.0", "OPTIONS /healthz HTTP/1.1", "OPTIONS /nothing HTTP/1.1", "OPTIONS * HTTP/1.1"] {
        let preflight = "Origin: http://localhost\r\nAccess-Control-Request-Method: GET";
        let response =
            relay.raw(&format!("{line}\r\nHost: localhost\r\nConnection: close\r\n{preflight}\r\n\r\n")).await;
        assert!(response.contains(" 204 No Content\r\n") && response.ends_with("\r\n\r\n"), "{line}: {response}");
        assert!(response.contains("allow: GET, HEAD, OPTIONS\r\n"), "{line}: {response}");
        assert!(!response.contains("access-control"), "{line}: {response}");
    }
}

#[tokio::test]
async fn slashes_that_a_proxy_adds_make_no_difference() {
    let relay = TestRelay::start().await;
    for path in ["//", "//index.html", "//ws", "/ws/", "///ws//?room=r"] {
        let response = get(&relay, path).await;
        assert!(response.contains("<!doctype html>"), "{path}: {response}");
    }
    for path in ["/healthz/", "//healthz"] {
        assert!(get(&relay, path).await.ends_with("\r\n\r\nok\n"), "{path}");
    }
    for path in ["//ws", "/ws/", "//ws//"] {
        relay.dial(path).await.join("r").await;
    }
    assert_eq!(relay.dial("//?room=s").await.expect_joined().await["room"], "s");
}

#[tokio::test]
async fn head_is_answered_like_get_without_the_content() {
    let relay = TestRelay::start().await;
    let response = relay.raw(&request("HEAD /", "")).await;
    assert!(response.starts_with("HTTP/1.1 200") && response.ends_with("\r\n\r\n"), "{response}");
    assert!(response.contains("content-length: "), "{response}");
}

#[tokio::test]
async fn health_is_one_word() {
    let relay = TestRelay::start().await;
    let response = get(&relay, "/healthz").await;
    assert!(response.starts_with("HTTP/1.1 200") && response.ends_with("\r\n\r\nok\n"), "{response}");
}

#[tokio::test]
async fn an_upgrade_that_rfc_6455_forbids_gets_its_proper_status() {
    let relay = TestRelay::start().await;
    for (from, to, status) in [
        ("Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 8", "426"),
        ("Sec-WebSocket-Version: 13\r\n", "", "426"),
        ("Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 8", "400"),
        ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "", "400"),
        ("dGhlIHNhbXBsZSBub25jZQ==", "c2hvcnQ=", "400"),
        ("dGhlIHNhbXBsZSBub25jZQ==", "not base64 at all, is it", "400"),
        ("Sec-WebSocket-Key", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Key", "400"),
        ("Connection: Upgrade\r\n", "", "400"),
        ("Upgrade: websocket\r\n", "", "400"),
        ("Host: localhost\r\n", "", "400"),
        ("GET /ws HTTP/1.1", "GET /ws HTTP/1.0", "400"),
        ("GET /ws", "POST /ws", "405"),
        ("GET /ws", "GET /elsewhere", "404"),
    ] {
        assert_eq!(status_of_upgrade(&relay, from, to).await, status, "{from} -> {to}");
    }
}

#[tokio::test]
async fn a_foreign_page_is_refused_and_told_what_to_set() {
    let config = Config { allow_origin: vec!["https://intranet.example".parse().unwrap()], ..Config::default() };
    let relay = TestRelay::start_with(config).await;
    for origin in [
        "http://evil.example",
        "https://localhost.evil.example",
        "http://intranet.example",
        "https://intranet.example:8443",
        "https://INTRANET.example",
        "https://intranet.example.evil.example",
        "http://localhost:5500\r\nOrigin: http://localhost:5500",
    ] {
        let response = upgrade_from(&relay, origin, "localhost").await;
        assert!(response.starts_with("HTTP/1.1 403"), "{origin}: {response}");
    }
    let response = upgrade_from(&relay, "http://evil.example", "localhost").await;
    assert!(response.contains("--allow-origin http://evil.example"), "{response}");
}

/// The answer to an upgrade of a page of `origin` that asks for `host`.
async fn upgrade_from(relay: &TestRelay, origin: &str, host: &str) -> String {
    let upgrade = UPGRADE.replace("Host: localhost", &format!("Host: {host}"));
    // The last request ends a connection that a refusal leaves open.
    relay.raw(&format!("{upgrade}Origin: {origin}\r\n\r\n{}", request("GET /healthz", ""))).await
}

#[tokio::test]
async fn a_page_of_a_rebound_dns_name_is_refused_and_told_what_to_set() {
    let relay = TestRelay::start().await;
    for host in ["evil.example:8080", "evil.example", "127.0.0.1.evil.example:8080", "localhost.evil.example"] {
        let response = upgrade_from(&relay, &format!("http://{host}"), host).await;
        assert!(response.starts_with("HTTP/1.1 403"), "{host}: {response}");
        assert!(response.contains("DNS rebinding"), "{response}");
        assert!(response.contains(&format!("--allow-origin http://{host}, ")), "{response}");
    }
    let allow_origin = vec!["http://evil.example:8080".parse().unwrap()];
    let relay = TestRelay::start_with(Config { allow_origin, ..Config::default() }).await;
    relay.upgrade(&[("host", "evil.example:8080"), ("origin", "http://evil.example:8080")]).await.unwrap();
}

#[tokio::test]
async fn a_page_without_an_origin_is_refused_unless_such_pages_are_allowed() {
    let relay = TestRelay::start().await;
    for host in ["localhost", "127.0.0.1:8080"] {
        let response = upgrade_from(&relay, "null", host).await;
        assert!(response.starts_with("HTTP/1.1 403"), "{response}");
        assert!(response.contains("--allow-origin null") && response.contains("any web site"), "{response}");
    }
    let relay =
        TestRelay::start_with(Config { allow_origin: vec!["null".parse().unwrap()], ..Config::default() }).await;
    relay.upgrade(&[("origin", "null")]).await.unwrap();
}

#[tokio::test]
async fn a_page_of_this_machine_may_connect_to_localhost() {
    let relay = TestRelay::start().await;
    let own = gethostname::gethostname().into_string().unwrap().to_lowercase();
    let own = format!("{}.local:8080", own.split('.').next().unwrap());
    for (origin, host) in [
        ("http://localhost:3000", "localhost:8080"),
        ("http://127.0.0.1:3000", "localhost:8080"),
        ("http://[::1]:3000", "localhost:8080"),
        ("https://app.localhost", "localhost:8080"),
        ("http://localhost:8080", "localhost:8080"),
        (&format!("http://{own}"), &own),
    ] {
        relay.upgrade(&[("host", host), ("origin", origin)]).await.unwrap_or_else(|error| panic!("{origin}: {error}"));
    }
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let relay = TestRelay::start().await;
    let response = relay.raw(&request("GET /", &format!("X: {}\r\n", "x".repeat(20_000)))).await;
    assert!(response.starts_with("HTTP/1.1 431"), "{response}");
    let many: String = (0..100).map(|n| format!("X-{n}: x\r\n")).collect();
    let response = relay.raw(&request("GET /", &many)).await;
    assert!(response.starts_with("HTTP/1.1 431"), "{response}");
}

#[tokio::test]
async fn what_is_no_http_is_refused() {
    let relay = TestRelay::start().await;
    assert!(relay.raw("\x16\x03\x01 hello\r\n\r\n").await.starts_with("HTTP/1.1 400"));
}
