//! Blocking handlers, in the loop and in threads.

#![cfg(not(mio_unsupported_force_poll_poll))]

use std::io::{self, Write};
use std::net::UdpSocket;

use socketserver::Options;
use socketserver::blocking::{Handler, Request, Workers};

use super::PLACES;
use super::touches::{Touches, Value, at_each_touch};
use crate::support::{Client, Harness, Kind};

struct Hostile {
    touches: Touches,
    _value: Value,
}

impl Hostile {
    fn new(touches: &Touches) -> Hostile {
        Hostile {
            touches: touches.clone(),
            _value: touches.value("the drop of a blocking handler"),
        }
    }
}

impl<S> Handler<S> for Hostile {
    fn setup(&mut self, _request: &mut Request<'_, S>) -> io::Result<()> {
        self.touches.touch("setup of a blocking handler");
        Ok(())
    }

    fn handle(&mut self, request: &mut Request<'_, S>) -> io::Result<()> {
        let text = match request.datagram() {
            Some(packet) => packet.to_vec(),
            None => request.take_line(80)?.unwrap_or_default().to_vec(),
        };
        request.write_all(&text)?;
        self.touches.touch("handle of a blocking handler");
        if text == b"error" { Err(self.touches.error()) } else { Ok(()) }
    }

    fn finish(&mut self, _request: &mut Request<'_, S>) -> io::Result<()> {
        self.touches.touch("finish of a blocking handler");
        Err(self.touches.error())
    }
}

fn workers(touches: &Touches, in_threads: bool, with_hook: bool) -> Workers {
    let workers = if in_threads { Workers::threads(2) } else { Workers::inline() };
    if !with_hook {
        return workers;
    }
    let (touches, value) = (touches.clone(), touches.value("the drop of handle_error"));
    workers.handle_error(move |_, error| {
        let _ = &value;
        touches.touch("handle_error");
        let _ = error.to_string();
    })
}

#[test]
fn a_panic_at_any_touch_of_a_blocking_handler_costs_one_connection() {
    for (in_threads, with_hook) in [(true, true), (true, false), (false, true), (false, false)] {
        at_each_touch(|touches| {
            let options = Options { max_connections: PLACES, ..Options::default() };
            let mut harness = Harness::with_shared((), options);
            let (mut bystander, echo) = harness.bystander();
            let workers = workers(touches, in_threads, with_hook);
            let (made, value) = (touches.clone(), touches.value("the drop of a factory"));
            let addr = harness.serve_blocking(Kind::Tcp, &workers, move |_| {
                let _ = &value;
                made.touch("factory");
                Hostile::new(&made)
            });
            for text in [&b"echo\n"[..], b"error\n"] {
                harness.converse(&addr, text);
            }
            // Both permits are free again.
            let mut both: Vec<Client> = Client::connect_many(&addr, if in_threads { 2 } else { 0 });
            harness.until(|_| workers.active_count() == both.len() || touches.culprit().is_some());
            for client in &mut both {
                client.send(b"last\n");
            }
            for client in &mut both {
                harness.until(|_| client.look());
            }
            harness.until(|_| workers.active_count() == 0);
            drop(both);
            harness.is_unharmed(&mut bystander, &echo);
        });
    }
}

#[test]
fn a_panic_at_any_touch_of_a_blocking_handler_costs_one_datagram() {
    for (in_threads, with_hook) in [(true, true), (true, false), (false, true), (false, false)] {
        at_each_touch(|touches| {
            let options = Options { max_connections: PLACES, ..Options::default() };
            let mut harness = Harness::with_shared((), options);
            let (mut bystander, echo) = harness.bystander();
            let workers = workers(touches, in_threads, with_hook);
            let (made, value) = (touches.clone(), touches.value("the drop of a factory"));
            let id = harness
                .bind_blocking("127.0.0.1:0", &workers, move |_| {
                    let _ = &value;
                    made.touch("factory");
                    Hostile::new(&made)
                })
                .unwrap();
            let client = UdpSocket::bind("127.0.0.1:0").unwrap();
            client.connect(harness.io().local_addr(id).unwrap().ip().unwrap()).unwrap();
            for packet in [&b"echo"[..], b"error", b"echo"] {
                client.send(packet).unwrap();
            }
            harness.until(|server| server.io().stats().packets_in == 3);
            harness.until(|_| workers.active_count() == 0);
            harness.is_unharmed(&mut bystander, &echo);
        });
    }
}
