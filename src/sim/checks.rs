//! What must hold after every turn, whenever everything rests, and at the end.

use super::connection::SimConnection;
use super::run::{Failed, Run};
use super::{datagram_checks, outgoing_checks};
use crate::conn::stream::CloseState;
use crate::id::SocketId;
use crate::io::{Io, NO_SOCKET, ShutdownState, nanoseconds};
use crate::options::Options;

/// So many turns something may be late: the loop looks once more before it ends anybody.
const LATE: u32 = 4;

/// The same, and while polls are full it goes on looking.
pub(super) fn late(io: &Io) -> u32 {
    LATE + late_by_full_polls(io)
}

/// A row of full polls is as long as all sockets need, and a deadline may come in the middle of one.
pub(super) fn late_by_full_polls(io: &Io) -> u32 {
    2 * (io.sockets.len() / io.options.events_per_turn) as u32 + 1
}

pub(crate) fn after_turn(run: &mut Run) -> Result<(), Failed> {
    let deadline = run.is_draining_since();
    let io = &run.server.dispatcher().io;
    io.verify_stats()?;
    datagram_checks::after_turn(run)?;
    outgoing_checks::after_turn(run)?;
    let io = &run.server.dispatcher().io;
    let mut sim = run.world.borrow_mut();
    let now = sim.now;
    if deadline.is_some_and(|deadline| deadline <= io.looked_at) {
        return Err("a shutdown outlasted its grace".to_string());
    }
    if io.shutdown_state == ShutdownState::Done && io.connection_count() > 0 {
        return Err("a shutdown is over, and there are connections left".to_string());
    }
    wakes_for_somebody(io)?;
    let stats = io.stats();
    let kept = [
        ("connections", sim.connections() as u64, io.connection_count() as u64),
        ("accepted", sim.accepted, stats.accepted),
        ("connected", sim.connected, stats.connected),
        ("bytes out", sim.bytes_out, stats.bytes_out),
        ("bytes sent", sim.bytes_sent, stats.bytes_sent),
    ];
    for (what, ours, theirs) in kept {
        if ours != theirs {
            return Err(format!("{what}: {theirs} by the stats, {ours} in truth"));
        }
    }
    for (n, line) in sim.lines.iter_mut().enumerate() {
        let Some(line) = line.as_mut().filter(|line| line.open && !line.is_begun()) else {
            continue;
        };
        if let Some(what) = wrong_with(io, line, now).or_else(|| told_late(io, line, now)) {
            return Err(format!("{n}: {what}"));
        }
    }
    Ok(())
}

fn wakes_for_somebody(io: &Io) -> Result<(), Failed> {
    let is_gone = |id: &SocketId| *id != NO_SOCKET && io.sockets.get(*id).is_none();
    let gone = io.first_deadlines().find(is_gone);
    gone.map_or(Ok(()), |id| Err(format!("{id} is gone, and its deadline will wake the loop")))
}

/// What is wrong with one open connection after a turn, if anything is.
fn wrong_with(io: &Io, line: &mut SimConnection, now: u64) -> Option<String> {
    let options = &io.options;
    let id = line.page.id?;
    let (open, unsent) = (io.is_open(id), io.pending_output(id));
    let Some(connection) = io.sockets.connection(id) else {
        return Some("its descriptor is open, but it is gone".to_string());
    };
    if line.page.sent - line.taken != unsent as u64 {
        let truly = line.page.sent - line.taken;
        return Some(format!("{unsent} bytes are said to be unsent, but {truly} are"));
    }
    if open && unsent > options.output_limit {
        return Some(format!("{unsent} bytes wait, more than the limit"));
    }
    let held = line.read - line.page.seen;
    if open && held > options.input_limit as u64 {
        return Some(format!("{held} bytes of input are held, more than the limit"));
    }
    // A timer that expired before the connection was established fires in the turn after.
    let waits = line.set_up_at.is_some_and(|at| at >= io.looked_at);
    if open && !waits && line.page.timers.iter().any(|(_, due)| *due <= io.looked_at) {
        return Some("a timer that is due did not come up".to_string());
    }
    if line.is_silent_for_us() {
        line.ours_until = now;
    }
    let is_late = is_overdue(connection.stream.close_state(), line, now, options)
        || open && line.page.timers.iter().any(|(_, due)| *due <= now);
    line.page.overdue = if is_late { line.page.overdue + 1 } else { 0 };
    (line.page.overdue > late(io))
        .then(|| "its timeout has passed, and nothing happens".to_string())
}

/// Whether the timeout of the state of a connection has passed.
fn is_overdue(state: CloseState, line: &mut SimConnection, now: u64, options: &Options) -> bool {
    let moved_at = line.may_have_moved_at();
    let passed =
        |since: u64, time: std::time::Duration| now > since.max(moved_at) + nanoseconds(time);
    match state {
        CloseState::Open => options.idle_timeout.is_some_and(|idle| passed(line.ours_until, idle)),
        CloseState::Closing => {
            // The loop counts from the turn of the connection, which may be one later than the close.
            if line.page.turns_closing < 2 {
                line.page.turns_closing += 1;
                line.page.closing_since = now;
            }
            passed(line.page.closing_since, options.close_timeout)
        }
        CloseState::Lingering => lingers_too_long(line, now, options),
        _ => false,
    }
}

/// A shutdown reads on for a time; then every handler that owes no answer is notified, whatever arrives.
fn told_late(io: &Io, line: &mut SimConnection, now: u64) -> Option<String> {
    let ShutdownState::Draining { since, deadline } = io.shutdown_state else { return None };
    let id = line.page.id.filter(|id| io.is_open(*id))?;
    let page = &mut line.page;
    let owes = page.offloaded > 0 || io.is_congested(id);
    let may_still_read = now <= since + READ_ON.min((deadline - since) / 2);
    let is_late = page.set_up && !page.told_of_shutdown && !owes && !may_still_read;
    page.untold = if is_late { page.untold + 1 } else { 0 };
    (page.untold > LATE).then(|| "it is not told of the shutdown".to_string())
}

/// How long a shutdown reads on at most.
const READ_ON: u64 = 1_000_000_000;

/// Whether one that waits for the end of its peer should be gone: in all, or since that is silent and
/// has acknowledged all.
fn lingers_too_long(line: &SimConnection, now: u64, options: &Options) -> bool {
    let Some(since) = line.lingers_since() else { return false };
    let silent_since = since.max(line.in_vain_at).max(line.may_have_moved_at());
    let is_done = line.unacknowledged() == 0 && !line.is_readable();
    // A count of milliseconds is rounded up.
    now > since + nanoseconds(options.linger_time) + 1_000_000
        || is_done && now > silent_since + 2 * nanoseconds(options.linger_timeout)
}

/// No edge is lost: the kernel owes nothing, the loop would sleep, so nothing may be left to do.
pub(crate) fn at_rest(run: &mut Run) -> Result<(), Failed> {
    let io = &run.server.dispatcher().io;
    let sim = run.world.borrow();
    for (n, line) in sim.live().filter(|(_, line)| !line.is_begun()) {
        if let Some(what) = left_undone(io, line) {
            return Err(format!("{n}: lost edge: {what}"));
        }
    }
    let room = io.connection_count() < io.options.max_connections && sim.open < sim.limit;
    // Only a shortage is waited out: after an error of one client the next has its turn at once.
    let retries =
        sim.short_of_something && io.next_deadline() <= io.deadline_in(crate::io::ACCEPT_RETRY);
    if !sim.backlog.is_empty() && room && !io.is_shutting_down() && !retries {
        return Err("lost edge: clients wait, and nobody will accept them".to_string());
    }
    drop(sim);
    outgoing_checks::at_rest(run)?;
    datagram_checks::at_rest(run)
}

fn left_undone(io: &Io, line: &SimConnection) -> Option<&'static str> {
    let id = line.page.id?;
    let page = &line.page;
    let connection = io.sockets.connection(id)?;
    let unsent = io.pending_output(id);
    let congested = io.is_congested(id);
    if line.reset {
        return Some("it was reset and lives on");
    }
    if unsent > 0 && line.is_writable() {
        return Some("output waits, and there is room");
    }
    if congested
        && unsent <= io.options.low_water
        && connection.stream.close_state() == CloseState::Open
    {
        return Some("it is congested by nothing");
    }
    match connection.stream.close_state() {
        CloseState::Open => {
            let wanted = !page.paused && !page.eof && (!congested || page.full_duplex);
            if wanted && line.is_readable() {
                return Some("input waits, and is wanted");
            }
            if wanted && !congested && line.end_read {
                return Some("the end was read, and it was not told");
            }
            (wanted && page.replay_due).then_some("what was left has to be shown again")
        }
        CloseState::Closing | CloseState::Flushing if unsent == 0 => {
            Some("all is sent, and it does not end")
        }
        CloseState::Lingering if line.is_readable() => Some("it lingers beside input"),
        CloseState::Aborted(_) | CloseState::Dropped => Some("it was aborted and lives on"),
        _ => None,
    }
}

/// Every peer has ended and reads, and time has passed: what is still open has its reason, and a
/// peer that listened to the end has received everything.
pub(crate) fn all_came(run: &mut Run) -> Result<(), Failed> {
    let io = &run.server.dispatcher().io;
    let sim = run.world.borrow();
    for (n, line) in sim.live().filter(|(_, line)| !line.is_begun()) {
        let page = &line.page;
        if !page.paused && !page.eof && page.id.is_some_and(|id| io.is_open(id)) {
            return Err(format!("{n}: its peer has ended, and it was not told"));
        }
        if line.got != page.sent {
            return Err(format!("{n}: its peer got {} of {} bytes", line.got, page.sent));
        }
    }
    if !sim.backlog.is_empty() && io.connection_count() < io.options.max_connections {
        return Err("clients still wait, and there is room".to_string());
    }
    Ok(())
}

pub(crate) fn all_over(run: &mut Run) -> Result<(), Failed> {
    let io = &run.server.dispatcher().io;
    let sim = run.world.borrow();
    if let Some((n, line)) = sim.live().next() {
        return Err(format!("{n}: outlived the shutdown: {line:?}"));
    }
    let open: Vec<usize> = sim
        .lines
        .iter()
        .enumerate()
        .filter(|(_, line)| line.as_ref().is_some_and(|line| line.page.set_up))
        .filter(|(_, line)| line.as_ref().is_none_or(|line| line.page.reason.is_none()))
        .map(|(n, _)| n)
        .collect();
    if !open.is_empty() || io.stats().live() != 0 {
        return Err(format!("these never finished: {open:?}, {:?}", io.stats()));
    }
    if io.is_shutting_down() {
        return Err("the shutdown does not end".to_string());
    }
    drop(sim);
    outgoing_checks::all_over(run)?;
    datagram_checks::all_over(run)
}
