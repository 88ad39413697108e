//! When a subscriber reads too slowly to be kept: the rule of Redis.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// Most bytes that may wait for a subscriber (`client-output-buffer-limit pubsub 32mb 8mb 60`).
pub(crate) const HARD_LIMIT: usize = 32 << 20;
/// Most bytes that may wait for a subscriber for longer than [`SOFT_TIME`].
pub(crate) const SOFT_LIMIT: usize = 8 << 20;
pub(crate) const SOFT_TIME: Duration = Duration::from_secs(60);

/// Since when a subscriber has had more than [`SOFT_LIMIT`] to read.
#[derive(Debug, Default)]
pub(crate) struct SlowSubscriber(Cell<Option<Instant>>);

/// What to do with a subscriber.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    Keep,
    /// The first time above the soft limit: to be judged again after this time, although nothing
    /// more may be published.
    JudgeAfter(Duration),
    End,
}

impl SlowSubscriber {
    /// Judges a subscriber for which `queued` bytes wait at `now`.
    pub(crate) fn judge(&self, queued: usize, now: Instant) -> Verdict {
        match self.0.get() {
            _ if queued > HARD_LIMIT => Verdict::End,
            _ if queued <= SOFT_LIMIT => {
                self.0.set(None);
                Verdict::Keep
            }
            None => {
                self.0.set(Some(now));
                Verdict::JudgeAfter(SOFT_TIME)
            }
            Some(since) if now.saturating_duration_since(since) >= SOFT_TIME => Verdict::End,
            Some(_) => Verdict::Keep,
        }
    }

    /// [`SlowSubscriber::judge`] at a time that an earlier judgement named.
    pub(crate) fn judge_again(&self, queued: usize, now: Instant) -> Verdict {
        let since = self.0.get();
        match (self.judge(queued, now), since) {
            // It was below the limit meanwhile.
            (Verdict::Keep, Some(since)) if self.0.get().is_some() => {
                Verdict::JudgeAfter(SOFT_TIME.saturating_sub(now.saturating_duration_since(since)))
            }
            (verdict, _) => verdict,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn above_the_hard_limit_is_the_end_and_above_the_soft_one_after_a_minute() {
        let (slow, start) = (SlowSubscriber::default(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        let much = SOFT_LIMIT + 1;
        for (queued, seconds, verdict) in [
            (0, 0, Verdict::Keep),
            (SOFT_LIMIT, 1, Verdict::Keep),
            (much, 2, Verdict::JudgeAfter(SOFT_TIME)),
            (HARD_LIMIT, 61, Verdict::Keep),
            (much, 62, Verdict::End),
            (SOFT_LIMIT, 63, Verdict::Keep),
            (much, 64, Verdict::JudgeAfter(SOFT_TIME)),
            (HARD_LIMIT + 1, 65, Verdict::End),
        ] {
            assert_eq!(slow.judge(queued, after(seconds)), verdict, "{queued} after {seconds} s");
        }
    }

    #[test]
    fn the_minute_begins_again_after_a_time_below_the_soft_limit() {
        let (slow, start) = (SlowSubscriber::default(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        let much = SOFT_LIMIT + 1;
        assert_eq!(slow.judge(much, after(0)), Verdict::JudgeAfter(SOFT_TIME));
        assert_eq!(slow.judge(0, after(10)), Verdict::Keep);
        assert_eq!(slow.judge(much, after(20)), Verdict::JudgeAfter(SOFT_TIME));
        let rest = Verdict::JudgeAfter(Duration::from_secs(20));
        assert_eq!(slow.judge_again(much, after(60)), rest);
        assert_eq!(slow.judge_again(much, after(80)), Verdict::End);
        assert_eq!(slow.judge_again(0, after(81)), Verdict::Keep);
        assert_eq!(slow.judge_again(much, after(82)), Verdict::JudgeAfter(SOFT_TIME));
    }
}
