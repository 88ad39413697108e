//! What one seed draws: options, peers with their handlers, and a list of steps.
//!
//! It is data, so that it can be shown, and made shorter while it still fails. Whatever is drawn
//! while it runs comes from the salt of a step, so a step means the same without those before it.

use std::time::Duration;

use super::datagram_socket::{Party, STRANGERS};
use super::draw_outgoing::add_trips;
use super::kernel::Call;
use super::outgoing::Plan;
use super::random::Random;
pub(crate) use super::step::Step;
use crate::options::Options;

#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) options: Options,
    pub(crate) peers: Vec<Nature>,
    pub(crate) ports: Vec<Service>,
    /// Their natures are the last of the peers.
    pub(crate) trips: Vec<Plan>,
    pub(crate) steps: Vec<Step>,
    pub(crate) ending: Ending,
}

/// How a run comes to its end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Ending {
    /// Every peer ends, and then time passes.
    PeersEnd,
    /// The server shuts down while its peers read.
    Shutdown,
    /// It shuts down, and no peer reads any more.
    ShutdownOfTheDeaf,
}

/// What a connection is, and how its handler behaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Nature {
    pub(crate) unix: bool,
    /// How much the system takes for the peer before the peer reads.
    pub(crate) buffer: u64,
    /// How much the peer reads before the system hears of it.
    pub(crate) step: u64,
    pub(crate) takes: Takes,
    /// Bytes of answer for each byte taken.
    pub(crate) answers: usize,
    /// How many bytes it sends in all, a part whenever there is room; like chargen.
    pub(crate) talks: usize,
    pub(crate) at_end: AtEnd,
    /// What of a hundred callbacks does something besides.
    pub(crate) lively: usize,
    /// What of a thousand callbacks fails.
    pub(crate) fails: usize,
    /// It ends after this number of bytes.
    pub(crate) closes_after: u64,
    pub(crate) full_duplex: bool,
    /// It does not close when it is told of a shutdown.
    pub(crate) stays: bool,
}

/// What a handler takes of its input.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Takes {
    All,
    /// Pieces of this size.
    Pieces(usize),
    /// The same, and it says so with `need`.
    Needs(usize),
    Some,
}

/// What a handler does at the peer's end.
#[derive(Clone, Copy, Debug)]
pub(crate) enum AtEnd {
    Close,
    SendAndClose(usize),
    CloseLater,
    Stay,
}

/// What a datagram socket is, and how its handler behaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Service {
    pub(crate) unix: bool,
    /// It is bound to the wildcard, if it is one of UDP.
    pub(crate) anywhere: bool,
    /// It exchanges datagrams with the first stranger alone.
    pub(crate) connected: bool,
    /// So many wait in the kernel to be received.
    pub(crate) capacity: usize,
    /// So many may be on their way before the kernel takes no more.
    pub(crate) buffer: usize,
    pub(crate) answers: Answers,
    /// What of a hundred callbacks does something besides.
    pub(crate) lively: usize,
    /// What of a thousand callbacks fails.
    pub(crate) fails: usize,
    /// It ends after this number of datagrams.
    pub(crate) closes_after: u64,
}

/// What a handler says to a datagram.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answers {
    Echo,
    /// So many times the same and something else.
    Several(usize),
    /// Another command, to another socket.
    Elsewhere,
    Nothing,
}

pub(super) const MS: u64 = 1_000_000;

impl Script {
    pub(crate) fn draw(seed: u64) -> Script {
        let random = &mut Random::new(seed);
        let large = random.chance(10);
        let options = draw_options(random, large);
        let count = random.between(1, 6);
        let peers: Vec<Nature> = (0..count).map(|_| draw_nature(random, large)).collect();
        let mut steps = Vec::with_capacity(96);
        let wild = random.chance(70);
        let mut came = 0;
        for _ in 0..random.between(10, 80) {
            let peer = random.below(count) as u32;
            if came < count && random.chance(25) {
                steps.push(Step::Connect(came as u32));
                came += 1;
            }
            steps.push(draw_step(random, peer, large, wild));
        }
        let ending = random.pick(&[Ending::PeersEnd, Ending::Shutdown, Ending::ShutdownOfTheDeaf]);
        let (ports, trips) = (Vec::new(), Vec::new());
        let mut script = Script { options, peers, ports, trips, steps, ending };
        if seed % PORTS_ONCE_IN == PORTS_ONCE_IN - 1 {
            add_ports(&mut script, &mut Random::new(!seed), large, wild);
        }
        if seed % TRIPS_ONCE_IN == 1 {
            add_trips(&mut script, &mut Random::new(!seed), large, wild);
        }
        script
    }
}

/// One script in this number has datagram sockets, since most of what happens is about streams.
const PORTS_ONCE_IN: u64 = 4;

/// The same for outgoing connections.
const TRIPS_ONCE_IN: u64 = 4;

/// Datagram sockets join in. They are drawn from numbers of their own.
fn add_ports(script: &mut Script, random: &mut Random, large: bool, wild: bool) {
    let options = &mut script.options;
    let largest = if large { random.pick(&[2_000, 65_507, 65_535]) } else { 60 };
    options.max_packet_size = random.pick(&[1, 20, 40, largest]);
    options.packets_per_turn = random.pick(&[1, 2, 3, 8, 64, 100]);
    options.send_queue_packets = random.pick(&[1, 3, 10, 4_096]);
    options.send_queue_bytes = random.pick(&[10, 200, 8 << 20]);
    options.accept_own_packets = random.chance(30);
    let largest = options.max_packet_size;
    let count = random.between(1, 3);
    script.ports = (0..count).map(|_| draw_service(random)).collect();
    let mut steps = Vec::with_capacity(2 * script.steps.len());
    for (nth, step) in script.steps.drain(..).enumerate() {
        if nth < count {
            steps.push(Step::Bind(nth as u32));
        }
        while random.chance(45) {
            let n = random.below(count) as u32;
            steps.push(draw_port_step(random, n, count, largest, wild));
        }
        steps.push(step);
    }
    script.steps = steps;
}

fn draw_service(random: &mut Random) -> Service {
    Service {
        unix: random.chance(35),
        anywhere: random.chance(50),
        connected: random.chance(25),
        capacity: random.pick(&[1, 5, 70, 1_000]),
        buffer: random.pick(&[1, 2, 10, usize::MAX, usize::MAX]),
        answers: match random.below(8) {
            0..=3 => Answers::Echo,
            4 => Answers::Several(random.between(1, 4)),
            5..=6 => Answers::Elsewhere,
            _ => Answers::Nothing,
        },
        lively: random.pick(&[0, 0, 10, 30]),
        fails: random.pick(&[0, 0, 0, 20]),
        closes_after: if random.chance(10) { random.between(0, 40) as u64 } else { u64::MAX },
    }
}

fn draw_port_step(random: &mut Random, n: u32, count: usize, largest: usize, wild: bool) -> Step {
    let stranger = random.below(STRANGERS as usize) as u32;
    let who = match random.below(12) {
        0 if random.chance(50) => Party::Forged(random.below(count) as u32),
        0 => Party::Port(random.below(count) as u32),
        1 => Party::Unnamed,
        2..=6 => Party::Stranger(0),
        _ => Party::Stranger(stranger),
    };
    let few = if random.chance(90) { random.between(1, 6) } else { random.between(1, 150) } as u32;
    match random.below(100) {
        0..=49 => {
            let near = (largest - 1 + random.below(3)) as u32;
            let len = random.below(40) as u32;
            Step::Arrive(n, who, few, if random.chance(20) { near } else { len })
        }
        50..=64 => Step::Deliver(n, who, few),
        65..=72 => Step::PokePort(random.next()),
        73..=77 => Step::Tell(n, random.pick(&NEWS)),
        78..=83 => Step::Gone(n, stranger, random.chance(60)),
        _ if !wild => Step::Turn(random.next()),
        84..=88 => Step::Fault(Call::SendPackets, random.pick(&SEND_ERRORS)),
        89..=92 => Step::Fault(Call::ReceivePackets, random.pick(&RECEIVE_ERRORS)),
        93..=94 => Step::Break(n, Some(random.pick(&RECEIVE_ERRORS[1..]))),
        95..=97 => Step::Break(n, None),
        _ => Step::Turn(random.next()),
    }
}

/// What the network says about datagrams that were sent.
const NEWS: [i32; 5] =
    [libc::ECONNREFUSED, libc::EHOSTUNREACH, libc::ENETUNREACH, libc::EMSGSIZE, libc::EPROTO];

const SEND_ERRORS: [i32; 11] = [
    libc::EINTR,
    libc::EMSGSIZE,
    libc::ENOBUFS,
    libc::ENOMEM,
    libc::ECONNREFUSED,
    libc::EPERM,
    libc::EACCES,
    libc::ENETUNREACH,
    libc::EHOSTUNREACH,
    libc::ENETDOWN,
    libc::EINVAL,
];

const RECEIVE_ERRORS: [i32; 5] =
    [libc::EINTR, libc::ECONNREFUSED, libc::ENOMEM, libc::ENOBUFS, libc::EIO];

fn draw_options(random: &mut Random, large: bool) -> Options {
    let scale = if large { 256 } else { 1 };
    let low_water = random.between(0, 60) * scale;
    let high_water = low_water + random.between(1, 100) * scale;
    let timeout = |random: &mut Random, percent| {
        random.chance(percent).then(|| Duration::from_millis(random.between(1, 400) as u64))
    };
    Options {
        max_connections: random.between(1, 6),
        read_buffer: random.pick(&[1, 3, 16, 64, 256]) * scale,
        reads_per_turn: random.between(1, 4),
        writes_per_turn: random.between(1, 4),
        accepts_per_turn: random.between(1, 3),
        events_per_turn: random.between(1, 8),
        input_limit: random.pick(&[8, 30, 300, 5_000]) * scale,
        low_water,
        high_water,
        output_limit: high_water + random.pick(&[0, 50, 1_000, 100_000]) * scale,
        idle_timeout: timeout(random, 25),
        frame_timeout: timeout(random, 25),
        close_timeout: Duration::from_millis(random.between(1, 300) as u64),
        linger_timeout: Duration::from_millis(random.between(1, 100) as u64),
        linger_time: Duration::from_millis(random.pick(&[1, 50, 300, 1_000])),
        max_lingering: random.pick(&[1, 2, 100]),
        ..Options::default()
    }
}

pub(super) fn draw_nature(random: &mut Random, large: bool) -> Nature {
    let scale = if large { 256 } else { 1 };
    let piece = random.between(1, 20);
    Nature {
        unix: random.chance(35),
        buffer: random.pick(&[1, 7, 40, 300, 100_000]) * scale as u64,
        step: random.pick(&[1, 1, 20, 200]) * scale as u64,
        takes: match random.below(8) {
            0..=4 => Takes::All,
            5 => Takes::Pieces(piece),
            6 => Takes::Needs(piece),
            _ => Takes::Some,
        },
        answers: random.pick(&[1, 1, 1, 0, 3]),
        talks: if random.chance(20) { random.between(1, 500) * scale } else { 0 },
        at_end: match random.below(8) {
            0..=3 => AtEnd::Close,
            4 => AtEnd::SendAndClose(random.between(1, 200) * scale),
            5 => AtEnd::CloseLater,
            _ => AtEnd::Stay,
        },
        lively: random.pick(&[0, 0, 10, 30]),
        fails: random.pick(&[0, 0, 0, 20]),
        closes_after: if random.chance(15) { random.between(0, 200) as u64 } else { u64::MAX },
        full_duplex: random.chance(10),
        stays: random.chance(20),
    }
}

fn draw_step(random: &mut Random, peer: u32, large: bool, wild: bool) -> Step {
    let scale = if large { 256 } else { 1 };
    match random.below(100) {
        0..=41 => Step::Turn(random.next()),
        42..=44 => Step::Look(random.next()),
        45..=62 => Step::Send(peer, (random.between(1, 60) * scale) as u64),
        63..=75 => Step::Receive(peer, (random.between(1, 80) * scale) as u64),
        76..=77 => Step::Poke(random.next()),
        78 => Step::Done(peer),
        79..=80 => Step::End(peer),
        81..=83 => {
            let time = random.pick(&[1, MS, 20 * MS, 150 * MS, 500 * MS]);
            if random.chance(50) { Step::Jump(time) } else { Step::Stall(time) }
        }
        84..=86 => Step::SendUrgent(peer),
        87..=88 => Step::Pass(peer, (random.between(1, 20) * scale) as u64),
        _ if !wild => Step::Turn(random.next()),
        89 => Step::Reset(peer),
        90..=92 => Step::Fault(Call::Read, libc::EINTR),
        93..=94 => Step::Fault(Call::Write, libc::EINTR),
        95..=96 => Step::Fault(Call::Accept, random.pick(&ACCEPT_ERRORS)),
        97 => Step::Descriptors(random.below(4)),
        98 => match random.below(4) {
            0 => Step::Fault(Call::Read, libc::ETIMEDOUT),
            1 => Step::Fault(Call::Write, libc::ENOBUFS),
            2 => Step::Fault(Call::Register, libc::ENOSPC),
            _ => Step::Fault(Call::Register, libc::ENOMEM),
        },
        _ => Step::Shutdown(random.pick(&[0, 10 * MS, 1_000 * MS])),
    }
}

const ACCEPT_ERRORS: [i32; 15] = [
    libc::ECONNABORTED,
    libc::ENETDOWN,
    libc::EPROTO,
    libc::ENOPROTOOPT,
    libc::EHOSTDOWN,
    libc::EHOSTUNREACH,
    libc::EOPNOTSUPP,
    libc::ENETUNREACH,
    libc::ETIMEDOUT,
    libc::EINTR,
    libc::EPERM,
    libc::EMFILE,
    libc::ENFILE,
    libc::ENOBUFS,
    libc::ENOMEM,
];
