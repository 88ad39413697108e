//! What the loop does with a stream, in small: `Reactor` and `Dispatcher` without anything else.

use super::super::*;
use super::kernel::System;
use super::world::{Habit, MOST, Over, PIECE, WATERMARKS, World};
use crate::conn::input::Input;
use crate::stats::CloseReason;

const BUFFER: usize = 2;
const READS: usize = 2;
const WRITES: usize = 2;
/// More turns than this without an event from outside is a spin.
const SPIN: usize = 40;

impl World {
    fn wants_write_interest(&self) -> bool {
        self.stream.transport().system == System::Unix
            && self.stream.is_write_blocked() != self.stream.has_write_interest()
    }

    /// Delivers events and gives turns until none is wanted.
    pub(super) fn settle(&mut self) {
        let mut turns = 0;
        while self.over.is_none() {
            if let Some(ready) = self.stream.transport_mut().event() {
                self.deliver(ready);
            }
            let wants_room = !self.stream.is_connecting() && self.wants_write_interest();
            let wants = self.stream.wants_service() || wants_room || self.queued;
            if !wants && !self.stream.transport().has_event() {
                return;
            }
            turns += 1;
            assert!(turns < SPIN, "it spins");
            if wants {
                self.turn();
            }
        }
    }

    /// What `Reactor::on_event` does.
    fn deliver(&mut self, ready: Readiness) {
        let Readiness { readable, writable, read_closed, urgent, error } = ready;
        if (readable || read_closed) && !urgent && !error {
            self.stream.set_readable(writable, read_closed);
            if self.stream.is_plain_readable() {
                assert!(self.stream.can_cork() && self.stream.wants_read());
                assert!(!self.stream.has_unconsumed() && !self.stream.has_eof());
            }
        } else {
            self.stream.set_ready(ready);
        }
    }

    fn turn(&mut self) {
        self.queued = false;
        self.stream.begin_turn();
        assert!(self.stream.is_queued());
        self.collects = self.stream.can_cork();
        let received = self.attend();
        self.collects = false;
        self.answers = false;
        if std::mem::take(&mut self.between) && self.over.is_none() {
            self.send(1);
        }
        if let Err(error) = received.and_then(|()| self.second_half()) {
            assert_ne!(error.kind(), io::ErrorKind::WouldBlock);
            assert!(self.stream.transport().reset, "an error without a cause");
            self.over = Some(Over::Broken);
        }
        self.forget_vain_replay();
        self.stream.end_turn();
        assert!(!self.stream.is_queued());
    }

    // First half.

    fn attend(&mut self) -> io::Result<()> {
        if self.stream.close_state() == CloseState::Lingering {
            self.discard_lingering_input();
            return Ok(());
        }
        if self.stream.is_connecting() {
            self.complete_connect()?;
        }
        self.replay();
        self.converse()?;
        if self.over.is_none() && self.stream.has_notifications() {
            self.notify_eof();
            self.notify_shutdown();
        }
        Ok(())
    }

    fn replay(&mut self) {
        self.forget_vain_replay();
        if self.over.is_none() && self.stream.wants_redelivery() {
            let from_inside = self.stream.is_redelivery_from_handler();
            let mut unconsumed = self.stream.take_unconsumed();
            unconsumed.restart_wait(self.now);
            self.show_held(unconsumed, from_inside);
        }
    }

    fn forget_vain_replay(&mut self) {
        if self.stream.is_redelivery_requested() && !self.stream.has_unconsumed() {
            self.stream.clear_redelivery();
        }
    }

    fn notify_eof(&mut self) {
        if self.stream.take_eof() {
            let unconsumed = self.stream.take_unconsumed();
            self.eof(unconsumed.input().peek());
        }
    }

    fn notify_shutdown(&mut self) {
        let looks = self.stream.wants_read() || self.stream.wants_redelivery();
        if self.stream.has_pending_reply() || looks || !self.stream.take_shutdown() {
            return;
        }
        assert!(!std::mem::replace(&mut self.shutdown_told, true), "told twice");
        self.check_told(self.stream.unconsumed.len());
        self.act_inside();
        if self.habit != Habit::TakesAll {
            self.stream.close();
        }
    }

    fn discard_lingering_input(&mut self) {
        let mut buffer = [0; BUFFER];
        for _ in 0..READS {
            if !self.stream.is_readable() {
                return;
            }
            match self.stream.fill(&mut buffer) {
                Ok(ReadOutcome::Bytes(n)) => self.got += n,
                Ok(ReadOutcome::WouldBlock) => return,
                _ => {
                    self.over = Some(Over::Well);
                    return;
                }
            }
        }
    }

    fn complete_connect(&mut self) -> io::Result<()> {
        if self.stream.close_state() != CloseState::Open {
            self.over = Some(Over::CutOff);
            return Ok(());
        }
        if !self.stream.has_connect_result() {
            return Ok(());
        }
        if self.stream.transport().unopened {
            self.try_again();
            // A name has several addresses.
            self.tries = 1;
            return Ok(());
        }
        let kernel = self.stream.transport_mut();
        if kernel.reset && !kernel.reset_told {
            let error = kernel.broken();
            if self.tries == 0 {
                return Err(error);
            }
            self.try_again();
            return Ok(());
        }
        assert!(!kernel.connecting, "a connect result without a cause");
        self.stream.set_connected();
        // Its `setup`.
        self.act_inside();
        Ok(())
    }

    fn converse(&mut self) -> io::Result<()> {
        for _ in 0..READS {
            if self.over.is_some() || !self.stream.wants_read() {
                break;
            }
            self.forget_vain_replay();
            if self.stream.wants_redelivery() {
                self.replay();
                continue;
            }
            let mut buffer = [0; BUFFER];
            let behind = self.stream.has_earlier_work();
            let mut unconsumed = self.stream.take_unconsumed();
            let filled = self.stream.fill(&mut buffer);
            match filled? {
                ReadOutcome::Bytes(n) => {
                    self.moved = true;
                    if unconsumed.is_empty() {
                        unconsumed.store(&Input::new(&buffer[..n]), self.now);
                    } else {
                        unconsumed.append(&buffer[..n]);
                    }
                    if unconsumed.needs_more() {
                        self.stream.put_unconsumed(unconsumed);
                    } else {
                        self.show_held(unconsumed, false);
                    }
                }
                ReadOutcome::Eof if behind => {
                    self.stream.put_unconsumed(unconsumed);
                    self.stream.note_eof();
                    self.notify_eof();
                }
                ReadOutcome::Eof => self.eof(&[]),
                ReadOutcome::WouldBlock => self.stream.put_unconsumed(unconsumed),
            }
        }
        Ok(())
    }

    fn show_held(&mut self, mut unconsumed: Unconsumed, from_inside: bool) {
        let mut input = unconsumed.input();
        let shown = input.len();
        self.handle(&mut input);
        let in_vain = from_inside && input.len() == shown;
        let left = input.remainder();
        unconsumed.store_remainder(left, self.now);
        if in_vain {
            self.stream.clear_redelivery();
        }
        self.stream.put_unconsumed(unconsumed);
        self.stream.arm_frame_deadline();
    }

    fn handle(&mut self, input: &mut Input<'_>) {
        let open = self.stream.close_state() == CloseState::Open && !self.stream.is_paused();
        assert!(open && !self.eof_told, "the handler is shown something when it should not be");
        if self.habit != Habit::TakesThrees {
            self.get(input.take_all());
            self.answer();
            self.act_inside();
            if self.habit == Habit::Closes {
                self.stream.close();
            }
            return;
        }
        if self.act_inside() {
            return;
        }
        while !self.stream.is_congested() && input.require(PIECE, PIECE).unwrap() {
            self.get(input.take(PIECE).unwrap());
            self.answer();
        }
    }

    fn eof(&mut self, rest: &[u8]) {
        assert!(!std::mem::replace(&mut self.eof_told, true), "eof told twice");
        let open = self.stream.close_state() == CloseState::Open && !self.stream.is_paused();
        assert!(open, "the handler is told of an end when it should not be");
        self.check_told(rest.len());
        self.get(rest);
        self.act_inside();
        if self.habit != Habit::TakesAll {
            self.answer();
            self.stream.close();
        }
    }

    /// What `Io::send` does for the connection that is served.
    fn answer(&mut self) {
        if !self.answers {
            return;
        }
        let bytes = self.next_bytes(2);
        if self.collects && self.part.len() + bytes.len() <= WATERMARKS.high_water {
            self.part.extend(bytes);
            self.sent += 2;
            return;
        }
        if std::mem::take(&mut self.collects) && !self.part.is_empty() {
            let part = std::mem::take(&mut self.part);
            self.stream.prepend_output(&part, WATERMARKS, &mut self.pool);
        }
        self.send(2);
    }

    // Second half.

    fn second_half(&mut self) -> io::Result<()> {
        let part = std::mem::take(&mut self.part);
        if self.over.is_some() {
            return Ok(());
        }
        if !self.stream.can_write_corked() {
            if !part.is_empty() {
                self.stream.prepend_output(&part, WATERMARKS, &mut self.pool);
            }
            return self.settle_connection();
        }
        if !part.is_empty() {
            match self.stream.write_direct(&part) {
                Ok(n) if n == part.len() => self.moved = true,
                cut => {
                    let flushed = self.stream.queue_rest(&part, cut, &mut self.pool)?;
                    self.moved |= matches!(flushed, WriteOutcome::Wrote(_));
                    return self.settle_connection();
                }
            }
        }
        if self.stream.is_turn_done() { Ok(()) } else { self.settle_connection() }
    }

    fn settle_connection(&mut self) -> io::Result<()> {
        if self.stream.is_cleanly_closed() {
            self.finish();
            return Ok(());
        }
        if self.stream.is_connecting() {
            return Ok(());
        }
        let congested = self.stream.is_congested();
        if !self.stream.is_aborted() {
            self.flush()?;
        }
        if congested
            && self.stream.take_drained(WATERMARKS)
            && self.stream.close_state() == CloseState::Open
        {
            self.act_inside();
        }
        self.conclude()
    }

    /// The handler is told that its conversation is over.
    fn finish(&mut self) {
        self.act_inside();
        if self.stream.is_aborted() {
            self.over = Some(Over::CutOff);
        } else if self.stream.has_eof() {
            self.over = Some(Over::Well);
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        for _ in 0..WRITES {
            if !self.stream.wants_write() {
                break;
            }
            if let WriteOutcome::Wrote(n) = self.stream.flush(&mut self.pool)? {
                assert!(n > 0);
                self.moved = true;
            }
        }
        Ok(())
    }

    fn conclude(&mut self) -> io::Result<()> {
        self.stream.send_fin();
        if self.stream.is_complete() {
            self.stream.close();
        }
        match self.stream.close_state() {
            CloseState::Aborted(reason) => {
                let too_much = reason == CloseReason::OutputLimit && self.sent > MOST;
                assert!(too_much || self.aborted && reason == CloseReason::Aborted, "{reason:?}");
                self.over = Some(Over::CutOff);
                return Ok(());
            }
            CloseState::Dropped => {
                self.over = Some(Over::CutOff);
                return Ok(());
            }
            _ if self.stream.has_failed() => return Err(self.stream.transport_mut().broken()),
            CloseState::Open | CloseState::Lingering => {}
            CloseState::Closing | CloseState::Flushing if self.stream.unsent() > 0 => {}
            close_state => {
                if close_state == CloseState::Closing {
                    self.finish();
                }
                if self.stream.has_eof() {
                    self.over = self.over.or(Some(Over::Well));
                }
                if self.over.is_some() {
                    return Ok(());
                }
                self.stream.linger();
            }
        }
        if self.wants_write_interest() {
            let ask = self.stream.is_write_blocked();
            self.stream.note_write_interest(ask);
            self.stream.transport_mut().update_write_interest(ask);
        }
        Ok(())
    }
}
