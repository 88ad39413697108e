//! Framing against plain searches in everything that has come.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const CASES: u32 = if cfg!(miri) { 8 } else { 1_024 };

/// What a handler may call.
#[derive(Clone, Debug)]
enum Ask {
    Take(usize),
    TakeAll,
    Until(u8, usize),
    Delimited(Vec<u8>, usize),
    Line(usize),
    Frame(usize),
    Need(usize, usize),
}

#[derive(Clone, Debug)]
enum Act {
    Arrive(Vec<u8>),
    /// Shown again, as after a pause, though it may need more.
    ShowAgain,
    Restart,
}

/// So few different bytes that separators and short lengths are often among them.
fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    vec(prop_oneof![Just(b'a'), Just(b'\r'), Just(b'\n'), 0..4_u8], 0..most)
}

fn ask() -> impl Strategy<Value = Ask> {
    prop_oneof![
        2 => (0..6_usize).prop_map(Ask::Take),
        1 => Just(Ask::TakeAll),
        2 => (0..4_u8, 0..30_usize).prop_map(|(byte, max)| Ask::Until(byte, max)),
        4 => (bytes(4), 0..30_usize).prop_map(|(separator, max)| Ask::Delimited(separator, max)),
        2 => (0..30_usize).prop_map(Ask::Line),
        3 => (0..5_usize).prop_map(Ask::Frame),
        2 => (0..9_usize, 4..9_usize).prop_map(|(n, max)| Ask::Need(n, max)),
    ]
}

/// Bytes that come, and what the handler does then, again and again until it finds nothing.
fn script() -> impl Strategy<Value = Vec<(Act, Vec<Ask>)>> {
    let act = prop_oneof![
        8 => bytes(12).prop_map(Act::Arrive),
        1 => Just(Act::ShowAgain),
        1 => Just(Act::Restart),
    ];
    vec((act, vec(ask(), 0..5)), 0..20)
}

/// What an answer comes to: something taken, nothing yet, or an error.
type Answer = Result<Option<Vec<u8>>, ()>;

/// All that has come and was not taken, and how much is needed before more is shown.
#[derive(Default)]
struct Model {
    rest: Vec<u8>,
    needed: usize,
    /// Since when the first byte waits.
    since: u64,
}

impl Model {
    /// Bytes arrive, here and there. Says whether more is needed before they are shown.
    fn arrive(&mut self, bytes: Vec<u8>, unconsumed: &mut Unconsumed, now: u64) -> bool {
        if self.rest.is_empty() && !bytes.is_empty() {
            *self = Model { since: now, ..Model::default() };
            unconsumed.store(&Input::new(&bytes), now);
        } else {
            unconsumed.append(&bytes);
        }
        self.rest.extend(bytes);
        !self.rest.is_empty() && self.rest.len() < self.needed
    }

    fn advance(&mut self, n: usize) -> Vec<u8> {
        self.needed = 0;
        self.rest.drain(..n).collect()
    }

    fn delimited(&mut self, separator: &[u8], max: usize) -> Answer {
        let found = self.rest.windows(separator.len()).position(|window| window == separator);
        // While it is not found, what has come may end with all of a separator but its last byte.
        let least = (self.rest.len() + 1).saturating_sub(separator.len());
        if found.unwrap_or(least) > max {
            return Err(());
        }
        Ok(found.map(|at| {
            let mut piece = self.advance(at + separator.len());
            piece.truncate(at);
            piece
        }))
    }

    fn frame(&mut self, max: usize) -> Answer {
        let Some(len) = self.rest.first().map(|len| usize::from(*len)) else {
            self.needed = 1;
            return Ok(None);
        };
        if len > max {
            return Err(());
        }
        if self.rest.len() < 1 + len {
            self.needed = 1 + len;
            return Ok(None);
        }
        Ok(Some(self.advance(1 + len).split_off(1)))
    }

    fn answer(&mut self, ask: &Ask) -> Answer {
        match ask {
            Ask::Take(n) => Ok((*n <= self.rest.len()).then(|| self.advance(*n))),
            Ask::TakeAll => Ok(Some(std::mem::take(&mut self.rest))),
            Ask::Until(byte, max) => self.delimited(&[*byte], *max),
            Ask::Delimited(separator, _) if separator.is_empty() => Err(()),
            Ask::Delimited(separator, max) => self.delimited(separator, *max),
            Ask::Line(max) => Ok(self.delimited(b"\n", *max)?.map(|mut line| {
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                line
            })),
            Ask::Frame(max) => self.frame(*max),
            Ask::Need(n, max) if n > max => Err(()),
            Ask::Need(n, _) => {
                let is_there = *n <= self.rest.len();
                self.needed = if is_there { 0 } else { *n };
                Ok(is_there.then(Vec::new))
            }
        }
    }
}

fn answer(input: &mut Input<'_>, ask: &Ask) -> Answer {
    let taken = match ask {
        Ask::Take(n) => Ok(input.take(*n)),
        Ask::TakeAll => Ok(Some(input.take_all())),
        Ask::Until(byte, max) => input.take_until(*byte, *max),
        Ask::Delimited(separator, max) => input.take_delimited(separator, *max),
        Ask::Line(max) => input.take_line(*max),
        Ask::Frame(max) => {
            Ok(input.take_frame_with(&LengthField::U8, *max).map_err(|_| ())?.map(|f| f.body))
        }
        Ask::Need(n, max) => input.require(*n, *max).map(|is_there| is_there.then_some(&[][..])),
    };
    Ok(taken.map_err(|_| ())?.map(<[u8]>::to_vec))
}

fn check_kept(unconsumed: &Unconsumed, model: &Model) -> Result<(), TestCaseError> {
    prop_assert_eq!(
        (unconsumed.len(), unconsumed.is_empty()),
        (model.rest.len(), model.rest.is_empty())
    );
    if !model.rest.is_empty() {
        prop_assert_eq!(unconsumed.waiting_since(), model.since);
        let kept = unconsumed.0.as_ref().unwrap();
        prop_assert!(kept.start < kept.bytes.len());
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(CASES) })]

    #[test]
    fn what_is_taken_does_not_depend_on_what_is_remembered(script in script()) {
        let mut unconsumed = Unconsumed::default();
        let mut model = Model::default();
        for (now, (act, asks)) in (1_u64..).zip(script) {
            match act {
                Act::Arrive(bytes) => {
                    let needs_more = model.arrive(bytes, &mut unconsumed, now);
                    prop_assert_eq!(unconsumed.needs_more(), needs_more);
                    if needs_more {
                        continue;
                    }
                }
                Act::ShowAgain => {}
                Act::Restart => {
                    unconsumed.restart_wait(now);
                    model.since = now;
                }
            }
            let had = model.rest.len();
            let mut input = unconsumed.input();
            prop_assert_eq!(input.peek(), &model.rest[..]);
            for ask in asks {
                let said = answer(&mut input, &ask);
                prop_assert_eq!(&said, &model.answer(&ask), "{:?}", ask);
                prop_assert_eq!(input.peek(), &model.rest[..]);
                prop_assert_eq!((input.len(), input.is_empty()), (model.rest.len(), model.rest.is_empty()));
                if said.is_err() {
                    // The conversation ends.
                    return Ok(());
                }
            }
            let left = input.remainder();
            unconsumed.store_remainder(left, now);
            if model.rest.len() < had {
                model.since = now;
            }
            check_kept(&unconsumed, &model)?;
        }
    }
}
