//! One connection of a client as the load sees it: what it has sent, and what it waits for.

use std::collections::VecDeque;

use socketserver::SocketId;

use super::message::Messages;

/// What one connection may have under way in an open loop; more waits for its turn, and its
/// latency counts from when it was to be sent all the same.
pub(crate) const MOST_UNDER_WAY: usize = 1 << 16;

#[derive(Debug, Default)]
pub(crate) struct BenchConnection {
    /// `None` while it does not stand.
    pub(crate) id: Option<SocketId>,
    /// The number of messages sent so far, and the name of the next one.
    pub(crate) sent: u32,
    /// How many are due by the schedule of an open loop.
    pub(crate) due: u32,
    /// How much of the answer that is expected next has come.
    at: usize,
    /// When it began to connect.
    pub(crate) begun: u64,
    /// The last ones that were sent; the first of them is not answered.
    slots: VecDeque<PendingMessage>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct PendingMessage {
    /// When it was to be sent.
    pub(crate) since: u64,
    /// When it was sent last; a datagram may be sent again.
    sent_at: u64,
    is_answered: bool,
}

/// What a read came to.
pub(crate) enum Heard {
    /// The next answer is whole.
    Answer(PendingMessage),
    /// All that came is right, and there is no more of it.
    Nothing,
    /// This is not what was sent.
    Wrong,
}

impl BenchConnection {
    /// How many wait for an answer, or for the answer of one before them.
    pub(crate) fn waiting(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn may_send(&self) -> bool {
        self.slots.len() < MOST_UNDER_WAY
    }

    /// One more message leaves, the `seq` of which is the answer.
    pub(crate) fn send(&mut self, since: u64, now: u64) -> u32 {
        let seq = self.sent;
        self.sent = self.sent.wrapping_add(1);
        self.slots.push_back(PendingMessage { since, sent_at: now, is_answered: false });
        seq
    }

    /// The first message that is not answered.
    fn oldest(&self) -> u32 {
        let under_way = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        self.sent.wrapping_sub(under_way)
    }

    /// Checks what came on a stream, up to the end of one answer.
    #[inline]
    pub(crate) fn hear(&mut self, messages: &Messages, number: u32, bytes: &mut &[u8]) -> Heard {
        if bytes.is_empty() {
            return Heard::Nothing;
        }
        let seq = self.oldest();
        let Some(slot) = self.slots.front() else { return Heard::Wrong };
        let n = bytes.len().min(messages.size() - self.at);
        let (piece, rest) = bytes.split_at(n);
        if !messages.matches(number, seq, self.at, piece) {
            return Heard::Wrong;
        }
        *bytes = rest;
        self.at += n;
        if self.at < messages.size() {
            return Heard::Nothing;
        }
        self.at = 0;
        let slot = *slot;
        self.slots.pop_front();
        Heard::Answer(slot)
    }

    /// Checks a datagram. One that was answered before is nothing.
    pub(crate) fn hear_packet(&mut self, messages: &Messages, number: u32, packet: &[u8]) -> Heard {
        let Some(seq) = Messages::seq_of(number, packet) else { return Heard::Wrong };
        if packet.len() != messages.size() || !messages.matches(number, seq, 0, packet) {
            return Heard::Wrong;
        }
        let nth = seq.wrapping_sub(self.oldest()) as usize;
        let Some(slot) = self.slots.get_mut(nth).filter(|slot| !slot.is_answered) else {
            return Heard::Nothing;
        };
        slot.is_answered = true;
        let heard = Heard::Answer(*slot);
        while self.slots.front().is_some_and(|slot| slot.is_answered) {
            self.slots.pop_front();
        }
        heard
    }

    /// Names the messages that were sent before `then` and are not answered, as sent `now`.
    pub(crate) fn overdue(&mut self, then: u64, now: u64) -> impl Iterator<Item = u32> {
        let oldest = self.oldest();
        (oldest..).zip(&mut self.slots).filter_map(move |(seq, slot)| {
            let overdue = !slot.is_answered && slot.sent_at <= then;
            overdue.then(|| {
                slot.sent_at = now;
                seq
            })
        })
    }

    /// What is not answered will never be.
    pub(crate) fn give_up(&mut self) -> impl Iterator<Item = PendingMessage> {
        self.at = 0;
        self.slots.drain(..).filter(|slot| !slot.is_answered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_heard_in_whatever_pieces_they_come() {
        let mut messages = Messages::new(10);
        let mut talker = BenchConnection::default();
        let mut answers = Vec::new();
        for since in 0..3 {
            let seq = talker.send(since, since);
            answers.extend_from_slice(messages.write(5, seq));
        }
        let mut heard = Vec::new();
        for mut piece in answers.chunks(7) {
            while let Heard::Answer(slot) = talker.hear(&messages, 5, &mut piece) {
                heard.push(slot.since);
            }
        }
        assert_eq!(heard, [0, 1, 2]);
        assert!(matches!(talker.hear(&messages, 5, &mut &b"more"[..]), Heard::Wrong));
    }

    #[test]
    fn datagrams_may_come_in_any_order_twice_or_not_at_all() {
        let mut messages = Messages::new(64);
        let mut talker = BenchConnection::default();
        let sent: Vec<Vec<u8>> =
            (0..4).map(|at| messages.write(1, talker.send(at, at)).to_vec()).collect();
        for (nth, fresh) in [(2, true), (2, false), (0, true), (3, true)] {
            let heard = talker.hear_packet(&messages, 1, &sent[nth]);
            assert_eq!(matches!(heard, Heard::Answer(_)), fresh, "{nth}");
        }
        assert_eq!(talker.overdue(3, 9).collect::<Vec<_>>(), [1]);
        assert_eq!(talker.overdue(3, 9).count(), 0);
        assert_eq!(talker.give_up().map(|slot| slot.since).collect::<Vec<_>>(), [1]);
        assert!(matches!(talker.hear_packet(&messages, 1, &[0; 64]), Heard::Wrong));
    }
}
