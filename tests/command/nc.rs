//! What scripts expect of a client from nc: input that says nothing ends nothing, a host and its
//! port apart, servers that vanish, and datagrams that nobody answers.

use std::ffi::OsStr;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::process::{Child, Command, Output, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::command::{self, BIN, bin, has};
use crate::read_some::ReadSome;
use crate::waits::{PATIENCE, pace};

/// How long a server looks for an end that must not come.
const SILENCE: Duration = Duration::from_millis(300);

fn connect<S: AsRef<OsStr>>(words: &[S]) -> Command {
    let mut command = bin();
    command.arg("connect").args(words).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn ended(mut child: Child) -> (Option<i32>, Vec<u8>, String) {
    let mut stdout = child.stdout.take().unwrap();
    let reader = thread::spawn(move || command::read_to_end(&mut stdout));
    let code = command::wait(&mut child).code();
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    (code, reader.join().unwrap(), err)
}

fn of_output(output: Output) -> (Option<i32>, Vec<u8>, String) {
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), output.stdout, err)
}

fn clean(out: &[u8]) -> (Option<i32>, Vec<u8>, String) {
    (Some(0), out.to_vec(), String::new())
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

/// One that leaves when its client ends, as many do, and otherwise has more to say.
fn leaver() -> (String, JoinHandle<Vec<u8>>) {
    once(|mut stream| {
        stream.write_all(b"first, ").unwrap();
        let mut heard = Vec::new();
        stream.set_read_timeout(Some(SILENCE)).unwrap();
        if let Err(error) = stream.read_to_end(&mut heard) {
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            stream.write_all(b"and last").unwrap();
        }
        heard
    })
}

#[test]
fn no_input_at_all_ends_nothing() {
    for (stdin, how) in [("</dev/null", ""), ("<&-", ""), ("</dev/null", "--wait 10ms")] {
        let (addr, serving) = leaver();
        let script = format!("exec \"$0\" connect {addr} {how} {stdin}");
        let output = Command::new("sh").args(["-c", &script, BIN]).output().unwrap();
        assert_eq!(of_output(output), clean(b"first, and last"), "{stdin} {how}");
        assert_eq!(serving.join().unwrap(), b"");
    }
}

#[test]
fn the_end_of_an_empty_input_is_told_once_the_server_is_silent() {
    // Not at once.
    let (addr, serving) = leaver();
    let mut child = connect(&[&*addr, "--wait", "1h"]).stdin(Stdio::piped()).spawn().unwrap();
    drop(child.stdin.take());
    assert_eq!(ended(child), clean(b"first, and last"));
    serving.join().unwrap();
    // But in the end, or neither would ever go.
    let (addr, serving) = once(|mut stream| {
        stream.write_all(b"all there is").unwrap();
        command::read_to_end(&mut stream)
    });
    let mut child = connect(&[&*addr, "--wait", "100ms"]).stdin(Stdio::piped()).spawn().unwrap();
    drop(child.stdin.take());
    assert_eq!(ended(child), clean(b"all there is"));
    assert_eq!(serving.join().unwrap(), b"");
}

#[test]
fn what_was_typed_is_ended_at_once_unless_that_is_forbidden() {
    let talk = |words: &[&str]| {
        let (addr, serving) = leaver();
        let mut child = connect(words).arg(&addr).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(b"question").unwrap();
        let ended = ended(child);
        assert_eq!(serving.join().unwrap(), b"question");
        ended
    };
    assert_eq!(talk(&["--wait", "1h"]), clean(b"first, "));
    assert_eq!(talk(&["--no-half-close", "--wait", "10ms"]), clean(b"first, and last"));
}

#[test]
fn with_d_standard_input_is_not_read() {
    for option in ["-d", "--no-stdin"] {
        let (addr, serving) = leaver();
        let (reader, writer) = std::io::pipe().unwrap();
        (&writer).write_all(b"for somebody else").unwrap();
        let client = connect(&[option, &addr]).stdin(reader.try_clone().unwrap()).spawn().unwrap();
        assert_eq!(ended(client), clean(b"first, and last"));
        assert_eq!(serving.join().unwrap(), b"", "{option}");
        drop(writer);
        let mut left = String::new();
        (&reader).read_to_string(&mut left).unwrap();
        assert_eq!(left, "for somebody else");
    }
}

#[test]
fn after_the_servers_end_nothing_is_waited_for_that_cannot_come() {
    for words in [&["--no-half-close", "--wait", "1h"][..], &["-d", "--wait", "1h"]] {
        let (addr, serving) = once(|mut stream| {
            stream.write_all(b"bye").unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            command::read_to_end(&mut stream)
        });
        let mut child = connect(words).arg(&addr).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(b"more").unwrap();
        assert_eq!(ended(child), clean(b"bye"), "{words:?}");
        let heard = if words.contains(&"-d") { &b""[..] } else { b"more" };
        assert_eq!(serving.join().unwrap(), heard);
    }
}

#[test]
fn a_host_and_its_port_may_be_two_words() {
    let listeners = ["127.0.0.1:0", "[::1]:0"].map(|addr| TcpListener::bind(addr).unwrap());
    for (listener, host) in listeners.into_iter().zip(["127.0.0.1", "::1"]) {
        let port = listener.local_addr().unwrap().port().to_string();
        let serving = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(b"found").unwrap();
        });
        let client = connect(&[host, &port]).stdin(Stdio::null()).spawn().unwrap();
        assert_eq!(ended(client), clean(b"found"));
        serving.join().unwrap();
    }
    for (words, culprit) in [
        (["localhost", "0"], "localhost:0"),
        (["localhost", "http"], "localhost:http"),
        (["localhost:1", "2"], "localhost:1"),
        (["/tmp/socket", "1"], "/tmp/socket"),
    ] {
        let (code, _, err) = command::run(&[&["connect"][..], &words].concat());
        assert!(code == 2 && err.contains(culprit), "{words:?}: {err}");
    }
}

/// It accepts, and then it is as good as gone.
#[test]
fn a_server_that_takes_nothing_is_given_up_after_the_timeout() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let unix = UnixListener::bind(&path).unwrap();
    let tcp_addr = tcp.local_addr().unwrap().to_string();
    let unix_addr = path.to_str().unwrap().to_string();
    for addr in [tcp_addr, unix_addr] {
        let words = [addr.as_str(), "--timeout", "1s"];
        let mut child = connect(&words).stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // More than every buffer on the way holds.
        let writer = thread::spawn(move || while stdin.write_all(&[7; 1 << 16]).is_ok() {});
        let (code, _, err) = ended(child);
        writer.join().unwrap();
        assert_eq!(code, Some(1), "{addr}: {err}");
        assert!(err.contains(&addr) && err.contains("took nothing for 1s"), "{err}");
    }
    drop((tcp, unix));
}

/// It reads so slowly that for longer than the timeout no buffer here reports room: only what is not
/// acknowledged, or not read, says that it reads at all.
#[test]
#[cfg(target_os = "linux")]
fn a_server_is_not_given_up_while_what_it_has_not_taken_becomes_less() {
    const TIMEOUT: Duration = Duration::from_secs(3);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    // As over Ethernet: over loopback a segment is what this server reads in seconds. And so little
    // room that its window never holds what the client would like to send at once.
    socket2::SockRef::from(&tcp).set_tcp_mss(1_448).unwrap();
    socket2::SockRef::from(&tcp).set_recv_buffer_size(8_192).unwrap();
    let unix = UnixListener::bind(&path).unwrap();
    let (tcp_addr, unix_addr) = (tcp.local_addr().unwrap().to_string(), path.to_str().unwrap());
    let start = |addr: &str| {
        let mut child = connect(&[addr, "--timeout", "3s"]).stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let writer = thread::spawn(move || while stdin.write_all(&[7; 1 << 16]).is_ok() {});
        (child, writer)
    };
    let children = [start(&tcp_addr), start(unix_addr)];
    let (mut tcp, mut unix) = (tcp.accept().unwrap().0, unix.accept().unwrap().0);
    let began = Instant::now();
    while began.elapsed() < 4 * TIMEOUT {
        tcp.read_exact(&mut [0; 1 << 9]).unwrap();
        unix.read_exact(&mut [0; 1 << 12]).unwrap();
        // Its pace is what is tested.
        pace(Duration::from_millis(100));
    }
    for (mut child, writer) in children {
        assert!(child.try_wait().unwrap().is_none(), "{}", ended(child).2);
        child.kill().unwrap();
        child.wait().unwrap();
        writer.join().unwrap();
    }
}

/// One that takes little, but takes it, is not.
#[test]
fn a_server_that_is_slow_is_not_given_up() {
    const TOTAL: usize = 3 << 20;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let words = [path.to_str().unwrap(), "--timeout", "5s"];
    let mut child = connect(&words).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = thread::spawn(move || stdin.write_all(&vec![7; TOTAL]).unwrap());
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut taken = 0;
    let mut piece = vec![0; 1 << 17];
    while taken < TOTAL {
        taken += stream.read_some(&mut piece).unwrap();
        // Its pace is what is tested.
        pace(Duration::from_millis(50));
    }
    writer.join().unwrap();
    drop(stream);
    assert_eq!(ended(child).0, Some(0));
}

/// A network of its own, which goes down when both ends are connected.
#[test]
#[cfg(target_os = "linux")]
fn a_server_that_vanishes_is_noticed_while_sending_and_while_receiving() {
    if !has("unshare") || !has("ip") {
        return;
    }
    const SCRIPT: &str = "\
ip link set lo up || exit 77
cd \"$1\"
mkfifo input
\"$0\" serve echo --tcp 127.0.0.1:7000 > line &
server=$!
until [ -s line ]; do sleep 0.01; done
timeout 60 \"$0\" connect --timeout 1s 127.0.0.1:7000 < input > output 2> error &
client=$!
exec 3> input
echo hello >&3
until [ -s output ]; do sleep 0.01; done
ip link set lo down
[ \"$2\" = sending ] && echo again >&3
wait $client
echo \"code $?\"
kill -9 $server
";
    for what in ["sending", "receiving"] {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new("unshare");
        command.args(["--net", "sh", "-c", SCRIPT, BIN]).arg(dir.path()).arg(what);
        let (code, out, err) = of_output(command.output().unwrap());
        if code == Some(77) || err.contains("not permitted") {
            println!("skipped: no network of its own can be had: {err}");
            return;
        }
        let said = std::fs::read_to_string(dir.path().join("error")).unwrap();
        assert_eq!(String::from_utf8_lossy(&out), "code 1\n", "{what}: {said}{err}");
        assert!(said.contains("127.0.0.1:7000") && said.contains("broke"), "{what}: {said}");
    }
}

/// Sends this input to a socket; gives what became of it.
fn send(words: &[&str], input: &[u8]) -> (Option<i32>, Vec<u8>, String) {
    let mut child = connect(words).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    ended(child)
}

#[test]
fn a_datagram_without_an_answer_is_a_failure_if_one_was_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("silent");
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let gram = UnixDatagram::bind(&path).unwrap();
    let udp = ["--udp", &silent.local_addr().unwrap().to_string()].map(String::from);
    let unix = ["--unixgram".to_string(), path.to_str().unwrap().to_string()];
    for [option, addr] in [udp, unix] {
        let words = [option.as_str(), &addr, "--wait", "100ms"];
        let (code, out, err) = send(&words, b"anybody?\n");
        assert_eq!((code, out.as_slice()), (Some(1), &b""[..]), "{err}");
        assert!(err.contains("no answer") && err.contains(&addr), "{err}");
        assert_eq!(send(&[&option, &addr, "--wait", "0s"], b"nobody?\n"), clean(b""));
        // Nothing was asked.
        assert_eq!(send(&words, b""), clean(b""));
    }
    drop((silent, gram));
}

#[test]
fn fewer_answers_than_datagrams_are_a_failure_and_more_are_none() {
    for (answers, code) in [(1, Some(1)), (2, Some(0)), (3, Some(0))] {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        server.set_read_timeout(Some(PATIENCE)).unwrap();
        let addr = server.local_addr().unwrap().to_string();
        let serving = thread::spawn(move || {
            let mut peer = None;
            for _ in 0..2 {
                peer = Some(server.recv_from(&mut [0; 16]).unwrap().1);
            }
            for _ in 0..answers {
                // An empty one is an answer too.
                server.send_to(b"", peer.unwrap()).unwrap();
            }
            // Open until all were taken, so that none is refused.
            server
        });
        let ended = send(&["--udp", &addr, "--wait", "500ms"], b"one\ntwo\n");
        assert_eq!((ended.0, ended.1.as_slice()), (code, &b""[..]), "{answers}: {}", ended.2);
        assert_eq!(ended.2.contains("2 datagrams were sent"), code == Some(1), "{}", ended.2);
        drop(serving.join().unwrap());
    }
}
