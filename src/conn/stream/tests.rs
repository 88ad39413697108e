//! The state machine by itself: every script up to a length (`scripts`), and single cases.

use super::*;
use crate::stats::CloseReason;

mod acts;
mod checks;
mod kernel;
mod scripts;
mod turns;
mod world;

pub(super) use kernel::{Kernel, PIPE, System};

pub(super) const WATERMARKS: Watermarks =
    Watermarks { high_water: 3, low_water: 1, output_limit: 1_000 };

#[test]
fn a_large_send_on_an_empty_output_is_written_directly_once_a_turn() {
    let mut stream = Stream::new(Kernel::new(System::Tcp), false);
    let mut pool = BufferPool::default();
    let large = vec![7; DIRECT_WRITE_MIN];
    let watermarks = Watermarks { high_water: 1 << 20, ..WATERMARKS };
    let watermarks = Watermarks { output_limit: 1 << 20, ..watermarks };
    assert_eq!(stream.send_large(&large, watermarks, &mut pool), (SendStatus::Queued, PIPE));
    assert_eq!(stream.unsent(), DIRECT_WRITE_MIN - PIPE);
    assert_eq!(stream.send_large(&large, watermarks, &mut pool), (SendStatus::Queued, 0));
    assert!(stream.is_write_blocked());
    stream.drop_output(&mut pool);
    stream.end_turn();
    stream.transport_mut().outbox.clear();
    stream.set_ready(Readiness { writable: true, ..Readiness::default() });
    assert_eq!(stream.send_large(&large, watermarks, &mut pool).1, PIPE);
}

/// A transport that accepts every write and has no input.
struct TakesAll;

impl io::Read for TakesAll {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}

impl io::Write for TakesAll {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transport for TakesAll {
    fn short_read_drained(&self) -> bool {
        true
    }

    fn short_write_filled(&self) -> bool {
        true
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn each_turn_has_a_limited_number_of_direct_writes() {
    let watermarks = Watermarks { high_water: 1 << 20, low_water: 0, output_limit: 1 << 20 };
    for (len, times) in [(4 << 10, 1), ((64 << 10) - 1, 1), (64 << 10, 4)] {
        let mut stream = Stream::new(TakesAll, false);
        let mut pool = BufferPool::default();
        let large = vec![7; len];
        for _turn in 0..2 {
            for _ in 0..times {
                let at_once = stream.send_large(&large, watermarks, &mut pool);
                assert_eq!((at_once, stream.unsent()), ((SendStatus::Queued, len), 0));
                assert!(!stream.is_turn_done(), "the turn counts how many they were");
            }
            assert_eq!(stream.send_large(&large, watermarks, &mut pool), (SendStatus::Queued, 0));
            assert_eq!(stream.flush(&mut pool).unwrap(), WriteOutcome::Wrote(len));
            stream.end_turn();
            assert!(stream.is_turn_done() && stream.can_write_corked());
        }
    }
}

#[test]
fn nothing_sent_is_nothing_to_do() {
    let mut stream = Stream::new(TakesAll, false);
    let mut pool = BufferPool::default();
    assert_eq!(stream.send(b"", WATERMARKS, &mut pool), SendStatus::Queued);
    assert!(stream.is_turn_done() && !stream.wants_service());
    assert_eq!(
        stream.send_shared(&[].into(), false, WATERMARKS, &mut pool),
        (SendStatus::Queued, 0)
    );
    assert!(stream.is_turn_done() && !stream.wants_service());
    stream.prepend_output(b"", WATERMARKS, &mut pool);
    assert!(stream.is_turn_done() && !stream.wants_service());
}

#[test]
fn a_short_read_saves_the_next_unless_it_is_inconclusive() {
    let readable = Readiness { readable: true, ..Readiness::default() };
    let doubts = [
        (readable, false),
        (Readiness { urgent: true, ..readable }, true),
        (Readiness { read_closed: true, ..readable }, true),
        (Readiness { error: true, ..readable }, true),
    ];
    for (ready, may_still_read) in doubts {
        let mut stream = Stream::new(Kernel::new(System::Tcp), false);
        stream.transport_mut().buffers.extend([Some(1); 5]);
        stream.set_ready(ready);
        assert_eq!(stream.fill(&mut [0; 2]).unwrap(), ReadOutcome::Bytes(2));
        assert!(stream.is_readable(), "a full buffer proves nothing");
        assert_eq!(stream.fill(&mut [0; 4]).unwrap(), ReadOutcome::Bytes(3));
        assert_eq!(stream.is_readable(), may_still_read, "{ready:?}");
    }
    let mut stream = Stream::new(Kernel::new(System::Poll), false);
    stream.transport_mut().buffers.push_back(Some(1));
    stream.set_ready(readable);
    assert_eq!(stream.fill(&mut [0; 4]).unwrap(), ReadOutcome::Bytes(1));
    assert!(stream.is_readable(), "a short read proves nothing on poll(2)");
}

#[test]
fn the_unwritten_rest_of_a_direct_write_becomes_output() {
    let mut pool = BufferPool::default();
    for (wrote, flushed, unsent, refused) in [
        (Ok(0), Some(WriteOutcome::Wrote(0)), 3, true),
        (Ok(2), Some(WriteOutcome::Wrote(2)), 1, true),
        (Err(io::ErrorKind::WouldBlock), Some(WriteOutcome::WouldBlock), 3, true),
        (Err(io::ErrorKind::Interrupted), Some(WriteOutcome::WouldBlock), 3, false),
        (Err(io::ErrorKind::BrokenPipe), None, 3, false),
    ] {
        let mut stream = Stream::new(Kernel::new(System::Tcp), false);
        let kept = stream.queue_rest(b"abc", wrote.map_err(io::Error::from), &mut pool);
        assert_eq!(kept.ok(), flushed, "{wrote:?}");
        assert_eq!((stream.unsent(), stream.is_write_blocked()), (unsent, refused), "{wrote:?}");
        assert_eq!(stream.wants_write(), !refused);
    }
    let mut stream = Stream::new(Kernel::new(System::Poll), false);
    stream.queue_rest(b"abc", Ok(2), &mut pool).unwrap();
    assert!(stream.wants_write(), "a short write proves nothing on poll(2)");
}

#[test]
fn prepended_output_counts_against_high_water_and_the_limit() {
    for (len, congested, aborted) in [(3, false, false), (4, true, false), (6, true, true)] {
        let watermarks = Watermarks { high_water: 3, low_water: 1, output_limit: 5 };
        let mut stream = Stream::new(TakesAll, false);
        stream.prepend_output(&vec![7; len], watermarks, &mut BufferPool::default());
        assert_eq!((stream.unsent(), stream.is_congested()), (len, congested));
        assert_eq!(stream.close_state() != CloseState::Open, aborted);
    }
}

/// Otherwise every event takes the slow path through the queue.
#[test]
fn an_event_of_a_plain_connection_is_served_where_it_is_found() {
    let unusual: [fn(&mut Stream<TakesAll>); 8] = [
        |stream| stream.begin_turn(),
        |stream| stream.pause(),
        |stream| stream.close(),
        |stream| stream.shutdown_write(),
        |stream| stream.note_shutdown(),
        |stream| stream.set_ready(Readiness { error: true, ..Readiness::default() }),
        |stream| stream.prepend_output(b"x", WATERMARKS, &mut BufferPool::default()),
        |stream| {
            let mut unconsumed = stream.take_unconsumed();
            unconsumed.append(b"x");
            stream.put_unconsumed(unconsumed);
        },
    ];
    let mut plain = Stream::new(TakesAll, false);
    assert!(!plain.is_plain_readable(), "nothing came");
    plain.set_readable(true, false);
    assert!(plain.is_plain_readable() && plain.can_cork() && plain.can_write_corked());
    assert!(plain.is_plain());
    for note in unusual {
        let mut stream = Stream::new(TakesAll, false);
        stream.set_readable(true, true);
        assert!(stream.is_plain_readable());
        note(&mut stream);
        assert!(!stream.is_plain_readable());
    }
    let mut connecting = Stream::new(TakesAll, true);
    connecting.set_readable(true, false);
    assert!(!connecting.is_plain_readable() && !connecting.can_cork());
}

#[test]
fn output_above_the_limit_aborts() {
    let mut stream = Stream::new(Kernel::new(System::Tcp), false);
    let mut pool = BufferPool::default();
    let watermarks = Watermarks { high_water: 1, low_water: 1, output_limit: 3 };
    assert_eq!(stream.send(b"abc", watermarks, &mut pool), SendStatus::Congested);
    assert_eq!(stream.close_state(), CloseState::Open);
    stream.send(b"d", watermarks, &mut pool);
    assert_eq!(stream.close_state(), CloseState::Aborted(CloseReason::OutputLimit));
    assert_eq!(stream.send(b"e", watermarks, &mut pool), SendStatus::Closed);
    assert_eq!(stream.drop_output(&mut pool), 4);
}

#[test]
fn unconsumed_input_is_delivered_again_after_a_resume_and_after_congestion() {
    let mut stream = Stream::new(Kernel::new(System::Tcp), false);
    let mut pool = BufferPool::default();
    let hold = |stream: &mut Stream<Kernel>| {
        let mut unconsumed = stream.take_unconsumed();
        unconsumed.append(b"x");
        stream.put_unconsumed(unconsumed);
        assert!(!stream.wants_redelivery(), "no new bytes, and no request");
    };
    for is_paused in [false, true] {
        hold(&mut stream);
        if is_paused {
            stream.pause();
        }
        stream.resume();
        assert!(stream.wants_redelivery() && stream.wants_service(), "paused: {is_paused}");
    }

    hold(&mut stream);
    stream.send(b"12345", WATERMARKS, &mut pool);
    assert!(!stream.take_drained(WATERMARKS));
    stream.drop_output(&mut pool);
    assert!(stream.take_drained(WATERMARKS) && !stream.take_drained(WATERMARKS));
    assert!(stream.wants_redelivery() && stream.wants_service());
}

#[test]
fn an_error_is_worth_a_turn_even_while_nothing_is_read_or_written() {
    let mut stream = Stream::new(Kernel::new(System::Tcp), false);
    stream.pause();
    stream.set_ready(Readiness { error: true, ..Readiness::default() });
    assert!(stream.has_failed() && stream.wants_service());
    let mut stream = Stream::new(Kernel::new(System::Tcp), false);
    stream.set_ready(Readiness { error: true, ..Readiness::default() });
    assert!(stream.wants_read(), "the read will say how it broke");
    let mut stream = Stream::new(Kernel::new(System::Tcp), true);
    assert!(!stream.wants_service());
    stream.set_ready(Readiness { error: true, ..Readiness::default() });
    assert!(stream.has_connect_result() && stream.wants_service());
}

#[test]
fn a_spurious_connect_result_waits_for_the_next_event() {
    for readiness in [
        Readiness { writable: true, ..Readiness::default() },
        Readiness { error: true, ..Readiness::default() },
    ] {
        let mut stream = Stream::new(Kernel::new(System::Tcp), true);
        assert!(!stream.has_connect_result());
        stream.set_ready(readiness);
        assert!(stream.has_connect_result());
        stream.clear_connect_result();
        assert!(!stream.has_connect_result() && stream.is_connecting());
    }
}
