//! An outgoing connection that fails at once leaves nothing behind.

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::addr::Addr;
use crate::handler::Echo;
use crate::io::connect::Connect;
use crate::io::group::{GroupState, LoadBalancing};
use crate::options::Options;
use crate::server::Server;

/// Two loops of a group with one permit.
fn group_of_one_connection() -> [Server<()>; 2] {
    let group = Arc::new(GroupState::new(2, LoadBalancing::LeastConnections, 1));
    [0, 1].map(|index| {
        let mut server = Server::with_shared((), Options::default()).unwrap();
        server.join(&group, index);
        server.end_building().unwrap();
        server
    })
}

#[test]
fn a_failed_connect_returns_its_permit() {
    let missing = || Connect::to(Path::new("/nonexistent/socket")).unwrap();
    let here = || Connect::to("127.0.0.1:9").unwrap();
    let ways: [(&str, Connect, io::ErrorKind); 4] = [
        ("there is nobody", missing(), io::ErrorKind::NotFound),
        ("it is not allowed", here().allow_if(|_| false), io::ErrorKind::PermissionDenied),
        ("of several", Connect::to(&two_missing()[..]).unwrap(), io::ErrorKind::NotFound),
        (
            "our end cannot be",
            here().local_addr("192.0.2.1:0").unwrap(),
            io::ErrorKind::AddrNotAvailable,
        ),
    ];
    for (why, connect, kind) in ways {
        let [mut server, mut other] = group_of_one_connection();
        for _ in 0..3 {
            let error = server.connect(connect.clone(), Echo).unwrap_err();
            assert_eq!(error.kind(), kind, "{why}");
        }
        assert_eq!(server.io().connection_count(), 0);
        assert_eq!(server.io_mut().attempts.len(), 0);
        assert_eq!(server.io().stats().connected, 0);
        assert!(other.io_mut().sockets.reserve(), "{why}: the place is kept");
        // While the other loop has the permit, connecting is refused.
        let error = server.connect(missing().delay(LATER), Echo).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::QuotaExceeded, "{why}");
        other.io_mut().sockets.cancel_reservation();
        server.connect(missing().delay(LATER), Echo).unwrap();
    }
}

const LATER: std::time::Duration = std::time::Duration::from_secs(3_600);

fn two_missing() -> [Addr; 2] {
    ["/nonexistent/a", "/nonexistent/b"].map(|path| Addr::from(Path::new(path)))
}

#[test]
fn a_connect_that_fails_later_returns_its_permit() {
    let [mut server, mut other] = group_of_one_connection();
    server.connect(Connect::to_name("unix:/nonexistent/socket"), Echo).unwrap();
    assert!(!other.io_mut().sockets.reserve());
    while server.io().connection_count() > 0 {
        server.turn(None).unwrap();
    }
    assert!(other.io_mut().sockets.reserve());
}
