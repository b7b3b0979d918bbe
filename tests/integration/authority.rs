//! The authority of `--lan` can do no harm: a thief of its key can pose as no site, and one that somebody else put there
//! is refused.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CidrSubnet, CustomExtension, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, KeyPair, KeyUsagePurpose, NameConstraints,
};

use crate::harness::pki::Pki;
use crate::harness::{Process, file, run, text, tool};

/// A relay with `--lan` on a free loopback port, that keeps its authority in `folder`.
async fn start(folder: &Path) -> (Process, SocketAddr) {
    let relay = Process::start(&["--lan", "--listen", "127.0.0.1:0", "--lan-dir", text(folder)]).await;
    let address = ([127, 0, 0, 1], relay.port()).into();
    (relay, address)
}

/// The one line that a relay says which cannot use the authority in `folder`.
async fn refusal(folder: &Path) -> String {
    let output = run(&["--lan", "--listen", "127.0.0.1:0", "--lan-dir", text(folder)]).await;
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), said.lines().count()), (Some(1), 1), "{said}");
    said
}

/// Keeps an authority in `folder`, as only its owner can read it.
fn plant(folder: &Path, content: &str) -> PathBuf {
    let key = file(folder, "authority.key", content);
    fs::set_permissions(&key, PermissionsExt::from_mode(0o600)).unwrap();
    key
}

/// What the constraints of an authority permit: these names, and these networks.
fn only(names: &[&str], networks: &[&str]) -> Option<NameConstraints> {
    let names = names.iter().map(|name| GeneralSubtree::DnsName((*name).to_owned()));
    let networks = networks.iter().map(|network| GeneralSubtree::IpAddress(network.parse::<CidrSubnet>().unwrap()));
    Some(NameConstraints { permitted_subtrees: names.chain(networks).collect(), excluded_subtrees: Vec::new() })
}

/// An issuer, which signs certificates of servers.
fn issuer() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "signaling-relay authority of test");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.name_constraints = only(&["localhost"], &["127.0.0.0/8", "192.168.0.0/16", "fc00::/7", "::1/128"]);
    params
}

/// The file of a root that signs certificates of servers itself.
fn alone(params: CertificateParams) -> String {
    let root = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    root.key().serialize_pem() + &root.pem()
}

/// A root that may sign an issuer.
fn root() -> CertificateParams {
    let mut params = issuer();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
    params
}

/// The file of an issuer below a root.
fn below(root: CertificateParams, issuer: CertificateParams) -> String {
    let root = CertifiedIssuer::self_signed(root, KeyPair::generate().unwrap()).unwrap();
    let issuer = CertifiedIssuer::signed_by(issuer, KeyPair::generate().unwrap(), &root).unwrap();
    issuer.key().serialize_pem() + &issuer.pem() + &root.pem()
}

/// What a thief of the key in `folder` signs: a certificate for `name`, such as `DNS:bank.example`, followed by its
/// chain, and its key.
fn forge(folder: &Path, name: &str) -> (PathBuf, PathBuf) {
    let stolen = folder.join("authority.key");
    let (cert, key) = (folder.join("forged.pem"), folder.join("forged.key"));
    let forge = "openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout \"$3\" -subj /O=thief |
        openssl x509 -req -CA \"$1\" -CAkey \"$1\" -days 3 -out \"$2\" \\
            -extfile <(printf 'subjectAltName=%s\\nextendedKeyUsage=serverAuth\\n' \"$4\")";
    let (good, said) = tool("bash", &["-c", forge, "bash", text(&stolen), text(&cert), text(&key), name], "");
    assert!(good, "{said}");
    let stolen = fs::read_to_string(stolen).unwrap();
    let chain = &stolen[stolen.find("-----BEGIN CERTIFICATE").unwrap()..];
    let chain = fs::read_to_string(&cert).unwrap() + chain;
    (file(folder, "forged.pem", chain), key)
}

#[tokio::test]
async fn the_authority_can_vouch_for_nobody_elses_names_and_addresses() {
    let folder = tempfile::tempdir().unwrap();
    let (_relay, address) = start(folder.path()).await;
    let authority = folder.path().join("authority.pem");
    // The root, and the issuer below it, which is the first certificate in the file with its key.
    for (file, path_length) in [("authority.pem", 1), ("authority.key", 0)] {
        let file = folder.path().join(file);
        let (_, shown) = tool("openssl", &["x509", "-in", text(&file), "-noout", "-text"], "");
        assert!(shown.contains("X509v3 Name Constraints: critical"), "{shown}");
        assert!(shown.contains(&format!("CA:TRUE, pathlen:{path_length}")), "{shown}");
        assert!(shown.contains("TLS Web Server Authentication"), "{shown}");
    }
    let own = tool("hostname", &[], "").1.trim().to_lowercase();
    for (name, good) in [
        ("IP:192.168.1.5", true),
        ("IP:10.9.8.7", true),
        ("IP:172.20.0.1", true),
        ("IP:127.0.0.1", true),
        ("IP:fd12::1", true),
        ("DNS:localhost", true),
        (&format!("DNS:{own}"), true),
        (&format!("DNS:{own}.local"), true),
        ("IP:8.8.8.8", false),
        ("IP:2001:db8::1", false),
        ("DNS:example.org", false),
        ("DNS:bank.example", false),
        ("DNS:localhost.evil.example", false),
        ("DNS:other.local", false),
    ] {
        let (leaf, _) = forge(folder.path(), name);
        let verify = ["verify", "-purpose", "sslserver", "-CAfile", text(&authority), "-untrusted", text(&leaf)];
        let (verified, said) = tool("openssl", &[&verify[..], &[text(&leaf)]].concat(), "");
        assert_eq!(verified, good, "{name}: {said}");
        assert!(good || said.contains("permitted subtree violation"), "{name}: {said}");
    }
    let (at, authority) = (address.to_string(), text(&authority));
    let connect = ["s_client", "-connect", &at, "-CAfile", authority, "-verify_return_error"];
    for check in [["-verify_ip", "127.0.0.1"], ["-verify_hostname", "localhost"], ["-verify_hostname", &own]] {
        let (_, said) = tool("openssl", &[&connect[..], &check].concat(), "");
        assert!(said.contains("Verify return code: 0 (ok)") && said.contains("depth=2"), "{check:?}: {said}");
    }
    let (_, said) = tool("openssl", &[&connect[..], &["-showcerts"]].concat(), "");
    let leaf = tool("openssl", &["x509", "-noout", "-checkend", &(8 * 24 * 60 * 60).to_string()], &said).1;
    assert!(leaf.contains("will expire"), "a leaf is short-lived: {leaf}");
}

#[tokio::test]
async fn an_authority_that_cannot_be_used_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    for (content, fault) in [("", "is empty"), ("nonsense", "is not PEM")] {
        let key = plant(folder.path(), content);
        let said = refusal(folder.path()).await;
        assert!(said.contains(text(&key)) && said.contains(fault) && said.contains("to make a new one"), "{said}");
    }
    // A server's certificate signs nothing.
    let (cert, own) = Pki::new().issue(1, (2020, 2120));
    plant(folder.path(), &(own + &cert + &cert));
    let said = refusal(folder.path()).await;
    assert!(said.contains("not an authority's"), "{said}");
    let occupied = file(folder.path(), "file", "");
    let said = refusal(&occupied.join("x")).await;
    assert!(said.contains("cannot keep the local authority in") && said.contains("--lan-dir"), "{said}");
}

#[tokio::test]
async fn the_key_of_what_devices_trust_does_not_exist() {
    let folder = tempfile::tempdir().unwrap();
    let (_relay, address) = start(folder.path()).await;
    let at = |name: &str| folder.path().join(name);
    let secret = fs::read_to_string(at("authority.key")).unwrap();
    assert_eq!((secret.matches("PRIVATE KEY-----\n").count(), secret.matches("BEGIN CERTIFICATE").count()), (2, 2));
    let public_key = |arguments: &[&str]| tool("openssl", arguments, "").1;
    let kept = public_key(&["pkey", "-in", text(&at("authority.key")), "-pubout"]);
    assert!(kept.contains("BEGIN PUBLIC KEY"), "{kept}");
    let of = |name: &str| public_key(&["x509", "-in", text(&at(name)), "-noout", "-pubkey"]);
    assert_eq!(kept, of("authority.key"), "it is the issuer's");
    assert_ne!(kept, of("authority.pem"), "it is not the root's");
    let (_, said) = tool("openssl", &["s_client", "-connect", &address.to_string(), "-showcerts"], "");
    assert_eq!(said.matches("BEGIN CERTIFICATE").count(), 2, "the server's own and the issuer's: {said}");
}

#[tokio::test]
async fn a_thief_of_the_key_poses_as_a_site_to_java_only_if_devices_trust_that_key() {
    if !tool_exists("java", &["--list-modules"], "jdk.compiler") {
        eprintln!("skipped: there is no java that runs a source file");
        return;
    }
    for (is_direct, thief_is_believed) in [(true, true), (false, false)] {
        let folder = tempfile::tempdir().unwrap();
        let _relay = if is_direct {
            let planted = alone(issuer());
            plant(folder.path(), &planted);
            file(folder.path(), "authority.pem", &planted[planted.find("-----BEGIN CERTIFICATE").unwrap()..]);
            None
        } else {
            let (relay, _) = start(folder.path()).await;
            let honest = format!("https://localhost:{}/healthz", relay.port());
            let (good, said) = visit(folder.path(), &honest);
            assert!(good && said.contains("200"), "{said}");
            Some(relay)
        };
        let (cert, key) = forge(folder.path(), "DNS:www.bank.example");
        let thief = Process::start(&["--listen", "127.0.0.1:0", "--cert", text(&cert), "--key", text(&key)]).await;
        let (believed, said) = visit(folder.path(), &format!("https://www.bank.example:{}/healthz", thief.port()));
        assert_eq!(believed, thief_is_believed, "trusted directly: {is_direct}; {said}");
        assert!(believed || said.contains("name constraints check failed"), "{said}");
    }
}

/// Whether a tool is on this machine, and says `text`.
fn tool_exists(program: &str, arguments: &[&str], text: &str) -> bool {
    Command::new(program)
        .args(arguments)
        .output()
        .is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(text))
}

/// Visits a URL of this machine with Java, which trusts the authority in `folder`; whether it did, and what it said.
fn visit(folder: &Path, url: &str) -> (bool, String) {
    let hosts = file(folder, "hosts", "127.0.0.1 localhost www.bank.example\n");
    let hosts = format!("-Djdk.net.hosts.file={}", text(&hosts));
    let authority = folder.join("authority.pem");
    tool("java", &[&hosts, "tests/harness/Visit.java", text(&authority), url], "")
}

#[tokio::test]
async fn an_authority_whose_own_key_devices_would_trust_is_refused_and_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let key = plant(folder.path(), &alone(issuer()));
    let before = fs::read_to_string(&key).unwrap();
    let said = refusal(folder.path()).await;
    for part in ["only one certificate", text(&key), "to make a new one"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(fs::read_to_string(&key).unwrap(), before);
    assert!(!folder.path().join("authority.pem").exists(), "nobody gets it");
}

#[tokio::test]
async fn an_authority_that_could_vouch_for_more_than_is_claimed_is_refused() {
    let with = |edit: &dyn Fn(&mut CertificateParams)| {
        let mut params = issuer();
        edit(&mut params);
        params
    };
    let unconstrained = with(&|params| params.name_constraints = None);
    let mut unconstrained_root = root();
    unconstrained_root.name_constraints = None;
    let networks = ["192.168.0.0/16", "fc00::/7"];
    let uncritical = with(&|params| {
        // Name constraints: permitted, the DNS name `localhost` (RFC 5280 section 4.2.1.10).
        let content = [&[0x30, 0x0f, 0xa0, 0x0d, 0x30, 0x0b, 0x82, 0x09], &b"localhost"[..]].concat();
        let mut extension = CustomExtension::from_oid_content(&[2, 5, 29, 30], content);
        extension.set_criticality(false);
        params.name_constraints = None;
        params.custom_extensions.push(extension);
    });
    let (one, another) = (below(root(), issuer()), below(root(), issuer()));
    let begin =
        |text: &str| (text.find("-----BEGIN CERTIFICATE").unwrap(), text.rfind("-----BEGIN CERTIFICATE").unwrap());
    let (first, last) = begin(&one);
    let (key, certificate) = (&one[..first], &one[first..last]);
    let (first_of_another, last_of_another) = begin(&another);
    let (of_another, of_another_root) = (&another[first_of_another..], &another[last_of_another..]);
    for (planted, fault) in [
        (below(root(), unconstrained.clone()), "has no name constraints"),
        (below(root(), uncritical), "are not critical"),
        (below(root(), with(&|params| params.name_constraints = only(&["com"], &networks))), "could vouch for \"com\""),
        (below(root(), with(&|params| params.name_constraints = only(&[], &networks))), "allow every host name"),
        (
            below(root(), with(&|params| params.name_constraints = only(&["localhost"], &["fc00::/7"]))),
            "allow every address",
        ),
        (
            below(root(), with(&|params| params.name_constraints = only(&["localhost"], &["0.0.0.0/0", "fc00::/7"]))),
            "could vouch for 0.0.0.0/0",
        ),
        (below(root(), with(&|params| params.extended_key_usages.clear())), "more than servers"),
        (
            below(root(), with(&|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained))),
            "may sign for authorities",
        ),
        (below(unconstrained_root, issuer()), "that devices trust is not safe"),
        (below(root(), unconstrained), "its certificate is not safe"),
        (below(root(), root()), "may sign for authorities"),
        (format!("{key}{certificate}{of_another_root}"), "the root did not sign"),
        (format!("{key}{of_another}"), "the key in"),
        (format!("{one}{certificate}"), "has 3 certificates"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let file = plant(folder.path(), &planted);
        let said = refusal(folder.path()).await;
        assert!(said.contains(fault), "{fault}: {said}");
        assert!(said.contains(text(&file)) && said.contains("to make a new one"), "{said}");
        assert!(!folder.path().join("authority.pem").exists(), "nobody gets it");
    }
    for fine in [one, another] {
        let folder = tempfile::tempdir().unwrap();
        plant(folder.path(), &fine);
        start(folder.path()).await;
    }
}

#[tokio::test]
async fn an_authority_that_others_may_have_put_there_is_refused() {
    let allow = |path: &Path, mode| fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let key = plant(folder.path(), &below(root(), issuer()));
    for mode in [0o620, 0o666] {
        allow(&key, mode);
        let said = refusal(folder.path()).await;
        assert!(said.contains(text(&key)) && said.contains(&format!("mode {mode:o}")), "{said}");
    }
    allow(&key, 0o600);
    // Also where nobody could replace a file that is there, as in /tmp; and also for an authority still to be made.
    for mode in [0o770, 0o777, 0o1777] {
        let empty = tempfile::tempdir().unwrap();
        for folder in [folder.path(), empty.path()] {
            allow(folder, mode);
            let said = refusal(folder).await;
            assert!(said.contains(text(folder)) && said.contains(&format!("mode {mode:o}")), "{said}");
        }
        assert_eq!(fs::read_dir(empty.path()).unwrap().count(), 0, "nothing was made");
    }
    allow(folder.path(), 0o755);
    allow(&key, 0o644);
    let (mut relay, _) = start(folder.path()).await;
    relay.expect_log("every user of this machine can reach the private key").await;
}

#[tokio::test]
async fn a_fifo_in_place_of_a_file_stops_the_start_and_does_not_hang_it() {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str| {
        let (made, said) = tool("mkfifo", &["-m", "600", text(&folder.path().join(name))], "");
        assert!(made, "{said}");
    };
    put("authority.key");
    let said = refusal(folder.path()).await;
    assert!(said.contains("authority.key") && said.contains("not a regular file"), "{said}");
    std::fs::remove_file(folder.path().join("authority.key")).unwrap();
    put("authority.pem");
    let output = run(&["--lan", "--listen", "127.0.0.1:0", "--lan-dir", text(folder.path())]).await;
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("authority.pem") && said.contains("not a regular file"), "{said}");
}
