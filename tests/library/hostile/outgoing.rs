//! Outgoing connections, and those that are made again.

use std::cell::Cell;
use std::net::TcpListener;
use std::rc::Rc;

use socketserver::{Addr, CloseReason, Connect, Context, Handler, Options, Reconnect};

use super::PLACES;
use super::streams::Hostile;
use super::touches::at_each_touch;
use crate::support::{Harness, Kind, ms, on_setup};

/// A server that says one word.
fn greeting(_: &Addr) -> impl Handler + use<> {
    on_setup(|cx: &mut Context<'_>| {
        cx.send(b"hello");
        cx.close();
        Ok(())
    })
}

#[test]
fn a_panic_at_any_touch_costs_one_outgoing_connection() {
    at_each_touch(|touches| {
        let options = Options { max_connections: PLACES, ..Options::default() };
        let mut harness = Harness::with_shared((), options);
        let (mut bystander, echo) = harness.bystander();
        let greets = harness.serve(Kind::Tcp, greeting);
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        harness.connect(greets, Hostile::new(touches)).unwrap();
        harness.connect(Connect::to(free).unwrap().delay(ms(1)), Hostile::new(touches)).unwrap();
        harness.until(|server| server.io().stats().all_ended() == 3);
        harness.is_unharmed(&mut bystander, &echo);
    });
}

/// A handler that panics ends its connection, and the next one is made; only the factory may end it.
#[test]
fn a_reconnect_goes_on_after_a_panic_at_any_touch_of_its_handlers() {
    const ATTEMPTS: usize = 4;
    at_each_touch(|touches| {
        let mut harness = Harness::new();
        let addr = harness.serve(Kind::Tcp, greeting);
        let made = Rc::new(Cell::new(0));
        let (count, factory) = (Rc::clone(&made), touches.clone());
        let value = touches.value("the drop of the factory of a Reconnect");
        Reconnect::new(addr, move |ended: Option<CloseReason>| {
            let _ = &value;
            if ended.is_some() {
                factory.touch("the factory of a Reconnect");
            }
            count.set(count.get() + 1);
            (count.get() < ATTEMPTS).then(|| Hostile::new(&factory))
        })
        .unwrap()
        .initial_backoff(ms(1))
        .max_backoff(ms(1))
        .start(&mut harness)
        .unwrap();
        harness.until(|_| {
            let ended_it = touches.culprit() == Some("the factory of a Reconnect");
            made.get() == ATTEMPTS || ended_it
        });
        harness.until(|server| server.io().connection_count() == 0);
        harness.io().verify_stats().unwrap();
    });
}
