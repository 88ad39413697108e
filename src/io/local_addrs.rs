//! The local addresses of our datagram sockets. A datagram that claims to come from one of them is dropped.
//!
//! The source address of a datagram is easily forged. A datagram to an echo service that seems to
//! come from an echo service would be answered for ever (CERT CA-1996-01).
//!
//! The addresses of this machine are learned instead of listed: a reply to one of them comes back
//! to this machine, so the destinations of datagrams are remembered, and a datagram that seems to
//! come from one of those with the port of one of our sockets is our own. A forged datagram is
//! answered once at most, and its answer never.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use crate::addr::Addr;
use crate::conn::packets::Destination;
use crate::id::SocketId;

/// The addresses that the datagram sockets of this server are bound to.
#[derive(Debug, Default)]
pub(crate) struct LocalAddrs {
    bound: Vec<(SocketId, SocketAddr)>,
    /// Bound names of Unix sockets.
    names: Vec<(SocketId, Addr)>,
    /// The port of each bound address, for the check of every datagram.
    ports: Vec<u16>,
    /// The last answer of the system about an address: interfaces seldom change, and asking costs
    /// system calls.
    cached_answer: Option<(IpAddr, bool)>,
    learned: Arc<LearnedAddrs>,
}

/// Addresses of this machine that datagrams with the port of one of our sockets were sent to. All
/// loops of a group share them, because a reply of one loop may arrive at another.
#[derive(Debug, Default)]
pub(crate) struct LearnedAddrs(Mutex<BTreeSet<IpAddr>>);

/// How many addresses are remembered; one more clears the set.
const MAX_LEARNED: usize = 4_096;

impl LearnedAddrs {
    /// Whether `peer` is in the set. Then adds `local`, if it is given.
    fn contains(&self, peer: IpAddr, local: Option<IpAddr>) -> bool {
        let mut learned = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let contains = Some(peer) == local || learned.contains(&peer);
        if let Some(local) = local.filter(|local| !learned.contains(local)) {
            if learned.len() >= MAX_LEARNED {
                learned.clear();
            }
            learned.insert(local);
        }
        contains
    }
}

impl LocalAddrs {
    pub(super) fn insert(&mut self, id: SocketId, addr: Addr) {
        match addr {
            Addr::Ip(addr) => self.bound.push((id, addr)),
            name @ (Addr::Unix(_) | Addr::Abstract(_)) => self.names.push((id, name)),
            Addr::Unnamed => {}
        }
        self.note_ports();
    }

    pub(super) fn remove(&mut self, id: SocketId) {
        self.bound.retain(|(bound, _)| *bound != id);
        self.names.retain(|(bound, _)| *bound != id);
        self.note_ports();
    }

    fn note_ports(&mut self) {
        self.ports.clear();
        self.ports.extend(self.bound.iter().map(|(_, own)| own.port()));
    }

    /// Shares the learned addresses with the other loops of a group.
    pub(crate) fn share(&mut self, learned: &Arc<LearnedAddrs>) {
        self.learned = Arc::clone(learned);
    }

    /// Whether `peer` has the port of a bound address: the cheap check.
    #[inline]
    pub(crate) fn might_contain(&self, peer: SocketAddr) -> bool {
        let port = peer.port();
        // There are few ports; a plain loop is faster than `slice::contains`.
        for own in &self.ports {
            if *own == port {
                return true;
            }
        }
        false
    }

    /// Whether `name` is the name of the socket `of`, or of any socket if `of` is `None`. The
    /// kernel reports the sender of a Unix datagram, so it cannot be forged; but two services could
    /// still be made to answer each other for ever.
    pub(crate) fn contains_name(&self, of: Option<SocketId>, name: &Addr) -> bool {
        self.names.iter().any(|(id, own)| own == name && of.is_none_or(|of| of == *id))
    }

    /// Whether `peer` is an address of the socket `of`, or of any socket if `of` is `None`. `at` is
    /// the socket that received the datagram, and `destination` the address it was sent to, if the
    /// system reports that. If it does not, `is_local` returns whether an address belongs to this
    /// machine.
    pub(crate) fn contains(
        &mut self,
        of: Option<SocketId>,
        peer: SocketAddr,
        (at, destination): (SocketId, Option<Destination>),
        is_local: impl FnOnce(IpAddr) -> bool,
    ) -> bool {
        let ip = peer.ip().to_canonical();
        let mut wildcard = false;
        for (id, own) in &self.bound {
            if own.port() == peer.port() && of.is_none_or(|of| of == *id) {
                if own.ip().to_canonical() == ip {
                    return true;
                }
                wildcard |= own.ip().to_canonical().is_unspecified();
            }
        }
        if !wildcard {
            return false;
        }
        if ip.is_loopback() || ip.is_unspecified() {
            return true;
        }
        match destination {
            Some(destination) => self.learned.contains(ip, canonical(destination.source())),
            None => match self.bound.iter().find(|(id, _)| *id == at) {
                Some((_, bound)) if !bound.ip().to_canonical().is_unspecified() => {
                    self.learned.contains(ip, canonical(Some(*bound)))
                }
                _ => self.ask_system(ip, is_local),
            },
        }
    }

    fn ask_system(&mut self, ip: IpAddr, is_local: impl FnOnce(IpAddr) -> bool) -> bool {
        match self.cached_answer {
            Some((asked, answer)) if asked == ip => answer,
            _ => {
                let answer = is_local(ip);
                self.cached_answer = Some((ip, answer));
                answer
            }
        }
    }
}

/// The IP address, unless it is a multicast group.
fn canonical(addr: Option<SocketAddr>) -> Option<IpAddr> {
    addr.map(|addr| addr.ip().to_canonical()).filter(|ip| !ip.is_multicast())
}

#[cfg(test)]
mod tests {
    use super::*;
    use mio::Token;

    #[test]
    fn a_bound_address_is_recognized_in_all_forms() {
        let (one, two) = (SocketId::from_token(Token(1)), SocketId::from_token(Token(2)));
        let addr = |text: &str| text.parse::<SocketAddr>().unwrap();
        let mut own = LocalAddrs::default();
        own.insert(one, addr("127.0.0.1:7").into());
        own.insert(two, addr("[::]:9").into());
        let [path, other] = ["/own", "/other"].map(|path| Addr::Unix(path.into()));
        let name = Addr::Abstract(b"/own".to_vec());
        own.insert(two, path.clone());
        let never = |_: IpAddr| -> bool { panic!("nobody is asked about an exact address") };
        let here = (two, None);
        assert!(own.contains(None, addr("127.0.0.1:7"), here, never));
        assert!(own.contains(Some(one), addr("[::ffff:127.0.0.1]:7"), here, never));
        assert!(!own.contains(Some(two), addr("127.0.0.1:7"), here, never));
        assert!(!own.contains(None, addr("127.0.0.2:7"), here, never));
        assert!(!own.contains(None, addr("127.0.0.1:8"), here, never));
        assert!(own.might_contain(addr("10.0.0.1:9")) && !own.might_contain(addr("10.0.0.1:8")));
        assert!(own.contains(Some(two), addr("10.0.0.1:9"), here, |_| true));
        assert!(own.contains(Some(two), addr("10.0.0.1:9"), here, never), "it was asked before");
        assert!(!own.contains(Some(two), addr("10.0.0.2:9"), here, |_| false));
        assert!(own.contains_name(None, &path) && own.contains_name(Some(two), &path));
        assert!(!own.contains_name(Some(one), &path));
        assert!(!own.contains_name(None, &other) && !own.contains_name(None, &name));
        own.insert(one, name.clone());
        assert!(own.contains_name(Some(one), &name) && !own.contains_name(Some(one), &path));
        own.remove(two);
        assert!(!own.contains_name(None, &path) && own.contains_name(None, &name));
        assert!(!own.contains(None, addr("10.0.0.1:9"), here, never));
    }

    #[test]
    fn a_forged_datagram_is_answered_once_at_most_in_any_loop() {
        let id = SocketId::from_token(Token(1));
        let addr = |text: &str| text.parse::<SocketAddr>().unwrap();
        let sent_to =
            |text: &str, is_unicast: bool| (id, Some(Destination { addr: addr(text), is_unicast }));
        let never = |_: IpAddr| -> bool { panic!("where it was sent to is known") };
        let learned = Arc::default();
        let [mut first, mut second] = [(); 2].map(|()| {
            let mut own = LocalAddrs::default();
            own.insert(id, addr("[::]:9").into());
            own.share(&learned);
            own
        });
        let (ours, other) = ("[fe80::1%2]:9", "[::ffff:10.0.0.1]:9");
        assert!(
            first.contains(None, addr(ours), sent_to(ours, true), never),
            "from where it went to"
        );
        let strange = "10.0.0.9:9";
        assert!(!first.contains(None, addr(strange), sent_to(other, true), never));
        assert!(!first.contains(None, addr(strange), sent_to("10.0.0.255:9", false), never));
        assert!(second.contains(None, addr("10.0.0.1:9"), sent_to(ours, true), never));
        assert!(second.contains(None, addr(ours), sent_to(other, true), never));
        assert!(!second.contains(None, addr("10.0.0.255:9"), sent_to(other, true), never));
        for n in 0..u32::try_from(MAX_LEARNED).unwrap() {
            let many = SocketAddr::new(IpAddr::V4((0x0b00_0000 + n).into()), 9);
            let destination = Some(Destination { addr: many, is_unicast: true });
            first.contains(None, addr(strange), (id, destination), never);
        }
        assert!(learned.0.lock().unwrap().len() <= MAX_LEARNED);
    }

    #[test]
    fn a_socket_bound_to_one_address_asks_no_system() {
        let (one, two) = (SocketId::from_token(Token(1)), SocketId::from_token(Token(2)));
        let addr = |text: &str| text.parse::<SocketAddr>().unwrap();
        let mut own = LocalAddrs::default();
        own.insert(one, addr("10.0.0.1:7").into());
        own.insert(two, addr("0.0.0.0:9").into());
        let never = |_: IpAddr| -> bool { panic!("where it was sent to is known") };
        assert!(own.contains(None, addr("10.0.0.1:9"), (one, None), never));
        assert!(!own.contains(None, addr("10.0.0.2:9"), (one, None), never));
        assert!(!own.contains(Some(one), addr("10.0.0.1:9"), (one, None), never));
    }
}
