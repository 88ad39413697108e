//! Addresses that are used again, and how those of IPv4 are called.

use std::io::Read;
use std::net::{Ipv6Addr, TcpListener};
use std::time::Duration;

use socketserver::{Addr, Connect, Context, Echo, Handler, Input, Options, SocketId, TraceEvent};

use crate::support::{Client, Harness, Kind, on_input, on_setup};

/// An echo that answers with the address of its peer first.
fn greets() -> impl Handler {
    on_setup(|cx: &mut Context<'_>| {
        let (peer, own) = (cx.io.peer_addr(cx.id).unwrap(), cx.io.local_addr(cx.id).unwrap());
        cx.send(format!("{peer} {own}").as_bytes());
        cx.close();
        Ok(())
    })
}

#[test]
fn a_listener_that_is_closed_frees_its_address_in_the_same_turn() {
    for kind in Kind::ALL {
        let mut h = Harness::new();
        let mut id = h.serve_as(kind, |_| Echo);
        let addr = h.io().local_addr(id).unwrap();
        for _ in 0..3 {
            assert!(h.io_mut().close(id));
            assert_eq!(
                h.io().local_addr(id),
                Some(addr.clone()),
                "{kind:?}: known until it is removed"
            );
            id = h.listen(addr.clone(), |_| Echo).unwrap();
        }
        let mut client = Client::connect(&addr);
        h.echo(&mut client, b"the last one");
        assert!(h.io_mut().close(id));
    }
}

/// The same from inside a handler, in its own turn.
#[test]
fn a_handler_moves_its_listener() {
    let mut h = Harness::with_shared(None, Options::default());
    let id = h.serve_as(Kind::Tcp, |_| {
        on_input(|cx: &mut Context<'_, Option<_>>, input: &mut Input<'_>| {
            input.take_all();
            if let Some(listener) = cx.shared.take() {
                let addr = cx.io.local_addr(listener).unwrap();
                cx.io.close(listener);
                cx.listen(addr, |_: &Addr| {
                    on_input(|cx: &mut Context<'_, Option<_>>, input: &mut Input<'_>| {
                        cx.send(input.take_all());
                        Ok(())
                    })
                })?;
                cx.send(b"moved");
            }
            Ok(())
        })
    });
    *h.shared_mut() = Some(id);
    let addr = h.io().local_addr(id).unwrap();
    let mut client = Client::connect(&addr);
    client.send(b"move");
    assert_eq!(h.receive(&mut client, 5), b"moved");
    let mut other = Client::connect(&addr);
    h.echo(&mut other, b"here");
}

/// Both look dead to each other for a moment, unless something orders them.
#[test]
#[cfg(feature = "sys")]
fn of_two_servers_that_start_on_one_stale_path_at_the_same_moment_one_listens() {
    use std::sync::Barrier;
    use std::thread;

    use socketserver::Server;

    const PAIRS: usize = 500;
    let directory = tempfile::TempDir::new().unwrap();
    let start = Barrier::new(2);
    for nth in 0..PAIRS {
        let path = directory.path().join(format!("socket-{nth}"));
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let serve = || {
            let mut server = Server::new().unwrap();
            start.wait();
            let listens = server.listen(path.clone(), |_| Echo).map(drop);
            // Neither ends before the other has tried.
            start.wait();
            // No panic here, or the other one would wait for ever.
            let client = std::os::unix::net::UnixStream::connect(&path);
            start.wait();
            let _ = server.turn(Some(Duration::ZERO));
            let is_known = client.is_ok() && server.io().stats().accepted > 0;
            start.wait();
            (listens.map_err(|error| error.kind()), is_known)
        };
        let (one, other) = thread::scope(|scope| {
            let other = scope.spawn(serve);
            (serve(), other.join().unwrap())
        });
        let in_use = (Err(std::io::ErrorKind::AddrInUse), false);
        let (winner, loser) = if one.0.is_ok() { (one, other) } else { (other, one) };
        assert_eq!((winner, loser), ((Ok(()), true), in_use), "pair {nth}");
        assert!(!path.exists(), "pair {nth}: its path is left behind");
    }
}

#[test]
fn ipv4_clients_of_a_listener_at_every_address_have_ipv4_names() {
    let Ok(_) = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)) else {
        return println!("skipped: there is no IPv6 here");
    };
    let mut h = Harness::new();
    let seen = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let witness = std::rc::Rc::clone(&seen);
    let id = h
        .listen("[::]:0", move |peer: &Addr| {
            witness.borrow_mut().push(peer.clone());
            greets()
        })
        .unwrap();
    let port = h.io().local_addr(id).unwrap().port().unwrap();
    for ip in ["127.0.0.1", "::1"] {
        let to = Addr::Ip((ip.parse::<std::net::IpAddr>().unwrap(), port).into());
        let mut client = Client::connect(&to);
        let own = Addr::Ip(client.socket.local_addr().unwrap().as_socket().unwrap());
        let greeting = h.receive_to_end(&mut client);
        assert_eq!(String::from_utf8(greeting).unwrap(), format!("{own} {to}"));
        assert_eq!(seen.borrow_mut().pop(), Some(own));
    }
}

/// Whoever closes first waits for twice the longest life of a segment.
#[test]
fn a_source_port_is_bound_again_while_an_earlier_connection_from_it_waits() {
    let listeners = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let mut h = Harness::new();
    // A port of this machine that was free a moment ago.
    let from = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for listener in &listeners {
        let to = Addr::Ip(listener.local_addr().unwrap());
        let connect = Connect::to(to).unwrap().local_addr(Addr::Ip(from)).unwrap();
        let before = h.io().stats().all_ended();
        let id = h.connect(connect, Echo).unwrap();
        let (mut stream, peer) = listener.accept().unwrap();
        assert_eq!(peer, from);
        let greeting = b"it stands";
        h.io_mut().send(id, greeting);
        let mut received = [0; 9];
        h.until(|server| server.io().stats().bytes_out > 0 && server.io().pending_output(id) == 0);
        stream.read_exact(&mut received).unwrap();
        assert_eq!(&received, greeting);
        // Our end is the first, so ours is the one that waits.
        h.io_mut().close(id);
        h.until(|server| server.io().stats().all_ended() > before);
        assert_eq!(stream.read(&mut received).unwrap(), 0);
        drop(stream);
        h.until(|server| server.io().connection_count() == 0);
    }
}

#[test]
fn resume_delivers_what_is_left_though_nothing_was_paused() {
    for kind in Kind::ALL {
        let mut h = Harness::with_shared(Vec::new(), Options::default());
        let addr = h.serve(kind, |_| {
            on_input(|cx: &mut Context<'_, Vec<Vec<u8>>>, input: &mut Input<'_>| {
                let piece = input.take(1).unwrap_or_default().to_vec();
                cx.shared.push(piece);
                Ok(())
            })
        });
        let mut client = Client::connect(&addr);
        let ids = h.steps();
        client.send(b"abc");
        h.until(|server| server.shared().len() == 1);
        let id = ids.all().iter().find_map(|step| match step {
            socketserver::TraceEvent::Handled(id, _) => Some(*id),
            _ => None,
        });
        for n in 2..=3 {
            assert!(h.io_mut().resume(id.unwrap()));
            h.until_quiet(&ids);
            assert_eq!(h.shared().len(), n, "{kind:?}");
        }
        assert_eq!(*h.shared(), [b"a", b"b", b"c"]);
        assert!(h.io_mut().resume(id.unwrap()));
        h.until_quiet(&ids);
        assert_eq!(h.shared().len(), 3, "{kind:?}: nothing was left");
    }
}

/// What arrives stays with the system until the connection is resumed. What arrives first wakes the loop, and
/// the system says once more that there is room when the loop asks to hear of nothing else.
#[test]
#[cfg(target_os = "linux")]
#[cfg_attr(
    mio_unsupported_force_poll_poll,
    ignore = "poll(2) reports a reset although it is paused"
)]
fn a_paused_connection_wakes_the_loop_twice_at_most_however_much_arrives() {
    for kind in Kind::ALL {
        let mut h = Harness::with_shared((0, None), Options::default());
        let addr = h.serve(kind, |_| {
            on_input(|cx: &mut Context<'_, (usize, Option<SocketId>)>, input: &mut Input<'_>| {
                cx.shared.0 += input.take_all().len();
                cx.shared.1 = Some(cx.id);
                cx.pause();
                Ok(())
            })
        });
        let mut client = Client::connect(&addr);
        let steps = h.steps();
        for round in 1..=3 {
            client.send(b"x");
            h.until(|server| server.shared().0 > 0);
            h.until_quiet(&steps);
            steps.clear();
            for _ in 0..50 {
                client.send(b"more");
                h.turn(Some(Duration::ZERO)).unwrap();
            }
            let woken =
                steps.count(|step| matches!(step, TraceEvent::Polled(events) if events > 0));
            assert!(woken <= 2, "{kind:?}, round {round}: {woken} times");
            let id = h.shared().1.unwrap();
            h.shared_mut().0 = 0;
            // It pauses after each piece.
            h.until(|server| {
                assert!(server.io_mut().resume(id));
                server.shared().0 == 200
            });
            h.shared_mut().0 = 0;
            assert!(h.io_mut().resume(id));
        }
        // And its end is heard of as before.
        client.send(b"x");
        h.until(|server| server.shared().0 > 0);
        drop(client);
        let id = h.shared().1.unwrap();
        h.until_quiet(&steps);
        assert!(h.io_mut().resume(id));
        h.until_ended(1);
    }
}
