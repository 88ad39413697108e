//! Two runs side by side: ratios, and how much of a difference is only noise.

use super::counters::Sample;
use super::page::Page;
use super::record::{RunRecord, real};
use super::scenario::LoadMode;
use super::text_report::{bytes, count, time};

/// The standard deviation of a normal distribution, in median absolute deviations.
const SPREAD: f64 = 1.4826;

pub(crate) fn of(a: &RunRecord, b: &RunRecord, columns: Option<usize>) -> String {
    let mut page = Page::new(columns);
    for (name, record) in [("a", a), ("b", b)] {
        page.line(&format!("{name}: {}", record.terms));
        page.line(&format!("   {}", record.target));
    }
    if a.terms != b.terms {
        page.line("The terms are not the same; compare with care.");
    }
    page.line("");
    if columns.is_none_or(|columns| columns >= ROW) {
        page.line(&format!("{:<24}{:>14}{:>14}{:>9}", "", "a", "b", "b/a"));
    }
    for row in rows(a, b) {
        row.show(&mut page);
    }
    page.line("");
    page.line("The noise is the spread of the samples of both runs, by median absolute deviation.");
    for (name, record) in [("a", a), ("b", b)] {
        if record.summary.client_was_the_bottleneck == Some(true) {
            page.line(&format!("In {name} the client was the bottleneck: no winner is declared."));
        }
        if record.summary.errors > 0 {
            page.line(&format!("In {name} there were {} errors.", record.summary.errors));
        }
    }
    page.text
}

/// The columns of a row without its noise.
const ROW: usize = 61;

struct Row {
    name: &'static str,
    a: f64,
    b: f64,
    show: fn(f64) -> String,
    /// The spread of the samples of each run, as a share of their median.
    noise: Option<(f64, f64)>,
}

fn rows(a: &RunRecord, b: &RunRecord) -> Vec<Row> {
    let is_idle = |record: &RunRecord| matches!(record.terms.mode, LoadMode::Idle);
    let speed = if is_idle(a) || is_idle(b) { Vec::new() } else { speed(a, b) };
    speed.into_iter().chain(cost(a, b)).collect()
}

/// A row, where both runs have the figure and `noise` how even it was in both.
fn row(
    (a, b): (&RunRecord, &RunRecord),
    name: &'static str,
    of: fn(&RunRecord) -> Option<f64>,
    show: fn(f64) -> String,
    noise: Option<fn(&Sample) -> u64>,
) -> Option<Row> {
    let (first, second) = of(a).zip(of(b)).filter(|(first, _)| *first > 0.0)?;
    let noise = noise
        .and_then(|of| Some((spread(&a.measured.samples, of)?, spread(&b.measured.samples, of)?)));
    Some(Row { name, a: first, b: second, show, noise })
}

fn speed(a: &RunRecord, b: &RunRecord) -> Vec<Row> {
    let row = |name, of, show, noise| row((a, b), name, of, show, noise);
    let messages: fn(&Sample) -> u64 = |sample| sample.messages;
    let all = [
        row("messages/s", |one| Some(one.summary.messages_per_second), count, Some(messages)),
        row(
            "MB/s, each way",
            |one| Some(one.summary.megabytes_per_second),
            one_digit,
            Some(messages),
        ),
        row("latency p50", |one| Some(one.summary.p50_us), time, Some(|sample| sample.p50_ns)),
        row("latency p90", |one| Some(one.summary.p90_us), time, None),
        row("latency p99", |one| Some(one.summary.p99_us), time, Some(|sample| sample.p99_ns)),
        row("latency p99.9", |one| Some(one.summary.p999_us), time, None),
        row("latency max", |one| Some(one.summary.max_us), time, Some(|sample| sample.max_ns)),
    ];
    all.into_iter().flatten().collect()
}

fn cost(a: &RunRecord, b: &RunRecord) -> Vec<Row> {
    let row = |name, of, show| row((a, b), name, of, show, None);
    let all = [
        row("connects/s", |one| Some(one.summary.connects_per_second), count),
        row("server CPU a message", |one| one.summary.server_cpu_us_per_message, time),
        row("client CPU a message", |one| one.summary.client_cpu_us_per_message, time),
        row("memory a connection", |one| one.summary.server_bytes_per_connection, bytes),
        row("kernel a connection", |one| one.summary.kernel_bytes_per_connection, bytes),
        row("system calls a message", all_calls, two_digits),
    ];
    all.into_iter().flatten().collect()
}

impl Row {
    fn show(&self, page: &mut Page) {
        let (a, b, ratio) = ((self.show)(self.a), (self.show)(self.b), self.b / self.a);
        let noise = match self.noise {
            Some((of_a, of_b)) => {
                let noise = ratio * of_a.hypot(of_b);
                let verdict = if (ratio - 1.0).abs() <= noise { "  within the noise" } else { "" };
                format!(" ± {noise:.3}{verdict}")
            }
            None => String::new(),
        };
        let wide = format!("{:<24}{a:>14}{b:>14}{ratio:>9.3}{noise}", self.name);
        page.wide_or(&wide, self.name, &format!("a {a}, b {b}, b/a {ratio:.3}{noise}"));
    }
}

fn all_calls(record: &RunRecord) -> Option<f64> {
    record.syscalls.as_ref().map(|calls| calls.iter().map(|(_, n)| n).sum())
}

fn one_digit(n: f64) -> String {
    format!("{n:.1}")
}

fn two_digits(n: f64) -> String {
    format!("{n:.2}")
}

/// `None` when there are too few samples to tell.
fn spread(samples: &[Sample], of: fn(&Sample) -> u64) -> Option<f64> {
    let values: Vec<f64> = samples.iter().map(|sample| real(of(sample))).collect();
    let middle = median(values.clone()).filter(|middle| *middle > 0.0)?;
    let deviations = values.iter().map(|value| (value - middle).abs()).collect();
    Some(SPREAD * median(deviations)? / middle)
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    if values.len() < 3 {
        return None;
    }
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    let upper = values.get(half).copied()?;
    if values.len() % 2 == 1 {
        return Some(upper);
    }
    values.get(half - 1).map(|lower| f64::midpoint(*lower, upper))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(rates: &[u64]) -> Vec<Sample> {
        rates.iter().map(|&messages| Sample { messages, ..Sample::default() }).collect()
    }

    #[test]
    fn one_wild_sample_does_not_make_a_run_noisy() {
        let spread = |rates: &[u64]| spread(&samples(rates), |sample| sample.messages);
        assert_eq!(spread(&[100, 100, 100, 5]), Some(0.0));
        assert!(spread(&[90, 100, 110]).is_some_and(|spread| (spread - 0.148).abs() < 0.001));
        assert_eq!(spread(&[100, 100]), None);
        assert_eq!(spread(&[0, 0, 0]), None);
    }
}
