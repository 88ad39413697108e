//! What one seed draws: options, peers with their handlers, and a list of steps.
//!
//! It is data, so that it can be shown, and made shorter while it still fails. Whatever is drawn
//! while it runs comes from the salt of a step, so a step means the same without those before it.

use std::time::Duration;

use super::kernel::Call;
use super::random::Random;
use crate::options::Options;

#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) options: Options,
    pub(crate) peers: Vec<Nature>,
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
    /// It ends after so many bytes.
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

#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Connect(u32),
    Send(u32, u64),
    SendUrgent(u32),
    Pass(u32, u64),
    Receive(u32, u64),
    End(u32),
    Reset(u32),
    /// The next call of that kind has this error.
    Fault(Call, i32),
    /// So many descriptors may be open from now on.
    Descriptors(usize),
    /// The clock jumps so many nanoseconds ahead.
    Jump(u64),
    /// Somebody outside of every callback does something.
    Poke(u64),
    Shutdown(u64),
    Turn(u64),
}

const MS: u64 = 1_000_000;

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
        Script { options, peers, steps, ending }
    }
}

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
        linger_bytes: random.pick(&[0, 4_096, 1 << 20]),
        ..Options::default()
    }
}

fn draw_nature(random: &mut Random, large: bool) -> Nature {
    let scale = if large { 256 } else { 1 };
    let piece = random.between(1, 20);
    Nature {
        unix: random.chance(35),
        buffer: random.pick(&[1, 7, 40, 300, 100_000]) * scale as u64,
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
        0..=44 => Step::Turn(random.next()),
        45..=62 => Step::Send(peer, (random.between(1, 60) * scale) as u64),
        63..=75 => Step::Receive(peer, (random.between(1, 80) * scale) as u64),
        76..=78 => Step::Poke(random.next()),
        79..=80 => Step::End(peer),
        81..=83 => Step::Jump(random.pick(&[1, MS, 20 * MS, 150 * MS, 500 * MS])),
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

const ACCEPT_ERRORS: [i32; 8] = [
    libc::ECONNABORTED,
    libc::EPROTO,
    libc::EINTR,
    libc::EPERM,
    libc::EMFILE,
    libc::ENFILE,
    libc::ENOBUFS,
    libc::ENOMEM,
];
