//! The simulated kernel is not believed blindly: the same scripts on real sockets, event by event.
//!
//! Each script is played twice at once, on a line of the simulated kernel and on a real connection
//! (loopback TCP, or a pair of Unix sockets) that the production code registers, reads and writes.
//! What each call says must be the same, and so must what is reported at each poll.
//!
//! ```console
//! $ SCRIPTS=10000 cargo test --release --lib conformance -- --nocapture
//! ```

use std::collections::BTreeSet;
use std::io::{self};
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};

use super::connection::SimEvent;
use super::kernel::Simulated;
use super::number;
use super::random::Random;
use crate::net::ReadyEvent;

mod twice;

use twice::Twice;

/// The default number of scripts for each kind of socket.
const SCRIPTS: u64 = 60;
const STEPS: usize = 24;

/// What the system may take to deliver on a machine that is busy.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// How long it is listened for what should not come.
pub(super) const SILENCE: Duration = Duration::from_millis(1);

/// Longer than an acknowledgement is held back.
const LATE_ANSWER: Duration = Duration::from_millis(60);

/// A system that is busy may report late, and so twice; a script that fails for that does not fail
/// again and again.
const TRIES: usize = 4;

#[derive(Clone, Copy, Debug)]
enum Act {
    /// The peer sends, ends, or is gone.
    Send(usize),
    Urgent,
    Pass(usize),
    End,
    Reset,
    /// The peer reads all there is.
    Receive,
    // Our end.
    Read(usize),
    Write(usize),
    /// Writes until the system takes no more.
    Fill,
    ShutDown,
    /// Whether input is reported, and whether room is.
    Interests(bool, bool),
    Poll,
}

/// What a call said.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Said {
    Bytes(usize),
    End,
    WouldBlock,
    Failed(io::ErrorKind),
}

impl Said {
    fn of(result: io::Result<usize>) -> Said {
        match result {
            Ok(0) => Said::End,
            Ok(n) => Said::Bytes(n),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Said::WouldBlock,
            Err(error) => Said::Failed(error.kind()),
        }
    }
}

/// What was reported, in words.
pub(super) type ShutdownReport = BTreeSet<&'static str>;

pub(super) fn report_of(event: &impl ReadyEvent) -> ShutdownReport {
    let all = [
        ("readable", event.is_readable()),
        ("writable", event.is_writable()),
        ("read closed", event.is_read_closed()),
        ("urgent", event.is_priority()),
        ("error", event.is_error()),
    ];
    all.into_iter().filter_map(|(word, is_so)| is_so.then_some(word)).collect()
}

const TOKEN: Token = Token(7);
const PIECE: usize = 64 << 10;

/// What is reported must be the same, in one event or in several.
pub(super) fn compare_events(
    sim: &mut Simulated,
    poll: &mut Poll,
    events: &mut Events,
) -> Result<(), String> {
    let mut expected: Vec<SimEvent> = Vec::new();
    sim.take_events(&mut Random::new(0), true, &mut expected);
    let expected: ShutdownReport = expected.iter().flat_map(report_of).collect();
    let mut reported = ShutdownReport::new();
    let before = Instant::now();
    while reported != expected || expected.is_empty() {
        let wait = if expected.is_empty() { SILENCE } else { PATIENCE };
        poll.poll(events, Some(wait)).map_err(|error| error.to_string())?;
        reported.extend(events.iter().flat_map(report_of));
        let over = before.elapsed() > PATIENCE;
        if expected.is_empty() || !reported.is_subset(&expected) || over {
            break;
        }
    }
    let agree = reported == expected;
    agree.then_some(()).ok_or_else(|| format!("{expected:?}, and really {reported:?}"))
}

fn draw(random: &mut Random, unix: bool) -> Vec<Act> {
    let wild = random.chance(40);
    let mut acts = vec![Act::Poll];
    for _ in 0..random.between(4, STEPS) {
        acts.push(match random.below(100) {
            0..=19 => Act::Send(random.between(1, 2_000)),
            20..=27 if unix => Act::Pass(random.between(1, 200)),
            20..=27 => Act::Urgent,
            28..=55 => Act::Read(random.pick(&[1, 7, 100, 1_000, 5_000, 60_000])),
            56..=61 => Act::Write(random.between(1, 2_000)),
            62..=67 => Act::Fill,
            68..=77 => Act::Receive,
            78..=82 => Act::Interests(random.chance(70), unix && random.chance(70)),
            83..=84 => Act::End,
            85 if wild => Act::Reset,
            86 if wild => Act::ShutDown,
            _ => Act::Poll,
        });
        if random.chance(30) {
            acts.push(Act::Poll);
        }
    }
    acts
}

/// Draws scripts, and plays each until both kernels agree about it.
pub(super) fn agree<A: Copy + std::fmt::Debug, T>(
    draw: impl Fn(&mut Random) -> Vec<A>,
    begin: impl Fn() -> io::Result<T>,
    take: impl Fn(&mut T, A) -> Result<(), String>,
) {
    let play = |acts: &[A]| {
        let mut twice = begin().map_err(|error| error.to_string())?;
        for (nth, act) in acts.iter().enumerate() {
            take(&mut twice, *act).map_err(|why| format!("step {nth}, {act:?}: {why}"))?;
        }
        Ok::<(), String>(())
    };
    let from = number("SCRIPTS_FROM").unwrap_or(0);
    for seed in from..from + number("SCRIPTS").unwrap_or(SCRIPTS) {
        let acts = draw(&mut Random::new(seed));
        let mut failures = (0..TRIES).map_while(|_| play(&acts).err());
        if let Some(why) = failures.nth(TRIES - 1) {
            panic!("seed {seed}: the simulated kernel and the real one disagree: {why}\n{acts:#?}");
        }
    }
}

#[test]
fn tcp_behaves_as_it_is_simulated() {
    agree(|random| draw(random, false), || Twice::new(false), Twice::act);
}

#[test]
fn unix_streams_behave_as_they_are_simulated() {
    agree(|random| draw(random, true), || Twice::new(true), Twice::act);
}
