//! Output that cannot be written is an error that is told, and a log that cannot be is nothing.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;

use crate::command::{self, BIN, Server, bin, has};

/// A short run.
const RUN: &[&str] = &["bench", "--warmup", "10ms", "--duration", "50ms", "-c", "2"];

/// The record of such a run.
fn record(dir: &Path) -> String {
    let path = dir.join("run.json").to_str().unwrap().to_string();
    let (code, _, err) = command::run(&[RUN, &["--json", &path]].concat());
    assert_eq!(code, 0, "{err}");
    path
}

/// Whatever the command is asked for, and prints.
fn answers(record: &str) -> Vec<Vec<&str>> {
    let mut all: Vec<Vec<&str>> = vec![
        vec!["--help"],
        vec!["--version"],
        vec!["help"],
        vec!["help", "serve"],
        vec!["serve", "-h"],
        vec!["serve", "--help"],
        vec!["connect", "--help"],
        vec!["bench", "--help"],
        vec!["bench", "--check"],
        vec!["bench", "--compare", record, record],
    ];
    all.push(RUN.to_vec());
    all
}

fn full() -> File {
    OpenOptions::new().write(true).open("/dev/full").unwrap()
}

fn said(child: &mut Child) -> (Option<i32>, String) {
    let code = command::wait(child).code();
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    (code, err)
}

#[test]
#[cfg(target_os = "linux")]
fn what_was_asked_for_and_cannot_be_written_is_told_and_exits_with_1() {
    let dir = tempfile::tempdir().unwrap();
    let record = record(dir.path());
    for words in answers(&record) {
        let mut command = bin();
        command.args(&words).stdin(Stdio::null()).stdout(full()).stderr(Stdio::piped());
        let (code, err) = said(&mut command.spawn().unwrap());
        assert_eq!(code, Some(1), "{words:?}: {err}");
        let expected = "error: cannot write to standard output: No space left";
        assert!(err.starts_with(expected) && err.lines().count() == 1, "{words:?}: {err}");
    }
}

#[test]
fn a_reader_that_has_gone_is_told_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let record = record(dir.path());
    for words in answers(&record) {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = bin();
        command.args(&words).stdin(Stdio::null()).stdout(writer).stderr(Stdio::piped());
        let (code, err) = said(&mut command.spawn().unwrap());
        assert_eq!((code, err.as_str()), (Some(141), ""), "{words:?}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn the_files_of_a_run_are_written_although_its_table_cannot_be() {
    let dir = tempfile::tempdir().unwrap();
    let (json, svg) = (dir.path().join("a.json"), dir.path().join("a.svg"));
    let mut command = bin();
    command.args(RUN).arg("--json").arg(&json).arg("--report").arg(&svg);
    let mut child = command.stdout(full()).stderr(Stdio::piped()).spawn().unwrap();
    let (code, err) = said(&mut child);
    assert_eq!(code, Some(1), "{err}");
    assert!(fs::read_to_string(json).unwrap().ends_with("}\n"));
    assert!(fs::read_to_string(svg).unwrap().trim_end().ends_with("</svg>"));
}

/// A run of an hour would not be waited for.
#[test]
fn the_files_of_a_run_are_opened_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let there = dir.path().join("there");
    fs::write(&there, "before").unwrap();
    let there = there.to_str().unwrap();
    for option in ["--json", "--report"] {
        let path = "/nowhere/at-all";
        let other = if option == "--json" { "--report" } else { "--json" };
        let words = ["bench", "--duration", "1h", other, there, option, path];
        let (code, out, err) = command::run(&words);
        assert_eq!((code, out.as_str()), (1, ""), "{err}");
        assert!(err.contains(path) && err.lines().count() == 1, "{err}");
    }
    assert_eq!(fs::read_to_string(there).unwrap(), "before");
    let words = ["bench", "--json", there, "--report", there];
    let (code, _, err) = command::run(&words);
    assert!(code == 2 && err.contains("same file"), "{err}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_file_that_is_full_is_named() {
    for option in ["--json", "--report"] {
        let (code, _, err) = command::run(&[RUN, &[option, "/dev/full"]].concat());
        assert_eq!(code, 1, "{err}");
        assert!(err.starts_with("error: /dev/full: No space left"), "{err}");
    }
}

/// A server is no answer: it serves whether its lines are read or not, but says so.
#[test]
#[cfg(target_os = "linux")]
fn a_server_whose_lines_cannot_be_written_says_so_and_serves() {
    let dir = tempfile::tempdir().unwrap();
    for workers in [&[][..], &["--workers", "threads:2"], &["--workers", "processes:2"]] {
        let path = dir.path().join("socket");
        let mut command = bin();
        command.args(["serve", "echo", "--unix"]).arg(&path).args(workers);
        command.stdin(Stdio::null()).stdout(full()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        stderr.read_line(&mut line).unwrap();
        let expected = "warning: cannot write to standard output: No space left";
        assert!(line.starts_with(expected), "{workers:?}: {line}");
        let mut client = command::unix(&path);
        assert_eq!(command::exchange(&mut client, b"still here"), b"still here");
        drop(client);
        Command::new("kill").arg(child.id().to_string()).status().unwrap();
        assert_eq!(command::wait(&mut child).code(), Some(0));
    }
}

/// The logger itself writes what is wrong with its filters, and panics when it cannot.
#[test]
fn a_log_that_cannot_be_written_is_no_panic() {
    let mut server = Server::start(&["echo", "--tcp", "127.0.0.1:0"]);
    let addr = server.tcp_addr();
    let (reader, closed) = std::io::pipe().unwrap();
    drop(reader);
    let mut ways: Vec<(&str, Stdio)> = vec![("closed pipe", closed.into())];
    if cfg!(target_os = "linux") {
        ways.push(("full", full().into()));
    }
    for (way, stderr) in ways {
        let mut connect = bin();
        connect.args(["connect", &addr]).stdin(Stdio::piped()).stdout(Stdio::piped());
        connect.env("RUST_LOG", "a=b=c,mio=loud,trace/one/two").stderr(stderr);
        let mut child = connect.spawn().unwrap();
        child.stdin.take().unwrap().write_all(b"hello").unwrap();
        let mut out = String::new();
        child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        let code = command::wait(&mut child).code();
        assert_eq!((code, out.as_str()), (Some(0), "hello"), "{way}");
    }
    for redirect in ["2>&-", "2>/dev/full"] {
        let script = format!("exec \"$0\" bench --check -c 2 {redirect}");
        let mut command = Command::new("sh");
        command.args(["-c", &script, BIN]).env("RUST_LOG", "a=b=c").stdout(Stdio::null());
        assert_eq!(command.status().unwrap().code(), Some(0), "{redirect}");
        let script = format!("exec \"$0\" serve echo --tcp 127.0.0.1:0 {redirect}");
        let mut command = Command::new("sh");
        command.args(["-c", &script, BIN]).env("RUST_LOG", "a=b=c,debug");
        let mut server = Server::of(&mut command);
        let mut client = command::tcp(&server.tcp_addr());
        assert_eq!(command::exchange(&mut client, b"hello"), b"hello");
        drop(client);
        server.stop();
    }
    server.stop();
}

#[test]
fn what_is_wrong_with_the_filters_of_the_log_is_told_once_and_the_rest_is_used() {
    let mut command = bin();
    command.args(["serve", "echo", "--tcp", "127.0.0.1:0"]).stderr(Stdio::piped());
    let mut server = Server::of(command.env("RUST_LOG", "a=b=c,info"));
    server.tcp_addr();
    server.signal("TERM");
    server.wait();
    let mut log = String::new();
    server.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    assert!(log.starts_with("warning: RUST_LOG: ") && log.contains("a=b=c"), "{log}");
    assert!(log.contains("stopped:") && log.matches("warning").count() == 1, "{log}");
}

/// A thread would make each call of the C library check for the others.
#[test]
#[cfg(target_os = "linux")]
fn a_server_with_one_loop_is_one_thread_also_when_it_has_said_something() {
    for workers in [&[][..], &["--workers", "processes:2"]] {
        let words = [&["serve", "echo", "--tcp", "localhost:0"][..], workers].concat();
        let mut command = bin();
        command.args(&words).env("RUST_LOG", "debug").stderr(Stdio::piped());
        let mut server = Server::of(&mut command);
        let addr = server.tcp_addr();
        for _ in 0..2 {
            assert_eq!(command::exchange(&mut command::tcp(&addr), b"hello"), b"hello");
        }
        let tasks = fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap();
        assert_eq!(tasks.count(), 1, "{workers:?}");
    }
}

/// Killed when the test ends.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Writes to it until it has no room.
fn fill(mut writer: impl Write + AsFd) {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    let has_room = |fd: BorrowedFd<'_>| {
        poll(&mut [PollFd::new(fd, PollFlags::POLLOUT)], PollTimeout::ZERO).unwrap() > 0
    };
    while has_room(writer.as_fd()) {
        writer.write_all(&[b'x'; 512]).unwrap();
    }
}

/// The line after what it was filled with, which must come in time.
fn line_behind(reader: impl Read + Send + 'static) -> String {
    let (sender, line) = channel();
    thread::spawn(move || {
        let mut line = String::new();
        BufReader::new(reader).read_line(&mut line).unwrap();
        sender.send(line.trim_start_matches('x').to_string()).unwrap();
    });
    line.recv_timeout(crate::waits::PATIENCE).unwrap()
}

#[test]
fn the_address_arrives_although_its_reader_comes_late() {
    let (pipe, pipe_writer) = std::io::pipe().unwrap();
    let (socket, socket_writer) = UnixStream::pair().unwrap();
    let ways: [(Box<dyn Read + Send>, OwnedFd); 2] =
        [(Box::new(pipe), pipe_writer.into()), (Box::new(socket), socket_writer.into())];
    for (reader, writer) in ways {
        fill(File::from(writer.try_clone().unwrap()));
        let addr = command::free_addr().to_string();
        let mut command = bin();
        command.args(["serve", "echo", "--tcp", &addr]).stdin(Stdio::null()).stdout(writer);
        let mut child = Killed(command.spawn().unwrap());
        let mut client = command::connect_soon(&addr);
        assert_eq!(command::exchange(&mut client, b"unread"), b"unread");
        assert_eq!(line_behind(reader), format!("listening tcp {addr}\n"));
        assert_eq!(command::exchange(&mut client, b"read"), b"read");
        drop(client);
        Command::new("kill").arg(child.0.id().to_string()).status().unwrap();
        assert_eq!(command::wait(&mut child.0).code(), Some(0));
    }
}

/// Starts a server on a terminal that is stopped as by Ctrl-S, talks to it, and reads the terminal then.
const STOPPED_TERMINAL: &str = "\
import atexit, os, pty, socket, subprocess, sys, termios, time
addr = sys.argv[2].rsplit(':', 1)
master, slave = pty.openpty()
termios.tcflow(slave, termios.TCOOFF)
server = subprocess.Popen([sys.argv[1], 'serve', 'echo', '--tcp', sys.argv[2]],
    stdin=subprocess.DEVNULL, stdout=slave, stderr=slave, env={'RUST_LOG': 'debug'})
atexit.register(server.kill)
end = time.monotonic() + 30
while True:
    try:
        client = socket.create_connection((addr[0], int(addr[1])), 30)
        break
    except OSError:
        if time.monotonic() > end:
            raise
for _ in range(3):
    client.sendall(b'unread')
    assert client.recv(6, socket.MSG_WAITALL) == b'unread'
    client.close()
    client = socket.create_connection((addr[0], int(addr[1])), 30)
termios.tcflow(slave, termios.TCOON)
written = b''
while b'has connected' not in written or b'listening tcp' not in written:
    written += os.read(master, 65536)
server.terminate()
client.close()
sys.exit(server.wait())
";

#[test]
fn a_terminal_that_is_stopped_stops_nothing() {
    if !has("python3") {
        return;
    }
    let addr = command::free_addr().to_string();
    let mut command = Command::new("timeout");
    // An interrupt lets it end its server before it goes itself.
    command.args(["-s", "INT", "60", "python3", "-c", STOPPED_TERMINAL, BIN, &addr]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
}
