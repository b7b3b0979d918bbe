//! TLS as browsers see it: whom they trust, and a real nginx in front of the relay.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::Child;
use tokio::time::{sleep, timeout};

use super::window::INTERVAL;
use super::{PATIENCE, Relay, spawn_bound_to_us};
use crate::harness::free_port;
use crate::harness::pki::Pki;

/// Makes a browser with this home trust the authority in a file, as a person does in the settings.
pub fn trust(authority: &Path, home: &Path) {
    let store = home.join(".pki/nssdb");
    fs::create_dir_all(&store).unwrap();
    let store = format!("sql:{}", store.display());
    let authority = authority.to_str().unwrap();
    run(home, "certutil", &["-d", &store, "-N", "--empty-password"]);
    run(home, "certutil", &["-d", &store, "-A", "-t", "C,,", "-n", "test", "-i", authority]);
}

fn run(folder: &Path, program: &str, arguments: &[&str]) {
    let mut command = Command::new(program);
    let output = command.args(arguments).current_dir(folder).stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}: scripts/test installs it"));
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A real nginx with TLS in front of a relay.
pub struct Nginx {
    port: u16,
    folder: TempDir,
    _child: Child,
}

impl Nginx {
    pub async fn start(relay: &Relay, pki: &Pki) -> Self {
        let (certificate, key) = pki.renew(1);
        let folder = tempfile::tempdir().unwrap();
        // nginx cannot choose a port itself.
        let port = free_port();
        let temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|kind| format!("{kind}_temp_path temp;"));
        let config = format!(
            "daemon off; master_process off; pid pid; error_log error.log; events {{}}
            http {{
              access_log off; {}
              server {{
                listen 127.0.0.1:{port} ssl;
                ssl_certificate {}; ssl_certificate_key {};
                location / {{
                  proxy_pass http://127.0.0.1:{}; proxy_http_version 1.1; proxy_set_header Host $http_host;
                  proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;
                }}
              }}
            }}",
            temp.join(" "),
            certificate.display(),
            key.display(),
            relay.port(),
        );
        fs::write(folder.path().join("nginx.conf"), config).unwrap();
        let prefix = folder.path().to_str().unwrap();
        let child = spawn_bound_to_us("nginx", &["-p", prefix, "-c", "nginx.conf", "-e", "error.log"]);
        let nginx = Self { port, folder, _child: child.expect("setpriv (of util-linux) starts") };
        let listening = async {
            while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                sleep(INTERVAL).await;
            }
        };
        timeout(PATIENCE, listening).await.unwrap_or_else(|_| panic!("nginx does not start: {}", nginx.log()));
        nginx
    }

    /// The rule by which a browser finds it under `name`, at the port that https has.
    pub fn answers_for(&self, name: &str) -> String {
        format!("MAP {name}:443 127.0.0.1:{}", self.port)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("error.log")).unwrap_or_default()
    }
}
