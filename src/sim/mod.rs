//! The seeded world: the production reactor above a simulated kernel.
//!
//! A `u64` draws a whole run: options, handlers, and a script of what peers, the kernel and the
//! clock do. After every turn everything is compared with what must be. A failure prints its seed
//! and the shortest script that still fails.
//!
//! ```console
//! $ SIM_SEED=42 cargo test --lib sim -- --nocapture
//! $ SIM_RUNS=10000000 SIM_FROM=0 SIM_THREADS=2 cargo test --release --lib sim -- --nocapture
//! ```

#![allow(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used
)]

use std::env;
use std::fmt::Write as _;
use std::io::IsTerminal;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

mod checks;
#[cfg(all(target_os = "linux", not(mio_unsupported_force_poll_poll)))]
mod conformance;
mod connect;
#[cfg(all(target_os = "linux", not(mio_unsupported_force_poll_poll)))]
mod connect_conformance;
mod connection;
mod datagram_checks;
#[cfg(all(target_os = "linux", not(mio_unsupported_force_poll_poll)))]
mod datagram_conformance;
mod datagram_handler;
mod datagram_kernel;
mod datagram_socket;
mod deadlines;
mod draw_outgoing;
mod events;
mod expectation;
mod kernel;
mod outgoing;
mod outgoing_checks;
mod random;
mod run;
mod script;
mod shrink;
mod step;
mod stream_handler;

use datagram_socket::Party;
use outgoing::{Fate, Named, Place, PlaceKind, Plan};
use run::{play, play_and_show};
use script::{Answers, Script, Service, Step};

/// The default number of seeds.
const RUNS: u64 = 2_000;

/// How many seeds are taken at once.
const CHUNK: u64 = 256;

#[test]
fn whatever_happens_everything_that_must_hold_holds() {
    if let Some(seed) = number("SIM_SEED") {
        return replay(seed);
    }
    let from = number("SIM_FROM").unwrap_or(0);
    let runs = number("SIM_RUNS").unwrap_or(RUNS);
    let threads = number("SIM_THREADS").unwrap_or(1);
    let next = AtomicU64::new(from);
    let found = AtomicU64::new(u64::MAX);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| search(&next, from + runs, &found));
        }
    });
    let seed = found.into_inner();
    if seed != u64::MAX {
        replay(seed);
        panic!("seed {seed} failed among others, and not alone");
    }
}

/// Found as seed 166507: the end of the patience with a close was taken for the time of the next try.
#[test]
fn a_datagram_socket_that_can_neither_receive_nor_send_still_ends_in_time() {
    let mut script = Script::draw(0);
    script.options.close_timeout = Duration::from_millis(2);
    script.options.packets_per_turn = 100;
    script.ports = vec![Service {
        unix: false,
        anywhere: false,
        connected: true,
        capacity: 10,
        buffer: 1,
        answers: Answers::Echo,
        lively: 0,
        fails: 0,
        closes_after: u64::MAX,
    }];
    let came = Step::Arrive(0, Party::Stranger(0), 3, 5);
    let broken = Step::Break(0, Some(libc::EIO));
    script.steps = vec![Step::Bind(0), came, Step::Turn(0), broken, came, Step::Turn(0)];
    script.steps.extend([Step::Shutdown(1_000_000_000), Step::Turn(0), Step::Jump(20_000_000)]);
    script.steps.extend([Step::Turn(0); 8]);
    play(&script).expect("it ends");
}

/// Found as seed 20042603: what waited was dropped, and nothing told the loop that it ends now.
#[test]
fn a_closed_datagram_socket_that_is_aborted_ends_at_once() {
    let mut script = Script::draw(0);
    script.ports = vec![Service {
        unix: false,
        anywhere: false,
        connected: false,
        capacity: 100,
        buffer: 1,
        answers: Answers::Echo,
        lively: 0,
        fails: 0,
        closes_after: 16,
    }];
    script.options.packets_per_turn = 8;
    script.ending = script::Ending::ShutdownOfTheDeaf;
    let before = [Step::Bind(0), Step::Arrive(0, Party::Stranger(0), 74, 3)];
    // What is done from outside is drawn, so in some of these it is aborted.
    for salt in 0..400 {
        script.steps = before.to_vec();
        script.steps.extend([Step::Turn(0), Step::Turn(1), Step::Turn(2), Step::PokePort(salt)]);
        play(&script).expect("it ends");
    }
}

/// One connection under way to an address that answers when the script says so.
fn under_way() -> Script {
    let mut script = Script::draw(0);
    script.peers.truncate(1);
    let nature = &mut script.peers[0];
    (nature.lively, nature.fails) = (0, 0);
    let places = vec![Place { kind: PlaceKind::V4, fate: Fate::Later }];
    let (named, after) = (Named::Address, Duration::ZERO);
    script.trips = vec![Plan { line: 0, places, named, from: false, after }];
    script.steps = vec![Step::Dial(0)];
    script
}

/// Found as seed 645: whatever is reported before the answer is not the answer.
#[test]
fn a_connection_under_way_does_not_stand_because_it_is_said_to_be_writable() {
    let mut script = under_way();
    // What is reported for no reason is drawn, so in some of these turns something is.
    script.steps.extend((0..100).map(Step::Turn));
    script.steps.extend([Step::Answer(0), Step::Turn(0), Step::Send(0, 10), Step::Turn(1)]);
    play(&script).expect("it stands when it does");
}

/// Found as seed 199393: each such report put the end of its time off by a turn.
#[test]
fn a_connection_under_way_ends_in_time_whatever_is_reported() {
    for salt in 0..5_000 {
        let mut script = under_way();
        script.options.connect_timeout = Duration::from_millis(25);
        script.steps.extend([Step::Turn(salt), Step::Jump(25_000_000)]);
        script.steps.extend((1..4).map(|nth| Step::Turn(salt + 1_000 * nth)));
        play(&script).expect("its time is over");
    }
}

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().expect("a number"))
}

/// Plays seeds until all are played, or one has failed.
fn search(next: &AtomicU64, end: u64, found: &AtomicU64) {
    loop {
        let first = next.fetch_add(CHUNK, Ordering::Relaxed);
        if first >= end || found.load(Ordering::Relaxed) != u64::MAX {
            return;
        }
        for seed in first..(first + CHUNK).min(end) {
            if play(&Script::draw(seed)).is_err() {
                found.fetch_min(seed, Ordering::Relaxed);
                return;
            }
        }
        if first % (CHUNK << 10) == 0 && std::io::stderr().is_terminal() {
            eprintln!("{first} seeds");
        }
    }
}

/// Plays one seed, and says what is wrong with it.
fn replay(seed: u64) {
    let script = Script::draw(seed);
    let Err(why) = play(&script) else {
        return println!("seed {seed} holds:\n{script:#?}");
    };
    let (script, failed) = shrink::shrink(script, why.clone());
    let _ = play_and_show(&script, true);
    panic!("seed {seed}: {why}\nshrunk, it fails with: {failed}\n{}", show(&script));
}

fn show(script: &Script) -> String {
    let mut text = format!("{:?}\nends: {:?}\n", script.options, script.ending);
    for (n, peer) in script.peers.iter().enumerate() {
        let _ = writeln!(text, "peer {n}: {peer:?}");
    }
    for (n, port) in script.ports.iter().enumerate() {
        let _ = writeln!(text, "port {n}: {port:?}");
    }
    for (n, trip) in script.trips.iter().enumerate() {
        let _ = writeln!(text, "trip {n}: {trip:?}");
    }
    for step in &script.steps {
        let _ = writeln!(text, "  {step:?}");
    }
    text
}
