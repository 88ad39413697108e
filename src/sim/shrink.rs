//! Makes a script that fails shorter for as long as it still fails.

use std::time::Duration;

use super::outgoing::Named;
use super::run::{Failed, play};
use super::script::{Ending, Script};

/// The shortest that was found, and how it fails.
pub(crate) fn shrink(mut script: Script, mut failed: Failed) -> (Script, Failed) {
    shorten(&mut script, &mut failed);
    for nth in 0..script.peers.len() {
        simplify(&mut script, &mut failed, |script| script.peers[nth].lively = 0);
        simplify(&mut script, &mut failed, |script| script.peers[nth].fails = 0);
        simplify(&mut script, &mut failed, |script| script.peers[nth].talks = 0);
        simplify(&mut script, &mut failed, |script| script.peers[nth].stays = false);
        simplify(&mut script, &mut failed, |script| script.peers[nth].closes_after = u64::MAX);
    }
    for nth in 0..script.ports.len() {
        simplify(&mut script, &mut failed, |script| script.ports[nth].lively = 0);
        simplify(&mut script, &mut failed, |script| script.ports[nth].fails = 0);
        simplify(&mut script, &mut failed, |script| script.ports[nth].connected = false);
        simplify(&mut script, &mut failed, |script| script.ports[nth].closes_after = u64::MAX);
    }
    simplify_trips(&mut script, &mut failed);
    simplify(&mut script, &mut failed, |script| script.options.idle_timeout = None);
    simplify(&mut script, &mut failed, |script| script.options.frame_timeout = None);
    simplify(&mut script, &mut failed, |script| script.ending = Ending::PeersEnd);
    (script, failed)
}

/// Keeps a change if it still fails.
fn simplify(script: &mut Script, failed: &mut Failed, change: impl FnOnce(&mut Script)) {
    let mut simpler = script.clone();
    change(&mut simpler);
    if let Err(why) = play(&simpler) {
        (*script, *failed) = (simpler, why);
    }
}

/// Takes steps away, many at once and then fewer, for as long as it still fails.
fn shorten(script: &mut Script, failed: &mut Failed) {
    let mut size = script.steps.len() / 2 + 1;
    loop {
        let before = script.steps.len();
        let mut at = 0;
        while at < script.steps.len() {
            let mut shorter = script.clone();
            let end = (at + size).min(shorter.steps.len());
            shorter.steps.drain(at..end);
            match play(&shorter) {
                Err(why) => (*script, *failed) = (shorter, why),
                Ok(()) => at += size,
            }
        }
        if size == 1 && script.steps.len() == before {
            break;
        }
        size = (size / 2).max(1);
    }
}

fn simplify_trips(script: &mut Script, failed: &mut Failed) {
    for nth in 0..script.trips.len() {
        simplify(script, failed, |script| script.trips[nth].from = false);
        simplify(script, failed, |script| script.trips[nth].after = Duration::ZERO);
        simplify(script, failed, |script| script.trips[nth].named = Named::Address);
        for place in (0..script.trips[nth].places.len()).rev() {
            if script.trips[nth].places.len() > 1 {
                simplify(script, failed, |script| {
                    script.trips[nth].places.remove(place);
                });
            }
        }
    }
}
