//! The services that need no list of their clients; each is a few lines of a [`Handler`] for
//! connections and of a [`DatagramHandler`] for datagrams.

use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

use log::debug;
use socketserver::{Addr, Context, DatagramHandler, Handler, Input, SendStatus};

use super::time_zone;

/// Answers no datagram that may come from a service instead of from a client: two services that answer
/// each other's datagrams go on for ever, and one forged datagram begins it (CERT CA-1996-01). As with
/// inetd, whose rule this is, no client has a port below 1,024 (echo 7, chargen 19, DNS 53, ...) or that
/// of NFS. Services at higher ports cannot be told from clients.
pub(crate) struct NoReflector<D>(pub(crate) D);

/// The end of the ports that only root may bind to (`IPPORT_RESERVED`).
const RESERVED: u16 = 1_024;
const NFS: u16 = 2_049;

/// Whether a datagram from `peer` may come from a service.
pub(crate) fn is_reflector(peer: &Addr) -> bool {
    let is_one = peer.port().is_some_and(|port| port < RESERVED || port == NFS);
    if is_one {
        debug!("a datagram from {peer} is not answered: a service may have sent it");
    }
    is_one
}

impl<S, D: DatagramHandler<S>> DatagramHandler<S> for NoReflector<D> {
    fn handle(&mut self, cx: &mut Context<'_, S>, packet: &[u8], peer: &Addr) -> io::Result<()> {
        if is_reflector(peer) { Ok(()) } else { self.0.handle(cx, packet, peer) }
    }
}

/// RFC 863: throws everything away.
pub(crate) struct Discard;

impl<S> Handler<S> for Discard {
    fn handle(&mut self, _cx: &mut Context<'_, S>, input: &mut Input<'_>) -> io::Result<()> {
        input.take_all();
        Ok(())
    }
}

impl<S> DatagramHandler<S> for Discard {
    fn handle(&mut self, _: &mut Context<'_, S>, _: &[u8], _: &Addr) -> io::Result<()> {
        Ok(())
    }
}

/// Sends everything back with a-z turned into A-Z; no other byte changes. What all connections
/// share is the place to turn them in, so that none of them needs one of its own.
pub(crate) struct Upper;

impl Handler<Vec<u8>> for Upper {
    fn handle(&mut self, cx: &mut Context<'_, Vec<u8>>, input: &mut Input<'_>) -> io::Result<()> {
        cx.shared.clear();
        cx.shared.extend_from_slice(input.take_all());
        cx.shared.make_ascii_uppercase();
        cx.io.send(cx.id, cx.shared);
        Ok(())
    }
}

impl DatagramHandler<Vec<u8>> for Upper {
    fn handle(
        &mut self,
        cx: &mut Context<'_, Vec<u8>>,
        packet: &[u8],
        peer: &Addr,
    ) -> io::Result<()> {
        cx.shared.clear();
        cx.shared.extend_from_slice(packet);
        cx.shared.make_ascii_uppercase();
        cx.io.send_to(cx.id, cx.shared, peer);
        Ok(())
    }
}

/// RFC 864: sends characters until the peer ends, but not faster than it reads. A datagram is
/// answered with one line, so that a forged sender gets no more than it paid for.
#[derive(Default)]
pub(crate) struct Chargen {
    /// Where in [`PATTERN`] the next piece begins; of datagrams, how many there were.
    at: usize,
}

/// Lines of 72 of the 95 printing characters, each line one character further on; then all over.
static PATTERN: [u8; LINE * 95] = pattern();
const LINE: usize = 74;
const PIECE: usize = 2 << 10;

const fn pattern() -> [u8; LINE * 95] {
    let mut pattern = [b'\n'; LINE * 95];
    let mut at = 0;
    while at < pattern.len() {
        let (line, column) = (at / LINE, at % LINE);
        if column < LINE - 2 {
            #[expect(clippy::cast_possible_truncation, reason = "a remainder of 95 fits")]
            let offset = ((line + column) % 95) as u8;
            #[expect(clippy::indexing_slicing, reason = "evaluated when it is compiled")]
            {
                pattern[at] = b' ' + offset;
            }
        } else if column == LINE - 2 {
            #[expect(clippy::indexing_slicing, reason = "evaluated when it is compiled")]
            {
                pattern[at] = b'\r';
            }
        }
        at += 1;
    }
    pattern
}

impl Chargen {
    /// A piece of the pattern, and where the next one begins.
    pub(crate) fn piece(at: usize) -> (&'static [u8], usize) {
        let end = (at + PIECE).min(PATTERN.len());
        (PATTERN.get(at..end).unwrap_or_default(), end % PATTERN.len())
    }

    /// The answer to the nth datagram.
    pub(crate) fn line(nth: usize) -> &'static [u8] {
        let at = nth % (PATTERN.len() / LINE) * LINE;
        PATTERN.get(at..at + LINE).unwrap_or_default()
    }

    /// Fills the output up to high water; the rest is for [`Handler::drained`].
    fn fill<S>(&mut self, cx: &mut Context<'_, S>) {
        loop {
            let (piece, next) = Chargen::piece(self.at);
            let sent = cx.send(piece);
            if sent == SendStatus::Closed {
                return;
            }
            self.at = next;
            if sent == SendStatus::Congested {
                return;
            }
        }
    }
}

impl<S> Handler<S> for Chargen {
    fn setup(&mut self, cx: &mut Context<'_, S>) -> io::Result<()> {
        // What the peer says does not matter, so its pace of reading need not slow ours.
        cx.io.set_read_while_congested(cx.id, true);
        self.fill(cx);
        Ok(())
    }

    fn handle(&mut self, _cx: &mut Context<'_, S>, input: &mut Input<'_>) -> io::Result<()> {
        input.take_all();
        Ok(())
    }

    fn drained(&mut self, cx: &mut Context<'_, S>) -> io::Result<()> {
        self.fill(cx);
        Ok(())
    }
}

impl<S> DatagramHandler<S> for Chargen {
    fn handle(&mut self, cx: &mut Context<'_, S>, _: &[u8], _: &Addr) -> io::Result<()> {
        cx.reply(Chargen::line(self.at));
        self.at = self.at.wrapping_add(1);
        Ok(())
    }
}

/// RFC 867: one line with the date and time of day, then the end.
pub(crate) struct Daytime;

impl<S> Handler<S> for Daytime {
    fn setup(&mut self, cx: &mut Context<'_, S>) -> io::Result<()> {
        cx.send(Daytime::line().as_bytes());
        cx.close();
        Ok(())
    }

    fn handle(&mut self, _cx: &mut Context<'_, S>, input: &mut Input<'_>) -> io::Result<()> {
        input.take_all();
        Ok(())
    }
}

impl<S> DatagramHandler<S> for Daytime {
    fn handle(&mut self, cx: &mut Context<'_, S>, _: &[u8], _: &Addr) -> io::Result<()> {
        cx.reply(Daytime::line().as_bytes());
        Ok(())
    }
}

impl Daytime {
    pub(crate) fn line() -> String {
        let now = jiff::Timestamp::now().to_zoned(time_zone::local());
        format!("{}\r\n", now.strftime("%A, %B %-d, %Y %H:%M:%S %Z"))
    }
}

/// RFC 868: the seconds since 1900 in four bytes, most significant first, then the end.
pub(crate) struct Time;

/// From 1900 to 1970.
const EPOCHS_APART: u64 = 2_208_988_800;

impl<S> Handler<S> for Time {
    fn setup(&mut self, cx: &mut Context<'_, S>) -> io::Result<()> {
        cx.send(&Time::now());
        cx.close();
        Ok(())
    }

    fn handle(&mut self, _cx: &mut Context<'_, S>, input: &mut Input<'_>) -> io::Result<()> {
        input.take_all();
        Ok(())
    }
}

impl<S> DatagramHandler<S> for Time {
    fn handle(&mut self, cx: &mut Context<'_, S>, _: &[u8], _: &Addr) -> io::Result<()> {
        cx.reply(&Time::now());
        Ok(())
    }
}

impl Time {
    pub(crate) fn now() -> [u8; 4] {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // Four bytes overflow in 2036 and then count from there, as in NTP.
        let seconds = (since_1970.as_secs() + EPOCHS_APART) & u64::from(u32::MAX);
        let [.., a, b, c, d] = seconds.to_be_bytes();
        [a, b, c, d]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_not_answered() {
        let is_one = |peer: &str| is_reflector(&Addr::Ip(peer.parse().unwrap()));
        for service in ["10.0.0.1:7", "[::1]:19", "10.0.0.1:1023", "10.0.0.1:2049"] {
            assert!(is_one(service), "{service}");
        }
        for client in ["10.0.0.1:1024", "[::1]:7001", "10.0.0.1:65535"] {
            assert!(!is_one(client), "{client}");
        }
        assert!(!is_reflector(&Addr::unix("/run/client")));
    }

    #[test]
    fn the_pattern_is_that_of_rfc_864() {
        let lines: Vec<&[u8]> = PATTERN.chunks(LINE).collect();
        assert!(lines[0].starts_with(b" !\"#$%&'()*+,-./0123") && lines[0].ends_with(b"efg\r\n"));
        assert!(lines[1].starts_with(b"!\"#$") && lines[1].ends_with(b"fgh\r\n"));
        assert!(lines[94].starts_with(b"~ !\"#"));
        assert_eq!(lines.len(), 95);
    }
}
