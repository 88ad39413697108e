//! The course of a run in one client process: opening, warming up, measuring, draining, telling.

use std::time::{Duration, Instant};

use socketserver::Io;

use super::errors;
use super::load::{Load, PATIENCE, RunPhase};
use super::process::Usage;
use super::protocol::{ClientMessage, ParentMessage, ProgressReport};
use super::scenario::LoadMode;

/// How often it is looked for datagrams that were lost, and told how things are.
const SCAN: u64 = 100_000_000;

/// An answer to a datagram that takes longer does not come.
const RESEND: u64 = 500_000_000;

/// How long the last answers may take, besides four times the slowest so far.
const DRAIN: u64 = 2_000_000_000;

/// Messages of a schedule that are sent before the sockets have their turn.
const PUMPED: usize = 1_024;

impl Load {
    /// Bounds the time in which all connections are to stand.
    pub(crate) fn begin_opening(&mut self) {
        let each = 5_000_000 * u64::from(self.terms.connections);
        self.phase = RunPhase::Opening { until: 3 * PATIENCE + each };
    }

    /// What the parent wants.
    pub(crate) fn command(&mut self, command: ParentMessage, io: &mut Io) {
        let now = self.now(io);
        match command {
            ParentMessage::Go if self.terms.mode == LoadMode::Idle => self.begin_window(now),
            ParentMessage::Go => {
                let until = now.saturating_add(self.terms.warmup_ns);
                self.begin_traffic(io, RunPhase::Warming { until });
            }
            ParentMessage::GoOn => self.begin_traffic(io, RunPhase::GoingOn),
            ParentMessage::Count => self.said.push(ClientMessage::Count(self.answers)),
            ParentMessage::Stop => self.stop(now),
        }
    }

    fn begin_traffic(&mut self, io: &mut Io, phase: RunPhase) {
        self.phase = phase;
        let now = self.now(io);
        self.schedule.begin(now);
        for number in 0..self.terms.connections {
            self.begin_talk(io, number);
        }
        self.pump(io);
    }

    /// Once a turn, at its end.
    pub(crate) fn tick(&mut self, io: &mut Io) {
        let now = self.now(io);
        let phase = self.phase;
        while let Some((number, id)) = self.bound.pop() {
            self.stands(io, number, id);
        }
        match phase {
            RunPhase::Opening { until } if now >= until => self.give_up_opening(),
            RunPhase::Opening { .. } if self.is_opened() => {
                self.phase = RunPhase::Ready;
                self.said.push(ClientMessage::Ready { up: self.up, failed: self.failed });
            }
            RunPhase::Warming { .. } if self.is_deserted() => self.tell(now),
            RunPhase::Warming { until } if now >= until => self.begin_window(now),
            RunPhase::Measuring { until } if now >= until || self.is_deserted() => {
                self.end_window(io);
            }
            RunPhase::Draining { until } if now >= until || self.is_settled() => self.tell(now),
            _ => {}
        }
        if now >= self.next_scan {
            self.next_scan = now.saturating_add(SCAN);
            self.scan(io, now);
        }
        self.pump(io);
        self.wait = if self.phase == phase { self.set_alarm(now) } else { Some(Duration::ZERO) };
        self.forget_now();
    }

    /// The alarm went off.
    #[cfg(target_os = "linux")]
    pub(crate) fn is_called(&mut self, io: &mut Io) {
        self.alarm_at = 0;
        self.pump(io);
    }

    /// How long the loop may wait, besides for the alarm.
    fn set_alarm(&mut self, now: u64) -> Option<Duration> {
        let next = self.next_time();
        if next <= now {
            return Some(Duration::ZERO);
        }
        let Some(alarm) = &self.alarm else { return Some(Duration::from_nanos(next - now)) };
        if next != self.alarm_at {
            // The turn has gone on since `now`.
            let clock = self.nanoseconds(Instant::now());
            alarm.set(Duration::from_nanos(next.saturating_sub(clock)));
            self.alarm_at = next;
        }
        None
    }

    /// When something is to be done even if nothing happens.
    fn next_time(&self) -> u64 {
        let phase = match self.phase {
            RunPhase::Opening { until }
            | RunPhase::Warming { until }
            | RunPhase::Measuring { until }
            | RunPhase::Draining { until } => until,
            RunPhase::Ready | RunPhase::Told | RunPhase::GoingOn => u64::MAX,
        };
        let next = phase.min(self.next_scan).min(self.window.next().unwrap_or(u64::MAX));
        let is_open = matches!(self.terms.mode, LoadMode::Open { .. }) && self.is_sending();
        if is_open { next.min(self.schedule.next_time()) } else { next }
    }

    fn give_up_opening(&mut self) {
        self.to_open.extend(self.to_retry.drain(..));
        self.tally.count_many(errors::BACKLOG_FULL, self.to_open.len() as u64);
        self.failed += u32::try_from(self.to_open.len()).unwrap_or(u32::MAX);
        self.to_open.clear();
        self.phase = RunPhase::Opening { until: u64::MAX };
    }

    fn begin_window(&mut self, now: u64) {
        self.window.begin(now, self.terms.duration_ns);
        self.phase = RunPhase::Measuring { until: now.saturating_add(self.terms.duration_ns) };
        self.said.push(ClientMessage::Begin(Usage::of_all(&self.observed)));
    }

    fn end_window(&mut self, io: &mut Io) {
        let now = self.now(io);
        self.window.end(now);
        self.said.push(ClientMessage::End(Usage::of_all(&self.observed)));
        self.owe_the_rest(io);
        let patience = DRAIN.saturating_add(self.window.slowest().saturating_mul(4));
        self.phase = RunPhase::Draining { until: now.saturating_add(patience.min(3 * PATIENCE)) };
        if self.terms.mode == LoadMode::Idle {
            self.probe(io);
        }
    }

    /// Nothing more is to be opened.
    fn is_opened(&self) -> bool {
        self.opening == 0 && self.to_open.is_empty() && self.to_retry.is_empty()
    }

    /// However late we are: what was to be sent within the window is owed.
    fn owe_the_rest(&mut self, io: &mut Io) {
        if !matches!(self.terms.mode, LoadMode::Open { .. }) {
            return;
        }
        let RunPhase::Measuring { until } = self.phase else { return };
        let end = until.min(self.now(io));
        while let Some(number) = self.schedule.take_due(end) {
            if let Some(talker) = self.talkers.get_mut(number as usize) {
                talker.due = talker.due.wrapping_add(1);
            }
        }
        for number in 0..self.terms.connections {
            self.send_due(io, number);
        }
    }

    /// No client is left that could send.
    fn is_deserted(&self) -> bool {
        self.up == 0 && self.is_opened()
    }

    fn is_settled(&self) -> bool {
        self.under_way == 0
            && match self.terms.mode {
                LoadMode::Idle => self.next_probe >= self.terms.connections || self.up == 0,
                LoadMode::Open { .. } => {
                    self.talkers.iter().all(|one| one.id.is_none() || one.sent == one.due)
                }
                _ => true,
            }
    }

    /// All that was measured; what was not answered took until now at least, and is an error.
    fn tell(&mut self, now: u64) {
        let (mut unanswered, mut unsent) = (0, 0);
        for (number, talker) in (0..).zip(&mut self.talkers) {
            for slot in talker.give_up() {
                self.window.late(slot.since, now);
                unanswered += 1;
            }
            while talker.sent != talker.due && matches!(self.terms.mode, LoadMode::Open { .. }) {
                let since = self.schedule.time_of(number, talker.sent);
                self.window.late(since, now);
                unsent += u64::from(self.window.has(since));
                talker.sent = talker.sent.wrapping_add(1);
            }
        }
        self.under_way = 0;
        self.tally.count_many(errors::UNANSWERED, unanswered);
        self.tally.count_many(errors::UNSENT, unsent);
        self.tell_tally();
    }

    /// Interrupted: messages under way are no failure.
    fn stop(&mut self, now: u64) {
        if self.phase != RunPhase::Told && self.phase != RunPhase::GoingOn {
            if self.window.is_open() {
                self.window.end(now);
                self.said.push(ClientMessage::End(Usage::of_all(&self.observed)));
            }
            self.tell_tally();
        }
        self.is_over = true;
    }

    fn tell_tally(&mut self) {
        if self.terms.mode != LoadMode::Idle {
            self.tally.verified = u64::from(self.up);
        }
        self.window.close(&mut self.tally);
        self.said.push(ClientMessage::Counters(Box::new(std::mem::take(&mut self.tally))));
        self.phase = RunPhase::Told;
    }

    fn scan(&mut self, io: &mut Io, now: u64) {
        self.to_open.extend(self.to_retry.drain(..));
        if self.terms.transport.is_datagram() {
            self.send_again(io, now);
        }
        if self.watched && self.phase != RunPhase::Told {
            let (up, answers) = (self.up, self.answers);
            self.said.push(ClientMessage::Progress(ProgressReport {
                up,
                answers,
                p99_ns: self.window.p99(),
            }));
        }
    }

    fn send_again(&mut self, io: &mut Io, now: u64) {
        let Some(then) = now.checked_sub(RESEND) else { return };
        for (number, talker) in (self.first..).zip(&mut self.talkers) {
            let Some(id) = talker.id else { continue };
            for seq in talker.overdue(then, now) {
                io.send(id, self.messages.write(number, seq));
                self.tally.lost += 1;
            }
        }
    }

    /// Sends what is due by the schedule of an open loop.
    pub(crate) fn pump(&mut self, io: &mut Io) {
        if !matches!(self.terms.mode, LoadMode::Open { .. }) || !self.is_sending() {
            return;
        }
        let now = self.now(io);
        for _ in 0..PUMPED {
            let Some(number) = self.schedule.take_due(now) else { break };
            if let Some(talker) = self.talkers.get_mut(number as usize) {
                talker.due = talker.due.wrapping_add(1);
            }
            self.send_due(io, number);
        }
    }
}
