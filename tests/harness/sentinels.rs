//! Real sentinels of Redis: three of them, which watch a primary that the test has started.

use std::process::Stdio;

use tokio::process::{Child, Command};

use super::redis::{Redis, cli};
use super::{bound_to_us, file, free_port, soon, text};

/// What they call the primary.
pub const NAME: &str = "rooms";
/// As many as are needed for two to agree when one is lost.
const COUNT: usize = 3;

/// Three sentinels. They end with their owner.
pub struct Sentinels {
    pub ports: Vec<u16>,
    processes: Vec<Child>,
    _folder: tempfile::TempDir,
}

impl Sentinels {
    /// Those that watch `primary`, once they know of each other and of its replica.
    pub async fn over(primary: &Redis) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (mut ports, mut processes) = (Vec::new(), Vec::new());
        for number in 0..COUNT {
            let port = free_port();
            let content = format!(
                "port {port}\nbind 127.0.0.1\ndir {folder}\nlogfile {folder}/log{number}\n\
                 sentinel monitor {NAME} 127.0.0.1 {primary} 2\nsentinel down-after-milliseconds {NAME} 1000\n\
                 sentinel failover-timeout {NAME} 3000\n",
                folder = text(folder.path()),
                primary = primary.port,
            );
            let settings = file(folder.path(), &format!("sentinel{number}.conf"), content);
            let mut command = Command::from(bound_to_us("redis-server"));
            command.arg(settings).arg("--sentinel").stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
            processes.push(command.spawn().expect("redis-server: scripts/test installs it"));
            ports.push(port);
        }
        let sentinels = Self { ports, processes, _folder: folder };
        let agree = async {
            while !sentinels.agree().await {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        };
        soon("the sentinels", agree).await;
        sentinels
    }

    /// Whether each knows the others and a replica.
    async fn agree(&self) -> bool {
        for port in &self.ports {
            let said = cli(*port, &["sentinel", "master", NAME]).await;
            let lines: Vec<_> = said.lines().collect();
            let is = |field: &str, value: &str| lines.windows(2).any(|pair| pair[0] == field && pair[1] == value);
            if !is("num-slaves", "1") || !is("num-other-sentinels", "2") {
                return false;
            }
        }
        true
    }

    /// The URL of the primary that they watch.
    pub fn url(&self) -> String {
        let ports: Vec<_> = self.ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        format!("redis+sentinel://{}/{NAME}", ports.join(","))
    }

    /// The port of what the first that lives takes for the primary.
    pub async fn primary(&self) -> u16 {
        for port in &self.ports {
            let said = cli(*port, &["sentinel", "get-master-addr-by-name", NAME]).await;
            if let Some(port) = said.lines().nth(1).and_then(|port| port.parse().ok()) {
                return port;
            }
        }
        0
    }

    /// Ends one without a word.
    pub async fn kill(&mut self, number: usize) {
        self.processes[number].kill().await.unwrap();
    }
}
