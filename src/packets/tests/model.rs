//! The queue of datagrams against a plain one.

use std::collections::VecDeque;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const CASES: u32 = if cfg!(miri) { 8 } else { 512 };

#[derive(Clone, Debug)]
enum Act {
    /// To one of some addresses, so long.
    Push(usize, usize),
    Advance(usize),
    Clear,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (0..5_usize, 0..20_usize).prop_map(|(to, len)| Act::Push(to, len)),
        4 => (0..4_usize).prop_map(Act::Advance),
        1 => Just(Act::Clear),
    ]
}

fn addr(nth: usize) -> Option<Addr> {
    match nth {
        0 => None,
        1 => Some(Addr::Ip("127.0.0.1:9".parse().unwrap())),
        2 => Some(Addr::Ip("[::1]:9".parse().unwrap())),
        3 => Some(Addr::Unix(PathBuf::from("/a"))),
        _ => Some(Addr::Unix(PathBuf::from("/longer"))),
    }
}

/// What a path takes of the room.
fn path_len(nth: usize) -> usize {
    [0, 0, 0, 2, 7][nth]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(CASES) })]

    #[test]
    fn packets_are_a_queue_with_little_room(acts in vec(act(), 0..60)) {
        let mut packets = Packets::default();
        let mut model: VecDeque<(usize, Vec<u8>)> = VecDeque::new();
        for (nth, act) in acts.into_iter().enumerate() {
            match act {
                Act::Push(to, len) => {
                    let bytes = vec![nth as u8; len];
                    let used: usize = model.iter().map(|(to, b)| path_len(*to) + b.len()).sum();
                    let fits = model.len() < ROOM.packets && used + len <= ROOM.bytes;
                    prop_assert_eq!(packets.push(addr(to).as_ref(), &bytes, ROOM), fits);
                    if fits {
                        model.push_back((to, bytes));
                    }
                }
                Act::Advance(n) => {
                    packets.advance(n);
                    model.drain(..n.min(model.len()));
                }
                Act::Clear => {
                    prop_assert_eq!(packets.clear(), model.len());
                    model.clear();
                }
            }
            prop_assert_eq!((packets.len(), packets.is_empty()), (model.len(), model.is_empty()));
            prop_assert_eq!(packets.waiting().len(), model.len());
            for (packet, (to, bytes)) in packets.waiting().iter().zip(&model) {
                prop_assert_eq!(packets.payload(packet), &bytes[..]);
                let path = [None, None, None, Some(&b"/a"[..]), Some(b"/longer")][*to];
                prop_assert_eq!(packets.path(packet), path);
                let kind = match packet.to { To::Peer => 0, To::V4(_) => 1, To::V6(_) => 2, To::Path(_) => 3 };
                prop_assert_eq!(kind, (*to).min(3));
            }
        }
    }
}
