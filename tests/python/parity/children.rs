//! What a child has: what belongs to its conversation, and nothing of its siblings; and what becomes of
//! it when its parent is gone.

use libtest_mimic::Trial;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::client::Client;
use super::combination::{Combination, PLACES, Place, TRANSPORTS, of, streams, trials};
use super::started::Started;
use crate::waits::until;

pub(crate) fn children() -> Vec<Trial> {
    let processes = || streams(&[Place::Processes]);
    [
        trials(
            of(&TRANSPORTS, &PLACES),
            "own",
            "what_a_handler_owns_is_there_until_it_ends",
            owned,
        ),
        trials(processes(), "own", "a_child_holds_nothing_of_its_siblings", holds),
        trials(processes(), "own", "who_a_child_starts_keeps_neither_client_nor_place", starts),
        trials(processes(), "own", "the_children_of_a_killed_parent_end", orphans),
        trials(processes(), "own", "twelve_clients_that_find_no_descriptor_wait", waits),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// As in Python: made, used and dropped where it runs, once.
fn owned(it: Combination) {
    let directory = tempfile::TempDir::new().unwrap();
    let path = directory.path().join("owned");
    let server = Started::running(it, &[&format!("owns={}", path.display())]);
    let mut client = server.client();
    client.send("owned\n");
    let place = if it.place == Place::Processes { "elsewhere" } else { "here" };
    server.expect(&format!("dropped {place}: true"));
    assert_eq!(client.line(), "true\n");
    assert!(!path.exists());
    drop(client);
    server.end_clean();
}

fn holds(it: Combination) {
    let server = Started::running(it, &[]);
    let mut clients: Vec<Client> = (0..20).map(|_| server.client()).collect();
    let held: Vec<String> = clients.iter_mut().map(|client| client.ask("held\n")).collect();
    assert!(held.iter().all(|one| *one == held[0]), "{held:?}");
    drop(clients);
    server.end_clean();
}

fn starts(it: Combination) {
    let mut server = Started::running(it, &["places=1"]);
    let mut client = server.client();
    client.send("start\n");
    let started = client.rest();
    let pid = Pid::from_raw(String::from_utf8(started).unwrap().trim_end().parse().unwrap());
    drop(client);
    server.ask_until("active", "active 0");
    server.echo("hello world\n");
    kill(pid, None).expect("it is still there");
    kill(pid, Signal::SIGKILL).unwrap();
    server.end_clean();
}

fn orphans(it: Combination) {
    let server = Started::running(it, &["heeds"]);
    let mut client = server.client();
    let child = Pid::from_raw(client.ask("stay\n").trim_end().parse().unwrap());
    kill(Pid::from_raw(server.pid()), Signal::SIGKILL).unwrap();
    if cfg!(target_os = "linux") {
        until("the child ends", || kill(child, None).is_err());
        client.was_ended();
    }
}

/// Each child costs its parent a descriptor for its report beside that of the client.
fn waits(it: Combination) {
    let server = Started::running(it, &["descriptors=16", "places=12", "notes"]);
    let mut clients: Vec<Client> = (0..12).map(|_| server.client()).collect();
    for client in &mut clients {
        client.send("stay\n");
    }
    for client in &mut clients {
        client.finish_sending();
    }
    for client in &mut clients {
        let rest = String::from_utf8(client.rest()).unwrap();
        assert!(rest.ends_with("stayed\n"), "{rest:?}");
    }
    drop(clients);
    for _ in 0..12 {
        for _ in 0..3 {
            server.line();
        }
    }
    server.end_clean();
}
