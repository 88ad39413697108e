//! After a burst the memory goes back: to the allocator, and from there to the system.

use std::fs;
use std::io::Write;
use std::process::Command;
use std::time::Duration;

use socketserver::{Addr, Context, Echo, Input, Options};

use crate::alone;
use crate::support::{Client, DatagramClient, DatagramKind, Harness, Kind, on_input};

/// The resident memory of this process, in bytes.
fn resident() -> i64 {
    let text = fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<i64>().unwrap() << 10
}

/// Turns until at most a quarter of what the burst took is left; the loop gives it back some seconds
/// later.
#[track_caller]
fn until_given_back<S>(server: &mut Harness<S>, before: i64, peak: i64) {
    let took = peak - before;
    assert!(took > 16 << 20, "no burst: {took} bytes");
    let mut left = took;
    server.until(|_| {
        left = resident() - before;
        left <= took / 4
    });
    println!("a burst took {} KiB, {} KiB are left", took >> 10, left >> 10);
}

fn frames(cx: &mut Context<'_>, input: &mut Input<'_>) -> std::io::Result<()> {
    while input.take_frame(1 << 20)?.is_some() {
        cx.send(b"x");
    }
    Ok(())
}

/// Sends all of it, while the server turns.
fn send_all(server: &mut Harness, client: &mut Client, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let sent = client.push(bytes);
        bytes = &bytes[sent..];
        server.turn(Some(Duration::ZERO)).unwrap();
    }
}

fn connected(server: &mut Harness, addr: &Addr) -> Client {
    let open = server.io().connection_count();
    let client = Client::connect(addr);
    server.until(|server| server.io().connection_count() == open + 1);
    client
}

#[test]
fn connections_that_once_took_a_large_frame_hold_what_they_have() {
    let _alone = alone();
    let options = Options { input_limit: 2 << 20, ..Options::default() };
    let mut server = Harness::with_shared((), options);
    let addr = server.serve(Kind::Unix, |_| on_input(frames));
    let mut frame = 900_000_u32.to_be_bytes().to_vec();
    frame.resize(4 + 900_000, b'f');
    // The first byte of the next frame.
    frame.push(0);
    let mut clients: Vec<Client> = (0..100).map(|_| connected(&mut server, &addr)).collect();
    let before = resident();
    for client in &mut clients {
        send_all(&mut server, client, &frame);
        assert_eq!(server.receive(client, 1), b"x");
    }
    let peak = resident();
    until_given_back(&mut server, before, peak);
    // And each is there still.
    for client in &mut clients {
        client.socket.write_all(&[0, 0, 1, b'y']).unwrap();
        assert_eq!(server.receive(client, 1), b"x");
    }
}

/// Says to the test below that nothing else has used its heap: queues of datagrams lie in the heap, and
/// what an allocator gives back depends on what it gave out before.
const CHILD: &str = "SOCKETSERVER_TEST_MEMORY";

#[test]
fn datagram_sockets_give_their_queues_back() {
    let _alone = alone();
    if std::env::var_os(CHILD).is_none() {
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "memory::datagram_sockets_give_their_queues_back", "--nocapture"])
            .env(CHILD, "1")
            .status();
        assert!(status.unwrap().success());
        return;
    }
    let mut server = Harness::new();
    let sockets: Vec<_> =
        (0..100).map(|_| server.serve_datagrams(DatagramKind::Unix, Echo)).collect();
    let sink = DatagramClient::new(&sockets[0].1);
    let to = sink.addr();
    let before = resident();
    let mut peak = before;
    for (id, _) in &sockets {
        // More than the sink has room for: what it does not take is dropped.
        for _ in 0..60 {
            server.io_mut().send_to(*id, &[b'd'; 15_000], &to);
        }
        server.until(|server| server.io().queued_packets(*id) == 0);
        peak = peak.max(resident());
    }
    until_given_back(&mut server, before, peak);
}

#[test]
fn long_lines_that_are_never_ended_leave_nothing_behind() {
    let _alone = alone();
    let mut server = Harness::new();
    let addr = server.serve(Kind::Unix, |_| {
        on_input(|_: &mut Context<'_>, input: &mut Input<'_>| input.take_line(1 << 20).map(drop))
    });
    let mut clients: Vec<Client> = (0..1_500).map(|_| connected(&mut server, &addr)).collect();
    let before = resident();
    for _ in 0..4 {
        for client in &mut clients {
            send_all(&mut server, client, &[b'l'; 15 << 10]);
        }
    }
    // What is allocated last stays, so an allocator cannot give back what lies below.
    let mut last = connected(&mut server, &addr);
    send_all(&mut server, &mut last, &[b'l'; 20 << 10]);
    let peak = resident();
    let ended = clients.len() as u64;
    drop(clients);
    server.until(|server| server.io().stats().all_ended() == ended);
    until_given_back(&mut server, before, peak);
}
