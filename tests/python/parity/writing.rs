//! Behaviours 23 and 24: what a handler writes.

use libtest_mimic::Trial;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::combination::{Combination, PLACES, Place, all, datagrams, streams, trials};
use super::obedient::{MUCH, much};
use super::started::Started;
use crate::read_some::ReadSome;

pub(crate) fn writing() -> Vec<Trial> {
    let interrupted = "a_large_write_that_is_interrupted_is_whole";
    let with_timeout = "a_large_write_with_a_timeout_that_is_interrupted_is_whole";
    [
        trials(streams(&PLACES), "b23", "the_writer_is_the_connection_without_a_buffer", |it| {
            let server = Started::running(it, &[]);
            let mut client = server.client();
            client.send("alternate\n");
            let all: Vec<String> = (0..100).map(|n| format!("w{n}\ns{n}\n")).collect();
            assert_eq!(String::from_utf8(client.rest()).unwrap(), all.concat());
            drop(client);
            server.end_clean();
        }),
        trials(streams(&PLACES), "b24", interrupted, |it| large_write(it, &[])),
        // Only then does the system itself break the call off, and not go on with it.
        trials(streams(&PLACES), "b24", with_timeout, |it| large_write(it, &["timeout=60000"])),
        trials(streams(&PLACES), "half_close", "who_said_all_is_answered", half_close),
        trials(datagrams(&PLACES), "large", "datagrams_are_answered_whole", large_datagrams),
        trials(datagrams(&PLACES), "silent", "who_writes_nothing_sends_nothing", |it| {
            let server = Started::running(it, &["places=1"]);
            let mut client = server.client();
            client.send("silent\n");
            // With one place they are handled one after another.
            assert_eq!(client.ask("hello world\n"), "hello world\n");
            drop(client);
            server.end_clean();
        }),
        trials(all(), "shared", "what_handlers_share", shared),
        trials(all(), "where", "a_process_is_another_one", |it| {
            let server = Started::running(it, &[]);
            let own = format!("{}\n", server.pid());
            assert_eq!(server.client().ask("where\n") == own, it.place != Place::Processes);
            server.end_clean();
        }),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn large_write(it: Combination, words: &[&str]) {
    let server = Started::running(it, words);
    let mut client = server.client();
    client.send("much\n");
    // This is here before the handler goes on, although it was not flushed.
    let pid = Pid::from_raw(client.line().trim_end().parse().unwrap());
    client.send("go\n");
    let mut got = Vec::new();
    let mut piece = vec![0; 64 << 10];
    while got.len() < MUCH {
        // A process that has written all may be gone.
        let _ = kill(pid, Signal::SIGUSR1);
        let n = client.socket.read_some(&mut piece).unwrap();
        assert!(n > 0, "it ended after {}", got.len());
        got.extend_from_slice(&piece[..n]);
    }
    assert!(got == much(), "other bytes than were written");
    client.got_nothing();
    server.expect(&format!("wrote true {MUCH} interrupted=true"));
    drop(client);
    server.end_clean();
}

fn half_close(it: Combination) {
    let server = Started::running(it, &[]);
    let mut client = server.client();
    let message = &much()[..300_000];
    client.send("rest\n");
    client.send(message);
    client.finish_sending();
    assert!(client.rest() == message);
    drop(client);
    server.end_clean();
}

fn large_datagrams(it: Combination) {
    let server = Started::running(it, &[]);
    let mut client = server.client();
    // Other systems take no longer ones than this, unless they are told to.
    let longest = if cfg!(target_os = "linux") { 65_507 } else { 2_000 };
    for length in [longest / 8, longest / 3, longest] {
        let message = "x".repeat(length);
        assert!(client.ask(&message) == message, "{length}");
    }
    drop(client);
    server.end_clean();
}

/// A process has a copy of it as it was when its client came.
fn shared(it: Combination) {
    let server = Started::running(it, &[]);
    for n in 1..=3 {
        let count = if it.place == Place::Processes { 1 } else { n };
        assert_eq!(server.client().ask("count\n"), format!("{count}\n"));
    }
    server.end_clean();
}
