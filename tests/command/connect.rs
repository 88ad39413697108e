//! The interactive client: bytes both ways, ends, exit codes, and servers and scripts of every kind.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, Socket, Type};

use crate::command::{self, BIN, Server, bin, has, run};
use crate::waits::{PATIENCE, pace, until, until_still};

/// A running `connect`, killed when the test ends.
struct Client {
    child: Child,
    stdin: Option<ChildStdin>,
}

/// How it ended.
#[derive(Debug, Eq, PartialEq)]
struct Ended {
    code: Option<i32>,
    out: Vec<u8>,
    err: String,
}

impl Client {
    fn start<S: AsRef<OsStr>>(words: &[S]) -> Client {
        Client::of(bin().arg("connect").args(words).stdin(Stdio::piped()))
    }

    fn of(command: &mut Command) -> Client {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdin = child.stdin.take();
        Client { child, stdin }
    }

    fn say(&mut self, bytes: &[u8]) {
        self.stdin.as_mut().unwrap().write_all(bytes).unwrap();
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }

    /// Everything that is left to read, and the end. Standard input stays open if it is.
    fn wait(&mut self) -> Ended {
        let mut stdout = self.child.stdout.take().unwrap();
        let reader = thread::spawn(move || command::read_to_end(&mut stdout));
        let code = command::wait(&mut self.child).code();
        let mut err = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        Ended { code, out: reader.join().unwrap(), err }
    }

    /// The most memory it ever used, in KiB.
    fn peak(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `connect` with this input and then its end.
fn talk<S: AsRef<OsStr>>(words: &[S], input: &[u8]) -> Ended {
    let mut client = Client::start(words);
    let mut stdin = client.stdin.take().unwrap();
    let input = input.to_vec();
    // It may not want all of it.
    let writer = thread::spawn(move || stdin.write_all(&input).is_ok());
    let ended = client.wait();
    writer.join().unwrap();
    ended
}

/// What it should come to: nothing on standard error.
fn clean(out: &[u8]) -> Ended {
    Ended { code: Some(0), out: out.to_vec(), err: String::new() }
}

/// A server of one connection.
fn once<T: Send + 'static>(
    serve: impl FnOnce(TcpStream) -> T + Send + 'static,
) -> (String, JoinHandle<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let serving = thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        serve(stream)
    });
    (addr, serving)
}

fn pattern(len: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..len).map(|_| next()).collect()
}

/// Waits until a count stands still.
fn settle(count: &AtomicUsize) -> usize {
    let now = || count.load(Ordering::Acquire);
    until("a beginning", || now() > 0);
    until_still(Duration::from_millis(300), now)
}

#[test]
fn every_transport_carries_any_bytes_there_and_back() {
    let dir = tempfile::tempdir().unwrap();
    let (stream, gram) = (dir.path().join("stream"), dir.path().join("gram"));
    let (stream, gram) = (stream.to_str().unwrap(), gram.to_str().unwrap());
    let words = ["echo", "--tcp", "127.0.0.1:0", "--tcp", "[::1]:0", "--udp", "127.0.0.1:0"];
    let words = [&words[..], &["--unix", stream, "--unixgram", gram]].concat();
    let mut server = Server::start(&words);
    let (tcp, six) = (server.tcp_addr(), server.tcp_addr());
    let udp = server.line().strip_prefix("listening udp ").unwrap().to_string();
    server.line();
    server.line();
    let port = tcp.rsplit(':').next().unwrap();
    let every_byte: Vec<u8> = (0..=255).collect();
    let inputs =
        [&b"hello\n"[..], b"no newline at the end", b"\r\n\0\xFF\xFE\n\n", &every_byte, b""];
    for input in inputs {
        for words in [
            &["--tcp", &tcp][..],
            &["--tcp", &six],
            &[&tcp],
            &[&format!("localhost:{port}")],
            &["--unix", stream],
            &[stream],
            &[&format!("unix:{stream}")],
            &["--udp", &udp, "--wait", "300ms"],
            &["--unixgram", gram, "--wait", "300ms"],
        ] {
            assert_eq!(talk(words, input), clean(input), "{words:?}");
        }
    }
    server.stop();
}

#[test]
fn after_the_end_of_input_the_rest_is_printed() {
    let answer = pattern(1 << 20);
    let copy = answer.clone();
    let (addr, serving) = once(move |mut stream| {
        let question = command::read_to_end(&mut stream);
        stream.write_all(&copy).unwrap();
        question
    });
    assert_eq!(talk(&[&addr], b"the question"), clean(&answer));
    assert_eq!(serving.join().unwrap(), b"the question");
}

#[test]
fn what_comes_is_printed_as_it_comes() {
    let mut server = Server::start(&["echo", "--tcp", "127.0.0.1:0"]);
    let mut client = Client::start(&[server.tcp_addr()]);
    let mut out = client.child.stdout.take().unwrap();
    for line in [&b"first\n"[..], b"without an end"] {
        client.say(line);
        let mut answer = vec![0; line.len()];
        out.read_exact(&mut answer).unwrap();
        assert_eq!(answer, line);
    }
    client.child.stdout = Some(out);
    drop(client.stdin.take());
    assert_eq!(client.wait(), clean(b""));
    server.stop();
}

#[test]
fn big_input_comes_back_byte_by_byte_over_streams() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("echo");
    let path = path.to_str().unwrap();
    let mut server = Server::start(&["echo", "--tcp", "127.0.0.1:0", "--unix", path]);
    let addr = server.tcp_addr();
    server.line();
    let input = pattern(20 << 20);
    for there in [&addr, path] {
        let ended = talk(&[there], &input);
        assert!(ended.out == input, "{} of {} bytes", ended.out.len(), input.len());
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
    }
    // And from a file.
    let file = dir.path().join("file");
    fs::write(&file, &input).unwrap();
    let file = fs::File::open(&file).unwrap();
    let ended = Client::of(bin().args(["connect", &addr]).stdin(file)).wait();
    assert!(ended.out == input && ended.code == Some(0), "{}", ended.err);
    server.stop();
}

#[test]
fn without_input_it_prints_what_the_server_sends() {
    let mut server = Server::start(&["daytime", "--tcp", "127.0.0.1:0"]);
    let addr = server.tcp_addr();
    let mut words = bin();
    let null = Client::of(words.args(["connect", &addr]).stdin(Stdio::null())).wait();
    let mut shell = Command::new("sh");
    let shell = shell.args(["-c", "exec \"$0\" connect \"$1\" <&-", BIN, &addr]);
    let closed = Client::of(shell).wait();
    // Open, but silent: the server's end is the end.
    let mut silent = Client::start(&[addr.as_str(), "--wait", "50ms"]);
    for ended in [null, closed, silent.wait()] {
        let text = String::from_utf8(ended.out).unwrap();
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{text}");
        assert!(text.ends_with("\r\n") && text.contains(':'), "{text}");
    }
    server.stop();
}

#[test]
fn input_goes_on_when_only_the_servers_direction_has_ended() {
    let (addr, serving) = once(|mut stream| {
        stream.write_all(b"I listen").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        command::read_to_end(&mut stream)
    });
    let input = pattern(8 << 20);
    assert_eq!(talk(&[addr.as_str(), "--wait", "20s"], &input), clean(b"I listen"));
    assert!(serving.join().unwrap() == input);
}

#[test]
fn who_cannot_be_reached_is_named_with_the_reason_and_1() {
    let free = command::free_addr().to_string();
    let dir = tempfile::tempdir().unwrap();
    let (none, dead, dead_gram) =
        (dir.path().join("none"), dir.path().join("dead"), dir.path().join("dead_gram"));
    drop(UnixListener::bind(&dead).unwrap());
    drop(UnixDatagram::bind(&dead_gram).unwrap());
    let (none, dead, dead_gram) =
        (none.to_str().unwrap(), dead.to_str().unwrap(), dead_gram.to_str().unwrap());
    for (words, why) in [
        (&[free.as_str()][..], "refused"),
        (&["--udp", &free], "refused"),
        (&["--unix", none], "No such file"),
        (&["--unix", dead], "refused"),
        (&["--unixgram", none], "No such file"),
        (&["--unixgram", dead_gram], "refused"),
        (&["nobody.invalid:7000"], "lookup"),
        (&["--udp", "nobody.invalid:7000"], "lookup"),
    ] {
        let Ended { code, out, err } = talk(words, b"anybody?\n");
        let named = err.contains(words.last().unwrap());
        assert!(
            code == Some(1) && out.is_empty() && named && err.contains(why),
            "{words:?}: {err}"
        );
        assert_eq!(err.lines().count(), 1, "{err}");
    }
}

#[test]
fn a_connection_that_does_not_stand_in_time_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("full");
    let any: std::net::SocketAddr = "127.0.0.1:0".parse().unwrap();
    for (domain, own) in
        [(Domain::IPV4, SockAddr::from(any)), (Domain::UNIX, SockAddr::unix(&path).unwrap())]
    {
        // Nobody accepts, and the backlog is full.
        let full = Socket::new(domain, Type::STREAM, None).unwrap();
        full.bind(&own).unwrap();
        full.listen(0).unwrap();
        let there = full.local_addr().unwrap();
        let clients: Vec<Socket> = (0..4)
            .map(|_| {
                let client = Socket::new(domain, Type::STREAM, None).unwrap();
                client.set_nonblocking(true).unwrap();
                let _ = client.connect(&there);
                client
            })
            .collect();
        let addr = there.as_socket().map_or(path.display().to_string(), |addr| addr.to_string());
        let ended = talk(&[addr.as_str(), "--timeout", "100ms"], b"");
        assert!(ended.code == Some(1) && ended.err.contains("timed out"), "{}", ended.err);
        assert!(ended.err.contains(&addr), "{}", ended.err);
        drop(clients);
    }
}

#[test]
fn a_server_that_resets_is_named_with_the_reason_and_1() {
    let (addr, serving) = once(|mut stream| {
        stream.write_all(b"so far").unwrap();
        stream.read_exact(&mut [0; 5]).unwrap();
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    });
    let mut client = Client::start(&[&addr]);
    let mut out = client.child.stdout.take().unwrap();
    let mut so_far = [0; 6];
    out.read_exact(&mut so_far).unwrap();
    assert_eq!(&so_far, b"so far");
    client.child.stdout = Some(out);
    client.say(b"reset");
    let ended = client.wait();
    serving.join().unwrap();
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    assert!(ended.err.contains(&addr) && ended.err.contains("reset"), "{}", ended.err);
}

#[test]
fn every_bad_argument_exits_with_2_and_names_the_culprit() {
    for (words, culprit) in [
        (&[][..], "ADDR"),
        (&["localhost"], "localhost"),
        (&["localhost:0"], "localhost:0"),
        (&["localhost:99999"], "99999"),
        (&["--tcp", ""], "--tcp"),
        (&["--unix", ""], "--unix"),
        (&["unix:"], "empty"),
        (&["--tcp", "127.0.0.1:1", "--udp", "127.0.0.1:1"], "--udp"),
        (&["127.0.0.1:1", "127.0.0.1:2"], "127.0.0.1:2"),
        (&["127.0.0.1:1", "--wait", "1"], "--wait"),
        (&["127.0.0.1:1", "--timeout", "soon"], "soon"),
        (&["127.0.0.1:1", "--wrong"], "--wrong"),
    ] {
        let (code, out, err) = run(&[&["connect"], words].concat());
        assert_eq!((code, out.as_str()), (2, ""), "{words:?}: {err}");
        assert!(err.contains(culprit) && !err.contains("panicked"), "{words:?}: {err}");
    }
}

#[test]
fn a_signal_ends_it_at_once_even_when_nobody_reads_its_output() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let sent = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&sent);
        let (addr, serving) = once(move |mut stream| {
            let piece = [b'x'; 1 << 12];
            while let Ok(n) = stream.write(&piece) {
                count.fetch_add(n, Ordering::AcqRel);
            }
        });
        let mut client = Client::start(&[&addr]);
        // Standard output is full, and so is every buffer on the way.
        let total = settle(&sent);
        assert!(total < 30 << 20, "{total} bytes were taken from the server");
        assert!(client.peak() < 30 << 10, "{} KiB", client.peak());
        let begun = Instant::now();
        client.signal(signal);
        assert_eq!(command::wait(&mut client.child).code(), Some(code));
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        serving.join().unwrap();
    }
}

#[test]
fn a_unix_datagram_client_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("server");
    let own = dir.path().join("tmp");
    fs::create_dir(&own).unwrap();
    let server = UnixDatagram::bind(&path).unwrap();
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut command = bin();
    command.args(["connect", "--unixgram", path.to_str().unwrap()]).env("TMPDIR", &own);
    for signal in [None, Some("INT")] {
        let mut client = Client::of(command.stdin(Stdio::piped()));
        client.say(b"hello\n");
        let mut packet = [0; 100];
        let (n, peer) = server.recv_from(&mut packet).unwrap();
        assert_eq!(&packet[..n], b"hello\n");
        let name = peer.as_pathname().unwrap();
        assert!(name.starts_with(&own) && fs::read_dir(&own).unwrap().count() == 1);
        server.send_to(b"answer", name).unwrap();
        if let Some(signal) = signal {
            client.signal(signal);
            assert_eq!(client.wait().code, Some(130));
        } else {
            drop(client.stdin.take());
            assert_eq!(client.wait(), clean(b"answer"));
        }
        assert_eq!(fs::read_dir(&own).unwrap().count(), 0);
    }
}

#[test]
fn whoever_stops_reading_the_output_ends_it() {
    let mut echo = Server::start(&["echo", "--tcp", "127.0.0.1:0"]);
    let mut chargen = Server::start(&["chargen", "--tcp", "127.0.0.1:0"]);
    let (echo_addr, chargen_addr) = (echo.tcp_addr(), chargen.tcp_addr());
    // The last server falls silent, so no write ever tells that the reader is gone.
    let (silent, serving) = once(|mut stream| {
        stream.write_all(b"x\n").unwrap();
        command::read_to_end(&mut stream);
        // Open until the end of the test.
        stream
    });
    for (input, addr) in [("yes", &echo_addr), ("true", &chargen_addr), ("true", &silent)] {
        if addr == &silent && !cfg!(target_os = "linux") {
            continue;
        }
        let connect = "{ \"$0\" connect \"$1\"; echo \"code $?\" >&2; }";
        let script = format!("{input} | {connect} | head -c 1 > /dev/null");
        let ended = Client::of(Command::new("sh").args(["-c", &script, BIN, addr])).wait();
        assert_eq!(ended.err, "code 141\n", "{input} to {addr}");
    }
    drop(serving);
    echo.stop();
    drop(chargen);
}

#[test]
fn output_that_is_full_or_closed_is_no_hang() {
    let mut server = Server::start(&["echo", "--tcp", "127.0.0.1:0"]);
    let addr = server.tcp_addr();
    for (redirect, code, what) in [(">/dev/full", 1, "standard output"), (">&-", 0, "")] {
        let script = format!("echo hello | \"$0\" connect \"$1\" {redirect}");
        let ended = Client::of(Command::new("sh").args(["-c", &script, BIN, &addr])).wait();
        assert_eq!(ended.code, Some(code), "{}", ended.err);
        assert!(ended.err.contains(what) && what.is_empty() == ended.err.is_empty());
    }
    server.stop();
}

#[test]
fn a_server_that_never_reads_costs_no_memory_and_loses_nothing_when_it_does() {
    const TOTAL: usize = 64 << 20;
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let (addr, serving) = once(move |mut stream| {
        wait.recv().unwrap();
        command::read_to_end(&mut stream).len()
    });
    let mut client = Client::start(&[&addr]);
    let mut stdin = client.stdin.take().unwrap();
    let typed = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&typed);
    let yes = thread::spawn(move || {
        let piece = b"y\n".repeat(1 << 12);
        while count.load(Ordering::Acquire) < TOTAL {
            stdin.write_all(&piece).unwrap();
            count.fetch_add(piece.len(), Ordering::AcqRel);
        }
    });
    let taken = settle(&typed);
    assert!(taken < TOTAL / 2, "{taken} bytes were taken");
    assert!(client.peak() < 30 << 10, "{} KiB", client.peak());
    go.send(()).unwrap();
    yes.join().unwrap();
    assert_eq!(client.wait(), clean(b""));
    assert_eq!(serving.join().unwrap(), TOTAL);
}

#[test]
fn two_clients_chat() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("chat");
    let path = path.to_str().unwrap();
    let mut server = Server::start(&["chat", "--tcp", "127.0.0.1:0", "--unix", path]);
    let addr = server.tcp_addr();
    server.line();
    let mut one = Client::start(&[&addr]);
    // Somebody has to hear that it is in the room before the other speaks.
    let mut witness = command::tcp(&addr);
    witness.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let end = Instant::now() + PATIENCE;
    while witness.read(&mut [0; 100]).is_err() {
        assert!(Instant::now() < end, "it is not heard");
        one.say(b"I am here\n");
    }
    drop(witness);
    let mut one_hears = BufReader::new(one.child.stdout.take().unwrap());
    let mut two = Client::start(&[path]);
    let mut two_hears = BufReader::new(two.child.stdout.take().unwrap());
    two.say(b"hello, one\n");
    let mut line = String::new();
    one_hears.read_line(&mut line).unwrap();
    one.say(b"hello, two\n");
    two_hears.read_line(&mut line).unwrap();
    assert_eq!(line, "hello, one\nhello, two\n");
    drop(two.stdin.take());
    assert_eq!(command::wait(&mut two.child).code(), Some(0));
    drop(one.stdin.take());
    assert_eq!(command::wait(&mut one.child).code(), Some(0));
    server.stop();
}

#[test]
fn each_line_is_a_datagram_and_none_is_lost_to_a_slow_unix_server() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("slow");
    let server = UnixDatagram::bind(&path).unwrap();
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    let lines: Vec<String> = (0..2_000).map(|n| format!("line {n}\n")).collect();
    let text = lines.concat();
    let mut client = Client::start(&["--unixgram", path.to_str().unwrap(), "--wait", "0s"]);
    let mut stdin = client.stdin.take().unwrap();
    let writer = thread::spawn(move || stdin.write_all(text.as_bytes()).unwrap());
    let mut packet = [0; 100];
    for line in lines {
        let n = server.recv(&mut packet).unwrap();
        assert_eq!(&packet[..n], line.as_bytes());
    }
    writer.join().unwrap();
    assert_eq!(client.wait(), clean(b""));
}

#[test]
fn a_unix_datagram_server_that_goes_is_noticed_by_the_next_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("server");
    let server = UnixDatagram::bind(&path).unwrap();
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut client = Client::start(&["--unixgram", path.to_str().unwrap()]);
    client.say(b"first\n");
    server.recv(&mut [0; 100]).unwrap();
    drop(server);
    client.say(b"second\n");
    let ended = client.wait();
    assert!(ended.code == Some(1) && ended.err.contains(path.to_str().unwrap()), "{}", ended.err);
}

#[test]
fn silence_after_the_last_answer_ends_the_wait_and_each_answer_begins_it_anew() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    server.set_read_timeout(Some(PATIENCE)).unwrap();
    let addr = server.local_addr().unwrap().to_string();
    let answering = thread::spawn(move || {
        let (n, peer) = server.recv_from(&mut [0; 100]).unwrap();
        assert_eq!(n, "how are you?\n".len());
        for answer in ["well", ", ", "thank ", "you\n"] {
            server.send_to(answer.as_bytes(), peer).unwrap();
            // The pace of the server is what is tested.
            pace(Duration::from_millis(200));
        }
    });
    let begun = Instant::now();
    let ended = talk(&["--udp", &addr, "--wait", "500ms"], b"how are you?\n");
    let took = begun.elapsed();
    assert_eq!(ended, clean(b"well, thank you\n"));
    assert!(took > Duration::from_secs(1) && took < Duration::from_secs(10), "{took:?}");
    answering.join().unwrap();
}

/// Python's own socketserver, from its documentation but for the port.
#[test]
fn the_servers_of_python_are_talked_to() {
    if !has("python3") {
        return;
    }
    const SERVER: &str = "\
import socketserver, sys

class MyTCPHandler(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(line.upper())

class MyUDPHandler(socketserver.BaseRequestHandler):
    def handle(self):
        data, socket = self.request
        socket.sendto(data.upper(), self.client_address)

kind, handler = {
    'tcp': (socketserver.TCPServer, MyTCPHandler),
    'udp': (socketserver.UDPServer, MyUDPHandler),
}[sys.argv[1]]
with kind(('127.0.0.1', 0), handler) as server:
    print(server.server_address[1], flush=True)
    server.serve_forever()
";
    for kind in ["tcp", "udp"] {
        let mut python = Server::of(Command::new("python3").args(["-c", SERVER, kind]));
        let addr = format!("127.0.0.1:{}", python.line());
        let ended = talk(&[&format!("--{kind}"), &addr], b"hello\nworld\n");
        assert_eq!(ended, clean(b"HELLO\nWORLD\n"), "{kind}");
    }
}

/// A person at a terminal: lines, the server's end, and Ctrl-C.
#[test]
fn at_a_terminal_it_greets_and_ends_with_the_server_or_at_ctrl_c() {
    if !has("python3") {
        return;
    }
    const PERSON: &str = "\
import os, pty, sys
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], [sys.argv[1], 'connect', sys.argv[2]])
seen = b''
def until(text):
    global seen
    while text not in seen:
        seen += os.read(terminal, 1024)
until(b'connected to')
os.write(terminal, b'hello\\n')
until(b'HELLO')
os.write(terminal, sys.argv[3].encode())
status = os.waitpid(pid, 0)[1]
print(os.waitstatus_to_exitcode(status))
";
    for (typed, code) in [("\u{3}", "130\n"), ("bye\n", "0\n"), ("\u{4}", "0\n")] {
        let (addr, serving) = once(|stream| {
            let mut lines = BufReader::new(stream.try_clone().unwrap());
            let mut line = String::new();
            while lines.read_line(&mut line).is_ok_and(|n| n > 0) && line != "bye\n" {
                (&stream).write_all(line.to_uppercase().as_bytes()).unwrap();
                line.clear();
            }
        });
        let mut python = Command::new("python3");
        let ended = Client::of(python.args(["-c", PERSON, BIN, &addr, typed])).wait();
        assert_eq!(String::from_utf8_lossy(&ended.out), code, "{}", ended.err);
        serving.join().unwrap();
    }
}

/// Closed standard input is at its end; one that is open and cannot be read is an error.
#[test]
fn standard_input_that_cannot_be_read_is_an_error() {
    let mut server = Server::start(&["echo", "--tcp", "127.0.0.1:0"]);
    let addr = server.tcp_addr();
    let write_only = tempfile::tempfile().unwrap();
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&write_only));
    let Ok(write_only) = std::fs::OpenOptions::new().write(true).open(path) else { return };
    let output = bin().args(["connect", &addr]).stdin(write_only).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("standard input"), "{said}");
}
