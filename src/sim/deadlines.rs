//! Times that begin anew, and times that must not: scripts that are written and not drawn.

use std::time::Duration;

use super::run::play;
use super::script::{AtEnd, Nature, Script, Step, Takes};
use super::under_way;

const MS: u64 = 1_000_000;

/// One client whose handler does as it is told and nothing else.
fn one_client() -> Script {
    let mut script = Script::draw(0);
    script.peers.truncate(1);
    let nature = &mut script.peers[0];
    *nature = Nature {
        unix: false,
        buffer: 1,
        step: 1,
        takes: Takes::All,
        answers: 0,
        talks: 0,
        at_end: AtEnd::Stay,
        lively: 0,
        fails: 0,
        closes_after: u64::MAX,
        full_duplex: false,
        stays: true,
    };
    script.options.idle_timeout = None;
    script.options.frame_timeout = None;
    script.options.max_connections = 1;
    script.steps = vec![Step::Connect(0), Step::Turn(0), Step::Turn(1)];
    script
}

/// Connecting took its time; its age counts from when it was established.
#[test]
fn the_idle_time_begins_with_the_connection_and_not_with_the_dial() {
    for salt in 0..200 {
        let mut script = under_way();
        script.options.idle_timeout = Some(Duration::from_millis(40));
        script.options.connect_timeout = Duration::from_secs(1);
        script.steps.extend([Step::Turn(salt), Step::Jump(30 * MS), Step::Answer(0)]);
        script.steps.extend((1..6).map(|nth| Step::Turn(salt + 1_000 * nth)));
        script.steps.push(Step::Jump(30 * MS));
        script.steps.extend((6..12).map(|nth| Step::Turn(salt + 1_000 * nth)));
        play(&script).expect("it stood for 30 ms");
    }
}

/// Whatever is reported of it for no reason, its time runs on.
#[test]
fn the_close_timeout_is_set_once() {
    for salt in 0..500 {
        let mut script = one_client();
        script.options.close_timeout = Duration::from_millis(100);
        script.peers[0].closes_after = 0;
        // More than the system takes.
        script.peers[0].answers = 10;
        script.options.high_water = 1_000;
        script.options.output_limit = 10_000;
        script.steps.extend([Step::Send(0, 5), Step::Turn(2), Step::Turn(3)]);
        for nth in 0..30 {
            script.steps.extend([Step::Jump(5 * MS), Step::Turn(salt + 1_000 * nth)]);
        }
        play(&script).expect("it ends in time");
    }
}

/// A peer that sends without end does not keep its handler from being told.
#[test]
fn a_shutdown_reads_on_for_half_of_its_grace_at_most() {
    let mut script = one_client();
    script.options.reads_per_turn = 1;
    script.options.read_buffer = 1;
    script.options.input_limit = 100;
    script.steps.push(Step::Shutdown(1_000 * MS));
    for nth in 0..90 {
        script.steps.extend([Step::Send(0, 50), Step::Turn(nth), Step::Jump(10 * MS)]);
    }
    play(&script).expect("it is told in time");
}

/// A peer of which nothing shows but that it acknowledges something now and then.
#[test]
fn who_acknowledges_is_not_idle() {
    let mut script = one_client();
    script.options.idle_timeout = Some(Duration::from_millis(40));
    script.options.high_water = 1_000;
    script.options.output_limit = 10_000;
    script.peers[0].answers = 1;
    script.peers[0].buffer = 1_000;
    script.steps.extend([Step::Send(0, 100), Step::Turn(2), Step::Turn(3)]);
    for nth in 0..50 {
        script.steps.extend([Step::Receive(0, 1), Step::Jump(20 * MS), Step::Turn(nth)]);
    }
    play(&script).expect("it reads");
}
