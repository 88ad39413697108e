//! The addresses from which this server itself sends datagrams, so that it never answers itself.
//!
//! The sender of a datagram is easily forged. One that seems to come from an echo service, sent to
//! an echo service, would be answered for ever (CERT CA-1996-01).

use std::net::{IpAddr, SocketAddr};

use crate::addr::Addr;
use crate::id::SocketId;

/// The addresses that datagram sockets of this server are bound to.
#[derive(Debug, Default)]
pub(crate) struct OwnAddrs {
    bound: Vec<(SocketId, SocketAddr)>,
    /// Of Unix sockets.
    names: Vec<(SocketId, Addr)>,
    /// The port of each of them, for the question that is asked about every datagram.
    ports: Vec<u16>,
    /// What the system said last about an address: interfaces seldom change, and asking costs.
    asked: Option<(IpAddr, bool)>,
}

impl OwnAddrs {
    pub(crate) fn insert(&mut self, id: SocketId, addr: Addr) {
        match addr {
            Addr::Ip(addr) => self.bound.push((id, addr)),
            name @ (Addr::Unix(_) | Addr::Abstract(_)) => self.names.push((id, name)),
            Addr::Unnamed => {}
        }
        self.note_ports();
    }

    pub(crate) fn remove(&mut self, id: SocketId) {
        self.bound.retain(|(bound, _)| *bound != id);
        self.names.retain(|(bound, _)| *bound != id);
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

    /// Whether `name` is that of socket `of`, or of any if that is `None`. The system says who sent a
    /// Unix datagram, so nobody can forge it; but two services may still be made to talk for ever.
    pub(crate) fn is_own_name(&self, of: Option<SocketId>, name: &Addr) -> bool {
        self.names.iter().any(|(id, own)| own == name && of.is_none_or(|of| of == *id))
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
        own.insert(one, addr("127.0.0.1:7").into());
        own.insert(two, addr("[::]:9").into());
        let [path, other] = ["/own", "/other"].map(|path| Addr::Unix(path.into()));
        let name = Addr::Abstract(b"/own".to_vec());
        own.insert(two, path.clone());
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
        assert!(own.is_own_name(None, &path) && own.is_own_name(Some(two), &path));
        assert!(!own.is_own_name(Some(one), &path));
        assert!(!own.is_own_name(None, &other) && !own.is_own_name(None, &name));
        own.insert(one, name.clone());
        assert!(own.is_own_name(Some(one), &name) && !own.is_own_name(Some(one), &path));
        own.remove(two);
        assert!(!own.is_own_name(None, &path) && own.is_own_name(None, &name));
        assert!(!own.is_own(None, addr("10.0.0.1:9"), never));
    }
}
