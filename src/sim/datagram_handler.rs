//! The handlers of the simulated datagram sockets: they behave as their script says, and compare
//! what they are shown with what came.

use std::io;
use std::panic::resume_unwind;
use std::rc::Rc;

use super::datagram_socket::{
    Arrival, Party, STRANGERS, SentDatagram, arrivals_of, local_addr, name,
};
use super::random::bytes;
use super::script::{Answers, Service};
use super::stream_handler::World;
use crate::addr::Addr;
use crate::handler::{Context, DatagramHandler};
use crate::id::TimerId;
use crate::io::Io;
use crate::stats::CloseReason;

mod commands;

pub(crate) use commands::connect;
use commands::{close, note_sent, send, send_some, set_timer};

pub(crate) struct ScriptedDatagramHandler {
    pub(crate) n: u32,
    pub(crate) service: Service,
}

impl DatagramHandler<World> for ScriptedDatagramHandler {
    fn handle(
        &mut self,
        cx: &mut Context<'_, World>,
        packet: &[u8],
        peer: &Addr,
    ) -> io::Result<()> {
        self.take(cx, packet, peer, false)
    }

    fn truncated(
        &mut self,
        cx: &mut Context<'_, World>,
        packet: &[u8],
        peer: &Addr,
    ) -> io::Result<()> {
        cx.shared.borrow_mut().counters.truncated += 1;
        self.take(cx, packet, peer, true)
    }

    fn error(&mut self, cx: &mut Context<'_, World>, error: io::Error) -> io::Result<()> {
        let world = Rc::clone(cx.shared);
        {
            let mut sim = world.borrow_mut();
            let due = sim.port(self.n).page.to_tell.pop_front();
            let right = due.is_some() && due == error.raw_os_error();
            sim.check(right, || format!("port {}: told of {error}, not of {due:?}", self.n));
        }
        self.end_callback(cx.io, &world)
    }

    fn drained(&mut self, cx: &mut Context<'_, World>) -> io::Result<()> {
        let world = Rc::clone(cx.shared);
        {
            let mut sim = world.borrow_mut();
            let page = &mut sim.port(self.n).page;
            let due = std::mem::take(&mut page.congested) && page.parcels.is_empty();
            let due = due && !page.closed;
            sim.check(due, || format!("port {}: drained, and was not full", self.n));
        }
        self.talk(cx.io, &world);
        self.end_callback(cx.io, &world)
    }

    fn timeout(&mut self, cx: &mut Context<'_, World>, timer: TimerId) -> io::Result<()> {
        let world = Rc::clone(cx.shared);
        {
            let mut sim = world.borrow_mut();
            let now = sim.now;
            sim.progress += 1;
            let page = &mut sim.port(self.n).page;
            let nth = page.timers.iter().position(|(one, _)| *one == timer);
            let due = nth.map(|nth| page.timers.swap_remove(nth).1);
            let in_time = due.is_some_and(|due| due <= now) && !page.closed;
            page.paused = false;
            sim.check(in_time, || format!("port {}: a timer came that was not due", self.n));
        }
        cx.io.resume(cx.id);
        self.end_callback(cx.io, &world)
    }

    fn shutdown(&mut self, cx: &mut Context<'_, World>) -> io::Result<()> {
        let world = Rc::clone(cx.shared);
        {
            let may_still_read = cx.io.may_still_read();
            let fails = cx.io.sockets.datagram(cx.id).is_some_and(|datagram| datagram.recv_backoff);
            let mut sim = world.borrow_mut();
            let draining = sim.draining;
            let port = sim.port(self.n);
            let shown =
                !port.is_readable() || port.page.paused || fails || !may_still_read || port.edge;
            let first = !std::mem::replace(&mut port.page.told_of_shutdown, true);
            let first = first && !port.page.closed;
            sim.check(draining && first, || format!("port {}: told of no shutdown", self.n));
            sim.check(shown, || format!("port {}: told of a shutdown too early", self.n));
        }
        self.end_callback(cx.io, &world)
    }

    fn finish(&mut self, cx: &mut Context<'_, World>, outcome: io::Result<()>) {
        let world = Rc::clone(cx.shared);
        {
            let mut sim = world.borrow_mut();
            let (leaves, draining) = (sim.server_closed, sim.draining);
            let page = &mut sim.port(self.n).page;
            let first = !std::mem::replace(&mut page.finished, true);
            let ends = page.closed || leaves || page.connected && draining;
            let right = match &outcome {
                Ok(()) => ends && cx.reason() == Some(CloseReason::Closed),
                Err(_) => page.broken && cx.reason() == Some(CloseReason::IoError),
            };
            page.closed = true;
            sim.check(first && right, || format!("port {}: ended for no reason", self.n));
        }
        self.talk(cx.io, &world);
    }
}

impl ScriptedDatagramHandler {
    /// Compares what it is shown with what came, and answers as its script says.
    fn take(
        &mut self,
        cx: &mut Context<'_, World>,
        packet: &[u8],
        peer: &Addr,
        truncated: bool,
    ) -> io::Result<()> {
        let world = Rc::clone(cx.shared);
        let shown = self.check_shown(&world, packet, peer, truncated);
        self.check_local(cx.local_addr().as_ref(), &world, shown);
        self.answer(cx, &world, shown, packet.len());
        let ended = self.end_callback(cx.io, &world);
        world.borrow_mut().port(self.n).page.shows = None;
        ended
    }

    /// Whether it is said where it was sent to. From there its answers leave from now on.
    fn check_local(&self, said: Option<&Addr>, world: &World, shown: Arrival) {
        let n = self.n;
        let mut sim = world.borrow_mut();
        let port = sim.port(n);
        if port.anywhere {
            port.page.shows = Some((shown.from, shown.local));
        }
        let asked = if port.unix {
            name(true, Party::Port(n))
        } else {
            Addr::Ip(local_addr(n, if port.anywhere { shown.local } else { 0 }))
        };
        let right = said == Some(&asked);
        sim.check(right, || format!("port {n}: {asked} was asked, and {said:?} is said"));
    }

    /// Whether it is the next of those that came, whole, and wanted.
    fn check_shown(&self, world: &World, packet: &[u8], peer: &Addr, truncated: bool) -> Arrival {
        let n = self.n;
        let mut sim = world.borrow_mut();
        let draining = sim.draining && !sim.server_closed;
        let most = sim.options.max_packet_size;
        let port = sim.port(n);
        let unix = port.unix;
        let page = &mut port.page;
        let rests = draining && page.told_of_shutdown && !page.connected;
        let may = !page.closed && !page.finished && !rests;
        page.shown += 1;
        let none = Arrival { from: Party::Unnamed, local: 0, at: 0, len: 0 };
        let next = page.let_in.pop_front().unwrap_or(none);
        let whole = bytes(arrivals_of(n), next.at, next.len.min(most));
        let right = packet == whole && (next.len > most) == truncated;
        let right = right && *peer == name(unix, next.from);
        sim.check(may, || format!("port {n}: shown what it did not want"));
        sim.check(right, || {
            format!("port {n}: {next:?} came, and {} bytes of {peer} were shown", packet.len())
        });
        next
    }

    fn answer(&self, cx: &mut Context<'_, World>, world: &World, came: Arrival, len: usize) {
        let n = self.n;
        let echo = |cx: &mut Context<'_, World>| {
            let stream = arrivals_of(n);
            let to = Some(came.from);
            let source = world.borrow_mut().port(n).source_for(to);
            let parcel = SentDatagram { to, source, stream, at: came.at, len, tried: false };
            let sent = cx.reply(bytes(stream, came.at, len));
            note_sent(world, n, parcel, sent);
        };
        match self.service.answers {
            Answers::Nothing => {}
            Answers::Echo => echo(cx),
            Answers::Several(times) => {
                for _ in 0..times {
                    echo(cx);
                    send(cx.io, world, n, Some(came.from), len / 2 + 1);
                }
            }
            Answers::Elsewhere => {
                let k = world.borrow_mut().random.below(STRANGERS as usize) as u32;
                send(cx.io, world, n, Some(Party::Stranger(k)), len);
            }
        }
        if world.borrow_mut().port(n).page.shown > self.service.closes_after {
            close(cx.io, world, n, len % 3 == 0);
        }
    }

    /// Says something unasked, but not for ever.
    fn talk(&self, io: &mut Io, world: &World) {
        let calm = world.borrow().calm;
        if !calm {
            send_some(io, world, self.n);
        }
    }

    /// Something besides, and perhaps a failure.
    fn end_callback(&self, io: &mut Io, world: &World) -> io::Result<()> {
        let percent = self.service.lively;
        let lively = {
            let mut sim = world.borrow_mut();
            !sim.calm && sim.random.chance(percent)
        };
        if lively {
            act_on_port(io, world, Some(self.n));
        }
        let mut sim = world.borrow_mut();
        sim.refuse(self.n);
        if sim.calm || sim.random.below(1_000) >= self.service.fails {
            return Ok(());
        }
        sim.counters.failed += 1;
        if sim.random.chance(50) {
            return Err(io::Error::other("as the script says"));
        }
        sim.port(self.n).page.shows = None;
        drop(sim);
        // So that nothing is printed.
        resume_unwind(Box::new("as the script says"));
    }
}

/// Does something that is drawn to a datagram socket that is drawn; it may be gone for long.
pub(crate) fn act_on_port(io: &mut Io, world: &World, own: Option<u32>) {
    let (n, what, ms) = {
        let mut sim = world.borrow_mut();
        let ports = sim.ports.len();
        let random = &mut sim.random;
        let other = random.below(ports) as u32;
        let n = own.filter(|_| random.chance(70)).unwrap_or(other);
        (n, random.below(40), random.between(1, 200) as u64)
    };
    let known = world.borrow().ports.get(n as usize).and_then(Option::as_ref).map(|p| p.page.id);
    let Some(Some(id)) = known else { return };
    match what {
        0..=14 => send_some(io, world, n),
        15..=18 => {
            world.borrow_mut().port(n).page.paused = true;
            io.pause(id);
            set_timer(io, world, n, ms);
        }
        19..=23 => {
            world.borrow_mut().port(n).page.paused = false;
            io.resume(id);
        }
        24 => close(io, world, n, false),
        25 => close(io, world, n, true),
        26..=27 => connect(io, world, n, Party::Stranger(0)),
        28..=33 => set_timer(io, world, n, ms),
        _ => {
            let timer = world.borrow_mut().port(n).page.timers.pop();
            if let Some((timer, _)) = timer {
                io.cancel_timer(timer);
            }
        }
    }
}
