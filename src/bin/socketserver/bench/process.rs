//! What a process has used, as `/proc` tells it; `None` where there is no such thing.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// The unit of CPU times in `/proc/PID/stat`: Linux reports hundredths of a second everywhere.
const TICK_NS: u64 = 10_000_000;

/// Of a process with more threads than this, the exact time of each is not asked.
const MOST_THREADS: usize = 256;

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(crate) struct Usage {
    pub(crate) cpu_ns: u64,
    /// Resident memory in bytes.
    pub(crate) memory: u64,
}

impl Usage {
    pub(crate) fn of(pid: u32) -> Option<Usage> {
        let pid = pid.to_string();
        Some(Usage { cpu_ns: cpu(&pid)?, memory: memory(&pid)? })
    }

    /// Of all of these; `None` when one of them is not there.
    pub(crate) fn of_all(pids: &[u32]) -> Option<Usage> {
        let usages: Option<Vec<Usage>> = pids.iter().map(|pid| Usage::of(*pid)).collect();
        usages.filter(|usages| !usages.is_empty()).map(|usages| {
            usages.iter().fold(Usage::default(), |sum, one| Usage {
                cpu_ns: sum.cpu_ns + one.cpu_ns,
                memory: sum.memory + one.memory,
            })
        })
    }
}

/// CPU time in nanoseconds; `pid` may be `self`. The scheduler knows it exactly for each thread
/// that lives, the statistics in ticks for all that ever lived; both are never too much.
pub(crate) fn cpu(pid: &str) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name of the program, in parentheses, may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    let ticks = (user + system) * TICK_NS;
    Some(exact_cpu(pid).map_or(ticks, |exact| exact.max(ticks)))
}

fn exact_cpu(pid: &str) -> Option<u64> {
    let threads: Vec<_> = fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten().collect();
    if threads.len() > MOST_THREADS {
        return None;
    }
    threads.iter().map(|thread| thread_cpu(&thread.path())).sum()
}

/// Of the thread whose directory in `/proc` this is, in nanoseconds.
pub(crate) fn thread_cpu(thread: &Path) -> Option<u64> {
    let text = fs::read_to_string(thread.join("schedstat")).ok()?;
    text.split_whitespace().next()?.parse().ok()
}

fn memory(pid: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    kilobytes(&status, "VmRSS:")
}

/// The value of a line like `Slab:  1234 kB`, in bytes.
pub(crate) fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let number: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(number * 1_024)
}

/// Memory of the kernel for sockets: bytes in its slabs, and in the buffers of TCP.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(crate) struct Kernel {
    pub(crate) slab: u64,
    pub(crate) buffers: u64,
}

impl Kernel {
    pub(crate) fn now() -> Option<Kernel> {
        let slab = kilobytes(&fs::read_to_string("/proc/meminfo").ok()?, "Slab:")?;
        let sockstat = fs::read_to_string("/proc/net/sockstat").unwrap_or_default();
        Some(Kernel { slab, buffers: pages(&sockstat).unwrap_or(0) * 4_096 })
    }
}

/// The pages in `TCP: inuse 5 orphan 0 tw 0 alloc 7 mem 1`.
fn pages(sockstat: &str) -> Option<u64> {
    let line = sockstat.lines().find_map(|line| line.strip_prefix("TCP:"))?;
    let (_, rest) = line.rsplit_once("mem ")?;
    rest.split_whitespace().next()?.parse().ok()
}

/// The share of one core that `cpu_ns` are of a time of `length_ns`.
#[expect(clippy::cast_precision_loss, reason = "nobody needs the fifteenth digit")]
pub(crate) fn share(cpu_ns: u64, length_ns: u64) -> f64 {
    if length_ns == 0 { 0.0 } else { cpu_ns as f64 / length_ns as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_has_used_something() {
        let usage = Usage::of(std::process::id()).unwrap();
        assert!(usage.memory > 100_000, "{usage:?}");
        assert_eq!(Usage::of_all(&[]), None);
        assert!(Kernel::now().unwrap().slab > 0);
    }

    #[test]
    fn the_lines_of_proc_are_read() {
        assert_eq!(kilobytes("A: 1 kB\nSlab:     1234 kB\n", "Slab:"), Some(1_234 * 1_024));
        assert_eq!(
            pages("sockets: used 1\nTCP: inuse 5 orphan 0 tw 0 alloc 7 mem 3\nUDP: mem 9"),
            Some(3)
        );
    }
}
