//! Settings from a file, and `signaling-relay check`, which looks for mistakes in them.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::harness::pki::Pki;
use crate::harness::{Client, Process, binary, connect, file, run, secret_file, soon, text};

/// A folder with a file of settings.
fn settings(content: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = secret_file(folder.path(), "relay.toml", content);
    (folder, path)
}

/// A command with these arguments and variables.
fn with(arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = binary();
    command.args(arguments).envs(variables.iter().copied());
    command
}

/// Runs `command` to its end.
async fn end_of(command: Command) -> Output {
    let mut command = tokio::process::Command::from(command);
    command.kill_on_drop(true).stdin(Stdio::null());
    soon("the relay to end", command.output()).await.unwrap()
}

/// The exit code and what is said of a start with this file, which is called `relay.toml` in it.
async fn start_of(content: &str) -> (Option<i32>, String) {
    let (_folder, path) = settings(content);
    let Output { status, stderr, stdout } = run(&["--config", text(&path)]).await;
    assert_eq!(stdout.len(), 0, "it started with {content}");
    (status.code(), String::from_utf8(stderr).unwrap().replace(text(&path), "relay.toml"))
}

/// The exit code and what `check` says of these arguments and variables.
async fn check_of(arguments: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = end_of(with(&[&["check"], arguments].concat(), variables)).await;
    assert_eq!(String::from_utf8(stderr).unwrap(), "", "all is said on stdout");
    (status.code(), String::from_utf8(stdout).unwrap())
}

/// `joined`, as the relay tells it.
async fn joined(relay: &Process) -> Value {
    let address = format!("127.0.0.1:{}", relay.port()).parse().unwrap();
    let mut client = Client::dial(connect(address).await, &format!("ws://{address}/ws"), &[]).await.unwrap();
    client.join("r").await
}

#[tokio::test]
async fn a_value_of_a_flag_wins_over_the_environment_over_the_file_over_the_default() {
    let (_folder, path) = settings("listen = '127.0.0.1:0'\nmax-message-bytes = 3_000\n");
    let variable = [("SIGNALING_RELAY_MAX_MESSAGE_BYTES", "2000")];
    let config = ["--config", text(&path)];
    let flag = ["--config", text(&path), "--max-message-bytes", "1000"];
    let none = ["--listen", "127.0.0.1:0"];
    for (arguments, variables, bytes) in [
        (&flag[..], &variable[..], 1000),
        (&config, &variable, 2000),
        (&config, &[], 3000),
        // Empty means that nobody has set it.
        (&config, &[("SIGNALING_RELAY_MAX_MESSAGE_BYTES", "")], 3000),
        (&none, &[], 65_536),
    ] {
        let relay = Process::of(with(arguments, variables)).await;
        assert_eq!(joined(&relay).await["maxMessageBytes"], bytes);
    }
}

#[tokio::test]
async fn a_list_of_a_flag_wins_over_the_environment_over_the_file() {
    let (_folder, path) = settings("listen = [\n  '127.0.0.1:0',\n  '[::1]:0',\n]\n");
    // It may be named in the environment as well.
    let named = ("SIGNALING_RELAY_CONFIG", text(&path));
    let variable = ("SIGNALING_RELAY_LISTEN", "127.0.0.2:0,127.0.0.3:0");
    for (arguments, variables, hosts) in [
        (&["--listen", "127.0.0.4:0"][..], &[named, variable][..], &["127.0.0.4"][..]),
        (&[], &[named, variable], &["127.0.0.2", "127.0.0.3"]),
        (&[], &[named], &["127.0.0.1", "[::1]"]),
    ] {
        let relay = Process::of(with(arguments, variables)).await;
        let urls = relay.urls();
        assert_eq!(urls.len(), hosts.len(), "{urls:?}");
        assert!(urls.iter().zip(hosts).all(|(url, host)| url.starts_with(&format!("http://{host}:"))), "{urls:?}");
    }
}

#[tokio::test]
async fn a_switch_of_a_flag_wins_over_the_environment_over_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("authority");
    let (_folder, on) = settings(&format!("listen = '127.0.0.1:0'\nlan = true\nlan-dir = '{}'\n", text(&folder)));
    let (_folder, off) = settings(&format!("listen = '127.0.0.1:0'\nlan = false\nlan-dir = '{}'\n", text(&folder)));
    let no = [("SIGNALING_RELAY_LAN", "no")];
    for (arguments, variables, scheme) in [
        (&["--config", text(&off), "--lan"][..], &no[..], "https"),
        (&["--config", text(&on)], &no, "http"),
        (&["--config", text(&off)], &[("SIGNALING_RELAY_LAN", "yes")], "https"),
        (&["--config", text(&on)], &[], "https"),
        (&["--config", text(&off)], &[], "http"),
    ] {
        let relay = Process::of(with(arguments, variables)).await;
        assert!(relay.urls()[0].starts_with(&format!("{scheme}://")), "{:?}", relay.screen);
    }
}

#[tokio::test]
async fn an_error_names_the_file_the_line_and_the_key_that_was_meant() {
    for (content, said) in [
        (
            "\nroom-capactiy = 4\n",
            r#"relay.toml:2: there is no setting "room-capactiy"; the nearest one is "room-capacity""#,
        ),
        (
            "room_capacity = 4",
            r#"relay.toml:1: there is no setting "room_capacity"; the nearest one is "room-capacity""#,
        ),
        ("Listen = 'localhost:1'", r#"the nearest one is "listen""#),
        ("[relay]\nlan = true", "relay.toml:1: there is no setting \"relay\""),
        ("[relay]\nlan = true", "settings are in no table such as [relay]"),
        ("config = 'other.toml'", "relay.toml:1: a file names no other file"),
        ("version = true", r#"relay.toml:1: there is no setting "version""#),
        ("# a\n# b\nroom-capacity = 0", "relay.toml:3: room-capacity: it is not a number from 1 to 256"),
        ("room-capacity = 'many'", "relay.toml:1: room-capacity: it is not a number from 1 to 256"),
        ("room-capacity = 8.5", "room-capacity: it must be a text or a whole number, and is a number with a fraction"),
        ("room-capacity = [8]", "room-capacity: it must be a text or a whole number, and is a list"),
        ("room-capacity = true", "room-capacity: it must be a text or a whole number, and is true or false"),
        ("turn-ttl = 12:00:00", "turn-ttl: it must be a text or a whole number, and is a date or a time"),
        ("unix-mode = 0o660", "unix-mode: it must be a text or a whole number, and is a number that is not decimal"),
        ("lan = 'yes'", "lan: it must be true or false, and is a text"),
        ("[lan]", "lan: it must be true or false, and is a table"),
        ("log-format = 'xml'", "log-format: it must be text or json"),
        ("cert = ''", "cert: it needs a value"),
        ("listen = []", "listen: it needs one value at least"),
        ("listen = [\n'localhost:1',\n'8080',\n]", "relay.toml:3: listen: it is only a port: write localhost:PORT"),
        // What is in quotes is one value.
        ("listen = 'localhost:1,localhost:2'", "relay.toml:1: listen: an IPv6 address needs brackets"),
        ("listen = localhost:8080", "relay.toml:1: it is not TOML: a text must be in quotes"),
        ("listen = nowhere", "relay.toml:1: it is not TOML: a text must be in quotes"),
        ("lan = true\nlan = true", "relay.toml:2: it is not TOML: duplicate key"),
        ("lan", "relay.toml:1: it is not TOML: key with no value"),
        // Settings that are right alone, and not together.
        ("\ncert = 'c.pem'", "relay.toml:2: cert needs its private key: give --key as well"),
        ("\nauth-ca = 'ca.pem'", "relay.toml:2: auth-ca needs --auth-url or --token-jwks"),
        ("redirect-from = '*:1'", "relay.toml:1: redirect-from needs TLS"),
    ] {
        let (code, error) = start_of(content).await;
        assert!(code == Some(2) && error.starts_with("error: ") && error.contains(said), "{content}: {error}");
    }
}

#[tokio::test]
async fn all_mistakes_of_a_file_are_said_at_once() {
    let (code, said) =
        start_of("hold-ms = -1\nlisten = nowhere\nroom-capactiy = 1\nstun = ['stun:h', 'http://h']\n").await;
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!((code, lines.len()), (Some(2), 4), "{said}");
    let by_line =
        ["relay.toml:1: hold-ms", "relay.toml:2: it is not TOML", "relay.toml:3: there", "relay.toml:4: stun"];
    for (said, expected) in lines.iter().zip(by_line) {
        assert!(said.starts_with(&format!("error: {expected}")), "{said}");
    }
}

#[tokio::test]
async fn no_error_repeats_a_part_of_a_value() {
    for content in [
        "auth-url = 'http://me:hunter2@localhost/'",
        "auth-url = 'hunter2'",
        "auth-url = ['http://localhost/?key=hunter2']",
        "auth-url = http://localhost/?key=hunter2",
        "auth-url = \"http://localhost/?key=hunter2",
        "auth-url = 'http://localhost/?key=hunter2' x",
        "hunter2",
        "token-jwks = 'https://me:hunter2@localhost/'",
        "token-jwks = 'ftp://hunter2/'",
        "ice-servers = [{ urls = 'turn:h', username = 'u', credential = ['hunter2'] }]",
        "ice-servers = [{ urls = 'turn:u:hunter2@h', username = 'u', credential = 'hunter2' }]",
        "ice-servers = [{ urls = 'stun:h', credential = 'hunter2' }]",
        "ice-servers = ['hunter2']",
        "ice-servers = { credential = 'hunter2' }",
        "ice-servers = '[\"hunter2\"]'",
        "ice-servers = '[{\"urls\":\"turn:h\",\"username\":\"u\",\"credential\":\"hunter2\"'",
        "ice-servers = '\"hunter2\"'",
        "[[ice-servers]]\nurls = 'turn:h'\ncredential = 'hunter2'",
        "turn = 'turn:u:hunter2@h'",
        "stun = 'stun:u:hunter2@h'",
        "allow-origin = 'hunter2'",
        "allow-frame = 'http://u:hunter2@h'",
        "trusted-proxy = 'hunter2'",
        "auth-header = 'hunter2 '",
        "listen = 'hunter2'",
        "admin-listen = 'hunter2'",
        "candidate-policy = 'hunter2'",
        "log-format = 'hunter2'",
        "turn-ttl = 'hunter2'",
        "unix-mode = 'hunter2'",
        "lan = 'hunter2'",
        "cert = 'hunter2'",
        "token-audience = 'hunter2'",
    ] {
        let (code, said) = start_of(content).await;
        assert!(code == Some(2) && !said.contains("hunter2") && !said.is_empty(), "{content}: {said}");
    }
    let numbers =
        ["room-capacity", "max-message-bytes", "message-rate", "byte-rate", "address-connections", "max-connections"];
    let more = [
        "address-upgrades",
        "address-joins",
        "address-bytes",
        "memory",
        "address-memory",
        "hold-ms",
        "resume-after-exp",
    ];
    for key in numbers.iter().chain(&more) {
        let (code, said) = start_of(&format!("{key} = -98765")).await;
        assert!(code == Some(2) && said.contains("a number from") && !said.contains("98765"), "{said}");
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_exit_code_1_and_none_is_read_that_is_not_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing.toml");
    for path in [text(&missing), text(folder.path())] {
        let Output { status, stderr, .. } = run(&["--config", path]).await;
        let said = String::from_utf8(stderr).unwrap();
        assert!(status.code() == Some(1) && said.starts_with("error: --config: cannot read "), "{said}");
        assert!(said.contains(path) && said.lines().count() == 1, "{said}");
    }
    let variable = [("SIGNALING_RELAY_CONFIG", text(&missing))];
    let said = String::from_utf8(end_of(with(&[], &variable)).await.stderr).unwrap();
    assert!(said.starts_with("error: SIGNALING_RELAY_CONFIG: cannot read "), "{said}");
    file(folder.path(), "relay.toml", "room-capacity = 0");
    file(folder.path(), "signaling-relay.toml", "room-capacity = 0");
    let mut command = with(&["--listen", "127.0.0.1:0"], &[]);
    command.current_dir(folder.path()).env("HOME", folder.path()).env("XDG_CONFIG_HOME", folder.path());
    Process::of(command).await;
}

#[tokio::test]
async fn what_is_no_text_is_named_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "relay.toml", b"lan = false\nweb = '\xff'\n");
    let Output { status, stderr, .. } = run(&["--config", text(&path)]).await;
    let said = String::from_utf8(stderr).unwrap();
    assert!(status.code() == Some(2) && said.contains("relay.toml:2: it is not UTF-8"), "{said}");
}

#[tokio::test]
async fn a_list_of_servers_may_stand_in_the_file_itself() {
    let (_folder, path) = settings(
        "listen = '127.0.0.1:0'\n[[ice-servers]]\nurls = ['turn:h:1']\nusername = 'u'\ncredential = 'c'\n\
         [[ice-servers]]\nurls = 'stun:h'\n",
    );
    let relay = Process::start(&["--config", text(&path)]).await;
    let servers = &joined(&relay).await["iceServers"];
    assert_eq!(servers[0]["urls"][0], "turn:h:1");
    assert_eq!((&servers[0]["credential"], &servers[1]["urls"]), (&"c".into(), &"stun:h".into()));
}

#[tokio::test]
async fn a_secret_in_a_file_that_others_can_read_is_warned_about() {
    for (setting, has_secret) in [
        ("auth-url = 'http://localhost:1/?key=hunter2'", true),
        ("ice-servers = [{ urls = 'turn:h', username = 'u', credential = 'hunter2' }]", true),
        ("auth-url = 'http://localhost:1/may-join'", false),
        ("ice-servers = [{ urls = 'stun:h' }]", false),
    ] {
        let (_folder, path) = settings(&format!("listen = '127.0.0.1:0'\n{setting}\n"));
        for (mode, is_open) in [(0o644, true), (0o640, false)] {
            fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            let mut relay = Process::start(&["--config", text(&path)]).await;
            relay.signal("TERM");
            let line = relay.expect_log(if has_secret && is_open { "WARN" } else { "shutting down" }).await;
            let place = format!("{}:2: {}", text(&path), setting.split(' ').next().unwrap());
            assert_eq!(line.contains(&place) && line.contains("chmod 600"), has_secret && is_open, "{line}");
            assert!(!line.contains("hunter2"), "{line}");
            let (code, said) = check_of(&["--config", text(&path)], &[]).await;
            assert_eq!((code, said.contains("warning: ")), (Some(0), has_secret && is_open), "{said}");
            assert!(!said.contains("hunter2"), "{said}");
        }
    }
}

#[tokio::test]
async fn check_says_all_that_is_wrong_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let in_folder = |name: &str| folder.path().join(name);
    let short = secret_file(folder.path(), "short", "x");
    let open = file(folder.path(), "open", "a secret that everybody can read");
    fs::set_permissions(&open, PermissionsExt::from_mode(0o644)).unwrap();
    let list = file(folder.path(), "ice.json", r#"[{"urls":"turn:h"}]"#);
    let set = file(folder.path(), "jwks.json", "{}");
    let pki = Pki::new();
    let (expired, key) = pki.issue(1, (2010, 2011));
    let (cert, key) = (file(folder.path(), "cert.pem", expired), secret_file(folder.path(), "key.pem", key));
    let (_folder, config) = settings(&format!(
        "token-secret-file = ['{}', '{}', '{}']\nroom-capactiy = 3\nhold-ms = -1\nauth-url = 'http://localhost:1/?key=hunter2'\n\
         auth-ca = '{}'\ntoken-jwks = ['{}', 'https://login.invalid/keys']\nturn = 'turn:h'\nturn-secret-file = '{}'\n\
         ice-servers = '{}'\nweb = '{}'\nadmin-listen = 'localhost:9090'\nadmin-token-file = '{}'\nmessage-rate = 5\n",
        text(&short),
        text(&open),
        text(&in_folder("missing")),
        text(&key),
        text(&set),
        text(&in_folder("turn")),
        text(&list),
        text(folder.path()),
        text(&in_folder("admin")),
    ));
    let arguments = [
        "--config",
        text(&config),
        "--cert",
        text(&cert),
        "--key",
        text(&key),
        "--port",
        "80",
        "--message-rate",
        "x",
        "--redirect-from",
        "*:1",
    ];
    let variables = [("SIGNALING_RELAY_BYTE_RATE", "much"), ("SIGNALING_RELAY_ROOM_CAPACTIY", "4")];
    let (code, said) = check_of(&arguments, &variables).await;
    let said = said.replace(text(&config), "relay.toml");
    let lines: Vec<&str> = said.lines().collect();
    for expected in [
        "error: unexpected argument '--port' found",
        "error: --message-rate: it is not a number from 0 to",
        "error: SIGNALING_RELAY_BYTE_RATE: it is not a number from 0 to",
        "error: relay.toml:2: there is no setting",
        "error: relay.toml:3: hold-ms: it is not a number",
        "error: cannot serve TLS: ",
        "error: relay.toml:1: token-secret-file: the secret in",
        "error: relay.toml:1: token-secret-file: every user of this machine can read",
        "error: relay.toml:1: token-secret-file: cannot read",
        "error: relay.toml:5: auth-ca: ",
        "error: relay.toml:6: token-jwks: ",
        "error: relay.toml:8: turn-secret-file: cannot read",
        "error: relay.toml:9: ice-servers: ",
        "error: relay.toml:10: web: cannot serve the page from",
        "error: relay.toml:12: admin-token-file: cannot read",
        "warning: the relay knows no environment variable \"SIGNALING_RELAY_ROOM_CAPACTIY\"",
        "note: the URL of token-jwks (relay.toml:6) is not fetched",
    ] {
        assert_eq!(lines.iter().filter(|line| line.starts_with(expected)).count(), 1, "{expected} in\n{said}");
    }
    assert_eq!(lines.iter().filter(|line| line.starts_with("error: ")).count(), 15, "{said}");
    assert!(code == Some(1) && said.contains("expired on") && !said.contains("hunter2"), "{said}");
    assert!(!said.contains("are right"), "{said}");
}

#[tokio::test]
async fn check_says_that_all_is_right_and_how_many_files_were_read() {
    let pki = Pki::new();
    let (cert, key) = pki.renew(1);
    fs::set_permissions(&key, PermissionsExt::from_mode(0o600)).unwrap();
    let secret = secret_file(pki.folder(), "secret", "0123456789abcdef0123456789abcdef");
    let page = file(pki.folder(), "index.html", "mine");
    let (_folder, config) = settings(&format!(
        "cert = '{}'\nkey = '{}'\ntoken-secret-file = '{}'\nweb = '{}'\n",
        text(&cert),
        text(&key),
        text(&secret),
        text(page.parent().unwrap()),
    ));
    let right = "the settings are right: 5 files were read\n";
    assert_eq!(check_of(&["--config", text(&config)], &[]).await, (Some(0), right.to_owned()));
    assert_eq!(check_of(&[], &[]).await, (Some(0), "the settings are right: they name no file\n".to_owned()));
    // One that serves already has the port, and check does not need it.
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap().to_string();
    assert_eq!(run(&["--listen", &taken]).await.status.code(), Some(1));
    assert_eq!(check_of(&["--listen", &taken, "--config", text(&config)], &[]).await, (Some(0), right.to_owned()));
}

#[tokio::test]
async fn check_takes_what_wins_and_does_not_guess_what_a_wrong_value_would_be() {
    // The relay does not look at the variable either.
    let variable = [("SIGNALING_RELAY_ROOM_CAPACITY", "many")];
    assert_eq!(check_of(&["--room-capacity", "4"], &variable).await.0, Some(0));
    assert_eq!(check_of(&[], &variable).await.0, Some(1));
    // The key that is missing may be the one that is wrong.
    let (_folder, path) = settings("cert = 'c.pem'\nkey = 5.5\n");
    let (code, said) = check_of(&["--config", text(&path)], &[]).await;
    assert!(code == Some(1) && said.lines().count() == 1 && said.contains(":2: key: it must be"), "{said}");
    // What is given twice.
    let (code, said) = check_of(&["--room-capacity", "4", "--room-capacity", "5"], &[]).await;
    assert!(code == Some(1) && said.contains("cannot be used multiple times"), "{said}");
    let (code, said) = check_of(&["--config", "/no/such/file", "--hold-ms", "x"], &[]).await;
    assert!(code == Some(1) && said.contains("--config: cannot read") && said.contains("--hold-ms: it is"), "{said}");
}

#[tokio::test]
async fn check_makes_nothing_and_reads_the_local_authority_that_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let authority = folder.path().join("authority");
    let arguments = ["--lan", "--lan-dir", text(&authority)];
    let (code, said) = check_of(&arguments, &[]).await;
    assert!(code == Some(0) && said.contains("note: there is no local authority of --lan in"), "{said}");
    assert!(!authority.exists());
    Process::start(&[&arguments[..], &["--listen", "127.0.0.1:0"]].concat()).await;
    let (code, said) = check_of(&arguments, &[]).await;
    assert_eq!((code, said.as_str()), (Some(0), "the settings are right: 1 file was read\n"));
    let certificate = authority.join("authority.pem");
    fs::remove_file(&certificate).unwrap();
    assert_eq!(check_of(&arguments, &[]).await.0, Some(0));
    assert!(!certificate.exists());
    secret_file(&authority, "authority.key", "broken");
    let (code, said) = check_of(&arguments, &[]).await;
    assert!(code == Some(1) && said.starts_with("error: cannot use the local authority"), "{said}");
    assert_eq!(names(&authority), [".gitignore", "authority.key"]);
}

fn names(folder: &Path) -> Vec<String> {
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(name).collect();
    names.sort();
    names
}

#[tokio::test]
async fn check_tells_of_a_certificate_that_expires_soon_and_of_what_the_start_would_warn() {
    let pki = Pki::new();
    let now = SystemTime::now();
    let (cert, key) = pki.sign(1, now - Duration::from_secs(60), now + Duration::from_secs(90_000));
    let (cert, key) = (file(pki.folder(), "cert.pem", cert), file(pki.folder(), "key.pem", key));
    fs::set_permissions(&key, PermissionsExt::from_mode(0o644)).unwrap();
    let (code, said) = check_of(&["--cert", text(&cert), "--key", text(&key)], &[]).await;
    assert!(code == Some(0) && said.contains("expires in 24 hours") && said.contains("chmod 600"), "{said}");
    assert_eq!(said.lines().filter(|line| line.starts_with("warning: ")).count(), 2, "{said}");
}

#[tokio::test]
async fn check_has_help_and_the_command_line_alone_may_be_what_is_wrong() {
    let Output { status, stdout, .. } = run(&["check", "--help"]).await;
    let help = String::from_utf8(stdout).unwrap();
    assert!(status.success() && help.contains("--room-capacity") && help.contains("exit code is 1"), "{help}");
    assert_eq!(check_of(&["--listen"], &[]).await.0, Some(1));
    assert_eq!(check_of(&["stray"], &[]).await.0, Some(1));
}
