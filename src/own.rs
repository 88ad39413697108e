//! The addresses from which this server itself sends datagrams, so that it never answers itself.
//!
//! The sender of a datagram is easily forged. One that seems to come from an echo service, sent to
//! an echo service, would be answered for ever (CERT CA-1996-01).

use std::net::{IpAddr, SocketAddr};

use crate::id::SocketId;

/// The IP addresses that datagram sockets of this server are bound to.
#[derive(Debug, Default)]
pub(crate) struct OwnAddrs {
    bound: Vec<(SocketId, SocketAddr)>,
    /// The port of each of them, for the question that is asked about every datagram.
    ports: Vec<u16>,
    /// What the system said last about an address: interfaces seldom change, and asking costs.
    asked: Option<(IpAddr, bool)>,
}

impl OwnAddrs {
    pub(crate) fn insert(&mut self, id: SocketId, addr: SocketAddr) {
        self.bound.push((id, addr));
        self.note_ports();
    }

    pub(crate) fn remove(&mut self, id: SocketId) {
        self.bound.retain(|(bound, _)| *bound != id);
        self.note_ports();
    }

    fn note_ports(&mut self) {
        self.ports.clear();
        self.ports.extend(self.bound.iter().map(|(_, own)| own.port()));
    }

    /// Whether `peer` may be one of these: the question that costs nothing.
    #[inline]
    pub(crate) fn may_be(&self, peer: SocketAddr) -> bool {
        let port = peer.port();
        // There are few; `contains` is made for many, and costs more to begin.
        for own in &self.ports {
            if *own == port {
                return true;
            }
        }
        false
    }

    /// Whether `peer` is the address of socket `of`, or of any if that is `None`. `is_local` says
    /// whether an address belongs to this machine.
    pub(crate) fn is_own(
        &mut self,
        of: Option<SocketId>,
        peer: SocketAddr,
        is_local: impl FnOnce(IpAddr) -> bool,
    ) -> bool {
        let ip = peer.ip().to_canonical();
        let mut wildcard = false;
        for (id, own) in &self.bound {
            if own.port() == peer.port() && of.is_none_or(|of| of == *id) {
                if own.ip().to_canonical() == ip {
                    return true;
                }
                wildcard |= own.ip().is_unspecified();
            }
        }
        if !wildcard {
            return false;
        }
        match self.asked {
            Some((asked, answer)) if asked == ip => answer,
            _ => {
                let answer = is_local(ip);
                self.asked = Some((ip, answer));
                answer
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mio::Token;

    #[test]
    fn an_own_address_is_known_under_all_its_names() {
        let (one, two) = (SocketId::from_token(Token(1)), SocketId::from_token(Token(2)));
        let addr = |text: &str| text.parse::<SocketAddr>().unwrap();
        let mut own = OwnAddrs::default();
        own.insert(one, addr("127.0.0.1:7"));
        own.insert(two, addr("[::]:9"));
        let never = |_: IpAddr| -> bool { panic!("nobody is asked about an exact address") };
        assert!(own.is_own(None, addr("127.0.0.1:7"), never));
        assert!(own.is_own(Some(one), addr("[::ffff:127.0.0.1]:7"), never));
        assert!(!own.is_own(Some(two), addr("127.0.0.1:7"), never));
        assert!(!own.is_own(None, addr("127.0.0.2:7"), never));
        assert!(!own.is_own(None, addr("127.0.0.1:8"), never));
        assert!(own.may_be(addr("10.0.0.1:9")) && !own.may_be(addr("10.0.0.1:8")));
        assert!(own.is_own(Some(two), addr("10.0.0.1:9"), |_| true));
        assert!(own.is_own(Some(two), addr("10.0.0.1:9"), never), "it was asked before");
        assert!(!own.is_own(Some(two), addr("10.0.0.2:9"), |_| false));
        own.remove(two);
        assert!(!own.is_own(None, addr("10.0.0.1:9"), never));
    }
}
