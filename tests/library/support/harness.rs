//! A server that is stepped by hand, on every kind of socket, and what its loop does.

use std::cell::RefCell;
use std::net::Ipv4Addr;
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use socketserver::blocking::{self, Workers};
use socketserver::{
    Addr, CloseReason, DatagramHandler, Handler, Options, Server, SocketId, TraceEvent,
};

use super::{
    CallLog, Client, DatagramCallLog, DatagramClient, PATIENCE, Recording, RecordingDatagrams,
};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

pub(crate) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

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
pub(crate) struct Harness<S: 'static = ()> {
    pub(crate) server: Server<S>,
    directory: Option<tempfile::TempDir>,
}

impl Harness<()> {
    pub(crate) fn new() -> Harness<()> {
        Harness::with_shared((), Options::default())
    }
}

impl<S> Harness<S> {
    pub(crate) fn with_shared(shared: S, options: Options) -> Harness<S> {
        Harness { server: Server::with_shared(shared, options).unwrap(), directory: None }
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

    /// The same, with a log of what the handlers are called with.
    pub(crate) fn serve_recorded<H: Handler<S> + 'static>(
        &mut self,
        kind: Kind,
        mut factory: impl FnMut(&Addr) -> H + 'static,
    ) -> (CallLog, Addr) {
        let journal = CallLog::default();
        let witness = journal.clone();
        let addr = self.serve(kind, move |peer| Recording::new(&witness, factory(peer)));
        (journal, addr)
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
    pub(crate) fn until_quiet(&mut self, steps: &TraceLog) {
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
    pub(crate) fn steps(&mut self) -> TraceLog {
        let steps = TraceLog::default();
        let watcher = steps.clone();
        self.server.set_trace(move |step| watcher.0.borrow_mut().push(step));
        steps
    }

    pub(crate) fn ended(&mut self, reason: CloseReason) -> u64 {
        self.server.io().stats().ended(reason)
    }
}

impl<S> Deref for Harness<S> {
    type Target = Server<S>;

    fn deref(&self) -> &Server<S> {
        &self.server
    }
}

impl<S> DerefMut for Harness<S> {
    fn deref_mut(&mut self) -> &mut Server<S> {
        &mut self.server
    }
}

impl<S> Drop for Harness<S> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.server.io().verify_stats().unwrap();
        }
    }
}

/// What the loop did, one step at a time.
#[derive(Clone, Default)]
pub(crate) struct TraceLog(Rc<RefCell<Vec<TraceEvent>>>);

impl TraceLog {
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

/// The kinds of datagram socket a behaviour is tested on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum DatagramKind {
    V4,
    V6,
    /// Bound to `[::]`, with clients over IPv4.
    Dual,
    Unix,
}

impl DatagramKind {
    pub(crate) const UDP: &'static [DatagramKind] =
        &[DatagramKind::V4, DatagramKind::V6, DatagramKind::Dual];
    pub(crate) const ALL: &'static [DatagramKind] = if cfg!(unix) {
        &[DatagramKind::V4, DatagramKind::V6, DatagramKind::Dual, DatagramKind::Unix]
    } else {
        DatagramKind::UDP
    };
}

/// Whether datagrams cross many in one system call.
pub(crate) const CROSS_TOGETHER: bool = cfg!(all(target_os = "linux", feature = "sys"));

impl<S> Harness<S> {
    /// Serves datagrams on a free address of this kind; gives the address for clients too.
    pub(crate) fn serve_datagrams<H: DatagramHandler<S> + 'static>(
        &mut self,
        net: DatagramKind,
        handler: H,
    ) -> (SocketId, Addr) {
        let id = match net {
            DatagramKind::V4 => self.server.bind("127.0.0.1:0", handler).unwrap(),
            DatagramKind::V6 => self.server.bind("[::1]:0", handler).unwrap(),
            DatagramKind::Dual => self.server.bind("[::]:0", handler).unwrap(),
            DatagramKind::Unix => {
                let path = self.free_path();
                self.server.bind(path, handler).unwrap()
            }
        };
        let addr = self.server.io().local_addr(id).unwrap();
        match (net, addr.port()) {
            (DatagramKind::Dual, Some(port)) => (id, Addr::Ip((Ipv4Addr::LOCALHOST, port).into())),
            _ => (id, addr),
        }
    }

    /// The same, with a log of what the handler is called with.
    pub(crate) fn serve_recorded_datagrams<H: DatagramHandler<S> + 'static>(
        &mut self,
        net: DatagramKind,
        handler: H,
    ) -> (DatagramCallLog, SocketId, Addr) {
        let journal = DatagramCallLog::default();
        let (id, addr) = self.serve_datagrams(net, RecordingDatagrams::new(&journal, handler));
        (journal, id, addr)
    }

    /// A path that nobody has used before.
    pub(crate) fn free_path(&mut self) -> PathBuf {
        static USED: AtomicUsize = AtomicUsize::new(0);
        let directory = self.directory.get_or_insert_with(|| tempfile::TempDir::new().unwrap());
        directory.path().join(format!("packets-{}", USED.fetch_add(1, Ordering::Relaxed)))
    }

    /// Turns until the client has received a datagram.
    #[track_caller]
    pub(crate) fn answer(&mut self, client: &DatagramClient) -> Vec<u8> {
        let mut answer = None;
        self.until(|_| {
            answer = client.next();
            answer.is_some()
        });
        answer.unwrap()
    }

    /// One datagram there and back.
    #[track_caller]
    pub(crate) fn exchange(&mut self, client: &DatagramClient, message: &[u8]) {
        client.send(message);
        assert!(self.answer(client) == message, "another answer than {} bytes", message.len());
    }
}

/// Blocking handlers, in the loop or in threads.
impl<S: 'static> Harness<S> {
    /// Listens on a free address of this kind.
    pub(crate) fn serve_blocking<H: blocking::Handler<S> + Send + 'static>(
        &mut self,
        kind: Kind,
        mode: &Workers,
        factory: impl FnMut(&Addr) -> H + 'static,
    ) -> Addr {
        let addr = match kind {
            Kind::Tcp => Addr::Ip(([127, 0, 0, 1], 0).into()),
            Kind::Unix => Addr::Unix(self.free_path()),
        };
        let id = self.server.listen_blocking(addr, mode, factory).unwrap();
        self.server.io().local_addr(id).unwrap()
    }

    /// Serves datagrams on a free address of this kind.
    pub(crate) fn serve_datagrams_blocking<H: blocking::Handler<S> + Send + 'static>(
        &mut self,
        net: DatagramKind,
        mode: &Workers,
        factory: impl FnMut(&Addr) -> H + 'static,
    ) -> (SocketId, Addr) {
        let addr = match net {
            DatagramKind::Unix => Addr::Unix(self.free_path()),
            _ => Addr::Ip(([127, 0, 0, 1], 0).into()),
        };
        let id = self.server.bind_blocking(addr, mode, factory).unwrap();
        (id, self.server.io().local_addr(id).unwrap())
    }
}
