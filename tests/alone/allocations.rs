//! In steady state a message costs no allocation.

use std::io::{Read, Write};
use std::time::Duration;

use socketserver::{Context, Echo, Handler, Input, Options};

use crate::alone;
use crate::support::{Client, DatagramClient, DatagramKind, Harness, Kind, on_input, pattern};

/// One message of each client there and back, with nothing allocated by the test itself.
fn round(harness: &mut Harness, clients: &mut [Client], message: &[u8], buffer: &mut [u8]) {
    for client in &mut *clients {
        client.socket.write_all(message).unwrap();
    }
    for client in clients {
        let mut received = 0;
        while received < message.len() {
            match client.socket.read(&mut buffer[received..]) {
                Ok(n) => received += n,
                Err(_) => harness.server.turn(Some(Duration::from_millis(100))).unwrap(),
            }
        }
        assert!(buffer[..received] == *message);
    }
}

/// How many allocations a thousand messages of each of 50 clients cost.
fn allocations<H: Handler + 'static>(
    kind: Kind,
    options: Options,
    size: usize,
    handler: fn() -> H,
) -> u64 {
    let mut harness = Harness::with_shared((), options);
    let addr = harness.serve(kind, move |_| handler());
    let mut clients = Client::connect_many(&addr, 50);
    let message = pattern(size, 1);
    let mut buffer = vec![0; size];
    for _ in 0..10 {
        round(&mut harness, &mut clients, &message, &mut buffer);
    }
    let measured = allocation_counter::measure(|| {
        for _ in 0..200 {
            round(&mut harness, &mut clients, &message, &mut buffer);
        }
    });
    let one = allocation_counter::measure(|| drop(std::hint::black_box(vec![0; 10])));
    assert_eq!(one.count_total, 1, "nothing is counted");
    measured.count_total
}

#[test]
fn an_echoed_message_costs_no_allocation() {
    let _alone = alone();
    for kind in Kind::ALL {
        for size in [64, 4_096, 20_000] {
            let allocated = allocations(kind, Options::default(), size, || Echo);
            assert_eq!(allocated, 0, "{size} bytes on {kind:?}");
        }
    }
}

#[test]
fn an_idle_timeout_makes_no_message_cost_an_allocation() {
    let _alone = alone();
    let options = Options { idle_timeout: Some(Duration::from_millis(500)), ..Options::default() };
    assert_eq!(allocations(Kind::Tcp, options, 64, || Echo), 0);
}

#[test]
fn lines_that_come_whole_cost_no_allocation() {
    let _alone = alone();
    let lines = || {
        on_input(|cx: &mut Context<'_>, input: &mut Input<'_>| {
            while let Some(bytes) = input.take(16) {
                cx.send(bytes);
            }
            Ok(())
        })
    };
    assert_eq!(allocations(Kind::Tcp, Options::default(), 64, lines), 0);
}

#[test]
fn an_unusual_turn_costs_one_allocation_at_most() {
    let _alone = alone();
    let mut harness = Harness::new();
    let addr = harness.serve(Kind::Tcp, |_| {
        on_input(|cx: &mut Context<'_>, input: &mut Input<'_>| {
            // In two pieces of which the second waits behind the first.
            let bytes = input.take_all();
            cx.send(&bytes[..bytes.len() / 2]);
            let id = cx.id;
            cx.io.set_read_while_congested(id, true);
            cx.send(&bytes[bytes.len() / 2..]);
            Ok(())
        })
    });
    let mut clients = Client::connect_many(&addr, 50);
    let message = pattern(2_000, 2);
    let mut buffer = vec![0; 2_000];
    for _ in 0..20 {
        round(&mut harness, &mut clients, &message, &mut buffer);
    }
    let measured = allocation_counter::measure(|| {
        for _ in 0..100 {
            round(&mut harness, &mut clients, &message, &mut buffer);
        }
    });
    assert!(measured.count_total <= 100 * 50, "{measured:?}");
}

#[test]
fn a_broadcast_costs_no_allocation() {
    let _alone = alone();
    let mut harness: Harness<Vec<socketserver::SocketId>> =
        Harness::with_shared(Vec::new(), Options::default());
    let addr = harness.serve(Kind::Tcp, |_| Member);
    let mut clients = Client::connect_many(&addr, 20);
    harness.until(|server| server.shared_mut().len() == 20);
    let message = pattern(100, 3);
    let mut buffer = [0; 100];
    let mut speak = |harness: &mut Harness<_>, clients: &mut [Client]| {
        clients[0].socket.write_all(&message).unwrap();
        for client in &mut clients[1..] {
            let mut received = 0;
            while received < 100 {
                match client.socket.read(&mut buffer[received..]) {
                    Ok(n) => received += n,
                    Err(_) => harness.server.turn(Some(Duration::from_millis(100))).unwrap(),
                }
            }
        }
    };
    for _ in 0..10 {
        speak(&mut harness, &mut clients);
    }
    let measured = allocation_counter::measure(|| {
        for _ in 0..100 {
            speak(&mut harness, &mut clients);
        }
    });
    assert_eq!(measured.count_total, 0);
}

struct Member;

impl Handler<Vec<socketserver::SocketId>> for Member {
    fn setup(&mut self, cx: &mut Context<'_, Vec<socketserver::SocketId>>) -> std::io::Result<()> {
        cx.shared.push(cx.id);
        Ok(())
    }

    fn handle(
        &mut self,
        cx: &mut Context<'_, Vec<socketserver::SocketId>>,
        input: &mut Input<'_>,
    ) -> std::io::Result<()> {
        let line = input.take_all();
        for &member in cx.shared.iter().filter(|&&member| member != cx.id) {
            cx.io.send(member, line);
        }
        Ok(())
    }
}

/// One datagram of each client there and back, as many at once as wait in the kernel everywhere.
fn packet_round(
    harness: &mut Harness,
    clients: &[DatagramClient],
    together: usize,
    message: &[u8],
    buffer: &mut [u8],
) {
    for some in clients.chunks(together) {
        for client in some {
            client.send(message);
        }
        for client in some {
            let n = loop {
                match (&client.socket).read(buffer) {
                    Ok(n) => break n,
                    Err(_) => harness.server.turn(Some(Duration::from_millis(100))).unwrap(),
                }
            };
            assert!(buffer[..n] == *message);
        }
    }
}

/// How many allocations some thousand datagrams of 50 clients cost.
fn packet_allocations(net: DatagramKind, together: usize, size: usize) -> u64 {
    let mut harness = Harness::new();
    let (_, addr) = harness.serve_datagrams(net, Echo);
    let clients = DatagramClient::many(&addr, 50);
    let message = pattern(size, 1);
    let mut buffer = vec![0; size + 1];
    for _ in 0..10 {
        packet_round(&mut harness, &clients, together, &message, &mut buffer);
    }
    let measured = allocation_counter::measure(|| {
        for _ in 0..30 {
            packet_round(&mut harness, &clients, together, &message, &mut buffer);
        }
    });
    assert_eq!(harness.io().stats().packets_out, 40 * 50);
    measured.count_total
}

#[test]
fn an_echoed_datagram_costs_no_allocation() {
    let _alone = alone();
    for &net in DatagramKind::ALL {
        for size in [0, 64, 1_472, 9_000] {
            for together in [1, 5, if net == DatagramKind::Unix { 5 } else { 50 }] {
                let allocated = packet_allocations(net, together, size);
                assert_eq!(allocated, 0, "{size} bytes over {net:?}, {together} at once");
            }
        }
    }
}

/// How many allocations it costs that sockets of these kinds, which share the places in which
/// datagrams arrive, are used in turn.
fn mixed_allocations(nets: &[DatagramKind]) -> u64 {
    let mut harness = Harness::new();
    let client = |&net: &DatagramKind| DatagramClient::new(&harness.serve_datagrams(net, Echo).1);
    let clients: Vec<DatagramClient> = nets.iter().map(client).collect();
    let mut buffer = [0; 100];
    packet_round(&mut harness, &clients, clients.len(), b"warm up", &mut buffer);
    let measured = allocation_counter::measure(|| {
        for _ in 0..200 {
            packet_round(&mut harness, &clients, clients.len(), b"hello", &mut buffer);
        }
    });
    measured.count_total
}

#[test]
fn datagrams_of_several_udp_sockets_in_turn_cost_no_allocation() {
    let _alone = alone();
    assert_eq!(mixed_allocations(DatagramKind::UDP), 0);
}

#[test]
fn datagrams_of_udp_and_unix_sockets_in_turn_cost_no_allocation() {
    let _alone = alone();
    assert_eq!(mixed_allocations(DatagramKind::ALL), 0);
}
