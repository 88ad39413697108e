//! Behaviours 1 to 12: three clients one after another, and a clean stop.

use libtest_mimic::Trial;

use super::combination::{self, Combination, PLACES, Transport, of};
use super::started::Started;

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for (nth, it) in combination::all().into_iter().enumerate() {
        let number = format!("b{:02}", nth + 1);
        let name = "three_echo_clients_and_a_clean_stop";
        trials.extend(combination::trials(vec![it], &number, name, three_clients));
    }
    let v6 = of(&[Transport::Tcp6, Transport::Udp6], &PLACES);
    trials.extend(combination::trials(v6, "ipv6", "the_same_over_ipv6", three_clients_if_possible));
    trials
}

fn three_clients(it: Combination) {
    let mut server = Started::program(it, &[]);
    assert_eq!(server.ask("stranger"), "met");
    server.order("open");
    server.address = server.line().strip_prefix("address ").unwrap().to_string();
    if let Some(sockets) = server.sockets() {
        assert_eq!(sockets, 2, "standard input and the server");
    }
    server.order("run");
    for _ in 0..3 {
        server.echo("hello world\n");
    }
    assert_eq!(server.client().ask("name\n").trim_end(), server.address);
    server.stop();
    assert_eq!(server.ask("stranger"), "stranger Some(72)");
    server.leave_clean();
}

/// Not every machine has it.
fn three_clients_if_possible(it: Combination) {
    if std::net::TcpListener::bind("[::1]:0").is_ok() {
        three_clients(it);
    }
}
