//! What must hold of a stream and its kernel, at all times and when nothing is left to do; and what tells two
//! worlds apart.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::IoSlice;

use super::super::state::SHUT_OFF;
use super::super::*;
use super::kernel::{Kernel, PIPE};
use super::world::{MARKS, Over, PATIENCE, PIECE, World, positions};

impl World {
    /// What must hold at all times. A state says then by its numbers alone which bytes lie where.
    pub(super) fn check_always(&self) {
        let stream = &self.stream;
        let kernel = stream.transport();
        assert_eq!(stream.flags.intersects(Flags::OUTPUT), !stream.output.is_empty());
        assert_eq!(stream.flags.intersects(Flags::HELD), !stream.held.is_empty());
        assert_eq!(stream.flags.intersects(Flags::ENDING), stream.ending() != CloseState::Open);
        assert_eq!(stream.flags.intersects(Flags::SENT_AT_ONCE), stream.sent_at_once != 0);
        assert_eq!(stream.held.input().peek(), positions(self.got, stream.held.len()));
        if self.over.is_some() {
            return;
        }
        let out = self.peer_got + kernel.outbox.len();
        assert!(kernel.outbox.iter().copied().eq(positions(self.peer_got, kernel.outbox.len())));
        let unsent: Vec<u8> = self
            .with_unsent(|pieces| pieces.iter().flat_map(|piece| piece.iter().copied()).collect());
        assert_eq!(unsent, positions(out, stream.unsent()), "what waits for the peer");
        assert_eq!(out + unsent.len(), self.sent);
        let expected = stream.is_congested() && !stream.flags.intersects(Flags::FULL_DUPLEX);
        assert_eq!(stream.flags.intersects(Flags::HELD_UP), expected);
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
        assert!(!stream.is_cut_off(), "it was aborted, and is there");
        let still_high = stream.unsent() > MARKS.low_water;
        assert!(!stream.is_congested() || still_high, "drained, but still held up");
        if stream.is_connecting() {
            let waits = kernel.unopened || kernel.connecting && !kernel.reset;
            assert!(waits, "the verdict has come, and nobody looks");
            return;
        }
        if kernel.outbox.len() < PIPE && !kernel.reset {
            assert_eq!(stream.unsent(), 0, "room, but output waits");
        }
        let asked_to_end = stream.flags.intersects(Flags::OUTPUT_CLOSED) && stream.unsent() == 0;
        assert_eq!(kernel.write_ended, asked_to_end, "the end of the output");
        assert!(!stream.is_closing() || stream.unsent() > 0, "closed and sent, but not over");
        assert!(!kernel.reset || kernel.reset_told || stream.unsent() == 0, "broken, unnoticed");
    }

    fn check_settled_input(&self) {
        let stream = &self.stream;
        let kernel = stream.transport();
        let lingers = stream.ending() == CloseState::Lingering;
        if (lingers || !stream.flags.intersects(SHUT_OFF)) && !stream.has_ended() {
            let bytes = kernel.inbox.iter().flatten().count();
            assert_eq!(bytes, 0, "input, but nobody reads");
            assert!(!kernel.ended && !kernel.reset, "an end nobody has seen");
        }
        if !stream.flags.intersects(SHUT_OFF) && !self.eof_told {
            let takes = !stream.is_congested();
            assert!(!takes || stream.held.len() < PIECE, "a whole piece, and nobody takes it");
        }
        let waits = stream.holds() && stream.ending() == CloseState::Open;
        assert!(!waits || stream.is_unfinished_watched(), "no deadline");
    }

    fn check_settled_callbacks(&self) {
        let stream = &self.stream;
        let told = self.shutdown_told || !self.shutdown_noted;
        let open = stream.ending() == CloseState::Open;
        assert!(told || stream.owes_an_answer() || !open, "not told");
        let told = self.eof_told || !stream.has_ended();
        let waits = stream.owes_an_answer() || stream.flags.intersects(SHUT_OFF);
        assert!(told || waits, "the end was read, and not told");
        assert!(
            !stream.flags.intersects(Flags::REPLAY) || stream.holds(),
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
        let Kernel { system, unopened, connecting, inbox, ended, reset, .. } = stream.transport();
        (system, unopened, connecting, ended, reset).hash(hasher);
        stream.transport().hash_calls(hasher);
        inbox.len().hash(hasher);
        for byte in inbox {
            byte.is_some().hash(hasher);
        }
        (stream.flags, stream.ending, stream.sent_at_once).hash(hasher);
        self.with_unsent(|pieces| pieces.iter().for_each(|piece| piece.len().hash(hasher)));
        stream.output.unsent().is_some().hash(hasher);
        (stream.held.len(), stream.held.needs_more()).hash(hasher);
        let waited = self.now.saturating_sub(stream.held.since()).min(PATIENCE);
        (waited * u64::from(stream.holds())).hash(hasher);
        (self.habit, self.answers, self.between, self.eof_told).hash(hasher);
        (self.inside, self.offloaded).hash(hasher);
        (self.shutdown_noted, self.shutdown_told, self.aborted).hash(hasher);
        (self.moved, self.queued, self.tries, self.over).hash(hasher);
    }
}
