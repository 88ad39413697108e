//! What must hold for outgoing connections that do not stand, after every turn, whenever everything
//! rests, and at the end.

use super::checks::late_by_full_polls;
use super::connection::{Made, SimConnection};
use super::outgoing::{Outgoing, Stage, Try};
use super::run::{Failed, Run};
use crate::io::Io;

/// So many turns something may be late: closed in the second half of a turn, it ends in the next.
const LATE: u32 = 1;

pub(crate) fn after_turn(run: &mut Run) -> Result<(), Failed> {
    let draining = run.is_draining_since().is_some();
    let io = &run.server.dispatcher().io;
    let sim = &mut *run.world.borrow_mut();
    let now = sim.now;
    let mut live = 0;
    let timeout = io.options.connect_timeout;
    if let Some(trip) = sim.trips.iter().find(|trip| !trip.is_live() && !trip.tries.is_empty()) {
        return Err(format!("{}: sockets are left of it: {:?}", trip.plan.line, trip.tries));
    }
    for trip in sim.trips.iter_mut().filter(|trip| trip.is_live()) {
        live += 1;
        let n = trip.plan.line;
        let begun = sim.lines[n as usize].as_ref().expect("it was begun");
        // An event that is not true may begin it in the turn before its deadline comes up.
        let has_begun = begun.page.id.is_some_and(|id| !io.attempts.is_planned(id));
        if has_begun || trip.begins_at <= io.looked_at {
            trip.note_time(now, timeout);
        }
        if let Some(what) = wrong_with(io, trip, begun) {
            return Err(format!("{n}: {what}"));
        }
        let overdue = what_is_overdue(trip, begun, draining, now);
        trip.late = if overdue.is_some() { trip.late + 1 } else { 0 };
        if let Some(what) = overdue.filter(|_| trip.late > LATE + late_by_full_polls(io)) {
            return Err(format!("{n}: {what}: {:?}", trip.stage));
        }
    }
    let kept = io.attempts.len();
    (kept <= live).then_some(()).ok_or_else(|| format!("{kept} attempts of {live} are kept"))
}

fn wrong_with(io: &Io, trip: &Outgoing, line: &SimConnection) -> Option<String> {
    let Some(connection) = line.page.id.and_then(|id| io.sockets.connection(id)) else {
        return Some("it is gone, and nobody was told".to_string());
    };
    let unsent = connection.stream.unsent() as u64;
    let sent = line.page.sent;
    if !connection.stream.is_connecting() {
        return Some(format!("it is said to stand: {:?}", trip.stage));
    }
    (unsent != sent).then(|| format!("{unsent} bytes are said to be unsent, but {sent} are"))
}

/// What should have happened by now.
fn what_is_overdue(
    trip: &Outgoing,
    line: &SimConnection,
    draining: bool,
    now: u64,
) -> Option<&'static str> {
    let planned = trip.stage == Stage::Planned;
    let stands = |one: &Try| one.line.made == Made::Stands && one.line.is_noticed() && !one.told;
    if line.page.gives_up() {
        Some("it was closed, and does not end")
    } else if trip.due() <= now {
        Some("its time has passed, and nothing happens")
    } else if planned && draining {
        Some("it is only planned, and outlives the begin of a shutdown")
    } else if trip.tries.iter().any(stands) {
        Some("it stands, and its handler was not told")
    } else {
        None
    }
}

/// The kernel owes nothing and the loop would sleep, so there must be something that is waited for.
pub(crate) fn at_rest(run: &mut Run) -> Result<(), Failed> {
    let draining = run.is_draining_since().is_some();
    let io = &run.server.dispatcher().io;
    let sim = run.world.borrow();
    // No conversation has begun any of them.
    let idle = |trip: &&Outgoing| {
        let line = sim.lines[trip.plan.line as usize].as_ref();
        trip.is_live() && line.is_some_and(|line| line.page.sent == 0)
    };
    let idle = sim.trips.iter().filter(idle).count();
    if draining && idle > 0 && idle == io.connection_count() && sim.ports.is_empty() {
        return Err("a shutdown waits for those alone whom nobody has asked for".to_string());
    }
    for trip in sim.trips.iter().filter(|trip| trip.begun) {
        let n = trip.plan.line;
        let line = sim.lines[n as usize].as_ref().expect("it was begun");
        if let Some(what) = left_undone(io, trip, line, draining) {
            return Err(format!("{n}: lost edge: {what}: {:?}", trip.stage));
        }
    }
    Ok(())
}

fn left_undone(
    io: &Io,
    trip: &Outgoing,
    line: &SimConnection,
    draining: bool,
) -> Option<&'static str> {
    let page = &line.page;
    if !trip.is_live() {
        let id = page.id.filter(|id| page.set_up && io.is_open(*id))?;
        let waits = io.is_congested(id) || page.paused;
        let told = !draining || waits || page.told_of_shutdown;
        return (!told).then_some("it was not told of the shutdown");
    }
    if page.gives_up() {
        return Some("it was closed, and does not end");
    }
    if trip.tries.iter().any(|one| one.line.made != Made::UnderWay && !one.told) {
        return Some("it was answered, and does not know");
    }
    let due = trip.due();
    (io.next_deadline() > due).then_some("nobody will wake the loop for it")
}

/// The server was shut down: no connection is connecting any more.
pub(crate) fn all_over(run: &mut Run) -> Result<(), Failed> {
    let io = &run.server.dispatcher().io;
    let sim = run.world.borrow();
    match sim.trips.iter().find(|trip| trip.is_live()) {
        Some(trip) => Err(format!("it outlived the shutdown: {trip:?}")),
        None if !io.attempts.is_empty() => Err("attempts of nobody are kept".to_string()),
        None => Ok(()),
    }
}
