//! The example `kv`: what one client may cost the others.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use super::commands::start_redis;
use super::resp::{ask, encode};
use crate::command::{Server, tcp};
use crate::example_server;
use crate::program::path;
use crate::waits::until;

fn start() -> (Server, String) {
    let mut server = example_server::start("kv", &["127.0.0.1:0"]);
    let addr = example_server::addr(&mut server);
    (server, addr)
}

/// Starts it with so many descriptors.
fn start_with_descriptors(limit: usize) -> (Server, String) {
    let script = format!("ulimit -n {limit}; exec \"$0\" 127.0.0.1:0");
    let mut server = Server::of(Command::new("sh").args(["-c", &script]).arg(path("kv")));
    let addr = example_server::addr(&mut server);
    (server, addr)
}

fn field(text: &str, name: &str) -> usize {
    let mut words = text.split([' ', '\r', '\n']);
    let found = words.find_map(|word| word.strip_prefix(name)?.strip_prefix(['=', ':']));
    found.unwrap_or_else(|| panic!("{name} is not in {text}")).parse().unwrap()
}

#[test]
fn a_web_page_that_posts_is_ended_and_logged_once() {
    let mut server = Server::of(
        Command::new(path("kv")).arg("127.0.0.1:0").stderr(Stdio::piped()).stdout(Stdio::piped()),
    );
    let addr = example_server::addr(&mut server);
    assert_eq!(ask(&addr, b"SET a 1\r\n"), "+OK\r\n");
    for _ in 0..3 {
        let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nFLUSHALL\r\n";
        assert_eq!(ask(&addr, post.as_bytes()), "");
    }
    assert_eq!(ask(&addr, b"GET a\r\n"), "$1\r\n1\r\n");
    server.signal("TERM");
    server.wait();
    let mut log = String::new();
    server.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
    assert_eq!(log.lines().count(), 1, "{log}");
    assert!(log.starts_with("kv: closed the connection from 127.0.0.1:"), "{log}");
}

#[test]
fn one_client_more_than_there_are_descriptors_for_is_told_so() {
    let (_server, addr) = start_with_descriptors(128);
    let most = field(&ask(&addr, b"INFO clients\r\n"), "maxclients");
    assert!((16..128).contains(&most), "{most}");
    let clients: Vec<TcpStream> = (0..most)
        .map(|_| {
            let mut stream = tcp(&addr);
            stream.write_all(b"PING\r\n").unwrap();
            stream.read_exact(&mut [0; 7]).unwrap();
            stream
        })
        .collect();
    for _ in 0..200 {
        let mut stream = tcp(&addr);
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        assert_eq!(said, "-ERR max number of clients reached\r\n");
    }
    drop(clients);
    until("there is a place again", || ask(&addr, b"PING\r\n") == "+PONG\r\n");
}

/// What Redis says of its own limits, ours says too.
#[test]
fn the_limits_of_a_slow_subscriber_are_those_of_redis() {
    let words = encode(&["CONFIG", "GET", "client-output-buffer-limit"]);
    let (_server, addr) = start();
    let ours = ask(&addr, &words);
    let rule = "pubsub 33554432 8388608 60\r\n";
    assert!(ours.ends_with(rule), "{ours}");
    let Some((_redis, redis)) = start_redis() else { return };
    let theirs = ask(&redis, &words);
    assert!(theirs.ends_with(rule), "{theirs}");
}

#[test]
fn a_subscriber_that_is_behind_is_counted_and_kept_up_to_the_hard_limit() {
    let (_server, addr) = start();
    let mut slow = tcp(&addr);
    slow.write_all(b"SUBSCRIBE news\r\n").unwrap();
    slow.read_exact(&mut [0; 9]).unwrap();
    let before = field(&ask(&addr, b"INFO memory\r\n"), "mem_clients_normal");
    let publish = encode(&["PUBLISH", "news", &"x".repeat(1 << 20)]);
    let mut longest = 0;
    loop {
        ask(&addr, &publish);
        let list = ask(&addr, b"CLIENT LIST TYPE pubsub\r\n");
        if !list.contains("omem") {
            break;
        }
        let waits = field(&list, "omem");
        assert!(waits <= 32 << 20, "{waits}");
        longest = longest.max(waits);
        let clients = field(&ask(&addr, b"INFO memory\r\n"), "mem_clients_normal");
        assert!(clients >= before + waits, "{clients}, {before} before, {waits} wait");
    }
    assert!(longest > 30 << 20, "ended at {longest}");
}

#[test]
fn a_command_that_is_not_complete_is_counted() {
    let (_server, addr) = start();
    let mut client = tcp(&addr);
    client.write_all(&encode(&vec!["a"; 60_000])[..400_000]).unwrap();
    until("it is counted", || {
        let clients = field(&ask(&addr, b"INFO memory\r\n"), "mem_clients_normal");
        clients > 400_000
    });
    drop(client);
    until("it is given back", || {
        field(&ask(&addr, b"INFO memory\r\n"), "mem_clients_normal") < 10_000
    });
}

/// The others are answered before a hundred clients with a thousand channels each are removed.
#[test]
fn the_end_of_many_subscriptions_is_taken_in_steps() {
    let (server, addr) = start();
    let names: Vec<String> = (0..1_024).map(|nth| format!("{nth}")).collect();
    let mut words = vec!["SUBSCRIBE"];
    words.extend(names.iter().map(String::as_str));
    let subscribe = encode(&words);
    let clients: Vec<TcpStream> = (0..100)
        .map(|_| {
            let mut stream = tcp(&addr);
            stream.write_all(&subscribe).unwrap();
            let mut all = Vec::new();
            while !all.ends_with(b":1024\r\n") {
                let mut bytes = [0; 4_096];
                let n = stream.read(&mut bytes).unwrap();
                all.extend_from_slice(&bytes[..n]);
            }
            stream
        })
        .collect();
    let used = || field(&ask(&addr, b"INFO memory\r\n"), "used_memory");
    let mut other = tcp(&addr);
    other.write_all(b"PING\r\n").unwrap();
    other.read_exact(&mut [0; 7]).unwrap();
    // It sees all ends and the question in one turn.
    server.signal("STOP");
    drop(clients);
    other.write_all(b"INFO memory\r\nQUIT\r\n").unwrap();
    server.signal("CONT");
    let mut info = String::new();
    other.read_to_string(&mut info).unwrap();
    assert!(field(&info, "used_memory") > 0, "all were removed at once");
    until("all is given back", || used() == 0);
    assert_eq!(ask(&addr, b"PUBLISH 7 x\r\n"), ":0\r\n");
}
