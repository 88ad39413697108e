//! Sending bytes that several connections share.

use std::io::{self, IoSlice};
use std::sync::Arc;

use super::{SendStatus, Stream, Watermarks};
use crate::conn::flags::Flags;
use crate::conn::output::BufferPool;
use crate::conn::transport::Transport;

/// The most slices in one `writev`: some shared messages, each with a head of its own.
const MAX_SLICES: usize = 8;

impl<T: Transport> Stream<T> {
    /// As [`Stream::send_large`], but the unsent rest is shared and not copied.
    pub(crate) fn send_shared(
        &mut self,
        bytes: &Arc<[u8]>,
        direct: bool,
        watermarks: Watermarks,
        pool: &mut BufferPool,
    ) -> (SendStatus, usize) {
        if !self.accepts_output() {
            return (SendStatus::Closed, 0);
        }
        let left = if direct { self.try_write_direct(bytes) } else { 0 };
        let unsent = self.output.push_shared(bytes, left, pool);
        self.flags.set(Flags::HAS_OUTPUT, unsent > 0);
        if unsent > watermarks.high_water {
            self.note_congestion(watermarks);
        }
        (if self.is_congested() { SendStatus::Congested } else { SendStatus::Queued }, left)
    }

    /// Writes once from several buffers. Also returns how many bytes were offered.
    #[cold]
    pub(super) fn write_gathered(&mut self) -> (io::Result<usize>, usize) {
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let gathered = self.output.gather(&mut slices);
        let slices = slices.get(..gathered.slices).unwrap_or_default();
        (self.transport.write_vectored(slices), gathered.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conn::stream::tests::{Kernel, PIPE, System, WATERMARKS};
    use crate::conn::stream::{CloseState, WriteOutcome};
    use crate::stats::CloseReason;

    #[test]
    fn shared_bytes_leave_with_their_head_in_one_write_and_are_not_copied() {
        let mut stream = Stream::new(Kernel::new(System::Tcp), false);
        let mut pool = BufferPool::default();
        let shared: Arc<[u8]> = vec![7; 10].into();
        stream.send(b"h", WATERMARKS, &mut pool);
        let watermarks = Watermarks { high_water: 100, ..WATERMARKS };
        assert_eq!(
            stream.send_shared(&shared, true, watermarks, &mut pool),
            (SendStatus::Queued, 0)
        );
        assert_eq!((stream.unsent(), Arc::strong_count(&shared)), (11, 2));
        assert_eq!(stream.flush(&mut pool).unwrap(), WriteOutcome::Wrote(PIPE));
        assert_eq!(stream.transport().outbox, [b'h', 7]);
        assert!(stream.is_write_blocked(), "a cut write of several pieces was the last for now");
        let limit = Watermarks { output_limit: 12, ..WATERMARKS };
        assert_eq!(stream.send_shared(&shared, true, limit, &mut pool), (SendStatus::Congested, 0));
        assert_eq!(stream.close_state(), CloseState::Aborted(CloseReason::OutputLimit));
        assert_eq!(stream.send_shared(&shared, true, limit, &mut pool), (SendStatus::Closed, 0));
        assert_eq!(stream.drop_output(&mut pool), 19);
        assert_eq!(Arc::strong_count(&shared), 1);
    }
}
