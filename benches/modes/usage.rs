//! CPU time and memory of a server together with its child processes.

use std::fs;
use std::io;

use super::support::server_process::{ServerProcess, cpu_of};

/// Returns nanoseconds of CPU of the running threads of the server and its children.
pub(crate) fn cpu(server: &ServerProcess) -> io::Result<u64> {
    process_tree(server).into_iter().map(cpu_of).sum()
}

/// Returns nanoseconds of CPU of the server and its reaped children, in whole ticks.
pub(crate) fn cpu_with_reaped_children(server: &ServerProcess) -> io::Result<u64> {
    /// A tick of `/proc` (`USER_HZ`, the same on every Linux).
    const TICK: u64 = 10_000_000;
    let stat = fs::read_to_string(format!("/proc/{}/stat", server.id()))?;
    // The fields after the name, which may contain any character.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks = fields.skip(11).take(4).filter_map(|field| field.parse::<u64>().ok());
    Ok(ticks.sum::<u64>() * TICK)
}

/// Returns bytes of anonymous memory; pages shared by several processes are divided among them.
pub(crate) fn memory(server: &ServerProcess) -> io::Result<u64> {
    let mut sum = 0;
    for process in process_tree(server) {
        let rollup = fs::read_to_string(format!("/proc/{process}/smaps_rollup"))?;
        let line = rollup.lines().find_map(|line| line.strip_prefix("Pss_Anon:"));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        sum += number.unwrap_or_default() * 1_024;
    }
    Ok(sum)
}

fn process_tree(server: &ServerProcess) -> Vec<u32> {
    let id = server.id();
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
    // A kernel without this file gives no figures of children.
    let children = children.unwrap_or_default();
    let children = children.split_whitespace().filter_map(|child| child.parse().ok());
    [id].into_iter().chain(children).collect()
}
