//! No operation grows with the number of others: its instructions at n, 4n and 16n are counted by valgrind.
//!
//! This program starts itself under valgrind, which writes one count for each call of [`measured`].
//! Instructions are the same in every run, whatever else the machine does; time is not looked at.

use std::cell::{Cell, RefCell};
use std::fs;
use std::io::Read;
use std::net::Shutdown;
use std::path::Path;
use std::process::Command;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use socketserver::blocking::{Request, Workers};
use socketserver::{Addr, Connect, Context, Echo, Handler, Input, Options, SocketId, testing};

use crate::alone;
use crate::support::{Client, DatagramClient, DatagramKind, Harness, Kind, ms, on_input};

/// How many others there are.
const SIZES: [usize; 3] = [40, 160, 640];

/// The growth that is allowed from the least to the most others, in percent: what a search in a tree
/// costs more.
const MOST_GROWTH: u64 = 150;

/// How often each operation is repeated in one count, so that what grows once in a while is spread.
const TIMES: usize = 16;

/// How often it is counted. The least count is taken: on a busy machine the loop may turn in vain.
const COUNTS: usize = 5;

/// How often all of it is run while something seems to grow, for the same reason.
const RUNS: usize = 4;

/// One operation, to be repeated.
type Operation = Box<dyn FnMut()>;

/// An operation, and how it is prepared beside `n` others.
type Scenario = (&'static str, fn(usize) -> Operation);

const SCENARIOS: [Scenario; 18] = [
    ("a message beside n connections", message),
    ("a client beside n connections", client),
    ("a broadcast to sixteen members beside n connections", broadcast),
    ("an end beside n listeners that wait", end_beside_listeners),
    ("a free thread beside n listeners that wait", thread_beside_listeners),
    ("a free thread beside n datagram sockets that wait", thread_beside_sockets),
    ("a datagram beside n busy threads", datagram_beside_threads),
    ("a timer beside n timers", timer),
    ("a datagram beside n sockets", datagram),
    ("a datagram beside n Unix sockets", unix_datagram),
    ("a datagram behind n that wait", full_queue),
    ("a connect beside n names in flight", name),
    ("a connect beside n that wait for its name", same_name),
    ("a connect beside n in the making", connect),
    ("a posted call beside n connections", posted),
    ("offloaded work beside n connections", offloaded),
    ("a message of a shutdown beside n connects", shutdown),
    ("a turn of handle_request beside n connections", handle_request),
];

/// Valgrind begins a count where this is called, and writes it where it ends.
#[inline(never)]
fn measured(operation: &mut dyn FnMut()) {
    for _ in 0..TIMES {
        operation();
    }
}

const CHILD: &str = "SOCKETSERVER_TEST_GROWTH";

#[test]
fn no_operation_grows_with_the_number_of_others() {
    if std::env::var_os(CHILD).is_some() {
        return run_all();
    }
    let _alone = alone();
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("skipped: valgrind is missing");
        return;
    }
    let mut least = vec![u64::MAX; SCENARIOS.len() * SIZES.len()];
    let mut grown = Vec::new();
    for _ in 0..RUNS {
        for (least, count) in least.iter_mut().zip(count_all()) {
            *least = count.min(*least);
        }
        grown = what_grows(&least);
        if grown.is_empty() {
            return;
        }
    }
    panic!("{grown:#?}");
}

/// What has grown, of the instructions of each scenario at each size.
fn what_grows(least: &[u64]) -> Vec<String> {
    let mut grown = Vec::new();
    for ((name, _), each) in SCENARIOS.iter().zip(least.chunks(SIZES.len())) {
        println!("{name}: {each:?} instructions");
        if each[SIZES.len() - 1] * 100 > each[0] * MOST_GROWTH {
            grown.push(format!("{name}: {each:?} instructions with n = {SIZES:?}"));
        }
    }
    grown
}

/// The instructions of each scenario at each size, in one run of valgrind.
fn count_all() -> Vec<u64> {
    let directory = tempfile::tempdir().unwrap();
    let output = Command::new("valgrind")
        .args([
            "--tool=callgrind",
            "--max-threads=1000",
            "--zero-before=alone::growth::measured",
            "--dump-after=alone::growth::measured",
        ])
        .arg(format!("--callgrind-out-file={}", directory.path().join("counts").display()))
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "growth::no_operation_grows_with_the_number_of_others", "--nocapture"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{text}", String::from_utf8_lossy(&output.stdout));
    let counts = counts(directory.path());
    assert_eq!(counts.len(), SCENARIOS.len() * SIZES.len() * COUNTS, "{text}");
    let least = |counts: &[u64]| counts.iter().min().unwrap() / TIMES as u64;
    counts.chunks(COUNTS).map(least).collect()
}

/// The counts in the order in which they were written.
fn counts(directory: &Path) -> Vec<u64> {
    let mut counts = Vec::new();
    for file in fs::read_dir(directory).unwrap() {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        let value = |name: &str| {
            text.lines().find_map(|line| Some(line.strip_prefix(name)?.trim().to_string()))
        };
        let is_ours = value("desc: Trigger:").is_some_and(|why| why.contains("measured"));
        if let (true, Some(part), Some(count)) = (is_ours, value("part:"), value("totals:")) {
            counts.push((part.parse::<u64>().unwrap(), count.parse::<u64>().unwrap()));
        }
    }
    counts.sort_unstable();
    counts.into_iter().map(|(_, count)| count).collect()
}

fn run_all() {
    for (name, prepare) in SCENARIOS {
        for n in SIZES {
            println!("{name}: {n}");
            let mut operation = prepare(n);
            // What is allocated once, and the first sweep.
            (0..TIMES).for_each(|_| operation());
            for _ in 0..COUNTS {
                measured(&mut *operation);
            }
        }
    }
}

/// A server with so many clients that say nothing.
fn crowd(n: usize, options: Options) -> (Harness, Addr, Vec<Client>) {
    let mut server = Harness::with_shared((), options);
    let addr = server.serve(Kind::Unix, |_| Echo);
    let clients = Client::connect_many_in_turns(&mut server, &addr, n);
    (server, addr, clients)
}

impl Client {
    /// No more than a backlog holds.
    fn connect_many_in_turns<S>(server: &mut Harness<S>, addr: &Addr, n: usize) -> Vec<Client> {
        let connect = |nth: usize| {
            let client = Client::connect(addr);
            server.until(|server| server.io().connection_count() == nth + 1);
            client
        };
        (0..n).map(connect).collect()
    }
}

fn with_idle_time() -> Options {
    Options { idle_timeout: Some(Duration::from_secs(3_600)), ..Options::default() }
}

/// One exchange with two turns at most; nothing else is in the count.
fn exchange(server: &mut Harness, client: &mut Client) {
    client.send(b"hello");
    let mut answer = [0; 8];
    server.until(|_| (&client.socket).read(&mut answer).is_ok());
}

fn is_answered(client: &DatagramClient) -> bool {
    (&client.socket).read(&mut [0; 8]).is_ok()
}

fn message(n: usize) -> Operation {
    let (mut server, _, mut clients) = crowd(n, with_idle_time());
    Box::new(move || exchange(&mut server, &mut clients[n / 2]))
}

fn client(n: usize) -> Operation {
    let (mut server, addr, clients) = crowd(n, with_idle_time());
    Box::new(move || {
        let mut client = Client::connect(&addr);
        exchange(&mut server, &mut client);
        drop(client);
        server.until(|server| server.io().connection_count() == clients.len());
    })
}

/// A line goes to sixteen members of all.
struct Member;

impl Handler<Vec<SocketId>> for Member {
    fn setup(&mut self, cx: &mut Context<'_, Vec<SocketId>>) -> std::io::Result<()> {
        cx.shared.push(cx.id);
        Ok(())
    }

    fn handle(
        &mut self,
        cx: &mut Context<'_, Vec<SocketId>>,
        input: &mut Input<'_>,
    ) -> std::io::Result<()> {
        let line = input.take_all();
        for member in cx.shared.iter().rev().take(16) {
            cx.io.send(*member, line);
        }
        Ok(())
    }
}

fn broadcast(n: usize) -> Operation {
    let mut server = Harness::with_shared(Vec::new(), with_idle_time());
    let addr = server.serve(Kind::Unix, |_| Member);
    let mut clients = Client::connect_many_in_turns(&mut server, &addr, n);
    Box::new(move || {
        clients[0].send(b"hello");
        for client in clients.iter().rev().take(16) {
            server.until(|_| (&client.socket).read(&mut [0; 8]).is_ok());
        }
    })
}

/// The one client that is served is gone, one of those that wait on `addrs` is served instead, and
/// another one waits. `current` says which.
fn next_client(mut server: Harness, addrs: Vec<Addr>, current: Rc<Cell<usize>>) -> Operation {
    let mut clients: Vec<Client> = addrs.iter().map(Client::connect).collect();
    server.until(|server| server.io().stats().accepted == 1);
    // All the others have found that they must wait.
    for _ in 0..3 {
        server.turn(Some(Duration::ZERO)).unwrap();
    }
    Box::new(move || {
        let (ended, accepted) = (current.get(), server.io().stats().accepted);
        clients[ended].socket.shutdown(Shutdown::Both).unwrap();
        server.until(|server| server.io().stats().accepted == accepted + 1);
        clients[ended] = Client::connect(&addrs[ended]);
    })
}

fn end_beside_listeners(n: usize) -> Operation {
    let mut server = Harness::with_shared((), Options { max_connections: 1, ..Options::default() });
    let current = Rc::new(Cell::new(0));
    let addrs: Vec<Addr> = (0..n).map(|_| Addr::Unix(server.free_path())).collect();
    for (nth, addr) in addrs.iter().enumerate() {
        let current = Rc::clone(&current);
        let factory = move |_: &Addr| {
            current.set(nth);
            Echo
        };
        server.listen(addr.clone(), factory).unwrap();
    }
    next_client(server, addrs, current)
}

fn thread_beside_listeners(n: usize) -> Operation {
    let mut server = Harness::new();
    let (workers, current) = (Workers::threads(1), Rc::new(Cell::new(0)));
    let wait = |request: &mut Request<'_>| request.take_line(1).map(drop);
    let listen = |nth: usize| {
        let current = Rc::clone(&current);
        server.serve_blocking(Kind::Unix, &workers, move |_| {
            current.set(nth);
            wait
        })
    };
    let addrs = (0..n).map(listen).collect();
    next_client(server, addrs, current)
}

/// Ends the wait of one datagram handler.
type Go = mpsc::Sender<()>;

/// A blocking datagram socket whose handlers wait for [`Go`], and then note `nth`.
fn gate(server: &mut Harness, workers: &Workers, nth: usize, gate: &Gate) -> Addr {
    let gate = Arc::clone(gate);
    let factory = move |_: &Addr| {
        let gate = Arc::clone(&gate);
        move |request: &mut Request<'_>| {
            let (go, last) = &*gate;
            go.lock().unwrap().recv().map_err(std::io::Error::other)?;
            last.store(nth, Ordering::SeqCst);
            request.send_all(b"done")
        }
    };
    server.serve_datagrams_blocking(DatagramKind::V4, workers, factory).1
}

type Gate = Arc<(Mutex<mpsc::Receiver<()>>, AtomicUsize)>;

fn new_gate() -> (Go, Gate) {
    let (go, gate) = mpsc::channel();
    (go, Arc::new((Mutex::new(gate), AtomicUsize::new(0))))
}

fn thread_beside_sockets(n: usize) -> Operation {
    let mut server = Harness::new();
    let (workers, (go, waits)) = (Workers::threads(1), new_gate());
    let connect = |nth| DatagramClient::new(&gate(&mut server, &workers, nth, &waits));
    let clients: Vec<DatagramClient> = (0..n).map(connect).collect();
    for client in &clients {
        client.send(b"hello");
    }
    for _ in 0..3 {
        server.turn(Some(Duration::ZERO)).unwrap();
    }
    Box::new(move || {
        let answered = server.io().stats().packets_out;
        go.send(()).unwrap();
        server.until(|server| server.io().stats().packets_out == answered + 1);
        clients[waits.1.load(Ordering::SeqCst)].send(b"hello");
    })
}

/// Each handler has a thread.
fn datagram_beside_threads(n: usize) -> Operation {
    let mut server = Harness::new();
    let (workers, (go, waits)) = (Workers::threads(n + 1), new_gate());
    let client = DatagramClient::new(&gate(&mut server, &workers, 0, &waits));
    for sent in 1..=n as u64 {
        client.send(b"hello");
        server.until(|server| server.io().stats().packets_in == sent);
    }
    Box::new(move || {
        client.send(b"hello");
        go.send(()).unwrap();
        server.until(|_| is_answered(&client));
    })
}

fn timer(n: usize) -> Operation {
    let (mut server, _, clients) = crowd(1, Options::default());
    let (fired, owner) = (Rc::new(RefCell::new(0)), clients.len());
    assert_eq!(owner, 1);
    let count = Rc::clone(&fired);
    let id = server
        .add_timer_handler(move |_: &mut Context<'_>| {
            *count.borrow_mut() += 1;
            Ok(())
        })
        .unwrap();
    for nth in 0..n {
        server.io_mut().set_timer(id, Duration::from_secs(3_600 + (nth as u64 * 7) % 64));
    }
    Box::new(move || {
        let _alive = &clients;
        let cancelled = server.io_mut().set_timer(id, Duration::from_secs(3_630));
        assert!(server.io_mut().cancel_timer(cancelled));
        server.io_mut().set_timer(id, Duration::ZERO);
        let before = *fired.borrow();
        server.until(|_| *fired.borrow() > before);
    })
}

fn datagrams(n: usize, kind: DatagramKind) -> Operation {
    let mut server = Harness::new();
    let addrs: Vec<Addr> = (0..n).map(|_| server.serve_datagrams(kind, Echo).1).collect();
    let client = DatagramClient::new(&addrs[n / 2]);
    Box::new(move || {
        client.send(b"hello");
        server.until(|_| is_answered(&client));
    })
}

fn datagram(n: usize) -> Operation {
    datagrams(n, DatagramKind::V4)
}

fn unix_datagram(n: usize) -> Operation {
    datagrams(n, DatagramKind::Unix)
}

fn full_queue(n: usize) -> Operation {
    let options = Options { send_queue_packets: n, ..Options::default() };
    let mut server = Harness::with_shared((), options);
    let reader = std::os::unix::net::UnixDatagram::bind(server.free_path()).unwrap();
    reader.set_nonblocking(true).unwrap();
    let path = Addr::Unix(reader.local_addr().unwrap().as_pathname().unwrap().into());
    let id = server.connect_datagram(path, Echo).unwrap();
    // The peer's queue is full, and so is ours.
    for _ in 0..n + 512 {
        server.io_mut().send(id, b"hello");
        if server.io().queued_packets(id) == 1 {
            server.turn(Some(Duration::ZERO)).unwrap();
        }
    }
    assert_eq!(server.io().queued_packets(id), n);
    Box::new(move || {
        let mut buffer = [0; 8];
        reader.recv(&mut buffer).unwrap();
        server.until(|server| server.io().queued_packets(id) == n - 1);
        server.io_mut().send(id, b"hello");
        assert_eq!(server.io().queued_packets(id), n);
    })
}

/// A server whose look-ups wait until it is dropped.
fn lookups() -> (Harness, mpsc::Sender<()>) {
    let mut server = Harness::with_shared((), Options { lookup_threads: 1, ..Options::default() });
    let (end, ended) = mpsc::channel::<()>();
    let ended = std::sync::Mutex::new(ended);
    testing::look_up_with(&mut server, move |_| {
        let _ = ended.lock().unwrap().recv();
        Ok(Vec::new())
    });
    (server, end)
}

/// Connects, and gives it up.
fn give_up(server: &mut Harness, to: &str) {
    let before = server.io().connection_count();
    let id = server.connect(Connect::to_name(to), Echo).unwrap();
    server.io_mut().abort(id);
    server.until(|server| server.io().connection_count() == before);
}

fn name(n: usize) -> Operation {
    let (mut server, end) = lookups();
    for nth in 0..n {
        server.connect(Connect::to_name(format!("name{nth}.example:1")), Echo).unwrap();
    }
    Box::new(move || {
        let _running = &end;
        give_up(&mut server, "other.example:1");
    })
}

fn same_name(n: usize) -> Operation {
    let (mut server, end) = lookups();
    for _ in 0..n {
        server.connect(Connect::to_name("one.example:1"), Echo).unwrap();
    }
    Box::new(move || {
        let _running = &end;
        give_up(&mut server, "one.example:1");
    })
}

fn connect(n: usize) -> Operation {
    let (mut server, addr, clients) = crowd(1, Options::default());
    let later = Duration::from_secs(3_600);
    for _ in 0..n {
        server.connect(Connect::to(addr.clone()).unwrap().delay(later), Echo).unwrap();
    }
    let open = server.io().connection_count();
    Box::new(move || {
        let _alive = &clients;
        let id = server.connect(addr.clone(), Echo).unwrap();
        server.until(|server| server.io().connection_count() == open + 2);
        server.io_mut().abort(id);
        server.until(|server| server.io().connection_count() == open);
    })
}

fn posted(n: usize) -> Operation {
    let (mut server, _, clients) = crowd(n, with_idle_time());
    let handle = server.handle();
    Box::new(move || {
        let _alive = &clients;
        let (ran, has_run) = mpsc::channel();
        handle.post(move |(), _| ran.send(()).unwrap()).unwrap();
        server.until(|_| has_run.try_recv().is_ok());
    })
}

fn offloaded(n: usize) -> Operation {
    let mut server = Harness::with_shared((), with_idle_time());
    let addr = server.serve(Kind::Unix, |_| {
        on_input(|cx: &mut Context<'_>, input: &mut Input<'_>| {
            input.take_all();
            let id = cx.id;
            cx.offload(
                || (),
                move |(), io, _| {
                    io.send(id, b"done");
                },
            )
        })
    });
    let mut clients = Client::connect_many_in_turns(&mut server, &addr, n);
    Box::new(move || exchange(&mut server, &mut clients[n / 2]))
}

/// A handler that echoes and lets a shutdown wait.
struct Stays;

impl Handler for Stays {
    fn handle(&mut self, cx: &mut Context<'_>, input: &mut Input<'_>) -> std::io::Result<()> {
        cx.send(input.take_all());
        Ok(())
    }

    fn shutdown(&mut self, _: &mut Context<'_>) -> std::io::Result<()> {
        Ok(())
    }
}

fn shutdown(n: usize) -> Operation {
    let (mut server, end) = lookups();
    for nth in 0..n {
        server.connect(Connect::to_name(format!("name{nth}.example:1")), Echo).unwrap();
    }
    let addr = server.serve(Kind::Unix, |_| Stays);
    let mut client = Client::connect(&addr);
    exchange(&mut server, &mut client);
    server.io_mut().shutdown(Duration::from_secs(3_600));
    Box::new(move || {
        let _running = &end;
        exchange(&mut server, &mut client);
    })
}

fn handle_request(n: usize) -> Operation {
    let (mut server, addr, clients) = crowd(n, Options::default());
    Box::new(move || {
        let client = Client::connect(&addr);
        client.socket.shutdown(Shutdown::Both).unwrap();
        server.handle_request(Some(ms(10_000))).unwrap();
        assert_eq!(server.io().connection_count(), clients.len());
    })
}
