//! The SOCKS proxy of the examples, driven by curl and by plain sockets.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::{fs, io};

use crate::command::{self, Server, has, read_to_end, tcp};
use crate::networks;
use crate::program;
use crate::waits::{PATIENCE, pace, until, until_still};

fn socks(words: &[&str]) -> (Server, String) {
    let mut command = program::command("socks5");
    // All that is connected to here is this machine.
    command.arg("--allow-private").args(words).arg("127.0.0.1:0");
    let mut server = Server::of(command.stderr(Stdio::null()));
    let addr = server.tcp_addr();
    (server, addr)
}

/// A server for one connection.
fn once<T: Send + 'static>(
    serve: impl FnOnce(TcpStream) -> T + Send + 'static,
) -> (SocketAddr, JoinHandle<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let serving = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        serve(stream)
    });
    (addr, serving)
}

/// Echoes any number of connections, until the test ends.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || {
                let mut answers = stream.try_clone().unwrap();
                let _ = io::copy(&mut stream, &mut answers);
                let _ = answers.shutdown(Shutdown::Write);
            });
        }
    });
    addr
}

fn v5_request(to: SocketAddr) -> Vec<u8> {
    let SocketAddr::V4(to) = to else { panic!("not of IPv4") };
    [&[5, 1, 0, 1], &to.ip().octets()[..], &to.port().to_be_bytes()].concat()
}

fn v5_named(name: &[u8], port: u16) -> Vec<u8> {
    [&[5, 1, 0, 3, name.len() as u8], name, &port.to_be_bytes()].concat()
}

const GREETING: [u8; 3] = [5, 1, 0];

/// Greets and asks; gives the stream and the code of the answer.
fn ask(addr: &str, request: &[u8]) -> (TcpStream, u8) {
    let mut stream = tcp(addr);
    stream.write_all(&[&GREETING, request].concat()).unwrap();
    let mut answer = [0; 2 + 10];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer[..3], [5, 0, 5]);
    (stream, answer[3])
}

fn through(addr: &str, to: SocketAddr) -> TcpStream {
    let (stream, code) = ask(addr, &v5_request(to));
    assert_eq!(code, 0);
    stream
}

/// What comes back for these bytes followed by the client's end; a reset counts as an end.
fn answer_to(addr: &str, pieces: &[&[u8]]) -> Vec<u8> {
    let mut stream = tcp(addr);
    stream.set_nodelay(true).unwrap();
    for piece in pieces {
        if stream.write_all(piece).is_err() {
            break;
        }
        // So that each piece is read alone, most of the time.
        pace(Duration::from_millis(if pieces.len() > 1 { 2 } else { 0 }));
    }
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    loop {
        match stream.read(&mut piece) {
            Ok(0) => return answer,
            Ok(n) => answer.extend_from_slice(&piece[..n]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return answer,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn curl_gets_through_by_every_version() {
    if !has("curl") || !has("python3") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let content: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
    fs::write(directory.path().join("file"), &content).unwrap();
    let port = command::free_addr().port();
    let mut web = Command::new("python3")
        .args(["-m", "http.server", "--bind", "127.0.0.1", &port.to_string()])
        .current_dir(directory.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    until("a server that starts", || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok());
    let (open, open_addr) = socks(&[]);
    let (closed, closed_addr) = socks(&["--login", "me:secret"]);
    let got = |option: &str, proxy: &str| {
        let output = Command::new("curl")
            .args(["-sS", "-m", "30", option, proxy, &format!("http://localhost:{port}/file")])
            .env_remove("http_proxy")
            .output()
            .unwrap();
        output.status.success().then_some(output.stdout)
    };
    for option in ["--socks5", "--socks5-hostname", "--socks4", "--socks4a"] {
        assert!(got(option, &open_addr).as_ref() == Some(&content), "{option}");
        assert!(got(option, &closed_addr).is_none(), "{option} without a login");
    }
    let login = |login: &str| got("--socks5-hostname", &format!("{login}@{closed_addr}"));
    assert!(login("me:secret").as_ref() == Some(&content));
    assert!(login("me:secrets").is_none());
    web.kill().unwrap();
    web.wait().unwrap();
    open.stop();
    closed.stop();
}

#[test]
fn every_split_of_the_handshake_gives_the_same() {
    let to = echo();
    let (server, addr) = socks(&[]);
    let (closed, closed_addr) = socks(&["--login", "me:secret"]);
    let port = to.port().to_be_bytes();
    let login = b"\x05\x02\x00\x02\x01\x02me\x06secret";
    let scripts = [
        (&addr, [&GREETING, &v5_request(to)[..], b"and more"].concat()),
        (&addr, [&GREETING, &v5_named(b"localhost", to.port())[..], b"and more"].concat()),
        (&addr, [b"\x04\x01", &port[..], b"\x7f\x00\x00\x01user\x00and more"].concat()),
        (&addr, [b"\x04\x01", &port[..], b"\x00\x00\x00\x01u\x00localhost\x00and more"].concat()),
        (&closed_addr, [&login[..], &v5_request(to), b"and more"].concat()),
    ];
    for (addr, script) in scripts {
        let without_port = |mut answer: Vec<u8>| {
            assert!(answer.ends_with(b"and more"), "{answer:?} to {script:?}");
            // Our own port of each connection is another one.
            let at = answer.len() - b"and more".len();
            let (from, to) = if answer[0] == 0 { (2, 4) } else { (at - 2, at) };
            answer[from..to].fill(0);
            answer
        };
        let whole = without_port(answer_to(addr, &[&script]));
        for cut in 1..script.len() {
            let (before, behind) = script.split_at(cut);
            let answer = without_port(answer_to(addr, &[before, behind]));
            assert_eq!(answer, whole, "cut at {cut} of {script:?}");
        }
        let bytes: Vec<&[u8]> = script.chunks(1).collect();
        assert_eq!(without_port(answer_to(addr, &bytes)), whole, "{script:?}");
    }
    server.stop();
    closed.stop();
}

#[test]
fn only_public_addresses_are_connected_to_unless_asked() {
    // Without our helper's option.
    let mut command = program::command("socks5");
    let mut server = Server::of(command.arg("127.0.0.1:0").stderr(Stdio::null()));
    let addr = server.tcp_addr();
    let to = echo();
    let port = to.port();
    let mapped = [&[5, 1, 0, 4][..], &[0; 10], &[0xff; 2], &[127, 0, 0, 1], &port.to_be_bytes()];
    let loopback_v6 = [&[5, 1, 0, 4][..], &[0; 15], &[1], &port.to_be_bytes()];
    let refused = [
        ("127.0.0.1", v5_request(to)),
        ("127.1.2.3", v5_request(([127, 1, 2, 3], port).into())),
        ("0.0.0.0", v5_request(([0, 0, 0, 0], port).into())),
        ("10.0.0.1", v5_request(([10, 0, 0, 1], port).into())),
        ("192.168.0.1", v5_request(([192, 168, 0, 1], port).into())),
        ("169.254.169.254", v5_request(([169, 254, 169, 254], 80).into())),
        ("a name of this machine", v5_named(b"localhost", port)),
        ("a number as a name", v5_named(b"127.0.0.1", port)),
        ("::1", loopback_v6.concat()),
        ("::ffff:127.0.0.1", mapped.concat()),
    ];
    for (what, request) in refused {
        assert_eq!(ask(&addr, &request).1, 2, "{what}");
    }
    server.stop();
    let (server, addr) = socks(&[]);
    assert_eq!(ask(&addr, &mapped.concat()).1, 0);
    server.stop();
}

/// The addresses just beside the special networks, and some more.
const PUBLIC: &[&str] = &[
    "1.1.1.1",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "169.253.255.255",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.0",
    "192.167.0.0",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2000::",
    "2001:200::",
    "2606:4700::1111",
    "3ffe:ffff::",
    "3fff:1000::",
    "2002:101:101::",
    "64:ff9b::1.1.1.1",
    "::ffff:1.1.1.1",
];

/// The first or the last address of each network that is not public (RFC 6890), and some more.
const SPECIAL: &[&str] = &[
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.0",
    "10.255.255.255",
    "100.64.0.0",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.255",
    "169.254.0.0",
    "172.16.0.0",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.2.1",
    "192.168.0.0",
    "192.168.255.255",
    "198.18.0.0",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::2",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::127.0.0.1",
    "64:ff9b:1::1.1.1.1",
    "2002:7f00:1::",
    "2001::1",
    "2001:db8::1",
    "3fff::1",
    "fc00::1",
    "fdff::1",
    "fe80::1",
    "fec0::1",
    "ff02::1",
    "1fff::1",
    "4000::1",
];

#[test]
fn an_address_is_public_or_special() {
    for (addrs, is_public) in [(PUBLIC, true), (SPECIAL, false)] {
        for addr in addrs {
            assert_eq!(networks::is_public(addr.parse().unwrap()), is_public, "{addr}");
        }
    }
}

#[test]
fn nobody_opens_a_proxy_to_others_by_accident() {
    let run = |words: &[&str]| {
        let output = program::command("socks5").args(words).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    for addr in ["0.0.0.0:0", "[::]:0"] {
        let (code, said) = run(&[addr]);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("--login") && said.contains("--open"), "{said}");
    }
    for options in [&["--open"][..], &["--login", "ann:secret"]] {
        let mut command = program::command("socks5");
        let mut server = Server::of(command.args(options).arg("0.0.0.0:0").stderr(Stdio::null()));
        assert!(server.tcp_addr().starts_with("0.0.0.0:"), "{options:?}");
        server.stop();
    }
    // Whoever says no address gets one of this machine alone; here it is taken, by us or another.
    let _taken = TcpListener::bind("127.0.0.1:1080");
    let (code, said) = run(&[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("127.0.0.1:1080"), "{said}");
}

#[test]
fn who_is_refused_is_told_why() {
    let (server, addr) = socks(&[]);
    let (near, near_addr) = socks(&["--only-loopback"]);
    let refused = command::free_addr();
    let code = |addr: &str, request: &[u8]| ask(addr, request).1;
    assert_eq!(code(&addr, &v5_request(refused)), 5);
    assert_eq!(code(&addr, &v5_named(b"localhost", refused.port())), 5);
    assert_eq!(code(&addr, &v5_named(b"no.such.name.invalid", 80)), 4);
    // A multicast group is no address for TCP.
    assert_eq!(code(&addr, &v5_request(([224, 0, 0, 1], 80).into())), 3);
    for command in [0, 2, 3, 255] {
        let mut request = v5_request(refused);
        request[1] = command;
        assert_eq!(code(&addr, &request), 7, "command {command}");
    }
    assert_eq!(code(&addr, &[5, 1, 0, 2, 0, 0, 0, 0, 0, 0]), 8);
    // Names that would be something else to who looks them up.
    for name in [&b""[..], b"unix:/run/x", b"a:1", b"a b", b"\xff", b"localhost\0", b"a/b"] {
        assert_eq!(code(&addr, &v5_named(name, 80)), 8, "{name:?}");
    }
    assert_eq!(code(&near_addr, &v5_request(([192, 0, 2, 1], 80).into())), 2);
    assert_eq!(code(&near_addr, &v5_named(b"192.0.2.1", 80)), 2);
    drop(through(&near_addr, echo()));

    let port = refused.port().to_be_bytes();
    let request = [b"\x04\x01", &port[..], b"\x7f\x00\x00\x01\x00"].concat();
    assert_eq!(answer_to(&addr, &[&request])[..2], [0, 91]);
    assert_eq!(answer_to(&addr, &[b"\x04\x02\x00\x50\x7f\x00\x00\x01\x00"])[..2], [0, 91]);
    assert_eq!(answer_to(&addr, &[&[5, 2, 1, 2]]), [5, 255], "no method that we know");
    server.stop();
    near.stop();
}

#[test]
fn an_ipv6_target_is_reached() {
    let Ok(listener) = TcpListener::bind("[::1]:0") else {
        return println!("skipped: there is no IPv6");
    };
    let port = listener.local_addr().unwrap().port().to_be_bytes();
    let (server, addr) = socks(&[]);
    let mut stream = tcp(&addr);
    let target = [&[5, 1, 0, 4][..], &[0; 15], &[1], &port].concat();
    stream.write_all(&[&GREETING[..], &target].concat()).unwrap();
    let mut answer = [0; 2 + 22];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer[2..6], [5, 0, 0, 4]);
    drop((stream, listener));
    server.stop();
}

#[test]
fn hostile_clients_are_sent_away_and_harm_nobody() {
    let (server, addr) = socks(&["--handshake-timeout", "0.3"]);
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\0", b"\x06", b"\x05\x00", b"\x05\x01\x00\x04"]
    {
        let answer = answer_to(&addr, &[bytes]);
        assert!(matches!(answer[..], [] | [5, 0 | 255]), "{answer:?} to {bytes:?}");
    }
    let endless = [&b"\x04\x01\x00\x50\x00\x00\x00\x01"[..], &[b'a'; 10_000]].concat();
    assert_eq!(answer_to(&addr, &[&endless]), b"");
    // One that never says where to.
    let began = Instant::now();
    let mut silent = tcp(&addr);
    silent.write_all(&[5, 1]).unwrap();
    assert_eq!(read_to_end(&mut silent), b"");
    assert!(began.elapsed() >= Duration::from_millis(250));
    drop(through(&addr, echo()));
    server.stop();
}

#[test]
fn one_client_too_many_is_refused_and_there_is_room_again() {
    let (server, addr) = socks(&["--max-clients", "2"]);
    let to = echo();
    let held = [through(&addr, to), through(&addr, to)];
    assert_eq!(answer_to(&addr, &[&GREETING]), b"");
    drop(held);
    let began = Instant::now();
    while answer_to(&addr, &[&GREETING]).is_empty() {
        assert!(began.elapsed() < PATIENCE, "there is no room again");
    }
    server.stop();
}

#[test]
fn a_half_close_is_passed_on_both_ways() {
    let (server, addr) = socks(&[]);
    let (to, serving) = once(|mut stream| {
        let asked = read_to_end(&mut stream);
        stream.write_all(b"the answer").unwrap();
        asked
    });
    let mut client = through(&addr, to);
    client.write_all(b"the question").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_to_end(&mut client), b"the answer");
    assert_eq!(serving.join().unwrap(), b"the question");

    let (to, serving) = once(|mut stream| {
        stream.write_all(b"goodbye").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        read_to_end(&mut stream)
    });
    let mut client = through(&addr, to);
    assert_eq!(read_to_end(&mut client), b"goodbye");
    client.write_all(b"one more thing").unwrap();
    drop(client);
    assert_eq!(serving.join().unwrap(), b"one more thing");
    server.stop();
}

#[test]
fn a_reset_is_passed_on_both_ways() {
    let (server, addr) = socks(&[]);
    let reset = |stream: TcpStream| {
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    };
    let is_reset = |stream: &mut TcpStream| {
        let error = stream.read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    };
    let (to, serving) = once(move |mut stream| is_reset(&mut stream));
    reset(through(&addr, to));
    serving.join().unwrap();
    let (to, serving) = once(move |mut stream| {
        stream.read_exact(&mut [0]).unwrap();
        reset(stream);
    });
    let mut client = through(&addr, to);
    client.write_all(b"!").unwrap();
    is_reset(&mut client);
    serving.join().unwrap();
    server.stop();

    // Who says nothing for too long is cut off, and so is the other.
    let (server, addr) = socks(&["--idle-timeout", "0.3"]);
    let (to, serving) = once(move |mut stream| is_reset(&mut stream));
    is_reset(&mut through(&addr, to));
    serving.join().unwrap();
    server.stop();
}

/// Bytes without a pattern, as many as no buffer has; a stream repeats them.
fn period() -> Vec<u8> {
    (0..125_001_u64)
        .flat_map(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes())
        .take(1_000_003)
        .collect()
}

fn send_pattern(mut to: &TcpStream, total: u64) {
    let period = period();
    let mut left = total;
    while left > 0 {
        let piece = &period[..period.len().min(left as usize)];
        to.write_all(piece).unwrap();
        left -= piece.len() as u64;
    }
    to.shutdown(Shutdown::Write).unwrap();
}

/// How long the stream is; each of its bytes must be the right one.
fn check_pattern(mut from: &TcpStream) -> u64 {
    let period = period();
    let mut piece = vec![0; 256 << 10];
    let mut total = 0;
    loop {
        let n = match from.read(&mut piece) {
            Ok(0) => return total,
            Ok(n) => n,
            // A read with a timeout is not begun again by the system after a stop.
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => panic!("{error}"),
        };
        let at = (total % period.len() as u64) as usize;
        let (before, behind) = piece[..n].split_at(n.min(period.len() - at));
        let is_right = period[at..].starts_with(before) && period.starts_with(behind);
        assert!(is_right, "it differs after {total} bytes");
        total += n as u64;
    }
}

/// The most memory the server ever had, in KiB.
fn peak(server: &Server) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_gibibyte_each_way_at_once_arrives_byte_for_byte() {
    const TOTAL: u64 = 1 << 30;
    let (server, addr) = socks(&[]);
    let (to, serving) = once(|stream| {
        let other = stream.try_clone().unwrap();
        let sending = thread::spawn(move || send_pattern(&other, TOTAL));
        let got = check_pattern(&stream);
        sending.join().unwrap();
        got
    });
    let client = through(&addr, to);
    let other = client.try_clone().unwrap();
    let sending = thread::spawn(move || send_pattern(&other, TOTAL));
    assert_eq!(check_pattern(&client), TOTAL);
    sending.join().unwrap();
    assert_eq!(serving.join().unwrap(), TOTAL);
    #[cfg(target_os = "linux")]
    assert!(peak(&server) < 32 << 10, "{} KiB", peak(&server));
    server.stop();
}

#[test]
#[cfg(target_os = "linux")]
fn a_slow_reader_holds_the_fast_sender_at_bounded_memory() {
    const TOTAL: u64 = 64 << 20;
    let (server, addr) = socks(&[]);
    let (to, serving) = once(|stream| send_pattern(&stream, TOTAL));
    let client = through(&addr, to);
    // Until the sender is stuck, nothing is read.
    until_still(Duration::from_millis(100), || (server.memory(), server.cpu()));
    assert!(!serving.is_finished(), "nobody held the sender");
    assert!(peak(&server) < 16 << 10, "{} KiB", peak(&server));
    assert_eq!(check_pattern(&client), TOTAL);
    serving.join().unwrap();
    drop(client);
    server.stop();
}

#[test]
fn sigterm_takes_nobody_new_and_lets_what_is_under_way_end() {
    let (mut server, addr) = socks(&["--grace", "20"]);
    let (to, serving) = once(|mut stream| {
        let mut first = [0; 5];
        stream.read_exact(&mut first).unwrap();
        stream
    });
    let mut client = through(&addr, to);
    client.write_all(b"first").unwrap();
    let far = serving.join().unwrap();
    server.signal("TERM");
    let began = Instant::now();
    until("a stop that has begun", || TcpStream::connect(&addr).is_err());
    let sending = thread::spawn(move || send_pattern(&far, 16 << 20));
    assert_eq!(check_pattern(&client), 16 << 20);
    sending.join().unwrap();
    drop(client);
    assert_eq!(server.wait().code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(15), "it waited for its grace to end");

    // What does not end by itself is reset, so that nobody takes a cut answer for a whole one.
    let (mut server, addr) = socks(&["--grace", "0.3"]);
    let mut client = through(&addr, echo());
    server.signal("TERM");
    assert_eq!(client.read(&mut [0]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(server.wait().code(), Some(0));
}

/// A proxy that sees other files for `/etc/resolv.conf` and `/etc/hosts`, in a mount namespace of its
/// own.
#[cfg(target_os = "linux")]
fn with_names(resolv: &str, hosts: &str, dir: &Path) -> Option<(Server, String)> {
    const SCRIPT: &str = "mount --bind \"$1\" /etc/resolv.conf && mount --bind \"$2\" /etc/hosts \
                          && shift 2 && exec \"$@\"";
    let (resolv_file, hosts_file) = (dir.join("resolv.conf"), dir.join("hosts"));
    std::fs::write(&resolv_file, resolv).unwrap();
    std::fs::write(&hosts_file, hosts).unwrap();
    let mut command = Command::new("unshare");
    command.args(["-rm", "sh", "-c", SCRIPT, "sh"]).args([&resolv_file, &hosts_file]);
    command.arg(program::path("socks5")).args(["--allow-private", "127.0.0.1:0"]);
    let mut server = Server::of(command.stderr(Stdio::null()));
    let addr = server.line().strip_prefix("listening tcp ").map(String::from);
    if addr.is_none() {
        println!("skipped: no mount namespace can be made here");
    }
    Some((server, addr?))
}

#[test]
#[cfg(target_os = "linux")]
fn names_that_nobody_answers_hold_up_no_other() {
    if !has("unshare") {
        return;
    }
    // A name server that takes every question and answers none; an address of its own, so that the
    // fixed port is nobody else's.
    let id = std::process::id().to_be_bytes();
    let silent = UdpSocket::bind((Ipv4Addr::new(127, 53, id[2], id[3] | 1), 53));
    let Ok(silent) = silent else {
        return println!("skipped: port 53 may not be bound here");
    };
    let resolv = format!("nameserver {}\n", silent.local_addr().unwrap().ip());
    let dir = tempfile::tempdir().unwrap();
    let Some((server, addr)) = with_names(&resolv, "127.0.0.1 there.test\n", dir.path()) else {
        return;
    };
    let mut dead: Vec<TcpStream> = (0..6)
        .map(|nth| {
            let mut client = tcp(&addr);
            let name = format!("{nth}.dead.test");
            client.write_all(&[&GREETING, &v5_named(name.as_bytes(), 80)[..]].concat()).unwrap();
            client.read_exact(&mut [0; 2]).unwrap();
            client
        })
        .collect();
    // All of them have been asked for.
    let mut asked = std::collections::BTreeSet::new();
    silent.set_read_timeout(Some(PATIENCE)).unwrap();
    while asked.len() < dead.len() {
        let mut packet = [0; 512];
        let len = silent.recv(&mut packet).expect("each name has a thread of its own");
        asked.extend(packet[12..len].get(1).copied());
    }
    let mut client = tcp(&addr);
    let wants = v5_named(b"there.test", echo().port());
    client.write_all(&[&GREETING, &wants[..], b"early"].concat()).unwrap();
    let mut answer = [0; 2 + 10 + 5];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(answer[12..], *b"early");
    for one in &mut dead {
        one.set_nonblocking(true).unwrap();
        let answered = one.read(&mut [0; 10]);
        assert_eq!(answered.unwrap_err().kind(), ErrorKind::WouldBlock, "it was waited for");
    }
    drop(server);
}

#[test]
fn what_was_typed_wrongly_is_named() {
    for (words, culprit) in [
        (&["--nonsense"][..], "--nonsense"),
        (&["--login", "me"], "--login"),
        (&["--max-clients", "many", "127.0.0.1:0"], "--max-clients"),
        (&["--grace", "-1", "127.0.0.1:0"], "--grace"),
    ] {
        let output = program::command("socks5").args(words).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.lines().next().unwrap().contains(culprit), "{said}");
    }
}
