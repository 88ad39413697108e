//! The options of `bench`, and of the client processes it starts.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use serde_json::Value;

use crate::command::{self, Server, bin};
use crate::waits::PATIENCE;

trials! {
    tcp: "bench --tcp", || drives("tcp");
    udp: "bench --udp", || drives("udp");
    unix: "bench --unix", || drives("unix");
    unixgram: "bench --unixgram", || drives("unixgram");
    pid: "bench --pid", pid;
    transport: "bench --transport", transport;
    loops: "bench --loops", || passes_on(&["--loops", "2"]);
    balance: "bench --balance", || passes_on(&["--loops", "2", "--balance", "reuseport"]);
    workers: "bench --workers", || passes_on(&["--workers", "threads:60"]);
    connections: "bench --connections", connections;
    pipeline: "bench --pipeline", pipeline;
    size: "bench --size", size;
    rate: "bench --rate", rate;
    churn: "bench --churn", churn;
    idle: "bench --idle", idle;
    bulk: "bench --bulk", bulk;
    warmup: "bench --warmup", warmup;
    duration: "bench --duration", duration;
    clients: "bench --clients", clients;
    json: "bench --json", json;
    report: "bench --report", report;
    syscalls: "bench --syscalls", syscalls;
    check: "bench --check", check;
    compare: "bench --compare", compare;
    servers: "bench-client SERVERS", servers_of_a_client;
}

const SHORT: [&str; 4] = ["--warmup", "10ms", "--duration", "60ms"];

/// The record of a run, and what it wrote.
fn run(words: &[&str]) -> (Value, String) {
    let dir = tempfile::tempdir().unwrap();
    let json = dir.path().join("run.json");
    let all = [&["bench", "--json", json.to_str().unwrap()][..], words].concat();
    let (code, out, err) = command::run(&all);
    assert_eq!((code, err.as_str()), (0, ""), "{words:?}: {out}");
    (serde_json::from_slice(&fs::read(json).unwrap()).unwrap(), out)
}

fn short(words: &[&str]) -> Value {
    run(&[&SHORT[..], words].concat()).0
}

/// A server that serves each client in a thread, and how many there were.
fn server(
    conversation: impl Fn(TcpStream) -> Option<()> + Send + Sync + 'static,
) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let came = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&came);
    let conversation = Arc::new(conversation);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            counted.fetch_add(1, Ordering::AcqRel);
            let conversation = Arc::clone(&conversation);
            thread::spawn(move || conversation(stream));
        }
    });
    (addr, came)
}

/// Echoes pieces of exactly so many bytes.
fn echo_of(piece: usize) -> (String, Arc<AtomicUsize>) {
    server(move |mut stream| {
        stream.set_nodelay(true).ok()?;
        let mut bytes = vec![0; piece];
        loop {
            stream.read_exact(&mut bytes).ok()?;
            stream.write_all(&bytes).ok()?;
        }
    })
}

fn drives(transport: &str) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let is_ip = ["tcp", "udp"].contains(&transport);
    let option = format!("--{transport}");
    let addr = if is_ip { "127.0.0.1:0" } else { path.to_str().unwrap() };
    let mut server = Server::start(&["echo", &option, addr]);
    let line = server.line();
    let addr = line.strip_prefix(&format!("listening {transport} ")).unwrap();
    let record = short(&["-c", "2", &option, addr]);
    assert_eq!(record["servers"], 0);
    assert_eq!(record["target"], format!("{transport} {addr}"));
    server.stop();
}

fn pid() {
    let mut server = Server::start(&["echo", "--tcp", "127.0.0.1:0"]);
    let addr = server.tcp_addr();
    let record = short(&["--tcp", &addr, "--pid", &server.pid().to_string()]);
    assert!(record["server"]["memory"].as_u64().unwrap() > 0);
    server.stop();
}

fn transport() {
    for transport in ["tcp", "udp", "unix", "unixgram"] {
        let record = short(&["-c", "2", "--transport", transport]);
        let target = record["target"].as_str().unwrap();
        assert!(target.starts_with(&format!("{transport} ")), "{target}");
    }
}

/// The arguments of the server that is started for a run, once it is there.
fn passes_on(words: &[&str]) {
    let mut command = bin();
    command.args(["bench", "--warmup", "10ms", "--duration", "1h"]).args(words);
    let mut bench = Ended(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let pid = bench.0.id();
    let end = Instant::now() + PATIENCE;
    let arguments = loop {
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let children = children.unwrap_or_default();
        let first = children.split_whitespace().next().unwrap_or_default();
        let arguments = fs::read(format!("/proc/{first}/cmdline")).unwrap_or_default();
        let arguments = String::from_utf8_lossy(&arguments).replace('\0', " ");
        if arguments.contains(" serve ") {
            break arguments;
        }
        assert!(Instant::now() < end, "it starts no server");
    };
    assert!(arguments.contains(&words.join(" ")), "{arguments}");
    bench.stop();
}

/// A run that is stopped in good order, or killed with its children when the test fails.
struct Ended(Child);

impl Ended {
    fn stop(&mut self) {
        Command::new("kill").arg(self.0.id().to_string()).status().unwrap();
        command::wait(&mut self.0);
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn connections() {
    let (addr, came) = echo_of(64);
    short(&["-c", "3", "--tcp", &addr]);
    assert_eq!(came.load(Ordering::Acquire), 3);
}

/// Its server answers three messages at once.
fn pipeline() {
    let (addr, _) = echo_of(3 * 64);
    let record = short(&["-c", "1", "--pipeline", "3", "--tcp", &addr]);
    assert!(record["measured"]["messages"].as_u64().unwrap() > 0);
}

fn size() {
    let (addr, _) = echo_of(1_000);
    let record = short(&["-c", "1", "--size", "1kB", "--tcp", &addr]);
    assert!(record["measured"]["messages"].as_u64().unwrap() > 0);
}

/// Far fewer than there could be.
fn rate() {
    let (addr, _) = echo_of(64);
    let words = ["--warmup", "10ms", "--duration", "400ms", "--rate", "50", "-c", "2"];
    let record = run(&[&words[..], &["--tcp", &addr]].concat()).0;
    let messages = record["measured"]["messages"].as_u64().unwrap();
    assert!((1..=40).contains(&messages), "{messages} messages");
}

/// More clients than connections: each has one exchange.
fn churn() {
    let (addr, came) = echo_of(64);
    short(&["-c", "2", "--churn", "--tcp", &addr]);
    assert!(came.load(Ordering::Acquire) > 2);
}

fn idle() {
    let (addr, came) = echo_of(64);
    let record = short(&["--idle", "7", "--tcp", &addr]);
    assert_eq!(record["measured"]["verified"], 7);
    assert_eq!(came.load(Ordering::Acquire), 7);
}

/// One connection, large messages, and the next is not kept back until the last has come back. The
/// last ones may be without an answer: their server waits for four.
fn bulk() {
    let (addr, came) = echo_of(4 * (64 << 10));
    let words = ["bench", "--bulk", "--tcp", &addr, "--warmup", "10ms", "--duration", "200ms"];
    let (_, out, err) = command::run(&words);
    let rate = out.lines().find_map(|line| line.strip_prefix("messages/s")).unwrap_or("0").trim();
    assert!(rate != "0" && out.starts_with("bulk stream"), "{out}{err}");
    assert_eq!(came.load(Ordering::Acquire), 1);
}

/// What is sent before is not measured.
fn warmup() {
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    let (addr, _) = server(move |mut stream| {
        loop {
            let mut bytes = [0; 64];
            stream.read_exact(&mut bytes).ok()?;
            count.fetch_add(1, Ordering::AcqRel);
            stream.write_all(&bytes).ok()?;
        }
    });
    let words = ["--warmup", "600ms", "--duration", "60ms", "--rate", "100", "-c", "2"];
    let record = run(&[&words[..], &["--tcp", &addr]].concat()).0;
    let measured = record["measured"]["messages"].as_u64().unwrap() as usize;
    let all = sent.load(Ordering::Acquire);
    assert!(all > measured + 20, "{measured} of {all} were measured");
}

fn duration() {
    let record = run(&["--warmup", "10ms", "--duration", "123ms", "-c", "2"]).0;
    let window = record["measured"]["window_ns"].as_u64().unwrap();
    // As long at least; five seconds are the default.
    assert!((123_000_000..4_000_000_000).contains(&window), "{window} ns");
}

fn clients() {
    let (addr, _) = server(|mut stream| {
        loop {
            let mut bytes = [0; 64];
            stream.read_exact(&mut bytes).ok()?;
            stream.write_all(&bytes).ok()?;
        }
    });
    let mut command = bin();
    let words = ["bench", "--warmup", "10ms", "--duration", "1h", "-c", "6", "--clients", "3"];
    command.args(words).args(["--tcp", &addr]).stdout(Stdio::null()).stderr(Stdio::null());
    let mut bench = Ended(command.spawn().unwrap());
    let pid = bench.0.id();
    let end = Instant::now() + PATIENCE;
    let children = || {
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        children.unwrap_or_default().split_whitespace().count()
    };
    while children() < 3 {
        assert!(Instant::now() < end, "{} processes", children());
    }
    bench.stop();
}

fn json() {
    assert_eq!(short(&["-c", "2"])["version"], 1);
}

fn report() {
    let dir = tempfile::tempdir().unwrap();
    let svg = dir.path().join("run.svg");
    short(&["-c", "2", "--report", svg.to_str().unwrap()]);
    assert!(fs::read_to_string(svg).unwrap().starts_with("<svg"));
}

/// It is tried, and where it cannot be done that is told.
fn syscalls() {
    let mut command = bin();
    command.arg("bench").args(SHORT).args(["-c", "2", "--syscalls"]).env("PATH", "/nowhere");
    let output = command.output().unwrap();
    let out = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && out.contains("strace is not installed"), "{out}");
}

fn check() {
    let (addr, came) = echo_of(64);
    let (_, out, _) = command::run(&["bench", "--check", "--tcp", &addr]);
    assert!(out.contains("descriptors of a process"), "{out}");
    assert_eq!(came.load(Ordering::Acquire), 0);
}

fn compare() {
    let dir = tempfile::tempdir().unwrap();
    let json = dir.path().join("run.json");
    let json = json.to_str().unwrap();
    let (code, _, err) =
        command::run(&[&["bench", "-c", "2", "--json", json][..], &SHORT].concat());
    assert_eq!(code, 0, "{err}");
    let (code, out, _) = command::run(&["bench", "--compare", json, json]);
    assert!(code == 0 && out.contains("1.000"), "{out}");
}

/// When its parent is gone, a client process ends the servers of the run.
fn servers_of_a_client() {
    let mut server = Server::start(&["echo", "--tcp", "127.0.0.1:0"]);
    server.tcp_addr();
    let mut command = bin();
    command.args(["bench-client", &server.pid().to_string()]).stdin(Stdio::null());
    let mut client = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    command::wait(&mut client);
    assert_eq!(server.wait().code(), Some(0));
}
