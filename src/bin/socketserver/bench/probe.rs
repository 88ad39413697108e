//! Which address of a name a run drives: the first that answers.

use std::ffi::{OsStr, OsString};
use std::io;
use std::time::Duration;

use socketserver::{Addr, Connect, Context, Handler, Input, Options, Server, ToAddrs};

use super::scenario::SocketKind;
use crate::connect::skip_vacant;

/// How long all addresses together may take to answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The address that all connections of a run go to. When none answers, the first one, so that the run
/// itself says why.
pub(crate) fn address(transport: SocketKind, name: &OsStr) -> io::Result<OsString> {
    let Some(name) = name.to_str().filter(|_| transport.is_ip()) else {
        return Ok(name.into());
    };
    let mut addrs = name.to_addrs()?;
    if transport == SocketKind::Udp {
        skip_vacant(&mut addrs);
    } else if addrs.len() > 1 {
        if let Some(addr) = first_that_stands(name)? {
            return Ok(addr.to_os_string());
        }
    }
    Ok(addrs.first().map_or_else(|| name.into(), Addr::to_os_string))
}

/// The peer, once it is connected.
fn first_that_stands(name: &str) -> io::Result<Option<Addr>> {
    let options = Options { connect_timeout: TIMEOUT, ..Options::default() };
    let mut server = Server::with_shared(None, options)?;
    server.connect(Connect::to_name(name), Probe)?;
    while server.io().connection_count() > 0 {
        server.turn(None)?;
    }
    Ok(server.shared_mut().take())
}

/// Notes where it came to, and goes again.
struct Probe;

impl Handler<Option<Addr>> for Probe {
    fn setup(&mut self, cx: &mut Context<'_, Option<Addr>>) -> io::Result<()> {
        *cx.shared = cx.io.peer_addr(cx.id);
        cx.io.abort(cx.id);
        Ok(())
    }

    fn handle(&mut self, _: &mut Context<'_, Option<Addr>>, _: &mut Input<'_>) -> io::Result<()> {
        Ok(())
    }
}
