//! How an outgoing connection of a simulated run is begun, by a handler or by a step.

use std::io;

use super::connection::SimConnection;
use super::kernel::Simulated;
use super::outgoing::{Named, Plan, Stage, UNKNOWN};
use super::run::Run;
use super::stream_handler::{ScriptedHandler, World};
use crate::addr::Addr;
use crate::handler::{HandlerSlot, Registrar};
use crate::id::SocketId;
use crate::io::connect::Connect;
use crate::io::{Io, ShutdownState};

/// Whether the connection of that number is opened for a timer without a connection.
pub(crate) fn is_beside(k: usize) -> bool {
    k % 2 == 1
}

/// Opens an outgoing connection, unless it is open already.
pub(crate) fn begin_connect(
    io: &mut Io,
    registrar: &mut Registrar<World>,
    world: &World,
    k: usize,
) {
    let (n, plan, nature, addrs) = {
        let mut sim = world.borrow_mut();
        let (now, timeout) = (sim.now, sim.options.connect_timeout);
        let trip = &mut sim.trips[k];
        if trip.begun {
            return;
        }
        trip.begin(now, timeout);
        let addrs: Vec<Addr> = (0..trip.plan.places.len()).map(|nth| trip.addr(nth)).collect();
        let (plan, nature) = (trip.plan.clone(), trip.nature);
        let n = plan.line;
        sim.lines[n as usize] = Some(SimConnection::outgoing(n, nature.buffer, nature.step));
        (n, plan, nature, addrs)
    };
    let actor = ScriptedHandler { n, nature };
    let to = destination(&plan, &addrs, world.borrow().trips[k].from());
    // A lingering connection makes room.
    let full = io.connection_count() >= io.options.max_connections && io.lingering.len() == 0;
    let over =
        matches!(io.shutdown_state, ShutdownState::Draining { deadline, .. } if deadline <= io.now);
    let asker = world.borrow().clock.filter(|_| is_beside(k));
    let opened = if plan.named == Named::Address {
        registrar.connect(io, asker, to, actor)
    } else {
        // No thread looks it up: the script says what comes of it, and when.
        let opened = io.open_connection(to, asker);
        let role = HandlerSlot::Stream(Box::new(actor));
        opened.inspect(|id| registrar.pending_handlers.push((*id, role)))
    };
    world.borrow_mut().note_dialled(k, (full, over), opened.map_err(|error| error.kind()));
}

/// Where to, from where, and how long after the one before each address is tried.
fn destination(plan: &Plan, addrs: &[Addr], from: Option<Addr>) -> Connect {
    let by_name = || Ok(Connect::to_name("somewhere:80"));
    let to = if plan.named == Named::Address { Connect::to(addrs) } else { by_name() };
    let to = to.and_then(|to| from.map_or(Ok(to.clone()), |from| to.local_addr(from)));
    to.expect("these are addresses").delay(plan.after)
}

impl Simulated {
    /// What became of the begin of one.
    fn note_dialled(
        &mut self,
        k: usize,
        (full, over): (bool, bool),
        opened: Result<SocketId, io::ErrorKind>,
    ) {
        let trip = &mut self.trips[k];
        let (n, refused) = (trip.plan.line, trip.is_refused());
        let right = match opened {
            Ok(_) => !full && !over && !refused,
            Err(io::ErrorKind::QuotaExceeded) => full && trip.tried == 0,
            Err(io::ErrorKind::ConnectionAborted) => over && trip.tried == 0,
            Err(kind) => refused && trip.last == Some(kind),
        };
        if let Ok(id) = opened {
            self.connected += 1;
            self.line(n).page.id = Some(id);
        } else {
            (trip.begun, trip.stage) = (false, Stage::Over);
            self.lines[n as usize] = None;
        }
        self.check(right, || format!("{n}: is begun for no reason, or not: {opened:?}"));
    }
}

impl Run {
    /// A thread has looked up a name, and has the loop told. Whether there was anything to tell.
    pub(super) fn look_up(&mut self, k: usize) -> bool {
        let mut sim = self.world.borrow_mut();
        let Some(trip) = sim.trips.get_mut(k) else { return false };
        if trip.stage != Stage::LookingUp || trip.answered {
            return false;
        }
        trip.answered = true;
        let known = trip.plan.named == Named::Name;
        let addrs = (0..trip.plan.places.len()).map(|nth| trip.addr(nth)).collect();
        let n = trip.plan.line;
        let found = if known { Ok(addrs) } else { Err(UNKNOWN.into()) };
        let id = sim.line(n).page.id.expect("it was begun");
        let told = self.server.handle().post(move |world: &mut World, io| {
            let now = world.borrow().now;
            world.borrow_mut().trips[k].note_found(now);
            io.resolved(id, found);
        });
        told.expect("few calls wait");
        true
    }

    /// Every peer that will ever get an answer gets it. Whether the loop has to be notified of one.
    pub(super) fn answer_all(&mut self) -> bool {
        let trips = self.world.borrow().trips.len();
        let mut told = false;
        for k in 0..trips {
            self.world.borrow_mut().answer(k);
            told |= self.look_up(k);
        }
        told
    }
}
