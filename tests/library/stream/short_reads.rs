//! What makes a read stop early: urgent data, and descriptors passed with the bytes.

#![cfg(target_os = "linux")]
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::io::IoSlice;
use std::os::fd::AsRawFd;

use common::{Client, Kind, Noted, Tested, pattern, reads_once};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use socketserver::{CloseReason, Echo, Options, TraceEvent};

/// Whether the system has urgent data on such sockets.
fn has_urgent_data(client: &Client) -> bool {
    client.socket.send_out_of_band(b"!").is_ok()
}

#[test]
fn a_stream_goes_on_behind_urgent_data() {
    for kind in Kind::ALL {
        // One buffer large enough that the read behind the urgent byte is a short one.
        let mut tested = Tested::new();
        let addr = tested.serve(kind, |_| Echo);
        let mut client = Client::connect(&addr);
        tested.echo(&mut client, b"before");
        client.send(b"in front");
        if !has_urgent_data(&client) {
            assert_eq!(kind, Kind::Unix, "TCP always has urgent data");
            continue;
        }
        client.send(b"behind");
        assert_eq!(tested.receive(&mut client, 14), b"in frontbehind", "{kind:?}");
        tested.echo(&mut client, b"after");
    }
}

#[test]
fn urgent_data_at_any_place_stalls_nothing() {
    for kind in Kind::ALL {
        let options = Options { read_buffer: 1_000, ..Options::default() };
        let mut tested = Tested::with_shared((), options);
        let addr = tested.serve(kind, |_| Echo);
        for before in [0, 1, 999, 1_000, 1_001, 5_000] {
            for behind in [0, 1, 999, 1_000, 5_000] {
                let mut client = Client::connect(&addr);
                client.send(&pattern(before, 1));
                if !has_urgent_data(&client) {
                    return;
                }
                client.send(&pattern(behind, 2));
                client.finish_sending();
                let mut expected = pattern(before, 1);
                expected.extend(pattern(behind, 2));
                let got = tested.receive_to_end(&mut client);
                assert!(got == expected, "{before} and {behind} bytes on {kind:?}");
            }
        }
        tested.until_ended(30);
        assert_eq!(tested.ended(CloseReason::Closed), 30);
    }
}

#[test]
fn urgent_data_that_arrives_later_stalls_nothing() {
    let mut tested = Tested::new();
    let addr = tested.serve(Kind::Tcp, |_| Echo);
    let mut client = Client::connect(&addr);
    for n in 0..200_usize {
        client.send(&pattern(n, 1));
        client.socket.send_out_of_band(b"!").unwrap();
        if n % 3 == 0 {
            tested.turn(Some(std::time::Duration::ZERO)).unwrap();
        }
        client.send(&pattern(n + 1, 2));
        let mut expected = pattern(n, 1);
        expected.extend(pattern(n + 1, 2));
        assert_eq!(tested.receive(&mut client, 2 * n + 1), expected);
    }
}

#[test]
fn after_urgent_data_a_message_costs_one_read_again() {
    let mut tested = Tested::new();
    let addr = tested.serve(Kind::Tcp, |_| Echo);
    let mut client = Client::connect(&addr);
    client.socket.send_out_of_band(b"!").unwrap();
    tested.echo(&mut client, b"first");
    let steps = tested.steps();
    tested.until_quiet(&steps);
    steps.clear();
    for _ in 0..10 {
        tested.echo(&mut client, b"hello");
    }
    assert_eq!(steps.count(|step| matches!(step, TraceEvent::Read(..))), 10);
    let in_vain = steps.count(|step| matches!(step, TraceEvent::ReadWouldBlock(_)));
    assert!(in_vain == 0 || !reads_once(Kind::Tcp));
}

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn passed_descriptors_are_not_kept_and_stall_nothing() {
    let mut tested = Tested::new();
    let addr = tested.serve(Kind::Unix, |_| Echo);
    let mut client = Client::connect(&addr);
    tested.echo(&mut client, b"before");
    let file = std::fs::File::open("/dev/null").unwrap();
    let fds = [file.as_raw_fd(), file.as_raw_fd()];
    let before = open_descriptors();
    for round in 0..50_usize {
        client.send(&pattern(round, 1));
        let middle = pattern(100 + round, 2);
        let sent = sendmsg::<()>(
            client.socket.as_raw_fd(),
            &[IoSlice::new(&middle)],
            &[ControlMessage::ScmRights(&fds)],
            MsgFlags::empty(),
            None,
        );
        assert_eq!(sent.unwrap(), middle.len());
        client.send(&pattern(10, 3));
        let expected = [pattern(round, 1), middle, pattern(10, 3)].concat();
        assert_eq!(tested.receive(&mut client, expected.len()), expected);
    }
    // Other tests of this process open and close descriptors meanwhile, but not hundreds of them.
    assert!(open_descriptors() < before + 50, "descriptors were kept");
    tested.echo(&mut client, b"after");
}

#[test]
fn an_end_behind_passed_descriptors_is_seen() {
    let mut tested = Tested::new();
    let journal = common::Journal::default();
    let witness = journal.clone();
    let addr = tested.serve(Kind::Unix, move |_| Noted::new(&witness, Echo));
    let mut client = Client::connect(&addr);
    let file = std::fs::File::open("/dev/null").unwrap();
    let fds = [file.as_raw_fd()];
    let sent = sendmsg::<()>(
        client.socket.as_raw_fd(),
        &[IoSlice::new(b"bytes")],
        &[ControlMessage::ScmRights(&fds)],
        MsgFlags::empty(),
        None,
    );
    assert_eq!(sent.unwrap(), 5);
    client.finish_sending();
    assert_eq!(tested.receive_to_end(&mut client), b"bytes");
    tested.until_ended(1);
    assert_eq!(journal.finishes(), [(CloseReason::Closed, None)]);
}
