//! Plays a script: the production server above the simulated kernel, a check after every turn.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use super::checks;
use super::connect::begin_connect;
use super::datagram_handler::{ScriptedDatagramHandler, act_on_port, connect};
use super::datagram_socket::{Party, REFUSED, SimDatagramSocket, name};
use super::events::SimEvents;
use super::kernel::Simulated;
use super::outgoing::{Outgoing, Plan};
use super::random::Random;
use super::script::{Ending, Script, Step};
use super::stream_handler::{ScriptedHandler, World, act, end_offloaded};
use crate::addr::Addr;
use crate::handler::{Handler, HandlerSlot};
use crate::io::ShutdownState;
use crate::io::listener::Listener;
use crate::net::memory::kernel::install;
use crate::net::{DatagramSocket, ListenerSocket};
use crate::reactor::dispatch::Dispatcher;
use crate::server::Server;

/// The first thing that was not as it must be.
pub(crate) type Failed = String;

/// So many turns that change nothing are a spin.
const SPIN: u32 = 60;

pub(crate) struct Run {
    pub(crate) server: Server<World>,
    pub(crate) world: World,
    events: SimEvents,
    /// Turns in a row that changed nothing.
    idle_turns: u32,
    show: bool,
}

/// Plays it; a panic is a failure too.
pub(crate) fn play(script: &Script) -> Result<(), Failed> {
    play_and_show(script, false)
}

/// The same, with every step of the script and of the loop printed.
pub(crate) fn play_and_show(script: &Script, show: bool) -> Result<(), Failed> {
    let played = catch_unwind(AssertUnwindSafe(|| {
        let mut run = Run::new(script, show)?;
        let played = run.play(script);
        let world = Rc::clone(&run.world);
        // In the end all that is left is closed, and that is checked as well.
        {
            let mut sim = world.borrow_mut();
            sim.draining = true;
            sim.grace_over = true;
            sim.server_closed = true;
        }
        drop(run);
        played?;
        let sim = world.borrow();
        match &sim.failure {
            Some(failure) => Err(failure.clone()),
            None if sim.ports.iter().flatten().any(|port| port.open) => {
                Err("a datagram socket was never closed".to_string())
            }
            None if sim.open > 0 => Err(format!("{} descriptors were never closed", sim.open)),
            None => Ok(()),
        }
    }));
    install(None);
    played.unwrap_or_else(|panic| {
        let what = panic.downcast_ref::<String>().cloned();
        let what = what.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        Err(format!("a panic: {}", what.unwrap_or_default()))
    })
}

impl Run {
    fn new(script: &Script, show: bool) -> Result<Run, Failed> {
        let mut sim = Simulated::new(script.options.clone(), script.peers.len());
        sim.ports.resize_with(script.ports.len(), || None);
        let nature = |plan: &Plan| script.peers[plan.line as usize];
        sim.trips =
            script.trips.iter().map(|plan| Outgoing::new(plan.clone(), nature(plan))).collect();
        let world: World = Rc::new(RefCell::new(sim));
        install(Some(world.clone()));
        let server = Server::with_shared(Rc::clone(&world), script.options.clone());
        let mut server = server.map_err(|error| format!("no server: {error}"))?;
        if show {
            server.set_trace(|step| println!("        {step}"));
        }
        if !script.ports.is_empty() {
            let refused = [name(false, REFUSED), name(true, REFUSED)];
            server.set_verify_request(move |_, peer| !refused.contains(peer));
        }
        let dispatcher = server.dispatcher();
        dispatcher.io.stopped_at = Some(0);
        dispatcher.io.resolver.is_simulated = true;
        let listener = Listener::new(ListenerSocket::Memory);
        let id = dispatcher.io.register_listener(listener).map_err(|error| error.to_string())?;
        let peers = script.peers.clone();
        let factory = move |peer: &Addr| -> Box<dyn Handler<World>> {
            let n = u32::from(peer.port().unwrap_or_default());
            Box::new(ScriptedHandler { n, nature: peers[n as usize] })
        };
        dispatcher.install(id, HandlerSlot::Listener(Box::new(factory)));
        let clock = server.add_timer_handler(|_| Ok(())).map_err(|error| error.to_string())?;
        world.borrow_mut().clock = Some(clock);
        let events = SimEvents::new(Rc::clone(&world));
        Ok(Run { server, world, events, idle_turns: 0, show })
    }

    fn play(&mut self, script: &Script) -> Result<(), Failed> {
        for step in &script.steps {
            if self.show {
                println!("  {step:?}");
            }
            self.take(*step, script)?;
        }
        self.come_to_rest(script)?;
        self.end(script)
    }

    fn take(&mut self, step: Step, script: &Script) -> Result<(), Failed> {
        if self.events.is_taken() && step.calls_the_server() {
            // A poll has returned, so the turn is under way.
            self.turn(0, false)?;
        }
        match step {
            Step::Jump(time) => self.jump(time),
            Step::Stall(time) => self.stall(time),
            Step::Look(salt) => {
                self.stall(1);
                self.events.take_now(salt);
            }
            Step::Poke(salt) => {
                self.world.borrow_mut().random = Random::new(salt);
                act(self.server.io_mut(), &self.world, None, false);
                return self.failure();
            }
            Step::PokePort(salt) => {
                self.world.borrow_mut().random = Random::new(salt);
                act_on_port(self.server.io_mut(), &self.world, None);
                return self.failure();
            }
            Step::Done(n) => {
                end_offloaded(self.server.io_mut(), &self.world, n);
                return self.failure();
            }
            Step::Shutdown(grace) => self.shut_down(Duration::from_nanos(grace)),
            Step::Bind(n) => return self.bind(n, script),
            Step::Dial(k) => return self.dial(k),
            Step::LookUp(k) => _ = self.look_up(k as usize),
            Step::Turn(salt) => return self.turn(salt, false),
            _ => happen(&mut self.world.borrow_mut(), step, script),
        }
        Ok(())
    }

    /// Begins an outgoing connection.
    fn dial(&mut self, k: u32) -> Result<(), Failed> {
        // `Server::connect` reads the clock.
        self.server.io_mut();
        let dispatcher = self.server.dispatcher();
        let Dispatcher { io, registrar, .. } = &mut *dispatcher;
        begin_connect(io, registrar, &self.world, k as usize);
        dispatcher.install_pending();
        self.failure()
    }

    /// Opens a datagram socket.
    fn bind(&mut self, n: u32, script: &Script) -> Result<(), Failed> {
        let service = script.ports[n as usize];
        self.world.borrow_mut().ports[n as usize] = Some(SimDatagramSocket::new(service));
        // `Server::bind` reads the clock.
        self.server.io_mut();
        let dispatcher = self.server.dispatcher();
        let adopted = dispatcher.io.register_bound(DatagramSocket::in_memory(n));
        let Ok(id) = adopted else {
            let broken = self.world.borrow_mut().port(n).page.broken;
            return if broken { Ok(()) } else { Err(format!("port {n}: it was not opened")) };
        };
        dispatcher
            .install(id, HandlerSlot::Datagram(Box::new(ScriptedDatagramHandler { n, service })));
        self.world.borrow_mut().port(n).page.is_own = true;
        if service.connected {
            connect(self.server.io_mut(), &self.world, n, Party::Stranger(0));
        }
        self.failure()
    }

    /// All work that was offloaded comes to its end. Whether there was any.
    fn end_all_work(&mut self) -> bool {
        let lines = self.world.borrow().lines.len() as u32;
        let mut any = false;
        for n in 0..lines {
            while end_offloaded(self.server.io_mut(), &self.world, n) {
                any = true;
            }
        }
        any
    }

    /// Time passes while the loop waits outside of a turn.
    fn jump(&mut self, time: u64) {
        self.stall(time);
        self.server.io_mut();
    }

    /// Time passes, and the loop does not notice: its process is stopped, or a callback is slow.
    fn stall(&mut self, time: u64) {
        let mut sim = self.world.borrow_mut();
        sim.note_edges();
        sim.now += time;
        self.server.dispatcher().io.stopped_at = Some(sim.now);
    }

    pub(crate) fn failure(&self) -> Result<(), Failed> {
        self.world.borrow().failure.clone().map_or(Ok(()), Err)
    }

    fn turn(&mut self, salt: u64, all: bool) -> Result<(), Failed> {
        let mut random = Random::new(salt);
        self.stall(random.between(1, 3) as u64);
        let before = {
            let mut sim = self.world.borrow_mut();
            let io = &self.server.dispatcher().io;
            let is_due = io.next_deadline() <= sim.now;
            sim.begin_turn(is_due);
            sim.draining = io.is_shutting_down();
            sim.grace_over = match io.shutdown_state {
                ShutdownState::Requested { grace } => grace.is_zero(),
                ShutdownState::Draining { deadline, .. } => deadline <= sim.now,
                _ => false,
            };
            if io.shutdown_state == ShutdownState::Done {
                sim.run_again();
            }
            if !self.events.is_taken() {
                self.events.draw(random.next(), all);
            }
            sim.random = random;
            sim.progress
        };
        let turned = self.server.turn_with(&mut self.events, SimEvents::events);
        if self.show {
            println!("    turn at {}: {:?}", self.world.borrow().now, self.events.events());
        }
        turned.map_err(|error| format!("the run ended: {error}"))?;
        self.failure()?;
        checks::after_turn(self)?;
        let stands_still = self.world.borrow().progress == before;
        self.idle_turns = if stands_still { self.idle_turns + 1 } else { 0 };
        Ok(())
    }

    /// Nothing more happens: what is on its way arrives, and the peers read.
    fn come_to_rest(&mut self, script: &Script) -> Result<(), Failed> {
        {
            let mut sim = self.world.borrow_mut();
            sim.faults.clear();
            sim.limit = usize::MAX;
            sim.calm = true;
            for port in sim.ports.iter_mut().flatten() {
                port.broken = None;
            }
        }
        if self.events.is_taken() {
            self.turn(0, true)?;
        }
        let deaf = script.ending == Ending::ShutdownOfTheDeaf;
        self.settle(!deaf)?;
        // Long enough for a listener to try again.
        self.jump(101 * MS);
        self.settle(!deaf)
    }

    /// Turns until there is nothing left to do at this time.
    fn settle(&mut self, peers_read: bool) -> Result<(), Failed> {
        self.idle_turns = 0;
        loop {
            if peers_read {
                let mut sim = self.world.borrow_mut();
                for n in 0..sim.lines.len() as u32 {
                    sim.receive(n, u64::MAX);
                }
                for port in sim.ports.iter_mut().flatten() {
                    port.deliver_all();
                }
            }
            let told = self.answer_all() | self.end_all_work();
            if !told && self.world.borrow().edges() == 0 && self.would_sleep() {
                return checks::at_rest(self);
            }
            self.turn(u64::from(self.idle_turns), true)?;
            if self.idle_turns > SPIN {
                return Err("it spins: turn after turn, and nothing changes".to_string());
            }
        }
    }

    fn would_sleep(&mut self) -> bool {
        let io = &self.server.dispatcher().io;
        io.timeout(io.next_deadline(), None) != Some(Duration::ZERO)
    }

    fn end(&mut self, script: &Script) -> Result<(), Failed> {
        let reads = script.ending != Ending::ShutdownOfTheDeaf;
        if script.ending == Ending::PeersEnd {
            self.end_peers(script)?;
            // One address after the other needs time for each.
            for _ in 0..if script.trips.is_empty() { 3 } else { 8 } {
                self.jump(400 * MS);
                self.end_peers(script)?;
            }
            checks::all_came(self)?;
        }
        // A client that still waits would be accepted after the shutdown.
        self.world.borrow_mut().server_closed = true;
        self.server.io_mut().server_close();
        self.world.borrow_mut().backlog.clear();
        self.shut_down(Duration::from_millis(100));
        for _ in 0..4 {
            self.settle(reads)?;
            self.jump(400 * MS);
        }
        self.settle(reads)?;
        checks::all_over(self)
    }

    fn end_peers(&mut self, script: &Script) -> Result<(), Failed> {
        (0..script.peers.len() as u32).for_each(|n| self.world.borrow_mut().end(n));
        self.settle(true)
    }

    fn shut_down(&mut self, grace: Duration) {
        if self.server.dispatcher().io.shutdown_state == ShutdownState::Done {
            self.world.borrow_mut().run_again();
        }
        self.server.io_mut().shutdown(grace);
    }

    pub(crate) fn is_draining_since(&mut self) -> Option<u64> {
        let state = &self.server.dispatcher().io.shutdown_state;
        if let ShutdownState::Draining { deadline, .. } = state { Some(*deadline) } else { None }
    }
}

const MS: u64 = 1_000_000;

/// What peers, strangers and the system do, of which the server hears only by its poll.
fn happen(sim: &mut Simulated, step: Step, script: &Script) {
    match step {
        Step::Connect(n) => {
            let nature = script.peers[n as usize];
            sim.connect(n, (nature.unix, nature.buffer, nature.step));
        }
        Step::Send(n, len) => sim.send(n, len),
        Step::SendUrgent(n) => sim.send_urgent(n),
        Step::Pass(n, len) => sim.pass(n, len),
        Step::Receive(n, len) => sim.receive(n, len),
        Step::End(n) => sim.end(n),
        Step::Reset(n) => sim.reset(n),
        Step::Fault(call, errno) => sim.faults.push((call, errno)),
        Step::Descriptors(limit) => sim.limit = limit,
        Step::Arrive(n, who, count, len) => sim.arrive(n, who, count, len),
        Step::Tell(n, errno) => sim.tell(n, errno),
        Step::Deliver(n, who, count) => {
            if let Some(port) = sim.open_port(n) {
                port.deliver(who, count as usize);
            }
        }
        Step::Gone(n, stranger, gone) => {
            if let Some(port) = sim.open_port(n) {
                port.leave(stranger, gone);
            }
        }
        Step::Break(n, errno) => {
            if let Some(port) = sim.open_port(n) {
                port.broken = errno;
            }
        }
        Step::Answer(k) => sim.answer(k as usize),
        _ => unreachable!("{step:?} is what the server does"),
    }
}
