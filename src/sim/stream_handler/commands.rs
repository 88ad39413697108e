//! The commands that a handler of the simulation gives, and what each must return.

use std::sync::Arc;
use std::time::Duration;

use super::World;
use crate::conn::stream::{CloseState, SendStatus};
use crate::id::TimerId;
use crate::io::Io;
use crate::sim::kernel::output_of;
use crate::sim::random::bytes;
use crate::stats::CloseReason;

/// Does something that is drawn to a connection that is drawn; it may be gone for long.
pub(crate) fn act(io: &mut Io, world: &World, own: Option<u32>, handles: bool) {
    let (n, what, len, ms) = {
        let mut sim = world.borrow_mut();
        let lines = sim.lines.len();
        let random = &mut sim.random;
        let other = random.below(lines) as u32;
        let n = own.filter(|_| random.chance(50)).unwrap_or(other);
        let large = random.chance(10);
        let len = if large { random.between(4_096, 9_000) } else { random.between(1, 60) };
        (n, random.below(46), len, random.between(1, 200) as u64)
    };
    if world.borrow().lines[n as usize].as_ref().is_none_or(|line| line.page.id.is_none()) {
        return;
    }
    let in_own_handle = handles && own == Some(n);
    match what {
        0..=14 => drop(send(io, world, n, len)),
        15..=18 => {
            pause(io, world, n);
            set_timer(io, world, n, ms);
        }
        19..=23 => resume(io, world, n, in_own_handle),
        24 => close(io, world, n),
        25 => abort(io, world, n),
        26 => shutdown_write(io, world, n),
        27..=28 => set_full_duplex(io, world, n, ms % 2 == 0),
        29..=33 => set_timer(io, world, n, ms),
        34..=39 => cancel_timer(io, world, n),
        40..=43 => {
            pause(io, world, n);
            resume(io, world, n, in_own_handle);
        }
        _ => offload(io, world, n),
    }
}

/// Another thread is at work for it; a step says when that is done.
pub(super) fn offload(io: &mut Io, world: &World, n: u32) {
    let mut sim = world.borrow_mut();
    let page = &mut sim.line(n).page;
    let Some(id) = page.id.filter(|id| io.is_open(*id)) else { return };
    page.offloaded += 1;
    io.begin_offloaded(id);
}

/// A piece of that work is done, if one is under way, and what it came to is sent.
pub(crate) fn end_offloaded(io: &mut Io, world: &World, n: u32) -> bool {
    let id = {
        let mut sim = world.borrow_mut();
        let now = sim.now;
        let Some(line) = sim.lines[n as usize].as_mut() else { return false };
        let Some(id) = line.page.id.filter(|_| line.page.offloaded > 0) else { return false };
        line.page.offloaded -= 1;
        line.ours_until = now;
        id
    };
    io.end_offloaded(id);
    send(io, world, n, 3);
    true
}

/// Sends the next bytes of the stream to that peer.
pub(super) fn send(io: &mut Io, world: &World, n: u32, len: usize) -> SendStatus {
    if len == 0 {
        return SendStatus::Queued;
    }
    let len = len.min(60_000);
    let (id, at, closed, shared) = {
        let mut sim = world.borrow_mut();
        let shared = sim.random.chance(30);
        let page = &mut sim.line(n).page;
        let (Some(id), at) = (page.id, page.sent) else { return SendStatus::Closed };
        // Before it is sent, since a part may leave at once.
        page.sent += len as u64;
        (id, at, page.output_closed, shared)
    };
    let is_due = io.is_open(id) && !closed;
    let what = bytes(output_of(n), at, len);
    let sent = if shared { io.send_shared(id, &Arc::from(what)) } else { io.send(id, what) };
    let mut sim = world.borrow_mut();
    let takes = sent != SendStatus::Closed;
    let (limit, high) = (sim.options.output_limit, sim.options.high_water);
    sim.check(takes == is_due, || format!("{n}: sent, open {is_due}, but it was {sent:?}"));
    let line = sim.line(n);
    let was_open = line.open || line.is_begun();
    if takes {
        let waits = (line.page.sent - line.taken) as usize;
        let abort_all = !io.is_open(id);
        sim.bytes_sent += len as u64;
        sim.check(was_open, || format!("{n}: sent to one that is gone"));
        // What lies in the outbox leaves with the end of the round, and does not count.
        sim.check(waits <= limit + high || abort_all, || format!("{n}: {waits} bytes may wait"));
    } else {
        line.page.sent -= len as u64;
    }
    sent
}

pub(super) fn close(io: &mut Io, world: &World, n: u32) {
    let mut sim = world.borrow_mut();
    let now = sim.now;
    let page = &mut sim.line(n).page;
    let Some(id) = page.id else { return };
    if !std::mem::replace(&mut page.closed, true) {
        page.closed_at = now;
    }
    drop(sim);
    let (can, done) = (io.is_open(id), io.close(id));
    world.borrow_mut().check(done == can, || format!("{n}: open {can}, but closed {done}"));
}

pub(super) fn abort(io: &mut Io, world: &World, n: u32) {
    let mut sim = world.borrow_mut();
    let page = &mut sim.line(n).page;
    let Some(id) = page.id else { return };
    page.aborted = true;
    drop(sim);
    let ending = io.sockets.connection(id).map(|one| one.stream.close_state());
    let can = ending.is_some_and(|ending| match ending {
        CloseState::Aborted(reason) => {
            matches!(reason, CloseReason::ShutdownTimeout | CloseReason::IdleTimeout)
        }
        ending => ending != CloseState::Dropped,
    });
    let done = io.abort(id);
    world.borrow_mut().check(done == can, || format!("{n}: abort of {ending:?} was {done}"));
}

pub(super) fn pause(io: &mut Io, world: &World, n: u32) {
    let mut sim = world.borrow_mut();
    let page = &mut sim.line(n).page;
    let Some(id) = page.id else { return };
    page.paused = true;
    drop(sim);
    let (can, done) = (io.is_open(id), io.pause(id));
    world.borrow_mut().check(done == can, || format!("{n}: open {can}, but paused {done}"));
}

pub(super) fn resume(io: &mut Io, world: &World, n: u32, in_own_handle: bool) {
    let mut sim = world.borrow_mut();
    let now = sim.now;
    let line = sim.line(n);
    let Some(id) = line.page.id else { return };
    line.page.paused = false;
    line.ours_until = now;
    line.page.wanted_at = Some(now);
    if !(in_own_handle && line.page.in_vain) {
        let due = line.read > line.page.seen && !line.page.eof;
        line.page.replay_due |= due;
        line.page.asked_inside = due && in_own_handle;
    }
    drop(sim);
    let (can, done) = (io.is_open(id), io.resume(id));
    world.borrow_mut().check(done == can, || format!("{n}: open {can}, but resumed {done}"));
}

pub(super) fn shutdown_write(io: &mut Io, world: &World, n: u32) {
    let mut sim = world.borrow_mut();
    let page = &mut sim.line(n).page;
    let Some(id) = page.id else { return };
    page.output_closed = true;
    drop(sim);
    let (can, done) = (io.is_open(id), io.shutdown_write(id));
    world.borrow_mut().check(done == can, || format!("{n}: open {can}, but shut {done}"));
}

pub(super) fn set_full_duplex(io: &mut Io, world: &World, n: u32, on: bool) {
    let mut sim = world.borrow_mut();
    let now = sim.now;
    let page = &mut sim.line(n).page;
    let Some(id) = page.id else { return };
    page.full_duplex = on;
    page.wanted_at = Some(now);
    drop(sim);
    let (can, done) = (io.is_open(id), io.set_read_while_congested(id, on));
    world.borrow_mut().check(done == can, || format!("{n}: open {can}, but set {done}"));
}

pub(super) fn set_timer(io: &mut Io, world: &World, n: u32, ms: u64) {
    let mut sim = world.borrow_mut();
    let now = sim.now;
    let line = sim.line(n);
    let Some(id) = line.page.id else { return };
    let timer = io.set_timer(id, Duration::from_millis(ms));
    let right = (timer != TimerId::NONE) == io.is_open(id);
    line.page.timers.push((timer, now + ms * 1_000_000));
    sim.check(right, || format!("{n}: a timer is {timer:?}, and nobody to be called, or other"));
}

pub(super) fn cancel_timer(io: &mut Io, world: &World, n: u32) {
    let mut sim = world.borrow_mut();
    let line = sim.line(n);
    let open = line.page.id.is_some_and(|id| io.is_open(id));
    let Some((timer, _)) = line.page.timers.pop() else { return };
    let was_set = io.cancel_timer(timer);
    let again = io.cancel_timer(timer);
    sim.check(was_set || !open, || format!("{n}: a timer was gone before it came up"));
    sim.check(!again, || format!("{n}: a timer was cancelled twice"));
}
