//! Time of single operations through the public API (criterion): ids, timers, commands, turns,
//! framing.
//!
//! Ids, timers and the state machine of a connection are private, so each is measured through the
//! public call that does little else. Names of benchmarks say which contain system calls.

#![expect(
    clippy::cast_precision_loss,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark that cannot run should say so and stop"
)]

use std::hint::black_box;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use mio::event::Source;
use mio::{Interest, Registry, Token};
use socketserver::{Addr, Context, Echo, Handler, Input, Options, Server, SocketId};

/// Far above any answer's time, so a fault ends a run instead of blocking it.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A source that is never ready and has no descriptor: it only has an id.
struct NeverReady;

impl Source for NeverReady {
    fn register(&mut self, _: &Registry, _: Token, _: Interest) -> io::Result<()> {
        Ok(())
    }

    fn reregister(&mut self, _: &Registry, _: Token, _: Interest) -> io::Result<()> {
        Ok(())
    }

    fn deregister(&mut self, _: &Registry) -> io::Result<()> {
        Ok(())
    }
}

fn ids(c: &mut Criterion) {
    let mut group = c.benchmark_group("ids");
    for open in [1, 10_000] {
        let mut server = Server::new().expect("a server");
        let ids: Vec<SocketId> = (0..open).map(|_| watch(&mut server)).collect();
        turn(&mut server);
        let io = server.io_mut();
        let mut next = ids.iter().cycle();
        group.bench_function(BenchmarkId::new("is_open of an open socket", open), |b| {
            b.iter(|| io.is_open(black_box(*next.next().expect("a cycle"))));
        });
        let stale = ids[0];
        server.io_mut().close(stale);
        turn(&mut server);
        let io = server.io_mut();
        group.bench_function(BenchmarkId::new("is_open of a stale id", open), |b| {
            b.iter(|| io.is_open(black_box(stale)));
        });
        group.bench_function(BenchmarkId::new("watch, close and a turn", open), |b| {
            b.iter(|| {
                let id = watch(&mut server);
                server.io_mut().close(id);
                turn(&mut server);
            });
        });
    }
    group.finish();
}

fn timers(c: &mut Criterion) {
    let mut group = c.benchmark_group("timers");
    for others in [0, 10_000] {
        let mut server = Server::new().expect("a server");
        let owner = watch(&mut server);
        turn(&mut server);
        let io = server.io_mut();
        for n in 0..others {
            io.set_timer(owner, Duration::from_secs(1_000 + n));
        }
        group.bench_function(BenchmarkId::new("set and cancel, others set", others), |b| {
            b.iter(|| {
                let timer = io.set_timer(owner, black_box(Duration::from_secs(500)));
                io.cancel_timer(timer)
            });
        });
        group.bench_function(
            BenchmarkId::new("100 set and expired in a turn, others set", others),
            |b| {
                b.iter(|| {
                    let io = server.io_mut();
                    for _ in 0..100 {
                        io.set_timer(owner, Duration::ZERO);
                    }
                    turn(&mut server);
                });
            },
        );
    }
    group.finish();
}

/// Connections of a server whose turns the benchmark calls.
struct Connected<S> {
    server: Server<S>,
    ids: Vec<SocketId>,
    peers: Vec<TcpStream>,
}

impl<S: 'static> Connected<S> {
    fn new<H: Handler<S> + 'static>(shared: S, count: usize, handler: impl Fn() -> H) -> Self {
        let options =
            Options { idle_timeout: Some(Duration::from_secs(3_600)), ..Options::default() };
        let mut server = Server::with_shared(shared, options).expect("a server");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let addr = listener.local_addr().expect("an address");
        let (mut ids, mut peers) = (Vec::new(), Vec::new());
        for _ in 0..count {
            ids.push(server.connect(addr, handler()).expect("a connection"));
            peers.push(listener.accept().expect("a connection").0);
            turn(&mut server);
        }
        for peer in &peers {
            peer.set_nodelay(true).expect("an option");
            peer.set_read_timeout(Some(TIMEOUT)).expect("an option");
        }
        Connected { server, ids, peers }
    }
}

fn connections(c: &mut Criterion) {
    let mut group = c.benchmark_group("connection");
    let mut connected = Connected::new((), 1, || Echo);
    let (io, id) = (connected.server.io_mut(), connected.ids[0]);
    group.bench_function("pause and resume, notes only", |b| {
        b.iter(|| {
            io.pause(black_box(id));
            io.resume(black_box(id));
        });
    });
    turn(&mut connected.server);
    group.bench_function("send of 64 B, note only", |b| {
        b.iter_custom(|count| send_only(&mut connected, count));
    });
    group.bench_function("turn with nothing to do, system call too", |b| {
        b.iter(|| turn(&mut connected.server));
    });
    for count in [1, 50] {
        let name = BenchmarkId::new("turn with a message of 64 B each, system calls too", count);
        let mut connected = Connected::new((), count, || Echo);
        group.bench_function(name, |b| {
            b.iter_custom(|count| echo_turns(&mut connected, count));
        });
    }
    group.finish();
}

/// Measures the sends without the turn that writes their bytes.
fn send_only(connected: &mut Connected<()>, count: u64) -> Duration {
    const A_TURN: usize = 100;
    let Connected { server, ids, peers } = connected;
    let message = [7; 64];
    let mut answer = [0; 64 * A_TURN];
    let turns = count.div_ceil(A_TURN as u64);
    let mut spent = Duration::ZERO;
    for _ in 0..turns {
        let io = server.io_mut();
        let begin = Instant::now();
        for _ in 0..A_TURN {
            black_box(io.send(ids[0], black_box(&message)));
        }
        spent += begin.elapsed();
        turn(server);
        peers[0].read_exact(&mut answer).expect("what was sent");
    }
    spent.mul_f64(count as f64 / (turns * A_TURN as u64) as f64)
}

/// Measures the turns only: all messages are received before, all echoes are read after.
fn echo_turns(connected: &mut Connected<()>, count: u64) -> Duration {
    let Connected { server, peers, .. } = connected;
    let mut message = [7; 64];
    let mut spent = Duration::ZERO;
    for _ in 0..count {
        for peer in peers.iter_mut() {
            peer.write_all(&message).expect("a connection");
        }
        let begin = Instant::now();
        turn(server);
        spent += begin.elapsed();
        for peer in peers.iter_mut() {
            peer.read_exact(&mut message).expect("an echo");
        }
    }
    spent
}

/// A bound socket, and a peer that sends datagrams to it.
struct BoundSocket {
    server: Server<()>,
    id: SocketId,
    peer: UdpSocket,
}

impl BoundSocket {
    fn new() -> BoundSocket {
        let mut server = Server::new().expect("a server");
        let id = server.bind("127.0.0.1:0", Echo).expect("a socket");
        let addr = server.io().local_addr(id).and_then(|addr| addr.ip().copied());
        let peer = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        peer.connect(addr.expect("an address")).expect("a peer");
        peer.set_read_timeout(Some(TIMEOUT)).expect("an option");
        turn(&mut server);
        BoundSocket { server, id, peer }
    }
}

fn datagrams(c: &mut Criterion) {
    let mut group = c.benchmark_group("datagrams");
    let mut bound = BoundSocket::new();
    group.bench_function("send_to of 64 B, note only", |b| {
        b.iter_custom(|count| send_to_only(&mut bound, count));
    });
    for count in [1, 50] {
        let name = BenchmarkId::new("turn with datagrams of 64 B, system calls too", count);
        group.bench_function(name, |b| {
            b.iter_custom(|turns| echo_datagrams(&mut bound, count, turns));
        });
    }
    group.finish();
}

/// Measures the sends without the turn that sends the datagrams.
fn send_to_only(bound: &mut BoundSocket, count: u64) -> Duration {
    // The default of `Options::packets_per_turn`.
    const A_TURN: usize = 64;
    let BoundSocket { server, id, peer } = bound;
    let to = Addr::Ip(peer.local_addr().expect("an address"));
    let mut packet = [7; 64];
    let turns = count.div_ceil(A_TURN as u64);
    let mut spent = Duration::ZERO;
    for _ in 0..turns {
        let io = server.io_mut();
        let begin = Instant::now();
        for _ in 0..A_TURN {
            black_box(io.send_to(*id, black_box(&packet), &to));
        }
        spent += begin.elapsed();
        turn(server);
        for _ in 0..A_TURN {
            peer.recv(&mut packet).expect("what was sent");
        }
    }
    spent.mul_f64(count as f64 / (turns * A_TURN as u64) as f64)
}

/// Like [`echo_turns`].
fn echo_datagrams(bound: &mut BoundSocket, count: usize, turns: u64) -> Duration {
    let BoundSocket { server, peer, .. } = bound;
    let mut packet = [7; 64];
    let mut spent = Duration::ZERO;
    for _ in 0..turns {
        for _ in 0..count {
            peer.send(&packet).expect("a peer");
        }
        let begin = Instant::now();
        turn(server);
        spent += begin.elapsed();
        for _ in 0..count {
            peer.recv(&mut packet).expect("an echo");
        }
    }
    spent
}

/// Parses all its input, and adds the time to the shared state.
struct InputParser {
    parse: fn(&mut Input<'_>) -> io::Result<usize>,
}

#[derive(Default)]
struct ParseStats {
    count: u64,
    spent: Duration,
}

impl Handler<ParseStats> for InputParser {
    fn handle(
        &mut self,
        cx: &mut Context<'_, ParseStats>,
        input: &mut Input<'_>,
    ) -> io::Result<()> {
        let begin = Instant::now();
        cx.shared.count += (self.parse)(input)? as u64;
        cx.shared.spent += begin.elapsed();
        Ok(())
    }
}

fn lines(input: &mut Input<'_>) -> io::Result<usize> {
    let mut count = 0;
    while let Some(line) = input.take_line(100)? {
        black_box(line);
        count += 1;
    }
    Ok(count)
}

fn frames(input: &mut Input<'_>) -> io::Result<usize> {
    let mut count = 0;
    while let Some(frame) = input.take_frame(100)? {
        black_box(frame);
        count += 1;
    }
    Ok(count)
}

fn input(c: &mut Criterion) {
    let mut group = c.benchmark_group("input");
    let line = [&[b'x'; 63][..], b"\n"].concat();
    let frame = [&60_u32.to_be_bytes()[..], &[7; 60]].concat();
    for (name, parse, piece) in [
        ("line of 64 B", lines as fn(&mut Input<'_>) -> io::Result<usize>, line),
        ("frame of 64 B", frames, frame),
    ] {
        let mut connected = Connected::new(ParseStats::default(), 1, || InputParser { parse });
        let Connected { server, peers, .. } = &mut connected;
        let pieces = piece.repeat(256);
        group.bench_function(name, |b| {
            b.iter_custom(|count| {
                *server.shared_mut() = ParseStats::default();
                while server.shared_mut().count < count {
                    peers[0].write_all(&pieces).expect("a connection");
                    turn(server);
                }
                let stats = server.shared_mut();
                stats.spent.mul_f64(count as f64 / stats.count as f64)
            });
        });
    }
    group.finish();
}

fn watch<S>(server: &mut Server<S>) -> SocketId {
    server.watch(NeverReady, Interest::READABLE, |_, _, _| Ok(())).expect("an id")
}

fn turn<S>(server: &mut Server<S>) {
    server.turn(Some(Duration::ZERO)).expect("a turn");
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1));
    targets = ids, timers, connections, datagrams, input
}
criterion_main!(benches);
