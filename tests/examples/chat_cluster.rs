//! The example `chat_cluster`: two servers, one room, and a Redis that goes and comes back; the real
//! one and our own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::cluster::{Cluster, KEPT_LINES};
use crate::command::{self, Server, has, tcp};
use crate::example_server;
use crate::example_server::path as example;
use crate::waits::{PATIENCE, pace, until};

/// What stands in the middle.
#[derive(Clone, Copy)]
enum Redis {
    Real,
    Kv,
}

impl Redis {
    /// Starts it on this port; `None`, and a message, when it is not there.
    fn start(self, port: u16) -> Option<Server> {
        let server = match self {
            Redis::Kv => example_server::start("kv", &[&format!("127.0.0.1:{port}")]),
            Redis::Real => {
                if !has("redis-server") {
                    return None;
                }
                let mut command = Command::new("redis-server");
                command.args(["--save", "", "--appendonly", "no", "--bind", "127.0.0.1"]);
                Server::of(command.args(["--port", &port.to_string()]))
            }
        };
        until("a server that starts", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        Some(server)
    }
}

/// A server of the cluster, and where it is.
fn start(redis: u16) -> (Server, String) {
    let redis = format!("127.0.0.1:{redis}");
    let mut server = example_server::start("chat_cluster", &["127.0.0.1:0", &redis]);
    let addr = example_server::addr(&mut server);
    (server, addr)
}

struct Member {
    stream: TcpStream,
    lines: BufReader<TcpStream>,
}

impl Member {
    fn of(addr: &str) -> Member {
        let stream = tcp(addr);
        let lines = BufReader::new(stream.try_clone().unwrap());
        Member { stream, lines }
    }

    fn say(&mut self, line: &str) {
        self.stream.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    fn say_all(&mut self, what: &str, n: usize) {
        self.stream.write_all((lines(what, n).join("\n") + "\n").as_bytes()).unwrap();
    }

    fn next(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        assert!(line.ends_with('\n'), "the end: {line:?}");
        line.trim_end().into()
    }

    /// What is said next, and no notice of the server.
    fn hears(&mut self) -> String {
        loop {
            let line = self.next();
            if !line.starts_with('*') {
                return line;
            }
        }
    }

    fn hears_all(&mut self, what: &str, n: usize) {
        for line in lines(what, n) {
            assert_eq!(self.hears(), line);
        }
    }
}

fn lines(what: &str, n: usize) -> Vec<String> {
    (0..n).map(|nth| format!("{what} {nth}")).collect()
}

/// Has one talk until the other hears it: from then on nothing is lost.
fn meet(speaker: &mut Member, listener: &mut Member) {
    listener.stream.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let end = Instant::now() + PATIENCE;
    loop {
        assert!(Instant::now() < end, "they never meet");
        speaker.say("hello");
        let mut line = String::new();
        if listener.lines.read_line(&mut line).is_ok_and(|_| line == "hello\n") {
            break;
        }
    }
    listener.stream.set_read_timeout(Some(PATIENCE)).unwrap();
    speaker.say("met");
    while listener.hears() != "met" {}
}

fn two_servers_one_room_and_a_restart(redis: Redis) {
    let port = command::free_addr().port();
    let Some(mut middle) = redis.start(port) else { return };
    let ((mut first, one), (second, two)) = (start(port), start(port));
    let (mut ann, mut bob) = (Member::of(&one), Member::of(&two));
    meet(&mut ann, &mut bob);
    meet(&mut bob, &mut ann);
    let mut neighbour = Member::of(&one);
    meet(&mut neighbour, &mut bob);
    while ann.hears() != "met" {}

    ann.say_all("ann", 200);
    bob.hears_all("ann", 200);
    neighbour.hears_all("ann", 200);
    bob.say_all("bob", 200);
    ann.hears_all("bob", 200);
    neighbour.hears_all("bob", 200);

    middle.signal("KILL");
    middle.wait();
    while !ann.next().starts_with("* the other servers are away") {}
    ann.say_all("alone", 100);
    neighbour.hears_all("alone", 100);
    let middle = redis.start(port).unwrap();
    ann.say_all("again", 300);
    bob.say_all("bob again", 300);
    bob.hears_all("alone", 100);
    bob.hears_all("again", 300);
    ann.hears_all("bob again", 300);
    ann.say("over");
    bob.say("out");
    assert_eq!((bob.hears(), ann.hears()), ("over".into(), "out".into()), "nothing came twice");

    // What was taken before a stop is passed on.
    ann.say_all("last", 200);
    first.signal("TERM");
    let mut heard = 0;
    let mut rest = String::new();
    neighbour.lines.read_to_string(&mut rest).unwrap();
    for line in rest.lines().filter(|line| line.starts_with("last")) {
        assert_eq!(line, format!("last {heard}"));
        heard += 1;
    }
    bob.hears_all("last", heard);
    // Asked again it would end at once.
    assert_eq!(first.wait().code(), Some(0));
    second.stop();
    drop(middle);
}

#[test]
fn a_redis_that_restarts_loses_no_line_and_repeats_none() {
    two_servers_one_room_and_a_restart(Redis::Real);
}

#[test]
fn our_own_kv_does_in_the_place_of_redis() {
    two_servers_one_room_and_a_restart(Redis::Kv);
}

#[test]
fn messages_of_redis_may_be_cut_anywhere() {
    let redis = TcpListener::bind("127.0.0.1:0").unwrap();
    let (server, addr) = start(redis.local_addr().unwrap().port());
    let mut ann = Member::of(&addr);
    let mut streams: Vec<TcpStream> = (0..2).map(|_| redis.accept().unwrap().0).collect();
    let mut first = [0; 13];
    // One of the two subscribes, the other publishes nothing before that.
    let subscriber = streams
        .iter_mut()
        .position(|stream| {
            stream.read_exact(&mut first).unwrap();
            first == *b"*2\r\n$9\r\nSUBSC"
        })
        .unwrap();
    let bulk = |text: &str| format!("${}\r\n{text}\r\n", text.len());
    let mut parts = vec![bulk("subscribe") + &bulk("chat") + ":1\r\n"];
    for nth in 1..4 {
        let text = format!("line other {nth} hi {nth}");
        parts.push(bulk("message") + &bulk("chat") + &bulk(&text));
    }
    let input = parts.into_iter().fold(String::new(), |all, parts| all + "*3\r\n" + &parts);
    streams[subscriber].set_nodelay(true).unwrap();
    for piece in input.as_bytes().chunks(1) {
        streams[subscriber].write_all(piece).unwrap();
        // So that each piece is read alone, most of the time.
        pace(Duration::from_micros(500));
    }
    for nth in 1..4 {
        assert_eq!(ann.hears(), format!("hi {nth}"));
    }
    server.stop();
}

/// A connection that a server of the cluster has made to the Redis of a test.
struct Link {
    stream: TcpStream,
    lines: BufReader<TcpStream>,
}

impl Link {
    fn accepted(redis: &TcpListener) -> Link {
        let stream = redis.accept().unwrap().0;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let lines = BufReader::new(stream.try_clone().unwrap());
        Link { stream, lines }
    }

    /// The words of the next command, in one line; `None` at the end.
    fn command(&mut self) -> Option<String> {
        let mut line = || {
            let mut line = String::new();
            let n = self.lines.read_line(&mut line).unwrap_or(0);
            (n > 0).then(|| line.trim_end().to_string())
        };
        let count: usize = line()?.strip_prefix('*').unwrap().parse().unwrap();
        let mut words = Vec::new();
        for _ in 0..count {
            line()?;
            words.push(line()?);
        }
        Some(words.join(" "))
    }

    /// The command that begins so, whatever others come before.
    fn until(&mut self, command: &str) {
        while !self.command().unwrap().starts_with(command) {}
    }
}

fn start_with(redis: &str, options: &[&str]) -> (Server, String) {
    let mut command = Command::new(example("chat_cluster"));
    command.args(options).args(["127.0.0.1:0", redis]).stderr(Stdio::piped());
    let mut server = Server::of(&mut command);
    let addr = example_server::addr(&mut server);
    (server, addr)
}

/// What it said on standard error, from its beginning to its end.
fn end(mut server: Server) -> String {
    server.signal("TERM");
    let mut said = String::new();
    server.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_eq!(server.wait().code(), Some(0), "{said}");
    said
}

/// The subscriber, to which `subscribe` was said, and the publisher.
fn subscribed(redis: &TcpListener) -> [Link; 2] {
    let mut links = [Link::accepted(redis), Link::accepted(redis)];
    // One of the two subscribes at once, the other tells that it is there.
    if !links[0].command().unwrap().starts_with("SUBSCRIBE") {
        links.reverse();
        links[0].until("SUBSCRIBE");
    }
    links[0].stream.write_all(b"*3\r\n$9\r\nsubscribe\r\n$4\r\nchat\r\n:1\r\n").unwrap();
    links
}

const AWAY: &str = "* the other servers are away; lines are kept for them";
const BACK: &str = "* the other servers are back";

#[test]
fn a_redis_that_hangs_is_noticed_and_one_that_answers_is_kept() {
    let redis = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = redis.local_addr().unwrap().to_string();
    let (server, chat) = start_with(&addr, &["--redis-timeout", "2"]);
    let mut ann = Member::of(&chat);
    // From here on she is a member.
    assert_eq!(ann.next(), AWAY);
    let [mut subscriber, mut publisher] = subscribed(&redis);
    assert_eq!(ann.next(), BACK);
    // As long as it answers nothing is said to the members, although nobody talks.
    for _ in 0..4 {
        subscriber.until("PING");
        subscriber.stream.write_all(b"*2\r\n$4\r\npong\r\n$0\r\n\r\n").unwrap();
        publisher.until("PING");
        publisher.stream.write_all(b"+PONG\r\n").unwrap();
    }
    ann.say("a line");
    publisher.until("PUBLISH chat line");
    // Now it hangs: it takes everything and answers nothing.
    assert_eq!(ann.next(), AWAY);
    // It comes back, and so do both connections.
    let _links = subscribed(&redis);
    assert_eq!(ann.next(), BACK);
    let said = end(server);
    assert!(said.contains("no answer to PING") && said.contains("is back"), "{said}");
}

#[test]
fn why_redis_refuses_is_told_once() {
    let redis = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = redis.local_addr().unwrap().to_string();
    let (server, _) = start_with(&addr, &[]);
    for _ in 0..12 {
        let mut link = Link::accepted(&redis);
        if link.command().is_some() {
            let _ = link.stream.write_all(b"-NOAUTH Authentication required.\r\n");
            while link.command().is_some() {}
        }
    }
    let said = end(server);
    assert_eq!(said.matches("NOAUTH").count(), 1, "{said}");
    assert!(said.contains(&addr), "{said}");
}

#[test]
fn a_redis_that_has_no_address_is_told() {
    let (mut server, _) = start_with("no.such.name.invalid:6379", &[]);
    let mut said = String::new();
    BufReader::new(server.child.stderr.as_mut().unwrap()).read_line(&mut said).unwrap();
    assert!(said.contains("no.such.name.invalid:6379"), "{said}");
    server.signal("TERM");
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn what_was_typed_wrongly_is_named() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let no_text = OsStr::from_bytes(b"\xff");
    let redis = OsStr::new("127.0.0.1:1");
    let cases: [(&[&OsStr], &str); 4] = [
        (&[redis], "REDIS_ADDR"),
        (&[OsStr::new("--nonsense"), redis, redis], "--nonsense"),
        (&[OsStr::new("--redis-timeout"), OsStr::new("0"), redis, redis], "--redis-timeout"),
        (&[no_text, redis], "not UTF-8"),
    ];
    for (words, culprit) in cases {
        let output = Command::new(example("chat_cluster")).args(words).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.lines().next().unwrap().contains(culprit), "{said}");
    }
}

// What the servers tell each other, without them.

/// Hands messages round until nobody has any more to say; gives what each was to tell its members.
fn settle(servers: &mut [Cluster], first: Vec<Vec<u8>>) -> Vec<Vec<String>> {
    let mut told = vec![Vec::new(); servers.len()];
    let mut messages = std::collections::VecDeque::from(first);
    let mut steps = 0;
    while let Some(message) = messages.pop_front() {
        for (server, told) in servers.iter_mut().zip(&mut told) {
            let follows = server.receive(&message);
            told.extend(follows.tell.into_iter().map(|line| String::from_utf8(line).unwrap()));
            messages.extend(follows.publish);
        }
        steps += 1;
        assert!(steps < 100_000, "they never have enough");
    }
    told
}

fn met() -> [Cluster; 3] {
    let mut servers = [Cluster::new(), Cluster::new(), Cluster::new()];
    let hello = servers[0].who();
    settle(&mut servers, vec![hello]);
    let hello = servers[1].who();
    settle(&mut servers, vec![hello]);
    servers
}

#[test]
fn whatever_was_missed_is_repeated_once_and_in_order() {
    // Which of six lines are heard at once, as bits.
    for heard in 0..64 {
        let mut servers = met();
        let said: Vec<Vec<u8>> =
            lines("x", 6).iter().map(|l| servers[0].say(l.as_bytes())).collect();
        let some = said.into_iter().enumerate().filter(|(nth, _)| heard >> nth & 1 == 1);
        let mut told = settle(&mut servers, some.map(|(_, message)| message).collect());
        let who = servers[0].who();
        for (told, more) in told.iter_mut().zip(settle(&mut servers, vec![who])) {
            told.extend(more);
        }
        assert_eq!(told, [vec![], lines("x", 6), lines("x", 6)], "heard {heard:b}");
    }
}

#[test]
fn what_is_no_longer_kept_is_lost_and_counted() {
    let mut servers = met();
    for line in lines("x", KEPT_LINES + 5) {
        servers[0].say(line.as_bytes());
    }
    let who = servers[0].who();
    let told = settle(&mut servers, vec![who]);
    assert_eq!(told[1][0], "* 5 lines of others were lost");
    assert_eq!(told[1][1..], lines("x", KEPT_LINES + 5)[5..]);
    assert_eq!(told[2], told[1]);
}

#[test]
fn nonsense_means_nothing() {
    let mut servers = met();
    let messages = ["", " ", "line", "line x", "line x y z", "again", "who x -1", "what x 1 y"];
    let told = settle(&mut servers, messages.map(|text| text.as_bytes().to_vec()).into());
    assert!(told.iter().all(Vec::is_empty), "{told:?}");
    settle(&mut servers, vec![format!("line x {} z", u64::MAX).into_bytes()]);
    settle(&mut servers, vec![b"lost x 0".to_vec(), format!("again x {}", u64::MAX).into_bytes()]);
}
