//! coturn, the STUN and TURN server, with the configuration in `scripts/deploy/`.

use std::ffi::OsStr;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::pages::{page, with};
use super::{file, free_port, soon, text};

/// coturn with the printed configuration. It ends with its owner.
pub struct Coturn {
    pub port: u16,
    process: Child,
}

impl Coturn {
    /// On a free port of loopback, with this secret, `more` lines in its configuration, and its files in `folder`.
    pub async fn start(folder: &Path, secret: &str, more: &str) -> Self {
        let more = format!("listening-ip=127.0.0.1\nrelay-ip=127.0.0.1\n{more}");
        let coturn = Self::start_at(Command::new("turnserver"), free_port(), folder, secret, &more);
        let up = async {
            while TcpStream::connect((Ipv4Addr::LOCALHOST, coturn.port)).await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        soon("coturn", up).await;
        coturn
    }

    /// By a command that ends in `turnserver`, at this port of the addresses in `more`. It listens soon.
    pub fn start_at(mut command: Command, port: u16, folder: &Path, secret: &str, more: &str) -> Self {
        let changes =
            [("static-auth-secret=SECRET", format!("static-auth-secret={secret}")), ("\nsyslog\n", "\n".into())];
        let changes = changes.each_ref().map(|(from, to)| (*from, to.as_str()));
        let printed = page("scripts/deploy/turnserver.conf");
        let own = format!(
            "listening-port={port}\nno-tls\nno-dtls\npidfile={}\nlog-file={}\n{more}\n",
            text(&folder.join("pid")),
            text(&folder.join("log"))
        );
        let configuration = file(folder, "turnserver.conf", with(&printed, &changes) + &own);
        let process = command
            .args([OsStr::new("-c"), configuration.as_os_str()])
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("turnserver: scripts/test installs it, or apt-get install coturn");
        Self { port, process }
    }

    pub async fn kill(mut self) {
        self.process.kill().await.unwrap();
    }

    /// What coturn's own client says that allocates with these credentials and then does this.
    pub async fn client(&self, username: &str, credential: &str, arguments: &[&str]) -> String {
        let port = self.port.to_string();
        let common = ["-n", "1", "-l", "20", "-u", username, "-w", credential, "-p", &port];
        let client = Command::new("turnutils_uclient")
            .args(common)
            .args(arguments)
            .arg("127.0.0.1")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(Duration::from_secs(30), client).await.expect("in time").unwrap();
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    }
}
