//! Datagram sockets.

use std::io;
use std::time::Duration;

use socketserver::{Addr, Context, DatagramHandler, Options, TimerId};

use super::PLACES;
use super::touches::{Touches, Value, at_each_touch};
use crate::support::{DatagramClient, DatagramKind, Harness};

struct Hostile {
    touches: Touches,
    _value: Value,
}

impl DatagramHandler for Hostile {
    fn handle(&mut self, cx: &mut Context<'_>, packet: &[u8], _peer: &Addr) -> io::Result<()> {
        self.touches.touch("handle of a datagram");
        cx.reply(packet);
        match packet {
            b"error" => Err(self.touches.error()),
            b"timer" => {
                cx.set_timer(Duration::ZERO);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn truncated(&mut self, _: &mut Context<'_>, _: &[u8], _: &Addr) -> io::Result<()> {
        self.touches.touch("truncated");
        Err(self.touches.error())
    }

    fn timeout(&mut self, _cx: &mut Context<'_>, _timer: TimerId) -> io::Result<()> {
        self.touches.touch("timeout of a datagram socket");
        Err(self.touches.error())
    }

    fn shutdown(&mut self, _cx: &mut Context<'_>) -> io::Result<()> {
        self.touches.touch("shutdown of a datagram socket");
        Err(self.touches.error())
    }

    fn finish(&mut self, _cx: &mut Context<'_>, _outcome: io::Result<()>) {
        self.touches.touch("finish of a datagram socket");
    }
}

#[test]
fn a_panic_at_any_touch_costs_one_datagram() {
    at_each_touch(|touches| {
        let options =
            Options { max_connections: PLACES, max_packet_size: 100, ..Options::default() };
        let mut harness = Harness::with_shared((), options);
        let (mut bystander, echo) = harness.bystander();
        let value = touches.value("the drop of a datagram handler");
        let handler = Hostile { touches: touches.clone(), _value: value };
        let (id, addr) = harness.serve_datagrams(DatagramKind::V4, handler);
        let client = DatagramClient::new(&addr);
        for (nth, packet) in [&b"echo"[..], b"error", b"timer", &[0; 101]].into_iter().enumerate() {
            client.send(packet);
            harness.until(|server| server.io().stats().packets_in > nth as u64);
        }
        // The timer has rung by then.
        harness.echo(&mut bystander, b"a turn");
        harness.echo(&mut bystander, b"a turn");
        // The last touch may be that of the first of these.
        harness.until(|_| {
            client.push(b"after");
            client.next().is_some_and(|answer| answer == b"after")
        });
        harness.is_unharmed(&mut bystander, &echo);
        harness.io_mut().close(id);
        harness.until(|server| !server.io().is_open(id));
    });
}
