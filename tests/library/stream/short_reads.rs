//! What makes a read stop early: urgent data, and descriptors passed with the bytes.

use std::io::IoSlice;
use std::os::fd::AsRawFd;

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use socketserver::{CloseReason, Echo, Options, TraceEvent};

use crate::support::{Client, Harness, Kind, pattern, reads_once};

/// Whether the system has urgent data on such sockets.
fn has_urgent_data(client: &Client) -> bool {
    client.socket.send_out_of_band(b"!").is_ok()
}

kinds!(a_stream_goes_on_behind_urgent_data);

fn a_stream_goes_on_behind_urgent_data(kind: Kind) {
    // One buffer large enough that the read behind the urgent byte is a short one.
    let mut harness = Harness::new();
    let addr = harness.serve(kind, |_| Echo);
    let mut client = Client::connect(&addr);
    harness.echo(&mut client, b"before");
    client.send(b"in front");
    if !has_urgent_data(&client) {
        assert_eq!(kind, Kind::Unix, "TCP always has urgent data");
        return;
    }
    client.send(b"behind");
    assert_eq!(harness.receive(&mut client, 14), b"in frontbehind", "{kind:?}");
    harness.echo(&mut client, b"after");
}

kinds!(urgent_data_at_any_place_stalls_nothing);

fn urgent_data_at_any_place_stalls_nothing(kind: Kind) {
    let options = Options { read_buffer: 1_000, ..Options::default() };
    let mut harness = Harness::with_shared((), options);
    let addr = harness.serve(kind, |_| Echo);
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
            let got = harness.receive_to_end(&mut client);
            assert!(got == expected, "{before} and {behind} bytes on {kind:?}");
        }
    }
    harness.until_ended(30);
    assert_eq!(harness.ended(CloseReason::Closed), 30);
}

#[test]
fn urgent_data_that_arrives_later_stalls_nothing() {
    let mut harness = Harness::new();
    let addr = harness.serve(Kind::Tcp, |_| Echo);
    let mut client = Client::connect(&addr);
    for n in 0..200_usize {
        client.send(&pattern(n, 1));
        client.socket.send_out_of_band(b"!").unwrap();
        if n % 3 == 0 {
            harness.turn(Some(std::time::Duration::ZERO)).unwrap();
        }
        client.send(&pattern(n + 1, 2));
        let mut expected = pattern(n, 1);
        expected.extend(pattern(n + 1, 2));
        assert_eq!(harness.receive(&mut client, 2 * n + 1), expected);
    }
}

#[test]
fn after_urgent_data_a_message_costs_one_read_again() {
    let mut harness = Harness::new();
    let addr = harness.serve(Kind::Tcp, |_| Echo);
    let mut client = Client::connect(&addr);
    client.socket.send_out_of_band(b"!").unwrap();
    harness.echo(&mut client, b"first");
    let steps = harness.steps();
    harness.until_quiet(&steps);
    steps.clear();
    for _ in 0..10 {
        harness.echo(&mut client, b"hello");
    }
    assert_eq!(steps.count(|step| matches!(step, TraceEvent::Read(..))), 10);
    let in_vain = steps.count(|step| matches!(step, TraceEvent::ReadWouldBlock(_)));
    assert!(in_vain == 0 || !reads_once(Kind::Tcp));
}

#[test]
fn an_end_behind_passed_descriptors_is_seen() {
    let mut harness = Harness::new();
    let (journal, addr) = harness.serve_recorded(Kind::Unix, move |_| Echo);
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
    assert_eq!(harness.receive_to_end(&mut client), b"bytes");
    harness.until_ended(1);
    assert_eq!(journal.finishes(), [(CloseReason::Closed, None)]);
}
