//! What a process has used, as Linux tells it under `/proc`.

use std::fs;

use anyhow::{Context, Result};
use serde::Serialize;

/// Clock ticks a second in `/proc/PID/stat`: USER_HZ, which is 100 on every architecture that Linux still builds for.
const TICKS_PER_SECOND: f64 = 100.0;
/// Where the user time stands in `/proc/PID/stat`, counted from the field after the name; the system time follows.
const USER_TIME_FIELD: usize = 11;

/// What a process has used so far, or between two moments.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Usage {
    /// CPU time in user mode, in seconds.
    pub(crate) user_seconds: f64,
    /// CPU time in the kernel, in seconds.
    pub(crate) system_seconds: f64,
    /// Context switches of all its threads, voluntary or not.
    pub(crate) context_switches: i64,
    /// Resident memory, in bytes; the difference is negative where memory was given back.
    pub(crate) resident_bytes: i64,
}

impl Usage {
    /// What process `pid` has used so far.
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let read = |path: &str| fs::read_to_string(format!("/proc/{pid}/{path}"));
        let stat = read("stat").with_context(|| format!("there is no process {pid}"))?;
        // The name, in parentheses, may hold spaces.
        let (_, fields) = stat.rsplit_once(')').context("/proc has another form than expected")?;
        let mut times =
            fields.split_ascii_whitespace().skip(USER_TIME_FIELD).map_while(|field| field.parse::<f64>().ok());
        let mut usage = Self {
            user_seconds: times.next().unwrap_or_default() / TICKS_PER_SECOND,
            system_seconds: times.next().unwrap_or_default() / TICKS_PER_SECOND,
            resident_bytes: status_field(&read("status")?, "VmRSS") * 1024,
            context_switches: 0,
        };
        for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
            // A thread may end while we look.
            let Ok(status) = fs::read_to_string(thread?.path().join("status")) else { continue };
            for field in ["voluntary_ctxt_switches", "nonvoluntary_ctxt_switches"] {
                usage.context_switches += status_field(&status, field);
            }
        }
        Ok(usage)
    }

    /// What each of these processes has used so far.
    pub(crate) fn of_each(pids: &[u32]) -> Result<Vec<Self>> {
        pids.iter().map(|pid| Self::of(*pid)).collect()
    }

    /// What was used since `earlier`.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            user_seconds: self.user_seconds - earlier.user_seconds,
            system_seconds: self.system_seconds - earlier.system_seconds,
            context_switches: self.context_switches - earlier.context_switches,
            resident_bytes: self.resident_bytes - earlier.resident_bytes,
        }
    }
}

fn status_field(status: &str, name: &str) -> i64 {
    let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.and_then(|value| value.split_ascii_whitespace().next()?.parse().ok()).unwrap_or_default()
}
