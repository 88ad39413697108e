//! What the command says to those who mistyped something, or whose system refuses something: it names
//! the culprit, in the words of the command line, and what to do.

use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::net::UdpSocket;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::process::Stdio;
use std::thread;

use crate::command::{Server, bin, exchange, free_addr, run, tcp, unix};
use crate::read_some::ReadSome;

/// What an error of these words is: its exit code, and its text.
fn error(words: &[&str]) -> (i32, String) {
    let (code, out, err) = run(words);
    assert_eq!(out, "", "{words:?}");
    (code, err)
}

#[test]
fn what_bench_hands_on_to_its_server_is_refused_by_bench() {
    for (words, culprit) in [
        (&["--workers", "processes:2", "--loops", "2"][..], "--workers and --loops"),
        (&["--workers", "threads:2", "--loops", "2", "--balance", "reuseport"], "--loops"),
        (&["--transport", "unixgram", "--loops", "2"], "--transport unixgram"),
    ] {
        for more in [&[][..], &["--check"], &["--json", "/nosuch/file"]] {
            let (code, text) = error(&[&["bench"][..], words, more].concat());
            assert_eq!(code, 2, "{words:?}: {text}");
            assert!(text.contains(culprit), "{words:?}: {text}");
            assert!(text.contains("Usage: socketserver bench"), "{words:?}: {text}");
        }
    }
}

#[test]
fn a_value_with_a_hyphen_is_told_to_be_no_such_value() {
    for words in [
        &["serve", "echo", "--tcp", "127.0.0.1:0", "--idle-timeout", "-5s"][..],
        &["serve", "echo", "--tcp", "127.0.0.1:0", "--grace", "-5"],
        &["serve", "echo", "--tcp", "127.0.0.1:0", "--max-connections", "-5"],
        &["serve", "echo", "--tcp", "127.0.0.1:0", "--high-water", "-5KiB"],
        &["serve", "echo", "--tcp", "127.0.0.1:0", "--workers", "-5"],
        &["serve", "echo", "--tcp", "-5"],
        &["connect", "127.0.0.1:1", "--wait", "-5s"],
        &["connect", "--udp", "-5"],
        &["bench", "--connections", "-5"],
        &["bench", "-c", "-5"],
        &["bench", "--rate", "-5.5"],
        &["bench", "--transport", "-5"],
    ] {
        let (code, text) = error(words);
        assert_eq!(code, 2, "{words:?}: {text}");
        assert!(text.starts_with("error: invalid value '-5"), "{words:?}: {text}");
        assert!(!text.contains("'-- "), "{words:?}: {text}");
    }
    // What takes a path takes no option for one, and gives no advice that fails.
    for words in [&["bench", "--json", "-5"][..], &["serve", "echo", "--unix", "-5"]] {
        let (code, text) = error(words);
        assert_eq!(code, 2, "{words:?}: {text}");
        assert!(text.contains("'-5'") && !text.contains("'-- "), "{words:?}: {text}");
    }
}

#[test]
fn a_host_and_its_port_may_be_two_words_behind_an_option_too() {
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    peer.set_read_timeout(Some(crate::waits::PATIENCE)).unwrap();
    let port = peer.local_addr().unwrap().port().to_string();
    let echo = thread::spawn(move || {
        let mut packet = [0; 64];
        let (n, from) = peer.recv_from(&mut packet).unwrap();
        peer.send_to(&packet[..n], from).unwrap();
    });
    assert_eq!(talk(&["--udp", "127.0.0.1", &port, "--wait", "200ms"]), b"hello\n");
    echo.join().unwrap();
    let mut server = Server::start(&["echo", "--tcp", "127.0.0.1:0"]);
    let addr = server.tcp_addr();
    let (host, port) = addr.rsplit_once(':').unwrap();
    for words in [&["--tcp", host, port][..], &[host, port], &[&addr], &["--tcp", &addr]] {
        assert_eq!(talk(words), b"hello\n", "{words:?}");
    }
    for (words, culprit) in [
        (&["--udp", "127.0.0.1"][..], "a port is missing"),
        (&["--udp", "127.0.0.1:7000", "7000"], "it has a port already"),
        (&["--tcp", "127.0.0.1", "7000", "7"], "one word too many"),
        (&["--unix", "/tmp/x", "7000"], "--unix"),
        (&["--udp", "127.0.0.1", "7000", "--tcp", "127.0.0.1:1"], "--tcp"),
        (&[], "<ADDR>"),
    ] {
        let (code, text) = error(&[&["connect"][..], words].concat());
        assert_eq!(code, 2, "{words:?}: {text}");
        assert!(text.contains(culprit), "{words:?}: {text}");
        assert!(text.contains("[--tcp | --udp] <HOST> <PORT>"), "{words:?}: {text}");
    }
}

/// What comes back when `hello` is sent.
fn talk(words: &[&str]) -> Vec<u8> {
    let mut command = bin();
    command.arg("connect").args(words).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"hello\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{words:?}");
    output.stdout
}

/// Two paths that are no text must not look the same.
#[test]
fn a_path_that_is_no_text_is_told_with_each_of_its_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let odd = |name: &[u8]| dir.path().join(OsStr::from_bytes(name)).into_os_string();
    let missing = odd(b"\xFF\xFE");
    let below = odd(b"\xFF/socket");
    let word = |text: &str| OsString::from(text);
    for words in [
        vec![word("connect"), word("--unix"), missing.clone()],
        vec![word("connect"), missing.clone()],
        vec![word("connect"), [b"unix:", missing.as_bytes()].concat().os()],
        vec![word("connect"), word("--unixgram"), missing.clone()],
        vec![word("serve"), word("echo"), word("--unix"), below.clone()],
        vec![word("serve"), word("echo"), word("--unixgram"), below.clone()],
        vec![word("bench"), word("--unix"), missing.clone()],
        vec![word("bench"), word("--json"), below.clone()],
        vec![word("bench"), word("--compare"), missing.clone(), missing.clone()],
        vec![word("connect"), missing.clone(), word("7000")],
    ] {
        let (_, _, text) = run(&words);
        assert!(text.contains(r"\xFF") && !text.contains('\u{FFFD}'), "{words:?}: {text}");
    }
    let socket = odd(b"\xFF socket");
    let mut server = Server::start(&[word("echo"), word("--unix"), socket.clone()]);
    crate::waits::until("a server on that path", || {
        assert!(server.child.try_wait().unwrap().is_none(), "it ended");
        UnixStream::connect(&socket).is_ok()
    });
    let run_time = [word("--warmup"), word("10ms"), word("--duration"), word("50ms")];
    let words = [&[word("bench"), word("--unix"), socket][..], &run_time].concat();
    let (code, out, err) = run(&words);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains(r"\xFF socket") && !out.contains('\u{FFFD}'), "{out}");
}

trait Os {
    fn os(self) -> OsString;
}

impl Os for Vec<u8> {
    fn os(self) -> OsString {
        OsStr::from_bytes(&self).to_os_string()
    }
}

#[test]
fn a_path_that_is_too_long_is_told_with_the_number() {
    let dir = tempfile::tempdir().unwrap();
    let longest = if cfg!(target_os = "linux") { 107 } else { 103 };
    let at = |len: usize| {
        let before = format!("{}/", dir.path().display());
        format!("{before}{}", "x".repeat(len - before.len()))
    };
    let too_long = at(longest + 1);
    for words in [
        &["serve", "echo", "--unix", &too_long][..],
        &["serve", "echo", "--unixgram", &too_long],
        &["connect", &too_long],
        &["connect", &format!("unix:{too_long}")],
        &["bench", "--unix", &too_long],
    ] {
        let (code, text) = error(words);
        assert_eq!(code, 2, "{text}");
        let (has, most) = (format!("{} bytes", longest + 1), format!("at most {longest}"));
        assert!(text.contains(&has) && text.contains(&most), "{text}");
    }
    // The longest that is allowed is.
    let path = at(longest);
    let mut server = Server::start(&["echo", "--unix", &path]);
    server.line();
    assert_eq!(exchange(&mut unix(path.as_ref()), b"hello"), b"hello");
    server.stop();
}

#[test]
fn an_address_that_another_one_includes_is_told_to_be() {
    let port = free_addr().port();
    let (four, six) = (format!("0.0.0.0:{port}"), format!("[::]:{port}"));
    let lo = format!("127.0.0.1:{port}");
    for words in [
        ["serve", "echo", "--tcp", &four, "--tcp", &six],
        ["serve", "echo", "--tcp", &six, "--tcp", &lo],
        ["serve", "echo", "--udp", &six, "--udp", &four],
    ] {
        let (code, text) = error(&words);
        assert_eq!(code, 1, "{text}");
        assert!(text.contains("[::] every IPv6 and IPv4 address"), "{words:?}: {text}");
    }
    let (code, text) = error(&["serve", "echo", "--tcp", &lo, "--tcp", &lo]);
    assert!(code == 1 && !text.contains("[::]"), "{text}");
}

#[test]
fn a_datagram_that_is_too_long_is_told_in_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let mut command = bin();
    command.args(["serve", "echo", "--unixgram"]).arg(&path).stderr(Stdio::piped());
    let mut server = Server::of(&mut command);
    server.line();
    UnixDatagram::unbound().unwrap().send_to(&[0; 70_000], &path).unwrap();
    let mut err = server.child.stderr.take().unwrap();
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(b"\n") && err.read_some(&mut byte).unwrap() > 0 {
        text.extend(byte);
    }
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains("more than 65535 bytes") && !text.contains("Options"), "{text}");
}

#[test]
fn a_hyphen_is_standard_output() {
    let dir = tempfile::tempdir().unwrap();
    for (option, begin) in [("--json", "{"), ("--report", "<")] {
        let mut command = bin();
        command.args(["bench", "--warmup", "10ms", "--duration", "50ms", option, "-"]);
        let output = command.current_dir(dir.path()).output().unwrap();
        let out = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{out}");
        assert!(out.starts_with(begin) && !out.contains("latency p50 "), "{out}");
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "no file of that name");
    let (code, text) = error(&["bench", "--json", "-", "--report", "-"]);
    assert!(code == 2 && text.contains("same file"), "{text}");
}

/// README.md, "Measured": 10.1 kB for both ends of each.
#[test]
#[cfg(target_os = "linux")]
fn the_check_reckons_with_the_memory_that_was_measured() {
    let (_, out, _) = run(&["bench", "--idle", "1000000", "--check"]);
    let line = out.lines().find(|line| line.starts_with("memory for sockets")).unwrap();
    let needs = line.split("needs").nth(1).unwrap().trim_start();
    assert!(needs.starts_with("10.10 GB"), "{line}");
}

#[test]
fn the_log_tells_why_each_connection_ended() {
    for words in [&[][..], &["--loops", "2"], &["--workers", "threads:2"]] {
        let mut command = bin();
        command.args(["serve", "echo", "--tcp", "127.0.0.1:0"]).args(words);
        command.env("RUST_LOG", "debug").stderr(Stdio::piped());
        let mut server = Server::of(&mut command);
        let mut client = tcp(&server.tcp_addr());
        let name = client.local_addr().unwrap().to_string();
        assert_eq!(exchange(&mut client, b"hello"), b"hello");
        client.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(client.read_some(&mut [0; 8]).unwrap(), 0);
        let mut err = server.child.stderr.take().unwrap();
        server.signal("TERM");
        assert_eq!(server.wait().code(), Some(0));
        let mut log = String::new();
        err.read_to_string(&mut log).unwrap();
        let came = log.lines().any(|line| line.contains(&name) && line.contains("has connected"));
        let ended = log.lines().any(|line| line.contains(&name) && line.contains("ended, Closed"));
        assert!(came && ended, "{words:?}: {log}");
    }
}

/// A path that is no text in the command's own words, as a listener of somebody else has one.
#[test]
fn a_text_is_told_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("gone");
    drop(UnixListener::bind(&path).unwrap());
    let (code, text) = error(&["connect", path.to_str().unwrap()]);
    assert_eq!(code, 1);
    assert!(text.contains(&format!("cannot connect to {}: ", path.display())), "{text}");
}
