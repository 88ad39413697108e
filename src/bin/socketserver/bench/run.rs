//! One run, from the first process it starts to the last one it ends.

use std::ffi::OsString;
use std::io;
use std::time::{Duration, Instant};

use super::args::LoadPlan;
use super::client_processes::{ClientProcesses, Event};
use super::counters::Counters;
use super::limits;
use super::probe;
use super::process::{Kernel, Usage};
use super::progress::Line;
use super::protocol::{ClientMessage, Order, ParentMessage, ProgressReport};
use super::record::{KernelUse, RunRecord, ServerUse};
use super::scenario::LoadMode;
use super::servers::Targets;
use super::strace;
use super::thread_usage::{self, Threads};
use crate::terminal;

/// How long anything may take beyond its own time before the run is given up.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn run(plan: &LoadPlan) -> io::Result<RunRecord> {
    // The look-up of a name may take long, and is ended by a signal as long as none is watched.
    let target = look_up_target(plan)?;
    let mut processes = ClientProcesses::new()?;
    let mut targets = start_targets(plan, target)?;
    let mut run = BenchRun::new(plan, &targets);
    processes.start(&run.orders, &targets.own_pids())?;
    let outcome = run.watch(&mut processes);
    if outcome.is_ok() && plan.syscalls {
        run.count_calls(&mut processes);
    }
    // The clients first, so that the servers have no client left to wait for.
    drop(processes);
    outcome?;
    run.refuse_nothing()?;
    let mut record = run.record();
    record.note_loops(targets.end());
    Ok(record)
}

/// The address of the server that is there already, if one was named.
fn look_up_target(plan: &LoadPlan) -> io::Result<Option<OsString>> {
    let Some(addr) = &plan.target else { return Ok(None) };
    if let Some(pid) = plan.pid.filter(|pid| Usage::of(*pid).is_none()) {
        let what = format!("--pid {pid}: nothing is known about such a process");
        return Err(io::Error::new(io::ErrorKind::NotFound, what));
    }
    probe::address(plan.terms.transport, addr).map(Some)
}

fn start_targets(plan: &LoadPlan, target: Option<OsString>) -> io::Result<Targets> {
    let transport = plan.terms.transport;
    if let Some(addr) = target {
        return Targets::foreign(transport, addr, plan.pid);
    }
    let n = limits::servers(&plan.terms);
    Targets::own(transport, n, &plan.server, plan.has_several_loops)
}

struct BenchRun<'a> {
    plan: &'a LoadPlan,
    targets: &'a Targets,
    orders: Vec<Order>,
    up: u32,
    failed: u32,
    /// How many client processes have come so far.
    ready: usize,
    ended: usize,
    told: usize,
    progress: Vec<ProgressReport>,
    tally: Counters,
    before: Option<Usage>,
    at_begin: Option<Usage>,
    at_end: Option<Usage>,
    threads_at_begin: Option<Threads>,
    threads_at_end: Option<Threads>,
    kernel_before: Option<Kernel>,
    kernel_after: Option<Kernel>,
    interrupted: bool,
    line: Line,
    syscalls: Option<Vec<(String, f64)>>,
    notes: Vec<String>,
}

impl<'a> BenchRun<'a> {
    fn new(plan: &'a LoadPlan, targets: &'a Targets) -> BenchRun<'a> {
        let orders = orders(plan, targets);
        BenchRun {
            progress: vec![ProgressReport::default(); orders.len()],
            before: Usage::of_all(&targets.pids),
            kernel_before: Kernel::now(),
            plan,
            targets,
            orders,
            up: 0,
            failed: 0,
            ready: 0,
            ended: 0,
            told: 0,
            tally: Counters::default(),
            at_begin: None,
            at_end: None,
            threads_at_begin: None,
            threads_at_end: None,
            kernel_after: None,
            interrupted: false,
            line: Line::new(),
            syscalls: None,
            notes: Vec::new(),
        }
    }

    /// Hears the clients until all have told what they counted.
    fn watch(&mut self, processes: &mut ClientProcesses) -> io::Result<()> {
        let terms = &self.plan.terms;
        let each = Duration::from_millis(2) * terms.connections;
        let end = Instant::now() + terms.warmup() + terms.duration() + each + PATIENCE;
        while self.told < self.orders.len() {
            match processes.next(end) {
                Some(Event::Said(nth, said)) => self.hear(nth, said, processes)?,
                Some(Event::Interrupted) => {
                    self.interrupted = true;
                    processes.tell_all(ParentMessage::Stop);
                }
                Some(Event::Gone) => {
                    return Err(io::Error::other("a client process ended before it was done"));
                }
                None => return Err(io::Error::other("the client processes do not come to an end")),
            }
        }
        Ok(())
    }

    /// A run in which no process was up has one thing to say: why.
    fn refuse_nothing(&self) -> io::Result<()> {
        if self.up > 0 || self.interrupted {
            return Ok(());
        }
        let kind = self.tally.errors.keys().next().map_or("no connection", String::as_str);
        let addr = self.targets.addrs.first().map(|addr| terminal::shown(addr)).unwrap_or_default();
        let name = self.plan.terms.transport.name();
        let cure = limits::cure(kind, &self.plan.terms);
        let cure = cure.map(|cure| format!("; {cure}")).unwrap_or_default();
        Err(io::Error::other(format!("cannot connect to {name} {addr}: {kind}{cure}")))
    }

    /// One more client is ready; the last one lets all begin.
    fn note_ready(&mut self, processes: &mut ClientProcesses) {
        self.ready += 1;
        if self.ready == self.orders.len() {
            // When no process is up, the clients still tell why.
            let all = if self.up == 0 { ParentMessage::Stop } else { ParentMessage::Go };
            processes.tell_all(all);
        }
    }

    fn hear(
        &mut self,
        nth: usize,
        said: ClientMessage,
        processes: &mut ClientProcesses,
    ) -> io::Result<()> {
        match said {
            ClientMessage::Progress(progress) => {
                if let Some(known) = self.progress.get_mut(nth) {
                    *known = progress;
                }
                let phase = self.phase();
                self.line.draw(phase, self.plan.terms.connections, &self.progress);
            }
            ClientMessage::Ready { up, failed } => {
                self.up += up;
                self.failed += failed;
                self.note_ready(processes);
            }
            ClientMessage::Begin(usage) => {
                self.at_begin = self.at_begin.or(usage);
                self.threads_at_begin.get_or_insert_with(|| Threads::now(&self.targets.pids));
            }
            ClientMessage::End(usage) => {
                self.ended += 1;
                self.at_end = self.at_end.or(usage);
                self.threads_at_end.get_or_insert_with(|| Threads::now(&self.targets.pids));
                self.kernel_after = self.kernel_after.or_else(Kernel::now);
            }
            ClientMessage::Counters(tally) => {
                self.tally.add(&tally);
                self.told += 1;
            }
            ClientMessage::Count(_) => {}
            ClientMessage::Failed(why) => return Err(io::Error::other(why)),
        }
        Ok(())
    }

    /// What is going on, in a word.
    fn phase(&self) -> &'static str {
        match self.plan.terms.mode {
            _ if self.ready < self.orders.len() => "connecting",
            LoadMode::Idle if self.ended > 0 => "asking",
            LoadMode::Idle => "holding",
            _ if self.ended > 0 => "waiting for the last answers",
            _ if self.at_begin.is_some() => "measuring",
            _ => "driving",
        }
    }

    /// The system calls a message, or a note why they are not known.
    fn count_calls(&mut self, processes: &mut ClientProcesses) {
        let counted = match self.plan.terms.mode {
            _ if self.interrupted => return,
            LoadMode::Idle => Err(io::Error::other("there are no messages")),
            _ if self.targets.pids.is_empty() => Err(io::Error::other("give --pid")),
            _ => {
                processes.tell_all(ParentMessage::GoOn);
                strace::count(processes, self.orders.len(), &self.targets.pids)
            }
        };
        match counted {
            Ok(calls) => self.syscalls = Some(calls),
            Err(error) => self.notes.push(format!("System calls were not counted: {error}.")),
        }
    }

    fn record(self) -> RunRecord {
        let target = match self.targets.addrs.as_slice() {
            [one] => format!("{} {}", self.plan.terms.transport.name(), terminal::shown(one)),
            many => format!("{} at {} addresses", self.plan.terms.transport.name(), many.len()),
        };
        let mut record = RunRecord::new(self.plan.terms.clone(), target, self.tally);
        record.servers = self.targets.own_pids().len();
        record.clients = self.orders.len();
        record.interrupted = self.interrupted;
        (record.syscalls, record.notes) = (self.syscalls, self.notes);
        if let (Some(begin), Some(end)) = (self.at_begin, self.at_end) {
            record.server = Some(ServerUse {
                cpu_ns: end.cpu_ns.saturating_sub(begin.cpu_ns),
                memory_before: self.before.unwrap_or(begin).memory,
                memory: end.memory,
            });
        }
        if let (Some(begin), Some(end)) = (&self.threads_at_begin, &self.threads_at_end) {
            record.loops = thread_usage::between(begin, end);
        }
        let is_silent = record.server.is_some_and(|server| server.cpu_ns == 0);
        if let Some(pid) = self.plan.pid.filter(|_| is_silent && record.measured.messages > 0) {
            record.server = None;
            record.notes.push(format!("Process {pid} used no CPU time at all: is it the server?"));
        }
        if let (LoadMode::Idle, Some(before), Some(after)) =
            (self.plan.terms.mode, self.kernel_before, self.kernel_after)
        {
            record.kernel = Some(KernelUse { before, after });
        }
        record.sum_up();
        record
    }
}

/// Shares the connections among the client processes.
fn orders(plan: &LoadPlan, targets: &Targets) -> Vec<Order> {
    let terms = &plan.terms;
    let least = u32::try_from(limits::processes(terms.connections.into())).unwrap_or(u32::MAX);
    let clients = plan.clients.unwrap_or(least).clamp(1, terms.connections.max(1));
    let (each, more) = (terms.connections / clients, terms.connections % clients);
    let mut first = 0;
    let share = |nth: u32| {
        let connections = each + u32::from(nth < more);
        let order = Order {
            terms: terms.share(connections),
            first,
            targets: rotated(&targets.addrs, nth as usize),
            sources: limits::sources(plan),
            scratch: targets.scratch().into(),
            // At the very edges of the window, which only its owner knows.
            observed: if nth == 0 { targets.pids.clone() } else { Vec::new() },
            progress: std::io::IsTerminal::is_terminal(&io::stderr()),
        };
        first += connections;
        order
    };
    (0..clients).map(share).collect()
}

/// Each client begins with another server.
fn rotated(addrs: &[OsString], nth: usize) -> Vec<OsString> {
    let mut addrs = addrs.to_vec();
    let by = nth % addrs.len().max(1);
    addrs.rotate_left(by);
    addrs
}
