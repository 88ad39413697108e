//! Behaviours 17 to 22: what becomes of the errors of handlers; and the order of their steps.

use libtest_mimic::Trial;

use super::combination::{Combination, Place, TRANSPORTS, Transport, all, of, streams, trials};
use super::started::Started;

pub(crate) fn errors() -> Vec<Trial> {
    let inline = || of(&TRANSPORTS, &[Place::Inline]);
    let threads = || of(&TRANSPORTS, &[Place::Threads]);
    let processes = || of(&TRANSPORTS, &[Place::Processes]);
    [
        trials(inline(), "b17", "an_error_reaches_the_hook_once", an_error),
        trials(inline(), "b18", "an_exit_ends_the_run_and_is_no_error", an_exit_ends_the_run),
        trials(threads(), "b19", "an_error_reaches_the_hook_once", an_error),
        trials(threads(), "b20", "an_exit_ends_its_request_alone", an_exit),
        trials(processes(), "b21", "an_error_reaches_the_hook_once_in_its_process", an_error),
        trials(processes(), "b22", "an_exit_ends_its_request_alone", an_exit),
        trials(all(), "panic", "a_panic_is_an_error", a_panic),
        trials(processes(), "crash", "costs_its_process_alone", a_crash),
        trials(
            of(&[Transport::Udp], &[Place::Threads, Place::Processes]),
            "cut_off",
            "leaves_its_place_to_the_next_datagram",
            a_cut_off_one,
        ),
        trials(
            streams(&[Place::Processes]),
            "unshown",
            "error_and_a_bad_drop_stay_in_the_child",
            hostile,
        ),
        trials(all(), "order", "setup_handle_finish", |it| steps(it, &[], "setup handle finish")),
        trials(all(), "order", "after_a_failed_setup_comes_nothing", |it| {
            steps(it, &["fails_in=setup"], "setup");
        }),
        trials(all(), "order", "after_a_failed_handle_comes_finish", |it| {
            steps(it, &["fails_in=handle"], "setup handle finish");
        }),
        trials(all(), "order", "a_failed_finish_is_an_error", |it| {
            steps(it, &["fails_in=finish"], "setup handle finish");
        }),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn hook_says(it: Combination, what: &str) -> String {
    let place = if it.place == Place::Processes { "elsewhere" } else { "here" };
    format!("hook {place}: {what}")
}

fn an_error(it: Combination) {
    let server = Started::running(it, &["hook"]);
    let mut client = server.client();
    client.send("fail\n");
    server.expect(&hook_says(it, "expected by this test"));
    server.echo("hello world\n");
    client.got_nothing();
    drop(client);
    server.end_clean();
}

fn a_cut_off_one(it: Combination) {
    let mut server = Started::program(it, &["places=1"]);
    assert_eq!(server.ask("cut_off"), "answered next");
    server.leave();
}

fn an_exit_ends_the_run(it: Combination) {
    let mut server = Started::running(it, &["hook"]);
    let mut client = server.client();
    client.send("exit\n");
    server.expect("exit");
    client.got_nothing();
    // Nothing else is the matter with it.
    server.order("run");
    server.echo("hello world\n");
    drop(client);
    server.end_clean();
}

fn an_exit(it: Combination) {
    let server = Started::running(it, &["hook"]);
    let mut client = server.client();
    client.send("exit\n");
    server.echo("hello world\n");
    client.got_nothing();
    drop(client);
    server.end_clean();
}

fn a_panic(it: Combination) {
    let server = Started::running(it, &["hook"]);
    let mut client = server.client();
    client.send("panic\n");
    server.expect(&hook_says(it, "expected by this test"));
    server.echo("hello world\n");
    client.got_nothing();
    drop(client);
    server.end_clean();
}

fn a_crash(it: Combination) {
    let server = Started::running(it, &["hook"]);
    for crash in ["abort\n", "segv\n"] {
        let mut client = server.client();
        client.send(crash);
        server.echo("hello world\n");
        if it.transport.is_stream() {
            client.was_cut_off();
        } else {
            client.got_nothing();
        }
    }
    server.end_clean();
}

/// A child that came back into its parent's code would be a second server on the parent's poll, and take
/// the events of other clients.
fn hostile(it: Combination) {
    let server = Started::running(it, &[]);
    for what in ["unshown\n", "bad_drop\n"] {
        let mut client = server.client();
        client.send(what);
        let _ = client.line();
        let mut others: Vec<_> = (0..20).map(|_| server.client()).collect();
        for other in &mut others {
            assert_eq!(other.ask("hello world\n"), "hello world\n");
        }
    }
    server.end_clean();
}

fn steps(it: Combination, words: &[&str], steps: &str) {
    let mut all = vec!["notes", "hook"];
    all.extend(words);
    let server = Started::running(it, &all);
    let mut client = server.client();
    client.send("silent\n");
    for step in steps.split(' ') {
        server.expect(step);
    }
    if let Some(failed) = words.first().and_then(|word| word.strip_prefix("fails_in=")) {
        server.expect(&hook_says(it, &format!("{failed} was to fail")));
    }
    if it.transport.is_stream() {
        client.got_nothing();
    }
    drop(client);
    server.end_clean();
}
