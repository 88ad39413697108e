//! Streams, timers, sources, posted calls and offloaded work in one loop.

use std::io;
use std::time::Duration;

use socketserver::mio::event::Source;
use socketserver::mio::{Interest, Registry, Token};
use socketserver::{Context, Handler, Input, Options, TimerId};

use super::PLACES;
use super::touches::{Touches, Value, at_each_touch};
use crate::support::{Client, Harness, Kind};

/// Touches in each callback, and does what its input says.
pub(super) struct Hostile {
    touches: Touches,
    _value: Value,
}

impl Hostile {
    pub(super) fn new(touches: &Touches) -> Hostile {
        Hostile { touches: touches.clone(), _value: touches.value("the drop of a handler") }
    }
}

impl<S: 'static> Handler<S> for Hostile {
    fn setup(&mut self, _cx: &mut Context<'_, S>) -> io::Result<()> {
        self.touches.touch("setup");
        Ok(())
    }

    fn handle(&mut self, cx: &mut Context<'_, S>, input: &mut Input<'_>) -> io::Result<()> {
        let what = input.take_all().to_vec();
        cx.send(&what);
        self.touches.touch("handle");
        match what.as_slice() {
            b"error" => Err(self.touches.error()),
            b"timer" => {
                cx.set_timer(Duration::ZERO);
                cx.pause();
                Ok(())
            }
            b"offload" => offload(cx, &self.touches),
            _ => Ok(()),
        }
    }

    fn eof(&mut self, cx: &mut Context<'_, S>, _rest: &[u8]) -> io::Result<()> {
        self.touches.touch("eof");
        cx.close();
        Ok(())
    }

    fn drained(&mut self, _cx: &mut Context<'_, S>) -> io::Result<()> {
        self.touches.touch("drained");
        Ok(())
    }

    fn timeout(&mut self, cx: &mut Context<'_, S>, _timer: TimerId) -> io::Result<()> {
        cx.io.resume(cx.id);
        self.touches.touch("timeout");
        Ok(())
    }

    fn shutdown(&mut self, cx: &mut Context<'_, S>) -> io::Result<()> {
        self.touches.touch("shutdown");
        cx.close();
        Ok(())
    }

    fn finish(&mut self, _cx: &mut Context<'_, S>, outcome: io::Result<()>) {
        self.touches.touch("finish");
        if let Err(error) = outcome {
            let _ = error.to_string();
        }
    }
}

fn offload<S: 'static>(cx: &mut Context<'_, S>, touches: &Touches) -> io::Result<()> {
    let (work, then) = (touches.value("the drop of work"), touches.value("the drop of `then`"));
    let (here, there) = (touches.clone(), touches.clone());
    cx.offload(
        move || {
            there.touch("work");
            drop(work);
            there.value("the drop of a result")
        },
        move |_, _, result| {
            here.touch("then");
            drop((then, result));
        },
    )
}

/// A source that no event ever makes ready.
struct HostileSource {
    touches: Touches,
    _value: Value,
}

impl Source for HostileSource {
    fn register(&mut self, _: &Registry, _: Token, _: Interest) -> io::Result<()> {
        Ok(())
    }

    fn reregister(&mut self, _: &Registry, _: Token, _: Interest) -> io::Result<()> {
        Ok(())
    }

    fn deregister(&mut self, _: &Registry) -> io::Result<()> {
        self.touches.touch("deregister");
        Err(self.touches.error())
    }
}

fn server(touches: &Touches) -> Harness {
    let options = Options { max_connections: PLACES, ..Options::default() };
    let mut harness = Harness::with_shared((), options);
    let (mut called, mut traced) = (Some(touches.clone()), Some(touches.clone()));
    let verify = touches.value("the drop of verify_request");
    let (asked, mut clients) = (touches.clone(), 0);
    harness.set_verify_request(move |(), _| {
        let _ = &verify;
        clients += 1;
        // The first is the bystander, and the last come when all is over.
        if (2..=5).contains(&clients) {
            asked.touch("verify_request");
        }
        true
    });
    let actions = touches.value("the drop of service_actions");
    harness.set_service_actions(move |(), _| {
        let _ = &actions;
        called.take().into_iter().for_each(|touches| touches.touch("service_actions"));
    });
    let trace = touches.value("the drop of the callback of set_trace");
    harness.set_trace(move |_| {
        let _ = &trace;
        traced.take().into_iter().for_each(|touches| touches.touch("the callback of set_trace"));
    });
    harness
}

#[test]
fn a_panic_at_any_touch_costs_one_connection() {
    at_each_touch(|touches| {
        let mut harness = server(touches);
        let factory = touches.value("the drop of a factory");
        let made = touches.clone();
        let id = harness.serve_as(Kind::Tcp, move |_| {
            let _ = &factory;
            made.touch("factory");
            Hostile::new(&made)
        });
        let addr = harness.io().local_addr(id).unwrap();
        let (mut bystander, echo) = harness.bystander();
        for text in [&b"echo"[..], b"error", b"timer", b"offload"] {
            harness.converse(&addr, text);
        }
        harness.io_mut().close(id);
        harness.until(|server| !server.io().is_open(id));
        harness.is_unharmed(&mut bystander, &echo);
    });
}

#[test]
fn a_panic_at_any_touch_of_a_source_a_timer_or_a_call_costs_that_alone() {
    at_each_touch(|touches| {
        let mut harness =
            Harness::with_shared((), Options { max_connections: PLACES, ..Options::default() });
        let (mut bystander, echo) = harness.bystander();
        let ready = touches.value("the drop of the callback of a source");
        let source = HostileSource {
            touches: touches.clone(),
            _value: touches.value("the drop of a source"),
        };
        let called = touches.clone();
        let source = harness
            .watch(source, Interest::READABLE, move |_, _, _| {
                let _ = &ready;
                called.touch("the callback of a source");
                Err(called.error())
            })
            .unwrap();
        let timer = touches.value("the drop of a timer handler");
        let rang = touches.clone();
        let timer = harness
            .add_timer_handler(move |cx| {
                let _ = &timer;
                rang.touch("a timer handler");
                offload(cx, &rang)?;
                cx.close();
                Ok(())
            })
            .unwrap();
        for id in [source, timer] {
            harness.io_mut().set_timer(id, Duration::ZERO);
        }
        for _ in 0..2 {
            let (posted, value) = (touches.clone(), touches.value("the drop of a posted call"));
            let call = move |(): &mut (), _: &mut socketserver::Io| {
                posted.touch("a posted call");
                drop(value);
            };
            harness.handle().post(call).unwrap();
        }
        harness.until(|server| !server.io().is_open(source) && !server.io().is_open(timer));
        harness.is_unharmed(&mut bystander, &echo);
        let value = touches.value("the drop of a call that never ran");
        let other = touches.value("the drop of another one");
        harness.handle().post(move |(), _| drop(value)).unwrap();
        harness.handle().post(move |(), _| drop(other)).unwrap();
    });
}

/// Every drop panics: what is dropped together must be dropped one by one.
#[test]
fn a_server_whose_every_value_panics_in_its_drop_can_be_dropped() {
    struct Explosive;
    impl Drop for Explosive {
        fn drop(&mut self) {
            if !std::thread::panicking() {
                std::panic::resume_unwind(Box::new(()));
            }
        }
    }
    struct Loaded(Explosive);
    impl Handler for Loaded {
        fn handle(&mut self, cx: &mut Context<'_>, input: &mut Input<'_>) -> io::Result<()> {
            let _ = &self.0;
            cx.send(input.take_all());
            Ok(())
        }
    }
    let mut harness = Harness::new();
    let captured = Explosive;
    let addr = harness.serve(Kind::Tcp, move |_| {
        let _ = &captured;
        Loaded(Explosive)
    });
    let mut clients = Client::connect_many(&addr, 5);
    for client in &mut clients {
        harness.echo(client, b"all of them are served");
    }
    for _ in 0..5 {
        let captured = Explosive;
        harness
            .add_timer_handler(move |_| {
                let _ = &captured;
                Ok(())
            })
            .unwrap();
        let captured = Explosive;
        harness.handle().post(move |(), _| drop(captured)).unwrap();
    }
    let captured = Explosive;
    harness.set_service_actions(move |(), _| {
        let _ = &captured;
    });
    drop(harness);
}
