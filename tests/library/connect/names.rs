//! Names and several addresses of outgoing connections: looked up beside the loop and fairly, tried
//! as RFC 8305 has it, and never met by oneself.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use socketserver::{
    Addr, CloseReason, Connect, Context, Echo, Handler, Input, Options, Reconnect, Relay, Server,
    testing,
};

use crate::support::{
    Call, CallLog, Client, Discard, Harness, Kind, PATIENCE, Recording, full_name, on_input,
    on_setup,
};

/// A name service that says nothing about names with `dead` or `slow` in them until it is told to, and
/// knows all but the dead ones as the addresses in their labels (`127-0-0-2.example`).
#[derive(Clone, Default)]
struct Service(Arc<(Mutex<State>, Condvar)>);

#[derive(Default)]
struct State {
    asked: BTreeMap<String, usize>,
    speaks: bool,
}

impl Service {
    fn of<S>(server: &mut Server<S>) -> Service {
        let service = Service::default();
        let asked = service.clone();
        testing::look_up_with(server, move |host| asked.look_up(host));
        service
    }

    fn look_up(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let (state, changed) = &*self.0;
        let mut state = state.lock().unwrap();
        *state.asked.entry(host.into()).or_default() += 1;
        changed.notify_all();
        if host.contains("dead") || host.contains("slow") {
            drop(changed.wait_while(state, |state| !state.speaks).unwrap());
        }
        if host.contains("dead") {
            return Err(ErrorKind::TimedOut.into());
        }
        let labels = host.split('.').filter_map(|label| label.replace('-', ".").parse().ok());
        Ok(labels.map(|ip: Ipv4Addr| IpAddr::from(ip)).collect())
    }

    fn asked(&self, host: &str) -> usize {
        self.0.0.lock().unwrap().asked.get(host).copied().unwrap_or(0)
    }

    /// Waits until it was asked for a name.
    fn await_asked(&self, host: &str) {
        let state = self.0.0.lock().unwrap();
        let unasked = |state: &mut State| !state.asked.contains_key(host);
        let (_state, waited) = self.0.1.wait_timeout_while(state, PATIENCE, unasked).unwrap();
        assert!(!waited.timed_out(), "it was not asked for {host}");
    }

    /// From now on it says that it does not know.
    fn speak(&self) {
        self.0.0.lock().unwrap().speaks = true;
        self.0.1.notify_all();
    }

    /// How many names of this kind it was asked for.
    fn names(&self, part: &str) -> usize {
        self.0.0.lock().unwrap().asked.keys().filter(|name| name.contains(part)).count()
    }
}

/// Its threads end with the test.
impl Drop for Service {
    fn drop(&mut self) {
        self.speak();
    }
}

/// A server whose connections have all the time there is, so that only what the test is about can
/// end one.
fn patient() -> Harness<()> {
    let forever = Duration::from_secs(86_400);
    Harness::with_shared((), Options { connect_timeout: forever, ..Options::default() })
}

fn local(port: u16) -> String {
    format!("127-0-0-1.example:{port}")
}

// Look-ups.

#[test]
fn four_names_that_nobody_answers_hold_up_no_other() {
    let mut harness = patient();
    let service = Service::of(&mut harness);
    let port = harness.serve(Kind::Tcp, |_| Discard).port().unwrap();
    for nth in 0..4 {
        harness.connect(format!("{nth}.dead.example:80"), Discard).unwrap();
    }
    let journal = CallLog::default();
    harness.connect(local(port), Recording::new(&journal, Discard)).unwrap();
    harness.until(|_| journal.calls() == [Call::Setup]);
    (0..4).for_each(|nth| service.await_asked(&format!("{nth}.dead.example")));
}

#[test]
fn who_waits_for_a_name_when_the_server_stops_is_served_within_the_grace() {
    let mut harness = patient();
    let service = Service::of(&mut harness);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let name = "slow.127-0-0-1.example";
    let addr = harness.serve(Kind::Tcp, move |_| Relay::to(format!("{name}:{port}")));
    let mut client = Client::connect(&addr);
    client.send(b"question");
    harness.until(|server| server.io().stats().bytes_in == 8);
    service.await_asked(name);
    harness.io_mut().shutdown(PATIENCE);
    for _ in 0..10 {
        harness.turn(Some(Duration::ZERO)).unwrap();
    }
    service.speak();
    std::thread::scope(|scope| {
        let answering = scope.spawn(|| {
            let (mut upstream, _) = listener.accept().unwrap();
            upstream.read_exact(&mut [0; 8]).unwrap();
            upstream.write_all(b"answer").unwrap();
        });
        harness.until(|_| answering.is_finished());
    });
    assert_eq!(harness.receive_to_end(&mut client), b"answer");
}

#[test]
fn a_client_that_asks_for_more_names_than_there_are_threads_leaves_some_for_others() {
    let options = Options { lookup_threads: 4, ..Options::default() };
    let mut harness = Harness::with_shared((), options);
    let service = Service::of(&mut harness);
    let there = harness.serve(Kind::Tcp, |_| Discard).port().unwrap();
    // Each client names where it wants to, as those of a proxy do.
    let proxy = harness.serve(Kind::Tcp, |_| {
        on_input(|cx: &mut Context<'_>, input: &mut Input<'_>| {
            while let Some(name) = input.take_line(100)? {
                let name = String::from_utf8_lossy(name).into_owned();
                let client = cx.id;
                let tells = move |cx: &mut Context<'_>| {
                    cx.io.send(client, b"there");
                    Ok(())
                };
                cx.connect(name, on_setup(tells))?;
            }
            Ok(())
        })
    });
    let connect_from = |ip: &str| {
        Client::connect_with(&proxy, |socket| {
            socket.bind(&format!("{ip}:0").parse::<SocketAddr>().unwrap().into()).unwrap();
        })
    };
    let mut greedy: Vec<Client> = (0..10).map(|_| connect_from("127.0.0.2")).collect();
    for (nth, client) in greedy.iter_mut().enumerate() {
        client.send(format!("{nth}.dead.example:80\n").as_bytes());
    }
    harness.until(|server| server.io().stats().connected == 10);
    service.await_asked("0.dead.example");
    service.await_asked("1.dead.example");
    let mut modest = connect_from("127.0.0.3");
    modest.send(format!("{}\n", local(there)).as_bytes());
    harness.until(|_| {
        modest.look();
        modest.received == b"there"
    });
    assert_eq!(service.names("dead"), 2, "as many as were left for others");
}

#[test]
fn equal_names_are_looked_up_once_whatever_their_ports_and_letters() {
    let mut harness = patient();
    let service = Service::of(&mut harness);
    let ends = Rc::new(RefCell::new(0));
    for nth in 0..50 {
        let ends = Rc::clone(&ends);
        let name = if nth % 2 == 0 { "The.Dead.example" } else { "the.dead.EXAMPLE" };
        harness.connect(format!("{name}:{}", 80 + nth), Ends(ends)).unwrap();
    }
    service.await_asked("the.dead.example");
    service.speak();
    harness.until(|_| *ends.borrow() == 50);
    assert_eq!(service.asked("the.dead.example"), 1);
    assert_eq!(harness.ended(CloseReason::ConnectFailed), 50);
}

struct Ends(Rc<RefCell<usize>>);

impl Handler for Ends {
    fn handle(&mut self, _: &mut Context<'_>, _: &mut Input<'_>) -> io::Result<()> {
        Ok(())
    }

    fn finish(&mut self, _: &mut Context<'_>, _: io::Result<()>) {
        *self.0.borrow_mut() += 1;
    }
}

#[test]
fn numbers_and_localhost_wait_for_no_thread() {
    let mut harness = Harness::with_shared((), Options { lookup_threads: 1, ..Options::default() });
    let service = Service::of(&mut harness);
    harness.connect("dead.example:80", Discard).unwrap();
    service.await_asked("dead.example");
    let port = harness.serve(Kind::Tcp, |_| Discard).port().unwrap();
    for host in ["127.0.0.1", "localhost", "LOCALHOST", "localhost.", "a.b.localhost"] {
        for by_name in [false, true] {
            let journal = CallLog::default();
            let text = format!("{host}:{port}");
            let to = if by_name { Connect::to_name(&text) } else { Connect::to(&text).unwrap() };
            harness.connect(to, Recording::new(&journal, Discard)).unwrap();
            harness.until(|_| journal.calls() == [Call::Setup]);
        }
    }
    assert_eq!(service.0.0.lock().unwrap().asked.len(), 1);
}

#[test]
fn no_way_to_give_a_name_blocks_the_loop() {
    let mut harness = patient();
    let service = Service::of(&mut harness);
    let name = "dead.example:80";
    // From outside, by each of the types that may be a name.
    harness.connect(name, Discard).unwrap();
    harness.connect(name.to_string(), Discard).unwrap();
    harness.connect(("dead.example", 80), Discard).unwrap();
    harness.connect(Connect::to(name).unwrap(), Discard).unwrap();
    Reconnect::new(name, |_| Some(Discard)).unwrap().start(&mut harness).unwrap();
    // From inside.
    let relay = harness.serve(Kind::Tcp, |_| Relay::to("dead.example:80"));
    let inside = harness.serve(Kind::Tcp, |_| {
        on_setup(|cx: &mut Context<'_>| cx.connect("dead.example:80", Discard).map(|_| ()))
    });
    let _clients = [Client::connect(&relay), Client::connect(&inside)];
    harness.until(|server| server.io().stats().connected == 7);
    service.await_asked("dead.example");
    assert_eq!(service.asked("dead.example"), 1);
}

#[test]
fn a_text_that_is_no_address_is_said_at_once() {
    let mut harness = Harness::new();
    for bad in ["nonsense", "", ":80", "example:port", "example:99999", "[::1:80", "::1:80"] {
        let error = harness.connect(bad, Discard).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{bad}");
    }
}

#[test]
fn the_time_of_a_connection_counts_while_its_name_is_looked_up() {
    let options = Options { connect_timeout: Duration::from_millis(20), ..Options::default() };
    let mut harness = Harness::with_shared((), options);
    let service = Service::of(&mut harness);
    let journal = CallLog::default();
    harness.connect("dead.example:80", Recording::new(&journal, Discard)).unwrap();
    harness.until_ended(1);
    assert_eq!(
        journal.calls(),
        [Call::Finish(CloseReason::ConnectFailed, Some(ErrorKind::TimedOut))]
    );
    drop(service);
}

#[test]
fn a_name_is_looked_up_when_its_time_has_come_and_not_for_who_has_gone() {
    let mut harness = Harness::with_shared((), Options { lookup_threads: 1, ..Options::default() });
    let service = Service::of(&mut harness);
    harness.connect("dead.example:80", Discard).unwrap();
    let late = Connect::to_name("later.dead.example:80").delay(Duration::from_secs(3_600));
    harness.connect(late, Discard).unwrap();
    let gone = harness.connect("gone.dead.example:80", Discard).unwrap();
    service.await_asked("dead.example");
    harness.io_mut().close(gone);
    harness.until(|server| server.io().stats().all_ended() == 1);
    let port = harness.serve(Kind::Tcp, |_| Discard).port().unwrap();
    let journal = CallLog::default();
    harness.connect(local(port), Recording::new(&journal, Discard)).unwrap();
    service.speak();
    harness.until(|_| journal.calls() == [Call::Setup]);
    assert_eq!(service.names("dead"), 1);
}

#[test]
fn work_that_blocks_and_names_do_not_wait_for_each_other() {
    let mut harness =
        Harness::with_shared((), Options { offload_threads: 1, ..Options::default() });
    let _service = Service::of(&mut harness);
    let port = harness.serve(Kind::Tcp, |_| Discard).port().unwrap();
    let (go, gate) = std::sync::mpsc::channel::<()>();
    let gate = Arc::new(Mutex::new(gate));
    let busy = harness.serve(Kind::Tcp, move |_| {
        let gate = Arc::clone(&gate);
        on_setup(move |cx: &mut Context<'_>| {
            let gate = Arc::clone(&gate);
            cx.offload(move || gate.lock().unwrap().recv().is_ok(), |(), _, _| ())
        })
    });
    let _client = Client::connect(&busy);
    harness.until(|server| server.io().stats().accepted == 1);
    let journal = CallLog::default();
    harness.connect(local(port), Recording::new(&journal, Discard)).unwrap();
    harness.until(|_| journal.calls() == [Call::Setup]);
    drop(go);
}

// Several addresses.

/// A listener at this address that answers nobody, and those who fill its backlog.
fn silent(addr: SocketAddr) -> (Socket, Vec<Socket>) {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&addr.into()).unwrap();
    listener.listen(0).unwrap();
    let name = listener.local_addr().unwrap();
    let waiting = (0..4).map(|_| {
        let client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        client.set_nonblocking(true).unwrap();
        let _ = client.connect(&name);
        client
    });
    let waiting = waiting.collect();
    (listener, waiting)
}

#[test]
#[cfg(target_os = "linux")]
fn the_next_address_of_a_name_is_tried_beside_one_that_does_not_answer() {
    let mut harness = patient();
    let _service = Service::of(&mut harness);
    let there = harness.serve(Kind::Tcp, |_| Echo).port().unwrap();
    let (_listener, _waiting) = silent(SocketAddr::from(([127, 0, 0, 9], there)));
    let name = format!("127-0-0-9.127-0-0-1.example:{there}");
    let list: Vec<Addr> = [9, 1].map(|n| Addr::Ip(([127, 0, 0, n], there).into())).into();
    for to in [Connect::to_name(name), Connect::to(&list[..]).unwrap()] {
        let journal = CallLog::default();
        let id = harness.connect(to, Recording::new(&journal, Asks)).unwrap();
        harness.until(|_| journal.calls().contains(&Call::Setup));
        let peer = harness.io().peer_addr(id).unwrap();
        assert_eq!(peer.ip().unwrap().ip(), IpAddr::from([127, 0, 0, 1]));
        assert_eq!(under_way_to("127.0.0.9", there), 4, "only those who fill the backlog");
        harness.until(|server| server.io().connection_count() == 0);
        assert_eq!(journal.finishes(), [(CloseReason::Closed, None)]);
    }
}

/// Says something, and closes when it has come back.
struct Asks;

impl Handler for Asks {
    fn setup(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        cx.send(b"hello");
        Ok(())
    }

    fn handle(&mut self, cx: &mut Context<'_>, input: &mut Input<'_>) -> io::Result<()> {
        if input.take(5).is_some() {
            cx.close();
        }
        Ok(())
    }
}

/// How many sockets of this machine are connected, or about to be, to this address.
#[cfg(target_os = "linux")]
fn under_way_to(ip: &str, port: u16) -> usize {
    let ip: Ipv4Addr = ip.parse().unwrap();
    let wanted = format!("{:08X}:{port:04X}", u32::from_le_bytes(ip.octets()));
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    table.lines().filter(|line| line.split_whitespace().nth(2) == Some(&wanted)).count()
}

#[test]
fn of_localhost_both_addresses_are_tried_whichever_is_served() {
    for ip in ["127.0.0.1:0", "[::1]:0"] {
        let Ok(listener) = TcpListener::bind(ip) else {
            println!("skipped: no {ip} here");
            continue;
        };
        let port = listener.local_addr().unwrap().port();
        let mut harness = Harness::new();
        let journal = CallLog::default();
        harness.connect(("localhost", port), Recording::new(&journal, Discard)).unwrap();
        harness.until(|_| !journal.calls().is_empty());
        assert_eq!(journal.calls(), [Call::Setup], "{ip}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn the_time_is_for_all_addresses_together() {
    let silent: Vec<_> = (0..3).map(|_| silent(SocketAddr::from(([127, 0, 0, 1], 0)))).collect();
    let addr =
        |(listener, _): &(Socket, _)| Addr::Ip(listener.local_addr().unwrap().as_socket().unwrap());
    let addrs: Vec<Addr> = silent.iter().map(addr).collect();
    let journal = CallLog::default();
    let options = Options { connect_timeout: Duration::from_secs(3_600), ..Options::default() };
    let mut server = testing::TestServer::with_shared((), options).unwrap();
    server.server().connect(&addrs[..], Recording::new(&journal, Discard)).unwrap();
    server.advance(Duration::from_secs(3_599));
    assert!(journal.calls().is_empty());
    server.advance(Duration::from_secs(1));
    assert_eq!(
        journal.calls(),
        [Call::Finish(CloseReason::ConnectFailed, Some(ErrorKind::TimedOut))]
    );
}

// Itself.

/// A port that nobody has, and that no other test takes: where there is more than one loopback address it
/// is one of another than theirs.
fn free_address() -> SocketAddr {
    let ip = if cfg!(any(target_os = "linux", target_os = "android")) {
        [127, 9, 9, 9]
    } else {
        [127, 0, 0, 1]
    };
    TcpListener::bind(SocketAddr::from((ip, 0))).unwrap().local_addr().unwrap()
}

#[test]
fn a_connection_whose_ends_are_one_is_refused_and_its_port_is_free() {
    let here = free_address();
    let mut harness = Harness::new();
    for to in [here, SocketAddr::from(([0, 0, 0, 0], here.port()))] {
        let connect = Connect::to(to).unwrap().local_addr(here).unwrap();
        let error = harness.connect(connect, Echo).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        assert!(error.to_string().contains("itself"), "{error}");
    }
    assert_eq!(harness.io().connection_count(), 0);
    // Not even for the minute of a TIME_WAIT.
    let plain = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    plain.bind(&here.into()).unwrap();
    plain.listen(1).unwrap();
}

#[test]
fn beside_an_address_that_is_itself_another_one_is_found() {
    let mut harness = Harness::new();
    let there = harness.serve(Kind::Tcp, |_| Discard);
    let journal = CallLog::default();
    for left in (0..100).rev() {
        let here = free_address();
        let connect =
            Connect::to(&[Addr::Ip(here), there.clone()][..]).unwrap().local_addr(here).unwrap();
        match harness.connect(connect, Recording::new(&journal, Discard)) {
            // On a busy machine the system may still be at the first attempt, which had that very port.
            Err(error) if error.kind() == ErrorKind::AddrInUse && left > 0 => {}
            connected => {
                connected.unwrap();
                break;
            }
        }
    }
    harness.until(|_| journal.calls() == [Call::Setup]);
}

/// Runs this test of this program in a network namespace of its own, in which only this range of ports
/// is given to those who ask for none; `None` inside of it.
#[cfg(target_os = "linux")]
fn in_namespace(test: &str, ports: &str) -> Option<()> {
    use std::process::{Command, Stdio};

    const INSIDE: &str = "SOCKETSERVER_TEST_NAMESPACE";
    if std::env::var_os(INSIDE).is_some() {
        return None;
    }
    const SCRIPT: &str = "ip link set lo up && ip addr add fe80::1/64 dev lo \
        && echo \"$1\" > /proc/sys/net/ipv4/ip_local_port_range && shift && echo inside && exec \"$@\"";
    let program = std::env::current_exe().unwrap();
    let mut command = Command::new("unshare");
    command.args(["-rn", "sh", "-c", SCRIPT, "sh", ports]).arg(program);
    command
        .args(["--exact", &full_name(module_path!(), test), "--nocapture"])
        .env(INSIDE, "1")
        .stdin(Stdio::null());
    match command.output() {
        Ok(output) if output.stdout.starts_with(b"inside") => {
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "inside: {said}");
        }
        Ok(output) => {
            let why = String::from_utf8_lossy(&output.stderr).into_owned();
            println!("skipped: no network namespace can be made here: {why}");
        }
        Err(error) => println!("skipped: unshare: {error}"),
    }
    Some(())
}

#[test]
#[cfg(target_os = "linux")]
fn who_reconnects_never_takes_the_port_of_its_server() {
    let this = "who_reconnects_never_takes_the_port_of_its_server";
    if in_namespace(this, "40000 40000").is_some() {
        return;
    }
    let there = SocketAddr::from(([127, 0, 0, 1], 40_000));
    let ends = Rc::new(RefCell::new(Vec::new()));
    let (noted, journal) = (Rc::clone(&ends), CallLog::default());
    let told = journal.clone();
    let again = Reconnect::new(there, move |ended: Option<CloseReason>| {
        noted.borrow_mut().extend(ended);
        (noted.borrow().len() < 20).then(|| Recording::new(&told, Discard))
    });
    let mut harness = Harness::new();
    let ms = Duration::from_millis(1);
    again.unwrap().initial_backoff(ms).max_backoff(ms).start(&mut harness).unwrap();
    harness.until(|server| {
        // Its server may start at any moment.
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.bind(&there.into()).unwrap();
        listener.listen(1).unwrap();
        drop(listener);
        server.io().connection_count() == 0
    });
    let refused = (CloseReason::ConnectFailed, Some(ErrorKind::ConnectionRefused));
    assert_eq!(journal.finishes(), vec![refused; 20]);
    assert_eq!(ends.borrow().len(), 20);
    // A datagram socket finds another port, if there is one.
    let socket = harness.connect_datagram(there, NoPackets);
    assert_eq!(socket.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    std::fs::write("/proc/sys/net/ipv4/ip_local_port_range", "40000 40001").unwrap();
    for _ in 0..20 {
        let id = harness.connect_datagram(there, NoPackets).unwrap();
        assert_eq!(harness.io().local_addr(id).unwrap().port(), Some(40_001));
        harness.io_mut().close(id);
        harness.turn(Some(Duration::ZERO)).unwrap();
    }
}

#[cfg(target_os = "linux")]
struct NoPackets;

#[cfg(target_os = "linux")]
impl socketserver::DatagramHandler for NoPackets {
    fn handle(&mut self, _: &mut Context<'_>, _: &[u8], _: &Addr) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn who_reconnects_goes_on_when_the_first_attempt_fails_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("later");
    let journal = CallLog::default();
    let told = journal.clone();
    let again = Reconnect::new(path.as_path(), move |_| Some(Recording::new(&told, Discard)));
    let mut harness = Harness::new();
    let ms = Duration::from_millis(1);
    again.unwrap().initial_backoff(ms).max_backoff(ms).start(&mut harness).unwrap();
    harness.until(|_| journal.finishes().len() == 3);
    let missing = (CloseReason::ConnectFailed, Some(ErrorKind::NotFound));
    assert_eq!(journal.finishes(), [missing; 3]);
    harness.listen(path.as_path(), |_: &Addr| Discard).unwrap();
    harness.until(|_| journal.calls().contains(&Call::Setup));
    harness.shutdown(Duration::ZERO).unwrap();
}

#[test]
#[cfg(target_os = "linux")]
fn an_address_with_the_name_of_its_interface_is_served_and_reached() {
    let this = "an_address_with_the_name_of_its_interface_is_served_and_reached";
    if in_namespace(this, "40000 50000").is_some() {
        return;
    }
    let mut harness = Harness::new();
    let listener = harness.listen("[fe80::1%lo]:0", |_: &Addr| Echo).unwrap();
    let port = harness.io().local_addr(listener).unwrap().port().unwrap();
    for text in [format!("[fe80::1%lo]:{port}"), format!("[fe80::1%1]:{port}")] {
        let journal = CallLog::default();
        harness.connect(text.as_str(), Recording::new(&journal, Asks)).unwrap();
        harness.until(|_| !journal.finishes().is_empty());
        assert_eq!(journal.finishes(), [(CloseReason::Closed, None)], "{text}");
    }
    let connect = Connect::to_name(format!("[fe80::1%lo]:{port}"));
    let connect = connect.local_addr("[fe80::1%lo]:0").unwrap();
    harness.connect(connect, Asks).unwrap();
    harness.until(|server| server.io().connection_count() == 0);
    assert_eq!(harness.ended(CloseReason::Closed), 6);
    let datagrams = harness.bind("[fe80::1%lo]:0", NoPackets).unwrap();
    assert!(harness.io().local_addr(datagrams).is_some());
}
