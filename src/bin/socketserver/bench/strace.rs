//! The system calls of the servers, counted by `strace` while the load goes on unmeasured.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, ErrorKind};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::client_processes::{self, ClientProcesses, Event};
use super::protocol::{ClientMessage, ParentMessage as Order};
use super::record::real;
use crate::system;

/// How long is counted, and how long everything around it may take.
const LENGTH: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(5);

/// System calls a message by name, the most frequent first.
pub(crate) fn count(
    processes: &mut ClientProcesses,
    clients: usize,
    pids: &[u32],
) -> io::Result<Vec<(String, f64)>> {
    let mut strace = Strace::attach(pids)?;
    let before = answers(processes, clients)?;
    wait(processes)?;
    let after = answers(processes, clients)?;
    let calls = strace.detach()?;
    let messages = after.saturating_sub(before);
    if messages == 0 {
        return Err(io::Error::other("no message was answered while system calls were counted"));
    }
    let each = calls.into_iter().map(|(name, n)| (name, real(n) / real(messages)));
    let mut each: Vec<_> = each.filter(|(_, n)| *n >= 0.001).collect();
    each.sort_by(|a, b| b.1.total_cmp(&a.1));
    Ok(each)
}

/// How many answers all clients have had so far.
fn answers(processes: &mut ClientProcesses, clients: usize) -> io::Result<u64> {
    processes.tell_all(Order::Count);
    let end = Instant::now() + PATIENCE;
    let (mut told, mut all) = (0, 0);
    while told < clients {
        match processes.next(end) {
            Some(Event::Said(_, ClientMessage::Count(n))) => {
                told += 1;
                all += n;
            }
            Some(Event::Said(..)) => {}
            Some(Event::Interrupted) => return Err(ErrorKind::Interrupted.into()),
            Some(Event::Gone) | None => return Err(io::Error::other("a client process is gone")),
        }
    }
    Ok(all)
}

fn wait(processes: &ClientProcesses) -> io::Result<()> {
    let end = Instant::now() + LENGTH;
    while let Some(event) = processes.next(end) {
        if let Event::Interrupted = event {
            return Err(ErrorKind::Interrupted.into());
        }
    }
    Ok(())
}

struct Strace {
    child: Child,
    lines: Receiver<String>,
}

impl Strace {
    /// Returns once it counts.
    fn attach(pids: &[u32]) -> io::Result<Strace> {
        let mut command = Command::new("strace");
        command.args(["-c", "-f"]).env("LC_ALL", "C");
        for pid in pids {
            command.args(["-p", &pid.to_string()]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        system::keep_from_terminal(&mut command);
        let mut child = command.spawn().map_err(|error| match error.kind() {
            ErrorKind::NotFound => io::Error::new(ErrorKind::NotFound, "strace is not installed"),
            _ => error,
        })?;
        let stderr = child.stderr.take();
        let (sender, lines) = channel();
        let reader = move || {
            for line in stderr.into_iter().flat_map(|stderr| BufReader::new(stderr).lines()) {
                if line.ok().is_none_or(|line| sender.send(line).is_err()) {
                    return;
                }
            }
        };
        let strace = Strace { child, lines };
        thread::Builder::new().name("strace".into()).spawn(reader)?;
        let first = strace.lines.recv_timeout(PATIENCE).unwrap_or_default();
        if first.contains("attached") { Ok(strace) } else { Err(io::Error::other(first)) }
    }

    /// What was counted.
    fn detach(&mut self) -> io::Result<BTreeMap<String, u64>> {
        system::interrupt(self.child.id());
        let end = Instant::now() + PATIENCE;
        let mut calls = BTreeMap::new();
        let left = || end.saturating_duration_since(Instant::now());
        while let Ok(line) = self.lines.recv_timeout(left()) {
            calls.extend(row(&line));
        }
        if calls.is_empty() { Err(io::Error::other("strace counted nothing")) } else { Ok(calls) }
    }
}

/// Whatever happened, the servers are not traced any more.
impl Drop for Strace {
    fn drop(&mut self) {
        system::interrupt(self.child.id());
        client_processes::wait(&mut self.child, Instant::now() + PATIENCE);
    }
}

/// The calls in a row like ` 58.64    0.011  5    2098     3 sendto`; the errors may be missing.
fn row(line: &str) -> Option<(String, u64)> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let ([_, _, _, calls, name] | [_, _, _, calls, _, name]) = fields.as_slice() else {
        return None;
    };
    if *name == "total" {
        return None;
    }
    Some(((*name).into(), calls.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_of_strace_are_read() {
        assert_eq!(row(" 58.64    0.01   5    2098     3 sendto"), Some(("sendto".into(), 2_098)));
        assert_eq!(row(" 58.64    0.01   5    2098  recvfrom"), Some(("recvfrom".into(), 2_098)));
        assert_eq!(row("100.00    0.01   5    2098     3 total"), None);
        assert_eq!(row("% time     seconds  usecs/call     calls    errors syscall"), None);
        assert_eq!(row("------ ----------- ----------- --------- --------- ------"), None);
    }
}
