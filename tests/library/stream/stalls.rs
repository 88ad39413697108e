//! Time that was not the peer's: while the loop does nothing (a stopped process, a slow callback), deadlines
//! come, and so does what the peers sent in time. Here the loop stalls because nobody turns it.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use socketserver::{CloseReason, Context, Handler, Input, Options, TimerId, TraceEvent};

use crate::support::{Client, Harness, Kind, delay, ms, on_input, pattern};

/// How long every deadline of these tests is.
const SHORT: Duration = ms(20);

/// Time passes until a deadline that began before has certainly come.
fn stall() {
    let end = Instant::now() + SHORT + ms(1);
    while Instant::now() < end {
        delay(SHORT);
    }
}

/// Keeps whole lines in the shared value.
fn lines() -> impl Handler<Vec<Vec<u8>>> {
    on_input(|cx: &mut Context<'_, Vec<Vec<u8>>>, input: &mut Input<'_>| {
        while let Some(line) = input.take_line(100)? {
            cx.shared.push(line.to_vec());
        }
        Ok(())
    })
}

#[test]
fn the_rest_of_a_frame_that_came_during_a_stall_is_taken() {
    for kind in Kind::ALL {
        let options = Options { frame_timeout: Some(SHORT), ..Options::default() };
        let mut h = Harness::with_shared(Vec::new(), options);
        let addr = h.serve(kind, |_| lines());
        let mut client = Client::connect(&addr);
        client.send(b"ha");
        h.until(|server| server.io().stats().bytes_in == 2);
        client.send(b"lf\n");
        stall();
        h.until(|server| server.io().stats().all_ended() > 0 || !server.shared().is_empty());
        assert_eq!(*h.shared(), [b"half"], "{kind:?}");
        // And one that does not come ends it as before.
        client.send(b"ha");
        h.until_ended(1);
        assert_eq!(h.ended(CloseReason::FrameTimeout), 1, "{kind:?}");
    }
}

#[test]
fn an_idle_client_that_spoke_during_a_stall_is_heard() {
    for kind in Kind::ALL {
        let options = Options { idle_timeout: Some(SHORT), ..Options::default() };
        let mut h = Harness::with_shared(Vec::new(), options);
        let addr = h.serve(kind, |_| lines());
        let mut client = Client::connect(&addr);
        h.until(|server| server.io().stats().accepted == 1);
        client.send(b"line\n");
        stall();
        h.until(|server| server.io().stats().all_ended() > 0 || !server.shared().is_empty());
        assert_eq!(*h.shared(), [b"line"], "{kind:?}");
        h.until_ended(1);
        assert_eq!(h.ended(CloseReason::IdleTimeout), 1, "{kind:?}");
    }
}

/// The close timeout, of a download whose peer reads on.
#[test]
fn a_closing_download_goes_on_after_a_stall() {
    const LEN: usize = 8 << 20;
    for kind in Kind::ALL {
        let options = Options {
            close_timeout: SHORT,
            output_limit: 2 * LEN,
            send_buffer: Some(64 << 10),
            ..Options::default()
        };
        let mut h = Harness::with_shared((), options);
        let addr = h.serve(kind, |_| {
            on_input(|cx: &mut Context<'_>, input: &mut Input<'_>| {
                input.take_all();
                cx.send(&pattern(LEN, 1));
                cx.close();
                Ok(())
            })
        });
        let little = |socket: &socket2::Socket| socket.set_recv_buffer_size(64 << 10).unwrap();
        let mut client = Client::connect_with(&addr, little);
        client.send(b"!");
        h.until(|server| server.io().stats().bytes_out > 0);
        while !client.look_at_most(1 << 20) {
            // It has read all there was, and the server does not see it before its time is over.
            stall();
            let before = client.received.len();
            h.until(|_| client.look_at_most(1) || client.received.len() > before);
        }
        assert_eq!((client.received.len(), client.end), (LEN, Some(Ok(()))), "{kind:?}");
        h.until_ended(1);
        assert_eq!(h.ended(CloseReason::Closed), 1, "{kind:?}");
    }
}

/// Writes down what it is called for.
struct Witness(Rc<RefCell<Vec<&'static str>>>);

impl Handler for Witness {
    fn setup(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        cx.set_timer(SHORT);
        Ok(())
    }

    fn handle(&mut self, _: &mut Context<'_>, input: &mut Input<'_>) -> io::Result<()> {
        self.0.borrow_mut().push("input");
        // What is left makes the next read one of the queue.
        input.take(input.len() - 1);
        Ok(())
    }

    fn timeout(&mut self, _: &mut Context<'_>, _: TimerId) -> io::Result<()> {
        self.0.borrow_mut().push("timer");
        Ok(())
    }
}

#[test]
fn input_comes_before_a_timer_that_came_in_the_same_stall() {
    for kind in Kind::ALL {
        for left in [false, true] {
            let calls = Rc::new(RefCell::new(Vec::new()));
            let mut h = Harness::new();
            let witness = Rc::clone(&calls);
            let addr = h.serve(kind, move |_| Witness(Rc::clone(&witness)));
            let mut client = Client::connect(&addr);
            h.until(|server| server.io().stats().accepted == 1);
            if left {
                client.send(b"left");
                h.until(|_| !calls.borrow().is_empty());
                if calls.borrow_mut().drain(..).any(|call| call == "timer") {
                    // This machine was too slow for a test of that.
                    continue;
                }
            }
            client.send(b"in time");
            stall();
            h.until(|_| calls.borrow().contains(&"timer"));
            assert_eq!(*calls.borrow(), ["input", "timer"], "{kind:?}, {left}");
        }
    }
}

#[test]
fn deadlines_of_sockets_that_are_gone_wake_no_loop() {
    let options =
        Options { idle_timeout: Some(SHORT), frame_timeout: Some(SHORT), ..Options::default() };
    let mut h = Harness::with_shared((), options);
    let addr = h.serve(Kind::Tcp, |_| {
        on_input(|cx: &mut Context<'_>, input: &mut Input<'_>| {
            let timers: Vec<TimerId> = (0..3).map(|_| cx.set_timer(SHORT)).collect();
            cx.io.cancel_timer(timers[1]);
            input.take(1);
            cx.io.abort(cx.id);
            Ok(())
        })
    });
    let mut clients = Client::connect_many(&addr, 10);
    h.until(|server| server.io().stats().accepted == 10);
    for client in &mut clients {
        client.send(b"bye");
    }
    h.until_ended(10);
    let steps = h.steps();
    let far = Instant::now();
    h.turn(Some(3 * SHORT)).unwrap();
    assert!(far.elapsed() >= 3 * SHORT, "woken after {:?}: {:?}", far.elapsed(), steps.all());
    assert_eq!(steps.count(|step| matches!(step, TraceEvent::Polled(_))), 1);
}
