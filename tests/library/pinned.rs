//! What the suites of other libraries hold for sure: states of a path, descriptors that no program inherits,
//! wildcards as destinations, both families at one port, short timers, the order of clients, a shutdown with
//! every kind of socket, several threads that wait.

use std::cell::RefCell;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, UdpSocket};
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, SockAddr, Socket, Type};
use socketserver::{Addr, Connect, Context, Echo, Options, Server, TraceEvent};

use crate::support::{Client, Discard, Harness, Kind, PATIENCE, on_datagram, on_setup};

/// Something at a path that is not the socket of a dead server.
fn occupy(state: &str, path: &Path) -> Box<dyn std::any::Any> {
    match state {
        "file" => {
            std::fs::write(path, b"mine").unwrap();
            Box::new(())
        }
        "directory" => {
            std::fs::create_dir(path).unwrap();
            Box::new(())
        }
        "fifo" => {
            let made = std::process::Command::new("mkfifo").arg(path).status();
            assert!(made.unwrap().success());
            Box::new(())
        }
        "stream" => Box::new(UnixListener::bind(path).unwrap()),
        "datagram" => Box::new(UnixDatagram::bind(path).unwrap()),
        "seqpacket" => {
            let socket = Socket::new(Domain::UNIX, Type::SEQPACKET, None).unwrap();
            socket.bind(&SockAddr::unix(path).unwrap()).unwrap();
            socket.listen(1).unwrap();
            Box::new(socket)
        }
        "symlink to a live one" => {
            let target = path.with_extension("target");
            let socket = UnixListener::bind(&target).unwrap();
            symlink(&target, path).unwrap();
            Box::new(socket)
        }
        _ => {
            symlink(path.with_extension("nothing"), path).unwrap();
            Box::new(())
        }
    }
}

#[test]
fn what_is_at_a_path_and_is_no_dead_socket_stays_there() {
    for state in [
        "file",
        "directory",
        "fifo",
        "stream",
        "datagram",
        "seqpacket",
        "symlink to a live one",
        "symlink to nothing",
    ] {
        let directory = tempfile::TempDir::new().unwrap();
        let path = directory.path().join("socket");
        let _kept = occupy(state, &path);
        let before = std::fs::symlink_metadata(&path).unwrap();
        let mut server = Server::new().unwrap();
        let streams = server.listen(path.clone(), |_: &Addr| Echo).map(drop);
        let datagrams = server.bind(path.clone(), Echo).map(drop);
        for refused in [streams, datagrams] {
            assert_eq!(refused.unwrap_err().kind(), ErrorKind::AddrInUse, "{state}");
        }
        drop(server);
        let after = std::fs::symlink_metadata(&path).unwrap();
        assert_eq!(before.file_type(), after.file_type(), "{state}");
    }
}

/// Other tests of this program open descriptors too, and those are no better.
#[test]
#[cfg(target_os = "linux")]
fn no_program_that_is_started_inherits_a_socket() {
    let mut h = Harness::new();
    let addrs = Kind::ALL.map(|kind| h.serve(kind, |_| Echo));
    h.serve_datagrams(crate::support::DatagramKind::V4, Echo);
    let mut clients = Vec::new();
    for addr in addrs {
        h.connect(addr.clone(), Discard).unwrap();
        clients.push(Client::connect(&addr));
    }
    h.until(|server| server.io().stats().accepted == 4);
    let listed = std::process::Command::new("ls").args(["-l", "/proc/self/fd"]).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(listed.contains("/proc/"), "{listed}");
    for kind in ["socket:", "eventpoll", "eventfd"] {
        assert!(!listed.contains(kind), "{listed}");
    }
}

#[test]
fn a_wildcard_as_a_destination_is_this_machine() {
    for (listens, to) in
        [("127.0.0.1:0", "0.0.0.0"), ("[::]:0", "::"), ("[::]:0", "0.0.0.0"), ("[::1]:0", "::")]
    {
        if listens.starts_with('[') && TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
            println!("skipped: there is no IPv6 here");
            continue;
        }
        let mut h = Harness::new();
        let id = h.listen(listens, |_| Echo).unwrap();
        let port = h.io().local_addr(id).unwrap().port().unwrap();
        let to: std::net::IpAddr = to.parse().unwrap();
        let hello = on_setup(|cx: &mut Context<'_>| {
            cx.send(b"hello");
            cx.close();
            Ok(())
        });
        h.connect(Addr::Ip((to, port).into()), hello).unwrap();
        h.until(|server| server.io().stats().accepted == 1 && server.io().stats().bytes_in == 5);
    }
}

#[test]
fn both_families_have_one_port_each_for_itself() {
    let Ok(six) = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)) else {
        return println!("skipped: there is no IPv6 here");
    };
    drop(six);
    let options = Options { v6_only: true, ..Options::default() };
    let mut h = Harness::with_shared((), options);
    let mut opened = None;
    // The port of the one may belong to somebody else in the other family.
    for _ in 0..20 {
        let four = h.listen("0.0.0.0:0", |_| Echo).unwrap();
        let port = h.io().local_addr(four).unwrap().port().unwrap();
        if h.listen(format!("[::]:{port}"), |_| Echo).is_ok() {
            opened = Some(port);
            break;
        }
    }
    let port = opened.expect("a port that is free in both");
    let addrs = [
        Addr::Ip((Ipv4Addr::LOCALHOST, port).into()),
        Addr::Ip((Ipv6Addr::LOCALHOST, port).into()),
    ];
    for addr in addrs {
        let mut client = Client::connect(&addr);
        h.echo(&mut client, b"here");
    }
}

#[test]
fn clients_are_accepted_in_the_order_in_which_they_came() {
    let options = Options { accepts_per_turn: 3, ..Options::default() };
    let mut h = Harness::with_shared((), options);
    let seen = Rc::new(RefCell::new(Vec::new()));
    let witness = Rc::clone(&seen);
    let addr = h.serve(Kind::Tcp, move |peer: &Addr| {
        witness.borrow_mut().push(peer.port().unwrap());
        Echo
    });
    let clients = Client::connect_many(&addr, 20);
    let ports: Vec<u16> = clients
        .iter()
        .map(|client| client.socket.local_addr().unwrap().as_socket().unwrap().port())
        .collect();
    h.until(|server| server.io().stats().accepted == 20);
    assert_eq!(*seen.borrow(), ports);
}

#[test]
fn timers_below_a_millisecond_are_never_early_and_do_not_spin() {
    for micros in [1, 100, 300, 900] {
        let after = Duration::from_micros(micros);
        let mut h = Harness::with_shared(None, Options::default());
        let clock = h
            .add_timer_handler(|cx| {
                *cx.shared = Some(Instant::now());
                Ok(())
            })
            .unwrap();
        let steps = h.steps();
        let began = Instant::now();
        h.io_mut().set_timer(clock, after);
        while h.shared().is_none() {
            h.turn(None).unwrap();
        }
        let rang = h.shared().unwrap();
        assert!(rang - began >= after, "{:?} of {after:?}", rang - began);
        let polls = steps.count(|step| matches!(step, TraceEvent::Polled(_)));
        assert!(polls <= 3, "{polls} polls for {after:?}");
    }
}

#[test]
fn a_shutdown_ends_every_kind_of_socket_at_once() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = Addr::Ip(silent.local_addr().unwrap());
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut h = Harness::new();
    let addrs = Kind::ALL.map(|kind| h.serve(kind, |_| Echo));
    h.serve_datagrams(crate::support::DatagramKind::V4, Echo);
    h.serve_datagrams(crate::support::DatagramKind::Unix, Echo);
    h.connect_datagram(
        Addr::Ip(peer.local_addr().unwrap()),
        on_datagram(|_: &mut Context<'_>, _: &[u8], _: &Addr| Ok(())),
    )
    .unwrap();
    let clock = h.add_timer_handler(|_| Ok(())).unwrap();
    h.io_mut().set_timer(clock, PATIENCE);
    h.connect(Connect::to(silent).unwrap().delay(PATIENCE), Discard).unwrap();
    let mut clients: Vec<Client> = addrs.iter().map(Client::connect).collect();
    h.until(|server| server.io().stats().accepted == 2);
    let began = Instant::now();
    let report = h.shutdown(PATIENCE).unwrap();
    assert!(began.elapsed() < PATIENCE / 2, "{:?}", began.elapsed());
    assert_eq!((report.forced, report.bytes_dropped), (0, 0));
    assert!(clients.iter_mut().all(Client::look), "each is told");
    assert_eq!(h.io().connection_count(), 0);
}

#[test]
fn any_number_of_threads_may_wait_for_the_end() -> io::Result<()> {
    let mut server = Server::new()?;
    server.listen("127.0.0.1:0", |_: &Addr| Echo)?;
    let waiting: Vec<_> = (0..5)
        .map(|_| {
            let handle = server.handle();
            thread::spawn(move || handle.wait(PATIENCE))
        })
        .collect();
    let report = server.shutdown(Duration::ZERO)?;
    for thread in waiting {
        assert_eq!(thread.join().unwrap(), Some(report));
    }
    Ok(())
}
