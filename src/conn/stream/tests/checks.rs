//! What must hold of a stream and its kernel, at all times and when nothing is left to do; and what tells two
//! worlds apart.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::IoSlice;

use super::super::state::INPUT_BLOCKED;
use super::super::*;
use super::kernel::{Kernel, PIPE};
use super::world::{Over, PATIENCE, PIECE, WATERMARKS, World, positions};

impl World {
    /// What must hold at all times. A state says then by its numbers alone which bytes lie where.
    pub(super) fn check_always(&self) {
        let stream = &self.stream;
        let kernel = stream.transport();
        assert_eq!(stream.flags.intersects(Flags::HAS_OUTPUT), !stream.output.is_empty());
        assert_eq!(stream.flags.intersects(Flags::HAS_UNCONSUMED), !stream.unconsumed.is_empty());
        assert_eq!(
            stream.flags.intersects(Flags::CLOSING),
            stream.close_state() != CloseState::Open
        );
        assert_eq!(stream.flags.intersects(Flags::WROTE_DIRECT), stream.direct_writes != 0);
        assert_eq!(stream.unconsumed.input().peek(), positions(self.got, stream.unconsumed.len()));
        if self.over.is_some() {
            return;
        }
        let out = self.peer_got + kernel.outbox.len();
        assert!(kernel.outbox.iter().copied().eq(positions(self.peer_got, kernel.outbox.len())));
        let unsent: Vec<u8> = self
            .with_unsent(|pieces| pieces.iter().flat_map(|piece| piece.iter().copied()).collect());
        assert_eq!(unsent, positions(out, stream.unsent()), "what waits for the peer");
        assert_eq!(out + unsent.len(), self.sent);
        let expected =
            stream.is_congested() && !stream.flags.intersects(Flags::READ_WHILE_CONGESTED);
        assert_eq!(stream.flags.intersects(Flags::READ_STOPPED), expected);
    }

    fn with_unsent<R>(&self, look: impl FnOnce(&[IoSlice<'_>]) -> R) -> R {
        // No script sends more messages than that.
        let mut slices = [IoSlice::new(&[]); 32];
        let gathered = self.stream.output.gather(&mut slices);
        look(&slices[..gathered.slices])
    }

    /// What must hold whenever nothing is wanted and the kernel owes no event.
    pub(super) fn check_settled(&self) {
        let stream = &self.stream;
        let kernel = stream.transport();
        match self.over {
            Some(Over::Well) => {
                let out = self.peer_got + kernel.outbox.len();
                assert_eq!(out, self.sent, "closed with output unsent");
                return;
            }
            Some(Over::Broken) => return assert!(kernel.reset, "an error without a cause"),
            Some(Over::CutOff) => return,
            None => {}
        }
        self.check_settled_output();
        if !stream.is_connecting() {
            self.check_settled_input();
            self.check_settled_callbacks();
        }
    }

    fn check_settled_output(&self) {
        let stream = &self.stream;
        let kernel = stream.transport();
        assert!(!stream.is_aborted(), "it was aborted, and is there");
        let still_high = stream.unsent() > WATERMARKS.low_water;
        assert!(!stream.is_congested() || still_high, "drained, but still unconsumed up");
        if stream.is_connecting() {
            let waits = kernel.unopened || kernel.connecting && !kernel.reset;
            assert!(waits, "the connect result was not taken");
            return;
        }
        if kernel.outbox.len() < PIPE && !kernel.reset {
            assert_eq!(stream.unsent(), 0, "room, but output waits");
        }
        let asked_to_end =
            stream.flags.intersects(Flags::SHUT_WR_REQUESTED) && stream.unsent() == 0;
        assert_eq!(kernel.write_ended, asked_to_end, "the end of the output");
        assert!(!stream.is_closing() || stream.unsent() > 0, "closed and sent, but not over");
        assert!(!kernel.reset || kernel.reset_told || stream.unsent() == 0, "broken, unnoticed");
    }

    fn check_settled_input(&self) {
        let stream = &self.stream;
        let kernel = stream.transport();
        let lingers = stream.close_state() == CloseState::Lingering;
        if (lingers || !stream.flags.intersects(INPUT_BLOCKED)) && !stream.has_eof() {
            let bytes = kernel.buffers.iter().flatten().count();
            assert_eq!(bytes, 0, "input that is not read");
            assert!(!kernel.ended && !kernel.reset, "an EOF that was not read");
        }
        if !stream.flags.intersects(INPUT_BLOCKED) && !self.eof_told {
            let takes = !stream.is_congested();
            assert!(
                !takes || stream.unconsumed.len() < PIECE,
                "a whole piece that was not delivered"
            );
        }
        let waits = stream.has_unconsumed() && stream.close_state() == CloseState::Open;
        assert!(!waits || stream.is_frame_deadline_armed(), "no deadline");
    }

    fn check_settled_callbacks(&self) {
        let stream = &self.stream;
        let told = self.shutdown_told || !self.shutdown_noted;
        let open = stream.close_state() == CloseState::Open;
        assert!(told || stream.has_pending_reply() || !open, "not told");
        let told = self.eof_told || !stream.has_eof();
        let waits = stream.has_pending_reply() || stream.flags.intersects(INPUT_BLOCKED);
        assert!(told || waits, "the end was read, and not told");
        assert!(
            !stream.flags.intersects(Flags::REDELIVERY) || stream.has_unconsumed(),
            "nothing can be shown again"
        );
        assert_eq!(stream.flags.intersects(Flags::OFFLOADED), self.offloaded > 0);
    }

    /// Worlds with the same key have the same future, whatever was said before.
    pub(super) fn key(&self) -> u128 {
        let half = |salt: u8| {
            let mut hasher = DefaultHasher::new();
            salt.hash(&mut hasher);
            self.hash_state(&mut hasher);
            u128::from(hasher.finish())
        };
        half(0) << 64 | half(1)
    }

    fn hash_state(&self, hasher: &mut impl Hasher) {
        let stream = &self.stream;
        let Kernel { system, unopened, connecting, buffers, ended, reset, .. } = stream.transport();
        (system, unopened, connecting, ended, reset).hash(hasher);
        stream.transport().hash_calls(hasher);
        buffers.len().hash(hasher);
        for byte in buffers {
            byte.is_some().hash(hasher);
        }
        (stream.flags, stream.close_state, stream.direct_writes).hash(hasher);
        self.with_unsent(|pieces| pieces.iter().for_each(|piece| piece.len().hash(hasher)));
        stream.output.unsent().is_some().hash(hasher);
        (stream.unconsumed.len(), stream.unconsumed.needs_more()).hash(hasher);
        let waited = self.now.saturating_sub(stream.unconsumed.waiting_since()).min(PATIENCE);
        (waited * u64::from(stream.has_unconsumed())).hash(hasher);
        (self.habit, self.answers, self.between, self.eof_told).hash(hasher);
        (self.inside, self.offloaded).hash(hasher);
        (self.shutdown_noted, self.shutdown_told, self.aborted).hash(hasher);
        (self.moved, self.queued, self.tries, self.over).hash(hasher);
    }
}
