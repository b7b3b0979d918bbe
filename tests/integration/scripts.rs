//! What `scripts/` gives away does what it says. (`proxy.rs` runs `scripts/deploy/nginx.conf`.)

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::ChildStdout;

use crate::harness::process::BINARY;
use crate::harness::{Client, Process, ended_with_us, file, soon, text, tool};

#[tokio::test(flavor = "multi_thread")]
async fn the_certificate_that_is_made_fits_the_flags_that_are_told() {
    for by in ["openssl", "mkcert"] {
        let folder = tempfile::tempdir().unwrap();
        let folder = text(folder.path());
        let names = ["-o", folder, "relay.example", "localhost", "127.0.0.1", "::1"];
        // mkcert keeps its authority there, and out of the settings of whoever runs this.
        let arguments = ["-c", "CAROOT=\"$0\" exec scripts/make-certificate \"$@\"", folder];
        let with = if by == "mkcert" { &["--mkcert"][..] } else { &[] };
        let (good, said) = tool("bash", &[&arguments, with, &names].concat(), "");
        assert!(good, "{by}: {said}");
        let told = said.lines().find_map(|line| line.strip_prefix("Start the relay with: ")).unwrap();
        let flags: Vec<_> = told.split(' ').chain(["--listen", "127.0.0.1:0"]).collect();
        let mut relay = Process::start(&flags).await;
        let trusted = format!("{folder}/{}", if by == "mkcert" { "rootCA.pem" } else { "relay.pem" });
        let at = format!("127.0.0.1:{}", relay.port());
        for check in [["-verify_ip", "127.0.0.1"], ["-verify_ip", "::1"], ["-verify_hostname", "relay.example"]] {
            let connect = ["s_client", "-connect", &at, "-CAfile", &trusted, "-verify_return_error"];
            let (_, said) = tool("openssl", &[&connect[..], &check].concat(), "");
            assert!(said.contains("Verify return code: 0 (ok)"), "{by} {check:?}: {said}");
        }
        relay.signal("TERM");
        // A key for its owner alone is nothing to warn of.
        let line = relay.expect_log("").await;
        assert!(line.contains("shutting down"), "{by}: {line}");
        assert_eq!(relay.end().await, Some(0));
    }
}

#[test]
fn systemd_finds_no_fault_with_the_units() {
    let folder = tempfile::tempdir().unwrap();
    let unit = |name: &str| std::fs::read_to_string(format!("scripts/deploy/{name}")).unwrap();
    let service = unit("signaling-relay.service");
    let program = "ExecStart=/usr/local/bin/signaling-relay\n";
    assert!(service.contains(program));
    let here = format!("ExecStart={}\n", env!("CARGO_BIN_EXE_signaling-relay"));
    let service = file(folder.path(), "signaling-relay.service", service.replace(program, &here));
    let socket = file(folder.path(), "signaling-relay.socket", unit("signaling-relay.socket"));
    let (good, said) = tool("systemd-analyze", &["verify", "--man=no", text(&service), text(&socket)], "");
    // It speaks of other units of the machine as well.
    let ours: Vec<_> = said.lines().filter(|line| line.contains("signaling-relay")).collect();
    assert!(good && ours.is_empty(), "{said}");
    let (_, said) = tool("systemd-analyze", &["security", "--offline=true", text(&service)], "");
    assert!(said.contains("Overall exposure level") && said.contains("OK"), "{said}");
}

#[cfg(feature = "cluster")]
#[tokio::test(flavor = "multi_thread")]
async fn the_cluster_to_try_kills_and_starts_its_parts_and_ends_them_all() {
    // Below the ports that the system gives to connections; it takes fourteen in a row.
    let port = 12_000 + std::process::id() as u16 % 1_000 * 16;
    let start = |keys: Stdio| {
        // It ends all that it has started, also when this test fails.
        let mut script = tokio::process::Command::from(ended_with_us("TERM", "scripts/cluster"))
            .env("CLUSTER_RELAY", BINARY)
            .env("CLUSTER_PORT", port.to_string())
            .stdin(keys)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(script.stdout.take().unwrap()).lines();
        (script, said)
    };
    async fn expect(said: &mut Lines<BufReader<ChildStdout>>, words: &str) {
        loop {
            let line = soon(words, said.next_line()).await.unwrap();
            if line.unwrap_or_else(|| panic!("it ended before: {words}")).contains(words) {
                break;
            }
        }
    }
    let (mut script, mut said) = start(Stdio::piped());
    let mut keys = script.stdin.take().unwrap();
    expect(&mut said, "open http://localhost:").await;
    // Members of a room by whichever relay nginx takes.
    let join = async |name: &str| loop {
        let url = format!("ws://localhost:{port}/?room=r&name={name}");
        let client = match TcpStream::connect(("127.0.0.1", port)).await {
            Ok(stream) => Client::dial(stream, &url, &[]).await.ok(),
            Err(_) => None,
        };
        if let Some(mut client) = client
            && client.hear().await["type"] == "joined"
        {
            break client;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    let mut ana = soon("a place", join("Ana")).await;
    let _others = [soon("a place", join("Ben")).await, soon("a place", join("Cai")).await];
    for name in ["Ben", "Cai"] {
        assert_eq!(ana.expect("peer_joined").await["name"], name);
    }
    for (key, words) in [("1", "relay-1 is gone"), ("1", "relay-1 runs"), ("r", "redis is gone"), ("r", "redis runs")] {
        keys.write_all(key.as_bytes()).await.unwrap();
        expect(&mut said, words).await;
    }
    keys.write_all(b"q").await.unwrap();
    expect(&mut said, "all are gone").await;
    assert!(soon("the end", script.wait()).await.unwrap().success());
    assert!(TcpStream::connect(("127.0.0.1", port + 4)).await.is_err(), "Redis is gone");
    // Where no keys come, a signal ends it.
    let (mut script, mut said) = start(Stdio::null());
    expect(&mut said, "open http://localhost:").await;
    assert!(tool("kill", &[&script.id().unwrap().to_string()], "").0);
    expect(&mut said, "all are gone").await;
    assert!(soon("the end", script.wait()).await.unwrap().success());
    assert!(TcpStream::connect(("127.0.0.1", port + 4)).await.is_err(), "Redis is gone");
}

/// What `scripts/deploy/Dockerfile` copies from the repository, where each file keeps its name.
fn copied(dockerfile: &str) -> Vec<&str> {
    let copies = dockerfile.lines().filter_map(|line| line.strip_prefix("COPY "));
    let of_the_repository = copies.filter(|copy| !copy.starts_with("--from"));
    of_the_repository
        .flat_map(|copy| {
            let mut names: Vec<_> = copy.split(' ').collect();
            let to = names.pop().unwrap();
            assert!(to == "./" || names == [to], "{copy}");
            names
        })
        .collect()
}

/// Copies the file or folder `name` of the repository into `folder`.
fn copy(name: &Path, folder: &Path) {
    let to = folder.join(name);
    if name.is_file() {
        std::fs::copy(name, to).unwrap();
        return;
    }
    std::fs::create_dir(to).unwrap();
    for entry in name.read_dir().unwrap() {
        copy(&name.join(entry.unwrap().file_name()), folder);
    }
}

/// No container is built here, but what one would build compiles: the image has all that it needs.
#[test]
fn what_the_image_copies_is_enough_to_build_the_relay() {
    let dockerfile = std::fs::read_to_string("scripts/deploy/Dockerfile").unwrap();
    let copied = copied(&dockerfile);
    let ignored = std::fs::read_to_string(".dockerignore").unwrap();
    let sent: Vec<_> = ignored.lines().filter_map(|line| line.strip_prefix('!')).collect();
    assert!(ignored.lines().any(|line| line == "*"));
    assert_eq!(BTreeSet::from_iter(&copied), BTreeSet::from_iter(&sent), "what is copied, and what is sent for it");
    // Always the same folder, and the target folder of this build: cargo builds again only what has changed.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let image = target.join("image");
    let _ = std::fs::remove_dir_all(&image);
    std::fs::create_dir_all(&image).unwrap();
    for name in copied {
        copy(Path::new(name), &image);
    }
    let build = dockerfile.lines().find_map(|line| line.strip_prefix("RUN cargo build --release ")).unwrap();
    let (flags, _) = build.split_once(" &&").unwrap();
    let (manifest, target) = (image.join("Cargo.toml"), target.parent().unwrap());
    let (manifest, target) = (text(&manifest), text(target));
    let check = ["check", "--quiet", "--offline", "--manifest-path", manifest, "--target-dir", target];
    let mut cargo = std::process::Command::new("cargo");
    cargo.args(check).args(flags.split(' '));
    // What cargo tells this test about the crate; ring would be built again when it changes.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CARGO_") && name != "CARGO_HOME") {
        cargo.env_remove(name);
    }
    let built = cargo.output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
}

/// The links that end `text`, each on a line of its own: what stands in brackets, and where it leads.
fn links<'a>(text: &'a str, mark: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
    text.lines().filter_map(move |line| line.strip_prefix(mark)?.strip_prefix('[')?.split_once("]: "))
}

#[test]
fn the_links_of_the_reference_lead_somewhere_on_the_page_and_in_the_documentation() {
    let page = std::fs::read_to_string("src/protocol/reference.md").unwrap();
    let module = std::fs::read_to_string("src/protocol/mod.rs").unwrap();
    let documented: Vec<_> = links(&module, "//! ").collect();
    assert!(!documented.is_empty());
    assert_eq!(
        links(&page, "").map(|(name, _)| name).collect::<Vec<_>>(),
        documented.iter().map(|d| d.0).collect::<Vec<_>>()
    );
    for ((name, path), (_, item)) in links(&page, "").zip(documented) {
        assert!(page.matches(&format!("[{name}]")).count() > 1, "{name}: unused");
        let file =
            std::fs::read_to_string(format!("src/protocol/{path}")).unwrap_or_else(|error| panic!("{path}: {error}"));
        let item = item.rsplit("::").next().unwrap();
        assert!(path.ends_with(&format!("/{item}.rs")) || file.contains(item), "{path}: no {item}");
    }
}
