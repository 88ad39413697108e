//! The limit of descriptors, and one processor for servers and clients.
//!
//! Waking another processor costs more than a whole echo, and sometimes much more. With server and
//! client on one processor, figures can be compared.

use std::fs;
use std::io;
use std::process::{self, Command, Stdio};

/// Raises the soft limit of descriptors to the hard limit.
#[cfg(unix)]
pub(crate) fn raise_descriptor_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};

    if let Ok((_, most)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // If it fails, connecting reports the shortage.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, most, most);
    }
}

#[cfg(not(unix))]
pub(crate) fn raise_descriptor_limit() {}

/// The soft limit of descriptors a process may open; `usize::MAX` if there is none.
pub(crate) fn descriptor_limit() -> io::Result<usize> {
    let limits = fs::read_to_string("/proc/self/limits")?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().next());
    Ok(soft.and_then(|soft| soft.parse().ok()).unwrap_or(usize::MAX))
}

/// Binds this process and its future threads and children to the last processor it may use, by
/// `taskset`, because std has no call for it. Returns whether that worked.
pub(crate) fn share_one_processor() -> bool {
    let Some(processor) = last_processor() else { return false };
    let id = process::id().to_string();
    let taskset = Command::new("taskset")
        .args(["--pid", "--cpu-list", &processor, &id])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    taskset.is_ok_and(|status| status.success())
}

fn last_processor() -> Option<String> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    allowed.trim().rsplit([',', '-']).next().map(String::from)
}
