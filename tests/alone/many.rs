//! Ten thousand connections at once, each with its own bytes.

use std::env;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use socketserver::{Addr, CloseReason, Echo, Options};

use crate::alone;
use crate::support::{DatagramClient, DatagramKind, Harness, full_name, pattern};

/// Says to the test below that it is the clients, and where the server is.
const CLIENTS: &str = "SOCKETSERVER_TEST_CLIENTS_OF";

/// As many as wanted, or as the limit of descriptors allows each of the two processes.
fn how_many() -> usize {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let wanted = hard.min(20_000);
    if soft < wanted {
        setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).unwrap();
    }
    usize::try_from(wanted - 200).unwrap().min(10_000)
}

/// In a process of their own, so that each side has all its descriptors.
fn start_the_clients(port: u16) -> Child {
    let name =
        full_name(module_path!(), "ten_thousand_connections_at_once_each_get_their_own_bytes");
    Command::new(env::current_exe().unwrap())
        .args(["--exact", "--nocapture", &name])
        .env(CLIENTS, port.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn ten_thousand_connections_at_once_each_get_their_own_bytes() {
    let _alone = alone();
    let n = how_many();
    if let Some(port) = env::var_os(CLIENTS) {
        return be_the_clients(n, port.to_str().unwrap().parse().unwrap());
    }
    let options = Options { idle_timeout: Some(Duration::from_secs(60)), ..Options::default() };
    let mut harness = Harness::with_shared((), options);
    let id = harness.listen("127.0.0.1:0", |_| Echo).unwrap();
    let port = harness.io().local_addr(id).as_ref().and_then(Addr::port).unwrap();
    let mut clients = start_the_clients(port);
    let mut go_on = clients.stdin.take().unwrap();
    let said = BufReader::new(clients.stdout.take().unwrap());
    // Everything that may wait is in the thread, so that the loop is never held up.
    let all_there = std::thread::spawn(move || {
        let mut said = said.lines().map_while(Result::ok);
        said.find(|line| line.ends_with("all answered")).unwrap();
        (go_on.write_all(b"\n"), said.find(|line| line.contains("1 passed")).is_some())
    });
    let mut most = 0;
    harness.until(|server| {
        most = most.max(server.io().connection_count());
        all_there.is_finished()
    });
    assert_eq!(most, n, "they were not all there at once");
    assert!(all_there.join().unwrap().1, "the clients failed");
    clients.wait().unwrap();
    harness.until_ended(n as u64);
    assert_eq!(harness.ended(CloseReason::Closed), n as u64);
    let stats = *harness.io().stats();
    assert_eq!((stats.bytes_in, stats.bytes_out), (stats.bytes_out, stats.bytes_sent));
}

fn be_the_clients(n: usize, port: u16) {
    let mut streams: Vec<TcpStream> = Vec::with_capacity(n);
    for _ in 0..n {
        streams.push(TcpStream::connect(("127.0.0.1", port)).unwrap());
    }
    for round in 0..2 {
        for (i, stream) in streams.iter_mut().enumerate() {
            stream.write_all(&pattern(50 + i % 100, (i + round) as u64)).unwrap();
        }
        for (i, stream) in streams.iter_mut().enumerate() {
            let mut answer = vec![0; 50 + i % 100];
            stream.read_exact(&mut answer).unwrap();
            assert!(answer == pattern(50 + i % 100, (i + round) as u64), "client {i}");
        }
    }
    println!("all answered");
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

/// Makes room for many sockets in this process, where that is possible.
fn raise_descriptor_limit() {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    if soft < hard.min(8_192) {
        setrlimit(Resource::RLIMIT_NOFILE, hard.min(8_192), hard).unwrap();
    }
}

#[test]
fn a_thousand_sources_each_get_their_own_answer() {
    let _alone = alone();
    raise_descriptor_limit();
    for &net in DatagramKind::ALL {
        let mut harness = Harness::new();
        let (_, addr) = harness.serve_datagrams(net, Echo);
        let clients = DatagramClient::many(&addr, 1_000);
        // As many as wait in the kernel at once even on a small machine.
        let together = if net == DatagramKind::Unix { 5 } else { 100 };
        for (nth, some) in clients.chunks(together).enumerate() {
            for (n, client) in some.iter().enumerate() {
                client.send(&pattern(200, (nth * together + n) as u64));
            }
            for (n, client) in some.iter().enumerate() {
                let answer = harness.answer(client);
                assert!(answer == pattern(200, (nth * together + n) as u64), "{net:?}");
            }
        }
        assert!(clients.iter().all(|client| client.next().is_none()));
        assert_eq!(harness.io().stats().packets_out, 1_000);
    }
}
