//! A peer may reset the connection at any moment; that costs nobody else anything.

use std::io::{self, ErrorKind};
use std::time::Duration;

use socketserver::{CloseReason, Context, Echo, Handler, Input, Options};

use crate::support::{Call, CallLog, Client, Harness, Kind, on_input, on_setup};

/// One client that resets itself in the state to which `go_on` brings it, beside a bystander.
#[track_caller]
fn reset_while(
    options: Options,
    mut handler: impl FnMut() -> Box<dyn Handler> + 'static,
    go_on: impl FnOnce(&mut Harness, &mut Client),
) -> CallLog {
    let mut harness = Harness::with_shared((), options);
    let (journal, addr) = harness.serve_recorded(Kind::Tcp, move |_| handler());
    let bystanders = harness.serve(Kind::Unix, |_| Echo);
    let mut bystander = Client::connect(&bystanders);
    harness.echo(&mut bystander, b"before");
    let mut client = Client::connect(&addr);
    go_on(&mut harness, &mut client);
    client.reset();
    harness.until(|server| server.io().connection_count() == 1);
    let steps = harness.steps();
    harness.echo(&mut bystander, b"after");
    harness.until_quiet(&steps);
    let stats = *harness.io().stats();
    assert_eq!(stats.pending_output(), 0);
    assert_eq!(stats.live(), 1);
    journal.assert_order(true);
    journal
}

fn until_set_up(harness: &mut Harness) {
    harness.until(|server| server.io().connection_count() == 2);
}

fn broken() -> Vec<(CloseReason, Option<ErrorKind>)> {
    vec![(CloseReason::IoError, Some(ErrorKind::ConnectionReset))]
}

#[test]
fn a_reset_before_the_accept_is_survived() {
    let journal = reset_while(Options::default(), || Box::new(Echo), |_, _| {});
    assert_eq!(journal.finishes(), broken());
}

#[test]
fn a_reset_behind_data_before_the_accept_is_survived() {
    let journal = reset_while(
        Options::default(),
        || Box::new(Echo),
        |_, client| {
            client.send(b"never read");
        },
    );
    assert_eq!(journal.finishes(), broken());
}

#[test]
fn a_reset_in_silence_frees_the_connection() {
    let journal = reset_while(
        Options::default(),
        || Box::new(Echo),
        |harness, _| {
            until_set_up(harness);
        },
    );
    assert_eq!(
        journal.calls(),
        [Call::Setup, Call::Finish(CloseReason::IoError, Some(ErrorKind::ConnectionReset))]
    );
}

#[test]
fn a_reset_in_the_middle_of_a_line_frees_what_is_held() {
    let handler = || -> Box<dyn Handler> {
        Box::new(on_input(|_: &mut Context<'_>, input| {
            input.take_line(1_000)?;
            Ok(())
        }))
    };
    let journal = reset_while(Options::default(), handler, |harness, client| {
        client.send(b"half a li");
        harness.until(|server| server.io().stats().bytes_in == 15);
    });
    assert_eq!(journal.finishes(), broken());
}

#[test]
fn a_reset_while_output_is_blocked_frees_the_output() {
    let options = Options { output_limit: 64 << 20, ..Options::default() };
    let handler = || -> Box<dyn Handler> {
        Box::new(on_setup(|cx: &mut Context<'_>| {
            cx.send(&vec![b'x'; 32 << 20]);
            Ok(())
        }))
    };
    let journal = reset_while(options, handler, |harness, _| {
        harness.until(|server| server.io().stats().pending_output() > 0);
    });
    assert_eq!(journal.finishes().len(), 1);
    assert_eq!(journal.finishes().first().map(|finish| finish.0), Some(CloseReason::IoError));
}

#[test]
fn a_reset_while_paused_frees_the_connection() {
    let handler = || -> Box<dyn Handler> {
        Box::new(on_setup(|cx: &mut Context<'_>| {
            cx.pause();
            Ok(())
        }))
    };
    let journal = reset_while(Options::default(), handler, |harness, client| {
        until_set_up(harness);
        client.send(b"the last words");
    });
    assert_eq!(journal.count(|call| call == Call::Handle(14)), 1);
    assert_eq!(journal.finishes().len(), 1);
    assert_eq!(journal.finishes().first().map(|finish| finish.0), Some(CloseReason::IoError));
}

#[test]
fn a_reset_after_the_client_has_ended_frees_a_connection_kept_open() {
    struct Keeps;
    impl Handler for Keeps {
        fn handle(&mut self, _: &mut Context<'_>, _: &mut Input<'_>) -> io::Result<()> {
            Ok(())
        }
        fn eof(&mut self, _: &mut Context<'_>, _: &[u8]) -> io::Result<()> {
            Ok(())
        }
    }
    let mut harness = Harness::new();
    let (journal, addr) = harness.serve_recorded(Kind::Tcp, move |_| Keeps);
    let client = Client::connect(&addr);
    client.socket.shutdown(std::net::Shutdown::Write).unwrap();
    harness.until(|_| journal.count(|call| call == Call::Eof(0)) == 1);
    let steps = harness.steps();
    harness.until_quiet(&steps);
    assert_eq!(journal.finishes(), []);
    // A socket that is closed answers what comes with a reset.
    drop(client);
    let id = journal.ids().first().copied().unwrap();
    harness.io_mut().send(id, b"are you there?");
    harness.until_ended(1);
    assert_eq!(journal.finishes().first().map(|finish| finish.0), Some(CloseReason::IoError));
}

#[test]
fn a_reset_while_lingering_is_no_second_end() {
    let handler = || -> Box<dyn Handler> {
        Box::new(on_setup(|cx: &mut Context<'_>| {
            cx.send(b"bye");
            cx.close();
            Ok(())
        }))
    };
    let journal = reset_while(Options::default(), handler, |harness, client| {
        assert_eq!(harness.receive_to_end(client), b"bye");
        client.send(b"late");
    });
    assert_eq!(journal.calls(), [Call::Setup, Call::Finish(CloseReason::Closed, None)]);
}

#[test]
fn a_reset_while_the_rest_leaves_after_an_error_is_no_second_end() {
    let options = Options { output_limit: 64 << 20, ..Options::default() };
    let handler = || -> Box<dyn Handler> {
        Box::new(on_setup(|cx: &mut Context<'_>| {
            cx.send(&vec![b'x'; 32 << 20]);
            Err(ErrorKind::Other.into())
        }))
    };
    let journal = reset_while(options, handler, |harness, _| {
        harness.until(|server| server.io().stats().all_ended() == 1);
        assert!(harness.io().stats().pending_output() > 0);
    });
    assert_eq!(journal.finishes(), [(CloseReason::HandlerError, Some(ErrorKind::Other))]);
}

#[test]
fn a_unix_peer_that_vanishes_with_output_under_way_frees_the_connection() {
    for size in [10, 32 << 20] {
        let options = Options { output_limit: 64 << 20, ..Options::default() };
        let mut harness = Harness::with_shared((), options);
        let (journal, addr) = harness.serve_recorded(Kind::Unix, move |_| {
            let setup = move |cx: &mut Context<'_>| {
                cx.send(&vec![b'x'; size]);
                Ok(())
            };
            on_setup(setup)
        });
        let mut client = Client::connect(&addr);
        client.send(b"unread");
        let steps = harness.steps();
        harness.until_quiet(&steps);
        drop(client);
        harness.until_ended(1);
        journal.assert_order(true);
    }
}

#[test]
fn hundreds_of_resets_in_one_turn_leave_no_trace() {
    let mut harness = Harness::new();
    let addr = harness.serve(Kind::Tcp, |_| Echo);
    let mut stays = Client::connect(&addr);
    for _ in 0..5 {
        let mut clients = Client::connect_many(&addr, 100);
        for (n, client) in clients.iter_mut().enumerate() {
            if n % 2 == 0 {
                client.send(b"text");
            }
        }
        harness.turn(Some(Duration::ZERO)).unwrap();
        for client in clients {
            client.reset();
        }
        harness.echo(&mut stays, b"still here");
    }
    harness.until(|server| server.io().connection_count() == 1);
    assert_eq!(harness.io().stats().all_ended(), 500);
    assert_eq!(harness.ended(CloseReason::IoError), 500);
}

kinds!(a_peer_that_vanishes_while_nobody_listens_makes_nothing_spin);

fn a_peer_that_vanishes_while_nobody_listens_makes_nothing_spin(kind: Kind) {
    for (paused, half_closed) in [(true, false), (true, true), (false, true)] {
        let mut harness = Harness::new();
        let addr = harness.serve(kind, move |_| KeepsQuiet { paused, half_closed });
        let client = Client::connect(&addr);
        harness.until(|server| server.io().connection_count() == 1);
        let steps = harness.steps();
        drop(client);
        harness.until_quiet(&steps);
        steps.clear();
        let began = std::time::Instant::now();
        harness.turn(Some(Duration::from_millis(20))).unwrap();
        let slept = began.elapsed() >= Duration::from_millis(15);
        assert!(slept, "{paused} {half_closed} on {kind:?}: {:?}", steps.all());
    }
}

/// Reads nothing while paused, and does not close at the peer's end.
struct KeepsQuiet {
    paused: bool,
    half_closed: bool,
}

impl Handler for KeepsQuiet {
    fn setup(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.paused {
            cx.pause();
        }
        if self.half_closed {
            cx.io.shutdown_write(cx.id);
        }
        Ok(())
    }

    fn handle(&mut self, _: &mut Context<'_>, _: &mut Input<'_>) -> io::Result<()> {
        Ok(())
    }

    fn eof(&mut self, _: &mut Context<'_>, _: &[u8]) -> io::Result<()> {
        Ok(())
    }
}
