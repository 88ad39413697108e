//! From any callback any socket may be opened, written to, paused and closed.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use socketserver::{Addr, CloseReason, Context, Echo, Handler, Input, Options, SocketId, TimerId};

use crate::support::{Call, CallLog, Client, Harness, Kind, Recording, on_input, on_setup};

type Ids = Vec<SocketId>;

type Opened = Rc<RefCell<Vec<(SocketId, Addr)>>>;

/// Listens, and closes its listeners, as it is told.
struct Opens(Opened);

impl Handler for Opens {
    fn handle(&mut self, cx: &mut Context<'_>, input: &mut Input<'_>) -> io::Result<()> {
        match input.take_all() {
            b"open" => {
                let id = cx.listen("127.0.0.1:0", |_| Echo)?;
                let addr = cx.io.local_addr(id).unwrap();
                self.0.borrow_mut().push((id, addr));
            }
            b"close" => {
                for (id, _) in self.0.borrow().iter() {
                    cx.io.close(*id);
                }
            }
            _ => {}
        }
        cx.send(b".");
        Ok(())
    }
}

#[test]
fn a_handler_may_listen_and_close_that_listener() {
    let opened = Opened::default();
    let seen = Rc::clone(&opened);
    let mut harness = Harness::new();
    let addr = harness.serve(Kind::Tcp, move |_| Opens(Rc::clone(&seen)));
    let mut client = Client::connect(&addr);
    for _ in 0..3 {
        client.send(b"open");
        assert_eq!(harness.receive(&mut client, 1), b".");
    }
    let all: Vec<(SocketId, Addr)> = opened.borrow().clone();
    let mut guests: Vec<Client> = all.iter().map(|(_, addr)| Client::connect(addr)).collect();
    for guest in &mut guests {
        harness.echo(guest, b"hello");
    }
    client.send(b"close");
    assert_eq!(harness.receive(&mut client, 1), b".");
    harness.turn(Some(Duration::from_millis(1))).unwrap();
    for (id, addr) in &all {
        assert!(!harness.io().is_open(*id));
        assert!(std::net::TcpStream::connect(addr.ip().unwrap()).is_err());
    }
    for guest in &mut guests {
        harness.echo(guest, b"still served");
    }
}

#[test]
fn an_address_in_use_is_an_error_that_names_it() {
    let mut harness = Harness::new();
    let addr = harness.serve(Kind::Tcp, |_| Echo);
    let error = harness.listen(addr.clone(), |_| Echo).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    assert!(error.to_string().contains(&addr.to_string()), "{error}");
    let mut client = Client::connect(&addr);
    harness.echo(&mut client, b"unharmed");
}

/// Ends all connections by turns, itself as well.
struct Judge;
impl Handler<Ids> for Judge {
    fn setup(&mut self, cx: &mut Context<'_, Ids>) -> io::Result<()> {
        cx.shared.push(cx.id);
        Ok(())
    }

    fn handle(&mut self, cx: &mut Context<'_, Ids>, input: &mut Input<'_>) -> io::Result<()> {
        input.take_all();
        for (n, &id) in cx.shared.iter().enumerate() {
            cx.io.send(id, b"over");
            if n % 2 == 0 {
                cx.io.close(id)
            } else {
                cx.io.abort(id)
            };
        }
        Ok(())
    }
}

#[test]
fn one_handler_may_close_and_abort_others_in_every_order() {
    for judge in 0..6_usize {
        let mut harness: Harness<Ids> = Harness::with_shared(Vec::new(), Options::default());
        let (journal, addr) = harness.serve_recorded(Kind::Tcp, move |_| Judge);
        let mut clients = Client::connect_many(&addr, 6);
        harness.until(|server| server.shared_mut().len() == 6);
        // Everybody has something to be read in the very turn in which all are closed.
        clients.swap(0, judge);
        for client in &mut clients {
            client.send(b"now");
        }
        harness.until(|_| clients.iter_mut().all(Client::look));
        drop(clients);
        harness.until_ended(6);
        assert_eq!(journal.count(|call| matches!(call, Call::Handle(_))), 1, "it was the last");
        assert_eq!(
            (harness.ended(CloseReason::Closed), harness.ended(CloseReason::Aborted)),
            (3, 3)
        );
        journal.assert_order(true);
    }
}

#[test]
fn closing_and_aborting_oneself_twice_is_one_end() {
    let mut harness = Harness::new();
    let (journal, addr) = harness.serve_recorded(Kind::Tcp, move |_| {
        on_setup(|cx: &mut Context<'_>| {
            cx.close();
            cx.close();
            cx.io.abort(cx.id);
            cx.io.abort(cx.id);
            cx.close();
            Ok(())
        })
    });
    let mut client = Client::connect(&addr);
    harness.until(|_| client.look());
    harness.until_ended(1);
    assert_eq!(journal.finishes().len(), 1);
}

/// Echoes on the first connection, which every other one pauses and resumes by turns.
struct Remote {
    pauses: bool,
}

impl Handler<Ids> for Remote {
    fn setup(&mut self, cx: &mut Context<'_, Ids>) -> io::Result<()> {
        cx.shared.push(cx.id);
        Ok(())
    }

    fn handle(&mut self, cx: &mut Context<'_, Ids>, input: &mut Input<'_>) -> io::Result<()> {
        let first = *cx.shared.first().unwrap();
        if first == cx.id {
            cx.send(input.take_all());
            return Ok(());
        }
        input.take_all();
        self.pauses = !self.pauses;
        if self.pauses {
            cx.io.pause(first);
        } else {
            cx.io.resume(first);
        }
        cx.send(b".");
        Ok(())
    }
}

#[test]
fn one_handler_may_pause_and_resume_another() {
    let mut harness: Harness<Ids> = Harness::with_shared(Vec::new(), Options::default());
    let addr = harness.serve(Kind::Tcp, |_| Remote { pauses: false });
    let mut first = Client::connect(&addr);
    harness.echo(&mut first, b"x");
    let mut second = Client::connect(&addr);
    let steps = harness.steps();
    for _ in 0..3 {
        second.send(b"pause");
        assert_eq!(harness.receive(&mut second, 1), b".");
        first.send(b"held");
        harness.until_quiet(&steps);
        first.look();
        assert_eq!(first.received, b"");
        second.send(b"resume");
        assert_eq!(harness.receive(&mut second, 1), b".");
        assert_eq!(harness.receive(&mut first, 4), b"held");
    }
}

/// Opens a connection when it ends, and closes all others.
struct Heirs {
    target: Addr,
    journal: CallLog,
}

impl Handler<Ids> for Heirs {
    fn setup(&mut self, cx: &mut Context<'_, Ids>) -> io::Result<()> {
        cx.shared.push(cx.id);
        Ok(())
    }

    fn handle(&mut self, _: &mut Context<'_, Ids>, _: &mut Input<'_>) -> io::Result<()> {
        Ok(())
    }

    fn finish(&mut self, cx: &mut Context<'_, Ids>, _: io::Result<()>) {
        let heir = Recording::new(
            &self.journal,
            on_setup(|cx: &mut Context<'_, Ids>| {
                cx.send(b"from an heir");
                cx.close();
                Ok(())
            }),
        );
        cx.connect(self.target.clone(), heir).unwrap();
        for id in cx.shared.drain(..) {
            cx.io.close(id);
        }
    }
}

#[test]
fn a_handler_may_open_and_end_things_in_its_finish() {
    let mut harness: Harness<Ids> = Harness::with_shared(Vec::new(), Options::default());
    let received: Rc<RefCell<Vec<u8>>> = Rc::default();
    let seen = Rc::clone(&received);
    let target = harness.serve(Kind::Unix, move |_| {
        let seen = Rc::clone(&seen);
        on_input(move |_: &mut Context<'_, Ids>, input| {
            seen.borrow_mut().extend_from_slice(input.take_all());
            Ok(())
        })
    });
    let journal = CallLog::default();
    let witness = journal.clone();
    let addr = harness
        .serve(Kind::Tcp, move |_| Heirs { target: target.clone(), journal: witness.clone() });
    let mut clients = Client::connect_many(&addr, 3);
    harness.until(|server| server.shared_mut().len() == 3);
    clients.pop();
    harness.until(|_| clients.iter_mut().all(Client::look));
    drop(clients);
    harness.until_ended(9);
    assert_eq!(received.borrow().len(), 3 * 12);
    journal.assert_order(true);
}

#[test]
fn a_timer_may_be_set_for_another_and_tells_that_other() {
    struct Wakes(Rc<RefCell<Vec<SocketId>>>);
    impl Handler<Ids> for Wakes {
        fn setup(&mut self, cx: &mut Context<'_, Ids>) -> io::Result<()> {
            if let Some(&other) = cx.shared.first() {
                cx.io.set_timer(other, Duration::from_millis(5));
            }
            cx.shared.push(cx.id);
            Ok(())
        }
        fn handle(&mut self, _: &mut Context<'_, Ids>, _: &mut Input<'_>) -> io::Result<()> {
            Ok(())
        }
        fn timeout(&mut self, cx: &mut Context<'_, Ids>, _: TimerId) -> io::Result<()> {
            self.0.borrow_mut().push(cx.id);
            Ok(())
        }
    }
    let mut harness: Harness<Ids> = Harness::with_shared(Vec::new(), Options::default());
    let woken: Rc<RefCell<Vec<SocketId>>> = Rc::default();
    let seen = Rc::clone(&woken);
    let addr = harness.serve(Kind::Tcp, move |_| Wakes(Rc::clone(&seen)));
    let clients = Client::connect_many(&addr, 2);
    harness.until(|_| !woken.borrow().is_empty());
    assert_eq!(woken.borrow().first(), harness.shared_mut().first());
    drop(clients);
}

kinds!(addresses_are_told_by_their_ids);

fn addresses_are_told_by_their_ids(kind: Kind) {
    let mut harness: Harness<Ids> = Harness::with_shared(Vec::new(), Options::default());
    let peers: Rc<RefCell<Vec<Addr>>> = Rc::default();
    let seen = Rc::clone(&peers);
    let addr = harness.serve(kind, move |peer| {
        seen.borrow_mut().push(peer.clone());
        on_setup(|cx: &mut Context<'_, Ids>| {
            cx.shared.push(cx.id);
            Ok(())
        })
    });
    let client = Client::connect(&addr);
    harness.until(|server| server.shared_mut().len() == 1);
    let id = *harness.shared_mut().first().unwrap();
    assert_eq!(harness.io().local_addr(id), Some(addr));
    let name = client.socket.local_addr().unwrap();
    let name = name.as_socket().map_or(Addr::Unnamed, Addr::Ip);
    assert_eq!(harness.io().peer_addr(id), Some(name.clone()));
    assert_eq!(*peers.borrow(), [name]);
}
