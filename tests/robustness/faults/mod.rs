//! The built command with failing system calls: each call that it makes, from each place, fails with
//! each error of its man page, while clients are served.
//!
//! strace fails the calls (`--inject`). The places are those that a clean run shows. `cargo test`
//! plays some of them; `FAULTS=all cargo test --test robustness faults -- --nocapture` all of them, with a
//! table.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

mod clients;
mod errnos;
mod play;
mod signals;
mod trace;
mod verdict;

use play::{Fault, KINDS, Kind, play};
use verdict::{Verdict, judge};

use crate::command;

/// One run.
#[derive(Clone, Debug)]
struct Trial {
    kind: Kind,
    fault: Fault,
}

/// Calls of which, while it serves, every third fails too, and all from some moment on.
const MANY_TIMES: &[&str] = &[
    "accept4",
    "close",
    "epoll_ctl",
    "read",
    "recvfrom",
    "recvmmsg",
    "recvmsg",
    "sendmmsg",
    "sendto",
    "shutdown",
    "write",
    "writev",
];

/// How many trials plain `cargo test` plays.
const SLICE: usize = 36;

#[test]
fn no_failing_call_costs_more_than_its_connection() {
    if !can_inject() {
        println!("skipped: strace cannot trace here");
        return;
    }
    let all = env::var_os("FAULTS").is_some_and(|wanted| wanted == "all");
    let only = env::var("FAULT").ok();
    let mut trials = Vec::new();
    for kind in KINDS {
        trials.extend(trials_of(kind));
    }
    let planned = trials.len();
    match only {
        Some(only) => trials.retain(|trial| format!("{trial:?}").contains(&only)),
        None if all => {}
        None => {
            let step = trials.len() / SLICE;
            // Those that last take long to be sure of.
            trials = trials.into_iter().step_by(step.max(1)).collect();
            trials.retain(|trial| !trial.fault.lasts());
        }
    }
    let verdicts = play_all(&trials, if all { 3 } else { 2 });
    print_sums(&trials, &verdicts, planned);
    let wrong: Vec<String> = trials
        .iter()
        .zip(&verdicts)
        .filter_map(|(trial, verdict)| Some(format!("{trial:?}: {}", verdict.problem.as_ref()?)))
        .collect();
    assert!(wrong.is_empty(), "{} trials went wrong:\n{}", wrong.len(), wrong.join("\n"));
    let reached = verdicts.iter().filter(|verdict| verdict.site.is_some()).count();
    assert!(reached * 10 >= trials.len() * 9, "only {reached} of {} took place", trials.len());
}

#[test]
fn a_signal_while_it_starts_is_not_lost() {
    if !can_inject() {
        println!("skipped: strace cannot trace here");
        return;
    }
    signals::no_signal_is_lost(env::var_os("FAULTS").is_some_and(|wanted| wanted == "all"));
}

#[test]
fn what_fails_for_good_does_not_make_it_spin() {
    if !can_inject() {
        println!("skipped: strace cannot trace here");
        return;
    }
    let trial = |(kind, call, errno)| {
        let fault = Fault { call: String::from(call), errno, when: "1+".into() };
        let verdict = judge(kind, Some(&fault), &play(kind, Some(&fault)));
        assert!(verdict.problem.is_none(), "{kind:?}: {:?}", verdict.problem);
        assert_eq!(verdict.outcome, "lives on, can serve nobody, stops");
    };
    thread::scope(|scope| {
        for one in [
            (Kind::Tcp, "accept4", "EPERM"),
            (Kind::Unix, "accept4", "EPERM"),
            (Kind::Udp, "recvmmsg", "ENOMEM"),
            (Kind::Unixgram, "recvfrom", "ENOMEM"),
        ] {
            scope.spawn(move || trial(one));
        }
    });
}

#[test]
fn without_a_thread_for_its_output_it_still_says_where_it_listens() {
    if !can_inject() {
        println!("skipped: strace cannot trace here");
        return;
    }
    // A server that says nothing would be waited for.
    let mut command = Command::new("timeout");
    command.args([
        "--foreground",
        "30",
        "strace",
        "-D",
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        "trace=?clone,?clone3",
    ]);
    command.args(["-e", "inject=?clone,?clone3:error=EAGAIN"]);
    command.args([command::BIN, "serve", "echo", "--tcp", "127.0.0.1:0"]).stderr(Stdio::null());
    let mut server = command::Server::of(&mut command);
    let addr = server.tcp_addr();
    assert_eq!(command::exchange(&mut command::tcp(&addr), b"alone"), b"alone");
    server.stop();
}

/// Every call of a clean run, with every error.
fn trials_of(kind: Kind) -> Vec<Trial> {
    let played = play(kind, None);
    let verdict = judge(kind, None, &played);
    assert!(verdict.problem.is_none(), "{kind:?}, clean: {:?}\n{}", verdict.problem, played.log);
    let calls = trace::read(&played.trace, &played.console);
    // strace counts anew in each child, and would fail the same call of the loader too.
    let counted = |call: &&trace::Call| kind != Kind::Processes || call.first_thread;
    let sites = trace::sites(calls.iter().filter(counted));
    let mut trials = Vec::new();
    let mut add = |call: &str, when: String, lasts: bool| {
        for &errno in errnos::of(call) {
            // Nobody is interrupted for ever, and no counter stays full that mio has emptied.
            let never = errno == "EINTR" || call == "write" && errno == "EAGAIN";
            if !(lasts && never) {
                let fault = Fault { call: call.into(), errno, when: when.clone() };
                trials.push(Trial { kind, fault });
            }
        }
    };
    for (site, (call, nth)) in &sites {
        // Text that is not written is the same whatever is served, and so is a thread for it.
        let once = site.ends_with("console") || call.starts_with("clone");
        // Threads count apart, so the same number may be that of a call of the loader.
        if trace::spared(&calls, call).contains(nth) {
            continue;
        }
        let forks = kind == Kind::Processes && call.starts_with("clone");
        if kind == Kind::Unix || forks || !once {
            add(call, nth.to_string(), false);
        }
    }
    for (call, nth) in first_while_serving(&calls) {
        if MANY_TIMES.contains(&call.as_str()) {
            let nth = trace::spared(&calls, &call).last().map_or(nth, |last| nth.max(last + 1));
            add(&call, format!("{nth}+3"), false);
            add(&call, format!("{nth}+"), true);
        }
    }
    trials
}

/// The first call of each name after the loop has begun.
fn first_while_serving(calls: &[trace::Call]) -> BTreeMap<String, usize> {
    let serves = calls.iter().position(|call| call.name.starts_with("epoll_wait"));
    let mut first = BTreeMap::new();
    for call in calls.iter().skip(serves.unwrap_or_default()) {
        if !call.site.ends_with("console") {
            first.entry(call.name.clone()).or_insert(call.nth);
        }
    }
    first
}

/// Several at a time: most of a run is waiting. Each is a row of the table as soon as it is over.
fn play_all(trials: &[Trial], at_a_time: usize) -> Vec<Verdict> {
    let next = AtomicUsize::new(0);
    let verdicts = Mutex::new(BTreeMap::new());
    thread::scope(|scope| {
        for _ in 0..at_a_time {
            scope.spawn(|| {
                loop {
                    let nth = next.fetch_add(1, Ordering::Relaxed);
                    let Some(Trial { kind, fault }) = trials.get(nth) else { break };
                    let played = play(*kind, Some(fault));
                    let verdict = judge(*kind, Some(fault), &played);
                    println!("{}", row(*kind, fault, &verdict));
                    verdicts.lock().unwrap().insert(nth, verdict);
                }
            });
        }
    });
    verdicts.into_inner().unwrap().into_values().collect()
}

fn row(kind: Kind, fault: &Fault, verdict: &Verdict) -> String {
    let Fault { call, errno, when } = fault;
    let site = verdict.site.as_deref().unwrap_or("not reached");
    let outcome = verdict.problem.as_deref().unwrap_or(&verdict.outcome);
    format!("{:8} {call:14} {errno:16} {when:6} {site}: {outcome}", format!("{kind:?}"))
}

fn print_sums(trials: &[Trial], verdicts: &[Verdict], planned: usize) {
    let mut pairs = BTreeSet::new();
    let mut outcomes: BTreeMap<&str, usize> = BTreeMap::new();
    for (Trial { kind, fault }, verdict) in trials.iter().zip(verdicts) {
        if let Some(site) = &verdict.site {
            pairs.insert((format!("{kind:?}"), site, fault.errno));
        }
        *outcomes.entry(&verdict.outcome).or_default() += 1;
    }
    let pairs = pairs.len();
    println!("{} runs of {planned}, {pairs} pairs of a call site and an error", trials.len());
    for (outcome, count) in outcomes {
        println!("{count:6} {outcome}");
    }
}

/// strace may be missing, and ptrace may be forbidden.
fn can_inject() -> bool {
    Command::new("strace")
        .args(["-D", "-f", "-qq", "-o", "/dev/null", "-e", "inject=getppid:error=EPERM", "true"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
