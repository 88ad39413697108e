//! What all connections of one client process share: which connection sends what when, and the outcome.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use socketserver::{Io, SocketId};

use super::connection::{BenchConnection, Heard};
use super::counters::Counters;
use super::errors;
use super::measurement::Measurement;
use super::message::Messages;
use super::protocol::{ClientMessage, Order};
use super::scenario::{LoadMode, Scenario};
use super::schedule::Schedule;
use super::timer::PreciseTimer;

/// How many connections of a process may be in the making at once: few enough for every backlog.
pub(crate) const MOST_OPENING: usize = 256;

/// Where a run is; each time is when the next phase begins. Nanoseconds since the start of the
/// process are the unit of all times here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum RunPhase {
    /// Connections are made, or all of them are and the others are waited for.
    Opening {
        until: u64,
    },
    Ready,
    Warming {
        until: u64,
    },
    Measuring {
        until: u64,
    },
    /// What is under way is waited for, but not longer than that.
    Draining {
        until: u64,
    },
    /// All is told.
    Told,
    /// The load goes on unmeasured, but counted.
    GoingOn,
}

pub(crate) struct Load {
    pub(crate) terms: Scenario,
    pub(crate) messages: Messages,
    pub(crate) talkers: Vec<BenchConnection>,
    pub(crate) window: Measurement,
    pub(crate) tally: Counters,
    pub(crate) phase: RunPhase,
    pub(crate) schedule: Schedule,
    pub(crate) alarm: Option<PreciseTimer>,
    /// The number of the first talker.
    pub(crate) first: u32,
    /// The connections to open next, and those to open a little later because they just failed.
    pub(crate) to_open: VecDeque<u32>,
    pub(crate) to_retry: Vec<u32>,
    pub(crate) opening: usize,
    /// Datagram sockets that are there, but do not count as such yet.
    pub(crate) bound: Vec<(u32, SocketId)>,
    pub(crate) up: u32,
    pub(crate) failed: u32,
    /// Messages that wait for their answer.
    pub(crate) under_way: u64,
    pub(crate) answers: u64,
    /// The next idle connection to ask.
    pub(crate) next_probe: u32,
    /// The servers whose use is told at both ends of the window.
    pub(crate) observed: Vec<u32>,
    /// What the parent is to hear.
    pub(crate) said: Vec<ClientMessage>,
    pub(crate) is_over: bool,
    /// How long the loop may sleep; for ever, if the alarm wakes it.
    pub(crate) wait: Option<Duration>,
    /// When the alarm goes off; 0 when it is not set.
    pub(crate) alarm_at: u64,
    pub(crate) watched: bool,
    pub(crate) next_scan: u64,
    epoch: Instant,
    /// The time of this turn, once it was asked for.
    now: Option<u64>,
}

impl Load {
    pub(crate) fn new(order: &Order) -> Load {
        let terms = order.terms.clone();
        let connections = terms.connections;
        Load {
            messages: Messages::new(terms.size),
            talkers: (0..connections).map(|_| BenchConnection::default()).collect(),
            window: Measurement::new(terms.interval_ns()),
            tally: Counters::default(),
            phase: RunPhase::Opening { until: u64::MAX },
            schedule: Schedule::new(&terms),
            alarm: None,
            first: order.first,
            to_open: (0..connections).collect(),
            to_retry: Vec::new(),
            opening: 0,
            bound: Vec::new(),
            up: 0,
            failed: 0,
            under_way: 0,
            answers: 0,
            next_probe: 0,
            observed: order.observed.clone(),
            said: Vec::new(),
            is_over: false,
            wait: Some(Duration::ZERO),
            alarm_at: 0,
            watched: order.progress,
            next_scan: 0,
            epoch: Instant::now(),
            now: None,
            terms,
        }
    }

    /// The time of this turn. The clock of the loop is read once a turn, after its wait: that is
    /// when an answer was there, and before what is sent in return leaves; so a latency is never
    /// told too short.
    #[inline]
    pub(crate) fn now(&mut self, io: &Io) -> u64 {
        if let Some(now) = self.now {
            return now;
        }
        let now = self.nanoseconds(io.now());
        self.now = Some(now);
        self.window.advance(now);
        now
    }

    /// The turn is over.
    pub(crate) fn forget_now(&mut self) {
        self.now = None;
    }

    pub(crate) fn nanoseconds(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.epoch);
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }

    pub(crate) fn is_sending(&self) -> bool {
        matches!(
            self.phase,
            RunPhase::Warming { .. } | RunPhase::Measuring { .. } | RunPhase::GoingOn
        )
    }

    // What happens on a connection.

    /// It is connecting; a datagram socket, whose id is known, is ready at the end of this turn.
    pub(crate) fn opens(&mut self, number: u32, now: u64, id: Option<SocketId>) {
        self.opening += 1;
        if let Some(talker) = self.talkers.get_mut(number as usize) {
            talker.begun = now;
        }
        self.bound.extend(id.map(|id| (number, id)));
    }

    pub(crate) fn cannot_open(&mut self, number: u32, error: &io::Error) {
        self.tally.count(&errors::kind(error));
        self.failed += 1;
        if self.terms.mode == LoadMode::Churn && self.is_sending() {
            self.to_retry.push(number);
        }
    }

    /// It is established.
    pub(crate) fn stands(&mut self, io: &mut Io, number: u32, id: SocketId) {
        let now = self.now(io);
        self.opening = self.opening.saturating_sub(1);
        self.tally.connected += 1;
        self.up += 1;
        let Some(talker) = self.talkers.get_mut(number as usize) else { return };
        talker.id = Some(id);
        let begun = talker.begun;
        let large = self.terms.size.saturating_mul(self.pipeline() as usize) > 32 << 10;
        if large || matches!(self.terms.mode, LoadMode::Open { .. } | LoadMode::Bulk) {
            // Two ends that both wait until the other has read would wait for ever.
            io.set_read_while_congested(id, true);
        }
        match self.phase {
            RunPhase::Opening { .. } | RunPhase::Ready => {
                self.tally.connect_ns = now;
            }
            _ if self.terms.mode == LoadMode::Churn && self.is_sending() => {
                self.send(io, number, begun);
            }
            _ => self.begin_talk(io, number),
        }
    }

    /// Bytes came on a stream.
    #[inline]
    pub(crate) fn hear(&mut self, io: &mut Io, number: u32, mut bytes: &[u8]) -> io::Result<()> {
        let now = self.now(io);
        let mut answers = 0;
        let Some(talker) = self.talkers.get_mut(number as usize) else { return Ok(()) };
        loop {
            match talker.hear(&self.messages, self.first + number, &mut bytes) {
                Heard::Answer(slot) => {
                    self.window.answered(slot.since, now);
                    answers += 1;
                }
                Heard::Nothing => break,
                Heard::Wrong => return Err(errors::wrong_bytes()),
            }
        }
        self.follow(io, number, answers);
        Ok(())
    }

    /// A datagram came.
    #[inline]
    pub(crate) fn hear_packet(&mut self, io: &mut Io, n: u32, packet: &[u8]) -> io::Result<()> {
        let now = self.now(io);
        let Some(talker) = self.talkers.get_mut(n as usize) else { return Ok(()) };
        match talker.hear_packet(&self.messages, self.first + n, packet) {
            Heard::Answer(slot) => {
                self.window.answered(slot.since, now);
                self.follow(io, n, 1);
                Ok(())
            }
            Heard::Nothing => Ok(()),
            Heard::Wrong => Err(errors::wrong_bytes()),
        }
    }

    /// What follows from `answers` whole answers.
    #[inline]
    fn follow(&mut self, io: &mut Io, number: u32, answers: u64) {
        self.answers += answers;
        self.under_way = self.under_way.saturating_sub(answers);
        match self.terms.mode {
            LoadMode::Closed { .. } if self.is_sending() => {
                let now = self.now(io);
                for _ in 0..answers {
                    self.send(io, number, now);
                }
            }
            LoadMode::Open { .. } => self.send_due(io, number),
            LoadMode::Bulk => self.fill(io, number),
            LoadMode::Churn if answers > 0 => self.close(io, number),
            LoadMode::Idle if answers > 0 => {
                self.tally.verified += 1;
                self.probe(io);
            }
            LoadMode::Closed { .. } | LoadMode::Churn | LoadMode::Idle => {}
        }
    }

    /// There is room for more output.
    pub(crate) fn has_room(&mut self, io: &mut Io, number: u32) {
        match self.terms.mode {
            LoadMode::Open { .. } => self.send_due(io, number),
            LoadMode::Bulk => self.fill(io, number),
            _ => {}
        }
    }

    /// It is over, or never stood.
    pub(crate) fn ended(&mut self, number: u32, outcome: io::Result<()>) {
        if matches!(self.phase, RunPhase::Told) || self.is_over {
            return;
        }
        let Some(talker) = self.talkers.get_mut(number as usize) else { return };
        if talker.id.take().is_some() {
            self.up = self.up.saturating_sub(1);
        } else {
            self.opening = self.opening.saturating_sub(1);
        }
        let lost = talker.give_up().count();
        self.under_way = self.under_way.saturating_sub(lost as u64);
        let goes_on = self.terms.mode == LoadMode::Churn && self.is_sending();
        match outcome {
            Ok(()) => {
                self.tally.exchanges += u64::from(self.window.is_open());
                if goes_on {
                    self.to_open.push_back(number);
                }
            }
            Err(error) => {
                self.tally.count(&errors::kind(&error));
                self.failed += 1;
                if goes_on {
                    self.to_retry.push(number);
                }
            }
        }
    }
}

/// How long the last answers may take, in nanoseconds.
pub(crate) const PATIENCE: u64 = 10_000_000_000;
