//! The command with names that have several addresses, and with a port that would be its own.

use std::fs;
use std::io::Write;
use std::net::{Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::process::{Command, Output, Stdio};
use std::thread;

use crate::command::{BIN, Server, bin, exchange, has, run, tcp};
use crate::waits::PATIENCE;

/// Whether this machine has the IPv6 loopback address.
fn has_v6() -> bool {
    let has = TcpListener::bind("[::1]:0").is_ok();
    if !has {
        println!("skipped: no IPv6 here");
    }
    has
}

/// The addresses of so many lines.
fn addrs(server: &mut Server, kind: &str, lines: usize) -> Vec<SocketAddr> {
    let prefix = format!("listening {kind} ");
    let addr = |_| {
        let line = server.line();
        let addr = line.strip_prefix(&prefix).unwrap_or_else(|| panic!("it said {line:?}"));
        addr.parse().unwrap()
    };
    (0..lines).map(addr).collect()
}

#[test]
fn a_name_is_served_at_each_of_its_addresses_under_one_port() {
    if !has_v6() {
        return;
    }
    for words in [
        &["echo", "--tcp", "localhost:0"][..],
        &["echo", "--tcp", "localhost:0", "--loops", "2"],
        &["echo", "--tcp", "localhost:0", "--loops", "2", "--balance", "reuseport"],
        &["echo", "--tcp", "localhost:0", "--workers", "threads:2"],
        &["echo", "--tcp", "localhost:0", "--tcp", "127.0.0.1:0"],
    ] {
        let mut server = Server::start(words);
        let lines = 2 + words.iter().filter(|word| **word == "127.0.0.1:0").count();
        let addrs = addrs(&mut server, "tcp", lines);
        assert!(addrs[0].ip() == Ipv6Addr::LOCALHOST, "{addrs:?}");
        assert!(addrs[1].ip().is_ipv4() && addrs[0].port() == addrs[1].port(), "{addrs:?}");
        for addr in addrs {
            let mut client = tcp(&addr.to_string());
            assert_eq!(exchange(&mut client, b"hello"), b"hello", "{words:?} at {addr}");
        }
        server.stop();
    }
    let mut server = Server::start(&["echo", "--udp", "localhost:0"]);
    for addr in addrs(&mut server, "udp", 2) {
        let any = if addr.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
        let client = UdpSocket::bind(any).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client.send_to(b"hello", addr).unwrap();
        let mut answer = [0; 9];
        assert_eq!(client.recv(&mut answer).unwrap(), 5, "at {addr}");
    }
    server.stop();
}

#[test]
fn a_name_of_which_one_address_is_taken_is_an_error() {
    if !has_v6() {
        return;
    }
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let (code, out, err) = run(&["serve", "echo", "--tcp", &format!("localhost:{port}")]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.contains("127.0.0.1") && err.contains("in use"), "{err}");
}

/// A server at one of the addresses of `localhost`; each connection is sent back what it says.
fn echo_at(ip: &str) -> Option<u16> {
    let listener = TcpListener::bind((ip, 0)).ok()?;
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            thread::spawn(move || {
                let mut answers = stream.try_clone().unwrap();
                let _ = std::io::copy(&mut stream, &mut answers);
                let _ = answers.shutdown(std::net::Shutdown::Write);
            });
        }
    });
    Some(port)
}

#[test]
fn connect_and_bench_find_the_address_of_a_name_that_is_served() {
    for ip in ["127.0.0.1", "::1"] {
        let Some(port) = echo_at(ip) else {
            println!("skipped: no {ip} here");
            continue;
        };
        let name = format!("localhost:{port}");
        let output = talk(&["connect", &name], b"hello\n");
        assert!(output.status.success(), "{output:?}");
        assert_eq!(output.stdout, b"hello\n");
        let words = ["bench", "--tcp", &name, "-c", "2", "--warmup", "10ms", "--duration", "50ms"];
        let (code, out, err) = run(&words);
        assert_eq!(code, 0, "{ip}: {out}{err}");
    }
}

/// Runs the command with this on standard input.
fn talk(words: &[&str], input: &[u8]) -> Output {
    let mut command = bin();
    command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn the_time_of_connect_is_for_all_addresses_of_a_name() {
    // Both are bound, so that nobody else takes the port, and nobody answers at either.
    let Some((port, _full)) = full_at_both() else { return };
    let output = talk(&["connect", &format!("localhost:{port}"), "--timeout", "300ms"], b"");
    assert_eq!(output.status.code(), Some(1));
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(err.contains(&format!("cannot connect to localhost:{port}")), "{err}");
    assert!(err.contains("timed out"), "{err}");
}

/// Two listeners under one port whose backlogs are full, with those who fill them.
fn full_at_both() -> Option<(u16, Vec<socket2::Socket>)> {
    use socket2::{Domain, Socket, Type};

    let mut sockets = Vec::new();
    let mut port = 0;
    for (domain, ip) in [(Domain::IPV4, "127.0.0.1"), (Domain::IPV6, "::1")] {
        let listener = Socket::new(domain, Type::STREAM, None).unwrap();
        let addr = SocketAddr::new(ip.parse().unwrap(), port);
        if let Err(error) = listener.bind(&addr.into()) {
            println!("skipped: {addr}: {error}");
            return None;
        }
        listener.listen(0).unwrap();
        let name = listener.local_addr().unwrap();
        port = name.as_socket().unwrap().port();
        for _ in 0..4 {
            let client = Socket::new(domain, Type::STREAM, None).unwrap();
            client.set_nonblocking(true).unwrap();
            let _ = client.connect(&name);
            sockets.push(client);
        }
        sockets.push(listener);
    }
    Some((port, sockets))
}

/// Runs a script in a network namespace in which every port that is given is 40000.
fn in_namespace(script: &str) -> Option<String> {
    let before = "ip link set lo up && ip addr add fe80::1/64 dev lo \
                  && echo '40000 40000' > /proc/sys/net/ipv4/ip_local_port_range || exit 77";
    let script = format!("{before}; {script}");
    let mut command = Command::new("unshare");
    let output = command.args(["-rnm", "sh", "-c", &script, BIN]).stdin(Stdio::null()).output();
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.code() == Some(77) || said.contains("unshare") {
        println!("skipped: no network namespace can be made here: {said}");
        return None;
    }
    Some(String::from_utf8_lossy(&output.stdout).into_owned() + &said)
}

#[test]
fn nobody_meets_itself_on_a_port_of_its_own() {
    if !has("unshare") || !has("ip") {
        return;
    }
    let connect = "echo hello | \"$0\" connect 127.0.0.1:40000; echo \"code $?\"";
    let Some(said) = in_namespace(connect) else { return };
    assert!(
        said.contains("code 1") && said.contains("refused") || said.contains("itself"),
        "{said}"
    );
    assert!(!said.contains("hello"), "it heard itself: {said}");
    let bench = "\"$0\" bench --tcp 127.0.0.1:40000 -c 1 --warmup 10ms --duration 50ms; \
                 echo \"code $?\"";
    let said = in_namespace(bench).unwrap();
    assert!(said.contains("code 1") && said.contains("refused"), "{said}");
    let udp = "echo hello | \"$0\" connect --udp 127.0.0.1:40000 --wait 100ms; echo \"code $?\"";
    let said = in_namespace(udp).unwrap();
    assert!(said.contains("code 1") && !said.contains("hello"), "it heard itself: {said}");
}

/// A name server that never answers is asked for some ten seconds, and then it is an error: the exit code
/// shows that the signal was heeded before.
#[test]
fn a_stop_does_not_wait_for_a_name_server() {
    if !has("unshare") || !has("ip") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let conf = dir.path().join("resolv.conf");
    fs::write(&conf, "nameserver 127.0.0.1\n").unwrap();
    for asks in [
        "serve echo --tcp",
        "serve echo --workers threads:1 --tcp",
        "serve echo --loops 2 --tcp",
        "serve echo --udp",
        "bench -c 1 --duration 1s --tcp",
        "connect",
    ] {
        let script = format!(
            "mount --bind {} /etc/resolv.conf || exit 77; \
             exec 2>&1; \"$0\" serve discard --udp 127.0.0.1:53 & silent=$!; \
             until grep -q ':0035 00000000' /proc/net/udp; do kill -0 $silent || exit; done; \
             \"$0\" {asks} name.invalid:7000 & asks=$!; \
             until grep -q ':0035 01' /proc/net/udp; do kill -0 $asks || break; done; \
             kill -TERM $asks; wait $asks; echo \"code $?\"; kill $silent",
            conf.display()
        );
        let Some(said) = in_namespace(&script) else { return };
        assert!(said.contains("code 143") || said.contains("code 0"), "{asks}: {said}");
    }
}

#[test]
fn an_interface_may_be_told_by_its_name() {
    if !has("unshare") || !has("ip") {
        return;
    }
    let script = "\"$0\" serve echo --tcp '[fe80::1%lo]:5000' & server=$!; \
                  until echo hello | \"$0\" connect '[fe80::1%lo]:5000'; do kill -0 $server || break; \
                  done; kill $server; wait $server; echo \"code $?\"";
    let Some(said) = in_namespace(script) else { return };
    assert!(said.contains("hello") && said.contains("code 0"), "{said}");
    let (code, _, err) = run(&["connect", "[fe80::1%no-such-if]:5000"]);
    assert!(code == 1 && err.contains("no-such-if"), "{err}");
    let (code, _, err) = run(&["connect", "[fe80::1%]:5000"]);
    assert!(code == 2 && err.contains("no IPv6 address"), "{err}");
}
