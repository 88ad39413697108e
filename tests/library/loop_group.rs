//! Several loops behind one address: both spreads, one count of connections, one end.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use socketserver::{
    Addr, Context, DatagramHandler, Echo, Handler, Input, LoadBalancing, LoopGroup,
    LoopGroupHandle, LoopReport, Options, Server, SocketId,
};

use crate::read_some::ReadSome;
use crate::support::{PATIENCE, delay, until};

/// Answers everything with the number of its loop.
struct Which;

impl Handler<usize> for Which {
    fn handle(&mut self, cx: &mut Context<'_, usize>, input: &mut Input<'_>) -> io::Result<()> {
        input.take_all();
        let index = u8::try_from(*cx.shared).unwrap();
        cx.send(&[index]);
        Ok(())
    }
}

impl DatagramHandler<usize> for Which {
    fn handle(&mut self, cx: &mut Context<'_, usize>, _: &[u8], peer: &Addr) -> io::Result<()> {
        let index = u8::try_from(*cx.shared).unwrap();
        cx.io.send_to(cx.id, &[index], peer);
        Ok(())
    }
}

/// Loops that run in the background until they are told to stop.
struct Running {
    handle: LoopGroupHandle,
    thread: JoinHandle<io::Result<Vec<LoopReport>>>,
    /// What each loop says its address is.
    addrs: Vec<Addr>,
}

impl Running {
    fn start<F>(cores: LoopGroup, loops: usize, build: F) -> Running
    where
        F: Fn(usize, &mut Server<usize>) -> io::Result<SocketId> + Send + Sync + 'static,
    {
        let handle = cores.handle();
        let (sender, addrs): (Sender<Addr>, _) = channel();
        let thread = thread::spawn(move || {
            cores.serve(
                |index| index,
                move |index, server| {
                    let id = build(index, server)?;
                    let addr = server.io().local_addr(id);
                    sender.send(addr.unwrap_or(Addr::Unnamed)).unwrap();
                    Ok(())
                },
            )
        });
        let addrs = (0..loops).map(|_| addrs.recv_timeout(PATIENCE).unwrap()).collect();
        Running { handle, thread, addrs }
    }

    fn tcp(spread: LoadBalancing, loops: usize, options: Options) -> Running {
        let cores = LoopGroup::new(loops).balance(spread).options(options);
        Running::start(cores, loops, |_, server| server.listen("127.0.0.1:0", |_| Which))
    }

    fn client(&self) -> TcpStream {
        client(&self.addrs[0])
    }

    fn stop(self) -> Vec<LoopReport> {
        self.handle.shutdown(PATIENCE);
        let report = self.handle.wait(PATIENCE).expect("all loops end");
        let loops = self.thread.join().unwrap().unwrap();
        assert_eq!(report.drained, loops.iter().map(|one| one.report.drained).sum::<u64>());
        for one in &loops {
            assert_eq!(one.stats.live(), 0, "{one:?}");
            assert_eq!(one.report.forced, 0, "{one:?}");
        }
        loops
    }
}

fn client(addr: &Addr) -> TcpStream {
    let Addr::Ip(addr) = addr else { panic!("{addr}") };
    let stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn which(stream: &mut (impl Read + Write)) -> usize {
    stream.write_all(b"?").unwrap();
    let mut answer = [0];
    stream.read_exact(&mut answer).unwrap();
    answer[0].into()
}

fn spreads() -> [LoadBalancing; 2] {
    [LoadBalancing::ReusePort, LoadBalancing::LeastConnections]
}

#[test]
fn every_loop_gets_connections_at_one_port() {
    for spread in spreads() {
        let running = Running::tcp(spread, 3, Options::default());
        assert!(running.addrs.iter().all(|addr| *addr == running.addrs[0]), "{:?}", running.addrs);
        let mut clients: Vec<_> = (0..90).map(|_| running.client()).collect();
        let mut counts = [0; 3];
        for client in &mut clients {
            counts[which(client)] += 1;
        }
        if spread == LoadBalancing::LeastConnections {
            assert_eq!(counts, [30; 3]);
        }
        assert!(counts.iter().all(|count| *count > 0), "{spread:?}: {counts:?}");
        let loops = running.stop();
        for (one, count) in loops.iter().zip(counts) {
            assert_eq!(one.stats.accepted, count, "{spread:?}");
        }
        let handed: u64 = loops.iter().map(|one| one.stats.handed_over).sum();
        assert_eq!(handed, if spread == LoadBalancing::LeastConnections { 60 } else { 0 });
    }
}

#[test]
fn the_loop_whose_connections_ended_gets_the_next_ones() {
    let running = Running::tcp(LoadBalancing::LeastConnections, 2, Options::default());
    let mut clients: Vec<_> = (0..8).map(|_| running.client()).collect();
    let at: Vec<usize> = clients.iter_mut().map(which).collect();
    // Those of loop 1 go, and are seen to be gone.
    for (client, at) in clients.iter_mut().zip(&at) {
        if *at == 1 {
            client.shutdown(std::net::Shutdown::Write).unwrap();
            assert_eq!(client.read_some(&mut [0]).unwrap(), 0);
        }
    }
    // The last of them may be counted until its turn is over; the others are not.
    let mut more: Vec<_> = (0..3).map(|_| running.client()).collect();
    assert_eq!(more.iter_mut().map(which).collect::<Vec<_>>(), [1, 1, 1]);
    running.stop();
}

/// Counts who is there, and answers how many there were.
struct Counted(&'static AtomicUsize);

impl Handler<usize> for Counted {
    fn setup(&mut self, _: &mut Context<'_, usize>) -> io::Result<()> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn handle(&mut self, cx: &mut Context<'_, usize>, input: &mut Input<'_>) -> io::Result<()> {
        input.take_all();
        let live = self.0.load(Ordering::SeqCst);
        cx.send(&[u8::try_from(live).unwrap(), u8::try_from(*cx.shared).unwrap()]);
        Ok(())
    }

    fn finish(&mut self, _: &mut Context<'_, usize>, _: io::Result<()>) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[test]
fn connections_are_counted_over_all_loops_and_a_permit_that_is_freed_is_taken() {
    static LIVE: [AtomicUsize; 2] = [AtomicUsize::new(0), AtomicUsize::new(0)];

    for (spread, live) in spreads().into_iter().zip(&LIVE) {
        for most in [1, 3] {
            let options = Options { max_connections: most, ..Options::default() };
            let cores = LoopGroup::new(2).balance(spread).options(options);
            let running = Running::start(cores, 2, move |_, server| {
                server.listen("127.0.0.1:0", move |_| Counted(live))
            });
            let addr = Arc::new(running.addrs[0].clone());
            let ask = |_| {
                let addr = Arc::clone(&addr);
                thread::spawn(move || {
                    let mut stream = client(&addr);
                    stream.write_all(b"?").unwrap();
                    let mut answer = [0; 2];
                    // It comes only when others have gone, wherever they were.
                    stream.read_exact(&mut answer).unwrap();
                    answer
                })
            };
            let clients: Vec<_> = (0..24).map(ask).collect();
            let answers: Vec<_> = clients.into_iter().map(|one| one.join().unwrap()).collect();
            assert!(answers.iter().all(|[live, _]| usize::from(*live) <= most), "{answers:?}");
            let loops = running.stop();
            assert_eq!(loops.iter().map(|one| one.stats.accepted).sum::<u64>(), 24);
        }
    }
}

#[test]
fn outgoing_connections_take_permits_of_all_loops_too() {
    /// Connects to where it listens, and tells whether it was allowed to.
    struct Greedy(Addr);

    impl Handler<usize> for Greedy {
        fn handle(&mut self, cx: &mut Context<'_, usize>, input: &mut Input<'_>) -> io::Result<()> {
            input.take_all();
            let refused = cx.connect(&self.0, Echo).is_err_and(|error| {
                assert_eq!(error.kind(), ErrorKind::QuotaExceeded);
                true
            });
            cx.send(&[u8::from(refused)]);
            Ok(())
        }
    }

    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = Addr::Ip(elsewhere.local_addr().unwrap());
    let cores = LoopGroup::new(2).options(Options { max_connections: 3, ..Options::default() });
    let running = Running::start(cores, 2, move |_, server| {
        let to = to.clone();
        server.listen("127.0.0.1:0", move |_| Greedy(to.clone()))
    });
    let (mut one, mut other) = (running.client(), running.client());
    assert_eq!((which(&mut one), which(&mut other)), (0, 1));
    drop(elsewhere);
    drop((one, other));
    running.handle.shutdown(PATIENCE);
    running.thread.join().unwrap().unwrap();
}

#[test]
fn a_shutdown_reaches_all_loops_and_what_was_taken_is_answered() {
    for spread in spreads() {
        let cores = LoopGroup::new(3).balance(spread);
        let running = Running::start(cores, 3, |_, server| server.listen("127.0.0.1:0", |_| Echo));
        let mut clients: Vec<_> = (0..30).map(|_| running.client()).collect();
        for client in &mut clients {
            client.write_all(b"a").unwrap();
            client.read_exact(&mut [0]).unwrap();
            client.write_all(b"the last").unwrap();
        }
        let (handle, addr) = (running.handle.clone(), running.addrs[0].to_string());
        running.stop();
        for client in &mut clients {
            let mut rest = String::new();
            client.read_to_string(&mut rest).unwrap();
            assert_eq!(rest, "the last", "{spread:?}");
        }
        assert_eq!(TcpStream::connect(addr).unwrap_err().kind(), ErrorKind::ConnectionRefused);
        // After the end it does nothing.
        handle.shutdown(Duration::ZERO);
        assert!(handle.wait(PATIENCE).is_some());
    }
}

#[test]
fn nobody_is_lost_who_comes_during_a_shutdown() {
    let running = Running::tcp(LoadBalancing::LeastConnections, 4, Options::default());
    let addr = running.addrs[0].to_string();
    let connecting = thread::spawn(move || {
        // Each of them is answered, or sees an end; nobody hangs.
        while let Ok(mut stream) = TcpStream::connect(&addr) {
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            match stream.write_all(b"?").and_then(|()| stream.read(&mut [0])) {
                Ok(_) => {}
                Err(error) => assert_ne!(error.kind(), ErrorKind::WouldBlock),
            }
        }
    });
    let mut first: Vec<_> = (0..40).map(|_| running.client()).collect();
    for client in &mut first {
        which(client);
    }
    let loops = running.stop();
    connecting.join().unwrap();
    let handed: u64 = loops.iter().map(|one| one.stats.handed_over).sum();
    let elsewhere: u64 = loops[1..].iter().map(|one| one.stats.accepted).sum();
    let refused: u64 = loops.iter().map(|one| one.stats.refused).sum();
    assert_eq!(handed, elsewhere + refused);
}

#[test]
fn a_shutdown_of_one_loop_is_one_of_all_and_one_before_the_start_ends_it_at_once() {
    /// Shuts its loop down.
    struct Stopper;

    impl Handler<usize> for Stopper {
        fn handle(&mut self, cx: &mut Context<'_, usize>, input: &mut Input<'_>) -> io::Result<()> {
            input.take_all();
            cx.io.shutdown(PATIENCE);
            Ok(())
        }
    }

    let cores = LoopGroup::new(2);
    let running = Running::start(cores, 2, |_, server| server.listen("127.0.0.1:0", |_| Stopper));
    let (mut one, mut other) = (running.client(), running.client());
    other.write_all(b"stop").unwrap();
    assert_eq!(one.read_some(&mut [0]).unwrap(), 0);
    assert_eq!(running.thread.join().unwrap().unwrap().len(), 2);

    let cores = LoopGroup::new(2);
    cores.handle().shutdown(PATIENCE);
    let loops = cores.serve(|_| (), |_, server| server.listen("127.0.0.1:0", |_| Echo).map(drop));
    assert_eq!(loops.unwrap().len(), 2);
}

#[test]
fn an_error_or_a_panic_of_one_loop_ends_all_before_anybody_is_served() {
    let addr = Mutex::new(None);
    let built = AtomicUsize::new(0);
    let build_one = |index: usize, server: &mut Server| {
        built.fetch_add(1, Ordering::SeqCst);
        if index == 1 {
            return Err(io::Error::other("no second one"));
        }
        let id = server.listen("127.0.0.1:0", |_| Echo)?;
        *addr.lock().unwrap() = server.io().local_addr(id);
        Ok(())
    };
    let cores = LoopGroup::new(3);
    let handle = cores.handle();
    let error = cores.serve(|_| (), build_one).unwrap_err();
    assert_eq!(error.to_string(), "no second one");
    assert_eq!(built.load(Ordering::SeqCst), 2, "the third is not built any more");
    assert!(handle.wait(PATIENCE).is_none());
    let addr = addr.lock().unwrap().take().unwrap();
    assert!(TcpStream::connect(addr.to_string()).is_err());

    let panicked = catch_unwind(AssertUnwindSafe(|| {
        LoopGroup::new(2).serve(
            |_| (),
            |index, server: &mut Server| {
                assert_eq!(index, 0, "a panic of a test");
                server.listen("127.0.0.1:0", |_| Echo).map(drop)
            },
        )
    }));
    assert!(panicked.is_err());
}

#[test]
fn how_many_loops_there_may_be_is_bounded() {
    for wrong in [0, 1_025] {
        let error = LoopGroup::new(wrong).serve(|_| (), |_, _: &mut Server| Ok(())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains(&wrong.to_string()), "{error}");
    }
}

#[test]
fn a_port_of_somebody_else_is_refused_even_if_it_may_be_shared() {
    use socket2::{Domain, Socket, Type};

    let taken = |kind| {
        let socket = Socket::new(Domain::IPV4, kind, None).unwrap();
        socket.set_reuse_port(true).unwrap();
        socket.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
        socket
    };
    let stream = taken(Type::STREAM);
    stream.listen(1).unwrap();
    let packets = taken(Type::DGRAM);
    let running = Running::tcp(LoadBalancing::ReusePort, 2, Options::default());
    let of_others = running.addrs[0].to_string();
    let name = |socket: &Socket| socket.local_addr().unwrap().as_socket().unwrap().to_string();
    for spread in spreads() {
        for addr in [&name(&stream), &of_others] {
            let cores = LoopGroup::new(2).balance(spread);
            let served = cores.serve(|_| (), |_, server| server.listen(addr, |_| Echo).map(drop));
            assert_eq!(served.unwrap_err().kind(), ErrorKind::AddrInUse, "{spread:?}");
        }
        let addr = name(&packets);
        let cores = LoopGroup::new(2).balance(spread);
        let served = cores.serve(|_| (), |_, server| server.bind(&addr, Echo).map(drop));
        assert_eq!(served.unwrap_err().kind(), ErrorKind::AddrInUse, "{spread:?}");
    }
    let mut server = Server::new().unwrap();
    assert_eq!(server.listen(&of_others, |_| Echo).unwrap_err().kind(), ErrorKind::AddrInUse);
    running.stop();
}

#[test]
fn loops_that_open_other_addresses_than_the_first_are_refused() {
    let served = LoopGroup::new(2).serve(
        |_| (),
        |index, server: &mut Server| {
            let addr = if index == 0 { "127.0.0.1:0" } else { "127.0.0.2:0" };
            server.listen(addr, |_| Echo).map(drop)
        },
    );
    assert_eq!(served.unwrap_err().kind(), ErrorKind::InvalidInput);
}

/// A client that is handed to a loop without that address could only be reset.
#[test]
fn loops_that_open_more_or_fewer_addresses_than_the_first_are_refused() {
    for spread in spreads() {
        for addrs in [[1, 2], [2, 1]] {
            let served = LoopGroup::new(2).balance(spread).serve(
                |_| (),
                |index, server: &mut Server| {
                    (0..addrs[index])
                        .try_for_each(|_| server.listen("127.0.0.1:0", |_| Echo).map(drop))
                },
            );
            let error = served.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{spread:?} {addrs:?}");
            assert!(error.to_string().contains("the same addresses"), "{error}");
        }
    }
}

#[test]
fn an_order_to_stop_that_a_loop_sees_while_it_is_built_is_obeyed() {
    let cores = LoopGroup::new(2);
    let handle = cores.handle();
    let served = cores.serve(
        |_| (),
        |index, server: &mut Server| {
            server.listen("127.0.0.1:0", |_| Echo)?;
            if index == 0 {
                handle.shutdown(PATIENCE);
                server.serve_forever()?;
            }
            Ok(())
        },
    );
    assert_eq!(served.unwrap().len(), 2);
}

#[test]
#[cfg(any(target_os = "linux", target_os = "android"))]
fn udp_is_spread_by_the_kernel_in_either_case() {
    for spread in spreads() {
        let cores = LoopGroup::new(2).balance(spread);
        let running = Running::start(cores, 2, |_, server| server.bind("127.0.0.1:0", Which));
        assert_eq!(running.addrs[0], running.addrs[1]);
        let mut counts = [0; 2];
        for _ in 0..64 {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            socket.connect(running.addrs[0].to_string()).unwrap();
            socket.send(b"?").unwrap();
            let mut answer = [0; 8];
            assert_eq!(socket.recv(&mut answer).unwrap(), 1);
            counts[usize::from(answer[0])] += 1;
        }
        assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
        let loops = running.stop();
        assert_eq!(loops.iter().map(|one| one.stats.packets_in).collect::<Vec<_>>(), counts);
    }
}

#[test]
fn clients_of_a_unix_path_are_handed_over_and_its_datagrams_served_by_one() {
    let dir = tempfile::tempdir().unwrap();
    for spread in spreads() {
        let (stream, packets) = (dir.path().join("stream"), dir.path().join("packets"));
        let (at, packets_at) = (stream.clone(), packets.clone());
        let cores = LoopGroup::new(2).balance(spread);
        let running = Running::start(cores, 2, move |_, server| {
            server.bind(&packets_at, Which)?;
            server.listen(&at, |_| Which)
        });
        let mut clients: Vec<_> = (0..10).map(|_| UnixStream::connect(&stream).unwrap()).collect();
        let mut counts = [0; 2];
        for client in &mut clients {
            client.set_read_timeout(Some(PATIENCE)).unwrap();
            counts[which(client)] += 1;
        }
        assert_eq!(counts, [5, 5]);
        let own = dir.path().join("own");
        let socket = UnixDatagram::bind(&own).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.send_to(b"?", &packets).unwrap();
        assert_eq!(socket.recv(&mut [0; 8]).unwrap(), 1);
        std::fs::remove_file(own).unwrap();
        running.stop();
        assert!(!stream.exists() && !packets.exists());
    }
}

#[test]
fn who_is_handed_over_is_verified_by_the_loop_that_serves() {
    let running = Running::start(LoopGroup::new(2), 2, |index, server| {
        server.set_verify_request(move |_, _| index == 0);
        server.listen("127.0.0.1:0", |_| Which)
    });
    let mut first = running.client();
    assert_eq!(which(&mut first), 0);
    // The other loop has fewer, for none of its clients stays; but one that has just been refused
    // may still be counted when the next one comes, which then is served here, and stays.
    let mut served = vec![first];
    let mut refused = 0;
    while refused < 3 {
        let mut next = running.client();
        match next.write_all(b"?").and_then(|()| next.read(&mut [0])) {
            Ok(1..) => served.push(next),
            _ => refused += 1,
        }
    }
    drop(served);
    let loops = running.stop();
    assert_eq!(loops.iter().map(|one| one.stats.refused).collect::<Vec<_>>(), [0, 3]);
}

#[test]
fn each_loop_runs_in_a_thread_with_its_name_and_what_it_shares() {
    let names = Mutex::new(Vec::new());
    let cores = LoopGroup::new(2);
    let handle = cores.handle();
    let stop = handle.clone();
    let served = cores.serve(
        |index| {
            names.lock().unwrap().push((index, thread::current().name().unwrap().to_string()));
            index
        },
        |index, server| {
            if index == 1 {
                stop.shutdown(PATIENCE);
            }
            assert_eq!(*server.shared(), index);
            Ok(())
        },
    );
    served.unwrap();
    let names = names.into_inner().unwrap();
    assert_eq!(names, [(0, "socketserver-0".to_string()), (1, "socketserver-1".to_string())]);
}

/// How one loop fails its clients.
#[derive(Clone, Copy, Debug)]
enum Fails {
    ItsListenerIsClosed,
    Verify,
    VerifyPanics,
    Factory,
    Setup,
    SetupPanics,
}

/// Answers, or fails in `setup`.
struct Failing(Option<Fails>);

impl Handler<usize> for Failing {
    fn setup(&mut self, _: &mut Context<'_, usize>) -> io::Result<()> {
        match self.0 {
            Some(Fails::Setup) => Err(io::Error::other("as the test says")),
            Some(Fails::SetupPanics) => panic!("as the test says"),
            _ => Ok(()),
        }
    }

    fn handle(&mut self, cx: &mut Context<'_, usize>, input: &mut Input<'_>) -> io::Result<()> {
        cx.send(input.take_all());
        Ok(())
    }
}

fn listen_failing(
    fails: Option<Fails>,
    at: Addr,
    server: &mut Server<usize>,
) -> io::Result<SocketId> {
    let id = server.listen(at, move |_| {
        assert!(!matches!(fails, Some(Fails::Factory)), "as the test says");
        Failing(fails)
    })?;
    match fails {
        Some(Fails::ItsListenerIsClosed) => {
            server.io_mut().close(id);
        }
        Some(Fails::Verify) => server.set_verify_request(|_, _| false),
        Some(Fails::VerifyPanics) => server.set_verify_request(|_, _| panic!("as the test says")),
        _ => {}
    }
    Ok(id)
}

/// Whether a client is answered; it stays.
fn is_answered(addr: &Addr, kept: &mut Vec<Box<dyn Read>>) -> bool {
    let mut answer = [0];
    match addr {
        Addr::Unix(path) => {
            let mut stream = UnixStream::connect(path).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let answered = stream.write_all(b"x").is_ok()
                && stream.read_some(&mut answer).is_ok_and(|n| n == 1);
            kept.push(Box::new(stream));
            answered
        }
        addr => {
            let mut stream = client(addr);
            let answered = stream.write_all(b"x").is_ok()
                && stream.read_some(&mut answer).is_ok_and(|n| n == 1);
            kept.push(Box::new(stream));
            answered
        }
    }
}

/// The loop that ends each of its clients has the fewest.
#[test]
fn a_loop_that_fails_its_clients_is_not_handed_all_of_them() {
    const CLIENTS: usize = 100;
    for fails in [
        Fails::ItsListenerIsClosed,
        Fails::Verify,
        Fails::VerifyPanics,
        Fails::Factory,
        Fails::Setup,
        Fails::SetupPanics,
    ] {
        for unix in [false, true] {
            let directory = tempfile::TempDir::new().unwrap();
            let path = directory.path().join("socket");
            let at = if unix { Addr::Unix(path) } else { Addr::Ip(([127, 0, 0, 1], 0).into()) };
            let build = move |index: usize, server: &mut Server<usize>| {
                listen_failing((index == 1).then_some(fails), at.clone(), server)
            };
            let running = Running::start(LoopGroup::new(2), 2, build);
            let mut kept = Vec::new();
            let addr = running.addrs[0].clone();
            let answered = (0..CLIENTS).filter(|_| is_answered(&addr, &mut kept)).count();
            // A failure in a row counts twice as much as the one before.
            let most = if matches!(fails, Fails::ItsListenerIsClosed) { 0 } else { 8 };
            let cut_off = CLIENTS - answered;
            assert!(cut_off <= most, "{fails:?}, unix: {unix}: {cut_off} are cut off");
            drop(kept);
            running.stop();
        }
    }
}

/// Says what it is asked: its loop, how many connections that has, how many clients it has handed over;
/// or stays in its callback until the gate opens.
struct Sticky(Arc<Mutex<Receiver<()>>>);

impl Handler<usize> for Sticky {
    fn handle(&mut self, cx: &mut Context<'_, usize>, input: &mut Input<'_>) -> io::Result<()> {
        let answer = match input.take_all() {
            b"connections" => cx.io.connection_count(),
            b"handed over" => usize::try_from(cx.io.stats().handed_over).unwrap(),
            b"stick" => {
                cx.io.send(cx.id, &[0]);
                self.0.lock().unwrap().recv_timeout(PATIENCE).map_or(0, |()| 1)
            }
            _ => *cx.shared,
        };
        cx.send(&[u8::try_from(answer).unwrap()]);
        Ok(())
    }
}

fn ask(client: &mut TcpStream, what: &[u8]) -> usize {
    client.write_all(what).unwrap();
    let mut answer = [0];
    client.read_exact(&mut answer).unwrap();
    answer[0].into()
}

#[test]
fn a_loop_that_is_stuck_in_a_handler_gets_no_newcomers_while_another_is_free() {
    let (open, gate) = channel();
    let gate = Arc::new(Mutex::new(gate));
    let cores = LoopGroup::new(2).balance(LoadBalancing::LeastConnections);
    let running = Running::start(cores, 2, move |_, server| {
        let gate = Arc::clone(&gate);
        server.listen("127.0.0.1:0", move |_| Sticky(Arc::clone(&gate)))
    });
    let mut clients: [Vec<TcpStream>; 2] = Default::default();
    for _ in 0..4 {
        let mut client = running.client();
        let index = ask(&mut client, b"which");
        clients[index].push(client);
    }
    let [free, stuck] = &mut clients;
    // It has the fewest connections, so the next client is handed to it.
    stuck.pop();
    until("a connection ended", || ask(&mut stuck[0], b"connections") == 1);
    stuck[0].write_all(b"stick").unwrap();
    let handed_over = ask(&mut free[0], b"handed over");
    let mut unlucky = running.client();
    until("it was handed over", || ask(&mut free[0], b"handed over") > handed_over);
    delay(Duration::from_millis(1_100));
    let mut newcomers: Vec<_> = (0..10).map(|_| running.client()).collect();
    for client in &mut newcomers {
        assert_eq!(ask(client, b"which"), 0);
    }
    open.send(()).unwrap();
    assert_eq!(ask(&mut unlucky, b"which"), 1);
    drop((clients, newcomers, unlucky));
    running.stop();
}
