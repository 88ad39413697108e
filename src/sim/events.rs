//! What the poll of the simulated kernel reports.

use std::io;
use std::time::Duration;

use mio::Poll;

use super::connection::{NOTHING, SimConnection, SimEvent};
use super::kernel::Simulated;
use super::random::Random;
use super::stream_handler::World;
use crate::io::poll::PolledEvents;

/// A socket that has something to report.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Ready {
    Line(u32),
    Listener,
    Port(usize),
}

/// The events of a poll of the simulated kernel.
pub(crate) struct SimEvents {
    events: Vec<SimEvent>,
    world: World,
    /// What is drawn.
    random: Random,
    /// Whether nothing is held back and no signal comes.
    all: bool,
    /// Whether the poll of the next turn has been made already, and whether a signal ended it.
    taken: Option<bool>,
}

impl SimEvents {
    pub(super) fn new(world: World) -> SimEvents {
        SimEvents { events: Vec::new(), world, random: Random::new(0), all: false, taken: None }
    }

    /// Draws what the polls of a turn report.
    pub(super) fn draw(&mut self, salt: u64, all: bool) {
        (self.random, self.all) = (Random::new(salt), all);
    }

    /// Makes the poll of the next turn now; what happens until then is not in it.
    pub(super) fn take_now(&mut self, salt: u64) {
        self.draw(salt, false);
        let interrupted = self.take(true);
        self.taken = Some(interrupted);
    }

    pub(super) fn is_taken(&self) -> bool {
        self.taken.is_some()
    }

    /// Polls, and returns whether a signal woke the loop.
    fn take(&mut self, waits: bool) -> bool {
        if !self.all && waits && self.random.chance(5) {
            self.events.clear();
            return true;
        }
        let mut sim = self.world.borrow_mut();
        sim.take_events(&mut self.random, self.all, &mut self.events);
        false
    }

    pub(crate) fn events(&self) -> &[SimEvent] {
        &self.events
    }
}

impl PolledEvents for SimEvents {
    fn poll(&mut self, _: &mut Poll, timeout: Option<Duration>) -> io::Result<()> {
        let interrupted = match self.taken.take() {
            Some(interrupted) => interrupted,
            None => self.take(timeout != Some(Duration::ZERO)),
        };
        if interrupted { Err(io::ErrorKind::Interrupted.into()) } else { Ok(()) }
    }

    fn count(&self) -> usize {
        self.events.len()
    }
}

impl Simulated {
    /// How many sockets have an edge that was not reported.
    pub(crate) fn edges(&self) -> usize {
        let due = |line: &SimConnection| line.open && line.edge && line.state().is_some();
        let tries = self.trips.iter().flat_map(|trip| &trip.tries).map(|one| &one.line);
        let lines = self.lines.iter().flatten().chain(tries).filter(|line| due(line)).count();
        let ports = self.ports.iter().flatten().filter(|port| port.is_due()).count();
        lines + ports + usize::from(self.listener_edge && self.listener.is_some())
    }

    /// The events that are due, as many as a poll reports, and some spurious ones. As with epoll,
    /// those that were ready in an earlier poll come first; the others in an order that is drawn.
    pub(super) fn take_events(&mut self, random: &mut Random, all: bool, out: &mut Vec<SimEvent>) {
        out.clear();
        let most = if all { usize::MAX } else { self.options.events_per_turn };
        let mut due = self.due();
        if !due.is_empty() {
            let first = random.below(due.len());
            due.rotate_left(first);
        }
        let before = std::mem::take(&mut self.ready);
        let late = before.iter().filter(|one| due.contains(one)).copied();
        let new = due.iter().filter(|one| !before.contains(one)).copied();
        for one in late.chain(new) {
            if out.len() < most {
                out.extend(self.take_event(one));
            } else {
                self.ready.push(one);
            }
        }
        if out.len() >= most {
            // Nothing else fits.
            self.progress += out.len() as u64;
            return;
        }
        if !all && random.chance(15) {
            self.add_spurious(random, out);
        }
        if !all && !self.ports.is_empty() && random.chance(15) {
            self.add_spurious_of_port(random, out);
        }
        self.progress += out.len() as u64;
        if out.len() > 1 && random.chance(30) {
            let (a, b) = (random.below(out.len()), random.below(out.len()));
            out.swap(a, b);
        }
    }

    /// What has an edge that was not reported.
    fn due(&mut self) -> Vec<Ready> {
        let lines = self.sockets_mut().filter(|line| line.open && line.edge);
        let mut due: Vec<Ready> = lines.map(|line| Ready::Line(line.descriptor)).collect();
        if self.listener_edge && self.listener.is_some() {
            due.push(Ready::Listener);
        }
        let ports = self.ports.iter().enumerate();
        let ports =
            ports.filter(|(_, port)| port.as_ref().is_some_and(|port| port.open && port.edge));
        due.extend(ports.map(|(nth, _)| Ready::Port(nth)));
        due
    }

    fn take_event(&mut self, ready: Ready) -> Option<SimEvent> {
        match ready {
            Ready::Line(descriptor) => {
                let line = self.sockets_mut().find(|line| line.descriptor == descriptor)?;
                line.edge = false;
                line.edge_at = None;
                // What it has to say is heard before it ends.
                line.page.overdue = 0;
                line.state()
            }
            Ready::Listener => {
                self.listener_edge = false;
                let token = self.listener?;
                Some(SimEvent { token, readable: true, ..NOTHING })
            }
            Ready::Port(nth) => self.ports.get_mut(nth)?.as_mut()?.take_event(),
        }
    }

    /// Notes when the edges came about; called before time passes.
    pub(crate) fn note_edges(&mut self) {
        let now = self.now;
        for line in self.sockets_mut() {
            line.edge_at = if line.edge { line.edge_at.or(Some(now)) } else { None };
        }
    }

    /// Reports an event once more, for a socket that is gone, or one that is not true.
    fn add_spurious(&mut self, random: &mut Random, out: &mut Vec<SimEvent>) {
        let mut lines: Vec<&mut SimConnection> = self.sockets_mut().collect();
        if lines.is_empty() {
            return;
        }
        let line = lines.swap_remove(random.below(lines.len()));
        let Some(token) = line.token else { return };
        line.page.overdue = 0;
        if line.open && random.chance(50) {
            out.extend(line.state());
        } else if line.open {
            let (readable, writable) = (random.chance(50), random.chance(50));
            out.push(SimEvent { token, readable, writable, ..NOTHING });
        } else {
            let read_closed = random.chance(50);
            let error = random.chance(30);
            out.push(SimEvent {
                token,
                readable: true,
                writable: true,
                read_closed,
                urgent: false,
                error,
            });
        }
    }

    /// The same of a datagram socket.
    fn add_spurious_of_port(&self, random: &mut Random, out: &mut Vec<SimEvent>) {
        let Some(port) = &self.ports[random.below(self.ports.len())] else { return };
        let Some(token) = port.token else { return };
        let (readable, writable) = (random.chance(70), random.chance(50));
        let error = random.chance(20);
        out.push(SimEvent { token, readable, writable, error, ..NOTHING });
    }
}
