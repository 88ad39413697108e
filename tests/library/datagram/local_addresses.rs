//! A socket that is bound to the wildcard has many addresses: each datagram is answered from the one
//! that it was sent to, which its handler may ask for.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use socketserver::blocking::{Request, Workers};
use socketserver::{
    Addr, Context, DatagramHandler, Echo, LoopGroup, Options, SendStatus, Server, SocketId,
    TimerId, TraceEvent,
};

use crate::support::{Harness, PATIENCE, on_datagram};

const ONE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const TWO: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
const SIX: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// The wildcards, each with addresses that a client may ask there.
const WILDCARDS: [(&str, &[IpAddr]); 3] =
    [("0.0.0.0:0", &[ONE, TWO]), ("[::]:0", &[ONE, TWO, SIX]), ("[::ffff:0.0.0.0]:0", &[ONE, TWO])];

/// One that takes answers only from where it asks, as every socket with a peer does.
fn client(ip: IpAddr, port: u16) -> UdpSocket {
    let own = if ip.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
    let client = UdpSocket::bind(own).unwrap();
    client.connect((ip, port)).unwrap();
    client.set_nonblocking(true).unwrap();
    client
}

/// One that takes answers from anywhere, and says where they came from.
fn open_minded(ip: IpAddr) -> UdpSocket {
    let client = UdpSocket::bind((ip, 0)).unwrap();
    client.set_nonblocking(true).unwrap();
    client
}

fn port_of(harness: &mut Harness, id: SocketId) -> u16 {
    harness.io().local_addr(id).and_then(|addr| addr.port()).unwrap()
}

/// The next answer; none is as bad as one that comes from elsewhere, so the patience is long.
fn answer(harness: &mut Harness, client: &UdpSocket) -> Vec<u8> {
    let mut buffer = [0; 100];
    let mut came = None;
    harness.until(|_| {
        came = client.recv(&mut buffer).ok();
        came.is_some()
    });
    buffer[..came.unwrap()].to_vec()
}

/// The address of ours as a socket of both kinds calls it.
fn named(wildcard: &str, ip: IpAddr, port: u16) -> Addr {
    match ip {
        IpAddr::V4(v4) if wildcard.starts_with('[') => Addr::Ip((v4.to_ipv6_mapped(), port).into()),
        ip => Addr::Ip((ip, port).into()),
    }
}

// Every way to answer.

type Answering = fn(&mut Context<'_>, &[u8], &Addr) -> SendStatus;

#[test]
fn an_answer_leaves_from_the_address_that_was_asked_however_it_is_sent() {
    let ways: [Answering; 4] = [
        |cx, packet, _| cx.reply(packet),
        |cx, packet, peer| cx.send_to(packet, peer),
        |cx, packet, peer| cx.io.send_to(cx.id, packet, peer),
        |cx, packet, peer| cx.io.send_from(cx.id, packet, &cx.local_addr().unwrap(), peer),
    ];
    for (wildcard, asked) in WILDCARDS {
        for way in ways {
            let mut harness = Harness::new();
            let handler = on_datagram(move |cx, packet, peer| {
                assert_eq!(way(cx, packet, peer), SendStatus::Queued);
                Ok(())
            });
            let id = harness.bind(wildcard, handler).unwrap();
            let port = port_of(&mut harness, id);
            for ip in asked {
                let client = client(*ip, port);
                for packet in [&b"hello"[..], b""] {
                    client.send(packet).unwrap();
                    assert_eq!(answer(&mut harness, &client), packet, "{ip} at {wildcard}");
                }
            }
        }
    }
}

/// Says where each datagram was sent to.
fn saying_where() -> impl DatagramHandler {
    on_datagram(|cx: &mut Context<'_>, _: &[u8], _: &Addr| {
        let text = cx.local_addr().map_or_else(String::new, |addr| addr.to_string());
        cx.reply(text.as_bytes());
        Ok(())
    })
}

#[test]
fn a_handler_is_told_where_each_datagram_was_sent_to() {
    for (wildcard, asked) in WILDCARDS {
        let mut harness = Harness::new();
        let id = harness.bind(wildcard, saying_where()).unwrap();
        let port = port_of(&mut harness, id);
        for ip in asked {
            let client = client(*ip, port);
            client.send(b"where?").unwrap();
            let said = String::from_utf8(answer(&mut harness, &client)).unwrap();
            assert_eq!(said, named(wildcard, *ip, port).to_string(), "{ip} at {wildcard}");
        }
    }
    for own in ["127.0.0.2:0", "[::1]:0"] {
        let mut harness = Harness::new();
        let id = harness.bind(own, saying_where()).unwrap();
        let addr = *harness.io().local_addr(id).unwrap().ip().unwrap();
        let client = client(addr.ip(), addr.port());
        client.send(b"where?").unwrap();
        assert_eq!(answer(&mut harness, &client), addr.to_string().as_bytes());
    }
}

/// Answers a while later, when another may be the last who asked; or not from where it was asked.
struct Later {
    asked: Vec<(Vec<u8>, Addr, Addr)>,
    tells: bool,
    own: Rc<RefCell<Option<Addr>>>,
}

impl DatagramHandler for Later {
    fn handle(&mut self, cx: &mut Context<'_>, packet: &[u8], peer: &Addr) -> io::Result<()> {
        self.asked.push((packet.to_vec(), cx.local_addr().unwrap(), peer.clone()));
        cx.set_timer(Duration::from_millis(1));
        Ok(())
    }

    fn timeout(&mut self, cx: &mut Context<'_>, _: TimerId) -> io::Result<()> {
        *self.own.borrow_mut() = cx.local_addr();
        for (packet, local, peer) in self.asked.drain(..) {
            let id = cx.id;
            if self.tells {
                cx.io.send_from(id, &packet, &local, &peer);
            } else {
                cx.send_to(&packet, &peer);
            }
        }
        Ok(())
    }
}

#[test]
fn an_answer_that_comes_later_leaves_from_where_it_is_told_to() {
    for (wildcard, asked) in WILDCARDS {
        let mut harness = Harness::new();
        let own = Rc::default();
        let later = Later { asked: Vec::new(), tells: true, own: Rc::clone(&own) };
        let id = harness.bind(wildcard, later).unwrap();
        let port = port_of(&mut harness, id);
        let clients: Vec<UdpSocket> = asked.iter().map(|ip| client(*ip, port)).collect();
        for client in &clients {
            client.send(b"when it suits").unwrap();
        }
        for client in &clients {
            assert_eq!(answer(&mut harness, client), b"when it suits");
        }
        let bound = harness.io().local_addr(id);
        assert_eq!(*own.borrow(), bound, "where nothing is shown it is that of the socket");
    }
}

#[test]
fn what_is_no_answer_leaves_from_where_the_system_chooses() {
    let mut harness = Harness::new();
    let later = Later { asked: Vec::new(), tells: false, own: Rc::default() };
    let id = harness.bind("0.0.0.0:0", later).unwrap();
    let port = port_of(&mut harness, id);
    let client = open_minded(ONE);
    client.send_to(b"later", (TWO, port)).unwrap();
    let mut from = None;
    harness.until(|_| {
        from = client.recv_from(&mut [0; 10]).ok();
        from.is_some()
    });
    assert_eq!(from.unwrap().1, SocketAddr::from((ONE, port)));
}

#[test]
fn to_a_third_party_nothing_leaves_from_where_another_asked() {
    let third = open_minded(ONE);
    let addr = Addr::Ip(third.local_addr().unwrap());
    let mut harness = Harness::new();
    let handler = on_datagram(move |cx, packet, _| {
        cx.send_to(packet, &addr);
        Ok(())
    });
    let id = harness.bind("0.0.0.0:0", handler).unwrap();
    let port = port_of(&mut harness, id);
    client(TWO, port).send(b"tell him").unwrap();
    let mut from = None;
    harness.until(|_| {
        from = third.recv_from(&mut [0; 10]).ok();
        from.is_some()
    });
    assert_eq!(from.unwrap(), (8, SocketAddr::from((ONE, port))));
}

#[test]
fn a_socket_with_one_address_sends_from_that_whatever_it_is_told() {
    let mut harness = Harness::new();
    let id = harness.bind("127.0.0.1:0", Echo).unwrap();
    let port = port_of(&mut harness, id);
    let client = open_minded(ONE);
    let to = Addr::Ip(client.local_addr().unwrap());
    harness.io_mut().send_from(id, b"where from?", &Addr::Ip((TWO, port).into()), &to);
    let mut from = None;
    harness.until(|_| {
        from = client.recv_from(&mut [0; 20]).ok();
        from.is_some()
    });
    assert_eq!(from.unwrap(), (11, SocketAddr::from((ONE, port))));
    assert_eq!(harness.io_mut().send_from(id, b"?", &to, &Addr::Unnamed), SendStatus::Closed);
    harness.io_mut().close(id);
    assert_eq!(harness.io_mut().send_from(id, b"?", &to, &to), SendStatus::Closed);
}

#[test]
fn a_socket_that_finds_its_peer_still_answers_what_came_before() {
    let mut harness = Harness::new();
    let handler = on_datagram(|cx, packet, peer| {
        if cx.io.peer_addr(cx.id).is_none() {
            cx.io.connect_peer(cx.id, peer)?;
        }
        cx.reply(packet);
        Ok(())
    });
    let id = harness.bind("0.0.0.0:0", handler).unwrap();
    let port = port_of(&mut harness, id);
    let client = client(TWO, port);
    for packet in [b"1", b"2"] {
        client.send(packet).unwrap();
    }
    for packet in [b"1", b"2"] {
        assert_eq!(answer(&mut harness, &client), packet);
    }
}

// Batches.

/// How many datagrams left with each call.
fn calls_of(steps: &crate::support::TraceLog, id: SocketId) -> Vec<usize> {
    let left = |step: &TraceEvent| match step {
        TraceEvent::PacketsOut(of, n) if *of == id => Some(*n),
        _ => None,
    };
    steps.turns().iter().flatten().filter_map(left).collect()
}

/// Sends so many to one address after the other, and says in what calls they are answered.
fn answered_in_calls(own: &str, asked: &[(IpAddr, u8)]) -> Vec<usize> {
    let mut harness = Harness::new();
    let id = harness.bind(own, Echo).unwrap();
    let port = port_of(&mut harness, id);
    // One datagram, so that the next call asks for many.
    let first = client(asked[0].0, port);
    for n in 0..2 {
        first.send(&[n]).unwrap();
    }
    for n in 0..2 {
        assert_eq!(answer(&mut harness, &first), [n]);
    }
    let steps = harness.steps();
    let mut clients: BTreeMap<IpAddr, UdpSocket> = BTreeMap::new();
    let mut expected: BTreeMap<IpAddr, Vec<u8>> = BTreeMap::new();
    let mut all = 0_u8;
    for (ip, count) in asked {
        let client = clients.entry(*ip).or_insert_with(|| client(*ip, port));
        for _ in 0..*count {
            client.send(&[all]).unwrap();
            expected.entry(*ip).or_default().push(all);
            all += 1;
        }
    }
    let mut came: BTreeMap<IpAddr, Vec<u8>> = BTreeMap::new();
    harness.until(|_| {
        for (ip, client) in &clients {
            let mut byte = [0];
            while client.recv(&mut byte).is_ok() {
                came.entry(*ip).or_default().push(byte[0]);
            }
        }
        came.values().map(Vec::len).sum::<usize>() == usize::from(all)
    });
    assert_eq!(came, expected);
    calls_of(&steps, id)
}

#[test]
fn a_batch_of_answers_ends_where_their_address_changes_and_nowhere_else() {
    for own in ["0.0.0.0:0", "[::]:0"] {
        assert_eq!(answered_in_calls(own, &[(ONE, 30)]), [30], "{own}");
        assert_eq!(answered_in_calls(own, &[(TWO, 60)]), [60], "{own}");
        assert_eq!(answered_in_calls(own, &[(ONE, 20), (TWO, 3), (ONE, 1)]), [20, 3, 1], "{own}");
    }
    assert_eq!(answered_in_calls("[::]:0", &[(SIX, 10), (ONE, 10), (SIX, 2)]), [10, 10, 2]);
    assert_eq!(answered_in_calls("127.0.0.1:0", &[(ONE, 60)]), [60]);
}

#[test]
fn an_answer_that_was_given_and_one_that_was_not_do_not_share_a_call() {
    let mut harness = Harness::new();
    let handler = on_datagram(|cx, packet, peer| {
        cx.reply(packet);
        let id = cx.id;
        cx.io.send_from(id, b"system's choice", &Addr::Ip(([0, 0, 0, 0], 0).into()), peer);
        Ok(())
    });
    let id = harness.bind("0.0.0.0:0", handler).unwrap();
    let port = port_of(&mut harness, id);
    let client = open_minded(ONE);
    client.send_to(b"hello", (TWO, port)).unwrap();
    let mut from = Vec::new();
    harness.until(|_| {
        let mut buffer = [0; 20];
        while let Ok((n, addr)) = client.recv_from(&mut buffer) {
            from.push((buffer[..n].to_vec(), addr.ip()));
        }
        from.len() == 2
    });
    assert_eq!(from, [(b"hello".to_vec(), TWO), (b"system's choice".to_vec(), ONE)]);
}

// Where no answer can leave from.

#[test]
fn what_was_sent_to_a_group_is_answered_from_an_address_of_the_machine() {
    let mut harness = Harness::new();
    let id = harness.bind("0.0.0.0:0", saying_where()).unwrap();
    let port = port_of(&mut harness, id);
    let group = Ipv4Addr::new(239, 255, 77, 78);
    let client = open_minded(ONE);
    let on_loopback = socket2::SockRef::from(&client).set_multicast_if_v4(&Ipv4Addr::LOCALHOST);
    let joined = harness.io_mut().join_multicast(id, IpAddr::V4(group), 1);
    if joined.is_err() || on_loopback.is_err() || client.send_to(b"a", (group, port)).is_err() {
        eprintln!("this machine has no multicast on its loopback: {joined:?} {on_loopback:?}");
        return;
    }
    let said = String::from_utf8(answer(&mut harness, &client)).unwrap();
    assert_eq!(said, format!("{group}:{port}"));
}

#[test]
fn what_was_broadcast_is_answered_from_an_address_of_the_machine() {
    let broadcast = Ipv4Addr::new(127, 255, 255, 255);
    for (wildcard, said) in
        [("0.0.0.0:0", "127.255.255.255"), ("[::]:0", "[::ffff:127.255.255.255]")]
    {
        let mut harness = Harness::new();
        let id = harness.bind(wildcard, saying_where()).unwrap();
        let port = port_of(&mut harness, id);
        let client = open_minded(ONE);
        client.set_broadcast(true).unwrap();
        // Several, so that they are in one batch whose first cannot leave from there.
        for _ in 0..3 {
            client.send_to(b"anybody?", (broadcast, port)).unwrap();
        }
        for _ in 0..3 {
            let answer = String::from_utf8(answer(&mut harness, &client)).unwrap();
            assert_eq!(answer, format!("{said}:{port}"), "{wildcard}");
        }
        assert_eq!(harness.io().stats().packets_dropped, 0, "{wildcard}");
    }
}

#[test]
fn from_an_address_that_is_not_ours_the_system_chooses_another() {
    let mut harness = Harness::new();
    for (own, strange) in [("0.0.0.0:0", "10.255.255.254:9"), ("[::]:0", "[2001:db8::1]:9")] {
        let id = harness.bind(own, Echo).unwrap();
        let port = port_of(&mut harness, id);
        let ip = if own.starts_with('[') { SIX } else { ONE };
        let client = open_minded(ip);
        let to = Addr::Ip(client.local_addr().unwrap());
        harness.io_mut().send_from(id, b"from me", &Addr::Ip(strange.parse().unwrap()), &to);
        let mut from = None;
        harness.until(|_| {
            from = client.recv_from(&mut [0; 20]).ok();
            from.is_some()
        });
        assert_eq!(from.unwrap(), (7, SocketAddr::from((ip, port))));
    }
}

// Other ways to serve.

/// Answers with the address it was asked at, in a thread or in the loop.
fn blocking_where(request: &mut Request<'_>) -> io::Result<()> {
    let text = request.server_address().map_or_else(String::new, |addr| addr.to_string());
    request.send_all(text.as_bytes())
}

#[test]
fn a_blocking_handler_is_told_too_and_its_answer_leaves_from_there() {
    for mode in [Workers::inline, || Workers::threads(3), || Workers::threads(1)] {
        for (wildcard, asked) in WILDCARDS {
            let mut harness = Harness::new();
            let id = harness.bind_blocking(wildcard, &mode(), |_| blocking_where).unwrap();
            let port = port_of(&mut harness, id);
            let clients: Vec<UdpSocket> = asked.iter().map(|ip| client(*ip, port)).collect();
            for client in &clients {
                client.send(b"where?").unwrap();
                client.send(b"where?").unwrap();
            }
            for (ip, client) in asked.iter().zip(&clients) {
                for _ in 0..2 {
                    let said = String::from_utf8(answer(&mut harness, client)).unwrap();
                    assert_eq!(said, named(wildcard, *ip, port).to_string(), "{wildcard}");
                }
            }
        }
    }
}

/// One client asks here and there before it is answered: the first answer is not the last question's.
#[test]
fn one_client_that_asks_at_two_addresses_is_answered_from_both() {
    let mode = Workers::threads(4);
    let mut harness = Harness::new();
    let id = harness.bind_blocking("0.0.0.0:0", &mode, |_| blocking_where).unwrap();
    let port = port_of(&mut harness, id);
    let client = open_minded(ONE);
    for _ in 0..20 {
        for ip in [ONE, TWO] {
            client.send_to(b"?", (ip, port)).unwrap();
        }
    }
    let mut answers = 0;
    harness.until(|_| {
        let mut buffer = [0; 40];
        while let Ok((n, from)) = client.recv_from(&mut buffer) {
            assert_eq!(std::str::from_utf8(&buffer[..n]).unwrap(), from.to_string());
            answers += 1;
        }
        answers == 40
    });
}

#[test]
fn every_loop_answers_from_the_address_that_was_asked() {
    for wildcard in ["0.0.0.0:0", "[::]:0"] {
        let cores = LoopGroup::new(3);
        let handle = cores.handle();
        let (ports, port) = std::sync::mpsc::channel();
        let serving = thread::spawn(move || {
            cores.serve(
                |_| (),
                move |_, server: &mut Server<()>| {
                    let id = server.bind(wildcard, Echo)?;
                    ports.send(server.io().local_addr(id).and_then(|addr| addr.port())).unwrap();
                    Ok(())
                },
            )
        });
        let port = port.recv_timeout(PATIENCE).unwrap().unwrap();
        // So many that each loop has some.
        for _ in 0..24 {
            for ip in [ONE, TWO] {
                let client = client(ip, port);
                client.set_nonblocking(false).unwrap();
                client.set_read_timeout(Some(PATIENCE)).unwrap();
                client.send(b"hello").unwrap();
                assert_eq!(client.recv(&mut [0; 10]).unwrap(), 5, "{ip} at {wildcard}");
            }
        }
        handle.shutdown(PATIENCE);
        let loops = serving.join().unwrap().unwrap();
        assert!(loops.iter().all(|one| one.stats.packets_in > 0), "{loops:?}");
    }
}

// Nobody answers himself.

#[test]
fn what_a_wildcard_socket_sends_to_itself_is_refused_from_whatever_address() {
    for accept_own_packets in [false, true] {
        let mut harness =
            Harness::with_shared((), Options { accept_own_packets, ..Options::default() });
        let handled = Rc::new(Cell::new(0));
        let count = Rc::clone(&handled);
        let id = harness
            .bind(
                "0.0.0.0:0",
                on_datagram(move |cx, packet, _| {
                    count.set(count.get() + 1);
                    cx.reply(packet);
                    Ok(())
                }),
            )
            .unwrap();
        let port = port_of(&mut harness, id);
        let [one, two] = [ONE, TWO].map(|ip| Addr::Ip((ip, port).into()));
        for (from, to) in [(&one, &two), (&two, &one), (&two, &two)] {
            harness.io_mut().send_from(id, b"round and round", from, to);
        }
        harness.until(|server| server.io().stats().packets_refused == 3);
        assert_eq!(handled.get(), 0);
    }
}
