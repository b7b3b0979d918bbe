//! What `scripts/` gives away does what it says. (`tests/proxy.rs` runs `scripts/nginx.conf`.)

// Where there are systemd and a shell.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

mod harness;

use harness::{Process, file, text, tool};

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
    let unit = |name: &str| std::fs::read_to_string(format!("scripts/{name}")).unwrap();
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
