//! The exchange of datagrams with a server: a line is one, and none is lost on this machine.
//!
//! The loop drops a datagram that the system does not take. A client has time, so only one is on
//! its way at once; when the counters say that it was dropped, it is sent again a little later.

use std::io;
use std::time::Duration;

use socketserver::{Addr, Context, DatagramHandler, Io, SocketId, TimerId};

use super::session::{Session, SessionKind};

/// The longest datagram that UDP takes.
const LONGEST: usize = 65_507;
/// How long until a datagram that was not taken is sent again, and how often over UDP, where a full
/// queue is no reason.
const RETRY: Duration = Duration::from_millis(1);
const TRIES: u32 = 20;

/// The input on its way, and the silence after it.
pub(super) struct Lines {
    peer: Addr,
    bytes: Vec<u8>,
    /// Where the first line begins that was not taken yet.
    start: usize,
    /// How far behind that its end was looked for in vain.
    searched: usize,
    over: bool,
    on_its_way: Option<OnItsWay>,
    /// How often the first line was sent in vain.
    tries: u32,
    timer: Option<TimerId>,
    /// How many datagrams the system has taken.
    sent: u64,
}

/// A datagram that was handed over, and what had been dropped before.
struct OnItsWay {
    len: usize,
    dropped: u64,
}

impl Lines {
    pub(super) fn new(peer: Addr) -> Lines {
        Lines {
            peer,
            bytes: Vec::new(),
            start: 0,
            searched: 0,
            over: false,
            on_its_way: None,
            tries: 0,
            timer: None,
            sent: 0,
        }
    }

    pub(super) fn push(&mut self, piece: &[u8]) {
        self.bytes.drain(..self.start);
        self.start = 0;
        self.bytes.extend_from_slice(piece);
    }

    pub(super) fn end(&mut self) {
        self.over = true;
    }

    /// How long the next datagram is; `None` while its end has not come.
    fn next_len(&mut self) -> Option<usize> {
        let rest = self.bytes.get(self.start..).unwrap_or_default();
        let longest = rest.len().min(LONGEST);
        let unsearched = rest.get(self.searched..longest).unwrap_or_default();
        let found = unsearched.iter().position(|&byte| byte == b'\n');
        let len = match found {
            Some(at) => self.searched + at + 1,
            None if longest == LONGEST || self.over && longest > 0 => longest,
            None => {
                self.searched = longest;
                return None;
            }
        };
        self.searched = 0;
        Some(len)
    }

    fn advance(&mut self, len: usize) {
        self.start += len;
    }

    /// Sends the next datagram if none is on its way. Says whether all that came has left.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub(super) fn send(&mut self, io: &mut Io, id: SocketId, wait: Duration) -> io::Result<bool> {
        if io.queued_packets(id) > 0 {
            return Ok(false);
        }
        if let Some(OnItsWay { len, dropped }) = self.on_its_way.take() {
            if io.stats().packets_dropped > dropped {
                return self.retry_later(io, id, len).map(|()| false);
            }
            self.tries = 0;
            self.sent += 1;
            self.advance(len);
        }
        if self.tries > 0 {
            return Ok(false);
        }
        self.send_next(io, id);
        let all_sent = self.on_its_way.is_none();
        if all_sent && self.over && self.timer.is_none() {
            self.timer = Some(io.set_timer(id, wait));
        }
        Ok(all_sent)
    }

    fn send_next(&mut self, io: &mut Io, id: SocketId) {
        let Some(len) = self.next_len() else { return };
        let dropped = io.stats().packets_dropped;
        let line = self.bytes.get(self.start..self.start + len).unwrap_or_default();
        io.send(id, line);
        self.on_its_way = Some(OnItsWay { len, dropped });
    }

    /// A full queue of a Unix server and a server that is gone look alike, but for this: only the
    /// first can be connected to again.
    fn retry_later(&mut self, io: &mut Io, id: SocketId, len: usize) -> io::Result<()> {
        io.connect_peer(id, &self.peer)?;
        self.tries += 1;
        if self.peer.ip().is_some() && self.tries > TRIES {
            let what = format!("the system does not send a datagram of {len} bytes");
            return Err(io::Error::other(what));
        }
        // A server that is awake has often made room in the meantime.
        let after = if self.tries == 1 { Duration::ZERO } else { RETRY };
        self.timer = Some(io.set_timer(id, after));
        Ok(())
    }

    /// Something came: the silence begins anew.
    fn heard(&mut self, io: &mut Io, id: SocketId, wait: Duration) {
        if let (0, Some(timer)) = (self.tries, self.timer) {
            io.cancel_timer(timer);
            self.timer = Some(io.set_timer(id, wait));
        }
    }
}

/// Prints what comes.
pub(super) struct Exchange;

impl DatagramHandler<Session> for Exchange {
    fn handle(&mut self, cx: &mut Context<'_, Session>, packet: &[u8], _: &Addr) -> io::Result<()> {
        cx.shared.print(cx.io, cx.id, packet);
        if let SessionKind::Datagrams(lines) = &mut cx.shared.kind {
            lines.heard(cx.io, cx.id, cx.shared.rules.wait);
        }
        Ok(())
    }

    fn error(&mut self, cx: &mut Context<'_, Session>, error: io::Error) -> io::Result<()> {
        // A Unix server closed, which is for the next datagram to suffer from, if there is one.
        if error.kind() != io::ErrorKind::ConnectionReset {
            cx.shared.end(Err(error));
        }
        Ok(())
    }

    fn timeout(&mut self, cx: &mut Context<'_, Session>, _: TimerId) -> io::Result<()> {
        let paused = cx.io.is_paused(cx.id);
        let wait = cx.shared.rules.wait;
        let SessionKind::Datagrams(lines) = &mut cx.shared.kind else { return Ok(()) };
        lines.timer = None;
        if lines.tries > 0 {
            // The end of this turn sends it again.
            lines.send_next(cx.io, cx.id);
        } else if paused {
            // Nothing is heard while standard output takes nothing.
            lines.timer = Some(cx.io.set_timer(cx.id, wait));
        } else {
            let sent = lines.sent;
            cx.shared.end_of_datagrams(sent);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(pieces: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut lines = Lines::new(Addr::Unnamed);
        let mut all = Vec::new();
        let mut take = |lines: &mut Lines| {
            while let Some(len) = lines.next_len() {
                all.push(lines.bytes[lines.start..lines.start + len].to_vec());
                lines.advance(len);
            }
        };
        for piece in pieces {
            lines.push(piece);
            take(&mut lines);
        }
        lines.end();
        take(&mut lines);
        all
    }

    #[test]
    fn a_line_is_a_datagram_however_it_came() {
        let expected = [&b"one\n"[..], b"\n", b"two\n", b"rest"];
        let text = b"one\n\ntwo\nrest";
        for size in 1..=text.len() {
            let pieces: Vec<&[u8]> = text.chunks(size).collect();
            assert_eq!(cut(&pieces), expected, "pieces of {size}");
        }
        assert!(cut(&[]).is_empty());
    }

    #[test]
    fn a_line_that_no_datagram_holds_is_cut_and_nothing_is_lost() {
        let text = [vec![b'x'; 2 * LONGEST + 1], b"\nend\n".to_vec()].concat();
        let got = cut(&[&text[..70_000], &text[70_000..]]);
        let lengths: Vec<usize> = got.iter().map(Vec::len).collect();
        assert_eq!(lengths, [LONGEST, LONGEST, 2, 4]);
        assert_eq!(got.concat(), text);
    }
}
