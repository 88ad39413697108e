//! The programs of the documents from which this project began, unchanged: their clients talk to our
//! servers, and our `connect` to their servers, each on the very port that it names.
//!
//! Three clients name an address of their author's network; it is replaced by the one of this machine.
//! Some of the programs never end, or spin when their client has gone. That is theirs; they are
//! killed.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::command::{self, Server, bin, has};
use crate::waits::{until, within};

/// The trials: each program of the documents, and what it is to do.
pub(crate) const TRIALS: &[(&str, fn())] = &[
    ("connect_talks_to_the_server_of_document_000", connect_talks_to_the_server_of_document_000),
    (
        "connect_talks_to_the_socketserver_of_document_000_many_at_once",
        connect_talks_to_the_socketserver_of_document_000_many_at_once,
    ),
    ("the_client_of_document_000_says_its_word", the_client_of_document_000_says_its_word),
    (
        "connect_talks_to_the_upper_server_of_document_001",
        connect_talks_to_the_upper_server_of_document_001,
    ),
    (
        "the_client_of_document_001_is_answered_for_ever",
        the_client_of_document_001_is_answered_for_ever,
    ),
    (
        "connect_sends_datagrams_to_the_server_of_document_001",
        connect_sends_datagrams_to_the_server_of_document_001,
    ),
    (
        "the_datagrams_of_document_001_are_answered_for_ever",
        the_datagrams_of_document_001_are_answered_for_ever,
    ),
    (
        "connect_talks_to_the_person_at_the_server_of_document_002",
        connect_talks_to_the_person_at_the_server_of_document_002,
    ),
    (
        "connect_ends_where_the_two_threads_of_document_002_cannot",
        connect_ends_where_the_two_threads_of_document_002_cannot,
    ),
    (
        "connect_is_welcomed_by_the_socketserver_of_document_002",
        connect_is_welcomed_by_the_socketserver_of_document_002,
    ),
    ("the_clients_of_document_002_are_echoed", the_clients_of_document_002_are_echoed),
    (
        "the_example_welcomes_the_client_of_document_002_in_every_mode",
        the_example_welcomes_the_client_of_document_002_in_every_mode,
    ),
    ("connect_talks_to_the_server_of_document_004", connect_talks_to_the_server_of_document_004),
    (
        "the_three_clients_of_document_004_are_answered_at_once",
        the_three_clients_of_document_004_are_answered_at_once,
    ),
    (
        "connect_exchanges_datagrams_with_the_server_of_document_004",
        connect_exchanges_datagrams_with_the_server_of_document_004,
    ),
    (
        "the_datagram_client_of_document_004_is_answered",
        the_datagram_client_of_document_004_is_answered,
    ),
];

/// The address in three programs of document 002.
const OF_THEIR_NETWORK: &str = "10.115.28.33";

/// A program that somebody sits before.
struct Program {
    child: Child,
    stdin: Option<ChildStdin>,
    shown: Arc<Mutex<String>>,
}

impl Program {
    fn start(command: &mut Command) -> Program {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        let shown = Arc::new(Mutex::new(String::new()));
        let screen = Arc::clone(&shown);
        thread::spawn(move || {
            let mut piece = [0; 4_096];
            let mut bytes = Vec::new();
            while let Ok(n @ 1..) = stdout.read(&mut piece) {
                bytes.extend_from_slice(&piece[..n]);
                // A program that floods is not read for ever.
                if bytes.len() < 1 << 20 {
                    *screen.lock().unwrap() = String::from_utf8_lossy(&bytes).into_owned();
                }
            }
        });
        Program { stdin: child.stdin.take(), child, shown }
    }

    /// A program of the documents.
    fn python(name: &str) -> Program {
        let file = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join(format!("../../../tests/python/seeds/{name}.py"));
        let mut command = Command::new("python3");
        command.env("PYTHONUNBUFFERED", "1").env("PYTHONUTF8", "1").stderr(Stdio::null());
        let text = fs::read_to_string(&file).unwrap();
        if text.contains(OF_THEIR_NETWORK) {
            command.arg("-c").arg(text.replace(OF_THEIR_NETWORK, "127.0.0.1"));
        } else {
            command.arg(file);
        }
        Program::start(&mut command)
    }

    /// Our client, as soon as somebody listens. Whether they do is read and not tried, because their
    /// servers take whoever tries for their client.
    fn connect(port: u16) -> Program {
        let listening = format!(":{port:04X} 00000000:0000 0A ");
        until("a server that listens", || {
            fs::read_to_string("/proc/net/tcp").unwrap().contains(&listening)
        });
        let addr = format!("127.0.0.1:{port}");
        Program::start(bin().args(["connect", &addr]).stderr(Stdio::null()))
    }

    fn say(&mut self, text: &str) {
        self.stdin.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// Waits until it has shown this.
    fn shows(&self, text: &str) {
        self.shows_apart_from("", text);
    }

    /// Waits until it has shown this, wherever a second thread of it put its prompt: `print` writes its
    /// words one by one, and the prompt comes at any time.
    fn shows_apart_from(&self, prompt: &str, text: &str) {
        // An empty prompt would be found between any two letters, where it does no harm.
        until(text, || self.shown.lock().unwrap().replace(prompt, "").contains(text));
    }

    fn end_input(&mut self) {
        self.stdin = None;
    }

    fn wait(&mut self) -> ExitStatus {
        command::wait(&mut self.child)
    }

    /// A clean end, after which it has shown this and no more.
    fn ends_with(mut self, all: &str) {
        self.end_input();
        assert_eq!(self.wait().code(), Some(0));
        self.shows(all);
        assert_eq!(*self.shown.lock().unwrap(), all);
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The port for this test alone. `None` when somebody else has it, or Python is missing; it says so.
fn port(kind: Type, port: u16) -> Option<MutexGuard<'static, ()>> {
    static PORTS: Mutex<()> = Mutex::new(());
    if !has("python3") {
        return None;
    }
    let guard = PORTS.lock().unwrap_or_else(PoisonError::into_inner);
    // After a server closed a connection its port rests for a minute, for those who do not ask for
    // its reuse; so it does when this test ran just before.
    let is_served = || kind == Type::DGRAM || TcpStream::connect(("127.0.0.1", port)).is_ok();
    let ours = within(Duration::from_secs(90), || {
        if is_free(kind, port) { Some(true) } else { is_served().then_some(false) }
    });
    if ours != Some(true) {
        println!("skipped: somebody has port {port}");
        return None;
    }
    Some(guard)
}

fn is_free(kind: Type, port: u16) -> bool {
    let socket = Socket::new(Domain::IPV4, kind, None).unwrap();
    socket.bind(&SocketAddr::from(([0, 0, 0, 0], port)).into()).is_ok()
}

/// Our command with these words, which must name a listener.
fn ours(words: &[&str]) -> Server {
    let mut server = Server::start(words);
    assert!(server.line().starts_with("listening "));
    server
}

/// A program that serves datagrams, once it does.
fn python_on_udp(name: &str, port: u16) -> Program {
    let program = Program::python(name);
    until("a server that binds", || !is_free(Type::DGRAM, port));
    program
}

fn connect_talks_to_the_server_of_document_000() {
    let Some(_port) = port(Type::STREAM, 6000) else { return };
    let _server = Program::python("000_tcp_server");
    let mut client = Program::connect(6000);
    client.say("hi");
    client.shows("hi");
    client.say(", again");
    client.shows("hi, again");
    // At the end of its client that server spins for ever. Ours first ends, so that the port is free
    // at once.
    client.end_input();
}

fn connect_talks_to_the_socketserver_of_document_000_many_at_once() {
    let Some(_port) = port(Type::STREAM, 6001) else { return };
    let _server = Program::python("000_socketserver");
    let mut clients: Vec<Program> = (0..3).map(|_| Program::connect(6001)).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        client.say(&format!("client {n}"));
        client.shows(&format!("client {n}"));
    }
    clients.iter_mut().for_each(Program::end_input);
}

fn the_client_of_document_000_says_its_word() {
    let Some(_port) = port(Type::STREAM, 6000) else { return };
    for workers in [&[][..], &["--workers", "threads:2"]] {
        let mut server = ours(&[&["discard", "--tcp", "127.0.0.1:6000"], workers].concat());
        assert_eq!(Program::python("000_tcp_client").wait().code(), Some(0));
        assert!(server.child.try_wait().unwrap().is_none());
        server.stop();
    }
}

fn connect_talks_to_the_upper_server_of_document_001() {
    let Some(_port) = port(Type::STREAM, 8080) else { return };
    let server = Program::python("001_tcp_server");
    let mut client = Program::connect(8080);
    client.say("你好 hello");
    client.shows("你好 HELLO");
    server.shows("你好 hello");
    client.ends_with("你好 HELLO");
}

fn the_client_of_document_001_is_answered_for_ever() {
    let Some(_port) = port(Type::STREAM, 8080) else { return };
    for workers in [&[][..], &["--workers", "threads:2"], &["--workers", "processes:2"]] {
        let server = ours(&[&["upper", "--tcp", "127.0.0.1:8080"], workers].concat());
        let client = Program::python("001_tcp_client");
        client.shows("你好\n你好\n你好\n");
        drop(client);
        server.stop();
    }
}

fn connect_sends_datagrams_to_the_server_of_document_001() {
    let Some(_port) = port(Type::DGRAM, 8081) else { return };
    let server = python_on_udp("001_udp_server", 8081);
    // It answers nothing, which is a failure only where an answer is waited for.
    for (wait, code) in [("0s", 0), ("100ms", 1)] {
        let words = ["connect", "--udp", "127.0.0.1:8081", "--wait", wait];
        let mut client = Program::start(bin().args(words).stderr(Stdio::null()));
        client.say("123123\n");
        server.shows(r"b'123123\n'");
        client.end_input();
        assert_eq!(client.wait().code(), Some(code), "--wait {wait}");
        assert_eq!(*client.shown.lock().unwrap(), "");
    }
}

fn the_datagrams_of_document_001_are_answered_for_ever() {
    let Some(_port) = port(Type::DGRAM, 8081) else { return };
    for workers in [&[][..], &["--workers", "threads:2"], &["--workers", "processes:2"]] {
        let server = ours(&[&["echo", "--udp", "127.0.0.1:8081"], workers].concat());
        let client = Program::python("001_udp_client");
        client.shows("123123\n123123\n123123\n");
        drop(client);
        server.stop();
    }
}

fn connect_talks_to_the_person_at_the_server_of_document_002() {
    let Some(_port) = port(Type::STREAM, 8899) else { return };
    let mut server = Program::python("002_tcp_server");
    let mut client = Program::connect(8899);
    client.say("hello");
    server.shows(">>> hello");
    server.say("how are you?\n");
    client.shows("how are you?");
    // The client ends first, so that the port is free at once; the server's person then sees an empty
    // message, and says nothing, which ends the conversation.
    client.end_input();
    server.shows(">>> \n");
    server.say("\n");
    client.ends_with("how are you?");
}

fn connect_ends_where_the_two_threads_of_document_002_cannot() {
    let Some(_port) = port(Type::STREAM, 8899) else { return };
    let mut server = Program::python("002_threads_server");
    let mut client = Program::connect(8899);
    server.say("welcome\n");
    client.shows("welcome");
    client.say("hello");
    server.shows_apart_from("<<<", ">>> hello");
    client.end_input();
    server.shows_apart_from("<<<", ">>> \n");
    // It is at its end and does not see it.
    assert!(server.child.try_wait().unwrap().is_none());
    drop(server);
    client.ends_with("welcome");
}

fn connect_is_welcomed_by_the_socketserver_of_document_002() {
    let Some(_port) = port(Type::STREAM, 8899) else { return };
    let server = Program::python("002_socketserver");
    let mut client = Program::connect(8899);
    client.shows("welcome");
    client.say("how are you?");
    client.shows("welcomehello");
    client.say("exit");
    client.end_input();
    server.shows("exit\n");
    client.ends_with("welcomehello");
}

fn the_clients_of_document_002_are_echoed() {
    let Some(_port) = port(Type::STREAM, 8899) else { return };
    for workers in [&[][..], &["--workers", "threads:2"], &["--workers", "processes:2"]] {
        let server = ours(&[&["echo", "--tcp", "127.0.0.1:8899"], workers].concat());
        let mut client = Program::python("002_tcp_client");
        client.say("hello\n");
        client.shows(">>> hello\n");
        client.say("\n");
        assert_eq!(client.wait().code(), Some(0));
        // This one has two threads and does not come to its end, as its document says.
        let mut client = Program::python("002_threads_client");
        client.say("hello\n");
        client.shows_apart_from("<<<", ">>> hello\n");
        drop(client);
        server.stop();
    }
}

fn the_example_welcomes_the_client_of_document_002_in_every_mode() {
    let Some(_port) = port(Type::STREAM, 8899) else { return };
    let Some(example) = example("modes") else { return };
    for mode in ["inline", "threads", "processes"] {
        let mut command = Command::new(&example);
        let mut server = Server::of(command.args(["127.0.0.1:8899", mode]).stderr(Stdio::null()));
        assert_eq!(server.line(), "listening on 127.0.0.1:8899");
        let mut client = Program::python("002_socketserver_client");
        client.shows("welcome\n>>>");
        client.say("how are you?\n");
        client.shows("hello\n>>>");
        client.say("exit\n");
        assert_eq!(client.wait().code(), Some(0), "{mode}");
    }
}

/// An example, which lies beside the tests when all of them are built.
fn example(name: &str) -> Option<PathBuf> {
    let here = std::env::current_exe().unwrap();
    let path = here.parent()?.parent()?.join("examples").join(name);
    if !path.exists() {
        println!("skipped: the example {name} is not built; cargo test builds it");
        return None;
    }
    Some(path)
}

fn connect_talks_to_the_server_of_document_004() {
    let Some(_port) = port(Type::STREAM, 8000) else { return };
    let server = Program::python("004_tcp_server");
    let mut clients: Vec<Program> = (0..3).map(|_| Program::connect(8000)).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        client.say(&format!("client {n}"));
        client.shows(&format!("CLIENT {n}"));
        server.shows(&format!("client {n}"));
    }
    clients.iter_mut().for_each(Program::end_input);
}

fn the_three_clients_of_document_004_are_answered_at_once() {
    let Some(_port) = port(Type::STREAM, 8000) else { return };
    for workers in [&[][..], &["--workers", "threads:3"], &["--workers", "processes:3"]] {
        let server = ours(&[&["upper", "--tcp", "127.0.0.1:8000"], workers].concat());
        let mut clients: Vec<Program> = (0..3).map(|_| Program::python("004_tcp_client")).collect();
        for client in &mut clients {
            client.say("hello\nagain\n");
            // It shows no answer, but asks for more when it has one.
            client.shows(">>>>>>");
        }
        drop(clients);
        server.stop();
    }
}

fn connect_exchanges_datagrams_with_the_server_of_document_004() {
    let Some(_port) = port(Type::DGRAM, 8000) else { return };
    let mut server = python_on_udp("004_udp_server", 8000);
    let words = ["connect", "--udp", "127.0.0.1:8000", "--wait", "100ms"];
    let mut client = Program::start(bin().args(words).stderr(Stdio::null()));
    client.say("hello\n");
    server.shows("hello\n");
    server.say("well, ");
    server.say("\n");
    client.shows("well, HELLO\n");
    client.ends_with("well, HELLO\n");
}

fn the_datagram_client_of_document_004_is_answered() {
    let Some(_port) = port(Type::DGRAM, 8000) else { return };
    for workers in [&[][..], &["--workers", "threads:2"], &["--workers", "processes:2"]] {
        let server = ours(&[&["upper", "--udp", "127.0.0.1:8000"], workers].concat());
        let mut client = Program::python("004_udp_client");
        // An empty datagram is one, and is answered by one.
        client.say("hello\n\nagain\n");
        client.shows(">>:HELLO\n>>:\n>>:AGAIN\n");
        drop(client);
        server.stop();
    }
}
