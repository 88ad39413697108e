//! The load generator: against servers that lie, that are late by a known time or that stall, and
//! in all its modes against a server of our own.

// On poll(2), mio reports a timer of the system only once, and wakes of other threads not always.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::command::{self, BIN, Server, bin, has, run};
use crate::waits::{PATIENCE, delay, find, until};

/// What a run came to.
struct RequestOutcome {
    code: i32,
    out: String,
    err: String,
    record: Value,
}

impl RequestOutcome {
    fn of(command: &mut Command, json: &Path) -> RequestOutcome {
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = child.spawn().unwrap().wait_with_output().unwrap();
        let text = fs::read(json).unwrap_or_else(|_| b"null".to_vec());
        RequestOutcome {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
            record: serde_json::from_slice(&text).unwrap(),
        }
    }

    /// A figure of the summary.
    fn figure(&self, name: &str) -> f64 {
        let figure = &self.record["summary"][name];
        figure.as_f64().unwrap_or_else(|| panic!("no {name} in {}{}", self.out, self.err))
    }

    fn error(&self, kind: &str) -> u64 {
        self.record["measured"]["errors"][kind].as_u64().unwrap_or(0)
    }

    /// Whether anything came back; on a machine that stalls, perhaps not within the window.
    fn has_answers(&self) -> bool {
        !self.record["measured"]["latencies"].as_array().unwrap().is_empty()
    }

    fn number(&self, name: &str) -> u64 {
        self.record["measured"][name].as_u64().unwrap()
    }
}

/// A short run with these words.
fn bench(words: &str) -> RequestOutcome {
    bench_for(words, "150ms")
}

fn bench_for(words: &str, duration: &str) -> RequestOutcome {
    let dir = tempfile::tempdir().unwrap();
    let json = dir.path().join("run.json");
    let mut command = bin();
    command.args(["bench", "--warmup", "50ms", "--duration", duration, "--json"]).arg(&json);
    RequestOutcome::of(command.args(words.split_whitespace()), &json)
}

/// A server whose every connection is served by `conversation` in a thread; its address.
fn server(conversation: impl Fn(TcpStream) -> Option<()> + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    let conversation = Arc::new(conversation);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let conversation = Arc::clone(&conversation);
            thread::spawn(move || conversation(stream));
        }
    });
    addr
}

/// One message of at most 64 bytes; `None` at the end.
fn message(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut bytes = [0; 64];
    let n = stream.read(&mut bytes).ok().filter(|n| *n > 0)?;
    Some(bytes[..n].to_vec())
}

/// Echoes, after `before` was called for each message.
fn echo_after(before: impl Fn() + Send + Sync + 'static) -> String {
    server(move |mut stream| {
        stream.set_nodelay(true).ok()?;
        loop {
            let bytes = message(&mut stream)?;
            before();
            stream.write_all(&bytes).ok()?;
        }
    })
}

#[test]
#[cfg(target_os = "linux")]
fn the_spread_over_the_loops_is_told() {
    for (words, had, all) in [
        ("-c 7 --loops 2", "connections", Some(7)),
        ("-c 8 --loops 3 --balance reuseport", "connections", Some(8)),
        ("-c 8 --loops 2 --transport udp", "packets", None),
        ("-c 6 --loops 2 --transport unix", "connections", Some(6)),
    ] {
        let run = bench(words);
        assert_eq!(run.code, 0, "{words}: {}", run.err);
        let loops = run.record["loops"].as_array().unwrap();
        let sum: u64 = loops.iter().map(|one| one["had"][had].as_u64().unwrap()).sum();
        assert!(all.map_or(sum > 0, |all| sum == all), "{words}: {loops:?}");
        let shares: f64 = loops.iter().map(|one| one["share"].as_f64().unwrap()).sum();
        assert!((shares - 1.0).abs() < 1e-6, "{words}: {loops:?}");
        // In the order in which they were read, which on a busy machine is not that of their numbers.
        let mut names: Vec<&str> = loops.iter().map(|one| one["name"].as_str().unwrap()).collect();
        names.sort_unstable();
        for (nth, name) in names.into_iter().enumerate() {
            assert_eq!(name, format!("socketserver-{nth}"));
            assert!(run.out.contains(name), "{}", run.out);
        }
    }
    assert_eq!(bench("-c 2").record["loops"].as_array().unwrap().len(), 0);
}

// Servers that lie.

#[test]
fn wrong_bytes_end_their_connection_and_are_counted() {
    for at in [0, 5, 63] {
        let addr = server(move |mut stream| {
            for nth in 0.. {
                let mut bytes = message(&mut stream)?;
                if nth == 2 && bytes.len() == 64 {
                    bytes[at] ^= 1;
                }
                stream.write_all(&bytes).ok()?;
            }
            None
        });
        let run = bench(&format!("-c 3 --tcp {addr}"));
        assert_eq!((run.code, run.error("wrong bytes")), (1, 3), "{}{}", run.out, run.err);
        assert!(run.out.contains("wrong bytes"), "{}", run.out);
    }
}

#[test]
fn an_answer_that_was_not_asked_for_is_wrong() {
    let addr = server(|mut stream| {
        loop {
            let bytes = message(&mut stream)?;
            stream.write_all(&[bytes.clone(), bytes].concat()).ok()?;
        }
    });
    let run = bench(&format!("-c 2 --tcp {addr}"));
    assert_eq!((run.code, run.error("wrong bytes")), (1, 2), "{}{}", run.out, run.err);
}

#[test]
fn short_replies_are_unanswered_messages_whose_latency_counts() {
    let addr = server(|mut stream| {
        let bytes = message(&mut stream)?;
        stream.write_all(&bytes[..bytes.len() - 1]).ok()?;
        // The rest never comes.
        loop {
            message(&mut stream)?;
        }
    });
    let run = bench(&format!("--rate 100 -c 2 --tcp {addr}"));
    assert_eq!((run.code, run.number("messages")), (1, 0), "{}{}", run.out, run.err);
    assert!(run.error("unanswered") >= 10, "{}", run.out);
    assert!(run.figure("p50_us") > 1e6, "they took as long as was waited: {}", run.out);
}

#[test]
fn dropped_connections_are_counted() {
    let addr = server(|mut stream| {
        for _ in 0..3 {
            let bytes = message(&mut stream)?;
            stream.write_all(&bytes).ok()?;
        }
        None
    });
    let run = bench(&format!("-c 4 --tcp {addr}"));
    let dropped = run.error("closed by the server") + run.error("connection reset");
    assert_eq!((run.code, dropped), (1, 4), "{}{}", run.out, run.err);
}

#[test]
fn a_target_that_cannot_be_reached_is_named() {
    let refused = command::free_addr().to_string();
    for (words, culprits) in [
        (format!("--tcp {refused}"), [refused.as_str(), "refused"]),
        (format!("--churn --tcp {refused}"), [refused.as_str(), "refused"]),
        (format!("--idle 10 --tcp {refused}"), [refused.as_str(), "refused"]),
        ("--unix /nowhere/at-all".into(), ["/nowhere/at-all", "no such path"]),
        ("--unixgram /nowhere/at-all".into(), ["/nowhere/at-all", "no such path"]),
        ("--tcp no-such-host.invalid:7".into(), ["no-such-host.invalid", ""]),
    ] {
        let run = bench(&words);
        assert_eq!((run.code, run.out.as_str()), (1, ""), "{words}: {}", run.err);
        assert!(culprits.iter().all(|it| run.err.contains(it)), "{words}: {}", run.err);
    }
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let run = bench(&format!("-c 2 --udp {}", silent.local_addr().unwrap()));
    assert_eq!((run.code, run.error("unanswered")), (1, 2), "{}{}", run.out, run.err);
    assert!(run.number("lost") > 0, "{}", run.out);
}

// Servers that are late.

#[test]
fn a_known_delay_is_what_is_measured() {
    let addr = echo_after(|| delay(Duration::from_millis(20)));
    for words in ["-c 4", "-c 8 --rate 100", "-c 4 --churn"] {
        let run = bench_for(&format!("{words} --tcp {addr}"), "400ms");
        assert_eq!(run.code, 0, "{words}: {}{}", run.out, run.err);
        let fastest = run.record["measured"]["latencies"][0][0].as_u64().unwrap();
        assert!(fastest >= 20_000_000, "{words}: no answer came before {fastest} ns");
        let p50 = run.figure("p50_us");
        assert!((20e3..60e3).contains(&p50), "{words}: {}", run.out);
    }
}

/// Echoes, but for once nobody gets an answer for 100 ms, half a second after the first message.
fn stalling() -> String {
    let begin: OnceLock<Instant> = OnceLock::new();
    echo_after(move || {
        let since = begin.get_or_init(Instant::now).elapsed();
        let (from, until) = (Duration::from_millis(500), Duration::from_millis(600));
        if since >= from {
            delay(until.saturating_sub(since));
        }
    })
}

#[test]
fn a_stall_shows_in_the_percentiles_of_an_open_loop() {
    let run = bench_for(&format!("--rate 1000 -c 4 --tcp {}", stalling()), "1s");
    assert_eq!(run.code, 0, "{}{}", run.out, run.err);
    // One message in ten was to be sent during the stall.
    for figure in ["p999_us", "max_us"] {
        assert!((90e3..250e3).contains(&run.figure(figure)), "{}", run.out);
    }
    assert!(run.figure("p99_us") > 60e3, "{}", run.out);
    assert!(run.figure("p50_us") < 40e3, "{}", run.out);
    let rate = run.figure("messages_per_second");
    assert!((900.0..1_100.0).contains(&rate), "nothing was left out: {rate}");
}

#[test]
fn a_stall_shows_in_the_maximum_of_a_closed_loop() {
    let run = bench_for(&format!("-c 4 --tcp {}", stalling()), "1s");
    assert_eq!(run.code, 0, "{}{}", run.out, run.err);
    assert!((90e3..250e3).contains(&run.figure("max_us")), "{}", run.out);
    assert!(run.figure("p50_us") < 40e3, "{}", run.out);
}

// Every mode over every transport, against a server of our own.

fn every_mode(transport: &str) {
    for (words, idle) in [
        ("-c 6", false),
        ("-c 2 --pipeline 3 --size 1KiB", false),
        ("-c 4 --rate 500", false),
        ("-c 4 --churn", false),
        ("--bulk", false),
        ("--idle 40", true),
    ] {
        let run = bench(&format!("{words} --transport {transport}"));
        let shown = format!("{transport} {words}: {}{}", run.out, run.err);
        assert_eq!((run.code, run.err.as_str()), (0, ""), "{shown}");
        assert!(run.record["measured"]["errors"].as_object().unwrap().is_empty(), "{shown}");
        if idle {
            assert_eq!((run.number("verified"), run.number("connected")), (40, 40), "{shown}");
        } else {
            assert!(run.has_answers(), "{shown}");
            assert!(run.record["measured"]["samples"].as_array().unwrap().len() >= 5, "{shown}");
        }
        if cfg!(target_os = "linux") {
            assert!(idle || run.figure("server_cpu_us_per_message") > 0.0, "{shown}");
            assert!(run.record["server"]["memory"].as_u64().unwrap() > 100_000, "{shown}");
        }
        assert!(run.out.contains(transport), "{shown}");
    }
}

#[test]
fn every_mode_works_over_tcp() {
    every_mode("tcp");
}

#[test]
fn every_mode_works_over_udp() {
    every_mode("udp");
}

#[test]
fn every_mode_works_over_unix() {
    every_mode("unix");
}

#[test]
fn every_mode_works_over_unixgram() {
    every_mode("unixgram");
}

#[test]
fn messages_of_every_size_are_verified() {
    for size in ["1", "7", "8", "9", "100KB", "3MiB"] {
        let duration = if size == "3MiB" { "1s" } else { "300ms" };
        let run = bench_for(&format!("-c 2 --size {size}"), duration);
        assert_eq!(run.code, 0, "{size}: {}{}", run.out, run.err);
        assert!(run.has_answers(), "{size}: {}", run.out);
    }
}

#[test]
fn a_foreign_server_is_driven_and_its_process_observed() {
    let mut server = Server::start(&["echo", "--tcp", "127.0.0.1:0"]);
    let addr = server.tcp_addr();
    let run = bench(&format!("--tcp {addr} --pid {}", server.pid()));
    assert_eq!(run.code, 0, "{}{}", run.out, run.err);
    assert!(run.figure("server_cpu_us_per_message") > 0.0, "{}", run.out);
    let run = bench(&format!("--tcp {addr}"));
    assert!(run.record["server"].is_null() && !run.out.contains("server CPU"), "{}", run.out);
    let run = bench(&format!("--tcp {addr} --pid 4194305"));
    assert!(run.code == 1 && run.err.contains("--pid 4194305"), "{}", run.err);
    server.stop();
}

#[test]
fn system_calls_are_counted_or_it_is_said_why_not() {
    let dir = tempfile::tempdir().unwrap();
    let json = dir.path().join("run.json");
    let words = ["bench", "--warmup", "10ms", "--duration", "50ms", "--syscalls", "--json"];
    let mut command = bin();
    let run = RequestOutcome::of(command.args(words).arg(&json).env("PATH", "/nowhere"), &json);
    assert_eq!(run.code, 0, "{}{}", run.out, run.err);
    assert!(run.out.contains("strace is not installed"), "{}", run.out);
    if has("strace") {
        let run = bench("--syscalls -c 8");
        assert_eq!(run.code, 0, "{}{}", run.out, run.err);
        match run.record["syscalls"].as_array() {
            Some(calls) => {
                let all: f64 = calls.iter().map(|call| call[1].as_f64().unwrap()).sum();
                assert!((1.5..4.0).contains(&all), "{}", run.out);
            }
            // Not everybody may look into processes.
            None => assert!(run.out.contains("were not counted"), "{}", run.out),
        }
    }
}

// Many processes, and limits.

/// In a shell in which a process has few descriptors.
fn bench_with_few_descriptors(words: &str) -> RequestOutcome {
    let dir = tempfile::tempdir().unwrap();
    let json = dir.path().join("run.json");
    let script = "ulimit -n 300; exec \"$0\" bench --warmup 50ms --duration 150ms \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", script, BIN, "--json"]).arg(&json);
    RequestOutcome::of(command.args(words.split_whitespace()), &json)
}

#[test]
fn more_connections_than_a_process_may_have_are_spread_over_many() {
    for words in ["--idle 700", "-c 700", "-c 400 --transport unix", "-c 700 --rate 2000"] {
        let run = bench_with_few_descriptors(words);
        assert_eq!((run.code, run.err.as_str()), (0, ""), "{words}: {}{}", run.out, run.err);
        let connections = run.record["terms"]["connections"].as_u64().unwrap();
        assert_eq!(run.number("verified"), connections, "{words}: {}", run.out);
        let processes = ["servers", "clients"].map(|kind| run.record[kind].as_u64().unwrap());
        assert!(processes.iter().all(|n| *n >= 3), "{words}: {processes:?}");
    }
    let run = bench("-c 10 --clients 3");
    assert_eq!((run.code, run.record["clients"].as_u64()), (0, Some(3)), "{}", run.err);
}

#[test]
fn a_limit_that_is_hit_is_named_together_with_its_cure() {
    let run = bench_with_few_descriptors("-c 700 --clients 1");
    assert_eq!(run.code, 1, "{}{}", run.out, run.err);
    assert!(run.out.contains("no descriptor left") && run.out.contains("ulimit -n"), "{}", run.out);
    let run = bench_with_few_descriptors("-c 700 --clients 1 --check");
    assert_eq!(run.code, 1, "{}{}", run.out, run.err);
    let line = run.out.lines().find(|line| line.starts_with("descriptors of a process"));
    assert!(line.is_some_and(|line| line.contains("ulimit -n")), "{}", run.out);
}

#[test]
fn the_check_alone_opens_nothing_and_tells_every_limit() {
    let (code, out, err) = run(&["bench", "--check", "--idle", "1000"]);
    assert!((0..=1).contains(&code) && err.is_empty(), "{err}");
    for limit in ["descriptors", "backlog", "local ports", "memory for sockets"] {
        if cfg!(target_os = "linux") {
            assert!(out.contains(limit), "{limit}: {out}");
        }
    }
    let (_, out, _) = run(&["bench", "--check", "--transport", "unixgram", "-c", "100000"]);
    assert!(!cfg!(target_os = "linux") || out.contains("net.unix.max_dgram_qlen"), "{out}");
}

// Files.

#[test]
fn records_are_compared_and_reports_are_pictures() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_string();
    let (a, b) = (path("a.json"), path("b.json"));
    for (json, svg, words) in [(&a, "a.svg", "-c 4"), (&b, "b.svg", "-c 4 --rate 1000")] {
        let svg = path(svg);
        let files = format!("bench --warmup 10ms --duration 200ms --json {json} --report {svg}");
        let words: Vec<&str> = files.split_whitespace().chain(words.split_whitespace()).collect();
        let (code, _, err) = run(&words);
        assert_eq!(code, 0, "{err}");
        let picture = fs::read_to_string(svg).unwrap();
        assert!(picture.starts_with("<svg") && picture.trim_end().ends_with("</svg>"));
        for text in ["percentile", "seconds", "messages/s", "over tcp"] {
            assert!(picture.contains(text), "no {text} in the picture");
        }
    }
    let (code, out, err) = run(&["bench", "--compare", &a, &b]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.contains("not the same") && out.contains('±'), "{out}");
    let (_, out, _) = run(&["bench", "--compare", &a, &a]);
    assert!(out.contains("1.000") && !out.contains("not the same"), "{out}");

    fs::write(&b, "{}").unwrap();
    for missing in [b, path("nothing.json")] {
        let (code, out, err) = run(&["bench", "--compare", &a, &missing]);
        assert_eq!((code, out.as_str()), (1, ""));
        assert!(err.contains(&missing), "{err}");
    }
    let (code, _, err) = run(&["bench", "--duration", "10ms", "--json", "/nowhere/at-all.json"]);
    assert!(code == 1 && err.contains("/nowhere/at-all.json"), "{err}");
}

// Beginning and end.

#[test]
fn bad_arguments_exit_with_2_and_name_the_culprit() {
    for (words, culprit) in [
        ("-c 0", "--connections"),
        ("-c many", "many"),
        ("--size 0", "--size"),
        ("--size 1GiB", "--size"),
        ("--transport udp --size 4", "--size"),
        ("--transport unixgram --size 1MiB", "--size"),
        ("--rate 0", "--rate"),
        ("--rate NaN", "--rate"),
        ("--rate 5 --churn", "--churn"),
        ("--bulk --idle 5", "--idle"),
        ("--idle 5 -c 5", "--connections"),
        ("--idle 5 --report x.svg", "--report"),
        ("--pipeline 0", "--pipeline"),
        ("--duration 5", "--duration"),
        ("--duration 1ns", "--duration"),
        ("--warmup 2000h", "--warmup"),
        ("--tcp 127.0.0.1", "--tcp"),
        ("--tcp 127.0.0.1:1 --udp 127.0.0.1:1", "--udp"),
        ("--tcp 127.0.0.1:1 --loops 2", "--loops"),
        ("--tcp 127.0.0.1:1 --transport udp", "--transport"),
        ("--transport pigeon", "pigeon"),
        ("--pid 5", "--pid"),
        ("--workers 5", "--workers"),
        ("--clients 0", "--clients"),
        ("--compare a.json", "--compare"),
        ("--wrong", "--wrong"),
    ] {
        let words: Vec<&str> = ["bench"].into_iter().chain(words.split_whitespace()).collect();
        let (code, out, err) = run(&words);
        assert_eq!((code, out.as_str()), (2, ""), "{words:?}: {err}");
        assert!(err.contains(culprit) && !err.contains("panicked"), "{words:?}: {err}");
    }
    let (code, out, _) = run(&["bench", "--help"]);
    assert!(code == 0 && out.contains("Examples:") && !out.contains("bench-client"), "{out}");
}

/// The child processes of a process, once there are so many.
fn children(pid: u32, n: usize) -> Vec<String> {
    find("its processes", || {
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let children: Vec<String> =
            children.unwrap_or_default().split_whitespace().map(String::from).collect();
        (children.len() >= n).then_some(children)
    })
}

#[test]
fn a_client_process_that_cannot_tell_its_parent_ends_the_servers() {
    let mut server = Command::new("sleep").arg("300").spawn().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = bin();
    command.args(["bench-client", &server.id().to_string()]).stdout(writer).stderr(Stdio::null());
    let mut client = command.stdin(Stdio::piped()).spawn().unwrap();
    client.stdin.as_mut().unwrap().write_all(b"no order\n").unwrap();
    assert_eq!(command::wait(&mut client).code(), Some(1));
    let ended = command::wait(&mut server);
    assert_eq!(ended.signal(), Some(15), "{ended:?}");
}

fn assert_all_end(pids: &[String]) {
    let is_there = |pid: &String| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.contains(" Z "))
    };
    until(&format!("the end of {pids:?}"), || !pids.iter().any(is_there));
}

#[test]
fn an_interrupt_ends_a_run_with_the_table_so_far() {
    let (sender, is_measuring) = channel();
    let begin: OnceLock<Instant> = OnceLock::new();
    let addr = echo_after(move || {
        if begin.get_or_init(Instant::now).elapsed() > Duration::from_millis(200) {
            let _ = sender.send(());
        }
    });
    let words = ["bench", "--warmup", "10ms", "--duration", "1h", "-c", "2", "--tcp", &addr];
    let mut command = bin();
    let mut bench = Server::of(command.args(words).stderr(Stdio::null()));
    is_measuring.recv_timeout(PATIENCE).unwrap();
    bench.signal("INT");
    let mut out = String::new();
    while !out.contains("latency max") {
        let line = bench.line();
        out += &line;
        assert!(out.len() < 10_000, "{out}");
    }
    assert!(out.contains("Broken off"), "{out}");
    assert_eq!(bench.wait().code(), Some(0), "{out}");
}

#[test]
fn no_process_stays_behind_whatever_ends_the_run() {
    if !cfg!(target_os = "linux") {
        return;
    }
    for signal in ["INT", "TERM", "KILL"] {
        let mut command = bin();
        let words = ["bench", "--duration", "1h", "--transport", "unix"];
        let mut bench = Server::of(command.args(words).stderr(Stdio::null()));
        let children = children(bench.pid(), 2);
        bench.signal(signal);
        bench.wait();
        assert_all_end(&children);
    }
}
