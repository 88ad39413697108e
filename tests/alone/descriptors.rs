//! Descriptors that a peer passes are closed, and a shortage of them is survived and left behind.

use std::env;
use std::fs::File;
use std::io::IoSlice;
use std::os::fd::AsRawFd;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use socketserver::{Echo, TraceEvent};

use crate::alone;
use crate::support::{Client, DatagramClient, DatagramKind, Harness, Kind, full_name, pattern};

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn passed_descriptors_are_not_kept_and_stall_nothing() {
    let _alone = alone();
    let mut harness = Harness::new();
    let addr = harness.serve(Kind::Unix, |_| Echo);
    let mut client = Client::connect(&addr);
    harness.echo(&mut client, b"before");
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
        assert_eq!(harness.receive(&mut client, expected.len()), expected);
    }
    assert_eq!(open_descriptors(), before, "descriptors were kept");
    harness.echo(&mut client, b"after");
}

#[test]
fn passed_descriptors_are_not_kept() {
    let _alone = alone();
    let mut harness = Harness::new();
    let (_, addr) = harness.serve_datagrams(DatagramKind::Unix, Echo);
    let client = DatagramClient::new(&addr);
    let file = std::fs::File::open("/dev/null").unwrap();
    let fds = [file.as_raw_fd(); 10];
    let before = open_descriptors();
    for n in 0..200_usize {
        let message = pattern(n, 1);
        let sent = sendmsg::<()>(
            client.socket.as_raw_fd(),
            &[IoSlice::new(&message)],
            &[ControlMessage::ScmRights(&fds)],
            MsgFlags::empty(),
            None,
        );
        assert_eq!(sent.unwrap(), n);
        assert!(harness.answer(&client) == message);
    }
    assert_eq!(open_descriptors(), before, "descriptors were kept");
}

/// Says to the test below that it runs alone in a process with few descriptors.
const CHILD: &str = "SOCKETSERVER_TEST_FEW_DESCRIPTORS";

#[test]
fn a_shortage_of_descriptors_is_survived_without_a_spin_and_left_behind() {
    let _alone = alone();
    if env::var_os(CHILD).is_some() {
        return survive_a_shortage();
    }
    let this = env::current_exe().unwrap();
    let name = full_name(
        module_path!(),
        "a_shortage_of_descriptors_is_survived_without_a_spin_and_left_behind",
    );
    let output = Command::new("sh")
        .args(["-c", "ulimit -n 64; exec \"$0\" --exact --nocapture --test-threads=1 \"$1\""])
        .arg(this)
        .arg(name)
        .env(CHILD, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("1 passed"), "{said}");
}

/// Takes every descriptor that is left.
fn all_that_is_left() -> Vec<File> {
    std::iter::from_fn(|| File::open("/dev/null").ok()).collect()
}

fn survive_a_shortage() {
    let mut harness = Harness::new();
    let addr = harness.serve(Kind::Tcp, |_| Echo);
    let mut served = Client::connect(&addr);
    harness.echo(&mut served, b"before");
    // All that is left goes to clients and files, so that not one can be accepted.
    let mut clients = Client::connect_many(&addr, 20);
    let mut files = all_that_is_left();
    let steps = harness.steps();
    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(500) {
        harness.turn(Some(Duration::from_millis(500))).unwrap();
    }
    // Tried again every 100 ms, and asleep in between.
    let turns = steps.count(|step| matches!(step, TraceEvent::Polled(_)));
    assert!((4..20).contains(&turns), "{turns} turns");
    let errors = harness.io().stats().accept_errors;
    assert!((4..20).contains(&errors), "{errors} errors");
    assert_eq!(harness.io().stats().accepted, 1);
    harness.echo(&mut served, b"during");
    // As soon as there is room, everybody who waits is served, and no new client is needed.
    files.truncate(3);
    let recovered = Instant::now();
    for client in &mut clients {
        harness.echo(client, b"after");
    }
    assert!(recovered.elapsed() < Duration::from_secs(1));
    // When a connection ends there is room at once, before any time is over.
    let mut files = all_that_is_left();
    files.pop();
    let mut late = Client::connect(&addr);
    harness.until(|server| server.io().stats().accept_errors > errors);
    drop(clients.pop());
    harness.echo(&mut late, b"at once");
}

#[test]
fn opens_that_fail_leave_no_descriptor_behind() {
    let _alone = alone();
    let directory = tempfile::TempDir::new().unwrap();
    let (file, missing) = (directory.path().join("file"), directory.path().join("missing/socket"));
    std::fs::write(&file, b"").unwrap();
    let mut harness = Harness::new();
    let taken = harness.serve(Kind::Tcp, |_| Echo);
    let (_, taken_by_datagrams) = harness.serve_datagrams(DatagramKind::V4, Echo);
    harness.turn(Some(Duration::ZERO)).unwrap();
    let before = open_descriptors();
    for _ in 0..500 {
        assert!(harness.listen(taken.clone(), |_| Echo).is_err());
        assert!(harness.listen(file.clone(), |_| Echo).is_err());
        assert!(harness.listen(missing.clone(), |_| Echo).is_err());
        assert!(harness.bind(taken_by_datagrams.clone(), Echo).is_err());
        assert!(harness.bind(file.clone(), Echo).is_err());
        assert!(harness.connect(missing.clone(), Echo).is_err());
        assert!(harness.connect(file.clone(), Echo).is_err());
        assert!(harness.connect_datagram(missing.clone(), Echo).is_err());
    }
    harness.turn(Some(Duration::ZERO)).unwrap();
    assert_eq!(open_descriptors(), before);
    assert_eq!(harness.io().connection_count(), 0);
}
