//! The system calls of the simulated kernel: what each returns, and what the loop must not do with it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use mio::Token;

use super::{Call, MAX_DIRECT_WRITES, Simulated, input_of, output_of};
use crate::addr::Addr;
use crate::id::SocketId;
use crate::net::memory::kernel::SimKernel;
use crate::sim::connection::Made;
use crate::sim::outgoing::line_of;
use crate::sim::random::{bytes, is_part};

pub(super) const BACKLOG: usize = 4;

/// Errors of `accept` that are no client's, so that waiting is right.
const SHORTAGES: [i32; 4] = [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM];

/// Those with which the client stays in the backlog; with all others it is lost.
const STAYS: [i32; 2] = [libc::EINTR, libc::EPERM];

impl SimKernel for Simulated {
    fn accept(&mut self) -> io::Result<(u32, Addr)> {
        self.accepts += 1;
        let most = self.rounds * self.options.accepts_per_turn;
        self.check(self.accepts <= most, || format!("more than {most} accepts in a turn"));
        if let Some(errno) = self.fault(Call::Accept) {
            self.short_of_something = SHORTAGES.contains(&errno);
            if !self.short_of_something && !STAYS.contains(&errno) {
                self.backlog.pop_front();
            }
            return Err(io::Error::from_raw_os_error(errno));
        }
        self.short_of_something = false;
        if self.backlog.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if self.open >= self.limit {
            self.short_of_something = true;
            return Err(io::Error::from_raw_os_error(libc::EMFILE));
        }
        let n = self.backlog.pop_front().unwrap_or_default();
        let now = self.now;
        let line = self.line(n);
        line.open = true;
        line.moved_at = now;
        self.open += 1;
        self.progress += 1;
        let (open, most) = (self.connections(), self.options.max_connections);
        self.check(open <= most, || format!("{open} connections are more than {most}"));
        let draining = self.draining;
        self.check(!draining, || format!("{n} was accepted during a shutdown"));
        Ok((n, Addr::Ip(SocketAddr::from((Ipv4Addr::LOCALHOST, n as u16)))))
    }

    fn connect(&mut self, to: &Addr, from: Option<&Addr>) -> io::Result<u32> {
        self.reach(to, from)
    }

    fn register_listener(&mut self, token: Token) -> io::Result<()> {
        self.listener = Some(token);
        self.listener_edge = !self.backlog.is_empty();
        Ok(())
    }

    fn register(&mut self, n: u32, token: Token, room: bool) -> io::Result<()> {
        if let Some(errno) = self.fault(Call::Register) {
            // Nothing was promised to it yet.
            self.line(n).broken = true;
            let error = io::Error::from_raw_os_error(errno);
            self.note_failure(n, error.kind());
            return Err(error);
        }
        self.accepted += u64::from(!self.line(n).outgoing);
        let known = self.one_try(n).is_some_and(|one| one.told);
        self.check(!known, || format!("{n}: it met itself, and is watched"));
        let line = self.line(n);
        line.token = Some(token);
        line.asks_for_room = room;
        line.edge = true;
        self.line(line_of(n)).page.id = Some(SocketId::from_token(token));
        Ok(())
    }

    fn reports_writable(&self, n: u32) -> bool {
        !self.socket(n).is_some_and(|line| line.unix)
    }

    fn update_interests(&mut self, n: u32, input: bool, room: bool) -> io::Result<()> {
        if let Some(errno) = self.fault(Call::Register) {
            self.line(n).broken = true;
            let error = io::Error::from_raw_os_error(errno);
            if let Some(trip) = self.trip(n).filter(|trip| trip.is_live()) {
                trip.unwatched = Some(error.kind());
            }
            return Err(error);
        }
        let line = self.line(n);
        line.ignores_input = !input;
        line.asks_for_room = room;
        // `EPOLL_CTL_MOD` looks anew.
        line.edge = true;
        Ok(())
    }

    fn read(&mut self, n: u32, buffer: &mut [u8]) -> io::Result<usize> {
        let now = self.now;
        let most = self.rounds * self.options.reads_per_turn;
        let line = self.line(n);
        line.reads += 1;
        let open = line.open && line.made == Made::Stands;
        let (reads, empty) = (line.reads, buffer.is_empty());
        let is_last = line.reset || line.broken;
        self.check(open && !empty, || format!("{n}: read after its close, or of nothing"));
        self.check(reads <= most || is_last, || format!("{n}: more than {most} reads in a turn"));
        if let Err(error) = self.injected(Call::Read, n) {
            self.line(n).read_failed = true;
            return Err(error);
        }
        let line = self.line(n);
        // A read at the mark passes it, whether there is more behind it or not.
        if line.urgent.is_some_and(|at| at <= line.read) {
            line.urgent = None;
        }
        let len = buffer.len().min((line.stop() - line.read) as usize);
        if len == 0 {
            return self.read_at_the_end(n);
        }
        buffer[..len].copy_from_slice(bytes(input_of(n), line.read, len));
        line.read += len as u64;
        line.unread_since = line.unread_since.filter(|_| line.came > line.read);
        if line.lingers_since().is_some() {
            line.in_vain_at = now;
        }
        self.progress += 1;
        let line = self.line(n);
        line.moved_at = now;
        line.last_look = u64::MAX;
        line.cut = line.passed.front().is_some_and(|(start, _)| line.read > *start);
        if line.cut {
            line.passed.pop_front();
        }
        Ok(len)
    }

    fn has_ctrunc(&self, n: u32) -> bool {
        self.lines[line_of(n) as usize].as_ref().is_some_and(|line| line.cut)
    }

    fn write(&mut self, n: u32, given: &[u8]) -> io::Result<usize> {
        let now = self.now;
        let most = self.rounds * (self.options.writes_per_turn + MAX_DIRECT_WRITES);
        let line = self.line(n);
        line.writes += 1;
        let open = line.open && line.made == Made::Stands;
        let (writes, takes) = (line.writes, open && !line.server_ended && !given.is_empty());
        self.check(takes, || format!("{n}: wrote after its end, or nothing"));
        self.check(writes <= most, || format!("{n}: more than {most} writes in a turn"));
        self.injected(Call::Write, n)?;
        let line = self.line(n);
        if line.reset {
            if line.error_due && !line.unix {
                return Err(line.break_pipe());
            }
            // A Unix socket keeps its error for the next read.
            line.broken = true;
            return Err(io::Error::from_raw_os_error(libc::EPIPE));
        }
        let len = given.len().min(line.room() as usize);
        line.refused |= len < given.len();
        if len == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let at = line.taken;
        line.taken += len as u64;
        self.progress += 1;
        let line = self.line(n);
        line.moved_at = now;
        line.wrote_at = now;
        // The look before it says nothing any more.
        line.last_look = u64::MAX;
        let told = line.page.sent;
        self.bytes_out += len as u64;
        let right = is_part(output_of(n), at, &given[..len]);
        self.check(right, || format!("{n}: wrong bytes of output from byte {at} on"));
        self.check(at + len as u64 <= told, || format!("{n}: more output than was sent"));
        Ok(len)
    }

    fn shutdown_write(&mut self, n: u32) -> io::Result<()> {
        let now = self.now;
        let line = self.line(n);
        line.server_ended = true;
        line.ended_at = now;
        // The end of our own direction, or its acknowledgement, wakes us too.
        line.edge = true;
        let unsent = line.page.sent - line.taken;
        self.check(unsent == 0, || format!("{n}: said its end before {unsent} bytes of output"));
        if self.line(n).reset { Err(io::ErrorKind::NotConnected.into()) } else { Ok(()) }
    }

    fn error(&mut self, n: u32) -> Option<io::Error> {
        let error = self.line(n).take_error();
        if let Some(error) = &error {
            self.note_failure(n, error.kind());
        }
        error
    }

    fn is_connected(&mut self, n: u32) -> bool {
        let line = self.line(n);
        let stands = line.made == Made::Stands && (line.unix || !line.reset);
        if stands {
            self.adopt(n);
        }
        stands
    }

    fn local_addr(&self, n: u32) -> Option<Addr> {
        let trip = self.trips.iter().find(|trip| trip.plan.line == line_of(n))?;
        trip.itself(n)
    }

    fn unacknowledged(&mut self, n: u32) -> u32 {
        let now = self.now;
        self.line(n).look(now) as u32
    }

    fn reset_on_close(&mut self, n: u32) {
        self.line(n).server_reset = true;
    }

    fn close(&mut self, n: u32) {
        self.progress += 1;
        if self.close_try(n) {
            self.open -= 1;
            return;
        }
        if !self.line(n).outgoing || self.line(n).page.set_up {
            self.check_close(n);
        }
        let line = self.line(n);
        let was_open = std::mem::replace(&mut line.open, false);
        self.open -= 1;
        self.check(was_open, || format!("{n}: closed twice"));
    }
}

impl Simulated {
    /// The error that the script has for a call on this connection.
    fn injected(&mut self, call: Call, n: u32) -> io::Result<()> {
        let Some(errno) = self.fault(call) else { return Ok(()) };
        let line = self.line(n);
        if errno == libc::EINTR {
            // It is tried again in the next turn, and whatever is late has that excuse.
            line.page.overdue = 0;
            return Err(io::ErrorKind::Interrupted.into());
        }
        line.reset = true;
        Err(line.broke(errno))
    }

    /// What a read gives when no byte is there.
    fn read_at_the_end(&mut self, n: u32) -> io::Result<usize> {
        let line = self.line(n);
        // TCP says the end that it knows before an error that came later.
        let end_is_known = line.ended && !line.unix;
        if line.reset && line.error_due && !end_is_known {
            return Err(line.broke(libc::ECONNRESET));
        }
        if !line.ended && !line.reset {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        line.end_read = true;
        self.progress += 1;
        Ok(0)
    }
}
