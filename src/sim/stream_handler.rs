//! The handlers of the simulated world: they behave as their script says, and write everything down.

use std::cell::RefCell;
use std::io;
use std::panic::resume_unwind;
use std::rc::Rc;
use std::time::Duration;

use super::connect::begin_connect;
use super::connection::Made;
use super::kernel::{Simulated, input_of};
use super::outgoing::Stage;
use super::random::is_part;
use super::script::{AtEnd, Nature, Takes};
use crate::conn::input::Input;
use crate::conn::stream::SendStatus;
use crate::handler::{Context, Handler};
use crate::id::TimerId;
use crate::io::Io;
use crate::stats::CloseReason;

mod commands;

pub(crate) use commands::{act, end_offloaded};
use commands::{close, resume, send, set_timer};

/// What all handlers share.
pub(crate) type World = Rc<RefCell<Simulated>>;

pub(crate) struct ScriptedHandler {
    pub(crate) n: u32,
    pub(crate) nature: Nature,
}

impl Handler<World> for ScriptedHandler {
    fn setup(&mut self, cx: &mut Context<'_, World>) -> io::Result<()> {
        let world = Rc::clone(cx.shared);
        {
            let mut sim = world.borrow_mut();
            let now = sim.now;
            let line = sim.line(self.n);
            let stands = line.open && line.made == Made::Stands;
            if line.outgoing {
                line.moved_at = now;
                line.set_up_at = Some(now);
            }
            let page = &mut line.page;
            let first = !std::mem::replace(&mut page.set_up, true) && page.reason.is_none();
            let right = page.id == Some(cx.id);
            sim.check(first && right, || format!("{}: set up twice, or with another id", self.n));
            sim.check(stands, || format!("{}: set up before it stood", self.n));
            if let Some(trip) = sim.trip(self.n) {
                trip.stage = Stage::Over;
            }
        }
        if self.nature.full_duplex {
            world.borrow_mut().line(self.n).page.full_duplex = true;
            cx.io.set_read_while_congested(cx.id, true);
        }
        self.talk(cx.io, &world);
        self.end_callback(cx, &world, false)
    }

    fn handle(&mut self, cx: &mut Context<'_, World>, input: &mut Input<'_>) -> io::Result<()> {
        let world = Rc::clone(cx.shared);
        self.check_input(cx.io, &world, input.peek());
        let takes = self.takes(&world, input)?;
        let seen = {
            let mut sim = world.borrow_mut();
            let page = &mut sim.line(self.n).page;
            page.in_vain &= takes == 0;
            page.seen += takes as u64;
            page.seen
        };
        send(cx.io, &world, self.n, takes * self.nature.answers);
        if seen > self.nature.closes_after {
            close(cx.io, &world, self.n);
        }
        self.end_callback(cx, &world, true)
    }

    fn eof(&mut self, cx: &mut Context<'_, World>, rest: &[u8]) -> io::Result<()> {
        let world = Rc::clone(cx.shared);
        {
            let mut sim = world.borrow_mut();
            let line = sim.line(self.n);
            let (seen, read) = (line.page.seen, line.read);
            let right = is_part(input_of(self.n), seen, rest) && seen + rest.len() as u64 == read;
            let whole = line.reset || line.ended && line.came == read;
            let page = &mut line.page;
            let first = !std::mem::replace(&mut page.eof, true) && page.reason.is_none();
            let early = page.paused || page.offloaded > 0 || page.replay_due;
            page.seen = read;
            page.shown = read;
            page.replay_due = false;
            sim.check(!early, || format!("{}: told of an end before all was answered", self.n));
            sim.check(right, || format!("{}: the wrong rest at the end", self.n));
            sim.check(whole && first, || format!("{}: told of an end that is none", self.n));
        }
        match self.nature.at_end {
            AtEnd::Close => close(cx.io, &world, self.n),
            AtEnd::SendAndClose(n) => {
                send(cx.io, &world, self.n, n);
                close(cx.io, &world, self.n);
            }
            AtEnd::CloseLater => set_timer(cx.io, &world, self.n, 20),
            AtEnd::Stay => {}
        }
        self.end_callback(cx, &world, false)
    }

    fn drained(&mut self, cx: &mut Context<'_, World>) -> io::Result<()> {
        let world = Rc::clone(cx.shared);
        {
            let low = cx.io.options.low_water;
            let congested = cx.io.is_congested(cx.id) || cx.io.pending_output(cx.id) > low;
            let mut sim = world.borrow_mut();
            sim.check(!congested, || format!("{}: drained, but congested", self.n));
            let now = sim.now;
            let line = sim.line(self.n);
            line.page.wanted_at = Some(now);
            line.page.replay_due |= line.read > line.page.seen && !line.page.eof;
            line.page.asked_inside = false;
        }
        self.talk(cx.io, &world);
        self.end_callback(cx, &world, false)
    }

    fn timeout(&mut self, cx: &mut Context<'_, World>, timer: TimerId) -> io::Result<()> {
        let world = Rc::clone(cx.shared);
        {
            let mut sim = world.borrow_mut();
            let now = sim.now;
            sim.progress += 1;
            let timers = &mut sim.line(self.n).page.timers;
            let nth = timers.iter().position(|(one, _)| *one == timer);
            let due = nth.map(|nth| timers.swap_remove(nth).1);
            let in_time = due.is_some_and(|due| due <= now);
            sim.check(in_time, || format!("{}: a timer came that was not due", self.n));
            self.check_was_late(cx.io, &mut sim, due.unwrap_or(0));
        }
        let line_paused = world.borrow_mut().line(self.n).page.paused;
        if line_paused {
            resume(cx.io, &world, self.n, false);
        }
        if matches!(self.nature.at_end, AtEnd::CloseLater)
            && world.borrow_mut().line(self.n).page.eof
        {
            close(cx.io, &world, self.n);
        }
        self.end_callback(cx, &world, false)
    }

    fn shutdown(&mut self, cx: &mut Context<'_, World>) -> io::Result<()> {
        let world = Rc::clone(cx.shared);
        {
            let congested = cx.io.is_congested(cx.id);
            let (may_still_read, open) = (cx.io.may_still_read(), cx.io.is_open(cx.id));
            let mut sim = world.borrow_mut();
            let draining = sim.draining;
            let line = sim.line(self.n);
            let page = &mut line.page;
            let first = !std::mem::replace(&mut page.told_of_shutdown, true);
            let waits = matches!(self.nature.takes, Takes::Needs(_));
            let shown = page.paused || congested || waits || page.eof || page.shown == line.read;
            let owes = page.offloaded > 0 || congested && line.read > page.seen && !page.paused;
            let owes = owes || page.replay_due && may_still_read && !page.paused && !congested;
            let over = !open || page.eof;
            sim.check(draining && first, || format!("{}: told of no shutdown", self.n));
            sim.check(!owes || over, || format!("{}: told before all was answered", self.n));
            sim.check(shown, || format!("{}: told of a shutdown before its input", self.n));
        }
        if !self.nature.stays {
            close(cx.io, &world, self.n);
        }
        self.end_callback(cx, &world, false)
    }

    fn finish(&mut self, cx: &mut Context<'_, World>, outcome: io::Result<()>) {
        let world = Rc::clone(cx.shared);
        let Some(reason) = cx.reason() else {
            return world.borrow_mut().fail(|| format!("{}: finished without a reason", self.n));
        };
        {
            let mut sim = world.borrow_mut();
            let now = sim.now;
            sim.line(self.n).page.finished_at = now;
            let again = sim.line(self.n).page.reason.replace(reason).is_some();
            let agrees = outcome.is_ok() == (reason == CloseReason::Closed);
            sim.check(!again && agrees, || format!("{}: finished twice, or {outcome:?}", self.n));
            let kind = outcome.as_ref().err().map(io::Error::kind);
            let justified = is_justified(&mut sim, self.n, reason, kind);
            sim.check(justified, || {
                format!("{}: ended for no reason: {reason:?}, {outcome:?}", self.n)
            });
            let timed_out = matches!(
                reason,
                CloseReason::IdleTimeout | CloseReason::FrameTimeout | CloseReason::CloseTimeout
            );
            let is_shown = reason != CloseReason::IoError || self.was_shown_all(&mut sim);
            sim.check(is_shown, || format!("{}: broken, and not shown what came before", self.n));
            if timed_out {
                self.check_was_late(cx.io, &mut sim, cx.io.looked_at);
            }
            if let Some(trip) = sim.trip(self.n) {
                trip.stage = Stage::Over;
            }
        }
        self.act(cx, &world, false);
    }
}

impl ScriptedHandler {
    fn check_input(&self, io: &Io, world: &World, rest: &[u8]) {
        let mut sim = world.borrow_mut();
        let line = sim.line(self.n);
        let seen = line.page.seen;
        let id = line.page.id;
        let held_up = id.is_some_and(|id| io.is_congested(id)) && !line.page.full_duplex;
        // Behind a break nothing is held back.
        let is_last = line.reset || line.broken;
        let page = &mut line.page;
        let wanted = is_last || !page.paused && !held_up;
        let may = page.set_up && wanted && !page.closed && !page.eof;
        let all = seen + rest.len() as u64 == line.read && !rest.is_empty();
        page.in_vain = std::mem::take(&mut page.asked_inside) && page.shown == line.read;
        page.shown = line.read;
        page.replay_due = false;
        let right = is_part(input_of(self.n), seen, rest);
        sim.check(may, || format!("{}: shown input that it did not want", self.n));
        sim.check(all && right, || format!("{}: wrong input from byte {seen} on", self.n));
    }

    /// Whether a handler whose connection broke has got what came before, as far as it wants it.
    fn was_shown_all(&self, sim: &mut Simulated) -> bool {
        let limit = sim.options.input_limit as u64;
        let line = sim.line(self.n);
        let page = &line.page;
        let gave_up = page.closed || page.failed || page.panicked || page.aborted || page.eof;
        let needs = matches!(self.nature.takes, Takes::Needs(_));
        let is_full = line.read - page.seen >= limit;
        page.shown == line.came || gave_up || needs || is_full || line.read_failed
    }

    /// A deadline that came at `due`, at the latest, has come up: its peer was not in time.
    fn check_was_late(&self, io: &Io, sim: &mut Simulated, due: u64) {
        let now = sim.now;
        let line = sim.line(self.n);
        let held_up = line.page.id.is_some_and(|id| io.is_congested(id)) && !line.page.full_duplex;
        let why = if held_up { None } else { line.was_in_time(due, now) };
        sim.check(why.is_none(), || format!("{}: {}", self.n, why.unwrap_or_default()));
    }

    fn takes(&self, world: &World, input: &mut Input<'_>) -> io::Result<usize> {
        let len = input.len();
        let takes = match self.nature.takes {
            Takes::All => len,
            Takes::Pieces(piece) | Takes::Needs(piece) => len / piece * piece,
            Takes::Some => world.borrow_mut().random.below(len + 1),
        };
        input.take(takes);
        if let Takes::Needs(piece) = self.nature.takes {
            input.require(piece, piece)?;
        }
        Ok(takes)
    }

    /// Says some of what it wants to say, until there is no room.
    fn talk(&self, io: &mut Io, world: &World) {
        for _ in 0..8 {
            let said = world.borrow_mut().line(self.n).page.said;
            let piece = (self.nature.talks - said).min(io.options.high_water / 2 + 1);
            if piece == 0 {
                return;
            }
            let sent = send(io, world, self.n, piece);
            world.borrow_mut().line(self.n).page.said += piece;
            if sent != SendStatus::Queued {
                return;
            }
        }
    }

    /// Something besides, and perhaps a failure.
    fn end_callback(
        &self,
        cx: &mut Context<'_, World>,
        world: &World,
        handles: bool,
    ) -> io::Result<()> {
        self.act(cx, world, handles);
        let mut sim = world.borrow_mut();
        let set_up = sim.line(self.n).page.set_up;
        sim.check(set_up, || format!("{}: called before it stood", self.n));
        if sim.calm || sim.random.below(1_000) >= self.nature.fails {
            return Ok(());
        }
        if sim.random.chance(50) {
            sim.line(self.n).page.failed = true;
            return Err(io::Error::other("as the script says"));
        }
        sim.line(self.n).page.panicked = true;
        drop(sim);
        // So that nothing is printed.
        resume_unwind(Box::new("as the script says"));
    }

    fn act(&self, cx: &mut Context<'_, World>, world: &World, handles: bool) {
        let (lively, trip) = {
            let mut sim = world.borrow_mut();
            let percent = self.nature.lively;
            let lively = !sim.calm && sim.random.chance(percent);
            // A handler that is told of one end begins another connection.
            let over = sim.line(self.n).page.reason.is_some() && !sim.calm;
            let trips = if lively || over { sim.trips.len() } else { 0 };
            (lively, (trips > 0 && sim.random.chance(25)).then(|| sim.random.below(trips)))
        };
        if lively {
            act(cx.io, world, Some(self.n), handles);
        }
        if let Some(trip) = trip {
            begin_connect(cx.io, cx.registrar, world, trip);
        }
    }
}

/// Whether what is known agrees with the reason for which a conversation ended.
fn is_justified(
    sim: &mut Simulated,
    n: u32,
    reason: CloseReason,
    kind: Option<io::ErrorKind>,
) -> bool {
    match reason {
        CloseReason::ConnectFailed => sim.is_unreached(n, kind),
        CloseReason::OutputLimit | CloseReason::ShutdownTimeout => is_earned(sim, n, reason),
        _ => !sim.line(n).is_begun() && is_earned(sim, n, reason),
    }
}

/// The same of a connection that was established, or that was given up by us.
fn is_earned(sim: &mut Simulated, n: u32, reason: CloseReason) -> bool {
    let (now, draining) = (sim.now, sim.draining);
    let options = sim.options.clone();
    let line = sim.line(n);
    let page = &line.page;
    let waits = page.sent - line.taken;
    let held = line.read - page.seen;
    let passed = |since: u64, time: Duration| now >= since + time.as_nanos() as u64;
    match reason {
        CloseReason::Closed => waits == 0 && (page.closed || page.output_closed && line.end_read),
        CloseReason::Aborted => page.aborted,
        CloseReason::HandlerError => page.failed,
        CloseReason::Panicked => page.panicked,
        CloseReason::IoError => line.reset || line.broken,
        CloseReason::IdleTimeout => {
            let since = line.must_have_moved_at().max(line.ours_until);
            options.idle_timeout.is_some_and(|idle| passed(since, idle)) && !line.is_silent_for_us()
        }
        CloseReason::FrameTimeout => options.frame_timeout.is_some() && held > 0,
        CloseReason::InputLimit => held > options.input_limit as u64,
        CloseReason::OutputLimit => waits > options.output_limit as u64,
        CloseReason::CloseTimeout => {
            page.closed
                && passed(page.closed_at.max(line.must_have_moved_at()), options.close_timeout)
        }
        CloseReason::ShutdownTimeout => draining,
        _ => false,
    }
}
