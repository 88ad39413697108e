//! What must hold for datagram sockets after every turn, whenever everything rests, and at the end.

use super::checks::late;
use super::datagram_socket::{DatagramCounters, SimDatagramSocket};
use super::kernel::Simulated;
use super::run::{Failed, Run};
use crate::conn::datagram::DatagramPhase;
use crate::io::{ACCEPT_RETRY, Io, ShutdownState};
use crate::stats::Stats;

pub(crate) fn after_turn(run: &mut Run) -> Result<(), Failed> {
    let io = &run.server.dispatcher().io;
    let mut sim = run.world.borrow_mut();
    let Simulated { ports, counters, now, grace_over, .. } = &mut *sim;
    for (n, port) in ports.iter_mut().enumerate() {
        let Some(port) = port.as_mut().filter(|port| port.open) else { continue };
        if io.shutdown_state == ShutdownState::Done && *grace_over {
            counters.dropped += drop_what_was_cut_off(io, port);
        }
        if let Some(what) = wrong_with(io, port, *now) {
            return Err(format!("port {n}: {what}"));
        }
    }
    let theirs = of_ledger(io.stats());
    if format!("{theirs:?}") != format!("{counters:?}") {
        return Err(format!("by the stats {theirs:?}, in truth {counters:?}"));
    }
    Ok(())
}

fn of_ledger(stats: &Stats) -> DatagramCounters {
    DatagramCounters {
        received: stats.packets_in,
        truncated: stats.packets_truncated,
        refused: stats.packets_refused,
        failed: stats.packets_failed,
        sent: stats.packets_sent,
        out: stats.packets_out,
        dropped: stats.packets_dropped,
    }
}

/// The grace of a shutdown is over: what waits is dropped, and then a handler may have sent more.
fn drop_what_was_cut_off(io: &Io, port: &mut SimDatagramSocket) -> u64 {
    let Some(id) = port.page.id else { return 0 };
    let abort_all = port.page.parcels.len().saturating_sub(io.queued_packets(id));
    port.page.parcels.drain(..abort_all);
    abort_all as u64
}

/// What is wrong with one open socket after a turn, if anything is.
fn wrong_with(io: &Io, port: &mut SimDatagramSocket, now: u64) -> Option<String> {
    let page = &mut port.page;
    let Some(datagram) = io.sockets.datagram(page.id?) else {
        return Some("its descriptor is open, but it is gone".to_string());
    };
    if !page.let_in.is_empty() || !page.to_tell.is_empty() {
        return Some(format!("not shown: {:?}, not told: {:?}", page.let_in, page.to_tell));
    }
    if datagram.queue_len() != page.parcels.len() {
        return Some(format!("{} wait, not {}", datagram.queue_len(), page.parcels.len()));
    }
    let closing = datagram.phase() == DatagramPhase::Closing;
    if !closing && datagram.is_congested() != page.congested {
        return Some(format!("it says congested: {}", datagram.is_congested()));
    }
    if !closing && page.timers.iter().any(|(_, due)| *due <= io.looked_at) {
        return Some("a timer that is due did not come up".to_string());
    }
    if io.shutdown_state == ShutdownState::Done && !closing && !page.told_of_shutdown {
        return Some("it was not told of the shutdown".to_string());
    }
    if closing {
        page.closing_since.get_or_insert(now);
        // Closed by another in the second half of a turn, its time begins in the next.
        if page.hurried_since.is_some() || !datagram.queued {
            let since = *page.hurried_since.get_or_insert(now);
            let patience = io.options.close_timeout.as_nanos() as u64;
            page.overdue = if now > since + patience { page.overdue + 1 } else { 0 };
        }
    }
    (page.overdue > late(io)).then(|| "its timeout has passed, and it is still there".to_string())
}

/// No edge is lost: the kernel owes nothing, the loop would sleep, so nothing may be left to do.
pub(crate) fn at_rest(run: &mut Run) -> Result<(), Failed> {
    let io = &run.server.dispatcher().io;
    let sim = run.world.borrow();
    for (n, port) in sim.ports.iter().enumerate() {
        let Some(port) = port.as_ref().filter(|port| port.open) else { continue };
        if let Some(what) = left_undone(io, port) {
            return Err(format!("port {n}: lost edge: {what}"));
        }
    }
    Ok(())
}

fn left_undone(io: &Io, port: &SimDatagramSocket) -> Option<&'static str> {
    let page = &port.page;
    let datagram = io.sockets.datagram(page.id?)?;
    let retries = datagram.recv_backoff && io.next_deadline() <= io.deadline_in(ACCEPT_RETRY);
    let waits = !page.parcels.is_empty();
    if waits && port.is_writable() {
        return Some("datagrams wait to leave, and there is room");
    }
    if !waits && page.congested && !page.closed {
        return Some("it is congested by nothing");
    }
    match datagram.phase() {
        DatagramPhase::Open if port.is_readable() && !page.paused && !retries => {
            Some("datagrams wait, and are wanted")
        }
        DatagramPhase::Draining { .. } => Some("it should have come to its end"),
        DatagramPhase::Closing if !waits => Some("all has left, and it does not end"),
        _ => None,
    }
}

/// The server was shut down, and every bound socket has closed.
pub(crate) fn all_over(run: &mut Run) -> Result<(), Failed> {
    let sim = run.world.borrow();
    for (n, port) in sim.ports.iter().enumerate() {
        let Some(port) = port else { continue };
        // One that was never watched was never anybody's.
        let finished = port.page.finished || port.page.id.is_none();
        if port.open || !finished {
            return Err(format!("port {n} outlived the shutdown: {port:?}"));
        }
    }
    Ok(())
}
