//! A stream, its kernel and its handler, and what happens to them.

use std::sync::Arc;

use super::super::*;
use super::acts::{Act, Inside};
use super::kernel::{Kernel, PIPE, System};
use crate::stats::CloseReason;

/// What the handler does with what it is shown.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum Habit {
    /// Takes all, and goes on after the peer's end.
    TakesAll,
    /// Takes three bytes at a time, and nothing while it should not send; closes at an end.
    TakesThrees,
    /// Takes all, and closes at once.
    Closes,
}

/// Where a script begins.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Setting {
    pub(super) system: System,
    pub(super) habit: Habit,
    pub(super) connecting: bool,
}

const MANY: usize = 5;
const MOST_WORK: u8 = 2;
/// The size of the pieces that a handler takes.
pub(super) const PIECE: usize = 3;
pub(super) const PATIENCE: u64 = 10;
/// More output than this is too much.
pub(super) const MOST: usize = 12;
pub(super) const WATERMARKS: Watermarks =
    Watermarks { high_water: 3, low_water: 1, output_limit: MOST };

/// How it came to its end.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum Over {
    Well,
    Broken,
    CutOff,
}

/// The bytes are their own positions, so each is checked where it goes and none has to be kept.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) stream: Stream<Kernel>,
    pub(super) pool: BufferPool,
    pub(super) habit: Habit,
    pub(super) arrived: usize,
    pub(super) got: usize,
    pub(super) sent: usize,
    pub(super) peer_got: usize,
    /// What the handler sent in its turn, while that is collected.
    pub(super) part: Vec<u8>,
    pub(super) collects: bool,
    pub(super) answers: bool,
    pub(super) between: bool,
    /// What the next callback does.
    pub(super) inside: Option<Inside>,
    /// Pieces of work that are under way.
    pub(super) offloaded: u8,
    pub(super) eof_told: bool,
    pub(super) shutdown_noted: bool,
    pub(super) shutdown_told: bool,
    pub(super) aborted: bool,
    /// Something moved since it was last asked whether it is idle.
    pub(super) moved: bool,
    /// It has a turn whether it wants one or not.
    pub(super) queued: bool,
    /// How often the connection may be tried again.
    pub(super) tries: u8,
    pub(super) now: u64,
    pub(super) over: Option<Over>,
}

/// Bytes that are their own positions.
pub(super) fn positions(from: usize, n: usize) -> Vec<u8> {
    (from..from + n).map(|position| position as u8).collect()
}

impl World {
    pub(super) fn new(setting: Setting) -> World {
        let Setting { system, habit, connecting } = setting;
        let kernel = Kernel { unopened: connecting, ..Kernel::new(system) };
        World {
            stream: Stream::new(kernel, connecting),
            pool: BufferPool::default(),
            habit,
            arrived: 0,
            got: 0,
            sent: 0,
            peer_got: 0,
            part: Vec::new(),
            collects: false,
            answers: false,
            between: false,
            inside: None,
            offloaded: 0,
            eof_told: false,
            shutdown_noted: false,
            shutdown_told: false,
            aborted: false,
            moved: false,
            queued: false,
            tries: u8::from(connecting),
            now: 0,
            over: None,
        }
    }

    // What happens.

    pub(super) fn act(&mut self, act: Act) {
        if self.over.is_some() {
            return;
        }
        match act {
            Act::Send => self.send(1),
            Act::SendMany => self.send(MANY),
            Act::SendLarge => self.send_large(),
            Act::SendShared => self.send_shared(),
            Act::Answer => self.answers = true,
            Act::SendBetween => self.between = true,
            Act::Inside(inside) => self.inside = Some(inside),
            Act::Offload | Act::Done => self.note_work(act),
            Act::Pause | Act::Resume | Act::FullDuplex | Act::HalfDuplex => self.steer(act),
            Act::ShutdownWrite | Act::Close | Act::Abort => self.end(act),
            Act::Fail if self.stream.is_connecting() => {}
            Act::Fail
                if matches!(self.stream.close_state(), CloseState::Open | CloseState::Closing) =>
            {
                self.fail();
            }
            Act::Fail => {}
            Act::IdleDue => self.idle_due(),
            Act::FrameDue => self.frame_due(),
            Act::Shutdown if self.shutdown_noted => {}
            Act::Shutdown => {
                self.shutdown_noted = true;
                self.stream.note_shutdown();
            }
            _ => self.act_outside(act),
        }
    }

    fn steer(&mut self, act: Act) {
        match act {
            Act::Pause => self.stream.pause(),
            Act::Resume => {
                let shows = self.stream.is_paused() && self.stream.has_unconsumed();
                self.stream.resume();
                assert!(!shows || self.stream.flags.intersects(Flags::REDELIVERY));
            }
            _ => self.stream.set_read_while_congested(act == Act::FullDuplex),
        }
        match act {
            Act::Pause | Act::Resume => assert_eq!(self.stream.is_paused(), act == Act::Pause),
            _ => {
                assert_eq!(
                    self.stream.flags.intersects(Flags::READ_WHILE_CONGESTED),
                    act == Act::FullDuplex
                );
            }
        }
    }

    /// What `Context::offload` does, and what it has done when the work is.
    fn note_work(&mut self, act: Act) {
        match act {
            Act::Offload if self.stream.is_connecting() || self.offloaded == MOST_WORK => return,
            Act::Offload => self.offloaded += 1,
            _ if self.offloaded == 0 => return,
            _ => self.offloaded -= 1,
        }
        self.stream.set_offloaded(self.offloaded > 0);
    }

    /// What a callback does about its own connection. Says whether it takes no more input then.
    pub(super) fn act_inside(&mut self) -> bool {
        let Some(inside) = self.inside.take() else { return false };
        match inside {
            Inside::Pause => self.steer(Act::Pause),
            Inside::PauseAndResume => {
                self.steer(Act::Pause);
                self.steer(Act::Resume);
            }
            Inside::FullDuplex => self.steer(Act::FullDuplex),
            Inside::HalfDuplex => self.steer(Act::HalfDuplex),
            Inside::ShutdownWrite => self.end(Act::ShutdownWrite),
            Inside::Close => self.end(Act::Close),
            Inside::Abort => self.end(Act::Abort),
        }
        // What is sent now is no part of a plain turn any more, as in `Io::uncork`.
        if std::mem::take(&mut self.collects) && !self.part.is_empty() {
            let part = std::mem::take(&mut self.part);
            self.stream.prepend_output(&part, WATERMARKS, &mut self.pool);
        }
        matches!(inside, Inside::Pause | Inside::PauseAndResume | Inside::Close | Inside::Abort)
    }

    /// Before its handler is told of an end, it has seen all it can take, and all answers are there.
    pub(super) fn check_told(&self, rest: usize) {
        let waits = self.habit == Habit::TakesThrees && rest >= PIECE;
        let open = self.stream.close_state() == CloseState::Open;
        assert!(!waits || !open || self.stream.is_paused(), "a whole piece was left");
        assert!(!open || self.offloaded == 0, "an answer is still to come");
    }

    fn end(&mut self, act: Act) {
        let before = self.stream.close_state();
        match act {
            Act::ShutdownWrite => self.stream.shutdown_write(),
            Act::Close => self.stream.close(),
            _ => {
                self.stream.abort(CloseReason::Aborted);
                self.aborted = true;
            }
        }
        let after = match (before, act) {
            (CloseState::Open, Act::Close) => CloseState::Closing,
            (CloseState::Open | CloseState::Closing, Act::Abort) => {
                CloseState::Aborted(CloseReason::Aborted)
            }
            (CloseState::Flushing | CloseState::Lingering, Act::Abort) => CloseState::Dropped,
            _ => before,
        };
        assert_eq!(self.stream.close_state(), after);
        assert!(!self.stream.accepts_output());
    }

    fn act_outside(&mut self, act: Act) {
        let kernel = self.stream.transport_mut();
        let is_established = !kernel.unopened && !kernel.connecting;
        let takes = is_established && !kernel.ended && !kernel.reset;
        match act {
            Act::Arrive | Act::ArriveMany if takes => {
                let n = if act == Act::Arrive { 1 } else { MANY };
                kernel.buffers.extend(positions(self.arrived, n).into_iter().map(Some));
                kernel.edge = true;
                self.arrived += n;
            }
            Act::Cut if takes => {
                kernel.buffers.push_back(None);
                kernel.edge = true;
            }
            Act::PeerEnds if takes => {
                kernel.ended = true;
                kernel.edge = true;
            }
            Act::PeerResets if !kernel.unopened && !kernel.reset => {
                kernel.reset = true;
                kernel.edge = true;
            }
            Act::PeerReads => self.peer_reads(1),
            Act::PeerReadsAll => self.peer_reads(PIPE),
            Act::Interrupt => kernel.interrupt = true,
            Act::Spurious if !kernel.unopened => kernel.edge = true,
            Act::Establish if kernel.unopened => self.stream.set_connect_result(),
            Act::Establish if kernel.connecting && !kernel.reset => {
                kernel.connecting = false;
                kernel.edge = true;
            }
            _ => {}
        }
    }

    fn peer_reads(&mut self, most: usize) {
        let kernel = self.stream.transport_mut();
        let n = most.min(kernel.outbox.len());
        let bytes: Vec<u8> = kernel.outbox.drain(..n).collect();
        assert_eq!(bytes, positions(self.peer_got, n), "what the peer got");
        self.peer_got += n;
        if n > 0 {
            kernel.note_room();
        }
    }

    pub(super) fn send(&mut self, n: usize) {
        let before = (self.stream.accepts_output(), self.stream.is_congested());
        let sent = self.stream.send(&positions(self.sent, n), WATERMARKS, &mut self.pool);
        self.note_sent(n, before, sent);
    }

    /// The next bytes that are to be sent.
    pub(super) fn next_bytes(&self, n: usize) -> Vec<u8> {
        positions(self.sent, n)
    }

    /// What the handler got.
    pub(super) fn get(&mut self, bytes: &[u8]) {
        assert_eq!(bytes, positions(self.got, bytes.len()), "what the handler got");
        self.got += bytes.len();
    }

    fn send_large(&mut self) {
        let before = (self.stream.accepts_output(), self.stream.is_congested());
        let bytes = positions(self.sent, MANY);
        let (sent, left) = self.stream.send_large(&bytes, WATERMARKS, &mut self.pool);
        self.moved |= left > 0;
        self.note_sent(MANY, before, sent);
    }

    fn send_shared(&mut self) {
        let before = (self.stream.accepts_output(), self.stream.is_congested());
        let bytes: Arc<[u8]> = positions(self.sent, MANY).into();
        // At once as if it were large, which no script needs to be to show all the same.
        let (sent, left) = self.stream.send_shared(&bytes, true, WATERMARKS, &mut self.pool);
        self.moved |= left > 0;
        self.note_sent(MANY, before, sent);
    }

    fn note_sent(&mut self, n: usize, (took, congested): (bool, bool), sent: SendStatus) {
        assert_eq!(sent == SendStatus::Closed, !took);
        if took {
            self.sent += n;
            let too_much = self.stream.unsent() > WATERMARKS.high_water;
            assert_eq!(sent == SendStatus::Congested, congested || too_much);
            assert_eq!(self.stream.is_congested(), congested || too_much);
            let aborted =
                self.stream.close_state() == CloseState::Aborted(CloseReason::OutputLimit);
            assert_eq!(aborted, too_much && self.stream.unsent() > MOST);
        }
    }

    /// What `Dispatcher::on_deadline` does.
    fn idle_due(&mut self) {
        if std::mem::take(&mut self.moved) {
            return;
        }
        if self.stream.is_connecting() && self.tries > 0 {
            return self.try_again();
        }
        let close_state = self.stream.close_state();
        if !matches!(
            close_state,
            CloseState::Flushing | CloseState::Lingering | CloseState::Dropped
        ) {
            self.stream.abort(CloseReason::IdleTimeout);
            let aborted = matches!(self.stream.close_state(), CloseState::Aborted(_));
            assert!(aborted, "whatever it was, it is aborted now");
        }
        self.over = Some(Over::CutOff);
    }

    /// What `Dispatcher::on_frame_deadline` does.
    fn frame_due(&mut self) {
        self.now += PATIENCE;
        if !self.stream.is_frame_deadline_armed() {
            return;
        }
        match self.stream.check_frame_deadline(self.now, self.now, PATIENCE) {
            FrameDeadline::None => assert!(!self.stream.is_frame_deadline_armed()),
            FrameDeadline::At(at) => assert!(at > self.now),
            FrameDeadline::Expired => {
                assert!(self.stream.unconsumed.waiting_since() + PATIENCE <= self.now);
                self.stream.clear_frame_deadline();
                self.fail();
            }
        }
    }

    pub(super) fn try_again(&mut self) {
        self.tries = self.tries.saturating_sub(1);
        let system = self.stream.transport().system;
        self.stream.replace_transport(Kernel { connecting: true, ..Kernel::new(system) });
        assert!(!self.stream.has_connect_result(), "what was noted was about the one before");
    }

    /// What `Dispatcher::fail` does when a handler fails.
    fn fail(&mut self) {
        match self.stream.close_state() {
            CloseState::Open | CloseState::Closing => self.stream.start_flushing(),
            _ => self.over = Some(Over::CutOff),
        }
    }
}
