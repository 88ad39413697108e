//! A close destroys no answer that is under way, and waits for nobody for ever.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use common::{Client, Kind, Tested, on_input, on_setup, pattern};
use socketserver::{Context, Handler, Input, Options, Reason};

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Answers the first bytes and closes, whatever else may come.
struct AnswersOnce;

impl Handler for AnswersOnce {
    fn handle(&mut self, cx: &mut Context<'_>, _: &mut Input<'_>) -> io::Result<()> {
        cx.send(&pattern(100_000, 1));
        cx.close();
        Ok(())
    }
}

#[test]
fn an_answer_gets_through_although_the_client_is_still_sending() {
    for kind in Kind::ALL {
        let mut tested = Tested::new();
        let addr = tested.serve(kind, |_| AnswersOnce);
        let mut client = Client::connect(&addr);
        // Sends on for a while without looking at the answer.
        for _ in 0..20 {
            client.push(&[0; 10_000]);
            tested.turn(Some(Duration::ZERO)).unwrap();
        }
        assert!(tested.receive_to_end(&mut client) == pattern(100_000, 1), "{kind:?}");
        drop(client);
        tested.until_ended(1);
        assert_eq!(tested.ended(Reason::Closed), 1);
    }
}

#[test]
fn an_error_with_unread_input_does_not_destroy_the_answer() {
    for kind in Kind::ALL {
        let mut tested = Tested::with((), Options { read_buffer: 10, ..Options::default() });
        let addr = tested.serve(kind, |_| {
            on_input(|cx: &mut Context<'_>, _| {
                cx.send(b"bad request");
                Err(ErrorKind::InvalidData.into())
            })
        });
        let mut client = Client::connect(&addr);
        client.send(&[0; 50_000]);
        assert_eq!(tested.receive_to_end(&mut client), b"bad request");
        drop(client);
        tested.until_ended(1);
    }
}

#[test]
fn a_client_that_does_not_close_is_waited_for_no_longer_than_the_linger_timeout() {
    for kind in Kind::ALL {
        let options = Options { linger_timeout: ms(100), ..Options::default() };
        let mut tested = Tested::with((), options);
        let addr = tested.serve(kind, |_| AnswersOnce);
        let mut client = Client::connect(&addr);
        client.send(b"?");
        tested.receive_to_end(&mut client);
        let began = Instant::now();
        assert_eq!(tested.io().ledger().all_ended(), 1, "its conversation is over already");
        assert_eq!(tested.io().connections(), 1, "it lingers");
        // Dripping bytes do not make it longer.
        let mut next = began;
        tested.until(|server| {
            if Instant::now() >= next {
                client.push(b"x");
                next += ms(10);
            }
            server.io().connections() == 0
        });
        assert!((ms(80)..ms(300)).contains(&began.elapsed()), "{:?}", began.elapsed());
    }
}

#[test]
fn a_client_that_sends_on_is_listened_to_no_longer_than_linger_bytes() {
    let options =
        Options { linger_timeout: ms(20_000), linger_bytes: 200_000, ..Options::default() };
    let mut tested = Tested::with((), options);
    let addr = tested.serve(Kind::Tcp, |_| AnswersOnce);
    let mut client = Client::connect(&addr);
    client.send(b"?");
    tested.receive_to_end(&mut client);
    let began = Instant::now();
    let mut sent = 0;
    tested.until(|server| {
        sent += client.push(&[0; 10_000]);
        server.io().connections() == 0
    });
    // Each read counts as a little more than it was.
    assert!(sent >= 100_000, "{sent}");
    assert!(began.elapsed() < ms(10_000));
}

#[test]
fn a_look_in_vain_does_not_end_the_lingering() {
    for kind in Kind::ALL {
        let options =
            Options { linger_timeout: ms(20_000), read_buffer: 1_024, ..Options::default() };
        let mut tested = Tested::with((), options);
        let addr = tested.serve(kind, |_| AnswersOnce);
        let mut client = Client::connect(&addr);
        client.send(b"?");
        tested.receive_to_end(&mut client);
        let steps = tested.steps();
        for _ in 0..3 {
            // It fills the buffer, so that only one more read tells that this was all.
            client.send(&[0; 1_024]);
            tested.until_quiet(&steps);
            assert_eq!(tested.io().connections(), 1, "{kind:?}: it lingers on");
        }
        drop(client);
        tested.until_ended(1);
    }
}

#[test]
fn a_client_that_closes_ends_the_lingering_at_once() {
    for kind in Kind::ALL {
        let mut tested =
            Tested::with((), Options { linger_timeout: ms(20_000), ..Options::default() });
        let addr = tested.serve(kind, |_| AnswersOnce);
        let mut clients = Client::connect_many(&addr, 10);
        for client in &mut clients {
            client.send(b"?");
        }
        for client in &mut clients {
            tested.receive_to_end(client);
        }
        let began = Instant::now();
        drop(clients);
        tested.until(|server| server.io().connections() == 0);
        assert!(began.elapsed() < ms(5_000));
    }
}

#[test]
fn a_lingering_connection_reaches_no_handler_and_takes_nothing() {
    let mut tested = Tested::with(Vec::new(), Options::default());
    let addr = tested.serve(Kind::Tcp, |_| {
        on_setup(|cx: &mut Context<'_, Vec<_>>| {
            cx.shared.push(cx.id);
            cx.close();
            Ok(())
        })
    });
    let mut client = Client::connect(&addr);
    tested.receive_to_end(&mut client);
    let id = tested.shared().first().copied().unwrap();
    assert_eq!(tested.io().connections(), 1);
    assert_eq!(tested.io().send(id, b"late"), socketserver::Sent::Gone);
    tested.io().resume(id);
    tested.io().shutdown_write(id);
    tested.io().close(id);
    client.send(b"late");
    tested.turn(Some(ms(1))).unwrap();
    assert_eq!(tested.io().ledger().all_ended(), 1);
    drop(client);
    tested.until_ended(1);
}

#[test]
fn an_abort_of_a_lingering_connection_is_no_second_end() {
    let mut tested = Tested::with(Vec::new(), Options::default());
    let addr = tested.serve(Kind::Tcp, |_| {
        on_setup(|cx: &mut Context<'_, Vec<_>>| {
            cx.shared.push(cx.id);
            cx.close();
            Ok(())
        })
    });
    let mut client = Client::connect(&addr);
    tested.receive_to_end(&mut client);
    let id = tested.shared().first().copied().unwrap();
    tested.io().abort(id);
    tested.turn(Some(ms(1))).unwrap();
    drop(client);
    tested.until_ended(1);
    assert_eq!(tested.ended(Reason::Closed), 1);
}

#[test]
fn progress_puts_the_close_timeout_off() {
    let options = Options { close_timeout: ms(150), ..Options::default() };
    let mut tested = Tested::with((), options);
    let addr = tested.serve(Kind::Unix, |_| {
        on_setup(|cx: &mut Context<'_>| {
            cx.send(&pattern(2 << 20, 2));
            cx.close();
            Ok(())
        })
    });
    let mut client = Client::connect(&addr);
    let began = Instant::now();
    let mut next = began;
    tested.until(|_| {
        if Instant::now() < next {
            return false;
        }
        next += ms(20);
        client.look_at_most(64 << 10)
    });
    assert!(began.elapsed() > ms(300), "it was too fast to prove anything");
    assert!(client.received == pattern(2 << 20, 2));
    drop(client);
    tested.until_ended(1);
    assert_eq!(tested.ended(Reason::Closed), 1);
}
