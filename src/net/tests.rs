//! Each socket option is checked with `getsockopt`, on every kind of socket that has it.

use std::net::{SocketAddr, TcpListener as StdListener};

use socket2::SockRef;

use super::*;

fn loopback() -> Addr {
    Addr::Ip(SocketAddr::from(([127, 0, 0, 1], 0)))
}

fn loopback_v6() -> Addr {
    Addr::Ip("[::1]:0".parse().unwrap())
}

/// Only there the option decides whether IPv4 peers are served too.
fn wildcard_v6() -> Addr {
    Addr::Ip("[::]:0".parse().unwrap())
}

/// Both values of a boolean option.
const BOTH: [bool; 2] = [false, true];

fn listen(addr: &Addr, options: &Options) -> mio::net::TcpListener {
    match ListenerSocket::listen(addr, options).unwrap() {
        ListenerSocket::Tcp(listener) => listener,
        other => panic!("{other:?}"),
    }
}

/// The accepted socket of a client.
fn accepted(options: &Options) -> Socket {
    let listener = ListenerSocket::listen(&loopback(), options).unwrap();
    let addr = listener.local_addr().unwrap();
    let _client = std::net::TcpStream::connect(addr.ip().unwrap()).unwrap();
    let stream = loop {
        match listener.accept(options) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::yield_now(),
            accepted => break accepted.unwrap().0,
        }
    };
    socket_of(stream)
}

/// A socket that we connected.
fn connected(options: &Options) -> Socket {
    let listener = StdListener::bind("127.0.0.1:0").unwrap();
    let addr = Addr::Ip(listener.local_addr().unwrap());
    socket_of(StreamSocket::connect(&addr, None, options).unwrap())
}

fn socket_of(stream: StreamSocket) -> Socket {
    match stream {
        StreamSocket::Tcp(stream) => Socket::from(std::net::TcpStream::from(stream)),
        #[cfg(unix)]
        StreamSocket::Unix { stream, .. } => {
            Socket::from(std::os::unix::net::UnixStream::from(stream))
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn nodelay_is_that_of_every_tcp_connection() {
    for on in BOTH {
        let options = Options { nodelay: on, ..Options::default() };
        for socket in [accepted(&options), connected(&options)] {
            assert_eq!(socket.tcp_nodelay().unwrap(), on);
        }
    }
}

#[test]
fn keepalive_is_that_of_every_tcp_connection() {
    let options = Options { keepalive: None, ..Options::default() };
    for socket in [accepted(&options), connected(&options)] {
        assert!(!socket.keepalive().unwrap());
    }
    for seconds in [1, 77, 32_767] {
        let idle = Duration::from_secs(seconds);
        let options = Options { keepalive: Some(idle), ..Options::default() };
        for socket in [accepted(&options), connected(&options)] {
            assert!(socket.keepalive().unwrap());
            assert_eq!(socket.tcp_keepalive_time().unwrap(), idle);
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn keepalive_timeout_is_made_of_probes() {
    let plain = accepted(&Options::default());
    let system = (plain.tcp_keepalive_interval().unwrap(), plain.tcp_keepalive_retries().unwrap());
    for (timeout, interval, count) in [
        (None, system.0.as_secs(), system.1),
        (Some(1_000), 1, 1),
        (Some(2_900), 1, 2),
        (Some(10_000), 3, 4),
        (Some(32_767_000), 8_192, 4),
    ] {
        let keepalive_timeout = timeout.map(Duration::from_millis);
        let options = Options { keepalive_timeout, ..Options::default() };
        for socket in [accepted(&options), connected(&options)] {
            assert_eq!(socket.tcp_keepalive_interval().unwrap(), Duration::from_secs(interval));
            assert_eq!(socket.tcp_keepalive_retries().unwrap(), count, "{timeout:?}");
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn user_timeout_is_that_of_every_tcp_connection() {
    let options = Options::default();
    for socket in [accepted(&options), connected(&options)] {
        // The default of the system.
        assert!(socket.tcp_user_timeout().unwrap().unwrap_or_default().is_zero());
    }
    for (timeout, interval) in [(1, 1), (7_000, 1), (80_000, 20), (2_147_483_647, 32_767)] {
        let timeout = Duration::from_millis(timeout);
        let options = Options { user_timeout: Some(timeout), ..Options::default() };
        for socket in [accepted(&options), connected(&options)] {
            assert_eq!(socket.tcp_user_timeout().unwrap(), Some(timeout));
            assert_eq!(socket.tcp_keepalive_interval().unwrap(), Duration::from_secs(interval));
        }
    }
}

#[cfg(unix)]
#[test]
fn the_switches_of_listeners_are_set_as_they_say() {
    for on in BOTH {
        let options =
            Options { reuse_address: on, reuse_port: on, v6_only: on, ..Options::default() };
        for addr in [loopback(), loopback_v6()] {
            let listener = listen(&addr, &options);
            let socket = SockRef::from(&listener);
            assert_eq!(socket.reuse_address().unwrap(), on);
            assert_eq!(socket.reuse_port().unwrap(), on);
        }
        let listener = listen(&wildcard_v6(), &options);
        assert_eq!(SockRef::from(&listener).only_v6().unwrap(), on);
    }
}

/// Linux doubles the requested size (socket(7)).
#[cfg(target_os = "linux")]
#[test]
fn buffers_are_those_of_every_socket() {
    let dir = tempfile::tempdir().unwrap();
    let options =
        Options { receive_buffer: Some(50_000), send_buffer: Some(60_000), ..Options::default() };
    let unix = ListenerSocket::listen(&Addr::Unix(dir.path().join("stream")), &options).unwrap();
    let path = unix.local_addr().unwrap();
    let ours = socket_of(StreamSocket::connect(&path, None, &options).unwrap());
    let theirs = socket_of(unix.accept(&options).unwrap().0);
    for socket in [accepted(&options), connected(&options), ours, theirs] {
        assert_eq!(socket.recv_buffer_size().unwrap(), 100_000);
        assert_eq!(socket.send_buffer_size().unwrap(), 120_000);
    }
    let path = Addr::Unix(dir.path().join("datagrams"));
    for addr in [loopback(), loopback_v6(), path.clone()] {
        for socket in datagram_sockets(&addr, &options) {
            assert_eq!(socket.raw().unwrap().recv_buffer_size().unwrap(), 100_000, "{addr}");
            assert_eq!(socket.raw().unwrap().send_buffer_size().unwrap(), 120_000, "{addr}");
        }
    }
}

/// A bound socket, and one connected to it.
fn datagram_sockets(addr: &Addr, options: &Options) -> [DatagramSocket; 2] {
    let bound = DatagramSocket::bind(addr, options).unwrap();
    let connected = DatagramSocket::connect(&bound.local_addr().unwrap(), options).unwrap();
    [bound, connected]
}

/// The backlog, and one more where systems count from zero (listen(2)).
#[cfg(target_os = "linux")]
#[test]
fn no_more_clients_wait_than_the_backlog_says() {
    let options = Options { backlog: 2, ..Options::default() };
    let listener = listen(&loopback(), &options);
    let addr = listener.local_addr().unwrap();
    let clients: Vec<_> = (0..8).map(|_| mio::net::TcpStream::connect(addr).unwrap()).collect();
    let connected = clients.iter().filter(|client| client.peer_addr().is_ok()).count();
    assert!(connected <= 3, "{connected}");

    let dir = tempfile::tempdir().unwrap();
    let path = Addr::Unix(dir.path().join("stream"));
    let _listener = ListenerSocket::listen(&path, &options).unwrap();
    let clients = (0..8).map(|_| StreamSocket::connect(&path, None, &options));
    assert_eq!(clients.flatten().count(), 3);
}

#[test]
fn the_switches_of_datagram_sockets_are_set_as_they_say() {
    for on in BOTH {
        let options = Options {
            broadcast: on,
            multicast_loop: on,
            v6_only: on,
            reuse_port: on,
            ..Options::default()
        };
        for socket in datagram_sockets(&loopback(), &options) {
            assert_eq!(socket.raw().unwrap().broadcast().unwrap(), on);
            assert_eq!(socket.raw().unwrap().multicast_loop_v4().unwrap(), on);
        }
        for socket in datagram_sockets(&loopback_v6(), &options) {
            assert_eq!(socket.raw().unwrap().broadcast().unwrap(), on);
            assert_eq!(socket.raw().unwrap().multicast_loop_v6().unwrap(), on);
        }
        let socket = DatagramSocket::bind(&wildcard_v6(), &options).unwrap();
        assert_eq!(socket.raw().unwrap().only_v6().unwrap(), on);
        #[cfg(unix)]
        for addr in [loopback(), loopback_v6()] {
            let socket = DatagramSocket::bind(&addr, &options).unwrap();
            assert_eq!(socket.raw().unwrap().reuse_port().unwrap(), on);
            assert!(!socket.raw().unwrap().reuse_address().unwrap());
        }
    }
}

#[test]
fn hops_are_limited_towards_peers_of_both_families() {
    let options = Options {
        ttl: Some(5),
        multicast_ttl: Some(7),
        multicast_loop: false,
        ..Options::default()
    };
    let over_v4 = [DatagramSocket::bind(&loopback(), &options).unwrap()];
    let over_both = DatagramSocket::bind(&wildcard_v6(), &options).unwrap();
    let over_v6 = [&over_both, &DatagramSocket::bind(&loopback_v6(), &options).unwrap()];
    let both = Some(&over_both).filter(|_| cfg!(target_os = "linux"));
    for socket in over_v4.iter().chain(both) {
        assert_eq!(socket.raw().unwrap().ttl_v4().unwrap(), 5);
        assert_eq!(socket.raw().unwrap().multicast_ttl_v4().unwrap(), 7);
        assert!(!socket.raw().unwrap().multicast_loop_v4().unwrap());
    }
    for socket in over_v6 {
        assert_eq!(socket.raw().unwrap().unicast_hops_v6().unwrap(), 5);
        assert_eq!(socket.raw().unwrap().multicast_hops_v6().unwrap(), 7);
        assert!(!socket.raw().unwrap().multicast_loop_v6().unwrap());
    }
}

#[cfg(target_os = "linux")]
#[test]
fn the_values_at_the_edges_are_taken_by_the_system() {
    for (ttl, multicast_ttl) in [(1, 0), (255, 255)] {
        let options = Options {
            ttl: Some(ttl),
            multicast_ttl: Some(multicast_ttl),
            backlog: 0,
            receive_buffer: Some(1),
            send_buffer: Some(i32::MAX as usize),
            ..Options::default()
        };
        options.check().unwrap();
        for addr in [loopback(), loopback_v6()] {
            let socket = DatagramSocket::bind(&addr, &options).unwrap();
            assert!(socket.raw().unwrap().send_buffer_size().unwrap() > 100_000);
            ListenerSocket::listen(&addr, &options).unwrap();
        }
    }
}
