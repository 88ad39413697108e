//! `setup` first, `finish` exactly once and last, whatever ends a conversation.

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind};
use std::rc::Rc;
use std::time::Duration;

use socketserver::{CloseReason, Context, Echo, Handler, Input, Options, SendStatus, TimerId};

use crate::support::{Call, CallLog, Client, Harness, Kind, Recording, on_input, on_setup};

/// Where [`Scripted`] does something special.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum At {
    Setup,
    ServerHandle,
    Eof,
    Drained,
    Timeout,
    Shutdown,
    Finish,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Act {
    Fail,
    Panic,
}

/// Echoes, sends `"last words"` and then fails or panics in one callback.
struct Scripted {
    at: At,
    act: Act,
}

impl Scripted {
    fn pass(&self, at: At, cx: &mut Context<'_>) -> io::Result<()> {
        if at != self.at {
            return Ok(());
        }
        cx.send(b"last words");
        match self.act {
            Act::Fail => Err(ErrorKind::AddrNotAvailable.into()),
            Act::Panic => panic!("expected by this test"),
        }
    }
}

impl Handler for Scripted {
    fn setup(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.pass(At::Setup, cx)
    }

    fn handle(&mut self, cx: &mut Context<'_>, input: &mut Input<'_>) -> io::Result<()> {
        self.pass(At::ServerHandle, cx)?;
        if input.take_all() == b"fill" {
            cx.send(&[b'x'; 2_000]);
        } else if self.at == At::Timeout {
            cx.set_timer(Duration::ZERO);
        }
        Ok(())
    }

    fn eof(&mut self, cx: &mut Context<'_>, _: &[u8]) -> io::Result<()> {
        self.pass(At::Eof, cx)?;
        cx.close();
        Ok(())
    }

    fn drained(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.pass(At::Drained, cx)
    }

    fn timeout(&mut self, cx: &mut Context<'_>, _: TimerId) -> io::Result<()> {
        self.pass(At::Timeout, cx)
    }

    fn shutdown(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        self.pass(At::Shutdown, cx)?;
        cx.close();
        Ok(())
    }

    fn finish(&mut self, cx: &mut Context<'_>, _: io::Result<()>) {
        assert_eq!(cx.send(b"too late"), SendStatus::Closed);
        let _ = self.pass(At::Finish, cx);
    }
}

const CALLBACKS: [At; 6] =
    [At::Setup, At::ServerHandle, At::Eof, At::Drained, At::Timeout, At::Shutdown];

/// Lets one client get to the callback `at`, beside a bystander who must not notice, and gives
/// what the client received.
fn run_into(at: At, act: Act, kind: Kind) -> (Vec<u8>, CallLog) {
    let options = Options { high_water: 1_000, low_water: 500, ..Options::default() };
    let mut harness = Harness::with_shared((), options);
    let journal = CallLog::default();
    let witness = journal.clone();
    let mut first = true;
    let addr = harness.serve(kind, move |_| -> Box<dyn Handler> {
        if std::mem::take(&mut first) {
            Box::new(Echo)
        } else {
            Box::new(Recording::new(&witness, Scripted { at, act }))
        }
    });
    let mut bystander = Client::connect(&addr);
    harness.echo(&mut bystander, b"before");
    let mut client = Client::connect(&addr);
    client.send(if at == At::Drained { b"fill" } else { b"text" });
    match at {
        At::Eof | At::Finish => client.finish_sending(),
        At::Shutdown => {
            harness.until(|_| journal.count(|call| matches!(call, Call::Handle(_))) == 1);
            harness.echo(&mut bystander, b"during");
            bystander.finish_sending();
            harness.receive_to_end(&mut bystander);
            harness.until(|server| server.io().connection_count() == 1);
            harness.io_mut().shutdown(Duration::from_secs(20));
        }
        _ => {}
    }
    let received = harness.receive_to_end(&mut client);
    if at != At::Shutdown {
        harness.echo(&mut bystander, b"after");
    }
    drop(client);
    harness.until(|server| server.io().connection_count() == usize::from(at != At::Shutdown));
    let reason = journal.finishes()[0].0;
    assert_eq!(
        harness.ended(reason),
        if at == At::Shutdown && reason == CloseReason::Closed { 2 } else { 1 }
    );
    journal.assert_order(true);
    (received, journal)
}

kinds!(an_error_in_any_callback_ends_that_conversation_only_and_what_was_sent_arrives);

fn an_error_in_any_callback_ends_that_conversation_only_and_what_was_sent_arrives(kind: Kind) {
    for at in CALLBACKS {
        let (received, journal) = run_into(at, Act::Fail, kind);
        let expected = (CloseReason::HandlerError, Some(ErrorKind::AddrNotAvailable));
        assert_eq!(journal.finishes(), [expected], "{at:?}");
        assert!(received.ends_with(b"last words"), "{at:?} on {kind:?}");
    }
}

kinds!(a_panic_in_any_callback_costs_that_conversation_only_and_what_was_sent_arrives);

fn a_panic_in_any_callback_costs_that_conversation_only_and_what_was_sent_arrives(kind: Kind) {
    for at in CALLBACKS {
        let (received, journal) = run_into(at, Act::Panic, kind);
        assert_eq!(journal.finishes(), [(CloseReason::Panicked, Some(ErrorKind::Other))], "{at:?}");
        assert!(received.ends_with(b"last words"), "{at:?} on {kind:?}");
    }
}

#[test]
fn a_panic_in_finish_costs_nobody_anything() {
    let (_, journal) = run_into(At::Finish, Act::Panic, Kind::Tcp);
    assert_eq!(journal.finishes(), [(CloseReason::Closed, None)]);
}

#[test]
fn callbacks_come_in_the_documented_order() {
    struct Everything;
    impl Handler for Everything {
        fn handle(&mut self, cx: &mut Context<'_>, input: &mut Input<'_>) -> io::Result<()> {
            if input.take(2).is_some() {
                assert_eq!(cx.send(&[7; 1_001]), SendStatus::Congested);
            }
            Ok(())
        }
        fn drained(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
            cx.set_timer(Duration::ZERO);
            Ok(())
        }
        fn timeout(&mut self, _: &mut Context<'_>, _: TimerId) -> io::Result<()> {
            Ok(())
        }
    }
    let options = Options { high_water: 1_000, low_water: 500, ..Options::default() };
    let mut harness = Harness::with_shared((), options);
    let (journal, addr) = harness.serve_recorded(Kind::Tcp, move |_| Everything);
    let mut client = Client::connect(&addr);
    client.send(b"abc");
    harness.receive(&mut client, 1_001);
    harness.until(|_| journal.count(|call| call == Call::Timeout) == 1);
    harness.until(|_| journal.count(|call| call == Call::Handle(1)) == 1);
    client.finish_sending();
    assert_eq!(harness.receive_to_end(&mut client), []);
    harness.until_ended(1);
    let calls = journal.calls();
    assert_eq!(calls[..3], [Call::Setup, Call::Handle(3), Call::Drained]);
    // The rest of the input is shown again and the timer comes up, in either order.
    assert!(calls[3..5].contains(&Call::Handle(1)) && calls[3..5].contains(&Call::Timeout));
    assert_eq!(calls[5..], [Call::Eof(1), Call::Finish(CloseReason::Closed, None)]);
}

#[test]
fn a_shutdown_is_told_after_the_input_and_before_the_finish() {
    let mut harness = Harness::new();
    let (journal, addr) = harness.serve_recorded(Kind::Tcp, move |_| Echo);
    let mut client = Client::connect(&addr);
    harness.until(|_| journal.count(|call| call == Call::Setup) == 1);
    client.send(b"abc");
    harness.io_mut().shutdown(Duration::from_secs(20));
    assert_eq!(harness.receive_to_end(&mut client), b"abc");
    drop(client);
    harness.until_ended(1);
    assert_eq!(
        journal.calls(),
        [Call::Setup, Call::Handle(3), Call::Shutdown, Call::Finish(CloseReason::Closed, None),]
    );
}

/// One conversation that ends for `reason`; everything it needs is set up by `begin`.
#[track_caller]
fn ends_with(
    reason: CloseReason,
    kind: Option<ErrorKind>,
    options: Options,
    handler: impl FnMut() -> Box<dyn Handler> + 'static,
    go_on: impl FnOnce(&mut Harness, Client),
) {
    let mut handler = handler;
    let mut harness = Harness::with_shared((), options);
    let (journal, addr) = harness.serve_recorded(Kind::Tcp, move |_| handler());
    let client = Client::connect(&addr);
    go_on(&mut harness, client);
    harness.until_ended(1);
    assert_eq!(journal.finishes(), [(reason, kind)]);
    assert_eq!(harness.ended(reason), 1);
    journal.assert_order(true);
}

fn sender(n: usize) -> Box<dyn Handler> {
    Box::new(on_setup(move |cx: &mut Context<'_>| {
        cx.send(&vec![b'x'; n]);
        Ok(())
    }))
}

#[test]
fn a_conversation_closed_by_either_side_ends_as_closed() {
    ends_with(
        CloseReason::Closed,
        None,
        Options::default(),
        || Box::new(Echo),
        |_, client| drop(client),
    );
    ends_with(
        CloseReason::Closed,
        None,
        Options::default(),
        || {
            Box::new(on_setup(|cx: &mut Context<'_>| {
                cx.close();
                Ok(())
            }))
        },
        |harness, mut client| {
            harness.receive_to_end(&mut client);
        },
    );
}

#[test]
fn an_abort_ends_as_aborted_and_the_peer_is_reset() {
    ends_with(
        CloseReason::Aborted,
        Some(ErrorKind::ConnectionAborted),
        Options::default(),
        || {
            Box::new(on_setup(|cx: &mut Context<'_>| {
                cx.send(b"never");
                cx.io.abort(cx.id);
                Ok(())
            }))
        },
        |harness, mut client| {
            harness.until(|_| client.look());
            assert_eq!(client.end, Some(Err(ErrorKind::ConnectionReset)));
            assert_eq!(client.received, []);
            assert_eq!(harness.io().stats().bytes_dropped, 5);
        },
    );
}

#[test]
fn a_reset_by_the_peer_ends_as_broken() {
    let kind = Some(ErrorKind::ConnectionReset);
    ends_with(
        CloseReason::IoError,
        kind,
        Options::default(),
        || Box::new(Echo),
        |_, client| {
            client.reset();
        },
    );
}

#[test]
fn silence_ends_as_idle() {
    let options = Options { idle_timeout: Some(Duration::from_millis(30)), ..Options::default() };
    let kind = Some(ErrorKind::TimedOut);
    ends_with(
        CloseReason::IdleTimeout,
        kind,
        options,
        || Box::new(Echo),
        |harness, mut client| {
            harness.until(|_| client.look());
        },
    );
}

#[test]
fn input_that_is_never_taken_ends_as_input_limit_and_the_answer_still_arrives() {
    let options = Options { input_limit: 1_000, ..Options::default() };
    let kind = Some(ErrorKind::InvalidData);
    let handler = || -> Box<dyn Handler> {
        Box::new(on_input(|cx: &mut Context<'_>, input| {
            if input.len() == 1_000 {
                cx.send(b"enough");
            }
            Ok(())
        }))
    };
    ends_with(CloseReason::InputLimit, kind, options, handler, |harness, mut client| {
        client.send(&[0; 1_001]);
        assert_eq!(harness.receive_to_end(&mut client), b"enough");
    });
}

#[test]
fn exactly_the_input_limit_is_no_reason_to_end() {
    let options = Options { input_limit: 1_000, ..Options::default() };
    let mut harness = Harness::with_shared((), options);
    let addr = harness.serve(Kind::Tcp, |_| {
        on_input(|cx: &mut Context<'_>, input| {
            if let Some(all) = input.take(1_000) {
                cx.send(all);
            }
            Ok(())
        })
    });
    let mut client = Client::connect(&addr);
    for round in 0..3 {
        client.send(&[round; 400]);
        harness.until(|server| server.io().stats().bytes_in == u64::from(round) * 1_000 + 400);
        client.send(&[round; 600]);
        assert_eq!(harness.receive(&mut client, 1_000), [round; 1_000]);
    }
}

kinds!(as_many_bytes_as_the_input_limit_may_be_left_until_the_end);

fn as_many_bytes_as_the_input_limit_may_be_left_until_the_end(kind: Kind) {
    let options = Options { input_limit: 10, ..Options::default() };
    let mut harness = Harness::with_shared((), options);
    let addr = harness.serve(kind, |_| RestAtTheEnd);
    for input in [&b"123456789"[..], b"1234567890"] {
        let mut client = Client::connect(&addr);
        client.send(input);
        client.finish_sending();
        assert_eq!(harness.receive_to_end(&mut client), input);
    }
    assert_eq!(harness.ended(CloseReason::InputLimit), 0);
    let mut client = Client::connect(&addr);
    client.send(b"12345678901");
    client.finish_sending();
    harness.until(|server| server.io().stats().ended(CloseReason::InputLimit) == 1);
}

/// Takes nothing before the end, and sends all of it back then.
struct RestAtTheEnd;

impl Handler for RestAtTheEnd {
    fn handle(&mut self, _: &mut Context<'_>, _: &mut Input<'_>) -> io::Result<()> {
        Ok(())
    }

    fn eof(&mut self, cx: &mut Context<'_>, rest: &[u8]) -> io::Result<()> {
        cx.send(rest);
        cx.close();
        Ok(())
    }
}

#[test]
fn output_that_is_never_read_ends_as_output_limit() {
    let options = Options { output_limit: 1 << 20, ..Options::default() };
    let kind = Some(ErrorKind::ConnectionAborted);
    ends_with(
        CloseReason::OutputLimit,
        kind,
        options,
        || sender(64 << 20),
        |harness, client| {
            harness.until_ended(1);
            assert!(harness.io().stats().bytes_dropped > 1 << 20);
            drop(client);
        },
    );
}

#[test]
fn a_rest_that_nobody_reads_ends_as_close_timeout() {
    let options = Options {
        close_timeout: Duration::from_millis(50),
        output_limit: 128 << 20,
        ..Options::default()
    };
    let handler = || -> Box<dyn Handler> {
        Box::new(on_setup(|cx: &mut Context<'_>| {
            cx.send(&vec![b'x'; 64 << 20]);
            cx.close();
            Ok(())
        }))
    };
    let kind = Some(ErrorKind::TimedOut);
    ends_with(CloseReason::CloseTimeout, kind, options, handler, |harness, mut client| {
        harness.until_ended(1);
        harness.until(|_| client.look());
        assert_eq!(client.end, Some(Err(ErrorKind::ConnectionReset)), "it looks complete");
    });
}

#[test]
fn a_grace_that_runs_out_ends_as_forced() {
    struct Stubborn;
    impl Handler for Stubborn {
        fn handle(&mut self, _: &mut Context<'_>, _: &mut Input<'_>) -> io::Result<()> {
            Ok(())
        }
        fn shutdown(&mut self, _: &mut Context<'_>) -> io::Result<()> {
            Ok(())
        }
    }
    let kind = Some(ErrorKind::TimedOut);
    ends_with(
        CloseReason::ShutdownTimeout,
        kind,
        Options::default(),
        || Box::new(Stubborn),
        |harness, client| {
            harness.until(|server| server.io().connection_count() == 1);
            let report = harness.shutdown(Duration::from_millis(20)).unwrap();
            assert_eq!((report.drained, report.forced), (0, 1));
            drop(client);
        },
    );
}

#[test]
fn a_dropped_server_finishes_every_conversation() {
    let journal = CallLog::default();
    let mut harness = Harness::new();
    let witness = journal.clone();
    let addr = harness.serve(Kind::Tcp, move |_| Recording::new(&witness, Echo));
    let mut clients = Client::connect_many(&addr, 5);
    harness.echo(&mut clients[0], b"abc");
    harness.until(|server| server.io().stats().accepted == 5);
    drop(harness);
    assert_eq!(journal.finishes(), [(CloseReason::ShutdownTimeout, Some(ErrorKind::TimedOut)); 5]);
    journal.assert_order(true);
    for client in &mut clients {
        while !client.look() {}
    }
}

#[test]
fn a_handler_is_dropped_with_its_conversation() {
    let mut harness = Harness::new();
    let alive = Rc::new(());
    let counted = Rc::clone(&alive);
    let addr = harness.serve(Kind::Tcp, move |_| {
        let counted = Rc::clone(&counted);
        on_input(move |cx: &mut Context<'_>, input| {
            assert!(Rc::strong_count(&counted) > 2);
            cx.send(input.take_all());
            Ok(())
        })
    });
    let mut clients = Client::connect_many(&addr, 3);
    for client in &mut clients {
        harness.echo(client, b"x");
    }
    assert_eq!(Rc::strong_count(&alive), 2 + 3);
    drop(clients);
    harness.until_ended(3);
    assert_eq!(Rc::strong_count(&alive), 2);
}

#[test]
fn no_timer_comes_up_after_the_finish() {
    struct Late(CallLog);
    impl Handler for Late {
        fn setup(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
            cx.set_timer(Duration::ZERO);
            cx.set_timer(Duration::from_millis(5));
            cx.close();
            Ok(())
        }
        fn handle(&mut self, _: &mut Context<'_>, _: &mut Input<'_>) -> io::Result<()> {
            Ok(())
        }
        fn finish(&mut self, cx: &mut Context<'_>, _: io::Result<()>) {
            cx.set_timer(Duration::ZERO);
            cx.io.resume(cx.id);
            cx.io.close(cx.id);
            cx.io.shutdown_write(cx.id);
            assert!(!cx.io.is_open(cx.id));
            self.0.note(cx.id, Call::Drained);
        }
    }
    let mut harness = Harness::new();
    let journal = CallLog::default();
    let witness = journal.clone();
    let addr = harness.serve(Kind::Tcp, move |_| Recording::new(&witness, Late(witness.clone())));
    let mut client = Client::connect(&addr);
    client.send(b"into the void");
    harness.receive_to_end(&mut client);
    let since = harness.io_mut().now();
    harness.until(|server| server.io_mut().now() - since > Duration::from_millis(10));
    let id = journal.ids()[0];
    assert_eq!(
        journal.of(id),
        [Call::Setup, Call::Finish(CloseReason::Closed, None), Call::Drained]
    );
    drop(client);
    harness.until_ended(1);
    assert_eq!(journal.calls().len(), 3);
}

#[test]
fn a_refused_client_gets_an_end_and_no_handler_is_made() {
    let mut harness: Harness<Vec<String>> = Harness::with_shared(Vec::new(), Options::default());
    let made = Rc::new(Cell::new(0));
    let counted = Rc::clone(&made);
    let addr = harness.serve(Kind::Tcp, move |_| {
        counted.set(counted.get() + 1);
        Echo
    });
    harness.set_verify_request(|asked, peer| {
        asked.push(peer.to_string());
        match asked.len() {
            1 => false,
            2 => panic!("expected by this test"),
            _ => true,
        }
    });
    let mut refused = Client::connect(&addr);
    let name = refused.socket.local_addr().unwrap().as_socket().unwrap().to_string();
    assert_eq!(harness.receive_to_end(&mut refused), []);
    let mut panicked = Client::connect(&addr);
    assert_eq!(harness.receive_to_end(&mut panicked), []);
    assert_eq!(made.get(), 0);
    let mut welcome = Client::connect(&addr);
    harness.echo(&mut welcome, b"hello");
    assert_eq!(made.get(), 1);
    let stats = *harness.io().stats();
    assert_eq!((stats.refused, stats.accepted), (2, 1));
    assert_eq!(harness.shared_mut()[0], name);
}

#[test]
fn a_panic_of_the_factory_costs_one_client() {
    let mut harness = Harness::new();
    let mut made = 0;
    let addr = harness.serve(Kind::Unix, move |_| {
        made += 1;
        assert!(made != 1, "expected by this test");
        Echo
    });
    let mut first = Client::connect(&addr);
    assert_eq!(harness.receive_to_end(&mut first), []);
    let mut second = Client::connect(&addr);
    harness.echo(&mut second, b"hello");
    assert_eq!(harness.io().stats().refused, 1);
}

#[test]
fn a_panic_while_a_handler_is_dropped_costs_nobody_else_anything() {
    struct Bomb(bool);
    impl Drop for Bomb {
        fn drop(&mut self) {
            assert!(!self.0, "expected by this test");
        }
    }
    impl Handler for Bomb {
        fn handle(&mut self, cx: &mut Context<'_>, input: &mut Input<'_>) -> io::Result<()> {
            cx.send(input.take_all());
            Ok(())
        }
    }
    let mut harness = Harness::new();
    let mut first = true;
    let addr = harness.serve(Kind::Tcp, move |_| Bomb(std::mem::take(&mut first)));
    let mut client = Client::connect(&addr);
    harness.echo(&mut client, b"tick");
    drop(client);
    harness.until_ended(1);
    let mut next = Client::connect(&addr);
    harness.echo(&mut next, b"still here");
}

#[test]
fn the_reason_is_known_in_finish_and_nowhere_else() {
    struct Curious(Rc<RefCell<Vec<Option<CloseReason>>>>);
    impl Handler for Curious {
        fn setup(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
            self.0.borrow_mut().push(cx.reason());
            Ok(())
        }
        fn handle(&mut self, cx: &mut Context<'_>, input: &mut Input<'_>) -> io::Result<()> {
            self.0.borrow_mut().push(cx.reason());
            input.take_all();
            cx.close();
            Ok(())
        }
        fn finish(&mut self, cx: &mut Context<'_>, _: io::Result<()>) {
            self.0.borrow_mut().push(cx.reason());
        }
    }
    let mut harness = Harness::new();
    let reasons = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&reasons);
    let addr = harness.serve(Kind::Tcp, move |_| Curious(Rc::clone(&seen)));
    let mut client = Client::connect(&addr);
    client.send(b"x");
    harness.receive_to_end(&mut client);
    assert_eq!(*reasons.borrow(), [None, None, Some(CloseReason::Closed)]);
}
