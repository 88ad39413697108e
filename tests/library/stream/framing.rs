//! Framing in handlers: whole frames however they are cut, none that is too long, and none that is
//! never finished.

use std::io;
use std::time::Duration;

use socketserver::testing::{Script, TestServer, assert_chunk_invariant};
use socketserver::{CloseReason, Context, Handler, Input, LengthField, Options, TraceEvent};

use crate::support::{Client, Harness, Kind, on_input};

const MAX: usize = 300;

type Take = for<'i> fn(&mut Input<'i>) -> io::Result<Option<&'i [u8]>>;

/// Answers each piece with its length and the piece.
#[derive(Clone)]
struct Pieces(Take);

impl Handler for Pieces {
    fn handle(&mut self, cx: &mut Context<'_>, input: &mut Input<'_>) -> io::Result<()> {
        while let Some(piece) = (self.0)(input)? {
            cx.send(format!("[{}:", piece.len()).as_bytes());
            cx.send(piece);
            cx.send(b"]");
        }
        Ok(())
    }

    fn eof(&mut self, cx: &mut Context<'_>, rest: &[u8]) -> io::Result<()> {
        cx.send(format!("end, {} left", rest.len()).as_bytes());
        cx.close();
        Ok(())
    }
}

/// Frames of several lengths, one that is too long, and one more.
fn frames(field: LengthField, with_bad_one: bool) -> Vec<u8> {
    let mut out = Vec::new();
    for len in [0, 1, 5, 127, 128, 200] {
        field.write(&mut out, &vec![b'a' + (len % 26) as u8; len], MAX).unwrap();
    }
    if with_bad_one && field != LengthField::U8 {
        field.write(&mut out, &[0; MAX + 1], MAX + 1).unwrap();
    }
    field.write(&mut out, b"last", MAX).unwrap();
    out.pop();
    out
}

#[test]
fn every_kind_of_frame_survives_every_chunking() {
    const LITTLE: LengthField = LengthField::U16.little_endian();
    const ODD: LengthField = LengthField::U32.offset(2).adjustment(1).including_header();
    let takes: [(LengthField, Take); 6] = [
        (LengthField::U8, |i| Ok(i.take_frame_with(&LengthField::U8, MAX)?.map(|f| f.body))),
        (LITTLE, |i| Ok(i.take_frame_with(&LITTLE, MAX)?.map(|f| f.body))),
        (LengthField::U32, |i| i.take_frame(MAX)),
        (LengthField::U64, |i| Ok(i.take_frame_with(&LengthField::U64, MAX)?.map(|f| f.body))),
        (LengthField::VARINT, |i| {
            Ok(i.take_frame_with(&LengthField::VARINT, MAX)?.map(|f| f.body))
        }),
        (ODD, |i| Ok(i.take_frame_with(&ODD, MAX)?.map(|f| f.body))),
    ];
    for (field, take) in takes {
        for with_bad_one in [false, true] {
            assert_chunk_invariant(move || Pieces(take), &frames(field, with_bad_one));
        }
    }
}

#[test]
fn lines_and_delimited_and_fixed_pieces_survive_every_chunking() {
    let takes: [Take; 5] = [
        |i| i.take_line(12),
        |i| i.take_until(b';', 12),
        |i| i.take_delimited(b"\r\n\r\n", 20),
        |i| i.take_delimited(b"\n;", 60),
        |i| Ok(i.take(7)),
    ];
    let input = b"one\r\ntwo;three\n;\r\n\r\n\r\nfour\n\n;;five six seven\r\n\r\neight;\n";
    for take in takes {
        assert_chunk_invariant(move || Pieces(take), input);
    }
}

#[test]
fn a_frame_that_is_too_long_ends_it_with_its_length_and_answers_what_came_before() {
    let mut bytes = b"\0\0\0\x02ok".to_vec();
    bytes.extend(u32::MAX.to_be_bytes());
    Script::new()
        .send(bytes)
        .expect("[2:ok]")
        .expect_finished(CloseReason::HandlerError)
        .play(Pieces(|input| input.take_frame(MAX)));
}

kinds!(a_handler_is_not_called_while_a_frame_is_not_complete);

fn a_handler_is_not_called_while_a_frame_is_not_complete(kind: Kind) {
    let mut harness = Harness::new();
    let steps = harness.steps();
    let addr = harness.serve(kind, |_| {
        on_input(|cx: &mut Context<'_>, input: &mut Input<'_>| {
            while let Some(frame) = input.take_frame(MAX)? {
                cx.send(frame);
            }
            Ok(())
        })
    });
    let mut client = Client::connect(&addr);
    client.send(b"\0\0\0\x20");
    harness.until_quiet(&steps);
    for nth in 0..32_u8 {
        client.send(&[nth]);
        harness.until_quiet(&steps);
    }
    harness.until(|_| {
        client.look();
        client.received.len() == 32
    });
    let read = steps.count(|step| matches!(step, TraceEvent::Read(_, 1..)));
    let handled = steps.count(|step| matches!(step, TraceEvent::Handled(..)));
    assert_eq!((read, handled), (33, 2));
    drop(client);
    harness.until_ended(1);
}

fn with_frame_timeout(seconds: u64) -> TestServer {
    let frame_timeout = Some(Duration::from_secs(seconds));
    TestServer::with_shared((), Options { frame_timeout, ..Options::default() }).unwrap()
}

const LINES: Take = |input| input.take_line(1_000);

#[test]
fn a_peer_that_drips_does_not_outlast_the_frame_timeout() {
    let mut server = with_frame_timeout(10);
    let peer = server.connect(Pieces(LINES)).unwrap();
    for second in 0..10 {
        assert_eq!(peer.finished(), None, "after {second} s");
        peer.send("x");
        server.advance(Duration::from_secs(1));
    }
    let finished = peer.finished().unwrap();
    assert_eq!(finished.reason, CloseReason::FrameTimeout);
    assert_eq!(finished.error.unwrap().0, io::ErrorKind::TimedOut);
    assert!(peer.has_end() && !peer.was_reset(), "what it was sent before is not destroyed");
    server.advance(Duration::from_secs(60));
    assert_eq!(server.io().connection_count(), 0);
    server.io().verify_stats().unwrap();
}

#[test]
fn between_frames_a_peer_may_be_silent_and_each_frame_has_its_own_time() {
    let mut server = with_frame_timeout(10);
    let peer = server.connect(Pieces(LINES)).unwrap();
    peer.send("whole\n");
    server.advance(Duration::from_secs(1_000));
    for _ in 0..20 {
        // Always the rest of one line and the beginning of the next.
        peer.send("tail\nhead ");
        server.advance(Duration::from_secs(9));
    }
    assert_eq!(peer.finished(), None);
    server.advance(Duration::from_secs(1));
    assert_eq!(peer.finished().unwrap().reason, CloseReason::FrameTimeout);
}

#[test]
fn a_connection_that_its_handler_pauses_or_that_is_congested_is_not_the_peers_fault() {
    let mut server = with_frame_timeout(10);
    let peer = server.connect(Pieces(LINES)).unwrap();
    peer.send("half");
    server.run();
    server.io_mut().pause(peer.id());
    server.advance(Duration::from_secs(100));
    server.io_mut().resume(peer.id());
    server.advance(Duration::from_secs(9));
    assert_eq!(peer.finished(), None);
    peer.send(" a line\nhalf");
    server.run();
    assert_eq!(peer.received(), b"[11:half a line]");
    peer.set_room(0);
    let id = peer.id();
    server.io_mut().send(id, &vec![0; 100_000]);
    server.advance(Duration::from_secs(100));
    assert_eq!(peer.finished(), None);
    peer.set_room(usize::MAX);
    server.advance(Duration::from_secs(9));
    assert_eq!(peer.finished(), None);
    server.advance(Duration::from_secs(1));
    assert_eq!(peer.finished().unwrap().reason, CloseReason::FrameTimeout);
}

#[test]
fn the_idle_timeout_and_the_frame_timeout_do_not_disturb_each_other() {
    let options = Options {
        idle_timeout: Some(Duration::from_secs(30)),
        frame_timeout: Some(Duration::from_secs(10)),
        ..Options::default()
    };
    for (input, after, reason) in
        [("line\n", 30, CloseReason::IdleTimeout), ("half", 10, CloseReason::FrameTimeout)]
    {
        let mut server = TestServer::with_shared((), options.clone()).unwrap();
        Script::new()
            .advance(Duration::from_secs(20))
            .send("line\n")
            .advance(Duration::from_secs(20))
            .send(input)
            .advance(Duration::from_secs(after - 1))
            .expect("[4:line]".repeat(1 + usize::from(input.ends_with('\n'))))
            .advance(Duration::from_secs(1))
            .expect_finished(reason)
            .play_on(&mut server, Pieces(LINES));
    }
}

#[test]
fn many_messages_that_come_in_halves_leave_one_deadline() {
    let mut server = with_frame_timeout(10);
    let peer = server.connect(Pieces(LINES)).unwrap();
    for _ in 0..1_000 {
        peer.send("ha");
        server.run();
        peer.send("lf\n");
        server.run();
    }
    assert_eq!(peer.received().len(), 1_000 * "[4:half]".len());
    // One look after the timeout, and then nothing more is due.
    let steps = std::rc::Rc::new(std::cell::Cell::new(0));
    let count = std::rc::Rc::clone(&steps);
    server.server().set_trace(move |_| count.set(count.get() + 1));
    server.advance(Duration::from_secs(100));
    assert!(steps.get() <= 4, "{} steps", steps.get());
    assert_eq!(peer.finished(), None);
}
