//! The output of a connection by itself.

use super::*;

mod model;

fn joined(slices: &[IoSlice<'_>]) -> Vec<u8> {
    slices.iter().flat_map(|slice| slice.iter().copied()).collect()
}

/// All that is unsent, wherever it lies.
fn unsent(output: &Output) -> Vec<u8> {
    let mut slices = [IoSlice::new(&[]); 300];
    let gathered = output.gather(&mut slices);
    let bytes = joined(&slices[..gathered.slices]);
    assert_eq!(bytes.len(), gathered.bytes);
    bytes
}

#[test]
fn bytes_leave_in_the_order_they_came() {
    let mut pool = BufferPool::default();
    let mut output = Output::default();
    let mut left = Vec::new();
    let mut sent = 0_u8;
    for step in 0..200_usize {
        let piece: Vec<u8> = (0..step % 7).map(|i| sent.wrapping_add(i as u8)).collect();
        sent = sent.wrapping_add(piece.len() as u8);
        match step % 3 {
            0 => output.push_shared(&piece.as_slice().into(), 0, &mut pool),
            1 => output.push_shared(&[&[99], &piece[..]].concat().into(), 1, &mut pool),
            _ => output.push(&piece, &mut pool),
        };
        assert_eq!(output.len(), unsent(&output).len());
        let n = output.len().min(step % 5);
        left.extend_from_slice(&unsent(&output)[..n]);
        output.advance(n, &mut pool);
    }
    left.extend_from_slice(&unsent(&output));
    assert!(left.iter().enumerate().all(|(i, &byte)| byte == i as u8));
}

#[test]
fn what_is_put_in_front_leaves_first() {
    let mut pool = BufferPool::default();
    let mut output = Output::default();
    output.push(b"xde", &mut pool);
    output.advance(1, &mut pool);
    output.push_front(b"abc", &mut pool);
    output.push(b"f", &mut pool);
    assert_eq!(output.unsent(), Some(&b"abcdef"[..]));
}

#[test]
fn what_is_put_in_front_of_shared_bytes_leaves_first_too() {
    let mut pool = BufferPool::default();
    let mut output = Output::default();
    output.push_shared(&b"xcd".as_slice().into(), 1, &mut pool);
    output.push(b"e", &mut pool);
    output.push_front(b"", &mut pool);
    output.push_front(b"b", &mut pool);
    output.advance(2, &mut pool);
    output.push_front(b"abc", &mut pool);
    assert_eq!((unsent(&output), output.len()), (b"abcde".to_vec(), 5));
    output.advance(5, &mut pool);
    assert!(output.is_empty());
}

#[test]
fn gathering_goes_as_far_as_there_are_slices() {
    let mut pool = BufferPool::default();
    let mut output = Output::default();
    for piece in [b"ab", b"cd", b"ef"] {
        output.push_shared(&piece.as_slice().into(), 0, &mut pool);
    }
    let mut slices = [IoSlice::new(&[]); 2];
    assert_eq!(output.gather(&mut slices), Gathered { slices: 2, bytes: 4 });
    assert_eq!(joined(&slices), b"abcd");
}

#[test]
fn an_empty_output_owns_nothing_and_its_buffer_serves_the_next() {
    let mut pool = BufferPool::default();
    let (mut first, mut second) = (Output::default(), Output::default());
    first.push(b"abc", &mut pool);
    let place = first.unsent().unwrap().as_ptr();
    first.advance(3, &mut pool);
    assert!(first.is_empty() && first.0.is_none());
    assert_eq!(pool.spare.len(), 1);
    second.push(b"xyz", &mut pool);
    assert_eq!((second.unsent().unwrap().as_ptr(), pool.spare.len()), (place, 0));
}

#[test]
#[cfg_attr(miri, ignore = "too long")]
fn the_pool_keeps_no_more_than_its_limit() {
    let mut pool = BufferPool::default();
    let mut outputs: Vec<Output> = (0..=POOL_BUFFERS).map(|_| Output::default()).collect();
    for output in &mut outputs {
        output.push(b"x", &mut pool);
    }
    for output in &mut outputs {
        output.clear(&mut pool);
    }
    assert_eq!(pool.spare.len(), POOL_BUFFERS);
}

#[test]
fn the_pool_keeps_nothing_large() {
    for (bytes, pieces, kept) in [
        (POOL_BUFFER_SIZE, POOL_CHUNKS, 1),
        (POOL_BUFFER_SIZE + 1, POOL_CHUNKS, 0),
        (POOL_BUFFER_SIZE, POOL_CHUNKS + 1, 0),
    ] {
        let (mut pool, mut output) = (BufferPool::default(), Output::default());
        output.push(&vec![0; bytes], &mut pool);
        for _ in 0..pieces {
            output.push_shared(&b"x".as_slice().into(), 0, &mut pool);
        }
        output.clear(&mut pool);
        assert_eq!(pool.spare.len(), kept, "{bytes} {pieces}");
    }
}

#[test]
fn a_queue_is_moved_only_when_more_than_half_of_it_was_sent() {
    let (mut pool, mut output) = (BufferPool::default(), Output::default());
    output.push(b"0123456789", &mut pool);
    // Bytes that were sent before, and how many are there once a byte was pushed.
    for (sent, left) in [(4, 4), (1, 5), (1, 6), (0, 6), (2, 0)] {
        output.advance(sent, &mut pool);
        output.push(b"x", &mut pool);
        assert_eq!(output.0.as_ref().unwrap().sent, left);
    }
    assert_eq!(unsent(&output), b"89xxxxx");
}

#[test]
#[cfg_attr(miri, ignore = "too long")]
fn a_long_queue_that_never_empties_is_not_moved_for_every_byte() {
    let mut pool = BufferPool::default();
    let mut output = Output::default();
    output.push(&[7; 1_000], &mut pool);
    for _ in 0..100_000 {
        output.push(&[7; 10], &mut pool);
        output.advance(10, &mut pool);
    }
    assert_eq!(output.len(), 1_000);
    assert!(output.0.as_ref().unwrap().bytes.capacity() < 8_000);
}
