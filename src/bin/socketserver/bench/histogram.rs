//! The distribution of latencies, drawn with characters: ranges that double, bars of their logarithm.

use hdrhistogram::Histogram;

use super::page::Page;
use super::record::real;
use super::text_report::{count, time};

/// The width of the longest bar, and that of the figures before it.
const WIDTH: usize = 48;
const FIGURES: usize = 29;

pub(crate) fn draw(latencies: &Histogram<u64>, page: &mut Page) {
    let width = page.columns.map_or(WIDTH, |columns| columns.saturating_sub(FIGURES).min(WIDTH));
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for step in latencies.iter_recorded() {
        let latency = step.value_iterated_to();
        let until = latency.saturating_add(1).next_power_of_two();
        match ranges.last_mut() {
            Some((end, n)) if *end == until => *n += step.count_at_value(),
            Some((end, _)) => {
                let mut end = *end;
                while end.saturating_mul(2) < until {
                    end *= 2;
                    ranges.push((end, 0));
                }
                ranges.push((until, step.count_at_value()));
            }
            None => ranges.push((until, step.count_at_value())),
        }
    }
    let most = ranges.iter().map(|(_, n)| *n).max().unwrap_or(0);
    page.line("latency below      messages  (bars grow with the logarithm)");
    for (until, n) in ranges {
        let below = time(real(until) / 1e3);
        let row = format!("{below:>13}{:>14}  {}", count(real(n)), bar(n, most, width));
        page.line(row.trim_end());
    }
}

/// One message is seen too, and every tenfold is as long.
fn bar(n: u64, most: u64, width: usize) -> String {
    if n == 0 || most == 0 || width == 0 {
        return String::new();
    }
    let share = (real(n).ln() + 1.0) / (real(most).ln() + 1.0);
    let longest = real(width as u64);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 1 to width")]
    let length = (share * longest).clamp(1.0, longest) as usize;
    "#".repeat(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_without_messages_are_drawn_too() {
        let mut histogram = super::super::counters::histogram();
        histogram.saturating_record_n(1_000, 1_000);
        histogram.saturating_record(8_000);
        let mut page = Page::default();
        draw(&histogram, &mut page);
        let text = page.text;
        let rows: Vec<&str> = text.lines().skip(1).collect();
        assert_eq!(rows.len(), 4, "{text}");
        assert!(rows[0].ends_with(&"#".repeat(48)) && rows[0].contains("1.02 us"), "{text}");
        assert!(rows[1].ends_with(" 0") && rows[3].ends_with('#'), "{text}");
        for (columns, longest) in [(40, 11), (30, 1), (20, 0)] {
            let mut page = Page::new(Some(columns));
            draw(&histogram, &mut page);
            let bars = page.text.lines().map(|row| row.matches('#').count()).max();
            assert_eq!(bars, Some(longest), "{}", page.text);
        }
    }
}
