//! What the poll of the simulated kernel reports.

use super::connection::{NOTHING, SimConnection, SimEvent};
use super::kernel::Simulated;
use super::random::Random;

impl Simulated {
    /// How many sockets have an edge that was not reported.
    pub(crate) fn edges(&self) -> usize {
        let due = |line: &SimConnection| line.open && line.edge && line.state().is_some();
        let tries = self.trips.iter().flat_map(|trip| &trip.tries).map(|one| &one.line);
        let lines = self.lines.iter().flatten().chain(tries).filter(|line| due(line)).count();
        let ports = self.ports.iter().flatten().filter(|port| port.is_due()).count();
        lines + ports + usize::from(self.listener_edge && self.listener.is_some())
    }

    /// Some of the events that are due, in an order that is drawn, and some spurious ones.
    pub(crate) fn take_events(&mut self, random: &mut Random, all: bool, out: &mut Vec<SimEvent>) {
        out.clear();
        if !all && random.chance(3) {
            // A signal woke the loop.
            return;
        }
        let most = if all { usize::MAX } else { random.between(1, self.options.events_per_turn) };
        self.take_events_of_lines(random, most, out);
        if out.len() < most && self.listener_edge {
            if let Some(token) = self.listener {
                self.listener_edge = false;
                out.push(SimEvent { token, readable: true, ..NOTHING });
            }
        }
        for port in self.ports.iter_mut().flatten() {
            if out.len() < most && port.open {
                out.extend(port.take_event());
            }
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

    fn take_events_of_lines(&mut self, random: &mut Random, most: usize, out: &mut Vec<SimEvent>) {
        let mut lines: Vec<&mut SimConnection> = self.sockets_mut().collect();
        let first = if lines.is_empty() { 0 } else { random.below(lines.len()) };
        lines.rotate_left(first);
        for line in lines {
            if out.len() < most && line.open && line.edge {
                line.edge = false;
                // What it has to say is heard before it ends.
                line.page.overdue = 0;
                out.extend(line.state());
            }
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
