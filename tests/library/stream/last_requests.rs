//! A request that came is answered before its handler is told of an end, at which most close.

use std::io;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use socketserver::testing::TestServer;
use socketserver::{CloseReason, Context, Handler, Input, Options};

use crate::support::{Call, CallLog, Client, Harness, Kind, PATIENCE, Recording, on_input};

/// Answers each byte with a thousand, as long as there is room; and reads on beside that.
struct Thousand;

impl Handler for Thousand {
    fn setup(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        cx.io.set_read_while_congested(cx.id, true);
        Ok(())
    }

    fn handle(&mut self, cx: &mut Context<'_>, input: &mut Input<'_>) -> io::Result<()> {
        while !cx.io.is_congested(cx.id) {
            let Some(byte) = input.take(1) else { break };
            cx.send(&byte.repeat(1000));
        }
        Ok(())
    }
}

/// 28 requests have come, and the peer has read no answer.
fn congested() -> (TestServer, socketserver::testing::Peer) {
    let options = Options { high_water: 4000, low_water: 1000, ..Options::default() };
    let mut server = TestServer::with_shared((), options).unwrap();
    let peer = server.connect(Thousand).unwrap();
    peer.set_room(0);
    peer.send("requests which come together");
    server.run();
    assert!(server.io().is_congested(peer.id()));
    (server, peer)
}

#[test]
fn requests_that_full_duplex_and_congestion_have_left_are_answered_before_the_peers_end_is_told() {
    let (mut server, peer) = congested();
    peer.end();
    server.run();
    assert_eq!(peer.finished(), None, "most are not answered");
    peer.set_room(usize::MAX);
    server.run();
    assert_eq!(peer.received().len(), 28_000);
    assert_eq!(peer.finished().unwrap().reason, CloseReason::Closed);
}

#[test]
fn requests_that_full_duplex_and_congestion_have_left_are_answered_before_a_shutdown_is_told() {
    let (mut server, peer) = congested();
    server.io_mut().shutdown(PATIENCE);
    server.run();
    assert_eq!(peer.finished(), None, "most are not answered");
    peer.set_room(usize::MAX);
    server.run();
    assert_eq!(peer.received().len(), 28_000);
    peer.end();
    server.run();
    let report = server.server().report().unwrap();
    assert_eq!((report.drained, report.forced, report.bytes_dropped), (1, 0, 0));
}

#[test]
fn what_is_half_a_request_is_the_rest_at_the_end() {
    struct Lines;
    impl Handler<Vec<u8>> for Lines {
        fn setup(&mut self, cx: &mut Context<'_, Vec<u8>>) -> io::Result<()> {
            cx.io.set_read_while_congested(cx.id, true);
            Ok(())
        }
        fn handle(
            &mut self,
            cx: &mut Context<'_, Vec<u8>>,
            input: &mut Input<'_>,
        ) -> io::Result<()> {
            while !cx.io.is_congested(cx.id) {
                let Some(line) = input.take_line(100)? else { break };
                cx.send(&line.repeat(1000));
            }
            Ok(())
        }
        fn eof(&mut self, cx: &mut Context<'_, Vec<u8>>, rest: &[u8]) -> io::Result<()> {
            cx.shared.extend(rest);
            cx.close();
            Ok(())
        }
    }
    let options = Options { high_water: 4000, low_water: 1000, ..Options::default() };
    let mut server = TestServer::with_shared(Vec::new(), options).unwrap();
    let peer = server.connect(Lines).unwrap();
    peer.set_room(0);
    peer.send("aaaa\nbbbb\ncccc\nand a half");
    peer.end();
    server.run();
    assert!(server.shared().is_empty());
    peer.set_room(usize::MAX);
    server.run();
    assert_eq!((peer.received().len(), &server.shared()[..]), (12_000, &b"and a half"[..]));
}

// Offloaded work. It waits for a word, so that the test says when it is done.

/// Has each line worked at elsewhere, and sends what comes of it.
struct Offloads {
    words: Option<Receiver<()>>,
    /// Takes nothing more until the answer is there.
    pauses: bool,
}

impl Handler for Offloads {
    fn handle(&mut self, cx: &mut Context<'_>, input: &mut Input<'_>) -> io::Result<()> {
        while let Some(line) = input.take_line(100)? {
            let (id, line) = (cx.id, line.to_vec());
            let words = self.words.take();
            cx.offload(
                move || words.map(|words| words.recv()),
                move |(), io, _| {
                    io.send(id, &line);
                    io.resume(id);
                },
            )?;
            if self.pauses {
                cx.pause();
                break;
            }
        }
        Ok(())
    }
}

/// A client whose first line is being worked at, until a word comes.
fn at_work(kind: Kind, pauses: bool) -> (Harness, Client, Sender<()>, CallLog) {
    let mut harness = Harness::new();
    let (word, words) = mpsc::channel();
    let mut words = Some(words);
    let journal = CallLog::default();
    let witness = journal.clone();
    let addr = harness
        .serve(kind, move |_| Recording::new(&witness, Offloads { words: words.take(), pauses }));
    let mut client = Client::connect(&addr);
    client.send(b"first\nsecond\n");
    harness.until(|server| server.io().stats().bytes_in == 13);
    (harness, client, word, journal)
}

kinds!(answers_that_are_worked_at_elsewhere_leave_before_a_shutdown_closes);

fn answers_that_are_worked_at_elsewhere_leave_before_a_shutdown_closes(kind: Kind) {
    for pauses in [false, true] {
        let (mut harness, mut client, word, journal) = at_work(kind, pauses);
        harness.io_mut().shutdown(PATIENCE);
        for _ in 0..5 {
            harness.turn(Some(Duration::ZERO)).unwrap();
        }
        assert_eq!(journal.count(|call| call == Call::Shutdown), 0, "an answer is owed");
        word.send(()).unwrap();
        let mut answer = harness.receive_to_end(&mut client);
        // Two threads may be at it, unless the second line waits for the first answer.
        if !pauses && answer.starts_with(b"s") {
            answer.rotate_left(6);
        }
        assert_eq!(answer, b"firstsecond", "{kind:?}, pauses: {pauses}");
        drop(client);
        harness.until(|server| server.report().is_some());
        let report = harness.report().unwrap();
        assert_eq!((report.drained, report.forced, report.bytes_dropped), (1, 0, 0));
        assert_eq!(journal.count(|call| call == Call::Shutdown), 1);
    }
}

kinds!(answers_that_are_worked_at_elsewhere_leave_before_the_peers_end_is_told);

fn answers_that_are_worked_at_elsewhere_leave_before_the_peers_end_is_told(kind: Kind) {
    for pauses in [false, true] {
        let (mut harness, mut client, word, journal) = at_work(kind, pauses);
        client.finish_sending();
        for _ in 0..5 {
            harness.turn(Some(Duration::ZERO)).unwrap();
        }
        assert_eq!(journal.count(|call| matches!(call, Call::Eof(_))), 0, "{kind:?}");
        word.send(()).unwrap();
        let answer = harness.receive_to_end(&mut client);
        assert_eq!(answer.len(), b"firstsecond".len(), "{kind:?}, pauses: {pauses}");
        harness.until_ended(1);
        assert_eq!(harness.ended(CloseReason::Closed), 1);
    }
}

#[test]
fn work_that_outlasts_the_grace_is_cut_off_and_the_report_says_so() {
    let (mut harness, client, word, journal) = at_work(Kind::Tcp, true);
    let report = harness.shutdown(Duration::from_millis(20)).unwrap();
    assert_eq!((report.drained, report.forced), (0, 1));
    assert_eq!(journal.count(|call| call == Call::Shutdown), 0);
    drop((client, word));
}

#[test]
fn a_shutdown_does_not_wait_for_work_of_those_who_have_closed() {
    let mut harness = Harness::new();
    let (word, words) = mpsc::channel::<()>();
    let mut words = Some(words);
    let addr = harness.serve(Kind::Tcp, move |_| {
        let mut words = words.take();
        on_input(move |cx: &mut Context<'_>, input: &mut Input<'_>| {
            input.take_all();
            let words = words.take();
            cx.offload(move || words.map(|words| words.recv()), |(), _, _| {})?;
            cx.close();
            Ok(())
        })
    });
    let mut client = Client::connect(&addr);
    client.send(b"x");
    harness.receive_to_end(&mut client);
    drop(client);
    let report = harness.shutdown(PATIENCE).unwrap();
    assert_eq!(report.forced, 0);
    drop(word);
}

/// The result goes to the handler in `timeout`, as the guide shows it.
#[test]
fn a_result_that_a_timer_of_zero_brings_to_the_handler_is_in_time() {
    struct Sums(Option<Receiver<()>>);
    impl Handler for Sums {
        fn handle(&mut self, cx: &mut Context<'_>, input: &mut Input<'_>) -> io::Result<()> {
            let Some(_) = input.take(1) else { return Ok(()) };
            let (id, words) = (cx.id, self.0.take());
            cx.pause();
            cx.offload(
                move || words.map(|words| words.recv()),
                move |(), io, _| {
                    io.set_timer(id, Duration::ZERO);
                },
            )
        }
        fn timeout(&mut self, cx: &mut Context<'_>, _: socketserver::TimerId) -> io::Result<()> {
            cx.send(b"sum");
            cx.io.resume(cx.id);
            Ok(())
        }
    }
    let mut harness = Harness::new();
    let (word, words) = mpsc::channel();
    let mut words = Some(words);
    let addr = harness.serve(Kind::Tcp, move |_| Sums(words.take()));
    let mut client = Client::connect(&addr);
    client.send(b"abc");
    harness.until(|server| server.io().stats().bytes_in == 3);
    harness.io_mut().shutdown(PATIENCE);
    word.send(()).unwrap();
    assert_eq!(harness.receive_to_end(&mut client), b"sumsumsum");
    drop(client);
    harness.until(|server| server.report().is_some());
    assert_eq!(harness.report().map(|report| (report.drained, report.forced)), Some((1, 0)));
}
