//! What the tests over real sockets share: a server that is stepped by hand, clients that never
//! block, and a journal of what handlers were told.

#![allow(
    dead_code,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "every test file uses a part of this; what fails here is the test"
)]

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, UdpSocket};
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, Socket, Type};
use socketserver::{
    Addr, CloseReason, Context, DatagramHandler, Handler, Input, Options, Server, SocketId,
    TimerId, TraceEvent,
};

/// How long a test waits for what must come; only a failing test ever waits so long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The kinds of stream a behaviour is tested on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Tcp,
    Unix,
}

impl Kind {
    pub(crate) const ALL: [Kind; 2] = [Kind::Tcp, Kind::Unix];
}

/// Whether a message costs one read: the system reports the next bytes by itself, so that no second
/// read has to make sure that there are none.
pub(crate) fn reads_once(kind: Kind) -> bool {
    cfg!(all(target_os = "linux", not(mio_unsupported_force_poll_poll)))
        && (kind == Kind::Tcp || cfg!(feature = "sys"))
}

/// A server that the test steps by hand; at its end its ledger must balance.
pub(crate) struct Tested<S: 'static = ()> {
    pub(crate) server: Server<S>,
    directory: Option<tempfile::TempDir>,
}

impl Tested<()> {
    pub(crate) fn new() -> Tested<()> {
        Tested::with_shared((), Options::default())
    }
}

impl<S> Tested<S> {
    pub(crate) fn with_shared(shared: S, options: Options) -> Tested<S> {
        Tested { server: Server::with_shared(shared, options).unwrap(), directory: None }
    }

    /// Listens on a free address of this kind.
    pub(crate) fn serve<H: Handler<S> + 'static>(
        &mut self,
        kind: Kind,
        factory: impl FnMut(&Addr) -> H + 'static,
    ) -> Addr {
        let id = self.serve_as(kind, factory);
        self.server.io().local_addr(id).unwrap()
    }

    /// The same, for those who need the listener's id.
    pub(crate) fn serve_as<H: Handler<S> + 'static>(
        &mut self,
        kind: Kind,
        factory: impl FnMut(&Addr) -> H + 'static,
    ) -> SocketId {
        match kind {
            Kind::Tcp => self.server.listen("127.0.0.1:0", factory).unwrap(),
            Kind::Unix => {
                let directory =
                    self.directory.get_or_insert_with(|| tempfile::TempDir::new().unwrap());
                self.server.listen(directory.path().join("socket"), factory).unwrap()
            }
        }
    }

    /// Turns until `condition` holds.
    #[track_caller]
    pub(crate) fn until(&mut self, mut condition: impl FnMut(&mut Server<S>) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !condition(&mut self.server) {
            assert!(Instant::now() < deadline, "it never came: {:?}", self.server.io().stats());
            self.server.turn(Some(Duration::from_millis(2))).unwrap();
        }
    }

    /// Turns until nothing has happened for a few turns in a row.
    pub(crate) fn until_quiet(&mut self, steps: &Steps) {
        let mut quiet = 0;
        let deadline = Instant::now() + PATIENCE;
        while quiet < 3 {
            assert!(Instant::now() < deadline, "it never became quiet");
            let before = steps.count(|step| step != TraceEvent::Polled(0));
            self.server.turn(Some(Duration::from_millis(2))).unwrap();
            let after = steps.count(|step| step != TraceEvent::Polled(0));
            quiet = if before == after { quiet + 1 } else { 0 };
        }
    }

    /// Turns until `conversations` have ended and nothing is open any more.
    #[track_caller]
    pub(crate) fn until_ended(&mut self, conversations: u64) {
        self.until(|server| {
            let io = server.io_mut();
            io.stats().all_ended() == conversations && io.connection_count() == 0
        });
    }

    /// Turns until the client has received so many bytes in all, and gives them.
    #[track_caller]
    pub(crate) fn receive(&mut self, client: &mut Client, n: usize) -> Vec<u8> {
        self.until(|_| {
            client.look();
            client.received.len() >= n
        });
        assert_eq!(client.received.len(), n, "more came than expected");
        std::mem::take(&mut client.received)
    }

    /// Turns until the stream has ended for the client, and gives everything received.
    #[track_caller]
    pub(crate) fn receive_to_end(&mut self, client: &mut Client) -> Vec<u8> {
        self.until(|_| client.look());
        assert_eq!(client.end, Some(Ok(())), "the stream broke");
        std::mem::take(&mut client.received)
    }

    /// One message there and back.
    #[track_caller]
    pub(crate) fn echo(&mut self, client: &mut Client, message: &[u8]) {
        client.send(message);
        assert_eq!(self.receive(client, message.len()), message);
    }

    /// Records every step from now on.
    pub(crate) fn steps(&mut self) -> Steps {
        let steps = Steps::default();
        let watcher = steps.clone();
        self.server.set_trace(move |step| watcher.0.borrow_mut().push(step));
        steps
    }

    pub(crate) fn ended(&mut self, reason: CloseReason) -> u64 {
        self.server.io().stats().ended(reason)
    }
}

impl<S> Deref for Tested<S> {
    type Target = Server<S>;

    fn deref(&self) -> &Server<S> {
        &self.server
    }
}

impl<S> DerefMut for Tested<S> {
    fn deref_mut(&mut self) -> &mut Server<S> {
        &mut self.server
    }
}

impl<S> Drop for Tested<S> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.server.io().verify_stats().unwrap();
        }
    }
}

/// What the loop did, one step at a time.
#[derive(Clone, Default)]
pub(crate) struct Steps(Rc<RefCell<Vec<TraceEvent>>>);

impl Steps {
    pub(crate) fn count(&self, mut wanted: impl FnMut(TraceEvent) -> bool) -> usize {
        self.0.borrow().iter().filter(|step| wanted(**step)).count()
    }

    pub(crate) fn all(&self) -> Vec<TraceEvent> {
        self.0.borrow().clone()
    }

    pub(crate) fn clear(&self) {
        self.0.borrow_mut().clear();
    }

    /// The steps of each turn, in order.
    pub(crate) fn turns(&self) -> Vec<Vec<TraceEvent>> {
        let mut turns = vec![Vec::new()];
        for step in self.all() {
            if matches!(step, TraceEvent::Polled(_)) {
                turns.push(Vec::new());
            }
            turns.last_mut().unwrap().push(step);
        }
        turns
    }
}

/// A client that never blocks.
pub(crate) struct Client {
    pub(crate) socket: Socket,
    pub(crate) received: Vec<u8>,
    /// How the stream ended, once it has.
    pub(crate) end: Option<Result<(), ErrorKind>>,
}

impl Client {
    /// Connects; on a listener that stands this waits for nobody.
    pub(crate) fn connect(addr: &Addr) -> Client {
        Client::connect_with(addr, |_| {})
    }

    /// The same, with options set before the connection is made.
    pub(crate) fn connect_with(addr: &Addr, prepare: impl FnOnce(&Socket)) -> Client {
        let (domain, name) = match addr {
            Addr::Ip(ip) => (Domain::for_address(*ip), SockAddr::from(*ip)),
            Addr::Unix(path) => (Domain::UNIX, SockAddr::unix(path).unwrap()),
            _ => panic!("nobody here connects to that"),
        };
        let socket = Socket::new(domain, Type::STREAM, None).unwrap();
        prepare(&socket);
        socket.connect(&name).unwrap();
        socket.set_nonblocking(true).unwrap();
        if domain != Domain::UNIX {
            socket.set_tcp_nodelay(true).unwrap();
        }
        Client { socket, received: Vec::new(), end: None }
    }

    pub(crate) fn connect_many(addr: &Addr, n: usize) -> Vec<Client> {
        (0..n).map(|_| Client::connect(addr)).collect()
    }

    /// Sends what must fit into the buffers of the system.
    #[track_caller]
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        assert_eq!(self.push(bytes), bytes.len(), "the system has no room for it");
    }

    /// Sends what the system takes now.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> usize {
        let mut sent = 0;
        while sent < bytes.len() {
            match self.socket.write(&bytes[sent..]) {
                Ok(n) => sent += n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        sent
    }

    /// Takes what came in, and says whether the stream has ended.
    pub(crate) fn look(&mut self) -> bool {
        self.look_at_most(usize::MAX)
    }

    pub(crate) fn look_at_most(&mut self, most: usize) -> bool {
        let mut buffer = [0; 64 << 10];
        let mut left = most;
        while self.end.is_none() && left > 0 {
            let room = buffer.len().min(left);
            match self.socket.read(&mut buffer[..room]) {
                Ok(0) => self.end = Some(Ok(())),
                Ok(n) => {
                    self.received.extend_from_slice(&buffer[..n]);
                    left -= n;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => self.end = Some(Err(error.kind())),
            }
        }
        self.end.is_some()
    }

    /// Says that nothing more will come; reading goes on.
    pub(crate) fn finish_sending(&mut self) {
        self.socket.shutdown(Shutdown::Write).unwrap();
    }

    /// Ends TCP by a reset, whatever is under way.
    pub(crate) fn reset(self) {
        self.socket.set_linger(Some(Duration::ZERO)).unwrap();
    }
}

/// `n` bytes that are different enough for every loss and swap to show.
pub(crate) fn pattern(n: usize, seed: u64) -> Vec<u8> {
    let mut random = Random(seed.wrapping_mul(2).wrapping_add(1));
    let mut bytes = Vec::with_capacity(n + 8);
    while bytes.len() < n {
        bytes.extend_from_slice(&random.next().to_le_bytes());
    }
    bytes.truncate(n);
    bytes
}

/// Numbers that are the same in every run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() >> 11) as usize % n
    }
}

/// What a handler was told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Call {
    Setup,
    ServerHandle(usize),
    Eof(usize),
    Drained,
    Timeout,
    Shutdown,
    Finish(CloseReason, Option<ErrorKind>),
}

/// Everything that the handlers of a server were told, in order.
#[derive(Clone, Default)]
pub(crate) struct Journal(Rc<RefCell<Vec<(SocketId, Call)>>>);

impl Journal {
    pub(crate) fn note(&self, id: SocketId, call: Call) {
        self.0.borrow_mut().push((id, call));
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.0.borrow().iter().map(|(_, call)| *call).collect()
    }

    pub(crate) fn ids(&self) -> Vec<SocketId> {
        let mut ids: Vec<SocketId> = Vec::new();
        for (id, _) in self.0.borrow().iter() {
            if !ids.contains(id) {
                ids.push(*id);
            }
        }
        ids
    }

    pub(crate) fn of(&self, id: SocketId) -> Vec<Call> {
        self.0.borrow().iter().filter(|(of, _)| *of == id).map(|(_, call)| *call).collect()
    }

    pub(crate) fn count(&self, wanted: impl Fn(Call) -> bool) -> usize {
        self.0.borrow().iter().filter(|(_, call)| wanted(*call)).count()
    }

    /// How each conversation ended, in the order of their ends.
    pub(crate) fn finishes(&self) -> Vec<(CloseReason, Option<ErrorKind>)> {
        let finish = |call: &Call| match call {
            Call::Finish(reason, kind) => Some((*reason, *kind)),
            _ => None,
        };
        self.calls().iter().filter_map(finish).collect()
    }

    /// `setup` first and once, `finish` last and once, `eof` and `shutdown` at most once.
    #[track_caller]
    pub(crate) fn assert_order(&self, all_ended: bool) {
        let mut calls: HashMap<SocketId, Vec<Call>> = HashMap::new();
        for (id, call) in self.0.borrow().iter() {
            calls.entry(*id).or_default().push(*call);
        }
        for (id, calls) in calls {
            let count =
                |wanted: fn(&Call) -> bool| calls.iter().filter(|call| wanted(call)).count();
            let finishes = count(|call| matches!(call, Call::Finish(..)));
            let setups = count(|call| matches!(call, Call::Setup));
            let ended = matches!(calls.last(), Some(Call::Finish(..)));
            assert_eq!(finishes, usize::from(ended), "{id}: {calls:?}");
            assert!(ended || !all_ended, "{id} never ended: {calls:?}");
            let never_stood = matches!(calls[..], [Call::Finish(CloseReason::ConnectFailed, _)]);
            assert!(setups == 1 && calls[0] == Call::Setup || never_stood, "{id}: {calls:?}");
            assert!(count(|call| matches!(call, Call::Eof(_))) <= 1, "{id}: {calls:?}");
            assert!(count(|call| matches!(call, Call::Shutdown)) <= 1, "{id}: {calls:?}");
        }
    }
}

/// A handler whose every callback is noted before it runs.
pub(crate) struct Noted<H> {
    pub(crate) journal: Journal,
    pub(crate) handler: H,
}

impl<H> Noted<H> {
    pub(crate) fn new(journal: &Journal, handler: H) -> Noted<H> {
        Noted { journal: journal.clone(), handler }
    }
}

impl<S, H: Handler<S>> Handler<S> for Noted<H> {
    fn setup(&mut self, cx: &mut Context<'_, S>) -> io::Result<()> {
        self.journal.note(cx.id, Call::Setup);
        self.handler.setup(cx)
    }

    fn handle(&mut self, cx: &mut Context<'_, S>, input: &mut Input<'_>) -> io::Result<()> {
        self.journal.note(cx.id, Call::ServerHandle(input.len()));
        self.handler.handle(cx, input)
    }

    fn eof(&mut self, cx: &mut Context<'_, S>, rest: &[u8]) -> io::Result<()> {
        self.journal.note(cx.id, Call::Eof(rest.len()));
        self.handler.eof(cx, rest)
    }

    fn drained(&mut self, cx: &mut Context<'_, S>) -> io::Result<()> {
        self.journal.note(cx.id, Call::Drained);
        self.handler.drained(cx)
    }

    fn timeout(&mut self, cx: &mut Context<'_, S>, timer: TimerId) -> io::Result<()> {
        self.journal.note(cx.id, Call::Timeout);
        self.handler.timeout(cx, timer)
    }

    fn shutdown(&mut self, cx: &mut Context<'_, S>) -> io::Result<()> {
        self.journal.note(cx.id, Call::Shutdown);
        self.handler.shutdown(cx)
    }

    fn finish(&mut self, cx: &mut Context<'_, S>, outcome: io::Result<()>) {
        let kind = outcome.as_ref().err().map(io::Error::kind);
        self.journal.note(cx.id, Call::Finish(cx.reason().unwrap(), kind));
        self.handler.finish(cx, outcome);
    }
}

/// A handler that is only a `handle`.
pub(crate) struct OnInput<F>(pub(crate) F);

impl<S, F> Handler<S> for OnInput<F>
where
    F: FnMut(&mut Context<'_, S>, &mut Input<'_>) -> io::Result<()>,
{
    fn handle(&mut self, cx: &mut Context<'_, S>, input: &mut Input<'_>) -> io::Result<()> {
        (self.0)(cx, input)
    }
}

/// Makes [`OnInput`] with the types of the closure known.
pub(crate) fn on_input<S, F>(handle: F) -> OnInput<F>
where
    F: FnMut(&mut Context<'_, S>, &mut Input<'_>) -> io::Result<()>,
{
    OnInput(handle)
}

/// A handler that is only a `setup`, and takes whatever comes.
pub(crate) struct OnSetup<F>(pub(crate) F);

impl<S, F> Handler<S> for OnSetup<F>
where
    F: FnMut(&mut Context<'_, S>) -> io::Result<()>,
{
    fn setup(&mut self, cx: &mut Context<'_, S>) -> io::Result<()> {
        (self.0)(cx)
    }

    fn handle(&mut self, _: &mut Context<'_, S>, input: &mut Input<'_>) -> io::Result<()> {
        input.take_all();
        Ok(())
    }
}

pub(crate) fn on_setup<S, F>(setup: F) -> OnSetup<F>
where
    F: FnMut(&mut Context<'_, S>) -> io::Result<()>,
{
    OnSetup(setup)
}

/// Commands from the test to whatever runs in a callback.
pub(crate) type Later<T> = Rc<RefCell<VecDeque<T>>>;

/// The kinds of datagram socket a behaviour is tested on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Net {
    V4,
    V6,
    /// Bound to `[::]`, with clients over IPv4.
    Dual,
    Unix,
}

impl Net {
    pub(crate) const UDP: &'static [Net] = &[Net::V4, Net::V6, Net::Dual];
    pub(crate) const ALL: &'static [Net] =
        if cfg!(unix) { &[Net::V4, Net::V6, Net::Dual, Net::Unix] } else { Net::UDP };
}

/// Whether datagrams cross many in one system call.
pub(crate) const CROSS_TOGETHER: bool = cfg!(all(target_os = "linux", feature = "sys"));

impl<S> Tested<S> {
    /// Serves datagrams on a free address of this kind; gives the address for clients too.
    pub(crate) fn serve_packets<H: DatagramHandler<S> + 'static>(
        &mut self,
        net: Net,
        handler: H,
    ) -> (SocketId, Addr) {
        let id = match net {
            Net::V4 => self.server.bind("127.0.0.1:0", handler).unwrap(),
            Net::V6 => self.server.bind("[::1]:0", handler).unwrap(),
            Net::Dual => self.server.bind("[::]:0", handler).unwrap(),
            Net::Unix => {
                let path = self.free_path();
                self.server.bind(path, handler).unwrap()
            }
        };
        let addr = self.server.io().local_addr(id).unwrap();
        match (net, addr.port()) {
            (Net::Dual, Some(port)) => (id, Addr::Ip((Ipv4Addr::LOCALHOST, port).into())),
            _ => (id, addr),
        }
    }

    /// A path that nobody has used before.
    pub(crate) fn free_path(&mut self) -> PathBuf {
        static USED: AtomicUsize = AtomicUsize::new(0);
        let directory = self.directory.get_or_insert_with(|| tempfile::TempDir::new().unwrap());
        directory.path().join(format!("packets-{}", USED.fetch_add(1, Ordering::Relaxed)))
    }

    /// Turns until the client has received a datagram.
    #[track_caller]
    pub(crate) fn answer(&mut self, client: &PacketClient) -> Vec<u8> {
        let mut answer = None;
        self.until(|_| {
            answer = client.next();
            answer.is_some()
        });
        answer.unwrap()
    }

    /// One datagram there and back.
    #[track_caller]
    pub(crate) fn exchange(&mut self, client: &PacketClient, message: &[u8]) {
        client.send(message);
        assert!(self.answer(client) == message, "another answer than {} bytes", message.len());
    }
}

/// A client of datagrams that never blocks, and exchanges them with one server alone.
pub(crate) struct PacketClient {
    pub(crate) socket: Socket,
    /// Where the path of a Unix client is.
    pub(crate) directory: Option<tempfile::TempDir>,
}

impl PacketClient {
    /// One that can be answered.
    pub(crate) fn new(server: &Addr) -> PacketClient {
        match server {
            Addr::Unix(_) => {
                let directory = tempfile::TempDir::new().unwrap();
                let socket = Socket::new(Domain::UNIX, Type::DGRAM, None).unwrap();
                socket.bind(&SockAddr::unix(directory.path().join("client")).unwrap()).unwrap();
                PacketClient::connected(socket, server, Some(directory))
            }
            _ => PacketClient::unnamed(server),
        }
    }

    /// The same, but a Unix client has no name.
    pub(crate) fn unnamed(server: &Addr) -> PacketClient {
        let domain = server.ip().map_or(Domain::UNIX, |ip| Domain::for_address(*ip));
        let socket = Socket::new(domain, Type::DGRAM, None).unwrap();
        PacketClient::connected(socket, server, None)
    }

    fn connected(
        socket: Socket,
        server: &Addr,
        directory: Option<tempfile::TempDir>,
    ) -> PacketClient {
        socket.connect(&name(server)).unwrap();
        socket.set_nonblocking(true).unwrap();
        PacketClient { socket, directory }
    }

    pub(crate) fn many(server: &Addr, n: usize) -> Vec<PacketClient> {
        (0..n).map(|_| PacketClient::new(server)).collect()
    }

    /// The address under which it sends.
    pub(crate) fn addr(&self) -> Addr {
        let name = self.socket.local_addr().unwrap();
        match (name.as_socket(), name.as_pathname()) {
            (Some(ip), _) => Addr::Ip(ip),
            (_, Some(path)) => Addr::from(path),
            _ => Addr::Unnamed,
        }
    }

    /// Sends what the system must have room for.
    #[track_caller]
    pub(crate) fn send(&self, bytes: &[u8]) {
        assert_eq!(self.socket.send(bytes).unwrap(), bytes.len());
    }

    /// Sends if the system takes it now.
    pub(crate) fn push(&self, bytes: &[u8]) -> bool {
        self.socket.send(bytes).is_ok()
    }

    /// The next datagram that has come, if there is one.
    pub(crate) fn next(&self) -> Option<Vec<u8>> {
        let mut buffer = vec![0; 70_000];
        let n = (&self.socket).read(&mut buffer).ok()?;
        buffer.truncate(n);
        Some(buffer)
    }

    /// Every datagram that has come.
    pub(crate) fn all(&self) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| self.next()).collect()
    }
}

/// How the system writes an address.
pub(crate) fn name(addr: &Addr) -> SockAddr {
    match addr {
        Addr::Ip(ip) => SockAddr::from(*ip),
        Addr::Unix(path) => SockAddr::unix(path).unwrap(),
        _ => panic!("it has no such name"),
    }
}

/// What the handler of a datagram socket was told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum PacketCall {
    ServerHandle(usize),
    Truncated(usize),
    Error(ErrorKind),
    Drained,
    Timeout,
    Shutdown,
    Finish(CloseReason, Option<ErrorKind>),
}

/// Everything that the handlers of datagrams were told, in order.
#[derive(Clone, Default)]
pub(crate) struct PacketJournal(Rc<RefCell<Vec<PacketCall>>>);

impl PacketJournal {
    pub(crate) fn note(&self, call: PacketCall) {
        self.0.borrow_mut().push(call);
    }

    pub(crate) fn calls(&self) -> Vec<PacketCall> {
        self.0.borrow().clone()
    }

    pub(crate) fn count(&self, wanted: impl Fn(PacketCall) -> bool) -> usize {
        self.0.borrow().iter().filter(|call| wanted(**call)).count()
    }

    pub(crate) fn has(&self, wanted: PacketCall) -> bool {
        self.0.borrow().contains(&wanted)
    }

    pub(crate) fn handled(&self) -> usize {
        self.count(|call| matches!(call, PacketCall::ServerHandle(_)))
    }

    pub(crate) fn finishes(&self) -> usize {
        self.count(|call| matches!(call, PacketCall::Finish(..)))
    }
}

/// A handler of datagrams whose every callback is noted before it runs.
pub(crate) struct NotedPackets<H> {
    journal: PacketJournal,
    handler: H,
}

impl<H> NotedPackets<H> {
    pub(crate) fn new(journal: &PacketJournal, handler: H) -> NotedPackets<H> {
        NotedPackets { journal: journal.clone(), handler }
    }
}

impl<S, H: DatagramHandler<S>> DatagramHandler<S> for NotedPackets<H> {
    fn handle(&mut self, cx: &mut Context<'_, S>, packet: &[u8], peer: &Addr) -> io::Result<()> {
        self.journal.note(PacketCall::ServerHandle(packet.len()));
        self.handler.handle(cx, packet, peer)
    }

    fn truncated(&mut self, cx: &mut Context<'_, S>, packet: &[u8], peer: &Addr) -> io::Result<()> {
        self.journal.note(PacketCall::Truncated(packet.len()));
        self.handler.truncated(cx, packet, peer)
    }

    fn error(&mut self, cx: &mut Context<'_, S>, error: io::Error) -> io::Result<()> {
        self.journal.note(PacketCall::Error(error.kind()));
        self.handler.error(cx, error)
    }

    fn drained(&mut self, cx: &mut Context<'_, S>) -> io::Result<()> {
        self.journal.note(PacketCall::Drained);
        self.handler.drained(cx)
    }

    fn timeout(&mut self, cx: &mut Context<'_, S>, timer: TimerId) -> io::Result<()> {
        self.journal.note(PacketCall::Timeout);
        self.handler.timeout(cx, timer)
    }

    fn shutdown(&mut self, cx: &mut Context<'_, S>) -> io::Result<()> {
        self.journal.note(PacketCall::Shutdown);
        self.handler.shutdown(cx)
    }

    fn finish(&mut self, cx: &mut Context<'_, S>, outcome: io::Result<()>) {
        let kind = outcome.as_ref().err().map(io::Error::kind);
        self.journal.note(PacketCall::Finish(cx.reason().unwrap(), kind));
        self.handler.finish(cx, outcome);
    }
}

/// A closure as a handler of datagrams, with its types known.
pub(crate) fn on_packet<S, F>(handle: F) -> F
where
    F: FnMut(&mut Context<'_, S>, &[u8], &Addr) -> io::Result<()>,
{
    handle
}

/// Sends this many datagrams from each of three threads, or fewer once `enough` is set.
pub(crate) fn flood(to: SocketAddr, each: usize, enough: &Arc<AtomicBool>) -> Vec<JoinHandle<()>> {
    let sender = |enough: Arc<AtomicBool>| {
        move || {
            let socket = UdpSocket::bind((to.ip(), 0)).unwrap();
            socket.set_nonblocking(true).unwrap();
            let packet = [b'f'; 100];
            for _ in 0..each {
                let _ = socket.send_to(&packet, to);
                if enough.load(Ordering::Relaxed) {
                    break;
                }
            }
        }
    };
    (0..3).map(|_| thread::spawn(sender(Arc::clone(enough)))).collect()
}
