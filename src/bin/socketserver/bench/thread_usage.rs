//! How the work was spread over the loops of the servers, or over the threads of any other server.

use std::collections::BTreeMap;
use std::fs;

use serde::{Deserialize, Serialize};

use super::process::thread_cpu;

/// How the library names the threads of its loops.
const PREFIX: &str = "socketserver-";

/// One loop, or one thread.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct LoopUse {
    pub(crate) name: String,
    /// CPU time within the window.
    pub(crate) cpu_ns: u64,
    /// Its part of the CPU time of all loops.
    pub(crate) share: f64,
    /// The clients it had in the whole run, and the datagrams; of servers of our own.
    pub(crate) had: Option<Had>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Had {
    pub(crate) connections: u64,
    pub(crate) packets: u64,
}

/// The name and the CPU time of every thread, in the order in which they were started.
#[derive(Debug, Default)]
pub(crate) struct Threads(BTreeMap<(usize, u32), (String, u64)>);

impl Threads {
    pub(crate) fn now(pids: &[u32]) -> Threads {
        let mut all = BTreeMap::new();
        for (nth, pid) in pids.iter().enumerate() {
            let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
            for task in tasks {
                let name = fs::read_to_string(task.path().join("comm")).unwrap_or_default();
                let id = task.file_name().to_str().and_then(|id| id.parse().ok());
                if let (Some(id), Some(cpu)) = (id, thread_cpu(&task.path())) {
                    all.insert((nth, id), (name.trim_end().into(), cpu));
                }
            }
        }
        Threads(all)
    }
}

/// What each loop used between two looks. Of a server with other threads, all that used anything.
pub(crate) fn between(before: &Threads, after: &Threads) -> Vec<LoopUse> {
    let used = after.0.iter().map(|(key, (name, cpu_ns))| {
        let since = before.0.get(key).map_or(0, |(_, cpu_ns)| *cpu_ns);
        (name, cpu_ns.saturating_sub(since))
    });
    let used: Vec<(&String, u64)> = used.collect();
    let has_loops = used.iter().any(|(name, _)| name.starts_with(PREFIX));
    let counts = |name: &str, cpu_ns: u64| {
        if has_loops { name.starts_with(PREFIX) } else { cpu_ns > 0 }
    };
    let used: Vec<_> = used.into_iter().filter(|(name, cpu)| counts(name, *cpu)).collect();
    if used.len() < 2 {
        // One loop has it all.
        return Vec::new();
    }
    let all: u64 = used.iter().map(|(_, cpu_ns)| cpu_ns).sum();
    let of_all = |(name, cpu_ns): (&String, u64)| LoopUse {
        name: name.clone(),
        cpu_ns,
        share: super::process::share(cpu_ns, all),
        had: None,
    };
    used.into_iter().map(of_all).collect()
}

/// What a server of ours has written down of its loops: a line for each.
pub(crate) fn had(text: &str) -> Vec<Had> {
    let number = |word: Option<&str>| word.and_then(|word| word.parse().ok()).unwrap_or(0);
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        Had { connections: number(words.next()), packets: number(words.next()) }
    };
    text.lines().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn threads(of: &[(u32, &str, u64)]) -> Threads {
        Threads(of.iter().map(|(id, name, cpu)| ((0, *id), ((*name).into(), *cpu))).collect())
    }

    #[test]
    fn loops_are_told_and_not_who_waits_for_them() {
        let before = threads(&[(1, "socketserver", 5), (2, "socketserver-0", 100)]);
        let after = threads(&[
            (1, "socketserver", 6),
            (2, "socketserver-0", 400),
            (3, "socketserver-1", 100),
        ]);
        let loops = between(&before, &after);
        assert_eq!(loops.iter().map(|one| one.cpu_ns).collect::<Vec<_>>(), [300, 100]);
        assert!((loops[0].share - 0.75).abs() < 1e-9);
    }

    #[test]
    fn of_another_server_those_threads_are_told_that_did_something() {
        let before = threads(&[(1, "main", 5), (2, "io", 7)]);
        let after = threads(&[(1, "main", 5), (2, "io", 9), (3, "io", 2)]);
        assert_eq!(between(&before, &after).len(), 2);
        assert_eq!(between(&after, &after), []);
    }

    #[test]
    fn a_line_of_counters_is_read() {
        assert_eq!(
            had("3 0\n4 9\n"),
            [Had { connections: 3, packets: 0 }, Had { connections: 4, packets: 9 }]
        );
    }
}
