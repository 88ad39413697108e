//! The machine of a datagram socket, played by scripts.

use super::*;
use std::collections::VecDeque;

const ROOM: QueueLimits = QueueLimits { packets: 8, bytes: 1 << 10 };

/// A socket whose every answer is written down before.
#[derive(Default)]
struct Script {
    receives: VecDeque<Result<RecvOutcome, io::ErrorKind>>,
    sends: VecDeque<Result<usize, io::ErrorKind>>,
    one_peer: bool,
}

impl DatagramTransport for Script {
    type MmsgHeaders = ();

    fn receive(&mut self, (): &mut (), _: &mut RecvBuffers, max: usize) -> io::Result<RecvOutcome> {
        let received = self.receives.pop_front().unwrap_or(Err(io::ErrorKind::WouldBlock))?;
        assert!(received.count <= max);
        Ok(received)
    }

    fn send(&mut self, (): &mut (), packets: &SendQueue, _: usize) -> io::Result<usize> {
        assert!(!packets.is_empty());
        Ok(self.sends.pop_front().unwrap_or(Ok(packets.len()))?)
    }

    fn would_block_is_per_peer(&self) -> bool {
        self.one_peer
    }

    fn is_wildcard(&self) -> bool {
        !self.one_peer
    }
}

fn queue(script: Script, packets: usize) -> Datagram<Script> {
    queue_to(None, script, packets)
}

fn queue_to(to: Option<&Addr>, script: Script, packets: usize) -> Datagram<Script> {
    let mut datagram = Datagram::new(script, false);
    for _ in 0..packets {
        assert!(datagram.send(to, b"packet", ROOM));
    }
    datagram
}

/// What becomes of all that waits, as the numbers that left or `Err` for one that was dropped.
fn flush_all(datagram: &mut Datagram<Script>) -> Vec<Result<usize, io::ErrorKind>> {
    let mut all = Vec::new();
    while let Some(left) = datagram.flush(&mut (), 64) {
        all.push(match left {
            FlushOutcome::Sent(n) => Ok(n),
            FlushOutcome::Dropped(error) | FlushOutcome::PendingError(error) => Err(error.kind()),
            FlushOutcome::WouldBlock => Err(io::ErrorKind::WouldBlock),
        });
    }
    all
}

#[test]
fn an_error_costs_one_datagram_and_keeps_the_others_in_order() {
    use io::ErrorKind::{ConnectionRefused, Interrupted, NetworkUnreachable};
    let sends = [Ok(2), Err(NetworkUnreachable), Err(Interrupted), Err(ConnectionRefused)];
    let script = Script { sends: sends.into(), ..Script::default() };
    let mut datagram = queue(script, 6);
    let expected = [Ok(2), Err(NetworkUnreachable), Ok(0), Err(ConnectionRefused), Ok(2)];
    assert_eq!(flush_all(&mut datagram), expected);
    assert_eq!(datagram.queue_len(), 0);
}

#[test]
fn a_pending_error_of_a_connected_socket_costs_no_datagram_the_first_time() {
    use io::ErrorKind::{ConnectionRefused, NetworkUnreachable};
    let sends =
        [Err(ConnectionRefused), Ok(1), Err(ConnectionRefused), Err(NetworkUnreachable), Ok(1)];
    let mut datagram = queue(Script { sends: sends.into(), ..Script::default() }, 3);
    datagram.is_connected = true;
    assert_eq!(flush_all(&mut datagram), sends);
    assert_eq!(datagram.queue_len(), 0);
}

#[test]
fn a_full_socket_waits_for_the_write_edge_and_a_full_peer_loses_its_datagram() {
    let refused =
        || Script { sends: [Ok(1), Err(io::ErrorKind::WouldBlock)].into(), ..Script::default() };
    let mut datagram = queue(refused(), 4);
    assert_eq!(flush_all(&mut datagram), [Ok(1), Err(io::ErrorKind::WouldBlock)]);
    assert_eq!(datagram.queue_len(), 3);
    assert!(datagram.wants_write_interest());
    datagram.set_ready(Readiness { writable: true, ..Readiness::default() });
    assert!(!datagram.wants_write_interest(), "there is room again");
    assert_eq!(flush_all(&mut datagram), [Ok(3)]);

    for is_connected in [false, true] {
        let one = Addr::Unix("/one/of/many".into());
        let mut datagram = queue_to(Some(&one), Script { one_peer: true, ..refused() }, 4);
        datagram.is_connected = is_connected;
        assert_eq!(flush_all(&mut datagram), [Ok(1), Err(io::ErrorKind::WouldBlock), Ok(2)]);
        assert!(!datagram.wants_write_interest());
    }

    let mut datagram = queue(Script { one_peer: true, ..refused() }, 4);
    datagram.is_connected = true;
    assert_eq!(flush_all(&mut datagram), [Ok(1), Err(io::ErrorKind::WouldBlock)]);
    assert_eq!(datagram.queue_len(), 3, "no other peer waits behind it");
}

#[test]
fn reading_ends_when_all_came_or_nothing_did_and_not_at_an_error() {
    let receives = [
        Ok(RecvOutcome { count: 4, drained: false }),
        Err(io::ErrorKind::ConnectionRefused),
        Ok(RecvOutcome { count: 2, drained: true }),
    ];
    let mut datagram = queue(Script { receives: receives.into(), ..Script::default() }, 0);
    let mut buffers = RecvBuffers::new(8);
    let mut receive = |datagram: &mut Datagram<Script>| datagram.receive(&mut (), &mut buffers, 4);
    assert!(matches!(receive(&mut datagram), Some(Ok(4))) && datagram.wants_read());
    assert!(matches!(receive(&mut datagram), Some(Err(_))) && datagram.wants_read());
    assert!(matches!(receive(&mut datagram), Some(Ok(2))) && !datagram.wants_read());
    datagram.set_ready(Readiness { readable: true, ..Readiness::default() });
    assert!(datagram.wants_read());
    assert!(receive(&mut datagram).is_none() && !datagram.wants_read());
}

#[test]
fn a_drain_reads_even_without_an_edge() {
    for (then, phase) in
        [(AfterDrain::Stop, DatagramPhase::Stopped), (AfterDrain::Close, DatagramPhase::Closing)]
    {
        let mut datagram = queue(Script::default(), 0);
        assert!(datagram.receive(&mut (), &mut RecvBuffers::new(8), 1).is_none());
        datagram.begin_drain(7, then);
        assert!(datagram.wants_read() && datagram.wants_service());
        // Asked for twice, the stronger holds.
        datagram.begin_drain(8, AfterDrain::Stop);
        datagram.end_drain();
        assert_eq!(datagram.phase(), phase);
        assert!(!datagram.wants_read());
        datagram.resume_all();
        assert_eq!(datagram.wants_read(), phase == DatagramPhase::Stopped);
    }
}

#[test]
fn drained_is_reported_once_and_only_when_the_queue_is_empty() {
    let mut datagram = queue(Script { sends: [Ok(7)].into(), ..Script::default() }, 8);
    assert!(!datagram.take_drained());
    assert!(!datagram.send(None, b"one too many", ROOM) && datagram.is_congested());
    assert!(matches!(datagram.flush(&mut (), 64), Some(FlushOutcome::Sent(7))));
    assert!(!datagram.take_drained(), "one still waits");
    assert!(matches!(datagram.flush(&mut (), 64), Some(FlushOutcome::Sent(1))));
    assert!(datagram.take_drained() && !datagram.take_drained());
}

#[test]
fn a_closing_socket_wants_a_turn_until_it_is_gone() {
    let mut datagram =
        queue(Script { sends: [Err(io::ErrorKind::WouldBlock)].into(), ..Script::default() }, 1);
    datagram.close();
    assert!(datagram.wants_service() && !datagram.wants_read());
    assert!(matches!(datagram.flush(&mut (), 64), Some(FlushOutcome::WouldBlock)));
    datagram.write_interest = true;
    assert!(datagram.wants_service(), "its end has no time yet");
    datagram.closes_at = Some(1);
    assert!(!datagram.wants_service(), "it waits for room, for that time, and for nothing else");
    assert_eq!(datagram.clear_queue(), 1);
    assert!(datagram.wants_service());
}

#[test]
fn receive_errors_in_a_row_delay_the_next_receive() {
    let mut buffers = RecvBuffers::new(100);
    let broken = std::iter::repeat_n(Err(io::ErrorKind::OutOfMemory), 100);
    let mut datagram = queue(Script { receives: broken.collect(), ..Script::default() }, 0);
    let mut failed = 0;
    while datagram.wants_read() {
        assert!(matches!(datagram.receive(&mut (), &mut buffers, 8), Some(Err(_))));
        failed += 1;
    }
    assert_eq!(failed, MAX_RECV_FAILURES + 1);
    assert!(!datagram.wants_service(), "it sleeps");
    assert!(datagram.retry() && datagram.wants_read() && !datagram.retry());
    datagram.transport.receives = [Err(io::ErrorKind::OutOfMemory)].into();
    assert!(matches!(datagram.receive(&mut (), &mut buffers, 8), Some(Err(_))));
    assert!(!datagram.wants_read(), "one failure more, and it sleeps again");
    assert!(datagram.retry() && datagram.wants_read());
    assert!(datagram.receive(&mut (), &mut buffers, 8).is_none());
    assert_eq!(datagram.recv_failures, 0);
}
