//! The outbox against a list of what each turn sent.

use mio::Token;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const CASES: u32 = if cfg!(miri) { 4 } else { 128 };

#[derive(Clone, Debug)]
enum Act {
    /// The one who is served sends so much, in a turn that may send so much.
    Send(usize, usize),
    GiveUp,
    /// The turn is over, and that of another begins.
    Next,
    /// The round is over.
    Settle,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (0..3_000_usize, 0..9_000_usize).prop_map(|(n, most)| Act::Send(n, most)),
        1 => (0..ROOM / 2).prop_map(|n| Act::Send(n, usize::MAX)),
        1 => Just(Act::GiveUp),
        3 => Just(Act::Next),
        1 => Just(Act::Settle),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(CASES) })]

    #[test]
    fn each_turn_gets_back_what_it_sent(acts in vec(act(), 0..60)) {
        let mut outbox = CorkBuffer::new();
        let mut round: Vec<CorkedSpan> = Vec::new();
        let mut model: Vec<(SocketId, Vec<u8>)> = Vec::new();
        let mut own: Vec<u8> = Vec::new();
        for (nth, act) in acts.into_iter().enumerate() {
            let id = SocketId::from_token(Token(model.len()));
            if !outbox.is_serving(id) {
                prop_assert!(own.is_empty());
                outbox.begin(id);
            }
            let others: usize = model.iter().map(|(_, part)| part.len()).sum();
            match act {
                Act::Send(n, most) => {
                    let fits = others + own.len() + n <= ROOM;
                    let may = own.len() + n <= most;
                    let had_room = others + own.len() + n <= outbox.bytes.len();
                    prop_assert_eq!(outbox.grow(n), fits && !had_room);
                    let room = outbox.room_for(n, most);
                    prop_assert_eq!(room.is_some(), fits && may);
                    if let Some(room) = room {
                        prop_assert_eq!(room.len(), n);
                        room.fill(nth as u8);
                        own.resize(own.len() + n, nth as u8);
                    }
                }
                Act::GiveUp => {
                    prop_assert_eq!(outbox.give_up(), &own[..]);
                    prop_assert!(!outbox.is_serving(id));
                    own.clear();
                }
                Act::Next => {
                    let sent = outbox.end();
                    prop_assert_eq!(sent, own.len());
                    round.push(CorkedSpan { id, sent });
                    model.push((id, std::mem::take(&mut own)));
                    prop_assert!(!outbox.is_serving(id) && outbox.collected() == 0);
                }
                Act::Settle => {
                    outbox.give_up();
                    own.clear();
                    let lent = outbox.lend();
                    let parts: Vec<_> = parts(&round, &lent).map(|(id, p)| (id, p.to_vec())).collect();
                    prop_assert_eq!(&parts, &model);
                    outbox.clear(lent);
                    round.clear();
                    model.clear();
                    prop_assert!(outbox.is_empty());
                }
            }
            prop_assert_eq!(outbox.collected(), own.len());
            let others: usize = model.iter().map(|(_, part)| part.len()).sum();
            prop_assert_eq!(outbox.is_empty(), others == 0);
            prop_assert!(outbox.bytes.len() <= ROOM);
        }
    }
}
