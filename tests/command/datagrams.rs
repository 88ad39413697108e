//! The services of the command over UDP and Unix datagrams, to clients of every kind.

use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::command::{self, Server, bin, has, run};
use crate::waits::{PATIENCE, until};

/// How long a test looks for an answer that must not come.
const SILENCE: Duration = Duration::from_millis(200);

fn udp(server: &mut Server) -> UdpSocket {
    udp_from("127.0.0.1:0", &udp_addr(server))
}

fn udp_addr(server: &mut Server) -> String {
    let line = server.line();
    let addr = line.strip_prefix("listening udp ");
    addr.expect("udp listeners stand before those of Unix sockets").to_string()
}

fn udp_from(own: &str, addr: &str) -> UdpSocket {
    let socket = UdpSocket::bind(own).unwrap();
    socket.connect(addr).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// A Unix socket with a name of its own, so that it can be answered.
fn unixgram(name: &Path, server: &Path) -> UnixDatagram {
    let socket = UnixDatagram::bind(name).unwrap();
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

fn ask(socket: &UdpSocket, packet: &[u8]) -> Vec<u8> {
    socket.send(packet).unwrap();
    take(socket)
}

fn take(socket: &UdpSocket) -> Vec<u8> {
    let mut answer = vec![0; 70_000];
    let n = socket.recv(&mut answer).unwrap();
    answer[..n].to_vec()
}

fn ask_unix(socket: &UnixDatagram, packet: &[u8]) -> Vec<u8> {
    socket.send(packet).unwrap();
    let mut answer = vec![0; 70_000];
    let n = socket.recv(&mut answer).unwrap();
    answer[..n].to_vec()
}

/// A datagram from the port of a well-known service may be forged: that service would answer our
/// answer, for ever.
#[test]
fn a_datagram_that_another_service_may_have_sent_is_not_answered() {
    let low = (512..1_024).find_map(|port| UdpSocket::bind(("127.0.0.2", port)).ok());
    let Some(service) = low else {
        return println!("skipped: no port below 1024 may be taken here");
    };
    for mode in [&[][..], &["--workers", "threads:1"]] {
        let words = [&["echo", "--udp", "127.0.0.1:0"], mode].concat();
        let words: Vec<&OsStr> = words.iter().map(AsRef::as_ref).collect();
        let mut server = Server::start(&words);
        let addr = udp_addr(&mut server);
        service.send_to(b"from a service?", &addr).unwrap();
        let client = udp_from("127.0.0.2:0", &addr);
        assert_eq!(ask(&client, b"from a client"), b"from a client");
        service.set_nonblocking(true).unwrap();
        assert!(service.recv(&mut [0; 64]).is_err(), "two services would go on for ever");
    }
}

#[test]
fn echo_answers_each_datagram_over_every_kind_of_listener() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("echo");
    let words = ["echo", "--udp", "127.0.0.1:0", "--udp", "[::1]:0", "--udp", "[::]:0"];
    let mut words: Vec<&OsStr> = words.iter().map(AsRef::as_ref).collect();
    words.extend([OsStr::new("--unixgram"), path.as_os_str()]);
    let mut server = Server::start(&words);
    let (four, six, dual) = (udp_addr(&mut server), udp_addr(&mut server), udp_addr(&mut server));
    assert!(four.starts_with("127.0.0.1:") && six.starts_with("[::1]:"), "{four} {six}");
    let port = dual.strip_prefix("[::]:").unwrap();
    assert_eq!(server.line(), format!("listening unixgram {}", path.display()));
    for (own, addr) in [
        ("127.0.0.1:0", four.clone()),
        ("[::1]:0", six.clone()),
        ("127.0.0.1:0", format!("127.0.0.1:{port}")),
        ("[::1]:0", format!("[::1]:{port}")),
    ] {
        let client = udp_from(own, &addr);
        for size in [0, 1, 512, 1_473, 65_507] {
            let packet: Vec<u8> = (0..size).map(|n: u32| (n % 251) as u8).collect();
            assert!(ask(&client, &packet) == packet, "{size} bytes at {addr}");
        }
    }
    let client = unixgram(&dir.path().join("client"), &path);
    for size in [0, 1, 512, 65_507] {
        assert!(ask_unix(&client, &vec![7; size]) == vec![7; size], "{size} bytes");
    }
    server.stop();
    assert!(!path.exists());
}

#[test]
fn every_service_answers_a_datagram_by_one_datagram() {
    let dir = tempfile::tempdir().unwrap();
    for (service, check) in [
        ("upper", (|answer| answer == b"HELLO {\xFF}") as fn(&[u8]) -> bool),
        ("chargen", |answer| answer.len() <= 512 && answer.ends_with(b"\r\n")),
        ("daytime", |answer| answer.ends_with(b"\r\n") && answer.contains(&b':')),
        ("time", |answer| answer.len() == 4),
    ] {
        let path = dir.path().join(service);
        let words = [service, "--udp", "127.0.0.1:0", "--unixgram", path.to_str().unwrap()];
        let mut server = Server::start(&words);
        let client = udp(&mut server);
        server.line();
        let answer = ask(&client, b"hello {\xFF}");
        assert!(check(&answer), "{service}: {answer:?}");
        let client = unixgram(&dir.path().join("client"), &path);
        let answer = ask_unix(&client, b"hello {\xFF}");
        assert!(check(&answer), "{service}: {answer:?}");
        fs::remove_file(dir.path().join("client")).unwrap();
        server.stop();
    }
}

#[test]
fn discard_answers_nothing() {
    let mut server = Server::start(&["discard", "--udp", "127.0.0.1:0"]);
    let client = udp(&mut server);
    client.set_read_timeout(Some(SILENCE)).unwrap();
    client.send(b"anybody?").unwrap();
    assert!(client.recv(&mut [0; 16]).is_err());
    server.stop();
}

#[test]
fn two_datagrams_of_chargen_differ() {
    let mut server = Server::start(&["chargen", "--udp", "127.0.0.1:0"]);
    let client = udp(&mut server);
    assert_ne!(ask(&client, b""), ask(&client, b""));
    server.stop();
}

#[test]
fn a_burst_that_came_while_the_process_was_stopped_is_answered_in_order() {
    let mut server = Server::start(&["echo", "--udp", "127.0.0.1:0"]);
    let client = udp(&mut server);
    assert_eq!(ask(&client, b"awake"), b"awake");
    server.signal("STOP");
    for n in 0..100_u32 {
        client.send(&n.to_be_bytes()).unwrap();
    }
    server.signal("CONT");
    for n in 0..100_u32 {
        assert_eq!(take(&client), n.to_be_bytes());
    }
    server.stop();
}

#[test]
fn what_had_come_before_a_stop_is_answered() {
    let mut server = Server::start(&["echo", "--udp", "127.0.0.1:0"]);
    let client = udp(&mut server);
    assert_eq!(ask(&client, b"awake"), b"awake");
    server.signal("STOP");
    for n in 0..100_u32 {
        client.send(&n.to_be_bytes()).unwrap();
    }
    server.signal("TERM");
    server.signal("CONT");
    for n in 0..100_u32 {
        assert_eq!(take(&client), n.to_be_bytes());
    }
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn a_flood_of_three_senders_leaves_memory_flat_and_others_served() {
    let mut server = Server::start(&["echo", "--udp", "127.0.0.1:0", "--tcp", "127.0.0.1:0"]);
    let tcp_addr = server.tcp_addr();
    let addr = udp_addr(&mut server);
    let client = udp_from("127.0.0.1:0", &addr);
    assert_eq!(ask(&client, &[1; 65_507]).len(), 65_507);
    let flood = |size: usize, packets: usize| {
        let senders: Vec<_> = (0..3)
            .map(|_| {
                let socket = udp_from("127.0.0.1:0", &addr);
                thread::spawn(move || {
                    let sent = |_: &usize| socket.send(&vec![0; size]).is_ok();
                    (0..packets).filter(sent).count()
                })
            })
            .collect();
        let mut stream = command::tcp(&tcp_addr);
        for _ in 0..20 {
            assert_eq!(command::exchange(&mut stream, b"still there?"), b"still there?");
        }
        for sender in senders {
            assert!(sender.join().unwrap() > 0);
        }
    };
    flood(1_400, 10_000);
    let before = server.memory();
    flood(1_400, 30_000);
    let after = server.memory();
    assert!(after < before + 2_048, "from {before} to {after} KiB");
    // The flood may have filled the queue of the kernel, so the first may be lost.
    client.set_read_timeout(Some(SILENCE)).unwrap();
    let end = Instant::now() + PATIENCE;
    let answered = || client.send(b"and now?").is_ok() && client.recv(&mut [0; 16]).is_ok();
    while !answered() {
        assert!(Instant::now() < end, "nobody answers after the flood");
    }
    server.stop();
}

#[test]
fn clients_that_vanish_or_never_read_cost_the_others_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("echo");
    let words = ["echo", "--udp", "127.0.0.1:0", "--unixgram", path.to_str().unwrap()];
    let mut server = Server::start(&words);
    let addr = udp_addr(&mut server);
    server.line();
    for _ in 0..50 {
        udp_from("127.0.0.1:0", &addr).send(b"gone before the answer").unwrap();
    }
    let vanished = unixgram(&dir.path().join("vanished"), &path);
    vanished.send(b"answer me").unwrap();
    fs::remove_file(dir.path().join("vanished")).unwrap();
    let anonymous = UnixDatagram::unbound().unwrap();
    anonymous.send_to(b"I have no name", &path).unwrap();
    let deaf = unixgram(&dir.path().join("deaf"), &path);
    deaf.set_write_timeout(Some(PATIENCE)).unwrap();
    for _ in 0..200 {
        deaf.send(&[0; 1_000]).unwrap();
    }
    let client = unixgram(&dir.path().join("client"), &path);
    assert_eq!(ask_unix(&client, b"me"), b"me");
    assert_eq!(ask(&udp_from("127.0.0.1:0", &addr), b"me too"), b"me too");
    server.stop();
}

/// A datagram from one service to another, which no honest client sends: each would answer the
/// other for ever.
#[test]
fn a_forged_datagram_from_our_own_address_is_not_answered() {
    if !has("python3") {
        return;
    }
    const FORGE: &str = "\
import socket, struct, sys
source, target = int(sys.argv[1]), int(sys.argv[2])
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
raw.setsockopt(socket.IPPROTO_IP, socket.IP_HDRINCL, 1)
home = socket.inet_aton('127.0.0.1')
body = struct.pack('!HHHH', source, target, 8 + 4, 0) + b'boom'
head = struct.pack('!BBHHHBBH4s4s', 0x45, 0, 20 + len(body), 1, 0, 64, 17, 0, home, home)
raw.sendto(head + body, ('127.0.0.1', target))
";
    let words = ["echo", "--udp", "127.0.0.1:0", "--udp", "0.0.0.0:0"];
    let mut command = bin();
    command.arg("serve").args(words).env("RUST_LOG", "info").stderr(Stdio::piped());
    let mut server = Server::of(&mut command);
    let ports: Vec<String> =
        (0..2).map(|_| udp_addr(&mut server).rsplit(':').next().unwrap().to_string()).collect();
    for source in &ports {
        for target in &ports {
            let forge = Command::new("python3").args(["-c", FORGE, source, target]).output();
            let forge = forge.unwrap();
            if !forge.status.success() {
                println!("skipped: forging needs the right to open raw sockets");
                return;
            }
        }
    }
    let client = udp_from("127.0.0.1:0", &format!("127.0.0.1:{}", ports[1]));
    assert_eq!(ask(&client, b"an honest client"), b"an honest client");
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
    let mut log = String::new();
    server.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    for counted in ["packets_in: 5", "packets_refused: 4", "packets_out: 1"] {
        assert!(log.contains(counted), "{counted} is not in {log}");
    }
}

#[test]
fn datagram_paths_and_ports_are_taken_only_from_the_dead() {
    let dir = tempfile::tempdir().unwrap();
    let (stale, live, file) =
        (dir.path().join("stale"), dir.path().join("live"), dir.path().join("file"));
    drop(UnixDatagram::bind(&stale).unwrap());
    let living = UnixDatagram::bind(&live).unwrap();
    fs::write(&file, "precious").unwrap();
    let words = |path| [OsStr::new("serve"), OsStr::new("echo"), OsStr::new("--unixgram"), path];
    for path in [&live, &file] {
        let (code, out, err) = run(&words(path.as_os_str()));
        assert!(code == 1 && err.contains(path.to_str().unwrap()) && out.is_empty(), "{err}");
    }
    assert_eq!(fs::read(&file).unwrap(), b"precious");
    UnixDatagram::unbound().unwrap().send_to(b"still mine", &live).unwrap();
    assert_eq!(living.recv(&mut [0; 16]).unwrap(), 10);

    let mut server = Server::start(&words(stale.as_os_str())[1..]);
    assert_eq!(server.line(), format!("listening unixgram {}", stale.display()));
    let client = unixgram(&dir.path().join("client"), &stale);
    assert_eq!(ask_unix(&client, b"reclaimed"), b"reclaimed");
    server.stop();
    assert!(!stale.exists());

    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let (code, _, err) = run(&["serve", "echo", "--udp", &addr]);
    assert!(code == 1 && err.contains(&addr), "{err}");
}

#[test]
fn chat_refuses_datagrams_and_says_why() {
    for words in [
        ["serve", "chat", "--udp", "127.0.0.1:0"],
        ["serve", "chat", "--unixgram", "/tmp/never-made"],
    ] {
        let (code, out, err) = run(&words);
        assert!(code == 2 && out.is_empty(), "{err}");
        assert!(err.contains("chat needs connections") && err.contains(words[2]), "{err}");
    }
}

#[test]
fn socat_gets_its_datagrams_back() {
    if !has("socat") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("echo");
    let words = ["echo", "--udp", "127.0.0.1:0", "--unixgram", path.to_str().unwrap()];
    let mut server = Server::start(&words);
    let addr = udp_addr(&mut server);
    server.line();
    let name = dir.path().join("socat");
    for there in [
        format!("UDP4:{addr}"),
        format!("UNIX-CLIENT:{},type=2,bind={}", path.display(), name.display()),
    ] {
        let mut socat = Command::new("socat")
            .args(["-t5", "-", &there])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        socat.stdin.as_mut().unwrap().write_all(b"from socat").unwrap();
        let mut answer = [0; 10];
        socat.stdout.as_mut().unwrap().read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"from socat", "{there}");
        socat.kill().unwrap();
        socat.wait().unwrap();
    }
    server.stop();
}

/// The UDP client that the project's founding documents print, but for its endless loop.
#[test]
fn the_client_of_the_founding_documents_is_answered() {
    if !has("python3") {
        return;
    }
    const CLIENT: &str = "\
import socket, sys
ip_port = ('127.0.0.1', int(sys.argv[1]))
buffer_size = 1024
udp_client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp_client.settimeout(30)
for msg in ['hello', '', 'world']:
    udp_client.sendto(msg.encode('utf-8'), ip_port)
    data, addr = udp_client.recvfrom(buffer_size)
    print(data.decode('utf-8'), addr == ip_port)
udp_client.close()
";
    let mut server = Server::start(&["upper", "--udp", "127.0.0.1:0"]);
    let addr = udp_addr(&mut server);
    let port = addr.rsplit(':').next().unwrap();
    let client = Command::new("python3").args(["-c", CLIENT, port]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&client.stdout), "HELLO True\n True\nWORLD True\n");
    server.stop();
}

/// A Unix peer that has connected its socket has no bound of its own: what it does not read is charged to
/// us, until no peer gets an answer. That is told, and is over as soon as the peer is gone.
#[cfg(target_os = "linux")]
#[test]
fn answers_that_one_peer_does_not_read_are_told_when_they_cost_the_others_theirs() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("echo");
    let mut command = bin();
    command.args(["serve", "echo", "--unixgram"]).arg(&path);
    command.env("RUST_LOG", "warn").stderr(Stdio::piped());
    let mut server = Server::of(&mut command);
    server.line();
    let greedy = unixgram(&dir.path().join("greedy"), &path);
    let other = unixgram(&dir.path().join("other"), &path);
    other.set_read_timeout(Some(SILENCE)).unwrap();
    let is_answered = || {
        other.send(b"hello").unwrap();
        other.recv(&mut [0; 8]).is_ok()
    };
    until("an answer", is_answered);
    let packet = [b'g'; 1_000];
    for _ in 0..20_000 {
        greedy.send(&packet).unwrap();
    }
    assert!(!is_answered(), "others are answered: this test and the documents are out of date");
    drop(greedy);
    until("an answer again", is_answered);
    server.child.kill().unwrap();
    let mut log = String::new();
    server.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    assert!(log.contains("answers to all peers are dropped"), "{log}");
}
