//! A datagram socket twice: the real one and the simulated one, under the same acts.

use std::collections::VecDeque;
use std::io;
use std::time::Instant;

use mio::{Events, Poll};
use tempfile::TempDir;

use super::{
    AT_ONCE, Act, FLOOD, LOOPBACK_V6, MAX, Net, RECEIVE_BUFFER, STRANGER_V6, Stranger, TOKEN,
    as_seen, came, number, own, real_local, service, stranger,
};
use crate::addr::Addr;
use crate::conn::packets::{QueueLimits, RecvBuffers, SendQueue};
use crate::conn::transport::{DatagramTransport, RecvOutcome};
use crate::net::memory::datagram::SimDatagramKernel;
use crate::net::{DatagramSocket, MmsgHeaders};
use crate::options::Options;
use crate::sim::conformance::{PATIENCE, compare_events};
use crate::sim::datagram_kernel::LONGEST;
use crate::sim::datagram_socket::{
    Party, STRANGERS, SentDatagram, SimDatagramSocket, arrivals_of, local_addr, name, words_of,
};
use crate::sim::kernel::Simulated;
use crate::sim::random::bytes;

/// One socket, twice.
pub(super) struct Twice {
    sim: Simulated,
    net: Net,
    unix: bool,
    real: DatagramSocket,
    own: Addr,
    strangers: Vec<Stranger>,
    /// Strangers that have left; their ports stay theirs.
    silent: Vec<Stranger>,
    addrs: Vec<Addr>,
    /// What each of them has not read.
    unread: Vec<VecDeque<SentDatagram>>,
    poll: Poll,
    events: Events,
    batch: MmsgHeaders,
    inbox: RecvBuffers,
    said: u64,
    _folder: TempDir,
}
impl Twice {
    pub(super) fn new(net: Net) -> io::Result<Twice> {
        let folder = tempfile::tempdir()?;
        let unix = net == Net::Unix;
        let options = Options { receive_buffer: Some(RECEIVE_BUFFER), ..Options::default() };
        let mut real = DatagramSocket::bind(&own(net, folder.path()), &options)?;
        let own = real.local_addr().expect("it is bound");
        let (mut strangers, mut addrs) = (Vec::new(), Vec::new());
        for n in 0..STRANGERS {
            let (stranger, addr) = stranger(net, n, folder.path())?;
            strangers.push(stranger);
            addrs.push(addr);
        }
        let poll = Poll::new()?;
        real.register(poll.registry(), TOKEN)?;
        let mut sim = Simulated::new(Options { packets_per_turn: 1 << 20, ..options }, 0);
        sim.calm = true;
        sim.ports.push(Some(SimDatagramSocket::new(service(unix, real.is_wildcard()))));
        sim.watch_datagrams(0, TOKEN, false)?;
        Ok(Twice {
            sim,
            net,
            unix,
            real,
            own,
            strangers,
            silent: Vec::new(),
            addrs,
            unread: vec![VecDeque::new(); STRANGERS as usize],
            poll,
            events: Events::with_capacity(8),
            batch: MmsgHeaders::default(),
            inbox: RecvBuffers::new(MAX),
            said: 0,
            _folder: folder,
        })
    }

    pub(super) fn act(&mut self, act: Act) -> Result<(), String> {
        self.sim.begin_turn(false);
        match act {
            Act::Arrive(k, count, len) => self.arrive(k, count, len, 1),
            Act::Flood => self.flood()?,
            Act::Leave(k) => self.leave(k),
            Act::Read(k, most) => self.read(k, most)?,
            Act::Receive(most) => drop(self.receive(most)?),
            Act::Send(to, from, count, len) => self.send(to, from, count, len)?,
            Act::Connect(k) => self.connect(k)?,
            Act::AskForRoom(ask) => {
                let asked = self.sim.watch_datagrams(0, TOKEN, ask);
                asked.map_err(|error| error.to_string())?;
                let asked = self.real.update_write_interest(self.poll.registry(), TOKEN, ask);
                asked.map_err(|error| error.to_string())?;
            }
            Act::Poll => compare_events(&mut self.sim, &mut self.poll, &mut self.events)?,
        }
        self.sim.failure.take().map_or(Ok(()), Err)
    }

    /// To the first of our addresses, or to some more of them by turns.
    pub(super) fn arrive(&mut self, k: u32, count: u32, len: u32, more: u32) {
        for nth in 0..count {
            let len = (len + nth) as usize;
            let what = bytes(arrivals_of(0), self.sim.port(0).came, len);
            // Two go to one, and two to the other.
            let local = self.local(k, ((nth / 2 + count) % (more + 1)) as usize);
            // Whoever is not the peer of a connected socket is refused, or not heard.
            let _ = match (&self.strangers[k as usize], &self.own) {
                (Stranger::Udp(one), Addr::Ip(own)) => {
                    one.send_to(what, real_local(local, own.port()))
                }
                (Stranger::Unix(one), Addr::Unix(own)) => one.send_to(what, own),
                _ => return,
            };
            self.sim.arrive_at(0, Some(local), Party::Stranger(k), 1, len as u32);
        }
    }

    /// The address of ours that a stranger reaches us by, if it would rather use this one.
    pub(super) fn local(&self, k: u32, nth: usize) -> usize {
        match self.net {
            Net::Unix | Net::One => 0,
            Net::Dual if k == STRANGER_V6 => LOOPBACK_V6,
            Net::Anywhere | Net::Dual => nth,
        }
    }

    /// How many find room is the system's own affair; that they are the first is not.
    pub(super) fn flood(&mut self) -> Result<(), String> {
        let hears = matches!(self.sim.port(0).peer, None | Some(Party::Stranger(0)));
        if self.unix || !hears || matches!(self.strangers[0], Stranger::Gone) {
            return Ok(());
        }
        while self.sim.port(0).is_readable() {
            self.receive(64)?;
        }
        let first = self.sim.port(0).came;
        let mut last = self.sim.port(0).came_last;
        self.arrive(0, FLOOD, 500, 0);
        let (mut kept, mut at) = (0, first);
        while let Ok(RecvOutcome { count: came, .. }) =
            self.real.receive(&mut self.batch, &mut self.inbox, 64)
        {
            for nth in 0..came {
                let packet = self.inbox.packet(nth).expect("it came");
                let len = 500 + kept;
                if packet.bytes != bytes(arrivals_of(0), at, len) {
                    return Err(format!("datagram {kept} of a flood is another"));
                }
                at += len as u64 + 1;
                kept += 1;
            }
            last = came;
        }
        // Now that the room is known, the simulated one is flooded.
        let port = self.sim.port(0);
        port.queue.clear();
        port.came = first;
        port.capacity = kept;
        self.sim.arrive_at(0, Some(0), Party::Stranger(0), FLOOD, 500);
        let port = self.sim.port(0);
        let agree = port.came == at && port.queue.len() == kept && kept < FLOOD as usize;
        port.queue.clear();
        port.capacity = usize::MAX;
        // From here on both know how many came last.
        port.came_last = last;
        agree.then_some(()).ok_or_else(|| format!("{kept} of a flood found room"))
    }

    pub(super) fn leave(&mut self, k: u32) {
        let stranger = &mut self.strangers[k as usize];
        match stranger {
            // Its port stays its own, but nothing that is sent there is received.
            Stranger::Udp(one) => {
                one.connect(one.local_addr().expect("it is bound")).expect("it may");
                self.silent.push(std::mem::replace(stranger, Stranger::Gone));
            }
            _ => *stranger = Stranger::Gone,
        }
        self.unread[k as usize].clear();
        self.sim.port(0).leave(k, true);
    }

    pub(super) fn read(&mut self, k: u32, most: usize) -> Result<(), String> {
        let mut buffer = vec![0; LONGEST + 1];
        for nth in 0..most {
            let Some(parcel) = self.unread[k as usize].pop_front() else { break };
            let n = match &self.strangers[k as usize] {
                Stranger::Udp(one) => one.recv_from(&mut buffer).and_then(|(n, from)| {
                    let port = self.own.port().unwrap_or_default();
                    let right = from == real_local(self.leaves_from(k, parcel), port);
                    right.then_some(n).ok_or_else(|| io::Error::other(format!("it is from {from}")))
                }),
                Stranger::Unix(one) => one.recv(&mut buffer),
                Stranger::Gone => break,
            };
            let n = n.map_err(|error| format!("stranger {k} reads {nth}: {error}"))?;
            if buffer[..n] != *bytes(parcel.stream, parcel.at, parcel.len) {
                return Err(format!("stranger {k} got something else than {parcel:?}"));
            }
            if self.unix {
                self.sim.port(0).deliver(Party::Stranger(k), 1);
            }
        }
        Ok(())
    }

    /// Both receive; says how many came.
    pub(super) fn receive(&mut self, most: usize) -> Result<usize, String> {
        let most = most.min(AT_ONCE);
        self.sim.begin_turn(false);
        let mut inbox = RecvBuffers::new(MAX);
        let told = self.sim.receive_datagrams(0, &mut inbox, most);
        let page = &mut self.sim.port(0).page;
        page.let_in.clear();
        page.to_tell.clear();
        let names: Vec<Addr> =
            (0..STRANGERS).map(|k| name(self.unix, Party::Stranger(k))).collect();
        let before = Instant::now();
        let mut said = self.real.receive(&mut self.batch, &mut self.inbox, most);
        // It may still be on its way.
        while told.as_ref().err().map(io::Error::kind) != Some(io::ErrorKind::WouldBlock)
            && said.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
            && before.elapsed() < PATIENCE
        {
            said = self.real.receive(&mut self.batch, &mut self.inbox, most);
        }
        match (told, said) {
            (Ok(told), Ok(said)) => {
                let port = self.own.port().unwrap_or_default();
                let locals = [0, 1, 2].map(|nth| local_addr(0, nth));
                let ours = came(&inbox, told, &names, &locals);
                let locals = [0, 1, 2].map(|nth| as_seen(self.net, real_local(nth, port)));
                let theirs = came(&self.inbox, said, &self.addrs, &locals);
                let same = ours == theirs && told.drained == said.drained;
                same.then_some(told.count).ok_or_else(|| {
                    format!("{told:?} came, and really {said:?}:\n{ours:?}\n{theirs:?}")
                })
            }
            (Err(told), Err(said)) if told.raw_os_error() == said.raw_os_error() => Ok(0),
            (Err(told), Err(said)) if told.kind() == said.kind() => Ok(0),
            (told, said) => Err(format!("receiving says {told:?}, and really {said:?}")),
        }
    }

    /// From where something is to come to a stranger.
    pub(super) fn leaves_from(&self, k: u32, parcel: SentDatagram) -> usize {
        parcel.source.unwrap_or_else(|| self.local(k, 0))
    }

    pub(super) fn send(
        &mut self,
        to: Option<u32>,
        from: Option<usize>,
        count: usize,
        len: usize,
    ) -> Result<(), String> {
        if to.is_none() && !self.sim.port(0).page.connected {
            return Ok(());
        }
        let mut parcels = VecDeque::new();
        let goes_to = to.map_or(self.sim.port(0).peer, |to| Some(Party::Stranger(to)));
        let is_v6 = |who| self.net == Net::Dual && who == Some(Party::Stranger(STRANGER_V6));
        let peer = self.sim.port(0).peer;
        if peer.is_some() && is_v6(peer) != is_v6(goes_to) {
            // With a peer of one kind it has addresses of that kind only.
            return Ok(());
        }
        // Of IPv6 the head of the packet does not count, so there the limit is another.
        let count = if is_v6(goes_to) && len >= LONGEST { 1 } else { count };
        for nth in 0..count {
            let len = (len + nth).min(LONGEST + 1);
            let may = self.real.is_wildcard();
            let nth = from.map(|from| if from > 1 { nth / 2 % 2 } else { from });
            let source = nth.zip(to).filter(|_| may).map(|(nth, to)| self.local(to, nth));
            let (to, stream) = (to.map(Party::Stranger), words_of(0));
            parcels.push_back(SentDatagram { to, source, stream, at: self.said, len, tried: true });
            self.said += len as u64 + 1;
        }
        while !parcels.is_empty() {
            let (left, goes_on) = self.send_once(&parcels)?;
            parcels.drain(..left);
            if !goes_on {
                return Ok(());
            }
        }
        Ok(())
    }

    /// One call each; says how many have gone, and whether another may follow.
    pub(super) fn send_once(
        &mut self,
        parcels: &VecDeque<SentDatagram>,
    ) -> Result<(usize, bool), String> {
        self.sim.begin_turn(false);
        let peer = self.sim.port(0).peer;
        let (ours, theirs) = self.queues(parcels);
        self.sim.port(0).page.parcels.clone_from(parcels);
        let told = self.sim.send_packets(0, &ours, AT_ONCE);
        self.sim.port(0).page.to_tell.clear();
        let said = self.real.send(&mut self.batch, &theirs, AT_ONCE);
        match (told, said) {
            (Ok(told), Ok(said)) if told == said => {
                for parcel in parcels.iter().take(told) {
                    let to = number(parcel.to.or(peer).expect("it went somewhere"));
                    if !matches!(self.strangers[to], Stranger::Gone) {
                        self.unread[to].push_back(*parcel);
                    }
                }
                if !self.unix {
                    self.sim.port(0).deliver_all();
                }
                Ok((told, true))
            }
            (Err(told), Err(said)) if told.kind() == said.kind() => {
                Ok((1, told.kind() != io::ErrorKind::WouldBlock))
            }
            (told, said) => Err(format!("sending says {told:?}, and really {said:?}")),
        }
    }

    /// The same datagrams for both.
    fn queues(&self, parcels: &VecDeque<SentDatagram>) -> (SendQueue, SendQueue) {
        let (mut ours, mut theirs) = (SendQueue::default(), SendQueue::default());
        let room = QueueLimits { packets: usize::MAX, bytes: usize::MAX };
        for parcel in parcels {
            let what = bytes(parcel.stream, parcel.at, parcel.len);
            let real = parcel.to.map(|to| &self.addrs[number(to)]);
            let name = parcel.to.map(|to| name(self.unix, to));
            let port = self.own.port().unwrap_or_default();
            match (parcel.source, name, real) {
                (Some(source), Some(Addr::Ip(name)), Some(Addr::Ip(real))) => {
                    ours.push_from(local_addr(0, source), name, what, room);
                    theirs.push_from(real_local(source, port), *real, what, room);
                }
                (_, name, real) => {
                    ours.push(name.as_ref(), what, room);
                    theirs.push(real, what, room);
                }
            }
        }
        (ours, theirs)
    }

    pub(super) fn connect(&mut self, k: u32) -> Result<(), String> {
        let gone = matches!(self.strangers[k as usize], Stranger::Gone);
        if self.sim.port(0).page.connected || self.unix && gone {
            return Ok(());
        }
        let told = self.sim.set_peer(0, &name(self.unix, Party::Stranger(k)));
        let said = self.real.set_peer(&self.addrs[k as usize]);
        let local = self.local(k, 0);
        let port = self.sim.port(0);
        port.peer_local = local;
        port.page.connected = true;
        // Of its own peer a Unix socket takes any number.
        port.capacity = usize::MAX;
        let agree = told.is_ok() && said.is_ok();
        agree.then_some(()).ok_or_else(|| format!("connect says {told:?}, and really {said:?}"))
    }
}
