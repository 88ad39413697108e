//! The queue by itself.

use std::path::PathBuf;

use super::*;

mod model;

const ROOM: QueueLimits = QueueLimits { packets: 4, bytes: 40 };

fn contents(packets: &SendQueue) -> Vec<Vec<u8>> {
    packets.pending().iter().map(|packet| packets.payload(packet).to_vec()).collect()
}

#[test]
fn packets_leave_in_order_and_the_empty_one_is_one() {
    let mut packets = SendQueue::default();
    let peer: SocketAddr = "[::1]:9".parse().unwrap();
    assert!(packets.push(Some(&Addr::Ip(peer)), b"one", ROOM));
    assert!(packets.push(None, b"", ROOM));
    assert!(packets.push(Some(&Addr::Unix(PathBuf::from("/a"))), b"two", ROOM));
    assert_eq!(contents(&packets), [b"one".to_vec(), b"".to_vec(), b"two".to_vec()]);
    let [first, second, third] = packets.pending() else { panic!("three wait") };
    assert!(matches!(first.to, DestAddr::V6(addr) if SocketAddr::V6(addr) == peer));
    assert_eq!((second.to, packets.path(second)), (DestAddr::Connected, None));
    assert_eq!(packets.path(third), Some(&b"/a"[..]));
    packets.advance(2);
    assert_eq!(contents(&packets), [b"two"]);
    packets.advance(1);
    assert!(packets.is_empty());
}

#[test]
fn what_does_not_fit_is_refused_until_others_have_left() {
    let mut packets = SendQueue::default();
    let path = Addr::Unix(PathBuf::from("/abc"));
    for nth in 0..4 {
        assert!(packets.push(Some(&path), &[nth; 5], ROOM));
    }
    assert!(!packets.push(None, b"", ROOM), "four are enough");
    packets.advance(3);
    assert!(packets.push(None, &[9; 31], ROOM));
    assert!(!packets.push(None, b"x", ROOM), "the bytes are too many");
    assert_eq!(contents(&packets), [vec![3; 5], vec![9; 31]]);
    assert_eq!(packets.path(&packets.pending()[0]), Some(&b"/abc"[..]));
    assert_eq!(packets.clear(), 2);
    assert!(!packets.push(None, &[0; 41], ROOM), "it would never fit");
}

#[test]
fn an_empty_queue_keeps_little() {
    let mut packets = SendQueue::default();
    let room = QueueLimits { packets: 1, bytes: 4 * KEEP };
    assert!(packets.push(None, &vec![0; 2 * KEEP], room));
    packets.advance(1);
    assert_eq!((packets.bytes.capacity(), packets.take_spare()), (0, false));
    // Less than that is kept for a while.
    assert!(packets.push(None, &vec![0; KEEP / 2], room));
    packets.advance(1);
    assert!(packets.held() >= KEEP / 2 && !packets.is_settled());
    assert!(packets.take_spare() && packets.is_settled());
    assert!(packets.push(None, &vec![0; KEEP / 2], room));
    packets.advance(1);
    assert!(!packets.take_spare(), "it is noted already");
    packets.trim();
    assert_eq!(packets.held(), 0);
}

/// A queue that stays full: one leaves, one comes.
#[test]
fn a_full_queue_moves_no_more_than_what_comes() {
    for (len, limit) in [(0, 256), (100, 256), (100, 4_096)] {
        let mut packets = SendQueue::default();
        let limits = QueueLimits { packets: limit, bytes: limit * 100 };
        while packets.push(None, &vec![0; len], limits) {}
        assert_eq!(packets.len(), limit);
        let (mut moved, rounds) = (0, 4 * limit);
        for _ in 0..rounds {
            packets.advance(1);
            let sent = packets.sent;
            assert!(packets.push(None, &vec![0; len], limits));
            assert!(!packets.push(None, &vec![0; len], limits));
            if packets.sent < sent {
                moved += packets.len();
            }
            assert!(packets.list.len() <= 2 * limit && packets.bytes.len() <= 2 * limit * 100);
        }
        assert!(moved <= rounds + limit, "{moved} were moved, {rounds} came");
    }
}
