//! Every public name of Python's `socketserver` has something here, and the page says what.

use std::io::{self, BufRead, Write};

use socketserver::blocking::{Handler, Request, Workers};
use socketserver::{Addr, Context, DatagramHandler, Server, SocketId};

type Served = io::Result<(Server, SocketId)>;

// The handlers: one trait for all, and a view that is `rfile` and `wfile`.

struct BaseRequestHandler;

impl Handler for BaseRequestHandler {
    fn setup(&mut self, request: &mut Request<'_>) -> io::Result<()> {
        let _client_address: &Addr = request.client_address();
        request.with_shared(|_server| ())
    }

    fn handle(&mut self, request: &mut Request<'_>) -> io::Result<()> {
        let _request = request.socket();
        Ok(())
    }

    fn finish(&mut self, _request: &mut Request<'_>) -> io::Result<()> {
        Ok(())
    }
}

fn StreamRequestHandler(request: &mut Request<'_>) -> io::Result<()> {
    let mut line = String::new();
    request.read_line(&mut line)?;
    request.write_all(line.as_bytes())
}

fn DatagramRequestHandler(request: &mut Request<'_>) -> io::Result<()> {
    let packet = request.datagram().unwrap_or_default().to_vec();
    request.write_all(&packet)
}

/// The other one for datagrams, which does not block.
struct Datagrams;

impl DatagramHandler for Datagrams {
    fn handle(&mut self, cx: &mut Context<'_>, packet: &[u8], _peer: &Addr) -> io::Result<()> {
        cx.reply(packet);
        Ok(())
    }
}

// What the servers have in common, and how the mix-ins make others of them.

fn BaseServer() -> Server {
    Server::new().unwrap()
}

fn ThreadingMixIn() -> Workers {
    Workers::threads(4)
}

#[cfg(all(unix, feature = "processes"))]
fn ForkingMixIn() -> Workers {
    Workers::processes(socketserver::blocking::MAX_CHILDREN)
}

fn stream(addr: &Addr, mode: &Workers) -> Served {
    let mut server = BaseServer();
    let id = server.listen_blocking(addr, mode, |_peer| StreamRequestHandler)?;
    Ok((server, id))
}

fn datagrams(addr: &Addr, mode: &Workers) -> Served {
    let mut server = BaseServer();
    let id = server.bind_blocking(addr, mode, |_peer| DatagramRequestHandler)?;
    Ok((server, id))
}

fn ip() -> Addr {
    Addr::Ip(([127, 0, 0, 1], 0).into())
}

fn TCPServer() -> Served {
    stream(&ip(), &Workers::inline())
}

fn UDPServer() -> Served {
    datagrams(&ip(), &Workers::inline())
}

fn ThreadingTCPServer() -> Served {
    stream(&ip(), &ThreadingMixIn())
}

fn ThreadingUDPServer() -> Served {
    datagrams(&ip(), &ThreadingMixIn())
}

#[cfg(unix)]
fn UnixStreamServer(path: &Addr) -> Served {
    stream(path, &Workers::inline())
}

#[cfg(unix)]
fn UnixDatagramServer(path: &Addr) -> Served {
    datagrams(path, &Workers::inline())
}

#[cfg(unix)]
fn ThreadingUnixStreamServer(path: &Addr) -> Served {
    stream(path, &ThreadingMixIn())
}

#[cfg(unix)]
fn ThreadingUnixDatagramServer(path: &Addr) -> Served {
    datagrams(path, &ThreadingMixIn())
}

#[cfg(all(unix, feature = "processes"))]
fn ForkingTCPServer() -> Served {
    stream(&ip(), &ForkingMixIn())
}

#[cfg(all(unix, feature = "processes"))]
fn ForkingUDPServer() -> Served {
    datagrams(&ip(), &ForkingMixIn())
}

#[cfg(all(unix, feature = "processes"))]
fn ForkingUnixStreamServer(path: &Addr) -> Served {
    stream(path, &ForkingMixIn())
}

#[cfg(all(unix, feature = "processes"))]
fn ForkingUnixDatagramServer(path: &Addr) -> Served {
    datagrams(path, &ForkingMixIn())
}

#[track_caller]
fn has_its_address(made: Served) {
    let (server, id) = made.unwrap();
    let addr = server.io().local_addr(id).unwrap();
    assert!(addr.path().is_some() || addr.port().is_some_and(|port| port > 0), "{addr}");
}

#[test]
fn servers_without_a_mix_in_and_with_threads_are_there() {
    for server in [TCPServer, UDPServer, ThreadingTCPServer, ThreadingUDPServer] {
        has_its_address(server());
    }
    let mut server = BaseServer();
    server.listen_blocking(ip(), &Workers::inline(), |_peer| BaseRequestHandler).unwrap();
    server.bind(ip(), Datagrams).unwrap();
}

#[cfg(unix)]
#[test]
fn those_of_unix_are_there() {
    let directory = tempfile::TempDir::new().unwrap();
    let path = Addr::Unix(directory.path().join("server"));
    for server in [
        UnixStreamServer,
        UnixDatagramServer,
        ThreadingUnixStreamServer,
        ThreadingUnixDatagramServer,
    ] {
        has_its_address(server(&path));
    }
}

/// This program has several threads, and is told so.
#[cfg(all(unix, feature = "processes"))]
#[test]
fn those_that_fork_are_there_and_want_one_thread() {
    let path = Addr::Unix("/nowhere/at/all".into());
    for result in [
        ForkingTCPServer(),
        ForkingUDPServer(),
        ForkingUnixStreamServer(&path),
        ForkingUnixDatagramServer(&path),
    ] {
        let error = result.map(drop).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::Unsupported, "{error}");
    }
}

/// `__all__` of Python 3.11 on Unix, and the two that 3.12 has added.
const NAMES: [&str; 18] = [
    "BaseServer",
    "TCPServer",
    "UDPServer",
    "ThreadingUDPServer",
    "ThreadingTCPServer",
    "BaseRequestHandler",
    "StreamRequestHandler",
    "DatagramRequestHandler",
    "ThreadingMixIn",
    "ForkingUDPServer",
    "ForkingTCPServer",
    "ForkingMixIn",
    "UnixStreamServer",
    "UnixDatagramServer",
    "ThreadingUnixStreamServer",
    "ThreadingUnixDatagramServer",
    "ForkingUnixStreamServer",
    "ForkingUnixDatagramServer",
];

const PAGE: &str = include_str!("../../src/guide/from_python.rs");

#[test]
fn the_page_has_a_row_for_every_name() {
    for name in NAMES {
        let rows = PAGE.lines().filter(|line| line.starts_with(&format!("//! | `{name}`"))).count();
        assert_eq!(rows, 1, "{name}");
    }
}

#[test]
fn every_name_is_used_in_this_test() {
    let text = include_str!("coming_from_python.rs");
    for name in NAMES {
        let declared = text.contains(&format!("fn {name}("));
        assert!(declared || text.contains(&format!("struct {name};")), "{name}");
    }
}
