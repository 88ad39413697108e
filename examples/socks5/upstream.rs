//! The handler of the connection to a client's destination: replies to the client, then relays.

use std::io;

use socketserver::{Addr, CloseReason, Context, Handler, Input, Relay, SocketId};

use super::handshake::{self, Refusal, SocksTarget, SocksVersion};
use super::rules::ProxyState;

pub(crate) struct Upstream {
    client: SocketId,
    version: SocksVersion,
    by_name: bool,
    relay: Relay,
}

impl Upstream {
    pub(crate) fn new(client: SocketId, version: SocksVersion, target: &SocksTarget) -> Upstream {
        let by_name = matches!(target, SocksTarget::Name(..));
        Upstream { client, version, by_name, relay: Relay::joined_to(client) }
    }
}

impl Refusal {
    /// The reply to a client for an error of connecting.
    pub(crate) fn of(error: &io::Error, target: &SocksTarget) -> Refusal {
        Refusal::of_kind(error.kind(), matches!(target, SocksTarget::Name(..)))
    }

    fn of_kind(kind: io::ErrorKind, by_name: bool) -> Refusal {
        match kind {
            io::ErrorKind::PermissionDenied => Refusal::NotAllowed,
            io::ErrorKind::NetworkUnreachable => Refusal::NetworkUnreachable,
            io::ErrorKind::HostUnreachable | io::ErrorKind::TimedOut => Refusal::HostUnreachable,
            io::ErrorKind::ConnectionRefused => Refusal::ConnectionRefused,
            // std has no error kind for an unknown host.
            _ if by_name => Refusal::HostUnreachable,
            _ => Refusal::General,
        }
    }
}

impl Handler<ProxyState> for Upstream {
    fn setup(&mut self, cx: &mut Context<'_, ProxyState>) -> io::Result<()> {
        let ours = cx.io.local_addr(cx.id).as_ref().and_then(Addr::ip).copied();
        cx.io.send(self.client, &handshake::reply(self.version, Ok(ours)));
        self.relay.start(cx)
    }

    fn handle(
        &mut self,
        cx: &mut Context<'_, ProxyState>,
        input: &mut Input<'_>,
    ) -> io::Result<()> {
        self.relay.handle(cx, input)
    }

    fn eof(&mut self, cx: &mut Context<'_, ProxyState>, rest: &[u8]) -> io::Result<()> {
        self.relay.eof(cx, rest)
    }

    fn drained(&mut self, cx: &mut Context<'_, ProxyState>) -> io::Result<()> {
        self.relay.drained(cx)
    }

    fn shutdown(&mut self, cx: &mut Context<'_, ProxyState>) -> io::Result<()> {
        self.relay.shutdown(cx)
    }

    fn finish(&mut self, cx: &mut Context<'_, ProxyState>, outcome: io::Result<()>) {
        match outcome {
            Err(error) if cx.reason() == Some(CloseReason::ConnectFailed) => {
                let refusal = Refusal::of_kind(error.kind(), self.by_name);
                cx.io.send(self.client, &handshake::reply(self.version, Err(refusal)));
                cx.io.close(self.client);
            }
            outcome => self.relay.finish(cx, outcome),
        }
    }
}
