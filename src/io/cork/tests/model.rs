//! The cork buffer against a list of what each turn sent.

use mio::Token;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const CASES: u32 = if cfg!(miri) { 4 } else { 128 };

#[derive(Clone, Debug)]
enum Act {
    /// The corked connection sends `n` bytes, in a turn that may send at most `most`.
    Send { n: usize, most: usize },
    /// The turn is no plain one any more.
    GiveUp,
    /// The turn is over, and that of the next connection begins.
    Next,
    /// The round is over.
    Write,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (0..3_000_usize, 0..9_000_usize).prop_map(|(n, most)| Act::Send { n, most }),
        1 => (0..ROOM / 2).prop_map(|n| Act::Send { n, most: usize::MAX }),
        1 => Just(Act::GiveUp),
        3 => Just(Act::Next),
        1 => Just(Act::Write),
    ]
}

/// A cork buffer, and what it should contain.
struct Checked {
    outbox: CorkBuffer,
    round: Vec<CorkedSpan>,
    /// What the turns before sent.
    turns: Vec<(SocketId, Vec<u8>)>,
    /// What the present turn has sent.
    own: Vec<u8>,
}

impl Checked {
    fn begin(&mut self) -> Result<SocketId, TestCaseError> {
        let id = SocketId::from_token(Token(self.turns.len()));
        if !self.outbox.is_serving(id) {
            prop_assert!(self.own.is_empty());
            self.outbox.begin(id);
        }
        Ok(id)
    }

    /// How many bytes the turns before sent.
    fn others(&self) -> usize {
        self.turns.iter().map(|(_, part)| part.len()).sum()
    }

    fn send(&mut self, byte: u8, n: usize, most: usize) -> Result<(), TestCaseError> {
        let end = self.others() + self.own.len() + n;
        let (fits, may) = (end <= ROOM, self.own.len() + n <= most);
        let had_capacity = end <= self.outbox.bytes.len();
        prop_assert_eq!(self.outbox.grow(n), fits && !had_capacity);
        let reserved = self.outbox.room_for(n, most);
        prop_assert_eq!(reserved.is_some(), fits && may);
        if let Some(reserved) = reserved {
            prop_assert_eq!(reserved.len(), n);
            reserved.fill(byte);
            self.own.resize(self.own.len() + n, byte);
        }
        Ok(())
    }

    fn give_up(&mut self, id: SocketId) -> Result<(), TestCaseError> {
        prop_assert_eq!(self.outbox.give_up(), &self.own[..]);
        prop_assert!(!self.outbox.is_serving(id));
        self.own.clear();
        Ok(())
    }

    fn next(&mut self, id: SocketId) -> Result<(), TestCaseError> {
        let sent = self.outbox.end();
        prop_assert_eq!(sent, self.own.len());
        self.round.push(CorkedSpan { id, sent });
        self.turns.push((id, std::mem::take(&mut self.own)));
        prop_assert!(!self.outbox.is_serving(id) && self.outbox.collected() == 0);
        Ok(())
    }

    fn write(&mut self) -> Result<(), TestCaseError> {
        self.outbox.give_up();
        self.own.clear();
        let lent = self.outbox.lend();
        let written: Vec<_> = parts(&self.round, &lent).map(|(id, p)| (id, p.to_vec())).collect();
        prop_assert_eq!(&written, &self.turns);
        self.outbox.clear(lent);
        self.round.clear();
        self.turns.clear();
        prop_assert!(self.outbox.is_empty());
        Ok(())
    }

    fn check(&self) -> Result<(), TestCaseError> {
        prop_assert_eq!(self.outbox.collected(), self.own.len());
        prop_assert_eq!(self.outbox.is_empty(), self.others() == 0);
        prop_assert!(self.outbox.bytes.len() <= ROOM);
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(CASES) })]

    #[test]
    fn each_turn_gets_back_what_it_sent(acts in vec(act(), 0..60)) {
        let (round, turns, own) = (Vec::new(), Vec::new(), Vec::new());
        let mut checked = Checked { outbox: CorkBuffer::new(), round, turns, own };
        for (nth, act) in acts.into_iter().enumerate() {
            let id = checked.begin()?;
            match act {
                Act::Send { n, most } => checked.send(nth as u8, n, most)?,
                Act::GiveUp => checked.give_up(id)?,
                Act::Next => checked.next(id)?,
                Act::Write => checked.write()?,
            }
            checked.check()?;
        }
    }
}
