//! What surrounds the command: signals that were ignored or blocked when it started, a terminal that
//! goes, directories for temporary files of every kind, and names that are no text or no files.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::Value;

use crate::command::{self, BIN, Server, bin, exchange, has, tcp, unix};
use crate::read_some::ReadSome;
use crate::waits::PATIENCE;

/// `serve` with these words, started by a shell that ignores this signal.
fn ignoring(signal: &str, words: &[&str]) -> Server {
    Server::start_in_shell(&format!("trap '' {signal}"), words)
}

/// Nobody new is served once it stops, so two clients one after the other show that it does not.
fn serves(addr: &str) {
    for _ in 0..2 {
        assert_eq!(exchange(&mut tcp(addr), b"still here"), b"still here");
    }
}

#[test]
fn a_hang_up_stops_it_as_sigterm_does_and_removes_its_paths() {
    let dir = tempfile::tempdir().unwrap();
    for workers in [&[][..], &["--loops", "2"], &["--workers", "processes:2"]] {
        let (stream, gram) = (dir.path().join("stream"), dir.path().join("gram"));
        let paths = ["--unix", stream.to_str().unwrap(), "--unixgram", gram.to_str().unwrap()];
        let mut server = Server::start(&[&["echo"][..], &paths, workers].concat());
        server.line();
        server.line();
        let mut client = unix(&stream);
        exchange(&mut client, b"hello");
        drop(client);
        server.signal("HUP");
        assert_eq!(server.wait().code(), Some(0), "{workers:?}");
        assert!(!stream.exists() && !gram.exists(), "{workers:?}");
    }
}

/// The kernel sends one, and the shell another.
#[test]
fn a_second_hang_up_cuts_nothing_off() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let words = ["chargen", "--tcp", "127.0.0.1:0", "--unix", path.to_str().unwrap()];
    let mut server = Server::start(&[&words[..], &["--grace", "1h"]].concat());
    let addr = server.tcp_addr();
    let mut client = tcp(&addr);
    client.read_exact(&mut [0; 74]).unwrap();
    server.signal("HUP");
    let end = Instant::now() + PATIENCE;
    while TcpStream::connect(&addr).is_ok() {
        assert!(Instant::now() < end, "clients still get in");
    }
    // It waits for this client, whose buffers are full.
    server.signal("HUP");
    let rest = command::read_to_end(&mut client);
    assert!(rest.len() > 1 << 10, "{} bytes", rest.len());
    assert_eq!(server.wait().code(), Some(0));
    assert!(!path.exists());
}

#[test]
#[cfg(target_os = "linux")]
fn what_was_ignored_at_the_start_stays_ignored() {
    for signal in ["HUP", "INT", "TERM"] {
        for workers in [&[][..], &["--workers", "processes:2"]] {
            let words = [&["echo", "--tcp", "127.0.0.1:0"], workers].concat();
            let mut server = ignoring(signal, &words);
            let addr = server.tcp_addr();
            server.signal(signal);
            serves(&addr);
            let other = if signal == "TERM" { "INT" } else { "TERM" };
            server.signal(other);
            assert_eq!(server.wait().code(), Some(0), "{signal} {workers:?}");
        }
    }
}

#[test]
#[cfg(target_os = "linux")]
fn connect_heeds_a_hang_up_unless_it_was_ignored() {
    let mut server = Server::start(&["echo", "--tcp", "127.0.0.1:0"]);
    let addr = server.tcp_addr();
    for (before, code) in [("true", 129), ("trap '' HUP", 143)] {
        let script = format!("{before}; exec \"$0\" connect \"$1\"");
        let mut command = Command::new("sh");
        command.args(["-c", &script, BIN, &addr]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut client = command.spawn().unwrap();
        let mut lines = BufReader::new(client.stdout.take().unwrap());
        let mut stdin = client.stdin.take().unwrap();
        let mut talk = |line: &str| {
            let mut answer = String::new();
            stdin.write_all(line.as_bytes()).unwrap();
            lines.read_line(&mut answer).unwrap();
            answer
        };
        assert_eq!(talk("before\n"), "before\n");
        let pid = client.id().to_string();
        let send = |name: &str| Command::new("kill").args([name, &pid]).status().unwrap();
        send("-HUP");
        if code == 143 {
            assert_eq!(talk("after\n"), "after\n");
            send("-TERM");
        }
        assert_eq!(command::wait(&mut client).code(), Some(code));
    }
    server.stop();
}

/// Its servers are its own: it stops them whatever it ignores itself.
#[test]
#[cfg(target_os = "linux")]
fn bench_stops_its_servers_in_good_order_also_when_signals_are_ignored() {
    let dir = tempfile::tempdir().unwrap();
    let json = dir.path().join("run.json");
    let script = "trap '' TERM INT HUP; exec \"$0\" bench --loops 2 --warmup 10ms \
                  --duration 50ms --json \"$1\"";
    let mut command = Command::new("sh");
    let output = command.args(["-c", script, BIN]).arg(&json).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let record: Value = serde_json::from_slice(&fs::read(json).unwrap()).unwrap();
    // What a loop had is written at a clean end.
    let loops = record["loops"].as_array().unwrap();
    assert!(loops.len() == 2 && loops.iter().all(|one| one["had"].is_object()), "{loops:?}");
}

#[test]
fn bench_ends_with_its_table_at_a_hang_up() {
    let mut echo = Server::start(&["echo", "--tcp", "127.0.0.1:0"]);
    let addr = echo.tcp_addr();
    let mut command = bin();
    command.args(["bench", "--warmup", "10ms", "--duration", "1h", "-c", "2", "--tcp", &addr]);
    let mut bench = Server::of(command.stderr(Stdio::null()));
    // It is under way when the server has clients that talk.
    let end = Instant::now() + PATIENCE;
    let before = echo.cpu();
    while echo.cpu() <= before + std::time::Duration::from_millis(50) {
        assert!(Instant::now() < end, "nobody drives the server");
        std::thread::yield_now();
    }
    bench.signal("HUP");
    let first = bench.line();
    assert!(first.starts_with("closed loop"), "{first}");
    bench.wait();
    echo.stop();
}

#[test]
fn what_was_blocked_at_the_start_is_heeded() {
    if !has("python3") {
        return;
    }
    const BLOCK: &str = "\
import os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
os.execv(sys.argv[1], sys.argv[1:])
";
    for workers in [&[][..], &["--loops", "2"], &["--workers", "processes:2"]] {
        for signal in ["TERM", "INT", "HUP"] {
            let mut command = Command::new("python3");
            command.args(["-c", BLOCK, BIN, "serve", "echo", "--tcp", "127.0.0.1:0"]);
            let mut server = Server::of(command.args(workers));
            serves(&server.tcp_addr());
            server.signal(signal);
            assert_eq!(server.wait().code(), Some(0), "{workers:?} {signal}");
        }
    }
    // A program that is asked for nothing but a client is one too.
    let (reader, writer) = std::io::pipe().unwrap();
    let mut echo = Server::start(&["echo", "--tcp", "127.0.0.1:0"]);
    let mut command = Command::new("python3");
    command.args(["-c", BLOCK, BIN, "connect", &echo.tcp_addr()]).stdin(reader);
    let mut client = command.stdout(Stdio::piped()).spawn().unwrap();
    (&writer).write_all(b"x").unwrap();
    client.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    Command::new("kill").arg(client.id().to_string()).status().unwrap();
    assert_eq!(command::wait(&mut client).code(), Some(143));
    echo.stop();
}

/// Where temporary files cannot be, or sockets not.
fn odd_places(dir: &Path) -> Vec<PathBuf> {
    let deep = dir.join("d".repeat(120));
    fs::create_dir(&deep).unwrap();
    let file = dir.join("file");
    fs::write(&file, "").unwrap();
    let odd = dir.join(OsStr::from_bytes(b"\xFF\xFE"));
    fs::create_dir(&odd).unwrap();
    vec![deep, dir.join("missing"), file, odd, "/dev/null".into(), "relative".into(), "".into()]
}

#[test]
fn whatever_the_directory_for_temporary_files_is_unix_sockets_work() {
    let dir = tempfile::tempdir().unwrap();
    let gram = dir.path().join("gram");
    let mut server = Server::start(&["echo", "--unixgram", gram.to_str().unwrap()]);
    server.line();
    for place in odd_places(dir.path()) {
        let mut command = bin();
        command.arg("connect").arg("--unixgram").arg(&gram).args(["--wait", "100ms"]);
        command.env("TMPDIR", &place).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut client = command.stderr(Stdio::piped()).spawn().unwrap();
        client.stdin.take().unwrap().write_all(b"hello\n").unwrap();
        let output = client.wait_with_output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), &output.stdout[..]), (Some(0), &b"hello\n"[..]), "{err}");
        for transport in ["unix", "unixgram"] {
            let mut command = bin();
            command.args(["bench", "--warmup", "10ms", "--duration", "50ms", "--transport"]);
            command.arg(transport).env("TMPDIR", &place);
            let output = command.output().unwrap();
            let err = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{transport} {}: {err}", place.display());
        }
        assert!(!place.is_dir() || fs::read_dir(&place).unwrap().count() == 0, "it leaves files");
    }
    server.stop();
}

/// The next line of a server, byte by byte.
fn line(server: &mut std::process::Child) -> Vec<u8> {
    let mut line = Vec::new();
    let mut byte = [0];
    let out = server.stdout.as_mut().unwrap();
    while out.read_some(&mut byte).unwrap() == 1 && byte != *b"\n" {
        line.push(byte[0]);
    }
    line
}

/// Runs with this input; gives what came of it.
fn talk(words: &[&OsStr], input: &[u8]) -> (Option<i32>, Vec<u8>, String) {
    let mut command = bin();
    command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), output.stdout, err)
}

/// A stream and a datagram socket of these names: served, told, connected to and driven.
fn names_are_taken_and_told(stream: &OsStr, gram: &OsStr) {
    let mut command = bin();
    command.args(["serve", "echo", "--unix"]).arg(stream).arg("--unixgram").arg(gram);
    let mut server = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    assert_eq!(line(&mut server), [b"listening unix ", stream.as_bytes()].concat());
    assert_eq!(line(&mut server), [b"listening unixgram ", gram.as_bytes()].concat());
    let arg = |text| OsStr::new(text);
    let prefixed = OsStr::from_bytes(&[b"unix:", stream.as_bytes()].concat()).to_owned();
    for words in [
        &[arg("connect"), arg("--unix"), stream][..],
        &[arg("connect"), stream],
        &[arg("connect"), &prefixed],
        &[arg("connect"), arg("--unixgram"), gram, arg("--wait"), arg("100ms")],
    ] {
        let (code, out, err) = talk(words, b"hello\n");
        assert_eq!((code, out.as_slice(), err.as_str()), (Some(0), &b"hello\n"[..], ""));
    }
    for (option, name) in [("--unix", stream), ("--unixgram", gram)] {
        let run = ["bench", "--warmup", "10ms", "--duration", "50ms", "-c", "2", option];
        let words: Vec<&OsStr> = run.into_iter().map(OsStr::new).chain([name]).collect();
        let (code, _, err) = talk(&words, b"");
        assert_eq!((code, err.as_str()), (Some(0), ""), "{option}");
    }
    Command::new("kill").arg(server.id().to_string()).status().unwrap();
    assert_eq!(command::wait(&mut server).code(), Some(0));
}

#[test]
fn paths_that_are_no_text_are_taken_and_told_exactly() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &[u8]| dir.path().join(OsStr::from_bytes(name));
    let (stream, gram) = (path(b"\xFF stream"), path(b"\xFE\xFD"));
    names_are_taken_and_told(stream.as_os_str(), gram.as_os_str());
    assert!(!stream.exists() && !gram.exists());
    // Who is not there is named, as far as it can be.
    let missing = path(b"\xFF missing");
    let words = [OsStr::new("connect"), missing.as_os_str()];
    let (code, _, err) = talk(&words, b"");
    assert!(code == Some(1) && err.contains("missing"), "{err}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_name_with_an_at_sign_is_an_abstract_socket() {
    let name = |kind: &str| OsString::from(format!("@socketserver-{kind}-{}", std::process::id()));
    let (stream, gram) = (name("stream"), name("gram"));
    let mut server = Server::start(&[OsStr::new("echo"), OsStr::new("--unix"), &stream]);
    server.line();
    let known = fs::read_to_string("/proc/net/unix").unwrap();
    assert!(known.lines().any(|line| line.ends_with(stream.to_str().unwrap())));
    let taken = [OsStr::new("serve"), OsStr::new("echo"), OsStr::new("--unix"), &stream];
    let (code, _, err) = talk(&taken, b"");
    assert!(code == Some(1) && err.contains(stream.to_str().unwrap()), "{err}");
    server.stop();
    names_are_taken_and_told(&stream, &gram);
    // A file of such a name is still a file.
    let dir = tempfile::tempdir().unwrap();
    let mut command = bin();
    command.args(["serve", "echo", "--unix", "./@file"]).current_dir(dir.path());
    let mut server = Server::of(command.stderr(Stdio::null()));
    assert_eq!(server.line(), "listening unix ./@file");
    UnixStream::connect(dir.path().join("@file")).unwrap();
    server.stop();
    for words in [
        &["serve", "echo", "--unix", "@"][..],
        &["connect", "--unix", "@"],
        &["connect", "@"],
        &["bench", "--unixgram", "@"],
    ] {
        let (code, _, err) = command::run(words);
        assert!(code == 2 && err.contains("empty"), "{words:?}: {err}");
    }
}
