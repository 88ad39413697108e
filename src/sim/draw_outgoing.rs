//! Draws outgoing connections into a script, from numbers of their own.

use std::time::Duration;

use super::kernel::Call;
use super::outgoing::{Fate, Named, Place, PlaceKind, Plan};
use super::random::Random;
use super::script::{MS, Script, Step, draw_nature};

/// Outgoing connections join in.
pub(super) fn add_trips(script: &mut Script, random: &mut Random, large: bool, wild: bool) {
    let timeout = random.pick(&[1, 25, 100, 300, 900, 2_000]);
    script.options.connect_timeout = Duration::from_millis(timeout);
    let clients = script.peers.len();
    let count = random.between(1, 3);
    for nth in 0..count {
        script.peers.push(draw_nature(random, large));
        script.trips.push(draw_plan(random, (clients + nth) as u32));
    }
    let mut steps = Vec::with_capacity(2 * script.steps.len());
    for step in script.steps.drain(..) {
        while random.chance(45) {
            let trip = random.below(count);
            steps.push(draw_trip_step(random, trip, clients, large, wild));
        }
        steps.push(step);
    }
    script.steps = steps;
}

fn draw_plan(random: &mut Random, line: u32) -> Plan {
    let most = random.pick(&[1, 1, 2, 4, 6]);
    let places: Vec<Place> = (0..most).map(|_| draw_place(random)).collect();
    let named = match random.below(8) {
        0..=4 => Named::Address,
        5..=6 => Named::Name,
        _ => Named::Unknown,
    };
    let all_ip = places.iter().all(|place| place.kind != PlaceKind::Unix);
    let from = all_ip && random.chance(20);
    let after = if random.chance(30) { random.between(1, 200) } else { 0 };
    Plan { line, places, named, from, after: Duration::from_millis(after as u64) }
}

fn draw_place(random: &mut Random) -> Place {
    let unix = random.chance(35);
    let kind = match random.below(3) {
        _ if unix => PlaceKind::Unix,
        0 => PlaceKind::V6,
        _ => PlaceKind::V4,
    };
    let fate = match (random.below(12), unix) {
        (0..=1, true) => Fate::Refuses(random.pick(&UNIX_REFUSALS)),
        (2..=5, true) => Fate::Full(random.pick(&[1, 2, 5, u32::MAX])),
        (0, false) => Fate::Refuses(random.pick(&REFUSALS)),
        (3..=5, false) => Fate::Later,
        (6..=8, false) => Fate::Fails(random.pick(&FAILURES)),
        (9..=10, false) => Fate::Silent,
        (11, false) => Fate::Itself,
        _ => Fate::AtOnce,
    };
    Place { kind, fate }
}

fn draw_trip_step(
    random: &mut Random,
    trip: usize,
    clients: usize,
    large: bool,
    wild: bool,
) -> Step {
    let scale = if large { 256 } else { 1 };
    let (k, line) = (trip as u32, (clients + trip) as u32);
    match random.below(100) {
        0..=24 => Step::Dial(k),
        25..=44 => Step::Answer(k),
        45..=52 => Step::LookUp(k),
        53..=60 => Step::Send(line, (random.between(1, 60) * scale) as u64),
        61..=66 => Step::Receive(line, (random.between(1, 80) * scale) as u64),
        67..=74 => Step::Jump(random.pick(&[MS, 5 * MS, 10 * MS, 25 * MS, 100 * MS, 250 * MS])),
        75..=76 => Step::End(line),
        77..=80 => Step::Poke(random.next()),
        _ if !wild => Step::Turn(random.next()),
        81..=82 => Step::Reset(line),
        83..=85 => Step::Fault(Call::Connect, random.pick(&REFUSALS)),
        _ => Step::Turn(random.next()),
    }
}

/// What connect(2), or what comes before it, says at once.
const REFUSALS: [i32; 10] = [
    libc::EMFILE,
    libc::ENFILE,
    libc::ENOBUFS,
    libc::ENOMEM,
    libc::EADDRNOTAVAIL,
    libc::EADDRINUSE,
    libc::ENETUNREACH,
    libc::ECONNREFUSED,
    libc::EACCES,
    libc::EAGAIN,
];

const UNIX_REFUSALS: [i32; 4] = [libc::ENOENT, libc::ECONNREFUSED, libc::EACCES, libc::EPROTOTYPE];

/// What it says later.
const FAILURES: [i32; 5] =
    [libc::ECONNREFUSED, libc::ETIMEDOUT, libc::EHOSTUNREACH, libc::ENETUNREACH, libc::ECONNRESET];
