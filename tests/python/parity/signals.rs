//! What a signal to a child, or to all, does when the program stops at signals in the way of the guide.

use libtest_mimic::Trial;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::client::Client;
use super::combination::{Combination, Place, TRANSPORTS, of, streams, trials};
use super::started::Started;

pub(crate) fn signals() -> Vec<Trial> {
    let processes = || streams(&[Place::Processes]);
    [
        trials(processes(), "signal", "to_one_child_ends_that_child_alone", one_child),
        trials(processes(), "signal", "of_a_terminal_is_for_the_parent", terminal),
        trials(processes(), "signal", "that_nobody_handles_ends_a_child", not_handled),
        trials(processes(), "signal", "is_handled_by_who_inherits", inherited),
        trials(of(&TRANSPORTS, &[Place::Processes]), "hook", "of_a_fork_runs_first", after_fork),
        trials(processes(), "signal", "costs_no_thread_where_none_is_handled", no_thread),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A client whose handler stays, and the process of that.
fn stays(server: &Started) -> (Client, Pid) {
    let mut client = server.client();
    let pid = client.ask("stay\n").trim_end().parse().unwrap();
    assert_ne!(pid, server.pid());
    (client, Pid::from_raw(pid))
}

/// The handlers of signals keep their end of the pipe for as long as the program runs, so its sockets
/// are not counted.
#[track_caller]
fn leave(mut server: Started) {
    assert_eq!(server.ask("close"), "closed");
    assert_eq!(server.ask("children"), "no children");
    server.leave();
}

#[track_caller]
fn stop(mut server: Started) {
    server.stop();
    leave(server);
}

/// It was not disturbed.
#[track_caller]
fn goes_on(client: &mut Client) {
    client.finish_sending();
    assert_eq!(client.rest(), b"stayed\n");
}

fn one_child(it: Combination) {
    let server = Started::running(it, &["heeds", "hook"]);
    let (mut first, pid) = stays(&server);
    let (mut second, _) = stays(&server);
    kill(pid, Signal::SIGTERM).unwrap();
    first.was_cut_off();
    goes_on(&mut second);
    server.echo("hello world\n");
    drop((first, second));
    // And to the parent it is what it was.
    let (mut last, _) = stays(&server);
    kill(Pid::from_raw(server.pid()), Signal::SIGTERM).unwrap();
    assert_eq!(last.rest(), b"stayed\n", "it is told that nothing more comes");
    drop(last);
    server.expect("stopped, forced 0");
    leave(server);
}

fn terminal(it: Combination) {
    let server = Started::running(it, &["heeds"]);
    let (mut client, pid) = stays(&server);
    kill(pid, Signal::SIGINT).unwrap();
    kill(pid, Signal::SIGINT).unwrap();
    server.echo("hello world\n");
    goes_on(&mut client);
    drop(client);
    stop(server);
}

fn not_handled(it: Combination) {
    for signal in [Signal::SIGUSR2, Signal::SIGINT] {
        let words: &[&str] = if signal == Signal::SIGINT { &[] } else { &["heeds"] };
        let server = Started::running(it, words);
        let (mut client, pid) = stays(&server);
        kill(pid, signal).unwrap();
        client.was_cut_off();
        server.echo("hello world\n");
        drop(client);
        stop(server);
    }
}

fn inherited(it: Combination) {
    let server = Started::running(it, &["heeds", "inherits"]);
    let (mut client, pid) = stays(&server);
    kill(pid, Signal::SIGTERM).unwrap();
    // The copy of the handler writes into the pipe that the parent watches.
    assert_eq!(client.rest(), b"stayed\n");
    drop(client);
    server.expect("stopped, forced 0");
    leave(server);
}

fn after_fork(it: Combination) {
    let server = Started::running(it, &["after_fork", "notes"]);
    for _ in 0..2 {
        server.echo("hello world\n");
        for line in ["forked elsewhere", "setup", "handle", "finish"] {
            server.expect(line);
        }
    }
    stop(server);
}

/// The program has a handler of SIGUSR1, but that is blocked, and so it stays.
fn no_thread(it: Combination) {
    for (words, expected) in [(&[][..], 1), (&["heeds"][..], 2)] {
        let server = Started::running(it, words);
        let (mut client, pid) = stays(&server);
        if let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) {
            assert_eq!(tasks.count(), expected, "{words:?}");
        }
        goes_on(&mut client);
        drop(client);
        stop(server);
    }
}
