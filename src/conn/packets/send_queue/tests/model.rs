//! The queue of datagrams against a plain one.

use std::collections::VecDeque;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;

const CASES: u32 = if cfg!(miri) { 8 } else { 512 };

#[derive(Clone, Debug)]
enum Act {
    /// To one of some addresses, from one of ours if that is said, so long.
    Push(usize, Option<u8>, usize),
    Advance(usize),
    Clear,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (0..5_usize, option::of(0..3_u8), 0..20_usize)
            .prop_map(|(to, from, len)| Act::Push(to, from, len)),
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

/// What a path, or the address from which it leaves, takes of the room.
fn head_len(nth: usize, from: Option<u8>) -> usize {
    let source = if from.is_some() { [0, 4, 20, 0, 0][nth] } else { 0 };
    [0, 0, 0, 2, 7][nth] + source
}

/// One of our addresses, of the kind of the peer; only IP has them.
fn own_addr(to: usize, from: Option<u8>) -> Option<SocketAddr> {
    match (to, from?) {
        (1, n) => Some(SocketAddr::from(([127, 0, 0, n], 7))),
        (2, n) => Some(SocketAddr::from(([0xfe80, 0, 0, 0, 0, 0, 0, u16::from(n) + 1], 7))),
        _ => None,
    }
}

/// What waits: for which address, from which of ours, and the bytes.
type Model = VecDeque<(usize, Option<u8>, Vec<u8>)>;

fn used(model: &Model) -> usize {
    model.iter().map(|(to, from, bytes)| head_len(*to, *from) + bytes.len()).sum()
}

fn check(packets: &SendQueue, model: &Model) -> Result<(), TestCaseError> {
    prop_assert_eq!((packets.len(), packets.is_empty()), (model.len(), model.is_empty()));
    prop_assert_eq!(packets.pending().len(), model.len());
    for (packet, (to, from, bytes)) in packets.pending().iter().zip(model) {
        prop_assert_eq!(packets.payload(packet), &bytes[..]);
        let path = [None, None, None, Some(&b"/a"[..]), Some(b"/longer")][*to];
        prop_assert_eq!(packets.path(packet), path);
        let kind = match packet.to {
            DestAddr::Connected => 0,
            DestAddr::V4(_) | DestAddr::V4From(_) => 1,
            DestAddr::V6(_) | DestAddr::V6From(_) => 2,
            DestAddr::Path(_) => 3,
        };
        prop_assert_eq!(kind, (*to).min(3));
        let source = own_addr(*to, *from).map(|from| match from {
            SocketAddr::V4(from) => PacketSource::V4(*from.ip()),
            SocketAddr::V6(from) => PacketSource::V6(*from.ip(), from.scope_id()),
        });
        prop_assert_eq!(packets.source(packet), source);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(CASES) })]

    #[test]
    fn packets_are_a_queue_with_little_room(acts in vec(act(), 0..60)) {
        let mut packets = SendQueue::default();
        let mut model = Model::new();
        for (nth, act) in acts.into_iter().enumerate() {
            match act {
                Act::Push(to, from, len) => {
                    let bytes = vec![nth as u8; len];
                    let fits = model.len() < ROOM.packets && used(&model) + len <= ROOM.bytes;
                    let taken = match (own_addr(to, from), addr(to)) {
                        (Some(from), Some(Addr::Ip(to))) => {
                            packets.push_from(from, to, &bytes, ROOM)
                        }
                        (_, to) => packets.push(to.as_ref(), &bytes, ROOM),
                    };
                    prop_assert_eq!(taken, fits);
                    if fits {
                        model.push_back((to, from, bytes));
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
            check(&packets, &model)?;
        }
    }
}
