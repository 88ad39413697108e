//! Names of Unix sockets: abstract ones, paths that are no text, and paths in a directory that the
//! program has left.

use std::ffi::OsStr;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use socketserver::{Addr, Context, Handler, Input, Options, Server};

use crate::support::PATIENCE;

/// Turns the loop until `done`.
fn turn_until<S>(server: &mut Server<S>, mut done: impl FnMut(&mut Server<S>) -> bool) {
    let end = std::time::Instant::now() + PATIENCE;
    while !done(server) {
        assert!(std::time::Instant::now() < end, "nothing happens");
        server.turn(Some(Duration::from_millis(10))).unwrap();
    }
}

#[test]
fn a_path_that_is_no_text_is_taken_exactly_and_removed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(OsStr::from_bytes(b"\xFF\xFE socket"));
    let mut server: Server = Server::new().unwrap();
    let typed = OsStr::from_bytes(&[b"unix:", path.as_os_str().as_bytes()].concat()).to_owned();
    let id = server.listen(typed, |_: &Addr| socketserver::Echo).unwrap();
    let addr = server.io().local_addr(id).unwrap();
    assert_eq!((&addr, addr.to_os_string()), (&Addr::Unix(path.clone()), path.clone().into()));
    let mut client = UnixStream::connect(&path).unwrap();
    client.write_all(b"hello").unwrap();
    turn_until(&mut server, |server| server.io().stats().bytes_out == 5);
    drop(server);
    assert!(!path.exists());
}

#[cfg(target_os = "linux")]
mod abstract_names {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::SocketAddr;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    /// A name that nobody else has.
    fn name() -> Addr {
        static TAKEN: AtomicU32 = AtomicU32::new(0);
        let nth = TAKEN.fetch_add(1, Ordering::Relaxed);
        Addr::Abstract(format!("\u{0}socketserver-test-{}-{nth}\u{0}", std::process::id()).into())
    }

    fn of_std(addr: &Addr) -> SocketAddr {
        let Addr::Abstract(name) = addr else { panic!("{addr} is not abstract") };
        SocketAddr::from_abstract_name(name).unwrap()
    }

    struct Listens(Arc<Mutex<Vec<u8>>>);

    impl Handler for Listens {
        fn handle(&mut self, cx: &mut Context<'_>, input: &mut Input<'_>) -> io::Result<()> {
            self.0.lock().unwrap().extend_from_slice(input.take_all());
            cx.close();
            Ok(())
        }
    }

    #[test]
    fn streams_listen_and_connect_there() {
        let there = name();
        let mut server: Server = Server::new().unwrap();
        let id = server.listen(&there, |_: &Addr| socketserver::Echo).unwrap();
        assert_eq!(server.io().local_addr(id), Some(there.clone()));
        // Somebody else's client, and one of our own.
        let mut client = UnixStream::connect_addr(&of_std(&there)).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client.write_all(b"hello").unwrap();
        let got = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&got);
        let ask = server.connect(&there, Listens(heard)).unwrap();
        turn_until(&mut server, |server| server.io().peer_addr(ask) == Some(there.clone()));
        server.io_mut().send(ask, b"from inside");
        turn_until(&mut server, |_| *got.lock().unwrap() == b"from inside");
        let mut answer = [0; 5];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"hello");
        // One at a time has it, and it is free when that one has gone.
        let mut second: Server = Server::new().unwrap();
        let error = second.listen(&there, |_: &Addr| socketserver::Echo).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AddrInUse);
        assert!(error.to_string().contains(&there.to_string()), "{error}");
        drop(server);
        second.listen(&there, |_: &Addr| socketserver::Echo).unwrap();
        assert!(!Path::new(".").join(there.to_string()).exists());
    }

    #[test]
    fn a_client_is_known_by_its_abstract_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("server");
        let own = name();
        let mut server = Server::with_shared(Vec::<Addr>::new(), Options::default()).unwrap();
        server.set_verify_request(|seen, peer| {
            seen.push(peer.clone());
            true
        });
        server.listen(path.as_path(), |_: &Addr| socketserver::Echo).unwrap();
        let client = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None);
        let client = client.unwrap();
        let Addr::Abstract(bytes) = &own else { panic!("{own} is not abstract") };
        let bytes = [b"\0", bytes.as_slice()].concat();
        client.bind(&socket2::SockAddr::unix(OsStr::from_bytes(&bytes)).unwrap()).unwrap();
        client.connect(&socket2::SockAddr::unix(&path).unwrap()).unwrap();
        turn_until(&mut server, |server| !server.shared_mut().is_empty());
        assert_eq!(*server.shared(), [own]);
    }

    /// One datagram, and more than go in one system call.
    #[test]
    fn datagrams_are_bound_sent_and_answered_there() {
        let (there, own) = (name(), name());
        let mut server: Server = Server::new().unwrap();
        let id = server
            .bind(&there, |cx: &mut Context<'_>, packet: &[u8], peer: &Addr| {
                cx.reply(packet);
                cx.send_to(b"twice", peer);
                Ok(())
            })
            .unwrap();
        assert_eq!(server.io().local_addr(id), Some(there.clone()));
        let client = UnixDatagram::bind_addr(&of_std(&own)).unwrap();
        client.connect_addr(&of_std(&there)).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        for n in 0..3_u8 {
            client.send(&[n]).unwrap();
        }
        turn_until(&mut server, |server| server.io().stats().packets_out == 6);
        let mut packet = [0; 16];
        for n in 0..3_u8 {
            let len = client.recv(&mut packet).unwrap();
            assert_eq!(&packet[..len], [n]);
            let len = client.recv(&mut packet).unwrap();
            assert_eq!(&packet[..len], b"twice");
        }
        // A single one, to the name alone.
        server.io_mut().send_to(id, b"once", &own);
        turn_until(&mut server, |server| server.io().stats().packets_out == 7);
        let len = client.recv(&mut packet).unwrap();
        assert_eq!(&packet[..len], b"once");
        let nowhere = name();
        server.io_mut().send_to(id, b"lost", &nowhere);
        turn_until(&mut server, |server| server.io().stats().packets_dropped == 1);
    }

    #[test]
    fn datagram_clients_connect_there_and_an_own_name_is_known() {
        let (there, own) = (name(), name());
        let mut server: Server = Server::new().unwrap();
        let answered = Arc::new(Mutex::new(0));
        server.bind(&there, socketserver::Echo).unwrap();
        let count = Arc::clone(&answered);
        let client = server.bind(&own, move |_: &mut Context<'_>, _: &[u8], _: &Addr| {
            *count.lock().unwrap() += 1;
            Ok(())
        });
        let client = client.unwrap();
        // Bound to a name of this server, it would be taken for the server itself.
        server.io_mut().send_to(client, b"who am I", &there);
        turn_until(&mut server, |server| server.io().stats().packets_refused == 1);
        assert_eq!(*answered.lock().unwrap(), 0);
        let peer = UnixDatagram::bind_addr(&of_std(&name())).unwrap();
        let addr = peer.local_addr().unwrap();
        let addr = Addr::Abstract(addr.as_abstract_name().unwrap().to_vec());
        server.io_mut().connect_peer(client, &addr).unwrap();
        assert_eq!(server.io().peer_addr(client), Some(addr.clone()));
        let ask = server.connect_datagram(&addr, socketserver::Echo).unwrap();
        for id in [client, ask] {
            server.io_mut().send(id, b"to the peer");
        }
        turn_until(&mut server, |server| server.io().stats().packets_out == 3);
        peer.set_read_timeout(Some(PATIENCE)).unwrap();
        for _ in 0..2 {
            assert_eq!(peer.recv(&mut [0; 16]).unwrap(), b"to the peer".len());
        }
    }

    #[test]
    fn names_that_cannot_be_are_refused_with_the_reason() {
        let mut server: Server = Server::new().unwrap();
        for (bad, why) in [
            (Addr::Abstract(Vec::new()), "empty"),
            (Addr::Abstract(vec![b'x'; 108]), "107"),
            (Addr::Unix("a\0b".into()), "zero byte"),
            (Addr::Unix("\0b".into()), "zero byte"),
        ] {
            let errors = [
                server.listen(&bad, |_: &Addr| socketserver::Echo),
                server.bind(&bad, socketserver::Echo),
                server.connect_datagram(&bad, socketserver::Echo),
            ];
            for error in errors.map(Result::unwrap_err) {
                assert_eq!(error.kind(), ErrorKind::InvalidInput, "{bad:?}: {error}");
                assert!(error.to_string().contains(why), "{bad:?}: {error}");
            }
        }
        server.listen(Addr::Abstract(vec![b'x'; 107]), |_: &Addr| socketserver::Echo).unwrap();
    }
}
