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
        1 => (0..CAPACITY / 2).prop_map(|n| Act::Send { n, most: usize::MAX }),
        1 => Just(Act::GiveUp),
        3 => Just(Act::Next),
        1 => Just(Act::Write),
    ]
}

/// A cork buffer, and what it should contain.
struct Checked {
    cork: CorkBuffer,
    round: Vec<CorkedSpan>,
    /// What the turns before sent.
    turns: Vec<(SocketId, Vec<u8>)>,
    /// What the present turn has sent.
    own: Vec<u8>,
}

impl Checked {
    fn begin(&mut self) -> Result<SocketId, TestCaseError> {
        let id = SocketId::from_token(Token(self.turns.len()));
        if !self.cork.is_corked(id) {
            prop_assert!(self.own.is_empty());
            self.cork.begin_turn(id);
        }
        Ok(id)
    }

    /// How many bytes the turns before sent.
    fn others(&self) -> usize {
        self.turns.iter().map(|(_, part)| part.len()).sum()
    }

    fn send(&mut self, byte: u8, n: usize, most: usize) -> Result<(), TestCaseError> {
        let end = self.others() + self.own.len() + n;
        let (fits, may) = (end <= CAPACITY, self.own.len() + n <= most);
        let had_capacity = end <= self.cork.bytes.len();
        prop_assert_eq!(self.cork.grow(n), fits && !had_capacity);
        let reserved = self.cork.reserve(n, most);
        prop_assert_eq!(reserved.is_some(), fits && may);
        if let Some(reserved) = reserved {
            prop_assert_eq!(reserved.len(), n);
            reserved.fill(byte);
            self.own.resize(self.own.len() + n, byte);
        }
        Ok(())
    }

    fn take_current(&mut self, id: SocketId) -> Result<(), TestCaseError> {
        prop_assert_eq!(self.cork.take_current(), &self.own[..]);
        prop_assert!(!self.cork.is_corked(id));
        self.own.clear();
        Ok(())
    }

    fn next(&mut self, id: SocketId) -> Result<(), TestCaseError> {
        let sent = self.cork.end_turn();
        prop_assert_eq!(sent, self.own.len());
        self.round.push(CorkedSpan { id, sent });
        self.turns.push((id, std::mem::take(&mut self.own)));
        prop_assert!(!self.cork.is_corked(id) && self.cork.corked_len() == 0);
        Ok(())
    }

    fn write(&mut self) -> Result<(), TestCaseError> {
        self.cork.take_current();
        self.own.clear();
        let lent = self.cork.take();
        let written: Vec<_> = spans(&self.round, &lent).map(|(id, p)| (id, p.to_vec())).collect();
        prop_assert_eq!(&written, &self.turns);
        self.cork.restore(lent);
        self.round.clear();
        self.turns.clear();
        prop_assert!(self.cork.is_empty());
        Ok(())
    }

    fn check(&self) -> Result<(), TestCaseError> {
        prop_assert_eq!(self.cork.corked_len(), self.own.len());
        prop_assert_eq!(self.cork.is_empty(), self.others() == 0);
        prop_assert!(self.cork.bytes.len() <= CAPACITY);
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(CASES) })]

    #[test]
    fn each_turn_gets_back_what_it_sent(acts in vec(act(), 0..60)) {
        let (round, turns, own) = (Vec::new(), Vec::new(), Vec::new());
        let mut checked = Checked { cork: CorkBuffer::new(), round, turns, own };
        for (nth, act) in acts.into_iter().enumerate() {
            let id = checked.begin()?;
            match act {
                Act::Send { n, most } => checked.send(nth as u8, n, most)?,
                Act::GiveUp => checked.take_current(id)?,
                Act::Next => checked.next(id)?,
                Act::Write => checked.write()?,
            }
            checked.check()?;
        }
    }
}
