//! The process metrics that every Prometheus client library offers, read when they are asked for.
//!
//! Written as text here because the `metrics` facade counts in whole numbers, and CPU seconds are not whole. Where a
//! value cannot be read (not Linux), its metric is left out.

use std::fmt::Write as _;
use std::fs;

/// The lines for `/metrics`.
pub(crate) fn exposition() -> String {
    let mut out = String::new();
    let mut line = |name: &str, kind: &str, help: &str, value: Option<f64>| {
        if let Some(value) = value {
            let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n\n");
        }
    };
    line("process_cpu_seconds_total", "counter", "CPU time spent, in seconds.", cpu_seconds());
    line("process_resident_memory_bytes", "gauge", "Resident memory, in bytes.", resident_bytes());
    line("process_open_fds", "gauge", "Open file descriptors.", open_fds());
    out
}

/// User and system time: fields 14 and 15 of `/proc/self/stat` (proc_pid_stat(5)), counted after the command name,
/// which may contain spaces and parentheses itself.
fn cpu_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut times = after_name.split_ascii_whitespace().skip(11);
    let user: u64 = times.next()?.parse().ok()?;
    let system: u64 = times.next()?.parse().ok()?;
    Some((user + system) as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// The second field of `/proc/self/statm`, in pages.
fn resident_bytes() -> Option<f64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some((pages * rustix::param::page_size() as u64) as f64)
}

fn open_fds() -> Option<f64> {
    Some(fs::read_dir("/proc/self/fd").ok()?.count() as f64)
}

#[cfg(all(test, target_os = "linux"))]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_memory_time_and_files() {
        assert!(resident_bytes().unwrap() > 100_000.0);
        assert!(cpu_seconds().unwrap() >= 0.0);
        assert!(open_fds().unwrap() >= 3.0);
        assert_eq!(exposition().lines().filter(|line| line.starts_with("# TYPE")).count(), 3);
    }
}
