//! The client processes of a run, as the parent sees them.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command as Process, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::protocol::{ClientMessage, Order, ParentMessage};
use crate::system;

/// How long the end of a process may take before it is killed.
const LAST_WAIT: Duration = Duration::from_secs(5);

pub(crate) struct ClientProcesses {
    members: Vec<ClientProcess>,
    events: Receiver<Event>,
    sender: Sender<Event>,
}

struct ClientProcess {
    child: Child,
    /// `None` when it was told to stop.
    stdin: Option<ChildStdin>,
}

pub(crate) enum Event {
    Said(usize, ClientMessage),
    /// A client process ended.
    Gone,
    /// Somebody wants an end.
    Interrupted,
}

impl ClientProcesses {
    /// Nobody yet; but from now on Ctrl-C is an event and not the end.
    pub(crate) fn new() -> io::Result<ClientProcesses> {
        let (sender, events) = channel();
        let interrupted = sender.clone();
        system::on_interrupt(move || drop(interrupted.send(Event::Interrupted)))?;
        Ok(ClientProcesses { members: Vec::new(), events, sender })
    }

    /// Starts a process for each order. If we are gone all of a sudden, they end the `servers`.
    pub(crate) fn start(&mut self, orders: &[Order], servers: &[u32]) -> io::Result<()> {
        for (nth, order) in orders.iter().enumerate() {
            self.members.push(ClientProcess::start(nth, order, servers, self.sender.clone())?);
        }
        Ok(())
    }

    pub(crate) fn tell_all(&mut self, command: ParentMessage) {
        for member in &mut self.members {
            member.tell(command);
        }
    }

    /// What happens next; `None` when nothing does until `end`.
    pub(crate) fn next(&self, end: Instant) -> Option<Event> {
        let left = end.saturating_duration_since(Instant::now());
        self.events.recv_timeout(left).ok()
    }
}

impl ClientProcess {
    fn start(
        nth: usize,
        order: &Order,
        servers: &[u32],
        events: Sender<Event>,
    ) -> io::Result<ClientProcess> {
        let mut process = Process::new(std::env::current_exe()?);
        process.arg("bench-client").args(servers.iter().map(u32::to_string));
        process.stdin(Stdio::piped()).stdout(Stdio::piped());
        system::keep_from_terminal(&mut process);
        let mut child = process.spawn()?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let mut member = ClientProcess { child, stdin };
        let listener = move || {
            for line in stdout.into_iter().flat_map(|out| BufReader::new(out).lines()) {
                let Ok(line) = line else { break };
                let said = serde_json::from_str(&line)
                    .unwrap_or_else(|error| ClientMessage::Failed(format!("{error} in {line:?}")));
                if events.send(Event::Said(nth, said)).is_err() {
                    return;
                }
            }
            let _ = events.send(Event::Gone);
        };
        thread::Builder::new().name("client".into()).spawn(listener)?;
        member.write(&serde_json::to_vec(order)?)?;
        Ok(member)
    }

    /// When it is gone, its listener says so.
    fn tell(&mut self, command: ParentMessage) {
        if let Ok(line) = serde_json::to_vec(&command) {
            let _ = self.write(&line);
        }
        if command == ParentMessage::Stop {
            self.stdin = None;
        }
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        let Some(stdin) = &mut self.stdin else { return Ok(()) };
        stdin.write_all(line)?;
        stdin.write_all(b"\n")
    }
}

/// Nobody stays behind.
impl Drop for ClientProcesses {
    fn drop(&mut self) {
        self.tell_all(ParentMessage::Stop);
        let end = Instant::now() + LAST_WAIT;
        for member in &mut self.members {
            wait(&mut member.child, end);
        }
    }
}

/// Waits for the end of a process, and sees to it.
pub(crate) fn wait(child: &mut Child, end: Instant) {
    while Instant::now() < end {
        match child.try_wait() {
            Ok(None) => thread::sleep(Duration::from_millis(2)),
            Ok(Some(_)) | Err(_) => return,
        }
    }
    let _ = child.kill();
    let _ = child.wait();
}
