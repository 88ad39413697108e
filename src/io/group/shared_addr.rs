//! The addresses that all loops of a group serve, in the order in which each loop opens them.

use std::io;

use crate::addr::Addr;

/// An address that the first loop has opened and the others join.
#[derive(Clone, Debug)]
pub(in crate::io) struct SharedAddr {
    /// The bound address, with the port that the system chose.
    pub(in crate::io) addr: Addr,
    pub(in crate::io) distribution: Distribution,
    pub(in crate::io) is_datagram: bool,
}

/// How the clients of one address are distributed to the loops.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::io) enum Distribution {
    /// Each loop has a socket, and the kernel balances.
    ReusePort,
    /// One loop accepts, and hands clients off.
    Handoff,
    /// One loop serves all clients.
    SingleLoop,
}

impl SharedAddr {
    /// # Errors
    /// When a loop opens another address here than the first loop did.
    pub(in crate::io) fn check(&self, addrs: &[Addr], is_datagram: bool) -> io::Result<()> {
        let same = self.is_datagram == is_datagram && addrs.iter().any(|addr| self.is_at(addr));
        if same {
            return Ok(());
        }
        let what = format!(
            "each loop has to open the same addresses in the same order, and the first one opened {}",
            self.addr
        );
        Err(io::Error::new(io::ErrorKind::InvalidInput, what))
    }

    fn is_at(&self, asked: &Addr) -> bool {
        match (asked, &self.addr) {
            (Addr::Ip(asked), Addr::Ip(addr)) => {
                asked.ip() == addr.ip() && [0, addr.port()].contains(&asked.port())
            }
            // The system may report a relative path in another form.
            (Addr::Unix(_), Addr::Unix(_)) => true,
            (Addr::Abstract(asked), Addr::Abstract(name)) => asked == name,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_opens_another_address_gets_an_error() {
        let at = |text: &str| vec![Addr::Ip(text.parse().unwrap())];
        let shared = SharedAddr {
            addr: Addr::Ip("127.0.0.1:7000".parse().unwrap()),
            distribution: Distribution::ReusePort,
            is_datagram: false,
        };
        for same in ["127.0.0.1:0", "127.0.0.1:7000"] {
            shared.check(&at(same), false).unwrap();
        }
        shared.check(&at("127.0.0.1:0"), true).unwrap_err();
        for other in ["127.0.0.1:7001", "127.0.0.2:0", "[::1]:7000"] {
            let error = shared.check(&at(other), false).unwrap_err();
            assert!(error.to_string().contains("127.0.0.1:7000"), "{error}");
        }
    }
}
