//! What Prometheus's own libraries tell of each process, under their names: from `/proc` (proc(5)), so on Linux alone.

use std::fmt::Error;

use super::writer::Writer;

/// Writes what is known.
#[cfg(not(target_os = "linux"))]
pub(super) fn encode(_: &mut Writer<'_>) -> Result<(), Error> {
    Ok(())
}

/// Writes what is known.
#[cfg(target_os = "linux")]
pub(super) fn encode(to: &mut Writer<'_>) -> Result<(), Error> {
    use std::fs;

    use crate::net::system;

    /// How many fields of `stat` stand before its third, which comes after the name of the program in brackets.
    const BEFORE: usize = 3;
    let field = |stat: &str, number: usize| -> Option<f64> {
        let (_, rest) = stat.rsplit_once(')')?;
        rest.split_ascii_whitespace().nth(number - BEFORE)?.parse().ok()
    };
    let ticks = rustix::param::clock_ticks_per_second() as f64;
    let pages = rustix::param::page_size() as f64;
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    if let (Some(user), Some(system)) = (field(&stat, 14), field(&stat, 15)) {
        to.counter_named("process_cpu_seconds", "User and system CPU time in seconds", (user + system) / ticks)?;
    }
    if let Some(size) = field(&stat, 23) {
        to.gauge_named("process_virtual_memory_bytes", "Virtual memory in bytes", size)?;
    }
    if let Some(resident) = field(&stat, 24) {
        to.gauge_named("process_resident_memory_bytes", "Resident memory in bytes", resident * pages)?;
    }
    let booted = fs::read_to_string("/proc/stat").unwrap_or_default();
    let booted = booted.lines().find_map(|line| line.strip_prefix("btime ")?.parse::<f64>().ok());
    if let (Some(started), Some(booted)) = (field(&stat, 22), booted) {
        let help = "When the process started, in seconds since 1970";
        to.gauge_named("process_start_time_seconds", help, booted + started / ticks)?;
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        // One of them is the folder itself.
        to.gauge_named("process_open_fds", "Open file descriptors", open.count().saturating_sub(1) as f64)?;
    }
    match system::descriptor_limit() {
        Some(limit) => to.gauge_named("process_max_fds", "How many file descriptors may be open", limit as f64),
        None => Ok(()),
    }
}
