//! What one client process has counted and timed, in a form that can be sent and added up.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// The longest latency that can be told from a longer one: an hour, in nanoseconds.
const LONGEST: u64 = 3_600_000_000_000;

/// Latencies in nanoseconds, to three digits.
pub(crate) fn histogram() -> Histogram<u64> {
    // The bounds are constants that it accepts.
    Histogram::new_with_bounds(64, LONGEST, 3)
        .unwrap_or_else(|_| unreachable!("64 < {LONGEST}, and 3 is at most 5"))
}

#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(crate) struct Counters {
    /// How long the window was, and how long it should have been unless it was interrupted.
    pub(crate) window_ns: u64,
    /// Answers that came within the window, every byte of them right.
    pub(crate) messages: u64,
    /// How often each latency occurred, in nanoseconds.
    pub(crate) latencies: Vec<(u64, u64)>,
    pub(crate) samples: Vec<Sample>,
    /// What went wrong, by kind, over the whole run.
    pub(crate) errors: BTreeMap<String, u64>,
    /// Datagrams that were not answered in time and sent again.
    pub(crate) lost: u64,
    /// Connections that stood, and how long it took until the first batch of them did.
    pub(crate) connected: u64,
    pub(crate) connect_ns: u64,
    /// Connections made and ended within the window.
    pub(crate) exchanges: u64,
    /// Connections that were there at the end and, if idle, answered.
    pub(crate) verified: u64,
    /// The CPU time of this process within the window.
    pub(crate) cpu_ns: Option<u64>,
    /// The largest share of one core that one client process used.
    pub(crate) busiest: f64,
}

/// One interval of the window.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub(crate) struct Sample {
    pub(crate) messages: u64,
    pub(crate) p50_ns: u64,
    pub(crate) p99_ns: u64,
    pub(crate) max_ns: u64,
}

impl Counters {
    pub(crate) fn count(&mut self, error: &str) {
        self.count_many(error, 1);
    }

    pub(crate) fn count_many(&mut self, error: &str, n: u64) {
        if n == 0 {
            return;
        }
        match self.errors.get_mut(error) {
            Some(count) => *count += n,
            None => drop(self.errors.insert(error.into(), n)),
        }
    }

    pub(crate) fn all_errors(&self) -> u64 {
        self.errors.values().sum()
    }

    /// Takes what another client process has counted in the same window.
    pub(crate) fn add(&mut self, other: &Counters) {
        self.window_ns = self.window_ns.max(other.window_ns);
        self.messages += other.messages;
        self.add_latencies(&other.latencies);
        let samples = self.samples.len().max(other.samples.len());
        self.samples.resize(samples, Sample::default());
        for (mine, other) in self.samples.iter_mut().zip(&other.samples) {
            mine.add(other);
        }
        for (error, n) in &other.errors {
            self.count_many(error, *n);
        }
        self.lost += other.lost;
        self.connected += other.connected;
        self.connect_ns = self.connect_ns.max(other.connect_ns);
        self.exchanges += other.exchanges;
        self.verified += other.verified;
        self.cpu_ns = match (self.cpu_ns, other.cpu_ns) {
            (Some(mine), Some(other)) => Some(mine + other),
            (mine, other) => mine.or(other),
        };
        self.busiest = self.busiest.max(other.busiest);
    }

    fn add_latencies(&mut self, latencies: &[(u64, u64)]) {
        let mut all: BTreeMap<u64, u64> = self.latencies.iter().copied().collect();
        for &(latency, n) in latencies {
            *all.entry(latency).or_default() += n;
        }
        self.latencies = all.into_iter().collect();
    }

    pub(crate) fn latencies_of(histogram: &Histogram<u64>) -> Vec<(u64, u64)> {
        let recorded = histogram.iter_recorded();
        recorded.map(|step| (step.value_iterated_to(), step.count_at_value())).collect()
    }

    /// The latencies as a histogram again.
    pub(crate) fn histogram(&self) -> Histogram<u64> {
        let mut all = histogram();
        for &(latency, n) in &self.latencies {
            all.saturating_record_n(latency, n);
        }
        all
    }
}

impl Sample {
    /// Quantiles of parts do not add up to that of the whole: the worst part is told, and of the
    /// middle the mean.
    fn add(&mut self, other: &Sample) {
        let all = self.messages + other.messages;
        if let Some(mean) =
            (self.p50_ns * self.messages + other.p50_ns * other.messages).checked_div(all)
        {
            self.p50_ns = mean;
        }
        self.messages = all;
        self.p99_ns = self.p99_ns.max(other.p99_ns);
        self.max_ns = self.max_ns.max(other.max_ns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_as_counts_comes_back_as_the_same_histogram() {
        let (mut one, mut other) = (histogram(), histogram());
        for latency in [70, 1_000, 1_000, 123_456_789] {
            one.saturating_record(latency);
        }
        other.saturating_record(5_000_000);
        let mut tally = Counters { latencies: Counters::latencies_of(&one), ..Counters::default() };
        tally.add(&Counters { latencies: Counters::latencies_of(&other), ..Counters::default() });
        one.add(&other).unwrap();
        assert_eq!(tally.histogram(), one);
        assert_eq!(tally.histogram().len(), 5);
    }

    #[test]
    fn a_latency_beyond_all_bounds_is_recorded_as_the_longest() {
        let mut histogram = histogram();
        histogram.saturating_record(u64::MAX);
        assert!(histogram.max() >= LONGEST);
    }
}
