//! A stream twice: the real one and the simulated one, under the same acts.

use std::fs::File;
use std::io::{self, IoSlice, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use mio::{Events, Poll};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use socket2::SockRef;

use super::{Act, LATE_ANSWER, PATIENCE, PIECE, Said, TOKEN, compare_events};
use crate::conn::transport::Transport;
use crate::net::StreamSocket;
use crate::net::memory::kernel::SimKernel;
use crate::options::Options;
use crate::sim::kernel::{Simulated, output_of};
use crate::sim::random::bytes;

pub(super) enum Peer {
    Tcp(TcpStream),
    Unix(UnixStream),
    Gone,
}

/// One connection, twice.
pub(super) struct Twice {
    sim: Simulated,
    unix: bool,
    real: StreamSocket,
    peer: Peer,
    poll: Poll,
    events: Events,
    sent: u64,
}
impl Twice {
    pub(super) fn new(unix: bool) -> io::Result<Twice> {
        let (mut real, peer) = if unix {
            let (ours, peer) = UnixStream::pair()?;
            ours.set_nonblocking(true)?;
            let stream = mio::net::UnixStream::from_std(ours);
            (StreamSocket::Unix { stream, ctrunc: false }, Peer::Unix(peer))
        } else {
            let listener = TcpListener::bind("127.0.0.1:0")?;
            let peer = TcpStream::connect(listener.local_addr()?)?;
            peer.set_nodelay(true)?;
            let (ours, _) = listener.accept()?;
            ours.set_nonblocking(true)?;
            (StreamSocket::Tcp(mio::net::TcpStream::from_std(ours)), Peer::Tcp(peer))
        };
        let poll = Poll::new()?;
        real.register(poll.registry(), TOKEN, false)?;
        let mut sim = Simulated::new(Options::default(), 1);
        sim.connect(0, (unix, u64::MAX, 1));
        sim.accept()?;
        sim.register(0, TOKEN, false)?;
        Ok(Twice { sim, unix, real, peer, poll, events: Events::with_capacity(8), sent: 0 })
    }

    pub(super) fn act(&mut self, act: Act) -> Result<(), String> {
        self.sim.begin_turn(false);
        match act {
            Act::Send(len) => self.send(len),
            Act::Urgent => self.urgent(),
            Act::Pass(len) => self.pass(len),
            Act::End => self.end(),
            Act::Reset => self.reset(),
            Act::Receive => return self.receive(),
            Act::Read(len) => return self.read(len),
            Act::Write(len) => return self.write(len),
            Act::Fill => return self.fill(),
            Act::ShutDown => return self.shut_down(),
            Act::Interests(input, room) => {
                self.sim.update_interests(0, input, room).map_err(|error| error.to_string())?;
                let registry = self.poll.registry();
                let asked = self.real.update_interests(registry, TOKEN, input, room);
                asked.map_err(|error| error.to_string())?;
            }
            Act::Poll => {
                return compare_events(&mut self.sim, &mut self.poll, &mut self.events);
            }
        }
        self.sim.failure.take().map_or(Ok(()), Err)
    }

    /// Whether the peer may still say something.
    pub(super) fn talks(&mut self) -> bool {
        let line = self.sim.line(0);
        !line.ended && !line.reset
    }

    pub(super) fn send(&mut self, len: usize) {
        if self.talks() {
            self.sim.send(0, len as u64);
            let bytes = vec![1; len];
            let sent = match &mut self.peer {
                Peer::Tcp(peer) => peer.write_all(&bytes),
                Peer::Unix(peer) => peer.write_all(&bytes),
                Peer::Gone => Ok(()),
            };
            sent.expect("there is room for what little is sent");
        }
    }

    pub(super) fn urgent(&mut self) {
        let one_waits = self.sim.line(0).urgent.is_some();
        let talks = self.talks();
        if let Peer::Tcp(peer) = &self.peer {
            if talks && !one_waits {
                SockRef::from(peer).send_out_of_band(b"!").expect("there is room for one byte");
                self.sim.send_urgent(0);
            }
        }
    }

    pub(super) fn pass(&mut self, len: usize) {
        let talks = self.talks();
        if let Peer::Unix(peer) = &self.peer {
            if talks {
                let bytes = vec![1; len];
                let file = File::open("/dev/null").expect("every system has it");
                let passed = [file.as_raw_fd()];
                let control = [ControlMessage::ScmRights(&passed)];
                let pieces = [IoSlice::new(&bytes)];
                let fd = peer.as_raw_fd();
                sendmsg::<()>(fd, &pieces, &control, MsgFlags::empty(), None).expect("room");
                self.sim.pass(0, len as u64);
            }
        }
    }

    pub(super) fn end(&mut self) {
        if self.talks() {
            let ended = match &self.peer {
                Peer::Tcp(peer) => peer.shutdown(std::net::Shutdown::Write),
                Peer::Unix(peer) => peer.shutdown(std::net::Shutdown::Write),
                Peer::Gone => Ok(()),
            };
            ended.expect("it was connected");
            self.sim.end(0);
        }
    }

    /// A Unix socket resets only when its owner leaves something unread.
    pub(super) fn reset(&mut self) {
        let line = self.sim.line(0);
        let resets = !self.unix || line.taken > line.got;
        // After both ends there is nothing left to be reset.
        if line.reset || !resets || line.ended && line.server_ended {
            return;
        }
        if let Peer::Tcp(peer) = &self.peer {
            SockRef::from(peer).set_linger(Some(Duration::ZERO)).expect("it is open");
        }
        self.peer = Peer::Gone;
        self.sim.reset(0);
    }

    pub(super) fn receive(&mut self) -> Result<(), String> {
        let line = self.sim.line(0);
        let mut left = (line.taken - line.got) as usize;
        let mut buffer = vec![0; PIECE];
        let before = Instant::now();
        while left > 0 && before.elapsed() < PATIENCE {
            let room = &mut buffer[..left.min(PIECE)];
            let n = match &mut self.peer {
                Peer::Tcp(peer) => peer.read(room),
                Peer::Unix(peer) => peer.read(room),
                Peer::Gone => return Ok(()),
            };
            left -= n.map_err(|error| format!("the peer: {error}"))?;
        }
        self.sim.receive(0, u64::MAX);
        (left == 0).then_some(()).ok_or_else(|| format!("{left} bytes did not reach the peer"))
    }

    pub(super) fn read(&mut self, len: usize) -> Result<(), String> {
        let mut buffer = vec![0; len];
        let told = Said::of(self.sim.read(0, &mut buffer));
        let (sim_cut, before) = (self.sim.has_ctrunc(0), Instant::now());
        loop {
            let said = Said::of(self.real.read(&mut buffer));
            let real_cut = matches!(self.real, StreamSocket::Unix { ctrunc: true, .. });
            // Without the system call that tells, every read may have been cut.
            let is_told = cfg!(feature = "sys") && self.unix && matches!(said, Said::Bytes(_));
            let cuts_agree = !is_told || sim_cut == real_cut;
            if said == told && cuts_agree {
                return Ok(());
            }
            // It may still be on its way.
            if said != Said::WouldBlock || before.elapsed() > PATIENCE {
                return Err(format!(
                    "a read of {len} says {told:?} (cut: {sim_cut}), and really {said:?} (cut: {real_cut})"
                ));
            }
        }
    }

    /// What leaves is right in the eyes of the simulated kernel.
    pub(super) fn output(&mut self, len: usize) -> &'static [u8] {
        self.sim.line(0).page.sent = self.sent + len as u64;
        bytes(output_of(0), self.sent, len)
    }

    pub(super) fn write(&mut self, len: usize) -> Result<(), String> {
        let line = self.sim.line(0);
        if line.server_ended || line.buffer != u64::MAX && line.taken > line.got {
            return Ok(());
        }
        line.buffer = u64::MAX;
        let given = self.output(len);
        let told = Said::of(self.sim.write(0, given));
        let before = Instant::now();
        loop {
            let said = Said::of(self.real.write(given));
            if said == told {
                self.sent = self.sim.line(0).taken;
                return Ok(());
            }
            // The reset may still be on its way.
            if matches!(told, Said::Bytes(_)) || before.elapsed() > PATIENCE {
                return Err(format!("a write of {len} says {told:?}, and really {said:?}"));
            }
        }
    }

    /// How much the system takes is its own affair; what follows from its refusal is not.
    pub(super) fn fill(&mut self) -> Result<(), String> {
        let line = self.sim.line(0);
        if line.reset || line.server_ended || line.buffer != u64::MAX && line.taken > line.got {
            return Ok(());
        }
        let mut took = 0;
        loop {
            let piece = bytes(output_of(0), self.sent + took, PIECE / 2);
            match self.real.write(piece) {
                Ok(n) => took += n as u64,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(format!("a write really says {error}")),
            }
        }
        let line = self.sim.line(0);
        line.buffer = line.taken - line.got + took;
        let mut left = took as usize;
        while left > 0 {
            self.sim.begin_turn(false);
            let given = self.output(left.min(PIECE / 2));
            let n = self.sim.write(0, given).map_err(|error| format!("a write says {error}"))?;
            self.sent += n as u64;
            left -= n;
        }
        let given = self.output(1);
        self.sim.begin_turn(false);
        match Said::of(self.sim.write(0, given)) {
            Said::WouldBlock => Ok(()),
            told => Err(format!("a write into what is full says {told:?}")),
        }
    }

    pub(super) fn shut_down(&mut self) -> Result<(), String> {
        if self.sim.line(0).server_ended || self.sim.line(0).reset {
            return Ok(());
        }
        self.sim.line(0).page.sent = self.sent;
        let told = self.sim.shutdown_write(0).map_err(|error| error.kind());
        let said = self.real.shutdown_write().map_err(|error| error.kind());
        if !self.unix {
            // Our end is acknowledged late, and that wakes us.
            thread::sleep(LATE_ANSWER);
        }
        (said == told).then_some(()).ok_or_else(|| format!("{told:?}, and really {said:?}"))
    }
}
