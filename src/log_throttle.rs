//! At most one warning a second, with a count of those suppressed.

/// Keeps a misbehaving peer from flooding the log.
#[derive(Debug, Default)]
pub(crate) struct LogThrottle {
    not_before: u64,
    suppressed: u64,
}

const WARN_EVERY: u64 = 1_000_000_000;

impl LogThrottle {
    pub(crate) const fn new() -> LogThrottle {
        LogThrottle { not_before: 0, suppressed: 0 }
    }

    /// Allows one warning a second; `now` is in nanoseconds. `Some` is the number suppressed since
    /// the last one, `None` means that this one is suppressed.
    pub(crate) fn allow(&mut self, now: u64) -> Option<u64> {
        if now < self.not_before {
            self.suppressed += 1;
            return None;
        }
        self.not_before = now + WARN_EVERY;
        Some(std::mem::take(&mut self.suppressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_passes_a_second_and_tells_of_the_others() {
        let mut warnings = LogThrottle::default();
        assert_eq!(warnings.allow(5), Some(0));
        assert_eq!((0..9).filter(|_| warnings.allow(6).is_some()).count(), 0);
        assert_eq!(warnings.allow(5 + WARN_EVERY), Some(9));
    }
}
