//! The measured part of a run: what came in it, how late, and how evenly.

use hdrhistogram::Histogram;

use super::counters::{Counters, Sample, histogram};
use super::process;

/// Times are nanoseconds since the start of the process.
#[derive(Debug)]
pub(crate) struct Measurement {
    /// A message belongs to the window when it was to be sent within it.
    begins: u64,
    ends: u64,
    /// Whether answers that come now are counted.
    is_open: bool,
    interval: u64,
    /// The end of the present interval.
    interval_ends: u64,
    in_interval: u64,
    current: Histogram<u64>,
    before: Histogram<u64>,
    samples: Vec<Sample>,
    messages: u64,
    cpu_at_begin: Option<u64>,
    cpu: Option<u64>,
}

impl Measurement {
    pub(crate) fn new(interval: u64) -> Measurement {
        Measurement {
            begins: u64::MAX,
            ends: u64::MAX,
            is_open: false,
            interval: interval.max(1),
            interval_ends: u64::MAX,
            in_interval: 0,
            current: histogram(),
            before: histogram(),
            samples: Vec::new(),
            messages: 0,
            cpu_at_begin: None,
            cpu: None,
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.is_open
    }

    pub(crate) fn begin(&mut self, now: u64, length: u64) {
        self.begins = now;
        self.ends = now.saturating_add(length);
        self.interval_ends = now.saturating_add(self.interval);
        self.is_open = true;
        self.cpu_at_begin = process::cpu("self");
    }

    /// The time is over, or no client is left to measure. Answers to what was sent before still count
    /// for the latencies.
    pub(crate) fn end(&mut self, now: u64) {
        if !self.is_open {
            return;
        }
        self.advance(now);
        self.ends = self.ends.min(now);
        self.is_open = false;
        self.cpu = process::cpu("self").zip(self.cpu_at_begin).map(|(now, then)| now - then);
    }

    /// An answer has come to what was to be sent at `since`.
    #[inline]
    pub(crate) fn answered(&mut self, since: u64, now: u64) {
        self.in_interval += u64::from(self.is_open);
        self.late(since, now);
    }

    /// What was to be sent at `since` took until `now`, or is still under way.
    #[inline]
    pub(crate) fn late(&mut self, since: u64, now: u64) {
        if self.has(since) {
            self.current.saturating_record(now.saturating_sub(since));
        }
    }

    #[inline]
    pub(crate) fn has(&self, since: u64) -> bool {
        since >= self.begins && since < self.ends
    }

    /// The time goes on; to be told before what is new is recorded.
    #[inline]
    pub(crate) fn advance(&mut self, now: u64) {
        while self.is_open && now >= self.interval_ends && self.interval_ends <= self.ends {
            self.close_interval();
            self.interval_ends = self.interval_ends.saturating_add(self.interval);
        }
    }

    fn close_interval(&mut self) {
        let current = &mut self.current;
        self.samples.push(Sample {
            messages: self.in_interval,
            p50_ns: current.value_at_quantile(0.5),
            p99_ns: current.value_at_quantile(0.99),
            max_ns: current.max(),
        });
        self.messages += std::mem::take(&mut self.in_interval);
        // Both have the same bounds, so that cannot fail.
        let _ = self.before.add(&*current);
        current.reset();
    }

    /// When the present interval is over.
    pub(crate) fn next(&self) -> Option<u64> {
        self.is_open.then(|| self.interval_ends.min(self.ends))
    }

    pub(crate) fn p99(&self) -> u64 {
        let most = if self.before.is_empty() { &self.current } else { &self.before };
        most.value_at_quantile(0.99)
    }

    pub(crate) fn slowest(&self) -> u64 {
        self.before.max().max(self.current.max())
    }

    /// Everything that was measured, after the end.
    pub(crate) fn close(&mut self, tally: &mut Counters) {
        self.messages += std::mem::take(&mut self.in_interval);
        if let Some(last) = self.samples.last_mut() {
            last.max_ns = last.max_ns.max(self.current.max());
        }
        let _ = self.before.add(&self.current);
        self.current.reset();
        let length = if self.begins == u64::MAX { 0 } else { self.ends - self.begins };
        tally.window_ns = length;
        tally.messages = self.messages;
        tally.latencies = Counters::latencies_of(&self.before);
        tally.samples = std::mem::take(&mut self.samples);
        tally.cpu_ns = self.cpu;
        tally.busiest = process::share(self.cpu.unwrap_or(0), length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_after_the_end_to_what_was_sent_before_is_not_forgotten() {
        let mut window = Measurement::new(100);
        window.answered(5, 10);
        window.begin(1_000, 300);
        window.answered(900, 1_010);
        window.answered(1_005, 1_500_005);
        window.advance(1_300);
        window.end(1_300);
        window.answered(1_299, 9_001_299);
        window.answered(1_300, 1_400);
        let mut tally = Counters::default();
        window.close(&mut tally);
        // Two answers came within the window, one of them to something from before.
        assert_eq!((tally.messages, tally.window_ns, tally.samples.len()), (2, 300, 3));
        let latencies = tally.histogram();
        assert_eq!(latencies.len(), 2);
        assert!(latencies.max() >= 9_000_000 && tally.samples[2].max_ns >= 9_000_000);
    }

    #[test]
    fn nothing_is_measured_without_a_begin() {
        let mut window = Measurement::new(100);
        window.answered(1, 2);
        window.end(3);
        let mut tally = Counters::default();
        window.close(&mut tally);
        assert_eq!((tally.window_ns, tally.messages, tally.latencies.len()), (0, 0, 0));
    }
}
