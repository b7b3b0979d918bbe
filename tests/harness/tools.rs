//! Tools of this machine, and files for them.

use std::ffi::OsStr;
use std::hash::{BuildHasher, RandomState};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, Ordering};

/// Runs a tool of this machine; what it wrote, stdout and then stderr.
pub fn tool(program: &str, arguments: &[&str], input: &str) -> (bool, String) {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    // A tool that ends without reading all is no fault of the test.
    let _ = std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes());
    let mut written = Vec::new();
    let mut stderr = child.stderr.take().unwrap();
    let complaints = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        stderr.read_to_end(&mut bytes).map(|_| bytes).unwrap()
    });
    child.stdout.take().unwrap().read_to_end(&mut written).unwrap();
    let good = child.wait().unwrap().success();
    written.extend(complaints.join().unwrap());
    (good, String::from_utf8_lossy(&written).into_owned())
}

/// A program that ends with this process, even when that dies without a chance to clean up; elsewhere than on Linux, only when
/// it has the chance.
pub fn bound_to_us(program: impl AsRef<OsStr>) -> Command {
    ended_with_us("KILL", program)
}

/// The same, which ends by this signal.
pub fn ended_with_us(signal: &str, program: impl AsRef<OsStr>) -> Command {
    let mut command = if cfg!(target_os = "linux") {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", signal]).arg(program);
        command
    } else {
        Command::new(program)
    };
    command.stdin(Stdio::null());
    command
}

/// A path as the command line takes it.
pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A file in `folder` with this content.
pub fn file(folder: &Path, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, content).unwrap();
    path
}

/// The same, which only its owner can read.
#[cfg(unix)]
pub fn secret_file(folder: &Path, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = file(folder, name, content);
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    path
}

/// A port of loopback that nobody listens on now, and that nobody is given by the system before it is used: those are
/// from 32,768 on (Linux's `ip_local_port_range`).
pub fn free_port() -> u16 {
    static NEXT: LazyLock<AtomicU16> = LazyLock::new(|| AtomicU16::new(RandomState::new().hash_one(()) as u16));
    let ports = std::iter::repeat_with(|| 10_000 + NEXT.fetch_add(1, Ordering::Relaxed) % 20_000);
    let mut free = ports.take(1000).filter(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok());
    free.next().expect("a port that is free")
}
