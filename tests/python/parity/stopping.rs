//! Behaviours 13 to 16 and 27, and what becomes of handlers that are busy when the server stops.

use libtest_mimic::Trial;

use super::combination::{Combination, ELSEWHERE, Place, TRANSPORTS, all, of, streams, trials};
use super::gate::Gate;
use super::obedient::much;
use super::started::{Started, until};

pub(crate) fn stopping() -> Vec<Trial> {
    let threads = || of(&TRANSPORTS, &[Place::Threads]);
    let near = || of(&TRANSPORTS, &[Place::Inline, Place::Threads]);
    [
        trials(all(), "b13", "twenty_servers_are_stopped_while_they_start", |it| {
            let mut program = Started::program(it, &[]);
            assert_eq!(program.ask("race 20"), "raced");
            program.leave_clean();
        }),
        trials(all(), "b14", "a_server_that_served_nobody_closes_at_once", |it| {
            Started::open(it, &[]).leave_clean();
        }),
        trials(all(), "b15", "addresses_that_cannot_be_had_cost_no_descriptors", |it| {
            let mut program = Started::program(it, &[]);
            assert_eq!(program.ask("fail 1024"), "failed 1024 leaked 0");
            program.leave();
        }),
        trials(all(), "b16", "the_end_of_its_scope_closes_the_server", the_end_of_its_scope),
        trials(threads(), "b27", "ten_clients_one_after_another_need_few_threads", few_threads),
        trials(all(), "again", "it_runs_again_after_a_shutdown", it_runs_again),
        trials(near(), "inside", "a_handler_may_ask_for_the_shutdown", a_handler_asks),
        trials(streams(&ELSEWHERE), "stop", "who_waits_in_a_read_is_told_of_it", |it| {
            let mut server = Started::running(it, &[]);
            let mut client = server.client();
            server.ask_until("active", "active 1");
            server.stop();
            client.got_nothing();
            drop(client);
            server.leave_clean();
        }),
        trials(streams(&ELSEWHERE), "stop", "who_still_sends_gets_every_answer", still_sends),
        trials(streams(&ELSEWHERE), "stop", "half_a_request_may_become_whole", half_a_request),
        trials(of(&TRANSPORTS, &ELSEWHERE), "stop", "it_waits_for_who_is_busy", it_waits),
        trials(of(&TRANSPORTS, &ELSEWHERE), "stop", "it_waits_no_longer_than_its_grace", |it| {
            let mut server = Started::running(it, &[]);
            let gate = Gate::new(server.directory.path());
            server.client().send(gate.order());
            gate.wait();
            assert!(server.ask("stop 1").starts_with("stopped"));
            assert_eq!(server.ask("close"), "closed");
            assert_eq!(server.ask("children"), "no children");
            server.leave();
        }),
        trials(threads(), "stop", "it_does_not_wait_for_who_is_detached", |it| {
            let mut server = Started::running(it, &["detach"]);
            let gate = Gate::new(server.directory.path());
            server.client().send(gate.order());
            gate.wait();
            server.stop();
            assert!(!gate.has_another());
            assert_eq!(server.ask("close"), "closed");
            server.leave();
        }),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn the_end_of_its_scope(it: Combination) {
    let mut server = Started::running(it, &[]);
    server.echo("hello world\n");
    server.stop();
    if let Some(sockets) = server.sockets() {
        assert_eq!(sockets, 2, "it stays bound until it is closed");
    }
    server.leave_clean();
}

fn few_threads(it: Combination) {
    let server = Started::running(it, &["places=64"]);
    for _ in 0..10 {
        let mut client = server.client();
        assert_eq!(client.ask("hello world\n"), "hello world\n");
        if it.transport.is_stream() {
            client.got_nothing();
        }
    }
    if let Some(threads) = server.threads() {
        assert!(threads < 10, "{threads}");
    }
    server.end_clean();
}

fn it_runs_again(it: Combination) {
    let mut server = Started::running(it, &[]);
    for _ in 0..3 {
        server.echo("hello world\n");
        server.stop();
        server.order("run");
    }
    server.echo("hello world\n");
    server.end_clean();
}

fn a_handler_asks(it: Combination) {
    let server = Started::running(it, &[]);
    assert_eq!(server.client().ask("shutdown\n"), "asked\n");
    server.expect("stopped, forced 0");
    server.leave_clean();
}

/// It sends until nobody takes any more, and reads only when the server is about to stop; what it has
/// sent is still on its way then.
fn still_sends(it: Combination) {
    let mut server = Started::running(it, &[]);
    let mut client = server.client();
    assert_eq!(client.ask("echo\n"), "begin\n");
    let all = much();
    let sent = client.send_until_full(&all);
    server.order("stop 60000");
    let received = client.rest();
    assert!(!received.is_empty() && all[..sent].starts_with(&received), "{}", received.len());
    drop(client);
    server.expect("stopped, forced 0");
    server.leave_clean();
}

/// What was not whole when the server stopped has come to its end; but its client can still write.
fn half_a_request(it: Combination) {
    let mut server = Started::running(it, &[]);
    let mut client = server.client();
    client.send("rest\nhalf a li");
    server.ask_until("active", "active 1");
    server.order("stop 60000");
    assert_eq!(client.rest(), b"half a li");
    client.send("ne, ");
    client.send("whole\n");
    drop(client);
    server.expect("stopped, forced 0");
    server.leave_clean();
}

/// Python's `block_on_close`; and the answer arrives.
fn it_waits(it: Combination) {
    let mut server = Started::running(it, &[]);
    let gate = Gate::new(server.directory.path());
    let mut client = server.client();
    client.send(gate.order());
    gate.wait();
    server.order("stop 60000");
    // It still answers, so it has not stopped.
    server.ask_until("active", "active 1");
    gate.open_for_one();
    assert_eq!(client.line(), "passed\n");
    server.expect("stopped, forced 0");
    until("the thread or process is gone", || !gate.has_another());
    drop(client);
    server.leave_clean();
}
