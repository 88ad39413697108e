//! Every script up to a length, played against a small model of a kernel with the edge rules of
//! epoll: an edge on arrival, on the peer's end, on a reset, and on room after a refused or cut
//! write; never otherwise.

use std::collections::VecDeque;
use std::io::{IoSlice, Read, Write};
use std::sync::Arc;

use super::questions::SHUT_OFF;
use super::*;

/// What may happen between two turns.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Act {
    /// The peer sends one byte, or more than one read takes.
    Arrive,
    ArriveMany,
    /// A place in the stream where a read stops: urgent data, or a passed descriptor.
    Cut,
    PeerEnds,
    PeerResets,
    /// The peer reads one byte, or all there is.
    PeerReads,
    PeerReadsAll,
    /// The next read, and the next write, are interrupted.
    Interrupt,
    /// An event without a cause.
    Spurious,
    Send,
    SendMany,
    /// As `SendMany`, without a copy.
    SendShared,
    Pause,
    Resume,
    Close,
    ShutdownWrite,
}

const ACTS: [Act; 16] = [
    Act::Arrive,
    Act::ArriveMany,
    Act::Cut,
    Act::PeerEnds,
    Act::PeerResets,
    Act::PeerReads,
    Act::PeerReadsAll,
    Act::Interrupt,
    Act::Spurious,
    Act::Send,
    Act::SendMany,
    Act::SendShared,
    Act::Pause,
    Act::Resume,
    Act::Close,
    Act::ShutdownWrite,
];

const BUFFER: usize = 2;
pub(super) const PIPE: usize = 2;
const MANY: usize = 5;
pub(super) const MARKS: Marks = Marks { high_water: 3, low_water: 1, output_limit: 1_000 };
/// More turns than this without an event from outside is a spin.
const SPIN: usize = 40;

/// How a read tells that it stopped early.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum CutsAre {
    /// TCP: urgent data shows in the event.
    Announced,
    /// Unix: the read itself says so.
    ToldByRead,
}

/// The other side of the system calls.
#[derive(Debug)]
pub(super) struct Kernel {
    cuts_are: CutsAre,
    /// Bytes to read; `None` is a cut.
    inbox: VecDeque<Option<u8>>,
    ended: bool,
    reset: bool,
    reset_told: bool,
    pub(super) outbox: VecDeque<u8>,
    /// A write met too little room since the last edge.
    refused: bool,
    write_ended: bool,
    interrupt: bool,
    edge: bool,
    stopped_early: bool,
}

impl Kernel {
    pub(super) fn new(cuts_are: CutsAre) -> Kernel {
        Kernel {
            cuts_are,
            inbox: VecDeque::new(),
            ended: false,
            reset: false,
            reset_told: false,
            outbox: VecDeque::new(),
            refused: false,
            write_ended: false,
            interrupt: false,
            edge: false,
            stopped_early: false,
        }
    }

    fn event(&mut self) -> Option<Readiness> {
        std::mem::take(&mut self.edge).then(|| Readiness {
            readable: !self.inbox.is_empty() || self.ended || self.reset,
            writable: self.outbox.len() < PIPE || self.reset,
            read_closed: self.ended || self.reset,
            urgent: self.cuts_are == CutsAre::Announced && self.inbox.contains(&None),
            error: self.reset && !self.reset_told,
        })
    }

    fn broken(&mut self) -> io::Error {
        if std::mem::replace(&mut self.reset_told, true) {
            io::ErrorKind::BrokenPipe.into()
        } else {
            io::ErrorKind::ConnectionReset.into()
        }
    }
}

impl Read for Kernel {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stopped_early = false;
        if std::mem::take(&mut self.interrupt) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        while self.inbox.front() == Some(&None) {
            self.inbox.pop_front();
        }
        let mut n = 0;
        while n < buffer.len() {
            match self.inbox.front() {
                Some(Some(byte)) => buffer[n] = *byte,
                Some(None) => {
                    self.stopped_early = self.cuts_are == CutsAre::ToldByRead;
                    break;
                }
                None => break,
            }
            self.inbox.pop_front();
            n += 1;
        }
        match n {
            0 if self.reset && !self.reset_told => Err(self.broken()),
            0 if self.ended || self.reset => Ok(0),
            0 => Err(io::ErrorKind::WouldBlock.into()),
            n => Ok(n),
        }
    }
}

impl Write for Kernel {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if std::mem::take(&mut self.interrupt) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if self.reset {
            return Err(self.broken());
        }
        assert!(!self.write_ended, "a write after the end of output");
        let n = bytes.len().min(PIPE - self.outbox.len());
        self.refused |= n < bytes.len();
        self.outbox.extend(&bytes[..n]);
        if n == 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(n) }
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let bytes: Vec<u8> = pieces.iter().flat_map(|piece| piece.iter().copied()).collect();
        self.write(&bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transport for Kernel {
    fn short_read_was_last(&self) -> bool {
        !self.stopped_early
    }

    fn short_write_was_last(&self) -> bool {
        true
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        assert!(!self.write_ended, "two ends of output");
        self.write_ended = true;
        Ok(())
    }
}

/// A stream, its kernel, and what both sides saw.
struct World {
    stream: Stream<Kernel>,
    pool: Pool,
    next_in: u8,
    next_out: u8,
    /// What the handler got, what the peer got.
    got: Vec<u8>,
    peer_got: Vec<u8>,
    sent: Vec<u8>,
    eof_told: bool,
    /// Closed, in good order or by an error.
    over: Option<bool>,
}

impl World {
    fn new(cuts_are: CutsAre) -> World {
        World {
            stream: Stream::new(Kernel::new(cuts_are), false),
            pool: Pool::default(),
            next_in: 0,
            next_out: 0,
            got: Vec::new(),
            peer_got: Vec::new(),
            sent: Vec::new(),
            eof_told: false,
            over: None,
        }
    }

    fn act(&mut self, act: Act) {
        let kernel = self.stream.transport_mut();
        match act {
            Act::Arrive | Act::ArriveMany | Act::Cut if kernel.ended || kernel.reset => {}
            Act::Arrive | Act::ArriveMany => {
                for _ in 0..if act == Act::Arrive { 1 } else { MANY } {
                    kernel.inbox.push_back(Some(self.next_in));
                    self.next_in += 1;
                }
                kernel.edge = true;
            }
            Act::Cut => {
                kernel.inbox.push_back(None);
                kernel.edge = true;
            }
            Act::PeerEnds => kernel.edge |= !std::mem::replace(&mut kernel.ended, true),
            Act::PeerResets => kernel.edge |= !std::mem::replace(&mut kernel.reset, true),
            Act::PeerReads | Act::PeerReadsAll => {
                let n = if act == Act::PeerReads { 1 } else { PIPE };
                let n = n.min(kernel.outbox.len());
                self.peer_got.extend(kernel.outbox.drain(..n));
                if n > 0 && std::mem::take(&mut kernel.refused) {
                    kernel.edge = true;
                }
            }
            Act::Interrupt => kernel.interrupt = true,
            Act::Spurious => kernel.edge = true,
            Act::Send => self.send(1),
            Act::SendMany => self.send(MANY),
            Act::SendShared => self.send_shared(),
            Act::Pause => self.stream.pause(),
            Act::Resume => self.stream.resume(),
            Act::Close => self.stream.close(),
            Act::ShutdownWrite => self.stream.shutdown_write(),
        }
    }

    fn send(&mut self, n: usize) {
        let bytes: Vec<u8> = (0..n as u8).map(|i| self.next_out + i).collect();
        let took = self.stream.takes_output();
        let sent = self.stream.send(&bytes, MARKS, &mut self.pool);
        assert_eq!(sent == Sent::Gone, !took);
        if took {
            self.next_out += n as u8;
            self.sent.extend(bytes);
        }
    }

    fn send_shared(&mut self) {
        let bytes: Arc<[u8]> = (0..MANY as u8).map(|i| self.next_out + i).collect();
        let took = self.stream.takes_output();
        // At once as if it were large, which no script needs to be to show all the same.
        let (sent, _) = self.stream.send_shared(&bytes, true, MARKS, &mut self.pool);
        assert_eq!(sent == Sent::Gone, !took);
        if took {
            self.next_out += MANY as u8;
            self.sent.extend_from_slice(&bytes);
        }
    }

    /// Delivers the event, then gives turns until none is wanted.
    fn settle(&mut self) {
        if let Some(ready) = self.stream.transport_mut().event() {
            self.stream.note(ready);
        }
        let mut turns = 0;
        while self.over.is_none() && self.stream.wants_service() {
            turns += 1;
            assert!(turns < SPIN, "it spins: {:?}", self.stream);
            if let Err(error) = self.turn() {
                assert_ne!(error.kind(), io::ErrorKind::WouldBlock);
                self.over = Some(false);
            }
        }
    }

    /// What the reactor does, in small.
    fn turn(&mut self) -> io::Result<()> {
        if self.stream.wants_replay() {
            let held = self.stream.take_held();
            self.stream.put_held(held);
        }
        let mut buffer = [0; BUFFER];
        let lingers = self.stream.ending() == Ending::Lingering && self.stream.is_readable();
        if self.stream.wants_read() || lingers {
            match self.stream.fill(&mut buffer)? {
                Filled::Bytes(n) if !lingers => self.got.extend(&buffer[..n]),
                Filled::End if lingers => self.over = Some(true),
                Filled::End => {
                    assert!(!std::mem::replace(&mut self.eof_told, true), "eof told twice");
                }
                Filled::Bytes(_) | Filled::Nothing => {}
            }
        }
        if self.stream.wants_write() {
            self.stream.flush(&mut self.pool)?;
        }
        self.stream.take_drained(MARKS);
        self.stream.end_output();
        if self.stream.is_dead() {
            return Err(self.stream.transport_mut().broken());
        }
        if self.stream.ending() == Ending::Closing && self.stream.unsent() == 0 {
            if self.stream.has_ended() {
                self.over = Some(true);
            } else {
                self.stream.linger();
            }
        }
        self.stream.end_turn();
        Ok(())
    }

    /// What must hold whenever nothing is wanted and the kernel owes no event.
    fn check(&self) {
        let stream = &self.stream;
        let kernel = stream.transport();
        assert_eq!(stream.flags.any(Flags::OUTPUT), !stream.output.is_empty());
        assert_eq!(stream.flags.any(Flags::HELD), !stream.held.is_empty());
        let arrived = self.got.len();
        assert!(self.got.iter().copied().eq(0..arrived as u8), "got {:?}", self.got);
        let mut out = self.peer_got.clone();
        out.extend(&kernel.outbox);
        assert!(self.sent.starts_with(&out), "sent {:?}, but {out:?} left", self.sent);
        match self.over {
            Some(true) => assert_eq!(out, self.sent, "closed with output unsent"),
            Some(false) => assert!(kernel.reset, "an error without a cause"),
            None => {
                assert_eq!(out.len() + stream.unsent(), self.sent.len());
                let still_high = stream.unsent() > MARKS.low_water;
                assert!(!stream.is_congested() || still_high, "drained, but still held up");
                if kernel.outbox.len() < PIPE && !kernel.reset {
                    assert_eq!(stream.unsent(), 0, "room, but output waits");
                }
                if !stream.flags.any(SHUT_OFF) && !stream.has_ended() {
                    let bytes = kernel.inbox.iter().flatten().count();
                    assert_eq!(bytes, 0, "input, but nobody reads");
                    assert!(!kernel.ended && !kernel.reset, "an end nobody has seen");
                }
            }
        }
    }
}

fn play(script: &[Act], cuts_are: CutsAre) {
    let mut world = World::new(cuts_are);
    for &act in script {
        world.act(act);
        world.settle();
        if world.stream.transport().edge {
            continue;
        }
        world.check();
    }
    // Acts may also come so fast that one turn meets them all.
    let mut world = World::new(cuts_are);
    for &act in script {
        world.act(act);
    }
    world.settle();
    world.check();
}

/// Scripts of this length take seconds without optimization.
const LENGTH: u32 = 4;

#[test]
fn no_script_loses_an_edge_a_byte_or_its_end() {
    for cuts_are in [CutsAre::Announced, CutsAre::ToldByRead] {
        for number in 0..ACTS.len().pow(LENGTH) {
            let mut rest = number;
            let script: [Act; LENGTH as usize] = std::array::from_fn(|_| {
                let act = ACTS[rest % ACTS.len()];
                rest /= ACTS.len();
                act
            });
            let played = std::panic::catch_unwind(|| play(&script, cuts_are));
            assert!(played.is_ok(), "the script was {script:?}, cuts are {cuts_are:?}");
        }
    }
}

#[test]
fn random_long_scripts_lose_nothing_either() {
    let mut random = 0x2545_F491_4F6C_DD1D_u64;
    for _ in 0..20_000 {
        let script: Vec<Act> = (0..24)
            .map(|_| {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                ACTS[random as usize % ACTS.len()]
            })
            .collect();
        for cuts_are in [CutsAre::Announced, CutsAre::ToldByRead] {
            let played = std::panic::catch_unwind(|| play(&script, cuts_are));
            assert!(played.is_ok(), "the script was {script:?}, cuts are {cuts_are:?}");
        }
    }
}

#[test]
fn a_large_send_on_an_empty_queue_goes_straight_to_the_system_once_a_turn() {
    let mut stream = Stream::new(Kernel::new(CutsAre::Announced), false);
    let mut pool = Pool::default();
    let large = vec![7; SEND_AT_ONCE];
    let marks = Marks { high_water: 1 << 20, ..MARKS };
    let marks = Marks { output_limit: 1 << 20, ..marks };
    assert_eq!(stream.send_large(&large, marks, &mut pool), (Sent::Queued, PIPE));
    assert_eq!(stream.unsent(), SEND_AT_ONCE - PIPE);
    assert_eq!(stream.send_large(&large, marks, &mut pool), (Sent::Queued, 0));
    assert!(stream.is_refused());
    stream.drop_output(&mut pool);
    stream.end_turn();
    stream.transport_mut().outbox.clear();
    stream.note(Readiness { writable: true, ..Readiness::default() });
    assert_eq!(stream.send_large(&large, marks, &mut pool).1, PIPE);
}

#[test]
fn output_above_the_limit_aborts() {
    let mut stream = Stream::new(Kernel::new(CutsAre::Announced), false);
    let mut pool = Pool::default();
    let marks = Marks { high_water: 1, low_water: 1, output_limit: 3 };
    assert_eq!(stream.send(b"abc", marks, &mut pool), Sent::Congested);
    assert_eq!(stream.ending(), Ending::Open);
    stream.send(b"d", marks, &mut pool);
    assert_eq!(stream.ending(), Ending::Aborted(Reason::OutputLimit));
    assert_eq!(stream.send(b"e", marks, &mut pool), Sent::Gone);
    assert_eq!(stream.drop_output(&mut pool), 4);
}

#[test]
fn what_was_held_is_shown_again_after_a_resume_and_after_congestion() {
    let mut stream = Stream::new(Kernel::new(CutsAre::Announced), false);
    let mut pool = Pool::default();
    let hold = |stream: &mut Stream<Kernel>| {
        let mut held = stream.take_held();
        held.append(b"x");
        stream.put_held(held);
        assert!(!stream.wants_replay(), "nothing new came and nobody asked");
    };
    hold(&mut stream);
    stream.resume();
    assert!(!stream.wants_replay(), "it was not paused");
    stream.pause();
    stream.resume();
    assert!(stream.wants_replay() && stream.wants_service());

    hold(&mut stream);
    stream.send(b"12345", MARKS, &mut pool);
    assert!(!stream.take_drained(MARKS));
    stream.drop_output(&mut pool);
    assert!(stream.take_drained(MARKS) && !stream.take_drained(MARKS));
    assert!(stream.wants_replay() && stream.wants_service());
}

#[test]
fn an_error_is_worth_a_turn_even_while_nothing_is_read_or_written() {
    let mut stream = Stream::new(Kernel::new(CutsAre::Announced), false);
    stream.pause();
    stream.note(Readiness { error: true, ..Readiness::default() });
    assert!(stream.is_dead() && stream.wants_service());
    let mut stream = Stream::new(Kernel::new(CutsAre::Announced), false);
    stream.note(Readiness { error: true, ..Readiness::default() });
    assert!(stream.wants_read(), "the read will say how it broke");
    let mut stream = Stream::new(Kernel::new(CutsAre::Announced), true);
    assert!(!stream.wants_service());
    stream.note(Readiness { error: true, ..Readiness::default() });
    assert!(stream.has_verdict() && stream.wants_service());
}
