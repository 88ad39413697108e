//! A handler under any events: what peers do, what handlers command, what others command, and time;
//! nothing is lost, nothing is out of order, and nothing is left.

use std::io;
use std::time::Duration;

use socketserver::testing::{Peer, TestServer};
use socketserver::{CloseReason, Context, Handler, Input, Options, SendStatus, SocketId, TimerId};

use crate::bytes::Bytes;

const MOST_PEERS: usize = 3;
/// More than `send` copies.
const LARGE: usize = 20_000;

/// What became of each conversation.
#[derive(Debug, Default)]
struct Log {
    seen: Vec<u8>,
    sent: Vec<u8>,
    has_begun: bool,
    had_end: bool,
    was_told_of_shutdown: bool,
    finished: usize,
    /// Somebody but the peer had a hand in its end.
    was_commanded: bool,
}

struct Scripted {
    nth: usize,
    habits: u8,
    drained: usize,
}

type Cx<'a> = Context<'a, Vec<Log>>;

/// How a handler is, one bit for each; the lowest two say how much it takes.
pub(crate) const PAUSES: u8 = 4;
pub(crate) const STAYS: u8 = 8;
pub(crate) const FULL_DUPLEX: u8 = 16;
pub(crate) const SENDS_WHEN_DRAINED: u8 = 32;
const SILENT: u8 = 64;

// What happens next, the lowest five bits of a byte; those above them say to which peer. An act has
// the numbers up to the next one, and `RUN` those that are left.
/// The bytes after it: their number, and they.
pub(crate) const PEER_SENDS: u8 = 0;
pub(crate) const RUN: u8 = 5;
/// The byte after it is how much the peer takes.
pub(crate) const ROOM: u8 = 10;
pub(crate) const UNBOUNDED_ROOM: u8 = 11;
pub(crate) const END: u8 = 12;
pub(crate) const RESET: u8 = 13;
/// In milliseconds, the byte after it; so also below.
pub(crate) const WAIT: u8 = 14;
/// The byte after it is the habits of the handler.
pub(crate) const CONNECT: u8 = 16;
pub(crate) const PAUSE: u8 = 17;
pub(crate) const RESUME: u8 = 18;
/// The sixteen bytes after it.
pub(crate) const SEND: u8 = 20;
const READ_WHILE_CONGESTED: u8 = 22;
pub(crate) const CLOSE: u8 = 23;
pub(crate) const ABORT: u8 = 24;
pub(crate) const SHUTDOWN_WRITE: u8 = 25;
pub(crate) const SHUTDOWN: u8 = 26;
pub(crate) const SEND_LARGE: u8 = 27;
pub(crate) const SET_TIMER: u8 = 28;
const RECEIVE: u8 = 29;

impl Handler<Vec<Log>> for Scripted {
    fn setup(&mut self, cx: &mut Cx<'_>) -> io::Result<()> {
        let log = self.log(cx);
        assert!(!log.has_begun && log.finished == 0);
        log.has_begun = true;
        if self.habits & FULL_DUPLEX != 0 {
            cx.io.set_read_while_congested(cx.id, true);
        }
        Ok(())
    }

    fn handle(&mut self, cx: &mut Cx<'_>, input: &mut Input<'_>) -> io::Result<()> {
        assert!(!self.log(cx).had_end, "input after the end");
        let taken = match self.habits & 3 {
            0 => input.take_all(),
            1 => input.take(input.len().div_ceil(2)).unwrap_or_default(),
            2 => match input.take_line(20)? {
                Some(line) => line,
                None => return Ok(()),
            },
            _ if input.require(3, 3)? => input.take(3).unwrap_or_default(),
            _ => return Ok(()),
        };
        let log = self.log(cx);
        log.seen.extend_from_slice(taken);
        // A line lost its end.
        if self.habits & 3 == 2 {
            log.seen.push(b'\n');
        }
        if self.habits & SILENT == 0 {
            self.send(cx, taken);
        }
        if self.habits & PAUSES != 0 {
            cx.pause();
            cx.set_timer(Duration::from_millis(3));
        }
        taken.iter().try_for_each(|byte| self.obey(cx, *byte))
    }

    fn eof(&mut self, cx: &mut Cx<'_>, rest: &[u8]) -> io::Result<()> {
        let log = self.log(cx);
        assert!(!std::mem::replace(&mut log.had_end, true), "two ends");
        log.seen.extend_from_slice(rest);
        if self.habits & STAYS == 0 {
            cx.close();
        } else {
            self.send(cx, b"still here");
            cx.set_timer(Duration::from_millis(50));
        }
        Ok(())
    }

    fn drained(&mut self, cx: &mut Cx<'_>) -> io::Result<()> {
        self.log(cx);
        self.drained += 1;
        // Who sends more than high water each time has never done.
        if self.habits & SENDS_WHEN_DRAINED != 0 && self.drained < 10 {
            self.send(cx, b"more");
        }
        Ok(())
    }

    fn timeout(&mut self, cx: &mut Cx<'_>, _timer: TimerId) -> io::Result<()> {
        if self.log(cx).had_end {
            cx.close();
        } else {
            cx.io.resume(cx.id);
        }
        Ok(())
    }

    fn shutdown(&mut self, cx: &mut Cx<'_>) -> io::Result<()> {
        let log = self.log(cx);
        assert!(!std::mem::replace(&mut log.was_told_of_shutdown, true), "told twice");
        log.was_commanded = true;
        self.send(cx, b"bye");
        if self.habits & STAYS == 0 {
            cx.close();
        }
        Ok(())
    }

    fn finish(&mut self, cx: &mut Cx<'_>, outcome: io::Result<()>) {
        let reason = cx.reason().expect("finish is told why");
        let has_error = !matches!(
            reason,
            CloseReason::Closed | CloseReason::Aborted | CloseReason::ShutdownTimeout
        );
        assert!(!has_error || outcome.is_err(), "{reason:?} without an error");
        self.log(cx).finished += 1;
        assert_eq!(cx.send(b"too late"), SendStatus::Closed, "{reason:?}");
    }
}

impl Scripted {
    fn log<'a>(&self, cx: &'a mut Cx<'_>) -> &'a mut Log {
        let log = &mut cx.shared[self.nth];
        assert_eq!(log.finished, 0, "a callback after finish");
        log
    }

    fn send(&self, cx: &mut Cx<'_>, bytes: &[u8]) {
        if cx.send(bytes) != SendStatus::Closed {
            self.log(cx).sent.extend_from_slice(bytes);
        }
    }

    /// Some bytes are orders.
    fn obey(&mut self, cx: &mut Cx<'_>, byte: u8) -> io::Result<()> {
        match byte {
            b'L' => self.send(cx, &[b'l'; LARGE]),
            b'P' => cx.pause(),
            b'T' => drop(cx.set_timer(Duration::from_millis(1))),
            b'C' | b'A' | b'W' | b'E' => {
                self.log(cx).was_commanded = true;
                match byte {
                    b'C' => cx.close(),
                    b'A' => drop(cx.io.abort(cx.id)),
                    b'W' => drop(cx.io.shutdown_write(cx.id)),
                    _ => return Err(io::Error::other("as ordered")),
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// One peer, and what it did.
struct Client {
    peer: Peer,
    habits: u8,
    sent: Vec<u8>,
    received: Vec<u8>,
    has_ended: bool,
    has_reset: bool,
}

impl Client {
    fn is_silent(&self) -> bool {
        self.has_ended || self.has_reset
    }

    fn receive(&mut self) {
        self.received.extend(self.peer.received());
    }
}

struct World {
    server: TestServer<Vec<Log>>,
    clients: Vec<Client>,
    options: Options,
}

pub fn run(data: &[u8]) {
    let mut choices = Bytes(data);
    let options = options(&mut choices);
    let server = TestServer::with_shared(Vec::new(), options.clone()).expect("usable options");
    let mut world = World { server, clients: Vec::new(), options };
    world.connect(choices.byte());
    while !choices.0.is_empty() {
        world.step(&mut choices);
        world.look();
    }
    world.end();
}

fn options(choices: &mut Bytes<'_>) -> Options {
    let high_water = [1, 16, 200, 64 << 10][choices.below(4)];
    let timeout = |choice: usize| [None, Some(Duration::from_millis(40))][choice];
    let flags = choices.byte();
    Options {
        read_buffer: [1, 3, 64, 4_096][choices.below(4)],
        reads_per_turn: 1 + usize::from(flags & 3),
        writes_per_turn: 1 + usize::from(flags >> 2 & 3),
        events_per_turn: 8,
        input_limit: [4, 32, 1_000, 1 << 20][choices.below(4)],
        high_water,
        low_water: high_water / 4,
        output_limit: [high_water, high_water + 300, 16 << 20][choices.below(3)],
        idle_timeout: timeout(usize::from(flags >> 4 & 1)),
        frame_timeout: timeout(usize::from(flags >> 5 & 1)),
        close_timeout: Duration::from_millis(if flags >> 6 & 1 == 0 { 20 } else { 30_000 }),
        max_lingering: if flags >> 7 == 0 { 100 } else { 1 },
        ..Options::default()
    }
}

impl World {
    fn connect(&mut self, habits: u8) {
        if self.clients.len() < MOST_PEERS {
            self.server.shared_mut().push(Log::default());
            let nth = self.clients.len();
            let peer = self.server.connect(Scripted { nth, habits, drained: 0 }).expect("an id");
            self.clients.push(Client {
                peer,
                habits,
                sent: Vec::new(),
                received: Vec::new(),
                has_ended: false,
                has_reset: false,
            });
        }
    }

    fn step(&mut self, choices: &mut Bytes<'_>) {
        let step = choices.byte();
        let nth = usize::from(step >> 5) % self.clients.len();
        let Self { server, clients, .. } = self;
        let client = &mut clients[nth];
        let id = client.peer.id();
        match step % 32 {
            PEER_SENDS..RUN => {
                let n = choices.below(32);
                let bytes = choices.take(n);
                client.peer.send(bytes);
                if !client.is_silent() {
                    client.sent.extend_from_slice(bytes);
                }
            }
            ROOM => client.peer.set_room(choices.below(64)),
            UNBOUNDED_ROOM => client.peer.set_room(usize::MAX),
            END => {
                client.peer.end();
                client.has_ended = true;
            }
            RESET => {
                client.peer.reset();
                client.has_reset = true;
            }
            WAIT..CONNECT => server.advance(Duration::from_millis(choices.number::<1>())),
            CONNECT => self.connect(choices.byte()),
            PAUSE => drop(server.io_mut().pause(id)),
            RESUME..SEND => drop(server.io_mut().resume(id)),
            SEND..READ_WHILE_CONGESTED => {
                let bytes = choices.take(16);
                self.send(nth, id, bytes);
            }
            READ_WHILE_CONGESTED => {
                _ = server.io_mut().set_read_while_congested(id, choices.flag());
            }
            CLOSE..SEND_LARGE => {
                server.shared_mut()[nth].was_commanded = true;
                match step % 32 {
                    CLOSE => drop(server.io_mut().close(id)),
                    ABORT => drop(server.io_mut().abort(id)),
                    SHUTDOWN_WRITE => drop(server.io_mut().shutdown_write(id)),
                    _ => server.io_mut().shutdown(Duration::from_millis(choices.number::<1>())),
                }
            }
            SEND_LARGE => self.send(nth, id, &[b'x'; LARGE]),
            SET_TIMER => {
                _ = server.io_mut().set_timer(id, Duration::from_millis(choices.number::<1>()));
            }
            RECEIVE => client.receive(),
            _ => server.run(),
        }
    }

    fn send(&mut self, nth: usize, id: SocketId, bytes: &[u8]) {
        if self.server.io_mut().send(id, bytes) != SendStatus::Closed {
            self.server.shared_mut()[nth].sent.extend_from_slice(bytes);
        }
    }

    /// What holds at every moment.
    fn look(&mut self) {
        let Self { server, clients, .. } = self;
        if let Err(why) = server.io().verify_stats() {
            panic!("{why}");
        }
        for (client, log) in clients.iter_mut().zip(server.shared_mut()) {
            client.receive();
            assert!(log.sent.starts_with(&client.received), "received what was not sent so");
            assert!(client.sent.starts_with(&log.seen) || client.habits & 3 == 2, "seen so");
        }
    }

    /// Everybody takes all and ends, and time goes on; then nothing may be left.
    fn end(mut self) {
        for client in &mut self.clients {
            client.peer.set_room(usize::MAX);
            client.peer.end();
            client.has_ended = true;
            self.server.io_mut().resume(client.peer.id());
        }
        self.server.advance(Duration::from_secs(3_600));
        self.look();
        self.server.io_mut().shutdown(Duration::from_secs(1));
        self.server.advance(Duration::from_secs(3_600));
        self.look();
        assert_eq!(self.server.io().connection_count(), 0, "a connection is left");
        let stats = *self.server.io().stats();
        assert_eq!((stats.live(), stats.pending_output()), (0, 0));
        let Self { mut server, clients, options } = self;
        let logs = server.shared_mut();
        let bytes = |of: fn(&Log) -> usize| logs.iter().map(of).sum::<usize>() as u64;
        assert_eq!(stats.bytes_sent, bytes(|log| log.sent.len()));
        assert_eq!(stats.bytes_out, clients.iter().map(|c| c.received.len()).sum::<usize>() as u64);
        for (client, log) in clients.iter().zip(logs.iter()) {
            judge(client, log, &options);
        }
    }
}

/// Whether a conversation ended as it had to.
fn judge(client: &Client, log: &Log, options: &Options) {
    assert_eq!(log.finished, 1, "finish runs once");
    let reason = client.peer.finished().expect("it has").reason;
    let may_be = match reason {
        CloseReason::Closed => {
            assert_eq!(client.received.len(), log.sent.len(), "closed, but not all has left");
            // Who was not hurried has seen everything that its peer said.
            if !log.was_commanded && client.habits & 3 != 2 {
                assert_eq!(log.seen.len(), client.sent.len(), "closed, but not all was seen");
            }
            log.was_commanded || log.had_end
        }
        CloseReason::Aborted | CloseReason::CloseTimeout => log.was_commanded || log.had_end,
        CloseReason::ShutdownTimeout => true,
        CloseReason::HandlerError => log.was_commanded || client.habits & 3 == 2,
        CloseReason::IoError => client.has_reset,
        CloseReason::IdleTimeout => options.idle_timeout.is_some(),
        CloseReason::FrameTimeout => options.frame_timeout.is_some(),
        CloseReason::InputLimit => client.sent.len() >= options.input_limit,
        CloseReason::OutputLimit => log.sent.len() > options.output_limit,
        _ => false,
    };
    assert!(may_be, "{reason:?} of {log:?}");
}
