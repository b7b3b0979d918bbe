//! How much memory this machine has for the relay: its own, or what its control groups (Linux) leave it.

use std::fs;
use std::path::{Path, PathBuf};

/// What is assumed where nothing tells how much there is, in bytes: the least that machines have today.
const UNKNOWN: u64 = 1024 * 1024 * 1024;

/// Where a system tells how much memory there is.
#[derive(Debug)]
struct Machine {
    /// The root of the file system.
    root: PathBuf,
}

/// Half of the memory that this machine, or its control group, has, in bytes.
pub(crate) fn half_of_machine() -> usize {
    let bytes = Machine::here().memory().unwrap_or(UNKNOWN);
    usize::try_from(bytes / 2).unwrap_or(usize::MAX)
}

impl Machine {
    /// This machine.
    fn here() -> Self {
        Self { root: PathBuf::from("/") }
    }

    /// The memory that the relay could use at most, in bytes; none if nothing tells.
    fn memory(&self) -> Option<u64> {
        [self.total(), self.of_groups()].into_iter().flatten().min()
    }

    /// The memory of the machine, as `/proc/meminfo` has it (proc(5)).
    fn total(&self) -> Option<u64> {
        let meminfo = self.read("proc/meminfo")?;
        let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        let kibibytes: u64 = total.trim().strip_suffix("kB")?.trim().parse().ok()?;
        kibibytes.checked_mul(1024)
    }

    /// The lowest limit of the control groups that this process is in (cgroups(7)): each group may have one, and so may
    /// those that it is in. In a container, the path may lead to nothing: then what is mounted is the container's own.
    fn of_groups(&self) -> Option<u64> {
        let groups = self.read("proc/self/cgroup")?;
        let limits = groups.lines().filter_map(|line| {
            let (_, rest) = line.split_once(':')?;
            let (controllers, path) = rest.split_once(':')?;
            match controllers {
                "" => self.lowest("sys/fs/cgroup", path, "memory.max"),
                names if names.split(',').any(|name| name == "memory") => {
                    self.lowest("sys/fs/cgroup/memory", path, "memory.limit_in_bytes")
                }
                _ => None,
            }
        });
        limits.min()
    }

    fn lowest(&self, mount: &str, path: &str, file: &str) -> Option<u64> {
        let path = Path::new(path.trim_start_matches('/'));
        // `max` is no number. Version 1 writes a number beyond any machine instead.
        path.ancestors()
            .filter_map(|group| self.read(Path::new(mount).join(group).join(file))?.trim().parse().ok())
            .min()
    }

    fn read(&self, path: impl AsRef<Path>) -> Option<String> {
        fs::read_to_string(self.root.join(path)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEBIBYTE: u64 = 1024 * 1024;

    /// A machine with 1,000 MiB, and these files.
    fn machine(files: &[(&str, &str)]) -> (Machine, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        for (path, content) in [("proc/meminfo", "MemTotal:        1024000 kB\nMemFree: 5 kB\n")].iter().chain(files) {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        (Machine { root: folder.path().to_owned() }, folder)
    }

    #[test]
    fn a_machine_without_control_groups_has_all_its_memory() {
        assert_eq!(machine(&[]).0.memory(), Some(1000 * MEBIBYTE));
        assert!(Machine { root: "/no/such/folder".into() }.memory().is_none());
    }

    #[test]
    fn the_lowest_limit_of_the_groups_around_the_process_counts() {
        let (machine, _folder) = machine(&[
            ("proc/self/cgroup", "0::/system.slice/relay.service\n"),
            ("sys/fs/cgroup/system.slice/relay.service/memory.max", "max\n"),
            ("sys/fs/cgroup/system.slice/memory.max", "268435456\n"),
        ]);
        assert_eq!(machine.memory(), Some(256 * MEBIBYTE));
    }

    #[test]
    fn a_container_sees_its_own_group_as_the_root() {
        let files = [("proc/self/cgroup", "0::/../abc\n"), ("sys/fs/cgroup/memory.max", "134217728\n")];
        assert_eq!(machine(&files).0.memory(), Some(128 * MEBIBYTE));
    }

    #[test]
    fn so_does_version_1_and_its_number_for_no_limit_is_none() {
        let group = ("proc/self/cgroup", "5:cpu:/\n4:memory:/docker/abc\n");
        let limit = "sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes";
        assert_eq!(machine(&[group, (limit, "134217728\n")]).0.memory(), Some(128 * MEBIBYTE));
        assert_eq!(machine(&[group, (limit, "9223372036854771712\n")]).0.memory(), Some(1000 * MEBIBYTE));
    }

    #[test]
    fn this_machine_tells() {
        assert!(half_of_machine() > 64 * MEBIBYTE as usize);
    }
}
