//! The local addresses of our datagram sockets. A datagram that claims to come from one of them is dropped.
//!
//! The source address of a datagram is easily forged. A datagram to an echo service that seems to
//! come from an echo service would be answered for ever (CERT CA-1996-01).
//!
//! The addresses of this machine are learned instead of listed: a reply to one of them comes back
//! to this machine, so the destinations of datagrams are remembered, and a datagram that seems to
//! come from one of those with the port of one of our sockets is our own. A forged datagram is
//! answered once at most, and its answer never.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use mio::Token;

use crate::addr::Addr;
use crate::conn::packets::Destination;
use crate::id::SocketId;

/// The addresses that the datagram sockets of this server are bound to. No question searches all of
/// them: each datagram asks.
#[derive(Debug, Default)]
pub(crate) struct LocalAddrs {
    addrs: BTreeMap<SocketId, Addr>,
    /// The port and the canonical address of each bound IP socket.
    bound: BTreeSet<(u16, IpAddr, SocketId)>,
    /// The sockets by the name of a Unix socket. A path that was removed can be bound again, so there
    /// may be several.
    names: HashMap<Addr, Vec<SocketId>>,
    /// The ports in `bound`, for the check of every datagram.
    ports: PortSet,
    /// The last answer of the system about an address: interfaces seldom change, and asking costs
    /// system calls.
    cached_answer: Option<(IpAddr, bool)>,
    learned: Arc<LearnedAddrs>,
}

/// A set of ports, one bit each; nothing is allocated before the first.
#[derive(Debug, Default)]
struct PortSet(Option<Box<[u64; 1 << 10]>>);

impl PortSet {
    fn set(&mut self, port: u16, on: bool) {
        let words = self.0.get_or_insert_with(|| Box::new([0; 1 << 10]));
        if let Some(word) = words.get_mut(usize::from(port >> 6)) {
            *word = *word & !(1 << (port & 63)) | u64::from(on) << (port & 63);
        }
    }

    #[inline]
    fn contains(&self, port: u16) -> bool {
        let word = self.0.as_ref().and_then(|words| words.get(usize::from(port >> 6)));
        word.is_some_and(|word| word >> (port & 63) & 1 != 0)
    }
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
        match &addr {
            Addr::Ip(ip) => {
                self.bound.insert((ip.port(), ip.ip().to_canonical(), id));
                self.ports.set(ip.port(), true);
            }
            Addr::Unix(_) | Addr::Abstract(_) => {
                self.names.entry(addr.clone()).or_default().push(id);
            }
            Addr::Unnamed => return,
        }
        self.addrs.insert(id, addr);
    }

    pub(super) fn remove(&mut self, id: SocketId) {
        let Some(addr) = self.addrs.remove(&id) else { return };
        if let Addr::Ip(ip) = addr {
            let port = ip.port();
            self.bound.remove(&(port, ip.ip().to_canonical(), id));
            let next = self.bound.range((port, LEAST_IP, LEAST_ID)..).next();
            self.ports.set(port, next.is_some_and(|(other, ..)| *other == port));
        } else if let Some(sockets) = self.names.get_mut(&addr) {
            sockets.retain(|socket| *socket != id);
            if sockets.is_empty() {
                self.names.remove(&addr);
            }
        }
    }

    /// Shares the learned addresses with the other loops of a group.
    pub(crate) fn share(&mut self, learned: &Arc<LearnedAddrs>) {
        self.learned = Arc::clone(learned);
    }

    /// Whether `peer` has the port of a bound address: the cheap check.
    #[inline]
    pub(crate) fn might_contain(&self, peer: SocketAddr) -> bool {
        self.ports.contains(peer.port())
    }

    /// Whether `name` is the name of the socket `of`, or of any socket if `of` is `None`. The
    /// kernel reports the sender of a Unix datagram, so it cannot be forged; but two services could
    /// still be made to answer each other for ever.
    pub(crate) fn contains_name(&self, of: Option<SocketId>, name: &Addr) -> bool {
        let sockets = self.names.get(name);
        sockets.is_some_and(|sockets| of.is_none_or(|of| sockets.contains(&of)))
    }

    /// Whether the socket `of`, or any socket if `of` is `None`, is bound to this port of `ip`.
    fn is_bound(&self, of: Option<SocketId>, port: u16, ip: IpAddr) -> bool {
        if let Some(id) = of {
            return self.bound.contains(&(port, ip, id));
        }
        let next = self.bound.range((port, ip, LEAST_ID)..).next();
        next.is_some_and(|(other, at, _)| (*other, *at) == (port, ip))
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
        let (port, ip) = (peer.port(), peer.ip().to_canonical());
        if self.is_bound(of, port, ip) {
            return true;
        }
        if !WILDCARDS.iter().any(|wildcard| self.is_bound(of, port, *wildcard)) {
            return false;
        }
        if ip.is_loopback() || ip.is_unspecified() {
            return true;
        }
        match destination {
            Some(destination) => self.learned.contains(ip, canonical(destination.source())),
            None => match self.addrs.get(&at).and_then(Addr::ip) {
                Some(bound) if !bound.ip().to_canonical().is_unspecified() => {
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

const WILDCARDS: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];

/// The least values of their types, where a range begins.
const LEAST_IP: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
const LEAST_ID: SocketId = SocketId::from_token(Token(0));

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
        let [one, two, three, four] = [1, 2, 3, 4].map(|n| SocketId::from_token(Token(n)));
        let addr = |text: &str| text.parse::<SocketAddr>().unwrap();
        let mut own = LocalAddrs::default();
        own.insert(one, addr("127.0.0.1:7").into());
        own.insert(two, addr("[::]:9").into());
        let [path, other] = ["/own", "/other"].map(|path| Addr::Unix(path.into()));
        let name = Addr::Abstract(b"/own".to_vec());
        own.insert(three, path.clone());
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
        assert!(own.contains_name(None, &path) && own.contains_name(Some(three), &path));
        assert!(!own.contains_name(Some(one), &path));
        assert!(!own.contains_name(None, &other) && !own.contains_name(None, &name));
        own.insert(four, name.clone());
        assert!(own.contains_name(Some(four), &name) && !own.contains_name(Some(one), &path));
        own.remove(two);
        own.remove(three);
        assert!(!own.contains_name(None, &path) && own.contains_name(None, &name));
        assert!(!own.contains(None, addr("10.0.0.1:9"), here, never));
        assert!(!own.might_contain(addr("10.0.0.1:9")) && own.might_contain(addr("10.0.0.1:7")));
        own.insert(two, addr("10.0.0.1:7").into());
        own.remove(one);
        assert!(own.might_contain(addr("10.0.0.9:7")), "another socket has the port");
        own.remove(two);
        own.remove(four);
        assert!(!own.might_contain(addr("10.0.0.9:7")));
        assert!(own.addrs.is_empty() && own.bound.is_empty() && own.names.is_empty());
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
