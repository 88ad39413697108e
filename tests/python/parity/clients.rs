//! Behaviour 26, and who gets in, when, and for how long.

use libtest_mimic::Trial;

use super::client::Client;
use super::combination::{
    Combination, ELSEWHERE, PLACES, Place, TRANSPORTS, Transport, all, of, streams, trials,
};
use super::gate::Gate;
use super::started::{Started, until};

pub(crate) fn clients() -> Vec<Trial> {
    let elsewhere = || of(&TRANSPORTS, &ELSEWHERE);
    [
        trials(all(), "b26", "who_is_not_verified_is_shut_down_once", not_verified),
        trials(all(), "request", "is_handled_or_times_out_or_the_server_is_closed", one_request),
        trials(all(), "actions", "service_actions_run", |it| {
            let mut server = Started::running(it, &[]);
            server.ask_until("ticks", "ticks true");
            server.end_clean();
        }),
        trials(all(), "many", "clients_at_once_are_all_served", many),
        trials(elsewhere(), "bound", "who_finds_no_place_waits_for_one", bound),
        trials(streams(&PLACES), "timeout", "of_the_mode_ends_a_silent_client", |it| {
            let server = Started::running(it, &["hook", "timeout=20"]);
            let mut client = server.client();
            let place = if it.place == Place::Processes { "elsewhere" } else { "here" };
            server.expect(&format!("hook {place}: read timed out: the peer sent nothing"));
            client.got_nothing();
            server.echo("hello world\n");
            drop(client);
            server.end_clean();
        }),
        trials(streams(&PLACES), "timeout", "of_a_request_is_an_error_of_its_read", |it| {
            let server = Started::running(it, &[]);
            assert_eq!(server.client().ask("patience 20\n"), "TimedOut\n");
            server.end_clean();
        }),
        trials(streams(&ELSEWHERE), "shortage", "of_descriptors_passes", shortage),
        trials(of(&[Transport::Unixgram], &PLACES), "unnamed", "sender_harms_nobody", |it| {
            let server = Started::running(it, &[]);
            let unnamed = std::os::unix::net::UnixDatagram::unbound().unwrap();
            unnamed.send_to(b"hello world\n", &server.address).unwrap();
            server.echo("hello world\n");
            server.end_clean();
        }),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn not_verified(it: Combination) {
    let mut server = Started::open(it, &["refuse=2", "notes"]);
    let mut gone = server.client();
    let mut refused = server.client();
    if !it.transport.is_stream() {
        gone.send("hello world\n");
        refused.send("hello world\n");
    }
    drop(gone);
    server.order("run");
    let mut third = server.client();
    assert_eq!(third.ask("hello world\n"), "hello world\n");
    refused.got_nothing();
    // No handler was there for the others.
    for step in ["setup", "handle", "finish"] {
        server.expect(step);
    }
    assert_eq!(server.ask("refused"), "refused 2");
    drop((refused, third));
    server.end_clean();
}

fn one_request(it: Combination) {
    let mut server = Started::open(it, &[]);
    assert_eq!(server.ask("request 0"), "TimedOut");
    assert_eq!(server.ask("request 20"), "TimedOut");
    let mut client = server.client();
    client.send("hello world\n");
    server.order("request 60000");
    assert_eq!(client.line(), "hello world\n");
    drop(client);
    server.expect("Handled");
    server.order("server_close");
    assert_eq!(server.ask("request 60000"), "Closed");
    server.leave_clean();
}

fn many(it: Combination) {
    let server = Started::running(it, &["places=8"]);
    let mut clients: Vec<Client> = (0..50).map(|_| server.client()).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        client.send(format!("hello {n}\n"));
    }
    for (n, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.line(), format!("hello {n}\n"));
    }
    drop(clients);
    server.end_clean();
}

fn bound(it: Combination) {
    let mut server = Started::running(it, &["places=2"]);
    let gate = Gate::new(server.directory.path());
    let mut clients: Vec<Client> = (0..3).map(|_| server.client()).collect();
    for client in &mut clients {
        client.send(gate.order());
    }
    gate.wait();
    gate.wait();
    for _ in 0..10 {
        assert_eq!(server.ask("active"), "active 2");
    }
    assert!(!gate.has_another());
    gate.open_for_one();
    gate.wait();
    gate.open_for_one();
    gate.open_for_one();
    for client in &mut clients {
        assert_eq!(client.line(), "passed\n");
    }
    drop(clients);
    server.end_clean();
}

fn shortage(it: Combination) {
    let mut server = Started::running(it, &["descriptors=24", "places=100"]);
    let silent: Vec<Client> = (0..40).map(|_| server.client()).collect();
    until("the descriptors are used up", || server.ask("short") == "short true");
    drop(silent);
    server.ask_until("connections", "connections 0");
    server.echo("hello world\n");
    server.end_clean();
}
