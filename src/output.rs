//! Bytes on their way out.
//!
//! A connection with nothing to send owns no buffer. One that has borrows it from the [`Pool`] of
//! its loop and gives it back when it is empty, so a busy server sends without allocating.

/// What one connection has to send, in order.
#[derive(Debug, Default)]
pub(crate) struct Output(Option<Box<Buffer>>);

#[derive(Debug, Default)]
struct Buffer {
    bytes: Vec<u8>,
    /// How many of `bytes` were sent; less than all of them, or the buffer is back in the pool.
    sent: usize,
}

impl Output {
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |buffer| buffer.bytes.len() - buffer.sent)
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    #[inline]
    pub(crate) fn unsent(&self) -> &[u8] {
        self.0.as_ref().and_then(|buffer| buffer.bytes.get(buffer.sent..)).unwrap_or_default()
    }

    /// Puts `bytes` behind the others; says how many are unsent then.
    #[inline]
    pub(crate) fn push(&mut self, bytes: &[u8], pool: &mut Pool) -> usize {
        if bytes.is_empty() {
            return self.len();
        }
        let buffer = self.0.get_or_insert_with(|| pool.take());
        if buffer.sent > 0 {
            buffer.move_to_front();
        }
        buffer.bytes.extend_from_slice(bytes);
        buffer.bytes.len() - buffer.sent
    }

    /// Puts `bytes` in front of the others.
    #[cold]
    pub(crate) fn push_front(&mut self, bytes: &[u8], pool: &mut Pool) {
        let mut behind = std::mem::take(self);
        self.push(bytes, pool);
        self.push(behind.unsent(), pool);
        behind.clear(pool);
    }

    /// Notes that the first `n` unsent bytes were sent.
    #[inline]
    pub(crate) fn advance(&mut self, n: usize, pool: &mut Pool) {
        let Some(buffer) = &mut self.0 else { return };
        buffer.sent += n;
        debug_assert!(buffer.sent <= buffer.bytes.len());
        if buffer.sent >= buffer.bytes.len() {
            self.clear(pool);
        }
    }

    /// Drops what was not sent.
    #[inline]
    pub(crate) fn clear(&mut self, pool: &mut Pool) {
        if let Some(buffer) = self.0.take() {
            pool.give_back(buffer);
        }
    }
}

impl Buffer {
    /// Only when at least as much was sent as is left, so the cost of all moves stays below the
    /// number of bytes ever sent.
    #[cold]
    fn move_to_front(&mut self) {
        if self.sent > self.bytes.len() / 2 {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
    }
}

/// Empty buffers of one loop, warm from their last use.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    #[expect(
        clippy::vec_box,
        reason = "the box moves to an `Output`, where one word is all it costs"
    )]
    spare: Vec<Box<Buffer>>,
}

/// What the pool keeps at most, 4 MiB; the rest goes back to the allocator.
const POOL_BUFFERS: usize = 1_024;
const POOL_BUFFER_SIZE: usize = 4 << 10;

impl Pool {
    #[expect(clippy::unnecessary_box_returns, reason = "the box is what is kept")]
    #[inline]
    fn take(&mut self) -> Box<Buffer> {
        self.spare.pop().unwrap_or_default()
    }

    #[inline]
    fn give_back(&mut self, mut buffer: Box<Buffer>) {
        if buffer.bytes.capacity() <= POOL_BUFFER_SIZE && self.spare.len() < POOL_BUFFERS {
            buffer.bytes.clear();
            buffer.sent = 0;
            self.spare.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_leave_in_the_order_they_came() {
        let mut pool = Pool::default();
        let mut output = Output::default();
        let mut left = Vec::new();
        let mut sent = 0_u8;
        for step in 0..200_usize {
            let piece: Vec<u8> = (0..step % 7).map(|i| sent.wrapping_add(i as u8)).collect();
            sent = sent.wrapping_add(piece.len() as u8);
            output.push(&piece, &mut pool);
            let n = output.len().min(step % 5);
            left.extend_from_slice(&output.unsent()[..n]);
            output.advance(n, &mut pool);
        }
        left.extend_from_slice(output.unsent());
        assert!(left.iter().enumerate().all(|(i, &byte)| byte == i as u8));
    }

    #[test]
    fn what_is_put_in_front_leaves_first() {
        let mut pool = Pool::default();
        let mut output = Output::default();
        output.push(b"xde", &mut pool);
        output.advance(1, &mut pool);
        output.push_front(b"abc", &mut pool);
        output.push(b"f", &mut pool);
        assert_eq!(output.unsent(), b"abcdef");
    }

    #[test]
    fn an_empty_output_owns_nothing_and_its_buffer_serves_the_next() {
        let mut pool = Pool::default();
        let (mut first, mut second) = (Output::default(), Output::default());
        first.push(b"abc", &mut pool);
        let place = first.unsent().as_ptr();
        first.advance(3, &mut pool);
        assert!(first.is_empty() && first.0.is_none());
        second.push(b"xyz", &mut pool);
        assert_eq!(second.unsent().as_ptr(), place);
    }

    #[test]
    fn the_pool_keeps_no_more_than_its_limit() {
        let mut pool = Pool::default();
        let mut outputs: Vec<Output> = (0..2_000).map(|_| Output::default()).collect();
        for (n, output) in outputs.iter_mut().enumerate() {
            output.push(&vec![0; n], &mut pool);
            output.push(&vec![0; 5 * n], &mut pool);
        }
        for output in &mut outputs {
            output.clear(&mut pool);
        }
        assert!(pool.spare.len() <= POOL_BUFFERS);
        assert!(pool.spare.iter().all(|buffer| buffer.bytes.capacity() <= POOL_BUFFER_SIZE));
    }

    #[test]
    fn a_long_queue_that_never_empties_is_not_moved_for_every_byte() {
        let mut pool = Pool::default();
        let mut output = Output::default();
        output.push(&[7; 1_000], &mut pool);
        for _ in 0..100_000 {
            output.push(&[7; 10], &mut pool);
            output.advance(10, &mut pool);
        }
        assert_eq!(output.len(), 1_000);
        assert!(output.0.as_ref().unwrap().bytes.capacity() < 8_000);
    }
}
